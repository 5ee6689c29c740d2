//! What of the bytes that a client sends belongs to which request.
//!
//! Pingora keeps to itself what it has read beyond the end of a request. The strict reader of those bytes
//! ([`Wire`]) is ahead of it then, so what is found out is kept with the number of its request.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::head::wire::{Wire, WireProblem};

/// How far both readers are.
#[derive(Debug, Default)]
pub(super) struct Boundary {
    /// Requests that have begun on the wire.
    begun: AtomicU64,
    /// Requests whose head Pingora has read.
    taken: AtomicU64,
    problem: OnceLock<(u64, WireProblem)>,
}

impl Boundary {
    /// So far the strict reader is.
    pub(super) fn saw(&self, wire: &Wire) {
        self.begun.store(wire.begun(), Relaxed);
        if let Some(problem) = wire.problem() {
            self.problem.get_or_init(|| problem);
        }
    }

    /// Pingora has read the head of another request.
    pub(super) fn take(&self) {
        self.taken.fetch_add(1, Relaxed);
    }

    /// Whether the next byte is the first of a request.
    pub(super) fn is_clean(&self) -> bool {
        self.begun.load(Relaxed) <= self.taken.load(Relaxed)
    }

    /// What is wrong with the request that Pingora has taken last, as far as it has come.
    pub(super) fn problem(&self) -> Option<WireProblem> {
        self.problem_of(self.taken.load(Relaxed))
    }

    /// What is wrong with the one behind that.
    pub(super) fn next_problem(&self) -> Option<WireProblem> {
        self.problem_of(self.taken.load(Relaxed).saturating_add(1))
    }

    fn problem_of(&self, number: u64) -> Option<WireProblem> {
        self.problem.get().filter(|(of, _)| *of == number).map(|(_, problem)| *problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_that_of_its_request_only() {
        let (mut wire, boundary) = (Wire::new(1000), Boundary::default());
        assert!(boundary.is_clean());
        wire.saw(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\n");
        boundary.saw(&wire);
        assert!(!boundary.is_clean());
        boundary.take();
        assert!(!boundary.is_clean() && boundary.problem().is_none() && boundary.next_problem().is_some());
        boundary.take();
        assert!(boundary.is_clean() && boundary.problem().is_some() && boundary.next_problem().is_none());
    }
}
