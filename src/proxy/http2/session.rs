//! One HTTP/2 stream as Pingora drives it.
//!
//! Pingora's own session of this kind has no timer for bodies, drops interim responses, and takes a stream to its grave:
//! when its future is dropped, nothing can be answered any more. This one hands the stream back to the guard, as
//! [`super::super::stream::GuardStream`] does for HTTP/1.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use h2::Reason;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::body_buffer::FixedBuffer;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType};

use super::digest::WireDigest;
use super::ends::Ends;
use crate::proxy::connection::Connection;

/// How much of a body is kept for another try: what Pingora keeps of HTTP/1.
const KEPT: usize = 64 * 1024;

/// One HTTP/2 stream as Pingora drives it.
pub(super) struct StreamSession {
    head: RequestHeader,
    /// There until it is handed back.
    ends: Option<Ends>,
    stream: Arc<Connection>,
    digest: Digest,
    written: Option<Box<ResponseHeader>>,
    /// When anything of the body came last.
    heard: Instant,
    /// From when on the client is waited for to send more of it.
    waiting_since: Option<Instant>,
    read: usize,
    sent: usize,
    kept: Option<FixedBuffer>,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    drain_timeout: Option<Duration>,
}

const PRESENT: &str = "a stream leaves its session only when that is dropped";

impl StreamSession {
    /// A session for a request whose head was read.
    pub(super) fn new(head: RequestHeader, ends: Ends, stream: Arc<Connection>, wire: &WireDigest) -> Self {
        Self {
            head,
            ends: Some(ends),
            digest: wire.of_stream(&stream),
            stream,
            written: None,
            heard: Instant::now(),
            waiting_since: None,
            read: 0,
            sent: 0,
            kept: None,
            read_timeout: None,
            write_timeout: None,
            drain_timeout: None,
        }
    }

    fn ends(&mut self) -> &mut Ends {
        self.ends.as_mut().expect(PRESENT)
    }

    fn has_ended(&self) -> bool {
        self.ends.as_ref().is_none_or(|ends| ends.body.is_end_stream())
    }

    fn is_empty(&self) -> bool {
        let says_so = |value: &HeaderValue| value.as_bytes() == b"0";
        self.read == 0 && (self.has_ended() || self.head.headers.get(CONTENT_LENGTH).is_some_and(says_so))
    }

    /// The next piece of the body, which must come within `read_timeout` of the one before.
    async fn piece(&mut self) -> pingora::Result<Option<Bytes>> {
        let until = self.read_timeout.map(|limit| (self.heard + limit, limit));
        self.stream.pace.read(&mut self.waiting_since, None);
        let data = self.ends().body.data();
        let data = match until {
            Some((at, limit)) => tokio::time::timeout_at(at.into(), data)
                .await
                .map_err(|_| Error::explain(ErrorType::ReadTimedout, format!("nothing of the body for {limit:?}")))?,
            None => data.await,
        };
        let data = data.transpose().map_err(broken)?;
        self.heard = Instant::now();
        self.stream.pace.read(&mut self.waiting_since, Some(data.as_ref().map_or(0, Bytes::len)));
        if let Some(data) = &data {
            self.read += data.len();
            if let Some(kept) = self.kept.as_mut() {
                kept.write_to_buffer(data);
            }
            let flow = self.ends().body.flow_control();
            flow.release_capacity(data.len()).map_err(broken)?;
        }
        Ok(data)
    }

    /// Resolves with an error when the client leaves.
    async fn idle(&mut self) -> Box<Error> {
        match self.ends().given_up().await {
            Ok(reason) => Error::explain(ErrorType::ConnectionClosed, format!("the client gave up: {reason}")),
            Err(e) => Error::because(ErrorType::ConnectionClosed, "the client left", e),
        }
    }

    async fn drain(&mut self) -> pingora::Result<()> {
        while !self.has_ended() {
            self.piece().await?;
        }
        Ok(())
    }

    fn send_head(&mut self, head: Box<ResponseHeader>, end: bool) -> pingora::Result<()> {
        let end = end || has_no_body(&self.head.method, head.status);
        self.ends().send_head(head.as_owned_parts(), end)?;
        if !head.status.is_informational() {
            self.written = Some(head);
        }
        Ok(())
    }

    async fn send(&mut self, data: Bytes, end: bool) -> pingora::Result<()> {
        let (timeout, length) = (self.write_timeout, data.len());
        self.ends().send_body(data, end, timeout).await?;
        self.sent += length;
        Ok(())
    }
}

/// Whether a response ends with its head (RFC 9110, 6.4.1), whatever Pingora says of it.
fn has_no_body(method: &Method, status: StatusCode) -> bool {
    !status.is_informational() && (*method == Method::HEAD || matches!(status.as_u16(), 204 | 304))
}

/// Why a body can't be read on: the client has left, or has broken a rule that the door resets a stream for.
fn broken(e: h2::Error) -> Box<Error> {
    let is_the_clients_doing = !e.is_io() && !e.is_remote() && e.reason().is_some_and(|why| why != Reason::CANCEL);
    let kind = if is_the_clients_doing { ErrorType::InvalidHTTPHeader } else { ErrorType::ReadError };
    Error::because(kind, "the request's body", e).into_down()
}

#[async_trait]
impl Session for StreamSession {
    fn req_header(&self) -> &RequestHeader {
        &self.head
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.head
    }

    async fn read_body_bytes(&mut self) -> pingora::Result<Option<Bytes>> {
        self.piece().await
    }

    async fn drain_request_body(&mut self) -> pingora::Result<()> {
        match self.drain_timeout {
            Some(limit) => tokio::time::timeout(limit, self.drain())
                .await
                .unwrap_or_else(|_| Err(Error::explain(ErrorType::ReadTimedout, "the rest of the body"))),
            None => self.drain().await,
        }
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> pingora::Result<()> {
        // Only the door's own answers are written so; Pingora does not say of them that they end here.
        let is_empty = head.headers.get(CONTENT_LENGTH).is_some_and(|value| value.as_bytes() == b"0");
        self.send_head(head, end || is_empty)
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> pingora::Result<()> {
        self.write_response_header(Box::new(head.clone()), end).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> pingora::Result<()> {
        self.send(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> pingora::Result<()> {
        self.ends().send_trailers(trailers)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> pingora::Result<bool> {
        let mut ended = false;
        for task in tasks {
            let sent = match task {
                HttpTask::Header(head, end) => self.send_head(head, end).map(|()| end),
                HttpTask::Body(data, end) => match data.filter(|data| !data.is_empty()) {
                    Some(data) => self.send(data, end).await.map(|()| end),
                    None => Ok(end),
                },
                HttpTask::Trailer(Some(trailers)) => self.ends().send_trailers(*trailers).map(|()| true),
                HttpTask::Trailer(None) | HttpTask::Done => Ok(true),
                HttpTask::UpgradedBody(..) => Error::e_explain(ErrorType::InternalError, "a tunnel on HTTP/2"),
                HttpTask::Failed(e) => return Err(e),
            };
            ended |= sent.map_err(|e| e.into_down())?;
        }
        if ended {
            self.ends().end().map_err(|e| e.into_down())?;
        }
        Ok(ended)
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.read_timeout = timeout;
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.read_timeout
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.write_timeout = timeout;
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.write_timeout
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.drain_timeout = timeout;
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.drain_timeout
    }

    fn request_summary(&self) -> String {
        format!("{} {}", self.head.method, String::from_utf8_lossy(self.head.raw_path()))
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.written.as_deref()
    }

    async fn shutdown(&mut self, _: u32, _: &str) {
        self.ends().reset(Reason::INTERNAL_ERROR);
    }

    fn is_body_done(&mut self) -> bool {
        self.is_empty() || self.has_ended()
    }

    async fn finish(&mut self) -> pingora::Result<()> {
        self.ends().end()
    }

    fn is_body_empty(&mut self) -> bool {
        self.is_empty()
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> pingora::Result<Option<Bytes>> {
        if no_body_expected || self.is_body_done() { Err(self.idle().await) } else { self.piece().await }
    }

    fn body_bytes_sent(&self) -> usize {
        self.sent
    }

    fn body_bytes_read(&self) -> usize {
        self.read
    }

    fn digest(&self) -> Option<&Digest> {
        Some(&self.digest)
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        Some(&mut self.digest)
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref().and_then(|digest| digest.peer_addr())
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref().and_then(|digest| digest.local_addr())
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        // Only caches ask for it, to ask again by themselves.
        Bytes::new()
    }

    fn enable_retry_buffering(&mut self) {
        self.kept.get_or_insert_with(|| FixedBuffer::new(KEPT));
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.kept.as_ref().is_some_and(FixedBuffer::is_truncated)
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.kept.as_ref().filter(|kept| !kept.is_truncated()).and_then(FixedBuffer::get_buffer)
    }

    async fn finish_custom(&mut self) -> pingora::Result<()> {
        self.ends().end()
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn futures_util::Stream<Item = pingora::Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _: Box<dyn futures_util::Stream<Item = pingora::Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> pingora::Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> pingora::Result<()> {
        Ok(())
    }
}

impl Drop for StreamSession {
    fn drop(&mut self) {
        self.stream.receive(|back| back.ends = self.ends.take());
    }
}
