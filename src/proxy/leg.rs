//! How far an exchange has come.

use super::exchange::Exchange;
use super::fault::{ConnectFault, Fault};

/// A part of an exchange's way, by the names that the log has for them as `phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    /// The request's head is being read.
    Request,
    /// An endpoint is being connected to.
    Connect,
    /// TLS with the endpoint is being agreed on.
    Tls,
    /// The request is being sent, its body included.
    Send,
    /// The head of the response is awaited.
    Head,
    /// The body of the response is on its way.
    Body,
}

impl Leg {
    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Send => "send",
            Self::Head => "head",
            Self::Body => "body",
        }
    }

    /// Where a fault struck; `None` if no endpoint had to do with it. Pingora tells of a handshake only once it has
    /// failed, so a route's deadline, or a door that leaves, strikes in `connect` even where TLS was begun.
    pub fn of(fault: &Fault, exchange: &Exchange) -> Option<Self> {
        match fault {
            Fault::Connect(ConnectFault::Tls(_)) => Some(Self::Tls),
            Fault::Connect(_) => Some(Self::Connect),
            Fault::Upstream(_) | Fault::Deadline | Fault::Client(_) | Fault::Shutdown | Fault::Internal(_) => {
                Self::reached(exchange)
            }
            _ => None,
        }
    }

    fn reached(exchange: &Exchange) -> Option<Self> {
        let onward = exchange.onward.as_ref().filter(|onward| onward.tried_at.is_some())?;
        Some(match onward.head_after {
            Some(_) => Self::Body,
            None if !onward.connected => Self::Connect,
            None if exchange.asked.is_whole => Self::Head,
            None => Self::Send,
        })
    }
}
