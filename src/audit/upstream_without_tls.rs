//! Upstreams that are spoken to in the clear over networks that anybody may listen to.

use super::{Door, Finding};
use crate::snapshot::destinations;
use crate::upstream::Upstream;

pub(super) fn check(door: &Door<'_>) -> Vec<Finding> {
    let plain = door.snapshot.upstreams().filter(|upstream| upstream.settings().tls.is_none());
    let told = plain.filter_map(|upstream| {
        let outside = upstream.outside()?;
        let reason = format!("{outside} is no address of a private network, and all goes there in the clear");
        let remedy = "give the upstream `tls: {}` (a URL `https://`), or reach it by a private address";
        let path = place(door, upstream)?;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        Some(door.finding(&path, "upstream_without_tls", reason, remedy))
    });
    told.collect()
}

/// Where the file has it: among `upstreams`, or as a URL of the first route that names it.
fn place(door: &Door<'_>, upstream: &Upstream) -> Option<Vec<String>> {
    let name = upstream.name();
    if door.config().upstreams.keys().any(|known| known.as_ref() == &**name) {
        return Some(vec!["upstreams".into(), name.to_string()]);
    }
    door.config().routes.iter().find_map(|(route, settings)| {
        let (_, below) = destinations(settings).into_iter().find(|(to, _)| to.name() == &**name)?;
        Some(["routes".to_owned(), route.to_string()].into_iter().chain(below).collect())
    })
}
