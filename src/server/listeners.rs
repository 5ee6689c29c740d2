//! The listeners that run: each a Pingora service of its own on a socket of ours, so that one can come or go while
//! the others don't notice.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pingora::apps::ServerApp;
use pingora::listeners::ListenerConfig;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::server::Fds;
use pingora::services::Service as _;
use pingora::services::listening::Service;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::socket::{BoundAddress, Socket, SocketPath, unix_permissions};
use crate::config::{Config, ListenAddress, Name, Problem};
use crate::proxy::Guard;

/// The listeners that run, by name.
#[derive(Default)]
pub(super) struct Listeners {
    running: BTreeMap<Name, Running>,
}

struct Running {
    asked: ListenAddress,
    bound: BoundAddress,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    path: SocketPath,
}

/// Sockets that are bound, and not yet served.
pub(super) struct Bound {
    sockets: BTreeMap<Name, (ListenAddress, Socket)>,
}

impl Listeners {
    /// Binds what a configuration has and is not running yet.
    ///
    /// # Errors
    /// Every address that could not be taken. Those that could are let go again.
    pub(super) fn bind(&self, config: &Config) -> Result<Bound, Vec<Problem>> {
        let mut sockets = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, listener) in &config.listeners {
            if self.running.get(name).is_some_and(|running| running.asked == listener.address) {
                continue;
            }
            match Socket::bind(&listener.address) {
                Ok(socket) => {
                    sockets.insert(name.clone(), (listener.address.clone(), socket));
                }
                Err(e) => {
                    let own = self.running.iter().find(|(_, running)| running.asked == listener.address);
                    let why = match own {
                        Some((own, _)) => {
                            format!("this door's own listener `{own}` has it; a listener is renamed by a restart")
                        }
                        None => hint(&e),
                    };
                    let message = format!("cannot listen on {}: {why}", listener.address);
                    problems.push(config.source.problem(&["listeners", name.as_ref(), "address"], message));
                }
            }
        }
        if problems.is_empty() { Ok(Bound { sockets }) } else { Err(problems) }
    }

    /// Serves what was bound, and stops accepting on what a configuration has no more. Connections that are open
    /// live on.
    pub(super) fn apply(&mut self, config: &Config, bound: Bound, guard: impl Fn(&Name) -> Guard) {
        self.running.retain(|name, running| {
            let stays = config.listeners.get(name).is_some_and(|listener| listener.address == running.asked);
            if !stays {
                running.stop.send_replace(true);
            }
            stays
        });
        for (name, (asked, socket)) in bound.sockets {
            log::info!("listener `{name}` on {}", socket.address());
            let guard = guard(&name);
            self.running.insert(name, Running::start(asked, socket, guard));
        }
    }

    /// Where each listens.
    pub(super) fn addresses(&self) -> BTreeMap<Name, BoundAddress> {
        self.running.iter().map(|(name, running)| (name.clone(), running.bound.clone())).collect()
    }

    /// Stops accepting; resolves when no listener accepts any more.
    pub(super) async fn stop(&mut self) {
        for running in self.running.values() {
            running.stop.send_replace(true);
        }
        for (name, Running { accepting, path, .. }) in std::mem::take(&mut self.running) {
            drop(path);
            if let Err(e) = accepting.await {
                log::error!("listener `{name}` ended badly: {e}");
            }
        }
    }
}

impl Running {
    fn start(asked: ListenAddress, socket: Socket, guard: Guard) -> Self {
        let bound = socket.address().clone();
        let (stop, stopped) = watch::channel(false);
        let (accepting, path) = accept(socket, guard, stopped);
        Self { asked, bound, stop, accepting, path }
    }
}

/// Serves a socket of ours by a Pingora service of its own, until told to stop.
pub(super) fn accept<A>(socket: Socket, app: A, stopped: watch::Receiver<bool>) -> (JoinHandle<()>, SocketPath)
where
    A: ServerApp + Send + Sync + 'static,
{
    // Pingora looks its sockets up by this text, and binds by itself what it does not find.
    let (key, listener) = match socket.address() {
        BoundAddress::Tcp(address) => (address.to_string(), ListenerConfig::tcp(address.to_string())),
        BoundAddress::Unix(path) => {
            let path = path.to_string_lossy().into_owned();
            (path.clone(), ListenerConfig::uds(path).permissions(unix_permissions()))
        }
    };
    let mut fds = Fds::new();
    let (fd, path) = socket.into_parts();
    fds.add(key, fd);
    let mut service = Service::new("onedoor".to_owned(), app);
    service.add_listener(listener.l4_buffer(L4BufferSettings::default().read(READ_BUFFER)));
    let accepting =
        tokio::spawn(async move { service.start_service(Some(Arc::new(Mutex::new(fds))), stopped, 1).await });
    (accepting, path)
}

/// What an idle connection keeps for reading. Pingora's default of 64 KiB makes an idle connection cost twice as much
/// memory and no request cheaper.
const READ_BUFFER: usize = 4096;

/// An operating system's error in words that help.
fn hint(e: &std::io::Error) -> String {
    match e.kind() {
        std::io::ErrorKind::AddrInUse => "another process has it; stop that, or take another port".to_owned(),
        std::io::ErrorKind::PermissionDenied => {
            "not allowed; ports below 1024 need the capability CAP_NET_BIND_SERVICE, Unix sockets a writable folder"
                .to_owned()
        }
        std::io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        _ => e.to_string(),
    }
}
