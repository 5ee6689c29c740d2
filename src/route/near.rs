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
    /// All that kept it from taking the request: `method GET is not POST; header x-v is missing`, or
    /// `less specific than …`.
    pub failed: String,
}

/// How many are told.
const MOST: usize = 5;

/// How far off; the least is the nearest.
type Distance = (Unlike, usize, Reverse<usize>);

/// How a path differs from those that a pattern takes; the first is the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unlike {
    Not,
    Slash,
    Case,
    /// One segment, by so many letters.
    Letters(usize),
}

impl Table {
    /// The routes that came near to taking a request, the nearest first, at most five: those whose path matches, with
    /// all that kept them from it, the least first; and where no route takes the request, those whose path differs in a
    /// trailing slash, in letter case or in up to two letters of one segment.
    pub fn near(&self, head: &Head<'_>) -> Vec<Near> {
        let winner = match self.find(head) {
            Lookup::Route(found) => Some(found.route()),
            _ => None,
        };
        let mut found: Vec<(Distance, Near)> = Vec::new();
        for (route, matcher) in self.matchers.iter().enumerate().filter(|(route, _)| Some(*route) != winner) {
            if let Some((distance, failed)) = self.failures(matcher, winner, head) {
                found.push((distance, Near { route, failed }));
            }
        }
        found.sort_by_key(|(distance, near)| (*distance, near.route));
        found.truncate(MOST);
        found.into_iter().map(|(_, near)| near).collect()
    }

    /// All that a route fails by; `None` if its path has nothing to do with the request's.
    fn failures(&self, matcher: &Matcher, winner: Option<usize>, head: &Head<'_>) -> Option<(Distance, String)> {
        let mut failed = Vec::new();
        let matching = matcher.paths.iter().filter(|pattern| pattern.matches(head.path));
        let (unlike, depth) = match matching.map(Pattern::prefix_segments).max() {
            Some(depth) => (Unlike::Not, depth),
            None if winner.is_some() => return None,
            None => {
                let (unlike, why) = wrong_path(&matcher.paths, head.path.canonical())?;
                failed.push(why);
                (unlike, 0)
            }
        };
        failed.extend(wrong_host(&matcher.hosts, head.host));
        failed.extend(wrong_method(matcher, head));
        failed.extend(matcher.conditions.iter().filter_map(|condition| condition.failure(head)));
        let distance = (unlike, failed.len(), Reverse(depth));
        if failed.is_empty() {
            failed.push(self.outdone(matcher, winner, head));
        }
        Some((distance, failed.join("; ")))
    }

    /// What comes before a route that would take a request, too.
    fn outdone(&self, matcher: &Matcher, winner: Option<usize>, head: &Head<'_>) -> String {
        match winner.and_then(|winner| self.matchers.get(winner)) {
            Some(winner) => format!("less specific than `{}`: {}", winner.name, less_specific(matcher, winner, head)),
            None => "less specific than what takes the path with a slash at its end, which a 308 adds".to_owned(),
        }
    }
}

fn wrong_host(hosts: &[HostPattern], host: &str) -> Option<String> {
    let fails = !hosts.is_empty() && !hosts.iter().any(|pattern| pattern.matches(host));
    fails.then(|| format!("host {host} is {}", none_of(hosts)))
}

fn wrong_method(matcher: &Matcher, head: &Head<'_>) -> Option<String> {
    let named: Vec<_> = matcher.methods.named().collect();
    (!matcher.methods.matches(head.method)).then(|| format!("method {} is {}", head.method, none_of(&named)))
}

/// In words; of very many only the first are named.
fn none_of<T: ToString>(wanted: &[T]) -> String {
    const NAMED: usize = 7;
    let names: Vec<String> = wanted.iter().take(NAMED).map(ToString::to_string).collect();
    match names.as_slice() {
        [one] => format!("not {one}"),
        names if names.len() < wanted.len() => {
            format!("none of {} and {} more", names.join(", "), wanted.len() - names.len())
        }
        names => format!("none of {}", names.join(", ")),
    }
}

/// What is wrong with the path for the pattern that is most like it; `None` if none is.
fn wrong_path(patterns: &[Pattern], path: &str) -> Option<(Unlike, String)> {
    let likenesses = patterns.iter().filter_map(|pattern| Some((pattern, unlike(pattern, path)?)));
    let (pattern, (unlike, but_for)) = likenesses.min_by_key(|(_, (unlike, _))| *unlike)?;
    Some((unlike, format!("path {path} would match {pattern} but for {but_for}")))
}

/// How a path differs from those that a pattern takes, and in words; `None` if they have little in common, or nothing
/// that differs.
fn unlike(pattern: &Pattern, path: &str) -> Option<(Unlike, String)> {
    let fixed = &pattern.segments()[..pattern.prefix_segments()];
    let mut pieces = path.split('/').skip(1);
    let mut worst = (Unlike::Not, String::new());
    for segment in fixed {
        let (unlike, but_for) = unlike_segment(segment, pieces.next()?)?;
        match (worst.0, unlike) {
            (Unlike::Letters(_), Unlike::Letters(_)) => return None,
            (before, now) if now > before => worst = (now, but_for),
            _ => {}
        }
    }
    let after: Vec<&str> = pieces.collect();
    let slash = match (pattern.segments().last(), after.as_slice()) {
        (Some(Segment::Rest(_) | Segment::End), []) => "a slash at its end",
        (Some(Segment::Rest(_)), _) | (Some(Segment::End), [""]) => "",
        (Some(Segment::End), _) => return None,
        (_, []) => "",
        (_, [""]) => "the slash at its end",
        _ => return None,
    };
    match (worst.0, slash) {
        (Unlike::Not, "") => None,
        (Unlike::Not, slash) => Some((Unlike::Slash, slash.to_owned())),
        _ => Some(worst),
    }
}

fn unlike_segment(segment: &Segment, piece: &str) -> Option<(Unlike, String)> {
    let Segment::Literal(wanted) = segment else {
        return (!piece.is_empty()).then_some((Unlike::Not, String::new()));
    };
    if **wanted == *piece {
        return Some((Unlike::Not, String::new()));
    }
    if wanted.eq_ignore_ascii_case(piece) {
        return Some((Unlike::Case, "its letter case".to_owned()));
    }
    let (longest, difference) = (wanted.len().max(piece.len()), wanted.len().abs_diff(piece.len()));
    // The distance costs the product of the lengths, and nothing is to be gained where they differ by more.
    let letters = if difference <= LETTERS { strsim::osa_distance(wanted, piece) } else { longest };
    // With as many slips as half of the letters, two words have little in common.
    let is_alike = letters <= LETTERS && letters * 2 < longest;
    is_alike.then(|| (Unlike::Letters(letters), format!("`{piece}` in place of `{wanted}`")))
}

/// In how many letters segments may differ that are alike.
const LETTERS: usize = 2;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pattern: &str, path: &str) -> Option<String> {
        wrong_path(&[Pattern::parse(pattern).unwrap()], path).map(|(_, said)| said)
    }

    #[test]
    fn a_path_is_alike_but_for_letters_of_one_segment_its_case_or_a_slash() {
        for (pattern, path, but_for) in [
            ("/users/", "/usersX", "`usersX` in place of `users`"),
            ("/users/{id}", "/suers/7", "`suers` in place of `users`"),
            ("/a/orders/{id}/x", "/a/oders/7/x", "`oders` in place of `orders`"),
            ("/users/", "/Users/7/x", "its letter case"),
            ("/Users/List", "/users/list", "its letter case"),
            ("/users/", "/users", "a slash at its end"),
            ("/users/{$}", "/users", "a slash at its end"),
            ("/users", "/users/", "the slash at its end"),
        ] {
            let expected = format!("path {path} would match {pattern} but for {but_for}");
            assert_eq!(said(pattern, path), Some(expected));
        }
    }

    #[test]
    fn what_has_little_in_common_is_not_alike() {
        for (pattern, path) in [
            ("/users/", "/userlist"),
            ("/users/{id}", "/users/7/x"),
            ("/users/{id}", "/users/"),
            ("/users/orders", "/user/order"),
            ("/a", "/b"),
            ("/v1/", "/v2/x"),
            ("/ab/", "/cd/"),
            ("/users/{$}", "/users/7"),
            ("/x/y/z", "/x/y"),
            ("/{a}/{b}", "/x"),
        ] {
            assert_eq!(said(pattern, path), None, "{pattern} {path}");
        }
    }

    #[test]
    fn of_very_many_only_the_first_are_named() {
        assert_eq!(none_of(&[1]), "not 1");
        assert_eq!(none_of(&[1, 2]), "none of 1, 2");
        assert_eq!(none_of(&(1..=40).collect::<Vec<_>>()), "none of 1, 2, 3, 4, 5, 6, 7 and 33 more");
    }
}
