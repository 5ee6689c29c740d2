//! The connections that are open: how many there may be, and what a door that ends asks of them.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Deref;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::connection::{Connection, Ending};

/// The connections that are open, over all listeners of a door.
#[derive(Default)]
pub struct Open {
    state: Mutex<State>,
    none: Notify,
}

#[derive(Default)]
struct State {
    connections: HashMap<u64, Arc<Connection>>,
    /// How many each client has, where its listener bounds that.
    clients: HashMap<IpAddr, u32>,
    next: u64,
    asked: Ending,
}

impl Open {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.state.lock().connections.len()
    }

    /// Resolves when there is none.
    pub async fn none(&self) {
        loop {
            let none = self.none.notified();
            if self.count() == 0 {
                return;
            }
            none.await;
        }
    }

    /// Asks this of every connection, and of each that comes.
    pub fn ask(&self, ending: Ending) {
        let mut state = self.state.lock();
        state.asked = ending;
        for connection in state.connections.values() {
            connection.ask(ending);
        }
    }

    /// Counts a connection until what is returned is dropped. `most` is how many there may be with this one.
    pub(super) fn enter(self: &Arc<Self>, connection: Connection, most: usize) -> Entered {
        let has_room = connection.live_listener().open_one(connection.limits().connections.0 as usize);
        let mut state = self.state.lock();
        connection.ask(state.asked);
        let (key, connection) = (state.next, Arc::new(connection));
        state.next += 1;
        state.connections.insert(key, Arc::clone(&connection));
        let is_full = !has_room || state.connections.len() > most;
        Entered { open: Arc::clone(self), key, connection, client: None, is_full }
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// A connection that is counted.
pub(super) struct Entered {
    open: Arc<Open>,
    key: u64,
    connection: Arc<Connection>,
    client: Option<IpAddr>,
    is_full: bool,
}

impl Entered {
    /// Whether it is one too many.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Counts it for its client, too; whether that may have it.
    pub(super) fn enter_client(&mut self, ip: IpAddr, most: u32) -> bool {
        let client = network_of(ip);
        let mut state = self.open.state.lock();
        let count = state.clients.entry(client).or_default();
        *count += 1;
        self.client = Some(client);
        *count <= most
    }
}

/// An IPv4 address, or the /64 of an IPv6 address: a client has all of that.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
        ip @ IpAddr::V4(_) => ip,
    }
}

impl Deref for Entered {
    type Target = Arc<Connection>;

    fn deref(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.connection.live_listener().close_one();
        let mut state = self.open.state.lock();
        if let Some(client) = self.client
            && let Some(count) = state.clients.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                state.clients.remove(&client);
            }
        }
        state.connections.remove(&self.key);
        if state.connections.is_empty() {
            self.open.none.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_or_a_64() {
        let same = |a: &str, b: &str| network_of(a.parse().unwrap()) == network_of(b.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }
}
