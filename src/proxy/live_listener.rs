//! What a listener is, which a reload may change under its open connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::turned_away::{Counts, TurnedAway};
use crate::snapshot::Listener;

/// A listener that runs, with its settings of now.
///
/// They decide whom its connections believe (`trusted_proxies`), so they are bound to the configuration: an exchange
/// never sees new settings with an old file, or the other way round.
#[derive(Debug)]
pub struct LiveListener {
    settings: ArcSwap<Settings>,
    /// How many of its connections are open.
    open: AtomicU32,
    /// How many of them each client has, where that is bounded.
    clients: Mutex<HashMap<IpAddr, u32>>,
    /// Connections that ended before there was a request.
    turned_away: Counts,
}

#[derive(Debug)]
struct Settings {
    before: Arc<Listener>,
    since: u64,
    now: Arc<Listener>,
}

impl LiveListener {
    /// With its first settings.
    pub fn new(settings: Arc<Listener>) -> Self {
        let settings = Settings { before: Arc::clone(&settings), since: 0, now: settings };
        Self {
            settings: ArcSwap::from_pointee(settings),
            open: AtomicU32::new(0),
            clients: Mutex::default(),
            turned_away: Counts::default(),
        }
    }

    /// The settings in the configuration of this generation; of one before the latest change but one, those before the
    /// latest.
    pub fn at(&self, generation: u64) -> Arc<Listener> {
        let settings = self.settings.load();
        Arc::clone(if generation < settings.since { &settings.before } else { &settings.now })
    }

    /// The latest settings.
    pub fn now(&self) -> Arc<Listener> {
        Arc::clone(&self.settings.load().now)
    }

    /// From this generation on it has these settings.
    pub fn change(&self, settings: Arc<Listener>, since: u64) {
        let before = self.now();
        self.settings.store(Arc::new(Settings { before, since, now: settings }));
    }

    /// Connections that ended before there was a request: how many, by reason.
    pub fn turned_away(&self) -> impl Iterator<Item = (TurnedAway, u64)> {
        self.turned_away.counts()
    }

    /// A connection from this address ended before there was a request.
    pub(super) fn turn_away(&self, reason: TurnedAway, client: Option<IpAddr>, detail: Option<&str>) {
        self.turned_away.note(&self.settings.load().now.name, reason, client, detail);
    }

    /// One more connection; `false` if there are `most` already.
    pub(super) fn open_one(&self, most: u32) -> bool {
        self.open.fetch_update(Relaxed, Relaxed, |open| (open < most).then_some(open + 1)).is_ok()
    }

    /// One of them is this client's; `false` if that has `most` already.
    pub(super) fn open_one_of(&self, client: IpAddr, most: u32) -> bool {
        let mut clients = self.clients.lock();
        let count = clients.entry(client).or_default();
        let has_room = *count < most;
        *count += u32::from(has_room);
        has_room
    }

    /// One connection less, of this client if it was counted for that.
    pub(super) fn close_one(&self, client: Option<IpAddr>) {
        self.open.fetch_sub(1, Relaxed);
        let Some(client) = client else { return };
        let mut clients = self.clients.lock();
        if let Some(count) = clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_sees_the_settings_of_its_own_generation() {
        let listener = LiveListener::new(Arc::new(Listener::plain("web")));
        listener.change(Arc::new(Listener::plain("door")), 2);
        let names = [1, 2, 3].map(|generation| listener.at(generation).name.to_string());
        assert_eq!(names, ["web", "door", "door"]);
    }

    #[test]
    fn a_client_is_counted_until_its_last_connection_is_closed() {
        let listener = LiveListener::new(Arc::new(Listener::plain("web")));
        let client: IpAddr = "192.0.2.7".parse().unwrap();
        for _ in 0..2 {
            assert!(listener.open_one(3) && listener.open_one_of(client, 2));
        }
        assert!(listener.open_one(3) && !listener.open_one_of(client, 2));
        assert!(!listener.open_one(3));
        listener.close_one(None);
        listener.close_one(Some(client));
        assert!(listener.open_one(3) && listener.open_one_of(client, 2));
        listener.close_one(Some(client));
        listener.close_one(Some(client));
        assert!(listener.clients.lock().is_empty());
    }
}
