//! `limits`: how much an upstream is given at a time.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::value::Count;

/// Bounds on what is under way. Above them a request gets a 503 at once: nothing waits in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections in use to each endpoint, as nginx's `max_conns` and HAProxy's `maxconn` count them; a kept
    /// connection that waits for its next request is not in use. One that has so many is passed over while another has
    /// fewer. None: no bound.
    pub connections: Option<Count>,
    /// Requests in flight to the upstream as a whole, as Envoy's `max_requests`. None: no bound.
    pub requests: Option<Count>,
}
