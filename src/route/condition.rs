//! What a route further wants of headers and query parameters.

use std::borrow::Cow;
use std::fmt;

use http::HeaderName;
use regex::bytes::{Regex, RegexBuilder};
use thiserror::Error;

use crate::head::path::escaped;
use crate::head::{Head, Headers};

/// A condition on one header or one query parameter.
///
/// A header that is repeated counts as its values joined by `, ` (RFC 9110, 5.3); of a query parameter that is repeated
/// the first counts. Names and values of the query are compared percent-decoded, with `+` as a space, as forms
/// write them (WHATWG URL, 5.1).
#[derive(Debug, Clone)]
pub struct Condition {
    subject: Subject,
    test: Test,
}

/// What a condition is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Header(HeaderName),
    Query(Box<str>),
}

/// What a value has to be.
#[derive(Debug, Clone)]
pub struct Test(pub(super) Wanted);

#[derive(Debug, Clone)]
pub(super) enum Wanted {
    Exact(Box<str>),
    Prefix(Box<str>),
    /// As written, and compiled for whole values.
    Regex(Box<str>, Regex),
    Present(bool),
}

/// What is wrong with a regular expression.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegexProblem {
    /// It compiles to more than 1 MiB.
    #[error("the regular expression becomes too big; bound its repetitions")]
    TooBig,
    /// Its syntax is wrong; on one line, in the words of the `regex` crate.
    #[error("this is no regular expression: {0}")]
    Syntax(String),
}

/// What a compiled regular expression may take.
const REGEX_SIZE: usize = 1 << 20;

impl Test {
    /// Equal to this, byte for byte.
    pub fn exact(value: &str) -> Self {
        Self(Wanted::Exact(value.into()))
    }

    /// Begins with this.
    pub fn prefix(start: &str) -> Self {
        Self(Wanted::Prefix(start.into()))
    }

    /// Matches this regular expression (syntax of the `regex` crate) from beginning to end.
    ///
    /// # Errors
    /// If it is none, or becomes too big.
    pub fn regex(text: &str) -> Result<Self, RegexProblem> {
        // By itself first: `a)(b` only becomes an expression by being wrapped.
        compile(text)?;
        let regex = compile(&whole(text))?;
        Ok(Self(Wanted::Regex(text.into(), regex)))
    }

    /// There, whatever its value, or (`false`) not there.
    pub fn present(present: bool) -> Self {
        Self(Wanted::Present(present))
    }

    /// Whether a value, or its absence, is what is wanted.
    pub fn holds(&self, value: Option<&[u8]>) -> bool {
        match (&self.0, value) {
            (Wanted::Present(present), value) => *present == value.is_some(),
            (_, None) => false,
            (Wanted::Exact(text), Some(value)) => text.as_bytes() == value,
            (Wanted::Prefix(start), Some(value)) => value.starts_with(start.as_bytes()),
            (Wanted::Regex(_, regex), Some(value)) => regex.is_match(value),
        }
    }
}

fn compile(text: &str) -> Result<Regex, RegexProblem> {
    RegexBuilder::new(text).size_limit(REGEX_SIZE).dfa_size_limit(REGEX_SIZE).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => RegexProblem::TooBig,
        other => RegexProblem::Syntax(reason(text, &other.to_string())),
    })
}

/// The reason alone of a message that draws the expression over several lines, and the character that it points at.
fn reason(text: &str, message: &str) -> String {
    let reason = message.rsplit("error: ").next().unwrap_or(message);
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    let drawn = format!("    {text}\n");
    let pointer = message.split_once(&drawn).and_then(|(_, below)| below.lines().next()?.find('^'));
    match pointer.and_then(|column| column.checked_sub(4)) {
        Some(column) if !text.contains('\n') => format!("{reason} (at its character {})", column + 1),
        _ => reason,
    }
}

/// An expression for whole values. The line break ends a comment that `(?x)` may have begun, and is one that the
/// flag ignores; without the flag it would be a literal, so it stands there only where it is needed.
fn whole(text: &str) -> String {
    let plain = format!(r"\A(?:{text})\z");
    if compile(&plain).is_err() { format!("\\A(?:{text}\n)\\z") } else { plain }
}

impl Condition {
    /// On a header.
    pub fn header(name: HeaderName, test: Test) -> Self {
        Self { subject: Subject::Header(name), test }
    }

    /// On a query parameter, whose name is given decoded.
    pub fn query(name: &str, test: Test) -> Self {
        Self { subject: Subject::Query(name.into()), test }
    }

    /// Whether it holds for a request.
    pub fn holds(&self, head: &Head<'_>) -> bool {
        self.test.holds(self.subject.value(head).as_deref())
    }

    pub(super) fn subject(&self) -> &Subject {
        &self.subject
    }

    pub(super) fn test(&self) -> &Test {
        &self.test
    }

    /// Why it does not hold, in words; `None` if it does.
    pub(super) fn failure(&self, head: &Head<'_>) -> Option<String> {
        let value = self.subject.value(head);
        if self.test.holds(value.as_deref()) {
            return None;
        }
        let subject = &self.subject;
        let Some(value) = value else {
            return Some(format!("{subject} is missing"));
        };
        let value = value.escape_ascii();
        Some(match &self.test.0 {
            Wanted::Exact(text) => format!("{subject} is `{value}`, not `{text}`"),
            Wanted::Prefix(text) => format!("{subject} is `{value}`, which does not begin with `{text}`"),
            Wanted::Regex(text, _) => format!("{subject} is `{value}`, which does not match `{text}`"),
            Wanted::Present(_) => format!("{subject} is there, and must not be"),
        })
    }
}

impl Subject {
    fn value<'a>(&self, head: &Head<'a>) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Header(name) => header_value(head.headers, name),
            Self::Query(name) => query_value(head.query?, name),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Query(name) => write!(f, "query parameter {name}"),
        }
    }
}

fn header_value<'a>(headers: &'a dyn Headers, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
    let mut joined: Option<Cow<'a, [u8]>> = None;
    headers.all(name, &mut |value| match &mut joined {
        None => joined = Some(Cow::Borrowed(value)),
        Some(before) => {
            let before = before.to_mut();
            before.extend_from_slice(b", ");
            before.extend_from_slice(value);
        }
    });
    joined
}

fn query_value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, [u8]>> {
    query.split('&').filter(|pair| !pair.is_empty()).find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (*decoded(key) == *name.as_bytes()).then(|| decoded(value))
    })
}

/// Undoes percent-encoding and `+`; a `%` that begins no escape stays.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text.as_bytes());
    }
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, beyond @ ..]) if let Some(byte) = escaped(*high, *low) => {
                out.push(byte);
                rest = beyond;
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(*byte),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};
    use proptest::prelude::*;

    use super::*;
    use crate::head::Path;

    fn on(headers: &[&str], query: &str, condition: &Condition) -> (bool, Option<String>) {
        let mut map = HeaderMap::new();
        for value in headers {
            map.append("x-v", HeaderValue::from_str(value).unwrap());
        }
        let path = Path::parse("/").unwrap();
        let head = Head { method: &Method::GET, host: "a", path: &path, query: Some(query), headers: &map };
        (condition.holds(&head), condition.failure(&head))
    }

    fn header(test: Test) -> Condition {
        Condition::header(HeaderName::from_static("x-v"), test)
    }

    #[test]
    fn a_repeated_header_counts_as_its_values_joined() {
        assert!(on(&["a", "b"], "", &header(Test::exact("a, b"))).0);
        assert!(!on(&["a", "b"], "", &header(Test::exact("a"))).0);
        assert!(on(&["a", "b"], "", &header(Test::prefix("a"))).0);
    }

    #[test]
    fn the_first_of_a_repeated_parameter_counts_decoded() {
        let is = |query: &str, value: &str| on(&[], query, &Condition::query("a b", Test::exact(value))).0;
        assert!(is("a+b=1&a%20b=2", "1"));
        assert!(is("x=1&&a%20b=%C3%A9+%2B", "é +"));
        assert!(is("a+b", ""));
        assert!(is("a+b=100%", "100%"));
        assert!(!is("a%2Bb=1", "1"));
    }

    #[test]
    fn a_regex_is_about_the_whole_value() {
        let is = |text: &str, value: &str| on(&[value], "", &header(Test::regex(text).unwrap())).0;
        assert!(is("a|ab", "ab") && is("v[0-9]+", "v12") && !is("v[0-9]+", "v12x") && !is("v", "av"));
        assert!(is("(?x) a b # both", "ab"));
        assert!(is("^a$", "a") && is("", "") && is(r"\d", "7"));
    }

    #[test]
    fn a_bad_or_huge_regex_is_refused() {
        assert!(matches!(Test::regex("a)(b"), Err(RegexProblem::Syntax(_))));
        assert!(matches!(Test::regex("("), Err(RegexProblem::Syntax(_))));
        assert_eq!(Test::regex(r"(\w{100}){100}").unwrap_err(), RegexProblem::TooBig);
    }

    #[test]
    fn what_is_wrong_with_a_regex_is_said_on_one_line() {
        let said = |text: &str| Test::regex(text).unwrap_err().to_string();
        for (text, expected) in [
            ("é[0-9", "unclosed character class (at its character 2)"),
            ("*", "repetition operator missing expression (at its character 1)"),
            ("a(", "unclosed group (at its character 2)"),
            ("a)(b", "unopened group (at its character 2)"),
            ("a\n[0-9", "unclosed character class"),
            ("a(?=b)", "look-around, including look-ahead and look-behind, is not supported (at its character 2)"),
        ] {
            assert_eq!(said(text), format!("this is no regular expression: {expected}"));
        }
    }

    #[test]
    fn a_failure_is_told_in_words() {
        for (headers, test, expected) in [
            (&["2"][..], Test::exact("1"), "header x-v is `2`, not `1`"),
            (&[], Test::exact("1"), "header x-v is missing"),
            (&["2"], Test::present(false), "header x-v is there, and must not be"),
            (&["2"], Test::prefix("a"), "header x-v is `2`, which does not begin with `a`"),
            (&["2"], Test::regex("a+").unwrap(), "header x-v is `2`, which does not match `a+`"),
        ] {
            assert_eq!(on(headers, "", &header(test)), (false, Some(expected.into())));
        }
        assert_eq!(on(&[], "", &header(Test::present(false))), (true, None));
        let failure = on(&[], "", &Condition::query("q", Test::present(true))).1.unwrap();
        assert_eq!(failure, "query parameter q is missing");
    }

    proptest! {
        #[test]
        fn no_regex_and_no_query_make_it_panic(text in ".{0,12}", query in "[a=&%+2e]{0,12}|.*") {
            if let Err(problem) = Test::regex(&text) {
                prop_assert!(!problem.to_string().contains('\n'));
            }
            on(&[], &query, &Condition::query("a", Test::exact("e")));
        }
    }
}
