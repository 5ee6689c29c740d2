//! Headers by which a service learns who asks, where a client can write them itself.
//!
//! Behind `auth` and `{identity.sub}` a service believes a header. Another route to the same service, without them, lets
//! through what clients put there.

use std::collections::BTreeMap;

use http::HeaderName;

use super::{Door, Finding, upstreams_of};
use crate::snapshot::Route;

pub(super) fn check(door: &Door<'_>) -> Vec<Finding> {
    let mut believed: BTreeMap<&str, Vec<(&HeaderName, &str)>> = BTreeMap::new();
    for (_, _, route) in door.routes() {
        for (upstream, name) in
            upstreams_of(route).flat_map(|upstream| vouched(route).map(move |name| (upstream, name)))
        {
            let headers = believed.entry(upstream.name()).or_default();
            if !headers.iter().any(|(known, _)| *known == name) {
                headers.push((name, &route.name));
            }
        }
    }
    let mut findings = Vec::new();
    for (name, _, route) in door.routes() {
        let mut told: Vec<&HeaderName> = Vec::new();
        for upstream in upstreams_of(route) {
            let headers = believed.get(&**upstream.name()).into_iter().flatten();
            for (header, by) in headers.filter(|(header, _)| !is_closed(route, header)) {
                if !told.contains(header) {
                    told.push(header);
                    findings.push(finding(door, name.as_ref(), header, by, upstream.name()));
                }
            }
        }
    }
    findings
}

fn finding(door: &Door<'_>, route: &str, header: &HeaderName, by: &str, upstream: &str) -> Finding {
    let reason = format!(
        "clients may write `{header}` themselves here, by which `{upstream}` learns who asks (on route `{by}`)"
    );
    let remedy = format!("write `headers: {{request: {{remove: [{header}]}}}}`, or `set` it");
    door.finding(&["routes", route], "forgeable_identity", reason, remedy)
}

fn vouched(route: &Route) -> impl Iterator<Item = &HeaderName> {
    route.chain.links().iter().flat_map(|link| link.guard.vouched())
}

fn is_closed(route: &Route, name: &HeaderName) -> bool {
    route.chain.links().iter().any(|link| link.guard.is_closed(name))
}
