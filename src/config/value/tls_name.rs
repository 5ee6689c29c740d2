//! Names that certificates are checked for.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rustls::pki_types::ServerName;

use super::super::problem::shortened;

/// A name that a server's certificate must be for: a host's name, or an IP address (RFC 6125, RFC 5280 4.2.1.6).
///
/// Never one whose first label holds a `_` before two others: Pingora checks `a_b.example.com` as `a-b.example.com`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TlsName(String);

impl TlsName {
    /// A host's name, or an address without brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<IpAddr> for TlsName {
    fn from(ip: IpAddr) -> Self {
        Self(ip.to_string())
    }
}

impl FromStr for TlsName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = shortened(text, 60);
        let like = "write a host's name or an address that stands in the certificate, such as `users.internal`";
        if text.contains('*') {
            Err(format!("`{shown}` is a pattern, and one name is checked; {like}"))
        } else if is_changed_on_its_way(text) {
            Err(format!("`{shown}` has a `_` in its first label, which would be checked as a `-`; {like}"))
        } else if text.ends_with('.') || ServerName::try_from(text).is_err() {
            Err(format!("`{shown}` is no name that a certificate can be for; {like}"))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

/// What `replace_leftmost_underscore` of Pingora's TLS connector would make another name of.
fn is_changed_on_its_way(name: &str) -> bool {
    name.split_once('.').is_some_and(|(first, rest)| first.contains('_') && rest.contains('.'))
}

impl fmt::Display for TlsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_type!(TlsName, "a host's name or an address such as `users.internal`", {
    "type": "string",
    "minLength": 1,
    "description": "A host's name or an IP address that the server's certificate must be for.",
    "examples": ["users.internal", "192.0.2.7"],
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_hosts_or_an_address() {
        for text in ["users.internal", "localhost", "192.0.2.7", "::1", "a_b.c", "a.b_c.d", "xn--bcher-kva.example"] {
            assert_eq!(text.parse::<TlsName>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_no_certificate_is_checked_for_is_refused() {
        for (text, words) in [
            ("*.example.com", "is a pattern"),
            ("a_b.example.com", "would be checked as a `-`"),
            ("users.internal:8443", "is no name"),
            ("[::1]", "is no name"),
            ("users.internal.", "is no name"),
            ("https://users.internal", "is no name"),
            ("a b", "is no name"),
            ("bücher.example", "is no name"),
            ("", "is no name"),
        ] {
            let why = text.parse::<TlsName>().unwrap_err();
            assert!(why.contains(words) && why.contains("such as `users.internal`"), "{text}: {why}");
        }
    }
}
