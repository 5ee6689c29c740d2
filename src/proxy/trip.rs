//! Pingora's context of a request, which outlives Pingora's future.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::connection::Connection;
use super::exchange::Exchange;
use crate::upstream::Announce;

/// Pingora's per-request context: the exchange, which hands itself back when it is dropped too early.
pub struct Trip {
    exchange: Option<Box<Exchange>>,
    connection: Option<Arc<Connection>>,
}

impl Trip {
    /// A trip that has just begun.
    pub fn new(exchange: Exchange) -> Self {
        Self { exchange: Some(Box::new(exchange)), connection: None }
    }

    /// The connection that it takes place on.
    pub fn set_connection(&mut self, connection: Arc<Connection>) {
        self.connection = Some(connection);
    }

    /// The connection that it takes place on.
    pub fn connection(&self) -> Option<&Connection> {
        self.connection.as_deref()
    }

    /// What a connection to the upstream has to say of the client before all else, if anything.
    pub fn announce(&self) -> Option<Announce> {
        let upstream = &self.onward.as_ref()?.upstream;
        upstream.transport().announce(self.connection().and_then(Connection::addresses))
    }
}

const PRESENT: &str = "an exchange leaves its trip only when that is dropped";

impl Deref for Trip {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        self.exchange.as_deref().expect(PRESENT)
    }
}

impl DerefMut for Trip {
    fn deref_mut(&mut self) -> &mut Exchange {
        self.exchange.as_deref_mut().expect(PRESENT)
    }
}

impl Drop for Trip {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.receive(|back| back.exchange = self.exchange.take());
        }
    }
}
