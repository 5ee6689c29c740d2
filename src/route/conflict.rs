//! Two routes that could both claim a request.
//!
//! Routes with different host patterns never conflict: the patterns that match one host are ordered. Within one host pattern,
//! two routes whose paths are the same set are told apart by their methods and by the number of their conditions; two
//! whose paths overlap without one being within the other cannot be told apart, as in Go. Nor can two for the same paths
//! whose methods overlap without one set being within the other: with `GET, POST` before `GET, PUT` by the number of
//! conditions, and `GET, PUT, …` elsewhere in between, the order could run in a circle. What cannot be told apart is a
//! conflict if one request can match both.
//!
//! The search walks pairs of branches that have paths in common, and leaves out those where one is within the other for
//! good, so it is not about all pairs of routes.

use std::collections::{HashMap, HashSet};
use std::fmt;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method};

use super::condition::{Condition, Subject, Test, Wanted};
use super::host::HostPattern;
use super::methods::Order;
use super::pattern::{Pattern, Relation, Segment};
use super::table::Matcher;
use super::tree::{Entry, NodeId, Tree};
use super::values::{Shared, Values};
use crate::head::{Head, Path};

/// Two routes that are equally specific and can both match one request.
#[derive(Debug, Clone)]
pub struct Conflict {
    /// The position of one of them.
    pub first: usize,
    /// The position of the other, which is greater.
    pub second: usize,
    /// A request that both match.
    pub example: Example,
    /// Why neither is more specific, and what to do, in words that go on after the example.
    pub why: String,
}

/// How many conflicts are told. Who has more has made one mistake very often.
pub const MOST: usize = 100;

/// A request that shows something. Displayed as `GET http://api.example.com/a/b with x-v: 1`.
#[derive(Debug, Clone)]
pub struct Example {
    /// Its method.
    pub method: Method,
    /// Its host.
    pub host: String,
    /// Its path.
    pub path: Path,
    /// Its query, encoded.
    pub query: Option<String>,
    /// Its headers; `Host` only where a condition looks at it.
    pub headers: HeaderMap,
}

impl Example {
    /// The head of such a request.
    pub fn head(&self) -> Head<'_> {
        Head {
            method: &self.method,
            host: &self.host,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
        }
    }
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} http://{}{}", self.method, self.host, self.path.canonical())?;
        if let Some(query) = &self.query {
            write!(f, "?{query}")?;
        }
        for (index, (name, value)) in self.headers.iter().enumerate() {
            let before = if index == 0 { "with" } else { "and" };
            write!(f, " {before} {name}: {}", value.as_bytes().escape_ascii())?;
        }
        Ok(())
    }
}

/// Searches the trees, each for one host pattern.
pub(super) fn search<'a>(
    matchers: &'a [Matcher],
    trees: impl Iterator<Item = (&'a Tree, &'a Option<HostPattern>)>,
) -> Vec<Conflict> {
    let mut values = Values::default();
    let (mut found, mut told) = (Vec::new(), HashSet::new());
    for (tree, host) in trees {
        let search = Search { matchers, tree, host: host.as_ref(), values, found, told };
        Search { values, found, told, .. } = search.run();
    }
    found.sort_by_key(|conflict: &Conflict| (conflict.first, conflict.second));
    found
}

struct Search<'a> {
    matchers: &'a [Matcher],
    tree: &'a Tree,
    host: Option<&'a HostPattern>,
    values: Values,
    found: Vec<Conflict>,
    told: HashSet<(u32, u32)>,
}

/// What leaves two entries equal.
struct Undecided {
    /// On this method.
    method: Method,
    /// In words.
    why: String,
    /// What would tell them apart, in words.
    remedy: String,
}

/// Fewer entries than these are compared in pairs without more ado.
const FEW: usize = 16;

impl<'a> Search<'a> {
    fn run(mut self) -> Self {
        self.branches(0, 0, Relation::Equivalent);
        self
    }

    /// Compares what is at and below two nodes. `relation` is that of the segments above them.
    fn branches(&mut self, first: NodeId, second: NodeId, relation: Relation) {
        let tree = self.tree;
        let (a, b) = (tree.node(first), tree.node(second));
        // What is within the other so far can only overlap it if it is wider somewhere below.
        let can_overlap = match relation {
            Relation::MoreSpecific => a.is_open,
            Relation::MoreGeneral => b.is_open,
            _ => true,
        };
        if !can_overlap || self.found.len() >= MOST {
            return;
        }
        if first == second {
            for leaf in [&a.exact, &a.slash, &a.rest] {
                self.within(&leaf.iter().collect::<Vec<_>>(), &[]);
            }
        } else if relation == Relation::Overlaps {
            for (left, right) in [(&a.exact, &b.exact), (&a.slash, &b.slash), (&a.rest, &b.rest)] {
                self.across(left, right);
            }
        }
        if relation.and(Relation::MoreGeneral) == Relation::Overlaps && !a.rest.is_empty() {
            self.remainder(&a.rest, second);
        }
        if relation.and(Relation::MoreSpecific) == Relation::Overlaps && !b.rest.is_empty() {
            self.remainder(&b.rest, first);
        }
        self.literals(first, second, relation);
        if let (Some(a), Some(b)) = (a.wild, b.wild) {
            self.branches(a, b, relation);
        }
        if let Some(wild) = b.wild {
            for (_, child) in a.literals.iter() {
                self.branches(child, wild, relation.and(Relation::MoreSpecific));
            }
        }
        // Of one node with itself these are the same pairs.
        if let Some(wild) = a.wild.filter(|_| first != second) {
            for (_, child) in b.literals.iter() {
                self.branches(wild, child, relation.and(Relation::MoreGeneral));
            }
        }
    }

    fn literals(&mut self, first: NodeId, second: NodeId, relation: Relation) {
        let tree = self.tree;
        let (a, b) = (&tree.node(first).literals, &tree.node(second).literals);
        if a.len() <= b.len() {
            for (segment, child) in a.iter() {
                if let Some(other) = b.get(segment) {
                    self.branches(child, other, relation);
                }
            }
        } else {
            for (segment, child) in b.iter() {
                if let Some(other) = a.get(segment) {
                    self.branches(other, child, relation);
                }
            }
        }
    }

    /// Compares entries that end in a remainder with all that is longer than what stands before it.
    fn remainder(&mut self, entries: &'a [Entry], below: NodeId) {
        let tree = self.tree;
        let node = tree.node(below);
        self.across(entries, &node.slash);
        let children = node.literals.iter().map(|(_, child)| child).chain(node.wild);
        for child in children {
            if self.found.len() >= MOST {
                return;
            }
            let child_node = tree.node(child);
            self.across(entries, &child_node.exact);
            self.across(entries, &child_node.rest);
            self.remainder(entries, child);
        }
    }

    /// Compares the entries of two paths that overlap.
    fn across(&mut self, left: &'a [Entry], right: &'a [Entry]) {
        for first in left {
            for second in right {
                self.pair(first, second, Relation::Overlaps);
            }
        }
    }

    /// Compares the entries of one path. Where there are many, most have one header or parameter with a value of their
    /// own (tenants, versions): those with different ones need not be compared.
    fn within(&mut self, entries: &[&'a Entry], split: &[&Subject]) {
        let Some(subject) = (entries.len() > FEW).then(|| self.distinguishing(entries, split)).flatten() else {
            for (index, first) in entries.iter().enumerate() {
                for second in &entries[index + 1..] {
                    if self.found.len() >= MOST {
                        return;
                    }
                    self.pair(first, second, Relation::Equivalent);
                }
            }
            return;
        };
        let mut by_value: HashMap<&str, Vec<&Entry>> = HashMap::new();
        let mut others = Vec::new();
        for entry in entries {
            match exact_value(&self.matchers[entry.route as usize].conditions, subject) {
                Some(value) => by_value.entry(value).or_default().push(entry),
                None => others.push(*entry),
            }
        }
        let split = [split, &[subject]].concat();
        for same in by_value.values() {
            self.within(same, &split);
            for first in same {
                for second in &others {
                    if self.found.len() >= MOST {
                        return;
                    }
                    self.pair(first, second, Relation::Equivalent);
                }
            }
        }
        self.within(&others, &split);
    }

    /// The header or parameter of which most entries want one value.
    fn distinguishing(&self, entries: &[&Entry], split: &[&Subject]) -> Option<&'a Subject> {
        let mut counts: HashMap<&Subject, usize> = HashMap::new();
        for entry in entries {
            for condition in &self.matchers[entry.route as usize].conditions {
                if matches!(condition.test().0, Wanted::Exact(_)) && !split.contains(&condition.subject()) {
                    *counts.entry(condition.subject()).or_default() += 1;
                }
            }
        }
        counts.into_iter().filter(|(_, count)| *count > 1).max_by_key(|(_, count)| *count).map(|(subject, _)| subject)
    }

    fn pair(&mut self, one: &Entry, other: &Entry, relation: Relation) {
        let (first, second) = if one.route <= other.route { (one, other) } else { (other, one) };
        let pair = (first.route, second.route);
        if first.route == second.route || self.found.len() >= MOST || self.told.contains(&pair) {
            return;
        }
        let Some(Undecided { method, mut why, remedy }) = self.undecided(first, second, relation) else {
            return;
        };
        let Some(mut example) = self.example(first, second, method) else {
            return;
        };
        let [a, b] = [first, second].map(|entry| &self.matchers[entry.route as usize].conditions);
        match meet(&mut self.values, a, b, &mut example) {
            Meeting::Never => return,
            Meeting::Unknown(subject) => {
                why.push_str(&format!(
                    " (that {subject} keeps them apart could not be proved: the automaton is too big)"
                ));
            }
            Meeting::Shown => {}
        }
        why.push_str("; ");
        why.push_str(&remedy);
        self.told.insert(pair);
        let [first, second] = [first, second].map(|entry| entry.route as usize);
        self.found.push(Conflict { first, second, example, why });
    }

    /// A method on which neither of two entries comes first, why not, and what would mend it.
    fn undecided(&self, first: &Entry, second: &Entry, relation: Relation) -> Option<Undecided> {
        let mut shared = first.methods.shared(&second.methods);
        if relation == Relation::Overlaps {
            let [a, b] = [first, second].map(|entry| self.pattern(entry));
            let why = format!("`{a}` and `{b}` overlap, and neither is within the other");
            let remedy =
                "make one path a part of the other, or give each its own host, methods or value of a header".to_owned();
            return shared.next().map(|method| Undecided { method, why, remedy });
        }
        shared.find_map(|method| match first.methods.compare(&second.methods, &method) {
            Order::First | Order::Second => None,
            Order::Crossed => {
                let why = format!(
                    "of their methods ({} and {}) neither are among the other's",
                    first.methods, second.methods
                );
                let remedy = format!("take {method} out of one, or give one a host or a narrower path");
                Some(Undecided { method, why, remedy })
            }
            Order::Equal if first.conditions != second.conditions => None,
            Order::Equal => {
                let conditions = match first.conditions {
                    0 => "no conditions".to_owned(),
                    1 => "one condition each".to_owned(),
                    count => format!("{count} conditions each"),
                };
                let why = format!("they have the same paths and methods, and {conditions}");
                let methods = match first.methods.breadth() {
                    usize::MAX => ", a method",
                    1 => "",
                    _ => ", fewer methods",
                };
                let remedy = format!("give one its own host, a narrower path{methods} or one more condition");
                Some(Undecided { method, why, remedy })
            }
        })
    }

    fn pattern(&self, entry: &Entry) -> &'a Pattern {
        &self.matchers[entry.route as usize].paths[entry.pattern as usize]
    }

    fn example(&self, first: &Entry, second: &Entry, method: Method) -> Option<Example> {
        let path = shared_path(self.pattern(first), self.pattern(second));
        Some(Example {
            method,
            host: self.host.map_or_else(|| "example.com".to_owned(), HostPattern::example),
            path: Path::parse(&path).ok()?,
            query: None,
            headers: HeaderMap::new(),
        })
    }
}

fn exact_value<'a>(conditions: &'a [Condition], subject: &Subject) -> Option<&'a str> {
    conditions.iter().filter(|condition| condition.subject() == subject).find_map(|condition| {
        match &condition.test().0 {
            Wanted::Exact(value) => Some(&**value),
            _ => None,
        }
    })
}

/// A path that two patterns which are not disjoint both match.
fn shared_path(first: &Pattern, second: &Pattern) -> String {
    let at = |pattern: &'_ Pattern, index: usize| -> Option<Segment> {
        match pattern.segments().get(index) {
            Some(segment) => Some(segment.clone()),
            // A remainder goes on as long as needed.
            None => pattern.segments().last().filter(|_| pattern.has_rest()).cloned(),
        }
    };
    let mut path = String::new();
    for index in 0.. {
        let (Some(a), Some(b)) = (at(first, index), at(second, index)) else {
            break;
        };
        path.push('/');
        match (&a, &b) {
            (Segment::Literal(literal), _) | (_, Segment::Literal(literal)) => path.push_str(literal),
            (Segment::Wild(_), _) | (_, Segment::Wild(_)) => path.push('x'),
            (Segment::End, _) | (_, Segment::End) | (Segment::Rest(_), Segment::Rest(_)) => break,
        }
    }
    path
}

/// Whether the conditions of two routes can hold for one request.
enum Meeting {
    Never,
    Shown,
    Unknown(Subject),
}

/// Makes an example meet the conditions of both routes, if it can be.
fn meet(values: &mut Values, first: &[Condition], second: &[Condition], example: &mut Example) -> Meeting {
    let mut by_subject: Vec<(&Subject, Vec<&Test>)> = Vec::new();
    for condition in first.iter().chain(second) {
        match by_subject.iter_mut().find(|(subject, _)| *subject == condition.subject()) {
            Some((_, tests)) => tests.push(condition.test()),
            None => by_subject.push((condition.subject(), vec![condition.test()])),
        }
    }
    let mut unknown = None;
    for (subject, tests) in by_subject {
        // The host that the routes are for, rather than any that the conditions alone would take.
        let host = example.host.clone().into_bytes();
        if is_host(subject) && tests.iter().all(|test| test.holds(Some(&host))) {
            add(example, subject, &host);
            continue;
        }
        match values.shared(subject, &tests) {
            Shared::Nothing => return Meeting::Never,
            Shared::Absence => {}
            Shared::Unknown => unknown = Some(subject.clone()),
            Shared::Value(value) => add(example, subject, &value),
        }
    }
    unknown.map_or(Meeting::Shown, Meeting::Unknown)
}

fn is_host(subject: &Subject) -> bool {
    matches!(subject, Subject::Header(name) if *name == HOST)
}

fn add(example: &mut Example, subject: &Subject, value: &[u8]) {
    match subject {
        Subject::Header(name) => {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                example.headers.insert(name.clone(), value);
            }
        }
        Subject::Query(name) => {
            let query = example.query.get_or_insert_default();
            if !query.is_empty() {
                query.push('&');
            }
            encode(name.as_bytes(), query);
            query.push('=');
            encode(value, query);
        }
    }
}

fn encode(text: &[u8], out: &mut String) {
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}
