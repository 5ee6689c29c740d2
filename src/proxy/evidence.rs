//! What is kept of a try that failed, and the sentence that is made of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::cause::Cause;
use super::exchange::Exchange;
use super::fault::{ClientFault, ConnectFault, Fault, UpstreamFault};
use super::leg::Leg;
use super::symptom::{End, Symptom};
use crate::upstream::Endpoint;

/// A try that failed. Displayed as a sentence for people: `try 1 on 127.0.0.1:9101: no connection after 1.00s (connect 1s)`.
#[derive(Debug)]
pub struct Evidence {
    /// Which try it was, from 1; 0 before the first.
    pub number: u32,
    /// How it failed; `None` for a response that was left for another try.
    pub cause: Option<Cause>,
    /// How far it had come.
    pub leg: Leg,
    endpoint: Option<Arc<Endpoint>>,
    what: String,
    took: Duration,
    limit: Option<Bound>,
    sign: Option<String>,
}

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bound {
    /// As the file has it.
    name: &'static str,
    value: Duration,
}

/// A request that is tried again and again leaves no more than this of its failures.
pub const MOST_EVIDENCE: usize = 16;

impl Evidence {
    /// Of a fault that strikes now; `None` if no endpoint had to do with it.
    pub fn of(fault: &Fault, symptom: Symptom, exchange: &Exchange) -> Option<Self> {
        let leg = match fault {
            Fault::Connect(ConnectFault::Timeout) if symptom.in_tls => Leg::Tls,
            _ => Leg::of(fault, exchange)?,
        };
        let onward = exchange.onward.as_ref()?;
        let since_try = onward.tried_at.map_or(Duration::ZERO, |at| at.elapsed());
        Some(Self {
            number: onward.tries,
            cause: Some(fault.cause()),
            leg,
            endpoint: onward.endpoint.clone(),
            what: what(fault, leg, &symptom, exchange),
            took: if matches!(fault, Fault::Deadline) { exchange.started.elapsed() } else { since_try },
            limit: bound(fault, exchange),
            sign: symptom.sign,
        })
    }

    /// Of a response whose status is worth another try; `None` if there is no try.
    pub fn of_status(status: u16, exchange: &Exchange) -> Option<Self> {
        let onward = exchange.onward.as_ref()?;
        Some(Self {
            number: onward.tries,
            cause: None,
            leg: Leg::Head,
            endpoint: onward.endpoint.clone(),
            what: format!("answered {status}"),
            took: onward.tried_at?.elapsed(),
            limit: None,
            sign: None,
        })
    }

    /// Of a client that left, or was too slow, before its head was whole.
    pub fn of_request(fault: &Fault, took: Duration) -> Self {
        Self {
            number: 0,
            cause: Some(fault.cause()),
            leg: Leg::Request,
            endpoint: None,
            what: "the client left within its request's head".into(),
            took,
            limit: None,
            sign: None,
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(endpoint) = &self.endpoint {
            write!(f, "try {} on {}: ", self.number, endpoint.name())?;
        }
        let took = Took(self.took);
        let comma = if self.what.contains(',') { "," } else { "" };
        match (&self.limit, &self.sign) {
            (Some(Bound { name, value }), _) => write!(f, "{}{comma} after {took} ({name} {value:?})", self.what),
            (None, Some(sign)) => write!(f, "{}, at {took} ({sign})", self.what),
            (None, None) => write!(f, "{}, at {took}", self.what),
        }
    }
}

/// A time as exact as a reader wants it.
struct Took(Duration);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < Duration::from_secs(1) {
            write!(f, "{}ms", self.0.as_millis())
        } else {
            write!(f, "{:.2}s", self.0.as_secs_f64())
        }
    }
}

/// The limit that a fault is about.
fn bound(fault: &Fault, exchange: &Exchange) -> Option<Bound> {
    let timeouts = &exchange.onward.as_ref()?.upstream.settings().timeouts;
    let (name, value) = match fault {
        Fault::Connect(ConnectFault::Timeout) => ("connect", Some(timeouts.connect.0)),
        Fault::Upstream(UpstreamFault::HeadTimeout | UpstreamFault::IdleTimeout | UpstreamFault::WriteTimeout) => {
            ("idle", timeouts.idle.after())
        }
        Fault::Upstream(UpstreamFault::TryTimeout) => ("per_try", exchange.per_try()),
        Fault::Deadline => ("the route's timeout", exchange.timeout),
        _ => return None,
    };
    value.map(|value| Bound { name, value })
}

fn what(fault: &Fault, leg: Leg, symptom: &Symptom, exchange: &Exchange) -> String {
    match fault {
        Fault::Connect(ConnectFault::Refused) => "refused".into(),
        Fault::Connect(ConnectFault::Timeout) if leg == Leg::Tls => "no TLS connection".into(),
        Fault::Connect(ConnectFault::Timeout) => "no connection".into(),
        Fault::Connect(ConnectFault::Unreachable) => "cannot be reached".into(),
        Fault::Connect(ConnectFault::Tls(_)) => "no TLS connection".into(),
        Fault::Upstream(fault) => of_upstream(*fault, leg, symptom, exchange),
        Fault::Client(ClientFault::Gone) => format!("the client left {}", place(leg, exchange)),
        Fault::Client(ClientFault::BodyTimeout) => format!("too little came from the client {}", place(leg, exchange)),
        Fault::Client(ClientFault::MalformedBody) => "the request's body is malformed".into(),
        Fault::Client(ClientFault::ReadTimeout) => format!("the client did not read on {}", place(leg, exchange)),
        _ => format!("broken off {}", place(leg, exchange)),
    }
}

/// Where a request was, told by what was left to do.
fn place(leg: Leg, exchange: &Exchange) -> String {
    match leg {
        Leg::Request => "within the request's head".into(),
        Leg::Connect | Leg::Tls => "before there was a connection".into(),
        Leg::Send => format!("within the request, {} bytes into its body", exchange.asked.body_bytes),
        Leg::Head => "before the response's head".into(),
        Leg::Body => format!("within the response, {} bytes into its body", exchange.answered.body_bytes),
    }
}

fn of_upstream(fault: UpstreamFault, leg: Leg, symptom: &Symptom, exchange: &Exchange) -> String {
    let ended = if symptom.end == Some(End::Reset) { "reset" } else { "closed" };
    let (sent, received) = (exchange.asked.body_bytes, exchange.answered.body_bytes);
    match fault {
        UpstreamFault::ClosedBeforeHead | UpstreamFault::ResetBeforeHead if leg == Leg::Send => {
            format!("{ended} {}", place(leg, exchange))
        }
        UpstreamFault::ClosedBeforeHead | UpstreamFault::ResetBeforeHead => format!("{ended} before the head"),
        UpstreamFault::TruncatedHead => format!("{ended} after {} bytes of the head", symptom.head_bytes),
        UpstreamFault::HeadTimeout | UpstreamFault::TryTimeout => "no whole head".into(),
        UpstreamFault::MalformedHead => "what came is no head".into(),
        UpstreamFault::HeadTooLarge => "a head that is too large".into(),
        UpstreamFault::BadFraming => "bad framing".into(),
        UpstreamFault::TooManyInterim => "too many interim responses".into(),
        UpstreamFault::UnexpectedSwitch => "switched protocols".into(),
        UpstreamFault::TruncatedBody | UpstreamFault::ResetBody => match symptom.missing {
            Some(missing) => format!("{ended} after {received} bytes of the body, {missing} too early"),
            None => format!("{ended} after {received} bytes of the body"),
        },
        UpstreamFault::BadChunks => format!("bad chunks after {received} bytes of the body"),
        UpstreamFault::IdleTimeout => format!("stalled {received} bytes into the body"),
        UpstreamFault::WriteFailed => format!("the request could not be sent on, {sent} bytes into its body"),
        UpstreamFault::WriteTimeout => format!("no more of the request was taken, {sent} bytes into its body"),
        UpstreamFault::H2Goaway => "ended by a GOAWAY".into(),
        UpstreamFault::H2Reset => "ended by a RST_STREAM".into(),
        UpstreamFault::H2Error => "HTTP/2 is broken".into(),
    }
}
