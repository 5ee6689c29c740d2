//! One connection of a scripted upstream: reads requests, records them, plays what the script says.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use super::Stream;
use super::http1::{Framing, Headers, Reader, Seen, encoded};
use super::script::{Coding, Ending, Piece, Reading, Reply, Script, reply};
use super::upstream::{Closed, Shared};

/// As much of a request's body is kept; of the rest only the length is.
const KEPT: usize = 1 << 20;

/// One connection, as the upstream has it.
pub(super) struct Peer<'a> {
    pub(super) number: usize,
    pub(super) reader: Reader<Stream>,
    pub(super) shared: &'a Shared,
}

impl Peer<'_> {
    pub(super) async fn serve(mut self) -> Closed {
        loop {
            match self.exchange().await {
                Ok(Ending::Keep) => {}
                Ok(Ending::Reset) => {
                    self.reader.inner.reset();
                    return Closed::Here;
                }
                Ok(_) => return Closed::Here,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Closed::ByPeer,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    self.shared.record.send_modify(|record| record.malformed.push(error.to_string()));
                    return Closed::Here;
                }
                Err(_) => return Closed::ByReset,
            }
        }
    }

    /// One request and what the script says to it. `Ok` tells what the script wants with the connection, an error how
    /// the peer ended it.
    async fn exchange(&mut self) -> io::Result<Ending> {
        let head = self.reader.head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let seen = Seen::parse(self.number, head)?;
        let mut body = self.note(seen.clone());
        let reply = self.reply_to(&seen, &mut body).await?;
        match reply.reading {
            Reading::First => self.read_body(&mut body, u64::MAX).await?,
            Reading::Exactly(bytes) => self.read_body(&mut body, bytes).await?,
            Reading::After | Reading::Never => {}
        }
        for piece in &reply.before {
            self.play(piece, Coding::Length, &reply, &mut body).await?;
        }
        if let Some(head) = reply.head() {
            self.reader.inner.write_all(&head).await?;
        }
        if seen.method != "HEAD" {
            for piece in &reply.pieces {
                self.play(piece, reply.coding, &reply, &mut body).await?;
            }
            if reply.coding == Coding::Chunked && reply.ending == Ending::Keep {
                let trailers: String =
                    reply.trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                self.reader.inner.write_all(format!("0\r\n{trailers}\r\n").as_bytes()).await?;
            }
        }
        if reply.reading == Reading::After {
            self.read_body(&mut body, u64::MAX).await?;
        }
        self.end(&reply).await
    }

    fn note(&self, mut seen: Seen) -> Body {
        let framing = Framing::of_request(&seen.headers);
        let expects = seen.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
        seen.complete = framing == Framing::Length(0);
        let mut index = 0;
        self.shared.record.send_modify(|record| {
            index = record.requests.len();
            record.requests.push(seen);
        });
        Body { index, framing, expects }
    }

    async fn reply_to(&mut self, seen: &Seen, body: &mut Body) -> io::Result<Reply> {
        let script = {
            let rules = self.shared.rules.lock().expect("not poisoned");
            let rule = rules.iter().find(|rule| rule.matches(&seen.method, &seen.target));
            rule.map(|rule| Arc::clone(&rule.script))
        };
        Ok(match script.as_deref() {
            None => reply(404),
            Some(Script::InTurn(replies, next)) => {
                let turn = next.fetch_add(1, Ordering::Relaxed).min(replies.len() - 1);
                replies[turn].clone()
            }
            Some(Script::Made(make)) => {
                self.read_body(body, u64::MAX).await?;
                let seen = self.shared.record.borrow().requests[body.index].clone();
                make(&seen)
            }
        })
    }

    /// Reads so many bytes of the body, or all there are.
    async fn read_body(&mut self, body: &mut Body, mut limit: u64) -> io::Result<()> {
        while limit > 0
            && let Some(piece) = self.body_piece(body, limit).await?
        {
            limit -= piece.len() as u64;
        }
        Ok(())
    }

    async fn body_piece(&mut self, body: &mut Body, limit: u64) -> io::Result<Option<Bytes>> {
        if std::mem::take(&mut body.expects) && body.framing != Framing::Length(0) {
            self.reader.inner.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let mut trailers = Headers::default();
        let piece = self.reader.body(&mut body.framing, limit, &mut trailers).await?;
        self.shared.record.send_modify(|record| {
            let seen = &mut record.requests[body.index];
            if let Some(piece) = &piece {
                let room = KEPT.saturating_sub(seen.body.len()).min(piece.len());
                seen.body.extend_from_slice(&piece[..room]);
                seen.body_length += piece.len() as u64;
            }
            seen.complete = piece.is_none() || body.framing == Framing::Length(0);
            seen.trailers.0.extend(trailers.0);
        });
        Ok(piece)
    }

    async fn play(&mut self, piece: &Piece, coding: Coding, reply: &Reply, body: &mut Body) -> io::Result<()> {
        match piece {
            Piece::Data(bytes) => self.send(bytes, coding).await,
            Piece::Filler(length) => {
                let block = [b'x'; 64 << 10];
                let mut left = *length;
                while left > 0 {
                    let much = left.min(block.len() as u64);
                    self.send(&block[..much as usize], coding).await?;
                    left -= much;
                }
                Ok(())
            }
            Piece::Wait(gate) => self.until(gate.pass(), reply.reading).await,
            Piece::Mirror => {
                while let Some(piece) = self.body_piece(body, u64::MAX).await? {
                    self.send(&piece, coding).await?;
                }
                Ok(())
            }
        }
    }

    async fn send(&mut self, bytes: &[u8], coding: Coding) -> io::Result<()> {
        if coding == Coding::Chunked {
            self.reader.inner.write_all(&encoded(bytes)).await
        } else {
            self.reader.inner.write_all(bytes).await
        }
    }

    /// Waits for something, unless the peer goes meanwhile. What it sends is kept for later, except where the script
    /// does not read.
    async fn until(&mut self, done: impl Future<Output = ()>, reading: Reading) -> io::Result<()> {
        let gone = async {
            if matches!(reading, Reading::Never | Reading::Exactly(_) | Reading::After) {
                self.reader.inner.peer_closed().await;
                return io::ErrorKind::UnexpectedEof.into();
            }
            loop {
                match self.reader.fill().await {
                    Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                    Ok(_) => {}
                    Err(error) => return error,
                }
            }
        };
        tokio::select! {
            () = done => Ok(()),
            error = gone => Err(error),
        }
    }

    async fn end(&mut self, reply: &Reply) -> io::Result<Ending> {
        match reply.ending {
            Ending::Silence => self.until(std::future::pending(), reply.reading).await?,
            Ending::Close => self.reader.inner.shutdown().await?,
            Ending::Tunnel => loop {
                let bytes = self.reader.buffer.split();
                self.reader.inner.write_all(&bytes).await?;
                if self.reader.fill().await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            },
            Ending::Keep | Ending::Reset => {}
        }
        Ok(reply.ending)
    }
}

/// The body of a request, as far as it was read.
struct Body {
    /// Of the request in the record.
    index: usize,
    framing: Framing,
    /// Whether the peer waits for a 100 before it sends the body.
    expects: bool,
}
