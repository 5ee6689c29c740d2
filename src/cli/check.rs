//! `onedoor check` and `onedoor test`.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use super::{
    Audit, FAINT, GOOD, STRONG, WARNING, count, fail, fail_all, load, pretty, print, refused, runtime, warn_all,
};
use crate::audit::{Finding, audit};
use crate::config::{AccessTarget, Config, Problem, Refused, Test};
use crate::explain::try_all;
use crate::filter::Registry;
use crate::snapshot::Snapshot;
use crate::{server, snapshot};

/// Compiles the file and runs its tests; tells what weakens its security, if that is asked for.
pub(super) fn check(file: &Path, registry: &Registry, json: bool, audited: Option<Audit>) -> ExitCode {
    let runtime = match runtime(1) {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("no worker thread: {e}")),
    };
    let checked = match Config::load(file) {
        Ok((config, warnings)) => runtime.block_on(whole(config, warnings, registry)),
        Err(refused) => Err(broken(refused, registry)),
    };
    let findings = |snapshot: &Snapshot| audited.map(|_| audit(snapshot, registry));
    if json {
        let findings = checked.as_ref().ok().and_then(|(snapshot, _)| findings(snapshot));
        return report(checked.map(|(_, warnings)| warnings), findings, audited);
    }
    match checked {
        Ok((snapshot, warnings)) => {
            warn_all(&warnings);
            let findings = findings(&snapshot).unwrap_or_default();
            if !findings.is_empty() {
                print(&findings.iter().map(shown).collect::<Vec<_>>().join("\n"));
            }
            if audited == Some(Audit::Deny) && !findings.is_empty() {
                let message = "and `--audit=deny` lets none pass; do as they say";
                return fail(&format!("{} in {}, {message}", count(findings.len(), "finding"), file.display()));
            }
            let found = audited.map_or_else(String::new, |_| format!(", {}", count(findings.len(), "finding")));
            let config = snapshot.config();
            print(&format!(
                "{GOOD}ok{GOOD:#} {}: {}, {}, {}, {}{found}",
                file.display(),
                count(config.listeners.len(), "listener"),
                count(snapshot.routes().len(), "route"),
                count(config.upstreams.len(), "upstream"),
                count(config.tests.len(), "test"),
            ))
        }
        Err(problems) => {
            let (errors, warnings) = parted(problems);
            warn_all(&warnings);
            fail_all(&errors)
        }
    }
}

/// A file that could be read, or everything that there is to say of it.
async fn whole(
    config: Config,
    mut warnings: Vec<Problem>,
    registry: &Registry,
) -> Result<(Arc<Snapshot>, Vec<Problem>), Vec<Problem>> {
    let folder = log_folder(&config);
    match (server::check(config.clone(), registry, None).await, folder) {
        (Ok((snapshot, more)), None) => {
            warnings.extend(more);
            Ok((snapshot, warnings))
        }
        (Ok((_, more)), Some(problem)) => Err(warnings.into_iter().chain(more).chain([problem]).collect()),
        (Err(problems), folder) => {
            warnings.extend(snapshot::warnings(config, registry));
            warnings.extend(problems);
            warnings.extend(folder);
            Err(warnings)
        }
    }
}

/// Everything that there is to say of a file that could not be read.
fn broken(mut refused: Refused, registry: &Registry) -> Vec<Problem> {
    refused.problems.extend(refused.rest.as_ref().and_then(|rest| log_folder(&rest.config)));
    snapshot::every_problem_and_warning(refused, registry)
}

/// That the access log's folder is none, which a start would fail on. Only asked of the machine that is to serve:
/// `explain` and `test` may run anywhere.
fn log_folder(config: &Config) -> Option<Problem> {
    let AccessTarget::File(file) = &config.log.access.to else { return None };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty())?;
    let shown = folder.display();
    let message = match std::fs::metadata(folder) {
        Ok(found) if found.is_dir() => return None,
        Ok(_) => format!("{shown} is no folder, so no file can be made in it; name a file in a folder"),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            format!("there is no folder {shown}; make it, or name a file in one that is there")
        }
        Err(e) => format!("the folder {shown} cannot be looked at ({}); let the door's user into it", e.kind()),
    };
    Some(config.source.problem(&["log", "access", "to"], message))
}

/// Errors and warnings.
fn parted(problems: Vec<Problem>) -> (Vec<Problem>, Vec<Problem>) {
    problems.into_iter().partition(Problem::is_error)
}

/// A finding for people, on one line as problems are.
fn shown(finding: &Finding) -> String {
    let Finding { place, path, code, reason, remedy } = finding;
    let place = place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
    format!("{place}{STRONG}{path}{STRONG:#}: {reason}; {remedy} {FAINT}[{code}]{FAINT:#}")
}

/// One JSON object; `findings` are only there if they were asked for.
fn report(
    checked: Result<Vec<Problem>, Vec<Problem>>,
    findings: Option<Vec<Finding>>,
    audited: Option<Audit>,
) -> ExitCode {
    let denied = audited == Some(Audit::Deny) && findings.as_ref().is_some_and(|findings| !findings.is_empty());
    let ok = checked.is_ok() && !denied;
    let (problems, warnings) = checked.map_or_else(parted, |warnings| (Vec::new(), warnings));
    let mut object = json!({ "ok": ok, "problems": problems, "warnings": warnings });
    if let Some(findings) = findings {
        object["findings"] = json!(findings);
    }
    let printed = print(&pretty(&object));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What `check` says of a text, in lines: warnings among the errors.
    fn said(text: &str) -> Vec<String> {
        let registry = crate::builtins();
        let problems = match Config::parse_with(text, "t", &|_| None) {
            Ok((config, warnings)) => runtime(1).unwrap().block_on(whole(config, warnings, &registry)).err(),
            Err(refused) => Some(broken(refused, &registry)),
        };
        problems.unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    fn file(routes: &str, more: &str) -> String {
        format!(
            "listeners: {{web: {{address: '127.0.0.1:0'}}}}\nupstreams:\n  a: {{endpoints: [127.0.0.1:1]}}\n  \
             b: {{endpoints: [127.0.0.1:2]}}\nroutes:\n{routes}\n{more}"
        )
    }

    fn lines(said: &[String]) -> Vec<&str> {
        said.iter().filter_map(|line| line.split(':').nth(1)).collect()
    }

    #[test]
    fn warnings_are_told_beside_errors() {
        for routes in ["  x: {path: /x, to: a, tmeout: 5s}", "  x: {path: /x, to: a, rewrite: x}"] {
            let said = said(&file(routes, ""));
            assert_eq!(said.len(), 2, "{said:#?}");
            assert!(
                said.iter().any(|line| line == "t:4:6: warning: upstreams.b: no route uses this upstream"),
                "{said:#?}"
            );
        }
    }

    #[test]
    fn errors_make_no_warnings() {
        for routes in [
            "  x: {path: /x, to: [{upstream: a, weight: 1}, {upstream: b, weight: x}]}",
            "  x: {path: /x, to: '${NO}'}",
            "  x: {pth: /x, to: a}\n  y: {path: /y, too: b}",
            "  'a b': {path: /x, to: a}\n  y: {path: /y, to: b}",
        ] {
            let said = said(&file(routes, ""));
            assert!(!said.is_empty() && said.iter().all(|line| !line.contains("warning")), "{said:#?}");
        }
        let said = said(&file(
            "  x: {path: /x, to: [{upstream: a, weight: 1}, {upstream: b, weight: 1}], filters: {headers: off}}",
            "defaults: {filters: [headers]}",
        ));
        assert_eq!(said.len(), 1, "{said:#?}");
    }

    #[test]
    fn a_missing_variable_is_told_once_wherever_it_stands() {
        for route in [
            "path: '${NO}', to: a",
            "path: [/x, '${NO}'], to: a, rewrite: /y",
            "path: /x, to: '${NO}'",
            "path: /x/, strip: true, to: '${NO}'",
            "path: /x, to: '${NO}', rewrite: /y",
            "path: /x, to: [{upstream: a, weight: 1}, {upstream: '${NO}', weight: 1}]",
            "path: /x, to: [{upstream: a, weight: 1}, {upstream: b, weight: '${NO}'}]",
            "path: /x, to: a, rewrite: '${NO}'",
            "path: /x, redirect: {to: '${NO}'}",
            "path: /x, redirect: {to: /y, status: '${NO}'}",
            "path: /x, respond: {status: '${NO}'}",
            "path: /x, respond: {body: '${NO}', headers: {a: '${NO2:-}'}}",
            "path: /x, hosts: ['${NO}'], to: a",
            "path: /x, methods: ['${NO}'], to: a",
            "path: /x, methods: '${NO}', to: a",
            "path: /x, headers: {a: '${NO}'}, to: a",
            "path: /x, query: {a: {regex: '${NO}'}}, to: a",
            "path: /x, timeout: '${NO}', to: a",
            "path: /x, to: a, filters: '${NO}'",
            "path: /x, to: a, filters: {ip: '${NO}'}",
            "path: /x, to: a, filters: {ip: {allow: ['${NO}']}}",
            "path: /x, to: a, filters: {ip: {allow: [10.0.0.0/8], on_error: '${NO}'}}",
            "path: /x, to: a, filters: {headers: {request: {set: {x: '${NO}'}}}}",
            "path: /x, to: a, filters: {headers: {request: {set: {x: {file: '${NO}'}}}}}",
        ] {
            // The other routes use both upstreams; one of them would be at odds with a route that lacks its hosts.
            let more = "  y: {path: /x, hosts: [y.test], to: b}\n  z: {path: /z, to: a}";
            let said = said(&file(&format!("  x: {{{route}}}\n{more}"), ""));
            let about = said.iter().filter(|line| line.contains("`NO` is not set")).count();
            assert!(said.len() == 1 && about == 1, "{route}: {said:#?}");
        }
        for more in [
            "process: {drain: '${NO}'}",
            "log: '${NO}'",
            "tests: ['${NO}']",
            "tests: '${NO}'",
            "defaults: '${NO}'",
            "tests: [{get: '${NO}', expect: {route: x}}]",
            "tests: [{get: /, expect: {route: '${NO}'}}]",
            "include: ['${NO}']",
        ] {
            let said = said(&file("  x: {path: /x, to: a}\n  y: {path: /y, to: b}", more));
            assert!(said.len() == 1 && said[0].contains("`NO` is not set"), "{more}: {said:#?}");
        }
    }

    #[test]
    fn what_else_is_wrong_with_a_route_is_told_in_the_same_run() {
        let said = said(&file(
            r"  x:
    path: x
    hosts: ['a b']
    methods: ['G@T']
    timeout: 5
    to: nobody
    headers: {a: [], b: {regex: '('}}
    filters: {ip: {}}
  y: {path: /y, to: [{upstream: a, weight: 1}, {upstream: b, weight: 1}]}",
            "",
        ));
        assert_eq!(lines(&said), ["7", "8", "9", "10", "11", "12", "12", "13"], "{said:#?}");
    }

    #[test]
    fn a_broken_path_is_told_without_what_follows_from_it() {
        for route in [
            "path: '/{id', to: a, rewrite: '/{id}'",
            "path: [/x, [], y], to: a, rewrite: /y",
            "path: /x, too: a, strip: true",
            "path: /x, frobnicate: a, strip: true",
            "path: /x, to: a, include: x",
            "path: '/{id', redirect: {to: '/{id}'}",
            "path: '/{id', to: a, filters: {headers: {request: {set: {x: '{path.id}'}}}}",
        ] {
            let said =
                said(&file(&format!("  x: {{{route}}}\n  y: {{path: /y, to: a}}\n  z: {{path: /z, to: b}}"), ""));
            assert_eq!(said.len(), 1, "{route}: {said:#?}");
        }
    }

    #[test]
    fn a_gap_hides_no_other_mistake() {
        for route in [
            "path: x",
            "path: /x, timeout: 5",
            "path: '/{id', to: a, timeout: 0",
            "path: /x/, timeout: 5, strip: true, respond: {}",
        ] {
            let said =
                said(&file(&format!("  x: {{{route}}}\n  y: {{path: /y, to: a}}\n  z: {{path: /z, to: b}}"), ""));
            assert_eq!(said.len(), 2, "{route}: {said:#?}");
        }
    }

    #[test]
    fn what_an_included_file_may_hold_is_not_told_to_be_missing() {
        let include = "include: [/nowhere.yaml]\ntests: [{get: /x, expect: {route: q, to: q}}]";
        let said = said(&file("  x: {path: /x, to: c}\n  y: {path: /y, to: a}", include));
        assert_eq!(said.len(), 1, "{said:#?}");
    }

    #[test]
    fn the_folder_of_the_access_log_must_be_there() {
        let routes = "  x: {path: /x, to: a}\n  y: {path: /y, to: b}";
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("access.log");
        std::fs::write(&there, "").unwrap();
        assert_eq!(said(&file(routes, &format!("log: {{access: {{to: {}}}}}", there.display()))), [""; 0]);
        for (path, words) in
            [(folder.path().join("no/access.log"), "there is no folder"), (there.join("access.log"), "is no folder")]
        {
            for more in ["", "\nlistner: {}"] {
                let said = said(&file(routes, &format!("log: {{access: {{to: {}}}}}{more}", path.display())));
                let told = said.iter().any(|line| line.starts_with("t:8:20: log.access.to: ") && line.contains(words));
                assert!(told, "{said:#?}");
            }
        }
    }
}
