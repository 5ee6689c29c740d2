//! Keys that an issuer publishes by a URL: fetched beside the requests, ahead of their end.
//!
//! Requests only read what is there. A token whose key is not there has the issuer asked at once, at most once in
//! [`ASK_EVERY`] whoever sends how many of such tokens, and its request waits for the answer for at most [`PATIENCE`].
//! While the issuer is down the keys that are there count on: its end would else be the end of all services.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep_until, timeout};

use super::algorithm::Algorithm;
use super::keys::Keys;
use crate::config::{ServiceUrl, Tls};
use crate::upstream::{Bounds, Client, Remark};

/// An issuer of tokens, and the keys that it has published.
pub(super) struct Issuer {
    url: ServiceUrl,
    client: Client,
    algorithms: Vec<Algorithm>,
    state: Arc<State>,
}

/// What is known of an issuer, over reloads.
#[derive(Default)]
pub(super) struct State {
    keys: ArcSwapOption<Keys>,
    plan: Mutex<Plan>,
    wake: Notify,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
}

/// When to fetch.
#[derive(Debug, Default)]
struct Plan {
    /// When that is due anyway; `None`: now.
    due: Option<Instant>,
    /// When a request has last asked for it.
    asked: Option<Instant>,
    /// When the last one began that has ended.
    began: Option<Instant>,
    /// How many have failed since the last good one, and why the last did.
    failed: u32,
    trouble: Option<String>,
}

/// What a fetch has told.
enum Told {
    /// All is as before.
    Nothing,
    /// It fails now, or fails in another way.
    Trouble,
    /// It works again.
    Better,
}

/// How often requests may have the issuer asked.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// How long a request waits for a key that is not there.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long keys are good for: what the issuer says, but not shorter or longer than this, and without a word of it this.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
const UNSAID: Duration = Duration::from_secs(10 * 60);

/// The longest pause between tries while the issuer fails; the first is a second.
const PAUSE: Duration = Duration::from_secs(60);

/// A set of keys has some KiB.
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(5), body: 1 << 20 };

impl Issuer {
    /// The issuer that publishes its keys here. Nothing is asked yet.
    ///
    /// # Errors
    /// What is wrong with its TLS.
    pub(super) fn new(
        url: ServiceUrl,
        tls: Tls,
        algorithms: Vec<Algorithm>,
        state: Arc<State>,
    ) -> Result<Self, Vec<Remark>> {
        Ok(Self { client: Client::new(&url.origin, tls)?, url, algorithms, state })
    }

    /// The keys that count now; `None` if there never were any.
    pub(super) fn keys(&self) -> Option<Arc<Keys>> {
        self.state.keys.load_full()
    }

    /// Other keys than these, for which the issuer is asked if it may be. Returns at once if not, and after some
    /// seconds at most.
    pub(super) async fn newer(&self, than: &Arc<Keys>, now: Instant) -> Option<Arc<Keys>> {
        let mut ended = self.state.ended.subscribe();
        if self.state.plan.lock().ask(now) {
            self.state.wake.notify_one();
        }
        let fetched = async {
            while self.state.plan.lock().is_awaited() {
                if ended.changed().await.is_err() {
                    return;
                }
            }
        };
        // Too late is as good as never: the request is refused, and the next one finds the key.
        timeout(PATIENCE, fetched).await.ok();
        self.keys().filter(|keys| !Arc::ptr_eq(keys, than))
    }

    /// Resolves when there are keys.
    pub(super) async fn ready(&self) {
        let mut ended = self.state.ended.subscribe();
        while self.state.keys.load().is_none() && ended.changed().await.is_ok() {}
    }

    /// Keeps the keys fresh for ever.
    pub(super) async fn run(&self) {
        loop {
            let due = self.state.plan.lock().next();
            if let Some(due) = due {
                tokio::select! {
                    () = sleep_until(due.into()) => {}
                    () = self.state.wake.notified() => {}
                }
            }
            let began = Instant::now();
            let fetched = self.fetch().await;
            self.take_in(fetched, began, Instant::now());
        }
    }

    /// The keys and how long they are good for.
    async fn fetch(&self) -> Result<(Keys, Vec<String>, Duration), String> {
        self.client.resolve().await?;
        let request = Request::get(self.url.target.as_str())
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .header(header::USER_AGENT, "onedoor")
            .body(Bytes::new())
            .map_err(|error| error.to_string())?;
        let response = self.client.send(request, BOUNDS).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("it answers {}", response.status()));
        }
        let (keys, left_out) =
            Keys::parse(response.body(), &self.algorithms).map_err(|why| format!("what it says {why}"))?;
        Ok((keys, left_out, good_for(response.headers())))
    }

    fn take_in(&self, fetched: Result<(Keys, Vec<String>, Duration), String>, began: Instant, now: Instant) {
        let Self { url, state, .. } = self;
        match fetched {
            Ok((keys, left_out, good_for)) => {
                if matches!(state.plan.lock().succeeded(began, now, good_for), Told::Better) {
                    log::info!("the issuer's keys can be fetched again from {url}");
                }
                // The same keys stay the same ones, so that tokens that are known to be good stay known.
                if state.keys.load().as_ref().is_none_or(|before| **before != keys) {
                    log::info!("{} keys of the issuer from {url}", keys.count());
                    left_out.iter().for_each(|why| log::warn!("left out of the issuer's keys from {url}: {why}"));
                    state.keys.store(Some(Arc::new(keys)));
                }
            }
            Err(why) => {
                let then = match state.keys.load().is_some() {
                    true => "those that are there count on",
                    false => "requests with tokens get a 503",
                };
                if matches!(state.plan.lock().failed(began, now, &why), Told::Trouble) {
                    log::warn!("the issuer's keys cannot be fetched from {url}: {why}; {then}");
                }
            }
        }
        state.ended.send_modify(|ended| *ended += 1);
    }
}

impl Plan {
    /// Asks for a fetch, if that may be; whether it did.
    fn ask(&mut self, now: Instant) -> bool {
        let may = self.asked.is_none_or(|asked| now >= asked + ASK_EVERY);
        if may {
            self.asked = Some(now);
        }
        may
    }

    /// Whether a request has asked for a fetch that has not ended.
    fn is_awaited(&self) -> bool {
        self.asked.is_some_and(|asked| self.began.is_none_or(|began| began < asked))
    }

    /// When the next fetch is due; `None`: now.
    fn next(&self) -> Option<Instant> {
        self.due.filter(|_| !self.is_awaited())
    }

    fn succeeded(&mut self, began: Instant, now: Instant, good_for: Duration) -> Told {
        self.began = Some(began);
        // Ahead of their end, with time for some tries.
        self.due = Some(now + good_for * 4 / 5);
        self.failed = 0;
        if self.trouble.take().is_some() { Told::Better } else { Told::Nothing }
    }

    fn failed(&mut self, began: Instant, now: Instant, why: &str) -> Told {
        self.began = Some(began);
        self.due = Some(now + Duration::from_secs(1 << self.failed.min(6)).min(PAUSE));
        self.failed = self.failed.saturating_add(1);
        let is_new = self.trouble.as_deref() != Some(why);
        self.trouble = Some(why.to_owned());
        if is_new { Told::Trouble } else { Told::Nothing }
    }
}

/// How long a response is good for (RFC 9111, 5.2.2), within bounds.
fn good_for(headers: &HeaderMap) -> Duration {
    let mut seconds = None;
    for value in headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok()) {
        for directive in value.split(',').map(|directive| directive.trim().to_ascii_lowercase()) {
            match directive.split_once('=') {
                Some(("max-age", age)) => seconds = seconds.or(age.trim_matches('"').parse().ok()),
                None if directive == "no-store" || directive == "no-cache" => return SHORTEST,
                _ => {}
            }
        }
    }
    seconds.map_or(UNSAID, |seconds| Duration::from_secs(seconds).clamp(SHORTEST, LONGEST))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn keys_are_good_for_as_long_as_the_issuer_says_within_bounds() {
        for (value, seconds) in [
            ("max-age=3600", 3600),
            ("public, Max-Age=\"300\", must-revalidate", 300),
            ("max-age=1", 60),
            ("max-age=99999999", 86400),
            ("max-age=99999999999999999999999", 600),
            ("max-age=x", 600),
            ("no-store", 60),
            ("max-age=600, no-cache", 60),
            ("private", 600),
        ] {
            let headers = HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static(value))]);
            assert_eq!(good_for(&headers), Duration::from_secs(seconds), "{value}");
        }
        assert_eq!(good_for(&HeaderMap::new()), UNSAID);
    }

    #[test]
    fn requests_have_the_issuer_asked_once_in_a_while_and_others_wait_for_the_same_answer() {
        let (mut plan, start) = (Plan::default(), Instant::now());
        plan.succeeded(start, start, UNSAID);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(plan.ask(at(1)) && plan.is_awaited());
        assert!(!plan.ask(at(2)) && plan.is_awaited(), "the second only waits");
        assert_eq!(plan.next(), None, "due now");
        plan.failed(at(1), at(3), "down");
        assert!(!plan.is_awaited());
        assert!(!plan.ask(at(10)) && !plan.is_awaited(), "nobody waits for what may not be asked");
        assert!(plan.ask(at(11)));
        // One that began before the question may not have the answer.
        plan.succeeded(at(10), at(12), UNSAID);
        assert!(plan.is_awaited());
    }

    #[test]
    fn fetches_come_ahead_of_the_end_and_tries_less_and_less_often() {
        let (mut plan, start) = (Plan::default(), Instant::now());
        assert_eq!(plan.next(), None);
        let pauses: Vec<u64> = (0..9)
            .map(|_| {
                plan.failed(start, start, "down");
                plan.next().unwrap().duration_since(start).as_secs()
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(matches!(plan.succeeded(start, start, UNSAID), Told::Better));
        assert_eq!(plan.next(), Some(start + Duration::from_secs(480)));
        assert!(matches!(plan.succeeded(start, start, UNSAID), Told::Nothing));
    }

    #[test]
    fn a_trouble_is_told_once() {
        let (mut plan, start) = (Plan::default(), Instant::now());
        assert!(matches!(plan.failed(start, start, "down"), Told::Trouble));
        assert!(matches!(plan.failed(start, start, "down"), Told::Nothing));
        assert!(matches!(plan.failed(start, start, "garbage"), Told::Trouble));
    }
}
