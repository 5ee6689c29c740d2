//! What a scripted upstream does with a request: replies, well-formed or not, and gates that hold them.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use tokio::sync::watch;

use super::http1::Seen;
use super::within;

/// A gate in a script, which the test opens. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<watch::Sender<(usize, bool)>>);

impl Gate {
    /// A closed one.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new((0, false))))
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.0.send_modify(|(_, open)| *open = true);
    }

    /// Resolves when a script stands before the gate, or has gone through it.
    #[track_caller]
    pub fn reached(&self) -> impl Future<Output = ()> {
        let mut state = self.0.subscribe();
        within("a script at its gate", async move { drop(state.wait_for(|(reached, _)| *reached > 0).await) })
    }

    pub(super) async fn pass(&self) {
        self.0.send_modify(|(reached, _)| *reached += 1);
        // The sender is alive: it is ours.
        drop(self.0.subscribe().wait_for(|(_, open)| *open).await);
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// What becomes of the request's body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reading {
    /// Read before the reply.
    First,
    /// Read after the reply.
    After,
    /// Never read, so that who sends it is stalled.
    Never,
    /// This many bytes of it are read.
    Exactly(u64),
}

#[derive(Debug, Clone)]
pub(super) enum Piece {
    Data(Bytes),
    Filler(u64),
    Wait(Gate),
    /// The request's body, as it comes.
    Mirror,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ending {
    /// The next request is awaited.
    Keep,
    Close,
    Reset,
    /// Nothing more comes, until the peer goes.
    Silence,
    /// Whatever comes is sent back, until the peer ends.
    Tunnel,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Coding {
    Length,
    Chunked,
    UntilClose,
}

/// What an upstream does with one request, step by step.
#[derive(Debug, Clone)]
pub struct Reply {
    /// `None`: the pieces are all there is.
    pub(super) status: Option<u16>,
    pub(super) reason: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) before: Vec<Piece>,
    pub(super) coding: Coding,
    pub(super) pieces: Vec<Piece>,
    pub(super) trailers: Vec<(String, String)>,
    pub(super) reading: Reading,
    pub(super) ending: Ending,
}

/// A response with this status, and without a body so far.
pub fn reply(status: u16) -> Reply {
    let known = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    Reply {
        status: Some(status),
        reason: known.unwrap_or("Unknown").into(),
        headers: Vec::new(),
        before: Vec::new(),
        coding: Coding::Length,
        pieces: Vec::new(),
        trailers: Vec::new(),
        reading: Reading::First,
        ending: Ending::Keep,
    }
}

/// These bytes instead of a response; half a head with [`then_silence`](Reply::then_silence), for example.
pub fn raw(bytes: impl Into<Bytes>) -> Reply {
    Reply { status: None, pieces: vec![Piece::Data(bytes.into())], ..reply(200) }
}

/// These bytes, then an orderly close.
pub fn raw_then_close(bytes: impl Into<Bytes>) -> Reply {
    raw(bytes).then_close()
}

/// These bytes, then a reset, which may overtake them.
pub fn raw_then_reset(bytes: impl Into<Bytes>) -> Reply {
    raw(bytes).then_reset()
}

/// Reads the request and never answers.
pub fn silence() -> Reply {
    raw("").then_silence()
}

/// Bytes that are no HTTP, then a close.
pub fn garbage() -> Reply {
    raw_then_close(&b"\x16\x03\x01\x00\xff\x00 this is no HTTP \xfe\r\n\r\n"[..])
}

/// 200, with the request as text: its line, its headers in order, an empty line, `N bytes`.
pub fn echo() -> Script {
    Script::made(|seen| reply(200).header("content-type", "text/plain").body(seen.to_string()))
}

/// 200, with the request's body as it comes, in chunks.
pub fn mirror() -> Reply {
    let mirror = reply(200).piece(Piece::Mirror);
    Reply { coding: Coding::Chunked, reading: Reading::After, ..mirror }
}

/// 101 to this protocol, and from then on all bytes come back as they are.
pub fn upgrade(protocol: &str) -> Reply {
    let switched = reply(101).header("connection", "upgrade").header("upgrade", protocol);
    Reply { ending: Ending::Tunnel, ..switched }
}

impl Reply {
    /// Instead of the status's usual phrase.
    #[must_use]
    pub fn reason(mut self, reason: &str) -> Self {
        self.reason = reason.into();
        self
    }

    /// Another header, after those before it.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// More of a body whose `Content-Length` is known.
    #[must_use]
    pub fn body(self, bytes: impl Into<Bytes>) -> Self {
        self.piece(Piece::Data(bytes.into()))
    }

    /// This many bytes of body, made while they are sent.
    #[must_use]
    pub fn filler(self, length: u64) -> Self {
        self.piece(Piece::Filler(length))
    }

    /// One more chunk, which makes the body a chunked one.
    #[must_use]
    pub fn chunk(mut self, bytes: impl Into<Bytes>) -> Self {
        self.coding = Coding::Chunked;
        self.piece(Piece::Data(bytes.into()))
    }

    /// A trailer behind a chunked body.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.into(), value.into()));
        self
    }

    /// Neither length nor chunks: the body ends with the connection.
    #[must_use]
    pub fn until_close(mut self) -> Self {
        self.coding = Coding::UntilClose;
        self.then_close()
    }

    /// Stands here, between what was said before and what is said next, until the gate is opened. Before any body
    /// the head has been sent; see [`hold`](Self::hold).
    #[must_use]
    pub fn wait(self, gate: &Gate) -> Self {
        self.piece(Piece::Wait(gate.clone()))
    }

    /// Sends nothing, not even the head, until the gate is opened.
    #[must_use]
    pub fn hold(mut self, gate: &Gate) -> Self {
        self.before.push(Piece::Wait(gate.clone()));
        self
    }

    /// A 1xx before the response, with these headers.
    #[must_use]
    pub fn interim(mut self, status: u16, headers: &[(&str, &str)]) -> Self {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.before.push(Piece::Data(format!("HTTP/1.1 {status} Interim\r\n{headers}\r\n").into()));
        self
    }

    /// Claims this length whatever the body is. Where the body is shorter, say what comes then:
    /// [`then_close`](Self::then_close), [`then_reset`](Self::then_reset), [`then_silence`](Self::then_silence).
    #[must_use]
    pub fn content_length(self, length: u64) -> Self {
        self.header("Content-Length", &length.to_string())
    }

    /// Closes the connection after that. A chunked body then lacks its last chunk: it is cut.
    #[must_use]
    pub fn then_close(mut self) -> Self {
        self.ending = Ending::Close;
        self
    }

    /// Resets the connection after that. The peer's kernel may throw away bytes that its program has not read yet.
    #[must_use]
    pub fn then_reset(mut self) -> Self {
        self.ending = Ending::Reset;
        self
    }

    /// Says nothing more after that, on a connection that stays open. A chunked body lacks its last chunk.
    #[must_use]
    pub fn then_silence(mut self) -> Self {
        self.ending = Ending::Silence;
        self
    }

    /// Replies at once, and reads the request's body afterwards.
    #[must_use]
    pub fn before_body(mut self) -> Self {
        self.reading = Reading::After;
        self
    }

    /// Does not read the request's body, ever: who sends a long one is stalled. Ends in silence, if nothing else is
    /// said. Behind bytes that nobody reads, the peer's close is not seen, but its reset is: that is how TCP is.
    #[must_use]
    pub fn never_reading(mut self) -> Self {
        self.reading = Reading::Never;
        if self.ending == Ending::Keep { self.then_silence() } else { self }
    }

    /// Reads this many bytes of the request's body before the reply, and no more: `reading(10).then_reset()`.
    #[must_use]
    pub fn reading(mut self, bytes: u64) -> Self {
        self.reading = Reading::Exactly(bytes);
        if self.ending == Ending::Keep { self.then_close() } else { self }
    }

    fn piece(mut self, piece: Piece) -> Self {
        self.pieces.push(piece);
        self
    }

    pub(super) fn head(&self) -> Option<Vec<u8>> {
        let status = self.status?;
        let mut head = format!("HTTP/1.1 {status} {}\r\n", self.reason);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let told = |name: &str| self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !told("content-length") && !told("transfer-encoding") && !matches!(status, 100..=199 | 204 | 304) {
            match self.coding {
                Coding::Length => head += &format!("Content-Length: {}\r\n", self.length()),
                Coding::Chunked => head += "Transfer-Encoding: chunked\r\n",
                Coding::UntilClose => {}
            }
        }
        head += "\r\n";
        Some(head.into_bytes())
    }

    fn length(&self) -> u64 {
        let length = |piece: &Piece| match piece {
            Piece::Data(bytes) => bytes.len() as u64,
            Piece::Filler(length) => *length,
            Piece::Wait(_) | Piece::Mirror => 0,
        };
        self.pieces.iter().map(length).sum()
    }
}

/// The replies to the requests that match a pattern. Made from one reply, or from several for one request each, the
/// last one for all that follow.
pub enum Script {
    InTurn(Vec<Reply>, AtomicUsize),
    Made(Box<dyn Fn(&Seen) -> Reply + Send + Sync>),
}

impl Script {
    /// A reply that depends on the request, made when its body has come.
    pub fn made(make: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::Made(Box::new(make))
    }
}

impl From<Reply> for Script {
    fn from(reply: Reply) -> Self {
        [reply].into()
    }
}

impl<const N: usize> From<[Reply; N]> for Script {
    fn from(replies: [Reply; N]) -> Self {
        assert!(N > 0, "a script has a reply");
        Self::InTurn(replies.into(), AtomicUsize::new(0))
    }
}
