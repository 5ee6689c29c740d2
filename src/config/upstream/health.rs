//! `health`: how an upstream's endpoints are asked whether they are well.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use super::super::decode::list_of;
use super::super::value::{
    EndpointAddress, OneOrMany, Period, RequestHeaderName, RequestHost, RequestPath, SecretText, StatusRange,
};

/// How every endpoint of an upstream is asked whether it is well, and how many answers it takes to believe it.
///
/// In the file a map with exactly one of `path` (HTTP), `tcp: true` and `grpc`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct HealthCheck {
    /// What is asked.
    pub kind: CheckKind,
    /// From the start of one check of an endpoint to the start of its next, give or take 15 %; 5s unless the file says
    /// otherwise, at least 10ms.
    pub interval: Period,
    /// Bounds a check as a whole: connection, TLS and the full answer. 1s unless the file says otherwise. Shorter than
    /// the interval, or an endpoint that hangs would be checked less often than one that is well.
    pub timeout: Period,
    /// After so many failures in a row an endpoint counts as unhealthy; 3 unless the file says otherwise.
    pub unhealthy_after: NonZeroU16,
    /// After so many successes in a row an endpoint counts as healthy again; 2 unless the file says otherwise.
    pub healthy_after: NonZeroU16,
    /// The port to check, if not the endpoint's own.
    pub port: Option<NonZeroU16>,
}

/// What an endpoint is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckKind {
    /// A request, whose answer's status says it.
    Http(HttpCheck),
    /// For a connection; over TLS, for a handshake.
    Tcp,
    /// `grpc.health.v1.Health/Check`.
    Grpc(GrpcCheck),
}

/// A check by HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpCheck {
    /// What is asked for.
    pub path: RequestPath,
    /// Which host is asked for; none: the endpoint's address.
    pub host: Option<RequestHost>,
    /// How it is asked.
    pub method: CheckMethod,
    /// The statuses that say that it is well.
    pub status: OneOrMany<StatusRange>,
    /// More headers.
    pub headers: BTreeMap<RequestHeaderName, SecretText>,
}

/// A check by gRPC's own protocol for it.
#[derive(Debug, Clone, PartialEq)]
pub struct GrpcCheck {
    /// The service that is asked for; empty: the server as a whole. At most 255 bytes.
    pub service: String,
    /// The `:authority` that is asked for; none: the endpoint's address.
    pub host: Option<RequestHost>,
    /// More metadata.
    pub headers: BTreeMap<RequestHeaderName, SecretText>,
}

/// How an HTTP check asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum CheckMethod {
    /// With a body in the answer, of which at most 64 KiB are read.
    #[default]
    #[serde(rename = "GET")]
    Get,
    /// Without a body.
    #[serde(rename = "HEAD")]
    Head,
}

/// A shorter interval is load, not health.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

impl HealthCheck {
    /// Whether an endpoint can be checked in this way.
    ///
    /// # Errors
    /// A sentence for people: it is a Unix socket, and another port shall be checked.
    pub fn fits(&self, endpoint: &EndpointAddress) -> Result<(), String> {
        match (endpoint, self.port) {
            (EndpointAddress::Unix(_), Some(port)) => Err(format!(
                "`port: {port}` cannot be checked, since the endpoint {endpoint} is a Unix socket; leave `port` out, or \
                 put the endpoint into an upstream of its own"
            )),
            _ => Ok(()),
        }
    }
}

/// How the endpoints are asked whether they are well. Exactly one of `path`, `tcp` and `grpc` says in what way.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Ask by HTTP for this path.
    path: Option<RequestPath>,
    /// `true`: only connect (and over TLS, shake hands).
    tcp: Option<bool>,
    /// Ask by `grpc.health.v1` for this service; `""` for the server as a whole.
    #[schemars(length(max = 255))]
    grpc: Option<String>,
    /// From the start of one check of an endpoint to the start of its next, give or take 15 %; at least 10ms.
    #[serde(default = "five_seconds")]
    interval: Period,
    /// Bounds a check as a whole; shorter than the interval.
    #[serde(default = "one_second")]
    timeout: Period,
    /// After so many failures in a row an endpoint counts as unhealthy.
    #[serde(default = "three")]
    unhealthy_after: NonZeroU16,
    /// After so many successes in a row an endpoint counts as healthy again.
    #[serde(default = "two")]
    healthy_after: NonZeroU16,
    /// The port to check, if not the endpoint's own; not for Unix sockets.
    port: Option<NonZeroU16>,
    /// With `path` and `grpc`: which host is asked for; none: the endpoint's address.
    host: Option<RequestHost>,
    /// With `path`: how it is asked.
    method: Option<CheckMethod>,
    /// With `path`: the statuses that say that the endpoint is well: one, a range or a list of these. 200-299 unless
    /// the file says otherwise: a redirect, most often to a log-in page, tells nothing of health, so it passes only
    /// where it is named (`200-399`, what HAProxy takes); `200` alone is what Envoy takes.
    status: Option<OneOrMany<StatusRange>>,
    /// With `path` and `grpc`: more headers.
    #[serde(default)]
    headers: BTreeMap<RequestHeaderName, SecretText>,
}

fn five_seconds() -> Period {
    Period(Duration::from_secs(5))
}

fn one_second() -> Period {
    Period(Duration::from_secs(1))
}

fn three() -> NonZeroU16 {
    NonZeroU16::MIN.saturating_add(2)
}

fn two() -> NonZeroU16 {
    NonZeroU16::MIN.saturating_add(1)
}

impl TryFrom<Written> for HealthCheck {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { interval, timeout, unhealthy_after, healthy_after, port, .. } = written;
        check_times(interval.0, timeout.0)?;
        Ok(Self { kind: kind(written)?, interval, timeout, unhealthy_after, healthy_after, port })
    }
}

fn check_times(interval: Duration, timeout: Duration) -> Result<(), String> {
    let shown = humantime::format_duration;
    if interval < SHORTEST_INTERVAL {
        let (interval, shortest) = (shown(interval), shown(SHORTEST_INTERVAL));
        return Err(format!("the `interval` of {interval} is too short; it is at least {shortest}, such as `5s`"));
    }
    if timeout >= interval {
        return Err(format!(
            "the `timeout` of {} is not shorter than the `interval` of {}, so an endpoint that hangs would be checked \
             less often than one that is well; make `timeout` (1s unless it is written) shorter or `interval` longer",
            shown(timeout),
            shown(interval)
        ));
    }
    Ok(())
}

fn kind(written: Written) -> Result<CheckKind, String> {
    let meant =
        [written.host.is_some(), !written.headers.is_empty(), written.method.is_some(), written.status.is_some()];
    let named = ["host", "headers", "method", "status"].into_iter().zip(meant);
    // A check has a meaning for the first so many of them.
    let without_surplus = |key: &str, meanings: usize| {
        let surplus: Vec<&str> = named.clone().skip(meanings).filter(|named| named.1).map(|named| named.0).collect();
        if surplus.is_empty() {
            return Ok(());
        }
        Err(format!("a check with `{key}` has no use for {}; take that away, or use `path`", list_of(surplus)))
    };
    let Written { path, tcp, grpc, host, method, status, headers, .. } = written;
    match (path, tcp, grpc) {
        (Some(path), None, None) => {
            let status = status.unwrap_or_else(|| StatusRange::SUCCESS.into());
            Ok(CheckKind::Http(HttpCheck { path, host, method: method.unwrap_or_default(), status, headers }))
        }
        (None, Some(true), None) => without_surplus("tcp", 0).map(|()| CheckKind::Tcp),
        (None, None, Some(service)) => {
            without_surplus("grpc", 2)?;
            if service.len() > 255 {
                return Err(format!("the service in `grpc` has {} bytes; allowed are at most 255", service.len()));
            }
            Ok(CheckKind::Grpc(GrpcCheck { service, host, headers }))
        }
        (None, Some(false), None) => {
            Err("`tcp: false` checks nothing; write `tcp: true`, or leave `health` out".into())
        }
        _ => Err("expected exactly one of `path` (such as `path: /healthz`), `tcp: true` and `grpc` (such as \
                  `grpc: package.Service`, or `grpc: \"\"` for the server as a whole)"
            .into()),
    }
}

impl JsonSchema for HealthCheck {
    fn schema_name() -> Cow<'static, str> {
        "HealthCheck".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Written::json_schema(generator);
        let one_of = serde_json::json!([{"required": ["path"]}, {"required": ["tcp"]}, {"required": ["grpc"]}]);
        schema.insert("oneOf".into(), one_of);
        schema
    }
}

#[cfg(test)]
mod tests;
