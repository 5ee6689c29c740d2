//! Routes that anybody may use, and that do not say so.

use std::collections::BTreeMap;

use super::{Door, Finding};
use crate::config::RawNode;
use crate::filter::Stage;
use crate::snapshot::Action;

pub(super) fn check(door: &Door<'_>) -> Vec<Finding> {
    if says_off(door, &door.config().defaults.filters) {
        return Vec::new();
    }
    let open = door.routes().filter(|(_, settings, route)| {
        matches!(route.action, Action::Forward(_))
            && !route.chain.links().iter().any(|link| link.order.0 == Stage::Auth)
            && !says_off(door, &settings.filters)
    });
    open.map(|(name, _, _)| {
        let reason = "anybody may use what is behind this route, since it has no `auth`";
        let remedy = "give it one, here or in `defaults`, or write `filters: {auth: off}` to say that this is meant";
        door.finding(&["routes", name.as_ref()], "route_without_auth", reason, remedy)
    })
    .collect()
}

/// Whether it stands in the file that nobody is asked who it is.
fn says_off(door: &Door<'_>, filters: &BTreeMap<String, RawNode>) -> bool {
    let is_auth = |kind: &str| door.registry.stage(kind) == Some(Stage::Auth);
    let source = &door.config().source;
    filters.iter().any(|(kind, node)| is_auth(kind) && source.node(*node).as_text() == Some("off"))
}
