use super::super::super::decode::decode;
use super::super::super::yaml;
use super::*;

fn read(text: &str) -> Result<HealthCheck, String> {
    let mut problems = Vec::new();
    let mut node = yaml::parse(text.as_bytes(), &"t".into(), &mut problems).unwrap();
    node.number();
    let check = decode(&node, &["health"], &[], &mut problems);
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(check.is_some(), told.is_empty(), "{told:?}");
    check.ok_or(told.join("\n"))
}

fn http(text: &str) -> HttpCheck {
    match read(text).unwrap().kind {
        CheckKind::Http(http) => http,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_path_alone_is_a_whole_check() {
    let check = read("{path: /healthz}").unwrap();
    assert_eq!((check.interval.0, check.timeout.0), (Duration::from_secs(5), Duration::from_secs(1)));
    assert_eq!((check.unhealthy_after.get(), check.healthy_after.get(), check.port), (3, 2, None));
    let http = http("{path: /healthz}");
    assert_eq!((http.path.as_str(), http.host, http.method), ("/healthz", None, CheckMethod::Get));
    assert_eq!(http.status[..], [StatusRange::SUCCESS]);
}

#[test]
fn everything_about_a_check_can_be_said() {
    let text = "{path: /h, interval: 30s, timeout: 500ms, unhealthy_after: 1, healthy_after: 5, port: 8081, host: x:80, \
                method: HEAD, status: [200, 300-399], headers: {X-Check: a, authorization: {env: TOKEN}}}";
    let check = read(text).unwrap();
    assert_eq!((check.interval.0, check.timeout.0), (Duration::from_secs(30), Duration::from_millis(500)));
    assert_eq!((check.unhealthy_after.get(), check.healthy_after.get()), (1, 5));
    assert_eq!(check.port.map(NonZeroU16::get), Some(8081));
    let http = http(text);
    assert_eq!(http.host.unwrap().authority().as_str(), "x:80");
    assert_eq!(http.method, CheckMethod::Head);
    assert_eq!(http.status.iter().map(ToString::to_string).collect::<Vec<_>>(), ["200", "300-399"]);
    let names: Vec<_> = http.headers.keys().map(|name| name.name().as_str()).collect();
    assert_eq!(names, ["authorization", "x-check"]);
}

#[test]
fn a_status_is_one_a_range_or_a_list() {
    for (text, shown) in [("204", "204"), ("200-399", "200-399"), ("\"200-399\"", "200-399"), ("[200]", "200")] {
        assert_eq!(http(&format!("{{path: /, status: {text}}}")).status[0].to_string(), shown);
    }
}

#[test]
fn the_other_kinds_have_their_own_keys() {
    assert_eq!(read("{tcp: true}").unwrap().kind, CheckKind::Tcp);
    let kind = read("{grpc: users.v1.Users, host: users.internal, headers: {authorization: x}}").unwrap().kind;
    let CheckKind::Grpc(grpc) = kind else { panic!("{kind:?}") };
    assert_eq!((grpc.service.as_str(), grpc.headers.len()), ("users.v1.Users", 1));
    let CheckKind::Grpc(whole) = read("{grpc: ''}").unwrap().kind else { panic!() };
    assert_eq!(whole.service, "");
}

#[test]
fn mistakes_are_told_where_they_are_with_what_is_allowed() {
    for (text, words) in [
        ("{}", "exactly one of `path` (such as `path: /healthz`), `tcp: true` and `grpc`"),
        ("{interval: 5s}", "exactly one of"),
        ("{path: /, tcp: true}", "exactly one of"),
        ("{path: /, grpc: x}", "exactly one of"),
        ("{tcp: false}", "write `tcp: true`"),
        ("{tcp: true, status: 200}", "a check with `tcp` has no use for `status`"),
        ("{tcp: true, host: x, method: GET}", "no use for `host`, `method`"),
        ("{grpc: x, status: 200, host: x}", "a check with `grpc` has no use for `status`;"),
        ("{path: healthz}", "t:1:8: health.path: `healthz` is no path"),
        ("{path: /, status: 1xx}", "health.status: `1xx` is no status; allowed: a status from 200 to 599"),
        ("{path: /, status: [200, 99]}", "health.status[1]: `99` is no status"),
        ("{path: /, status: []}", "at least one"),
        ("{path: /, method: POST}", "allowed: `GET`, `HEAD`"),
        ("{path: /, interval: 5}", "write `5s`"),
        ("{path: /, interval: off}", "is no duration"),
        ("{path: /, interval: 5ms, timeout: 1ms}", "at least 10ms"),
        ("{path: /, timeout: 5s}", "the `timeout` of 5s is not shorter than the `interval` of 5s"),
        ("{path: /, interval: 500ms}", "make `timeout` (1s unless it is written) shorter"),
        ("{path: /, unhealthy_after: 0}", "a whole number above 0"),
        ("{path: /, port: 0}", "a whole number above 0"),
        ("{path: /, port: 70000}", "health.port"),
        ("{path: /, host: a/b}", "is no host"),
        ("{path: /, headers: {Host: x}}", "t:1:21: health.headers.Host: the header `host` has a key of its own"),
        ("{path: /, headers: {Connection: x}}", "the door writes itself"),
        ("{paht: /}", "did you mean `path`?"),
        ("{path: /, rise: 2}", "unknown key `rise`"),
    ] {
        let why = read(text).expect_err(text);
        assert!(why.contains(words), "{text}: {why}");
    }
    assert!(read(&format!("{{grpc: {}}}", "x".repeat(256))).unwrap_err().contains("at most 255"));
}

#[test]
fn all_mistakes_are_told_at_once() {
    let told = read("{path: x, interval: 5, status: 7}").unwrap_err();
    assert_eq!(told.lines().count(), 3, "{told}");
}

#[test]
fn another_port_fits_no_unix_socket() {
    let check = read("{tcp: true, port: 81}").unwrap();
    assert_eq!(check.fits(&"127.0.0.1:80".parse().unwrap()), Ok(()));
    assert_eq!(check.fits(&"users.internal:80".parse().unwrap()), Ok(()));
    let socket = "unix:/run/x.sock".parse().unwrap();
    assert!(check.fits(&socket).unwrap_err().contains("`port: 81` cannot be checked"));
    assert_eq!(read("{tcp: true}").unwrap().fits(&socket), Ok(()));
}

#[test]
fn the_schema_asks_for_exactly_one_kind() {
    let schema = SchemaGenerator::default().into_root_schema_for::<HealthCheck>();
    assert_eq!(schema.get("oneOf").and_then(|one_of| one_of.as_array()).map(Vec::len), Some(3));
    assert_eq!(schema.get("additionalProperties"), Some(&false.into()));
}
