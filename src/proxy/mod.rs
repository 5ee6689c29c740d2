//! The live proxy: Pingora's `ProxyHttp` as a thin driver of the engine.
//!
//! The engine decides ([`route`], [`run`]) on an [`Exchange`]; this module carries the decision out. One short method a phase:
//!
//! | Pingora's phase | what happens |
//! |---|---|
//! | `new_ctx` | one [`Snapshot`](crate::snapshot::Snapshot) is taken and holds for the whole exchange |
//! | `early_request_filter` | every timeout of the session is set |
//! | `request_filter` | head check, canonical path, route, filters: forward or answer |
//! | `upstream_peer` | the upstream picks an endpoint, again on each try |
//! | `upstream_request_filter` | the head that leaves: hop-by-hop, forwarded, filters' changes |
//! | `response_filter` | the head that comes back, through the filters in reverse |
//! | `fail_to_proxy` | a fault becomes a status and an error page, by the same way back |
//! | `logging` | a line in the access log |
//!
//! The [`Guard`] stands before all that.

mod arrival;
mod boundary;
mod cause;
mod closing;
mod connection;
mod deadline;
mod decide;
mod diagnosis;
mod entrance;
mod evidence;
mod exchange;
mod fault;
mod forwarded;
mod gateway;
mod grpc;
mod guard;
mod headers;
mod hooks;
mod http2;
mod intake;
mod key;
mod leg;
mod live_listener;
mod mirror;
mod open;
mod outgoing;
mod pace;
mod pingora_headers;
mod reply;
mod response_head;
mod retry;
mod stream;
mod symptom;
mod tries;
mod trip;
mod try_limit;
mod turned_away;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode, Uri, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::ServerSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use crate::upstream::Upgrade;
use closing::{begin_response, begin_tunnel, linger_afterwards};
pub use connection::Ending;
pub use decide::{Decision, Incoming, head, route, run, unrouted};
use diagnosis::{fault_of, is_of_the_request, witness};
pub use exchange::{Exchange, Peer};
use fault::ClientFault;
pub use fault::Fault;
pub use gateway::Gateway;
pub use guard::Guard;
pub use headers::to_upstream;
use headers::{ask_for_trailers, change, from_upstream};
use hooks::{pass_request_hooks, refused_by_hook};
use intake::{bound_session, connection_of, go_ahead, let_calls_run, must_close, refuse_slow_body};
pub use live_listener::LiveListener;
use mirror::go_on_with_copy;
pub use open::Open;
use pingora_headers::{RequestHeaders, ResponseHeaders};
pub use reply::answer;
use reply::changes;
use response_head::{check_response, is_unbounded, leave_length_open, refuse_other_version, spare_chunks};
use retry::Why;
use trip::Trip;
use try_limit::{bound_try, end_try};
pub use turned_away::TurnedAway;

/// How long the rest of a small body is waited for after the answer, so that the connection can be used again.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

#[async_trait::async_trait]
impl ProxyHttp for Gateway {
    type CTX = Trip;

    fn new_ctx(&self) -> Trip {
        Trip::new(Exchange::new(self.snapshot(), None))
    }

    fn init_downstream_modules(&self, _: &mut pingora::modules::http::HttpModules) {
        // None: Pingora's compression would cost every request, and ignores what clients say of their preferences.
    }

    async fn early_request_filter(&self, session: &mut Session, trip: &mut Trip) -> pingora::Result<()> {
        let Some(connection) = connection_of(session) else {
            // Everything that bounds an exchange, and says whose it is, hangs on it.
            return Error::e_explain(ErrorType::InternalError, "a session that the guard does not know");
        };
        connection.begin_exchange();
        trip.listener = Some(connection.listener(trip.snapshot.generation()));
        trip.set_connection(connection);
        bound_session(session, trip);
        session.set_total_drain_timeout(Some(DRAIN_TIMEOUT));
        if session.req_header().version == Version::HTTP_10
            && let ServerSession::H1(session) = session.as_downstream_mut()
        {
            // HTTP/1.0 has no interim responses (RFC 9110, 15.2).
            session.set_ignore_info_resp(true);
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, trip: &mut Trip) -> pingora::Result<bool> {
        let reply = match self.decide(session, trip).await {
            Decision::Forward => {
                let_calls_run(session, trip);
                return Ok(false);
            }
            Decision::Reply(reply) => reply,
            Decision::Refuse(fault) => {
                if must_close(&fault) {
                    session.set_keepalive(None);
                }
                trip.fail(fault).reply()
            }
        };
        self.reply(session, trip, reply).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, trip: &mut Trip) -> pingora::Result<Box<HttpPeer>> {
        // A try that replays the body counts it anew.
        trip.asked.body_bytes = 0;
        trip.answered.interim = 0;
        if let Some(connection) = trip.connection() {
            connection.try_limit.clear();
        }
        if let Some(pause) = trip.onward.as_mut().and_then(|onward| onward.pause.take()) {
            tokio::time::sleep(pause).await;
        }
        let now = Instant::now();
        match trip.onward.as_ref().map(|onward| onward.tries) {
            Some(0) => trip.deposit(now),
            _ => trip.request_hooks.iter_mut().for_each(|hook| hook.restart()),
        }
        let per_try = trip.per_try();
        let peer = trip.onward.as_mut().ok_or(Fault::NoEndpoint).and_then(|onward| onward.next_peer(per_try, now));
        match peer {
            Ok(mut peer) => {
                let announce = trip.announce();
                if let Some(announce) = announce {
                    announce.alone_on(&mut peer);
                }
                let asks = trip.asked.upgrade;
                if let Some(onward) = trip.onward.as_mut() {
                    onward.upgrade = asks.then(|| Upgrade::on(&mut peer, announce));
                }
                Ok(peer)
            }
            Err(fault) => {
                trip.fail(fault);
                Err(Error::explain(ErrorType::HTTPStatus(503), "no endpoint can take a request"))
            }
        }
    }

    fn fail_to_connect(&self, _: &mut Session, _: &HttpPeer, trip: &mut Trip, mut e: Box<Error>) -> Box<Error> {
        let fault = fault_of(&e, trip);
        witness(trip, &e, &fault);
        // Nothing was sent, so there may be another try whatever the method.
        let now = Instant::now();
        let more = trip.onward.as_mut().is_some_and(|onward| onward.next_address(now));
        e.set_retry(more || trip.try_again(Why::NotTakenUp, now));
        e
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut e: Box<Error>,
        trip: &mut Trip,
        kept: bool,
    ) -> Box<Error> {
        end_try(trip);
        let fault = fault_of(&e, trip);
        witness(trip, &e, &fault);
        e.set_retry(trip.survives(&e, &fault, session, kept));
        e
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        reused: bool,
        _: &HttpPeer,
        socket: std::os::fd::RawFd,
        _: Option<&Digest>,
        trip: &mut Trip,
    ) -> pingora::Result<()> {
        // Of a body that is not there an upstream by HTTP/2 gets no end of its own.
        trip.asked.is_whole = session.as_mut().is_body_empty();
        if let Some(onward) = trip.onward.as_mut() {
            onward.socket = onward.upgrade.as_ref().map_or(Some(socket), |upgrade| upgrade.socket());
            onward.connected = true;
            onward.connected_after = onward.tried_at.filter(|_| !reused).map(|at| at.elapsed());
        }
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        head: &mut RequestHeader,
        trip: &mut Trip,
    ) -> pingora::Result<()> {
        refuse_other_version(head, trip)?;
        if let Some(onward) = trip.onward.as_mut().filter(|_| head.version == Version::HTTP_2) {
            onward.socket = None;
        }
        to_upstream(trip, &mut RequestHeaders(head));
        ask_for_trailers(session.req_header(), head)?;
        go_ahead(session, head, trip).await?;
        if trip.request_hooks.iter().any(|hook| hook.changes_length()) {
            head.remove_header(&CONTENT_LENGTH);
            if head.version != Version::HTTP_2 {
                head.insert_header(TRANSFER_ENCODING, "chunked")?;
            }
        }
        if let Some(onward) = trip.onward.as_ref() {
            let target = Uri::try_from(onward.target.as_str());
            head.set_uri(target.map_err(|e| Error::because(ErrorType::InternalError, "the target that goes on", e))?);
        }
        self.begin_copy(head, !session.is_body_empty(), trip);
        if let Some(upgrade) = trip.onward.as_ref().and_then(|onward| onward.upgrade.as_ref()) {
            upgrade.begin();
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        trip: &mut Trip,
    ) -> pingora::Result<()> {
        trip.asked.is_whole |= end;
        refuse_slow_body(trip, end)?;
        if end && trip.answered.status.is_none() {
            bound_try(trip);
        }
        pass_request_hooks(trip, body, end)?;
        trip.asked.body_bytes += body.as_ref().map_or(0, |chunk| chunk.len() as u64);
        go_on_with_copy(trip, body.as_ref(), end);
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        trip: &mut Trip,
    ) -> pingora::Result<()> {
        let status = head.status;
        check_response(head, trip)?;
        from_upstream(status.as_u16(), &mut ResponseHeaders(head));
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        if let Some(connection) = trip.connection() {
            connection.try_limit.end();
        }
        if trip.passes_over(status, session) {
            return Err(Error::explain(ErrorType::HTTPStatus(status.as_u16()), "left for another try"));
        }
        let after = trip.started.elapsed();
        let idle = trip.onward.as_mut().and_then(|onward| {
            onward.head_after = Some(after);
            onward.answers(status, is_unbounded(head), Instant::now());
            onward.upstream.settings().timeouts.idle.after()
        });
        trip.answered.grpc_status = grpc::status_in(&head.headers);
        if is_unbounded(head) {
            if let Some(connection) = trip.connection() {
                connection.set_deadline(None);
                connection.pace.end();
            }
            // The client's side may be as silent as the upstream's. In a tunnel a byte either way is enough, and the
            // upstream's own timer, which each of them starts anew, sees to that.
            session.set_read_timeout(idle.filter(|_| status != StatusCode::SWITCHING_PROTOCOLS));
        }
        if !session.is_body_done() && status != StatusCode::SWITCHING_PROTOCOLS {
            linger_afterwards(trip);
        }
        // What an upstream speaks is its own affair (RFC 9110, 2.5: a message has its sender's version).
        head.set_version(Version::HTTP_11);
        match changes(trip, status, &head.headers).await {
            Ok(changes) => {
                if status == StatusCode::SWITCHING_PROTOCOLS {
                    // What flows from here on is no body.
                    trip.request_hooks.clear();
                    trip.response_hooks.clear();
                    begin_tunnel(trip);
                }
                change(&changes, &mut ResponseHeaders(head));
                if trip.response_hooks.iter().any(|hook| hook.changes_length()) {
                    leave_length_open(head, session.req_header().version)?;
                }
            }
            Err((_, failure)) => {
                trip.fail(Fault::Filter(failure));
                return Err(Error::explain(ErrorType::InternalError, "a filter failed on the response"));
            }
        }
        spare_chunks(session, head);
        begin_response(session, trip, status);
        Ok(())
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        trip: &mut Trip,
    ) -> pingora::Result<Option<Duration>> {
        if !trip.response_hooks.is_empty() {
            let piece = hooks::to_client(&mut trip.response_hooks, body.take().unwrap_or_default(), end);
            let piece = piece.map_err(|reply| refused_by_hook(trip, reply))?;
            *body = Some(piece).filter(|piece| !piece.is_empty());
        }
        trip.answered.body_bytes += body.as_ref().map_or(0, |chunk| chunk.len() as u64);
        trip.answered.whole |= end;
        Ok(None)
    }

    async fn response_trailer_filter(
        &self,
        _: &mut Session,
        trailers: &mut HeaderMap,
        trip: &mut Trip,
    ) -> pingora::Result<Option<Bytes>> {
        trip.answered.grpc_status = grpc::status_in(trailers).or(trip.answered.grpc_status);
        let rest = hooks::end_with(&mut trip.response_hooks, trailers);
        let rest = rest.unwrap_or_else(|reply| {
            trip.fail(Fault::Internal(reply.reason.unwrap_or_else(|| "a filter refused the end of the body".into())));
            // An error is only logged here, and the response would look whole.
            std::panic::resume_unwind(Box::new("a filter refused the end of the body"))
        });
        trip.answered.body_bytes += rest.as_ref().map_or(0, |rest| rest.len() as u64);
        trip.answered.whole = true;
        Ok(rest)
    }

    async fn fail_to_proxy(&self, session: &mut Session, e: &Error, trip: &mut Trip) -> FailToProxy {
        end_try(trip);
        if let Some(reply) = trip.body_refused.take() {
            return self.refuse_body(session, *reply, trip).await;
        }
        let fault = fault_of(e, trip);
        if trip.answered.whole && is_of_the_request(&fault, e) {
            // The response is out, so the rest of the request is of no consequence any more.
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        }
        log::debug!("request {}: {e}", trip.request_id);
        witness(trip, e, &fault);
        let fault = trip.fail(fault);
        let status = fault.status();
        let tell = !matches!(fault, Fault::Client(ClientFault::Gone | ClientFault::ReadTimeout));
        let reply = fault.reply();
        if tell && trip.answered.status.is_none() {
            session.set_keepalive(None);
            if let Err(e) = self.reply(session, trip, reply).await {
                log::debug!("request {}: the error page could not be sent: {e}", trip.request_id);
            }
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    fn suppress_error_log(&self, _: &Session, _: &Trip, _: &Error) -> bool {
        // The access log says it, with cause and evidence.
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Trip, _: &Error, _: ProxyWarnLogContext) -> bool {
        // So it does of each try.
        true
    }

    async fn logging(&self, _: &mut Session, _: Option<&Error>, trip: &mut Trip) {
        if let Some(onward) = trip.onward.as_mut() {
            onward.finish(Instant::now());
        }
        self.write_log(trip);
        // What filters hold for an exchange ends with it: what is left of the request's body may take its time.
        trip.kept.clear();
        if let Some(connection) = trip.connection() {
            connection.mark_logged();
        }
    }
}
