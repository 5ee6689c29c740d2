//! `routes` and `defaults`: which requests go where, and through which filters.

mod mirror;
mod retry;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::decode::{by_shape, is_bracketed};
use super::problem::shortened;
use super::value::{
    Limit, Name, OneOrMany, RawNode, SecretText, Status, Switch, UpstreamUrl, Weight, by_header, conditions,
};
pub use mirror::Mirror;
pub use retry::{Retry, RetryOn};

/// What every route has unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    /// Bounds the whole exchange on every route that has no `timeout` of its own; 30s where neither says anything.
    pub timeout: Option<Limit>,
    /// On every route that has no `retry` of its own.
    pub retry: Option<Switch<Retry>>,
    /// Filters by kind.
    pub filters: BTreeMap<String, RawNode>,
}

/// Which requests, and what becomes of them: exactly one of `to`, `redirect` and `respond`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// `/exact`, `/below/` (it and all below), `/users/{id}` (one segment), `/files/{rest...}` (the remainder),
    /// `/x/{$}` (only `/x/` itself). One or a list.
    pub path: OneOrMany<String>,
    /// `api.example.com` or `*.example.com` (any depth, not `example.com` itself); none: every host.
    #[serde(default, deserialize_with = "some")]
    #[schemars(length(min = 1))]
    pub hosts: Vec<String>,
    /// `GET` takes `HEAD` too unless another route names `HEAD`; none: every method.
    #[serde(default, deserialize_with = "some")]
    #[schemars(length(min = 1))]
    pub methods: Vec<String>,
    /// Further conditions on headers: all must hold. Not on `host`, which `hosts` is for.
    #[serde(default, deserialize_with = "conditions")]
    pub headers: BTreeMap<String, Condition>,
    /// Further conditions on query parameters (the first of a name counts): all must hold.
    #[serde(default)]
    pub query: BTreeMap<String, Condition>,
    /// Pass the request on: an upstream's name, a URL, or a weighted list of these.
    pub to: Option<To>,
    /// Take the matched prefix off before the request goes on.
    #[serde(default)]
    pub strip: bool,
    /// A new path to go on with: `/v2/{rest}`, `/by-id/{id}`.
    pub rewrite: Option<String>,
    /// Answer with a redirect.
    pub redirect: Option<Redirect>,
    /// Answer at the door.
    pub respond: Option<Respond>,
    /// Bounds the whole exchange, all tries together: 504 when it strikes before the response's head, a broken
    /// connection after. After a 101, an event stream's or a gRPC response's head only the upstream's `idle` counts.
    pub timeout: Option<Limit>,
    /// When a request is tried again; `off`: never, but where a kept connection turned out to be closed.
    pub retry: Option<Switch<Retry>>,
    /// A copy of the request for another upstream, whose answer nobody gets.
    pub mirror: Option<Mirror>,
    /// A header that tells the upstream how many milliseconds are left of the route's `timeout`; gRPC is always told,
    /// in `grpc-timeout`.
    pub deadline_header: Option<String>,
    /// Filters by kind, beside those of `defaults`; a kind that stands in both counts as it stands here, `off` removes it.
    #[serde(default)]
    pub filters: BTreeMap<String, RawNode>,
}

fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let list = Vec::deserialize(deserializer)?;
    if list.is_empty() {
        return Err(D::Error::custom(
            "the list is empty, so nothing would match; name at least one, or take the key away",
        ));
    }
    Ok(list)
}

/// What a header or a query parameter must be: `value`, `{prefix: …}`, `{regex: …}` (the whole value) or `{present: …}`.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Equal to this, byte for byte.
    Exact(String),
    /// Begins with this.
    Prefix(String),
    /// The whole value matches this regular expression.
    Regex(String),
    /// There at all, or (`false`) not there.
    Present(bool),
}

/// Where a route passes requests on.
#[derive(Debug, Clone, PartialEq)]
pub enum To {
    /// All to one.
    One(Destination),
    /// In proportion to the weights.
    Weighted(Vec<WeightedDestination>),
}

/// An upstream of the file, or one made of a URL.
#[derive(Debug, Clone, PartialEq)]
pub enum Destination {
    /// A name among `upstreams`.
    Upstream(Name),
    /// `http://host:port`: an upstream of that one endpoint.
    Url(UpstreamUrl),
}

impl Destination {
    /// What the upstream is called: its name, or the URL that it is made of.
    pub fn name(&self) -> &str {
        match self {
            Self::Upstream(name) => name.as_ref(),
            Self::Url(url) => url.as_str(),
        }
    }
}

/// One part of a weighted `to`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedDestination {
    /// An upstream's name or a URL.
    pub upstream: Destination,
    /// Its share beside the others', 0 to 1000.
    #[serde(deserialize_with = "Weight::number")]
    #[schemars(with = "Weight")]
    pub weight: u16,
}

/// A redirect made by the door.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// A path or an absolute URL, with the pattern's `{names}` and `{rest}`, the remainder below a path that ends in `/`.
    /// The client's query goes along unless this has one.
    pub to: String,
    /// 301, 302, 303, 307 or 308.
    #[serde(default = "permanent_redirect")]
    pub status: Status,
}

fn permanent_redirect() -> Status {
    Status(308)
}

/// A response made by the door.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// 200 to 599.
    #[serde(default = "ok")]
    pub status: Status,
    /// As it stands.
    #[serde(default)]
    pub body: String,
    /// The body's media type.
    #[serde(default = "plain_text")]
    pub content_type: String,
    /// More headers.
    #[serde(default, deserialize_with = "by_header")]
    pub headers: BTreeMap<String, SecretText>,
}

fn ok() -> Status {
    Status(200)
}

fn plain_text() -> String {
    "text/plain; charset=utf-8".into()
}

/// The shape of a condition's map. Exactly one of its keys is there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConditionMap {
    prefix: Option<String>,
    regex: Option<String>,
    present: Option<bool>,
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = Condition;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value, `{prefix: …}`, `{regex: …}` or `{present: true}`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Condition, E> {
                Ok(Condition::Exact(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Condition, A::Error> {
                match ConditionMap::deserialize(MapAccessDeserializer::new(map))? {
                    ConditionMap { prefix: Some(text), regex: None, present: None } => Ok(Condition::Prefix(text)),
                    ConditionMap { prefix: None, regex: Some(text), present: None } => Ok(Condition::Regex(text)),
                    ConditionMap { prefix: None, regex: None, present: Some(there) } => Ok(Condition::Present(there)),
                    _ => Err(A::Error::custom(
                        "expected exactly one of `prefix`, `regex` and `present`, such as `{prefix: beta-}`",
                    )),
                }
            }
        }

        by_shape(deserializer, Shape)
    }
}

impl JsonSchema for Condition {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let only = |key: &str, of: &str, what: &str| {
            json_schema!({
                "type": "object",
                "properties": {key: {"type": of, "description": what}},
                "required": [key],
                "additionalProperties": false,
            })
        };
        json_schema!({"anyOf": [
            {"type": "string", "description": "Equal to this."},
            only("prefix", "string", "Begins with this."),
            only("regex", "string", "The whole value matches this regular expression."),
            only("present", "boolean", "There at all, or (`false`) not there."),
        ]})
    }
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return text.parse().map(Self::Url);
        }
        text.parse().map(Self::Upstream).map_err(|why| {
            let shown = shortened(text, 60);
            if text.contains(':') {
                format!("`{shown}` is no upstream's name; for an address write a URL, such as `http://127.0.0.1:9101`")
            } else {
                format!("{why}; or a URL, such as `http://127.0.0.1:9101`")
            }
        })
    }
}

impl<'de> Deserialize<'de> for Destination {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::value::from_text(deserializer, "an upstream's name or a URL such as `http://127.0.0.1:9101`")
    }
}

impl JsonSchema for Destination {
    fn schema_name() -> Cow<'static, str> {
        "Destination".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [generator.subschema_for::<Name>(), generator.subschema_for::<UpstreamUrl>()]})
    }
}

impl<'de> Deserialize<'de> for To {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = To;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an upstream's name, a URL, or a list such as `[{upstream: a, weight: 95}, {upstream: b, weight: 5}]`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<To, E> {
                if is_bracketed(text) {
                    let shown = shortened(text, 40);
                    return Err(E::custom(format!("`{shown}` is a text; for a list take the quotes away")));
                }
                text.parse().map(To::One).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<To, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = list.next_element()? {
                    parts.push(part);
                }
                if parts.is_empty() {
                    return Err(A::Error::custom(
                        "the list is empty; it needs at least one `{upstream: …, weight: …}`",
                    ));
                }
                Ok(To::Weighted(parts))
            }
        }

        by_shape(deserializer, Shape)
    }
}

impl JsonSchema for To {
    fn schema_name() -> Cow<'static, str> {
        "To".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (one, part) = (generator.subschema_for::<Destination>(), generator.subschema_for::<WeightedDestination>());
        json_schema!({"anyOf": [one, {"type": "array", "items": part, "minItems": 1}]})
    }
}
