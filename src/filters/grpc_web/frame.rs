//! The body of a response: gRPC's frames as they are, and one more for the trailers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;

use crate::filter::{BodyHook, Reply};

/// The first byte of the frame that holds the trailers.
const TRAILERS: u8 = 0x80;

/// Makes gRPC-Web of what gRPC sends.
pub(super) struct Frames {
    as_text: bool,
}

impl Frames {
    pub(super) fn new(as_text: bool) -> Self {
        Self { as_text }
    }
}

impl BodyHook for Frames {
    /// As text, each piece is padded by itself, so that none waits for the next.
    fn piece(&mut self, piece: Bytes, _: bool) -> Result<Bytes, Box<Reply>> {
        Ok(if self.as_text { STANDARD.encode(piece).into() } else { piece })
    }

    fn trailers(&mut self, trailers: &HeaderMap) -> Option<Bytes> {
        let frame = frame(trailers);
        Some(if self.as_text { STANDARD.encode(frame).into() } else { frame.into() })
    }

    fn changes_length(&self) -> bool {
        true
    }
}

/// The trailers as lines of HTTP/1, with their length before them as any frame has it.
fn frame(trailers: &HeaderMap) -> Vec<u8> {
    let mut frame = vec![TRAILERS, 0, 0, 0, 0];
    for (name, value) in trailers {
        frame.extend_from_slice(name.as_str().as_bytes());
        frame.extend_from_slice(b": ");
        frame.extend_from_slice(value.as_bytes());
        frame.extend_from_slice(b"\r\n");
    }
    // HTTP/2 bounds a header block far below this.
    let length = u32::try_from(frame.len() - 5).unwrap_or(u32::MAX);
    frame[1..5].copy_from_slice(&length.to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_are_lines_in_a_frame_of_their_own() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        trailers.insert("x-more", "a b".parse().unwrap());
        let frame = frame(&trailers);
        assert_eq!(&frame[..5], [0x80, 0, 0, 0, 29]);
        assert_eq!(&frame[5..], b"grpc-status: 0\r\nx-more: a b\r\n");
    }
}
