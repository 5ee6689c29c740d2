//! What a route does in the end: exactly one of `to`, `redirect` and `respond`.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};

use super::route::{Action, Forward, PathRule, Redirect, Respond, Target, wildcards};
use super::upstreams::{Upstreams, destinations};
use crate::config;
use crate::config::{Config, Name, Problem, Resolved, SecretText, Source, To};
use crate::filter::{Body, Reply};
use crate::head::Path;
use crate::head::hop::{is_framing, is_hop_by_hop};
use crate::template::Template;
use crate::upstream::RoundRobin;

/// Compiles a route's action; `None` if there is a problem with it, which is then among `problems`.
pub(super) fn compile(
    name: &Name,
    route: &config::Route,
    config: &Config,
    upstreams: &Upstreams,
    problems: &mut Vec<Problem>,
) -> Option<Action> {
    let mut route = Compiler { name: name.as_ref(), route, source: &config.source, problems };
    route.check_keys();
    match (&route.route.to, &route.route.redirect, &route.route.respond) {
        (Some(to), None, None) => route.forward(to, config, upstreams),
        (None, Some(redirect), None) => route.redirect(redirect),
        (None, None, Some(respond)) => route.respond(respond),
        _ => None,
    }
}

struct Compiler<'a> {
    name: &'a str,
    route: &'a config::Route,
    source: &'a Source,
    problems: &'a mut Vec<Problem>,
}

impl Compiler<'_> {
    fn problem(&mut self, below: &[&str], message: impl Into<String>) {
        let path: Vec<&str> = ["routes", self.name].into_iter().chain(below.iter().copied()).collect();
        self.problems.push(self.source.problem(&path, message));
    }

    /// Keys that contradict one another.
    fn check_keys(&mut self) {
        let route = self.route;
        let actions =
            [("to", route.to.is_some()), ("redirect", route.redirect.is_some()), ("respond", route.respond.is_some())];
        let given: Vec<&str> = actions.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
        match given.as_slice() {
            [] => self.problem(&[], "the route does nothing; give one of `to`, `redirect` and `respond`"),
            [_] => {}
            [_, second, ..] => self.problem(
                &[second],
                format!("a route does one thing, and this one has `{}`; keep one of them", given.join("` and `")),
            ),
        }
        for (key, given) in [("strip", route.strip), ("rewrite", route.rewrite.is_some())] {
            if given && route.to.is_none() {
                self.problem(&[key], format!("`{key}` changes the path that goes on, so it needs `to`"));
            }
        }
        if route.strip && route.rewrite.is_some() {
            self.problem(&["rewrite"], "`strip` and `rewrite` both make the new path; keep one of them");
        }
    }

    fn forward(&mut self, to: &To, config: &Config, upstreams: &Upstreams) -> Option<Action> {
        let mut targets = Vec::new();
        for (destination, below) in destinations(Some(to)) {
            let path: Vec<&str> = ["routes", self.name].into_iter().chain(below.iter().map(String::as_str)).collect();
            let upstream = upstreams.find(destination, &path, config, self.problems);
            targets.push(upstream);
        }
        let weights: Vec<u16> = match to {
            To::One(_) => vec![1],
            To::Weighted(list) => list.iter().map(|part| part.weight).collect(),
        };
        let turns = RoundRobin::new(&weights).map_err(|why| self.problem(&["to"], why)).ok();
        if turns.as_ref().is_some_and(RoundRobin::is_empty) {
            let path = ["routes", self.name, "to"];
            self.problems.push(self.source.warning(&path, "every weight is 0, so every request gets a 503"));
        }
        let path = match &self.route.rewrite {
            Some(rewrite) => self.rewrite(rewrite).map(PathRule::Rewrite),
            None if self.route.strip => Some(PathRule::Strip),
            None => Some(PathRule::Keep),
        };
        let targets: Option<Vec<Target>> = targets
            .into_iter()
            .zip(weights)
            .map(|(upstream, weight)| Some(Target { upstream: upstream?, weight }))
            .collect();
        Some(Action::Forward(Forward { targets: targets?, turns: turns?, path: path? }))
    }

    fn rewrite(&mut self, text: &str) -> Option<Template> {
        let template = self.template(text, &["rewrite"])?;
        if !text.starts_with('/') {
            self.problem(&["rewrite"], format!("a path begins with `/`; write `/{text}`"));
            return None;
        }
        let mut sample = String::new();
        template.render(&mut sample, &mut |_, out| out.push('x'));
        if let Err(why) = Path::parse(&sample) {
            self.problem(&["rewrite"], format!("no path can be made of `{text}`: {why}"));
            return None;
        }
        if text.contains(['?', '#']) || text.chars().any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
            self.problem(
                &["rewrite"],
                "a path holds no `?`, `#`, spaces or non-ASCII characters; the client's query goes along by itself",
            );
            return None;
        }
        Some(template)
    }

    fn redirect(&mut self, redirect: &config::Redirect) -> Option<Action> {
        let template = self.template(&redirect.to, &["redirect", "to"])?;
        let status = redirect.status.0;
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            self.problem(
                &["redirect", "status"],
                format!("{status} is no redirect; allowed are 301, 302, 303, 307 and 308"),
            );
            return None;
        }
        let to = redirect.to.as_str();
        if !(to.starts_with('/') && !to.starts_with("//") || to.starts_with("https://") || to.starts_with("http://")) {
            self.problem(
                &["redirect", "to"],
                format!("`{to}` is neither a path nor a URL; begin it with `/`, `https://` or `http://`"),
            );
            return None;
        }
        // A wildcard that the client fills must not choose the host: http://{x}.test/ would be an open redirect.
        let authority_end =
            to.find("://").map(|at| to[at + 3..].find(['/', '?', '#']).map_or(to.len(), |end| at + 3 + end));
        if authority_end.is_some_and(|end| to[..end].contains('{')) {
            self.problem(&["redirect", "to"], "the host of a redirect cannot hold a variable: clients would choose it");
            return None;
        }
        if HeaderValue::from_str(to).is_err() || !to.is_ascii() || to.contains(' ') {
            self.problem(&["redirect", "to"], "a location holds no spaces, line breaks or non-ASCII characters");
            return None;
        }
        Some(Action::Redirect(Redirect { status, to: template, has_query: redirect.to.contains('?') }))
    }

    /// A template of the wildcards that every path of the route has.
    fn template(&mut self, text: &str, below: &[&str]) -> Option<Template> {
        let template = Template::parse(text).map_err(|problem| self.problem(below, problem.to_string())).ok()?;
        let known = wildcards(self.route);
        for variable in template.variables() {
            if !known.contains(variable) {
                let names: Vec<String> = known.iter().map(|name| format!("{{{name}}}")).collect();
                let allowed = match names.as_slice() {
                    [] => "its paths have none in common".to_owned(),
                    names => format!("allowed: {}", names.join(", ")),
                };
                self.problem(
                    below,
                    format!("`{{{variable}}}` is no wildcard of the route's path; {allowed} (`{{rest}}` is what stands below a path that ends in `/`)"),
                );
                return None;
            }
        }
        Some(template)
    }

    fn respond(&mut self, respond: &config::Respond) -> Option<Action> {
        let status = respond.status.0;
        if status < 200 {
            self.problem(&["respond", "status"], format!("{status} is not a final answer; allowed are 200 to 599"));
        }
        if matches!(status, 204 | 205 | 304) && !respond.body.is_empty() {
            self.problem(&["respond", "body"], format!("a {status} has no body; leave it out, or take another status"));
        }
        let content_type = HeaderValue::from_str(&respond.content_type)
            .map_err(|_| self.problem(&["respond", "content_type"], "holds bytes that no header can carry"))
            .ok()?;
        let mut headers = Vec::new();
        for (name, value) in &respond.headers {
            match header(name, value) {
                Ok(header) => headers.push(header),
                Err(why) => self.problem(&["respond", "headers", name], why),
            }
        }
        let body = match respond.body.as_str() {
            "" => Body::Empty,
            text => Body::Bytes(content_type, Bytes::copy_from_slice(text.as_bytes())),
        };
        let reply = Reply { headers, body, ..Reply::status(StatusCode::from_u16(status).ok()?.as_u16()) };
        Some(Action::Respond(Respond { reply }))
    }
}

/// A header of an answer that the file gives as a whole: no templates.
fn header(name: &str, value: &SecretText) -> Result<(HeaderName, HeaderValue), String> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header's name"))?;
    if is_framing(&name) || is_hop_by_hop(&name) {
        return Err(format!("`{name}` belongs to the message's framing or connection, which the door writes itself"));
    }
    if name == CONTENT_TYPE {
        return Err("the body's media type is `content_type`'s to say".to_owned());
    }
    let (text, secret) = match value.resolve()? {
        Resolved::Literal(text) => (text, false),
        Resolved::Secret(text) => (text, true),
    };
    let mut value =
        HeaderValue::from_str(&text).map_err(|_| "holds a line break or another byte that no header can carry")?;
    value.set_sensitive(secret);
    Ok((name, value))
}
