//! A wire between two that talk, which a test can cut.

use std::fmt;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::{Address, Listener, Stream, within};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Close,
    Reset,
}

#[derive(Debug, Default)]
struct State {
    /// While it is broken: what becomes of new connections, too.
    broken: Option<Break>,
    /// How often it was broken, and how the last time: a connection of an earlier epoch ends.
    epoch: (usize, Option<Break>),
    stalled: [bool; 2],
    passed: [u64; 2],
    accepted: usize,
    alive: usize,
}

/// A relay with a port of its own. Displayed as its address, for use in a configuration.
pub struct Wire {
    address: Address,
    state: watch::Sender<State>,
    accepting: AbortHandle,
}

impl Wire {
    /// Relays every connection to whoever listens at `server`. Where that refuses, the connection is reset.
    pub async fn to(server: impl Into<Address>) -> Self {
        let (listener, address) = Listener::tcp().await;
        let state = watch::Sender::default();
        let accepting = tokio::spawn(accept(listener, server.into(), state.clone())).abort_handle();
        Self { address, state, accepting }
    }

    /// What to connect to instead of the server.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Closes all connections, and new ones at once, until it is [restored](Self::restore). Done when they are closed.
    #[track_caller]
    pub fn cut(&self) -> impl Future<Output = ()> {
        self.broken(Break::Close)
    }

    /// The same with resets.
    #[track_caller]
    pub fn reset(&self) -> impl Future<Output = ()> {
        self.broken(Break::Reset)
    }

    /// Lets new connections, and bytes, through again.
    pub fn restore(&self) {
        self.state.send_modify(|state| {
            state.broken = None;
            state.stalled = [false; 2];
        });
    }

    /// Holds what goes this way, until it is [restored](Self::restore); nothing is lost.
    pub fn stall(&self, direction: Direction) {
        self.state.send_modify(|state| state.stalled[direction as usize] = true);
    }

    /// Bytes that went this way.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.state.borrow().passed[direction as usize]
    }

    /// Waits until so many bytes went this way, in all.
    #[track_caller]
    pub fn wait_passed(&self, direction: Direction, bytes: u64) -> impl Future<Output = ()> {
        self.wait(format!("{bytes} bytes {direction:?}"), move |state| state.passed[direction as usize] >= bytes)
    }

    /// How many connections were accepted, in all.
    pub fn connections(&self) -> usize {
        self.state.borrow().accepted
    }

    #[track_caller]
    fn broken(&self, how: Break) -> impl Future<Output = ()> {
        self.state.send_modify(|state| {
            state.broken = Some(how);
            state.epoch = (state.epoch.0 + 1, Some(how));
        });
        self.wait("the end of all connections", |state| state.alive == 0)
    }

    #[track_caller]
    fn wait(&self, what: impl fmt::Display, done: impl Fn(&State) -> bool) -> impl Future<Output = ()> {
        let mut state = self.state.subscribe();
        within(format!("{what} on the wire {self}"), async move { drop(state.wait_for(|state| done(state)).await) })
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: Listener, server: Address, state: watch::Sender<State>) {
    let mut relays = JoinSet::new();
    while let Ok(client) = listener.accept().await {
        let (mut broken, mut epoch) = (None, 0);
        state.send_modify(|state| {
            state.accepted += 1;
            (broken, epoch) = (state.broken, state.epoch.0);
            state.alive += usize::from(broken.is_none());
        });
        if let Some(how) = broken {
            end(client, how);
            continue;
        }
        let (server, state) = (server.clone(), state.clone());
        relays.spawn(async move {
            match Stream::connect(&server).await {
                Ok(server) => relay(client, server, &state, epoch).await,
                Err(_) => client.reset(),
            }
            state.send_modify(|state| state.alive -= 1);
        });
    }
}

fn end(stream: Stream, how: Break) {
    if how == Break::Reset {
        stream.reset();
    }
}

async fn relay(client: Stream, server: Stream, state: &watch::Sender<State>, epoch: usize) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (split(client), split(server));
    let mut breaks = state.subscribe();
    let both = async {
        tokio::join!(
            pump(&mut from_client, &mut to_server, Direction::ToServer, state),
            pump(&mut from_server, &mut to_client, Direction::ToClient, state),
        )
    };
    let how = tokio::select! {
        biased;
        broken = breaks.wait_for(|state| state.epoch.0 > epoch) => broken.ok().and_then(|state| state.epoch.1),
        ended = both => matches!(ended, (false, _) | (_, false)).then_some(Break::Reset),
    };
    let how = how.unwrap_or(Break::Close);
    end(from_client.unsplit(to_client), how);
    end(from_server.unsplit(to_server), how);
}

/// Passes bytes on until their end, which it passes on too. `false`: there was an error instead of an end.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    direction: Direction,
    state: &watch::Sender<State>,
) -> bool {
    let mut gate = state.subscribe();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(length) = from.read(&mut buffer).await else { return false };
        // Asked after the reading, so that what was already awaited when the stall began is held as well.
        if gate.wait_for(|state| !state.stalled[direction as usize]).await.is_err() {
            return false;
        }
        if length == 0 {
            return to.shutdown().await.is_ok();
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return false;
        }
        state.send_modify(|state| state.passed[direction as usize] += length as u64);
    }
}
