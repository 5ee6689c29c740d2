//! What weakens the security of a file that is in order: `onedoor check --audit`.
//!
//! Looks at the compiled snapshot, as it would be served, and only tells what somebody may have to change: what can't be
//! wrong in a file that loads is not looked for. So there is nothing here of TLS older than 1.2, of certificates that are
//! not checked, of `*` beside credentials, of keys by plain HTTP or private keys in the file: the file is refused for them.
//! Filters speak for themselves, by [`Env::concern`](crate::filter::Env::concern).
//!
//! A check is a file and a line in `CHECKS`. Each finding has a code that never changes, for people to search for.

mod concerns;
mod fails_open;
mod forgeable_identity;
mod health_secrets;
mod listener_without_tls;
mod placed;
mod route_without_auth;
mod trusts_everybody;
mod unreachable_route;
mod upstream_without_tls;

use std::fmt;

use serde::Serialize;

use crate::config::{self, Config, Name, Place};
use crate::filter::Registry;
use crate::snapshot::{Action, Route, Snapshot};
use crate::upstream::Upstream;

/// One thing to know of: `conf/onedoor.yaml:12:3: routes.users: …, since …; write … [route_without_auth]`.
///
/// As JSON: `{"file", "line", "column", "path", "code", "reason", "remedy"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// The keys that lead there.
    pub path: String,
    /// What people search for; it never changes.
    pub code: &'static str,
    /// What may come of it, and why.
    pub reason: String,
    /// What to write.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: {}; {} [{}]", self.path, self.reason, self.remedy, self.code)
    }
}

/// A door that is looked at.
struct Door<'a> {
    snapshot: &'a Snapshot,
    registry: &'a Registry,
}

type Check = fn(&Door<'_>) -> Vec<Finding>;

const CHECKS: [Check; 9] = [
    route_without_auth::check,
    forgeable_identity::check,
    fails_open::check,
    concerns::check,
    upstream_without_tls::check,
    listener_without_tls::check,
    trusts_everybody::check,
    health_secrets::check,
    unreachable_route::check,
];

/// All that is to be known, in the order of the places. `registry` is the one that the snapshot was compiled with.
pub fn audit(snapshot: &Snapshot, registry: &Registry) -> Vec<Finding> {
    let door = Door { snapshot, registry };
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&door)).collect();
    findings.sort_by(|a, b| (&a.place, &a.path, a.code).cmp(&(&b.place, &b.path, b.code)));
    findings
}

impl<'a> Door<'a> {
    fn config(&self) -> &'a Config {
        self.snapshot.config()
    }

    /// The routes as the file has them, and as they are served.
    fn routes(&self) -> impl Iterator<Item = (&'a Name, &'a config::Route, &'a Route)> + use<'a> {
        let compiled = self.snapshot.routes();
        self.config().routes.iter().zip(compiled).map(|((name, settings), route)| (name, settings, &**route))
    }

    /// Something about the value at the end of these keys.
    fn finding(
        &self,
        path: &[&str],
        code: &'static str,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        let source = &self.config().source;
        let (place, path) = (source.place(path).cloned(), source.shown(path));
        Finding { place, path, code, reason: reason.into(), remedy: remedy.into() }
    }
}

/// The upstreams that see requests of a route, those that get copies among them.
fn upstreams_of(route: &Route) -> impl Iterator<Item = &Upstream> {
    let forward = match &route.action {
        Action::Forward(forward) => Some(forward),
        Action::Redirect(_) | Action::Respond(_) => None,
    };
    let targets = forward.into_iter().flat_map(|forward| &forward.targets).map(|target| &*target.upstream);
    targets.chain(forward.and_then(|forward| forward.mirror.as_ref()).map(|mirror| &*mirror.upstream))
}

/// A few names for a sentence: `a`, `b` and 3 more.
fn some(names: &[&str]) -> String {
    const MOST: usize = 5;
    let shown: Vec<String> = names.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    match (shown.as_slice(), names.len().saturating_sub(MOST)) {
        ([first @ .., last], 0) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        (all, 0) => all.join(", "),
        (all, more) => format!("{} and {more} more", all.join(", ")),
    }
}

#[cfg(test)]
mod tests;
