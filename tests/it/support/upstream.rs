//! Upstreams that do as a script says, and record what they were asked.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::net::{TcpSocket, UnixListener};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::http1::{Reader, Seen};
use super::peer::Peer;
use super::script::Script;
use super::{Address, Listener, within};

pub(super) struct Rule {
    method: Option<String>,
    path: String,
    pub(super) script: Arc<Script>,
}

impl Rule {
    fn new(pattern: &str, script: Script) -> Self {
        let (method, path) = match pattern.split_once(' ') {
            Some((method, path)) => (Some(method.to_owned()), path),
            None => (None, pattern),
        };
        Self { method, path: path.into(), script: Arc::new(script) }
    }

    pub(super) fn matches(&self, method: &str, target: &str) -> bool {
        let path = target.split('?').next().unwrap_or_default();
        let fits = self.path.strip_suffix('*').map_or(path == self.path, |prefix| path.starts_with(prefix));
        fits && self.method.as_ref().is_none_or(|known| known == method)
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The peer closed it.
    ByPeer,
    /// The peer reset it, or went while something was being sent to it.
    ByReset,
    /// The script did.
    Here,
}

#[derive(Debug, Default)]
pub(super) struct Record {
    accepted: usize,
    pub(super) requests: Vec<Seen>,
    pub(super) malformed: Vec<String>,
    closed: BTreeMap<usize, Closed>,
}

pub(super) struct Shared {
    pub(super) rules: Mutex<Vec<Rule>>,
    hang_up: usize,
    pub(super) record: watch::Sender<Record>,
    /// Counted up to make all connections close.
    epoch: watch::Sender<usize>,
}

impl Shared {
    fn closed(&self, connection: usize, how: Closed) {
        self.record.send_modify(|record| {
            record.closed.insert(connection, how);
        });
    }
}

/// An upstream to be: a script, before it listens.
#[derive(Default)]
pub struct Upstream {
    rules: Vec<Rule>,
    hang_up: usize,
}

impl Upstream {
    /// One that answers 404 to everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replies so to requests for `/path`, `/prefix/*` or `*`, each also with a method before it: `POST /users`. The
    /// first pattern that matches counts.
    #[must_use]
    pub fn on(mut self, pattern: &str, script: impl Into<Script>) -> Self {
        self.rules.push(Rule::new(pattern, script.into()));
        self
    }

    /// Closes the first so many connections as soon as they are accepted; `usize::MAX` for all.
    #[must_use]
    pub fn hang_up(mut self, connections: usize) -> Self {
        self.hang_up = connections;
        self
    }

    /// Listens on a loopback port that the kernel chooses.
    pub async fn start(self) -> Server {
        let (listener, address) = Listener::tcp().await;
        Server::start(self, listener, address, None)
    }

    /// Listens on a port that was reserved, and refused until now.
    pub fn start_on(self, port: Port) -> Server {
        let Port { socket, address } = port;
        Server::start(self, Listener::Tcp(socket.listen(1024).expect("a listener")), address, None)
    }

    /// Listens where another one has listened that was dropped: a server that comes back.
    #[track_caller]
    pub fn start_at(self, address: &Address) -> impl Future<Output = Server> {
        let Address::Tcp(at) = *address else { panic!("{address} is no TCP address") };
        within(format!("a listener at {at}"), async move {
            loop {
                // Until the one before is gone.
                if let Ok(listener) = tokio::net::TcpListener::bind(at).await {
                    return Server::start(self, Listener::Tcp(listener), at.into(), None);
                }
                tokio::task::yield_now().await;
            }
        })
    }

    /// Listens on a Unix socket in a temporary folder.
    pub fn start_unix(self) -> Server {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path: PathBuf = folder.path().join("upstream.sock");
        let listener = UnixListener::bind(&path).expect("a Unix socket");
        Server::start(self, Listener::Unix(listener), path.into(), Some(folder))
    }
}

/// A loopback port that is ours and refuses every connection, for as long as this lives: it is bound, and does not
/// listen. Nobody else can get it meanwhile. [`Upstream::start_on`] lets it listen.
pub struct Port {
    socket: TcpSocket,
    address: Address,
}

impl Port {
    /// Takes a port that the kernel chooses.
    pub fn refusing() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a loopback port");
        let address = socket.local_addr().expect("its address").into();
        Self { socket, address }
    }

    /// The port of this number at another loopback address; `None` if somebody has it.
    pub fn at(address: SocketAddr) -> Option<Self> {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(address).ok()?;
        Some(Self { socket, address: address.into() })
    }

    /// What to connect to in vain.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// An upstream that listens, until this is dropped. Displayed as its address, for use in a configuration.
pub struct Server {
    address: Address,
    shared: Arc<Shared>,
    accepting: AbortHandle,
    _folder: Option<TempDir>,
}

impl Server {
    fn start(script: Upstream, listener: Listener, address: Address, folder: Option<TempDir>) -> Self {
        let shared = Arc::new(Shared {
            rules: Mutex::new(script.rules),
            hang_up: script.hang_up,
            record: watch::Sender::default(),
            epoch: watch::Sender::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Self { address, shared, accepting, _folder: folder }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// From now on replies so, before all that was said about it earlier.
    pub fn change(&self, pattern: &str, script: impl Into<Script>) {
        self.shared.rules.lock().expect("not poisoned").insert(0, Rule::new(pattern, script.into()));
    }

    /// All requests so far, in the order in which their heads came.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.record.borrow().requests.clone()
    }

    /// The latest request.
    #[track_caller]
    pub fn last(&self) -> Seen {
        self.requests().pop().expect("a request came")
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.shared.record.borrow().accepted
    }

    /// What came that is no request at all; empty where the peer speaks HTTP.
    pub fn malformed(&self) -> Vec<String> {
        self.shared.record.borrow().malformed.clone()
    }

    /// Waits until the heads of so many requests have come, in all.
    #[track_caller]
    pub fn wait_for_requests(&self, count: usize) -> impl Future<Output = ()> {
        self.wait(format!("{count} requests"), move |record| record.requests.len() >= count)
    }

    /// Waits until a request, counted from 0, has come with its whole body.
    #[track_caller]
    pub fn wait_for_body(&self, request: usize) -> impl Future<Output = ()> {
        self.wait(format!("the body of request {request}"), move |record| {
            record.requests.get(request).is_some_and(|seen| seen.complete)
        })
    }

    /// Waits until so many connections were accepted, in all.
    #[track_caller]
    pub fn wait_for_connections(&self, count: usize) -> impl Future<Output = ()> {
        self.wait(format!("{count} connections"), move |record| record.accepted >= count)
    }

    /// Waits until a connection, counted from 1, has ended, and tells how.
    #[track_caller]
    pub fn wait_closed(&self, connection: usize) -> impl Future<Output = Closed> {
        let what = format!("the end of connection {connection}");
        let ended = self.wait(what, move |record| record.closed.contains_key(&connection));
        async move {
            ended.await;
            self.shared.record.borrow().closed[&connection]
        }
    }

    /// Closes every connection, also those that are idle or wait at a gate; new ones are accepted.
    #[track_caller]
    pub fn close_connections(&self) -> impl Future<Output = ()> {
        self.shared.epoch.send_modify(|epoch| *epoch += 1);
        let accepted = self.connections();
        self.wait("the end of all connections", move |record| (1..=accepted).all(|n| record.closed.contains_key(&n)))
    }

    #[track_caller]
    fn wait(&self, what: impl fmt::Display, done: impl Fn(&Record) -> bool) -> impl Future<Output = ()> {
        let mut record = self.shared.record.subscribe();
        within(
            format!("{what} at the upstream {self}"),
            async move { drop(record.wait_for(|record| done(record)).await) },
        )
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Ends, with every connection, when its task is aborted.
async fn accept(listener: Listener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok(stream) = listener.accept().await {
        let mut number = 0;
        shared.record.send_modify(|record| {
            record.accepted += 1;
            number = record.accepted;
        });
        if number <= shared.hang_up {
            drop(stream);
            shared.closed(number, Closed::Here);
            continue;
        }
        let mut epochs = shared.epoch.subscribe();
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let serving = Peer { number, reader: Reader::new(stream), shared: &shared }.serve();
            let closed = tokio::select! {
                closed = serving => closed,
                _ = epochs.changed() => Closed::Here,
            };
            shared.closed(number, closed);
        });
    }
}
