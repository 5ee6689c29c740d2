//! `jwt`: by a signed token (RFC 7519), as OpenID Connect and OAuth 2 issue them (RFC 6750, RFC 9068).
//!
//! ```yaml
//! filters:
//!   auth:
//!     jwt:
//!       issuer: https://id.example.com              # exactly as in `iss`
//!       audience: [api, api-internal]               # any of them in `aud`
//!       jwks: https://id.example.com/jwks.json      # | {file: keys.json} | {url: …, ca: internal.pem}
//!       # or one key: key: {pem: issuer.pem} | {secret: {credential: jwt-secret}}
//!       algorithms: [ES256, RS256]                  # default: what each key is for; RS256 for an RSA key that does not say
//!       leeway: 30s                                 # by which clocks may differ
//!       hide: true                                  # the upstream does not see it
//! ```
//!
//! The token is `Authorization: Bearer …`, or all of a `header`, or a `cookie`. What it may be signed with is decided by
//! the keys and `algorithms`, never by the token (RFC 8725): `none`, a public key used as a secret, keys that the token
//! brings along (`jwk`, `jku`, `x5c`, `x5u`), extensions (`crit`) and tokens of more than 8 KiB are refused, and so is one
//! that never ends (`exp`). Symmetric ways (HS256, …) need `key: {secret: …}`.
//!
//! Keys by URL are fetched before the first request and then ahead of their end, by `Cache-Control: max-age` between a
//! minute and a day (10 minutes if nothing is said). While the issuer is down those that are there count on; as long as
//! there never were any, requests with a token get a 503. A token that names an unknown key has the issuer asked again,
//! every 10 seconds at most.
//!
//! Causes: `auth_malformed`, `auth_algorithm`, `auth_unknown_key`, `auth_signature`, `auth_issuer`, `auth_audience`,
//! `auth_expired`, `auth_not_yet_valid`, `auth_unavailable`.

mod algorithm;
mod cache;
mod carrier;
mod claims;
mod config;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzzing;
mod issuer;
mod key;
mod keys;
mod make;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::HeaderValue;

use super::{Said, Way};
use crate::filter::{Identity, Request, Result, async_trait};
use cache::Cache;
use carrier::{Carrier, Found};
use claims::Rules;
pub(super) use config::Config;
#[cfg(any(test, feature = "fuzzing"))]
pub use fuzzing::token as fuzz_token;
use issuer::Issuer;
use keys::Keys;
pub(super) use make::way;

/// Knows who asks by a signed token.
struct Jwt {
    carrier: Carrier,
    source: Source,
    rules: Rules,
    cache: Cache,
    hide: bool,
    /// The challenge of a request without a token, and of one with a bad one (RFC 6750, 3).
    challenges: [HeaderValue; 2],
}

/// Where the keys come from.
enum Source {
    File(Arc<Keys>),
    Issuer(Box<Issuer>),
}

/// Why a token is refused.
#[derive(Debug)]
struct Refusal {
    cause: &'static str,
    reason: String,
    /// Whether keys that are newer than those that were tried may be the remedy.
    may_be_new: bool,
}

fn refuse(cause: &'static str, reason: impl Into<String>) -> Refusal {
    Refusal { cause, reason: reason.into(), may_be_new: false }
}

impl Jwt {
    /// Who asks by this token; at the edge of time.
    async fn judge(&self, token: &[u8], rehearsal: bool) -> Said {
        let Some(keys) = self.source.keys() else {
            let reason = "the issuer's keys were never fetched".into();
            return Said::Unable { cause: "auth_unavailable", reason };
        };
        let judged = match self.judge_by(token, &keys, rehearsal) {
            Err(refusal) if refusal.may_be_new && !rehearsal => match self.source.newer(&keys).await {
                Some(keys) => self.judge_by(token, &keys, rehearsal),
                None => Err(refusal),
            },
            judged => judged,
        };
        match judged {
            Ok(identity) => Said::Known(identity),
            Err(Refusal { cause, reason, .. }) => Said::Bad { cause, reason },
        }
    }

    fn judge_by(&self, token: &[u8], keys: &Arc<Keys>, rehearsal: bool) -> std::result::Result<Arc<Identity>, Refusal> {
        let now = SystemTime::now();
        if let Some(identity) = self.cache.get(token, keys, now) {
            return Ok(identity);
        }
        let payload = token::verified(token, keys)?;
        let verified = self.rules.judge(&payload, now)?;
        let identity = verified.identity.clone();
        if !rehearsal {
            self.cache.put(token, verified, keys);
        }
        Ok(identity)
    }
}

impl Source {
    fn keys(&self) -> Option<Arc<Keys>> {
        match self {
            Self::File(keys) => Some(keys.clone()),
            Self::Issuer(issuer) => issuer.keys(),
        }
    }

    async fn newer(&self, than: &Arc<Keys>) -> Option<Arc<Keys>> {
        match self {
            Self::File(_) => None,
            Self::Issuer(issuer) => issuer.newer(than, Instant::now()).await,
        }
    }
}

#[async_trait]
impl Way for Jwt {
    async fn ask(&self, request: &mut Request<'_>) -> Said {
        match self.carrier.find(request) {
            Found::Nothing => Said::Nothing,
            Found::Odd(reason) => Said::Bad { cause: "auth_malformed", reason: reason.into() },
            Found::Token(token) => self.judge(token, request.rehearsal).await,
        }
    }

    fn challenge(&self, said: &Said) -> Option<HeaderValue> {
        let [missing, bad] = &self.challenges;
        Some(if matches!(said, Said::Bad { .. }) { bad } else { missing }.clone())
    }

    fn hide(&self, request: &mut Request<'_>) -> Result<()> {
        if self.hide { self.carrier.remove(request) } else { Ok(()) }
    }

    async fn run(&self) {
        if let Source::Issuer(issuer) = &self.source {
            issuer.run().await;
        }
    }

    async fn ready(&self) {
        if let Source::Issuer(issuer) = &self.source {
            issuer.ready().await;
        }
    }
}
