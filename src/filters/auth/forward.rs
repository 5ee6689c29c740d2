//! `forward`: by what another service says of the request, as nginx's `auth_request` and Traefik's `forwardAuth` do.
//!
//! ```yaml
//! forward:
//!   to: https://auth.internal/verify
//!   tls: {ca: internal.pem}                      # as in an upstream
//!   request_headers: [authorization, cookie]     # the default: what the service sees of the request
//!   response_headers: [x-user, x-groups]         # what the upstream sees of its answer, and clients cannot forge
//!   subject: x-user                              # whose value is the identity's subject; it is then among these
//!   timeout: 2s                                  # default: 5s
//! ```
//!
//! The service is asked by a GET without a body, last of all ways, and for every request: nothing is remembered. It gets
//! `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri` and `-For` of the request and its id.
//!
//! | its answer | |
//! |---|---|
//! | 2xx | the request goes on; the `response_headers` are claims of the identity, too |
//! | 401, 403, a redirect with `Location` | passed on to the client, with `WWW-Authenticate`, `Location` and `Set-Cookie` |
//! | any other, too late, or none | 503 |
//!
//! Its name is resolved every thirty seconds. `onedoor explain` and the file's tests never ask it: say whom to assume.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, LOCATION, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

use super::{Said, Way};
use crate::config::{Period, ServiceUrl, Tls};
use crate::filter::{Concern, Env, Identity, Problems, Reply, Request, async_trait, editable};
use crate::upstream::{Bounds, Client};

/// A service that is asked of every request.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// Its URL.
    to: ServiceUrl,
    /// How its certificate is checked.
    tls: Option<Tls>,
    /// The request's headers that it sees.
    request_headers: Option<Vec<String>>,
    /// Headers of its answer that the request goes on with, in place of the client's.
    #[serde(default)]
    response_headers: Vec<String>,
    /// The header of its answer that says who asks.
    subject: Option<String>,
    /// How long it may take.
    timeout: Option<Period>,
}

struct Forward {
    client: Client,
    url: ServiceUrl,
    sees: Vec<HeaderName>,
    says: Vec<HeaderName>,
    subject: Option<HeaderName>,
    bounds: Bounds,
    resolved: watch::Sender<bool>,
}

/// What its answer may have of a body, of which nothing is used.
const LONGEST_BODY: usize = 64 << 10;

const RESOLVED_EVERY: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(5);

/// The way of this part of the file.
pub(super) fn way(config: Config, env: &Env<'_>) -> std::result::Result<Box<dyn Way>, Problems> {
    let mut problems = Problems::default();
    confess(&config.to, env);
    let list = |key: &'static str, texts: &[String], problems: &mut Problems| -> Vec<HeaderName> {
        let mut names = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match editable(text) {
                Ok(name) if name.as_str().starts_with("x-forwarded-") => {
                    problems.add(&[key, &index.to_string()], format!("`{name}` is the door's to say"));
                }
                Ok(name) => names.push(name),
                Err(why) => problems.add(&[key, &index.to_string()], why),
            }
        }
        names
    };
    let sees = match &config.request_headers {
        Some(texts) => list("request_headers", texts, &mut problems),
        None => vec![AUTHORIZATION, COOKIE],
    };
    let mut says = list("response_headers", &config.response_headers, &mut problems);
    let subject = config.subject.as_deref().and_then(|text| match editable(text) {
        Ok(name) => Some(name),
        Err(why) => {
            problems.add(&["subject"], why);
            None
        }
    });
    says.extend(subject.clone().filter(|name| !says.contains(name)));
    if config.tls.is_some() && !config.to.origin.tls {
        problems.add(&["tls"], "the URL is `http`; write `https` for a service by TLS");
    }
    let client = Client::new(&config.to.origin, config.tls.unwrap_or_default()).map_err(|remarks| {
        let mut all = Problems::default();
        for remark in remarks {
            all.add(&["to"], remark.message);
        }
        all
    });
    let client = match client {
        Ok(client) => problems.or(client)?,
        Err(more) => {
            problems.add_below(&[], more);
            return Err(problems);
        }
    };
    for name in &says {
        env.vouches(name);
        env.closes(name);
    }
    let bounds = Bounds { time: config.timeout.map_or(TIMEOUT, |period| period.0), body: LONGEST_BODY };
    let resolved = watch::Sender::new(false);
    Ok(Box::new(Forward { client, url: config.to, sees, says, subject, bounds, resolved }))
}

fn confess(url: &ServiceUrl, env: &Env<'_>) {
    if !url.origin.tls && !url.origin.address.is_inside() {
        let reason = "clients' credentials go in the clear to what is no address of a private network";
        let remedy = "write `https://`, or reach the service by a private address";
        env.concern(Concern::new("service_without_tls", reason, remedy).at(&["forward", "to"]));
    }
}

impl Forward {
    fn question(&self, request: &Request<'_>) -> std::result::Result<http::Request<Bytes>, http::Error> {
        let head = &request.head;
        let mut question = http::Request::get(self.url.target.as_str());
        for name in &self.sees {
            let mut values = Vec::new();
            head.headers.all(name, &mut |value| values.push(HeaderValue::from_bytes(value)));
            for value in values {
                question = question.header(name, value?);
            }
        }
        let query = request.query().map(|query| format!("?{query}")).unwrap_or_default();
        let client = request.subject.client;
        question = question
            .header("x-forwarded-method", head.method.as_str())
            .header("x-forwarded-proto", if client.https { "https" } else { "http" })
            .header("x-forwarded-host", head.host)
            .header("x-forwarded-uri", format!("{}{query}", head.path.forwarded()))
            .header("x-request-id", request.subject.request_id);
        if let Some(ip) = client.ip {
            question = question.header("x-forwarded-for", ip.to_string());
        }
        question.body(Bytes::new())
    }

    /// What the request goes on with: the service's word or none, whatever the client said.
    fn pass_on(&self, said: &HeaderMap, request: &mut Request<'_>) -> crate::filter::Result<()> {
        for name in &self.says {
            request.edits.remove(name.clone())?;
            for value in said.get_all(name) {
                request.edits.add(name.clone(), value.clone())?;
            }
        }
        Ok(())
    }

    fn known(&self, said: &HeaderMap, request: &mut Request<'_>) -> Said {
        let unable = |reason: String| Said::Unable { cause: "auth_forward_failed", reason };
        let text = |name: &HeaderName| Some(String::from_utf8_lossy(said.get(name)?.as_bytes()).into_owned());
        let subject = match &self.subject {
            None => Some("forward".to_owned()),
            Some(name) => text(name).filter(|subject| !subject.is_empty()),
        };
        let Some(subject) = subject else {
            return unable(format!("the service let it pass without saying who asks, in `{:?}`", self.subject));
        };
        if let Err(error) = self.pass_on(said, request) {
            return unable(error.to_string());
        }
        let claims = self.says.iter().filter_map(|name| Some((name.as_str().to_owned(), Value::String(text(name)?))));
        Said::Known(Arc::new(Identity { claims: claims.collect(), ..Identity::new(subject, "forward") }))
    }
}

/// The service's refusal as the client gets it.
fn refusal(answer: &Response<Bytes>) -> Reply {
    let status = answer.status().as_u16();
    let reply = match status {
        401 => Reply::problem(401, "credentials are needed"),
        403 => Reply::problem(403, "this is not allowed"),
        _ => Reply::status(status),
    };
    let passed = |name: &HeaderName| [WWW_AUTHENTICATE, LOCATION, SET_COOKIE].contains(name);
    let headers = answer.headers().iter().filter(|(name, _)| passed(name));
    headers
        .fold(reply, |reply, (name, value)| reply.with_header(name.clone(), value.clone()))
        .because("auth_forward_refused", format!("the service said {status}"))
}

#[async_trait]
impl Way for Forward {
    async fn ask(&self, request: &mut Request<'_>) -> Said {
        if request.rehearsal {
            request.note(|| format!("would ask {}; nobody is assumed to be known to it", self.url));
            return Said::Nothing;
        }
        let question = match self.question(request) {
            Ok(question) => question,
            Err(error) => return Said::Unable { cause: "auth_forward_failed", reason: error.to_string() },
        };
        match self.client.send(question, self.bounds).await {
            Ok(answer) if answer.status().is_success() => self.known(answer.headers(), request),
            Ok(answer) if is_refusal(&answer) => Said::Refused(Box::new(refusal(&answer))),
            Ok(answer) => Said::Unable {
                cause: "auth_forward_failed",
                reason: format!("{} said {}", self.url, answer.status().as_u16()),
            },
            Err(why) => Said::Unable { cause: "auth_forward_failed", reason: format!("{}: {why}", self.url) },
        }
    }

    /// What only the service may say goes from the request, also where another way knew who asks.
    fn hide(&self, request: &mut Request<'_>) -> crate::filter::Result<()> {
        for name in &self.says {
            if !request.edits.names(name) {
                request.edits.remove(name.clone())?;
            }
        }
        Ok(())
    }

    async fn run(&self) {
        loop {
            if let Err(why) = self.client.resolve().await {
                log::warn!("auth.forward: {} cannot be resolved: {why}", self.url);
            }
            self.resolved.send_replace(true);
            tokio::time::sleep(RESOLVED_EVERY).await;
        }
    }

    async fn ready(&self) {
        // The sender is this value's own.
        drop(self.resolved.subscribe().wait_for(|resolved| *resolved).await);
    }
}

fn is_refusal(answer: &Response<Bytes>) -> bool {
    let status = answer.status();
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        || (matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) && answer.headers().contains_key(LOCATION))
}
