//! What goes wrong while decoding, before it becomes a problem with a place.

use std::fmt;

use serde::de::{Expected, Unexpected};

use super::super::suggest::did_you_mean;

/// An error and the node that it is about. In a box, since results carry it through every layer.
#[derive(Debug)]
pub(in super::super) struct Error(Box<(Option<At>, What)>);

pub(super) type Result<T> = std::result::Result<T, Error>;

/// The node with this id; or the key that it is the value of.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) id: u32,
    pub(super) key: bool,
}

#[derive(Debug)]
pub(super) enum What {
    /// Anything that takes a sentence.
    Message(String),
    /// A key that has no meaning here.
    UnknownKey { key: String, allowed: &'static [&'static str] },
    /// A key that must be there.
    Missing { key: &'static str },
    /// A node that was left out had to be read.
    Skipped,
}

impl Error {
    pub(super) fn new(at: At, what: What) -> Self {
        Self(Box::new((Some(at), what)))
    }

    pub(super) fn message(message: impl Into<String>) -> Self {
        Self(Box::new((None, What::Message(message.into()))))
    }

    /// The same error, about this if it was not known yet what it is about.
    pub(super) fn about(mut self, id: u32, key: bool) -> Self {
        self.0.0.get_or_insert(At { id, key });
        self
    }

    pub(super) fn into_parts(self) -> (Option<At>, What) {
        *self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.1 {
            What::Message(message) => f.write_str(message),
            What::UnknownKey { key, .. } => write!(f, "unknown key `{key}`"),
            What::Missing { key } => write!(f, "`{key}` is missing"),
            What::Skipped => f.write_str("left out"),
        }
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::message(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::message(format!("expected {}, found {}", plain_words(expected), found_words(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::message(format!("expected {}, found {length} values", plain_words(expected)))
    }

    fn unknown_variant(word: &str, allowed: &'static [&'static str]) -> Self {
        let hint = did_you_mean(word, allowed.iter().copied());
        let hint = hint.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        let shown = super::super::problem::shortened(word, 60);
        Self::message(format!("unknown word `{shown}`; {hint}allowed: {}", list_of(allowed.iter().copied())))
    }

    fn unknown_field(key: &str, allowed: &'static [&'static str]) -> Self {
        Self(Box::new((None, What::UnknownKey { key: key.to_owned(), allowed })))
    }

    fn missing_field(key: &'static str) -> Self {
        Self(Box::new((None, What::Missing { key })))
    }

    fn duplicate_field(key: &'static str) -> Self {
        Self::message(format!("the key `{key}` stands twice"))
    }
}

/// Words in backticks, with commas; or that there are none.
pub(in super::super) fn list_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

pub(super) const WHOLE_NUMBER: &str = "a whole number";

/// What a visitor expects, in the file's words instead of Rust's. Our own visitors speak plainly already.
pub(super) fn plain_words(expected: &dyn Expected) -> String {
    let words = expected.to_string();
    match words.as_str() {
        "a string" | "string" | "a borrowed string" => "text".to_owned(),
        "a character" => "a single character".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" => "a list".to_owned(),
        "unit" => "nothing".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => {
            WHOLE_NUMBER.to_owned()
        }
        "a nonzero u8" | "a nonzero u16" | "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => {
            "a whole number above 0".to_owned()
        }
        _ if words.starts_with("struct ") => "a map".to_owned(),
        _ if words.starts_with("enum ") || words.starts_with("variant of enum ") => "one of its words".to_owned(),
        _ => words,
    }
}

fn found_words(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Char(value) => format!("the text `{value}`"),
        Unexpected::Str(value) => format!("the text `{}`", super::super::problem::shortened(value, 40)),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        Unexpected::UnitVariant => "a word alone".to_owned(),
        Unexpected::NewtypeVariant | Unexpected::TupleVariant | Unexpected::StructVariant => {
            "a word with a value".to_owned()
        }
        other => other.to_string(),
    }
}
