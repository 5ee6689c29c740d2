//! URLs of what the door itself asks something.

use std::fmt;
use std::str::FromStr;

use http::uri::PathAndQuery;

use super::super::problem::shortened;
use super::{EndpointAddress, UpstreamUrl};

/// `http://host[:port]/path?query` or `https://…`: what the door itself asks something, such as keys or a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceUrl {
    /// Where the service is.
    pub origin: UpstreamUrl,
    /// Path and query; `/` if the URL names none.
    pub target: PathAndQuery,
}

impl ServiceUrl {
    /// Whether nobody between the door and the service can read or change what they say: it is reached by TLS, or is on
    /// this machine by its address or as `localhost`.
    pub fn is_private(&self) -> bool {
        self.origin.tls
            || match &self.origin.address {
                EndpointAddress::Socket(address) => address.ip().is_loopback(),
                EndpointAddress::Name { host, .. } => host == "localhost",
                EndpointAddress::Unix(_) => true,
            }
    }
}

impl FromStr for ServiceUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = shortened(text, 80);
        let like = "write it like `https://id.example.com/jwks.json`";
        let authority = text.find("://").map_or(0, |at| at + "://".len());
        let end = text[authority..].find(['/', '?', '#']).map_or(text.len(), |at| authority + at);
        let (origin, target) = text.split_at(end);
        if target.contains('#') {
            return Err(format!("`{shown}` has a fragment, which no service ever sees; {like}"));
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self {
            origin: origin.parse()?,
            target: target.parse().map_err(|_| format!("`{shown}` has characters that no URL can have; {like}"))?,
        })
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.target)
    }
}

text_type!(ServiceUrl, "a URL such as `https://id.example.com/jwks.json`", {
    "type": "string",
    "pattern": "^https?://[^/?#@]+([/?][^#]*)?$",
    "description": "What the door asks: `https://host[:port]/path`, or `http://…` without TLS.",
    "examples": ["https://id.example.com/jwks.json"],
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_services_url_is_an_origin_and_a_target() {
        for (text, origin, target) in [
            ("https://id.test/jwks.json", "https://id.test", "/jwks.json"),
            ("http://127.0.0.1:8080/a/b?c=d/e", "http://127.0.0.1:8080", "/a/b?c=d/e"),
            ("https://id.test", "https://id.test", "/"),
            ("https://id.test?x=1", "https://id.test", "/?x=1"),
        ] {
            let url: ServiceUrl = text.parse().unwrap();
            assert_eq!((url.origin.as_str(), url.target.as_str()), (origin, target), "{text}");
        }
        for text in
            ["", "id.test/jwks", "ftp://id.test/a", "https://id.test/a#b", "https://u:p@id.test/", "https://x/\n"]
        {
            assert!(text.parse::<ServiceUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_tls_and_this_machine_are_private() {
        for (text, is_private) in [
            ("https://id.test/", true),
            ("http://127.0.0.1:8080/", true),
            ("http://[::1]/", true),
            ("http://localhost/", true),
            ("http://10.0.0.1/", false),
            ("http://id.test/", false),
            ("http://localhost.id.test/", false),
        ] {
            assert_eq!(text.parse::<ServiceUrl>().unwrap().is_private(), is_private, "{text}");
        }
    }
}
