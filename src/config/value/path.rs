//! Files that the configuration names.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The path of a file; a relative one starts in the folder that the door was started in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(PathBuf);

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

text_type!(FilePath, "a file's path such as `/etc/onedoor/internal.pem`", {
    "type": "string",
    "minLength": 1,
    "description": "A file's path; a relative one starts in the folder that the door was started in.",
    "examples": ["/etc/onedoor/internal.pem"],
});

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
