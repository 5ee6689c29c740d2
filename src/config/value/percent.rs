//! Shares of a whole.

use std::fmt;
use std::str::FromStr;

use super::super::problem::shortened;

/// A share from `0%` to `100%`, with at most two decimals: `50%`, `0.5%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u16);

/// A percent in the unit that is kept: hundredths, so that `0.25%` is a whole number.
const ONE: u16 = 100;

impl Percent {
    /// So many whole percent; more than 100 are 100.
    pub const fn whole(percent: u8) -> Self {
        Self(if percent > 100 { 100 * ONE } else { percent as u16 * ONE })
    }

    /// From 0 to 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(100 * ONE)
    }

    /// In hundredths of a percent: 10,000 for `100%`.
    pub fn hundredths(self) -> u16 {
        self.0
    }

    /// How many whole ones of `count` it is at most: `50%` of 3 is 1.
    pub fn of(self, count: usize) -> usize {
        count.saturating_mul(self.0.into()) / usize::from(100 * ONE)
    }

    /// Whether `part` of `whole` is less than this share. Of nothing, nothing is less.
    pub fn is_above(self, part: usize, whole: usize) -> bool {
        part.saturating_mul(usize::from(100 * ONE)) < whole.saturating_mul(self.0.into())
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = shortened(text, 40);
        let Some(number) = text.strip_suffix('%') else {
            let hint = if is_number(text) { format!("write `{shown}%`") } else { "write one such as `50%`".to_owned() };
            return Err(format!("`{shown}` has no `%`; {hint}; allowed are 0% to 100%"));
        };
        if !is_number(number) {
            return Err(format!(
                "`{shown}` is no share; write a number with at most two decimals and `%` behind it, such as `0.5%`"
            ));
        }
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        let hundredths = format!("{decimals:0<2}").parse::<u16>().ok();
        let value = whole.parse::<u16>().ok().and_then(|whole| whole.checked_mul(ONE)?.checked_add(hundredths?));
        match value {
            Some(value) if value <= 100 * ONE => Ok(Self(value)),
            _ => Err(format!("`{shown}` is more than the whole; allowed are 0% to 100%")),
        }
    }
}

/// Digits, and at most two more behind a point.
fn is_number(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, decimals)) => digits(whole) && digits(decimals) && decimals.len() <= 2,
        None => digits(text),
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.0 / ONE, self.0 % ONE);
        match decimals {
            0 => write!(f, "{whole}%"),
            _ if decimals % 10 == 0 => write!(f, "{whole}.{}%", decimals / 10),
            _ => write!(f, "{whole}.{decimals:02}%"),
        }
    }
}

text_type!(Percent, "a share such as `50%`", {
    "type": "string",
    "pattern": "^[0-9]{1,3}(\\.[0-9]{1,2})?%$",
    "description": "A share from 0% to 100%; the `%` is required.",
    "examples": ["50%", "0.5%"],
});

/// A share, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Share {
    /// Nothing depends on a share.
    Off,
    /// This one.
    Of(Percent),
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            _ if text.eq_ignore_ascii_case("off") => Err(format!("`{text}` must be written in small letters: `off`")),
            _ => text.parse().map(Self::Of).map_err(|why| format!("{why}; or `off`")),
        }
    }
}

text_type!(Share, "a share such as `50%`, or `off`", {
    "type": "string",
    "pattern": "^(off|[0-9]{1,3}(\\.[0-9]{1,2})?%)$",
    "description": "A share from 0% to 100%, or `off`; the `%` is required.",
    "examples": ["50%", "off"],
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_its_percent_sign() {
        for (text, hundredths) in [("0%", 0), ("100%", 10_000), ("50%", 5_000), ("0.5%", 50), ("12.25%", 1_225)] {
            let percent: Percent = text.parse().unwrap();
            assert_eq!((percent.hundredths(), percent.to_string()), (hundredths, text.to_owned()));
        }
        assert_eq!("50".parse::<Percent>().unwrap_err(), "`50` has no `%`; write `50%`; allowed are 0% to 100%");
        assert!("half".parse::<Percent>().unwrap_err().contains("such as `50%`"));
        for text in ["%", "-1%", "1.%", ".5%", "1.255%", "50 %", "1e1%", "+5%"] {
            assert!(text.parse::<Percent>().unwrap_err().contains("is no share"), "{text}");
        }
        for text in ["101%", "100.01%", "99999999%"] {
            assert!(text.parse::<Percent>().unwrap_err().contains("0% to 100%"), "{text}");
        }
    }

    #[test]
    fn a_share_of_few_is_rounded_down() {
        let half = Percent::whole(50);
        assert_eq!([1, 2, 3, 4].map(|count| half.of(count)), [0, 1, 1, 2]);
        assert!(half.is_above(1, 3) && !half.is_above(2, 4) && !half.is_above(0, 0));
        assert!(!Percent::whole(0).is_above(0, 4));
        assert_eq!(Percent::whole(200), Percent::whole(100));
    }

    #[test]
    fn a_share_may_be_off() {
        assert_eq!("off".parse(), Ok(Share::Off));
        assert_eq!("50%".parse(), Ok(Share::Of(Percent::whole(50))));
        assert!("Off".parse::<Share>().unwrap_err().contains("in small letters"));
        assert!("5".parse::<Share>().unwrap_err().ends_with("; or `off`"));
    }
}
