//! What the file says of a limit.

use schemars::JsonSchema;
use serde::Deserialize;

use super::gcra::Allowance;
use crate::config::{Count, LimitKey, Name, OneOrMany, Period, Rate, SecretText};
use crate::filter::Problems;

/// One limit, or a list of limits that all have to admit a request.
pub(in super::super) type Settings = OneOrMany<Limit>;

/// How often requests with the same key may come.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Limit {
    /// What it is called in headers, logs and the shared server; without one it is called by what it counts by.
    pub(super) name: Option<Name>,
    /// Whose requests are counted together.
    pub(super) per: LimitKey,
    /// How often they may come.
    pub(super) rate: Rate,
    /// How many may come at once; as many as the rate's number without it.
    pub(super) burst: Option<Count>,
    /// How many keys are told apart; further ones share one bucket until another is idle.
    #[serde(default = "room")]
    pub(super) keys: Count,
    /// Whether it only counts and logs what it would refuse.
    #[serde(default)]
    pub(super) dry_run: bool,
    /// The Redis server that counts for several doors.
    pub(super) shared: Option<SecretText>,
    /// How long a request waits for that server before this door decides alone; 20ms without it.
    pub(super) timeout: Option<Period>,
}

fn room() -> Count {
    Count(100_000)
}

impl Limit {
    /// Its name, or what it counts by.
    pub(super) fn called(&self) -> String {
        self.name.as_ref().map_or_else(|| self.per.to_string(), ToString::to_string)
    }

    /// How much it lets through.
    pub(super) fn allowance(&self) -> Option<Allowance> {
        Allowance::new(self.rate, self.burst.map_or(self.rate.count(), |burst| burst.0))
    }
}

/// Tells what is wrong with limits beside one another: the keys below the filter's own, and a sentence.
pub(super) fn check(limits: &[Limit], problems: &mut Problems) {
    for (index, limit) in limits.iter().enumerate() {
        let number = index.to_string();
        let mut add = |key: &str, message: String| match limits {
            [_] => problems.add(&[key], message),
            _ => problems.add(&[&number, key], message),
        };
        let before = &limits[..index];
        if before.iter().any(|other| other.called() == limit.called()) {
            let called = limit.called();
            add("name", format!("there is another limit called `{called}` in this list; give one of them a `name`"));
        }
        if limit.allowance().is_none() {
            let slow = "takes more than a year to come back; a smaller `burst` or a faster `rate` is allowed";
            add("burst", format!("the burst {slow}"));
        }
        if limit.timeout.is_some() && limit.shared.is_none() {
            add("timeout", "there is nothing to wait for without `shared`; add that or take this away".into());
        }
        let differs = |other: &&Limit| (&other.shared, other.timeout) != (&limit.shared, limit.timeout);
        if limit.shared.is_some() && before.iter().filter(|other| other.shared.is_some()).any(|other| differs(&other)) {
            let remedy = "the limits of one list are asked at once, so `shared` and `timeout` must be the same for those that have them";
            add("shared", remedy.into());
        }
    }
}
