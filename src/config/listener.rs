//! `listeners`: where the door accepts connections.

use schemars::JsonSchema;
use serde::Deserialize;

use super::value::{ListenAddress, TrustedPeer};

/// One place where clients connect.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// `host:port` with a literal address (`0.0.0.0:8080`, `[::]:8080`) or `unix:/path/of/the.sock`.
    /// Port 0 lets the kernel choose.
    pub address: ListenAddress,
    /// Networks whose `X-Forwarded-For`, `Forwarded` and request id are believed; `unix` stands for
    /// every peer on a Unix socket. Empty: nobody is believed, and what clients say of themselves is dropped.
    #[serde(default)]
    pub trusted_proxies: Vec<TrustedPeer>,
}
