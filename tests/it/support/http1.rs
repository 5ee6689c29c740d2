//! HTTP/1 as bytes: heads, bodies and where they end. Both sides of a test read with it, and neither repairs anything.

use std::fmt;
use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Headers in the order and spelling in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first value of a header, whatever the case of its name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All values of a header, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    /// The names, in the order and case in which they came.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn from_parsed(parsed: &[httparse::Header<'_>]) -> Self {
        let text = |header: &httparse::Header<'_>| String::from_utf8_lossy(header.value).into_owned();
        Self(parsed.iter().map(|header| (header.name.to_owned(), text(header))).collect())
    }

    fn chunked(&self) -> bool {
        self.all("transfer-encoding").iter().any(|value| value.to_ascii_lowercase().ends_with("chunked"))
    }

    fn length(&self) -> Option<u64> {
        self.get("content-length").and_then(|value| value.parse().ok())
    }
}

/// A request as it came to an upstream. Displayed as [`echo`](super::echo) answers.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Which connection it came on, counted from 1.
    pub connection: usize,
    pub method: String,
    /// As it stands in the request's line.
    pub target: String,
    pub version: String,
    pub headers: Headers,
    /// The head, byte for byte.
    pub head: Bytes,
    /// Without framing; the first MiB of it.
    pub body: Vec<u8>,
    /// Of all the body that has come.
    pub body_length: u64,
    /// Whether the body has come to its end.
    pub complete: bool,
    pub trailers: Headers,
}

impl Seen {
    /// The first value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    pub(super) fn parse(connection: usize, head: Bytes) -> io::Result<Self> {
        let mut room = [httparse::EMPTY_HEADER; 256];
        let mut parsed = httparse::Request::new(&mut room);
        parsed.parse(&head).map_err(|error| broken(format!("a request's head ({error})")))?;
        Ok(Self {
            connection,
            method: parsed.method.unwrap_or_default().into(),
            target: parsed.path.unwrap_or_default().into(),
            version: format!("HTTP/1.{}", parsed.version.unwrap_or_default()),
            headers: Headers::from_parsed(parsed.headers),
            head: head.clone(),
            body: Vec::new(),
            body_length: 0,
            complete: false,
            trailers: Headers::default(),
        })
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} {}", self.method, self.target, self.version)?;
        for (name, value) in &self.headers.0 {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "\n{} bytes", self.body_length)
    }
}

/// A response, or as much of it as came.
#[derive(Debug, Clone, Default)]
pub struct Response {
    pub version: String,
    pub status: u16,
    pub reason: String,
    pub headers: Headers,
    /// Without its framing.
    pub body: Vec<u8>,
    pub trailers: Headers,
    /// The 1xx responses before it, in order.
    pub interim: Vec<Response>,
    /// Why there is no more of the body than this, where it should have gone on.
    pub broken: Option<io::ErrorKind>,
}

impl Response {
    /// The first value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The body, which must be UTF-8.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    /// Whether the connection ended before the body did, by a close or a reset.
    pub fn truncated(&self) -> bool {
        self.broken.is_some()
    }

    pub(super) fn parse(head: &[u8]) -> io::Result<Self> {
        let mut room = [httparse::EMPTY_HEADER; 256];
        let mut parsed = httparse::Response::new(&mut room);
        parsed
            .parse(head)
            .map_err(|error| broken(format!("the head {:?} ({error})", String::from_utf8_lossy(head))))?;
        Ok(Self {
            version: format!("HTTP/1.{}", parsed.version.unwrap_or_default()),
            status: parsed.code.unwrap_or_default(),
            reason: parsed.reason.unwrap_or_default().into(),
            headers: Headers::from_parsed(parsed.headers),
            ..Self::default()
        })
    }
}

/// One chunk as it stands on the wire.
pub fn encoded(chunk: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()
}

/// How the end of a body is known, and how much is left until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framing {
    /// This many bytes are left.
    Length(u64),
    /// In chunks; what is left of the one that is being read, `None` between two.
    Chunked(Option<u64>),
    /// Until the connection ends.
    Close,
}

impl Framing {
    /// Of a request's body.
    pub fn of_request(headers: &Headers) -> Self {
        if headers.chunked() { Self::Chunked(None) } else { Self::Length(headers.length().unwrap_or(0)) }
    }

    /// Of a response's body.
    pub fn of_response(method: &str, status: u16, headers: &Headers) -> Self {
        match status {
            _ if method == "HEAD" => Self::Length(0),
            101 => Self::Close,
            100..=199 | 204 | 304 => Self::Length(0),
            _ if headers.chunked() => Self::Chunked(None),
            _ => headers.length().map_or(Self::Close, Self::Length),
        }
    }
}

/// A reader that keeps what came too early.
#[derive(Debug)]
pub struct Reader<R> {
    pub inner: R,
    pub buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Over a stream of which nothing was read yet.
    pub fn new(inner: R) -> Self {
        Self { inner, buffer: BytesMut::new() }
    }

    /// Reads more; 0 at the end of the connection.
    pub async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(64 << 10);
        self.inner.read_buf(&mut self.buffer).await
    }

    /// Up to and with the empty line that ends a head. `None` where the connection ended before its first byte.
    pub async fn head(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                return Ok(Some(self.buffer.split_to(at + 4).freeze()));
            }
            if self.fill().await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(cut("a head")) };
            }
        }
    }

    /// The next bytes of a body, at most `limit`; `None` at its end. Trailers are added to `trailers`.
    ///
    /// An error of kind `UnexpectedEof` where the connection ended before the body.
    pub async fn body(
        &mut self,
        framing: &mut Framing,
        limit: u64,
        trailers: &mut Headers,
    ) -> io::Result<Option<Bytes>> {
        match framing {
            Framing::Length(0) => Ok(None),
            Framing::Length(left) => {
                let piece = self.piece(limit.min(*left)).await?.ok_or_else(|| cut("a body"))?;
                *left -= piece.len() as u64;
                Ok(Some(piece))
            }
            Framing::Close => self.piece(limit).await,
            Framing::Chunked(left) => {
                if left.is_none() {
                    let line = self.line().await?;
                    let size = line.split(';').next().unwrap_or_default().trim();
                    let size = u64::from_str_radix(size, 16).map_err(|_| broken(format!("the chunk size {line:?}")))?;
                    if size == 0 {
                        self.trailers(trailers).await?;
                        *framing = Framing::Length(0);
                        return Ok(None);
                    }
                    *left = Some(size);
                }
                let size = left.unwrap_or_default();
                let piece = self.piece(limit.min(size)).await?.ok_or_else(|| cut("a chunk"))?;
                let rest = size - piece.len() as u64;
                *framing = Framing::Chunked((rest > 0).then_some(rest));
                if rest == 0 && !self.line().await?.is_empty() {
                    return Err(broken("what follows a chunk".into()));
                }
                Ok(Some(piece))
            }
        }
    }

    async fn trailers(&mut self, trailers: &mut Headers) -> io::Result<()> {
        loop {
            let line = self.line().await?;
            match line.split_once(':') {
                Some((name, value)) => trailers.0.push((name.to_owned(), value.trim().to_owned())),
                None if line.is_empty() => return Ok(()),
                None => return Err(broken(format!("the trailer {line:?}"))),
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..at]).into_owned();
                self.buffer.advance(at + 2);
                return Ok(line);
            }
            if self.fill().await? == 0 {
                return Err(cut("a line"));
            }
        }
    }

    async fn piece(&mut self, limit: u64) -> io::Result<Option<Bytes>> {
        if self.buffer.is_empty() && self.fill().await? == 0 {
            return Ok(None);
        }
        let much = self.buffer.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(Some(self.buffer.split_to(much).freeze()))
    }
}

fn cut(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the connection ended within {what}"))
}

fn broken(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is malformed"))
}
