//! Every way in which an exchange can fail, its status, and its cause: one stable word, the same in log and docs.

use std::time::Duration;

use http::{HeaderValue, header};

use crate::filter::{Failure, Reply};
use crate::head::path::PathProblem;
use crate::head::strict::HeadProblem;
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
    /// It closed or reset the connection before a whole head.
    ClosedBeforeHead,
    /// It sent something that is no HTTP/1 response.
    MalformedHead,
    /// It closed or reset the connection within the body.
    TruncatedBody,
    /// It was silent for longer than its `idle` timeout.
    IdleTimeout,
    /// No head came within the route's `per_try`.
    TryTimeout,
    /// It did not take the request.
    WriteFailed,
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

impl Fault {
    /// The status that the client gets; 499 where it is gone and gets nothing (nginx's number).
    pub fn status(&self) -> u16 {
        match self {
            Fault::Head(problem) => problem.status(),
            Fault::Malformed | Fault::Path(_) | Fault::Client(ClientFault::MalformedBody) => 400,
            Fault::HeadTimeout(_) | Fault::Client(ClientFault::BodyTimeout) => 408,
            Fault::NoRoute => 404,
            Fault::MethodNotAllowed(_) => 405,
            Fault::Client(ClientFault::Gone | ClientFault::ReadTimeout) => 499,
            Fault::Filter(_) | Fault::Internal(_) => 500,
            Fault::NoEndpoint
            | Fault::Shutdown
            | Fault::BreakerOpen(_)
            | Fault::LimitConnections
            | Fault::LimitRequests => 503,
            Fault::Connect(ConnectFault::Timeout)
            | Fault::Deadline
            | Fault::Upstream(UpstreamFault::IdleTimeout | UpstreamFault::TryTimeout) => 504,
            Fault::Connect(_) | Fault::Upstream(_) => 502,
        }
    }

    /// One stable word for logs and metrics.
    pub fn cause(&self) -> &'static str {
        match self {
            Fault::Head(_) => "bad_head",
            Fault::Malformed => "malformed_head",
            Fault::HeadTimeout(_) => "head_timeout",
            Fault::Path(_) => "bad_path",
            Fault::NoRoute => "no_route",
            Fault::MethodNotAllowed(_) => "method_not_allowed",
            Fault::Filter(_) => "filter_failed",
            Fault::NoEndpoint => "no_endpoint",
            Fault::BreakerOpen(_) => "breaker_open",
            Fault::LimitConnections => "limit_connections",
            Fault::LimitRequests => "limit_requests",
            Fault::Connect(ConnectFault::Refused) => "upstream_refused",
            Fault::Connect(ConnectFault::Timeout) => "upstream_connect_timeout",
            Fault::Connect(ConnectFault::Unreachable) => "upstream_unreachable",
            Fault::Connect(ConnectFault::Tls(tls)) => tls.cause(),
            Fault::Deadline => "deadline",
            Fault::Upstream(UpstreamFault::ClosedBeforeHead) => "upstream_closed_before_head",
            Fault::Upstream(UpstreamFault::MalformedHead) => "upstream_malformed_head",
            Fault::Upstream(UpstreamFault::TruncatedBody) => "upstream_truncated_body",
            Fault::Upstream(UpstreamFault::IdleTimeout) => "upstream_idle_timeout",
            Fault::Upstream(UpstreamFault::TryTimeout) => "upstream_try_timeout",
            Fault::Upstream(UpstreamFault::WriteFailed) => "upstream_write_failed",
            Fault::Client(ClientFault::Gone) => "client_gone",
            Fault::Client(ClientFault::BodyTimeout) => "client_body_timeout",
            Fault::Client(ClientFault::MalformedBody) => "malformed_body",
            Fault::Client(ClientFault::ReadTimeout) => "client_read_timeout",
            Fault::Shutdown => "shutdown",
            Fault::Internal(_) => "internal",
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
            Fault::BreakerOpen(left) => Some(format!("it stays open for {left:?} yet")),
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
            Fault::Malformed => Reply::problem(status, "the request is not valid HTTP/1"),
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
