//! Sizes in bytes, always with units.

use std::str::FromStr;

use super::super::problem::shortened;

/// A number of bytes with its unit, never zero and at most 1024 GiB: `64KiB`, `10MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// Powers of 1024 only: what `64KB` means is answered in two ways.
const UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Nobody means more, and sums of sizes must not overflow.
const LARGEST: u64 = 1 << 40;

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = shortened(text, 40);
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(format!(
                "`{shown}` is no size; write a whole number with its unit, such as `64KiB` or `10MiB`"
            ));
        }
        if unit.is_empty() {
            let number = shortened(number, 12);
            return Err(format!("`{shown}` has no unit; write `{number}KiB`, `{number}MiB` or `{number}B` for bytes"));
        }
        if unit.starts_with(['.', ',']) {
            return Err(format!(
                "`{shown}` has a fraction; write a whole number with a smaller unit, such as `1536KiB`"
            ));
        }
        if unit.starts_with(' ') {
            return Err(format!("`{shown}` holds a space; write the unit right behind the number, such as `64KiB`"));
        }
        let Some((_, bytes)) = UNITS.iter().find(|(known, _)| *known == unit) else {
            return Err(unknown(&shown, number, unit));
        };
        match number.parse::<u64>().ok().and_then(|number| number.checked_mul(*bytes)) {
            Some(0) => Err(format!("`{shown}` is nothing at all; a size is at least `1B`, such as `64KiB`")),
            Some(size @ 1..=LARGEST) => Ok(Self(size)),
            _ => Err(format!("`{shown}` is more than 1024GiB, the most that is allowed")),
        }
    }
}

fn unknown(shown: &str, number: &str, unit: &str) -> String {
    let letter = unit.chars().next().map(|c| c.to_ascii_uppercase());
    let meant = UNITS.iter().find(|(known, _)| known.chars().next() == letter);
    let hint = meant.map(|(known, _)| format!("did you mean `{}{known}`? ", shortened(number, 12))).unwrap_or_default();
    format!(
        "`{}` in `{shown}` is no unit; {hint}allowed: `B`, `KiB`, `MiB`, `GiB` (powers of 1024)",
        shortened(unit, 12)
    )
}

text_type!(Size, "a size such as `64KiB` or `10MiB`", {
    "type": "string",
    "pattern": "^[0-9]+(B|KiB|MiB|GiB)$",
    "description": "A size with its unit: `64KiB`, `10MiB`. Units: B, KiB, MiB, GiB.",
    "examples": ["64KiB", "10MiB"],
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_with_its_unit() {
        for (text, bytes) in [("500B", 500), ("64KiB", 65_536), ("10MiB", 10_485_760), ("1024GiB", 1 << 40)] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn a_slip_is_told_with_what_was_meant() {
        for (text, words) in [
            ("5", "`5` has no unit; write `5KiB`, `5MiB` or `5B` for bytes"),
            ("", "is no size"),
            ("KiB", "is no size"),
            ("-5KiB", "is no size"),
            ("64KB", "did you mean `64KiB`?"),
            ("64k", "did you mean `64KiB`?"),
            ("10M", "did you mean `10MiB`?"),
            ("10mib", "did you mean `10MiB`?"),
            ("5b", "did you mean `5B`?"),
            ("5x", "allowed: `B`, `KiB`, `MiB`, `GiB`"),
            ("1.5MiB", "has a fraction"),
            ("64 KiB", "holds a space"),
            ("0KiB", "is nothing at all"),
            ("1025GiB", "more than 1024GiB"),
            ("99999999999999999999GiB", "more than 1024GiB"),
        ] {
            let why = text.parse::<Size>().unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
    }
}
