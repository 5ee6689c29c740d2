//! Files that the configuration names.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::super::decode::PATH;

/// The path of a file. As it is read from a configuration file, a relative one starts in that file's folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(PathBuf);

impl FilePath {
    /// What is called so in the folder at this path.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> Self {
        Self(self.0.join(name))
    }
}

impl AsRef<Path> for FilePath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl From<FilePath> for PathBuf {
    fn from(path: FilePath) -> Self {
        path.0
    }
}

impl FromStr for FilePath {
    type Err = String;

    /// The error never holds the text: it may be a key that was put in the place of its file.
    fn from_str(text: &str) -> Result<Self, String> {
        let like = "write a file's path, such as `/etc/onedoor/internal.pem`";
        if text.is_empty() {
            Err(format!("a path is empty; {like}"))
        } else if text.contains("-----BEGIN") || text.contains('\n') {
            Err(format!("this is a text and not a file's path; put the text into a file of its own and {like}"))
        } else if text.contains('\0') {
            Err(format!("a path cannot hold a NUL character; {like}"))
        } else {
            Ok(Self(text.into()))
        }
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = FilePath;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a file's path such as `/etc/onedoor/internal.pem`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<FilePath, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<FilePath, D::Error> {
                deserializer.deserialize_str(self)
            }
        }

        deserializer.deserialize_newtype_struct(PATH, Text)
    }
}

impl JsonSchema for FilePath {
    fn schema_name() -> Cow<'static, str> {
        "FilePath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "description": "A file's path; a relative one starts in the folder of the file that names it.",
            "examples": ["/etc/onedoor/internal.pem"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_as_it_is() {
        for text in ["/etc/onedoor/ca.pem", "ca.pem", "a b/ü.pem"] {
            assert_eq!(text.parse::<FilePath>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_text_in_the_place_of_a_path_is_refused_and_not_repeated() {
        let why = "-----BEGIN PRIVATE KEY-----\nabcd".parse::<FilePath>().unwrap_err();
        assert!(why.contains("put the text into a file") && !why.contains("abcd"), "{why}");
        assert!("".parse::<FilePath>().unwrap_err().contains("is empty"));
        assert!("a\0b".parse::<FilePath>().unwrap_err().contains("NUL"));
    }
}
