//! `breaker`: when an upstream as a whole is left alone.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::value::{Count, Percent, Period};

/// Refuses requests at once when too many fail, and lets one through now and then to see whether that is over.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    /// It opens when at least this share of the window's requests has failed.
    pub failure_ratio: Percent,
    /// With fewer requests than this in the window it stays closed.
    pub minimum_requests: Count,
    /// How far back requests count; in steps of a tenth.
    pub window: Period,
    /// How long it refuses everything with a 503 before one request may try again. That one's success closes it.
    pub open_for: Period,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failure_ratio: Percent::whole(50),
            minimum_requests: Count(20),
            window: Period(Duration::from_secs(10)),
            open_for: Period(Duration::from_secs(5)),
        }
    }
}
