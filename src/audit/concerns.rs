//! What filters say against their own settings.

use super::placed::Placed;
use super::{Door, Finding, some, upstreams_of};
use crate::filter::{Concern, Only, Stage};
use crate::snapshot::Route;

pub(super) fn check(door: &Door<'_>) -> Vec<Finding> {
    let filters: Vec<Placed<'_>> = door.filters().collect();
    let concerns = filters.iter().flat_map(|placed| placed.link.concerns.iter().map(move |concern| (placed, concern)));
    concerns.filter_map(|(placed, concern)| told(door, placed, concern)).collect()
}

/// The concern, if it is one here.
fn told(door: &Door<'_>, placed: &Placed<'_>, concern: &Concern) -> Option<Finding> {
    let path: Vec<&str> = placed.path.iter().copied().chain(concern.at.iter().map(String::as_str)).collect();
    let where_it_holds = match concern.only {
        Only::Always => String::new(),
        Only::InTheFile if door.config().source.is_from_outside(&path) => return None,
        Only::InTheFile => String::new(),
        Only::Without(stage) => {
            let without: Vec<&str> =
                placed.routes.iter().filter(|route| !has(route, stage)).map(|route| &*route.name).collect();
            format!(" (on {})", nobody_is_none(&without)?)
        }
        Only::Outside => {
            let outside: Vec<String> = placed.routes.iter().flat_map(|route| outside_of(route)).collect();
            let outside: Vec<&str> = outside.iter().map(String::as_str).collect();
            format!(" ({})", nobody_is_none(&outside)?)
        }
    };
    Some(door.finding(&path, concern.code, format!("{}{where_it_holds}", concern.reason), &*concern.remedy))
}

fn has(route: &Route, stage: Stage) -> bool {
    route.chain.links().iter().any(|link| link.order.0 == stage)
}

fn nobody_is_none(names: &[&str]) -> Option<String> {
    (!names.is_empty()).then(|| some(names))
}

/// The endpoints outside that see requests of a route, each with the route.
fn outside_of(route: &Route) -> Vec<String> {
    upstreams_of(route).filter_map(|upstream| Some(format!("{} → {}", route.name, upstream.outside()?))).collect()
}
