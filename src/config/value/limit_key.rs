//! What a limit is counted by.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::super::decode::by_shape;
use super::super::problem::shortened;
use super::super::suggest::did_you_mean;
use super::super::upstream::is_cookie_name;

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitKey {
    /// Those of one client's network.
    ClientIp(Prefixes),
    /// Those of one identity.
    Identity,
    /// All of one route.
    Route,
    /// Those with one value of a header.
    Header(HeaderName),
    /// Those with one value of a cookie.
    Cookie(String),
}

/// How much of an address counts: a home or a server has a whole /64 of IPv6 to draw addresses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefixes {
    v4: u8,
    v6: u8,
}

impl Default for Prefixes {
    fn default() -> Self {
        Self { v4: 32, v6: 64 }
    }
}

impl Prefixes {
    /// The first address of the network that counts for one. IPv4 in IPv6 (`::ffff:192.0.2.1`) is IPv4.
    pub fn network_of(self, ip: IpAddr) -> IpAddr {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.v4)).unwrap_or(0);
                Ipv4Addr::from_bits(ip.to_bits() & mask).into()
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.v6)).unwrap_or(0);
                Ipv6Addr::from_bits(ip.to_bits() & mask).into()
            }
        }
    }
}

impl fmt::Display for LimitKey {
    /// As one word: `client_ip`, `header.x-key`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientIp(_) => f.write_str("client_ip"),
            Self::Identity => f.write_str("identity"),
            Self::Route => f.write_str("route"),
            Self::Header(name) => write!(f, "header.{name}"),
            Self::Cookie(name) => write!(f, "cookie.{name}"),
        }
    }
}

const KEYS: &str = "`client_ip`, `identity`, `route`, `{header: x-key}`, `{cookie: sid}`, `{client_ip: {v6: 128}}`";

/// The map's shape. Exactly one of its keys is there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyMap {
    header: Option<String>,
    cookie: Option<String>,
    client_ip: Option<PrefixMap>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrefixMap {
    v4: Option<Bits<32>>,
    v6: Option<Bits<128>>,
}

/// A prefix's length, 1 to `MOST`.
struct Bits<const MOST: u8>(u8);

impl<'de, const MOST: u8> Deserialize<'de> for Bits<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            bits if (1..=MOST).contains(&bits) => Ok(Self(bits)),
            bits => Err(D::Error::custom(format!("expected a prefix's length from 1 to {MOST}, found {bits}"))),
        }
    }
}

impl TryFrom<KeyMap> for LimitKey {
    type Error = String;

    fn try_from(map: KeyMap) -> Result<Self, String> {
        match map {
            KeyMap { header: Some(name), cookie: None, client_ip: None } => HeaderName::from_bytes(name.as_bytes())
                .map(Self::Header)
                .map_err(|_| format!("`{}` is no header's name, such as `x-key`", shortened(&name, 40))),
            KeyMap { header: None, cookie: Some(name), client_ip: None } if is_cookie_name(&name) => {
                Ok(Self::Cookie(name))
            }
            KeyMap { header: None, cookie: Some(name), client_ip: None } => {
                Err(format!("`{}` is no cookie's name, such as `sid`", shortened(&name, 40)))
            }
            KeyMap { header: None, cookie: None, client_ip: Some(PrefixMap { v4, v6 }) } => {
                let all = Prefixes::default();
                let prefixes = Prefixes { v4: v4.map_or(all.v4, |bits| bits.0), v6: v6.map_or(all.v6, |bits| bits.0) };
                Ok(Self::ClientIp(prefixes))
            }
            _ => Err(format!("expected exactly one of `header`, `cookie` and `client_ip`; allowed: {KEYS}")),
        }
    }
}

impl<'de> Deserialize<'de> for LimitKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = LimitKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(KEYS)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<LimitKey, E> {
                match text {
                    "client_ip" => Ok(LimitKey::ClientIp(Prefixes::default())),
                    "identity" => Ok(LimitKey::Identity),
                    "route" => Ok(LimitKey::Route),
                    _ => {
                        let hint = did_you_mean(text, ["client_ip", "identity", "route"]);
                        let hint = hint.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
                        Err(E::custom(format!("unknown word `{}`; {hint}allowed: {KEYS}", shortened(text, 40))))
                    }
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LimitKey, A::Error> {
                KeyMap::deserialize(MapAccessDeserializer::new(map))?.try_into().map_err(A::Error::custom)
            }
        }

        by_shape(deserializer, Shape)
    }
}

impl JsonSchema for LimitKey {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "LimitKey".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let only = |key: &str, value: Schema| {
            json_schema!({
                "type": "object", "properties": {key: value}, "required": [key], "additionalProperties": false,
            })
        };
        let text = || json_schema!({"type": "string"});
        let bits = |most: u8| json_schema!({"type": "integer", "minimum": 1, "maximum": most});
        let prefixes = json_schema!({
            "type": "object", "properties": {"v4": bits(32), "v6": bits(128)}, "additionalProperties": false,
        });
        json_schema!({"anyOf": [
            {"enum": ["client_ip", "identity", "route"]},
            only("header", text()), only("cookie", text()), only("client_ip", prefixes),
        ]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<LimitKey, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn a_key_is_a_word_or_a_map_of_one() {
        assert_eq!(read("\"identity\""), Ok(LimitKey::Identity));
        assert_eq!(read("{\"header\": \"X-Key\"}"), Ok(LimitKey::Header(HeaderName::from_static("x-key"))));
        assert_eq!(read("{\"cookie\": \"sid\"}"), Ok(LimitKey::Cookie("sid".into())));
        let whole = LimitKey::ClientIp(Prefixes { v4: 32, v6: 128 });
        assert_eq!(read("{\"client_ip\": {\"v6\": 128}}"), Ok(whole));
        for (json, words) in [
            ("\"client\"", "did you mean `client_ip`?"),
            ("{}", "exactly one of"),
            ("{\"header\": \"a b\"}", "is no header's name"),
            ("{\"header\": \"a\", \"cookie\": \"b\"}", "exactly one of"),
            ("{\"cookie\": \"a=b\"}", "is no cookie's name"),
            ("{\"client_ip\": {\"v6\": 0}}", "from 1 to 128"),
            ("{\"client_ip\": {\"v4\": 33}}", "from 1 to 32"),
        ] {
            let why = read(json).unwrap_err();
            assert!(why.contains(words), "{json}: {why}");
        }
    }

    #[test]
    fn an_address_counts_by_its_network() {
        let network = |ip: &str| Prefixes::default().network_of(ip.parse().unwrap()).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        let wide = Prefixes { v4: 24, v6: 48 };
        assert_eq!(wide.network_of("192.0.2.7".parse().unwrap()).to_string(), "192.0.2.0");
        assert_eq!(wide.network_of("2001:db8:1:2::1".parse().unwrap()).to_string(), "2001:db8:1::");
    }
}
