//! Sets of keys (RFC 7517, 5).

use jose_jwk::Jwk;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::key::Key;

/// Keys that count at one time.
#[derive(Clone, PartialEq)]
pub(super) struct Keys(Vec<Key>);

/// Why there is no key for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Miss {
    /// No key has the name that it gives, or none can be told without a name.
    Unknown,
    /// The key is not for what it is signed with.
    Algorithm,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl Keys {
    /// One key.
    pub(super) fn one(key: Key) -> Self {
        Self(vec![key])
    }

    /// What a document says (`application/jwk-set+json`), and why some of its keys are left out. Keys that share a name
    /// are left out all: nobody can say which is meant.
    ///
    /// # Errors
    /// If it is no such document, or has no key that can be used.
    pub(super) fn parse(document: &[u8], allowed: &[Algorithm]) -> Result<(Self, Vec<String>), String> {
        let set: Set = serde_json::from_slice(document).map_err(|error| format!("is no set of keys ({error})"))?;
        let mut left_out = Vec::new();
        let mut keys: Vec<Key> = Vec::new();
        for (index, key) in set.keys.iter().enumerate() {
            let named = || match key.get("kid").and_then(Value::as_str) {
                Some(kid) => format!("`{}`", shown(kid)),
                None => format!("number {}", index + 1),
            };
            match read(key).and_then(|jwk| Key::of_set(&jwk, allowed)) {
                Ok(key) => keys.push(key),
                Err(why) => left_out.push(format!("key {}: {why}", named())),
            }
        }
        let names: Vec<&str> = set.keys.iter().filter_map(|key| key.get("kid").and_then(Value::as_str)).collect();
        keys.retain(|key| {
            let name = key.id.as_deref();
            let is_alone = name.is_none_or(|name| names.iter().filter(|other| **other == name).count() == 1);
            if !is_alone {
                left_out.push(format!("key `{}`: its name is there twice", shown(name.unwrap_or_default())));
            }
            is_alone
        });
        match keys.is_empty() {
            false => Ok((Self(keys), left_out)),
            true if left_out.is_empty() => Err("has no keys".into()),
            true => Err(format!("has no key that can be used: {}", left_out.join("; "))),
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The key for a token that names this one, or none.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&Key, Miss> {
        let key = match (id, self.0.as_slice()) {
            // A key without a name is the only one that there is, whatever name the issuer has for it.
            (_, [only]) if only.id.is_none() || id.is_none() => only,
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)).ok_or(Miss::Unknown)?,
            (None, keys) => {
                let mut fit = keys.iter().filter(|key| key.is_for(algorithm));
                match (fit.next(), fit.next()) {
                    (Some(key), None) => key,
                    _ => return Err(Miss::Unknown),
                }
            }
        };
        if key.is_for(algorithm) { Ok(key) } else { Err(Miss::Algorithm) }
    }
}

fn read(key: &Value) -> Result<Jwk, String> {
    let Value::Object(key) = key else { return Err("is no object".into()) };
    if key.contains_key("d") {
        return Err("it has private parts, so whoever reads it can sign tokens".into());
    }
    // Certificates and their prints count for nothing here, and some issuers write them in ways of their own.
    let key: Map<String, Value> = key
        .iter()
        .filter(|(name, _)| !name.starts_with("x5"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Jwk::deserialize(Value::Object(key)).map_err(|error| format!("cannot be read ({error})"))
}

/// A name that others have given, for the log.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EC: &str = r#""kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM""#;

    fn parse(keys: &str) -> Result<(Keys, Vec<String>), String> {
        Keys::parse(format!("{{\"keys\":[{keys}]}}").as_bytes(), &[])
    }

    #[test]
    fn keys_that_cannot_be_used_are_left_out_and_told_of() {
        let odd = [
            format!("{{{EC},\"kid\":\"enc\",\"use\":\"enc\"}}"),
            format!("{{{EC},\"kid\":\"ops\",\"key_ops\":[\"sign\"]}}"),
            format!("{{{EC},\"kid\":\"private\",\"d\":\"AAAA\"}}"),
            format!("{{{EC},\"kid\":\"alg\",\"alg\":\"RS256\"}}"),
            "{\"kty\":\"oct\",\"k\":\"AAAA\",\"kid\":\"secret\"}".to_owned(),
            "{\"kty\":\"new\",\"kid\":\"kty\"}".to_owned(),
            "5".to_owned(),
        ];
        let (keys, left_out) = parse(&format!("{},{{{EC},\"kid\":\"good\"}}", odd.join(","))).unwrap();
        assert_eq!((keys.count(), left_out.len()), (1, odd.len()), "{left_out:?}");
        assert!(parse(&odd.join(",")).err().unwrap().contains("no key that can be used"));
        assert!(parse("").err().unwrap().contains("has no keys"));
        assert!(Keys::parse(b"<html>", &[]).err().unwrap().contains("no set of keys"));
    }

    #[test]
    fn keys_that_share_a_name_are_left_out_all() {
        let (keys, left_out) =
            parse(&format!("{{{EC},\"kid\":\"a\"}},{{{EC},\"kid\":\"a\"}},{{{EC},\"kid\":\"b\"}}")).unwrap();
        assert_eq!((keys.count(), left_out.len()), (1, 2));
        assert_eq!(keys.find(Some("a"), Algorithm::Es256).err(), Some(Miss::Unknown));
        assert!(keys.find(Some("b"), Algorithm::Es256).is_ok());
    }

    #[test]
    fn a_name_decides_and_without_one_there_must_be_no_doubt() {
        let (two, _) = parse(&format!("{{{EC},\"kid\":\"a\"}},{{{EC},\"kid\":\"b\"}}")).unwrap();
        let (one, _) = parse(&format!("{{{EC},\"kid\":\"a\"}}")).unwrap();
        let (nameless, _) = parse(&format!("{{{EC}}}")).unwrap();
        let found = |keys: &Keys, id, algorithm| keys.find(id, algorithm).map(|_| ());
        assert_eq!(found(&two, Some("a"), Algorithm::Es256), Ok(()));
        assert_eq!(found(&two, None, Algorithm::Es256), Err(Miss::Unknown));
        assert_eq!(found(&one, None, Algorithm::Es256), Ok(()));
        assert_eq!(found(&one, Some("b"), Algorithm::Es256), Err(Miss::Unknown));
        assert_eq!(found(&one, Some("a"), Algorithm::Hs256), Err(Miss::Algorithm));
        assert_eq!(found(&nameless, Some("any"), Algorithm::Es256), Ok(()));
    }
}
