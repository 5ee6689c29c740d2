//! `basic`: by a name and a password (RFC 7617).
//!
//! ```yaml
//! basic:
//!   users:
//!     alice: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$CrPHr2eRWmBPCxhEeA1rGkUBYSMJ9X2A1Ui5VRbtEO4"
//!     bob: {file: bob.hash}                # "$2b$12$…" or "$2y$…", as `htpasswd -nbB` makes it
//!   realm: shop                            # shown by browsers; default: onedoor
//!   hide: true
//! ```
//!
//! Passwords are kept as hashes that take long to compute, on purpose. That work is done beside the requests, as much at
//! once as half of the machine's cores can do; when too many wait for it, the next ones get a 503. A pair that was good is
//! remembered for five minutes, as a keyed hash and at most a thousand of them, so that a client's next requests cost next
//! to nothing. A name that is not known takes as long to refuse as a wrong password. Guessing is for `rate_limit` to stop,
//! which runs before.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, Instant};

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bcrypt::HashParts;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use parking_lot::Mutex;
use ring::hmac;
use ring::rand::SystemRandom;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::{Said, Way, confess_kept};
use crate::config::{Resolved, SecretText};
use crate::filter::{Concern, Env, Identity, Problems, Request, Result, Stage, async_trait};

/// Users and the hashes of their passwords.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// By name: `$argon2id$…` or `$2b$…`, or where to read that.
    users: BTreeMap<String, SecretText>,
    /// What browsers show when they ask for a password.
    realm: Option<String>,
    /// Whether the upstream does not see the password; by default it does.
    hide: Option<bool>,
}

struct Basic {
    users: BTreeMap<String, Arc<Stored>>,
    /// Stands in for a user that there is none of.
    nobody: Arc<Stored>,
    challenge: HeaderValue,
    hide: bool,
    verified: Mutex<Verified>,
    at_once: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// A password's hash.
enum Stored {
    Argon2(Box<PasswordHash>),
    Bcrypt(String),
}

/// How many may wait for their turn to be verified.
const MOST_WAITING: usize = 64;

/// Longer ones are no passwords, but work for the door.
const LONGEST: usize = 1024;

/// What one verification may cost: 256 MiB (in KiB) and ten passes, or 2¹⁵ rounds, about two seconds.
const MOST_MEMORY: u32 = 256 << 10;
const MOST_PASSES: u32 = 10;
const MOST_COST: u32 = 15;

/// The way of this part of the file.
pub(super) fn way(config: Config, env: &Env<'_>) -> std::result::Result<Box<dyn Way>, Problems> {
    let mut problems = Problems::default();
    confess_kept("basic", "the user's password", config.hide, env);
    let mut users = BTreeMap::new();
    for (name, secret) in config.users {
        match stored(&secret) {
            Ok(stored) => {
                stored.confess(&name, env);
                users.insert(name, Arc::new(stored));
            }
            Err(why) => problems.add(&["users", &name], why),
        }
    }
    if let Some(name) = users.keys().find(|name| name.is_empty() || name.contains(':')) {
        problems.add(&["users", name], "no client can send such a name: it ends at a colon (RFC 7617, 2)");
    }
    let guessed = Concern::new(
        "passwords_without_limit",
        "passwords may be guessed as fast as the door answers",
        "give these routes a `rate_limit` that is asked before, such as `{per: client_ip, rate: 10/s}`",
    );
    env.concern(guessed.at(&["basic"]).without(Stage::Rate));
    let realm = config.realm.as_deref().unwrap_or("onedoor");
    let challenge = format!("Basic realm=\"{realm}\", charset=\"UTF-8\"");
    let challenge = HeaderValue::from_str(&challenge).ok().filter(|_| !realm.contains(['"', '\\']));
    if challenge.is_none() {
        problems.add(&["realm"], "expected words without quotes and backslashes, such as `shop`");
    }
    let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
    if key.is_err() {
        problems.add(&[], "the system has no random numbers");
    }
    let (nobody, challenge, key) = match (users.values().next().cloned(), challenge, key) {
        (Some(nobody), Some(challenge), Ok(key)) => problems.or((nobody, challenge, key))?,
        _ => {
            if users.is_empty() {
                problems.add(&["users"], "without a user nobody comes in; name one, e.g. `users: {alice: \"$2b$…\"}`");
            }
            return Err(problems);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Ok(Box::new(Basic {
        users,
        nobody,
        challenge,
        hide: config.hide.unwrap_or_default(),
        verified: Mutex::new(Verified { key, known: HashMap::new() }),
        at_once: Arc::new(Semaphore::new(cores.div_ceil(2))),
        waiting: Arc::new(Semaphore::new(MOST_WAITING)),
    }))
}

fn stored(secret: &SecretText) -> std::result::Result<Stored, String> {
    let (Resolved::Literal(text) | Resolved::Secret(text)) = secret.resolve()?;
    let text = text.trim();
    if text.starts_with("$argon2") {
        let hash = PasswordHash::new(text).ok().filter(|hash| hash.hash.is_some() && hash.salt.is_some());
        let params = hash.as_ref().and_then(|hash| argon2::Params::try_from(hash).ok());
        let (Some(hash), Some(params)) = (hash, params) else {
            return Err("this is no Argon2 hash, such as `$argon2id$v=19$m=19456,t=2,p=1$…$…`".into());
        };
        if params.m_cost() > MOST_MEMORY || params.t_cost() > MOST_PASSES {
            return Err("this hash takes more than 256 MiB (m=262144) or ten passes (t=10) to verify".into());
        }
        return Ok(Stored::Argon2(Box::new(hash)));
    }
    let is_bcrypt = ["$2a$", "$2b$", "$2y$"].iter().any(|start| text.starts_with(start));
    match text.parse::<HashParts>().ok().filter(|_| is_bcrypt) {
        Some(parts) if parts.get_cost() > MOST_COST => {
            Err(format!("this hash has a cost of {}; {MOST_COST} is the most", parts.get_cost()))
        }
        Some(_) => Ok(Stored::Bcrypt(text.to_owned())),
        None => Err(
            "expected a password's hash by Argon2 (`$argon2id$…`) or bcrypt (`$2b$…`, `$2y$…`), never the password; \
                     `htpasswd -nbB alice` makes one"
                .into(),
        ),
    }
}

/// What OWASP's cheat sheet on storing passwords has as the least: of bcrypt 2¹⁰ rounds, of Argon2 about 35 MiB passed
/// over (7 MiB five times, or 19 MiB twice).
const LEAST_COST: u32 = 10;
const LEAST_WORK: u32 = 5 * 7168;

impl Stored {
    /// Says so if this is easily guessed by whoever reads the hash.
    fn confess(&self, name: &str, env: &Env<'_>) {
        let reason = match self {
            Self::Bcrypt(hash) => match hash.parse::<HashParts>().map(|parts| parts.get_cost()) {
                Ok(cost) if cost < LEAST_COST => {
                    format!("bcrypt of cost {cost} is tried through fast; {LEAST_COST} is the least")
                }
                _ => return,
            },
            Self::Argon2(hash) => match argon2::Params::try_from(&**hash) {
                Ok(params) if params.m_cost().saturating_mul(params.t_cost()) < LEAST_WORK => {
                    format!(
                        "Argon2 with m={},t={} is tried through fast; m=19456,t=2 is the least",
                        params.m_cost(),
                        params.t_cost()
                    )
                }
                _ => return,
            },
        };
        let reason = format!("who reads the hash may find the password: {reason}");
        let remedy = "make it anew, as by `htpasswd -nbB -C 12`";
        env.concern(Concern::new("weak_password_hash", reason, remedy).at(&["basic", "users", name]));
    }

    /// Takes long.
    fn is_of(&self, password: &[u8]) -> bool {
        match self {
            Self::Argon2(hash) => Argon2::default().verify_password(password, &**hash).is_ok(),
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
        }
    }
}

/// Name and password of an `Authorization` of this scheme.
fn credentials(value: &[u8]) -> Option<std::result::Result<(String, Vec<u8>), &'static str>> {
    let (scheme, rest) = value.split_at(value.iter().position(|&byte| byte == b' ').unwrap_or(value.len()));
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let pair = BASE64_STANDARD.decode(rest.trim_ascii()).map_err(|_| "it is no base64");
    Some(pair.and_then(|pair| {
        let colon = pair.iter().position(|&byte| byte == b':').ok_or("it has no colon")?;
        let name = std::str::from_utf8(&pair[..colon]).map_err(|_| "its name is no UTF-8")?;
        Ok((name.to_owned(), pair[colon + 1..].to_vec()))
    }))
}

/// Pairs that were good not long ago. It ends with the filter, and so with the hashes that they were good for.
struct Verified {
    key: hmac::Key,
    known: HashMap<[u8; 32], Instant>,
}

/// How long a pair is remembered, and how many are.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);
const MOST_REMEMBERED: usize = 1024;

impl Verified {
    fn tag(&self, name: &str, password: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(name.len() as u64).to_le_bytes());
        context.update(name.as_bytes());
        context.update(password);
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    fn knows(&self, tag: &[u8; 32], now: Instant) -> bool {
        self.known.get(tag).is_some_and(|&since| now.saturating_duration_since(since) < REMEMBERED)
    }

    fn remember(&mut self, tag: [u8; 32], now: Instant) {
        if self.known.len() >= MOST_REMEMBERED {
            self.known.retain(|_, since| now.saturating_duration_since(*since) < REMEMBERED);
        }
        if self.known.len() >= MOST_REMEMBERED
            && let Some(oldest) = self.known.iter().min_by_key(|(_, since)| **since).map(|(tag, _)| *tag)
        {
            self.known.remove(&oldest);
        }
        self.known.insert(tag, now);
    }
}

impl Basic {
    /// Whether the pair is good; an error if that can't be found out now.
    async fn verify(&self, name: &str, password: Vec<u8>) -> std::result::Result<bool, &'static str> {
        let tag = {
            let verified = self.verified.lock();
            let tag = verified.tag(name, &password);
            if verified.knows(&tag, Instant::now()) {
                return Ok(true);
            }
            tag
        };
        let turn = self.waiting.clone().try_acquire_owned().map_err(|_| "too many wait for their password's turn")?;
        let work = self.at_once.clone().acquire_owned().await.map_err(|_| "passwords are not verified any more")?;
        drop(turn);
        let user = self.users.get(name).cloned();
        let (stored, is_known) = (user.clone().unwrap_or_else(|| self.nobody.clone()), user.is_some());
        let verifying = tokio::task::spawn_blocking(move || {
            // Held by the work and not by the request, which may go away before it is done.
            let _work = work;
            stored.is_of(&password)
        });
        let is_good = verifying.await.map_err(|_| "the verification failed")? && is_known;
        if is_good {
            self.verified.lock().remember(tag, Instant::now());
        }
        Ok(is_good)
    }
}

#[async_trait]
impl Way for Basic {
    async fn ask(&self, request: &mut Request<'_>) -> Said {
        let bad = |reason: &str| Said::Bad { cause: "auth_bad_password", reason: reason.to_owned() };
        let (name, password) = match request.header(&AUTHORIZATION).and_then(credentials) {
            None => return Said::Nothing,
            Some(Err(why)) => return bad(why),
            Some(Ok((_, password))) if password.len() > LONGEST => return bad("the password is too long"),
            Some(Ok(pair)) => pair,
        };
        match self.verify(&name, password).await {
            Ok(true) => Said::Known(Arc::new(Identity::new(name, "basic"))),
            Ok(false) => bad(&format!("no such user as `{name}`, or another password")),
            Err(why) => Said::Unable { cause: "auth_busy", reason: why.into() },
        }
    }

    fn challenge(&self, _: &Said) -> Option<HeaderValue> {
        Some(self.challenge.clone())
    }

    fn hide(&self, request: &mut Request<'_>) -> Result<()> {
        if self.hide && request.header(&AUTHORIZATION).and_then(credentials).is_some() {
            request.edits.remove(AUTHORIZATION)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;
    use http::{Extensions, HeaderMap, Method};

    use super::*;
    use crate::filter::{Client, Edits, Subject};
    use crate::head::{Head, Path};

    fn verified() -> Verified {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"test");
        Verified { key, known: HashMap::new() }
    }

    #[test]
    fn credentials_are_a_name_and_a_password_in_base64() {
        let read = |text: &str| credentials(text.as_bytes());
        assert_eq!(read("Basic YWxpY2U6YTpi"), Some(Ok(("alice".into(), b"a:b".to_vec()))));
        assert_eq!(read("bASIC  YWxpY2U6"), Some(Ok(("alice".into(), Vec::new()))));
        assert_eq!(read("Bearer YWxpY2U6YTpi"), None);
        assert_eq!(read("Basics YWxpY2U6YTpi"), None);
        assert_eq!(read("Basic"), Some(Err("it has no colon")));
        assert!(read("Basic !!!").unwrap().is_err() && read("Basic YWxpY2U=").unwrap().is_err());
    }

    #[test]
    fn a_hash_is_argon2_or_bcrypt_and_not_too_dear() {
        let read = |text: &str| stored(&SecretText::Literal(text.into())).map(|_| ());
        let salted = "c2FsdHNhbHRzYWx0$CrPHr2eRWmBPCxhEeA1rGkUBYSMJ9X2A1Ui5VRbtEO4";
        read(&format!("$argon2id$v=19$m=19456,t=2,p=1${salted}")).unwrap();
        assert!(read(&format!("$argon2id$v=19$m=999999,t=2,p=1${salted}")).unwrap_err().contains("256 MiB"));
        assert!(read("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0").is_err());
        let bcrypt = bcrypt::hash("x", 4).unwrap();
        read(&bcrypt).unwrap();
        read(&bcrypt.replace("$2b$", "$2y$")).unwrap();
        assert!(read(&bcrypt.replace("$04$", "$16$")).unwrap_err().contains("15 is the most"));
        for text in ["hunter2", "", "$apr1$x$y", "$2b$04$short", "$argon2id$"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_good_pair_is_remembered_for_a_while_and_no_other() {
        let (mut verified, now) = (verified(), Instant::now());
        let tag = verified.tag("alice", b"secret");
        verified.remember(tag, now);
        assert!(verified.knows(&tag, now + REMEMBERED - Duration::from_secs(1)));
        assert!(!verified.knows(&tag, now + REMEMBERED));
        for (name, password) in [("alice", "secret2"), ("alic", "esecret"), ("bob", "secret")] {
            assert!(!verified.knows(&verified.tag(name, password.as_bytes()), now), "{name} {password}");
        }
    }

    /// One user, `alice` with `secret`; nothing is verified, and one may wait.
    fn busy() -> Basic {
        let stored = Arc::new(Stored::Bcrypt(bcrypt::hash("secret", 4).unwrap()));
        Basic {
            users: BTreeMap::from([("alice".to_owned(), stored.clone())]),
            nobody: stored,
            challenge: HeaderValue::from_static("Basic"),
            hide: false,
            verified: Mutex::new(verified()),
            at_once: Arc::new(Semaphore::new(0)),
            waiting: Arc::new(Semaphore::new(1)),
        }
    }

    #[tokio::test]
    async fn who_finds_the_queue_full_is_told_at_once_and_who_waits_gets_a_turn() {
        let basic = busy();
        let mut first = pin!(basic.verify("alice", b"secret".to_vec()));
        assert_eq!(first.as_mut().now_or_never(), None, "it waits for its turn");
        let second = basic.verify("alice", b"secret".to_vec()).now_or_never();
        assert_eq!(second, Some(Err("too many wait for their password's turn")));
        basic.at_once.add_permits(1);
        assert_eq!(first.await, Ok(true));
        assert_eq!(basic.verify("alice", b"other".to_vec()).await, Ok(false), "its turn was given back");
    }

    #[tokio::test]
    async fn who_was_good_not_long_ago_waits_for_nobody() {
        let basic = busy();
        let tag = basic.verified.lock().tag("alice", b"secret");
        basic.verified.lock().remember(tag, Instant::now());
        basic.waiting.close();
        assert_eq!(basic.verify("alice", b"secret".to_vec()).now_or_never(), Some(Ok(true)));
        assert_eq!(asked(&basic, "Basic YWxpY2U6b3RoZXI=").await, "auth_busy");
    }

    /// The cause of what is said of a request with this `Authorization`.
    async fn asked(basic: &Basic, authorization: &'static str) -> &'static str {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(authorization))]);
        let path = Path::parse("/").unwrap();
        let head = Head { method: &Method::GET, host: "a.test", path: &path, query: None, headers: &headers };
        let (client, mut identity, mut kept) = (Client::default(), None, Extensions::new());
        let subject = Subject {
            client: &client,
            certificate: None,
            request_id: "0",
            route: "a",
            identity: &mut identity,
            kept: &mut kept,
        };
        let (mut edits, mut bodies, mut query) = (Edits::default(), Vec::new(), None);
        let mut request = Request::new(head, subject, &|_| None, &mut edits, &mut bodies, &mut query);
        match basic.ask(&mut request).await {
            Said::Unable { cause, .. } | Said::Bad { cause, .. } => cause,
            Said::Known(_) | Said::Nothing | Said::Refused(_) => "none",
        }
    }

    #[test]
    fn the_oldest_makes_room() {
        let (mut verified, now) = (verified(), Instant::now());
        for index in 0..=MOST_REMEMBERED as u64 {
            let tag = verified.tag("alice", &index.to_le_bytes());
            verified.remember(tag, now + Duration::from_millis(index));
        }
        assert_eq!(verified.known.len(), MOST_REMEMBERED);
        let knows = |index: u64| verified.knows(&verified.tag("alice", &index.to_le_bytes()), now);
        assert!(!knows(0) && knows(1) && knows(MOST_REMEMBERED as u64));
    }
}
