//! gRPC as HTTP sees it: who speaks it, and what its statuses are.

use http::{HeaderName, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// The status of a call, in the trailers or, where there is no message, in the head.
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// What it means, percent-encoded.
pub const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// How a message speaks gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// gRPC over HTTP/2 (`application/grpc`).
    Native,
    /// gRPC-Web, for browsers: the trailers are the end of the body (`application/grpc-web`).
    Web,
    /// The same in base64 (`application/grpc-web-text`).
    WebText,
}

impl Dialect {
    /// Reads a `Content-Type`; what stands behind `+` is the messages' own format and of no account.
    pub fn of(content_type: Option<&[u8]>) -> Option<Self> {
        let content_type = content_type?;
        let end = content_type.iter().position(|byte| matches!(byte, b';' | b'+' | b' ' | b'\t'));
        let essence = &content_type[..end.unwrap_or(content_type.len())];
        let is = |name: &str| essence.eq_ignore_ascii_case(name.as_bytes());
        if is("application/grpc") {
            Some(Self::Native)
        } else if is("application/grpc-web") {
            Some(Self::Web)
        } else if is("application/grpc-web-text") || is("application/grpc-web-text-base64") {
            Some(Self::WebText)
        } else {
            None
        }
    }

    /// The media type of a response with this end, such as `+proto`.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Native => "application/grpc",
            Self::Web => "application/grpc-web",
            Self::WebText => "application/grpc-web-text",
        }
    }
}

/// The statuses of gRPC that a gateway has a use for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Nothing better fits.
    Unknown = 2,
    /// The call took longer than it may.
    DeadlineExceeded = 4,
    /// Whoever asks may not.
    PermissionDenied = 7,
    /// Something is larger than it may be.
    ResourceExhausted = 8,
    /// There is no such method.
    Unimplemented = 12,
    /// Somebody in between broke a rule.
    Internal = 13,
    /// Try again.
    Unavailable = 14,
    /// It is not known who asks.
    Unauthenticated = 16,
}

impl Status {
    /// What a client would make of such a status of HTTP (gRPC's "HTTP to gRPC Status Code Mapping"), and of some that
    /// it would only find unknown.
    pub fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            400 | 431 | 500 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 | 405 | 501 => Self::Unimplemented,
            413 => Self::ResourceExhausted,
            429 | 502..=504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }
}

/// A sentence as `grpc-message` has it (gRPC over HTTP/2, "Percent-Encoded").
pub fn encoded(message: &str) -> String {
    const OTHER: &AsciiSet = &CONTROLS.add(b'%');
    utf8_percent_encode(message, OTHER).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialect_is_known_by_its_media_type() {
        for (content_type, dialect) in [
            ("application/grpc", Some(Dialect::Native)),
            ("Application/gRPC+proto", Some(Dialect::Native)),
            ("application/grpc; x=y", Some(Dialect::Native)),
            ("application/grpc-web", Some(Dialect::Web)),
            ("application/grpc-web+proto", Some(Dialect::Web)),
            ("application/grpc-web-text", Some(Dialect::WebText)),
            ("application/grpc-web-text+proto", Some(Dialect::WebText)),
            ("application/grpcx", None),
            ("application/grpc-other", None),
            ("application/json", None),
            ("", None),
        ] {
            assert_eq!(Dialect::of(Some(content_type.as_bytes())), dialect, "{content_type}");
        }
        assert_eq!(Dialect::of(None), None);
    }

    #[test]
    fn a_message_is_printable_ascii_without_a_percent_sign() {
        assert_eq!(encoded("no such route"), "no such route");
        assert_eq!(encoded("100 % für\n~"), "100 %25 f%C3%BCr%0A~");
    }

    #[test]
    fn clients_of_grpc_get_what_they_would_make_of_the_status_themselves() {
        for (http, grpc) in
            [(400, 13), (401, 16), (403, 7), (404, 12), (418, 2), (429, 14), (431, 13), (502, 14), (503, 14), (504, 14)]
        {
            assert_eq!(Status::of(StatusCode::from_u16(http).unwrap()) as u8, grpc, "{http}");
        }
    }
}
