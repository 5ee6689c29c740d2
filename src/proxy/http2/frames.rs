//! Frames in a run of bytes: where each begins, and of what kind it is (RFC 9113, 4.1). Payloads are passed over.

/// A frame's first nine bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// Bytes of payload.
    pub length: u32,
    /// What kind it is.
    pub kind: u8,
    /// What it says of itself.
    pub flags: u8,
    /// The stream that it belongs to; 0 for the connection.
    pub stream: u32,
}

/// Kinds of frames (RFC 9113, 6): those that are told apart.
pub(super) mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames (RFC 9113, 6).
pub(super) mod flag {
    pub const END_STREAM: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
}

const HEAD: usize = 9;

/// Finds the frames in bytes that come in pieces.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD],
    /// How much of a head is there.
    have: usize,
    /// How much is yet to come before the next head.
    skip: usize,
}

impl Frames {
    /// Finds the frames behind so many bytes that are none, such as a client's preface.
    pub(super) fn behind(bytes: usize) -> Self {
        Self { skip: bytes, ..Self::default() }
    }

    /// Looks at the bytes that come next, and tells of each frame once its head is whole.
    pub(super) fn see(&mut self, mut bytes: &[u8], mut each: impl FnMut(FrameHead)) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEAD - self.have).min(bytes.len());
            if taken == 0 {
                return;
            }
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == HEAD {
                let head = FrameHead::read(&self.head);
                self.have = 0;
                self.skip = head.length as usize;
                each(head);
            }
        }
    }

    /// Whether all of the latest frame was seen.
    pub(super) fn is_whole(&self) -> bool {
        self.skip == 0
    }
}

impl FrameHead {
    fn read(bytes: &[u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = *bytes;
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        Self { length: u32::from_be_bytes([0, a, b, c]), kind, flags, stream }
    }

    /// Whether it has this flag.
    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: [u8; 27] =
        [b'P', 0, 0, 3, 0, 1, 0, 0, 0, 5, b'a', b'b', b'c', 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 8, 6, 0];

    fn seen(pieces: &[&[u8]]) -> (Vec<FrameHead>, bool) {
        let (mut frames, mut seen) = (Frames::behind(1), Vec::new());
        pieces.iter().for_each(|bytes| frames.see(bytes, |head| seen.push(head)));
        (seen, frames.is_whole())
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let data = FrameHead { length: 3, kind: kind::DATA, flags: flag::END_STREAM, stream: 5 };
        let settings = FrameHead { length: 0, kind: kind::SETTINGS, flags: 1, stream: 0 };
        for at in 0..BYTES.len() {
            let (front, back) = BYTES.split_at(at);
            assert_eq!(seen(&[front, back]), (vec![data, settings], true), "cut at {at}");
        }
        assert_eq!(seen(&[&BYTES[..12]]), (vec![data], false));
    }

    #[test]
    fn the_reserved_bit_is_no_part_of_a_streams_number() {
        let (seen, _) = seen(&[&[b'P', 0, 0, 0, 8, 0, 0xff, 0xff, 0xff, 0xff]]);
        assert_eq!(seen[0].stream, u32::MAX >> 1);
    }
}
