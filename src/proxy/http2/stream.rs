//! One exchange on an HTTP/2 connection, under the same guard as one by HTTP/1.

use std::sync::Arc;

use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use pingora::apps::HttpServerApp;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;

use super::digest::WireDigest;
use super::ends::Ends;
use super::head;
use super::session::StreamSession;
use crate::head::strict::HeadProblem;
use crate::proxy::connection::Connection;
use crate::proxy::decide::{Incoming, identify};
use crate::proxy::fault::Fault;
use crate::proxy::guard::{Bounded, Ended, Guard, Timer};

/// A request that has come on a stream.
pub(super) struct Arrived {
    /// What was asked.
    pub request: Request<RecvStream>,
    /// How to answer.
    pub respond: SendResponse<bytes::Bytes>,
    /// What is known of the stream by all who have a hand in it.
    pub stream: Arc<Connection>,
    /// What is known of the connection.
    pub wire: WireDigest,
}

impl Guard {
    /// Drives the exchange on a stream to its end. Its log line is written when this resolves.
    pub(super) async fn stream(self, arrived: Arrived, shutdown: ShutdownWatch) {
        let Arrived { request, respond, stream, wire } = arrived;
        let (parts, body) = request.into_parts();
        let (head, problem) = head::read(parts);
        let ends = Ends::new(body, respond);
        stream.begin_exchange();
        if let Some(problem) = problem {
            return self.refuse_stream(&head, ends, &stream, problem).await;
        }
        let session = StreamSession::new(head, ends, Arc::clone(&stream), &wire);
        let session = ServerSession::new_custom(Box::new(session));
        let mut timer = Timer::default();
        let mut exchange = self.proxy.process_new_http(session, &shutdown);
        let ended = Bounded { inner: exchange.as_mut(), connection: &stream, timer: &mut timer }.await;
        let Ended::Early(why) = ended else { return };
        let Some(fault) = why.fault(&stream) else { return };
        stream.hand_back();
        // Cancels the upstream call, and hands back what is still needed.
        drop(exchange);
        self.give_up(&stream, fault).await;
    }

    /// A head that says what only HTTP/2 can say, and must not.
    async fn refuse_stream(&self, head: &RequestHeader, ends: Ends, stream: &Connection, problem: HeadProblem) {
        let mut exchange = Box::new(self.unread(stream));
        identify(&mut exchange, &incoming(head, stream));
        stream.hand_back();
        stream.receive(|back| {
            back.exchange = Some(exchange);
            back.ends = Some(ends);
        });
        self.give_up(stream, Fault::Head(problem)).await;
    }
}

/// A request that Pingora is not told of.
fn incoming<'a>(head: &'a RequestHeader, stream: &Connection) -> Incoming<'a> {
    Incoming {
        method: &head.method,
        version: head.version,
        target: std::str::from_utf8(head.raw_path()).unwrap_or_default(),
        headers: &head.headers,
        problem: None,
        peer: stream.peer(),
        tls: stream.tls().cloned(),
    }
}
