//! Routes that no request reaches, since others of the same path, which are asked before, take all of theirs.

use std::collections::BTreeSet;

use http::Method;

use super::condition::{Condition, Wanted};
use super::table::{Matcher, Table};
use super::tree::Entry;

/// A route that no request reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadowed {
    /// Its position.
    pub route: usize,
    /// The positions of those that take its requests.
    pub by: Vec<usize>,
}

impl Table {
    /// Routes that no request reaches. What is told is so; one that is kept from requests in a more roundabout way, as by
    /// conditions that only together leave nothing over, is not told. Compares the entries of each path in pairs, so it is
    /// not for the way of a reload.
    pub fn shadowed(&self) -> Vec<Shadowed> {
        let mut by = vec![Some(BTreeSet::new()); self.matchers.len()];
        for leaf in self.leaves() {
            for (index, entry) in leaf.iter().enumerate() {
                let found = self.all_taken(entry, leaf, index);
                let whole = &mut by[entry.route as usize];
                match (found, whole.as_mut()) {
                    (Some(found), Some(so_far)) => so_far.extend(found),
                    _ => *whole = None,
                }
            }
        }
        let shadowed = by.into_iter().enumerate().filter_map(|(route, by)| {
            let by: Vec<usize> = by?.into_iter().collect();
            (!by.is_empty()).then_some(Shadowed { route, by })
        });
        shadowed.collect()
    }

    /// Those before an entry that take all of its requests.
    fn all_taken(&self, entry: &Entry, leaf: &[Entry], index: usize) -> Option<BTreeSet<usize>> {
        if index == 0 {
            return None;
        }
        let mut methods: Vec<Option<Method>> = entry.methods.named().cloned().map(Some).collect();
        match methods.is_empty() {
            true => methods.push(None),
            false if entry.methods.matches(&Method::HEAD) => methods.push(Some(Method::HEAD)),
            false => {}
        }
        let mut by = BTreeSet::new();
        for method in methods {
            by.extend(self.taken(entry, method.as_ref(), &leaf[..index])?);
        }
        Some(by)
    }

    /// Those before an entry that take all of its requests with one method; `None` stands for all that nobody names.
    fn taken(&self, entry: &Entry, method: Option<&Method>, before: &[Entry]) -> Option<Vec<usize>> {
        let own = &self.matcher(entry).conditions;
        // `HEAD` by its name comes before `HEAD` by `GET`, so what is named there is not behind what is not.
        let is_named = |other: &Entry| method.is_some_and(|method| other.methods.named().any(|named| named == method));
        let takes = |other: &&Entry| match method {
            Some(method) => other.methods.matches(method) && (is_named(other) || !is_named(entry)),
            None => other.methods.is_any(),
        };
        let mut halves: Vec<(&Condition, usize)> = Vec::new();
        for other in before.iter().filter(takes).filter(|other| other.route != entry.route) {
            let mut more =
                self.matcher(other).conditions.iter().filter(|wanted| !own.iter().any(|own| own.implies(wanted)));
            match (more.next(), more.next()) {
                (None, _) => return Some(vec![other.route as usize]),
                (Some(half), None) => {
                    if let Some((_, complement)) = halves.iter().find(|(other, _)| half.complements(other)) {
                        return Some(vec![*complement, other.route as usize]);
                    }
                    halves.push((half, other.route as usize));
                }
                _ => {}
            }
        }
        None
    }

    fn matcher(&self, entry: &Entry) -> &Matcher {
        &self.matchers[entry.route as usize]
    }
}

impl Condition {
    /// Whether the other holds wherever this one does, as far as that is plain to see.
    fn implies(&self, other: &Self) -> bool {
        let (test, wanted) = (&self.test().0, &other.test().0);
        self.subject() == other.subject()
            && match (test, wanted) {
                (Wanted::Exact(value), _) => other.test().holds(Some(value.as_bytes())),
                (Wanted::Present(a), Wanted::Present(b)) => a == b,
                (Wanted::Prefix(_) | Wanted::Regex(..), Wanted::Present(true)) => true,
                (Wanted::Prefix(a), Wanted::Prefix(b)) => a.starts_with(&**b),
                (Wanted::Regex(a, _), Wanted::Regex(b, _)) => a == b,
                _ => false,
            }
    }

    /// Whether one of the two holds for every request.
    fn complements(&self, other: &Self) -> bool {
        let present = |condition: &Self| match condition.test().0 {
            Wanted::Present(present) => Some(present),
            _ => None,
        };
        self.subject() == other.subject() && present(self).zip(present(other)).is_some_and(|(a, b)| a != b)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::route::{HostPattern, Methods, Pattern, Test};

    fn route(methods: &[&str], tests: &[(&'static str, Test)]) -> Matcher {
        let condition =
            |(name, test): &(&'static str, Test)| Condition::header(HeaderName::from_static(name), test.clone());
        Matcher {
            name: "r".into(),
            hosts: Vec::new(),
            paths: vec![Pattern::parse("/x").unwrap()],
            methods: Methods::parse(methods).unwrap(),
            conditions: tests.iter().map(condition).collect(),
        }
    }

    fn shadowed(routes: Vec<Matcher>) -> Vec<(usize, Vec<usize>)> {
        let table = Table::build(routes).unwrap_or_else(|conflicts| panic!("{conflicts:?}"));
        table.shadowed().into_iter().map(|Shadowed { route, by }| (route, by)).collect()
    }

    #[test]
    fn routes_with_fewer_methods_may_leave_nothing_over() {
        let get = || route(&["GET"], &[]);
        let both = |tests: &[_]| route(&["GET", "POST"], tests);
        assert_eq!(shadowed(vec![both(&[]), get(), route(&["POST"], &[])]), [(0, vec![1, 2])]);
        assert_eq!(shadowed(vec![both(&[]), get()]), []);
        assert_eq!(shadowed(vec![route(&["GET", "HEAD"], &[("x-a", Test::exact("1"))]), get()]), []);
        // Methods count before conditions.
        let narrow = both(&[("x-a", Test::exact("1"))]);
        assert_eq!(shadowed(vec![narrow, get(), route(&["POST"], &[])]), [(0, vec![1, 2])]);
        assert_eq!(shadowed(vec![route(&[], &[]), get(), route(&["POST"], &[])]), [], "there are other methods");
    }

    #[test]
    fn conditions_that_one_of_two_always_meets_leave_nothing_over() {
        let if_present = |present| route(&[], &[("x-a", Test::present(present))]);
        assert_eq!(shadowed(vec![route(&[], &[]), if_present(true), if_present(false)]), [(0, vec![1, 2])]);
        assert_eq!(shadowed(vec![route(&[], &[]), if_present(true)]), []);
        let two = route(&[], &[("x-a", Test::present(true)), ("x-b", Test::present(true))]);
        assert_eq!(shadowed(vec![route(&[], &[]), two, if_present(false)]), []);
    }

    #[test]
    fn a_route_with_a_path_or_host_of_its_own_is_reached() {
        let mut wide = route(&["GET", "POST"], &[]);
        wide.paths.push(Pattern::parse("/y").unwrap());
        assert_eq!(shadowed(vec![wide, route(&["GET"], &[]), route(&["POST"], &[])]), []);
        let mut own = route(&["GET", "POST"], &[]);
        own.hosts.push(HostPattern::parse("a.test").unwrap());
        assert_eq!(shadowed(vec![own, route(&["GET"], &[]), route(&["POST"], &[])]), []);
    }
}
