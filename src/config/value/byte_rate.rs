//! How fast bytes come.

use std::num::NonZeroU64;
use std::str::FromStr;

use super::super::problem::shortened;
use super::Size;

/// So many bytes in a second, at least one: `240B/s`, `16KiB/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByteRate(NonZeroU64);

impl ByteRate {
    /// So many bytes in a second, and one for none.
    pub const fn bytes(per_second: u64) -> Self {
        Self(match NonZeroU64::new(per_second) {
            Some(bytes) => bytes,
            None => NonZeroU64::MIN,
        })
    }

    /// Bytes in a second.
    pub fn per_second(self) -> u64 {
        self.0.get()
    }
}

impl FromStr for ByteRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(size) = text.strip_suffix("/s") else {
            let shown = shortened(text, 40);
            return Err(format!("`{shown}` is no rate of bytes; write a size and `/s`, such as `240B/s` or `16KiB/s`"));
        };
        size.parse().map(|Size(bytes)| Self::bytes(bytes))
    }
}

text_type!(ByteRate, "a rate such as `240B/s`", {
    "type": "string",
    "pattern": "^[0-9]+(B|KiB|MiB|GiB)/s$",
    "description": "Bytes in a second: `240B/s`, `16KiB/s`.",
    "examples": ["240B/s", "16KiB/s"],
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_size_in_a_second() {
        let rate = |text: &str| text.parse::<ByteRate>().map(ByteRate::per_second);
        assert_eq!(rate("240B/s"), Ok(240));
        assert_eq!(rate("16KiB/s"), Ok(16 << 10));
        assert!(rate("240").unwrap_err().contains("such as `240B/s`"));
        assert!(rate("240/s").unwrap_err().contains("no unit"));
        assert!(rate("0B/s").unwrap_err().contains("at least `1B`"));
        assert!(rate("1B/m").unwrap_err().contains("no rate of bytes"));
    }
}
