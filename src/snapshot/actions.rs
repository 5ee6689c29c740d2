//! What a route does in the end: exactly one of `to`, `redirect` and `respond`.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};

use super::location;
use super::route::{Action, Forward, PathRule, Redirect, Respond, Target, wildcards};
use super::upstreams::{Upstreams, targets_of};
use crate::config;
use crate::config::{Config, Name, Problem, Resolved, SecretText, Source, To};
use crate::filter::{Body, Reply};
use crate::head::Path;
use crate::head::hop::{is_framing, is_hop_by_hop};
use crate::route::Pattern;
use crate::template::Template;
use crate::upstream::{RoundRobin, Upstream};

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

pub(super) struct Compiler<'a> {
    pub(super) name: &'a str,
    pub(super) route: &'a config::Route,
    source: &'a Source,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl Compiler<'_> {
    pub(super) fn warn(&mut self, below: &[&str], message: impl Into<String>) {
        let path: Vec<&str> = ["routes", self.name].into_iter().chain(below.iter().copied()).collect();
        self.problems.push(self.source.warning(&path, message));
    }

    pub(super) fn problem(&mut self, below: &[&str], message: impl Into<String>) {
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
        for (key, given) in [
            ("retry", route.retry.as_ref().is_some_and(|retry| retry.on().is_some())),
            ("mirror", route.mirror.is_some()),
            ("deadline_header", route.deadline_header.is_some()),
        ] {
            if given && route.to.is_none() {
                self.problem(&[key], format!("`{key}` is about requests that are passed on, so it needs `to`"));
            }
        }
        if route.strip && route.rewrite.is_some() {
            self.problem(&["rewrite"], "`strip` and `rewrite` both make the new path; keep one of them");
        }
    }

    fn forward(&mut self, to: &To, config: &Config, upstreams: &Upstreams) -> Option<Action> {
        let mut targets = Vec::new();
        for (destination, below) in targets_of(to) {
            let path: Vec<&str> = ["routes", self.name].into_iter().chain(below.iter().map(String::as_str)).collect();
            let upstream = upstreams.find(destination, &path, config, self.problems);
            if let Some(upstream) = &upstream {
                let below: Vec<&str> = below.iter().map(String::as_str).collect();
                self.check_key(upstream, &below);
            }
            targets.push(upstream);
        }
        let weights: Vec<u16> = match to {
            To::One(_) => vec![1],
            To::Weighted(list) => list.iter().map(|part| part.weight).collect(),
        };
        let turns = RoundRobin::new(&weights).map_err(|why| self.problem(&["to"], why)).ok();
        if turns.as_ref().is_some_and(RoundRobin::is_empty) {
            self.warn(&["to"], "every weight is 0, so every request gets a 503");
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
        let (retry, mirror) = (self.retry(config), self.mirror(config, upstreams));
        let deadline_header = self.deadline_header();
        Some(Action::Forward(Forward { targets: targets?, turns: turns?, path: path?, retry, mirror, deadline_header }))
    }

    /// What an upstream's `balance` asks for must be in every request that the route passes on to it.
    fn check_key(&mut self, upstream: &Upstream, below: &[&str]) {
        let config::Balance::Hash(config::HashKey::Path(key)) = &upstream.settings().balance else { return };
        let known = wildcards(self.route);
        if known.contains(key) {
            return;
        }
        let name = upstream.name();
        let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        let known = match known.as_slice() {
            [] => "they have none in common; balance it by something else".to_owned(),
            known => format!("those that they have: {}", known.join(", ")),
        };
        self.problem(
            below,
            format!("upstream `{name}` is balanced by the wildcard `{key}`, which not every path here has; {known}"),
        );
    }

    fn rewrite(&mut self, text: &str) -> Option<Template> {
        let template = self.template(text, &["rewrite"])?;
        match check_rewrite(text, &template) {
            Ok(()) => Some(template),
            Err(why) => {
                self.problem(&["rewrite"], why);
                None
            }
        }
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
        if let Err(why) = location::check(&redirect.to) {
            self.problem(&["redirect", "to"], why);
            return None;
        }
        Some(Action::Redirect(Redirect { status, to: template, has_query: redirect.to.contains('?') }))
    }

    /// A template of the wildcards that every path of the route has. Which a broken path would have is not known, and
    /// that it is broken is told already.
    fn template(&mut self, text: &str, below: &[&str]) -> Option<Template> {
        let template = Template::parse(text).map_err(|problem| self.problem(below, problem.to_string())).ok()?;
        if self.route.path.iter().any(|path| Pattern::parse(path).is_err()) {
            return Some(template);
        }
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

/// Whether a template makes paths, whatever its wildcards stand for; if not, why, and what to write.
fn check_rewrite(text: &str, template: &Template) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err(format!("a path begins with `/`; write `/{text}`"));
    }
    if let Some(mark) = text.find(['?', '#']) {
        let (path, sign) = (&text[..mark], &text[mark..=mark]);
        return Err(format!("a path holds no `{sign}`, and the client's query goes along by itself; write `{path}`"));
    }
    if let Some(odd) = text.chars().find(|c| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
        let escaped: String = odd.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
        return Err(format!("a path holds no `{}`; write `{escaped}` for it", odd.escape_debug()));
    }
    // No path has two `~` by chance, and none is escaped.
    let stand_in = |name: &str| format!("~~{name}~~");
    let mut sample = String::new();
    template.render(&mut sample, &mut |name, out| out.push_str(&stand_in(name)));
    let path = Path::parse(&sample).map_err(|why| format!("no path can be made of `{text}`: {why}"))?;
    if path.forwarded() == sample {
        return Ok(());
    }
    let names = template.variables();
    let better =
        names.fold(path.forwarded().to_owned(), |text, name| text.replace(&stand_in(name), &format!("{{{name}}}")));
    Err(format!("no upstream would see `{text}`; write `{better}`"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<(), String> {
        check_rewrite(text, &Template::parse(text).unwrap())
    }

    #[test]
    fn a_rewrite_that_is_no_path_says_what_to_write() {
        for (text, says) in [
            ("v2/{rest}", "write `/v2/{rest}`"),
            ("/a/{id}?b=c", "holds no `?`, and the client's query goes along by itself; write `/a/{id}`"),
            ("/a#b", "holds no `#`, and the client's query goes along by itself; write `/a`"),
            ("/a b", "holds no ` `; write `%20` for it"),
            ("/a\tb", "holds no `\\t`; write `%09` for it"),
            ("/é", "holds no `é`; write `%C3%A9` for it"),
            ("/x/../y", "write `/y`"),
            ("/x//{rest}", "write `/x/{rest}`"),
            ("/x/{id}/./{rest}", "write `/x/{id}/{rest}`"),
            ("/a/../../b", "climbs above its root"),
            ("/a%zz", "two hexadecimal digits"),
        ] {
            let said = checked(text).unwrap_err();
            assert!(
                said.ends_with(says) || said.contains("no path can be made") && said.contains(says),
                "{text}: {said}"
            );
        }
    }

    #[test]
    fn a_rewrite_may_spell_as_it_likes_what_goes_on_so() {
        for text in ["/", "/v2/{rest}", "/by-id/{id}/", "/.{id}", "/%7Eme/{rest}", "/a%2Fb", "/{a}{b}"] {
            assert_eq!(checked(text), Ok(()), "{text}");
        }
    }
}
