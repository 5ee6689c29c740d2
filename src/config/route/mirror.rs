//! `mirror`: copies of requests for another upstream.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::value::Percent;
use super::Destination;

/// A copy of a request for another upstream, whose answer nobody gets and whose failures nobody notices.
///
/// Bodies are copied as they stream by. A mirror that does not take them as fast as the real upstream gets the request
/// cut short: it never holds anything up.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// An upstream's name or a URL.
    pub to: Destination,
    /// Which share of the requests is copied.
    #[serde(default = "all")]
    pub ratio: Percent,
}

fn all() -> Percent {
    Percent::whole(100)
}
