//! Routes that no request reaches, so that what protects them protects nothing. Two that could both claim a request
//! equally are refused; these are behind others that claim all of theirs.

use super::{Door, Finding, some};

pub(super) fn check(door: &Door<'_>) -> Vec<Finding> {
    let names: Vec<&str> = door.config().routes.keys().map(AsRef::as_ref).collect();
    let told = door.snapshot.table().shadowed().into_iter().filter_map(|shadowed| {
        let name = names.get(shadowed.route)?;
        let by: Vec<&str> = shadowed.by.iter().filter_map(|route| names.get(*route).copied()).collect();
        let reason = format!("no request reaches this route, as all of its own go to the more specific {}", some(&by));
        let remedy = "take it away, or give it a path, methods or conditions of its own";
        Some(door.finding(&["routes", name], "unreachable_route", reason, remedy))
    });
    told.collect()
}
