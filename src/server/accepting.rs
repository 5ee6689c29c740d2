//! A socket that is accepted from, and how that ends without a reset.

use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pingora::apps::ServerApp;
use pingora::listeners::ListenerConfig;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::server::Fds;
use pingora::services::Service as _;
use pingora::services::listening::Service;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::socket::{Bound, BoundAddress, Socket};
use super::socket_path;
use crate::proxy::Guard;

/// A socket from which connections are accepted.
pub(super) struct Accepting {
    socket: Socket,
    guard: Guard,
    stop: watch::Sender<bool>,
    service: JoinHandle<()>,
}

/// What an idle connection keeps for reading. Pingora's default of 64 KiB makes an idle connection cost twice as much
/// memory and no request cheaper.
const READ_BUFFER: usize = 4096;

/// How long a handshake that has begun is waited for when a socket is closed: a round trip of a client that is far
/// away. Connections that were accepted a moment ago begin to be served meanwhile.
const HANDSHAKE: Duration = Duration::from_millis(250);

impl Accepting {
    /// Accepts from now on.
    pub(super) fn start(Bound { socket, twin }: Bound, guard: Guard) -> Self {
        let (stop, stopped) = watch::channel(false);
        let service = serve(socket.address(), twin, guard.clone(), stopped);
        Self { socket, guard, stop, service }
    }

    /// Accepts nobody more, but serves whoever could connect until now. All of them are counted as open when this
    /// returns.
    ///
    /// What remains is a client whose first packet was answered and that takes longer than [`HANDSHAKE`] to answer
    /// in turn: it is reset.
    pub(super) async fn stop(self) {
        let Self { mut socket, guard, stop, service } = self;
        stop.send_replace(true);
        if let Err(e) = service.await {
            log::error!("accepting on {} ended badly: {e}", socket.address());
        }
        socket.turn_away();
        tokio::time::sleep(HANDSHAKE).await;
        loop {
            match socket.accept_waiting() {
                Ok(Some(stream)) => drop(tokio::spawn(guard.serve(Box::new(stream), stop.subscribe()))),
                Ok(None) => break,
                Err(e) => return log::warn!("{}: what waits to be accepted is reset: {e}", socket.address()),
            }
        }
    }
}

/// Serves a socket of ours by a Pingora service of its own, until told to stop.
pub(super) fn serve<A>(address: &BoundAddress, fd: OwnedFd, app: A, stopped: watch::Receiver<bool>) -> JoinHandle<()>
where
    A: ServerApp + Send + Sync + 'static,
{
    // Pingora looks its sockets up by this text, and binds by itself what it does not find.
    let (key, listener) = match address {
        BoundAddress::Tcp(address) => (address.to_string(), ListenerConfig::tcp(address.to_string())),
        BoundAddress::Unix(path) => {
            let path = path.to_string_lossy().into_owned();
            (path.clone(), ListenerConfig::uds(path).permissions(socket_path::permissions()))
        }
    };
    let mut fds = Fds::new();
    fds.add(key, fd.into_raw_fd());
    let mut service = Service::new("onedoor".to_owned(), app);
    service.add_listener(listener.l4_buffer(L4BufferSettings::default().read(READ_BUFFER)));
    tokio::spawn(async move { service.start_service(Some(Arc::new(Mutex::new(fds))), stopped, 1).await })
}
