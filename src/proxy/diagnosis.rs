//! What an error of Pingora's means.

use pingora::{Error, ErrorSource, ErrorType};

use super::exchange::Exchange;
use super::fault::{ClientFault, ConnectFault, Fault, UpstreamFault};
use crate::upstream::classify;

/// Whether it is only the rest of a request's body that failed to come.
pub fn is_of_the_request(fault: &Fault, e: &Error) -> bool {
    match fault {
        Fault::Client(ClientFault::BodyTimeout | ClientFault::MalformedBody) => true,
        Fault::Client(ClientFault::Gone) => !matches!(e.etype(), ErrorType::WriteError),
        _ => false,
    }
}

/// What a failure of Pingora's means here.
pub fn fault_of(e: &Error, exchange: &Exchange) -> Fault {
    use ErrorType::{
        ConnectRefused, ConnectTimedout, ConnectionClosed, ReadError, ReadTimedout, WriteError, WriteTimedout,
    };
    let connected = exchange.onward.as_ref().is_some_and(|onward| onward.connected);
    let begun = exchange.onward.as_ref().is_some_and(|onward| onward.head_after.is_some());
    let tls = if begun { None } else { classify(e) };
    match (e.esource(), e.etype()) {
        (ErrorSource::Upstream, _) if let Some(tls) = tls => Fault::Connect(ConnectFault::Tls(tls)),
        (ErrorSource::Upstream, etype) if !connected => Fault::Connect(match etype {
            ConnectRefused => ConnectFault::Refused,
            ConnectTimedout => ConnectFault::Timeout,
            _ => ConnectFault::Unreachable,
        }),
        (ErrorSource::Upstream, ReadTimedout) => Fault::Upstream(UpstreamFault::IdleTimeout),
        (ErrorSource::Upstream, _) if begun => Fault::Upstream(UpstreamFault::TruncatedBody),
        (ErrorSource::Upstream, WriteTimedout | WriteError) => Fault::Upstream(UpstreamFault::WriteFailed),
        (ErrorSource::Upstream, ConnectionClosed | ReadError) => Fault::Upstream(UpstreamFault::ClosedBeforeHead),
        (ErrorSource::Upstream, _) => Fault::Upstream(UpstreamFault::MalformedHead),
        (ErrorSource::Downstream, ReadTimedout) => Fault::Client(ClientFault::BodyTimeout),
        (ErrorSource::Downstream, WriteTimedout) => Fault::Client(ClientFault::ReadTimeout),
        (ErrorSource::Downstream, ReadError | WriteError | ConnectionClosed) => Fault::Client(ClientFault::Gone),
        (ErrorSource::Downstream, _) => Fault::Client(ClientFault::MalformedBody),
        _ => Fault::Internal(e.to_string()),
    }
}
