//! `headers`: sets, adds, removes and lets through headers, of the request that goes on and of the response.
//!
//! ```yaml
//! filters:
//!   headers:
//!     request:
//!       set: {x-client-ip: "{client_ip}", authorization: {credential: users-token}}
//!       remove: [x-internal, x-debug]
//!       allow: [accept, accept-language, content-type]     # all others are dropped
//!     response:
//!       add: {vary: accept-encoding}
//!       remove: [server, x-powered-by]
//! ```
//!
//! Of one message, `allow` counts first, and only for what the other side sent; then `remove`, `set` and `add`. Values may hold `{client_ip}`,
//! `{request_id}` and `{route}`; those of requests also `{host}`, `{method}` and `{path.NAME}`, a wildcard of the
//! route's path. A value with a variable that has nothing to say (no such wildcard, no address) is not written.
//! `{{` and `}}` are braces. Headers that belong to a message's framing or connection (`host`, `content-length`,
//! `transfer-encoding`, `connection`, …) are the door's to write.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{Resolved, SecretText, by_header, did_you_mean};
use crate::filter::{
    Concern, Configure, Edit, Edits, Env, Filter, Flow, Problems, Request, Response, Result, Stage, Subject,
    async_trait, editable,
};
use crate::head::is_credential;
use crate::template::Template;

/// Changes the headers of both heads.
pub(super) struct Headers {
    request: Compiled,
    response: Compiled,
}

/// What is done to one message.
struct Compiled {
    allow: Option<Arc<[HeaderName]>>,
    changes: Vec<Change>,
}

/// Changes of the headers of the request that goes on, and of the response.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// Of the request that goes on.
    #[serde(default)]
    request: Changes,
    /// Of the response.
    #[serde(default)]
    response: Changes,
}

/// Changes of one message's headers.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Changes {
    /// Only these go through.
    allow: Option<Vec<String>>,
    /// None of these.
    remove: Vec<String>,
    /// This value and no other.
    #[serde(deserialize_with = "by_header")]
    set: BTreeMap<String, SecretText>,
    /// This value besides any others.
    #[serde(deserialize_with = "by_header")]
    add: BTreeMap<String, SecretText>,
}

impl Headers {
    /// Whether it leaves every message as it is.
    fn is_idle(&self) -> bool {
        [&self.request, &self.response].iter().all(|message| message.allow.is_none() && message.changes.is_empty())
    }
}

impl Compiled {
    /// Tells the audit which headers are the door's to say.
    fn guard(&self, env: &Env<'_>) {
        if let Some(allow) = &self.allow {
            env.closes_all_but(allow);
        }
        for change in &self.changes {
            match change {
                Change::Fixed(Edit::Set(name, _) | Edit::Remove(name)) => env.closes(name),
                Change::Fixed(Edit::Add(..)) => {}
                Change::Made { name, value, add } => {
                    if !*add {
                        env.closes(name);
                    }
                    if value.variables().any(|variable| variable.starts_with("identity.")) {
                        env.vouches(name);
                    }
                }
            }
        }
    }
}

enum Change {
    Fixed(Edit),
    Made { name: HeaderName, value: Template, add: bool },
}

#[async_trait]
impl Filter for Headers {
    async fn request(&self, request: &mut Request<'_>) -> Result<Flow> {
        if let Some(allow) = &self.request.allow {
            request.edits.allow_only(Arc::clone(allow));
            request.note(|| {
                let names: Vec<&str> = allow.iter().map(HeaderName::as_str).collect();
                format!("lets through {} only", names.join(", "))
            });
        }
        for change in &self.request.changes {
            let (head, subject, param) = (request.head, &request.subject, request.param);
            let unsaid = change.write(request.edits, &mut |variable| match variable {
                "host" => Some(head.host.to_owned()),
                "method" => Some(head.method.as_str().to_owned()),
                _ => match variable.strip_prefix("path.") {
                    Some(name) => param(name),
                    None => of_subject(subject, variable),
                },
            })?;
            if let Some(name) = unsaid {
                request.note(|| format!("{name} is not written: a variable of its value has nothing to say"));
            }
        }
        Ok(Flow::Continue)
    }

    async fn response(&self, response: &mut Response<'_>) -> Result<()> {
        if let Some(allow) = &self.response.allow {
            response.edits.allow_only(Arc::clone(allow));
        }
        for change in &self.response.changes {
            change.write(response.edits, &mut |variable| of_subject(&response.subject, variable))?;
        }
        Ok(())
    }
}

fn of_subject(subject: &Subject<'_>, variable: &str) -> Option<String> {
    match variable {
        "client_ip" => subject.client.ip.map(|ip| ip.to_string()),
        "request_id" => Some(subject.request_id.to_owned()),
        "route" => Some(subject.route.to_owned()),
        _ => subject.identity.as_ref()?.text(variable.strip_prefix("identity.")?),
    }
}

impl Change {
    /// Adds this change to the list, or tells the header whose value could not be made. What was to be set is then
    /// removed: a client must not fill in what the door has nothing to say of.
    fn write(
        &self,
        edits: &mut Edits,
        variable: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Result<Option<&HeaderName>> {
        match self {
            Change::Fixed(edit) => edits.push(edit.clone()),
            Change::Made { name, value, add } => {
                let Some(text) = render(value, variable) else {
                    if !*add {
                        edits.remove(name.clone())?;
                    }
                    return Ok(Some(name));
                };
                let value = HeaderValue::from_str(&text)
                    .map_err(|_| format!("the value made for `{name}` holds bytes that no header can carry"))?;
                if *add { edits.add(name.clone(), value)? } else { edits.set(name.clone(), value)? }
            }
        }
        Ok(None)
    }
}

/// The text, unless a variable has nothing to say.
fn render(template: &Template, variable: &mut dyn FnMut(&str) -> Option<String>) -> Option<String> {
    let mut complete = true;
    let mut text = String::new();
    template.render(&mut text, &mut |name, out| match variable(name) {
        Some(value) => out.push_str(&value),
        None => complete = false,
    });
    complete.then_some(text)
}

impl Configure for Headers {
    const KIND: &'static str = "headers";
    const STAGE: Stage = Stage::Headers;
    type Config = Config;

    fn configure(config: Config, env: &Env<'_>) -> std::result::Result<Self, Problems> {
        let mut problems = Problems::default();
        confess(&config, env);
        let request = compile(config.request, "request", &Known::of_request(env), &mut problems);
        let response = compile(config.response, "response", &Known::of_response(env), &mut problems);
        let headers = problems.or(Self { request, response })?;
        headers.request.guard(env);
        if headers.is_idle() {
            let example = "`{response: {remove: [server]}}`";
            return Err(format!(
                "this filter does nothing; give it something to do, such as {example}, or write `off`"
            )
            .into());
        }
        Ok(headers)
    }
}

/// Credentials for whoever is behind the door that stand in the file itself. What a client gets is no secret.
fn confess(config: &Config, env: &Env<'_>) {
    for (verb, values) in [("set", &config.request.set), ("add", &config.request.add)] {
        for (name, value) in values {
            let SecretText::Literal(text) = value else { continue };
            let is_fixed =
                Template::parse(text).is_ok_and(|template| template.literal().is_some_and(|text| !text.is_empty()));
            if is_fixed && HeaderName::from_bytes(name.as_bytes()).is_ok_and(|name| is_credential(&name)) {
                let reason = format!("whoever reads the file has the `{name}` that the service behind takes");
                env.concern(Concern::secret(reason).at(&["request", verb, name]));
            }
        }
    }
}

fn compile(changes: Changes, message: &str, variables: &Known<'_>, problems: &mut Problems) -> Compiled {
    let mut list = Vec::new();
    let allow = changes.allow.as_ref().map(|allow| Arc::from(names(allow, &[message, "allow"], problems)));
    list.extend(
        names(&changes.remove, &[message, "remove"], problems).into_iter().map(|n| Change::Fixed(Edit::Remove(n))),
    );
    for (verb, values, add) in [("set", changes.set, false), ("add", changes.add, true)] {
        for (name, value) in values {
            let path = [message, verb, name.as_str()];
            match (editable(&name), value_of(&value, variables)) {
                (Ok(name), Ok(Value::Fixed(value))) => {
                    list.push(Change::Fixed(if add { Edit::Add(name, value) } else { Edit::Set(name, value) }));
                }
                (Ok(name), Ok(Value::Made(value))) => list.push(Change::Made { name, value, add }),
                (name, value) => {
                    for message in [name.err(), value.err()].into_iter().flatten() {
                        problems.add(&path, message);
                    }
                }
            }
        }
    }
    Compiled { allow, changes: list }
}

fn names(texts: &[String], path: &[&str], problems: &mut Problems) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match editable(text) {
            Ok(name) => names.push(name),
            Err(message) => {
                let index = index.to_string();
                let path: Vec<&str> = path.iter().copied().chain([index.as_str()]).collect();
                problems.add(&path, message);
            }
        }
    }
    names
}

enum Value {
    Fixed(HeaderValue),
    Made(Template),
}

fn value_of(text: &SecretText, variables: &Known<'_>) -> std::result::Result<Value, String> {
    let unfit = |_| "holds a line break or another byte that no header can carry".to_owned();
    match text.resolve()? {
        Resolved::Secret(secret) => {
            let mut value = HeaderValue::from_str(&secret).map_err(unfit)?;
            value.set_sensitive(true);
            Ok(Value::Fixed(value))
        }
        Resolved::Literal(text) => {
            let template = Template::parse(&text).map_err(|problem| problem.to_string())?;
            for variable in template.variables() {
                variables.check(variable)?;
            }
            match template.literal() {
                Some(text) => Ok(Value::Fixed(HeaderValue::from_str(text).map_err(unfit)?)),
                None => Ok(Value::Made(template)),
            }
        }
    }
}

/// The variables that a value may hold.
struct Known<'a> {
    names: &'static [&'static str],
    wildcards: Option<&'a Env<'a>>,
}

impl<'a> Known<'a> {
    fn of_request(env: &'a Env<'a>) -> Self {
        Self { names: &["client_ip", "request_id", "route", "host", "method"], wildcards: Some(env) }
    }

    fn of_response(_: &Env<'_>) -> Self {
        Self { names: &["client_ip", "request_id", "route"], wildcards: None }
    }

    fn check(&self, variable: &str) -> std::result::Result<(), String> {
        let is_claim = variable.strip_prefix("identity.").is_some_and(|claim| !claim.is_empty());
        if is_claim || self.names.contains(&variable) {
            return Ok(());
        }
        match (variable.strip_prefix("path."), self.wildcards) {
            (Some(name), Some(env)) if env.has_wildcard(name) => Ok(()),
            (Some(name), Some(env)) => {
                let wildcards: Vec<String> = env.wildcards().map(|name| format!("{{path.{name}}}")).collect();
                let there = match wildcards.as_slice() {
                    [] => "they have none in common".to_owned(),
                    wildcards => format!("there is {}", wildcards.join(", ")),
                };
                Err(format!("`{name}` is no wildcard of the route's paths; {there}"))
            }
            _ => Err(self.unknown(variable)),
        }
    }

    fn unknown(&self, variable: &str) -> String {
        let hint = did_you_mean(variable, self.names.iter().copied())
            .map(|near| format!(" did you mean `{{{near}}}`?"))
            .unwrap_or_default();
        let mut allowed: Vec<String> = self.names.iter().map(|name| format!("{{{name}}}")).collect();
        allowed.push("{identity.CLAIM}".into());
        if self.wildcards.is_some() {
            allowed.push("{path.NAME}".into());
        }
        format!("there is no `{{{variable}}}` here;{hint} allowed: {}; write {{{{ for a brace", allowed.join(", "))
    }
}
