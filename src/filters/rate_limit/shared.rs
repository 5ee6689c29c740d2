//! One limit for several doors: the buckets lie in a Redis server, and this door's own take over while that cannot be
//! asked.
//!
//! The crate `redis`, for its pipelined connection that many requests share (`MultiplexedConnection`). Its
//! `ConnectionManager`, which connects anew by itself, does so while requests wait; here [`Shared::keep_connected`] does
//! it beside them, and they are not kept a moment by a server that is known to be gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, RedisError, Script};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::gcra::Allowance;
use crate::config::is_inside_name;
use crate::filter::{Concern, Env};

/// A server, as one place of the file names it.
pub(super) struct Shared {
    client: Client,
    /// Without user and password.
    shown: String,
    /// How long a request waits for it.
    patience: Duration,
    script: Script,
    link: Arc<Link>,
}

/// The connection to a server: it outlives the filter that made it.
#[derive(Default)]
pub(super) struct Link {
    connection: ArcSwapOption<MultiplexedConnection>,
    lost: Notify,
    /// Whether it was tried to connect, with whatever success.
    tried: watch::Sender<bool>,
    /// How many requests were counted here alone since the connection was lost.
    alone: AtomicU64,
}

/// One limit's part of a question.
pub(super) struct Ask {
    /// The bucket's name.
    pub(super) key: String,
    /// What it lets through.
    pub(super) allowance: Allowance,
    /// Whether it only counts.
    pub(super) dry_run: bool,
}

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(1);
/// Between two attempts to connect: this long at first, then twice as long each time, up to the other.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];
/// A connection that held for this long was a good one.
const GOOD: Duration = Duration::from_secs(10);

impl Shared {
    /// For a server by its URL; `link` gives the connection that belongs to it.
    ///
    /// # Errors
    /// What is wrong with the URL; never the URL itself, which may hold a password.
    pub(super) fn new(url: &str, patience: Duration, link: Arc<Link>) -> Result<Self, String> {
        let client = client_of(url)?;
        let shown = client.get_connection_info().addr().to_string();
        Ok(Self { client, shown, patience, script: Script::new(include_str!("take.lua")), link })
    }

    /// What there is to say against the server's URL, which stands at `path`.
    pub(super) fn confess(&self, is_literal: bool, path: &[&str], env: &Env<'_>) {
        let info = self.client.get_connection_info();
        if is_literal && info.redis_settings().password().is_some() {
            env.concern(Concern::secret("whoever reads the file has the password of the Redis server").at(path));
        }
        if let ConnectionAddr::Tcp(host, _) = info.addr()
            && !is_inside_name(host)
        {
            let reason = format!("{} is no address of a private network, and all goes there in the clear", self.shown);
            let remedy = "write `rediss://` for TLS, or reach it by a private address";
            env.concern(Concern::new("service_without_tls", reason, remedy).at(path));
        }
    }

    /// Asks the server to let a request through all of these limits or none: for each whether it admits, and how many
    /// nanoseconds its bucket owes. `None`: the server cannot be asked.
    pub(super) async fn take(&self, asks: &[Ask]) -> Option<Vec<(bool, u64)>> {
        let said = self.ask(asks).await;
        if said.is_none() {
            self.link.alone.fetch_add(1, Relaxed);
        }
        said
    }

    async fn ask(&self, asks: &[Ask]) -> Option<Vec<(bool, u64)>> {
        let connection = self.link.connection.load_full()?;
        let mut question = self.script.prepare_invoke();
        for Ask { key, allowance, dry_run } in asks {
            let micros = |nanos: u64| nanos as f64 / 1e3;
            question.key(key).arg(micros(allowance.interval())).arg(micros(allowance.most())).arg(u8::from(*dry_run));
        }
        let mut pipeline = MultiplexedConnection::clone(&connection);
        let answer = timeout(self.patience, question.invoke_async::<Vec<u64>>(&mut pipeline)).await;
        let why = match answer {
            Ok(Ok(said)) if said.len() == 2 * asks.len() => {
                return Some(said.chunks_exact(2).map(|pair| (pair[0] == 1, pair[1].saturating_mul(1_000))).collect());
            }
            Ok(Ok(_)) => "it answered something else than was asked".to_owned(),
            Ok(Err(error)) => plain(&error),
            Err(_) => format!("no answer within {:?}", self.patience),
        };
        self.lose(&connection, &why);
        None
    }

    /// Lets a connection go, unless somebody else has.
    fn lose(&self, connection: &Arc<MultiplexedConnection>, why: &str) {
        let before = self.link.connection.compare_and_swap(connection, None);
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, connection)) {
            self.warn(why);
            self.link.lost.notify_waiters();
        }
    }

    fn warn(&self, why: &str) {
        log::warn!("rate limits shared by {} are counted by this door alone: {why}", self.shown);
    }

    /// Connects, and again whenever the connection is lost.
    pub(super) async fn keep_connected(&self) {
        let [first, most] = PAUSES;
        let mut pause = first;
        loop {
            let lost = self.link.lost.notified();
            if self.link.connection.load().is_none() {
                self.try_to_connect().await;
            }
            let since = Instant::now();
            if self.link.connection.load().is_some() {
                lost.await;
            }
            // Neither a server that refuses nor one that is lost again and again is asked without a pause.
            pause = if since.elapsed() >= GOOD { first } else { pause };
            sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(most);
        }
    }

    async fn try_to_connect(&self) {
        let failed = match timeout(CONNECT, self.connect()).await {
            Ok(Ok(connection)) => {
                self.link.connection.store(Some(Arc::new(connection)));
                let alone = self.link.alone.swap(0, Relaxed);
                log::info!("rate limits are shared by {}; {alone} requests were counted alone before", self.shown);
                None
            }
            Ok(Err(error)) => Some(plain(&error)),
            Err(_) => Some(format!("no connection within {CONNECT:?}")),
        };
        let is_first = !self.link.tried.send_replace(true);
        match failed {
            Some(why) if is_first => self.warn(&why),
            Some(why) => log::debug!("no connection to {}: {why}", self.shown),
            None => {}
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(CONNECT));
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        self.script.load_async(&mut connection).await?;
        Ok(connection)
    }

    /// Resolves when it was tried to connect: from then on it is known who counts.
    pub(super) async fn tried(&self) {
        let mut tried = self.link.tried.subscribe();
        // The sender is `self.link`'s own, so it is there for as long as this waits.
        tried.wait_for(|&tried| tried).await.ok();
    }
}

/// The client of a URL.
fn client_of(url: &str) -> Result<Client, String> {
    let example =
        "write one such as `redis://127.0.0.1:6379`, `rediss://redis.internal:6380/1` or `unix:///run/redis.sock`";
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("redis" | "rediss" | "unix" | "redis+unix")) {
        return Err(format!("expected the URL of a Redis server; {example}"));
    }
    Client::open(url).map_err(|error| format!("is no URL of a Redis server ({}); {example}", error.category()))
}

/// An error of the server or of the way there, in one line.
fn plain(error: &RedisError) -> String {
    error.to_string().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_checked_and_its_password_is_never_shown() {
        for url in
            ["redis://127.0.0.1:6379/1", "rediss://a.test:6380", "unix:///run/redis.sock", "redis+unix:///run/r.sock"]
        {
            assert!(client_of(url).is_ok(), "{url}");
        }
        for url in [
            "http://a.test",
            "127.0.0.1:6379",
            "redis://:s3cret@",
            "redis://:s3cret@a.test:port",
            "redis://:s3cret@a/x/y",
        ] {
            if let Err(why) = client_of(url) {
                assert!(why.contains("redis://127.0.0.1:6379") && !why.contains("s3cret"), "{url}: {why}");
            } else {
                assert!(url.ends_with("x/y"), "{url}");
            }
        }
        let shared = Shared::new("redis://me:s3cret@127.0.0.1:1", CONNECT, Arc::default()).unwrap();
        assert_eq!(shared.shown, "127.0.0.1:1");
    }
}
