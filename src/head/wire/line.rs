//! One line of a message, in the one spelling that means the same to everybody.

use crate::head::strict::{HeadProblem, holds_control, is_length, is_token};

/// A header or trailer.
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    /// Without the whitespace around it.
    pub(super) value: &'a [u8],
    /// As a trailer it would say where a message ends or whom it is for (RFC 9110, 6.5.1).
    pub(super) frames: bool,
}

impl Field<'_> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value as the length of a body.
    pub(super) fn length(&self) -> Option<u64> {
        std::str::from_utf8(self.value).ok().filter(|_| is_length(self.value))?.parse().ok()
    }
}

/// A line without its end, which has to be CRLF, and if it holds no control byte but tabs.
pub(super) fn text(line: &[u8]) -> Option<&[u8]> {
    line.strip_suffix(b"\r\n").filter(|line| !holds_control(line))
}

/// Checks a request line (RFC 9112, 3): three parts, one space between them. Gives whether it is HTTP/1.0.
///
/// What the target is, is for the head check to say; here it has to be the bytes that everybody takes for one.
pub(super) fn request_line(line: &[u8]) -> Result<bool, HeadProblem> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(HeadProblem::Target);
    };
    // From a `#` on Pingora would drop the target in silence.
    if target.is_empty() || !target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') {
        return Err(HeadProblem::Target);
    }
    if method.is_empty() || !method.iter().copied().all(is_token) {
        return Err(HeadProblem::Line);
    }
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        _ => Err(HeadProblem::Line),
    }
}

/// A header line (RFC 9112, 5): neither folded nor with a space before its colon.
pub(super) fn field(line: &[u8]) -> Option<Field<'_>> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = &line[..colon];
    if name.is_empty() || !name.iter().copied().all(is_token) {
        return None;
    }
    let field = Field { name, value: line[colon + 1..].trim_ascii(), frames: false };
    let frames = ["content-length", "transfer-encoding", "host"].iter().any(|name| field.is(name));
    Some(Field { frames, ..field })
}

/// The size of a chunk (RFC 9112, 7.1). Extensions are passed over: they end with the line, and mean nothing here.
pub(super) fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?;
    // A sign would be taken by the parser of numbers. Fewer digits than could overflow somebody's signed number.
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let size = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    i64::try_from(size).is_ok().then_some(size)
}
