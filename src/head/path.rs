//! The one path of a request: what is matched, filtered by and forwarded is the same, so that nobody behind the door
//! can read another path than the one that was let through.
//!
//! [`Path::parse`] takes the path part of a request target (no query) and makes it canonical, after RFC 3986, 6.2.2:
//! - escapes are validated; those of unreserved characters are decoded, all others kept as data with upper-case hex, so
//!   `%2F` and `%5C` never become separators;
//! - dot segments are resolved (RFC 3986, 5.2.4), encoded ones too, and repeated slashes are merged;
//! - `"`, `[`, `]`, `^`, `{`, `|` and `}`, which RFC 3986 does not allow but browsers and common tools send as they
//!   are, are escaped, so that both spellings are one path. `<`, `>` and `` ` `` are escaped by every browser, so raw
//!   ones are refused, and so is whatever else could be read in two ways: see [`PathProblem`].

use thiserror::Error;

/// A canonical path, and the client's own spelling of it where that may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    canonical: Box<str>,
    /// The client's spelling, if it differs in nothing but the encoding of unreserved characters.
    spelled: Option<Box<str>>,
}

/// Why a path is refused. Each of these gets a 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathProblem {
    /// Empty, or something else before the first slash.
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    /// More `..` than there are segments before them.
    #[error("the path climbs above its root")]
    AboveRoot,
    /// A control byte or NUL, raw or encoded: servers written in C end the path there.
    #[error("the path holds a control character")]
    Control,
    /// A raw backslash, which browsers and some servers read as a slash.
    #[error("the path holds a backslash; write %5C where it is data")]
    Backslash,
    /// A raw space, where lenient servers end the target.
    #[error("the path holds a space; write %20")]
    Space,
    /// A raw byte above 127: which encoding it is meant in cannot be known.
    #[error("the path holds a character that is not ASCII; percent-encode it")]
    NotAscii,
    /// `%` without two hexadecimal digits after it.
    #[error("the path holds a `%` that is not followed by two hexadecimal digits")]
    Escape,
    /// Another character that RFC 3986, 3.3 does not allow in a path.
    #[error("the path holds `{0}`, which has to be percent-encoded there")]
    Forbidden(char),
    /// A segment such as `..;x`, `..%2F`, `%252e%252e`: data to the door, a step upwards to some servers behind one.
    #[error("the path holds a segment that some servers would read as `.` or `..`")]
    DotSegment,
}

impl Path {
    /// Makes a path canonical.
    ///
    /// # Errors
    /// If it is malformed or could be read in two ways.
    pub fn parse(raw: &str) -> Result<Self, PathProblem> {
        if raw.as_bytes().first() != Some(&b'/') {
            return Err(PathProblem::NotAbsolute);
        }
        if is_plainly_canonical(raw.as_bytes()) {
            return Ok(Self { canonical: raw.into(), spelled: None });
        }
        let (canonical, faithful) = canonicalise(raw.as_bytes())?;
        let spelled = (faithful && canonical != raw).then(|| raw.into());
        Ok(Self { canonical: canonical.into(), spelled })
    }

    /// The canonical spelling: what is matched.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// What goes on to an upstream: the client's spelling if it differs from the canonical one in nothing but the
    /// encoding of unreserved characters, so that signatures over the path hold; else the canonical one.
    pub fn forwarded(&self) -> &str {
        self.spelled.as_deref().unwrap_or(&self.canonical)
    }

    /// The segments of the canonical spelling. A trailing slash has an empty one after it, so `/` is one empty segment.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.canonical.split('/').skip(1)
    }

    /// One segment of the forwarded spelling, which has as many as the canonical one. The first is 0.
    pub fn segment(&self, index: usize) -> Option<&str> {
        self.forwarded().split('/').nth(index.checked_add(1)?)
    }

    /// What of the forwarded spelling is below its first `segments` segments. Begins with `/`, and is `/` where
    /// nothing is left.
    pub fn below(&self, segments: usize) -> &str {
        let forwarded = self.forwarded();
        let mut slashes = forwarded.bytes().enumerate().filter(|(_, byte)| *byte == b'/');
        slashes.nth(segments).map_or("/", |(at, _)| &forwarded[at..])
    }
}

/// What a raw byte is in a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// `pchar` of RFC 3986, 3.3, but `%`.
    Plain,
    Slash,
    Percent,
    /// Escaped in the canonical spelling.
    Tolerated,
    Refused,
}

const CLASSES: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut table = [Class::Refused; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = match byte as u8 {
            b'/' => Class::Slash,
            b'%' => Class::Percent,
            b'"' | b'[' | b']' | b'^' | b'{' | b'|' | b'}' => Class::Tolerated,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' => Class::Plain,
            other if is_unreserved(other) => Class::Plain,
            _ => Class::Refused,
        };
        byte += 1;
    }
    table
}

/// RFC 3986, 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Most paths need no work, and this says so in one pass. `false` says nothing.
fn is_plainly_canonical(raw: &[u8]) -> bool {
    let mut after_slash = false;
    for byte in raw {
        match CLASSES[usize::from(*byte)] {
            Class::Plain if after_slash && *byte == b'.' => return false,
            Class::Plain => after_slash = false,
            Class::Slash if !after_slash => after_slash = true,
            _ => return false,
        }
    }
    true
}

/// The canonical spelling, and whether it differs from the raw one in nothing but the encoding of unreserved characters.
fn canonicalise(raw: &[u8]) -> Result<(String, bool), PathProblem> {
    let mut out = String::with_capacity(raw.len() + 8);
    let mut faithful = true;
    let mut segments = raw[1..].split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let start = out.len();
        out.push('/');
        faithful &= push_segment(segment, &mut out)?;
        let is_last = segments.peek().is_none();
        match &out[start + 1..] {
            "" if is_last => {}
            "" | "." => {
                faithful = false;
                out.truncate(start);
                close(&mut out, is_last);
            }
            ".." => {
                faithful = false;
                out.truncate(start);
                let parent = out.rfind('/').ok_or(PathProblem::AboveRoot)?;
                out.truncate(parent);
                close(&mut out, is_last);
            }
            other if is_dot_segment_to_some(other.as_bytes()) => return Err(PathProblem::DotSegment),
            _ => {}
        }
    }
    Ok((out, faithful))
}

/// A path whose last segment was resolved away is a directory's.
fn close(out: &mut String, is_last: bool) {
    if is_last {
        out.push('/');
    }
}

/// Appends a segment in its canonical spelling; says whether only unreserved characters were spelt otherwise.
fn push_segment(segment: &[u8], out: &mut String) -> Result<bool, PathProblem> {
    let mut faithful = true;
    let mut rest = segment;
    while let [byte, after @ ..] = rest {
        rest = after;
        match CLASSES[usize::from(*byte)] {
            Class::Plain => out.push(char::from(*byte)),
            Class::Percent => {
                let [high, low, after @ ..] = rest else {
                    return Err(PathProblem::Escape);
                };
                rest = after;
                let decoded = escaped(*high, *low).ok_or(PathProblem::Escape)?;
                if decoded.is_ascii_control() {
                    return Err(PathProblem::Control);
                }
                if is_unreserved(decoded) {
                    out.push(char::from(decoded));
                } else {
                    faithful &= !high.is_ascii_lowercase() && !low.is_ascii_lowercase();
                    push_escape(decoded, out);
                }
            }
            Class::Tolerated => {
                faithful = false;
                push_escape(*byte, out);
            }
            // No slash is left within a segment.
            Class::Slash | Class::Refused => return Err(refusal(*byte)),
        }
    }
    Ok(faithful)
}

fn refusal(byte: u8) -> PathProblem {
    match byte {
        b'\\' => PathProblem::Backslash,
        b' ' => PathProblem::Space,
        byte if byte.is_ascii_control() => PathProblem::Control,
        byte if byte.is_ascii() => PathProblem::Forbidden(char::from(byte)),
        _ => PathProblem::NotAscii,
    }
}

fn push_escape(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// The byte that two hexadecimal digits stand for.
pub(crate) fn escaped(high: u8, low: u8) -> Option<u8> {
    let high = char::from(high).to_digit(16)?;
    let low = char::from(low).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// Whether any server might take a canonical segment for `.` or `..`: one that decodes again, that decodes before it
/// splits at slashes or backslashes, that drops `;parameters`, or that ends a name at NUL, `?`, `#` or a space.
fn is_dot_segment_to_some(segment: &[u8]) -> bool {
    let has_escapes = segment.contains(&b'%');
    if !has_escapes && segment.first() != Some(&b'.') {
        return false;
    }
    let decoded = decode_wholly(segment);
    decoded.split(|byte| matches!(byte, b'/' | b'\\')).any(|part| {
        let part = part.trim_ascii_start();
        let is_end = |byte: &u8| matches!(byte, b';' | b'?' | b'#' | b' ') || byte.is_ascii_control();
        let end = part.iter().position(is_end).unwrap_or(part.len());
        matches!(&part[..end], b"." | b"..")
    })
}

/// Decodes until nothing is left to decode, in one pass: what an escape decodes to may complete an escape before it.
/// Overlong UTF-8 spellings of ASCII, by which old decoders were fooled, are undone, too.
fn decode_wholly(segment: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(segment.len());
    for byte in segment {
        out.push(*byte);
        loop {
            let (cut, decoded) = match out.as_slice() {
                [.., b'%', high, low] => match escaped(*high, *low) {
                    Some(decoded) => (3, decoded),
                    None => break,
                },
                [.., 0xe0, lead @ (0x80 | 0x81), byte @ 0x80..=0xbf] => (3, ((lead & 1) << 6) | (byte & 0x3f)),
                [.., lead @ (0xc0 | 0xc1), byte @ 0x80..=0xbf] => (2, ((lead & 1) << 6) | (byte & 0x3f)),
                _ => break,
            };
            out.truncate(out.len() - cut);
            out.push(decoded);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(raw: &str) -> String {
        Path::parse(raw).unwrap().canonical().to_owned()
    }

    fn problem(raw: &str) -> PathProblem {
        Path::parse(raw).unwrap_err()
    }

    #[test]
    fn a_canonical_path_stays_as_it_is() {
        for path in
            ["/", "/users/7", "/users/", "/a/b.c/d~e", "/a%2Fb", "/.well-known/x", "/a;v=1/b", "/...", "/caf%C3%A9"]
        {
            assert_eq!(canonical(path), path);
            assert_eq!(Path::parse(path).unwrap().forwarded(), path);
        }
    }

    #[test]
    fn dot_segments_and_slashes_are_resolved() {
        for (raw, expected) in [
            ("/a/../b", "/b"),
            ("/a/./b", "/a/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("//a///b//", "/a/b/"),
            ("//", "/"),
            ("/users/../orders/9", "/orders/9"),
            ("/a//../b", "/b"),
        ] {
            assert_eq!(canonical(raw), expected, "{raw}");
            assert_eq!(Path::parse(raw).unwrap().forwarded(), expected, "{raw}");
        }
    }

    #[test]
    fn reserved_escapes_are_data() {
        assert_eq!(canonical("/a%2fb"), "/a%2Fb");
        assert_eq!(canonical("/a%5cb"), "/a%5Cb");
        assert_eq!(canonical("/a%7cb"), canonical("/a|b"));
        assert_eq!(canonical("/%5B1%5D"), canonical("/[1]"));
    }

    #[test]
    fn the_clients_spelling_of_unreserved_characters_goes_on() {
        let path = Path::parse("/%61/%7euser/x%2F").unwrap();
        assert_eq!(path.canonical(), "/a/~user/x%2F");
        assert_eq!(path.forwarded(), "/%61/%7euser/x%2F");
        assert_eq!(path.segment(1), Some("%7euser"));
        assert_eq!(path.below(1), "/%7euser/x%2F");
        // Anything more than that, and the canonical one does.
        assert_eq!(Path::parse("/%61/x%2f").unwrap().forwarded(), "/a/x%2F");
        assert_eq!(Path::parse("/%61/./b").unwrap().forwarded(), "/a/b");
    }

    #[test]
    fn what_is_below_begins_with_a_slash() {
        let path = Path::parse("/users/7/x").unwrap();
        assert_eq!(path.below(0), "/users/7/x");
        assert_eq!(path.below(1), "/7/x");
        assert_eq!(path.below(3), "/");
        assert_eq!(path.below(usize::MAX), "/");
        assert_eq!(Path::parse("/users/").unwrap().below(1), "/");
        assert_eq!(path.segments().collect::<Vec<_>>(), ["users", "7", "x"]);
        assert_eq!(path.segment(usize::MAX), None);
    }

    #[test]
    fn each_refusal_has_its_reason() {
        for (raw, expected) in [
            ("", PathProblem::NotAbsolute),
            ("users", PathProblem::NotAbsolute),
            ("*", PathProblem::NotAbsolute),
            ("/..", PathProblem::AboveRoot),
            ("/a/../../b", PathProblem::AboveRoot),
            ("/%2e%2e/x", PathProblem::AboveRoot),
            ("/a%00", PathProblem::Control),
            ("/a%0d%0a", PathProblem::Control),
            ("/a\u{7f}", PathProblem::Control),
            ("/a\\b", PathProblem::Backslash),
            ("/a b", PathProblem::Space),
            ("/é", PathProblem::NotAscii),
            ("/%", PathProblem::Escape),
            ("/%4", PathProblem::Escape),
            ("/%zz", PathProblem::Escape),
            ("/%+1", PathProblem::Escape),
            ("/a<b", PathProblem::Forbidden('<')),
            ("/a?b", PathProblem::Forbidden('?')),
            ("/a#b", PathProblem::Forbidden('#')),
        ] {
            assert_eq!(problem(raw), expected, "{raw}");
        }
    }

    #[test]
    fn a_segment_that_some_server_reads_as_a_dot_segment_is_refused() {
        for segment in [
            "..;x",
            ".;x",
            ".;",
            "..%3Bx",
            "..%2f",
            "%2e%2e%2f",
            "%2e%2e%5c",
            "a%2F..%2Fb",
            "a%5C..",
            "%252e%252e",
            "%25252e%25252e",
            ".%252e",
            "..%20",
            "..%3F",
            "..%23x",
            "%c0%ae%c0%ae",
            "%e0%80%ae%e0%80%ae",
            "a%2F.",
            "..%2500",
        ] {
            assert_eq!(problem(&format!("/a/{segment}/b")), PathProblem::DotSegment, "{segment}");
        }
    }

    #[test]
    fn names_that_only_look_odd_pass() {
        for segment in ["...", "..a", ".a", "a..", "a;..", "a%2Fb", "%2F", "100%25", "a%20b", "%25zz"] {
            assert_eq!(canonical(&format!("/x/{segment}")), format!("/x/{segment}"));
        }
    }

    fn lenient_decode(text: &str) -> String {
        let (mut out, mut rest) = (Vec::new(), text.as_bytes());
        while let [byte, after @ ..] = rest {
            rest = after;
            match (byte, after) {
                (b'%', [high, low, after @ ..]) if escaped(*high, *low).is_some() => {
                    out.push(escaped(*high, *low).unwrap());
                    rest = after;
                }
                _ => out.push(*byte),
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn has_dot_segment(path: &str) -> bool {
        path.split(['/', '\\']).any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
    }

    fn tricky() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "/", "/", ".", "..", "%2e", "%2E", "%252e", "%25", "2e", "%2f", "%5c", ";", ";x", "a", "b", "%41", "%",
            "\\", "|", "//", "%20", "%00", "é", "%c0%ae", "?", "#",
        ]);
        prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    fn check(raw: &str) -> Result<(), TestCaseError> {
        let Ok(path) = Path::parse(raw) else {
            return Ok(());
        };
        let canonical = path.canonical();
        prop_assert!(canonical.starts_with('/') && !canonical.contains("//") && canonical.is_ascii());
        let once = lenient_decode(canonical);
        let twice = lenient_decode(&once);
        for spelling in [canonical, &once, &twice] {
            prop_assert!(!has_dot_segment(spelling), "{raw} is {canonical}, which is {spelling} to some");
        }
        let again = Path::parse(canonical).unwrap();
        prop_assert_eq!(again.canonical(), canonical);
        let again = Path::parse(path.forwarded()).unwrap();
        prop_assert_eq!(again.canonical(), canonical);
        let count = canonical.matches('/').count();
        prop_assert_eq!(path.forwarded().matches('/').count(), count);
        prop_assert_eq!(path.segments().count(), count);
        prop_assert!(path.segment(count - 1).is_some() && path.segment(count).is_none());
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn a_canonical_path_is_canonical_and_harmless(raw in tricky()) {
            check(&raw)?;
        }

        #[test]
        fn no_text_makes_it_panic(raw in ".*") {
            check(&raw)?;
        }
    }
}
