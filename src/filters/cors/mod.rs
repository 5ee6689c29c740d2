//! `cors`: which pages of other origins may use what the door gives (the CORS protocol of the Fetch standard, section
//! 3.3), as one declared thing.
//!
//! ```yaml
//! filters:
//!   cors:
//!     origins: [https://app.example.com, "https://*.example.org"]   # or "*"
//!     methods: [GET, POST, DELETE]          # default: GET, HEAD and POST
//!     headers: [Authorization, Content-Type]
//!     expose: [etag, x-request-id]          # default: x-request-id, retry-after, ratelimit, ratelimit-policy
//!     credentials: true                     # cookies and HTTP authentication; default: false
//!     max_age: 2h                           # how long browsers keep a preflight's answer; default: what they like
//!     private_network: true                 # for services in a private network; default: false
//! ```
//!
//! **Origins** are compared as browsers write them: scheme, host and port, to the byte. `https://*.example.org` stands for
//! all names below `example.org` of any depth, not for `example.org` itself. `null` (sandboxed frames, files) is allowed
//! only where it is listed.
//!
//! **Preflights** are answered here with a 204, before anybody asks for credentials, whatever the route's `methods` are.
//! The answer names what is allowed, not what was asked, so that the browser can tell its developer what is missing. A
//! page of an origin that is not allowed gets a 204 without any of these headers, which is a refusal to browsers; 403 would
//! be another spelling of it (as Spring has it; the usual nginx recipe and Go's rs/cors say 204). A preflight that asks
//! about a request which no route takes is answered by the `cors` of `defaults`, so that the page can read the 404.
//!
//! **Other requests** go on whatever their origin is: CORS keeps pages from reading answers, and protects nothing else.
//! Every answer gets the headers, also the door's own errors and those to requests that no route takes. An upstream's own
//! `Access-Control-*` are removed; its `Vary` is kept, and `Origin` is among it unless `origins` is `*`.
//!
//! **`*`** in `headers`, `methods` or `expose` means all that browsers take it for, which is not `Authorization`: that is
//! to be named beside it. With `credentials` browsers take a `*` for a name, so that is refused here.

mod origin;

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderName, HeaderValue, Method};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{OneOrMany, Period, is_inside_name};
use crate::filter::{
    Concern, Configure, Edit, Env, Filter, Flow, Problems, Reply, Request, Response, Result, Stage, async_trait,
};
use origin::Origins;

const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");

/// The safelist of the Fetch standard (2.2.1): browsers send these without asking, so naming fewer takes nothing away.
const METHODS: [&str; 3] = ["GET", "HEAD", "POST"];

/// What the door itself adds that a page has use for.
const EXPOSE: [&str; 4] = ["x-request-id", "retry-after", "ratelimit", "ratelimit-policy"];

/// What the answer to a preflight depends on; the method decides which route's `cors` gives it.
const VARY_OF_PREFLIGHTS: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, \
                                  Access-Control-Request-Private-Network";

/// The longest that a browser keeps a preflight's answer: Firefox. Chromium keeps it for two hours.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Answers preflights, and lets pages read answers.
pub(super) struct Cors {
    origins: Origins,
    /// Where every answer is the same, or could only go to one origin: what that is.
    fixed: Option<HeaderValue>,
    methods: HeaderValue,
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: Option<HeaderValue>,
    private_network: bool,
}

/// Which pages of other origins may use what is behind the door.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// `https://app.example.com`, `https://*.example.com`, `null`, or `*` alone.
    origins: OneOrMany<String>,
    /// The methods that pages may use.
    methods: Option<OneOrMany<String>>,
    /// The headers that pages may send beside those that they always may.
    #[serde(default)]
    headers: Vec<String>,
    /// The headers that pages may read beside those that they always may.
    expose: Option<Vec<String>>,
    /// Whether requests may carry cookies and HTTP authentication.
    #[serde(default)]
    credentials: bool,
    /// How long browsers may keep the answer to a preflight.
    max_age: Option<Period>,
    /// Whether pages of public networks may use this service of a private one.
    #[serde(default)]
    private_network: bool,
}

/// The answer is a preflight's, and complete.
#[derive(Clone)]
struct Preflight;

#[async_trait]
impl Filter for Cors {
    async fn request(&self, request: &mut Request<'_>) -> Result<Flow> {
        let headers = request.head.headers;
        let Some(origin) = headers.get(&ORIGIN) else { return Ok(Flow::Continue) };
        if request.head.method == Method::OPTIONS && headers.get(&ACCESS_CONTROL_REQUEST_METHOD).is_some() {
            request.subject.kept.insert(Preflight);
            return Ok(self.preflight(request, origin)?.into());
        }
        request.note(|| match self.origins.allow(origin) {
            true => format!("pages of {} may read the answer", String::from_utf8_lossy(origin)),
            false => format!("pages of {} may not read the answer", String::from_utf8_lossy(origin)),
        });
        Ok(Flow::Continue)
    }

    async fn response(&self, response: &mut Response<'_>) -> Result<()> {
        if response.subject.kept.get::<Preflight>().is_some() {
            return Ok(());
        }
        drop_others(response);
        if let Some(origin) = self.allowed(response) {
            response.edits.push(Edit::Set(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()));
            if self.credentials {
                response.edits.push(Edit::Set(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
            }
            if let Some(expose) = &self.expose {
                response.edits.push(Edit::Set(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone()));
            }
        }
        if !self.origins.is_any() {
            vary(response)?;
        }
        Ok(())
    }
}

impl Cors {
    /// What `Access-Control-Allow-Origin` says. Of a head that could not be read not even the origin is known: the answer
    /// is then for the one that it can be.
    fn allowed<'a>(&'a self, response: &Response<'a>) -> Option<&'a HeaderValue> {
        match response.origin {
            _ if self.origins.is_any() => self.fixed.as_ref(),
            Some(origin) => Some(origin).filter(|origin| self.origins.allow(origin.as_bytes())),
            None => self.fixed.as_ref().filter(|_| response.subject.route.is_empty()),
        }
    }

    fn preflight(&self, request: &Request<'_>, origin: &[u8]) -> Result<Reply> {
        let headers = request.head.headers;
        let asks_private = self.private_network && headers.get(&REQUEST_PRIVATE_NETWORK) == Some(b"true");
        let shown = |name: &HeaderName| String::from_utf8_lossy(headers.get(name).unwrap_or_default()).into_owned();
        let asked = format!("{} wants to send a {}", shown(&ORIGIN), shown(&ACCESS_CONTROL_REQUEST_METHOD));
        let mut reply = Reply::status(204).with_header(VARY, HeaderValue::from_static(VARY_OF_PREFLIGHTS));
        if !self.origins.allow(origin) {
            return Ok(reply.because("cors_denied", format!("{asked}, and that origin is not among `origins`")));
        }
        let origin =
            if self.origins.is_any() { HeaderValue::from_static("*") } else { HeaderValue::from_bytes(origin)? };
        reply = reply
            .with_header(ACCESS_CONTROL_ALLOW_ORIGIN, origin)
            .with_header(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        let yes = || HeaderValue::from_static("true");
        let more = [
            (ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone()),
            (ACCESS_CONTROL_ALLOW_CREDENTIALS, self.credentials.then(yes)),
            (ACCESS_CONTROL_MAX_AGE, self.max_age.clone()),
            (ALLOW_PRIVATE_NETWORK, asks_private.then(yes)),
        ];
        reply.headers.extend(more.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let with = shown(&ACCESS_CONTROL_REQUEST_HEADERS);
        let with = if with.is_empty() { with } else { format!(" with {with}") };
        Ok(reply.because("preflight", asked + &with))
    }
}

/// Removes whatever an upstream or another filter says of CORS: two answers are none to a browser.
fn drop_others(response: &mut Response<'_>) {
    let mut others: Vec<HeaderName> = Vec::new();
    let mut look_at = |name: &HeaderName| {
        if name.as_str().starts_with("access-control-") && !others.contains(name) {
            others.push(name.clone());
        }
    };
    response.headers.each(&mut |name, _| look_at(name));
    for edit in response.edits.as_slice() {
        match edit {
            Edit::Set(name, _) | Edit::Add(name, _) => look_at(name),
            Edit::Remove(_) => {}
        }
    }
    others.into_iter().for_each(|name| response.edits.push(Edit::Remove(name)));
}

/// Adds `Origin` to what the answer depends on, so that no cache gives one page's answer to another.
fn vary(response: &mut Response<'_>) -> Result<()> {
    let value = match response.list(&VARY) {
        None => HeaderValue::from_static("Origin"),
        Some(list) => {
            let mut names = list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            if names.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin")) {
                return Ok(());
            }
            HeaderValue::from_bytes(&[&list[..], b", Origin"].concat())?
        }
    };
    response.edits.push(Edit::Set(VARY, value));
    Ok(())
}

impl Configure for Cors {
    const KIND: &'static str = "cors";
    const STAGE: Stage = Stage::Cors;
    const UNROUTED: bool = true;
    type Config = Config;

    fn configure(config: Config, env: &Env<'_>) -> std::result::Result<Self, Problems> {
        let mut problems = Problems::default();
        let credentials = config.credentials;
        confess(&config, env);
        let origins = origins(&config, &mut problems);
        let methods = match &config.methods {
            None => METHODS.map(str::to_owned).to_vec(),
            Some(methods) => methods.to_vec(),
        };
        let list = |key: &'static str, texts: &[String], check: Check, problems: &mut Problems| {
            check_list(key, texts, check, credentials, problems)
        };
        let expose = config.expose.unwrap_or_else(|| EXPOSE.map(str::to_owned).to_vec());
        let methods = list("methods", &methods, method, &mut problems);
        let headers = list("headers", &config.headers, header_to_send, &mut problems);
        let expose = list("expose", &expose, header_to_read, &mut problems);
        let max_age = config.max_age.map(|period| period.0);
        if max_age.is_some_and(|age| age > LONGEST) {
            env.warn(
                &["max_age"],
                "browsers keep it for 24 hours (Firefox) or 2 (Chromium) at the most; write `24h` or less",
            );
        }
        if max_age.is_some_and(|age| age < Duration::from_secs(1)) {
            problems.add(&["max_age"], "browsers count whole seconds; write `1s` or more");
        }
        let fixed = if origins.is_any() { Some(&b"*"[..]) } else { origins.only() };
        let fixed = fixed.and_then(|value| HeaderValue::from_bytes(value).ok());
        problems.or(Self {
            fixed,
            origins,
            methods: methods.unwrap_or(HeaderValue::from_static("")),
            headers,
            expose,
            credentials,
            max_age: max_age.map(|age| HeaderValue::from(age.as_secs())),
            private_network: config.private_network,
        })
    }
}

/// What is allowed here and lets in more than its writer may have thought of.
fn confess(config: &Config, env: &Env<'_>) {
    let remedy = "name the origins of your own pages, by `https://`";
    for (index, origin) in config.origins.iter().enumerate().filter(|_| config.credentials) {
        let (code, reason) = if origin == "null" {
            let reason = "any page in the world can make itself the origin `null` (a sandboxed frame), and then acts as its reader";
            ("cors_null_with_credentials", reason)
        } else if is_plain(origin) {
            let reason = "whoever is on the way to a reader can put a script into a page by plain HTTP, which then acts as the reader";
            ("cors_http_with_credentials", reason)
        } else if origin.contains("://*.") {
            let reason =
                "a page on any name below this one acts as its reader, also on one that somebody else has taken over";
            ("cors_pattern_with_credentials", reason)
        } else {
            continue;
        };
        env.concern(Concern::new(code, reason, remedy).at(&["origins", &index.to_string()]));
    }
    if config.private_network && config.origins.iter().any(|origin| origin == "*") {
        let reason = "any page in the world may use this service from within its reader's private network";
        env.concern(Concern::new("cors_private_network_for_all", reason, remedy).at(&["private_network"]));
    }
}

/// Whether it is an origin by plain HTTP that is not on a developer's own machine.
fn is_plain(origin: &str) -> bool {
    let host = origin.strip_prefix("http://").map(|rest| match rest.rfind(':') {
        Some(colon) if !rest.ends_with(']') => &rest[..colon],
        _ => rest,
    });
    let is_own =
        |host: &str| matches!(host, "localhost" | "[::1]") || (host.starts_with("127.") && is_inside_name(host));
    host.is_some_and(|host| !is_own(host) && !host.ends_with(".localhost"))
}

fn origins(config: &Config, problems: &mut Problems) -> Origins {
    let mut origins = Origins::default();
    for (index, text) in config.origins.iter().enumerate() {
        if let Err(why) = origins.add(text) {
            problems.add(&["origins", &index.to_string()], why);
        }
    }
    if origins.is_any() && config.credentials {
        problems.add(
            &["credentials"],
            "with `origins: \"*\"` every page of the world could act as its reader; name the origins, or leave `credentials` out",
        );
    } else if origins.is_any() && origins.has_others() {
        problems.add(&["origins"], "`*` allows every origin, so the others say nothing; keep either");
    }
    origins
}

type Check = fn(&str) -> std::result::Result<(), String>;

/// The list as one header has it; `None` for an empty one.
fn check_list(
    key: &str,
    texts: &[String],
    check: Check,
    credentials: bool,
    problems: &mut Problems,
) -> Option<HeaderValue> {
    let has_star = texts.iter().any(|text| text == "*");
    for (index, text) in texts.iter().enumerate() {
        let is_covered = has_star && text != "*" && !text.eq_ignore_ascii_case("authorization");
        let wrong = match text.as_str() {
            "*" if credentials => Some("with `credentials` browsers take `*` for a name; write the names".to_owned()),
            "*" => None,
            _ if is_covered => Some(format!("`{text}` is among what `*` stands for; keep either")),
            _ => check(text).err(),
        };
        if let Some(message) = wrong {
            problems.add(&[key, &index.to_string()], message);
        }
    }
    HeaderValue::from_str(&texts.join(", ")).ok().filter(|list| !list.is_empty())
}

/// Fetch 2.2.1: methods in other letters are other methods, but for six of them, and three cannot be sent at all.
fn method(text: &str) -> std::result::Result<(), String> {
    let upper = text.to_ascii_uppercase();
    match Method::from_bytes(text.as_bytes()) {
        _ if matches!(upper.as_str(), "CONNECT" | "TRACE" | "TRACK") => Err(format!("browsers send no `{upper}`")),
        Ok(_) if text == upper => Ok(()),
        Ok(_) => Err(format!("methods are written in capital letters; write `{upper}`")),
        Err(_) => Err(format!("`{text}` is no method, such as `PATCH`")),
    }
}

fn header_to_send(text: &str) -> std::result::Result<(), String> {
    HeaderName::from_bytes(text.as_bytes())
        .map(|_| ())
        .map_err(|_| format!("`{text}` is no header's name; allowed are letters, digits and -, e.g. Authorization"))
}

fn header_to_read(text: &str) -> std::result::Result<(), String> {
    header_to_send(text)?;
    match text.to_ascii_lowercase().as_str() {
        "set-cookie" | "set-cookie2" => Err("browsers show no page a `Set-Cookie`".into()),
        _ => Ok(()),
    }
}
