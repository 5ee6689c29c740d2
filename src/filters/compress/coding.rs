//! The codings, and a body on its way through one.

use std::io::{self, Write};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::filter::{BodyHook, Reply};

/// A content coding (RFC 9110, 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Br,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// All there are, each at its own number.
    pub(super) const ALL: [Self; 3] = [Self::Zstd, Self::Br, Self::Gzip];

    /// As it stands in `Content-Encoding`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }

    /// Whether a client means this one; `x-gzip` is `gzip` (RFC 9110, 8.4.1.3).
    pub(super) fn is_called(self, name: &[u8]) -> bool {
        let is = |own: &str| name.eq_ignore_ascii_case(own.as_bytes());
        is(self.name()) || (self == Self::Gzip && is("x-gzip"))
    }

    /// The levels that there are.
    pub(super) const fn levels(self) -> std::ops::RangeInclusive<u32> {
        match self {
            Self::Zstd => 1..=19,
            Self::Br => 0..=11,
            Self::Gzip => 1..=9,
        }
    }
}

/// How a body is to be encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// By this coding.
    pub(super) coding: Coding,
    /// At this level of it.
    pub(super) level: u32,
    /// Whether each piece goes out when it has come, rather than when there is enough for a good block.
    pub(super) flush: bool,
    /// Whether it answers a `HEAD`, so that there may be no body.
    pub(super) head: bool,
}

/// A body on its way through a coding.
pub(super) struct Encode {
    plan: Plan,
    state: State,
}

enum State {
    /// No piece has come, so it has no memory of its own yet.
    Before,
    Within(Encoder),
    Over,
}

enum Encoder {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
}

/// The windows, as powers of two: they decide what a response under way holds in memory. With 512 KiB for zstd that is
/// 1.7 MiB; with 64 KiB for brotli 0.7 MiB, where 512 KiB would be 4.5 MiB; gzip, whose 32 KiB are fixed, has 0.5 MiB.
const ZSTD_WINDOW: u32 = 19;
const BR_WINDOW: u32 = 16;

/// What brotli writes at a time.
const BLOCK: usize = 16 * 1024;

impl Encode {
    /// By this plan.
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan, state: State::Before }
    }

    fn encode(&mut self, piece: &[u8], end: bool) -> io::Result<Vec<u8>> {
        if matches!(self.state, State::Before) {
            if self.plan.head && piece.is_empty() {
                self.state = State::Over;
            } else {
                self.state = State::Within(Encoder::new(self.plan)?);
            }
        }
        let State::Within(encoder) = &mut self.state else { return Ok(Vec::new()) };
        encoder.writer().write_all(piece)?;
        if end {
            return match std::mem::replace(&mut self.state, State::Over) {
                State::Within(encoder) => encoder.finish(),
                State::Before | State::Over => Ok(Vec::new()),
            };
        }
        if self.plan.flush {
            encoder.writer().flush()?;
        }
        Ok(std::mem::take(encoder.output()))
    }
}

impl BodyHook for Encode {
    fn piece(&mut self, piece: Bytes, end: bool) -> Result<Bytes, Box<Reply>> {
        let encoded = self.encode(&piece, end);
        let failed = |e| Box::new(Reply::bare_problem(500).because("filter_failed", format!("compress: {e}")));
        encoded.map(Bytes::from).map_err(failed)
    }

    fn changes_length(&self) -> bool {
        true
    }
}

impl Encoder {
    fn new(Plan { coding, level, .. }: Plan) -> io::Result<Self> {
        Ok(match coding {
            Coding::Zstd => {
                // A level is at most 19.
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level as i32)?;
                encoder.window_log(ZSTD_WINDOW)?;
                Self::Zstd(encoder)
            }
            Coding::Br => Self::Br(Box::new(brotli::CompressorWriter::new(Vec::new(), BLOCK, level, BR_WINDOW))),
            Coding::Gzip => Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level))),
        })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Zstd(encoder) => encoder,
            Self::Br(encoder) => encoder,
            Self::Gzip(encoder) => encoder,
        }
    }

    fn output(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Br(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Br(encoder) => Ok(encoder.into_inner()),
            Self::Gzip(encoder) => encoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn plan(coding: Coding, flush: bool) -> Plan {
        Plan { coding, level: *coding.levels().start().max(&3), flush, head: false }
    }

    /// As much as can be read of what has come so far.
    fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut reader: Box<dyn Read> = match coding {
            Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(bytes).unwrap()),
            Coding::Br => Box::new(brotli::Decompressor::new(bytes, 4096)),
            Coding::Gzip => Box::new(flate2::read::GzDecoder::new(bytes)),
        };
        let (mut all, mut room) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = reader.read(&mut room) {
            all.extend_from_slice(&room[..length]);
        }
        all
    }

    /// Words, or noise.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof!["[a-f ]{0,300}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..3000)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

        #[test]
        fn a_body_comes_out_as_it_went_in_whatever_its_pieces_are(
            pieces in prop::collection::vec(piece(), 0..12),
            flush in any::<bool>(),
            number in 0..3_usize,
        ) {
            let coding = Coding::ALL[number];
            let mut encode = Encode::new(plan(coding, flush));
            let (mut sent, mut came) = (Vec::new(), Vec::new());
            for piece in &pieces {
                sent.extend_from_slice(piece);
                came.extend(encode.piece(Bytes::copy_from_slice(piece), false).unwrap());
                if flush {
                    prop_assert_eq!(decoded(coding, &came), sent.clone(), "what has come so far can be read");
                }
            }
            came.extend(encode.piece(Bytes::new(), true).unwrap());
            prop_assert_eq!(decoded(coding, &came), sent);
            prop_assert!(encode.piece(Bytes::new(), true).unwrap().is_empty());
        }
    }

    #[test]
    fn the_answer_to_a_head_has_no_body_to_encode() {
        for coding in Coding::ALL {
            let mut encode = Encode::new(Plan { head: true, ..plan(coding, true) });
            assert!(encode.piece(Bytes::new(), true).unwrap().is_empty());
            let mut encode = Encode::new(plan(coding, true));
            assert!(!encode.piece(Bytes::new(), true).unwrap().is_empty(), "an empty body has an encoding, too");
        }
    }
}
