//! How often something may happen.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::super::problem::shortened;

/// So many of something in a second, a minute, an hour or a day: `100/s`, `600/m`, `5000/h`, `20000/d`. At least one
/// and at most a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u32,
    unit: Unit,
}

/// What a rate is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Unit {
    letter: &'static str,
    seconds: u32,
}

const UNITS: [Unit; 4] = [
    Unit { letter: "s", seconds: 1 },
    Unit { letter: "m", seconds: 60 },
    Unit { letter: "h", seconds: 60 * 60 },
    Unit { letter: "d", seconds: 24 * 60 * 60 },
];

/// A larger number is rather a slip, and times between two would be less than a microsecond.
const MOST: u32 = 1_000_000;

impl Rate {
    /// How many in one unit: 600 of `600/m`.
    pub fn count(self) -> u32 {
        self.count
    }

    /// The unit: a minute of `600/m`.
    pub fn window(self) -> Duration {
        Duration::from_secs(self.unit.seconds.into())
    }

    /// The time from one to the next, if they come evenly; rounded up to whole nanoseconds, so that it is never less.
    pub fn interval(self) -> Duration {
        let window = u64::from(self.unit.seconds) * 1_000_000_000;
        Duration::from_nanos(window.div_ceil(self.count.into()))
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = shortened(text, 40);
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let Some((number, letter)) = text.split_once('/') else {
            let hint =
                if is_number(text) { format!("write `{shown}/s`") } else { "write one such as `100/s`".to_owned() };
            return Err(format!("`{shown}` has no unit of time; {hint}; allowed: `/s`, `/m`, `/h`, `/d`"));
        };
        if !is_number(number) {
            return Err(format!(
                "`{shown}` is no rate; write a whole number, `/` and a unit, such as `100/s` or `600/m`"
            ));
        }
        let Some(unit) = UNITS.into_iter().find(|unit| unit.letter == letter) else {
            let letter = shortened(letter, 12);
            return Err(format!(
                "`{letter}` in `{shown}` is no unit; allowed: `/s`, `/m`, `/h`, `/d`, such as `600/m`"
            ));
        };
        match number.parse() {
            Ok(count @ 1..=MOST) => Ok(Self { count, unit }),
            Ok(0) => Err(format!(
                "`{shown}` lets nothing through; a rate is at least 1, such as `1{}`",
                &text[number.len()..]
            )),
            _ => Err(format!("`{shown}` is more than {MOST}, the most that is allowed")),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit.letter)
    }
}

text_type!(Rate, "a rate such as `100/s`", {
    "type": "string",
    "pattern": "^[0-9]{1,7}/[smhd]$",
    "description": "So many in a unit of time, which is required: `100/s`, `600/m`, `5000/h`, `20000/d`.",
    "examples": ["100/s", "600/m", "5000/h"],
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_its_unit() {
        for (text, interval) in [
            ("100/s", Duration::from_millis(10)),
            ("600/m", Duration::from_millis(100)),
            ("5000/h", Duration::from_millis(720)),
            ("1/d", Duration::from_secs(86_400)),
            ("3/s", Duration::from_nanos(333_333_334)),
            ("1000000/s", Duration::from_micros(1)),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.to_string(), rate.interval()), (text.to_owned(), interval));
        }
    }

    #[test]
    fn a_slip_is_told_with_what_is_allowed() {
        for (text, words) in [
            ("100", "write `100/s`"),
            ("many", "such as `100/s`"),
            ("100/sec", "`sec` in `100/sec` is no unit"),
            ("100/S", "allowed: `/s`, `/m`, `/h`, `/d`"),
            ("100 /s", "is no rate"),
            ("1.5/s", "is no rate"),
            ("-1/s", "is no rate"),
            ("/s", "is no rate"),
            ("100/", "is no unit"),
            ("0/m", "at least 1, such as `1/m`"),
            ("1000001/s", "more than 1000000"),
            ("99999999999999/s", "more than 1000000"),
        ] {
            let why = text.parse::<Rate>().unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
    }
}
