//! The file as a whole: its sections, and the configuration made of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use super::decode::{Decoded, decode, decode_partly, unknown_key};
use super::listener::Listener;
use super::node::{Entry, Node, Value};
use super::problem::Problem;
use super::process::{Log, Process};
use super::route::{Defaults, Route};
use super::source::Source;
use super::test::Test;
use super::upstream::Upstream;
use super::value::Name;

/// What the file says, every value of it narrow. Names that point at others are not followed yet.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the door accepts connections; at least one.
    pub listeners: BTreeMap<Name, Listener>,
    /// Named groups of endpoints.
    pub upstreams: BTreeMap<Name, Upstream>,
    /// Which requests go where; at least one.
    pub routes: BTreeMap<Name, Route>,
    /// What every route has unless it says otherwise.
    pub defaults: Defaults,
    /// How the process runs.
    pub process: Process,
    /// What is written down.
    pub log: Log,
    /// What the file promises of itself, in the order of the files.
    pub tests: Vec<Test>,
    /// The files as they were read.
    pub source: Source,
}

/// The file's sections.
pub(super) const SECTIONS: [&str; 8] =
    ["include", "listeners", "upstreams", "routes", "defaults", "process", "log", "tests"];

impl Config {
    /// What of a source's tree is in order; `None` if it is no map. `whole` is false if a part of the
    /// source could not be read, so that what is missing may have been there.
    pub(super) fn of(source: Source, whole: bool, problems: &mut Vec<Problem>) -> Option<Rest> {
        let root = source.root();
        let Some(map) = root.as_map() else {
            problems.extend((!root.is_unset()).then(|| not_a_map(root)));
            return None;
        };
        for entry in map.entries().iter().filter(|entry| !SECTIONS.contains(&entry.key.as_str())) {
            let message = unknown_key(&entry.key, SECTIONS.into_iter());
            problems.push(Problem::error(
                Some(entry.key_place.clone()),
                super::problem::render(&[&entry.key]),
                message,
            ));
        }
        let mut sections = Sections { root, whole, problems };
        let (listeners, _) = sections.required("listeners", LISTENERS_EXAMPLE);
        let (upstreams, _) = sections.named("upstreams");
        let (routes, incomplete) = sections.required("routes", ROUTES_EXAMPLE);
        let defaults = sections.one("defaults");
        let process = sections.one("process").value.unwrap_or_default();
        let log = sections.one("log").value.unwrap_or_default();
        let tests = sections.list("tests");
        let incomplete = incomplete.into_iter().map(|(name, (route, without))| (name, Incomplete { route, without }));
        let incomplete = incomplete.collect();
        let has_defaults = defaults.whole || (defaults.value.is_some() && !defaults.without.contains("filters"));
        let defaults = defaults.value.unwrap_or_default();
        let config = Self { listeners, upstreams, routes, defaults, process, log, tests, source };
        Some(Rest { config, incomplete, whole, has_defaults })
    }
}

/// What can be read of a file that is refused. Never to be served; what else is wrong with it can be told in one go.
#[derive(Debug)]
pub struct Rest {
    /// The parts that are in order.
    pub config: Config,
    /// The routes of which a part could be read.
    pub incomplete: BTreeMap<Name, Incomplete>,
    /// Whether all included files could be read.
    pub whole: bool,
    /// Whether the filters of `defaults` could be read, should there be any.
    pub has_defaults: bool,
}

/// A route of which a part could be read.
#[derive(Debug)]
pub struct Incomplete {
    /// The route without what could not be read.
    pub route: Route,
    /// Its keys of which something is left out.
    pub without: BTreeSet<String>,
}

const LISTENERS_EXAMPLE: &str =
    "it says where the door accepts connections: `listeners: {web: {address: \"127.0.0.1:8080\"}}`";
const ROUTES_EXAMPLE: &str =
    "it says which requests go where: `routes: {users: {path: /users/, to: \"http://127.0.0.1:9101\"}}`";

fn not_a_map(root: &Node) -> Problem {
    let message = match &root.value {
        _ if root.is_null() => "the file is empty; it needs at least `listeners` and `routes`",
        Value::List(_) => "the file is a list; it must be a map that begins with `listeners:` or another section",
        _ => "the file is a text; it must be a map that begins with `listeners:` or another section",
    };
    Problem::error(Some(root.place.clone()), "", message)
}

/// Reads the sections one by one, each part of them by itself: so what is wrong with one route costs one route's work.
struct Sections<'a> {
    root: &'a Node,
    whole: bool,
    problems: &'a mut Vec<Problem>,
}

/// Parts without what could not be read, and their keys of which something is left out.
type Partly<T> = BTreeMap<Name, (T, BTreeSet<String>)>;

impl<'a> Sections<'a> {
    fn required<T: DeserializeOwned>(&mut self, section: &str, example: &str) -> (BTreeMap<Name, T>, Partly<T>) {
        let node = self.root.get(section);
        let is_empty =
            node.is_some_and(|node| node.is_null() || node.as_map().is_some_and(|map| map.entries().is_empty()));
        if self.whole && (node.is_none() || is_empty) {
            let place = node.unwrap_or(self.root).place.clone();
            let what = if is_empty { "empty" } else { "missing" };
            let path = if is_empty { section } else { "" };
            self.problems.push(Problem::error(Some(place), path, format!("`{section}` is {what}; {example}")));
        }
        self.named(section)
    }

    /// The parts of a section that are in order, and what can be read of the others.
    fn named<T: DeserializeOwned>(&mut self, section: &str) -> (BTreeMap<Name, T>, Partly<T>) {
        let (mut parts, mut incomplete) = (BTreeMap::new(), BTreeMap::new());
        for entry in self.entries(section) {
            let path = [section, entry.key.as_str()];
            let name = entry.key.parse::<Name>();
            if let Err(why) = &name {
                let place = Some(entry.key_place.clone());
                self.problems.push(Problem::error(place, super::problem::render(&path), why.as_str()));
            }
            let Decoded { value, whole, without } = decode_partly(&entry.value, &path, &[], self.problems);
            match (name, value) {
                (Ok(name), Some(part)) if whole => drop(parts.insert(name, part)),
                (Ok(name), Some(part)) => drop(incomplete.insert(name, (part, without))),
                _ => {}
            }
        }
        (parts, incomplete)
    }

    fn entries(&mut self, section: &str) -> &'a [Entry] {
        let Some(node) = self.root.get(section).filter(|node| !node.is_null() && !node.is_unset()) else { return &[] };
        let message = match &node.value {
            Value::Map(map) => return map.entries(),
            Value::List(_) => {
                "expected a map of names, found a list; take the dashes away and write `name:` before each"
            }
            Value::Scalar(_) => "expected a map of names, found text",
        };
        self.problems.push(Problem::error(Some(node.place.clone()), section, message));
        &[]
    }

    fn one<T: DeserializeOwned>(&mut self, section: &str) -> Decoded<T> {
        match self.root.get(section).filter(|node| !node.is_null()) {
            Some(node) => decode_partly(node, &[section], &[], self.problems),
            None => Decoded { value: None, whole: true, without: BTreeSet::new() },
        }
    }

    fn list<T: DeserializeOwned>(&mut self, section: &str) -> Vec<T> {
        let Some(node) = self.root.get(section).filter(|node| !node.is_null() && !node.is_unset()) else {
            return Vec::new();
        };
        if !matches!(node.value, Value::List(_)) {
            let message = "expected a list; begin each with `- `";
            self.problems.push(Problem::error(Some(node.place.clone()), section, message));
        }
        let items = node.items().iter().enumerate();
        items.filter_map(|(index, item)| decode(item, &[section, &index.to_string()], &[], self.problems)).collect()
    }
}
