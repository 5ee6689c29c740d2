//! `retry`: when a request is tried again, and how often.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::super::problem::shortened;
use super::super::value::{Limit, Percent, from_text};

/// When a request is tried again, and how often.
///
/// Only what is safe to repeat is: nothing of the request was sent, or its method is idempotent (RFC 9110, 9.2.2) and
/// its body is at hand, which it is up to 64 KiB. Another try goes to another endpoint where there is one, after a
/// pause of random length (up to 25 ms before the second try, twice as much before each further one, at most 250 ms).
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Tries in all, the first one included: 2 to 10.
    #[serde(deserialize_with = "two_to_ten")]
    #[schemars(range(min = 2, max = 10))]
    pub attempts: u32,
    /// What is worth another try: `connect` (no connection was made), `reset` (the connection ended before the
    /// response's head), or a status of the upstream, 500 to 599.
    pub on: Vec<RetryOn>,
    /// The longest that a try waits for the response's head; when it strikes, there is another try where one is left.
    /// `off`: only the upstream's `idle` and the route's `timeout` count.
    pub per_try: Limit,
    /// At most this share of an upstream's requests are retries (and ten more after a quiet time), so that an outage
    /// is never made worse by them.
    pub budget: Percent,
}

impl Default for Retry {
    /// What a route without `retry` has: a second try where no connection could be made, which is always safe.
    fn default() -> Self {
        Self { attempts: 2, on: vec![RetryOn::Connect], per_try: Limit::Off, budget: Percent::whole(20) }
    }
}

impl Retry {
    /// Whether a status of the upstream is worth another try.
    pub fn is_on_status(&self, status: u16) -> bool {
        self.on.contains(&RetryOn::Status(status))
    }
}

impl fmt::Display for Retry {
    /// As `explain` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on: Vec<String> = self.on.iter().map(RetryOn::to_string).collect();
        write!(f, "{} tries on {}", self.attempts, on.join(", "))?;
        if let Some(per_try) = self.per_try.after() {
            write!(f, ", each within {}", humantime::format_duration(per_try))?;
        }
        write!(f, "; at most {} of the upstream's requests", self.budget)
    }
}

/// What is worth another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    /// No connection could be made: refused, unreachable, too slow, or no good TLS handshake.
    Connect,
    /// The connection ended before a response's head was whole.
    Reset,
    /// The upstream answered with this status.
    Status(u16),
}

impl FromStr for RetryOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "connect" => Ok(Self::Connect),
            "reset" => Ok(Self::Reset),
            _ => match text.parse() {
                Ok(status @ 500..=599) => Ok(Self::Status(status)),
                _ => Err(format!(
                    "`{}` is nothing to try again on; allowed: `connect`, `reset` and statuses from 500 to 599",
                    shortened(text, 40)
                )),
            },
        }
    }
}

impl fmt::Display for RetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Reset => f.write_str("reset"),
            Self::Status(status) => status.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for RetryOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, "`connect`, `reset` or a status such as 503")
    }
}

impl JsonSchema for RetryOn {
    fn schema_name() -> Cow<'static, str> {
        "RetryOn".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{"enum": ["connect", "reset"]}, {"type": "integer", "minimum": 500, "maximum": 599}],
            "description": "What is worth another try.",
        })
    }
}

fn two_to_ten<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        attempts @ 2..=10 => Ok(attempts),
        1 => Err(D::Error::custom("one try is no retry; write `retry: off`, or 2 to 10 tries in all")),
        attempts => Err(D::Error::custom(format!("{attempts} tries; allowed are 2 to 10, the first one included"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_is_on_what_can_be_told_from_a_good_answer() {
        assert_eq!("connect".parse(), Ok(RetryOn::Connect));
        assert_eq!("503".parse(), Ok(RetryOn::Status(503)));
        for text in ["5xx", "404", "600", "timeout", ""] {
            let why = text.parse::<RetryOn>().unwrap_err();
            assert!(why.contains("allowed: `connect`, `reset` and statuses from 500 to 599"), "{why}");
        }
    }
}
