//! One HTTP/2 connection: it takes up streams, each in a task of its own, and comes to an end in good order.
//!
//! Whoever has to go is told by a GOAWAY (RFC 9113, 6.8): when the door ends, when nothing is under way for too long, after
//! so many requests, and who breaks rules. What is under way then ends first, but for a door that must leave at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::wire::{Seen, Wire};
use crate::proxy::connection::{Connection, Ending};
use crate::proxy::fault::{ClientFault, Fault};
use crate::proxy::guard::Timer;

/// A connection that is driven.
pub(super) struct Driven<'a> {
    h2: server::Connection<Wire, Bytes>,
    connection: &'a Connection,
    seen: Arc<Mutex<Seen>>,
    /// The tasks of its streams, which end with their streams' numbers.
    tasks: JoinSet<u32>,
    under_way: HashMap<u32, Arc<Connection>>,
    /// How many requests h2 has refused by itself, and nobody was told of.
    refused: u32,
    idle_since: Option<Instant>,
    heard: Ending,
    /// Whether the last word was said, and only has to get out.
    is_leaving: bool,
    /// When it is closed in any case.
    end_at: Option<Instant>,
    timer: Timer,
    /// What its end is to the streams that are under way.
    why: ClientFault,
    /// What it ended for, if that was the client's doing.
    fault: Option<Fault>,
}

/// A request, and how to answer it.
pub(super) type Asked = (Request<RecvStream>, SendResponse<Bytes>);

/// How long a client has to take notice of a GOAWAY before the connection is closed.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long streams that are broken off may take for their last words.
const LAST_WORDS: Duration = Duration::from_secs(4);

/// What becomes due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// Nothing was under way for too long.
    Idle,
    /// The last word took too long.
    End,
    /// A head was on its way for too long.
    Head,
    /// The client has taken nothing for too long.
    Stall,
}

impl<'a> Driven<'a> {
    /// A connection whose preface was read.
    pub(super) fn new(h2: server::Connection<Wire, Bytes>, connection: &'a Connection, seen: Arc<Mutex<Seen>>) -> Self {
        Self {
            h2,
            connection,
            seen,
            tasks: JoinSet::new(),
            under_way: HashMap::new(),
            refused: 0,
            idle_since: None,
            heard: Ending::No,
            is_leaving: false,
            end_at: None,
            timer: Timer::default(),
            why: ClientFault::Gone,
            fault: None,
        }
    }

    /// The next request; `None` at the connection's end.
    pub(super) async fn next(&mut self) -> Option<Asked> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Has a task of its own drive the exchange on a stream.
    pub(super) fn spawn(
        &mut self,
        id: u32,
        stream: Arc<Connection>,
        exchange: impl Future<Output = ()> + Send + 'static,
    ) {
        if self.heard == Ending::Now {
            stream.ask(Ending::Now);
        }
        self.under_way.insert(id, stream);
        self.tasks.spawn(async move {
            exchange.await;
            id
        });
    }

    /// How many requests were refused without a word since this was asked last: they are malformed, too many at a time
    /// or larger than the client was told, and all that is known of them is that there were some.
    pub(super) fn refused(&mut self) -> u32 {
        std::mem::take(&mut self.refused)
    }

    /// Lets go of the connection, and waits until every exchange on it is written down; why it ended, if that was the
    /// client's fault.
    pub(super) async fn end(self) -> Option<Fault> {
        let Self { h2, mut tasks, under_way, why, fault, .. } = self;
        // They would take the end of the connection for the client's.
        under_way.values().for_each(|stream| stream.lose(why));
        drop(h2);
        while tasks.join_next().await.is_some() {}
        fault
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Asked>> {
        self.hear(cx);
        while let Poll::Ready(Some(ended)) = self.tasks.poll_join_next(cx) {
            match ended {
                Ok(id) => drop(self.under_way.remove(&id)),
                Err(e) => log::error!("a stream's task ended badly: {e}"),
            }
        }
        loop {
            match self.h2.poll_accept(cx) {
                Poll::Ready(Some(Ok(asked))) => return Poll::Ready(Some(self.take(asked))),
                Poll::Ready(Some(Err(e))) => {
                    self.blame(&e);
                    return Poll::Ready(None);
                }
                Poll::Ready(None) => {
                    self.pass_by(u32::MAX);
                    return Poll::Ready(None);
                }
                Poll::Pending => {}
            }
            let is_flood = self.fault.is_none() && self.seen.lock().is_flood;
            if is_flood {
                self.dismiss(Fault::Http2Flood, Reason::ENHANCE_YOUR_CALM);
                continue;
            }
            match self.due(cx) {
                None => return Poll::Pending,
                Some(Due::End) => return Poll::Ready(None),
                Some(Due::Stall) => {
                    self.why = ClientFault::ReadTimeout;
                    return Poll::Ready(None);
                }
                Some(Due::Idle) => self.leave(Reason::NO_ERROR),
                Some(Due::Head) => {
                    let limit = self.connection.limits().header_timeout.0;
                    self.dismiss(Fault::HeadTimeout(limit), Reason::ENHANCE_YOUR_CALM);
                }
            }
        }
    }

    fn take(&mut self, asked: Asked) -> Asked {
        if self.connection.count_request() {
            self.h2.graceful_shutdown();
        }
        self.idle_since = None;
        self.pass_by(asked.1.stream_id().as_u32());
        asked
    }

    /// Streams are taken up in their order: those before this one that were not never will be.
    fn pass_by(&mut self, id: u32) {
        let mut seen = self.seen.lock();
        let is_whole = seen.head_since.is_none();
        while let Some(first) = seen.begun.pop_front_if(|first| *first <= id) {
            // The latest may have no end yet.
            let refused = first < id && (is_whole || !seen.begun.is_empty());
            self.refused += u32::from(refused);
        }
    }

    /// Hears what the door asks.
    fn hear(&mut self, cx: &mut Context<'_>) {
        let asked = self.connection.hear(cx.waker());
        if asked <= self.heard {
            return;
        }
        self.heard = asked;
        self.h2.graceful_shutdown();
        if asked == Ending::Now {
            self.end_at.get_or_insert(Instant::now() + LAST_WORDS);
            self.under_way.values().for_each(|stream| stream.ask(Ending::Now));
        }
    }

    /// Ends the connection for a fault of the client's.
    fn dismiss(&mut self, fault: Fault, reason: Reason) {
        self.fault.get_or_insert(fault);
        self.leave(reason);
    }

    /// Says a last word, and closes the connection once that is out.
    fn leave(&mut self, reason: Reason) {
        self.is_leaving = true;
        self.end_at = Some(Instant::now() + FAREWELL);
        self.h2.abrupt_shutdown(reason);
    }

    /// Whether the connection ended since the client broke rules that h2 guards.
    fn blame(&mut self, e: &h2::Error) {
        log::debug!("an HTTP/2 connection ended: {e}");
        if e.is_library() && e.is_go_away() && self.fault.is_none() {
            self.fault = match e.reason() {
                None | Some(Reason::NO_ERROR) => None,
                Some(Reason::ENHANCE_YOUR_CALM) => Some(Fault::Http2Flood),
                Some(reason) => Some(Fault::Http2Error(reason)),
            };
        }
    }

    /// What is due; if nothing is, the task is woken when something is.
    fn due(&mut self, cx: &mut Context<'_>) -> Option<Due> {
        let end = self.end_at.map(|at| (at, Due::End));
        let mut deadlines = [end, None, None, None];
        if !self.is_leaving {
            let limits = self.connection.limits();
            let seen = self.seen.lock();
            deadlines[1] = seen.head_since.map(|since| (since + limits.header_timeout.0, Due::Head));
            deadlines[2] = seen.stalled_since.map(|since| (since + limits.body_timeout.0, Due::Stall));
            drop(seen);
            deadlines[3] = self.idle_until().map(|at| (at, Due::Idle));
        }
        let (at, due) = deadlines.into_iter().flatten().min_by_key(|(at, _)| *at)?;
        self.timer.is_past(at, cx).then_some(due)
    }

    /// Until when it may stay as idle as it is.
    fn idle_until(&mut self) -> Option<Instant> {
        let is_idle = self.tasks.is_empty() && (self.heard == Ending::Now || !self.h2.has_streams());
        self.idle_since = is_idle.then(|| self.idle_since.unwrap_or_else(Instant::now));
        let limit = match self.heard {
            Ending::No | Ending::AfterAnswer => self.connection.limits().idle_timeout.0,
            Ending::WhenIdle => FAREWELL,
            Ending::Now => Duration::ZERO,
        };
        self.idle_since.map(|since| since + limit)
    }
}
