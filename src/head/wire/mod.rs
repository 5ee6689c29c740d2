//! What a client sends by HTTP/1, read strictly (RFC 9112) beside the parser that serves it.
//!
//! That parser mends much in silence: bare line feeds, spaces in a target, a length beside a coding, chunk sizes that are
//! none. What is mended has another meaning to whoever stands before the door. So every byte is read a second time, by
//! rules that leave one meaning only, and a request that breaks one is refused. This reader also knows exactly where
//! one request ends and the next begins.
//!
//! It stops at the first problem: nothing behind that has any meaning.

mod line;

use super::strict::HeadProblem;
use line::{Field, field, request_line, size, text};

/// What is wrong with a request on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireProblem {
    /// Something in its head.
    Head(HeadProblem),
    /// Its chunks, or what follows them.
    Body,
}

/// Header lines that Pingora reads; more are to it as bad as garbage. The head check has the exact limit.
const MOST_LINES: usize = 256;

/// Bytes of a header's name that the `http` crate takes.
const LONGEST_NAME: usize = 65_535;

/// Reads all that comes on one connection.
#[derive(Debug)]
pub struct Wire {
    /// How many bytes a head, the line before a chunk, or trailers may have.
    most_bytes: usize,
    at: At,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// Bytes of the head, chunk line or trailers that are being read, and of all that comes behind a problem.
    size: usize,
    head: Head,
    begun: u64,
    problem: Option<(u64, WireProblem)>,
}

/// Where in a message the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before it.
    Start,
    /// Behind the CR of an empty line before it (RFC 9112, 2.2).
    EmptyLine,
    RequestLine,
    Field,
    /// So much of a body is left.
    Body(u64),
    ChunkSize,
    /// So much of a chunk is left.
    Chunk(u64),
    ChunkEnd,
    Trailer,
    /// Behind a problem.
    Lost,
}

/// What a head says of its body, as far as it was read.
#[derive(Debug, Default)]
struct Head {
    is_http_10: bool,
    length: Option<u64>,
    is_chunked: bool,
    lines: usize,
}

impl Wire {
    /// A reader of a connection from its first byte. It takes heads, lines before chunks, and trailers of up to so many
    /// bytes.
    pub fn new(most_bytes: usize) -> Self {
        let (line, head) = (Vec::new(), Head::default());
        Self { most_bytes, at: At::Start, line, size: 0, head, begun: 0, problem: None }
    }

    /// How many messages have begun.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// What to refuse a head with that is not whole yet and too long to be read on.
    pub fn is_endless(&self) -> Option<HeadProblem> {
        match self.problem {
            _ if self.size <= self.most_bytes => None,
            Some((_, WireProblem::Head(HeadProblem::TargetTooLong))) => Some(HeadProblem::TargetTooLong),
            _ => Some(HeadProblem::HeadersTooBig),
        }
    }

    /// The first problem, and in which message it stands, counted from 1.
    pub fn problem(&self) -> Option<(u64, WireProblem)> {
        self.problem
    }

    /// These bytes came.
    pub fn saw(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() && self.at != At::Lost {
            rest = self.step(rest);
        }
        // A head can be endless behind a problem, too.
        self.size = self.size.saturating_add(rest.len());
    }

    /// Reads some of these bytes, and gives the others back.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        match (self.at, bytes[0]) {
            (At::Start, b'\r') => {
                self.at = At::EmptyLine;
                &bytes[1..]
            }
            (At::EmptyLine, b'\n') => {
                self.at = At::Start;
                &bytes[1..]
            }
            (At::Start, b'\n') | (At::EmptyLine, _) => {
                self.begin();
                self.fail(WireProblem::Head(HeadProblem::Line));
                bytes
            }
            (At::Start, _) => {
                self.begin();
                bytes
            }
            (At::Body(left), _) => self.skip(bytes, left, At::Body, At::Start),
            (At::Chunk(left), _) => self.skip(bytes, left, At::Chunk, At::ChunkEnd),
            _ => self.read_line(bytes),
        }
    }

    fn begin(&mut self) {
        self.begun += 1;
        self.head = Head::default();
        self.size = 0;
        self.at = At::RequestLine;
    }

    fn fail(&mut self, problem: WireProblem) {
        self.problem = Some((self.begun, problem));
        self.at = At::Lost;
        self.line = Vec::new();
    }

    fn skip<'a>(&mut self, bytes: &'a [u8], left: u64, within: fn(u64) -> At, behind: At) -> &'a [u8] {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left - length as u64;
        self.at = if left == 0 { behind } else { within(left) };
        &bytes[length..]
    }

    fn read_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        self.size = self.size.saturating_add(piece.len());
        if end.is_none() || !self.line.is_empty() {
            self.line.extend_from_slice(piece);
        }
        if self.size > self.most_bytes {
            self.fail(match self.at {
                At::RequestLine => WireProblem::Head(HeadProblem::TargetTooLong),
                At::Field => WireProblem::Head(HeadProblem::HeadersTooBig),
                _ => WireProblem::Body,
            });
        } else if end.is_some() {
            let kept = std::mem::take(&mut self.line);
            let line = if kept.is_empty() { piece } else { &kept };
            if let Err(problem) = self.note(line) {
                self.fail(problem);
            }
        }
        rest
    }

    fn note(&mut self, line: &[u8]) -> Result<(), WireProblem> {
        let in_head = matches!(self.at, At::RequestLine | At::Field);
        let problem = if in_head { WireProblem::Head(HeadProblem::Line) } else { WireProblem::Body };
        let line = text(line).ok_or(problem)?;
        self.at = match self.at {
            At::RequestLine => {
                self.head.is_http_10 = request_line(line).map_err(WireProblem::Head)?;
                At::Field
            }
            At::Field if line.is_empty() => self.end_of_head().map_err(WireProblem::Head)?,
            At::Field => {
                self.head.note(line).map_err(WireProblem::Head)?;
                At::Field
            }
            At::ChunkSize => {
                let size = size(line).ok_or(problem)?;
                self.size = 0;
                if size == 0 { At::Trailer } else { At::Chunk(size) }
            }
            At::ChunkEnd if line.is_empty() => {
                self.size = 0;
                At::ChunkSize
            }
            At::Trailer if line.is_empty() => At::Start,
            At::Trailer => match field(line) {
                Some(Field { frames: false, .. }) => At::Trailer,
                _ => return Err(problem),
            },
            _ => return Err(problem),
        };
        Ok(())
    }

    fn end_of_head(&mut self) -> Result<At, HeadProblem> {
        self.size = 0;
        match (self.head.is_chunked, self.head.length) {
            (true, Some(_)) => Err(HeadProblem::AmbiguousLength),
            (true, None) if self.head.is_http_10 => Err(HeadProblem::TransferEncodingTooOld),
            (true, None) => Ok(At::ChunkSize),
            (false, None | Some(0)) => Ok(At::Start),
            (false, Some(length)) => Ok(At::Body(length)),
        }
    }
}

impl Head {
    fn note(&mut self, line: &[u8]) -> Result<(), HeadProblem> {
        let field = field(line).ok_or(HeadProblem::Line)?;
        self.lines += 1;
        if self.lines > MOST_LINES {
            return Err(HeadProblem::TooManyHeaders);
        }
        if field.name.len() > LONGEST_NAME {
            return Err(HeadProblem::HeadersTooBig);
        }
        if field.is("content-length") {
            let length = field.length().filter(|_| self.length.is_none());
            self.length = Some(length.ok_or(HeadProblem::ContentLength)?);
        } else if field.is("transfer-encoding") {
            if self.is_chunked || !field.value.eq_ignore_ascii_case(b"chunked") {
                return Err(HeadProblem::TransferEncoding);
            }
            self.is_chunked = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
