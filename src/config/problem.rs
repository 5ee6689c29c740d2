//! What is wrong with a file, and where.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// A character of a file. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// The file, as it was named on the command line or found by `include`.
    #[serde(serialize_with = "as_text")]
    pub file: Arc<str>,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

fn as_text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Whether a problem refuses the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken, but somebody should look at this.
    Warning,
}

/// One thing that is wrong with a file: `conf/onedoor.yaml:12:5: routes.users.path: …`.
///
/// As JSON: `{"file", "line", "column", "path", "message", "severity"}`, the first three only where a place is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where; none if there is no place in a file, such as for a file that cannot be read.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// The keys that lead there: `routes.users.to[0].upstream`; empty for the file as a whole.
    pub path: String,
    /// What is wrong and what is allowed, for people, on one line.
    pub message: String,
    /// Whether the file is refused for it.
    pub severity: Severity,
}

impl Problem {
    /// A reason to refuse the file.
    pub fn error(place: Option<Place>, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place, path: path.into(), message: one_line(message.into()), severity: Severity::Error }
    }

    /// Something that somebody should look at.
    pub fn warning(place: Option<Place>, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, path, message) }
    }

    /// Whether the file is refused for it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Tools read one problem a line, and a file may put anything into a quoted value.
fn one_line(message: String) -> String {
    if message.chars().any(char::is_control) {
        message.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
    } else {
        message
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// Why a file cannot be read, for people: without the error's number, which says nothing to most.
pub(super) fn plain_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        std::io::ErrorKind::PermissionDenied => "this user is not permitted to".to_owned(),
        _ => text.split(" (os error").next().unwrap_or(&text).to_owned(),
    }
}

/// A path's keys as one text: `routes.users.to[0]."odd key"`. A key of digits only is taken for a list's index, unless
/// it stands where the file has names (`routes.7.path`).
pub(super) fn render(keys: &[&str]) -> String {
    let mut text = String::new();
    for (depth, key) in keys.iter().enumerate() {
        let is_name = depth == 1 && matches!(keys[0], "listeners" | "upstreams" | "routes");
        if !is_name && !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit()) {
            push_index(&mut text, key);
        } else {
            push_key(&mut text, key);
        }
    }
    text
}

pub(super) fn push_index(path: &mut String, index: &str) {
    path.push('[');
    path.push_str(index);
    path.push(']');
}

pub(super) fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    let simple = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !key.is_empty() && key.bytes().all(simple) {
        path.push_str(key);
    } else {
        path.push_str(&quoted(key, 60));
    }
}

/// `text` in double quotes, on one line, cut after `longest` characters.
pub(super) fn quoted(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// `text` on one line, cut after `longest` characters.
pub(super) fn shortened(text: &str, longest: usize) -> String {
    let cut = text.char_indices().nth(longest).map_or(text, |(end, _)| &text[..end]);
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{more}", one_line(cut.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { file: "a.yaml".into(), line: 3, column: 7 }
    }

    #[test]
    fn a_problem_is_one_line_that_editors_can_jump_to() {
        let problem = Problem::error(Some(place()), "routes.users", "no\ngood");
        assert_eq!(problem.to_string(), "a.yaml:3:7: routes.users: no\u{fffd}good");
        let warning = Problem::warning(Some(place()), "upstreams.x", "nothing uses it");
        assert_eq!(warning.to_string(), "a.yaml:3:7: warning: upstreams.x: nothing uses it");
        assert_eq!(Problem::error(None, "", "cannot read x").to_string(), "cannot read x");
    }

    #[test]
    fn as_json_a_problem_is_flat() {
        let json = serde_json::to_value(Problem::error(Some(place()), "x", "y")).unwrap();
        let wanted = serde_json::json!({
            "file": "a.yaml", "line": 3, "column": 7, "path": "x", "message": "y", "severity": "error",
        });
        assert_eq!(json, wanted);
        let json = serde_json::to_value(Problem::warning(None, "", "y")).unwrap();
        assert_eq!(json, serde_json::json!({"path": "", "message": "y", "severity": "warning"}));
    }

    #[test]
    fn odd_keys_are_quoted_and_indices_bracketed() {
        assert_eq!(render(&["routes", "users", "to", "0", "upstream"]), "routes.users.to[0].upstream");
        assert_eq!(render(&["routes", "api.v1", "headers", "x-a b"]), r#"routes."api.v1".headers."x-a b""#);
        assert_eq!(render(&["tests", "3", "get"]), "tests[3].get");
        assert_eq!(render(&["routes", "7", "path"]), "routes.7.path");
        assert_eq!(render(&[]), "");
    }
}
