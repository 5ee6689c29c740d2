//! `onedoor check` and `onedoor test`.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::{GOOD, WARNING, count, fail, fail_all, load, pretty, print, refused, runtime, warn_all};
use crate::config::{Config, Problem, Test};
use crate::explain::try_all;
use crate::filter::Registry;
use crate::{server, snapshot};

/// Compiles the file and runs its tests.
pub(super) fn check(file: &Path, registry: &Registry, json: bool) -> ExitCode {
    let runtime = match runtime(1) {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("no worker thread: {e}")),
    };
    let loaded = Config::load(file).map_err(|refused| snapshot::every_problem(refused, registry));
    let checked = loaded.and_then(|(config, mut warnings)| {
        let (snapshot, more) = runtime.block_on(server::check(config, registry, None))?;
        warnings.extend(more);
        Ok((snapshot, warnings))
    });
    if json {
        return report(checked.map(|(_, warnings)| warnings));
    }
    match checked {
        Ok((snapshot, warnings)) => {
            warn_all(&warnings);
            let config = snapshot.config();
            print(&format!(
                "{GOOD}ok{GOOD:#} {}: {}, {}, {}, {}",
                file.display(),
                count(config.listeners.len(), "listener"),
                count(snapshot.routes().len(), "route"),
                count(config.upstreams.len(), "upstream"),
                count(config.tests.len(), "test"),
            ))
        }
        Err(problems) => fail_all(&problems),
    }
}

fn report(checked: Result<Vec<Problem>, Vec<Problem>>) -> ExitCode {
    let (ok, problems, warnings) = match checked {
        Ok(warnings) => (true, Vec::new(), warnings),
        Err(problems) => (false, problems, Vec::new()),
    };
    let printed = print(&pretty(&json!({ "ok": ok, "problems": problems, "warnings": warnings })));
    if ok { printed } else { ExitCode::FAILURE }
}

/// Runs the file's tests and shows each.
pub(super) fn test(file: &Path, registry: &Registry, json: bool) -> ExitCode {
    let runtime = match runtime(1) {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("no worker thread: {e}")),
    };
    let compiled = load(file, registry).and_then(|config| snapshot::compile(config, registry, None));
    let snapshot = match compiled {
        Ok((snapshot, warnings)) => {
            warn_all(&warnings);
            snapshot
        }
        Err(problems) => return refused(&problems, json),
    };
    let shortfalls = runtime.block_on(try_all(&snapshot));
    let tests = &snapshot.config().tests;
    let passed = tests.len() - shortfalls.len();
    if json {
        let problems: Vec<&Problem> = shortfalls.iter().map(|shortfall| &shortfall.problem).collect();
        let printed = print(&pretty(&json!({ "passed": passed, "failed": shortfalls.len(), "problems": problems })));
        return if shortfalls.is_empty() { printed } else { ExitCode::FAILURE };
    }
    let mut lines = Vec::new();
    for (index, test) in tests.iter().enumerate() {
        match shortfalls.iter().find(|shortfall| shortfall.index == index) {
            None => lines.push(format!("{GOOD}ok{GOOD:#}     {}", described(test))),
            Some(shortfall) => lines.push(format!("{WARNING}failed{WARNING:#} {}", shortfall.problem)),
        }
    }
    lines.push(match tests.len() {
        0 => format!("{} has no tests; add e.g. `tests: [{{get: /, expect: {{status: 404}}}}]`", file.display()),
        _ => format!("{passed} passed, {} failed", shortfalls.len()),
    });
    let printed = print(&lines.join("\n"));
    if shortfalls.is_empty() { printed } else { ExitCode::FAILURE }
}

/// A test in a line: what is asked, and what must come of it.
fn described(test: &Test) -> String {
    let mut line = format!("{} {}", test.method, test.target);
    let asked = [
        test.host.as_ref().map(|host| format!("for {host}")),
        test.from.map(|from| format!("from {from}")),
        (!test.headers.is_empty()).then(|| {
            let headers: Vec<String> = test.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            format!("with {}", headers.join(", "))
        }),
    ];
    let expect = &test.expect;
    let wanted = [
        expect.route.as_ref().map(|route| format!("route {route}")),
        expect.to.as_ref().map(|to| format!("to {to}")),
        expect.path.clone(),
        expect.status.map(|status| status.0.to_string()),
        (!expect.headers.is_empty()).then(|| expect.headers.keys().cloned().collect::<Vec<_>>().join(", ")),
    ];
    for part in asked.into_iter().flatten() {
        line.push(' ');
        line.push_str(&part);
    }
    line.push_str(" → ");
    line.push_str(&wanted.into_iter().flatten().collect::<Vec<_>>().join(", "));
    line
}
