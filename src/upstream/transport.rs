//! How endpoints are spoken to: in which version of HTTP, in the clear or by TLS.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, SystemTime};

use pingora::protocols::{ALPN, TcpKeepalive};
use pingora::upstreams::peer::{HttpPeer, Scheme};

use super::announce::Announce;
use super::tls::{Material, Remark};
use crate::config;
use crate::config::{EndpointAddress, Limit, Protocol, ProxyVersion, TlsName};
use crate::proxy_protocol::Addresses;

/// How the endpoints of an upstream are spoken to. Two are equal if connections made by one may serve the other.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct Transport {
    protocol: Protocol,
    proxy_protocol: Option<ProxyVersion>,
    tls: Option<Secured>,
}

#[derive(Debug, Clone, PartialEq, Hash)]
struct Secured {
    /// The name to verify in place of the endpoints' own.
    name: Option<TlsName>,
    material: Material,
}

/// How many requests share an HTTP/2 connection, if the endpoint allows as many: RFC 9113, 6.5.2 asks endpoints to
/// allow at least 100.
const STREAMS: usize = 100;

/// How much of a response over HTTP/2 is taken that its client has not read.
const STREAM_WINDOW: u32 = 512 << 10;

/// More than all streams of a connection can hold together: however many clients don't read, the others go on. Pingora's
/// default is 8 MiB for a stream and for a connection alike, so that one client could stop all.
#[allow(clippy::cast_possible_truncation, reason = "a hundred or so")]
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * (STREAMS as u32 + 1);

/// How often an HTTP/2 connection is asked whether it is alive; without an answer within 5 s it is given up. gRPC's
/// servers end connections that ask more often than each 5 minutes.
const PING: Duration = Duration::from_secs(5 * 60 + 1);

/// The silence after which the kernel asks whether the other host is there, and how long it goes on asking.
const PROBE_AFTER: Duration = Duration::from_secs(15);
const PROBE_EVERY: Duration = Duration::from_secs(5);
const PROBES: usize = 3;

/// The least time that sent bytes may stay without an answer of the other host's kernel: some lost packets are no end.
const LEAST_UNANSWERED: Duration = Duration::from_secs(10);

impl Transport {
    /// Reads what the settings name, with what should be looked at although it works.
    ///
    /// # Errors
    /// Everything about `tls` that would make each connection fail.
    pub fn load(settings: &config::Upstream, now: SystemTime) -> Result<(Self, Vec<Remark>), Vec<Remark>> {
        let plain = Self { protocol: settings.protocol, proxy_protocol: settings.proxy_protocol, tls: None };
        let Some(tls) = &settings.tls else { return Ok((plain, Vec::new())) };
        let (material, warnings) = Material::load(tls, now)?;
        Ok((Self { tls: Some(Secured { name: tls.sni.clone(), material }), ..plain }, warnings))
    }

    /// Makes a peer that is reached this way of one that only has its address. Where the PROXY protocol is spoken, the
    /// door speaks for itself until an [`Announce`] has it speak for a client.
    ///
    /// # Errors
    /// That by TLS nothing could be verified: a Unix socket without `sni`, a name that no certificate is for.
    pub(super) fn prepare(
        &self,
        peer: &mut HttpPeer,
        upstream: &str,
        endpoint: &EndpointAddress,
        idle: Limit,
    ) -> Result<(), String> {
        if let Some(secured) = &self.tls {
            peer.scheme = Scheme::HTTPS;
            peer.sni = secured.name_of(endpoint)?.as_str().to_owned();
            peer.options.ca = secured.material.roots().cloned();
            peer.client_cert_key = secured.material.client().cloned();
        }
        peer.options.alpn = match (self.protocol, &self.tls) {
            (Protocol::Http2, _) => ALPN::H2,
            (Protocol::Auto, Some(_)) => ALPN::H2H1,
            (Protocol::Auto, None) | (Protocol::Http1, _) => ALPN::H1,
        };
        peer.options.max_h2_streams = STREAMS;
        peer.options.h2_stream_window_size = Some(STREAM_WINDOW);
        peer.options.h2_connection_window_size = Some(CONNECTION_WINDOW);
        peer.options.h2_ping_interval = Some(PING);
        peer.options.tcp_keepalive = Some(keepalive(idle));
        peer.group_key = self.group_key(upstream);
        if let Some(announce) = self.announce(None) {
            announce.on(peer);
        }
        Ok(())
    }

    /// What connections say before all else, if anything: whose they are, or without addresses that they are the door's.
    pub fn announce(&self, addresses: Option<Addresses>) -> Option<Announce> {
        self.proxy_protocol.map(|version| Announce { version, addresses })
    }

    /// Whether by TLS there is something to verify of an endpoint.
    ///
    /// # Errors
    /// That there is nothing, as [`Transport::prepare`] has it.
    pub(super) fn verifies(&self, endpoint: &EndpointAddress) -> Result<(), String> {
        self.tls.as_ref().map_or(Ok(()), |secured| secured.name_of(endpoint).map(drop))
    }

    /// Pingora's pool is keyed by address, verified name and this number. Its own key leaves out the CA, the protocol
    /// and all of a client certificate but its serial number, so connections that differ in these, or belong to
    /// another upstream, are kept apart here.
    fn group_key(&self, upstream: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (upstream, self).hash(&mut hasher);
        hasher.finish()
    }
}

impl Secured {
    /// Never empty: Pingora verifies nothing at all where there is no name.
    fn name_of(&self, endpoint: &EndpointAddress) -> Result<TlsName, String> {
        match (&self.name, endpoint) {
            (Some(name), _) => Ok(name.clone()),
            (None, EndpointAddress::Socket(address)) => Ok(address.ip().into()),
            (None, EndpointAddress::Name { host, .. }) => {
                host.parse().map_err(|why| format!("by TLS, {why}, and set it as `sni` in the upstream's `tls`"))
            }
            (None, EndpointAddress::Unix(_)) => Err("a Unix socket has no name that its certificate could be for; \
                set `sni` in the upstream's `tls`, such as `sni: users.internal`"
                .into()),
        }
    }
}

/// A host that is gone without a word is noticed by the kernel, and not only by each request's own timeout: a connection
/// of HTTP/2 would take new requests all the while.
fn keepalive(idle: Limit) -> TcpKeepalive {
    TcpKeepalive {
        idle: PROBE_AFTER,
        interval: PROBE_EVERY,
        count: PROBES,
        // 0 is the system's own, about 15 minutes.
        #[cfg(target_os = "linux")]
        user_timeout: idle.after().map_or(Duration::ZERO, |idle| idle.max(LEAST_UNANSWERED)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(more: &str) -> Transport {
        let text = format!("{{\"endpoints\": [\"127.0.0.1:1\"] {more}}}");
        let settings = serde_json::from_str(&text).unwrap();
        Transport::load(&settings, SystemTime::now()).unwrap().0
    }

    fn prepared(transport: &Transport, upstream: &str, endpoint: &str, idle: Limit) -> Result<HttpPeer, String> {
        let mut peer = HttpPeer::new("127.0.0.1:1", false, String::new());
        transport.prepare(&mut peer, upstream, &endpoint.parse().unwrap(), idle).map(|()| peer)
    }

    fn by_tls(name: Option<&str>) -> Transport {
        let name = name.map(|name| name.parse().unwrap());
        let tls = Some(Secured { name, material: Material::default() });
        Transport { protocol: Protocol::Auto, proxy_protocol: None, tls }
    }

    #[test]
    fn by_tls_there_always_is_a_name_to_verify() {
        for (sni, endpoint, name) in [
            (None, "users.internal:1", Ok("users.internal")),
            (None, "192.0.2.7:1", Ok("192.0.2.7")),
            (None, "[::1]:1", Ok("::1")),
            (Some("x.internal"), "192.0.2.7:1", Ok("x.internal")),
            (Some("x.internal"), "unix:/run/x.sock", Ok("x.internal")),
            (None, "unix:/run/x.sock", Err("set `sni`")),
            (None, "a_b.users.internal:1", Err("set it as `sni`")),
        ] {
            match (prepared(&by_tls(sni), "a", endpoint, Limit::Off), name) {
                (Ok(peer), Ok(name)) => assert!(peer.is_tls() && peer.sni == name, "{peer}"),
                (Err(why), Err(words)) => assert!(why.contains(words), "{why}"),
                (made, name) => panic!("{endpoint}: {made:?} {name:?}"),
            }
        }
    }

    #[test]
    fn connections_of_one_upstream_and_one_way_share_a_pool() {
        let key = |transport: &Transport, upstream| {
            prepared(transport, upstream, "127.0.0.1:1", Limit::Off).unwrap().group_key
        };
        let (auto, http2) = (load(""), load(", \"protocol\": \"http2\""));
        assert_eq!(key(&auto, "a"), key(&load(""), "a"));
        assert_ne!(key(&auto, "a"), key(&auto, "b"));
        assert_ne!(key(&auto, "a"), key(&http2, "a"));
        assert_ne!(key(&auto, "a"), key(&by_tls(None), "a"));
        assert_ne!(key(&by_tls(Some("x.internal")), "a"), key(&by_tls(None), "a"));
    }

    #[test]
    fn clients_that_are_named_share_no_connection() {
        let key = |transport: &Transport, client: Option<&str>| {
            let mut peer = prepared(transport, "a", "127.0.0.1:1", Limit::Off).unwrap();
            let door = "127.0.0.1:80".parse().unwrap();
            if let Some(announce) =
                transport.announce(client.map(|client| Addresses { client: client.parse().unwrap(), door }))
            {
                announce.alone_on(&mut peer);
            }
            assert_eq!(peer.options.custom_l4.is_some(), transport.proxy_protocol.is_some());
            peer.group_key
        };
        let (named, plain) = (load(", \"proxy_protocol\": \"v2\""), load(""));
        assert_eq!(key(&named, Some("192.0.2.7:1")), key(&named, Some("192.0.2.7:1")));
        let keys =
            [key(&named, Some("192.0.2.7:1")), key(&named, Some("192.0.2.7:2")), key(&named, None), key(&plain, None)];
        for (at, one) in keys.iter().enumerate() {
            assert!(!keys[at + 1..].contains(one), "{at}");
        }
        assert_eq!(key(&plain, Some("192.0.2.7:1")), key(&plain, None));
    }

    #[test]
    fn some_lost_packets_are_no_end_however_short_idle_is() {
        let timeout = |idle| {
            let peer = prepared(&load(""), "a", "127.0.0.1:1", idle).unwrap();
            peer.options.tcp_keepalive.unwrap().user_timeout
        };
        assert_eq!(timeout(Limit::After(Duration::from_millis(100))), LEAST_UNANSWERED);
        assert_eq!(timeout(Limit::After(Duration::from_secs(60))), Duration::from_secs(60));
        assert_eq!(timeout(Limit::Off), Duration::ZERO);
    }
}
