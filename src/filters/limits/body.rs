//! How large the body of a request may be.

use bytes::Bytes;
use http::header::CONTENT_LENGTH;

use crate::filter::{BodyHook, Reply, Request};

/// What becomes of a request by what its head says of its body.
pub(super) enum Told {
    /// It has a length, and that is no more than allowed: HTTP lets no more come.
    Fits,
    /// It has a length, and that is too much.
    TooLarge(u64),
    /// Only its end will tell.
    Unknown,
}

/// Compares what the head says with the limit.
pub(super) fn told(request: &Request<'_>, limit: u64) -> Told {
    let value = request.head.headers.get(&CONTENT_LENGTH);
    match value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()) {
        Some(length) if length > limit => Told::TooLarge(length),
        Some(_) => Told::Fits,
        None => Told::Unknown,
    }
}

/// The answer to a body that is too large (RFC 9110, 15.5.14).
pub(super) fn too_large(limit: u64, reason: String) -> Reply {
    Reply::problem(413, format!("the body may have at most {limit} bytes")).because("body_too_large", reason)
}

/// Counts a body as it streams by.
pub(super) struct AtMost {
    limit: u64,
    seen: u64,
}

impl AtMost {
    /// Lets so many bytes pass.
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, seen: 0 }
    }
}

impl BodyHook for AtMost {
    fn piece(&mut self, piece: Bytes, _: bool) -> Result<Bytes, Box<Reply>> {
        self.seen = self.seen.saturating_add(piece.len() as u64);
        if self.seen > self.limit {
            let reason = format!("the body has at least {} bytes, and {} are allowed", self.seen, self.limit);
            return Err(Box::new(too_large(self.limit, reason)));
        }
        Ok(piece)
    }

    fn restart(&mut self) {
        self.seen = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_at_the_limit_in_whatever_pieces_it_comes() {
        let mut hook = AtMost::new(10);
        assert!(hook.piece(Bytes::from_static(b"12345"), false).is_ok());
        assert!(hook.piece(Bytes::from_static(b"67890"), false).is_ok());
        assert!(hook.piece(Bytes::new(), true).is_ok());
        assert_eq!(hook.piece(Bytes::from_static(b"1"), true).unwrap_err().status, 413);
        hook.restart();
        assert!(hook.piece(Bytes::from_static(b"1234567890"), true).is_ok());
    }
}
