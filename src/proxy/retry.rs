//! Whether a try that failed is followed by another.
//!
//! Only what is safe to repeat is repeated: nothing of the request was taken up by a server, or its method is idempotent
//! (RFC 9110, 9.2.2) and all of its body that was sent is still at hand. What is worth another try is the route's to say
//! (`retry.on`), how many retries the upstream can bear its budget's.

use std::time::{Duration, Instant};

use http::StatusCode;
use pingora::{Error, ErrorSource, ErrorType, RetryType};
use pingora_proxy::Session;

use super::exchange::Exchange;
use super::fault::{Fault, UpstreamFault};
use crate::config::{Retry, RetryOn};
use crate::snapshot::{Action, Forward};
use crate::upstream::{Outcome, backoff};

/// Why there may be another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// No connection came about, or the server said that it did not take the request up.
    NotTakenUp,
    /// The connection ended before a head was whole.
    Reset,
    /// No head came within `per_try`.
    TooSlow,
    /// The server answered so.
    Status(StatusCode),
}

impl Exchange {
    /// How the exchange's requests go on.
    pub(super) fn forward(&self) -> Option<&Forward> {
        match &self.route.as_ref()?.route.action {
            Action::Forward(forward) => Some(forward),
            _ => None,
        }
    }

    fn retry(&self) -> Option<&Retry> {
        self.forward()?.retry.as_ref()
    }

    /// The longest that a try may wait for a head, if the route says so.
    pub(super) fn per_try(&self) -> Option<Duration> {
        self.retry()?.per_try.after()
    }

    /// Whether there is another try, for a request that can be repeated. If so, it is paid for: its pause is set, and
    /// the upstream knows how the try before ended.
    pub(super) fn try_again(&mut self, why: Why, now: Instant) -> bool {
        let Some(retry) = self.retry() else { return false };
        let is_worth_it = match why {
            Why::NotTakenUp => retry.on.contains(&RetryOn::Connect),
            Why::Reset => retry.on.contains(&RetryOn::Reset),
            Why::TooSlow => true,
            Why::Status(status) => retry.is_on_status(status.as_u16()),
        };
        let attempts = retry.attempts;
        let left = self.timeout.map(|limit| (self.started + limit).saturating_duration_since(now));
        let Some(onward) = self.onward.as_mut() else { return false };
        if !is_worth_it || onward.spent >= attempts {
            return false;
        }
        let pause = backoff(onward.spent.saturating_sub(1), fastrand::f64());
        if left.is_some_and(|left| left <= pause) || !onward.upstream.retry_budget().withdraw(now) {
            return false;
        }
        onward.end(Outcome::Failed, now);
        onward.pause = Some(pause);
        true
    }

    /// Pays in for the retries that this request may bring.
    pub(super) fn deposit(&self, now: Instant) {
        if let (Some(retry), Some(onward)) = (self.retry(), &self.onward) {
            onward.upstream.retry_budget().deposit(retry.budget, now);
        }
    }

    /// Whether a response with this status is left for another try.
    pub(super) fn passes_over(&mut self, status: StatusCode, session: &Session) -> bool {
        let worth = self.retry().is_some_and(|retry| retry.is_on_status(status.as_u16()));
        let passes = worth && can_be_repeated(session) && self.try_again(Why::Status(status), Instant::now());
        if let Some(onward) = self.onward.as_mut() {
            onward.is_passed_over = passes;
        }
        passes
    }

    /// Whether there is another try after one that failed with `fault`, on a connection that was `kept` from earlier or
    /// not; the try of a response that was passed over fails for that reason alone.
    pub(super) fn survives(&mut self, e: &Error, fault: &Fault, session: &Session, kept: bool) -> bool {
        if self.onward.as_mut().is_some_and(|onward| std::mem::take(&mut onward.is_passed_over)) {
            return true;
        }
        if self.answered.status.is_some() || matches!(e.esource(), ErrorSource::Downstream) {
            return false;
        }
        let at_hand = !session.as_ref().retry_buffer_truncated();
        match &e.retry {
            // The server has said that it did not take the request up (RFC 9113, 8.7), so any method will do. Of frames
            // that we don't understand Pingora says the same, but the server may have done everything by then.
            RetryType::Decided(true) if *e.etype() != ErrorType::InvalidH2 => {
                return at_hand && self.try_again(Why::NotTakenUp, Instant::now());
            }
            RetryType::ReusedOnly if kept && self.is_stale(fault) && can_be_repeated(session) => {
                if let Some(onward) = self.onward.as_mut() {
                    onward.forgive();
                }
                return true;
            }
            _ => {}
        }
        let why = match fault {
            Fault::Upstream(
                UpstreamFault::ClosedBeforeHead
                | UpstreamFault::ResetBeforeHead
                | UpstreamFault::TruncatedHead
                | UpstreamFault::H2Goaway
                | UpstreamFault::H2Reset
                | UpstreamFault::H2Error,
            ) => Why::Reset,
            Fault::Upstream(UpstreamFault::TryTimeout) => Why::TooSlow,
            _ => return false,
        };
        can_be_repeated(session) && self.try_again(why, Instant::now())
    }
}

impl Exchange {
    /// Whether a kept connection was closed before it could have seen the request: the endpoint took it for idle as we
    /// took it up again, which is nobody's failure. Believed once for an exchange, and of connections that it had to
    /// itself: an endpoint that dies of a request, or dies with a hundred of them, is another matter.
    fn is_stale(&self, fault: &Fault) -> bool {
        let is_closed =
            matches!(fault, Fault::Upstream(UpstreamFault::ClosedBeforeHead | UpstreamFault::ResetBeforeHead));
        let is_first = self.onward.as_ref().is_some_and(|onward| onward.socket.is_some() && !onward.was_forgiven);
        is_closed && is_first && self.answered.interim == 0
    }
}

/// Whether a request that may have been taken up can be sent once more.
fn can_be_repeated(session: &Session) -> bool {
    session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated()
}
