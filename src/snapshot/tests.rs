//! The names in the file's own `tests`: a test that expects a route that is not there is a mistake of the test.

use crate::config::{Config, Name, Problem, did_you_mean};

/// Tells every route and upstream that a test names and the file does not have.
pub(super) fn compile(config: &Config, problems: &mut Vec<Problem>) {
    for (index, test) in config.tests.iter().enumerate() {
        let index = index.to_string();
        let path = |key: &'static str| ["tests", index.as_str(), "expect", key];
        if let Some(route) = test.expect.route.as_ref().filter(|route| !is_there(config, "routes", route)) {
            let message = unknown("route", route, config.routes.keys());
            problems.push(config.source.problem(&path("route"), message));
        }
        if let Some(upstream) = test.expect.to.as_ref().filter(|upstream| !is_there(config, "upstreams", upstream)) {
            let message = unknown("upstream", upstream, config.upstreams.keys());
            problems.push(config.source.problem(&path("to"), message));
        }
    }
}

/// Also if it could not be read, which is told of already.
fn is_there(config: &Config, section: &str, name: &Name) -> bool {
    config.source.root().get(section).is_some_and(|section| section.get(name.as_ref()).is_some())
}

fn unknown<'a>(what: &str, name: &Name, known: impl Iterator<Item = &'a Name>) -> String {
    let hint = did_you_mean(name.as_ref(), known.map(Name::as_ref));
    let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("there is no {what} `{name}`{hint}")
}
