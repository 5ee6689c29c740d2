//! `balance`: which endpoint gets the next request.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::super::decode::by_shape;
use super::super::problem::shortened;
use super::super::suggest::did_you_mean;

/// Which endpoint gets the next request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Balance {
    /// By turns, in proportion to the weights.
    #[default]
    RoundRobin,
    /// Of two that are drawn by weight, the one with fewer requests in flight for its weight.
    LeastRequests,
    /// Always the same for the same key, as long as it can be used.
    Hash(HashKey),
}

/// What of a request decides where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address.
    ClientIp,
    /// The first value of a header, as filters leave it.
    Header(HeaderName),
    /// A cookie that the client sends.
    Cookie(String),
    /// A wildcard of the route's path.
    Path(String),
}

const KEYS: &str = "`client_ip`, `{header: x-user}`, `{cookie: sid}`, `{path: id}`";

/// The shape of `{hash: …}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hashed {
    hash: HashKey,
}

/// The shape of a key's map. Exactly one of its keys is there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyMap {
    header: Option<String>,
    cookie: Option<String>,
    path: Option<String>,
}

impl FromStr for Balance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "round_robin" => Ok(Self::RoundRobin),
            "least_requests" => Ok(Self::LeastRequests),
            "hash" => Err(format!("`hash` needs to know of what; write `{{hash: client_ip}}`; allowed: {KEYS}")),
            _ => {
                let hint = did_you_mean(text, ["round_robin", "least_requests"]);
                let hint = hint.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
                Err(format!(
                    "unknown word `{}`; {hint}allowed: `round_robin`, `least_requests`, `{{hash: client_ip}}`",
                    shortened(text, 40)
                ))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Balance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = Balance;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`round_robin`, `least_requests` or a map such as `{hash: client_ip}`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Balance, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Balance, A::Error> {
                Hashed::deserialize(MapAccessDeserializer::new(map)).map(|hashed| Balance::Hash(hashed.hash))
            }
        }

        by_shape(deserializer, Shape)
    }
}

impl TryFrom<KeyMap> for HashKey {
    type Error = String;

    fn try_from(map: KeyMap) -> Result<Self, String> {
        match map {
            KeyMap { header: Some(name), cookie: None, path: None } => HeaderName::from_bytes(name.as_bytes())
                .map(Self::Header)
                .map_err(|_| format!("`{}` is no header's name, such as `x-user`", shortened(&name, 40))),
            KeyMap { header: None, cookie: Some(name), path: None } if is_cookie_name(&name) => Ok(Self::Cookie(name)),
            KeyMap { header: None, cookie: Some(name), path: None } => {
                Err(format!("`{}` is no cookie's name, such as `sid`", shortened(&name, 40)))
            }
            KeyMap { header: None, cookie: None, path: Some(name) } => {
                Ok(Self::Path(name.trim_matches(['{', '}']).to_owned()))
            }
            _ => Err(format!("expected exactly one of `header`, `cookie` and `path`; allowed: {KEYS}")),
        }
    }
}

/// A token (RFC 6265, 4.1.1).
pub(in super::super) fn is_cookie_name(name: &str) -> bool {
    let odd = |c: char| !c.is_ascii_graphic() || "()<>@,;:\\\"/[]?={}".contains(c);
    !name.is_empty() && !name.contains(odd)
}

impl<'de> Deserialize<'de> for HashKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = HashKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(KEYS)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<HashKey, E> {
                match text {
                    "client_ip" => Ok(HashKey::ClientIp),
                    _ => Err(E::custom(format!("unknown word `{}`; allowed: {KEYS}", shortened(text, 40)))),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HashKey, A::Error> {
                KeyMap::deserialize(MapAccessDeserializer::new(map))?.try_into().map_err(A::Error::custom)
            }
        }

        by_shape(deserializer, Shape)
    }
}

impl JsonSchema for Balance {
    fn schema_name() -> Cow<'static, str> {
        "Balance".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let only = |key: &str, value: Schema| {
            json_schema!({
                "type": "object", "properties": {key: value}, "required": [key], "additionalProperties": false,
            })
        };
        let text = || json_schema!({"type": "string"});
        let key = json_schema!({"anyOf": [
            {"const": "client_ip"}, only("header", text()), only("cookie", text()), only("path", text()),
        ]});
        json_schema!({"anyOf": [{"enum": ["round_robin", "least_requests"]}, only("hash", key)]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Balance, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn a_balance_is_a_word_or_a_hash_of_something() {
        assert_eq!(read("\"least_requests\""), Ok(Balance::LeastRequests));
        assert_eq!(read("{\"hash\": \"client_ip\"}"), Ok(Balance::Hash(HashKey::ClientIp)));
        let header = HashKey::Header(HeaderName::from_static("x-user"));
        assert_eq!(read("{\"hash\": {\"header\": \"X-User\"}}"), Ok(Balance::Hash(header)));
        assert_eq!(read("{\"hash\": {\"cookie\": \"sid\"}}"), Ok(Balance::Hash(HashKey::Cookie("sid".into()))));
        assert_eq!(read("{\"hash\": {\"path\": \"{id}\"}}"), Ok(Balance::Hash(HashKey::Path("id".into()))));
    }

    #[test]
    fn a_slip_is_told_with_what_is_allowed() {
        for (json, words) in [
            ("\"least_request\"", "did you mean `least_requests`?"),
            ("\"hash\"", "write `{hash: client_ip}`"),
            ("{\"hash\": \"ip\"}", "allowed: `client_ip`"),
            ("{\"hash\": {\"header\": \"a b\"}}", "is no header's name"),
            ("{\"hash\": {\"cookie\": \"a=b\"}}", "is no cookie's name"),
            ("{\"hash\": {\"cookie\": \"a\", \"path\": \"b\"}}", "exactly one of"),
            ("{\"hash\": {}}", "exactly one of"),
        ] {
            let why = read(json).unwrap_err();
            assert!(why.contains(words), "{json}: {why}");
        }
    }
}
