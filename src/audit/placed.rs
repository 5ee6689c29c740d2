//! The filters of all routes, each once for the place in the file that names it.

use std::collections::BTreeMap;

use super::Door;
use crate::filter::Link;
use crate::snapshot::Route;

/// A filter, where the file has it, and the routes that have it from there.
pub(super) struct Placed<'a> {
    pub(super) path: Vec<&'a str>,
    pub(super) link: &'a Link,
    pub(super) routes: Vec<&'a Route>,
}

impl<'a> Door<'a> {
    /// The filters that the file names. What a filter runs at another stage besides is not told of by itself.
    pub(super) fn filters(&self) -> impl Iterator<Item = Placed<'a>> + use<'a> {
        let mut all: BTreeMap<Vec<&'a str>, Placed<'a>> = BTreeMap::new();
        for (name, settings, route) in self.routes() {
            for link in route.chain.links() {
                let path = match settings.filters.contains_key(link.kind) {
                    true => vec!["routes", name.as_ref(), "filters", link.kind],
                    false => vec!["defaults", "filters", link.kind],
                };
                let placed = all.entry(path.clone()).or_insert_with(|| Placed { path, link, routes: Vec::new() });
                if !placed.routes.last().is_some_and(|last| std::ptr::eq(*last, route)) {
                    placed.routes.push(route);
                }
            }
        }
        all.into_values()
    }
}
