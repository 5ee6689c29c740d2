//! What a filter does with a body, piece by piece.

use bytes::Bytes;
use http::HeaderMap;

use super::Reply;

/// Sees a body as it streams by, for one exchange: made by a filter that asks for it
/// ([`Request::with_body`](super::Request::with_body), [`Response::with_body`](super::Response::with_body)). Exchanges
/// that nobody asks for pay nothing. What flows through a WebSocket is no body, and passes by.
pub trait BodyHook: Send + Sync {
    /// The next piece; empty for an end that brings none. What comes back goes on in its place: nothing, if the hook
    /// holds it back, more, if it had held some back.
    ///
    /// # Errors
    /// The exchange ends. A reply is sent if the response has not begun; if it has, the client sees a broken connection.
    fn piece(&mut self, piece: Bytes, end: bool) -> Result<Bytes, Box<Reply>>;

    /// A response has ended with these trailers; [`piece`](Self::piece) was called for the end of its body. What comes
    /// back stands in their place at the end of the body.
    fn trailers(&mut self, _trailers: &HeaderMap) -> Option<Bytes> {
        None
    }

    /// The request is tried again, and its body comes from its beginning once more.
    fn restart(&mut self) {}

    /// Whether what goes on may have another length than what came: the `Content-Length` then goes.
    fn changes_length(&self) -> bool {
        false
    }
}
