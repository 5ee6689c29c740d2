//! What a route lacks since it could not be read, and what follows from that: one mistake is told once.

use std::collections::BTreeSet;

use super::route::Filters;
use crate::config::{Name, Problem, Route, Source};
use crate::filter::{Chain, Registry, States};
use crate::route::Pattern;

/// What of a route could not be read, so that nothing can be said of what depends on it.
pub(super) struct Gaps<'a> {
    /// Keys of which something was left out.
    keys: BTreeSet<&'a str>,
    /// What stands there as its path is none.
    bad_path: bool,
    name: &'a Name,
    source: &'a Source,
}

/// The keys that say which requests, and how they go on. Any other that was left out may have been what the route does.
const NO_ACTIONS: [&str; 9] =
    ["path", "hosts", "methods", "headers", "query", "strip", "rewrite", "timeout", "filters"];

impl<'a> Gaps<'a> {
    /// Those of a route that was read as a whole.
    pub(super) fn of(name: &'a Name, route: &Route, source: &'a Source) -> Self {
        let bad_path = !route.path.iter().all(|path| Pattern::parse(path).is_ok());
        Self { keys: BTreeSet::new(), bad_path, name, source }
    }

    /// The same, and these keys were left out.
    pub(super) fn and(mut self, without: &'a BTreeSet<String>) -> Self {
        self.keys.extend(without.iter().map(String::as_str));
        self
    }

    /// The route's chain; of one whose wildcards are unknown only what is wrong with its filters in any case.
    pub(super) fn chain(
        &self,
        route: &Route,
        filters: &mut Filters<'_>,
        registry: &Registry,
        problems: &mut Vec<Problem>,
    ) -> Chain {
        if !self.has_no_path() {
            return filters.chain(self.name, route, problems);
        }
        for (kind, node) in &route.filters {
            let settings = self.source.node(*node);
            let path = ["routes", self.name.as_ref(), "filters", kind];
            if settings.as_text() != Some("off") {
                problems.extend(registry.make(kind, settings, self.source, &path, None, &States::default()).1);
            }
        }
        Chain::new(Vec::new())
    }

    fn has_no_path(&self) -> bool {
        self.bad_path || self.keys.contains("path")
    }

    fn has_no_action(&self) -> bool {
        self.keys.iter().any(|key| !NO_ACTIONS.contains(key))
    }

    /// Drops what need not be wrong once the gaps are mended.
    pub(super) fn drop_consequences(&self, problems: &mut Vec<Problem>) {
        if self.bad_path || !self.keys.is_empty() {
            problems.retain(|problem| !self.explain(problem));
        }
    }

    fn explain(&self, problem: &Problem) -> bool {
        let route = self.source.problem(&["routes", self.name.as_ref()], "").path;
        let below = problem.path.strip_prefix(&route).map(|below| below.trim_start_matches('.'));
        let Some(below) = below else { return false };
        let key = below.split(['.', '[']).next().unwrap_or_default();
        match key {
            // The route as a whole: that it does nothing.
            "" | "strip" => self.has_no_action(),
            "rewrite" if self.has_no_path() || self.has_no_action() => true,
            "redirect" if self.has_no_path() && below == "redirect.to" => true,
            // What was left out of a list moved the others.
            _ => self.keys.contains(key) && self.is_list(key),
        }
    }

    fn is_list(&self, key: &str) -> bool {
        let node = self.source.root().get("routes").and_then(|routes| routes.get(self.name.as_ref())?.get(key));
        node.is_some_and(|node| !node.items().is_empty())
    }
}
