//! `upstreams`: named groups of endpoints that requests are passed on to.

mod balance;
mod breaker;
mod discover;
mod ejection;
mod endpoints_file;
mod health;
mod limits;
mod tls;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::decode::by_shape;
use super::value::{EndpointAddress, HostPolicy, Limit, Percent, Period, Protocol, ProxyVersion, Share, Weight};
pub(super) use balance::is_cookie_name;
pub use balance::{Balance, HashKey};
pub use breaker::Breaker;
pub use discover::{Asking, Discover};
pub use ejection::Ejection;
pub use endpoints_file::read_endpoints;
pub use health::{CheckKind, CheckMethod, GrpcCheck, HealthCheck, HttpCheck};
pub use limits::Limits;
pub use tls::{ClientCert, Tls};

/// A named group of endpoints that serve the same thing.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(extend("oneOf" = [{"required": ["endpoints"]}, {"required": ["discover"]}]))]
pub struct Upstream {
    /// At least one, unless they are discovered. Each stands there once; `weight` gives it a larger share.
    #[serde(default, deserialize_with = "at_least_one")]
    #[schemars(length(min = 1))]
    pub endpoints: Vec<Endpoint>,
    /// Where the endpoints come from instead of `endpoints`: DNS or a file that other tools write.
    pub discover: Option<Discover>,
    /// Which endpoint gets the next request: `round_robin` (by turns), `least_requests` (of two drawn by weight the one
    /// with fewer requests in flight) or `{hash: client_ip}`, `{hash: {header: x-user}}`, `{hash: {cookie: sid}}`,
    /// `{hash: {path: id}}` (the same key, the same endpoint). A request without the key goes by turns.
    #[serde(default)]
    pub balance: Balance,
    /// An endpoint that comes back, or joins a running upstream, gets its share little by little over this time, from a
    /// tenth upwards (nginx, Envoy); `off` gives it all at once.
    #[serde(default = "off")]
    pub slow_start: Limit,
    /// When less than this share of the primary endpoints can be used and no backup can, all of them are used: what is
    /// ejected or fails its checks may still answer, and the few that are left would break down (Envoy's panic
    /// threshold).
    #[serde(default = "half")]
    pub panic: Share,
    /// How every endpoint is asked, again and again, whether it is well. None: never.
    pub health: Option<HealthCheck>,
    /// Takes an endpoint out of use when requests to it fail again and again. None: never.
    pub ejection: Option<Ejection>,
    /// Leaves the upstream alone for a while when too many requests fail. None: never.
    pub breaker: Option<Breaker>,
    /// How much it is given at a time.
    #[serde(default)]
    pub limits: Limits,
    /// How long to wait for them.
    #[serde(default)]
    pub timeouts: UpstreamTimeouts,
    /// The `Host` that is sent on: `client` (what the client sent), `endpoint` (its address) or a literal.
    #[serde(default)]
    pub host: HostPolicy,
    /// The version of HTTP that they are spoken to in: `auto` (what TLS negotiates, HTTP/1.1 without TLS), `http1` or
    /// `http2` (without TLS by prior knowledge, h2c).
    #[serde(default)]
    pub protocol: Protocol,
    /// Each connection begins with a PROXY header of this version, which names the client: `v1` or `v2`. A connection is
    /// used again for the same client's address and port only. Checks say that the door speaks for itself.
    pub proxy_protocol: Option<ProxyVersion>,
    /// TLS to every endpoint: `{}` for names and CAs that the system knows. Left out: in the clear.
    pub tls: Option<Tls>,
}

impl Upstream {
    /// These endpoints, and everything else as it is where the file says nothing.
    pub fn of(endpoints: Vec<Endpoint>) -> Self {
        Self {
            endpoints,
            discover: None,
            balance: Balance::default(),
            slow_start: off(),
            panic: half(),
            health: None,
            ejection: None,
            breaker: None,
            limits: Limits::default(),
            timeouts: UpstreamTimeouts::default(),
            host: HostPolicy::default(),
            protocol: Protocol::default(),
            proxy_protocol: None,
            tls: None,
        }
    }
}

impl<'de> Deserialize<'de> for Upstream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // `remote` has made a function of this name that knows the fields one by one, but not all at once.
        let upstream = Self::deserialize(deserializer)?;
        match (upstream.endpoints.is_empty(), &upstream.discover) {
            (false, None) | (true, Some(_)) => Ok(upstream),
            (true, None) => Err(D::Error::custom(
                "`endpoints` is missing; write `endpoints: [127.0.0.1:9101]`, or `discover` to have them found",
            )),
            (false, Some(_)) => Err(D::Error::custom(
                "the endpoints are either listed or discovered; take `endpoints` or `discover` away",
            )),
        }
    }
}

fn off() -> Limit {
    Limit::Off
}

fn half() -> Share {
    Share::Of(Percent::whole(50))
}

/// One address of an upstream: `127.0.0.1:9101`, `users.internal:80`, `unix:/run/users.sock`, or
/// `{address: …, weight: …}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Where it listens.
    pub address: EndpointAddress,
    /// Its share of the requests beside the others'; 0 takes it out of turn.
    pub weight: Weight,
    /// Whether it is used only when no primary endpoint can be.
    pub backup: bool,
}

impl Endpoint {
    /// A primary one of weight 1.
    pub fn of(address: EndpointAddress) -> Self {
        Self { address, weight: one(), backup: false }
    }
}

/// How long to wait for an upstream.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTimeouts {
    /// For a connection to be made.
    pub connect: Period,
    /// The longest silence while a response is awaited or a body is under way, in either direction; `off` for none.
    /// It alone bounds WebSockets, event streams and gRPC; everything else is bounded by the route's `timeout` too.
    pub idle: Limit,
    /// How long an unused connection is kept for the next request; `off` keeps none.
    /// Keep it below the endpoint's own keep-alive time.
    pub keepalive: Limit,
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        Self {
            connect: Period(Duration::from_secs(1)),
            idle: Limit::After(Duration::from_secs(60)),
            keepalive: Limit::After(Duration::from_secs(30)),
        }
    }
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Endpoint>, D::Error> {
    let endpoints = Vec::deserialize(deserializer)?;
    if endpoints.is_empty() {
        return Err(D::Error::custom("the list is empty; it needs at least one endpoint, such as `[127.0.0.1:9101]`"));
    }
    Ok(endpoints)
}

/// An endpoint with settings of its own.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Where it listens.
    address: EndpointAddress,
    /// Its share of the requests beside the others'; 0 takes it out of turn.
    #[serde(default = "one")]
    weight: Weight,
    /// Used only when no endpoint without this can be.
    #[serde(default)]
    backup: bool,
}

fn one() -> Weight {
    Weight(1)
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = Endpoint;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an address such as `127.0.0.1:9101`, or a map such as `{address: 127.0.0.1:9101, weight: 3}`",
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Endpoint, E> {
                text.parse().map(Endpoint::of).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Endpoint, A::Error> {
                let Written { address, weight, backup } = Written::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Endpoint { address, weight, backup })
            }
        }

        by_shape(deserializer, Shape)
    }
}

impl JsonSchema for Endpoint {
    fn schema_name() -> Cow<'static, str> {
        "Endpoint".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let address = generator.subschema_for::<EndpointAddress>();
        json_schema!({"anyOf": [address, Written::json_schema(generator)]})
    }
}
