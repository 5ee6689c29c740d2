//! What each command prints and how it ends.

use crate::door::{file, onedoor, run, stderr, stdout, text};

const GOOD: &str = "listeners: {web: {address: \"127.0.0.1:0\"}}\n\
routes:\n  users: {path: /users/, strip: true, to: \"http://127.0.0.1:9101\"}\n  hi: {path: /hi, respond: {body: hi}}\n\
tests:\n  - {get: /users/7, expect: {route: users, path: /7}}\n";

#[test]
fn a_good_file_is_told_to_be_one() {
    let (_folder, path) = file(GOOD);
    let output = run(&["check", "-c", text(&path)]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("1 listener, 2 routes, 0 upstreams, 1 test"), "{}", stdout(&output));
}

#[test]
fn a_bad_file_is_refused_with_every_problem_at_its_place() {
    let (_folder, path) = file(
        "listeners: {web: {address: \"127.0.0.1:0\"}}\nroutes:\n  a: {pth: /a, to: nowhere}\n  b: {path: /b, timeout: 5, respond: {}}\n",
    );
    for command in ["check", "run"] {
        let output = run(&[command, "-c", text(&path)]);
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        for part in ["onedoor.yaml:3:7: routes.a.pth: ", "did you mean `path`", "onedoor.yaml:4:26: routes.b.timeout: "]
        {
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
        assert_eq!(stdout(&output), "");
    }
    let output = run(&["check", "--json", "-c", text(&path)]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["problems"][0]["line"], 3);
}

#[test]
fn an_audit_tells_its_findings_and_only_refuses_for_them_if_told_to() {
    let (_folder, path) = file(GOOD);
    let output = run(&["check", "--audit", "-c", text(&path)]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    assert!(said.contains("onedoor.yaml:3:10: routes.users: ") && said.contains(" [route_without_auth]\n"), "{said}");
    assert!(said.ends_with("1 test, 1 finding\n"), "{said}");
    let output = run(&["check", "--audit=deny", "-c", text(&path)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("[route_without_auth]") && !stdout(&output).contains("ok "));
    assert!(stderr(&output).contains("1 finding in "), "{}", stderr(&output));
    assert_eq!(run(&["check", "-c", text(&path)]).status.code(), Some(0));
    assert_eq!(run(&["check", "--audit=never", "-c", text(&path)]).status.code(), Some(2));
}

#[test]
fn an_audit_without_findings_is_good_also_where_they_are_denied() {
    let (_folder, path) = file(&GOOD.replace("strip: true,", "strip: true, filters: {auth: off},"));
    let output = run(&["check", "--audit=deny", "-c", text(&path)]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).ends_with("1 test, 0 findings\n"), "{}", stdout(&output));
    assert_eq!(stderr(&output), "");
}

#[test]
fn findings_are_there_as_json_if_they_are_asked_for() {
    let (_folder, path) = file(GOOD);
    for (flag, code) in [("--audit", 0), ("--audit=deny", 1)] {
        let output = run(&["check", flag, "--json", "-c", text(&path)]);
        assert_eq!(output.status.code(), Some(code));
        let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(report["ok"], code == 0);
        let finding = &report["findings"][0];
        assert_eq!((&finding["line"], &finding["code"]), (&3.into(), &"route_without_auth".into()));
        assert!(finding["remedy"].as_str().unwrap().contains("auth: off"), "{finding}");
    }
    let report: serde_json::Value =
        serde_json::from_str(&stdout(&run(&["check", "--json", "-c", text(&path)]))).unwrap();
    assert_eq!(report.get("findings"), None);
    let (_folder, bad) = file("routes: 5\n");
    let output = run(&["check", "--audit", "--json", "-c", text(&bad)]);
    assert_eq!(output.status.code(), Some(1), "what is not compiled is not audited");
}

#[test]
fn a_file_that_is_not_there_is_told_by_its_name() {
    let output = run(&["check", "-c", "/nowhere/onedoor.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/nowhere/onedoor.yaml"), "{}", stderr(&output));
}

#[test]
fn a_test_that_does_not_hold_fails_test_check_and_run() {
    let (_folder, path) = file(&GOOD.replace("path: /7}", "path: /8}"));
    for command in ["test", "check", "run"] {
        let output = run(&[command, "-c", text(&path)]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        let said = stdout(&output) + &stderr(&output);
        assert!(said.contains("onedoor.yaml:6:") && said.contains("is /7, not /8"), "{command}: {said}");
    }
}

#[test]
fn a_secret_that_is_not_there_is_one_clear_line() {
    let yaml = GOOD.replace("respond: {body: hi}", "respond: {headers: {x-key: {env: ONEDOOR_NO_SUCH_SECRET}}}");
    let (_folder, path) = file(&yaml);
    let output = run(&["run", "-c", text(&path)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("ONEDOOR_NO_SUCH_SECRET"), "{}", stderr(&output));
}

#[test]
fn a_secret_is_never_printed() {
    let yaml = "listeners: {web: {address: \"127.0.0.1:0\"}}\nroutes:\n  a:\n    path: /\n    to: \"http://127.0.0.1:9101\"\n    filters: {headers: {request: {set: {authorization: {env: DOOR_TEST_SECRET}}}}}\n";
    let (_folder, path) = file(yaml);
    for extra in [&["--json"][..], &[]] {
        let output = onedoor()
            .args(["explain", "GET", "/", "-c", text(&path)])
            .args(extra)
            .env("DOOR_TEST_SECRET", "tops3cret")
            .output()
            .unwrap();
        assert!(stdout(&output).contains("(secret)"), "{}", stdout(&output));
        assert!(!stdout(&output).contains("tops3cret"));
    }
}

#[test]
fn explain_says_route_path_and_near_misses_as_json() {
    let (_folder, path) = file(GOOD);
    let explain = |arguments: &[&str]| -> serde_json::Value {
        let output = run(&[&["explain", "--json", "-c", text(&path)], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        serde_json::from_str(&stdout(&output)).unwrap()
    };
    let found = explain(&["GET", "/users/7?x=1"]);
    assert_eq!(found["route"], "users");
    assert_eq!(found["path"], "/7?x=1");
    assert_eq!(found["upstream"], "http://127.0.0.1:9101");
    assert_eq!(found["status"], serde_json::Value::Null);
    assert_eq!(found["filters"][0]["kind"], "request_id");
    let found = explain(&["GET", "/usersX"]);
    assert_eq!((&found["route"], &found["status"]), (&serde_json::Value::Null, &404.into()));
    assert_eq!(found["near"][0]["route"], "users");
}

#[test]
fn explain_asks_an_absolute_url_for_its_own_host_and_tells_a_drained_upstream_as_the_door_would() {
    let (_folder, path) = file(
        "listeners: {web: {address: \"127.0.0.1:0\"}}\nupstreams: {none: {endpoints: [{address: 127.0.0.1:9, weight: 0}]}}\nroutes: {a: {path: /a, hosts: [a.test], to: none}}\n",
    );
    let output = run(&["explain", "--json", "-c", text(&path), "GET", "http://a.test:81/a"]);
    let found: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&found["route"], &found["status"]), (&"a".into(), &503.into()), "{found}");
    assert!(found["body"].as_str().unwrap().contains("Service Unavailable"), "{found}");
}

#[test]
fn a_test_that_names_what_is_not_there_is_told_so() {
    let (_folder, path) = file(&GOOD.replace("{route: users, path: /7}", "{route: usres, to: orders}"));
    let said = stderr(&run(&["check", "-c", text(&path)]));
    assert!(said.contains("there is no route `usres`; did you mean `users`?"), "{said}");
    assert!(said.contains("there is no upstream `orders`"), "{said}");
}

#[test]
fn json_is_printed_for_a_bad_file_too() {
    let (_folder, path) = file("routes: 5\n");
    for arguments in [&["check", "--json"][..], &["test", "--json"], &["explain", "GET", "/", "--json"]] {
        let output = run(&[arguments, &["-c", text(&path)]].concat());
        assert_eq!(output.status.code(), Some(1));
        let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(report["ok"], false, "{arguments:?}");
    }
}

#[test]
fn an_unknown_flag_is_exit_code_2() {
    assert_eq!(run(&["run", "--no-such-flag"]).status.code(), Some(2));
    assert_eq!(run(&["no-such-command"]).status.code(), Some(2));
    assert_eq!(run(&["explain", "G T", "/"]).status.code(), Some(2));
}

#[test]
fn schema_completions_and_man_are_made_from_the_same_types() {
    let schema: serde_json::Value = serde_json::from_str(&stdout(&run(&["schema"]))).unwrap();
    let text = schema.to_string();
    for key in ["listeners", "strip", "trusted_proxies", "on_error", "deny"] {
        assert!(text.contains(&format!("\"{key}\"")), "{key}");
    }
    assert!(stdout(&run(&["man"])).contains("onedoor"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(&run(&["completions", shell])).contains("explain"), "{shell}");
    }
}

#[test]
fn the_demo_answers_its_own_requests() {
    let output = run(&["demo", "--once", "--port", "0"]);
    assert_eq!(output.status.code(), Some(0), "{}\n{}", stdout(&output), stderr(&output));
    for part in ["HTTP/1.1 200 OK", r#""path":"/7""#, r#""x-internal":null"#, "HTTP/1.1 308", "HTTP/1.1 404"] {
        assert!(stdout(&output).contains(part), "{part} is not in\n{}", stdout(&output));
    }
}
