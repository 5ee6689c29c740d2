//! What else is wrong with a file that is refused already: all is told in one go.

use std::collections::BTreeMap;

use super::gaps::Gaps;
use super::route::Filters;
use super::{actions, in_order, listeners, matchers, tests, upstreams};
use crate::config::{Config, Name, Node, Problem, Refused, Rest};
use crate::filter::{Registry, States};

/// Everything that is wrong with a file that was refused: what it was refused for, and what
/// [`compile`](super::compile) would have said of the parts that could be read.
pub fn every_problem(refused: Refused, registry: &Registry) -> Vec<Problem> {
    let mut problems = every_problem_and_warning(refused, registry);
    problems.retain(Problem::is_error);
    problems
}

/// The same, and what is odd about it.
pub fn every_problem_and_warning(refused: Refused, registry: &Registry) -> Vec<Problem> {
    let Refused { mut problems, rest } = refused;
    if let Some(rest) = rest {
        problems.extend(look_at(*rest, registry));
    }
    in_order(problems)
}

/// What is odd about a file that was read and then refused by [`compile`](super::compile), which says only why.
pub fn warnings(config: Config, registry: &Registry) -> Vec<Problem> {
    let mut problems = look_at(Rest { config, incomplete: BTreeMap::new(), whole: true, has_defaults: true }, registry);
    problems.retain(|problem| !problem.is_error());
    in_order(problems)
}

fn look_at(rest: Rest, registry: &Registry) -> Vec<Problem> {
    let Rest { config, incomplete, whole, has_defaults } = rest;
    let mut all = config.clone();
    all.routes.extend(incomplete.iter().map(|(name, part)| (name.clone(), part.route.clone())));
    let mut alone = config.clone();
    let mut problems = Vec::new();
    let upstreams = upstreams::compile(&all, None, &mut problems);
    let states = States::default();
    let mut filters = Filters::new(&all, registry, None, &states, &mut problems);
    for (name, route) in &all.routes {
        let mut found = Vec::new();
        let mut gaps = Gaps::of(name, route, &all.source);
        if let Some(part) = incomplete.get(name) {
            gaps = gaps.and(&part.without);
            // The others don't count: a route that lacks something claims more than it will.
            alone.routes = [(name.clone(), route.clone())].into();
            matchers::compile(&alone, &mut found);
        }
        gaps.chain(route, &mut filters, registry, &mut found);
        actions::compile(name, route, &all, &upstreams, &mut found);
        gaps.drop_consequences(&mut found);
        problems.append(&mut found);
    }
    filters.check_broken_routes(&mut problems);
    matchers::compile(&config, &mut problems);
    listeners::compile(&config, None, &mut problems);
    if whole {
        tests::compile(&config, &mut problems);
        problems.extend(unused(&all, &config));
    }
    let unset = all.source.unset();
    problems.retain(|problem| {
        let of_route = problem.path.starts_with("routes.");
        // What a route names may stand in a file that could not be read.
        let path = problem.path.as_str();
        let names =
            of_route && (path.ends_with(".upstream") || path.ends_with(".to")) && !path.ends_with(".redirect.to");
        let is_known = (whole || !names) && (has_defaults || problem.is_error() || !of_route);
        is_known && !problem.place.as_ref().is_some_and(|place| unset.contains(place))
    });
    problems
}

/// The upstreams that nothing uses, and that no route names that could not be read.
fn unused(all: &Config, whole: &Config) -> impl Iterator<Item = Problem> {
    let mut unused = Vec::new();
    upstreams::warn_of_unused(all, &mut unused);
    let routes = all.source.root().get("routes").into_iter().flat_map(Node::entries);
    let broken: Vec<&Node> =
        routes.filter(|(name, _)| !whole.routes.contains_key(*name)).map(|(_, route)| route).collect();
    let is_named = |name: &Name| broken.iter().any(|route| route.may_say(name.as_ref()));
    let named: Vec<String> = all.upstreams.keys().filter(|name| is_named(name)).map(|name| path(all, name)).collect();
    unused.into_iter().filter(move |warning| !named.contains(&warning.path))
}

fn path(config: &Config, upstream: &Name) -> String {
    config.source.problem(&["upstreams", upstream.as_ref()], "").path
}
