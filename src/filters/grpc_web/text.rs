//! The base64 of a request, as it streams.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::filter::{BodyHook, Reply};

/// Characters of base64 stand for bytes in groups of four.
const GROUP: usize = 4;

/// Decodes a body. Each message may be padded by itself, so that `=` may come anywhere at a group's end.
#[derive(Default)]
pub(super) struct Decode {
    /// The beginning of a group.
    begun: Vec<u8>,
}

impl BodyHook for Decode {
    fn piece(&mut self, piece: Bytes, end: bool) -> Result<Bytes, Box<Reply>> {
        self.begun.extend_from_slice(&piece);
        let whole = self.begun.len() - self.begun.len() % GROUP;
        let decoded = decode(&self.begun[..whole]).filter(|_| !end || whole == self.begun.len());
        let decoded = decoded.ok_or_else(|| Box::new(Reply::problem(400, "the body is not base64")))?;
        self.begun.drain(..whole);
        Ok(decoded.into())
    }

    fn restart(&mut self) {
        self.begun.clear();
    }

    fn changes_length(&self) -> bool {
        true
    }
}

/// Whole groups.
fn decode(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / GROUP * 3);
    while !text.is_empty() {
        let padding = text.iter().position(|byte| *byte == b'=');
        let end = padding.map_or(text.len(), |at| (at / GROUP + 1) * GROUP);
        STANDARD.decode_vec(&text[..end], &mut bytes).ok()?;
        text = &text[end..];
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(pieces: &[&str]) -> Option<Vec<u8>> {
        let mut hook = Decode::default();
        let mut all = Vec::new();
        for (n, piece) in pieces.iter().enumerate() {
            let piece = Bytes::copy_from_slice(piece.as_bytes());
            all.extend_from_slice(&hook.piece(piece, n + 1 == pieces.len()).ok()?);
        }
        Some(all)
    }

    #[test]
    fn base64_is_decoded_wherever_it_is_cut_and_padded() {
        assert_eq!(decoded(&["YWJj"]).unwrap(), b"abc");
        assert_eq!(decoded(&["Y", "WJ", "jZ", "A==", ""]).unwrap(), b"abcd");
        assert_eq!(decoded(&["YQ==YmI=Y2Nj", "ZA=", "="]).unwrap(), b"abbcccd");
        assert_eq!(decoded(&[""]).unwrap(), b"");
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for bad in ["YWJ", "Y===", "YW Jj", "****", "YQ==Y"] {
            assert_eq!(decoded(&[bad]), None, "{bad}");
        }
    }
}
