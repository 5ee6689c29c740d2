//! Where one request ends and the next begins in the bytes that a client sends.
//!
//! Pingora keeps to itself what it has read beyond the end of a request: the beginning of a pipelined one. What comes
//! next from the wire is then the middle of a head, and must not be judged as if it were its first line.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Counts what was read from a client, and what of it belonged to requests that are over.
#[derive(Debug, Default)]
pub(super) struct Boundary {
    read: AtomicU64,
    consumed: AtomicU64,
    /// The last four bytes read.
    tail: AtomicU32,
}

const BLANK_LINE: u32 = u32::from_be_bytes(*b"\r\n\r\n");

impl Boundary {
    /// These bytes came.
    pub(super) fn saw(&self, bytes: &[u8]) {
        self.read.fetch_add(bytes.len() as u64, Relaxed);
        let last = &bytes[bytes.len().saturating_sub(4)..];
        let tail = last.iter().fold(self.tail.load(Relaxed), |tail, &byte| (tail << 8) | u32::from(byte));
        self.tail.store(tail, Relaxed);
    }

    /// A request was as long as this, head and body; `None` for a chunked one, which ends in an empty line.
    pub(super) fn message(&self, length: Option<u64>) {
        let read = self.read.load(Relaxed);
        let consumed = match length {
            // One more that was sent whole behind it is counted by itself, later.
            None if self.tail.load(Relaxed) == BLANK_LINE => read,
            None => self.consumed.load(Relaxed),
            Some(length) => self.consumed.load(Relaxed).saturating_add(length),
        };
        self.consumed.store(consumed.min(read), Relaxed);
    }

    /// Whether the next byte is the first of a request. An empty line too many, which some clients send behind a body
    /// (RFC 9112, 2.2), is nothing.
    pub(super) fn is_clean(&self) -> bool {
        match self.read.load(Relaxed) - self.consumed.load(Relaxed) {
            0 => true,
            2 => self.tail.load(Relaxed) & 0xffff == BLANK_LINE & 0xffff,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(read: &[&[u8]], messages: &[Option<u64>]) -> bool {
        let boundary = Boundary::default();
        read.iter().for_each(|bytes| boundary.saw(bytes));
        messages.iter().for_each(|length| boundary.message(*length));
        boundary.is_clean()
    }

    #[test]
    fn a_request_that_was_read_whole_leaves_a_clean_boundary() {
        assert!(after(&[], &[]));
        assert!(after(&[b"GET / HTTP/1.1\r\n", b"\r\n"], &[Some(18)]));
        assert!(after(&[b"POST / HTTP/1.1\r\n\r\n0\r", b"\n\r\n"], &[None]));
    }

    #[test]
    fn the_beginning_of_another_request_does_not() {
        assert!(!after(&[b"GET / HTTP/1.1\r\n\r\nGE"], &[Some(18)]));
        assert!(!after(&[b"POST / HTTP/1.1\r\n\r\n0\r\n\r\nGET /"], &[None]));
    }

    #[test]
    fn requests_that_were_sent_together_are_counted_one_by_one() {
        let two = b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        assert!(!after(&[two], &[Some(18)]));
        assert!(after(&[two], &[Some(18), Some(18)]));
        assert!(after(&[b"0\r\n\r\n", two], &[None, Some(18), Some(18)]));
    }

    #[test]
    fn an_empty_line_behind_a_body_is_nothing() {
        assert!(after(&[b"POST / HTTP/1.1\r\n\r\nab\r\n"], &[Some(21)]));
    }
}
