//! Connections that end before there is a request: counted by reason, and told of now and then.
//!
//! Whoever scans a network makes thousands of them. So each reason has at most one line in the log in ten seconds, which
//! says how many there were.

use std::net::IpAddr;
use std::time::Instant;

use crate::seldom::Seldom;

/// Makes the enum, its words and their number from one table.
macro_rules! reasons {
    ($($name:ident $code:literal $meaning:literal)*) => {
        /// Why a connection ended before there was a request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum TurnedAway {
            $(#[doc = $meaning] $name,)*
        }

        impl TurnedAway {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word, which does not change any more.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// What happened, as the docs say it.
            #[cfg(test)]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }
        }
    };
}

reasons! {
    ConnectionsFull "connections_full" "the listener has as many connections as its `limits.connections` allow, or the door as many as `process.connections`"
    ClientConnectionsFull "client_connections_full" "the client has as many connections as `limits.connections_per_client` allow"
    ProxyHeaderMissing "proxy_header_missing" "a network on `proxy_protocol` sent no PROXY header"
    ProxyHeaderMalformed "proxy_header_malformed" "a PROXY header that breaks the protocol's rules, or is cut short"
    ProxyHeaderTimeout "proxy_header_timeout" "the PROXY header was not whole within `limits.handshake_timeout`"
    TlsHandshakeFailed "tls_handshake_failed" "no TLS connection came about"
    TlsHandshakeTimeout "tls_handshake_timeout" "the TLS handshake was not over within `limits.handshake_timeout`"
    TlsNotSpoken "tls_not_spoken" "something else than TLS on a listener with TLS, such as plain HTTP"
    PrefaceMalformed "preface_malformed" "something else than HTTP/2 where that was agreed on"
    PrefaceTimeout "preface_timeout" "the preface of HTTP/2 was not whole within `limits.handshake_timeout`"
}

/// Counts by reason.
#[derive(Debug)]
pub struct Counts {
    counts: [Seldom; TurnedAway::ALL.len()],
    began: Instant,
}

impl Default for Counts {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| Seldom::default()), began: Instant::now() }
    }
}

impl Counts {
    /// One more, from this address.
    pub(super) fn note(&self, listener: &str, reason: TurnedAway, client: Option<IpAddr>, detail: Option<&str>) {
        let Some(count) = self.counts.get(reason as usize) else { return };
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let Some(times) = count.happened(now) else { return };
        let code = reason.code();
        let client = client.map(|ip| format!(" from {ip}")).unwrap_or_default();
        let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        match times {
            0 | 1 => log::info!("listener `{listener}`: connection{client} turned away, {code}{detail}"),
            _ => {
                log::info!("listener `{listener}`: {times} connections turned away, {code}; the latest{client}{detail}")
            }
        }
    }

    /// How many so far, by reason.
    pub fn counts(&self) -> impl Iterator<Item = (TurnedAway, u64)> {
        TurnedAway::ALL.iter().zip(&self.counts).map(|(reason, count)| (*reason, count.count()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::readme;

    const BEGIN: &str = "<!-- turned away: made of src/proxy/turned_away.rs by ONEDOOR_WRITE_DOCS=1 make test -->\n";
    const END: &str = "<!-- end of turned away -->\n";

    fn table() -> String {
        let rows = TurnedAway::ALL.iter().map(|reason| format!("| `{}` | {} |\n", reason.code(), reason.meaning()));
        format!("\n| reason | what happened |\n|---|---|\n{}\n", rows.collect::<String>())
    }

    #[test]
    fn the_readme_has_every_reason() {
        readme::has_table(BEGIN, END, &table());
    }

    #[test]
    fn words_are_unique() {
        let words: HashSet<_> = TurnedAway::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(words.len(), TurnedAway::ALL.len());
    }
}
