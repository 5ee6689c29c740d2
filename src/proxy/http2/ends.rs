//! Both ends of one stream: what of it outlives Pingora's part in it.

use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONNECTION, DATE, TRANSFER_ENCODING, UPGRADE};
use http::response::Parts;
use http::{HeaderMap, HeaderName, Method, Response};
use pingora::protocols::http::date::get_cached_date;
use pingora::{Error, ErrorType, OrErr};

use crate::proxy::reply::Answer;

/// Both ends of one stream. One that is dropped before its response has ended is reset.
#[derive(Debug)]
pub struct Ends {
    /// What the client sends.
    pub(super) body: RecvStream,
    respond: SendResponse<Bytes>,
    sender: Option<SendStream<Bytes>>,
    ended: bool,
}

/// What HTTP/2 has no place for (RFC 9113, 8.2.2).
const NOT_OF_HTTP2: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

impl Ends {
    /// The ends of a stream on which a request has come.
    pub(super) fn new(body: RecvStream, respond: SendResponse<Bytes>) -> Self {
        Self { body, respond, sender: None, ended: false }
    }

    /// Whether the final head of the response was sent.
    pub(super) fn has_begun(&self) -> bool {
        self.sender.is_some()
    }

    /// Sends a head. Interim ones don't count; after the final one there is no other.
    ///
    /// # Errors
    /// If the client has left.
    pub(super) fn send_head(&mut self, mut head: Parts, end: bool) -> pingora::Result<()> {
        static NAMES: [HeaderName; 5] = NOT_OF_HTTP2;
        for name in &NAMES {
            head.headers.remove(name);
        }
        let is_interim = head.status.is_informational();
        let head = Response::from_parts(head, ());
        if self.has_begun() {
            log::debug!("a second head is not sent");
            return Ok(());
        }
        if is_interim {
            return self.respond.send_informational(head).or_err(ErrorType::WriteError, "an interim response");
        }
        let mut head = head;
        head.headers_mut().insert(DATE, get_cached_date());
        let sender = self.respond.send_response(head, end).or_err(ErrorType::WriteError, "the response's head")?;
        self.sender = Some(sender);
        self.ended = end;
        Ok(())
    }

    /// Sends a piece of the body, as the client's windows allow.
    ///
    /// # Errors
    /// If the client has left, or has let nothing pass for `timeout`.
    pub(super) async fn send_body(
        &mut self,
        mut data: Bytes,
        end: bool,
        timeout: Option<Duration>,
    ) -> pingora::Result<()> {
        if self.ended {
            return Ok(());
        }
        let sender = self.sender.as_mut().ok_or_else(|| Error::explain(ErrorType::H2Error, "a body without a head"))?;
        while !data.is_empty() {
            let room = room(sender, data.len(), timeout).await?;
            let piece = data.split_to(room.min(data.len()));
            let is_last = end && data.is_empty();
            sender.send_data(piece, is_last).or_err(ErrorType::WriteError, "the response's body")?;
            self.ended = is_last;
        }
        if end { self.end() } else { Ok(()) }
    }

    /// Ends the response with trailers.
    ///
    /// # Errors
    /// If the client has left.
    pub(super) fn send_trailers(&mut self, trailers: HeaderMap) -> pingora::Result<()> {
        if let Some(sender) = self.sender.as_mut().filter(|_| !self.ended) {
            sender.send_trailers(trailers).or_err(ErrorType::WriteError, "the response's trailers")?;
            self.ended = true;
        }
        Ok(())
    }

    /// Ends the response, if it has begun and not ended.
    ///
    /// # Errors
    /// If the client has left.
    pub(super) fn end(&mut self) -> pingora::Result<()> {
        if let Some(sender) = self.sender.as_mut().filter(|_| !self.ended) {
            sender.send_data(Bytes::new(), true).or_err(ErrorType::WriteError, "the response's end")?;
            self.ended = true;
        }
        Ok(())
    }

    /// Breaks the response off, so that no client takes it for whole.
    pub(super) fn reset(&mut self, reason: Reason) {
        if !self.ended {
            self.respond.send_reset(reason);
            self.ended = true;
        }
    }

    /// Resolves when the client gives the stream up.
    pub(super) async fn given_up(&mut self) -> Result<Reason, h2::Error> {
        std::future::poll_fn(|cx| match self.sender.as_mut() {
            Some(sender) => sender.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        })
        .await
    }

    /// Sends an answer of the door's own, if nothing was sent yet; whether it could within this time.
    pub(in crate::proxy) async fn answer(&mut self, answer: &Answer, method: &Method, limit: Duration) -> bool {
        let has_body = answer.has_body(method) && !answer.body.is_empty();
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = answer.status;
        head.headers = answer.headers.clone();
        let begun = self.send_head(head, !has_body).is_ok();
        begun && (!has_body || self.send_body(answer.body.clone(), true, Some(limit)).await.is_ok())
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.reset(Reason::INTERNAL_ERROR);
    }
}

/// How much can be sent now; at least one byte.
async fn room(sender: &mut SendStream<Bytes>, wanted: usize, timeout: Option<Duration>) -> pingora::Result<usize> {
    sender.reserve_capacity(wanted);
    let room = async {
        loop {
            match sender.capacity() {
                0 => {}
                room => return Ok(room),
            }
            match std::future::poll_fn(|cx| sender.poll_capacity(cx)).await {
                Some(Ok(_)) => {}
                Some(Err(e)) => return Err(Error::because(ErrorType::WriteError, "the response's body", e)),
                None => return Err(Error::explain(ErrorType::WriteError, "the client has given the stream up")),
            }
        }
    };
    match timeout {
        Some(limit) => tokio::time::timeout(limit, room).await.unwrap_or_else(|_| {
            Err(Error::explain(ErrorType::WriteTimedout, format!("the client has read nothing for {limit:?}")))
        }),
        None => room.await,
    }
}
