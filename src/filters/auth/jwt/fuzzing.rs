//! What a fuzzer does with tokens.

use std::time::{Duration, SystemTime};

use super::algorithm::Algorithm;
use super::claims::Rules;
use super::key::Key;
use super::keys::Keys;
use super::token::verified;

/// A token, a payload and a key set of these bytes: no token passes that nobody has signed, and what an identity says is
/// not over yet.
pub fn token(bytes: &[u8]) {
    let all = [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256];
    let secret = b"a secret that is known to nobody, not even the fuzzer";
    let key = Key::of_secret(secret, &[Algorithm::Hs256]).expect("a secret is a key");
    assert!(verified(bytes, &Keys::one(key)).is_err(), "a token that nobody has signed");
    let rules = Rules {
        issuers: Some(vec!["i".into()]),
        audiences: Some(vec!["a".into()]),
        leeway: Duration::from_secs(30),
        subject: "sub".into(),
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    if let Ok(verified) = rules.judge(bytes, now) {
        assert!(verified.until > now && !verified.identity.subject.is_empty());
    }
    if let Ok((keys, _)) = Keys::parse(bytes, &all) {
        keys.count();
    }
}
