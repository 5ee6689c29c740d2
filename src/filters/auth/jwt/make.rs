//! From what the file says to what is asked.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::algorithm::Algorithm;
use super::cache::Cache;
use super::carrier::Carrier;
use super::claims::Rules;
use super::config::{Config, Jwks, OneKey};
use super::issuer::{Issuer, State};
use super::key::Key;
use super::keys::Keys;
use super::{Jwt, Source};
use crate::config::{FilePath, OneOrMany, Resolved, SecretText, Tls};
use crate::filter::{Concern, Env, Problems, editable};
use crate::filters::auth::{Way, confess_kept};

/// The way of this part of the file.
///
/// # Errors
/// All that is wrong with it.
pub(in super::super) fn way(config: Config, env: &Env<'_>) -> Result<Box<dyn Way>, Problems> {
    let mut problems = Problems::default();
    confess(&config, env);
    let carrier = carrier(&config, &mut problems);
    let challenges = challenges(&config.realm, &mut problems);
    let rules = Rules {
        issuers: unless_off(&config.issuer),
        audiences: unless_off(&config.audience),
        leeway: config.leeway.after().unwrap_or(Duration::ZERO),
        subject: config.subject,
    };
    let source = source(config.jwks, config.key, config.algorithms, env, &mut problems);
    match (carrier, challenges, source) {
        (Some(carrier), Some(challenges), Some(source)) => {
            let cache = Cache::new(config.cache.0 as usize);
            problems.or(Box::new(Jwt {
                carrier,
                source,
                rules,
                cache,
                hide: config.hide.unwrap_or_default(),
                challenges,
            }))
        }
        _ => Err(problems),
    }
}

/// A set of keys signs for all that the issuer issues for; a single key may be for this door alone.
fn confess(config: &Config, env: &Env<'_>) {
    confess_kept("jwt", "the client's token", config.hide, env);
    if unless_off(&config.audience).is_none() && config.jwks.is_some() {
        let reason = "a token that the issuer made for any other service is good here, too";
        let remedy = "name whom tokens are for in `audience`";
        env.concern(Concern::new("jwt_for_any_audience", reason, remedy).at(&["jwt", "audience"]));
    }
    if let Some(leeway) = config.leeway.after().filter(|leeway| *leeway > MOST_LEEWAY) {
        let reason = format!("a token is good for {leeway:?} after its end");
        let remedy = "have clocks agree, and write a minute or less";
        env.concern(Concern::new("jwt_long_leeway", reason, remedy).at(&["jwt", "leeway"]));
    }
    if let Some(OneKey { secret: Some(SecretText::Literal(_)), .. }) = &config.key {
        let reason = "whoever reads the file can make tokens for anybody";
        env.concern(Concern::secret(reason).at(&["jwt", "key", "secret"]));
    }
}

/// Clocks that are kept by anything differ by seconds.
const MOST_LEEWAY: Duration = Duration::from_secs(5 * 60);

fn unless_off(texts: &OneOrMany<String>) -> Option<Vec<String>> {
    match &texts[..] {
        [off] if off == "off" => None,
        texts => Some(texts.to_vec()),
    }
}

fn carrier(config: &Config, problems: &mut Problems) -> Option<Carrier> {
    match (&config.header, &config.cookie) {
        (None, None) => Some(Carrier::Authorization),
        (Some(header), None) => match editable(header) {
            Ok(http::header::AUTHORIZATION) => Some(Carrier::Authorization),
            Ok(name) => Some(Carrier::Header(name)),
            Err(why) => {
                problems.add(&["header"], why);
                None
            }
        },
        // A cookie's name is a token, as a header's is (RFC 6265, 4.1.1).
        (None, Some(cookie)) if HeaderName::from_bytes(cookie.as_bytes()).is_ok() => {
            Some(Carrier::Cookie(cookie.clone()))
        }
        (None, Some(cookie)) => {
            problems.add(&["cookie"], format!("`{cookie}` is no cookie's name, such as `session`"));
            None
        }
        (Some(_), Some(_)) => {
            problems.add(&["cookie"], "the token is in a `header` or in a `cookie`; keep one of the two");
            None
        }
    }
}

fn challenges(realm: &str, problems: &mut Problems) -> Option<[HeaderValue; 2]> {
    let fits = !realm.is_empty() && realm.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\');
    let missing = HeaderValue::from_str(&format!("Bearer realm=\"{realm}\"")).ok().filter(|_| fits);
    let bad = HeaderValue::from_str(&format!("Bearer realm=\"{realm}\", error=\"invalid_token\"")).ok();
    if missing.is_none() {
        problems.add(&["realm"], "is made of ASCII letters, digits and signs, without quotes and backslashes");
    }
    Some([missing?, bad?])
}

fn source(
    jwks: Option<Jwks>,
    key: Option<OneKey>,
    algorithms: Vec<Algorithm>,
    env: &Env<'_>,
    problems: &mut Problems,
) -> Option<Source> {
    let symmetric = algorithms.iter().find(|algorithm| algorithm.is_symmetric());
    let has_secret = key.as_ref().is_some_and(|key| key.secret.is_some());
    if let Some(algorithm) = symmetric.filter(|_| !has_secret) {
        problems
            .add(&["algorithms"], format!("{algorithm} needs a secret that the issuer has, too: `key: {{secret: …}}`"));
        return None;
    }
    let made = match (jwks, key) {
        (Some(Jwks::File(path)), None) => keys_of_file(&path, &algorithms).map_err(|why| (&["jwks", "file"][..], why)),
        (Some(Jwks::Url(url, ca)), None) => {
            if !url.is_private() {
                let why = "keys over plain HTTP could be anybody's; use https, or `{file: PATH}`";
                problems.add(&["jwks"], why);
                return None;
            }
            let name = format!("keys {url} {ca:?} {algorithms:?}");
            let tls = Tls { ca, ..Tls::default() };
            match Issuer::new(url, tls, algorithms, env.state(&name, State::default)) {
                Ok(issuer) => Ok(Source::Issuer(Box::new(issuer))),
                Err(remarks) => {
                    for remark in remarks {
                        problems.add(&[&["jwks"], remark.at].concat(), remark.message);
                    }
                    return None;
                }
            }
        }
        (None, Some(OneKey { pem: Some(path), secret: None })) => {
            key_of_pem(&path, &algorithms).map_err(|why| (&["key", "pem"][..], why))
        }
        (None, Some(OneKey { pem: None, secret: Some(secret) })) => {
            let key = secret.resolve().and_then(|(Resolved::Literal(text) | Resolved::Secret(text))| {
                Key::of_secret(text.as_bytes(), &algorithms)
            });
            key.map(fixed).map_err(|why| (&["key", "secret"][..], why))
        }
        (None, Some(_)) => Err((&["key"][..], "name either `pem` or `secret`".into())),
        (None, None) => Err((
            &[][..],
            "say where the issuer's keys are: `jwks: https://…`, `jwks: {file: …}` or `key: {pem: …}`".into(),
        )),
        (Some(_), Some(_)) => Err((&["key"][..], "there is `jwks` already; keep one of the two".into())),
    };
    made.map_err(|(path, why)| problems.add(path, why)).ok()
}

fn fixed(key: Key) -> Source {
    Source::File(Arc::new(Keys::one(key)))
}

fn keys_of_file(path: &FilePath, algorithms: &[Algorithm]) -> Result<Source, String> {
    let (keys, left_out) = Keys::parse(&read(path)?, algorithms).map_err(|why| format!("the file {path} {why}"))?;
    left_out.iter().for_each(|why| log::warn!("left out of the keys in {path}: {why}"));
    Ok(Source::File(Arc::new(keys)))
}

fn key_of_pem(path: &FilePath, algorithms: &[Algorithm]) -> Result<Source, String> {
    Key::of_pem(&read(path)?, algorithms).map(fixed).map_err(|why| format!("the file {path}: {why}"))
}

/// A file of 1 MiB at most.
fn read(path: &FilePath) -> Result<Vec<u8>, String> {
    const MOST: u64 = 1 << 20;
    let cannot = |why: &dyn std::fmt::Display| format!("cannot read {path}: {why}");
    let file = std::fs::File::open(AsRef::<Path>::as_ref(path)).map_err(|error| cannot(&error))?;
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    if bytes.len() as u64 > MOST { Err(cannot(&"it is larger than 1 MiB")) } else { Ok(bytes) }
}
