//! `api_key`: by a key that was handed out, in a header or in the query.
//!
//! ```yaml
//! api_key:
//!   header: x-api-key                    # the default; or query: key
//!   keys:
//!     partner: 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b   # SHA-256 of the key, in hex
//!     office: {credential: office-key}   # the key itself, or `sha256:` and its hash
//!   hide: true
//! ```
//!
//! The key's name is the identity's subject. Neither the file nor the process needs the key: `printf %s KEY | sha256sum` makes
//! what to write. A key is found by its hash, which tells who measures the time nothing of the keys that there are. So short a
//! key as could be guessed is refused where the key itself is read: 16 bytes are the least.
//!
//! With `hide` the upstream does not see the key; one in the query is not in the log either, good or not. It is the default
//! for `query`. A request with two keys is refused.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Said, Way, confess_kept};
use crate::config::{Name, Resolved, SecretText};
use crate::filter::{Env, Identity, Problems, Request, Result, async_trait, editable};

/// Keys that were handed out.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// The header that has the key; `x-api-key` if neither this nor `query` is given.
    header: Option<String>,
    /// The parameter of the query that has the key.
    query: Option<String>,
    /// By name: the SHA-256 of the key in hexadecimal digits, or where to read the key.
    keys: BTreeMap<Name, SecretText>,
    /// Whether the upstream does not see the key; by default only of a query.
    hide: Option<bool>,
}

type Hash = [u8; SHA256_OUTPUT_LEN];

struct ApiKey {
    place: Place,
    keys: HashMap<Hash, Arc<Identity>>,
    hide: bool,
    challenge: Option<HeaderValue>,
}

enum Place {
    Header(HeaderName),
    Query(String),
}

/// What stands in the key's place.
#[derive(Debug, PartialEq)]
enum Found<'a> {
    Nothing,
    Key(Cow<'a, [u8]>),
    Several,
}

/// The shortest key that is read, in bytes.
const SHORTEST: usize = 16;

/// The way of this part of the file.
pub(super) fn way(config: Config, env: &Env<'_>) -> std::result::Result<Box<dyn Way>, Problems> {
    let mut problems = Problems::default();
    let place = match (config.header, config.query) {
        (Some(_), Some(_)) => {
            problems.add(&["query"], "a key stands in a header or in the query; keep either");
            None
        }
        (None, Some(name)) if name.is_empty() => {
            problems.add(&["query"], "a parameter has a name, such as `key`");
            None
        }
        (None, Some(name)) => Some(Place::Query(name)),
        (header, None) => match editable(header.as_deref().unwrap_or("x-api-key")) {
            Ok(name) => Some(Place::Header(name)),
            Err(why) => {
                problems.add(&["header"], why);
                None
            }
        },
    };
    let keys = keys(&config.keys, &mut problems);
    let place = problems.or(place)?.ok_or("no place for the key is named")?;
    let hide = config.hide.unwrap_or(matches!(place, Place::Query(_)));
    confess_kept("api_key", "the client's key", config.hide.or(hide.then_some(true)), env);
    let identity = |name: Name| Arc::new(Identity::new(name.as_str(), "api_key"));
    let keys = keys.into_iter().map(|(hash, name)| (hash, identity(name))).collect();
    Ok(Box::new(ApiKey { challenge: place.challenge(), place, keys, hide }))
}

fn keys(settings: &BTreeMap<Name, SecretText>, problems: &mut Problems) -> HashMap<Hash, Name> {
    let mut keys: HashMap<Hash, Name> = HashMap::new();
    for (name, secret) in settings {
        match hash_of(secret) {
            Err(why) => problems.add(&["keys", name.as_str()], why),
            Ok(hash) => {
                if let Some(other) = keys.insert(hash, name.clone()) {
                    problems.add(&["keys", name.as_str()], format!("`{other}` has the same key"));
                }
            }
        }
    }
    if settings.is_empty() {
        problems.add(&["keys"], "without a key nobody comes in; name one, e.g. `keys: {partner: {file: partner.key}}`");
    }
    keys
}

fn hash_of(secret: &SecretText) -> std::result::Result<Hash, String> {
    let make = "`printf %s KEY | sha256sum` makes it";
    match secret.resolve()? {
        Resolved::Literal(text) => {
            let digits = text.strip_prefix("sha256:").unwrap_or(&text);
            from_hex(digits).ok_or_else(|| {
                format!(
                    "expected the key's SHA-256 as 64 hexadecimal digits ({make}), or `{{file: …}}` with the key itself"
                )
            })
        }
        Resolved::Secret(text) => match text.strip_prefix("sha256:") {
            Some(digits) => from_hex(digits).ok_or_else(|| format!("`sha256:` needs 64 hexadecimal digits; {make}")),
            None if text.len() < SHORTEST => {
                Err(format!("the key has {} bytes, and could be guessed; {SHORTEST} are the least", text.len()))
            }
            None => Ok(hash(text.as_bytes())),
        },
    }
}

fn hash(key: &[u8]) -> Hash {
    let mut hash = [0; SHA256_OUTPUT_LEN];
    hash.copy_from_slice(digest(&SHA256, key).as_ref());
    hash
}

fn from_hex(digits: &str) -> Option<Hash> {
    let mut hash = [0; SHA256_OUTPUT_LEN];
    if digits.len() != 2 * hash.len() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

impl Place {
    fn find<'a>(&self, request: &Request<'a>) -> Found<'a> {
        let mut found = Found::Nothing;
        let mut take = |key: Cow<'a, [u8]>| {
            found = if found == Found::Nothing { Found::Key(key) } else { Found::Several };
        };
        match self {
            Self::Header(name) => request.head.headers.all(name, &mut |value| take(value.trim_ascii().into())),
            Self::Query(name) => {
                for pair in request.head.query.into_iter().flat_map(|query| query.split('&')) {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    if is_named(key, name) {
                        take(decoded(value).into());
                    }
                }
            }
        }
        found
    }

    /// RFC 9110 wants a challenge in every 401 (15.5.2), and no scheme is registered for keys.
    fn challenge(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::Header(name) => format!("ApiKey in=\"header\", name=\"{name}\""),
            Self::Query(name) => format!("ApiKey in=\"query\", name=\"{}\"", name.replace(['"', '\\'], "")),
        };
        HeaderValue::from_str(&text).ok()
    }

    fn hide(&self, request: &mut Request<'_>) -> Result<()> {
        match self {
            Self::Header(name) => request.edits.remove(name.clone())?,
            Self::Query(name) => {
                let query = request.query().unwrap_or_default();
                let is_key = |pair: &&str| is_named(pair.split_once('=').map_or(*pair, |(key, _)| key), name);
                if query.split('&').any(|pair| is_key(&pair)) {
                    let kept: Vec<&str> = query.split('&').filter(|pair| !is_key(pair)).collect();
                    let kept = kept.join("&");
                    request.set_query(kept);
                }
            }
        }
        Ok(())
    }
}

fn is_named(text: &str, name: &str) -> bool {
    text == name || (text.contains(['%', '+']) && *decoded(text) == *name.as_bytes())
}

/// As forms are encoded (WHATWG URL, 5.1).
fn decoded(text: &str) -> Vec<u8> {
    percent_decode_str(&text.replace('+', " ")).collect()
}

#[async_trait]
impl Way for ApiKey {
    async fn ask(&self, request: &mut Request<'_>) -> Said {
        let found = self.place.find(request);
        if self.hide && found != Found::Nothing && self.place.hide(request).is_err() {
            return Said::Unable { cause: "auth_failed", reason: "the key could not be hidden".into() };
        }
        match found {
            Found::Nothing => Said::Nothing,
            Found::Several => Said::Bad { cause: "auth_bad_key", reason: "there are several keys".into() },
            Found::Key(key) => match self.keys.get(&hash(&key)) {
                Some(identity) => Said::Known(identity.clone()),
                None => Said::Bad { cause: "auth_bad_key", reason: "there is no such key".into() },
            },
        }
    }

    fn challenge(&self, _: &Said) -> Option<HeaderValue> {
        self.challenge.clone()
    }

    fn hide(&self, request: &mut Request<'_>) -> Result<()> {
        if self.hide { self.place.hide(request) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_hash_or_where_to_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = |content: &str| {
            let path = folder.path().join("key");
            std::fs::write(&path, content).unwrap();
            hash_of(&SecretText::File(path))
        };
        let literal = |text: &str| hash_of(&SecretText::Literal(text.into()));
        let hex = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7"; // of `hunter2`
        assert_eq!(literal(hex), Ok(hash(b"hunter2")));
        assert_eq!(literal(&hex.to_uppercase()), Ok(hash(b"hunter2")));
        assert_eq!(file(&format!("sha256:{hex}\n")), Ok(hash(b"hunter2")));
        assert_eq!(file("0123456789abcdef\n"), Ok(hash(b"0123456789abcdef")));
        assert!(file("hunter2").unwrap_err().contains("could be guessed"));
        assert!(file("sha256:12").unwrap_err().contains("64 hexadecimal digits"));
        for text in ["hunter2", "", &hex[1..], &format!("+{}", &hex[1..])] {
            assert!(literal(text).unwrap_err().contains("sha256sum"), "{text}");
        }
    }

    #[test]
    fn a_parameter_is_found_however_it_is_encoded() {
        assert!(is_named("api%5Fkey", "api_key") && is_named("a+b", "a b") && is_named("key", "key"));
        assert!(!is_named("keys", "key") && !is_named("", "key"));
        assert_eq!(decoded("a%2Bb+c%"), b"a+b c%");
    }
}
