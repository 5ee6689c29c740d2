//! The names in the file's own `tests`: a test that expects a route that is not there is a mistake of the test.

use crate::config::{Config, Name, Node, Problem, did_you_mean};

/// Tells every route and upstream that a test names and the file does not have. It looks at the tests as they stand,
/// since those that can't be read have names, too.
pub(super) fn compile(config: &Config, problems: &mut Vec<Problem>) {
    let tests = config.source.root().get("tests").map_or(&[][..], Node::items);
    for (index, test) in tests.iter().enumerate() {
        let index = index.to_string();
        let mut check = |key: &'static str, section: &str, known: &mut dyn Iterator<Item = &Name>| {
            let name = test.get("expect").and_then(|expect| expect.get(key)).and_then(Node::as_text);
            // A text that can be no name is told already.
            let name = name.and_then(|name| name.parse::<Name>().ok());
            if let Some(name) = name.filter(|name| !is_there(config, section, name)) {
                let message = unknown(section.trim_end_matches('s'), &name, known);
                problems.push(config.source.problem(&["tests", &index, "expect", key], message));
            }
        };
        check("route", "routes", &mut config.routes.keys());
        check("to", "upstreams", &mut config.upstreams.keys());
    }
}

/// Also if it could not be read, which is told of already.
fn is_there(config: &Config, section: &str, name: &Name) -> bool {
    config.source.root().get(section).is_some_and(|section| section.get(name.as_ref()).is_some())
}

fn unknown(what: &str, name: &Name, known: &mut dyn Iterator<Item = &Name>) -> String {
    let hint = did_you_mean(name.as_ref(), known.map(Name::as_ref));
    let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("there is no {what} `{name}`{hint}")
}
