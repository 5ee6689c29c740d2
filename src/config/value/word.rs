//! Values that are one of a few words, or something beside them.

use std::borrow::Cow;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::str::FromStr;

use log::LevelFilter;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::super::problem::shortened;
use super::super::suggest::did_you_mean;
use super::from_text;

/// How many worker threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Threads {
    /// One for each core.
    #[default]
    Auto,
    /// This many.
    Count(NonZeroU16),
}

impl FromStr for Threads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::Count).map_err(|_| {
                format!(
                    "`{}` is no number of threads; allowed: `auto`, or a number from 1 to 65535, such as 4",
                    shortened(text, 40)
                )
            }),
        }
    }
}

impl<'de> Deserialize<'de> for Threads {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, "`auto` or a number of threads")
    }
}

impl JsonSchema for Threads {
    fn schema_name() -> Cow<'static, str> {
        "Threads".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": 65535}]})
    }
}

/// Which diagnostics are written: those of this level and the graver ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogLevel(pub LevelFilter);

impl Default for LogLevel {
    fn default() -> Self {
        Self(LevelFilter::Info)
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "error" => LevelFilter::Error,
            "warn" => LevelFilter::Warn,
            "info" => LevelFilter::Info,
            "debug" => LevelFilter::Debug,
            "trace" => LevelFilter::Trace,
            _ => {
                return Err(unknown(text, &["error", "warn", "info", "debug", "trace"], ""));
            }
        }))
    }
}

text_type!(LogLevel, "a level such as `info`", {
    "enum": ["error", "warn", "info", "debug", "trace"],
});

/// The version of HTTP that an upstream is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Protocol {
    /// HTTP/2 or HTTP/1.1, as TLS negotiates (ALPN); HTTP/1.1 without TLS.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; without TLS by prior knowledge (h2c).
    Http2,
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "http1" => Ok(Self::Http1),
            "http2" => Ok(Self::Http2),
            _ => Err(unknown(text, &["auto", "http1", "http2"], "")),
        }
    }
}

text_type!(Protocol, "`auto`, `http1` or `http2`", {
    "enum": ["auto", "http1", "http2"],
});

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl FromStr for ProxyVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "v1" => Ok(Self::V1),
            "v2" => Ok(Self::V2),
            _ => Err(unknown(text, &["v1", "v2"], "")),
        }
    }
}

text_type!(ProxyVersion, "`v1` or `v2`", {
    "enum": ["v1", "v2"],
    "description": "A version of the PROXY protocol: `v1` is a line of text, `v2` is binary.",
});

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub enum AccessTarget {
    /// The standard output.
    #[default]
    Stdout,
    /// A file, which is appended to.
    File(PathBuf),
    /// Nowhere.
    Off,
}

impl FromStr for AccessTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "stdout" => Ok(Self::Stdout),
            "off" => Ok(Self::Off),
            // A word alone is rather a slip than a file in whatever folder the door was started in.
            _ if text.contains('/') && !text.contains('\0') => Ok(Self::File(text.into())),
            _ => Err(unknown(
                text,
                &["stdout", "off"],
                ", or a file's path with a `/` in it, such as `/var/log/onedoor/access.log`",
            )),
        }
    }
}

text_type!(AccessTarget, "`stdout`, `off` or a file's path", {
    "type": "string",
    "description": "`stdout`, `off`, or a file's path with a `/` in it.",
    "examples": ["stdout", "off", "/var/log/onedoor/access.log"],
});

/// What a line of the access log looks like.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub enum AccessFormat {
    /// An object a line.
    #[default]
    Json,
    /// As Apache and nginx have it.
    Combined,
    /// Text with `{variables}`.
    Template(String),
}

impl FromStr for AccessFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "combined" => Ok(Self::Combined),
            _ if text.contains('{') => Ok(Self::Template(text.to_owned())),
            _ => Err(unknown(text, &["json", "combined"], ", or a template such as `\"{status} {method} {path}\"`")),
        }
    }
}

text_type!(AccessFormat, "`json`, `combined` or a template", {
    "type": "string",
    "description": "`json`, `combined`, or a template with `{variables}`.",
    "examples": ["json", "combined", "{status} {method} {path} {duration_ms}"],
});

pub(in crate::config) fn unknown(text: &str, words: &'static [&'static str], or: &str) -> String {
    let hint = did_you_mean(text, words.iter().copied());
    let hint = hint.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    format!("unknown word `{}`; {hint}allowed: {}{or}", shortened(text, 40), words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_automatic_or_counted() {
        assert_eq!("auto".parse(), Ok(Threads::Auto));
        assert_eq!("4".parse(), Ok(Threads::Count(NonZeroU16::new(4).unwrap())));
        for text in ["0", "-1", "70000", "four", "", "Auto"] {
            assert!(text.parse::<Threads>().unwrap_err().contains("`auto`, or a number from 1 to 65535"));
        }
    }

    #[test]
    fn levels_have_the_names_that_log_has() {
        assert_eq!("debug".parse(), Ok(LogLevel(LevelFilter::Debug)));
        assert_eq!(LogLevel::default(), LogLevel(LevelFilter::Info));
        let why = "INFO".parse::<LogLevel>().unwrap_err();
        assert_eq!(why, "unknown word `INFO`; did you mean `info`? allowed: `error`, `warn`, `info`, `debug`, `trace`");
    }

    #[test]
    fn a_misspelt_target_is_no_file() {
        assert_eq!("/var/log/a".parse(), Ok(AccessTarget::File("/var/log/a".into())));
        assert_eq!("./a".parse(), Ok(AccessTarget::File("./a".into())));
        assert!("stdot".parse::<AccessTarget>().unwrap_err().contains("did you mean `stdout`?"));
    }

    #[test]
    fn a_misspelt_format_is_no_template() {
        assert_eq!("{status}".parse(), Ok(AccessFormat::Template("{status}".into())));
        assert!("jsn".parse::<AccessFormat>().unwrap_err().contains("did you mean `json`?"));
    }
}
