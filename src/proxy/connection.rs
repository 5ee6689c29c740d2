//! A client's connection as the guard sees it: what it is doing, until when, and how to get it back.
//!
//! Pingora owns the session while an exchange is under way. Two things it can't do are done from here: a deadline that
//! holds in every phase, and an error page of ours where its own parser refuses a head. For both, the guard drops
//! Pingora's future and takes back the stream and the [`Exchange`], which hand themselves over as they are dropped.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use pingora::protocols::Stream;

use super::arrival::{Arrival, Secured};
use super::boundary::Boundary;
use super::exchange::{Exchange, Peer};
use super::fault::ClientFault;
use super::http2::Ends;
use super::live_listener::LiveListener;
use super::pace::Pace;
use super::try_limit::TryLimit;
use crate::config::ListenerLimits;
use crate::head::wire::WireProblem;
use crate::proxy_protocol::Addresses;
use crate::snapshot::Listener;
use crate::upstream::Upgrade;

/// What is known of a connection by all who have a hand in it.
#[derive(Debug)]
pub struct Connection {
    /// The listener that accepted it.
    listener: Arc<LiveListener>,
    /// The listener's settings when it was accepted.
    settings: Arc<Listener>,
    /// Its other end, whoever that stands for.
    accepted_from: Peer,
    /// The addresses of both of its ends; `None` on a Unix socket.
    accepted_addresses: Option<Addresses>,
    arrival: OnceLock<Arrival>,
    opened: Instant,
    requests: AtomicU32,
    phase: AtomicU8,
    /// Nanoseconds after `opened`; [`NO_DEADLINE`] for none.
    deadline: AtomicU64,
    answered: AtomicBool,
    logged: AtomicBool,
    refused: AtomicU16,
    /// The time that the try under way has.
    pub(super) try_limit: TryLimit,
    /// Where requests end in what the client sends.
    pub(super) boundary: Boundary,
    /// How fast the body comes that it sends.
    pub(super) pace: Pace,
    handing_back: AtomicBool,
    handed_back: Mutex<HandedBack>,
    asked: AtomicU8,
    lost: OnceLock<ClientFault>,
    task: AtomicWaker,
    tunnel: OnceLock<Arc<Upgrade>>,
}

/// What the guard gets back when it drops Pingora's future.
#[derive(Debug, Default)]
pub struct HandedBack {
    /// The client's stream.
    pub stream: Option<Stream>,
    /// The ends of the client's stream on a connection of HTTP/2.
    pub ends: Option<Ends>,
    /// What was under way.
    pub exchange: Option<Box<Exchange>>,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Waiting for a request.
    Idle = 0,
    /// The first byte of a head has come.
    Head = 1,
    /// A head was read and is being answered.
    Exchange = 2,
}

/// What a door that ends asks of its connections; each asks for more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Ending {
    /// Nothing: the door goes on.
    #[default]
    No = 0,
    /// That the next answer is the last, and says so.
    AfterAnswer = 1,
    /// The same, and that a connection on which not even a head has begun is closed.
    WhenIdle = 2,
    /// That whatever is under way is broken off.
    Now = 3,
}

const NO_DEADLINE: u64 = u64::MAX;

impl Connection {
    /// A connection that was just accepted.
    pub fn new(listener: Arc<LiveListener>, accepted_addresses: Option<Addresses>) -> Self {
        Self {
            settings: listener.now(),
            listener,
            accepted_from: accepted_addresses.map_or(Peer::Unix, |addresses| Peer::Inet(addresses.client)),
            accepted_addresses,
            arrival: OnceLock::new(),
            opened: Instant::now(),
            requests: AtomicU32::new(0),
            phase: AtomicU8::new(Phase::Idle as u8),
            deadline: AtomicU64::new(NO_DEADLINE),
            answered: AtomicBool::new(false),
            logged: AtomicBool::new(false),
            refused: AtomicU16::new(0),
            try_limit: TryLimit::new(Instant::now()),
            boundary: Boundary::default(),
            pace: Pace::default(),
            handing_back: AtomicBool::new(false),
            handed_back: Mutex::default(),
            asked: AtomicU8::new(Ending::No as u8),
            lost: OnceLock::new(),
            task: AtomicWaker::new(),
            tunnel: OnceLock::new(),
        }
    }

    /// A stream on this connection of HTTP/2: for its exchange it is what a connection of HTTP/1 is.
    pub(super) fn stream(&self) -> Self {
        let stream = Self::new(Arc::clone(&self.listener), self.accepted_addresses);
        Self { settings: Arc::clone(&self.settings), arrival: self.arrival.clone(), ..stream }
    }

    /// The listener that accepted it, as the configuration of this generation has it.
    pub fn listener(&self, generation: u64) -> Arc<Listener> {
        self.listener.at(generation)
    }

    /// The listener that accepted it, whatever its settings are now.
    pub(super) fn live_listener(&self) -> &LiveListener {
        &self.listener
    }

    /// The listener's settings when it was accepted.
    pub fn settings(&self) -> &Listener {
        &self.settings
    }

    /// What one client may cost on it.
    pub fn limits(&self) -> &ListenerLimits {
        &self.settings.limits
    }

    /// It may have its first request. Said once.
    pub(super) fn arrive(&self, arrival: Arrival) {
        // A second word would be a slip of the guard's; the first holds.
        self.arrival.set(arrival).ok();
    }

    /// Its other end; behind a load balancer that speaks the PROXY protocol, the client that this stands for.
    pub fn peer(&self) -> Peer {
        self.arrival.get().map_or(self.accepted_from, |arrival| arrival.peer)
    }

    /// Its other end, whoever that stands for.
    pub(super) fn accepted_from(&self) -> Peer {
        self.accepted_from
    }

    /// The addresses of both of its ends; behind a load balancer that speaks the PROXY protocol, those of the client's
    /// connection to that. `None` on a Unix socket.
    pub(super) fn addresses(&self) -> Option<Addresses> {
        self.arrival.get().map_or(self.accepted_addresses, |arrival| arrival.addresses)
    }

    /// What TLS has shown of it; `None` without TLS.
    pub fn tls(&self) -> Option<&Arc<Secured>> {
        self.arrival.get().and_then(|arrival| arrival.tls.as_ref())
    }

    /// One more request; whether it is the last that the connection may have.
    pub(super) fn count_request(&self) -> bool {
        self.requests.fetch_add(1, Relaxed);
        self.had_last_request()
    }

    /// Whether it had the last request that it may have.
    pub(super) fn had_last_request(&self) -> bool {
        self.requests.load(Relaxed) >= self.limits().requests_per_connection.0
    }

    /// Asks it to end. What was asked before stands, if that is more.
    pub(super) fn ask(&self, ending: Ending) {
        self.asked.fetch_max(ending as u8, Release);
        self.task.wake();
    }

    /// The connection that carried it has ended, for this reason.
    pub(super) fn lose(&self, why: ClientFault) {
        // What came first counts.
        self.lost.set(why).ok();
        self.task.wake();
    }

    /// Why the connection that carried it has ended, if it has.
    pub(super) fn lost(&self) -> Option<ClientFault> {
        self.lost.get().copied()
    }

    /// Whether it is asked to end. The task of this waker hears of a change after this call.
    pub(super) fn hear(&self, task: &Waker) -> Ending {
        self.task.register(task);
        self.ending()
    }

    /// Whether it is asked to end.
    pub fn ending(&self) -> Ending {
        match self.asked.load(Acquire) {
            0 => Ending::No,
            1 => Ending::AfterAnswer,
            2 => Ending::WhenIdle,
            _ => Ending::Now,
        }
    }

    /// What it is doing.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Head,
            _ => Phase::Exchange,
        }
    }

    /// It waits for the next request, or for the rest of it where Pingora has its beginning already.
    pub fn rest(&self) {
        self.set_deadline(Some(Instant::now() + self.limits().idle_timeout.0));
        self.try_limit.clear();
        self.pace.end();
        self.answered.store(false, Relaxed);
        self.logged.store(false, Relaxed);
        self.refused.store(0, Relaxed);
        self.handing_back.store(false, Relaxed);
        self.phase.store(Phase::Idle as u8, Relaxed);
        if !self.boundary.is_clean() {
            self.begin_head();
        }
    }

    /// A head was read whole.
    pub fn begin_exchange(&self) {
        self.boundary.take();
        self.set_deadline(None);
        self.phase.store(Phase::Exchange as u8, Relaxed);
    }

    pub(super) fn begin_head(&self) {
        if self.phase() == Phase::Idle {
            self.phase.store(Phase::Head as u8, Relaxed);
            self.set_deadline(Some(Instant::now() + self.limits().header_timeout.0));
        }
    }

    /// Until when what it is doing must be done.
    pub fn set_deadline(&self, at: Option<Instant>) {
        let nanos = at.map_or(NO_DEADLINE, |at| {
            u64::try_from(at.saturating_duration_since(self.opened).as_nanos()).unwrap_or(NO_DEADLINE)
        });
        self.deadline.store(nanos, Relaxed);
    }

    /// How long the head that is being read has been on its way.
    pub fn head_age(&self) -> Duration {
        match self.deadline() {
            Some(at) if self.phase() == Phase::Head => {
                self.limits().header_timeout.0.saturating_sub(at.saturating_duration_since(Instant::now()))
            }
            _ => Duration::ZERO,
        }
    }

    /// Until when what it is doing must be done.
    pub fn deadline(&self) -> Option<Instant> {
        match self.deadline.load(Relaxed) {
            NO_DEADLINE => None,
            nanos => Some(self.opened + Duration::from_nanos(nanos)),
        }
    }

    /// The final head of a response has been begun: nothing else can be said any more.
    pub fn mark_answered(&self) {
        self.answered.store(true, Relaxed);
    }

    /// Whether the final head of a response has been begun.
    pub fn is_answered(&self) -> bool {
        self.answered.load(Relaxed)
    }

    /// The exchange was written down: only the rest of its request's body may be waited for still.
    pub fn mark_logged(&self) {
        self.logged.store(true, Relaxed);
    }

    /// Whether the exchange was written down.
    pub fn is_logged(&self) -> bool {
        self.logged.load(Relaxed)
    }

    /// Whether the body of the request under way breaks a rule, as far as it has come.
    pub(super) fn has_bad_body(&self) -> bool {
        self.boundary.problem() == Some(WireProblem::Body)
    }

    /// The status that Pingora's own parser wanted to refuse the head with.
    pub fn refused(&self) -> Option<u16> {
        Some(self.refused.load(Relaxed)).filter(|status| *status != 0)
    }

    /// From now on stream and exchange hand themselves back when they are dropped.
    pub fn hand_back(&self) {
        self.handing_back.store(true, Relaxed);
    }

    /// Whether that is so.
    pub fn is_handing_back(&self) -> bool {
        self.handing_back.load(Relaxed)
    }

    /// What was handed back.
    pub fn take_back(&self) -> HandedBack {
        self.handing_back.store(false, Relaxed);
        std::mem::take(&mut *self.handed_back.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// It is one end of a tunnel from now on, to its end.
    pub(super) fn begin_tunnel(&self, upgrade: &Arc<Upgrade>) {
        self.tunnel.get_or_init(|| Arc::clone(upgrade));
    }

    /// The tunnel that it is one end of.
    pub(super) fn tunnel(&self) -> Option<&Upgrade> {
        self.tunnel.get().map(|upgrade| &**upgrade)
    }

    pub(super) fn receive(&self, put: impl FnOnce(&mut HandedBack)) {
        if self.handing_back.load(Relaxed) {
            put(&mut self.handed_back.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Pingora wants to answer a head by itself: remembers the status in place of writing it.
    pub(super) fn refuse_as(&self, head: &[u8]) {
        let status = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|s| s.parse().ok());
        self.refuse(status.unwrap_or(400));
    }

    /// The head is not wanted, and not to be read further; the first reason counts.
    pub(super) fn refuse(&self, status: u16) {
        if self.refused().is_none() {
            self.refused.store(status, Relaxed);
        }
        self.hand_back();
    }
}
