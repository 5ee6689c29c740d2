//! The connections that are open, and what a door that ends asks of them.

use std::collections::HashMap;
use std::fmt;
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

    /// Counts a connection until what is returned is dropped.
    pub(super) fn enter(self: &Arc<Self>, connection: Connection) -> Entered {
        let mut state = self.state.lock();
        connection.ask(state.asked);
        let (key, connection) = (state.next, Arc::new(connection));
        state.next += 1;
        state.connections.insert(key, Arc::clone(&connection));
        Entered { open: Arc::clone(self), key, connection }
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
}

impl Deref for Entered {
    type Target = Arc<Connection>;

    fn deref(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut state = self.open.state.lock();
        state.connections.remove(&self.key);
        if state.connections.is_empty() {
            self.open.none.notify_waiters();
        }
    }
}
