//! Which routes came near to taking a request, and what kept each from it. For `explain`: looks at every route.

use std::cmp::Reverse;

use super::host::HostPattern;
use super::matched::Lookup;
use super::methods::{Order, Takes};
use super::pattern::{Pattern, Relation, Segment};
use super::table::{Matcher, Table};
use crate::head::Head;

/// A route that came near.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Near {
    /// Its position.
    pub route: usize,
    /// The one thing that kept it from taking the request: `method GET is not POST`, `less specific than …`.
    pub failed: String,
}

/// How many are told.
const MOST: usize = 5;

/// How near; the greater, the nearer.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    Path(u32),
    Host,
    Method,
    Condition,
    Outdone,
}

/// Below this much likeness, in thousandths, two paths have nothing to do with each other.
const ALIKE: u32 = 700;

impl Table {
    /// The routes that would have taken a request but for one thing, the nearest first, at most five: those that match
    /// but are less specific than the one that takes it, then those that fail by one condition, their method, their host,
    /// or their path if it is alike.
    pub fn near(&self, head: &Head<'_>) -> Vec<Near> {
        let winner = match self.find(head) {
            Lookup::Route(found) => Some(found.route()),
            _ => None,
        };
        let mut found: Vec<(Nearness, Near)> = Vec::new();
        for (route, matcher) in self.matchers.iter().enumerate().filter(|(route, _)| Some(*route) != winner) {
            if let Some((nearness, failed)) = self.failure(matcher, winner, head) {
                found.push((nearness, Near { route, failed }));
            }
        }
        found.sort_by(|(a, near), (b, other)| (Reverse(a), near.route).cmp(&(Reverse(b), other.route)));
        found.truncate(MOST);
        found.into_iter().map(|(_, near)| near).collect()
    }

    /// The one thing that a route fails by; `None` if there are more.
    fn failure(&self, matcher: &Matcher, winner: Option<usize>, head: &Head<'_>) -> Option<(Nearness, String)> {
        let mut failures = Vec::new();
        if !matcher.hosts.is_empty() && !matcher.hosts.iter().any(|host| host.matches(head.host)) {
            failures.push((Nearness::Host, wrong_host(&matcher.hosts, head.host)));
        }
        if !matcher.paths.iter().any(|pattern| pattern.matches(head.path)) {
            failures.push(wrong_path(&matcher.paths, head.path.canonical())?);
        }
        if !matcher.methods.matches(head.method) {
            let names: Vec<String> = matcher.methods.named().map(ToString::to_string).collect();
            failures.push((Nearness::Method, format!("method {} is {}", head.method, none_of(&names))));
        }
        for failed in matcher.conditions.iter().filter_map(|condition| condition.failure(head)) {
            failures.push((Nearness::Condition, failed));
        }
        match failures.len() {
            0 => {
                let winner = self.matchers.get(winner?)?;
                let why = less_specific(matcher, winner, head);
                Some((Nearness::Outdone, format!("less specific than `{}`: {why}", winner.name)))
            }
            1 => failures.pop(),
            _ => None,
        }
    }
}

fn none_of(names: &[String]) -> String {
    match names {
        [one] => format!("not {one}"),
        many => format!("none of {}", many.join(", ")),
    }
}

fn wrong_host(hosts: &[HostPattern], host: &str) -> String {
    let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    format!("host {host} is {}", none_of(&names))
}

/// What is wrong with the path for the pattern that is most like it; `None` if none is.
fn wrong_path(patterns: &[Pattern], path: &str) -> Option<(Nearness, String)> {
    let (likeness, nearest) =
        patterns.iter().map(|pattern| (likeness(pattern, path), pattern)).max_by_key(|(like, _)| *like)?;
    if likeness < ALIKE {
        return None;
    }
    let text = nearest.as_str();
    let failed = match text {
        below if below.ends_with('/') && !below.contains('{') => format!("path {path} is not below {below}"),
        exact if !exact.contains('{') => format!("path {path} is not {exact}"),
        pattern => format!("path {path} does not match {pattern}"),
    };
    Some((Nearness::Path(likeness), failed))
}

/// How alike a path is to those that a pattern takes, in thousandths. Wildcards are like whatever stands in their place,
/// a remainder like whatever is left.
fn likeness(pattern: &Pattern, path: &str) -> u32 {
    let mut pieces = path.split('/').skip(1);
    let (mut ideal, mut actual) = (String::new(), String::new());
    for segment in pattern.segments() {
        let piece = pieces.next();
        for (text, part) in [(&mut ideal, wanted(segment, piece)), (&mut actual, piece)] {
            if let Some(part) = part {
                text.push('/');
                text.push_str(part);
            }
        }
    }
    if !pattern.has_rest() {
        pieces.for_each(|piece| actual.extend(["/", piece]));
    }
    // A share of thousand, never negative.
    (strsim::jaro_winkler(&ideal, &actual) * 1000.0) as u32
}

/// What would have to stand in place of a piece of a path.
fn wanted<'a>(segment: &'a Segment, piece: Option<&'a str>) -> Option<&'a str> {
    match segment {
        Segment::Literal(literal) => Some(literal),
        Segment::Wild(name) => Some(piece.unwrap_or(name)),
        Segment::Rest(_) => Some(piece.unwrap_or_default()),
        Segment::End => Some(""),
    }
}

/// Why one of two routes that both match comes second.
fn less_specific(loser: &Matcher, winner: &Matcher, head: &Head<'_>) -> String {
    fn host<'a>(matcher: &'a Matcher, head: &Head<'_>) -> Option<&'a HostPattern> {
        matcher.hosts.iter().filter(|host| host.matches(head.host)).max_by_key(|host| host.rank())
    }
    let (lost, won) = (host(loser, head), host(winner, head));
    if lost != won {
        return match (lost, won) {
            (None, _) => "it is for any host".to_owned(),
            (Some(lost), Some(won)) => format!("{lost} is wider than {won}"),
            // Cannot be: a route for any host comes after one that names it.
            (Some(lost), None) => format!("{lost} is wider"),
        };
    }
    for won in winner.paths.iter().filter(|pattern| pattern.matches(head.path)) {
        for lost in loser.paths.iter().filter(|pattern| pattern.matches(head.path)) {
            if lost.relation(won) == Relation::MoreGeneral {
                return format!("{lost} is wider than {won}");
            }
        }
    }
    match winner.methods.compare(&loser.methods, head.method) {
        Order::First
            if winner.methods.takes(head.method) == Takes::Named
                && loser.methods.takes(head.method) != Takes::Named =>
        {
            format!("it does not name {}", head.method)
        }
        Order::First => "it takes more methods".to_owned(),
        _ => "it has fewer conditions".to_owned(),
    }
}
