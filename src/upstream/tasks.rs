//! What an upstream does by itself while the door runs: its checks and its discovery.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::Upstream;
use super::check::Checker;
use super::discover::Discovery;

/// The tasks of an upstream, which end with it.
#[derive(Debug, Default)]
pub(super) struct Tasks(Mutex<Vec<AbortHandle>>);

impl Tasks {
    fn end(&self) {
        self.0.lock().drain(..).for_each(|task| task.abort());
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.end();
    }
}

/// How long a discovery that has panicked is left alone.
const REST: Duration = Duration::from_secs(1);

impl Upstream {
    /// Begins to check its endpoints and to discover them, if the file says so; nothing, if that has begun. It goes on
    /// until [`Upstream::stop`], or until the upstream is dropped. Must be called within a tokio runtime.
    ///
    /// That an upstream is made starts nothing: `check`, `test` and `explain` make it, too.
    pub fn start(self: &Arc<Self>) {
        let mut tasks = self.tasks.0.lock();
        if !tasks.is_empty() {
            return;
        }
        let this = || Arc::downgrade(self);
        tasks.extend(self.checker.clone().map(|checker| tokio::spawn(check(checker, this())).abort_handle()));
        tasks.extend(self.discovery.clone().map(|discovery| tokio::spawn(follow(discovery, this())).abort_handle()));
    }

    /// Ends what [`Upstream::start`] began, so that another upstream of this name can go on with it.
    pub fn stop(&self) {
        self.tasks.end();
    }

    /// Waits until its endpoints are known, but not for longer than a connection may take. Only a discovery that was
    /// started finds any.
    pub async fn known(&self) {
        if let Some(discovery) = &self.discovery {
            // Without an answer it is served all the same: that is logged, and requests for it get a 503.
            drop(tokio::time::timeout(self.settings.timeouts.connect.0, discovery.first()).await);
        }
    }
}

async fn check(checker: Arc<Checker>, upstream: Weak<Upstream>) {
    let members = || upstream.upgrade().map(|upstream| upstream.endpoints());
    let report = |endpoint: &str, passed| {
        if let Some(upstream) = upstream.upgrade() {
            upstream.checked(endpoint, passed, Instant::now());
        }
    };
    checker.watch(members, report).await;
}

async fn follow(discovery: Arc<Discovery>, upstream: Weak<Upstream>) {
    let publish = |found: &[crate::config::Endpoint]| match upstream.upgrade() {
        Some(upstream) => upstream.replace(found, Instant::now()),
        None => Ok(()),
    };
    // What an answer from outside may break must not end the discovery for good.
    while AssertUnwindSafe(discovery.run(publish)).catch_unwind().await.is_err() {
        log::error!("{} panicked, which is a defect of OneDoor; it begins anew", discovery.settings());
        tokio::time::sleep(REST).await;
    }
}
