//! Durations, always with units.

use std::str::FromStr;
use std::time::Duration;

use super::super::problem::shortened;

/// A duration with units, never zero and at most 365 days: `5s`, `250ms`, `1m30s`. Units are `d`, `h`, `m`
/// (minutes), `s`, `ms` and `us`, in this order and each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(pub Duration);

/// Sums of clocks and periods must not overflow, and nobody means more.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = shortened(text, 40);
        if !is_nothing(text) {
            check(text)?;
        }
        let too_long = || format!("`{shown}` is longer than 365 days, the most that is allowed");
        if is_nothing(text) {
            return Err(format!("`{shown}` is no time at all; a duration must be longer than zero, such as `5s`"));
        }
        let duration = humantime::parse_duration(text).map_err(|_| too_long())?;
        if duration > LONGEST {
            return Err(too_long());
        }
        Ok(Self(duration))
    }
}

/// From large to small.
const UNITS: [&str; 6] = ["d", "h", "m", "s", "ms", "us"];

/// Whether `text` is a zero, with units or without.
fn is_nothing(text: &str) -> bool {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let is_zero = |text: &str| text.bytes().all(|byte| byte == b'0' || byte.is_ascii_alphabetic());
    text.starts_with('0') && is_zero(text) && (digits == text || check(text).is_ok())
}

/// That `text` is made of whole numbers, each with a unit.
fn check(text: &str) -> Result<(), String> {
    let shown = shortened(text, 40);
    let mut rest = text;
    let mut allowed = &UNITS[..];
    if rest.is_empty() {
        return Err("a duration is empty; write a number with its unit, such as `5s` or `250ms`".into());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let after = &rest[digits..];
        let unit = after.len() - after.trim_start_matches(|c: char| c.is_alphabetic() || c == 'µ').len();
        let (number, unit, next) = (&rest[..digits], &after[..unit], &after[unit..]);
        if number.is_empty() {
            return Err(format!(
                "`{shown}` is no duration; write whole numbers with their units, such as `5s`, `250ms` or `1m30s`"
            ));
        }
        if unit.is_empty() && next.starts_with(['.', ',']) {
            return Err(format!("`{shown}` has a fraction; write whole numbers with a smaller unit, such as `1500ms`"));
        }
        if unit.is_empty() && next.starts_with(' ') {
            return Err(format!("`{shown}` holds a space; write the unit right behind the number, such as `5s`"));
        }
        if unit.is_empty() {
            let number = shortened(number, 12);
            return Err(format!(
                "`{shown}` has no unit; write `{number}s` for seconds or `{number}ms` for milliseconds"
            ));
        }
        if !UNITS.contains(&unit) {
            let unit = shortened(unit, 12);
            return Err(format!(
                "`{unit}` in `{shown}` is no unit; allowed: `us`, `ms`, `s`, `m`, `h`, `d`, such as `5s` or `1m30s`"
            ));
        }
        let Some(at) = allowed.iter().position(|known| *known == unit) else {
            return Err(format!(
                "`{unit}` in `{shown}` comes too late; units go from large to small, each once, such as `1m30s`"
            ));
        };
        allowed = &allowed[at + 1..];
        rest = next;
    }
    Ok(())
}

text_type!(Period, "a duration such as `5s` or `250ms`", {
    "type": "string",
    "pattern": "^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?([0-9]+us)?$",
    "description": "A duration with its unit: `5s`, `250ms`, `1m30s`. Units: d, h, m, s, ms, us.",
    "examples": ["5s", "250ms", "1m30s"],
});

/// A duration, or `off` for no bound at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// No bound.
    Off,
    /// This long.
    After(Duration),
}

impl Limit {
    /// The time, unless it is off.
    pub fn after(self) -> Option<Duration> {
        match self {
            Self::Off => None,
            Self::After(time) => Some(time),
        }
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            _ if text.eq_ignore_ascii_case("off") => Err(format!("`{text}` must be written in small letters: `off`")),
            _ if is_nothing(text) => {
                Err(format!("`{}` is no time at all; for no limit write `off`", shortened(text, 40)))
            }
            _ => match text.parse::<Period>() {
                Ok(Period(duration)) => Ok(Self::After(duration)),
                Err(why) => Err(format!("{why}; or `off` for no limit")),
            },
        }
    }
}

text_type!(Limit, "a duration such as `5s`, or `off`", {
    "type": "string",
    "pattern": "^(off|(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?([0-9]+us)?)$",
    "description": "A duration with its unit (`5s`, `250ms`, `1m30s`), or `off` for no limit.",
    "examples": ["5s", "250ms", "off"],
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn period(text: &str) -> Result<Duration, String> {
        text.parse::<Period>().map(|period| period.0)
    }

    #[test]
    fn a_duration_is_numbers_with_units() {
        assert_eq!(period("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(period("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(period("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(period("10us"), Ok(Duration::from_micros(10)));
        assert_eq!(period("1d2h"), Ok(Duration::from_secs(26 * 3600)));
        assert_eq!(period("1d2h3m4s5ms6us"), Ok(Duration::from_micros(93_784_005_006)));
    }

    #[test]
    fn units_go_from_large_to_small_each_once() {
        for text in ["1s1h", "1s1s", "30s1m", "1ms1s", "1h1d", "1m1h1s"] {
            assert!(period(text).unwrap_err().contains("from large to small, each once"), "{text}");
        }
    }

    #[test]
    fn a_missing_unit_is_refused_with_an_example() {
        assert_eq!(period("5").unwrap_err(), "`5` has no unit; write `5s` for seconds or `5ms` for milliseconds");
        assert_eq!(
            period("1m30").unwrap_err(),
            "`1m30` has no unit; write `30s` for seconds or `30ms` for milliseconds"
        );
    }

    #[test]
    fn an_unknown_unit_is_refused_with_those_allowed() {
        for text in ["5sec", "5S", "1M", "3w", "1y", "5µs", "5ns", "5seconds"] {
            assert!(period(text).unwrap_err().contains("allowed: `us`, `ms`, `s`, `m`, `h`, `d`"), "{text}");
        }
    }

    #[test]
    fn other_mistakes_are_told_apart() {
        for (text, words) in [
            ("", "is empty"),
            ("0s", "longer than zero"),
            ("0m0s", "longer than zero"),
            ("0", "longer than zero"),
            ("0x", "is no unit"),
            ("1.5s", "has a fraction"),
            ("5 s", "holds a space"),
            ("-5s", "is no duration"),
            ("s", "is no duration"),
            ("366d", "longer than 365 days"),
            ("99999999999999999999999s", "longer than 365 days"),
        ] {
            let why = period(text).unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
    }

    #[test]
    fn a_limit_may_be_off() {
        assert!("Off".parse::<Limit>().unwrap_err().contains("in small letters"));
        assert_eq!("off".parse(), Ok(Limit::Off));
        assert_eq!("5s".parse(), Ok(Limit::After(Duration::from_secs(5))));
        for text in ["0", "0s", "0m0s", "00"] {
            assert!(
                text.parse::<Limit>().unwrap_err().ends_with("is no time at all; for no limit write `off`"),
                "{text}"
            );
        }
        assert!("5".parse::<Limit>().unwrap_err().ends_with("; or `off` for no limit"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

        #[test]
        fn no_text_panics(text in "[0-9]{0,25}[a-z µ.]{0,3}[0-9]{0,3}\\PC{0,3}") {
            drop(period(&text));
        }

        #[test]
        fn what_humantime_writes_is_read(seconds in 1_u64..31_536_000) {
            let text = humantime::format_duration(Duration::from_secs(seconds)).to_string();
            if ["us", "ms", "s", "m", "h"].iter().any(|unit| text.ends_with(unit)) && !text.contains("day") && !text.contains("month") {
                prop_assert_eq!(period(&text.replace(' ', "")), Ok(Duration::from_secs(seconds)));
            }
        }
    }
}
