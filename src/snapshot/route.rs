//! A route that is ready to serve, and the chains of filters.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::{Made, Mirror, Snapshot};
use crate::config;
use crate::config::{Config, Limit, Name, Node, Problem, RawNode, Retry};
use crate::filter::{Chain, Link, Registry, Reply, Stage, States, owner_of};
use crate::route::Pattern;
use crate::template::Template;
use crate::upstream::{RoundRobin, Upstream};

/// What becomes of the requests that it matches.
pub struct Route {
    /// Its name in the file.
    pub name: Arc<str>,
    /// What they pass on the way.
    pub chain: Chain,
    /// What is done with them in the end.
    pub action: Action,
    /// How long one exchange may take; `None`: as long as it wants.
    pub timeout: Option<Duration>,
    /// Whether the file says so, and not this program.
    pub has_own_timeout: bool,
}

/// What a route does with a request.
pub enum Action {
    /// Passes it on.
    Forward(Forward),
    /// Answers with a redirect.
    Redirect(Redirect),
    /// Answers as the file says.
    Respond(Respond),
}

/// Passing requests on.
pub struct Forward {
    /// To one of these.
    pub targets: Vec<Target>,
    /// By turns.
    pub turns: RoundRobin,
    /// With this path.
    pub path: PathRule,
    /// When it is tried again; `None`: never.
    pub retry: Option<Retry>,
    /// Copied to another upstream.
    pub mirror: Option<Mirror>,
    /// The header that tells the upstream how many milliseconds are left.
    pub deadline_header: Option<HeaderName>,
}

/// One upstream that a route passes requests on to.
pub struct Target {
    /// Where to.
    pub upstream: Arc<Upstream>,
    /// Its share beside the others'.
    pub weight: u16,
}

/// The path that a request goes on with.
pub enum PathRule {
    /// Its own.
    Keep,
    /// Without the matched prefix.
    Strip,
    /// A new one.
    Rewrite(Template),
}

/// A redirect made by the door.
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Where to.
    pub to: Template,
    /// Whether `to` has a query of its own; if not, the client's goes along.
    pub has_query: bool,
}

/// A response made by the door.
pub struct Respond {
    /// Ready to be sent.
    pub reply: Reply,
}

/// Bounds an exchange of which neither the route nor `defaults` says anything.
const TIMEOUT: Duration = Duration::from_secs(30);

impl Route {
    pub(super) fn new(name: &Name, settings: &config::Route, config: &Config, action: Action, chain: Chain) -> Self {
        let timeout = match settings.timeout.or(config.defaults.timeout) {
            None => Some(TIMEOUT),
            Some(Limit::After(time)) => Some(time),
            Some(Limit::Off) => None,
        };
        let has_own_timeout = settings.timeout.or(config.defaults.timeout).is_some();
        Self { name: Arc::from(name.as_str()), chain, action, timeout, has_own_timeout }
    }
}

/// The wildcards that all paths of a route have; of paths that are in order.
pub(super) fn wildcards(route: &config::Route) -> BTreeSet<String> {
    let mut paths = route.path.iter().filter_map(|path| Pattern::parse(path).ok());
    let mut known: BTreeSet<String> = paths.next().iter().flat_map(Pattern::variables).map(str::to_owned).collect();
    for pattern in paths {
        known.retain(|name| pattern.variables().any(|variable| variable == name));
    }
    known
}

/// Whether settings name a secret or another file: what they stand for may have changed though they have not.
fn reads_outside(settings: &Node) -> bool {
    let keys = ["file", "env", "credential", "pem", "ca"];
    keys.iter().any(|key| settings.get(key).is_some())
        || settings.entries().any(|(_, value)| reads_outside(value))
        || settings.items().iter().any(reads_outside)
}

/// Makes the filters of the file, each once for each place that names it.
pub(super) struct Filters<'a> {
    config: &'a Config,
    registry: &'a Registry,
    states: &'a States,
    previous: HashMap<(&'a str, &'static str), &'a Made>,
    defaults: BTreeMap<&'static str, Link>,
    made: Vec<Made>,
}

/// Who the filters of `defaults` belong to. No route can have this name: `:` is not among a name's characters.
const DEFAULTS: &str = ":defaults";

impl<'a> Filters<'a> {
    pub(super) fn new(
        config: &'a Config,
        registry: &'a Registry,
        previous: Option<&'a Snapshot>,
        states: &'a States,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let previous = previous
            .iter()
            .flat_map(|snapshot| &snapshot.filters)
            .map(|made| ((&*made.owner, made.link.kind), made))
            .collect();
        let mut filters = Self { config, registry, states, previous, defaults: BTreeMap::new(), made: Vec::new() };
        for (kind, node) in &config.defaults.filters {
            let path = ["defaults", "filters", kind.as_str()];
            if let Some(link) = filters.make(DEFAULTS, None, kind, *node, &path, problems) {
                filters.defaults.insert(link.kind, link);
            }
        }
        filters
    }

    /// The chain of a route: what `defaults` says, unless the route says otherwise, in the gateway's order.
    pub(super) fn chain(&mut self, name: &Name, route: &config::Route, problems: &mut Vec<Problem>) -> Chain {
        let mut links: BTreeMap<&'static str, Link> =
            self.registry.implied().map(|link| (link.kind, link)).chain(self.defaults.clone()).collect();
        for kind in self.switched_off(&self.config.defaults.filters) {
            links.remove(kind);
        }
        let wildcards = wildcards(route);
        for (kind, node) in &route.filters {
            let path = ["routes", name.as_ref(), "filters", kind.as_str()];
            if self.is_off(*node) {
                self.check_off(kind, &links, &path, problems);
                links.remove(kind.as_str());
            } else if let Some(link) = self.make(name.as_ref(), Some(&wildcards), kind, *node, &path, problems) {
                links.insert(link.kind, link);
            }
        }
        self.warn_of_missing(name, &links, problems);
        Chain::new(links.into_values().collect())
    }

    /// A filter that needs another one before it, and does not have it, is hardly meant so.
    fn warn_of_missing(&self, name: &Name, links: &BTreeMap<&'static str, Link>, problems: &mut Vec<Problem>) {
        for kind in links.keys() {
            if let Some(before) = self.registry.after(kind).filter(|before| !links.contains_key(before)) {
                let message = format!("this route has `{kind}` but no `{before}`, without which it is of no use");
                problems.push(self.config.source.warning(&["routes", name.as_ref()], message));
            }
        }
    }

    /// What answers that no route made pass through.
    pub(super) fn unrouted(&self) -> Chain {
        let defaults = self.defaults.values().filter(|link| self.registry.is_unrouted(link.kind)).cloned();
        let mut links: BTreeMap<&'static str, Link> =
            self.registry.implied().chain(defaults).map(|link| (link.kind, link)).collect();
        for kind in self.switched_off(&self.config.defaults.filters) {
            links.remove(kind);
        }
        Chain::new(links.into_values().collect())
    }

    /// Tells what is wrong with the filters of routes that could not be read for other reasons.
    pub(super) fn check_broken_routes(&mut self, problems: &mut Vec<Problem>) {
        let source = &self.config.source;
        let routes = source.root().get("routes").into_iter().flat_map(Node::entries);
        for (route, node) in routes.filter(|(route, _)| !self.config.routes.contains_key(*route)) {
            for (kind, settings) in node.get("filters").into_iter().flat_map(Node::entries) {
                let path = ["routes", route, "filters", kind];
                if settings.as_text() != Some("off") {
                    problems.extend(self.registry.make(kind, settings, source, &path, None, self.states).1);
                }
            }
        }
    }

    pub(super) fn into_made(self) -> Vec<Made> {
        self.made
    }

    fn is_off(&self, node: RawNode) -> bool {
        self.config.source.node(node).as_text() == Some("off")
    }

    fn switched_off<'b>(&'b self, filters: &'b BTreeMap<String, RawNode>) -> impl Iterator<Item = &'b str> {
        filters.iter().filter(|(_, node)| self.is_off(**node)).map(|(kind, _)| kind.as_str())
    }

    /// `off` for a kind that does not exist is a misspelling, and one that turns off nothing is at least odd.
    fn check_off(&self, kind: &str, links: &BTreeMap<&str, Link>, path: &[&str], problems: &mut Vec<Problem>) {
        let source = &self.config.source;
        // That anybody may use a route is worth saying, even where nothing says otherwise.
        let is_statement = self.registry.stage(kind) == Some(Stage::Auth);
        if self.registry.position(kind).is_none() {
            problems.push(source.problem_with_key(path, self.registry.unknown(kind)));
        } else if !links.contains_key(kind) && !self.config.defaults.filters.contains_key(kind) && !is_statement {
            problems.push(source.warning(path, format!("there is no `{kind}` in `defaults` that `off` could remove")));
        }
    }

    fn make(
        &mut self,
        owner: &str,
        wildcards: Option<&BTreeSet<String>>,
        kind: &str,
        node: RawNode,
        path: &[&str],
        problems: &mut Vec<Problem>,
    ) -> Option<Link> {
        let source = &self.config.source;
        if self.is_off(node) {
            if self.registry.position(kind).is_none() {
                problems.push(source.problem_with_key(path, self.registry.unknown(kind)));
            }
            return None;
        }
        let settings = source.node(node);
        let kept = self
            .registry
            .position(kind)
            .and_then(|_| self.registry.kinds().find(|known| *known == kind))
            .and_then(|kind| self.previous.get(&(owner, kind)))
            .filter(|made| {
                made.settings.same(settings) && made.wildcards.as_ref() == wildcards && !reads_outside(settings)
            });
        let (link, work) = match kept {
            Some(made) => {
                self.states.keep(&owner_of(path), made.link.kind);
                (made.link.clone(), made.work.clone())
            }
            None => {
                let (link, found) = self.registry.make(kind, settings, source, path, wildcards, self.states);
                problems.extend(found);
                (link?, Arc::default())
            }
        };
        let wildcards = wildcards.cloned();
        let path = path.iter().map(|&key| key.into()).collect();
        let (owner, settings) = (owner.into(), settings.clone());
        self.made.push(Made { owner, path, settings, wildcards, link: link.clone(), work });
        Some(link)
    }
}
