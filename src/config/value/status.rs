//! Which statuses of HTTP are meant.

use std::fmt;
use std::str::FromStr;

use super::super::problem::shortened;

/// A status or a range of them, both ends included: `204`, `200-399`. From 200 to 599: a response that is only
/// interim answers nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusRange {
    first: u16,
    last: u16,
}

impl StatusRange {
    /// 200 to 299.
    pub const SUCCESS: Self = Self { first: 200, last: 299 };

    /// Whether the status is one of them.
    pub fn contains(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

impl FromStr for StatusRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = shortened(text, 40);
        let allowed = "allowed: a status from 200 to 599, such as 204, or a range, such as 200-399";
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (Some(first), Some(last)) = (status(first), status(last)) else {
            return Err(format!("`{shown}` is no status; {allowed}"));
        };
        if first > last {
            return Err(format!("`{shown}` is a range that runs backwards; write `{last}-{first}`"));
        }
        Ok(Self { first, last })
    }
}

fn status(text: &str) -> Option<u16> {
    // `parse` would take `+200`.
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())??;
    (200..=599).contains(&number).then_some(number)
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

text_type!(StatusRange, "a status such as 204, or a range such as 200-399", {
    "description": "A status, or a range of them with both ends included.",
    "anyOf": [
        {"type": "integer", "minimum": 200, "maximum": 599},
        {"type": "string", "pattern": "^[2-5][0-9]{2}(-[2-5][0-9]{2})?$"},
    ],
    "examples": [204, "200-399"],
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_both_its_ends() {
        let range: StatusRange = "200-399".parse().unwrap();
        assert_eq!([199, 200, 399, 400].map(|status| range.contains(status)), [false, true, true, false]);
        assert_eq!(range.to_string(), "200-399");
        let one: StatusRange = "204".parse().unwrap();
        assert_eq!([203, 204, 205].map(|status| one.contains(status)), [false, true, false]);
        assert_eq!(one.to_string(), "204");
        assert_eq!("200-299".parse(), Ok(StatusRange::SUCCESS));
    }

    #[test]
    fn what_is_no_range_is_refused_with_what_is_allowed() {
        for text in ["", "-", "200-", "-299", "99", "101", "600", "200-600", "2xx", "200 - 299", "+200", "200-299-399"]
        {
            assert!(text.parse::<StatusRange>().unwrap_err().contains("such as 200-399"), "{text}");
        }
        assert!("399-200".parse::<StatusRange>().unwrap_err().ends_with("write `200-399`"));
    }
}
