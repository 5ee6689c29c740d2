//! What the file says of `jwt`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::algorithm::Algorithm;
use crate::config::{Count, FilePath, Limit, OneOrMany, SecretText, ServiceUrl, by_shape};

/// Signed tokens.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Config {
    /// Who may have issued a token (`iss`), exactly as it writes itself; a list if there are several; `off` for anybody
    /// who has the key.
    pub(super) issuer: OneOrMany<String>,
    /// For whom a token may be (`aud`), any of them; `off` for anybody. Without it a token for another service would do.
    pub(super) audience: OneOrMany<String>,
    /// The issuer's keys (RFC 7517): a URL, `{file: PATH}`, or `{url: URL, ca: PATH}` for a CA of one's own.
    pub(super) jwks: Option<Jwks>,
    /// Or one key.
    pub(super) key: Option<OneKey>,
    /// The ways to sign that are allowed; by default what each key is for.
    #[serde(default)]
    pub(super) algorithms: Vec<Algorithm>,
    /// By how much the issuer's clock may differ; `off` for not at all.
    #[serde(default = "leeway")]
    pub(super) leeway: Limit,
    /// The header that is the token; by default `Authorization: Bearer TOKEN`.
    pub(super) header: Option<String>,
    /// Or the cookie that is the token.
    pub(super) cookie: Option<String>,
    /// The claim that says who asks.
    #[serde(default = "subject")]
    pub(super) subject: String,
    /// What the 401 calls what is asked for (`realm`).
    #[serde(default = "realm")]
    pub(super) realm: String,
    /// So many good tokens are remembered, so that their signatures are checked once.
    #[serde(default = "cache")]
    pub(super) cache: Count,
    /// Whether the token is removed before the request goes on; by default it is not.
    pub(super) hide: Option<bool>,
}

/// Where the issuer's keys are.
pub(super) enum Jwks {
    /// In a file.
    File(FilePath),
    /// There, with the CAs that may vouch for it.
    Url(ServiceUrl, Option<FilePath>),
}

/// One key: `{pem: PATH}` or `{secret: …}`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OneKey {
    /// A file with a public key (`-----BEGIN PUBLIC KEY-----`).
    pub(super) pem: Option<FilePath>,
    /// A secret that the issuer has, too.
    pub(super) secret: Option<SecretText>,
}

fn leeway() -> Limit {
    Limit::After(Duration::from_secs(30))
}

fn subject() -> String {
    "sub".into()
}

fn realm() -> String {
    "api".into()
}

fn cache() -> Count {
    Count(10_000)
}

/// `Jwks` as a map.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct JwksMap {
    /// A file with a set of keys.
    file: Option<FilePath>,
    /// Where the issuer publishes it.
    url: Option<ServiceUrl>,
    /// A PEM file of the CAs that may vouch for the URL's host, instead of the system's.
    ca: Option<FilePath>,
}

impl<'de> Deserialize<'de> for Jwks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = Jwks;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL, `{file: PATH}` or `{url: URL, ca: PATH}`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Jwks, E> {
                ServiceUrl::deserialize(StrDeserializer::new(text)).map(|url| Jwks::Url(url, None))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Jwks, A::Error> {
                match JwksMap::deserialize(MapAccessDeserializer::new(map))? {
                    JwksMap { file: Some(file), url: None, ca: None } => Ok(Jwks::File(file)),
                    JwksMap { file: None, url: Some(url), ca } => Ok(Jwks::Url(url, ca)),
                    _ => Err(A::Error::custom("name either `file` or `url`, and `ca` with a `url` only")),
                }
            }
        }

        by_shape(deserializer, Shape)
    }
}

impl JsonSchema for Jwks {
    fn schema_name() -> Cow<'static, str> {
        "Jwks".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [generator.subschema_for::<ServiceUrl>(), generator.subschema_for::<JwksMap>()]})
    }
}
