//! The rules once more, plain and slow: the table has to agree with them on random routes and all requests of a small
//! alphabet. Nothing here uses the table's own code but to be compared with it.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use regex::Regex;

use super::*;
use crate::head::{Head, Path};

const HOSTS: [&str; 4] = ["x.t", "y.x.t", "z.t", "other"];
const METHODS: [&str; 5] = ["GET", "HEAD", "POST", "PUT", "PURGE"];
const HEADERS: [Option<&str>; 4] = [None, Some("1"), Some("2"), Some("12")];
const QUERIES: [Option<&str>; 2] = [None, Some("1")];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cond {
    Header(&'static str, &'static str),
    Query,
}

#[derive(Debug, Clone)]
struct Spec {
    hosts: Vec<&'static str>,
    paths: Vec<String>,
    methods: Vec<&'static str>,
    conditions: Vec<Cond>,
}

impl Spec {
    fn matcher(&self, index: usize) -> Matcher {
        let condition = |cond: &Cond| match cond {
            Cond::Query => Condition::query("q", Test::exact("1")),
            Cond::Header(kind, value) => Condition::header(
                HeaderName::from_static("x-v"),
                match *kind {
                    "exact" => Test::exact(value),
                    "prefix" => Test::prefix(value),
                    "regex" => Test::regex(value).unwrap(),
                    "there" => Test::present(true),
                    _ => Test::present(false),
                },
            ),
        };
        Matcher {
            name: format!("r{index}").into(),
            hosts: self.hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect(),
            paths: self.paths.iter().map(|path| Pattern::parse(path).unwrap()).collect(),
            methods: Methods::parse(&self.methods).unwrap(),
            conditions: self.conditions.iter().map(condition).collect(),
        }
    }

    fn takes_method(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.contains(&method) || (method == "HEAD" && self.methods.contains(&"GET"))
    }

    fn holds(&self, header: Option<&str>, query: Option<&str>) -> bool {
        self.conditions.iter().all(|cond| match (cond, header) {
            (Cond::Query, _) => query == Some("1"),
            (Cond::Header("absent", _), value) => value.is_none(),
            (Cond::Header(..), None) => false,
            (Cond::Header("exact", wanted), Some(value)) => value == *wanted,
            (Cond::Header("prefix", wanted), Some(value)) => value.starts_with(wanted),
            (Cond::Header("regex", wanted), Some(value)) => {
                Regex::new(wanted).unwrap().find(value).is_some_and(|found| found.len() == value.len())
            }
            (Cond::Header(..), Some(_)) => true,
        })
    }
}

/// A pattern as a regular expression, and as one for the paths of which it takes the shortest remainder.
fn expressions(pattern: &str) -> (Regex, Regex) {
    let (mut all, mut exact) = ("^".to_owned(), "^".to_owned());
    for segment in pattern.split('/').skip(1) {
        let (a, b) = match segment {
            "" => (".*", ""),
            "{$}" => ("", ""),
            rest if rest.ends_with("...}") => (".*", ""),
            wild if wild.starts_with('{') => ("[^/]+", "[^/]+"),
            literal => (literal, literal),
        };
        all.push_str(&format!("/{a}"));
        exact.push_str(&format!("/{b}"));
    }
    (Regex::new(&format!("{all}$")).unwrap(), Regex::new(&format!("{exact}$")).unwrap())
}

/// All paths of up to three segments, with one (`c`) that no pattern names; then the same with one more slash.
fn paths() -> Vec<String> {
    let mut paths = vec!["/".to_owned()];
    let mut stems = vec![String::new()];
    for _ in 0..3 {
        stems = stems.iter().flat_map(|stem| ["a", "b", "c"].map(|segment| format!("{stem}/{segment}"))).collect();
        paths.extend(stems.iter().cloned());
        paths.extend(stems.iter().map(|stem| format!("{stem}/")));
    }
    paths
}

/// One path of one route for one of its hosts.
struct Entry<'a> {
    route: usize,
    spec: &'a Spec,
    /// 0 for any, else the greater, the more specific.
    host_rank: usize,
    hosts: Vec<bool>,
    paths: Vec<bool>,
    exact: Vec<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Beats,
    Loses,
    Tie,
}

fn by_subset(first_within_second: bool, second_within_first: bool) -> Option<Verdict> {
    match (first_within_second, second_within_first) {
        (true, true) => None,
        (true, false) => Some(Verdict::Beats),
        (false, true) => Some(Verdict::Loses),
        (false, false) => Some(Verdict::Tie),
    }
}

impl Entry<'_> {
    fn against(&self, other: &Entry<'_>, method: &str) -> Verdict {
        if self.host_rank != other.host_rank {
            return if self.host_rank > other.host_rank { Verdict::Beats } else { Verdict::Loses };
        }
        let within = |a: &[bool], b: &[bool]| a.iter().zip(b).all(|(a, b)| !a || *b);
        if let Some(verdict) = by_subset(within(&self.paths, &other.paths), within(&other.paths, &self.paths)) {
            return verdict;
        }
        let (mine, theirs) = (&self.spec.methods, &other.spec.methods);
        if method == "HEAD" && mine.contains(&"HEAD") != theirs.contains(&"HEAD") {
            return if mine.contains(&"HEAD") { Verdict::Beats } else { Verdict::Loses };
        }
        let within = |a: &Vec<&str>, b: &Vec<&str>| b.is_empty() || (!a.is_empty() && a.iter().all(|m| b.contains(m)));
        if let Some(verdict) = by_subset(within(mine, theirs), within(theirs, mine)) {
            return verdict;
        }
        match self.spec.conditions.len().cmp(&other.spec.conditions.len()) {
            std::cmp::Ordering::Greater => Verdict::Beats,
            std::cmp::Ordering::Less => Verdict::Loses,
            std::cmp::Ordering::Equal => Verdict::Tie,
        }
    }
}

struct Model<'a> {
    paths: &'a [String],
    entries: Vec<Entry<'a>>,
}

#[derive(Debug, Clone, Copy)]
struct Request {
    host: usize,
    path: usize,
    method: usize,
    header: usize,
    query: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Route(usize),
    /// Another path of the same route decides whether it is the one or the other.
    RouteOrSlash(usize),
    AddSlash,
    Allow(String),
    NotFound,
}

impl<'a> Model<'a> {
    fn new(specs: &'a [Spec], paths: &'a [String]) -> Self {
        let mut entries = Vec::new();
        for (route, spec) in specs.iter().enumerate() {
            let hosts = if spec.hosts.is_empty() { vec![""] } else { spec.hosts.clone() };
            for host in hosts {
                for path in &spec.paths {
                    let (all, exact) = expressions(path);
                    let takes_host = |request: &str| match host.strip_prefix('*') {
                        Some(suffix) => request.ends_with(suffix),
                        None => host.is_empty() || host == request,
                    };
                    entries.push(Entry {
                        route,
                        spec,
                        host_rank: if host.starts_with('*') || host.is_empty() { host.len() } else { 1000 },
                        hosts: HOSTS.iter().map(|request| takes_host(request)).collect(),
                        paths: paths.iter().map(|path| all.is_match(path)).collect(),
                        exact: paths.iter().map(|path| exact.is_match(path)).collect(),
                    });
                }
            }
        }
        Self { paths, entries }
    }

    fn takes(&self, entry: &Entry<'_>, request: Request, any_method: bool) -> bool {
        entry.hosts[request.host]
            && entry.paths[request.path]
            && (any_method || entry.spec.takes_method(METHODS[request.method]))
            && entry.spec.holds(HEADERS[request.header], QUERIES[request.query])
    }

    /// The route that takes it, and whether it does so exactly; `None` if its paths disagree about that.
    fn winner(&self, request: Request) -> Option<(usize, Option<bool>)> {
        let taking: Vec<&Entry<'_>> = self.entries.iter().filter(|entry| self.takes(entry, request, false)).collect();
        let method = METHODS[request.method];
        let wins = |entry: &&&Entry<'_>| {
            let beats = |other: &&Entry<'_>| entry.against(other, method) == Verdict::Beats;
            taking.iter().all(|other| other.route == entry.route || beats(other))
        };
        let best: Vec<&&Entry<'_>> = taking.iter().filter(wins).collect();
        let first = best.first()?;
        let is_exact = first.exact[request.path];
        // Of one route the more specific path counts, and which of two that overlap is not laid down.
        let agree = best.iter().all(|entry| entry.exact[request.path] == is_exact);
        Some((first.route, agree.then_some(is_exact)))
    }

    fn answer(&self, request: Request) -> Answer {
        let with_slash = |path: usize| {
            let longer = format!("{}/", self.paths[path]);
            self.paths.iter().position(|path| **path == longer)
        };
        let path = &self.paths[request.path];
        let winner = self.winner(request);
        let longer = if path.ends_with('/') { None } else { with_slash(request.path) };
        if let Some(longer) = longer
            && !matches!(winner, Some((_, Some(true))))
            && let Some((_, exact)) = self.winner(Request { path: longer, ..request })
            && exact != Some(false)
        {
            return match (winner, exact) {
                (Some((route, _)), None) | (Some((route, None)), _) => Answer::RouteOrSlash(route),
                _ => Answer::AddSlash,
            };
        }
        if let Some((route, _)) = winner {
            return Answer::Route(route);
        }
        let mut allow: Vec<&str> = Vec::new();
        for path in [Some(request.path), longer].into_iter().flatten() {
            let request = Request { path, ..request };
            for entry in self.entries.iter().filter(|entry| self.takes(entry, request, true)) {
                allow.extend(&entry.spec.methods);
                if entry.spec.methods.contains(&"GET") {
                    allow.push("HEAD");
                }
            }
        }
        allow.sort_unstable();
        allow.dedup();
        if allow.is_empty() { Answer::NotFound } else { Answer::Allow(allow.join(", ")) }
    }

    fn conflicts(&self) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for (index, first) in self.entries.iter().enumerate() {
            for second in self.entries[index + 1..].iter().filter(|second| second.route != first.route) {
                let tie = |request: &Request| first.against(second, METHODS[request.method]) == Verdict::Tie;
                let both =
                    |request: &Request| self.takes(first, *request, false) && self.takes(second, *request, false);
                if requests(self.paths.len()).any(|request| tie(&request) && both(&request)) {
                    pairs.push((first.route, second.route));
                }
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }
}

fn requests(paths: usize) -> impl Iterator<Item = Request> {
    let all = HOSTS.len() * METHODS.len() * HEADERS.len() * QUERIES.len() * paths;
    (0..all).map(move |mut index| {
        let mut digit = |base: usize| {
            let digit = index % base;
            index /= base;
            digit
        };
        Request {
            host: digit(HOSTS.len()),
            method: digit(METHODS.len()),
            header: digit(HEADERS.len()),
            query: digit(QUERIES.len()),
            path: digit(paths),
        }
    })
}

fn pattern() -> impl Strategy<Value = String> {
    let middle = prop::sample::select(vec!["/a", "/b", "/{w}"]);
    let last = prop::sample::select(vec!["", "/", "/{$}", "/{m...}", "/a", "/{z}"]);
    (prop::collection::vec(middle, 0..3), last).prop_filter_map("valid", |(middle, last)| {
        let named = |(index, piece): (usize, &&str)| piece.replace('w', &format!("w{index}"));
        let text = middle.iter().enumerate().map(named).chain([last.to_owned()]).collect::<String>();
        Pattern::parse(&text).is_ok().then_some(text)
    })
}

fn condition() -> impl Strategy<Value = Cond> {
    prop::sample::select(vec![
        Cond::Header("exact", "1"),
        Cond::Header("exact", "2"),
        Cond::Header("prefix", "1"),
        Cond::Header("regex", "[12]"),
        Cond::Header("there", ""),
        Cond::Header("absent", ""),
        Cond::Query,
    ])
}

fn spec() -> impl Strategy<Value = Spec> {
    let hosts = prop::sample::select(vec![
        vec![],
        vec![],
        vec![],
        vec!["x.t"],
        vec!["*.t"],
        vec!["*.x.t"],
        vec!["*.t", "y.x.t"],
    ]);
    let methods = prop::sample::select(vec![
        vec![],
        vec![],
        vec!["GET"],
        vec!["HEAD"],
        vec!["POST"],
        vec!["GET", "HEAD"],
        vec!["GET", "POST"],
        vec!["PUT", "GET"],
        vec!["PURGE", "HEAD"],
    ]);
    (hosts, prop::collection::vec(pattern(), 1..3), methods, prop::collection::vec(condition(), 0..3))
        .prop_map(|(hosts, paths, methods, conditions)| Spec { hosts, paths, methods, conditions })
}

fn agrees(found: &Lookup, expected: &Answer) -> bool {
    match (found, expected) {
        (Lookup::Route(found), Answer::Route(route) | Answer::RouteOrSlash(route)) => found.route() == *route,
        (Lookup::AddSlash, Answer::AddSlash | Answer::RouteOrSlash(_)) => true,
        (Lookup::MethodNotAllowed(allow), Answer::Allow(methods)) => allow.to_string() == *methods,
        (Lookup::NotFound, Answer::NotFound) => true,
        _ => false,
    }
}

fn build(specs: &[Spec]) -> Result<Table, Vec<Conflict>> {
    Table::build(specs.iter().enumerate().map(|(index, spec)| spec.matcher(index)).collect())
}

fn check_conflicts(specs: &[Spec], conflicts: &[Conflict]) -> Result<(), TestCaseError> {
    for conflict in conflicts {
        let head = conflict.example.head();
        for route in [conflict.first, conflict.second] {
            let matcher = specs[route].matcher(route);
            let is_taken = (matcher.hosts.is_empty() || matcher.hosts.iter().any(|host| host.matches(head.host)))
                && matcher.paths.iter().any(|pattern| pattern.matches(head.path))
                && matcher.methods.matches(head.method)
                && matcher.conditions.iter().all(|condition| condition.holds(&head));
            prop_assert!(is_taken, "{} is none for {:?}", conflict.example, specs[route]);
        }
    }
    Ok(())
}

fn check(mut specs: Vec<Spec>) -> Result<(), TestCaseError> {
    let paths = paths();
    // Without the routes that conflict, the others can be asked.
    let table = loop {
        let expected = Model::new(&specs, &paths).conflicts();
        match build(&specs) {
            Ok(table) => {
                prop_assert_eq!(expected, vec![]);
                break table;
            }
            Err(conflicts) => {
                let found: Vec<_> = conflicts.iter().map(|conflict| (conflict.first, conflict.second)).collect();
                prop_assert_eq!(found, expected);
                check_conflicts(&specs, &conflicts)?;
                specs.remove(conflicts[0].second);
            }
        }
    };
    let model = Model::new(&specs, &paths);
    let parsed: Vec<Path> = paths.iter().map(|path| Path::parse(path).unwrap()).collect();
    let methods = METHODS.map(|name| Method::from_bytes(name.as_bytes()).unwrap());
    let headers = HEADERS.map(|value| {
        value.map(|value| (HeaderName::from_static("x-v"), HeaderValue::from_static(value))).into_iter().collect()
    });
    for request in requests(paths.len()) {
        let headers: &HeaderMap = &headers[request.header];
        let head = Head {
            method: &methods[request.method],
            host: HOSTS[request.host],
            path: &parsed[request.path],
            query: QUERIES[request.query].map(|_| "q=1"),
            headers,
        };
        // The longest paths have no longer one here to compare with.
        if paths[request.path].matches('/').count() > 3 {
            continue;
        }
        let (found, expected) = (table.find(&head), model.answer(request));
        prop_assert!(agrees(&found, &expected), "{request:?} {}: {found:?}, not {expected:?}", paths[request.path]);
        prop_assert!(table.near(&head).len() <= 5);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_table_agrees_with_the_rules(specs in prop::collection::vec(spec(), 1..7)) {
        check(specs)?;
    }
}
