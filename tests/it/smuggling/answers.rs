//! The answers on a client's connection, one by one.

use std::collections::VecDeque;

use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;

/// A final answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// What the upstream says that it was asked for; `None` for an answer of the door's own.
    pub target: Option<String>,
    pub body: Vec<u8>,
    /// It is the last on its connection.
    pub closes: bool,
}

/// Reads them, as strictly as a client can.
pub struct Answers {
    stream: OwnedReadHalf,
    buffer: Vec<u8>,
    ended: bool,
    methods: VecDeque<String>,
}

impl Answers {
    /// Of a connection on which requests with these methods are sent.
    pub fn new(stream: OwnedReadHalf, methods: VecDeque<String>) -> Self {
        Self { stream, buffer: Vec::new(), ended: false, methods }
    }

    /// The next one; `None` at the end of the connection.
    pub async fn next(&mut self) -> Result<Option<Answer>, String> {
        loop {
            let Some(end) = self.find(b"\r\n\r\n").await else {
                return if self.buffer.is_empty() { Ok(None) } else { Err(self.odd("ends within a head")) };
            };
            let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
            let mut room = [httparse::EMPTY_HEADER; 256];
            let mut parsed = httparse::Response::new(&mut room);
            if !parsed.parse(&head).is_ok_and(|parsed| parsed.is_complete()) || is_odd(&head) {
                return Err(format!("the client got {}", head.escape_ascii()));
            }
            let status = parsed.code.unwrap_or_default();
            if (100..200).contains(&status) {
                continue;
            }
            let all = |name: &str| {
                let named = parsed.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
                named.map(|header| String::from_utf8_lossy(header.value).into_owned()).collect::<Vec<_>>()
            };
            let method = self.methods.pop_front();
            let closes = all("connection").iter().any(|value| value == "close");
            let target = all("x-target").pop();
            let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
            let body = if method.as_deref() == Some("HEAD") || matches!(status, 204 | 304) {
                Vec::new()
            } else {
                self.body(&lengths, &codings).await?
            };
            return Ok(Some(Answer { status, target, body, closes }));
        }
    }

    async fn body(&mut self, lengths: &[String], codings: &[String]) -> Result<Vec<u8>, String> {
        match (lengths, codings) {
            ([length], []) => {
                let length = length.parse().map_err(|_| self.odd("has a length that is none"))?;
                while self.buffer.len() < length && self.fill().await {}
                if self.buffer.len() < length {
                    return Err(self.odd("ends within a body"));
                }
                Ok(self.buffer.drain(..length).collect())
            }
            ([], [coding]) if coding == "chunked" => self.chunks().await,
            ([], []) => {
                while self.fill().await {}
                Ok(std::mem::take(&mut self.buffer))
            }
            _ => Err(format!("the client got doubtful framing: {lengths:?} {codings:?}")),
        }
    }

    async fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let Some(end) = self.find(b"\r\n").await else { return Err(self.odd("ends within chunks")) };
            let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
            let size = std::str::from_utf8(&line[..end]).ok().and_then(|line| usize::from_str_radix(line, 16).ok());
            let Some(size) = size else { return Err(format!("the client got the chunk size {}", line.escape_ascii())) };
            while self.buffer.len() < size + 2 && self.fill().await {}
            if self.buffer.get(size..size + 2) != Some(b"\r\n") {
                return Err(self.odd("has a chunk without end"));
            }
            body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// Where something stands in what comes next.
    async fn find(&mut self, what: &[u8]) -> Option<usize> {
        loop {
            if let Some(at) = self.buffer.windows(what.len()).position(|window| window == what) {
                return Some(at);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Reads more, if there is more. A reset is an end like any other.
    async fn fill(&mut self) -> bool {
        if !self.ended {
            self.ended = !matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..));
        }
        !self.ended
    }

    fn odd(&self, what: &str) -> String {
        format!("the client's connection {what}: {}", self.buffer.escape_ascii())
    }
}

/// Whether a head has lines that end in anything but CRLF, folded ones, or control bytes.
fn is_odd(head: &[u8]) -> bool {
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let is_control = |c: char| c.is_ascii_control() && c != '\t';
    text.split("\r\n").any(|line| line.contains(is_control) || line.starts_with([' ', '\t']))
}
