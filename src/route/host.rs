//! Which hosts a route is for.

use std::fmt;
use std::net::Ipv6Addr;

use thiserror::Error;

use crate::head::host::{self, HostProblem};

/// A host, or all hosts below one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This one, normalised.
    Exact(Box<str>),
    /// Those below this one at any depth, but not itself; normalised, without `*.`.
    Below(Box<str>),
}

/// What is wrong with a host pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HostPatternProblem {
    /// Nothing at all.
    #[error("a host is missing here; leave `hosts` out for every host")]
    Empty,
    /// `*` alone.
    #[error("`*` is every host; leave `hosts` out for that")]
    Every,
    /// `*` elsewhere than as the first label.
    #[error("`*` can only be the first label, as in `*.example.com`")]
    Star,
    /// `.example.com`.
    #[error("a host does not begin with a dot; write `*.{0}` for those below `{0}`, and `{0}` beside it for itself")]
    Dot(String),
    /// `http://host`, `user@host`, `host:80`.
    #[error("a host stands here without its {what}; write `{host}`")]
    More {
        /// What stands there besides.
        what: &'static str,
        /// The host alone.
        host: String,
    },
    /// `host/path`.
    #[error("a host stands here without a path; write `{host}`, and the path under `path`")]
    Path {
        /// The host alone.
        host: String,
    },
    /// `::1`.
    #[error("an IPv6 address stands in brackets; write `\"[{0}]\"`")]
    Unbracketed(Ipv6Addr),
    /// A name beyond ASCII.
    #[error("clients send a name beyond ASCII in its ASCII form (punycode); write that, as in `xn--bcher-kva.example`")]
    NotAscii,
    /// A character that no host has.
    #[error("a host has letters, digits, `-`, `_` and dots, and `{0}` is none of them; write one host for each item")]
    Character(char),
    /// No host at all.
    #[error("{0}")]
    Host(#[from] HostProblem),
}

impl HostPattern {
    /// Reads `api.example.com`, `[::1]` or `*.example.com`. Case and a final dot do not matter.
    ///
    /// # Errors
    /// If it is none of these.
    pub fn parse(text: &str) -> Result<Self, HostPatternProblem> {
        match text {
            "" => return Err(HostPatternProblem::Empty),
            "*" => return Err(HostPatternProblem::Every),
            text if !text.is_ascii() => return Err(HostPatternProblem::NotAscii),
            text => check_extras(text)?,
        }
        let (name, is_suffix) = match text.strip_prefix("*.") {
            Some(suffix) => (suffix, true),
            None => (text, false),
        };
        if name.contains('*') || (is_suffix && name.starts_with('[')) {
            return Err(HostPatternProblem::Star);
        }
        let host = host::normalise(name.as_bytes()).map_err(|problem| match problem {
            HostProblem::Illegal | HostProblem::Port => unlike_a_host(name, problem),
            other => HostPatternProblem::Host(other),
        })?;
        Ok(if is_suffix { Self::Below(host.into()) } else { Self::Exact(host.into()) })
    }

    /// Whether it takes in a normalised host.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            Self::Below(suffix) => host
                .strip_suffix(&**suffix)
                .and_then(|start| start.strip_suffix('.'))
                .is_some_and(|label| !label.is_empty()),
        }
    }

    /// Orders the patterns that match one host: the greater, the more specific.
    pub(super) fn rank(&self) -> usize {
        match self {
            Self::Exact(_) => usize::MAX,
            Self::Below(suffix) => suffix.len(),
        }
    }

    /// A host that it takes in.
    pub(super) fn example(&self) -> String {
        match self {
            Self::Exact(name) => name.to_string(),
            Self::Below(suffix) => format!("www.{suffix}"),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

/// What may stand around a host elsewhere, but not here. Says what is left without it, if that is a host.
fn check_extras(text: &str) -> Result<(), HostPatternProblem> {
    if let Ok(address) = text.parse() {
        return Err(HostPatternProblem::Unbracketed(address));
    }
    let without_scheme = text.split_once("://").map(|(_, rest)| rest);
    let url = without_scheme.unwrap_or(text);
    let (authority, path) = url.split_at(url.find(['/', '?', '#']).unwrap_or(url.len()));
    let (user, server) = authority.rsplit_once('@').map_or((None, authority), |(user, server)| (Some(user), server));
    let colon = server.rfind(':').filter(|colon| !server[*colon..].contains(']'));
    let Some(host) = without_extras(&server[..colon.unwrap_or(server.len())]) else {
        return Ok(());
    };
    let more = |what| Err(HostPatternProblem::More { what, host: host.clone() });
    match (path, without_scheme, user, colon) {
        ("" | "/", Some(_), ..) => more("scheme"),
        ("", None, Some(_), _) => more("user"),
        ("", None, None, Some(_)) => more("port"),
        ("", None, None, None) => match host.strip_prefix('.') {
            Some(below) => Err(HostPatternProblem::Dot(below.to_owned())),
            None => Ok(()),
        },
        _ => Err(HostPatternProblem::Path { host }),
    }
}

/// A pattern's own spelling, with a dot before it if it has one; `None` if there is no pattern in it.
fn without_extras(host: &str) -> Option<String> {
    let (dot, name) = host.strip_prefix('.').map_or(("", host), |name| (".", name));
    let (star, name) = name.strip_prefix("*.").map_or(("", name), |name| ("*.", name));
    if !dot.is_empty() && !star.is_empty() {
        return None;
    }
    let name = host::normalise(name.as_bytes()).ok()?;
    Some(format!("{dot}{star}{name}"))
}

fn unlike_a_host(name: &str, problem: HostProblem) -> HostPatternProblem {
    let is_known = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.chars().find(|c| !is_known(c)).map_or(problem.into(), HostPatternProblem::Character)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_suffix_takes_in_any_depth_but_not_itself() {
        let pattern = HostPattern::parse("*.Example.com.").unwrap();
        assert_eq!(pattern.to_string(), "*.example.com");
        for host in ["a.example.com", "a.b.example.com"] {
            assert!(pattern.matches(host));
        }
        for host in ["example.com", "badexample.com", ".example.com", "example.com.a"] {
            assert!(!pattern.matches(host), "{host}");
        }
        assert!(pattern.matches(&pattern.example()));
    }

    #[test]
    fn an_exact_host_takes_in_itself() {
        let pattern = HostPattern::parse("API.test").unwrap();
        assert!(pattern.matches("api.test") && !pattern.matches("x.api.test"));
        assert!(HostPattern::parse("[0::1]").unwrap().matches("[::1]"));
    }

    #[test]
    fn a_problem_says_what_to_write() {
        let more = |what, host: &str| HostPatternProblem::More { what, host: host.into() };
        let path = |host: &str| HostPatternProblem::Path { host: host.into() };
        for (text, expected) in [
            ("", HostPatternProblem::Empty),
            ("*", HostPatternProblem::Every),
            ("a.*", HostPatternProblem::Star),
            ("*a.test", HostPatternProblem::Star),
            ("*.*.test", HostPatternProblem::Star),
            ("*.[::1]", HostPatternProblem::Star),
            (".a.test", HostPatternProblem::Dot("a.test".into())),
            ("a.test:80", more("port", "a.test")),
            ("a.test:http", more("port", "a.test")),
            ("*.a.test:80", more("port", "*.a.test")),
            ("[::1]:80", more("port", "[::1]")),
            ("http://a.test", more("scheme", "a.test")),
            ("https://A.test:8443/", more("scheme", "a.test")),
            ("u@a.test", more("user", "a.test")),
            ("https://a.test/x", path("a.test")),
            ("a.test/x", path("a.test")),
            ("::1", HostPatternProblem::Unbracketed(Ipv6Addr::LOCALHOST)),
            ("bücher.test", HostPatternProblem::NotAscii),
            ("a.test, b.test", HostPatternProblem::Character(',')),
            ("a b", HostPatternProblem::Character(' ')),
            ("http://", HostPatternProblem::Character(':')),
            ("{tenant}.test", HostPatternProblem::Character('{')),
            ("*.", HostPatternProblem::Host(HostProblem::Empty)),
            ("a..b", HostPatternProblem::Host(HostProblem::EmptyLabel)),
        ] {
            assert_eq!(HostPattern::parse(text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_to_be_written_is_a_pattern() {
        for text in ["http://a.test", "*.a.test:80", "[0::1]:80", ".a.test", "::1", "a.test/x"] {
            let said = HostPattern::parse(text).unwrap_err().to_string();
            let better = said.split('`').nth(1).unwrap().trim_matches('"');
            assert!(HostPattern::parse(better).is_ok(), "{text}: {said}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[*.a:\\[\\]1]{0,10}|.*") {
            if let Ok(pattern) = HostPattern::parse(&text) {
                prop_assert!(pattern.matches(&pattern.example()));
                prop_assert_eq!(HostPattern::parse(&pattern.to_string()), Ok(pattern.clone()));
            }
        }
    }
}
