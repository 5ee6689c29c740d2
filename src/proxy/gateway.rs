//! What all exchanges of a door share, and what the driver of more than one phase does for them.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, Session};

use super::closing::{begin_response, linger_afterwards};
use super::connection::Connection;
use super::decide::{Decision, route, run, unrouted};
use super::exchange::Exchange;
use super::fault::Fault;
use super::intake::{can_drain, incoming};
use super::mirror::Mirrors;
use super::reply::answer;
use super::trip::Trip;
use crate::filter::Reply;
use crate::observe::AccessLog;
use crate::snapshot::Snapshot;

/// The gateway as Pingora drives it. Clones share everything.
#[derive(Clone)]
pub struct Gateway {
    current: Arc<ArcSwap<Snapshot>>,
    mirrors: Arc<Mirrors>,
    access_log: Arc<ArcSwapOption<AccessLog>>,
}

impl Gateway {
    /// A gateway that serves this snapshot.
    pub fn new(snapshot: Arc<Snapshot>, access_log: Option<AccessLog>) -> Self {
        Self {
            current: Arc::new(ArcSwap::from(snapshot)),
            mirrors: Arc::new(Mirrors::new()),
            access_log: Arc::new(ArcSwapOption::from_pointee(access_log)),
        }
    }

    /// The snapshot that new exchanges get.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Swaps in another snapshot: exchanges that are under way keep theirs.
    pub fn swap(&self, snapshot: Arc<Snapshot>) {
        self.current.store(snapshot);
    }

    /// Where exchanges are written down.
    pub fn access_log(&self) -> &ArcSwapOption<AccessLog> {
        &self.access_log
    }

    /// Writes an exchange down.
    pub(super) fn write_log(&self, exchange: &Exchange) {
        if let Some(log) = &*self.access_log.load() {
            let mut detail = None;
            log.write(&exchange.record(&mut detail));
        }
    }

    /// Asks the engine, and sets the exchange's deadline as soon as its route is known.
    pub(super) async fn decide(&self, session: &Session, trip: &mut Trip) -> Decision {
        let Some(incoming) = incoming(session, trip) else {
            return Decision::Refuse(Fault::Malformed);
        };
        if let Err(decision) = route(trip, &incoming) {
            return unrouted(trip, &incoming, *decision).await;
        }
        if let (Some(limit), Some(connection)) = (trip.timeout, trip.connection()) {
            connection.set_deadline(Some(trip.started + limit));
        }
        run(trip, &incoming, None).await
    }

    /// Sends what a filter answers in the midst of a body, if it is not too late for that.
    pub(super) async fn refuse_body(&self, session: &mut Session, reply: Reply, trip: &mut Trip) -> FailToProxy {
        let status = reply.status.as_u16();
        let story = reply.reason.clone().unwrap_or_else(|| "a filter refused the body".to_owned());
        trip.answered.refused = Some((reply.cause.unwrap_or("filter_reply"), story));
        session.set_keepalive(None);
        if trip.answered.status.is_none()
            && let Err(e) = self.reply(session, trip, reply).await
        {
            log::debug!("request {}: the answer could not be sent: {e}", trip.request_id);
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    /// Begins a copy for the mirror, if the request has one and this is its first try.
    pub(super) fn begin_copy(&self, head: &RequestHeader, has_body: bool, trip: &mut Trip) {
        let (timeout, addresses) = (trip.timeout, trip.connection().and_then(Connection::addresses));
        let Some(onward) = trip.onward.as_mut() else { return };
        if let Some(upstream) = onward.mirror.take() {
            onward.copy = self.mirrors.begin(upstream, head.clone(), has_body, timeout, addresses);
        }
    }

    /// Sends a reply of the door's own.
    pub(super) async fn reply(&self, session: &mut Session, trip: &mut Trip, reply: Reply) -> pingora::Result<()> {
        let answer = answer(trip, reply).await;
        if can_drain(session) {
            session.set_close_on_response_before_downstream_finish(false);
        } else if !session.is_body_done() {
            // The rest of the body is not worth waiting for, and may never come.
            session.set_keepalive(None);
            linger_afterwards(trip);
        }
        let has_body = answer.has_body(&trip.asked.method) && !answer.body.is_empty();
        let mut head = ResponseHeader::build(answer.status, Some(answer.headers.len() + 2))?;
        for (name, value) in &answer.headers {
            head.append_header(name.clone(), value.clone())?;
        }
        begin_response(session, trip, answer.status);
        session.write_response_header(Box::new(head), !has_body).await.map_err(|e| e.into_down())?;
        if has_body {
            trip.answered.body_bytes += answer.body.len() as u64;
            session.write_response_body(Some(answer.body), true).await.map_err(|e| e.into_down())?;
        }
        Ok(())
    }
}
