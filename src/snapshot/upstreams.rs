//! The upstreams of a snapshot: those of the file, and those that routes name by a URL.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use super::Snapshot;
use crate::config;
use crate::config::{Config, Destination, Name, Problem, To, did_you_mean};
use crate::upstream::{Checker, Connector, Refusal, Remark, Transport, Upstream};

/// The upstreams that could be made, by name or URL.
pub(super) struct Upstreams {
    made: BTreeMap<Arc<str>, Arc<Upstream>>,
    /// Names of the file of which a problem was told already: that they can't be used is no second one.
    broken: BTreeSet<Arc<str>>,
    /// Makes the connections of all checks.
    connector: Connector,
}

/// Makes all upstreams, or takes them over from `previous` where their part of the file is the same.
pub(super) fn compile(config: &Config, previous: Option<&Snapshot>, problems: &mut Vec<Problem>) -> Upstreams {
    let connector = previous.map(|snapshot| snapshot.connector.clone()).unwrap_or_default();
    let mut upstreams = Upstreams { made: BTreeMap::new(), broken: BTreeSet::new(), connector };
    for (name, settings) in &config.upstreams {
        upstreams.make(name.as_ref(), settings, previous, &["upstreams", name.as_ref()], config, problems);
    }
    for (route, settings) in &config.routes {
        for (destination, path) in destinations(settings) {
            if let Destination::Url(url) = destination
                && !upstreams.knows(url.as_str())
            {
                let path: Vec<&str> =
                    ["routes", route.as_ref()].into_iter().chain(path.iter().map(String::as_str)).collect();
                let tls = url.tls.then(config::Tls::default);
                let endpoints = vec![config::Endpoint::of(url.address.clone())];
                let settings = config::Upstream { tls, ..config::Upstream::of(endpoints) };
                upstreams.make(url.as_str(), &settings, previous, &path, config, problems);
            }
        }
    }
    upstreams
}

impl Upstreams {
    fn knows(&self, name: &str) -> bool {
        self.made.contains_key(name) || self.broken.contains(name)
    }

    fn make(
        &mut self,
        name: &str,
        settings: &config::Upstream,
        previous: Option<&Snapshot>,
        path: &[&str],
        config: &Config,
        problems: &mut Vec<Problem>,
    ) {
        let transport = transport(settings, path, config, problems);
        let checker = checker(settings, &self.connector, path, config, problems);
        let (Some(transport), Some(checker)) = (transport, checker) else {
            self.broken.insert(name.into());
            return;
        };
        let previous = previous.and_then(|snapshot| snapshot.upstream(name));
        let kept = previous.filter(|upstream| {
            upstream.settings() == settings
                && upstream.is_literal()
                && *upstream.transport() == transport
                && upstream.checker() == checker.as_ref()
        });
        if let Some(upstream) = kept {
            self.made.insert(upstream.name().clone(), upstream.clone());
            return;
        }
        match Upstream::new(name, settings, transport, checker, previous.map(AsRef::as_ref)) {
            Ok(upstream) => {
                if upstream.is_drained() {
                    let message = "every weight is 0, so every request for it gets a 503";
                    problems.push(config.source.warning(path, message));
                }
                self.made.insert(upstream.name().clone(), Arc::new(upstream));
            }
            Err(why) => {
                self.broken.insert(name.into());
                for Refusal { at, message } in why {
                    let at: Vec<&str> = at.iter().map(String::as_str).collect();
                    problems.push(config.source.problem(&below(path, &at), message));
                }
            }
        }
    }

    /// What a route's `to` means; `None` if that is a problem, which is told unless it was told before.
    pub(super) fn find(
        &self,
        destination: &Destination,
        path: &[&str],
        config: &Config,
        problems: &mut Vec<Problem>,
    ) -> Option<Arc<Upstream>> {
        let name = destination.name();
        let found = self.made.get(name).cloned();
        // An upstream that is there and could not be read is told of already.
        let is_there = config.source.root().get("upstreams").is_some_and(|upstreams| upstreams.get(name).is_some());
        if found.is_none() && !is_there && !self.broken.contains(name) {
            problems.push(config.source.problem(path, unknown(name, config)));
        }
        found
    }

    pub(super) fn into_used(self) -> (BTreeMap<Arc<str>, Arc<Upstream>>, Connector) {
        (self.made, self.connector)
    }
}

/// The keys that lead to a value of an upstream. A URL that stands for one has no keys below it.
fn below<'a>(path: &[&'a str], keys: &[&'a str]) -> Vec<&'a str> {
    match path[0] {
        "upstreams" => [path, keys].concat(),
        _ => path.to_vec(),
    }
}

/// How the endpoints are checked, if they are; `None` if that is a problem.
fn checker(
    settings: &config::Upstream,
    connector: &Connector,
    path: &[&str],
    config: &Config,
    problems: &mut Vec<Problem>,
) -> Option<Option<Checker>> {
    let Some(health) = &settings.health else { return Some(None) };
    let refused = match Checker::new(health, &settings.host, connector) {
        Ok(checker) => return Some(Some(checker)),
        Err(refused) => refused,
    };
    for (header, why) in refused {
        problems.push(config.source.problem(&below(path, &["health", "headers", &header]), why));
    }
    None
}

/// How the endpoints are spoken to; `None` if that is a problem. Files that settings name are read anew each time.
fn transport(
    settings: &config::Upstream,
    path: &[&str],
    config: &Config,
    problems: &mut Vec<Problem>,
) -> Option<Transport> {
    let at = |remark: &Remark| below(path, &[&["tls"], remark.at].concat());
    match Transport::load(settings, SystemTime::now()) {
        Ok((transport, warnings)) => {
            problems.extend(warnings.iter().map(|remark| config.source.warning(&at(remark), remark.message.as_str())));
            Some(transport)
        }
        Err(why) => {
            problems.extend(why.iter().map(|remark| config.source.problem(&at(remark), remark.message.as_str())));
            None
        }
    }
}

fn unknown(name: &str, config: &Config) -> String {
    let known = || config.upstreams.keys().map(Name::as_ref);
    let hint = did_you_mean(name, known()).map(|near| format!(" did you mean `{near}`?")).unwrap_or_default();
    let some: Vec<String> = known().take(10).map(|name| format!("`{name}`")).collect();
    let known = if some.is_empty() {
        "the file has no `upstreams`; add one, or write a URL such as http://127.0.0.1:9101".to_owned()
    } else {
        format!("known: {}{}", some.join(", "), if config.upstreams.len() > 10 { ", …" } else { "" })
    };
    format!("there is no upstream `{name}`;{hint} {known}")
}

/// An upstream that no route names is odd, but hurts nobody.
pub(super) fn warn_of_unused(config: &Config, problems: &mut Vec<Problem>) {
    let used: BTreeSet<&Name> = config
        .routes
        .values()
        .flat_map(destinations)
        .filter_map(|(destination, _)| match destination {
            Destination::Upstream(name) => Some(name),
            Destination::Url(_) => None,
        })
        .collect();
    for name in config.upstreams.keys().filter(|name| !used.contains(name)) {
        problems.push(config.source.warning(&["upstreams", name.as_ref()], "no route uses this upstream"));
    }
}

/// All that a route leads to, each with the keys that lead to it below the route.
pub(crate) fn destinations(route: &config::Route) -> Vec<(&Destination, Vec<String>)> {
    let mirror = route.mirror.iter().map(|mirror| (&mirror.to, vec!["mirror".into(), "to".into()]));
    route.to.iter().flat_map(targets_of).chain(mirror).collect()
}

/// Where a route's `to` leads, each with the keys that lead to it below the route.
pub(super) fn targets_of(to: &To) -> Vec<(&Destination, Vec<String>)> {
    match to {
        To::One(destination) => vec![(destination, vec!["to".into()])],
        To::Weighted(list) => list
            .iter()
            .enumerate()
            .map(|(index, part)| (&part.upstream, vec!["to".into(), index.to_string(), "upstream".into()]))
            .collect(),
    }
}
