//! The time that one try has (`retry.per_try`), which Pingora has no word for: its timeouts are for each read.
//!
//! When the time is over, the guard shuts the socket of the try down. Whoever waits for the upstream then sees the
//! connection end, and the exchange goes on with another try.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::sys::socket::{Shutdown, shutdown};

use super::trip::Trip;

/// The time that the try of the exchange under way has. Set, struck and ended in the one task that drives the exchange,
/// so that the socket is that of the try and no later one's that got its number.
#[derive(Debug)]
pub(super) struct TryLimit {
    since: Instant,
    /// Nanoseconds after `since`; [`NONE`] for none.
    until: AtomicU64,
    socket: AtomicI32,
    struck: AtomicBool,
}

const NONE: u64 = u64::MAX;

impl TryLimit {
    pub(super) fn new(since: Instant) -> Self {
        Self { since, until: AtomicU64::new(NONE), socket: AtomicI32::new(-1), struck: AtomicBool::new(false) }
    }

    /// A try has begun on a connection that nothing else uses.
    pub(super) fn begin(&self, socket: RawFd, until: Instant) {
        let nanos = u64::try_from(until.saturating_duration_since(self.since).as_nanos()).unwrap_or(NONE);
        self.socket.store(socket, Relaxed);
        self.until.store(nanos, Relaxed);
    }

    /// It has brought a head.
    pub(super) fn end(&self) {
        self.until.store(NONE, Relaxed);
    }

    /// There is no try any more.
    pub(super) fn clear(&self) {
        self.end();
        self.struck.store(false, Relaxed);
    }

    /// Whether its time was over before it brought a head.
    pub(super) fn has_struck(&self) -> bool {
        self.struck.load(Relaxed)
    }

    /// Until when it must have brought a head.
    pub(super) fn until(&self) -> Option<Instant> {
        let nanos = self.until.load(Relaxed);
        (nanos != NONE).then(|| self.since + Duration::from_nanos(nanos))
    }

    /// Its time is over.
    pub(super) fn strike(&self) {
        self.end();
        self.struck.store(true, Relaxed);
        if let Err(e) = shutdown(self.socket.load(Relaxed), Shutdown::Both) {
            // It has just ended by itself.
            log::debug!("a try could not be broken off: {e}");
        }
    }
}

/// Sets the time that a try has from the end of its request on, as Envoy has it: a slow client is not the endpoint's
/// fault. Only a connection that is for this one exchange can be broken off.
pub(super) fn bound_try(trip: &Trip) {
    let socket = trip.onward.as_ref().and_then(|onward| onward.socket);
    if let (Some(per_try), Some(connection), Some(socket)) = (trip.per_try(), trip.connection(), socket) {
        connection.try_limit.begin(socket, Instant::now() + per_try);
    }
}

/// The try under way has ended by itself: its socket may soon be another's.
pub(super) fn end_try(trip: &Trip) {
    if let Some(connection) = trip.connection() {
        connection.try_limit.end();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn whoever_waits_for_a_try_that_is_struck_sees_the_connection_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let limit = TryLimit::new(Instant::now());
        limit.begin(stream.as_raw_fd(), Instant::now());
        assert!(limit.until().is_some());
        limit.strike();
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
        assert_eq!(limit.until(), None);
        assert!(limit.has_struck());
        limit.clear();
        assert!(!limit.has_struck());
    }
}
