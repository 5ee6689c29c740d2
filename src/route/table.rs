//! The table of routes.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use http::Method;

use super::condition::Condition;
use super::conflict::{self, Conflict};
use super::host::HostPattern;
use super::matched::{Lookup, Match, Shape};
use super::methods::{Allow, Methods, Takes};
use super::pattern::Pattern;
use super::tree::{Entry, Tree, Walk};
use crate::head::Head;

/// What a route takes.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// The route's name, for explanations.
    pub name: Arc<str>,
    /// One of these hosts; any, if there are none.
    pub hosts: Vec<HostPattern>,
    /// One of these paths; none matches if there are none.
    pub paths: Vec<Pattern>,
    /// One of these methods.
    pub methods: Methods,
    /// All of these hold, too.
    pub conditions: Vec<Condition>,
}

/// All routes, ready for look-up. Built once, never changed.
pub struct Table {
    pub(super) matchers: Vec<Matcher>,
    trees: Vec<Tree>,
    exact: HashMap<Box<str>, usize, FixedState>,
    below: HashMap<Box<str>, usize, FixedState>,
    any: Option<usize>,
}

/// The most specific entry that takes a request.
struct Found<'t> {
    entry: &'t Entry,
    is_exact: bool,
}

impl Table {
    /// Builds the table of the routes at their positions.
    ///
    /// # Errors
    /// Pairs of routes that are equally specific and can both match one request, at most 100, each pair
    /// once, in order of their positions.
    pub fn build(matchers: Vec<Matcher>) -> Result<Self, Vec<Conflict>> {
        let mut table =
            Self { matchers, trees: Vec::new(), exact: HashMap::default(), below: HashMap::default(), any: None };
        let matchers = std::mem::take(&mut table.matchers);
        let mut hosts = Vec::new();
        for (route, matcher) in (0_u32..).zip(&matchers) {
            if matcher.hosts.is_empty() {
                table.insert(None, route, matcher, &mut hosts);
            }
            for host in &matcher.hosts {
                table.insert(Some(host), route, matcher, &mut hosts);
            }
        }
        table.matchers = matchers;
        for tree in &mut table.trees {
            tree.sort();
        }
        let conflicts = conflict::search(&table.matchers, table.trees.iter().zip(&hosts));
        if conflicts.is_empty() { Ok(table) } else { Err(conflicts) }
    }

    fn insert(
        &mut self,
        host: Option<&HostPattern>,
        route: u32,
        matcher: &Matcher,
        hosts: &mut Vec<Option<HostPattern>>,
    ) {
        let next = self.trees.len();
        let tree = match host {
            None => *self.any.get_or_insert(next),
            Some(HostPattern::Exact(name)) => *self.exact.entry(name.clone()).or_insert(next),
            Some(HostPattern::Below(suffix)) => *self.below.entry(suffix.clone()).or_insert(next),
        };
        if tree == next {
            self.trees.push(Tree::new());
            hosts.push(host.cloned());
        }
        for (pattern, path) in (0_u32..).zip(&matcher.paths) {
            let entry = Entry {
                route,
                pattern,
                methods: matcher.methods.clone(),
                conditions: u32::try_from(matcher.conditions.len()).unwrap_or(u32::MAX),
                shape: Shape::new(path),
            };
            self.trees[tree].insert(path, entry);
        }
    }

    /// The route that takes a request. Costs O(length of the path), whatever the number of routes, and allocates
    /// nothing unless a condition looks at a repeated header or at an encoded query.
    ///
    /// Routes that differ in nothing but their conditions are asked one after the other.
    pub fn find(&self, head: &Head<'_>) -> Lookup {
        let path = head.path.canonical();
        let mut saw_slash = false;
        let found = self.search(head, path, false, &mut saw_slash);
        if let Some(found) = found.as_ref().filter(|found| found.is_exact) {
            return Lookup::Route(matched(found.entry));
        }
        if saw_slash && self.search(head, path, true, &mut saw_slash).is_some_and(|found| found.is_exact) {
            return Lookup::AddSlash;
        }
        match found {
            Some(found) => Lookup::Route(matched(found.entry)),
            None => self.refuse(head, path),
        }
    }

    fn search<'t>(&'t self, head: &Head<'_>, path: &str, with_slash: bool, saw_slash: &mut bool) -> Option<Found<'t>> {
        let mut best = None;
        for tree in self.trees_for(head.host) {
            let mut walk = Walk::new(tree, with_slash);
            let is_found = walk.run(path, &mut |leaf, is_exact| {
                best = self.pick(leaf, head).map(|entry| Found { entry, is_exact });
                best.is_some()
            });
            *saw_slash |= walk.saw_slash;
            if is_found {
                break;
            }
        }
        best
    }

    /// The trees for a host, the most specific first.
    fn trees_for(&self, host: &str) -> impl Iterator<Item = &Tree> {
        let exact = self.exact.get(host);
        let has_suffixes = !self.below.is_empty();
        let suffixes = host.bytes().enumerate().filter(move |(_, byte)| has_suffixes && *byte == b'.');
        let below = suffixes.filter_map(move |(dot, _)| self.below.get(&host[dot + 1..]));
        exact.into_iter().chain(below).chain(&self.any).map(|tree| &self.trees[*tree])
    }

    /// The first of the entries of one path that takes the request; those that name `HEAD` come before the others.
    fn pick<'t>(&self, leaf: &'t [Entry], head: &Head<'_>) -> Option<&'t Entry> {
        if *head.method == Method::HEAD {
            let named = |entry: &&Entry| entry.methods.takes(head.method) == Takes::Named && self.holds(entry, head);
            if let Some(entry) = leaf.iter().find(named) {
                return Some(entry);
            }
        }
        leaf.iter().find(|entry| entry.methods.matches(head.method) && self.holds(entry, head))
    }

    fn holds(&self, entry: &Entry, head: &Head<'_>) -> bool {
        entry.conditions == 0
            || self.matchers[entry.route as usize].conditions.iter().all(|condition| condition.holds(head))
    }

    /// 405 if routes would take the request with another method, be it with a slash at its end; else 404.
    fn refuse(&self, head: &Head<'_>, path: &str) -> Lookup {
        let mut allow = Allow::default();
        let modes: &[bool] = if path.ends_with('/') { &[false] } else { &[false, true] };
        for tree in self.trees_for(head.host) {
            for with_slash in modes {
                Walk::new(tree, *with_slash).run(path, &mut |leaf, _| {
                    for entry in leaf.iter().filter(|entry| self.holds(entry, head)) {
                        allow.add(&entry.methods);
                    }
                    false
                });
            }
        }
        if allow.is_empty() { Lookup::NotFound } else { Lookup::MethodNotAllowed(allow) }
    }

    /// The entries of each path, in the order in which they are asked.
    pub(super) fn leaves(&self) -> impl Iterator<Item = &[Entry]> {
        let nodes = self.trees.iter().flat_map(|tree| &tree.nodes);
        nodes.flat_map(|node| [&*node.exact, &*node.slash, &*node.rest])
    }

    /// The routes at their positions.
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }
}

fn matched(entry: &Entry) -> Match {
    Match { route: entry.route as usize, pattern: entry.pattern as usize, shape: entry.shape.clone() }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;
    use crate::head::Path;
    use crate::route::{Near, Test};

    fn route(hosts: &[&str], methods: &[&str], paths: &[&str]) -> Matcher {
        Matcher {
            name: paths.concat().into(),
            hosts: hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect(),
            paths: paths.iter().map(|path| Pattern::parse(path).unwrap()).collect(),
            methods: Methods::parse(methods).unwrap(),
            conditions: Vec::new(),
        }
    }

    fn if_header(mut matcher: Matcher, test: Test) -> Matcher {
        matcher.conditions.push(Condition::header(HeaderName::from_static("x-v"), test));
        matcher
    }

    fn table(matchers: Vec<Matcher>) -> Table {
        Table::build(matchers).unwrap_or_else(|conflicts| panic!("{conflicts:?}"))
    }

    fn with_head<T>(url: &str, version: Option<&str>, ask: impl FnOnce(&Head<'_>) -> T) -> T {
        let (method, url) = url.split_once(' ').unwrap();
        let (host, path) = url.split_at(url.find('/').unwrap());
        let headers: HeaderMap =
            version.map(|v| (HeaderName::from_static("x-v"), HeaderValue::from_str(v).unwrap())).into_iter().collect();
        let path = Path::parse(path).unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        ask(&Head { method: &method, host, path: &path, query: None, headers: &headers })
    }

    /// What the table says: a route's position, or a word.
    fn ask(table: &Table, url: &str, version: Option<&str>) -> String {
        with_head(url, version, |head| match table.find(head) {
            Lookup::Route(found) => found.route().to_string(),
            Lookup::AddSlash => "slash".into(),
            Lookup::MethodNotAllowed(allow) => format!("allow {allow}"),
            Lookup::NotFound => "none".into(),
        })
    }

    fn near(table: &Table, url: &str, version: Option<&str>) -> Vec<(usize, String)> {
        let near = with_head(url, version, |head| table.near(head));
        near.into_iter().map(|Near { route, failed }| (route, failed)).collect()
    }

    fn conflict(matchers: Vec<Matcher>) -> Option<String> {
        Table::build(matchers).err().map(|conflicts| {
            assert_eq!((conflicts[0].first, conflicts[0].second), (0, 1));
            format!("{}; {}", conflicts[0].example, conflicts[0].why)
        })
    }

    #[test]
    fn gos_documented_examples_hold() {
        let posts = table(vec![
            route(&[], &[], &["/posts/{id}"]),
            route(&[], &[], &["/posts/latest"]),
            route(&[], &[], &["/posts/"]),
            route(&[], &[], &["/b/{bucket}/o/{objectname...}"]),
            route(&[], &["GET"], &["/posts/{id}"]),
            route(&["example.com"], &[], &["/"]),
        ]);
        for (url, expected) in [
            ("POST h/posts/latest", "1"),
            ("POST h/posts/234", "0"),
            ("GET h/posts/234", "4"),
            ("HEAD h/posts/234", "4"),
            ("POST h/posts/234/x", "2"),
            ("GET h/posts", "slash"),
            ("GET h/b/x/o/y/z", "3"),
            ("GET h/b/x/o", "slash"),
            ("GET h/b/x", "none"),
            ("GET example.com/posts/latest", "5"),
        ] {
            assert_eq!(ask(&posts, url, None), expected, "{url}");
        }
        let overlap = conflict(vec![route(&[], &[], &["/posts/{id}"]), route(&[], &[], &["/{resource}/latest"])]);
        assert_eq!(
            overlap.unwrap(),
            "GET http://example.com/posts/latest; `/posts/{id}` and `/{resource}/latest` overlap, and neither is within the other; make one path a part of the other, or give each its own host, methods or value of a header"
        );
    }

    #[test]
    fn a_narrower_method_with_a_wider_path_leaves_it_to_the_path() {
        // Go refuses this pair.
        let table = table(vec![route(&[], &["GET"], &["/"]), route(&[], &[], &["/index.html"])]);
        assert_eq!(ask(&table, "GET h/index.html", None), "1");
        assert_eq!(ask(&table, "GET h/x", None), "0");
        assert_eq!(ask(&table, "POST h/x", None), "allow GET, HEAD");
    }

    #[test]
    fn the_host_decides_first_and_falls_back() {
        let table = table(vec![
            route(&[], &[], &["/", "/a/b/c"]),
            route(&["*.test"], &[], &["/a/"]),
            route(&["*.x.test"], &["GET"], &["/a/"]),
            route(&["api.x.test"], &[], &["/a/b"]),
        ]);
        for (url, expected) in [
            ("GET api.x.test/a/b", "3"),
            ("GET api.x.test/a/c", "2"),
            ("POST api.x.test/a/c", "1"),
            ("GET y.test/a/b/c", "1"),
            ("GET test/a/b/c", "0"),
            ("GET api.x.test/b", "0"),
        ] {
            assert_eq!(ask(&table, url, None), expected, "{url}");
        }
    }

    #[test]
    fn a_missing_slash_is_added_only_where_it_matches_exactly() {
        let table = table(vec![
            route(&[], &[], &["/"]),
            route(&[], &["POST"], &["/users/"]),
            route(&[], &[], &["/x/{$}"]),
            route(&[], &[], &["/y/{id}/"]),
            route(&[], &[], &["/z", "/z/"]),
        ]);
        for (url, expected) in [
            ("POST h/users", "slash"),
            ("GET h/users", "0"),
            ("GET h/x", "slash"),
            ("GET h/x/", "2"),
            ("GET h/x/y", "0"),
            ("GET h/y/1", "slash"),
            ("GET h/y/1/2", "3"),
            ("GET h/z", "4"),
            ("GET h/z/1", "4"),
        ] {
            assert_eq!(ask(&table, url, None), expected, "{url}");
        }
    }

    #[test]
    fn a_path_without_its_method_says_which_there_are() {
        let table = table(vec![
            route(&[], &["PUT", "GET"], &["/a"]),
            route(&["a.test"], &["DELETE"], &["/{x}"]),
            if_header(route(&[], &["POST"], &["/a"]), Test::exact("1")),
            route(&[], &["PATCH"], &["/b/"]),
        ]);
        assert_eq!(ask(&table, "LOCK a.test/a", None), "allow DELETE, GET, HEAD, PUT");
        assert_eq!(ask(&table, "LOCK h/a", Some("1")), "allow GET, HEAD, POST, PUT");
        assert_eq!(ask(&table, "GET h/b", None), "allow PATCH");
        assert_eq!(ask(&table, "GET h/c", None), "none");
    }

    #[test]
    fn more_conditions_come_first() {
        let table = table(vec![
            route(&[], &["GET"], &["/"]),
            if_header(route(&[], &["GET"], &["/"]), Test::exact("1")),
            if_header(route(&[], &["GET"], &["/"]), Test::exact("2")),
            if_header(route(&[], &["GET"], &["/a"]), Test::exact("2")),
        ]);
        assert_eq!(ask(&table, "GET h/", Some("1")), "1");
        assert_eq!(ask(&table, "GET h/", Some("3")), "0");
        assert_eq!(ask(&table, "GET h/a", Some("2")), "3");
        assert_eq!(ask(&table, "GET h/a", Some("1")), "1");
    }

    #[test]
    fn captures_are_in_the_clients_spelling() {
        let table = table(vec![
            route(&[], &[], &["/u/{id}/f/{name...}"]),
            route(&[], &[], &["/below/"]),
            route(&[], &[], &["/exact/{id}", "/exact"]),
        ]);
        let matched = |url: &str| {
            with_head(&format!("GET h{url}"), None, |head| match table.find(head) {
                Lookup::Route(found) => found,
                other => panic!("{other:?}"),
            })
        };
        let path = Path::parse("/u/%7Ejo/f/a/%62").unwrap();
        let found = matched("/u/%7Ejo/f/a/%62");
        assert_eq!(found.param(&path, "id"), Some("%7Ejo"));
        assert_eq!(found.param(&path, "name"), Some("a/%62"));
        assert_eq!(found.param(&path, "rest"), None);
        assert_eq!(path.below(found.prefix_segments()), "/a/%62");
        let path = Path::parse("/below/").unwrap();
        let found = matched("/below/");
        assert_eq!((found.param(&path, "rest"), path.below(found.prefix_segments())), (Some(""), "/"));
        let path = Path::parse("/exact/7").unwrap();
        let found = matched("/exact/7");
        assert_eq!((found.pattern(), path.below(found.prefix_segments())), (0, "/"));
        assert_eq!(matched("/exact").pattern(), 1);
    }

    #[test]
    fn equal_routes_conflict_with_an_example() {
        let same = |methods: &[&str]| route(&["*.a.test"], methods, &["/a/", "/b"]);
        assert_eq!(
            conflict(vec![same(&["GET"]), same(&["GET"])]).unwrap(),
            "GET http://www.a.test/a/; they have the same paths and methods, and no conditions; give one its own host, a narrower path or one more condition"
        );
        assert_eq!(
            conflict(vec![same(&["GET", "PUT"]), same(&["PUT", "POST"])]).unwrap(),
            "PUT http://www.a.test/a/; of their methods (GET, PUT and POST, PUT) neither are among the other's; take PUT out of one, or give one a host or a narrower path"
        );
        assert_eq!(
            conflict(vec![
                if_header(route(&[], &[], &["/{x}"]), Test::prefix("v1")),
                if_header(route(&[], &[], &["/{y}"]), Test::regex("v[0-9]+").unwrap()),
            ])
            .unwrap(),
            "GET http://example.com/x with x-v: v1; they have the same paths and methods, and one condition each; give one its own host, a narrower path, a method or one more condition"
        );
        assert_eq!(conflict(vec![same(&["GET"]), same(&["PUT"])]), None);
        assert_eq!(conflict(vec![same(&["GET"]), same(&["HEAD"])]), None);
        assert_eq!(conflict(vec![same(&["GET"]), same(&[])]), None);
    }

    #[test]
    fn what_a_conflict_asks_for_resolves_it() {
        let plain = || route(&[], &["GET", "PUT"], &["/{x}"]);
        assert!(conflict(vec![plain(), plain()]).is_some());
        for mended in [
            route(&["a.test"], &["GET", "PUT"], &["/{x}"]),
            route(&[], &["GET", "PUT"], &["/x"]),
            route(&[], &["PUT"], &["/{x}"]),
            if_header(plain(), Test::present(true)),
        ] {
            assert_eq!(conflict(vec![plain(), mended]), None);
        }
        let (left, right) = (["/{x}/a"], ["/b/{y}"]);
        assert!(conflict(vec![route(&[], &[], &left), route(&[], &[], &right)]).is_some());
        assert_eq!(conflict(vec![route(&[], &[], &["/b/a"]), route(&[], &[], &right)]), None);
        assert_eq!(conflict(vec![route(&["a.test"], &[], &left), route(&["b.test"], &[], &right)]), None);
        assert_eq!(conflict(vec![route(&[], &["GET"], &left), route(&[], &["PUT"], &right)]), None);
        let with = |paths: &[&str], value| if_header(route(&[], &[], paths), Test::exact(value));
        assert_eq!(conflict(vec![with(&left, "1"), with(&right, "2")]), None);
    }

    #[test]
    fn the_example_of_a_conflict_is_for_a_host_of_both_routes() {
        let with_host = |hosts: &[&str], test| {
            let mut matcher = route(hosts, &[], &["/"]);
            matcher.conditions.push(Condition::header(HeaderName::from_static("host"), test));
            matcher
        };
        let told = |a: Matcher, b: Matcher| {
            let (hosts, said) = ([a.hosts.clone(), b.hosts.clone()], conflict(vec![a, b]).unwrap());
            for hosts in hosts {
                assert!(hosts.iter().any(|host| said.contains(&format!("http://{}/", host.example()))), "{said}");
            }
            said
        };
        told(route(&["a.test", "b.test"], &[], &["/"]), route(&["c.test", "b.test"], &[], &["/"]));
        told(route(&["*.b.test"], &[], &["/"]), route(&["a.test", "*.b.test"], &[], &["/"]));
        let said = told(with_host(&["a.test"], Test::present(true)), with_host(&["a.test"], Test::prefix("a")));
        assert!(said.starts_with("GET http://a.test/ with host: a.test;"), "{said}");
    }

    #[test]
    fn conditions_that_exclude_each_other_make_no_conflict() {
        let with = |test| if_header(route(&[], &[], &["/"]), test);
        for (a, b) in [
            (Test::exact("1"), Test::exact("2")),
            (Test::prefix("1"), Test::exact("2")),
            (Test::present(true), Test::present(false)),
            (Test::regex("a+").unwrap(), Test::regex("b+").unwrap()),
        ] {
            assert_eq!(conflict(vec![with(a), with(b)]), None);
        }
        let huge = |text| with(Test::regex(text).unwrap());
        let unknown = conflict(vec![huge("(a|b)*a(a|b){18}"), huge("(a|b)*")]).unwrap();
        assert!(unknown.contains("could not be proved"), "{unknown}");
    }

    #[test]
    fn many_routes_that_differ_in_a_header_are_told_apart() {
        let tenants: Vec<Matcher> =
            (0..3000).map(|tenant| if_header(route(&[], &[], &["/"]), Test::exact(&tenant.to_string()))).collect();
        let twice = [tenants.clone(), tenants[7..8].to_vec()].concat();
        assert_eq!(ask(&table(tenants), "GET h/", Some("2999")), "2999");
        let conflicts = Table::build(twice).err().unwrap();
        assert_eq!(conflicts.len(), 1);
        assert_eq!((conflicts[0].first, conflicts[0].second), (7, 3000));
    }

    #[test]
    fn the_number_of_conflicts_told_is_bounded() {
        let same: Vec<Matcher> = (0..2000).map(|_| route(&[], &[], &["/a/{x}"])).collect();
        assert_eq!(Table::build(same).err().unwrap().len(), conflict::MOST);
    }

    #[test]
    fn what_came_near_says_what_kept_it() {
        let table = table(vec![
            route(&[], &["POST"], &["/users/"]),
            if_header(route(&[], &["GET"], &["/users/"]), Test::exact("1")),
            route(&["api.test"], &[], &["/users/{id}"]),
            route(&[], &[], &["/user/{id}"]),
            route(&[], &[], &["/"]),
            route(&[], &[], &["/something/else"]),
            route(&["b.test"], &["POST"], &["/users/"]),
        ]);
        assert_eq!(ask(&table, "GET a.test/users/7", Some("2")), "4");
        assert_eq!(
            near(&table, "GET a.test/users/7", Some("2")),
            [
                (2, "host a.test is not api.test".into()),
                (0, "method GET is not POST".into()),
                (1, "header x-v is `2`, not `1`".into()),
                (6, "host a.test is not b.test; method GET is not POST".into()),
            ]
        );
        let outdone = near(&table, "GET api.test/users/7", Some("1"));
        assert_eq!(outdone[0], (1, "less specific than `/users/{id}`: it is for any host".into()));
        assert_eq!(outdone[1], (4, "less specific than `/users/{id}`: it is for any host".into()));
        let outdone = near(&table, "GET a.test/users/7", Some("1"));
        assert_eq!(outdone[0], (4, "less specific than `/users/`: / is wider than /users/".into()));
    }

    #[test]
    fn a_path_that_is_alike_is_told_only_where_no_route_takes_the_request() {
        let mut routes = vec![
            route(&[], &["POST"], &["/users/"]),
            route(&["b.test"], &[], &["/user/{id}"]),
            route(&[], &[], &["/something/else"]),
        ];
        let some = table(routes.clone());
        assert_eq!(
            near(&some, "GET a.test/Users/7", None),
            [
                (0, "path /Users/7 would match /users/ but for its letter case; method GET is not POST".into()),
                (
                    1,
                    "path /Users/7 would match /user/{id} but for `Users` in place of `user`; host a.test is not b.test"
                        .into()
                ),
            ]
        );
        let slash = near(&some, "POST a.test/users", None);
        assert_eq!(slash[0], (0, "path /users would match /users/ but for a slash at its end".into()));
        routes.push(route(&[], &[], &["/"]));
        let all = table(routes);
        assert_eq!(near(&all, "GET a.test/Users/7", None), []);
        assert!(near(&all, "POST a.test/users", None)[0].1.ends_with("which a 308 adds"));
    }

    #[test]
    fn at_most_five_came_near() {
        let many = (0..20).map(|n| route(&[&format!("h{n}.test")], &[], &["/a"])).collect();
        assert_eq!(near(&table(many), "GET a.test/a", None).len(), 5);
    }
}
