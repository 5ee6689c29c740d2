//! Every way in which an exchange can fail, its status, and its [`Cause`].

use std::time::Duration;

use http::{HeaderValue, header};

use super::cause::Cause;
use crate::filter::{Failure, Reply};
use crate::head::path::PathProblem;
use crate::head::strict::HeadProblem;
use crate::head::wire::WireProblem;
use crate::route::Allow;
use crate::upstream::TlsFault;

/// Why an exchange failed.
#[derive(Debug)]
pub enum Fault {
    /// The head breaks a rule that a gateway must hold up.
    Head(HeadProblem),
    /// The head broke a rule of HTTP's grammar, so that not even its path is known.
    Malformed,
    /// The head did not arrive in time.
    HeadTimeout(Duration),
    /// The path breaks a rule.
    Path(PathProblem),
    /// The request is for another host than its TLS connection.
    Misdirected,
    /// No route takes such a request.
    NoRoute,
    /// Routes take the path, but not with this method.
    MethodNotAllowed(Allow),
    /// A filter failed and is not one that may.
    Filter(Failure),
    /// No endpoint can take a request.
    NoEndpoint,
    /// Too many requests to the upstream fail; for so long it is left alone yet.
    BreakerOpen(Duration),
    /// Every endpoint has as many connections in use as it may.
    LimitConnections,
    /// The upstream has as many requests in flight as it may.
    LimitRequests,
    /// An endpoint could not be reached.
    Connect(ConnectFault),
    /// The exchange took longer than its route allows.
    Deadline,
    /// The upstream failed after it was connected to.
    Upstream(UpstreamFault),
    /// The client failed: nothing, or no good body, came from it any more.
    Client(ClientFault),
    /// The client broke rules of HTTP/2 that concern its whole connection.
    Http2Error(h2::Reason),
    /// The client sent frame after frame of HTTP/2 that is of no use.
    Http2Flood,
    /// The door left before the exchange was over.
    Shutdown,
    /// The door itself failed.
    Internal(String),
}

/// Why an endpoint could not be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectFault {
    /// Nobody listens there.
    Refused,
    /// No answer within the upstream's `connect` timeout.
    Timeout,
    /// No way there, or another failure of the network.
    Unreachable,
    /// It was reached, and no TLS connection came about.
    Tls(TlsFault),
}

/// How an upstream failed after it was connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamFault {
    /// It closed the connection before any byte of a head.
    ClosedBeforeHead,
    /// It reset the connection before any byte of a head, or the connection was lost.
    ResetBeforeHead,
    /// The connection ended, in whatever way, within the head.
    TruncatedHead,
    /// It was silent for longer than its `idle` timeout before the head was whole.
    HeadTimeout,
    /// No head came within the route's `per_try`.
    TryTimeout,
    /// It sent something that is no head of a response.
    MalformedHead,
    /// Its head has more bytes or headers than are read.
    HeadTooLarge,
    /// How long its response is is in doubt.
    BadFraming,
    /// It sent one interim response after the other.
    TooManyInterim,
    /// It switched protocols, and nobody had asked it to.
    UnexpectedSwitch,
    /// It closed the connection within the body.
    TruncatedBody,
    /// It reset the connection within the body, or the connection was lost.
    ResetBody,
    /// Its body's chunks are none.
    BadChunks,
    /// It was silent for longer than its `idle` timeout within the body.
    IdleTimeout,
    /// The request could not be sent.
    WriteFailed,
    /// It took nothing more of the request for longer than its `idle` timeout.
    WriteTimeout,
    /// It ended the HTTP/2 connection.
    H2Goaway,
    /// It ended the HTTP/2 stream.
    H2Reset,
    /// It broke the rules of HTTP/2, or speaks something else.
    H2Error,
}

/// How a client failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientFault {
    /// It closed or reset the connection.
    Gone,
    /// It sent nothing of the body for too long.
    BodyTimeout,
    /// Its body is not framed as HTTP has it.
    MalformedBody,
    /// It did not read the response for too long.
    ReadTimeout,
}

impl From<WireProblem> for Fault {
    fn from(problem: WireProblem) -> Self {
        match problem {
            WireProblem::Head(problem) => Self::Head(problem),
            WireProblem::Body => Self::Client(ClientFault::MalformedBody),
        }
    }
}

impl Fault {
    /// The status that the client gets; 499 where it is gone and gets nothing (nginx's number).
    pub fn status(&self) -> u16 {
        match self {
            Fault::Head(problem) => problem.status(),
            Fault::Malformed | Fault::Path(_) | Fault::Client(ClientFault::MalformedBody) => 400,
            Fault::Http2Error(_) | Fault::Http2Flood => 400,
            Fault::HeadTimeout(_) | Fault::Client(ClientFault::BodyTimeout) => 408,
            Fault::NoRoute => 404,
            Fault::Misdirected => 421,
            Fault::MethodNotAllowed(_) => 405,
            Fault::Client(ClientFault::Gone | ClientFault::ReadTimeout) => 499,
            Fault::Filter(_) | Fault::Internal(_) => 500,
            Fault::NoEndpoint
            | Fault::Shutdown
            | Fault::BreakerOpen(_)
            | Fault::LimitConnections
            | Fault::LimitRequests => 503,
            Fault::Connect(ConnectFault::Timeout) | Fault::Deadline => 504,
            Fault::Upstream(
                UpstreamFault::HeadTimeout
                | UpstreamFault::TryTimeout
                | UpstreamFault::IdleTimeout
                | UpstreamFault::WriteTimeout,
            ) => 504,
            Fault::Connect(_) | Fault::Upstream(_) => 502,
        }
    }

    /// What it is called in logs, metrics and docs.
    pub fn cause(&self) -> Cause {
        match self {
            Fault::Head(_) => Cause::BadHead,
            Fault::Malformed => Cause::MalformedHead,
            Fault::HeadTimeout(_) => Cause::HeadTimeout,
            Fault::Path(_) => Cause::BadPath,
            Fault::NoRoute => Cause::NoRoute,
            Fault::Misdirected => Cause::Misdirected,
            Fault::MethodNotAllowed(_) => Cause::MethodNotAllowed,
            Fault::Filter(_) => Cause::FilterFailed,
            Fault::NoEndpoint => Cause::NoEndpoint,
            Fault::BreakerOpen(_) => Cause::BreakerOpen,
            Fault::LimitConnections => Cause::LimitConnections,
            Fault::LimitRequests => Cause::LimitRequests,
            Fault::Connect(fault) => fault.cause(),
            Fault::Deadline => Cause::Deadline,
            Fault::Upstream(fault) => fault.cause(),
            Fault::Client(fault) => fault.cause(),
            Fault::Http2Error(_) => Cause::Http2Error,
            Fault::Http2Flood => Cause::Http2Flood,
            Fault::Shutdown => Cause::Shutdown,
            Fault::Internal(_) => Cause::Internal,
        }
    }

    /// What went wrong, for the log and `explain`. `None` where the cause says it all.
    pub fn detail(&self) -> Option<String> {
        match self {
            Fault::Head(problem) => Some(problem.to_string()),
            Fault::Path(problem) => Some(problem.to_string()),
            Fault::HeadTimeout(limit) => Some(format!("the head was not whole after {limit:?}")),
            Fault::MethodNotAllowed(allow) => Some(format!("allowed: {allow}")),
            Fault::Filter(failure) => Some(format!("filter `{}`: {}", failure.kind, failure.error)),
            Fault::Shutdown => {
                Some("broken off: `process.drain` was over, or the door was told to leave at once".into())
            }
            Fault::BreakerOpen(left) if left.is_zero() => Some("one request tries whether it may close".into()),
            Fault::BreakerOpen(left) => Some(format!("it stays open for {:.1}s yet", left.as_secs_f64())),
            Fault::Client(ClientFault::MalformedBody) => Some("the body's chunks are malformed".into()),
            Fault::Http2Error(reason) => Some(format!("the connection was ended by a GOAWAY with {reason:?}")),
            Fault::Internal(why) => Some(why.clone()),
            _ => None,
        }
    }

    /// The page that the client gets: what it did wrong, if it did, and nothing of what is behind the door.
    pub fn reply(&self) -> Reply {
        let status = self.status();
        match self {
            Fault::Head(problem) => Reply::problem(status, problem.to_string()),
            Fault::Path(problem) => Reply::problem(status, problem.to_string()),
            Fault::Malformed => Reply::problem(status, "the request is not valid HTTP"),
            Fault::HeadTimeout(_) => Reply::problem(status, "the request's head did not arrive in time"),
            Fault::Client(ClientFault::BodyTimeout) => {
                Reply::problem(status, "the request's body did not arrive in time")
            }
            Fault::Client(ClientFault::MalformedBody) => Reply::problem(status, "the request's body is malformed"),
            Fault::MethodNotAllowed(allow) => {
                let reply = Reply::bare_problem(status);
                match HeaderValue::from_str(&allow.to_string()) {
                    Ok(allow) => reply.with_header(header::ALLOW, allow),
                    Err(_) => reply,
                }
            }
            Fault::BreakerOpen(left) => {
                let after = HeaderValue::from(retry_after(*left));
                Reply::bare_problem(status).with_header(header::RETRY_AFTER, after)
            }
            _ => Reply::bare_problem(status),
        }
    }
}

impl ConnectFault {
    fn cause(self) -> Cause {
        match self {
            Self::Refused => Cause::UpstreamRefused,
            Self::Timeout => Cause::UpstreamConnectTimeout,
            Self::Unreachable => Cause::UpstreamUnreachable,
            Self::Tls(TlsFault::Name) => Cause::UpstreamTlsName,
            Self::Tls(TlsFault::Untrusted) => Cause::UpstreamTlsUntrusted,
            Self::Tls(TlsFault::Expired) => Cause::UpstreamTlsExpired,
            Self::Tls(TlsFault::Alert) => Cause::UpstreamTlsAlert,
            Self::Tls(TlsFault::Failed) => Cause::UpstreamTlsFailed,
        }
    }
}

impl UpstreamFault {
    fn cause(self) -> Cause {
        match self {
            Self::ClosedBeforeHead => Cause::UpstreamClosedBeforeHead,
            Self::ResetBeforeHead => Cause::UpstreamResetBeforeHead,
            Self::TruncatedHead => Cause::UpstreamTruncatedHead,
            Self::HeadTimeout => Cause::UpstreamHeadTimeout,
            Self::TryTimeout => Cause::UpstreamTryTimeout,
            Self::MalformedHead => Cause::UpstreamMalformedHead,
            Self::HeadTooLarge => Cause::UpstreamHeadTooLarge,
            Self::BadFraming => Cause::UpstreamBadFraming,
            Self::TooManyInterim => Cause::UpstreamTooManyInterim,
            Self::UnexpectedSwitch => Cause::UpstreamUnexpectedSwitch,
            Self::TruncatedBody => Cause::UpstreamTruncatedBody,
            Self::ResetBody => Cause::UpstreamResetBody,
            Self::BadChunks => Cause::UpstreamBadChunks,
            Self::IdleTimeout => Cause::UpstreamIdleTimeout,
            Self::WriteFailed => Cause::UpstreamWriteFailed,
            Self::WriteTimeout => Cause::UpstreamWriteTimeout,
            Self::H2Goaway => Cause::UpstreamH2Goaway,
            Self::H2Reset => Cause::UpstreamH2Reset,
            Self::H2Error => Cause::UpstreamH2Error,
        }
    }
}

impl ClientFault {
    fn cause(self) -> Cause {
        match self {
            Self::Gone => Cause::ClientGone,
            Self::BodyTimeout => Cause::ClientBodyTimeout,
            Self::MalformedBody => Cause::MalformedBody,
            Self::ReadTimeout => Cause::ClientReadTimeout,
        }
    }
}

/// The seconds of a `Retry-After`: whole ones, and never none at all.
fn retry_after(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0 || left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_never_told_to_come_too_early() {
        let seconds = [0, 1, 999, 1_000, 1_001].map(|millis| retry_after(Duration::from_millis(millis)));
        assert_eq!(seconds, [1, 1, 1, 1, 2]);
    }
}
