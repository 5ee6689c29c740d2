//! From the file's words to the table of routes.

use std::sync::Arc;

use http::HeaderName;

use crate::config;
use crate::config::{Config, Name, Problem};
use crate::route::{Condition, HostPattern, Matcher, Methods, Pattern, Table, Test};

/// Builds the table; `None` if there is a problem, which is then among `problems`.
pub(super) fn compile(config: &Config, problems: &mut Vec<Problem>) -> Option<Table> {
    let mut matchers = Vec::new();
    let before = problems.len();
    for (name, route) in &config.routes {
        matchers.push(matcher(name, route, config, problems));
    }
    if problems.len() > before {
        return None;
    }
    let names: Vec<&Name> = config.routes.keys().collect();
    match Table::build(matchers) {
        Ok(table) => Some(table),
        Err(conflicts) => {
            for conflict in conflicts {
                // Told at the later of the two, since that is the one that was most likely added.
                let place = |route: usize| config.source.place(&["routes", names[route].as_ref(), "path"]);
                let (mut at, mut other) = (conflict.second, conflict.first);
                if place(at) < place(other) {
                    std::mem::swap(&mut at, &mut other);
                }
                let message = format!(
                    "`{}` and `{}` could both claim {}; {}",
                    names[at], names[other], conflict.example, conflict.why
                );
                problems.push(config.source.problem(&["routes", names[at].as_ref(), "path"], message));
            }
            None
        }
    }
}

fn matcher(name: &Name, route: &config::Route, config: &Config, problems: &mut Vec<Problem>) -> Matcher {
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
    Matcher { name: Arc::from(name.as_str()), hosts, paths, methods, conditions }
}

fn test(condition: &config::Condition) -> Result<Test, String> {
    match condition {
        config::Condition::Exact(text) => Ok(Test::exact(text)),
        config::Condition::Prefix(text) => Ok(Test::prefix(text)),
        config::Condition::Regex(text) => Test::regex(text).map_err(|why| why.to_string()),
        config::Condition::Present(present) => Ok(Test::present(*present)),
    }
}
