//! Patterns of paths, in the syntax of Go's `http.ServeMux` (1.22; net/http, "Patterns" and "Precedence").
//!
//! | pattern | matches |
//! |---|---|
//! | `/exact` | this path alone |
//! | `/below/` | `/below/` and every path below it, whose remainder is `rest` |
//! | `/users/{id}` | any one segment, if it is not empty |
//! | `/files/{rest...}` | the remainder, whatever its length; only as the last segment |
//! | `/x/{$}` | `/x/` alone |

use std::fmt;

use thiserror::Error;

use super::foreign;
use crate::head::Path;
use crate::head::path::PathProblem;

/// A pattern of paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    segments: Box<[Segment]>,
}

/// What a pattern wants of one segment of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// This one. Never empty.
    Literal(Box<str>),
    /// Any that is not empty.
    Wild(Box<str>),
    /// The empty one after a slash at the end: `{$}`.
    End,
    /// This one and all after it; `rest` where the pattern ends in a slash. Always the last.
    Rest(Box<str>),
}

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternProblem {
    /// It does not begin with `/`.
    #[error("a path begins with `/`; write `/{0}`")]
    NotAbsolute(String),
    /// No path is spelt so once it is canonical, so that it would never match.
    #[error("no canonical path is spelt so; write `{0}`")]
    NotCanonical(String),
    /// It could not be the path of a request.
    #[error("{0}")]
    Path(#[from] PathProblem),
    /// A wildcard as another router has it.
    #[error("`{piece}` is no wildcard here; write `{better}`")]
    Foreign {
        /// The first segment of that kind.
        piece: String,
        /// The whole path as it is written here.
        better: String,
    },
    /// A method, a host or a query beside the path; the keys to write in their place.
    #[error("only a path stands here; write {0}")]
    Elsewhere(String),
    /// `/x#y`.
    #[error("no request carries a `#`: browsers keep it and what follows; write `{0}`")]
    Fragment(String),
    /// `a{b}`.
    #[error("a wildcard is a whole segment, and `{0}` is more; write %7B and %7D for braces")]
    NotWhole(String),
    /// `{}` or `{a-b}`.
    #[error("`{0}` is no wildcard: a name has letters, digits and `_`, and does not begin with a digit")]
    Name(String),
    /// One name twice.
    #[error("the name `{0}` stands here twice")]
    Repeated(String),
    /// `{rest}` for one segment.
    #[error("`rest` is the name of a remainder; write `{{rest...}}`, or another name")]
    Reserved,
    /// Something after `{name...}` or `{$}`.
    #[error("nothing can come after `{0}`")]
    NotLast(String),
    /// More than 256 segments.
    #[error("a path has at most {MOST_SEGMENTS} segments here")]
    TooLong,
}

/// The most segments that a pattern may have: the look-up descends as deep.
const MOST_SEGMENTS: usize = 256;

/// How the paths that one pattern matches relate to those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The same paths.
    Equivalent,
    /// Some of the other's.
    MoreSpecific,
    /// The other's and more.
    MoreGeneral,
    /// Some paths in common, and each has some that the other has not.
    Overlaps,
    /// No path in common.
    Disjoint,
}

impl Relation {
    /// The relation seen from the other pattern.
    pub fn inverse(self) -> Self {
        match self {
            Self::MoreSpecific => Self::MoreGeneral,
            Self::MoreGeneral => Self::MoreSpecific,
            same => same,
        }
    }

    /// The relation of two patterns from those of their parts, as Go's `combineRelationships` does it.
    pub(super) fn and(self, next: Self) -> Self {
        match (self, next) {
            (Self::Disjoint, _) | (_, Self::Disjoint) => Self::Disjoint,
            (Self::Overlaps, _) | (_, Self::Overlaps) => Self::Overlaps,
            (Self::Equivalent, other) | (other, Self::Equivalent) => other,
            (first, second) if first == second => first,
            _ => Self::Overlaps,
        }
    }
}

impl Pattern {
    /// Reads a pattern. It has to be spelt as a canonical path is: another spelling would never match.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn parse(text: &str) -> Result<Self, PatternProblem> {
        if let Some(problem) = foreign::problem(text) {
            return Err(problem);
        }
        let Some(body) = text.strip_prefix('/') else {
            return Err(PatternProblem::NotAbsolute(text.to_owned()));
        };
        let pieces: Vec<&str> = body.split('/').collect();
        if pieces.len() > MOST_SEGMENTS {
            return Err(PatternProblem::TooLong);
        }
        for piece in pieces.iter().filter(|piece| piece.contains(['{', '}'])) {
            segment(piece)?;
        }
        check_spelling(&pieces)?;
        let mut segments = Vec::with_capacity(pieces.len());
        for (index, piece) in pieces.iter().enumerate() {
            let segment = segment(piece)?;
            let is_last = index + 1 == pieces.len();
            match &segment {
                Segment::Rest(_) | Segment::End if !is_last => {
                    return Err(PatternProblem::NotLast((*piece).to_owned()));
                }
                Segment::Wild(name) | Segment::Rest(name) if segments.iter().any(|s| name_of(s) == Some(name)) => {
                    return Err(PatternProblem::Repeated(name.to_string()));
                }
                _ => segments.push(segment),
            }
        }
        Ok(Self { text: text.into(), segments: segments.into() })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names that it captures, `rest` among them where it ends in a slash.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(name_of)
    }

    /// Whether it takes in a path.
    pub fn matches(&self, path: &Path) -> bool {
        self.takes(path.canonical())
    }

    /// How the paths that it matches relate to those of another pattern (Go's `comparePaths`).
    pub fn relation(&self, other: &Self) -> Relation {
        let (mine, theirs) = (&*self.segments, &*other.segments);
        let mut relation = Relation::Equivalent;
        for (mine, theirs) in mine.iter().zip(theirs) {
            relation = relation.and(compare(mine, theirs));
        }
        match mine.len().cmp(&theirs.len()) {
            std::cmp::Ordering::Equal => relation,
            // The longer one can only be within the shorter one's remainder.
            std::cmp::Ordering::Less if self.has_rest() => relation.and(Relation::MoreGeneral),
            std::cmp::Ordering::Greater if other.has_rest() => relation.and(Relation::MoreSpecific),
            _ => Relation::Disjoint,
        }
    }

    /// Whether it takes in a canonical path.
    pub(super) fn takes(&self, path: &str) -> bool {
        let mut rest = path.split('/').skip(1);
        for segment in &self.segments {
            let Some(piece) = rest.next() else {
                return false;
            };
            match segment {
                Segment::Literal(literal) if **literal != *piece => return false,
                Segment::Wild(_) if piece.is_empty() => return false,
                Segment::End if !piece.is_empty() => return false,
                Segment::Rest(_) => return true,
                _ => {}
            }
        }
        rest.next().is_none()
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(super) fn has_rest(&self) -> bool {
        matches!(self.segments.last(), Some(Segment::Rest(_)))
    }

    /// How many segments stand before the remainder; of an exact pattern all, but the empty one at the end.
    pub(super) fn prefix_segments(&self) -> usize {
        match self.segments.last() {
            Some(Segment::Rest(_) | Segment::End) => self.segments.len() - 1,
            _ => self.segments.len(),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn name_of(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Wild(name) | Segment::Rest(name) => Some(name),
        Segment::Literal(_) | Segment::End => None,
    }
}

/// Go's `compareSegments`.
fn compare(mine: &Segment, theirs: &Segment) -> Relation {
    match (mine, theirs) {
        (Segment::Rest(_), Segment::Rest(_)) | (Segment::Wild(_), Segment::Wild(_)) | (Segment::End, Segment::End) => {
            Relation::Equivalent
        }
        (Segment::Rest(_), _) | (Segment::Wild(_), Segment::Literal(_)) => Relation::MoreGeneral,
        (_, Segment::Rest(_)) | (Segment::Literal(_), Segment::Wild(_)) => Relation::MoreSpecific,
        (Segment::Literal(a), Segment::Literal(b)) if a == b => Relation::Equivalent,
        _ => Relation::Disjoint,
    }
}

fn segment(piece: &str) -> Result<Segment, PatternProblem> {
    if piece.is_empty() {
        return Ok(Segment::Rest("rest".into()));
    }
    if !piece.contains(['{', '}']) {
        return Ok(Segment::Literal(piece.into()));
    }
    let inner = piece.strip_prefix('{').and_then(|piece| piece.strip_suffix('}'));
    let Some(inner) = inner.filter(|inner| !inner.contains(['{', '}'])) else {
        return Err(PatternProblem::NotWhole(piece.to_owned()));
    };
    if inner == "$" {
        return Ok(Segment::End);
    }
    let (name, is_rest) = match inner.strip_suffix("...") {
        Some(name) => (name, true),
        None => (inner, false),
    };
    let is_identifier = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    match (is_identifier, is_rest) {
        (false, _) => Err(PatternProblem::Name(piece.to_owned())),
        (true, true) => Ok(Segment::Rest(name.into())),
        (true, false) if name == "rest" => Err(PatternProblem::Reserved),
        (true, false) => Ok(Segment::Wild(name.into())),
    }
}

/// Whether the text is canonical where it is literal.
fn check_spelling(pieces: &[&str]) -> Result<(), PatternProblem> {
    // What has braces is looked at later; here an ordinary segment stands in for it.
    let stand_in = |index: usize| format!("~wildcard{index}~");
    let mut path = String::new();
    for (index, piece) in pieces.iter().enumerate() {
        path.push('/');
        if piece.contains(['{', '}']) {
            path.push_str(&stand_in(index));
        } else {
            push_ascii(piece, &mut path);
        }
    }
    let spelt = pieces.iter().all(|piece| piece.is_ascii() && !piece.contains(' '));
    let canonical = Path::parse(&path)?;
    if spelt && canonical.canonical() == path {
        return Ok(());
    }
    let mut better = canonical.canonical().to_owned();
    for (index, piece) in pieces.iter().enumerate() {
        if piece.contains(['{', '}']) {
            better = better.replace(&stand_in(index), piece);
        }
    }
    Err(PatternProblem::NotCanonical(better))
}

/// Escapes what a path cannot hold though it is clear what is meant.
fn push_ascii(piece: &str, out: &mut String) {
    for byte in piece.bytes() {
        if byte.is_ascii() && byte != b' ' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Relation::*;
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    fn matches(text: &str, path: &str) -> bool {
        pattern(text).matches(&Path::parse(path).unwrap())
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        for path in ["/users/", "/users/7", "/users/7/x", "/users//"] {
            assert!(matches("/users/", path), "{path}");
        }
        for path in ["/users", "/usersX", "/"] {
            assert!(!matches("/users/", path), "{path}");
        }
        assert!(matches("/", "/") && matches("/", "/a/b"));
    }

    #[test]
    fn a_wildcard_is_one_segment_that_is_not_empty() {
        assert!(matches("/users/{id}", "/users/a%2Fb"));
        assert!(!matches("/users/{id}", "/users/"));
        assert!(!matches("/users/{id}", "/users/a/b"));
        assert!(matches("/users/{id}/", "/users/a/"));
    }

    #[test]
    fn a_remainder_may_be_empty() {
        assert!(matches("/files/{rest...}", "/files/"));
        assert!(matches("/files/{rest...}", "/files/a/b"));
        assert!(!matches("/files/{rest...}", "/files"));
    }

    #[test]
    fn a_dollar_is_the_slash_at_the_end() {
        assert!(matches("/x/{$}", "/x/") && !matches("/x/{$}", "/x") && !matches("/x/{$}", "/x/y"));
        assert!(matches("/{$}", "/") && !matches("/{$}", "/a"));
    }

    #[test]
    fn names_are_those_of_the_wildcards() {
        let names = |text: &str| pattern(text).variables().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(names("/a/{x}/{y_2}/"), ["x", "y_2", "rest"]);
        assert_eq!(names("/a/{x...}"), ["x"]);
        assert_eq!(names("/a/{$}"), [""; 0]);
    }

    #[test]
    fn the_prefix_of_an_exact_pattern_is_all_of_it() {
        for (text, expected) in [("/", 0), ("/a/", 1), ("/a/{x...}", 1), ("/a/{x}", 2), ("/a", 1), ("/a/{$}", 1)] {
            assert_eq!(pattern(text).prefix_segments(), expected, "{text}");
        }
    }

    #[test]
    fn a_problem_says_what_to_write() {
        for (text, expected) in [
            ("users", PatternProblem::NotAbsolute("users".into())),
            ("", PatternProblem::NotAbsolute(String::new())),
            ("/a//b", PatternProblem::NotCanonical("/a/b".into())),
            ("/a/../{x}/", PatternProblem::NotCanonical("/{x}/".into())),
            ("/%61/{x}", PatternProblem::NotCanonical("/a/{x}".into())),
            ("/a%2fb", PatternProblem::NotCanonical("/a%2Fb".into())),
            ("/a|b", PatternProblem::NotCanonical("/a%7Cb".into())),
            ("/é b", PatternProblem::NotCanonical("/%C3%A9%20b".into())),
            ("/a%zz", PatternProblem::Path(PathProblem::Escape)),
            ("/../a", PatternProblem::Path(PathProblem::AboveRoot)),
            ("/..;x/a", PatternProblem::Path(PathProblem::DotSegment)),
            ("/a#b", PatternProblem::Fragment("/a".into())),
            ("/a/*", PatternProblem::Foreign { piece: "*".into(), better: "/a/".into() }),
            ("GET /a", PatternProblem::Elsewhere("`methods: [GET]` and `path: /a`".into())),
            ("/a{b}", PatternProblem::NotWhole("a{b}".into())),
            ("/{a}{b}", PatternProblem::NotWhole("{a}{b}".into())),
            ("/{a", PatternProblem::NotWhole("{a".into())),
            ("/a}", PatternProblem::NotWhole("a}".into())),
            ("/{}", PatternProblem::Name("{}".into())),
            ("/{...}", PatternProblem::Name("{...}".into())),
            ("/{a-b}", PatternProblem::Name("{a-b}".into())),
            ("/{1a}", PatternProblem::Name("{1a}".into())),
            ("/{a}/{a}", PatternProblem::Repeated("a".into())),
            ("/{rest}", PatternProblem::Reserved),
            ("/{a...}/b", PatternProblem::NotLast("{a...}".into())),
            ("/{$}/b", PatternProblem::NotLast("{$}".into())),
        ] {
            assert_eq!(Pattern::parse(text).unwrap_err(), expected, "{text}");
        }
        assert_eq!(Pattern::parse(&"/a".repeat(257)).unwrap_err(), PatternProblem::TooLong);
        assert!(Pattern::parse(&"/a".repeat(256)).is_ok());
    }

    #[test]
    fn relations_are_as_go_documents_and_tests_them() {
        for (first, second, expected) in [
            ("/a", "/a", Equivalent),
            ("/a", "/ab", Disjoint),
            ("/a", "/b", Disjoint),
            ("/a", "/a/", Disjoint),
            ("/", "/a", MoreGeneral),
            ("/", "/", Equivalent),
            ("/a/", "/a/b", MoreGeneral),
            ("/a/b", "/a/b/", Disjoint),
            ("/{x}", "/a", MoreGeneral),
            ("/{x}", "/{y}", Equivalent),
            ("/{x}", "/{y...}", MoreSpecific),
            ("/{x}/", "/{y...}", MoreSpecific),
            ("/{x}", "/{$}", Disjoint),
            ("/a/{$}", "/a/", MoreSpecific),
            ("/a/{$}", "/a/{x}", Disjoint),
            ("/{$}", "/", MoreSpecific),
            ("/{x...}", "/", Equivalent),
            ("/a/{x...}", "/b/{y...}", Disjoint),
            ("/a/{x}", "/{y}/b", Overlaps),
            ("/a/{z}/{x...}", "/{z}/b/", Overlaps),
            ("/a/{z}/{m...}", "/{z}/b/{y...}", Overlaps),
            ("/a/{x}/b", "/a/{x}/{y...}", MoreSpecific),
            ("/a/", "/{x}/b", Overlaps),
            ("/a/", "/{x}/{$}", Overlaps),
            ("/a/", "/{x}", Disjoint),
            ("/b/{bucket}/o/{object...}", "/b/{b}/{verb}/default", Overlaps),
            ("/posts/latest", "/posts/{id}", MoreSpecific),
            ("/posts/{id}", "/{resource}/latest", Overlaps),
        ] {
            assert_eq!(pattern(first).relation(&pattern(second)), expected, "{first} and {second}");
            assert_eq!(pattern(second).relation(&pattern(first)), expected.inverse(), "{second} and {first}");
        }
    }

    fn some_pattern() -> impl Strategy<Value = String> {
        let middle = prop::sample::select(vec!["/a", "/b", "/{w}"]);
        let last = prop::sample::select(vec!["", "/", "/{$}", "/{m...}", "/a", "/{z}"]);
        (prop::collection::vec(middle, 0..3), last).prop_filter_map("valid", |(middle, last)| {
            let mut text = String::new();
            for (index, piece) in middle.iter().enumerate() {
                text.push_str(&piece.replace('w', &format!("w{index}")));
            }
            text.push_str(last);
            Pattern::parse(&text).is_ok().then_some(text)
        })
    }

    /// All paths of up to five segments, with one (`c`) that no pattern names.
    fn universe() -> Vec<String> {
        let mut paths = Vec::new();
        let mut stems = vec![String::new()];
        for _ in 0..4 {
            paths.extend(stems.iter().map(|stem| format!("{stem}/")));
            stems = stems.iter().flat_map(|stem| ["a", "b", "c"].map(|s| format!("{stem}/{s}"))).collect();
            paths.extend(stems.iter().cloned());
        }
        paths
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn relations_are_those_of_the_sets_of_paths(first in some_pattern(), second in some_pattern()) {
            let (first, second) = (pattern(&first), pattern(&second));
            let (mut both, mut only_first, mut only_second) = (false, false, false);
            for path in universe() {
                let (a, b) = (first.takes(&path), second.takes(&path));
                both |= a && b;
                only_first |= a && !b;
                only_second |= b && !a;
            }
            let expected = match (both, only_first, only_second) {
                (false, _, _) => Disjoint,
                (true, false, false) => Equivalent,
                (true, false, true) => MoreSpecific,
                (true, true, false) => MoreGeneral,
                (true, true, true) => Overlaps,
            };
            prop_assert_eq!(first.relation(&second), expected);
        }

        #[test]
        fn no_text_makes_it_panic(text in "/?[/{}a.$%é |;-]{0,14}|.*") {
            if let Err(PatternProblem::NotCanonical(better)) = Pattern::parse(&text) {
                prop_assert!(!matches!(Pattern::parse(&better), Err(PatternProblem::NotCanonical(_))), "{}", better);
            }
        }
    }
}
