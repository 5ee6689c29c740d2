//! `auth`: who asks. Any of the ways that are named will do; without one of them a request ends here.
//!
//! ```yaml
//! filters:
//!   auth:
//!     jwt: {issuer: https://id.example.com, audience: api, jwks: https://id.example.com/jwks.json}
//! ```
//!
//! The ways are asked in the order `jwt`, `api_key`, `basic`, `client_cert`, `forward`, and the first that knows who
//! asks decides. A credential that is there and no good is refused at once with a 401, whatever the other ways would
//! say: a forged token must not be worth more than none. One that cannot be judged, since keys were never fetched or a
//! service is down, is a 503. A request without any credential gets a 401 with the challenges of all ways that have one
//! (RFC 9110, 11.6.1). Neither says more than that; why stands in the log, as a cause such as `auth_expired` and as a
//! reason.
//!
//! Who asks is there for the filters `require`, `rate_limit` and `headers` (`{identity.sub}`), and in the log. With
//! `hide: true` a way removes its credential before the request goes on, whichever way it was that knew who asks.
//!
//! In `onedoor explain --as` and in tests with `as:` it is taken for granted who asks.

mod api_key;
mod basic;
mod client_cert;
mod forward;
mod jwt;

#[cfg(any(test, feature = "fuzzing"))]
pub use jwt::fuzz_token;

use std::sync::Arc;

use futures_util::future::join_all;
use http::{HeaderValue, header};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::filter::{
    Concern, Configure, Env, Filter, Flow, Identity, Problems, Reply, Request, Result, Stage, async_trait,
};

/// What one way to authenticate makes of a request.
pub(super) enum Said {
    /// The request has no such credential.
    Nothing,
    /// It is good: this is who asks.
    Known(Arc<Identity>),
    /// It is there and no good. The reason is for the log only.
    Bad { cause: &'static str, reason: String },
    /// The way refuses it with an answer of its own, which has a cause.
    Refused(Box<Reply>),
    /// It can't be judged now: closed, 503.
    Unable { cause: &'static str, reason: String },
}

/// A way to authenticate. What it needs beside the requests, such as keys, it gets in `run`, as a filter does.
#[async_trait]
pub(super) trait Way: Send + Sync {
    /// Looks for its credential in a request, and judges it.
    async fn ask(&self, request: &mut Request<'_>) -> Said;

    /// `WWW-Authenticate` for a 401 (RFC 9110, 11.6.1), if the way has a challenge. `said` is what it made of the
    /// request: nothing or, if this is the way that refuses it, why.
    fn challenge(&self, _said: &Said) -> Option<HeaderValue> {
        None
    }

    /// Removes its credential from what goes on to the upstream, if the file asks for that (`hide: true`).
    fn hide(&self, _request: &mut Request<'_>) -> Result<()> {
        Ok(())
    }

    /// Whether it is of no use where no client can show a certificate: see [`Filter::needs_certificates`].
    fn needs_certificates(&self) -> bool {
        false
    }

    /// Work beside the requests: see [`Filter::run`].
    async fn run(&self) {}

    /// Resolves when it can judge: see [`Filter::ready`].
    async fn ready(&self) {}
}

/// Finds out who asks, or refuses.
pub(super) struct Auth {
    /// In the order in which they are asked.
    ways: Vec<Box<dyn Way>>,
}

/// Finds out who asks, in any of these ways; a request in none of them is refused.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// By a signed token (RFC 7519).
    jwt: Option<jwt::Config>,
    /// By a key that was handed out.
    api_key: Option<api_key::Config>,
    /// By a name and a password (RFC 7617).
    basic: Option<basic::Config>,
    /// By what another service says of the request.
    forward: Option<forward::Config>,
    /// By the certificate that the client has shown in the TLS handshake.
    client_cert: Option<client_cert::Config>,
}

impl Auth {
    /// The 401, with a challenge of each way; `bad` is the way that refuses the request and what it said.
    fn refusal(&self, bad: Option<(usize, &Said)>) -> Reply {
        let detail = if bad.is_some() { "the credentials are not valid" } else { "credentials are needed" };
        let mut reply = Reply::problem(401, detail);
        for (index, way) in self.ways.iter().enumerate() {
            let said = bad.filter(|(refuses, _)| *refuses == index).map_or(&Said::Nothing, |(_, said)| said);
            if let Some(challenge) = way.challenge(said) {
                reply = reply.with_header(header::WWW_AUTHENTICATE, challenge);
            }
        }
        reply
    }

    fn hide(&self, request: &mut Request<'_>) -> Result<Flow> {
        self.ways.iter().try_for_each(|way| way.hide(request))?;
        Ok(Flow::Continue)
    }
}

#[async_trait]
impl Filter for Auth {
    async fn request(&self, request: &mut Request<'_>) -> Result<Flow> {
        if let (true, Some(identity)) = (request.rehearsal, request.subject.identity.as_ref().map(Arc::clone)) {
            request.note(|| format!("takes for granted that `{}` asks", identity.subject));
            return self.hide(request);
        }
        for (index, way) in self.ways.iter().enumerate() {
            let said = way.ask(request).await;
            match said {
                Said::Nothing => {}
                Said::Known(identity) => {
                    request.note(|| format!("`{}` asks, known by {}", identity.subject, identity.via));
                    *request.subject.identity = Some(identity);
                    return self.hide(request);
                }
                Said::Bad { cause, ref reason } => {
                    return Ok(self.refusal(Some((index, &said))).because(cause, reason.as_str()).into());
                }
                Said::Refused(reply) => return Ok((*reply).into()),
                Said::Unable { cause, reason } => {
                    let reply = Reply::problem(503, "credentials cannot be checked now");
                    return Ok(reply.because(cause, reason).into());
                }
            }
        }
        Ok(self.refusal(None).because("auth_missing", "the request has no credentials").into())
    }

    fn needs_certificates(&self) -> bool {
        self.ways.iter().any(|way| way.needs_certificates())
    }

    async fn run(&self) {
        join_all(self.ways.iter().map(|way| way.run())).await;
    }

    async fn ready(&self) {
        join_all(self.ways.iter().map(|way| way.ready())).await;
    }
}

impl Configure for Auth {
    const KIND: &'static str = "auth";
    const STAGE: Stage = Stage::Auth;
    type Config = Config;

    fn configure(config: Config, env: &Env<'_>) -> std::result::Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut ways = Vec::new();
        add(&mut ways, &mut problems, "jwt", config.jwt.map(|jwt| jwt::way(jwt, env)));
        add(&mut ways, &mut problems, "api_key", config.api_key.map(|api_key| api_key::way(api_key, env)));
        add(&mut ways, &mut problems, "basic", config.basic.map(|basic| basic::way(basic, env)));
        add(&mut ways, &mut problems, "client_cert", config.client_cert.map(client_cert::way));
        add(&mut ways, &mut problems, "forward", config.forward.map(|forward| forward::way(forward, env)));
        let auth = problems.or(Self { ways })?;
        if auth.ways.is_empty() {
            let message = "name a way, e.g. `auth: {jwt: {…}}`; for a route that anybody may use write `auth: off`";
            return Err(message.into());
        }
        Ok(auth)
    }
}

/// A credential that goes on with the request, of which the file does not say whether that is meant.
fn confess_kept(way: &str, what: &str, hide: Option<bool>, env: &Env<'_>) {
    let reason = format!("{what} goes on to somebody outside this machine and private networks");
    let remedy = "write `hide: true`, or `hide: false` to say that this is meant";
    if hide.is_none() {
        env.concern(Concern::new("credential_passed_on", reason, remedy).at(&[way]).to_outside());
    }
}

/// Adds a way that the file names, or what is wrong with it.
fn add(
    ways: &mut Vec<Box<dyn Way>>,
    problems: &mut Problems,
    name: &str,
    way: Option<std::result::Result<Box<dyn Way>, Problems>>,
) {
    match way {
        None => {}
        Some(Ok(way)) => ways.push(way),
        Some(Err(more)) => problems.add_below(&[name], more),
    }
}
