//! The connections that are open: how many there may be, and what a door that ends asks of them.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::connection::{Connection, Ending};
use super::live_listener::LiveListener;
use crate::config::Prefixes;

/// The connections that are open, over all listeners of a door.
pub struct Open {
    /// How many there may be where the file does not say.
    most: usize,
    state: Mutex<State>,
    none: Notify,
}

#[derive(Default)]
struct State {
    connections: HashMap<u64, Arc<Connection>>,
    next: u64,
    asked: Ending,
}

impl Open {
    /// None. There may be so many where the file does not say.
    pub fn new(most: usize) -> Self {
        Self { most, state: Mutex::default(), none: Notify::new() }
    }

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

    /// Asks this of the connections of a listener that leaves.
    pub fn ask_of(&self, listener: &LiveListener, ending: Ending) {
        for connection in self.state.lock().connections.values() {
            if std::ptr::eq(connection.live_listener(), listener) {
                connection.ask(ending);
            }
        }
    }

    /// Counts a connection until what is returned is dropped; `None` if there are `most` already, which is what the file
    /// says, or as many as its listener may have. Nothing is counted then: a flood at one listener takes no room from the others.
    pub(super) fn enter(self: &Arc<Self>, connection: Connection, most: Option<usize>) -> Option<Entered> {
        let connection = Arc::new(connection);
        let mut state = self.state.lock();
        let most = most.unwrap_or(self.most);
        if state.connections.len() >= most || !connection.live_listener().open_one(connection.limits().connections.0) {
            return None;
        }
        connection.ask(state.asked);
        let key = state.next;
        state.next += 1;
        state.connections.insert(key, Arc::clone(&connection));
        Some(Entered { open: Arc::clone(self), key, connection, client: None })
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
}

impl Entered {
    /// Counts it for its client, too; `false` if that has `most` already.
    pub(super) fn enter_client(&mut self, ip: IpAddr, most: u32) -> bool {
        let client = Prefixes::default().network_of(ip);
        let has_room = self.connection.live_listener().open_one_of(client, most);
        self.client = has_room.then_some(client);
        has_room
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
        self.connection.live_listener().close_one(self.client);
        let mut state = self.open.state.lock();
        state.connections.remove(&self.key);
        if state.connections.is_empty() {
            self.open.none.notify_waiters();
        }
    }
}
