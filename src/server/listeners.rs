//! The listeners that run, each on a socket of its own, so that one can come or go while the others don't notice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::task::JoinSet;

use super::accepting::Accepting;
use super::socket::{Bound, BoundAddress};
use crate::config::{Config, ListenAddress, Name, Problem};
use crate::proxy::{Ending, Guard, LiveListener, Open, TurnedAway};
use crate::snapshot::Snapshot;

/// The listeners that run, by name.
#[derive(Default)]
pub(super) struct Listeners {
    running: BTreeMap<Name, Running>,
    leaving: JoinSet<()>,
}

struct Running {
    asked: ListenAddress,
    bound: BoundAddress,
    live: Arc<LiveListener>,
    accepting: Accepting,
}

/// What becomes of the listeners with a configuration: all its sockets are there, and nothing has changed yet.
pub(super) struct Plan {
    /// The new listeners.
    bound: BTreeMap<Name, (ListenAddress, Bound)>,
    /// Those that stay, by their new name; their old one.
    stay: BTreeMap<Name, Name>,
}

impl Listeners {
    /// Binds what a configuration has and is not running yet. A listener that runs under another name is renamed: its
    /// socket stays.
    ///
    /// # Errors
    /// Every address that could not be taken. Those that could are let go again.
    pub(super) async fn plan(&mut self, config: &Config) -> Result<Plan, Vec<Problem>> {
        // What an earlier reload has removed lets go of its address in a moment.
        while self.leaving.join_next().await.is_some() {}
        let stay = self.staying(config);
        let mut bound = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, listener) in config.listeners.iter().filter(|(name, _)| !stay.contains_key(*name)) {
            match Bound::to(&listener.address).await {
                Ok(socket) => {
                    bound.insert(name.clone(), (listener.address.clone(), socket));
                }
                Err(e) => {
                    let message =
                        format!("cannot listen on {}: {}", listener.address, self.hint(&e, &listener.address));
                    problems.push(config.source.problem(&["listeners", name.as_ref(), "address"], message));
                }
            }
        }
        if problems.is_empty() { Ok(Plan { bound, stay }) } else { Err(problems) }
    }

    /// Those of a configuration that run already, and under which name: their own, if they can.
    fn staying(&self, config: &Config) -> BTreeMap<Name, Name> {
        let runs = |name: &Name, address: &ListenAddress| {
            self.running.get(name).is_some_and(|running| running.asked == *address)
        };
        let mut stay: BTreeMap<Name, Name> = config
            .listeners
            .iter()
            .filter(|(name, listener)| runs(name, &listener.address))
            .map(|(name, _)| (name.clone(), name.clone()))
            .collect();
        let mut free: BTreeSet<&Name> = self.running.keys().filter(|name| !stay.contains_key(*name)).collect();
        for (name, listener) in &config.listeners {
            if stay.contains_key(name) {
                continue;
            }
            if let Some(old) = free.iter().copied().find(|old| runs(old, &listener.address)) {
                free.remove(old);
                stay.insert(name.clone(), old.clone());
            }
        }
        stay
    }

    /// Gives those that stay their new settings, which hold from this snapshot on. To be called before that is served.
    pub(super) fn settle(&mut self, plan: &Plan, snapshot: &Snapshot, open: &Open) {
        let mut before = std::mem::take(&mut self.running);
        for (name, old) in &plan.stay {
            let Some(running) = before.remove(old) else { continue };
            if name != old {
                log::info!("listener `{old}` on {} is `{name}` from now on", running.bound);
            }
            if let Some(settings) = snapshot.listener(name.as_str()) {
                running.live.change(Arc::clone(settings), snapshot.generation());
            }
            self.running.insert(name.clone(), running);
        }
        // What is left goes; nobody who could connect is lost on the way, and who has connected gets one more answer.
        for running in before.into_values() {
            open.ask_of(&running.live, Ending::AfterAnswer);
            self.leaving.spawn(running.accepting.stop());
        }
    }

    /// Serves what was bound.
    pub(super) fn start(&mut self, plan: Plan, snapshot: &Snapshot, guard: impl Fn(Arc<LiveListener>) -> Guard) {
        for (name, (asked, socket)) in plan.bound {
            let Some(settings) = snapshot.listener(name.as_str()) else { continue };
            let bound = socket.socket.address().clone();
            log::info!("listener `{name}` on {bound}");
            let live = Arc::new(LiveListener::new(Arc::clone(settings)));
            let accepting = Accepting::start(socket, guard(Arc::clone(&live)));
            self.running.insert(name, Running { asked, bound, live, accepting });
        }
    }

    /// Where each listens.
    pub(super) fn addresses(&self) -> BTreeMap<Name, BoundAddress> {
        self.running.iter().map(|(name, running)| (name.clone(), running.bound.clone())).collect()
    }

    /// Connections that ended before there was a request: how many, by listener and reason.
    pub(super) fn turned_away(&self) -> impl Iterator<Item = (&Name, TurnedAway, u64)> {
        self.running
            .iter()
            .flat_map(|(name, running)| running.live.turned_away().map(move |(why, count)| (name, why, count)))
    }

    /// Closes every listener; resolves when nobody can connect any more and whoever could is counted as open.
    pub(super) async fn stop(&mut self) {
        let running = std::mem::take(&mut self.running);
        join_all(running.into_values().map(|running| running.accepting.stop())).await;
        while self.leaving.join_next().await.is_some() {}
    }

    /// An operating system's error in words that help.
    fn hint(&self, e: &std::io::Error, address: &ListenAddress) -> String {
        match e.kind() {
            std::io::ErrorKind::AddrInUse => match self.overlapping(address) {
                Some(own) => format!(
                    "this door's own listener `{own}` has the port until the file holds; take another port, or restart"
                ),
                None => "another process has it; stop that, or take another port".to_owned(),
            },
            std::io::ErrorKind::PermissionDenied => {
                "not allowed; ports below 1024 need the capability CAP_NET_BIND_SERVICE, Unix sockets a writable folder"
                    .to_owned()
            }
            std::io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
            _ => e.to_string(),
        }
    }

    /// A listener of ours on the same port, such as on `0.0.0.0:80` where `127.0.0.1:80` is asked for.
    fn overlapping(&self, address: &ListenAddress) -> Option<&Name> {
        let ListenAddress::Tcp(asked) = address else { return None };
        let has = |running: &Running| matches!(&running.bound, BoundAddress::Tcp(own) if own.port() == asked.port());
        self.running.iter().find(|(_, running)| has(running)).map(|(name, _)| name)
    }
}
