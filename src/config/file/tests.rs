use std::ffi::OsString;

use proptest::prelude::*;

use super::super::process::AccessLog;
use super::super::route::{Condition, Destination, To};
use super::super::value::{AccessFormat, AccessTarget, HostPolicy, Limit, Network, Resolved, SecretText};
use super::*;

const WHOLE: &str = r#"
listeners:
  web: {address: "127.0.0.1:${PORT}", trusted_proxies: [10.0.0.0/8, unix]}
  local: {address: unix:/run/onedoor/web.sock}
upstreams:
  users:
    endpoints: [127.0.0.1:9101, {address: users.internal:80, weight: 3}, unix:/run/users.sock]
    timeouts: {connect: 500ms, idle: off}
    host: endpoint
  orders: {endpoints: [127.0.0.1:9102]}
  orders-next: {endpoints: [127.0.0.1:9103]}
defaults:
  timeout: 5s
  filters:
    headers: {request: {set: {x-a: {env: SECRET}}}}
routes:
  users: {path: /users/, strip: true, to: users}
  orders:
    path: [/orders, /orders/]
    methods: [GET, POST]
    hosts: [api.example.com]
    headers: {x-version: 2, x-beta: {present: true}, x-kind: {prefix: a}}
    query: {q: {regex: "[a-z]+"}}
    to: [{upstream: orders, weight: 95}, {upstream: orders-next, weight: 5}]
    timeout: off
    filters: {headers: off}
  old: {path: /v1/, redirect: {to: "/v2/{rest}"}}
  health: {path: /healthz, respond: {body: ok, headers: {x-no: no}}}
  url: {path: /url, to: "http://127.0.0.1:9104"}
process: {threads: 4, drain: 1m30s}
log: {level: warn, access: {to: /var/log/onedoor.log, format: "{status} {path}"}}
tests:
  - {get: /users/7, expect: {to: users, path: /7}}
  - {request: "PURGE /x?y", host: a.example, from: "::1", headers: {a: 1}, expect: {status: 404, headers: {x-a: ~, x-b: 5}}}
"#;

fn env(name: &str) -> Option<OsString> {
    (name == "PORT").then(|| "8080".into())
}

fn parse(text: &str) -> Loaded {
    Config::parse_with(text, "t.yaml", &env)
}

fn good(text: &str) -> Config {
    match parse(text) {
        Ok((config, warnings)) => {
            assert_eq!(warnings, []);
            config
        }
        Err(problems) => panic!("{}", told(&problems.problems).join("\n")),
    }
}

fn told(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn bad(text: &str) -> Vec<String> {
    told(&parse(text).expect_err("this was taken").problems)
}

#[test]
fn everything_that_a_file_may_say_is_understood() {
    let config = good(WHOLE);
    let web = &config.listeners["web"];
    assert_eq!(web.address.to_string(), "127.0.0.1:8080");
    assert_eq!(web.trusted_proxies[1], Network::Unix);
    let users = &config.upstreams["users"];
    assert_eq!(users.endpoints.iter().map(|endpoint| endpoint.weight.0).collect::<Vec<_>>(), [1, 3, 1]);
    assert_eq!((&users.host, users.timeouts.idle), (&HostPolicy::Endpoint, Limit::Off));
    assert_eq!(users.timeouts.connect.0.as_millis(), 500);
    let orders = &config.routes["orders"];
    assert_eq!(orders.path[..], ["/orders", "/orders/"]);
    assert_eq!(orders.timeout, Some(Limit::Off));
    assert_eq!(orders.headers["x-version"], Condition::Exact("2".into()));
    assert_eq!(orders.headers["x-beta"], Condition::Present(true));
    assert_eq!(orders.query["q"], Condition::Regex("[a-z]+".into()));
    assert!(matches!(&orders.to, Some(To::Weighted(parts)) if parts[0].weight == 95));
    assert!(matches!(&config.routes["url"].to, Some(To::One(Destination::Url(url))) if url.host == "127.0.0.1:9104"));
    assert_eq!(config.routes["old"].redirect.as_ref().map(|redirect| redirect.status.0), Some(308));
    assert_eq!(config.routes["health"].respond.as_ref().map(|respond| respond.body.as_str()), Some("ok"));
    let log = AccessLog {
        to: AccessTarget::File("/var/log/onedoor.log".into()),
        format: AccessFormat::Template("{status} {path}".into()),
    };
    assert_eq!(config.log.access, log);
    assert_eq!((config.tests[1].method.as_str(), config.tests[1].target.as_str()), ("PURGE", "/x?y"));
    assert_eq!(config.tests[1].expect.headers["x-a"], None);
    assert_eq!(config.tests[1].expect.headers["x-b"].as_deref(), Some("5"));
}

#[test]
fn filters_are_kept_as_they_stand() {
    let config = good(WHOLE);
    let off = config.source.node(config.routes["orders"].filters["headers"]);
    assert_eq!((off.as_text(), off.place().line), (Some("off"), 26));
    let headers = config.source.node(config.defaults.filters["headers"]);
    assert!(headers.get("request").and_then(|node| node.get("set")).is_some());
    let again = good(&format!("# moved\n{WHOLE}"));
    assert!(headers.same(again.source.node(again.defaults.filters["headers"])));
    assert!(!headers.same(off));
}

#[test]
fn three_lines_are_a_whole_file() {
    let config = good(
        "listeners: {web: {address: \"127.0.0.1:8080\"}}\nroutes:\n  users:  {path: /users/, to: \"http://127.0.0.1:9101\"}\n",
    );
    assert_eq!(config.routes.len(), 1);
}

#[test]
fn what_a_file_needs_is_said_with_an_example() {
    assert_eq!(bad(""), ["t.yaml:1:1: the file is empty; it needs at least `listeners` and `routes`"]);
    let problems = bad("listeners: {}");
    assert!(
        problems[0].starts_with("t.yaml:1:1: `routes` is missing; it says which requests go where: `routes: {users:")
    );
    assert!(problems[1].starts_with("t.yaml:1:12: listeners: `listeners` is empty; it says where"));
    assert!(bad("- a")[0].contains("the file is a list"));
    assert!(bad("a")[0].contains("the file is a text"));
    assert!(bad("listeners: {a: {address: 127.0.0.1:1}}\nroutes:\n  - a: b\n")[0].contains("take the dashes away"));
}

#[test]
fn all_problems_of_all_sections_come_in_the_order_of_their_lines() {
    let problems = bad("\
log: {level: INFO}
lsteners: {}
listeners: {'a b': {address: 8080}}
routes:
  x: {path: /, to: 'http://a', strp: true, timeout: 5}
  y:
    to: ${NO}
tests:
  - {get: a, expect: {status: 20}}
  - 5
");
    let lines: Vec<_> = problems.iter().map(|problem| problem.split(':').nth(1).unwrap()).collect();
    assert_eq!(lines, ["1", "2", "3", "3", "5", "5", "7", "7", "9", "9", "10"], "{problems:#?}");
    assert!(problems[1].contains("did you mean `listeners`?"));
}

#[test]
fn a_missing_variable_is_told_once() {
    let problems = bad(&WHOLE.replace("${PORT}", "${NO_PORT}"));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].starts_with("t.yaml:3:18: listeners.web.address: the environment variable `NO_PORT` is not set")
    );
}

#[test]
fn problems_are_bounded_by_file() {
    let routes: String = (0..300).map(|i| format!("  r{i}: {{pth: /}}\n")).collect();
    let problems = bad(&format!("listeners: {{a: {{address: 127.0.0.1:1}}}}\nroutes:\n{routes}"));
    assert_eq!(problems.len(), 101);
    assert_eq!(problems[100], "and 200 more problems in t.yaml");
}

/// A folder with a main file that includes, and these others.
fn folder(include: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("routes.d")).unwrap();
    let main = format!(
        "include: {include}\nlisteners: {{web: {{address: \"127.0.0.1:8080\"}}}}\nroutes:\n  main: {{path: /, to: \"http://a\"}}\n"
    );
    for (name, text) in [("main.yaml", main.as_str())].iter().chain(files) {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn load(folder: &tempfile::TempDir) -> (Option<Config>, Vec<String>) {
    let (config, problems) = match Config::load_with(&folder.path().join("main.yaml"), &env) {
        Ok((config, warnings)) => (Some(config), warnings),
        Err(problems) => (None, problems.problems),
    };
    let at = format!("{}/", folder.path().display());
    (config, told(&problems).into_iter().map(|problem| problem.replace(&at, "")).collect())
}

#[test]
fn included_files_add_to_the_sections() {
    let folder = folder(
        "['routes.d/*.yaml', more.yaml, 'none.d/*.yaml']",
        &[
            ("routes.d/b.yaml", "routes: {b: {path: /b, to: x}}\ntests:\n- {get: /b, expect: {route: b}}\n"),
            ("routes.d/a.yaml", "routes:\n  a: {path: /a, to: x}\nlisteners:\n"),
            ("routes.d/.a.yaml.swp", "{{{"),
            ("routes.d/.hidden.yaml", "{{{"),
            (
                "more.yaml",
                "upstreams: {x: {endpoints: [127.0.0.1:1]}}\nlisteners: {b: {address: '127.0.0.1:2'}}\ntests: [{get: /c, expect: {route: a}}]\n",
            ),
        ],
    );
    let (config, problems) = load(&folder);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("main.yaml:1:41: warning: include[2]: no file fits this pattern"), "{problems:?}");
    let config = config.unwrap();
    assert_eq!(config.routes.keys().map(ToString::to_string).collect::<Vec<_>>(), ["a", "b", "main"]);
    assert_eq!((config.listeners.len(), config.upstreams.len()), (2, 1));
    assert_eq!(config.tests.iter().map(|test| test.target.as_str()).collect::<Vec<_>>(), ["/b", "/c"]);
    let place = config.source.place(&["routes", "a", "path"]).unwrap();
    assert!(place.file.ends_with("routes.d/a.yaml") && (place.line, place.column) == (2, 13), "{place}");
    assert_eq!(config.source.problem(&["tests", "1", "get"], "m").path, "tests[1].get");
}

#[test]
fn a_name_defined_in_two_files_is_told_with_both_places() {
    let folder = folder(
        "[a.yaml, b.yaml]",
        &[("a.yaml", "routes:\n  main: {path: /a, to: x}\n"), ("b.yaml", "routes:\n  main: {path: /b, to: x}\n")],
    );
    let (_, problems) = load(&folder);
    assert_eq!(
        problems,
        [
            "a.yaml:2:3: routes.main: the route `main` is defined twice, first at main.yaml:4:3; rename one or take it away",
            "b.yaml:2:3: routes.main: the route `main` is defined twice, first at main.yaml:4:3; rename one or take it away",
        ]
    );
}

#[test]
fn an_included_file_holds_parts_only() {
    let folder = folder(
        "[a.yaml]",
        &[("a.yaml", "include: [b.yaml]\nprocess: {drain: 5s}\nroute: {}\nroutes: []\ntests: {}\n")],
    );
    let (_, problems) = load(&folder);
    for (at, words) in [
        (0, "a.yaml:1:1: include: an included file cannot include others; name them in main.yaml"),
        (
            1,
            "a.yaml:2:1: process: `process` can stand in main.yaml only; an included file may hold `listeners`, `upstreams`",
        ),
        (2, "a.yaml:3:1: route: unknown key `route`; did you mean `routes`? allowed: `listeners`"),
        (3, "a.yaml:4:9: routes: expected a map of names"),
        (4, "a.yaml:5:8: tests: expected a list of tests"),
    ] {
        assert!(problems[at].starts_with(words), "{problems:#?}");
    }
}

#[test]
fn what_cannot_be_included_is_told_at_its_pattern() {
    let folder = folder(
        "[no.yaml, '*.yaml', 'a[', '', empty.yml, bad.yml]",
        &[("empty.yml", "# nothing\n"), ("bad.yml", "a: [")],
    );
    let (_, problems) = load(&folder);
    for (at, words) in [
        (0, "bad.yml:2:"),
        (1, "empty.yml:1:1: warning: this included file is empty"),
        (2, "main.yaml:1:11: include[0]: cannot read no.yaml: there is no such file"),
        (3, "main.yaml:1:20: include[1]: main.yaml is the file that includes"),
        (4, "main.yaml:1:30: include[2]: `a[` is no pattern"),
        (5, "main.yaml:1:36: include[3]: a file's path is empty"),
    ] {
        // The first line of a text without any line is its end.
        assert!(problems[at].starts_with(words) || at == 0 && problems[0].starts_with("bad.yml:1:"), "{problems:#?}");
    }
}

#[test]
fn a_relative_secret_starts_in_the_folder_of_the_file_that_names_it() {
    let route = |name: &str, path: &str| {
        format!("routes: {{{name}: {{path: /{name}, respond: {{headers: {{x-key: {{file: {path}}}}}}}}}}}\n")
    };
    let folder = folder("[routes.d/a.yaml]", &[("routes.d/a.yaml", &route("a", "key")), ("routes.d/key", "k\n")]);
    let (config, problems) = load(&folder);
    assert_eq!(problems, Vec::<String>::new());
    let respond = config.unwrap().routes["a"].respond.clone().unwrap();
    assert_eq!(respond.headers["x-key"].resolve(), Ok(Resolved::Secret("k".into())));
    for (path, wanted) in [("key", "etc/key"), ("/etc/key", "/etc/key"), ("../key", "etc/../key")] {
        let listeners = "listeners: {web: {address: '127.0.0.1:1'}}\n";
        let (config, _) = Config::parse_with(&(listeners.to_owned() + &route("a", path)), "etc/t.yaml", &env).unwrap();
        let respond = config.routes["a"].respond.clone().unwrap();
        assert_eq!(respond.headers["x-key"], SecretText::File(wanted.into()));
    }
}

#[test]
fn a_tab_in_an_included_file_is_told_there() {
    let folder = folder("[a.yaml]", &[("a.yaml", "routes:\n  b:\n\tpath: /x\n")]);
    let (_, problems) = load(&folder);
    assert_eq!(problems, ["a.yaml:3:1: a tab stands where YAML takes spaces only; indent with spaces"]);
}

#[test]
fn a_part_that_could_not_be_read_is_not_told_to_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("main.yaml"), "include: [no.yaml]\nlisteners: {web: {address: '127.0.0.1:1'}}\n")
        .unwrap();
    let (_, problems) = load(&folder);
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_one_problem_without_a_place() {
    let problems = Config::load(Path::new("/no/such.yaml")).expect_err("no such file").problems;
    assert_eq!(told(&problems), ["cannot read /no/such.yaml: there is no such file"]);
    assert!(told(&Config::load(Path::new("/")).expect_err("a folder").problems)[0].contains("it is a folder"));
}

/// A whole file with a few characters or lines changed.
fn mutated() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "",
        " ",
        "\n",
        ":",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "'",
        "\"",
        "~",
        "null",
        "5",
        "-1",
        "off",
        "x",
        "&a ",
        "*a",
        "<<: ",
        "${PORT}",
        "${",
        "$",
        "é",
        "\t",
        "#",
        "!!str ",
        "99999999999",
        "/",
        "unix:",
        "http://",
        "\u{0}",
    ]);
    prop::collection::vec((0..WHOLE.len(), 0_usize..12, piece), 1..4).prop_map(|changes| {
        let mut text: Vec<char> = WHOLE.chars().collect();
        for (at, length, piece) in changes {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, piece.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn no_mutation_of_a_file_panics_or_is_refused_without_a_place(text in mutated()) {
        if let Err(problems) = parse(&text) {
            prop_assert!(!problems.problems.is_empty());
            for problem in problems.problems {
                prop_assert!(problem.place.is_some(), "{problem}");
                let lines = text.lines().count() as u32 + 1;
                let line = problem.place.as_ref().map(|place| place.line);
                prop_assert!(line.is_some_and(|line| (1..=lines).contains(&line)), "{problem}");
                prop_assert!(!problem.message.is_empty());
            }
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,80}") {
        drop(parse(&text));
    }
}
