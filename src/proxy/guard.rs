//! The guard before Pingora's `HttpProxy`: it owns what never reaches a callback, and what no callback can bound.
//!
//! One future a connection drives Pingora's exchanges and watches five things beside them: how long it waits for
//! a request, the absolute deadline of a head, the absolute deadline of an exchange, panics, and a door that ends. When one strikes, Pingora's future is dropped, which
//! cancels the upstream call, and the client gets our error page on the stream that comes back (504, 408, 500, 503), or a
//! broken connection if a response was begun already. A head that Pingora's parser refuses gets our page, too.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Sleep;

use super::Gateway;
use super::connection::{Connection, Ending, HandedBack, Phase};
use super::entrance::{self, Speaks};
use super::evidence::Evidence;
use super::exchange::Exchange;
use super::fault::{ClientFault, Fault};
use super::live_listener::LiveListener;
use super::open::{Entered, Open};
use super::reply;
use super::stream::GuardStream;
use super::symptom::Symptom;
use super::turned_away::TurnedAway;
use crate::head::strict::HeadProblem;
use crate::head::wire::WireProblem;
use crate::proxy_protocol::Addresses;

/// The door of one listener. Clones share everything.
#[derive(Clone)]
pub struct Guard {
    listener: Arc<LiveListener>,
    pub(super) proxy: Arc<HttpProxy<Gateway>>,
    pub(super) gateway: Gateway,
    open: Arc<Open>,
}

/// How long a connection that is closed under a client that still sends is read from, so that the client gets to see
/// the answer (nginx calls this lingering close).
const LINGER: Duration = Duration::from_secs(2);

/// How long the last answer on a connection may take to write.
const LAST_WORDS: Duration = Duration::from_secs(2);

impl Guard {
    /// A guard for one listener. All guards of a door share the proxy, and so its pool of upstream connections.
    pub fn new(listener: Arc<LiveListener>, proxy: Arc<HttpProxy<Gateway>>, gateway: Gateway, open: Arc<Open>) -> Self {
        Self { listener, proxy, gateway, open }
    }

    /// Serves a connection to its end. It is counted from this call on, not only when the future first runs.
    pub fn serve(&self, stream: Stream, shutdown: ShutdownWatch) -> impl Future<Output = ()> + Send + use<> {
        let (guard, entered) = (self.clone(), self.enter(&stream));
        async move {
            if let Some(entered) = entered {
                guard.drive(stream, entered, &shutdown).await;
            }
        }
    }

    /// Counts a connection; `None` if it is one too many.
    fn enter(&self, stream: &Stream) -> Option<Entered> {
        let addresses = stream.get_socket_digest().and_then(|digest| {
            let (client, door) = (digest.peer_addr()?.as_inet()?, digest.local_addr()?.as_inet()?);
            Some(Addresses { client: *client, door: *door })
        });
        let most = self.gateway.snapshot().config().process.connections.map(|most| most.0 as usize);
        let entered = self.open.enter(Connection::new(Arc::clone(&self.listener), addresses), most);
        if entered.is_none() {
            let client = addresses.map(|addresses| addresses.client.ip().to_canonical());
            self.listener.turn_away(TurnedAway::ConnectionsFull, client, None);
        }
        entered
    }

    /// A connection from its first byte to its last.
    async fn drive(&self, stream: Stream, mut connection: Entered, shutdown: &ShutdownWatch) {
        // In a box of its own: what only a handshake needs is not kept for as long as the connection.
        let entered = Box::pin(entrance::enter(stream, &mut connection)).await;
        match entered {
            Some(Speaks::Http1(stream)) => self.exchanges(stream, connection, shutdown).await,
            Some(Speaks::Http2(stream)) => Box::pin(self.http2(stream, &connection, shutdown)).await,
            None => {}
        }
    }

    /// All exchanges on a connection.
    async fn exchanges(&self, stream: Stream, connection: Entered, shutdown: &ShutdownWatch) {
        let mut timer = Timer::default();
        let mut next: Option<(Stream, Option<HttpPersistentSettings>)> =
            Some((Box::new(GuardStream::new(stream, Arc::clone(&connection))), None));
        while let Some((stream, settings)) = next {
            let mut session = ServerSession::new_http1(stream);
            match settings {
                Some(settings) => settings.apply_to_session(&mut session),
                None => {
                    // For ever, as far as Pingora is concerned: its timer would also strike within a head.
                    session.set_keepalive(Some(0));
                    session.set_pipelining_enabled(true);
                }
            }
            next = self.exchange(session, &connection, &mut timer, shutdown).await.map(ReusedHttpStream::consume);
        }
    }

    /// One exchange on a connection; what comes back can be used for the next.
    async fn exchange(
        &self,
        session: ServerSession,
        connection: &Arc<Connection>,
        timer: &mut Timer,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        connection.rest();
        let mut exchange = self.proxy.process_new_http(session, shutdown);
        let ended = Bounded { inner: exchange.as_mut(), connection, timer }.await;
        let fault = match ended {
            Ended::Whole(reusable) => {
                drop(exchange);
                match (reusable, connection.refused()) {
                    (Some(reusable), None) => {
                        // What was handed back is of an exchange that is over, and no concern of the next.
                        drop(connection.take_back());
                        return Some(reusable);
                    }
                    (_, Some(status)) => {
                        self.refuse(connection, status).await;
                        return None;
                    }
                    (None, None) if connection.phase() == Phase::Head => {
                        self.left(connection);
                        return None;
                    }
                    (None, None) => {
                        linger(connection.take_back().stream).await;
                        return None;
                    }
                }
            }
            Ended::Early(why) => why.fault(connection)?,
        };
        connection.hand_back();
        // Cancels the upstream call, and hands back what is still needed.
        drop(exchange);
        self.give_up(connection, fault).await;
        None
    }

    /// A head that Pingora's parser refused, before there was an exchange.
    async fn refuse(&self, connection: &Connection, status: u16) {
        let fault = match (status, connection.boundary.next_problem()) {
            // Pingora knows no status but 400 for them.
            (_, Some(WireProblem::Head(problem))) if matches!(problem.status(), 414 | 431) => Fault::Head(problem),
            (405, _) => Fault::Head(HeadProblem::Method),
            (431, _) => Fault::Head(HeadProblem::HeadersTooBig),
            _ => Fault::Malformed,
        };
        self.give_up(connection, fault).await;
    }

    /// Ends an exchange that was broken off: answers what can be answered yet, and writes it down.
    pub(super) async fn give_up(&self, connection: &Connection, fault: Fault) {
        let HandedBack { stream, ends, exchange } = connection.take_back();
        let mut exchange = exchange.unwrap_or_else(|| Box::new(self.unread(connection)));
        exchange.settle_query();
        if matches!(fault, Fault::Deadline | Fault::Client(_)) && exchange.answered.whole {
            // The response is out; what is missing is the rest of a request that nobody waits for.
            self.gateway.write_log(&exchange);
            drop(exchange);
            return linger(stream).await;
        }
        exchange.witness(&fault, Symptom::default());
        // A door that leaves now does not wait for its clients.
        let lingers = !matches!(fault, Fault::Shutdown);
        let reply = exchange.fail(fault).reply();
        let answered = connection.is_answered();
        let (mut stream, mut ends) = (stream, ends);
        if !answered {
            let answer = reply::answer(&mut exchange, reply).await;
            let said = match (&mut stream, &mut ends) {
                (Some(stream), _) => say(stream, &answer.to_bytes(&exchange.asked.method)).await,
                (None, Some(ends)) => ends.answer(&answer, &exchange.asked.method, LAST_WORDS).await,
                (None, None) => false,
            };
            if said {
                exchange.answered.status = Some(answer.status.as_u16());
                let has_body = answer.has_body(&exchange.asked.method);
                exchange.answered.body_bytes = if has_body { answer.body.len() as u64 } else { 0 };
            }
        }
        self.gateway.write_log(&exchange);
        drop(exchange);
        if !answered && lingers {
            linger(stream).await;
        }
    }

    /// A client left within a head.
    fn left(&self, connection: &Connection) {
        let fault = Fault::Client(ClientFault::Gone);
        let mut exchange = self.unread(connection);
        exchange.answered.failures.push(Evidence::of_request(&fault, connection.head_age()));
        exchange.fail(fault);
        self.gateway.write_log(&exchange);
    }

    /// An exchange of which nothing was read, for the log and the error page.
    pub(super) fn unread(&self, connection: &Connection) -> Exchange {
        let snapshot = self.gateway.snapshot();
        let listener = connection.listener(snapshot.generation());
        let mut exchange = Exchange::new(snapshot, Some(listener));
        let age = connection.head_age();
        exchange.started = exchange.started.checked_sub(age).unwrap_or(exchange.started);
        exchange.started_at = exchange.started_at.checked_sub(age).unwrap_or(exchange.started_at);
        let nothing = http::HeaderMap::new();
        exchange.client = super::forwarded::client(connection.peer(), connection.tls().is_some(), &nothing, &[]);
        exchange.request_id = super::forwarded::request_id(&nothing, false);
        exchange
    }
}

/// Writes the last answer on a connection; whether it could.
async fn say(stream: &mut Stream, bytes: &[u8]) -> bool {
    let write = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    matches!(tokio::time::timeout(LAST_WORDS, write).await, Ok(Ok(())))
}

/// Closes a connection so that a client which still sends gets to read the answer: closing a socket with unread data
/// resets it, and a reset throws away what the client has not read yet.
pub(super) async fn linger(stream: Option<Stream>) {
    let Some(mut stream) = stream else { return };
    let drain = async {
        stream.shutdown().await?;
        let mut sink = [0_u8; 8192];
        while stream.read(&mut sink).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whatever the outcome, the connection is closed by dropping it.
    tokio::time::timeout(LINGER, drain).await.ok();
}

#[async_trait]
impl ServerApp for Guard {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        if let Some(entered) = self.enter(&stream) {
            self.drive(stream, entered, shutdown).await;
        }
        None
    }
}

/// How a bounded exchange ended.
pub(super) enum Ended<T> {
    /// By itself.
    Whole(T),
    /// It was broken off.
    Early(Why),
}

/// Why an exchange was broken off.
pub(super) enum Why {
    Expired,
    Asked,
    Lost(ClientFault),
    Panicked(String),
}

impl Why {
    /// What that means for the exchange; `None` if nothing was under way, or nothing that was not written down.
    pub(super) fn fault(self, connection: &Connection) -> Option<Fault> {
        let phase = connection.phase();
        match self {
            _ if connection.is_logged() => None,
            Self::Panicked(said) => Some(Fault::Internal(format!("panicked: {said}"))),
            Self::Asked | Self::Expired if phase == Phase::Idle => None,
            Self::Asked => Some(Fault::Shutdown),
            Self::Lost(why) => Some(Fault::Client(why)),
            Self::Expired if phase == Phase::Head => Some(Fault::HeadTimeout(connection.limits().header_timeout.0)),
            Self::Expired => Some(Fault::Deadline),
        }
    }
}

/// An exchange under the deadline of its connection, which it may set and move while it runs.
pub(super) struct Bounded<'a, 'f, T> {
    pub inner: Pin<&'a mut (dyn Future<Output = T> + Send + 'f)>,
    pub connection: &'a Connection,
    pub timer: &'a mut Timer,
}

impl<T> Future for Bounded<'_, '_, T> {
    type Output = Ended<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended<T>> {
        let this = self.get_mut();
        let ending = this.connection.hear(cx.waker());
        if let Some(why) = this.connection.lost() {
            return Poll::Ready(Ended::Early(Why::Lost(why)));
        }
        match catch_unwind(AssertUnwindSafe(|| this.inner.as_mut().poll(cx))) {
            Ok(Poll::Ready(value)) => return Poll::Ready(Ended::Whole(value)),
            Ok(Poll::Pending) => {}
            Err(panic) => {
                return Poll::Ready(Ended::Early(Why::Panicked(crate::filter::panic_message(&*panic))));
            }
        }
        // A client in the midst of a head has asked for something already.
        if ending == Ending::Now || (ending == Ending::WhenIdle && this.connection.phase() == Phase::Idle) {
            return Poll::Ready(Ended::Early(Why::Asked));
        }
        if let Some(at) = this.connection.deadline()
            && this.timer.is_past(at, cx)
        {
            return Poll::Ready(Ended::Early(Why::Expired));
        }
        if let Some(at) = this.connection.try_limit.until()
            && this.timer.is_past(at, cx)
        {
            this.connection.try_limit.strike();
        }
        Poll::Pending
    }
}

/// A connection's one timer. It is moved only when it has run out or is set too late: on a connection with a steady
/// run of requests, each with a new deadline, it costs next to nothing.
#[derive(Default)]
pub(super) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Whether `at` has passed; if not, the task is woken when it does (and sometimes before).
    pub(super) fn is_past(&mut self, at: Instant, cx: &mut Context<'_>) -> bool {
        let at = tokio::time::Instant::from_std(at);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        loop {
            if sleep.deadline() > at {
                sleep.as_mut().reset(at);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return false;
            }
            if sleep.deadline() >= at {
                return true;
            }
            sleep.as_mut().reset(at);
        }
    }
}
