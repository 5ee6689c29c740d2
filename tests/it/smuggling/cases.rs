//! A case: bytes that a client sends, and what may come of them.

use super::{made, written};

/// What has to come of a case's first request, beyond what the readers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It is good, and so goes on.
    Forwarded,
    /// It is refused with this status.
    Refused(u16),
    /// Either.
    Either,
}

/// Bytes that a client sends.
pub struct Case {
    pub name: String,
    pub bytes: Vec<u8>,
    pub expected: Expected,
}

impl Case {
    /// Of the notation of [`bytes`].
    pub fn new(text: &str, expected: Expected) -> Self {
        Self { name: shortened(text), bytes: bytes(text), expected }
    }
}

/// All of them.
pub fn all() -> Vec<Case> {
    written::cases().chain(made::cases()).collect()
}

/// Bytes as they are written here: `\n` is CRLF, `<CR>`, `<LF>`, `<NUL>`, `<TAB>` and `<x0b>` are one byte, and
/// `<30xA>` is so many of a character.
pub fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\n' => bytes.extend_from_slice(b"\r\n"),
            '<' => {
                let (code, behind) = rest.split_once('>').unwrap_or_else(|| panic!("`<` without `>` in {text:?}"));
                rest = behind;
                bytes.extend(coded(code));
            }
            _ => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

fn coded(code: &str) -> Vec<u8> {
    match code {
        "CR" => b"\r".to_vec(),
        "LF" => b"\n".to_vec(),
        "NUL" => b"\0".to_vec(),
        "TAB" => b"\t".to_vec(),
        "LT" => b"<".to_vec(),
        _ => match code.split_once('x') {
            Some(("", hex)) => vec![u8::from_str_radix(hex, 16).unwrap()],
            Some((count, what)) => bytes(what).repeat(count.parse().unwrap()),
            None => panic!("`<{code}>` is no byte"),
        },
    }
}

fn shortened(text: &str) -> String {
    let told = format!("{text:?}");
    told.chars().take(160).collect()
}
