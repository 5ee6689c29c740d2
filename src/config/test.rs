//! `tests`: what the file promises of itself, checked by `onedoor test`, `check` and before every reload.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use serde::de::{Deserializer, Error};
use serde_json::Value;

use super::problem::shortened;
use super::value::{HeaderText, Name, Status, by_header};

/// A request and what the door must do with it: `{get: /users/7, expect: {to: users, path: /7}}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// From the key: `get`, `head`, `post`, `put`, `patch`, `delete`, `options`, or `request: "METHOD /path"`.
    pub method: String,
    /// Path and query, as a client would send them.
    pub target: String,
    /// The request's `Host`; `localhost` if none is given.
    pub host: Option<String>,
    /// The request's headers.
    pub headers: BTreeMap<String, String>,
    /// The client's address; 127.0.0.1 if none is given.
    pub from: Option<IpAddr>,
    /// Whom it comes from: `{sub: u1, scope: "read write"}`. `auth` takes that for granted then, and asks for no proof.
    pub identity: BTreeMap<String, Value>,
    /// What must come of it; at least one thing.
    pub expect: Expect,
}

/// What must come of a test's request. Only what is named is compared.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// The route that takes it.
    pub route: Option<Name>,
    /// The upstream that it goes to (of a weighted `to`, any part).
    pub to: Option<Name>,
    /// Path and query as the upstream sees them.
    pub path: Option<String>,
    /// The status that the door itself answers with.
    pub status: Option<Status>,
    /// Headers as the upstream sees them, or of the door's own answer; `null`: not there.
    #[serde(deserialize_with = "by_header")]
    pub headers: BTreeMap<String, Option<String>>,
}

/// A test as it is written. Exactly one of the first eight keys is there.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["get"]}, {"required": ["head"]}, {"required": ["post"]}, {"required": ["put"]},
    {"required": ["patch"]}, {"required": ["delete"]}, {"required": ["options"]}, {"required": ["request"]},
]))]
struct Written {
    /// A GET of this path and query.
    get: Option<Target>,
    /// A HEAD of this path and query.
    head: Option<Target>,
    /// A POST to this path and query.
    post: Option<Target>,
    /// A PUT to this path and query.
    put: Option<Target>,
    /// A PATCH of this path and query.
    patch: Option<Target>,
    /// A DELETE of this path and query.
    delete: Option<Target>,
    /// An OPTIONS of this path and query.
    options: Option<Target>,
    /// Any method: `"PURGE /users/7"`.
    request: Option<RequestLine>,
    /// The request's `Host`; `localhost` if none is given.
    #[serde(default, deserialize_with = "host")]
    host: Option<String>,
    /// The request's headers.
    #[serde(default, deserialize_with = "headers")]
    headers: BTreeMap<String, String>,
    /// The client's address; 127.0.0.1 if none is given.
    #[serde(default, deserialize_with = "ip")]
    #[schemars(with = "Option<String>")]
    from: Option<IpAddr>,
    /// Whom it comes from: `{sub: u1, scope: "read write"}`. `auth` takes that for granted then, and asks for no proof.
    #[serde(default, rename = "as")]
    identity: BTreeMap<String, Value>,
    /// What must come of it; at least one thing.
    #[serde(deserialize_with = "something")]
    expect: Expect,
}

/// A path, perhaps with a query.
#[derive(JsonSchema)]
#[schemars(inline)]
struct Target(String);

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            Ok(Self(text.to_owned()))
        } else if let Some((_, rest)) = text.split_once("://") {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let path = if path.is_empty() { "/" } else { path };
            Err(format!(
                "`{}` is a URL; write the path alone, `{}`, and `host: {}` beside it",
                shortened(text, 60),
                shortened(path, 40),
                shortened(host, 40)
            ))
        } else {
            Err(format!("`{}` is no path; it begins with `/`, such as `/users/7?full=1`", shortened(text, 60)))
        }
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::value::from_text(deserializer, "a path such as `/users/7`")
    }
}

/// `METHOD /path`.
#[derive(JsonSchema)]
#[schemars(inline, with = "String")]
struct RequestLine(String, String);

impl FromStr for RequestLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = shortened(text, 60);
        let Some((method, target)) = text.split_once(' ') else {
            return Err(format!("`{shown}` is no request; write a method and a path, such as `PURGE /users/7`"));
        };
        if http::Method::from_bytes(method.as_bytes()).is_err() {
            return Err(format!("`{}` is no method, such as `PURGE`", shortened(method, 40)));
        }
        let Target(target) = target.parse()?;
        Ok(Self(method.to_owned(), target))
    }
}

impl<'de> Deserialize<'de> for RequestLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::value::from_text(deserializer, "a method and a path, such as `PURGE /users/7`")
    }
}

fn host<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::<HeaderText>::deserialize(deserializer).map(|host| host.map(|HeaderText(host)| host))
}

fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let headers: BTreeMap<String, HeaderText> = by_header(deserializer)?;
    Ok(headers.into_iter().map(|(name, HeaderText(value))| (name, value)).collect())
}

fn ip<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        D::Error::custom(format!("`{}` is no IP address, such as `192.0.2.7` or `2001:db8::7`", shortened(&text, 60)))
    })
}

fn something<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Expect, D::Error> {
    let expect = Expect::deserialize(deserializer)?;
    if expect == Expect::default() {
        return Err(D::Error::custom(
            "nothing is expected; give at least one of `route`, `to`, `path`, `status` and `headers`",
        ));
    }
    Ok(expect)
}

impl<'de> Deserialize<'de> for Test {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let named = [
            ("GET", written.get),
            ("HEAD", written.head),
            ("POST", written.post),
            ("PUT", written.put),
            ("PATCH", written.patch),
            ("DELETE", written.delete),
            ("OPTIONS", written.options),
        ];
        let mut requests: Vec<(String, String)> = named
            .into_iter()
            .filter_map(|(method, target)| Some((method.to_owned(), target?.0)))
            .chain(written.request.map(|RequestLine(method, target)| (method, target)))
            .collect();
        let (Some((method, target)), true) = (requests.pop(), requests.is_empty()) else {
            return Err(D::Error::custom(
                "a test has exactly one request: `get`, `head`, `post`, `put`, `patch`, `delete` or `options` with a path, or \
                 `request: \"METHOD /path\"`",
            ));
        };
        let Written { host, headers, from, identity, expect, .. } = written;
        Ok(Self { method, target, host, headers, from, identity, expect })
    }
}

impl JsonSchema for Test {
    fn schema_name() -> Cow<'static, str> {
        "Test".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Written::json_schema(generator)
    }
}
