//! A configuration that is ready to serve: immutable, whole, and swapped in at once.
//!
//! [`compile`] turns names into links and settings into objects, and collects every problem on the way. After that
//! nothing is looked up by name and nothing can be missing. `check` is the same `compile`, so what it says holds.

mod actions;
mod gaps;
mod listeners;
mod location;
mod matchers;
mod onward;
mod refused;
mod route;
mod tests;
mod upstreams;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::acme::Acme;
use crate::config::{Config, Node, Problem, Severity};
use crate::filter::{Chain, Link, Registry, States};
use crate::route::Table;
use crate::tls::Tls;
use crate::upstream::{Connector, Upstream};
use gaps::Gaps;
pub use listeners::Listener;
pub use onward::Mirror;
pub use refused::{every_problem, every_problem_and_warning, warnings};
use route::Filters;
pub use route::{Action, Forward, PathRule, Redirect, Respond, Route, Target};
pub(crate) use upstreams::destinations;
use work::Work;

/// A configuration that is ready to serve.
pub struct Snapshot {
    generation: u64,
    config: Config,
    listeners: Vec<Arc<Listener>>,
    routes: Vec<Arc<Route>>,
    table: Table,
    upstreams: BTreeMap<Arc<str>, Arc<Upstream>>,
    /// Makes the connections of all their checks, in this snapshot and the next.
    connector: Connector,
    filters: Vec<Made>,
    unrouted: Chain,
    states: States,
}

/// A filter and the settings that it was made of, so that an unchanged one can be kept over a reload.
struct Made {
    owner: Box<str>,
    /// Where in the file it stands.
    path: Vec<Box<str>>,
    settings: Node,
    wildcards: Option<BTreeSet<String>>,
    link: Link,
    work: Arc<Work>,
}

/// Compiles a configuration into a snapshot, and says what is odd about it though it works.
///
/// What stands unchanged in `previous` is taken over as it is, with whatever state it has.
///
/// # Errors
/// Every problem there is, each with its place. Nothing half-loads.
pub fn compile(
    config: Config,
    registry: &Registry,
    previous: Option<&Snapshot>,
) -> Result<(Arc<Snapshot>, Vec<Problem>), Vec<Problem>> {
    let mut problems = Vec::new();
    let upstreams = upstreams::compile(&config, previous, &mut problems);
    let mut states = States::after(previous.map(|previous| &previous.states));
    let mut filters = Filters::new(&config, registry, previous, &states, &mut problems);
    let mut routes = Vec::new();
    for (name, settings) in &config.routes {
        let mut found = Vec::new();
        let gaps = Gaps::of(name, settings, &config.source);
        let chain = gaps.chain(settings, &mut filters, registry, &mut found);
        let action = actions::compile(name, settings, &config, &upstreams, &mut found);
        gaps.drop_consequences(&mut found);
        problems.append(&mut found);
        routes.push(action.map(|action| Arc::new(Route::new(name, settings, &config, action, chain))));
    }
    // The table speaks of routes by their position, so none may be missing.
    let routes: Option<Vec<_>> = routes.into_iter().collect();
    let unrouted = filters.unrouted();
    let made = filters.into_made();
    states.settle();
    let listeners = listeners::compile(&config, previous, &mut problems);
    listeners::refuse_vain_filters(&config, &made, &mut problems);
    tests::compile(&config, &mut problems);
    let table = matchers::compile(&config, &mut problems);
    upstreams::warn_of_unused(&config, &mut problems);
    let (warnings, errors): (Vec<_>, Vec<_>) =
        problems.into_iter().partition(|problem| problem.severity == Severity::Warning);
    match (table, routes) {
        (Some(table), Some(routes)) if errors.is_empty() => {
            let (upstreams, connector) = upstreams.into_used();
            let snapshot = Snapshot {
                generation: previous.map_or(1, |previous| previous.generation + 1),
                listeners,
                routes,
                table,
                upstreams,
                connector,
                filters: made,
                unrouted,
                states,
                config,
            };
            Ok((Arc::new(snapshot), warnings))
        }
        _ => Err(in_order(errors)),
    }
}

/// By place, so that they can be mended from top to bottom.
fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    // What has no place ("and 30 more") stands behind what has.
    problems.sort_by(|a, b| (a.place.is_none(), &a.place).cmp(&(b.place.is_none(), &b.place)));
    problems.dedup();
    problems
}

impl Snapshot {
    /// How many snapshots came before this one in the process, itself included.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The configuration that it was compiled from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The listeners, in the order of their names.
    pub fn listeners(&self) -> &[Arc<Listener>] {
        &self.listeners
    }

    /// The TLS of those that have it.
    pub fn tls(&self) -> impl Iterator<Item = &Arc<Tls>> {
        self.listeners.iter().filter_map(|listener| listener.tls.as_ref())
    }

    /// Who orders certificates for them.
    pub fn acme(&self) -> impl Iterator<Item = &Arc<Acme>> {
        self.listeners.iter().filter_map(|listener| listener.acme.as_ref())
    }

    /// A listener by its name; `None` for one that was taken out of the file while its connections drain.
    pub fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        self.listeners.iter().find(|listener| &*listener.name == name)
    }

    /// The routes; what the table says are positions in here.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// Which request takes which route.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// An upstream by its name, or by the URL that a route gave in place of one.
    pub fn upstream(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.upstreams.get(name)
    }

    /// All upstreams: those of the file, and those that routes gave a URL in place of.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.values()
    }

    /// What answers that no route made pass through: the filters that every route has without asking, and those of
    /// `defaults` that every answer should carry.
    pub fn unrouted(&self) -> &Chain {
        &self.unrouted
    }

    /// Begins the filters' work beside the requests, where it has not begun yet. Within a tokio runtime.
    pub fn start_filters(&self) {
        self.filters.iter().for_each(|made| made.work.begin(&made.link.filter));
    }

    /// Resolves when all filters have what they need.
    pub async fn filters_ready(&self) {
        for made in &self.filters {
            made.link.filter.ready().await;
        }
    }
}
