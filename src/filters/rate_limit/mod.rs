//! `rate_limit`: how often requests may come.
//!
//! ```yaml
//! filters:
//!   rate_limit: {per: client_ip, rate: 100/s, burst: 50}
//!   # or several, which all have to admit a request:
//!   rate_limit:
//!     - {name: second, per: client_ip, rate: 20/s}
//!     - {name: hour, per: client_ip, rate: 5000/h, burst: 500}
//!     - {per: identity, rate: 600/m, shared: {credential: redis-url}}
//! ```
//!
//! | key | |
//! |---|---|
//! | `per` | `client_ip`, `identity`, `route`, `{header: x-key}` or `{cookie: sid}` |
//! | `rate` | so many in a second, minute, hour or day: `100/s`, `600/m`, `5000/h`, `20000/d` |
//! | `burst` | how many may come at once; without it the rate's number, as a token bucket of Envoy that is filled once in its interval (nginx's, which does not count the first, is one less) |
//! | `keys` | how many keys are told apart (100000): 40 to 80 bytes each |
//! | `dry_run` | `true`: admits all, and the log says now and then how many it would have refused |
//! | `shared` | a Redis server (no cluster) that counts for several doors: `redis://`, `rediss://` (by the system's CAs) or `unix://`, or a secret that holds such a URL, with its password |
//! | `timeout` | how long a request waits for it (20ms) |
//! | `name` | what it is called; without one, what it counts by |
//!
//! # What it lets through
//!
//! The generic cell rate algorithm, exact for each key: over any time t no more than burst + rate · t. With `5000/h` and
//! no `burst` that is 5000 at once and one more each 0.72 s. A list's limits admit a request together, or it spends of
//! none of them. `per: identity` is asked after `auth` and `require`, all others before: what they have admitted then
//! stays spent.
//!
//! `client_ip` counts all of a /64 of IPv6 as one client, since one client has it all; `{client_ip: {v4: 24, v6: 128}}`
//! says otherwise. Requests without a key (no such header, no identity, a Unix socket) share one bucket. A client can
//! make up values of headers and cookies: have a limit by `client_ip` beside such a one.
//!
//! Who is refused gets a 429 with `Retry-After`; whoever comes is told by `RateLimit` and `RateLimit-Policy`
//! (draft-ietf-httpapi-ratelimit-headers-11 of May 2026, in the form that it has had since its version 08): `q` and `w` are the rate's
//! number and unit, `r` how many more may come at once, `t` the seconds until that is one more. Dry runs are not told.
//!
//! # When there is no room
//!
//! With `keys` keys under way, those go first that owe nothing. If there are none, new keys share one bucket of the same
//! rate, and the log says so: nobody is ever unlimited, and nobody who was there before loses his bucket.
//!
//! # Several doors
//!
//! With `shared`, one round trip asks one script for all limits of the list at once, by the server's clock, so doors'
//! clocks need not agree. Doors share a limit if route and name are the same. What stands in the server is an address,
//! or a hash of anything else, and goes when it is idle. If the server does not answer in time, or at all, this door
//! counts alone from that request on, with what it has let through itself and the same numbers for itself: so n doors let
//! through up to n times as much then. The log says when that begins and how many requests it was when it ends.
//!
//! A reload keeps what was spent by the limit's name, also if its rate changes. `explain` and `test` look at this door's
//! own buckets and spend nothing.
//!
//! The crate `governor` was looked at for the algorithm: its keyed limiter has no bound on its keys, a changed rate is a
//! new limiter that has forgotten all, and what was taken can't be given back, as a list needs it.

mod gcra;
mod part;
mod rule;
mod settings;
mod shared;
mod table;

use std::sync::Arc;
use std::time::{Duration, Instant};

use part::Part;
use rule::Rule;
use settings::{Limit, Settings};
use shared::{Link, Shared};
use table::Table;

use crate::config::{LimitKey, Resolved};
use crate::filter::{Concern, Configure, Env, Filter, Flow, Problems, Request, Response, Result, Stage, async_trait};

/// Limits how often requests come.
pub(super) struct RateLimit {
    /// What is asked where the filter stands.
    first: Part,
    /// What is asked once it is known who asks, if that is not all.
    by_identity: Option<Arc<Part>>,
    shared: Option<Arc<Shared>>,
}

/// How long a request waits for a shared server without a word.
const PATIENCE: Duration = Duration::from_millis(20);

#[async_trait]
impl Filter for RateLimit {
    async fn request(&self, request: &mut Request<'_>) -> Result<Flow> {
        self.first.request(request).await
    }

    async fn response(&self, response: &mut Response<'_>) -> Result<()> {
        self.first.response(response).await
    }

    async fn run(&self) {
        if let Some(shared) = &self.shared {
            shared.keep_connected().await;
        }
    }

    async fn ready(&self) {
        if let Some(shared) = &self.shared {
            shared.tried().await;
        }
    }
}

impl Configure for RateLimit {
    const KIND: &'static str = "rate_limit";
    const STAGE: Stage = Stage::Rate;
    type Config = Settings;

    fn configure(settings: Settings, env: &Env<'_>) -> std::result::Result<Self, Problems> {
        let mut problems = Problems::default();
        settings::check(&settings, &mut problems);
        confess_dry_runs(&settings, env);
        let shared = shared(&settings, env, &mut problems);
        let rules = settings.iter().filter_map(|limit| rule(limit, env));
        let (identity, early): (Vec<Rule>, Vec<Rule>) = rules.partition(|rule| rule.limit.per == LimitKey::Identity);
        let part = |stage, rules| Part::new(stage, rules, shared.clone());
        let (first, by_identity) = match (early.is_empty(), identity.is_empty()) {
            (true, _) => (part(Stage::RateByIdentity, identity), None),
            (false, true) => (part(Stage::Rate, early), None),
            (false, false) => (part(Stage::Rate, early), Some(Arc::new(part(Stage::RateByIdentity, identity)))),
        };
        problems.or(Self { first, by_identity, shared })
    }

    fn stage(&self) -> Stage {
        self.first.stage
    }

    fn also(&self) -> Option<(Stage, Arc<dyn Filter>)> {
        self.by_identity.clone().map(|part| (part.stage, part as Arc<dyn Filter>))
    }
}

fn rule(limit: &Limit, env: &Env<'_>) -> Option<Rule> {
    let table = env.state(&format!("limit {}", limit.called()), || Table::new(Instant::now()));
    Some(Rule::new(limit, limit.allowance()?, env.owner, table))
}

fn confess_dry_runs(limits: &[Limit], env: &Env<'_>) {
    for (index, limit) in limits.iter().enumerate().filter(|(_, limit)| limit.dry_run) {
        let number = index.to_string();
        let path: &[&str] = if limits.len() == 1 { &["dry_run"] } else { &[&number, "dry_run"] };
        let reason = format!("the limit `{}` only counts and refuses nobody", limit.called());
        let remedy = "take `dry_run` away once the log has told what it would refuse";
        env.concern(Concern::new("limit_dry_run", reason, remedy).at(path));
    }
}

/// The server that the limits share, if any does.
fn shared(limits: &[Limit], env: &Env<'_>, problems: &mut Problems) -> Option<Arc<Shared>> {
    let (index, limit) = limits.iter().enumerate().find(|(_, limit)| limit.shared.is_some())?;
    let patience = limit.timeout.map_or(PATIENCE, |timeout| timeout.0);
    let number = index.to_string();
    let path: &[&str] = if limits.len() == 1 { &["shared"] } else { &[&number, "shared"] };
    let made = limit.shared.as_ref()?.resolve().and_then(|resolved| {
        let is_literal = matches!(resolved, Resolved::Literal(_));
        let (Resolved::Literal(url) | Resolved::Secret(url)) = resolved;
        let link = env.state::<Link>(&format!("shared {url}"), Link::default);
        let shared = Shared::new(&url, patience, link)?;
        shared.confess(is_literal, path, env);
        Ok(shared)
    });
    match made {
        Ok(shared) => Some(Arc::new(shared)),
        Err(message) => {
            problems.add(path, message);
            None
        }
    }
}
