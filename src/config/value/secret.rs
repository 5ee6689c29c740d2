//! Texts that may be secrets, and need not stand in the file.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::super::decode::by_shape;
use super::super::problem::{plain_words, shortened};
use super::FilePath;

/// A text, or where to read it: `{file: PATH}`, `{env: NAME}` or `{credential: NAME}`. `Debug` shows no text.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretText {
    /// As it stands in the file; it may hold templates.
    Literal(String),
    /// The content of a file. As it is read from a configuration file, a relative path starts in that file's folder.
    File(PathBuf),
    /// The value of a variable of the environment.
    Env(String),
    /// The content of the file of this name in `$CREDENTIALS_DIRECTORY`, where systemd's `LoadCredential=` puts it.
    Credential(String),
}

/// What [`SecretText::resolve`] found. `Debug` shows no text.
#[derive(Clone, PartialEq, Eq)]
pub enum Resolved {
    /// Stood in the file and may hold templates.
    Literal(String),
    /// A secret: to be used as it is, and never to be shown.
    Secret(String),
}

/// The largest secret that is read, in bytes.
const LARGEST: u64 = 64 << 10;

impl SecretText {
    /// The text. Reads the file, the environment or the credential anew each time, so call it once a load. One line
    /// break at the end of a file is no part of the secret.
    ///
    /// # Errors
    /// A sentence that says why there is no text: the file cannot be read or is larger than 64 KiB, the variable is
    /// not set, the text is empty or not UTF-8. It never holds the text.
    pub fn resolve(&self) -> Result<Resolved, String> {
        self.resolve_with(&|name| std::env::var_os(name))
    }

    fn resolve_with(&self, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Resolved, String> {
        let (secret, whence) = match self {
            Self::Literal(text) => return Ok(Resolved::Literal(text.clone())),
            Self::File(path) => (read(path)?, format!("the file {}", path.display())),
            Self::Env(name) => {
                let value = env(name).ok_or_else(|| {
                    format!("the environment variable `{name}` is not set; set it before the door starts")
                })?;
                let value =
                    value.into_string().map_err(|_| format!("the environment variable `{name}` is not UTF-8"))?;
                (value, format!("the environment variable `{name}`"))
            }
            Self::Credential(name) => {
                let folder = env("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    format!(
                        "there is no credential `{name}`, since `$CREDENTIALS_DIRECTORY` is not set; run under systemd with \
                         `LoadCredential={name}:/path/of/the/secret`, or use `{{file: …}}`"
                    )
                })?;
                (read(&Path::new(&folder).join(name))?, format!("the credential `{name}`"))
            }
        };
        if secret.is_empty() { Err(format!("{whence} is empty")) } else { Ok(Resolved::Secret(secret)) }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let cannot = |why: &dyn fmt::Display| format!("cannot read the secret {}: {why}", path.display());
    let file = std::fs::File::open(path).map_err(|error| cannot(&plain_words(&error)))?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| cannot(&plain_words(&error)))?;
    if bytes.len() as u64 > LARGEST {
        return Err(cannot(&"it is larger than 64 KiB"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| cannot(&"it is not UTF-8"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("Literal(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
            Self::Credential(name) => f.debug_tuple("Credential").field(name).finish(),
        }
    }
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Literal(_) => "Literal(…)",
            Self::Secret(_) => "Secret(…)",
        })
    }
}

/// The map's shape. Exactly one of its keys is there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whence {
    file: Option<FilePath>,
    env: Option<String>,
    credential: Option<String>,
}

impl Whence {
    fn secret(self) -> Result<SecretText, String> {
        match self {
            Self { file: Some(path), env: None, credential: None } => Ok(SecretText::File(path.into())),
            Self { file: None, env: Some(name), credential: None } => {
                if name.is_empty() || name.contains(['=', '\0']) {
                    return Err(format!(
                        "`{}` is no variable's name, such as `{{env: API_KEY}}`",
                        shortened(&name, 40)
                    ));
                }
                Ok(SecretText::Env(name))
            }
            Self { file: None, env: None, credential: Some(name) } => {
                if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
                    let shown = shortened(&name, 40);
                    return Err(format!(
                        "`{shown}` is no credential's name, such as `{{credential: api.key}}`; it cannot hold a `/`"
                    ));
                }
                Ok(SecretText::Credential(name))
            }
            _ => {
                Err("expected exactly one of `file`, `env` and `credential`, such as `{file: /etc/onedoor/key}`".into())
            }
        }
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = SecretText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, `{file: PATH}`, `{env: NAME}` or `{credential: NAME}`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<SecretText, E> {
                Ok(SecretText::Literal(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretText, A::Error> {
                Whence::deserialize(MapAccessDeserializer::new(map))?.secret().map_err(A::Error::custom)
            }
        }

        by_shape(deserializer, Shape)
    }
}

impl JsonSchema for SecretText {
    fn schema_name() -> Cow<'static, str> {
        "SecretText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let only = |key: &str, what: &str| {
            json_schema!({
                "type": "object",
                "properties": {key: {"type": "string", "minLength": 1, "description": what}},
                "required": [key],
                "additionalProperties": false,
            })
        };
        json_schema!({"anyOf": [
            {"type": "string"},
            only("file", "A file that holds the text, without a line break at its end; relative to this file's folder."),
            only("env", "A variable of the environment that holds the text."),
            only("credential", "A file of this name in $CREDENTIALS_DIRECTORY (systemd's LoadCredential=)."),
        ]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<OsString> {
        (name == "KEY").then(|| "s3cret".into())
    }

    fn json(text: &str) -> Result<SecretText, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_literal_may_hold_templates_and_a_secret_never_does() {
        let literal = json("\"{client_ip}\"").unwrap();
        assert_eq!(literal.resolve(), Ok(Resolved::Literal("{client_ip}".into())));
        let secret = json("{\"env\": \"KEY\"}").unwrap();
        assert_eq!(secret.resolve_with(&env), Ok(Resolved::Secret("s3cret".into())));
        assert!(SecretText::Env("NO".into()).resolve_with(&env).unwrap_err().contains("`NO` is not set"));
    }

    #[test]
    fn one_line_break_at_the_end_of_a_file_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for (content, wanted) in
            [("a\n", Some("a")), ("a\r\n", Some("a")), ("a\n\n", Some("a\n")), (" a", Some(" a")), ("\n", None)]
        {
            std::fs::write(&path, content).unwrap();
            let found = SecretText::File(path.clone()).resolve().ok();
            assert_eq!(found, wanted.map(|text| Resolved::Secret(text.into())), "{content:?}");
        }
        std::fs::write(&path, vec![b'x'; 70_000]).unwrap();
        assert!(SecretText::File(path.clone()).resolve().unwrap_err().contains("larger than 64 KiB"));
        std::fs::write(&path, [0xff]).unwrap();
        assert!(SecretText::File(path).resolve().unwrap_err().contains("not UTF-8"));
        assert!(SecretText::File(folder.path().join("no")).resolve().unwrap_err().ends_with(": there is no such file"));
    }

    #[test]
    fn a_credential_is_a_file_of_systemds_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("api.key"), "k\n").unwrap();
        let at = folder.path().as_os_str().to_owned();
        let env = move |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| at.clone());
        let credential = json("{\"credential\": \"api.key\"}").unwrap();
        assert_eq!(credential.resolve_with(&env), Ok(Resolved::Secret("k".into())));
        assert!(credential.resolve_with(&|_| None).unwrap_err().contains("LoadCredential=api.key:"));
        assert!(json("{\"credential\": \"../x\"}").is_err());
        assert!(json("{\"credential\": \"..\"}").is_err());
    }

    #[test]
    fn exactly_one_source_is_named() {
        for text in ["{}", "{\"file\": \"/a\", \"env\": \"B\"}", "{\"file\": null}"] {
            assert!(json(text).unwrap_err().contains("exactly one of"), "{text}");
        }
        assert!(json("{\"fil\": \"/a\"}").is_err());
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?} {:?}", SecretText::Literal("s3cret".into()), Resolved::Secret("s3cret".into()));
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
