//! `ejection`: what is done with an endpoint that fails again and again.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::value::{Count, Percent, Period};

/// Takes an endpoint out of use for a while when requests to it fail one after the other (Envoy: outlier detection).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ejection {
    /// So many failures without a success between them: no connection, a broken response, a status from 500 to 599.
    pub consecutive_failures: Count,
    /// How long it is out of use, times how often that has happened lately, up to 5 minutes (or this, if it is longer).
    #[serde(rename = "for")]
    pub time: Period,
    /// At most this share of the endpoints is out of use at a time, rounded down: with `50%`, one of three, and never
    /// the only one.
    pub max_ejected: Percent,
}

impl Default for Ejection {
    fn default() -> Self {
        Self { consecutive_failures: Count(5), time: Period(Duration::from_secs(30)), max_ejected: Percent::whole(50) }
    }
}
