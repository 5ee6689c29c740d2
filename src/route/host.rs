//! Which hosts a route is for.

use std::fmt;

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
    /// `*` alone.
    #[error("`*` is every host; leave `hosts` out for that")]
    Every,
    /// `*` elsewhere than as the first label.
    #[error("`*` can only be the first label, as in `*.example.com`")]
    Star,
    /// `host:80`.
    #[error("a host is matched without its port; write `{0}`")]
    Port(String),
    /// A name beyond ASCII.
    #[error("a name beyond ASCII comes in its `xn--` form; write that")]
    NotAscii,
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
        if text == "*" {
            return Err(HostPatternProblem::Every);
        }
        if !text.is_ascii() {
            return Err(HostPatternProblem::NotAscii);
        }
        let (name, is_suffix) = match text.strip_prefix("*.") {
            Some(suffix) => (suffix, true),
            None => (text, false),
        };
        if name.contains('*') {
            return Err(HostPatternProblem::Star);
        }
        let host = host::normalise(name.as_bytes())?;
        if name.rfind(':').is_some_and(|colon| !name[colon..].contains(']')) {
            let star = if is_suffix { "*." } else { "" };
            return Err(HostPatternProblem::Port(format!("{star}{host}")));
        }
        if is_suffix && host.starts_with('[') {
            return Err(HostPatternProblem::Star);
        }
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
        for (text, expected) in [
            ("*", HostPatternProblem::Every),
            ("a.*", HostPatternProblem::Star),
            ("*a.test", HostPatternProblem::Star),
            ("*.*.test", HostPatternProblem::Star),
            ("a.test:80", HostPatternProblem::Port("a.test".into())),
            ("*.a.test:80", HostPatternProblem::Port("*.a.test".into())),
            ("[::1]:80", HostPatternProblem::Port("[::1]".into())),
            ("bücher.test", HostPatternProblem::NotAscii),
            ("", HostPatternProblem::Host(HostProblem::Empty)),
            ("*.", HostPatternProblem::Host(HostProblem::Empty)),
            ("a/b", HostPatternProblem::Host(HostProblem::Illegal)),
        ] {
            assert_eq!(HostPattern::parse(text).unwrap_err(), expected, "{text}");
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
