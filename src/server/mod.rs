//! A door that runs: its listeners, its reload, its end.
//!
//! Pingora's own `Server` is not used, only its parts: its life cycle binds sockets in a task whose failure nobody
//! hears of, resets who waits to be accepted, and ends by sleeping through a fixed time. Here every socket is bound
//! before anything is served, who could connect is answered, and a door that drains leaves as soon as its last
//! connection is gone.

mod accepting;
mod files;
mod listeners;
mod shut;
mod side;
mod signals;
mod socket;
mod socket_path;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use pingora::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use tokio::time::{Instant, timeout, timeout_at};

use crate::acme::Acme;
use crate::config::{AccessFormat, AccessTarget, Config, Log, Name, Problem, Threads};
use crate::explain::try_all;
use crate::filter::Registry;
use crate::observe::{AccessLog, Format, Target};
pub use crate::proxy::TurnedAway;
use crate::proxy::{Ending, Gateway, Guard, LiveListener, Open};
use crate::snapshot::{Snapshot, compile, every_problem};
use crate::tls::Tls;
use crate::upstream::{Upstream, ca_file};
pub use files::raise_limit;
use listeners::Listeners;
pub use side::SideService;
pub use signals::{Signals, run_until_told, tell_systemd};
pub use socket::BoundAddress;

/// A door that runs.
pub struct Server {
    registry: Registry,
    gateway: Gateway,
    proxy: Arc<HttpProxy<Gateway>>,
    open: Arc<Open>,
    listeners: Listeners,
    access: Log,
    threads: usize,
}

/// How long a connection on which no head has begun is kept when the door drains: time for a request that is just on
/// its way, which is answered with `Connection: close`.
const LAME_DUCK: Duration = Duration::from_secs(3);

/// How long filters may take to get what they need before requests are taken.
const FILTERS_READY: Duration = Duration::from_secs(5);

/// How long a log that takes no lines is waited for in the end.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How long an exchange that is broken off may take to say so and to be written down.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Connections of clients, where neither the file nor the limit on open files says less.
const MOST_CONNECTIONS: usize = 50_000;

/// Pingora's own bound on tries, above all that a route's `attempts` and an endpoint's addresses come to.
const MOST_TRIES: usize = 256;

/// Upstream connections that are kept for the next request, over all upstreams. A pool that is smaller than the
/// number of requests under way costs a connection per request.
const POOL_SIZE: usize = 4096;

impl Server {
    /// Starts a door: its tests are run, every socket is bound, and only then the first connection is accepted. Must be
    /// called within a tokio runtime, which then serves everything.
    ///
    /// # Errors
    /// Every problem of the configuration, or every address that can't be taken, or what is wrong with the access log.
    pub async fn start(config: Config, registry: Registry) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let (snapshot, mut warnings) = check(config, &registry, None).await?;
        warnings.extend(files::too_few(snapshot.config()));
        let config = snapshot.config();
        let mut listeners = Listeners::default();
        let plan = listeners.plan(config).await?;
        let access = config.log.clone();
        let log = open_log(config)?;
        let threads = threads(config);
        let gateway = Gateway::new(snapshot.clone(), log);
        let ca_file = ca_file();
        let conf = ServerConf {
            threads,
            upstream_keepalive_pool_size: POOL_SIZE,
            max_retries: MOST_TRIES,
            ca_file,
            ..ServerConf::default()
        };
        let proxy = Arc::new(http_proxy(&Arc::new(conf), gateway.clone()));
        let open = Arc::new(Open::new(files::connections().min(MOST_CONNECTIONS)));
        join(begin(&snapshot), begin_filters(&snapshot)).await;
        let guard = guards(&proxy, &gateway, &open);
        listeners.start(plan, &gateway.snapshot(), guard);
        begin_orders(&snapshot);
        Ok((Self { registry, gateway, proxy, open, listeners, access, threads }, warnings))
    }

    /// Where each listener listens.
    pub fn addresses(&self) -> BTreeMap<Name, BoundAddress> {
        self.listeners.addresses()
    }

    /// Connections that ended before there was a request: how many since each listener began, by its name and the
    /// reason.
    pub fn turned_away(&self) -> Vec<(Name, TurnedAway, u64)> {
        self.listeners.turned_away().map(|(name, why, count)| (name.clone(), why, count)).collect()
    }

    /// The configuration that holds now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.gateway.snapshot()
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.open.count()
    }

    /// Reads a file for [`Server::reload`].
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(&self, file: &Path) -> Result<(Config, Vec<Problem>), Vec<Problem>> {
        Config::load(file).map_err(|refused| every_problem(refused, &self.registry))
    }

    /// Brings the door to a new configuration: all of it, or nothing.
    ///
    /// # Errors
    /// What is wrong with it. Everything is then as it was before.
    pub async fn reload(&mut self, config: Config) -> Result<Vec<Problem>, Vec<Problem>> {
        let (snapshot, mut warnings) = check(config, &self.registry, Some(self.gateway.snapshot())).await?;
        let plan = self.listeners.plan(snapshot.config()).await?;
        let log =
            if snapshot.config().log.access == self.access.access { None } else { Some(open_log(snapshot.config())?) };
        begin_filters(&snapshot).await;
        end_replaced(&self.gateway.snapshot(), &snapshot);
        begin(&snapshot).await;
        // What became of endpoints since it was compiled is known to them, and not yet to who picks.
        snapshot.upstreams().for_each(|upstream| upstream.refresh(Instant::now().into_std()));
        // Each exchange has the listeners of its own generation, so those of the next are known before it is served.
        self.listeners.settle(&plan, &snapshot, &self.open);
        self.gateway.swap(snapshot.clone());
        if let Some(log) = log {
            self.gateway.access_log().store(log.map(Arc::new));
        }
        self.access = snapshot.config().log.clone();
        let guard = guards(&self.proxy, &self.gateway, &self.open);
        self.listeners.start(plan, &snapshot, guard);
        begin_orders(&snapshot);
        warnings.extend(self.needs_restart(snapshot.config()));
        warnings.extend(files::too_few(snapshot.config()));
        Ok(warnings)
    }

    /// What a reload can't change.
    fn needs_restart(&self, config: &Config) -> Option<Problem> {
        let asked = threads(config);
        (asked != self.threads).then(|| {
            let message = format!(
                "a reload can't change this: asked for {asked}, at work {}; restart the door for it",
                self.threads
            );
            config.source.warning(&["process", "threads"], message)
        })
    }

    /// Opens the access log's file anew, for a rotation: the line that is being written goes to the old one.
    pub fn reopen_logs(&self) {
        if let Some(log) = &*self.gateway.access_log().load()
            && let Err(e) = log.reopen()
        {
            log::error!("the access log stays where it is: its file cannot be opened anew: {e}");
        }
    }

    /// Waits until every exchange that is over has been written down; not for ever, if the log's target takes nothing.
    pub async fn flush_logs(&self) {
        let Some(log) = self.gateway.access_log().load_full() else { return };
        let flushed = tokio::task::spawn_blocking(move || log.flush(LAST_LINES)).await;
        if !matches!(flushed, Ok(true)) {
            let lost = self.gateway.access_log().load().as_ref().map_or(0, |log| log.dropped());
            log::warn!("the access log's target takes no lines: {lost} are lost, and what still waits");
        }
    }

    /// Ends well: accepts nothing more but whoever could connect until now, answers what is under way and what comes
    /// on open connections with `Connection: close`, and returns as soon as none is left, at the latest after
    /// `process.drain` (or the quarter of a second that closing the listeners takes). Returns how many were cut then.
    pub async fn drain(&mut self) -> usize {
        let limit = self.gateway.snapshot().config().process.drain.0;
        let end = Instant::now() + limit;
        // What a CA asks on the way could not be answered any more.
        self.gateway.snapshot().acme().for_each(|acme| acme.stop());
        self.open.ask(Ending::AfterAnswer);
        log::info!("draining: {} connections are open", self.open.count());
        self.listeners.stop().await;
        let drained = timeout_at(end, async {
            if timeout(LAME_DUCK.min(limit / 2), self.open.none()).await.is_err() {
                self.open.ask(Ending::WhenIdle);
                self.open.none().await;
            }
        });
        match drained.await {
            Ok(()) => {
                self.flush_logs().await;
                0
            }
            Err(_) => self.cut().await,
        }
    }

    /// Ends at once: what is under way is broken off and written down. Returns how many connections were open.
    pub async fn cut(&self) -> usize {
        let open = self.open.count();
        self.open.ask(Ending::Now);
        if timeout(LAST_WORDS, self.open.none()).await.is_err() {
            log::debug!("{} connections did not end in time", self.open.count());
        }
        self.flush_logs().await;
        open
    }
}

/// How many worker threads a configuration asks for.
pub fn threads(config: &Config) -> usize {
    match config.process.threads {
        Threads::Auto => std::thread::available_parallelism().map_or(1, Into::into),
        Threads::Count(count) => count.get().into(),
    }
}

/// Begins the checks and discoveries of a snapshot that is going to be served, and gives those that have no endpoints
/// yet a moment to find some.
async fn begin(snapshot: &Snapshot) {
    snapshot.acme().for_each(|acme| acme.prepare());
    snapshot.tls().for_each(Tls::start);
    snapshot.upstreams().for_each(Upstream::start);
    join_all(snapshot.upstreams().map(|upstream| upstream.known())).await;
}

/// Begins to order and renew certificates, now that what CAs ask is answered.
fn begin_orders(snapshot: &Snapshot) {
    snapshot.acme().for_each(Acme::start);
}

/// Ends the checks and discoveries of upstreams, the watch over certificates and the orders of some, that the next
/// snapshot has not taken over as they are: exchanges under way may hold them for hours.
fn end_replaced(before: &Snapshot, next: &Snapshot) {
    for upstream in before.upstreams() {
        if !next.upstream(upstream.name()).is_some_and(|kept| Arc::ptr_eq(kept, upstream)) {
            upstream.stop();
        }
    }
    for tls in before.tls().filter(|tls| !next.tls().any(|kept| Arc::ptr_eq(kept, tls))) {
        tls.stop();
    }
    for acme in before.acme().filter(|acme| !next.acme().any(|kept| Arc::ptr_eq(kept, acme))) {
        acme.stop();
    }
}

fn guards<'a>(
    proxy: &'a Arc<HttpProxy<Gateway>>,
    gateway: &'a Gateway,
    open: &'a Arc<Open>,
) -> impl Fn(Arc<LiveListener>) -> Guard + 'a {
    |name| Guard::new(name, Arc::clone(proxy), gateway.clone(), Arc::clone(open))
}

/// Begins what filters do beside the requests, and gives them some seconds to get what they need for that.
async fn begin_filters(snapshot: &Snapshot) {
    snapshot.start_filters();
    if timeout(FILTERS_READY, snapshot.filters_ready()).await.is_err() {
        log::warn!("a filter is not ready after {FILTERS_READY:?}; it refuses requests until it is");
    }
}

/// All that can be said of a configuration before it is served: it is compiled as for serving, and its own tests are
/// run. `onedoor check`, start and reload are this.
///
/// # Errors
/// Every problem there is.
pub async fn check(
    config: Config,
    registry: &Registry,
    previous: Option<Arc<Snapshot>>,
) -> Result<(Arc<Snapshot>, Vec<Problem>), Vec<Problem>> {
    let format = format_of(&config);
    let registry = registry.clone();
    // Names are resolved and secrets are read on the way, which may take its time.
    let compiled = tokio::task::spawn_blocking(move || compile(config, &registry, previous.as_deref())).await;
    let compiled = compiled.unwrap_or_else(|e| Err(vec![Problem::error(None, "", format!("compiling failed: {e}"))]));
    let (snapshot, warnings) = match (compiled, format) {
        (Ok(compiled), Ok(_)) => compiled,
        (Ok(_), Err(problem)) => return Err(vec![problem]),
        (Err(problems), format) => return Err(problems.into_iter().chain(format.err()).collect()),
    };
    let shortfalls = try_all(&snapshot).await;
    if !shortfalls.is_empty() {
        return Err(shortfalls.into_iter().map(|shortfall| shortfall.problem).collect());
    }
    Ok((snapshot, warnings))
}

fn open_log(config: &Config) -> Result<Option<AccessLog>, Vec<Problem>> {
    let access = &config.log.access;
    let target = match &access.to {
        AccessTarget::Off => return Ok(None),
        AccessTarget::Stdout => Target::Stdout,
        AccessTarget::File(path) => Target::File(PathBuf::from(path)),
    };
    let format = format_of(config).map_err(|problem| vec![problem])?;
    AccessLog::start(target, format)
        .map(Some)
        .map_err(|e| vec![config.source.problem(&["log", "access", "to"], format!("cannot be written to: {e}"))])
}

fn format_of(config: &Config) -> Result<Format, Problem> {
    match &config.log.access.format {
        AccessFormat::Json => Ok(Format::json()),
        AccessFormat::Combined => Ok(Format::combined()),
        AccessFormat::Template(text) => {
            Format::template(text).map_err(|why| config.source.problem(&["log", "access", "format"], why))
        }
    }
}
