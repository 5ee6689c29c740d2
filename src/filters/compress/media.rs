//! Which types of content are worth it.

use std::str::FromStr;

use crate::head::grpc::Dialect;

/// A media type, or many: `application/json`, `text/*`, `*/*+json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Media {
    /// This one.
    One(Box<str>),
    /// All of a kind: `text/`.
    Kind(Box<str>),
    /// All with this suffix (RFC 6839): `+json`.
    Suffix(Box<str>),
}

/// What is text, or as good as text. Pictures, films, sound and archives are small already.
pub(super) const USUAL: [&str; 15] = [
    "text/*",
    "*/*+json",
    "*/*+xml",
    "application/json",
    "application/javascript",
    "application/x-javascript",
    "application/xml",
    "application/wasm",
    "application/x-ndjson",
    "application/yaml",
    "application/vnd.ms-fontobject",
    "font/ttf",
    "font/otf",
    "image/bmp",
    "image/x-icon",
];

impl FromStr for Media {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let wrong =
            || format!("`{text}` is no media type; write one such as `application/json`, `text/*` or `*/*+json`");
        let is_token = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
        };
        if is_stream(lower.as_bytes()) {
            return Err(format!("`{text}` is never compressed: its messages must not wait for each other"));
        }
        let (kind, sub) = lower.split_once('/').ok_or_else(wrong)?;
        match (kind, sub) {
            ("*", _) => match sub.strip_prefix("*+") {
                Some(suffix) if is_token(suffix) => Ok(Self::Suffix(format!("+{suffix}").into())),
                _ => Err(wrong()),
            },
            (_, "*") if is_token(kind) => Ok(Self::Kind(format!("{kind}/").into())),
            _ if is_token(kind) && is_token(sub) => Ok(Self::One(lower.into())),
            _ => Err(wrong()),
        }
    }
}

impl Media {
    fn takes(&self, essence: &[u8]) -> bool {
        match self {
            Self::One(all) => essence.eq_ignore_ascii_case(all.as_bytes()),
            Self::Kind(start) => essence.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start.as_bytes())),
            Self::Suffix(end) => {
                let at = essence.len().checked_sub(end.len());
                at.is_some_and(|at| essence[at..].eq_ignore_ascii_case(end.as_bytes()))
            }
        }
    }
}

/// Whether a `Content-Type` is one of these, and none of those that are never compressed.
pub(super) fn is_worth_it(list: &[Media], content_type: &[u8]) -> bool {
    let end = content_type.iter().position(|byte| *byte == b';').unwrap_or(content_type.len());
    let essence = content_type[..end].trim_ascii();
    !is_stream(essence) && list.iter().any(|media| media.takes(essence))
}

/// Streams of messages: event streams, and gRPC, which compresses its messages itself.
fn is_stream(essence: &[u8]) -> bool {
    essence.eq_ignore_ascii_case(b"text/event-stream") || Dialect::of(Some(essence)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_what_is_as_good_is_worth_it_and_a_stream_never() {
        let usual: Vec<Media> = USUAL.iter().map(|text| text.parse().unwrap()).collect();
        for yes in [
            "text/html; charset=utf-8",
            "TEXT/Plain",
            "application/json",
            "application/problem+json",
            "image/svg+xml",
            "application/wasm ;x=y",
        ] {
            assert!(is_worth_it(&usual, yes.as_bytes()), "{yes}");
        }
        for no in [
            "image/png",
            "video/mp4",
            "application/octet-stream",
            "text/event-stream",
            "Text/Event-Stream; charset=utf-8",
            "application/grpc+json",
            "application/grpc-web",
            "text",
            "",
        ] {
            assert!(!is_worth_it(&usual, no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn what_is_no_media_type_is_refused() {
        for text in ["json", "text/", "/x", "*/*", "*", "*/*+", "a b/c", "text/html; charset=utf-8"] {
            assert!(text.parse::<Media>().unwrap_err().contains("is no media type"), "{text}");
        }
        for text in ["text/event-stream", "application/grpc"] {
            assert!(text.parse::<Media>().unwrap_err().contains("is never compressed"), "{text}");
        }
    }
}
