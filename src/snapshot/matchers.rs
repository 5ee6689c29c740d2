//! From the file's words to the table of routes.

use std::sync::Arc;

use http::HeaderName;

use crate::config;
use crate::config::{Config, Name, Problem};
use crate::route::{Condition, Conflict, HostPattern, Matcher, Methods, Pattern, Table, Test};

/// Builds the table; `None` if there is a problem, which is then among `problems`. What two routes both claim is told
/// even where others are broken, so that one load tells everything.
pub(super) fn compile(config: &Config, problems: &mut Vec<Problem>) -> Option<Table> {
    let (mut names, mut matchers) = (Vec::new(), Vec::new());
    for (name, route) in &config.routes {
        match matcher(name, route, config) {
            Ok(matcher) => {
                names.push(name);
                matchers.push(matcher);
            }
            Err(more) => problems.extend(more),
        }
    }
    match Table::build(matchers) {
        // Its positions are those of the routes, so none may be missing.
        Ok(table) => (names.len() == config.routes.len()).then_some(table),
        Err(conflicts) => {
            problems.extend(conflicts.iter().map(|conflict| both_claim(conflict, &names, config)));
            None
        }
    }
}

/// Told at the later of the two, since that is the one that was most likely added.
fn both_claim(conflict: &Conflict, names: &[&Name], config: &Config) -> Problem {
    let path = |route: usize| ["routes", names[route].as_ref(), "path"];
    let (mut at, mut other) = (conflict.second, conflict.first);
    if config.source.place(&path(at)) < config.source.place(&path(other)) {
        std::mem::swap(&mut at, &mut other);
    }
    let Conflict { example, why, .. } = conflict;
    let message = format!("`{}` and `{}` could both claim {example}; {why}", names[at], names[other]);
    config.source.problem(&path(at), message)
}

fn matcher(name: &Name, route: &config::Route, config: &Config) -> Result<Matcher, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut problem = |below: &[&str], message: String| {
        let path: Vec<&str> = ["routes", name.as_ref()].into_iter().chain(below.iter().copied()).collect();
        problems.push(config.source.problem(&path, message));
    };
    let mut paths = Vec::new();
    for (index, text) in route.path.iter().enumerate() {
        match Pattern::parse(text) {
            Ok(pattern) => paths.push(pattern),
            Err(why) => problem(&["path", &index.to_string()], why.to_string()),
        }
    }
    let mut hosts = Vec::new();
    for (index, text) in route.hosts.iter().enumerate() {
        match HostPattern::parse(text) {
            Ok(host) => hosts.push(host),
            Err(why) => problem(&["hosts", &index.to_string()], why.to_string()),
        }
    }
    let methods = Methods::parse(&route.methods).unwrap_or_else(|problems| {
        for (index, why) in problems {
            problem(&["methods", &index.to_string()], why);
        }
        Methods::any()
    });
    let mut conditions = Vec::new();
    for (header, test) in &route.headers {
        match HeaderName::from_bytes(header.as_bytes()) {
            Ok(name) => match self::test(test) {
                Ok(test) => conditions.push(Condition::header(name, test)),
                Err(why) => problem(&["headers", header], why),
            },
            Err(_) => problem(&["headers", header], format!("`{header}` is no header's name")),
        }
    }
    for (parameter, test) in &route.query {
        match self::test(test) {
            Ok(test) => conditions.push(Condition::query(parameter, test)),
            Err(why) => problem(&["query", parameter], why),
        }
    }
    let matcher = Matcher { name: Arc::from(name.as_str()), hosts, paths, methods, conditions };
    if problems.is_empty() { Ok(matcher) } else { Err(problems) }
}

fn test(condition: &config::Condition) -> Result<Test, String> {
    match condition {
        config::Condition::Exact(text) => Ok(Test::exact(text)),
        config::Condition::Prefix(text) => Ok(Test::prefix(text)),
        config::Condition::Regex(text) => Test::regex(text).map_err(|why| why.to_string()),
        config::Condition::Present(present) => Ok(Test::present(*present)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(routes: &str) -> Vec<String> {
        let text = format!("listeners: {{web: {{address: \"127.0.0.1:0\"}}}}\nroutes:\n{routes}");
        let config =
            Config::parse(&text, "t").map(|(config, _)| config).unwrap_or_else(|refused| panic!("{refused:?}"));
        let mut problems = Vec::new();
        let table = compile(&config, &mut problems);
        assert_eq!(table.is_some(), problems.is_empty());
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_bad_method_is_told_at_its_own_place() {
        let said = said("  a:\n    path: /a\n    methods: [GET, post,\n      Gte]\n    respond: {}\n");
        assert_eq!(said.len(), 2, "{said:#?}");
        assert!(said[0].starts_with("t:5:20: routes.a.methods[1]: ") && said[0].contains("write `POST`"), "{said:#?}");
        assert!(said[1].starts_with("t:6:7: routes.a.methods[2]: ") && said[1].contains("mean `GET`?"), "{said:#?}");
    }

    #[test]
    fn a_broken_route_hides_no_conflict_of_others() {
        let said = said("  a: {path: /x, respond: {}}\n  b: {path: /y/*, respond: {}}\n  c: {path: /x, respond: {}}\n");
        assert_eq!(said.len(), 2, "{said:#?}");
        assert!(said[0].starts_with("t:4:13: routes.b.path: ") && said[0].ends_with("write `/y/`"), "{said:#?}");
        assert!(said[1].starts_with("t:5:13: routes.c.path: `c` and `a` could both claim"), "{said:#?}");
    }

    #[test]
    fn a_broken_condition_makes_no_conflict() {
        let said = said("  a: {path: /x, respond: {}}\n  b: {path: /x, query: {p: {regex: \"[0-9\"}}, respond: {}}\n");
        assert_eq!(said.len(), 1, "{said:#?}");
        assert!(said[0].ends_with("no regular expression: unclosed character class (at its character 1)"), "{said:#?}");
    }
}
