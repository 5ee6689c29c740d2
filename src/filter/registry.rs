//! The kinds of filter that a file may name, and how each is made from its part of the file.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::HeaderName;
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;

use super::Filter;
use super::chain::{Link, OnError};
use super::concern::Concern;
use super::guard::Guard;
use super::state::States;
use crate::config::{Node, Problem, Source, decode, did_you_mean};

/// How a filter is made from its part of the file. Separate from [`Filter`] so that `dyn Filter` stays possible.
pub trait Configure: Filter + Sized {
    /// The word that names it in the file.
    const KIND: &'static str;

    /// Where in the chain it runs.
    const STAGE: Stage = Stage::Custom;

    /// Its settings. Use `#[serde(deny_unknown_fields)]`, so that a misspelt key is an error. Doc comments become
    /// descriptions in the file's JSON Schema.
    type Config: DeserializeOwned + JsonSchema;

    /// Whether every answer of the door should carry what it adds. Then answers to requests that no route takes, and to
    /// malformed ones, pass through it where `defaults` names it; and so do answers of filters that run before it, which
    /// its `request` has not seen.
    const UNROUTED: bool = false;

    /// The kind that must be in the chain for this one to be of any use: a route that has not gets a warning.
    const AFTER: Option<&'static str> = None;

    /// Makes the filter, once for each place in the file that names it: everything that can be prepared or refused
    /// before the first request is prepared or refused here.
    ///
    /// # Errors
    /// What is wrong with the settings, each problem with the key it is about. The file is then refused as a whole.
    fn configure(config: Self::Config, env: &Env<'_>) -> std::result::Result<Self, Problems>;

    /// Where in the chain this one runs, if its settings decide that.
    fn stage(&self) -> Stage {
        Self::STAGE
    }

    /// What of it runs at another stage besides, if its settings ask for that; beginning work and being ready is for
    /// the filter itself.
    fn also(&self) -> Option<(Stage, Arc<dyn Filter>)> {
        None
    }

    /// The filter that a route has whose file does not mention this kind, if there is one; `off` removes it.
    fn implied() -> Option<Self> {
        None
    }
}

/// Where in the chain a kind runs: the user names *what*, the gateway knows *when*. In the order of the variants;
/// kinds of one stage run in the order in which they were registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Names the exchange.
    RequestId,
    /// Looks at the client's address only.
    Address,
    /// Answers preflights, which carry no credentials.
    Cors,
    /// Limits what comes, before anybody looks at credentials.
    Rate,
    /// Finds out who asks.
    Auth,
    /// Asks whether they may.
    Require,
    /// Limits what comes by who asks.
    RateByIdentity,
    /// Bounds what is let in.
    Limits,
    /// Translates what clients speak into what upstreams do.
    Protocol,
    /// Everything that users add.
    Custom,
    /// Adds what protects pages in browsers, unless `headers` says otherwise.
    Protection,
    /// Changes headers, when all who may refuse have been asked.
    Headers,
    /// Changes bodies last.
    Compress,
}

/// What a filter may use while it is made.
#[derive(Debug)]
#[non_exhaustive]
pub struct Env<'a> {
    /// The route that names the filter, or `defaults`.
    pub owner: &'a str,
    place: Place<'a>,
    wildcards: Option<&'a BTreeSet<String>>,
    warnings: RefCell<Problems>,
    concerns: RefCell<Vec<Concern>>,
    guard: RefCell<Guard>,
}

/// Where a filter's state is kept.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    states: &'a States,
    owner: &'a str,
    kind: &'static str,
}

impl Env<'_> {
    /// State that outlives this filter: what the filter of this kind at the same place in the file had under this key
    /// before a reload, or what `make` makes. A state of another type is no such state.
    pub fn state<T: Send + Sync + 'static>(&self, key: &str, make: impl FnOnce() -> T) -> Arc<T> {
        let Place { states, owner, kind } = self.place;
        states.get(owner, kind, key, make)
    }

    /// Whether `Request::param` will find a wildcard of this name on every request: whether all paths of the route have
    /// it. For a filter of `defaults` that can't be known, and the answer is yes.
    pub fn has_wildcard(&self, name: &str) -> bool {
        self.wildcards.is_none_or(|wildcards| wildcards.contains(name))
    }

    /// Something odd about the settings that the file is not refused for, at `path` below the filter's own key.
    pub fn warn(&self, path: &[&str], message: impl Into<String>) {
        self.warnings.borrow_mut().add(path, message);
    }

    /// Something for `onedoor check --audit` to tell: what works as it is written and should not stay so unseen.
    pub fn concern(&self, concern: Concern) {
        self.concerns.borrow_mut().push(concern);
    }

    /// The services behind learn by this header of the request who asks, so it must never be a client's own. The audit
    /// tells of routes to the same upstream by which it could be.
    pub fn vouches(&self, name: &HeaderName) {
        self.guard.borrow_mut().vouched.push(name.clone());
    }

    /// No client's own value of this header gets past the filter.
    pub fn closes(&self, name: &HeaderName) {
        self.guard.borrow_mut().closed.push(name.clone());
    }

    /// Of the client's own headers only these get past the filter.
    pub fn closes_all_but(&self, names: &[HeaderName]) {
        self.guard.borrow_mut().open = Some(names.to_vec());
    }

    /// The wildcards that all paths of the route have; none for a filter of `defaults`.
    pub fn wildcards(&self) -> impl Iterator<Item = &str> {
        self.wildcards.into_iter().flatten().map(String::as_str)
    }
}

/// What is wrong with a filter's settings: for each problem, the keys that lead to it and a sentence.
#[derive(Debug, Default)]
pub struct Problems(Vec<(Vec<String>, String)>);

impl Problems {
    /// One more, at `path` below the filter's own key: `&["request", "set", "x-a"]`.
    pub fn add(&mut self, path: &[&str], message: impl Into<String>) {
        self.0.push((path.iter().map(|&key| key.to_owned()).collect(), message.into()));
    }

    /// What is wrong with a part of the settings, which stands at `path` below the filter's own key.
    pub fn add_below(&mut self, path: &[&str], part: Problems) {
        let below = |rest: Vec<String>| path.iter().map(|&key| key.to_owned()).chain(rest).collect();
        self.0.extend(part.0.into_iter().map(|(rest, message)| (below(rest), message)));
    }

    /// `value` if nothing is wrong, else what is.
    ///
    /// # Errors
    /// If there is at least one problem.
    pub fn or<T>(self, value: T) -> std::result::Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl<S: Into<String>> From<S> for Problems {
    fn from(message: S) -> Self {
        Self(vec![(Vec::new(), message.into())])
    }
}

/// The kinds of filter that a file may name.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: Vec<Kind>,
}

#[derive(Clone)]
struct Kind {
    name: &'static str,
    stage: Stage,
    make: Make,
    implied: fn() -> Option<Arc<dyn Filter>>,
    is_unrouted: bool,
    after: Option<&'static str>,
    schema: fn() -> Schema,
}

type Make = fn(&Node, &Source, &[&str], &Env<'_>) -> std::result::Result<Made, Vec<Problem>>;

/// A filter that was made, where it runs, and what runs at another stage besides.
struct Made {
    filter: Arc<dyn Filter>,
    stage: Stage,
    also: Option<(Stage, Arc<dyn Filter>)>,
}

impl Registry {
    /// With one more kind.
    ///
    /// # Panics
    /// If the kind's word is taken already or is `off`: two filters of one name are a mistake in the program, which
    /// no file could mend.
    #[must_use]
    pub fn with<F: Configure>(mut self) -> Self {
        assert!(
            F::KIND != "off" && !self.kinds().any(|kind| kind == F::KIND),
            "the filter kind `{}` is taken",
            F::KIND
        );
        self.kinds.push(Kind {
            name: F::KIND,
            stage: F::STAGE,
            make: make::<F>,
            implied: || F::implied().map(|filter| Arc::new(filter) as Arc<dyn Filter>),
            is_unrouted: F::UNROUTED,
            after: F::AFTER,
            schema: || {
                schemars::generate::SchemaSettings::draft2020_12()
                    .with(|settings| settings.inline_subschemas = true)
                    .into_generator()
                    .into_root_schema_for::<F::Config>()
            },
        });
        self.kinds.sort_by_key(|kind| kind.stage);
        self
    }

    /// The kinds' words, in the order in which they run.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.kinds.iter().map(|kind| kind.name)
    }

    /// The stage of a kind, unless its settings say otherwise.
    pub fn stage(&self, kind: &str) -> Option<Stage> {
        self.kinds.iter().find(|known| known.name == kind).map(|known| known.stage)
    }

    /// Where a kind runs among the others, if there is such a kind.
    pub fn position(&self, kind: &str) -> Option<usize> {
        self.kinds.iter().position(|known| known.name == kind)
    }

    /// The filters that routes have without asking for them, by kind.
    pub fn implied(&self) -> impl Iterator<Item = Link> + '_ {
        self.kinds.iter().enumerate().filter_map(|(index, kind)| {
            let filter = (kind.implied)()?;
            let (order, is_unrouted) = ((kind.stage, index), kind.is_unrouted);
            Some(Link {
                kind: kind.name,
                filter,
                on_error: OnError::Closed,
                order,
                also: None,
                is_unrouted,
                concerns: Arc::default(),
                guard: Arc::default(),
            })
        })
    }

    /// Whether answers that no route made pass through this kind.
    pub fn is_unrouted(&self, kind: &str) -> bool {
        self.kinds.iter().any(|known| known.name == kind && known.is_unrouted)
    }

    /// The kind without which this one is of no use.
    pub fn after(&self, kind: &str) -> Option<&'static str> {
        self.kinds.iter().find(|known| known.name == kind)?.after
    }

    /// The JSON Schema of each kind's settings.
    pub fn schemas(&self) -> BTreeMap<String, Schema> {
        self.kinds.iter().map(|kind| (kind.name.to_owned(), (kind.schema)())).collect()
    }

    /// What to say of a kind that is not among these.
    pub fn unknown(&self, kind: &str) -> String {
        let hint = did_you_mean(kind, self.kinds()).map(|near| format!(" did you mean `{near}`?")).unwrap_or_default();
        let allowed: Vec<_> = self.kinds().map(|kind| format!("`{kind}`")).collect();
        format!("there is no filter `{kind}`;{hint} allowed: {}", allowed.join(", "))
    }

    /// Makes a filter from its settings at `node`, which stands at `path` in the file, on a route whose paths all have
    /// these wildcards, and tells what is wrong or odd about them, each with its place.
    pub(crate) fn make(
        &self,
        kind: &str,
        node: &Node,
        source: &Source,
        path: &[&str],
        wildcards: Option<&BTreeSet<String>>,
        states: &States,
    ) -> (Option<Link>, Vec<Problem>) {
        let Some((index, known)) = self.kinds.iter().enumerate().find(|(_, known)| known.name == kind) else {
            return (None, vec![source.problem_with_key(path, self.unknown(kind))]);
        };
        let mut problems = Vec::new();
        let on_error = on_error(node, source, path, &mut problems);
        let owner = if path.first() == Some(&"defaults") { "defaults" } else { path.get(1).copied().unwrap_or("") };
        let place = Place { states, owner: &owner_of(path), kind: known.name };
        let env = Env {
            owner,
            place,
            wildcards,
            warnings: RefCell::default(),
            concerns: RefCell::default(),
            guard: RefCell::default(),
        };
        let made = (known.make)(node, source, path, &env);
        let (concerns, guard) = (env.concerns.into_inner().into(), Arc::new(env.guard.into_inner()));
        let warnings = env.warnings.into_inner().0.into_iter();
        problems.extend(warnings.map(|(below, message)| source.warning(&joined(path, &below), message)));
        let link = match (made, on_error) {
            (Ok(Made { filter, stage, also }), Some(on_error)) => {
                let (order, is_unrouted) = ((stage, index), known.is_unrouted);
                Some(Link { kind: known.name, filter, on_error, order, also, is_unrouted, concerns, guard })
            }
            (made, _) => {
                problems.extend(made.err().unwrap_or_default());
                None
            }
        };
        (link, problems)
    }
}

fn joined<'a>(path: &[&'a str], below: &'a [String]) -> Vec<&'a str> {
    path.iter().copied().chain(below.iter().map(String::as_str)).collect()
}

/// Whose filter stands at this place of the file: `routes.users`, or `defaults`, which no route is called.
pub(crate) fn owner_of(path: &[&str]) -> String {
    match path {
        ["routes", route, ..] => format!("routes.{route}"),
        _ => "defaults".to_owned(),
    }
}

/// The key that every filter has besides its own.
const ON_ERROR: &str = "on_error";

fn on_error(node: &Node, source: &Source, path: &[&str], problems: &mut Vec<Problem>) -> Option<OnError> {
    match node.get(ON_ERROR).map(Node::as_text) {
        None | Some(Some("closed")) => Some(OnError::Closed),
        Some(Some("open")) => Some(OnError::Open),
        Some(_) => {
            let path: Vec<&str> = path.iter().copied().chain([ON_ERROR]).collect();
            problems.push(source.problem(
                &path,
                "expected `closed` (a filter that fails refuses the request) or `open` (the request goes on without it)",
            ));
            None
        }
    }
}

fn make<F: Configure>(
    node: &Node,
    source: &Source,
    path: &[&str],
    env: &Env<'_>,
) -> std::result::Result<Made, Vec<Problem>> {
    let mut problems = Vec::new();
    let Some(config) = decode::<F::Config>(node, path, &[ON_ERROR], &mut problems) else {
        return Err(problems);
    };
    match F::configure(config, env) {
        Ok(filter) if problems.is_empty() => {
            let (stage, also) = (filter.stage(), filter.also());
            Ok(Made { filter: Arc::new(filter), stage, also })
        }
        Ok(_) => Err(problems),
        Err(Problems(more)) => {
            problems.extend(more.into_iter().map(|(below, message)| source.problem(&joined(path, &below), message)));
            Err(problems)
        }
    }
}
