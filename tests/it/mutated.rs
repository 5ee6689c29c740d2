//! Hundreds of broken files, made from one good one: each is refused, at the right line, and where a close word exists
//! it is suggested.

use onedoor::config::{Config, Problem};
use onedoor::snapshot::every_problem;

/// One key a line, so that the line of a mistake is the line that was changed.
const GOOD: &str = r#"listeners:
  web:
    address: "127.0.0.1:0"
    trusted_proxies:
      - 10.0.0.0/8
      - 192.0.2.7
upstreams:
  users:
    endpoints:
      - 127.0.0.1:9101
      - address: 127.0.0.1:9102
        weight: 3
    timeouts:
      connect: 1s
      idle: 1m30s
      keepalive: 250ms
    host: endpoint
  orders:
    endpoints:
      - 127.0.0.1:9201
    host: orders.internal
defaults:
  timeout: 5s
  filters:
    headers:
      request:
        remove:
          - x-internal
        set:
          x-client: "{client_ip}"
      response:
        allow:
          - content-type
        add:
          x-door: "{route}"
routes:
  users:
    path: /users/{id}/
    methods:
      - GET
      - PUT
    strip: true
    to: users
    timeout: 20s
    filters:
      ip:
        allow:
          - 10.0.0.0/8
        deny:
          - 10.9.0.0/16
        on_error: closed
      request_id:
        header: x-trace
        response: false
  orders:
    path: /orders
    hosts:
      - api.example.com
      - "*.example.com"
    headers:
      x-version:
        prefix: v2
    query:
      page:
        regex: "[0-9]+"
    rewrite: /v2/orders
    to:
      - upstream: orders
        weight: 95
      - upstream: users
        weight: 5
  files:
    path: /files/{rest...}
    redirect:
      to: /static/{rest}
      status: 302
  health:
    path: /healthz
    respond:
      status: 200
      body: fine
      content_type: text/plain
process:
  threads: 2
  drain: 30s
log:
  level: info
  access:
    to: stdout
    format: "{status} {method}"
tests:
  - get: /users/7/x
    from: 10.0.0.1
    expect:
      to: users
      path: /x
      route: users
"#;

/// Names that the user chose: a misspelt one is another name, not a mistake.
const CHOSEN: &[&str] = &["web", "x-client", "x-door", "x-version", "page", "health", "files"];

/// A broken file: the line that was changed, and what must be said of it.
struct Broken {
    what: String,
    line: usize,
    says: Vec<String>,
    text: String,
}

fn lines() -> Vec<&'static str> {
    GOOD.lines().collect()
}

fn with_line(index: usize, replacement: &str) -> String {
    let mut lines = lines();
    lines[index] = replacement;
    lines.join("\n") + "\n"
}

fn key_of(line: &str) -> Option<(&str, &str, &str)> {
    let start = line.len() - line.trim_start_matches([' ', '-']).len();
    let (key, value) = line[start..].split_once(':')?;
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    plain.then_some((&line[..start], key, value))
}

/// Two misspellings of every key that the language has.
fn misspelt_keys() -> Vec<Broken> {
    let names: Vec<&str> = ["users", "orders"].into_iter().chain(CHOSEN.iter().copied()).collect();
    let mut broken = Vec::new();
    for (index, line) in lines().into_iter().enumerate() {
        let Some((before, key, value)) = key_of(line) else { continue };
        if names.contains(&key) || key.len() < 3 {
            continue;
        }
        let dropped = format!("{}{}", &key[..1], &key[2..]);
        let doubled = format!("{key}{}", &key[key.len() - 1..]);
        for misspelt in [dropped, doubled] {
            broken.push(Broken {
                what: format!("`{key}` as `{misspelt}`"),
                line: index + 1,
                says: vec![format!("`{misspelt}`"), format!("did you mean `{key}`")],
                text: with_line(index, &format!("{before}{misspelt}:{value}")),
            });
        }
    }
    broken
}

/// A value in place of another, wherever the good file has it.
fn wrong_values() -> Vec<Broken> {
    let cases: &[(&str, &[&str], &str)] = &[
        (
            "connect: 1s",
            &["connect: 1", "connect: 1sec", "connect: -1s", "connect: fast", "connect: off", "connect: 0s"],
            "s",
        ),
        ("idle: 1m30s", &["idle: 90", "idle: 1m30", "idle: [1s]", "idle: never"], ""),
        ("keepalive: 250ms", &["keepalive: 250", "keepalive: 0.25"], ""),
        (
            "timeout: 5s",
            &[
                "timeout: 5",
                "timeout: 5 seconds",
                "timeout: yes",
                "timeout: {after: 5s}",
                "timeout: 1s1h",
                "timeout: 1s1s",
            ],
            "",
        ),
        ("timeout: 5s", &["timeout: 0", "timeout: 0s"], "for no limit write `off`"),
        ("timeout: 5s", &["timeout:", "timeout: ~"], "nothing stands behind this key"),
        ("timeout: 20s", &["timeout: 20", "timeout: '20'"], ""),
        ("drain: 30s", &["drain: 30", "drain: off", "drain: -1s"], ""),
        ("threads: 2", &["threads: 0", "threads: two", "threads: -1", "threads: 1.5"], "auto"),
        ("level: info", &["level: loud", "level: 3", "level: inf"], ""),
        ("- 10.0.0.0/8", &["- 10.0.0.0/33", "- 10.0.0.1/8", "- 10.0.0", "- ten", "- 10.0.0.0-8"], ""),
        ("- 192.0.2.7", &["- 192.0.2.777", "- localhost"], ""),
        ("- 10.9.0.0/16", &["- 10.9.0.0/160", "- 10.9.0.1/16", "- everyone"], ""),
        (
            "address: \"127.0.0.1:0\"",
            &[
                "address: 127.0.0.1",
                "address: localhost:80",
                "address: 8080",
                "address: 'unix:'",
                "address: 127.0.0.1:99999",
            ],
            "",
        ),
        (
            "- address: 127.0.0.1:9102",
            &["- address: 127.0.0.1", "- address: 127.0.0.1:0", "- address: 'unix:'", "- address: [a]"],
            "",
        ),
        ("- 127.0.0.1:9201", &["- 127.0.0.1", "- http://127.0.0.1:9201", "- 127.0.0.1:port", "- 9201"], ""),
        (
            "weight: 3",
            &["weight: -3", "weight: 3.5", "weight: heavy", "weight: '3'", "weight: 1001", "weight: 70000"],
            "a weight from 0 to 1000",
        ),
        ("weight: 95", &["weight: 95%", "weight: -1", "weight: 1001"], "a weight from 0 to 1000"),
        (
            "path: /users/{id}/",
            &[
                "path: users",
                "path: /users/{id",
                "path: /users/{}/",
                "path: /a{id}/",
                "path: /users/{1x}/",
                "path: /a/{b}/{b}/",
                "path: /a//b",
                "path: /a/../b",
                "path: /%zz",
                "path: /users/{id...}/x",
            ],
            "",
        ),
        (
            "path: /users/{id}/",
            &["path: /users/:id/", "path: /users/<id>/", "path: '/users/{id:[0-9]+}/'"],
            "/users/{id}/`",
        ),
        ("path: /users/{id}/", &["path: '*'", "path: /*"], "write `/`"),
        ("path: /users/{id}/", &["path: GET /users/{id}/"], "`methods: [GET]` and `path: /users/{id}/`"),
        ("path: /users/{id}/", &["path: a.test/{id}/", "path: http://a.test/{id}/"], "`hosts: [a.test]`"),
        ("path: /users/{id}/", &["path: /users/{id}/?page=1"], "`query: {page: \"1\"}`"),
        ("path: /users/{id}/", &["path: /users/{id}/#top"], "write `/users/{id}/`"),
        ("path: /files/{rest...}", &["path: /files/{rest}", "path: /files/{rest...}/x", "path: []", "path: 5"], ""),
        ("- GET", &["- get me", "- 'G@T'", "- {GET: 1}"], ""),
        ("- GET", &["- get", "- Get"], "write `GET`"),
        ("- GET", &["- Gte", "- GETT"], "did you mean `GET`"),
        ("- PUT", &["- GET"], "stands here twice"),
        ("- GET", &["- \"GET\\0\""], "NUL"),
        (
            "- api.example.com",
            &["- api.example.com:80", "- http://api.example.com", "- 'a b'", "- '*'", "- 'a.*.com'"],
            "",
        ),
        ("- api.example.com", &["- https://api.example.com/", "- API.example.com:443"], "write `api.example.com`"),
        ("- api.example.com", &["- .example.com"], "write `*.example.com`"),
        ("- api.example.com", &["- '::1'"], "write `\"[::1]\"`"),
        ("- \"*.example.com\"", &["- '*example.com'", "- '**.example.com'"], ""),
        ("prefix: v2", &["prefix: [v2]", "present: maybe", "sufix: v2"], ""),
        ("regex: \"[0-9]+\"", &["regex: '[0-9'", "regex: '(?<a'", "regex: '*'"], "no regular expression: "),
        ("strip: true", &["strip: yes please", "strip: 1", "strip: 'true'", "strip: []"], ""),
        (
            "to: users",
            &[
                "to: usres",
                "to: nobody",
                "to: https://127.0.0.1:9101/v1",
                "to: ftp://127.0.0.1:9101",
                "to: http://",
                "to: http://a/b",
                "to: []",
                "to: {upstream: users}",
            ],
            "",
        ),
        ("- upstream: orders", &["- upstream: ordres", "- upstream: http://"], ""),
        (
            "rewrite: /v2/orders",
            &[
                "rewrite: v2/orders",
                "rewrite: /v2/{id}",
                "rewrite: /v2/{",
                "rewrite: /v2/{rest}",
                "rewrite: /a?b=c",
                "rewrite: '/a b'",
            ],
            "",
        ),
        ("rewrite: /v2/orders", &["rewrite: /a?b=c", "rewrite: '/a#b'"], "write `/a`"),
        ("rewrite: /v2/orders", &["rewrite: /x/../v2/orders", "rewrite: //v2//orders"], "write `/v2/orders`"),
        ("to: /static/{rest}", &["to: 'https:///{rest}'", "to: '/\\{rest}'", "to: ftp://a.test/{rest}"], "write `"),
        (
            "to: /static/{rest}",
            &["to: static/{rest}", "to: /static/{rset}", "to: //evil.test/", "to: 'https://{rest}/'"],
            "",
        ),
        ("status: 302", &["status: 200", "status: 3020", "status: found", "status: 304"], ""),
        ("status: 200", &["status: 99", "status: 101", "status: ok", "status: 600", "status: '200'"], ""),
        ("- x-internal", &["- 'x internal'", "- content-length", "- ''"], ""),
        (
            "x-client: \"{client_ip}\"",
            &[
                "x-client: \"{client_pi}\"",
                "x-client: \"{\"",
                "x-client: \"}\"",
                "x-client: \"{a b}\"",
                "x-client: {env: ONEDOOR_NOT_SET}",
                "x-client: {credential: none}",
                "x-client: {vault: x}",
                "host: x",
            ],
            "",
        ),
        ("x-client: \"{client_ip}\"", &["x-client: {file: /nowhere/secret}"], "there is no such file"),
        ("x-door: \"{route}\"", &["x-door: \"{method}\"", "x-door: \"{rout}\"", "transfer-encoding: x"], ""),
        ("header: x-trace", &["header: 'x trace'", "header: host", "header: []"], ""),
        ("response: false", &["response: no thanks", "response: 0"], ""),
        ("on_error: closed", &["on_error: opened", "on_error: true"], "open"),
        ("host: orders.internal", &["host: 'a b'", "host: []", "host: http://x", "host: a$b"], ""),
        ("host: orders.internal", &["host: endpont"], "did you mean `endpoint`"),
        ("host: orders.internal", &["host: $HOST"], "${NAME}"),
        ("to: stdout", &["to: []", "to: ''"], ""),
        ("format: \"{status} {method}\"", &["format: \"{statsu}\"", "format: \"{\"", "format: 5s", "format: jsn"], ""),
        ("- get: /users/7/x", &["- gte: /users/7/x", "- get: users", "- get: [a]"], ""),
        ("- get: /users/7/x", &["- get: http://a.test/users"], "`host: a.test`"),
        ("path: /x", &["path: /y", "path: [x]"], ""),
        ("route: users", &["route: orders", "route: 'a b'"], ""),
    ];
    let mut broken = Vec::new();
    for (good, bads, says) in cases {
        let index = lines().iter().position(|line| line.trim_start() == *good);
        let index = index.unwrap_or_else(|| panic!("`{good}` is not in the good file"));
        let indent = lines()[index].len() - lines()[index].trim_start().len();
        for bad in *bads {
            broken.push(Broken {
                what: format!("`{good}` as `{bad}`"),
                line: index + 1,
                says: vec![(*says).to_owned()],
                text: with_line(index, &format!("{}{bad}", " ".repeat(indent))),
            });
        }
    }
    broken
}

/// Names twice, routes that claim the same, keys that contradict one another, broken YAML.
fn wrong_wholes() -> Vec<Broken> {
    let count = lines().len();
    let appended = |what: &str, more: &str, line: usize, says: &str| Broken {
        what: what.to_owned(),
        line: count + line,
        says: vec![says.to_owned()],
        text: format!("{GOOD}{more}"),
    };
    let inside = |what: &str, after: &str, more: &str, says: &str| {
        let index = lines().iter().position(|line| *line == after).unwrap_or_else(|| panic!("{after}"));
        let mut text = lines();
        text.insert(index + 1, more);
        Broken { what: what.to_owned(), line: index + 2, says: vec![says.to_owned()], text: text.join("\n") + "\n" }
    };
    let above = |what: &str, before: &str, more: &str, says: &str| {
        let index = lines().iter().position(|line| *line == before).unwrap_or_else(|| panic!("{before}"));
        let mut text = lines();
        text.insert(index, more);
        Broken { what: what.to_owned(), line: index + 1, says: vec![says.to_owned()], text: text.join("\n") + "\n" }
    };
    vec![
        appended("a section twice", "routes: {a: {path: /a, to: users}}\n", 1, "routes"),
        appended("an unknown section", "servers: {}\n", 1, "`servers`"),
        appended("a tab", "\tx: y\n", 1, ""),
        appended("an open bracket", "include: [a\n", 2, "lack its `]`"),
        appended("a missing variable", "include: [\"${ONEDOOR_NOT_SET}\"]\n", 1, "ONEDOOR_NOT_SET"),
        appended("an include that is not there", "include: [/nowhere/routes.yaml]\n", 1, "/nowhere/routes.yaml"),
        above("a route twice", "process:", "  health: {path: /h, respond: {}}", "stands twice"),
        above("an upstream twice", "defaults:", "  users: {endpoints: [127.0.0.1:1]}", "stands twice"),
        above("the same path twice", "process:", "  again: {path: /healthz, to: users}", "`again` and `health`"),
        above("overlapping paths", "process:", "  both: {path: \"/{a}/x\", to: users}", "; make one path"),
        inside("nothing to do", "routes:", "  idle: {path: /idle}", "`to`, `redirect` and `respond`"),
        inside("two things to do", "routes:", "  two: {path: /two, to: users, respond: {}}", "one thing"),
        inside("strip without to", "routes:", "  s: {path: /s/, strip: true, respond: {}}", "needs `to`"),
        inside("strip and rewrite", "routes:", "  s: {path: /s/, strip: true, rewrite: /x, to: users}", "keep one"),
        inside("a missing path", "routes:", "  s: {to: users}", "`path` is missing"),
        inside(
            "an unknown filter",
            "routes:",
            "  s: {path: /s, to: users, filters: {hedaers: {}}}",
            "did you mean `headers`",
        ),
        inside(
            "an unknown filter that is off",
            "routes:",
            "  s: {path: /s, to: users, filters: {cros: off}}",
            "`cros`",
        ),
        inside("an idle filter", "routes:", "  s: {path: /s, to: users, filters: {headers: {}}}", "write `off`"),
        inside(
            "an idle filter's half",
            "routes:",
            "  s: {path: /s, to: users, filters: {headers: {request: {}}}}",
            "write `off`",
        ),
        inside(
            "a filter that is no map",
            "routes:",
            "  s: {path: /s, to: users, filters: {ip: on}}",
            "`on_error`; or write `off`",
        ),
        inside(
            "a list in quotes",
            "routes:",
            "  s: {path: /s, to: users, methods: \"[GET, PUT]\"}",
            "take the quotes away",
        ),
        inside("paths in quotes", "routes:", "  s: {path: \"[/s, /t]\", to: users}", "take the quotes away"),
        inside("targets in quotes", "routes:", "  s: {path: /s, to: \"[users]\"}", "take the quotes away"),
        inside("no hosts", "routes:", "  s: {path: /s, to: users, hosts: []}", "the list is empty"),
        inside("no methods", "routes:", "  s: {path: /s, to: users, methods: []}", "the list is empty"),
        inside("hosts with nothing behind", "routes:", "  s: {path: /s, to: users, hosts: }", "nothing stands behind"),
        inside("strip with nothing behind", "routes:", "  s: {path: /s, to: users, strip: }", "nothing stands behind"),
        inside("a host as a header", "routes:", "  s: {path: /s, to: users, headers: {Host: a}}", "`hosts: ["),
        inside("a condition twice", "routes:", "  s: {path: /s, to: users, headers: {X-A: a, x-a: b}}", "stands twice"),
        inside(
            "an answer's header twice",
            "routes:",
            "  s: {path: /s, respond: {headers: {X-A: a, x-a: b}}}",
            "stands twice",
        ),
        inside(
            "a filter's header twice",
            "routes:",
            "  s: {path: /s, to: users, filters: {headers: {request: {set: {X-A: a, x-a: b}}}}}",
            "stands twice",
        ),
        inside(
            "a test's header twice",
            "tests:",
            "  - {get: /, headers: {A: a, a: b}, expect: {status: 404}}",
            "stands twice",
        ),
        inside(
            "a test's header's name",
            "tests:",
            "  - {get: /, headers: {'a b': a}, expect: {status: 404}}",
            "no header's name",
        ),
        inside(
            "a test's header's value",
            "tests:",
            "  - {get: /, headers: {a: \"\\n\"}, expect: {status: 404}}",
            "no header can carry",
        ),
        inside("a test's expected header", "tests:", "  - {get: /, expect: {headers: {A: a, a: b}}}", "stands twice"),
        inside("an empty ip filter", "routes:", "  s: {path: /s, to: users, filters: {ip: {}}}", "`allow`"),
        inside("an upstream without endpoints", "upstreams:", "  none: {endpoints: []}", ""),
        inside(
            "a weight too large",
            "upstreams:",
            "  none: {endpoints: [{address: 127.0.0.1:1, weight: 1001}]}",
            "a weight from 0 to 1000",
        ),
        inside(
            "an endpoint twice",
            "upstreams:",
            "  none: {endpoints: [127.0.0.1:1, 127.0.0.1:1]}",
            "stands here twice",
        ),
        inside(
            "a share without its sign",
            "upstreams:",
            "  none: {endpoints: [127.0.0.1:1], panic: 50}",
            "write `50%`",
        ),
        inside("a hash of nothing", "upstreams:", "  none: {endpoints: [127.0.0.1:1], balance: hash}", "client_ip"),
        inside(
            "no failures",
            "upstreams:",
            "  none: {endpoints: [127.0.0.1:1], ejection: {consecutive_failures: 0}}",
            "1 to 1000000",
        ),
        inside(
            "a misspelt limit",
            "upstreams:",
            "  none: {endpoints: [127.0.0.1:1], limits: {request: 5}}",
            "did you mean `requests`",
        ),
        inside("a breaker's slip", "upstreams:", "  none: {endpoints: [127.0.0.1:1], breaker: {window: 10}}", "10s"),
        inside(
            "a rewrite that is no path",
            "routes:",
            "  s: {path: /s/, rewrite: /a/../../b, to: users}",
            "no path can be made",
        ),
        inside(
            "a content type twice",
            "routes:",
            "  s: {path: /s, respond: {headers: {content-type: a/b}}}",
            "`content_type`",
        ),
        inside(
            "a name that does not resolve",
            "upstreams:",
            "  none: {endpoints: [\"nowhere.invalid:80\"]}",
            "nowhere.invalid",
        ),
        inside("a name of odd characters", "upstreams:", "  'a b': {endpoints: [127.0.0.1:1]}", ""),
        inside("a list for a map", "upstreams:", "  none: [a]", ""),
        inside("a body with a 204", "routes:", "  s: {path: /s, respond: {status: 204, body: x}}", "no body"),
    ]
}

fn problems_of(text: &str) -> Vec<Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let checked = Config::parse(text, "onedoor.yaml")
        .map_err(|refused| every_problem(refused, &onedoor::builtins()))
        .and_then(|(config, _)| runtime.block_on(onedoor::server::check(config, &onedoor::builtins(), None)));
    checked.map(|_| Vec::new()).unwrap_or_else(|problems| problems)
}

#[test]
fn the_good_file_is_good() {
    let problems = problems_of(GOOD);
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn every_broken_file_is_refused_at_the_right_line_with_the_right_words() {
    let all: Vec<Broken> = [misspelt_keys(), wrong_values(), wrong_wholes()].into_iter().flatten().collect();
    assert!(all.len() >= 200, "only {} broken files", all.len());
    let mut bad = Vec::new();
    for broken in &all {
        let problems = problems_of(&broken.text);
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let at = problems.iter().zip(&said).find(|(problem, said)| {
            problem.place.as_ref().is_some_and(|place| place.line as usize == broken.line)
                && broken.says.iter().all(|part| said.contains(part.as_str()))
        });
        if at.is_none() {
            bad.push(format!(
                "{} in line {} should say {:?}; said:\n    {}",
                broken.what,
                broken.line,
                broken.says,
                said.join("\n    ")
            ));
        }
    }
    assert!(bad.is_empty(), "{} of {}:\n{}", bad.len(), all.len(), bad.join("\n"));
}

#[test]
fn three_mistakes_in_one_route_are_told_at_once() {
    let text = GOOD
        .replace("    strip: true\n", "    stirp: true\n")
        .replace("    timeout: 20s\n", "    timeout: 20\n")
        .replace("          - 10.9.0.0/16\n", "          - 10.9.0.0/160\n");
    let said: Vec<String> = problems_of(&text).iter().map(ToString::to_string).collect();
    for part in ["routes.users.stirp", "routes.users.timeout", "routes.users.filters.ip.deny[0]"] {
        assert!(said.iter().any(|line| line.contains(part)), "{part}: {said:#?}");
    }
}
