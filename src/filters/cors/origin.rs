//! Origins as the file names them, and whether a page's is one of them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::head::host;

/// The origins of a `cors`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Origins {
    /// All of them.
    any: bool,
    /// Just these, as browsers write them.
    exact: BTreeSet<Box<[u8]>>,
    patterns: Vec<Pattern>,
}

/// `https://*.example.com:8443`, taken apart at its star.
#[derive(Debug, Clone, PartialEq)]
struct Pattern {
    /// `https://`
    before: Box<[u8]>,
    /// `.example.com:8443`
    after: Box<[u8]>,
}

impl Pattern {
    /// Whether one or more labels stand in the star's place, and nothing else does: no port, user or path.
    fn matches(&self, origin: &[u8]) -> bool {
        let labels = origin.strip_prefix(&*self.before).and_then(|rest| rest.strip_suffix(&*self.after));
        labels.is_some_and(|labels| {
            labels.split(|&byte| byte == b'.').all(|label| !label.is_empty() && label.iter().all(|&b| is_of_label(b)))
        })
    }
}

/// Browsers write hosts in small letters, and names beyond ASCII as `xn--…` (WHATWG URL, 3.3).
fn is_of_label(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')
}

impl Origins {
    /// Takes in one more, as it stands in the file.
    ///
    /// # Errors
    /// Why it is no origin.
    pub(super) fn add(&mut self, text: &str) -> Result<(), String> {
        match text {
            "*" => self.any = true,
            "null" => _ = self.exact.insert(Box::from(*b"null")),
            _ => match parse(text)? {
                Origin::Exact(origin) => _ = self.exact.insert(origin.into_bytes().into()),
                Origin::Pattern(pattern) => self.patterns.push(pattern),
            },
        }
        Ok(())
    }

    /// Whether all are allowed.
    pub(super) fn is_any(&self) -> bool {
        self.any
    }

    /// Whether there are others beside `*`.
    pub(super) fn has_others(&self) -> bool {
        !self.exact.is_empty() || !self.patterns.is_empty()
    }

    /// The one origin that this is, if it is just one.
    pub(super) fn only(&self) -> Option<&[u8]> {
        if self.any || !self.patterns.is_empty() || self.exact.len() != 1 {
            return None;
        }
        self.exact.first().map(|origin| &**origin)
    }

    /// Whether a page of this origin is allowed, byte by byte as the Fetch standard compares (4.9, CORS check): browsers
    /// have one spelling for each.
    pub(super) fn allow(&self, origin: &[u8]) -> bool {
        self.any || self.exact.contains(origin) || self.patterns.iter().any(|pattern| pattern.matches(origin))
    }
}

enum Origin {
    Exact(String),
    Pattern(Pattern),
}

fn parse(text: &str) -> Result<Origin, String> {
    let example = "write scheme and host, such as `https://app.example.com`";
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(format!("`{text}` is no origin: {example}"));
    };
    let scheme = scheme_of(scheme).ok_or_else(|| format!("`{text}` has no scheme: {example}"))?;
    if let Some(at) = rest.find(['/', '?', '#']) {
        let origin = &text[..text.len() - rest.len() + at];
        return Err(format!("`{text}` has a path, which an origin has not; write `{origin}`"));
    }
    let (name, port) = port_of(&scheme, rest).ok_or_else(|| format!("`{text}` has a port that is none"))?;
    if let Some(suffix) = name.strip_prefix("*.") {
        let suffix = host_of(suffix, text)?;
        let is_one_label = !suffix.contains('.') && suffix != "localhost";
        if is_one_label || is_address(&suffix) {
            return Err(format!("`{text}` is too wide; a pattern needs a domain, such as `https://*.example.com`"));
        }
        let (before, after) = (format!("{scheme}://"), format!(".{suffix}{port}"));
        return Ok(Origin::Pattern(Pattern { before: before.into_bytes().into(), after: after.into_bytes().into() }));
    }
    if name == "*" {
        return Err(format!("`{text}` matches every host; for all origins write `*`, without others beside it"));
    }
    if rest.contains('*') {
        return Err(format!(
            "`{text}` has a `*` where none can be; it may only stand for all labels before a domain, as in `https://*.example.com`"
        ));
    }
    Ok(Origin::Exact(format!("{scheme}://{}{port}", host_of(name, text)?)))
}

/// In small letters, as browsers write it; also an app's own, such as `capacitor`.
fn scheme_of(text: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let is_one = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(fits);
    is_one.then(|| text.to_ascii_lowercase())
}

/// The host, and `:port` unless it is the scheme's own, which browsers leave out.
fn port_of<'a>(scheme: &str, authority: &'a str) -> Option<(&'a str, Cow<'static, str>)> {
    let after_brackets = authority.rfind(']').unwrap_or(0);
    let Some(colon) = authority[after_brackets..].find(':').map(|at| at + after_brackets) else {
        return Some((authority, Cow::Borrowed("")));
    };
    let digits = &authority[colon + 1..];
    let port: u16 = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let own = matches!((scheme, port), ("http", 80) | ("https", 443));
    Some((&authority[..colon], if own { Cow::Borrowed("") } else { Cow::Owned(format!(":{port}")) }))
}

fn host_of(name: &str, text: &str) -> Result<String, String> {
    let odd = |why: String| format!("`{text}` is no origin: {why}");
    if name.ends_with('.') {
        return Err(odd("a host ends without a dot here".into()));
    }
    let normal = host::normalise(name.as_bytes()).map_err(|problem| odd(problem.to_string()))?;
    Ok(normal.into_owned())
}

fn is_address(suffix: &str) -> bool {
    suffix.starts_with('[') || suffix.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(texts: &[&str]) -> Origins {
        let mut origins = Origins::default();
        texts.iter().for_each(|text| origins.add(text).unwrap());
        origins
    }

    #[test]
    fn an_origin_is_scheme_host_and_port_in_the_spelling_of_browsers() {
        for (text, allowed) in [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.com:443", "https://app.example.com"),
            ("http://a.test:80", "http://a.test"),
            ("http://a.test:443", "http://a.test:443"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[0:0::1]:3000", "http://[::1]:3000"),
            ("http://127.0.0.1", "http://127.0.0.1"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("null", "null"),
        ] {
            let origins = origins(&[text]);
            assert!(origins.allow(allowed.as_bytes()), "{text}");
            assert_eq!(origins.only(), Some(allowed.as_bytes()), "{text}");
        }
        let one = origins(&["https://app.example.com"]);
        for other in [
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://example.com",
            "https://x.app.example.com",
            "https://app.example.com.evil.test",
            "https://evil-app.example.com",
            "https://app.example.com/",
            "https://APP.example.com",
            "null",
            "",
            "*",
        ] {
            assert!(!one.allow(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_pattern_stands_for_labels_of_any_depth_and_for_nothing_else() {
        let one = origins(&["https://*.example.com", "http://*.dev.test:3000"]);
        for origin in [
            "https://a.example.com",
            "https://a.b-c.d_e.example.com",
            "https://xn--bcher-kva.example.com",
            "http://x.dev.test:3000",
        ] {
            assert!(one.allow(origin.as_bytes()), "{origin}");
        }
        for origin in [
            "https://example.com",
            "https://.example.com",
            "https://a..example.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://aexample.com",
            "https://a.example.com.evil.test",
            "https://evil.test/.example.com",
            "https://evil.test:1.example.com",
            "https://evil.test#.example.com",
            "https://u@a.example.com",
            "https://A.example.com",
            "https://evil.test\\.example.com",
            "http://x.dev.test",
            "null",
            "https://",
        ] {
            assert!(!one.allow(origin.as_bytes()), "{origin}");
        }
        assert_eq!(one.only(), None);
    }

    #[test]
    fn what_is_no_origin_is_refused_with_what_to_write() {
        for (text, why) in [
            ("app.example.com", "is no origin"),
            ("https://a.test/", "has a path, which an origin has not; write `https://a.test`"),
            ("https://a.test/x?y", "write `https://a.test`"),
            ("https://a.test#x", "write `https://a.test`"),
            ("https://*", "matches every host"),
            ("https://*:8443", "matches every host"),
            ("https://*.com", "is too wide"),
            ("https://*.0.0.1", "is too wide"),
            ("https://a.*.com", "where none can be"),
            ("https://*a.test", "where none can be"),
            ("https://a.test:*", "has a port that is none"),
            ("*://a.test", "has no scheme"),
            ("*.example.com", "is no origin"),
            ("https://", "the host is empty"),
            ("https://u@a.test", "user information"),
            ("https://a.test:99999", "has a port that is none"),
            ("https://a.test:", "has a port that is none"),
            ("https://a.test.", "without a dot"),
            ("https://a b.test", "no host name has"),
            ("", "is no origin"),
        ] {
            let said = Origins::default().add(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
        origins(&["http://*.localhost:3000"]);
    }
}
