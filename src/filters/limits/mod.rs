//! `limits`: how large the body of a request may be, and how many requests may be under way at a time.
//!
//! ```yaml
//! filters:
//!   limits:
//!     body: 10MiB                                   # 413 above
//!     requests: 100                                 # at a time on the route; 503 above
//!     each: {per: client_ip, requests: 10}          # and of each client; identity, {header: x-tenant}, {cookie: sid}
//! # or, in place of `requests: 100`, as many as make none slower:
//!     adaptive: {min: 10, max: 1000, tolerance: 10%, probe: 60s}
//! ```
//!
//! **`body`** is compared with `Content-Length` before anything goes on to the upstream, so that a client which waits
//! for a 100 (`Expect: 100-continue`) gets the 413 in its place. A chunked body is counted as it streams: the upstream
//! never sees it whole. The connection is closed afterwards, such that the client gets to read the answer. Cause:
//! `body_too_large`. What flows through a WebSocket is no body.
//!
//! **`requests`** counts what is under way, from here until the exchange is over: until the last byte of the response
//! is with the client, or a WebSocket or event stream ends, or the client is gone. Nothing waits in a queue: above the
//! limit there is a 503 with `Retry-After: 1` at once, with the cause `limit_concurrent`. In `defaults` each route has
//! its own count. Counts outlive a reload.
//!
//! **`each`** tells clients apart `per` address (IPv6 by the first 64 bits, as one client has them all), `identity`,
//! header or cookie; in `defaults` a client's requests on all routes count together. Requests without such a key share one count.
//! Only keys with a request under way take room, for `keys` (100,000) of them; keys beyond that share one count, so
//! none is ever without a limit.
//!
//! **`adaptive`** finds the number by itself from the time that the upstream takes to its response's head: while that
//! is not more than `tolerance` above what it takes without load, the number grows, and else it shrinks. What it takes
//! without load is measured every `probe`, with half as many let in for the 50 requests that this takes; and at once
//! when the number has halved, as what got slower may not do so for the load. (Netflix's concurrency-limits; Envoy's
//! adaptive concurrency; the probe is BBRv2's.) It holds within `min` and `max`. Not measured are errors of the
//! upstream (5xx, except 504: that was slow) and requests with a body of more than 64 KiB or of unknown length, where
//! the time is the client's. What filters of your own answer counts like the upstream's answers. Event streams and
//! WebSockets count as long as they last, though they may be no load: give routes with these a fixed number.

mod body;
mod gradient;
mod keys;
mod lane;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONTENT_LENGTH, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{Count, LimitKey, Percent, Period, Size};
use crate::filter::{Configure, Env, Filter, Flow, Problems, Reply, Request, Response, Result, Stage, async_trait};
use crate::head::cookie;
use body::{AtMost, Told};
use gradient::Bounds;
use keys::{Full, Key, KeyPermit, Table};
use lane::{Lanes, Most, Permit};

/// Bounds what is let in.
pub(super) struct Limits {
    body: Option<u64>,
    most: Option<Most>,
    lanes: Arc<Lanes>,
    each: Option<Each>,
    table: Arc<Table>,
}

/// How large a body may be, and how many requests may be under way at a time.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// The largest body of a request; above it 413.
    body: Option<Size>,
    /// How many requests may be under way on each route; above it 503.
    requests: Option<Count>,
    /// How many of them may be one client's.
    each: Option<Each>,
    /// Finds out how many requests may be under way on each route, in place of `requests`.
    adaptive: Option<Adaptive>,
}

/// How many requests may be one client's.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Each {
    /// What a client is known by.
    per: LimitKey,
    /// How many requests each may have under way; above it 503.
    requests: Count,
    /// How many clients with requests under way are told apart; those beyond share one count.
    #[serde(default = "many_keys")]
    keys: Count,
}

fn many_keys() -> Count {
    Count(100_000)
}

/// A number of requests that is found out from how long they take.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Adaptive {
    /// It is never less.
    min: Count,
    /// It is never more.
    max: Count,
    /// By how much requests may take longer than without load.
    tolerance: Percent,
    /// How often the time without load is measured.
    probe: Period,
}

impl Default for Adaptive {
    fn default() -> Self {
        let (tolerance, probe) = (Percent::whole(10), Period(Duration::from_secs(60)));
        Self { min: Count(10), max: Count(1000), tolerance, probe }
    }
}

/// Kept with the exchange, and dropped with it.
#[derive(Clone)]
struct Held {
    _key: Option<Arc<KeyPermit>>,
    lane: Option<Arc<Permit>>,
}

/// When a request was let in whose time is measured.
#[derive(Clone, Copy)]
struct Began(Instant);

#[async_trait]
impl Filter for Limits {
    async fn request(&self, request: &mut Request<'_>) -> Result<Flow> {
        if let Some(reply) = self.body.and_then(|limit| bound_body(request, limit)) {
            return Ok(reply.into());
        }
        if request.rehearsal {
            self.describe(request);
            return Ok(Flow::Continue);
        }
        Ok(self.admit(request, Instant::now()).map_or_else(|reply| Flow::Reply(*reply), |()| Flow::Continue))
    }

    async fn response(&self, response: &mut Response<'_>) -> Result<()> {
        let Some(Most::Adaptive(bounds)) = &self.most else { return Ok(()) };
        let Some(Began(began)) = response.subject.kept.remove() else { return Ok(()) };
        let tells = !response.status.is_server_error() || response.status == StatusCode::GATEWAY_TIMEOUT;
        if let Some(permit) = response.subject.kept.get::<Held>().and_then(|held| held.lane.as_ref()).filter(|_| tells)
        {
            permit.answered(bounds, began, Instant::now());
        }
        Ok(())
    }
}

/// Bounds a request's body: answers one that is too large, or sees to it that one that may yet be is counted.
fn bound_body(request: &mut Request<'_>, limit: u64) -> Option<Reply> {
    request.note(|| format!("a body of at most {limit} bytes"));
    match body::told(request, limit) {
        Told::Fits => None,
        Told::TooLarge(length) => {
            Some(body::too_large(limit, format!("the body has {length} bytes, and {limit} are allowed")))
        }
        Told::Unknown => {
            request.with_body(Box::new(AtMost::new(limit)));
            None
        }
    }
}

impl Limits {
    /// Lets a request in if there is room, and keeps that room for it.
    fn admit(&self, request: &mut Request<'_>, now: Instant) -> std::result::Result<(), Box<Reply>> {
        let key = match &self.each {
            Some(each) => Some(Arc::new(self.admit_key(each, request)?)),
            None => None,
        };
        let lane = match self.most {
            Some(most) => {
                let lane = self.lanes.of(request.subject.route);
                let permit = lane.take(most, now);
                let route = request.subject.route;
                let permit = permit.map_err(|limit| {
                    too_many(format!("route `{route}` has {} requests under way, and may have {limit}", lane.count()))
                })?;
                Some(Arc::new(permit))
            }
            None => None,
        };
        if matches!(self.most, Some(Most::Adaptive(_))) && is_soon_here(request) {
            request.subject.kept.insert(Began(now));
        }
        if key.is_some() || lane.is_some() {
            request.subject.kept.insert(Held { _key: key, lane });
        }
        Ok(())
    }

    fn admit_key(&self, each: &Each, request: &Request<'_>) -> std::result::Result<KeyPermit, Box<Reply>> {
        let key = key_of(&each.per, request);
        self.table.take(key, each.requests.0, each.keys.0).map_err(|full| {
            too_many(match full {
                Full::Key => {
                    format!("{} has {} requests under way already", shown(&each.per, request), each.requests.0)
                }
                Full::Rest => {
                    let (keys, limit) = (each.keys.0, each.requests.0);
                    format!("{keys} clients have requests under way, and those beyond share {limit}: raise `keys`")
                }
            })
        })
    }

    /// Tells `explain` what is let in.
    fn describe(&self, request: &mut Request<'_>) {
        let route = request.subject.route;
        if let Some(most) = self.most {
            let lane = self.lanes.of(route);
            request.note(|| match most {
                Most::Fixed(limit) => format!("{} of {limit} requests are under way on the route", lane.count()),
                Most::Adaptive(Bounds { min, max, .. }) => {
                    format!("{} requests are under way on the route; from {min} to {max} may be", lane.count())
                }
            });
        }
        if let Some(each) = &self.each {
            let who = shown(&each.per, request);
            request.note(|| format!("{who} may have {} requests under way", each.requests.0));
        }
    }
}

fn key_of(per: &LimitKey, request: &Request<'_>) -> Key {
    match per {
        LimitKey::ClientIp(prefixes) => Key::of_ip(request.subject.client.ip, *prefixes),
        LimitKey::Identity => {
            request.subject.identity.as_ref().map_or(Key::None, |who| Key::Subject(who.subject.as_str().into()))
        }
        LimitKey::Header(name) => request.header(name).map_or(Key::None, |value| Key::Value(value.into())),
        LimitKey::Cookie(name) => {
            cookie(request.head.headers, name.as_bytes()).map_or(Key::None, |value| Key::Value(value.into()))
        }
        LimitKey::Route => Key::Value(request.subject.route.as_bytes().into()),
    }
}

/// Whose requests are counted together, for the log; a header's value may be a secret, and is left out.
fn shown(per: &LimitKey, request: &Request<'_>) -> String {
    match (per, key_of(per, request)) {
        (LimitKey::ClientIp(_), Key::Ip(ip)) => format!("the client {ip}"),
        (LimitKey::ClientIp(_), _) => "who has no address".to_owned(),
        (LimitKey::Identity, Key::Subject(subject)) => format!("`{subject}`"),
        (LimitKey::Identity, _) => "who has no identity".to_owned(),
        (LimitKey::Header(name), Key::None) => format!("who sends no `{name}`"),
        (LimitKey::Header(name), _) => format!("this `{name}`"),
        (LimitKey::Cookie(name), Key::None) => format!("who sends no cookie `{name}`"),
        (LimitKey::Cookie(name), _) => format!("this cookie `{name}`"),
        (LimitKey::Route, _) => "the route".to_owned(),
    }
}

/// Whether a request's body is here at once, or nearly so: its time is then the upstream's.
fn is_soon_here(request: &Request<'_>) -> bool {
    let headers = request.head.headers;
    let length = headers.get(&CONTENT_LENGTH).and_then(|value| std::str::from_utf8(value).ok()?.parse::<u64>().ok());
    headers.get(&TRANSFER_ENCODING).is_none() && length.is_none_or(|length| length <= 64 << 10)
}

fn too_many(reason: String) -> Box<Reply> {
    let reply = Reply::problem(503, "too many requests are under way")
        .with_header(RETRY_AFTER, HeaderValue::from_static("1"))
        .because("limit_concurrent", reason);
    Box::new(reply)
}

impl Configure for Limits {
    const KIND: &'static str = "limits";
    const STAGE: Stage = Stage::Limits;
    type Config = Config;

    fn configure(config: Config, env: &Env<'_>) -> std::result::Result<Self, Problems> {
        let mut problems = Problems::default();
        let most = match (config.requests, config.adaptive) {
            (Some(_), Some(_)) => {
                problems
                    .add(&["adaptive"], "finds out what `requests` says; leave one away, or give `adaptive` a `max`");
                None
            }
            (Some(Count(requests)), None) => Some(Most::Fixed(requests)),
            (None, Some(adaptive)) if adaptive.min > adaptive.max => {
                let (min, max) = (adaptive.min.0, adaptive.max.0);
                problems.add(&["adaptive", "min"], format!("{min} is more than `max`, which is {max}"));
                None
            }
            (None, Some(Adaptive { min, max, tolerance, probe })) => {
                let tolerance = tolerance.ratio();
                Some(Most::Adaptive(Bounds { min: min.0, max: max.0, tolerance, probe: probe.0 }))
            }
            (None, None) => None,
        };
        let (lanes, table) = (env.state("routes", Lanes::default), env.state("each", Table::default));
        let limits =
            problems.or(Self { body: config.body.map(|Size(bytes)| bytes), most, lanes, each: config.each, table })?;
        if limits.body.is_none() && limits.most.is_none() && limits.each.is_none() {
            return Err(
                "give it something to limit, e.g. `limits: {body: 10MiB, requests: 100}`, or write `off`".into()
            );
        }
        Ok(limits)
    }
}
