//! What a client may send beside requests: frames that cost the door something and bring nobody anything.
//!
//! Every such frame costs credit, as does a request until it is answered; credit comes back with time, and with what is
//! done for the client. So nobody who reads what it asked for is ever in debt, and who sends PING, SETTINGS, PRIORITY,
//! WINDOW_UPDATE, empty DATA, frames of unknown kinds, requests that it takes back at once or that nobody can answer
//! (CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2025-8671) without end soon is.

use std::time::{Duration, Instant};

use super::frames::{FrameHead, flag, kind};

/// The most credit: a run of so many PINGs, or an eighth as many requests that are taken back.
const MOST: u32 = 1000;

/// Credit that comes back each second.
const PER_SECOND: u32 = 100;

/// What makes the door do something of its own: a request, to take one back, SETTINGS, a piece of a body without any.
const WORK: u32 = 4;

/// What a client has left.
#[derive(Debug)]
pub(super) struct Conduct {
    credit: u32,
    counted: Instant,
}

impl Conduct {
    pub(super) fn new(now: Instant) -> Self {
        Self { credit: MOST, counted: now }
    }

    /// A frame came from the client, which may begin a stream; whether the client is in debt now.
    pub(super) fn received(&mut self, frame: FrameHead, begins: bool, now: Instant) -> bool {
        let cost = match frame.kind {
            kind::DATA if frame.has(flag::END_STREAM) || is_of_use(frame) => return false,
            kind::HEADERS if !begins => return false,
            kind::HEADERS | kind::DATA | kind::RST_STREAM | kind::SETTINGS => WORK,
            _ => 1,
        };
        if self.credit < cost {
            self.refill(now);
        }
        match self.credit.checked_sub(cost) {
            Some(left) => self.credit = left,
            None => return true,
        }
        false
    }

    /// A frame went to the client: DATA, which it will open its windows again for, or the end of an answer.
    pub(super) fn sent(&mut self, frame: FrameHead) {
        let ends = matches!(frame.kind, kind::DATA | kind::HEADERS) && frame.has(flag::END_STREAM);
        let earned = if ends { WORK } else { 0 } + if frame.kind == kind::DATA { 2 } else { 0 };
        self.credit = (self.credit + earned).min(MOST);
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.counted);
        let earned = passed.as_millis().saturating_mul(PER_SECOND.into()) / Duration::from_secs(1).as_millis();
        if earned > 0 {
            self.counted = now;
            self.credit = self.credit.saturating_add(u32::try_from(earned).unwrap_or(MOST)).min(MOST);
        }
    }
}

/// Whether a piece of a body can hold any of it. How many small ones wait to be read is bounded by h2.
fn is_of_use(frame: FrameHead) -> bool {
    frame.length > if frame.has(flag::PADDED) { 256 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIORITY: u8 = 2;
    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;

    fn frame(kind: u8, length: u32, flags: u8) -> FrameHead {
        FrameHead { length, kind, flags, stream: 1 }
    }

    /// How many such frames in one moment are too many.
    fn most(frame: FrameHead) -> Option<usize> {
        let now = Instant::now();
        let mut conduct = Conduct::new(now);
        (1..=5000).find(|_| conduct.received(frame, false, now))
    }

    #[test]
    fn frames_of_no_use_are_numbered() {
        for of_no_use in [PING, PRIORITY, WINDOW_UPDATE, kind::CONTINUATION, 0xfe] {
            assert_eq!(most(frame(of_no_use, 8, 0)), Some(1001), "{of_no_use}");
        }
        assert_eq!(most(frame(kind::RST_STREAM, 4, 0)), Some(251));
        assert_eq!(most(frame(kind::SETTINGS, 6, 0)), Some(251));
        assert_eq!(most(frame(kind::DATA, 0, 0)), Some(251));
        assert_eq!(most(frame(kind::DATA, 256, flag::PADDED)), Some(251));
    }

    #[test]
    fn so_are_requests_that_are_not_answered() {
        let now = Instant::now();
        let mut conduct = Conduct::new(now);
        let head = frame(kind::HEADERS, 10, flag::END_HEADERS);
        assert_eq!((1..=5000).find(|_| conduct.received(head, true, now)), Some(251));
    }

    #[test]
    fn bodies_and_trailers_are_not() {
        assert_eq!(most(frame(kind::HEADERS, 10, flag::END_HEADERS)), None);
        assert_eq!(most(frame(kind::DATA, 1, 0)), None);
        assert_eq!(most(frame(kind::DATA, 0, flag::END_STREAM)), None);
    }

    #[test]
    fn who_reads_what_it_asked_for_is_never_in_debt() {
        let now = Instant::now();
        let mut conduct = Conduct::new(now);
        for _ in 0..100_000 {
            conduct.sent(frame(kind::DATA, 16_384, 0));
            // Some open both windows again for each piece.
            assert!(!conduct.received(frame(WINDOW_UPDATE, 4, 0), false, now));
            assert!(!conduct.received(frame(WINDOW_UPDATE, 4, 0), false, now));
        }
        for _ in 0..100_000 {
            assert!(!conduct.received(frame(kind::HEADERS, 10, flag::END_STREAM), true, now));
            conduct.sent(frame(kind::HEADERS, 10, flag::END_STREAM));
        }
    }

    #[test]
    fn credit_comes_back_with_time() {
        let now = Instant::now();
        let mut conduct = Conduct::new(now);
        let ping = frame(PING, 8, 0);
        while !conduct.received(ping, false, now) {}
        let later = now + Duration::from_secs(1);
        assert_eq!((0..200).find(|_| conduct.received(ping, false, later)), Some(100));
    }
}
