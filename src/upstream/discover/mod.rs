//! Endpoints that the file does not name: found by DNS, or in a file that other tools write.
//!
//! A [`Discovery`] asks in turns, far from the request path, and hands on each set of endpoints that differs from the
//! one before. Whatever goes wrong (no server, no answer, an empty or broken one), the last good set stays in use; it
//! is counted, told once and tried again sooner.
//!
//! ```text
//! dns ─┐            ┌─▸ a set, if it is another one ─▸ publish
//!      ├─▸ a turn ──┤
//! file ┘            └─▸ a failure ─▸ counted, logged once; the last good set stays
//! ```

mod dns;
mod file;
mod pace;
mod state;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::config;
use crate::config::Endpoint;
use dns::Dns;
use file::File;
use pace::Pace;
pub use state::{DiscoveryState, Unknown};

/// What a source found: at least one endpoint, sorted, each address once and none a name; and for how long that holds.
#[derive(Debug)]
struct Answer {
    found: Vec<Endpoint>,
    holds: Duration,
}

/// What can be asked for endpoints.
trait Source: Send {
    /// Asks once. An error is a sentence, the same for the same reason, so that it is told once.
    fn ask(&mut self) -> impl Future<Output = Result<Answer, String>> + Send;

    /// Waits for the next turn: for so long, or less where the source itself knows that there is news.
    fn rest(&mut self, time: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(time)
    }
}

/// Finds the endpoints of an upstream, again and again.
#[derive(Debug)]
pub struct Discovery {
    upstream: Arc<str>,
    settings: config::Discover,
    state: watch::Sender<DiscoveryState>,
}

impl Discovery {
    /// Prepares to find the endpoints of an upstream; nothing is looked up yet, but a file of endpoints is read. What
    /// `previous` has found so far is kept if it looks in the same place.
    ///
    /// # Errors
    /// A sentence for people: the file of endpoints cannot be read, or what is wrong with it and where.
    pub fn new(upstream: &str, settings: &config::Discover, previous: Option<&Self>) -> Result<Self, String> {
        let previous = previous.filter(|previous| previous.settings == *settings);
        // A copy: a load that is refused in the end must leave no trace in what runs.
        let mut state = previous.map(Self::state).unwrap_or_default();
        if let config::Discover::File(path) = settings {
            state.good(file::read(path.as_ref())?.into());
        }
        Ok(Self { upstream: upstream.into(), settings: settings.clone(), state: watch::Sender::new(state) })
    }

    /// Where it looks.
    pub fn settings(&self) -> &config::Discover {
        &self.settings
    }

    /// The last good set, empty until there is one.
    pub fn known(&self) -> Arc<[Endpoint]> {
        self.state.borrow().known.clone()
    }

    /// How it went so far.
    pub fn state(&self) -> DiscoveryState {
        self.state.borrow().clone()
    }

    /// Waits until there is a good set. That may be never: put a time limit around it.
    pub async fn first(&self) {
        let mut changes = self.state.subscribe();
        // The sender lives as long as `self`, so there is no error.
        drop(changes.wait_for(|state| !state.known.is_empty()).await);
    }

    /// Looks at once and then time and again, for ever; dropping it ends it. `publish` gets the first good set, and
    /// from then on each that differs from the one before; its error, a sentence, is why a set can't be used.
    pub async fn run(&self, publish: impl Fn(&[Endpoint]) -> Result<(), String> + Send) {
        match &self.settings {
            config::Discover::Dns { host, port, asking } => {
                self.turns(Dns::host(host, *port, asking.resolver), Pace::new(asking.every), publish).await;
            }
            config::Discover::Srv { name, asking } => {
                self.turns(Dns::service(name, asking.resolver), Pace::new(asking.every), publish).await;
            }
            config::Discover::File(path) => self.turns(File::new(path.as_ref()), Pace::new(None), publish).await,
        }
    }

    async fn turns(
        &self,
        mut source: impl Source,
        mut pace: Pace,
        publish: impl Fn(&[Endpoint]) -> Result<(), String> + Send,
    ) {
        let mut published: Option<Arc<[Endpoint]>> = None;
        loop {
            let again = match source.ask().await.and_then(|answer| self.take(answer, &mut published, &publish)) {
                Ok(holds) => pace.after_answer(holds),
                Err(why) => {
                    self.change(|state| state.bad(&why));
                    pace.after_failure()
                }
            };
            source.rest(again).await;
        }
    }

    /// Hands a set on, and then says that it is known: who waits for the first finds it in use.
    fn take(
        &self,
        answer: Answer,
        published: &mut Option<Arc<[Endpoint]>>,
        publish: impl Fn(&[Endpoint]) -> Result<(), String>,
    ) -> Result<Duration, String> {
        let found: Arc<[Endpoint]> = answer.found.into();
        if published.as_ref() != Some(&found) {
            publish(&found)?;
            *published = Some(found.clone());
        }
        self.change(|state| state.good(found));
        Ok(answer.holds)
    }

    /// Changes the state, and says in the log what is new in it.
    fn change(&self, change: impl FnOnce(&mut DiscoveryState)) {
        let before = self.state();
        self.state.send_modify(change);
        if let Some((level, line)) = state::news(&before, &self.state.borrow()) {
            log::log!(level, "upstream {}: {}: {line}", self.upstream, self.settings);
        }
    }
}

#[cfg(test)]
mod tests;
