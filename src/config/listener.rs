//! `listeners`: where the door accepts connections.

mod acme;
mod limits;
mod tls;

use schemars::JsonSchema;
use serde::Deserialize;

use super::value::{ListenAddress, ToHttps, TrustedPeer};
pub use acme::{Acme, AcmeChallenge, Domain, Email, ExternalAccount};
pub use limits::ListenerLimits;
pub use tls::{ClientAuth, ClientAuthMode, ListenerTls, ServerCertificate, TlsVersion};

/// One place where clients connect.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// `host:port` with a literal address (`0.0.0.0:8080`, `[::]:8080`) or `unix:/path/of/the.sock`.
    /// Port 0 lets the kernel choose.
    pub address: ListenAddress,
    /// Whether HTTP/2 is spoken. With TLS it is by default, as the client chooses by ALPN; without TLS it is not, and
    /// `true` lets clients begin with it (h2c by prior knowledge).
    pub http2: Option<bool>,
    /// Networks whose connections begin with a PROXY header, version 1 or 2, which says who the client is; `unix`
    /// stands for every peer on a Unix socket. From these it is required, from others it is refused.
    #[serde(default)]
    pub proxy_protocol: Vec<TrustedPeer>,
    /// Networks whose `X-Forwarded-For`, `Forwarded` and request id are believed; `unix` stands for
    /// every peer on a Unix socket. Empty: nobody is believed, and what clients say of themselves is dropped.
    #[serde(default)]
    pub trusted_proxies: Vec<TrustedPeer>,
    /// Answers every request by a redirect to `https`, on port 443 or the one that is named: `https`, `"https:8443"`.
    pub redirect: Option<ToHttps>,
    /// What one client may cost.
    #[serde(default)]
    pub limits: ListenerLimits,
    /// TLS with its clients. None: in the clear.
    pub tls: Option<ListenerTls>,
}

impl Listener {
    /// Whether HTTP/2 is spoken, said or not.
    pub fn speaks_http2(&self) -> bool {
        self.http2.unwrap_or(self.tls.is_some())
    }
}
