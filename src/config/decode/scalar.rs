//! What scalars are, and how to speak of what stands in the file.

use super::super::node::{Node, Value};
use super::super::problem::shortened;

/// What a plain scalar is by YAML 1.2's core schema.
pub(super) enum Plain {
    Bool(bool),
    Whole(i128),
    Float(f64),
    Text,
}

/// By the text alone.
pub(super) fn kind(text: &str) -> Plain {
    match text {
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        _ => {}
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Plain::Text;
    }
    let radix = match digits.get(..2) {
        Some("0x") => Some((16, &digits[2..])),
        Some("0o") => Some((8, &digits[2..])),
        _ if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some((10, digits)),
        _ => None,
    };
    if let Some((radix, digits)) = radix {
        // `from_str_radix` would take a second sign.
        if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
            return Plain::Text;
        }
        return i128::from_str_radix(digits, radix).map_or(Plain::Text, |number| Plain::Whole(sign * number));
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Plain::Float(number),
        _ => Plain::Text,
    }
}

/// What stands in the file, for a sentence that begins with "found".
pub(super) fn describe(node: &Node) -> String {
    match &node.value {
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a map".to_owned(),
        Value::Scalar(scalar) if scalar.is_null() => "nothing".to_owned(),
        Value::Scalar(scalar) if !scalar.plain => format!("the text \"{}\"", shortened(&scalar.text, 40)),
        Value::Scalar(scalar) => {
            let text = shortened(&scalar.text, 40);
            match kind(&scalar.text) {
                Plain::Bool(_) => format!("`{text}`"),
                Plain::Whole(_) | Plain::Float(_) => format!("the number {text}"),
                Plain::Text => format!("the text `{text}`"),
            }
        }
    }
}
