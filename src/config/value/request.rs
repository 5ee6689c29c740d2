//! The parts of a request that the door makes itself.

use std::str::FromStr;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, header};

use super::super::problem::shortened;

/// The path of a request, with a query or without: `/healthz`, `/healthz?deep=1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestPath(String);

impl RequestPath {
    /// As it stands in the file, and as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequestPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = shortened(text, 60);
        let like = "write it like `/healthz` or `/healthz?deep=1`";
        if !text.starts_with('/') {
            return Err(format!("`{shown}` is no path, since it does not start with `/`; {like}"));
        }
        if let Some(odd) = text.chars().find(|&c| !c.is_ascii_graphic() || c == '#') {
            return Err(format!("the path `{shown}` holds {odd:?}; percent-encode it, or {like}"));
        }
        match text.parse::<PathAndQuery>() {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(format!("the path `{shown}` holds what no path can; {like}")),
        }
    }
}

text_type!(RequestPath, "a path such as `/healthz`", {
    "type": "string",
    "pattern": "^/[!-\"$-~]*$",
    "description": "A path, with a query or without.",
    "examples": ["/healthz"],
});

/// The host that a request is for: `users.internal`, `users.internal:8080`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestHost(Authority);

impl RequestHost {
    /// As HTTP/1 has it in `Host`, and HTTP/2 in `:authority`.
    pub fn authority(&self) -> &Authority {
        &self.0
    }
}

impl FromStr for RequestHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<Authority>() {
            Ok(authority) if !text.contains('@') && !authority.host().is_empty() => Ok(Self(authority)),
            _ => Err(format!(
                "`{}` is no host; write it like `users.internal` or `users.internal:8080`",
                shortened(text, 60)
            )),
        }
    }
}

text_type!(RequestHost, "a host such as `users.internal`", {
    "type": "string",
    "description": "A host, with a port or without.",
    "examples": ["users.internal", "users.internal:8080"],
});

/// The name of a header that may be set freely: none that belongs to the message's framing or to the connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestHeaderName(HeaderName);

/// What the door writes itself, or what only has a meaning for one connection.
const OURS: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

impl RequestHeaderName {
    /// In small letters.
    pub fn name(&self) -> &HeaderName {
        &self.0
    }
}

// `HeaderName` has its own idea of order only through its text.
impl Ord for RequestHeaderName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

impl PartialOrd for RequestHeaderName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for RequestHeaderName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = shortened(text, 60);
        let name = HeaderName::from_bytes(text.as_bytes())
            .map_err(|_| format!("`{shown}` is no header's name; write it like `authorization`"))?;
        if name == header::HOST {
            return Err("the header `host` has a key of its own; write `host: users.internal`".to_owned());
        }
        if OURS.contains(&name) {
            return Err(format!(
                "`{shown}` belongs to the message's framing or connection, which the door writes itself"
            ));
        }
        Ok(Self(name))
    }
}

text_type!(RequestHeaderName, "a header's name such as `authorization`", {
    "type": "string",
    "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
    "description": "A header's name.",
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_sent_as_it_stands() {
        for text in ["/", "/healthz", "/a/b?x=1&y=%20"] {
            assert_eq!(text.parse::<RequestPath>().unwrap().as_str(), text);
        }
        for text in ["", "healthz", "http://x/", "/a b", "/a#b", "/é", "/a\r\nx: y", "*"] {
            assert!(text.parse::<RequestPath>().unwrap_err().contains("write it like `/healthz`"), "{text}");
        }
    }

    #[test]
    fn a_host_has_no_user_and_no_path() {
        for text in ["users.internal", "users.internal:8080", "[::1]:80"] {
            assert_eq!(text.parse::<RequestHost>().unwrap().authority().as_str(), text);
        }
        for text in ["", "a b", "u@h", "a/b", "http://x", ":80", "é"] {
            assert!(text.parse::<RequestHost>().unwrap_err().contains("is no host"), "{text}");
        }
    }

    #[test]
    fn a_header_that_frames_the_message_cannot_be_set() {
        assert_eq!("X-Check".parse::<RequestHeaderName>().unwrap().name(), "x-check");
        for (text, words) in [
            ("Host", "write `host: users.internal`"),
            ("Content-Length", "the door writes itself"),
            ("connection", "the door writes itself"),
            ("a b", "is no header's name"),
            ("", "is no header's name"),
        ] {
            let why = text.parse::<RequestHeaderName>().unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
    }
}
