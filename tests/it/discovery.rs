//! Endpoints by DNS and from a watched file, seen through a whole door.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Instant;

use hickory_resolver::proto::op::ResponseCode;
use onedoor::explain::{Question, explain};
use onedoor::upstream::{DiscoveryStatus, Status};

use crate::support::dns::{self, addresses};
use crate::support::*;

const SERVFAIL: dns::Reply = dns::Reply::Code(ResponseCode::ServFail);

fn yaml(name: &str, discover: impl Display, more: &str) -> String {
    format!("upstreams: {{{name}: {{discover: {{{discover}}}{more}}}}}\nroutes: {{all: {{path: /, to: {name}}}}}")
}

fn status(door: &Gateway, name: &str) -> Status {
    door.server().snapshot().upstream(name).expect("the upstream").status(Instant::now())
}

fn discovery(door: &Gateway, name: &str) -> DiscoveryStatus {
    status(door, name).discovery.expect("a discovery")
}

async fn named(name: &'static str) -> Server {
    Upstream::new().on("*", reply(200).body(name)).start().await
}

/// Two that listen on one port at two addresses, and that port.
async fn at_one_port() -> (Server, Server, u16) {
    loop {
        let first = named("one").await;
        let Address::Tcp(address) = first.address() else { panic!("a port") };
        let port = address.port();
        if let Some(second) = Port::at(([127, 0, 0, 2], port).into()) {
            return (first, Upstream::new().on("*", reply(200).body("two")).start_on(second), port);
        }
    }
}

/// Waits until the door's answer is this one.
async fn answers(door: &Gateway, body: &str) {
    within(format!("the answer `{body}`"), async {
        while door.get("/").send().await.text() != body {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn by_dns(server: &dns::Server, port: u16) -> String {
    format!("dns: \"users.test:{port}\", resolver: \"{}\"", server.address)
}

#[tokio::test]
async fn traffic_moves_with_the_dns_answer_and_stays_when_there_is_none() {
    logged::keep();
    let (_one, _two, port) = at_one_port().await;
    let dns = dns::Server::new(addresses(0, &["127.0.0.1"])).await;
    let door = Gateway::start(&yaml("moves", by_dns(&dns, port), "")).await;
    assert_eq!(door.get("/").send().await.text(), "one");
    dns.says(addresses(0, &["127.0.0.2"]));
    answers(&door, "two").await;
    dns.says(|_, _| SERVFAIL);
    until("two turns without an answer", || discovery(&door, "moves").failed >= 2).await;
    assert_eq!(door.get("/").send().await.text(), "two");
    let told = logged::lines("upstream moves: ");
    let failures: Vec<_> = told.iter().filter(|line| line.contains("SERVFAIL")).collect();
    assert_eq!(failures.len(), 1, "{told:?}");
    assert!(
        failures[0].starts_with("WARN") && failures[0].ends_with("the last good set stays (1 endpoint)"),
        "{told:?}"
    );
}

#[tokio::test]
async fn when_the_dns_server_dies_the_last_good_set_stays() {
    let (_one, _two, port) = at_one_port().await;
    let mut dns = dns::Server::new(addresses(0, &["127.0.0.1"])).await;
    let door = Gateway::start(&yaml("orphan", by_dns(&dns, port), "")).await;
    dns.die().await;
    until("a turn without an answer", || discovery(&door, "orphan").last_error.is_some()).await;
    assert_eq!(door.get("/").send().await.text(), "one");
}

#[tokio::test]
async fn a_door_whose_dns_is_dead_starts_and_recovers_when_it_comes() {
    let (_one, _two, port) = at_one_port().await;
    let dns = dns::Server::new(|_, _| dns::Reply::Silence).await;
    let mut door = Gateway::start(&format!(
        "{}\ntests: [{{get: /, expect: {{to: late}}}}]",
        yaml("late", by_dns(&dns, port), ", timeouts: {connect: 50ms}")
    ))
    .await;
    assert_eq!(door.get("/").send().await.status, 503);
    assert_eq!(door.cause(1).await, ("no_endpoint".into(), 503));
    dns.says(|_, _| SERVFAIL);
    until("a failure", || discovery(&door, "late").failed > 0).await;
    let said = explain(&door.server().snapshot(), &Question::new(http::Method::GET, "/")).await;
    let detail = said.detail.unwrap_or_default();
    assert!(said.cause == Some("no_endpoint") && detail.starts_with(&format!("dns users.test:{port}: ")), "{detail}");
    // Nor does it keep another file from being loaded.
    door.reload(&format!(
        "{}\ntests: [{{get: /, expect: {{to: late}}}}]",
        yaml("late", by_dns(&dns, port), ", timeouts: {connect: 60ms}")
    ))
    .await
    .unwrap();
    dns.says(addresses(60, &["127.0.0.1"]));
    answers(&door, "one").await;
}

#[tokio::test]
async fn srv_records_bring_their_ports() {
    let (one, two) = (named("one").await, named("two").await);
    let ports = [&one, &two].map(|api| match api.address() {
        Address::Tcp(address) => address.port(),
        Address::Unix(_) => panic!("a port"),
    });
    let dns = dns::Server::new(move |name, kind| match kind {
        hickory_resolver::proto::rr::RecordType::SRV => dns::Reply::Records(vec![
            dns::srv(name, 60, (1, 1, ports[0]), "a.test"),
            dns::srv(name, 60, (2, 1, ports[1]), "a.test"),
        ]),
        _ => addresses(60, &["127.0.0.1"])(name, kind),
    })
    .await;
    let source = format!("srv: _http._tcp.users.test, resolver: \"{}\"", dns.address);
    let door = Gateway::start(&yaml("api", source, ", host: endpoint")).await;
    assert_eq!(door.get("/").send().await.text(), "one");
    assert_eq!(one.last().header("host"), Some(format!("users.test:{}", ports[0]).as_str()));
    let backups: Vec<bool> = status(&door, "api").endpoints.iter().map(|endpoint| endpoint.backup).collect();
    assert!(backups.contains(&true) && backups.contains(&false), "{backups:?}");
}

#[tokio::test]
async fn by_tls_what_was_discovered_is_verified_by_the_name_that_was_asked_about() {
    let ca = Ca::new("internal");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
    let more = format!(
        ", tls: {{ca: \"{}/ca.pem\"}}, health: {{path: /, interval: 500ms, timeout: 450ms, unhealthy_after: 1}}",
        folder.path().display()
    );
    let dns = dns::Server::new(addresses(60, &["127.0.0.1"])).await;
    let good = TlsUpstream::new(&ca.issue(&["users.test"])).start().await;
    let door = Gateway::start(&yaml("api", by_dns(&dns, good.port()), &more)).await;
    let response = door.get("/").send().await;
    assert_eq!((response.status, response.text()), (200, "http/1.1 users.test unknown"));
    let bad = TlsUpstream::new(&ca.issue(&["127.0.0.1"])).start().await;
    let door = Gateway::start(&yaml("api", by_dns(&dns, bad.port()), &more)).await;
    assert_eq!(door.get("/").send().await.status, 502);
    assert_eq!(door.cause(1).await.0, "upstream_tls_name");
    until("the check's finding", || status(&door, "api").endpoints[0].unhealthy.is_some()).await;
}

#[tokio::test]
async fn a_reload_forgets_no_answer_and_asks_anew_only_where_an_upstream_has_changed() {
    let (_one, _two, port) = at_one_port().await;
    let dns = dns::Server::new(addresses(600, &["127.0.0.1"])).await;
    let source = by_dns(&dns, port);
    let mut door = Gateway::start(&yaml("api", &source, "")).await;
    let asked = dns.questions().len();
    door.reload(&format!("{}\nprocess: {{drain: 9s}}", yaml("api", &source, ""))).await.unwrap();
    assert_eq!((door.get("/").send().await.text(), dns.questions().len()), ("one", asked));
    dns.says(|_, _| SERVFAIL);
    door.reload(&yaml("api", &source, ", balance: least_requests")).await.unwrap();
    assert_eq!(door.get("/").send().await.text(), "one");
    until("it is asked anew", || dns.questions().len() > asked).await;
    until("a failure", || discovery(&door, "api").failed > 0).await;
    assert_eq!(door.get("/").send().await.text(), "one");
}

/// A file of endpoints in a folder of its own.
struct Listed {
    folder: tempfile::TempDir,
}

impl Listed {
    fn new(endpoints: &str) -> Self {
        let listed = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(listed.path(), endpoints).unwrap();
        listed
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("users.yaml")
    }

    fn source(&self) -> String {
        format!("file: \"{}\"", self.path().display())
    }

    /// As tools should: aside, and then in its place.
    fn replace(&self, endpoints: &str) {
        let aside = self.folder.path().join("new");
        std::fs::write(&aside, endpoints).unwrap();
        std::fs::rename(aside, self.path()).unwrap();
    }
}

#[tokio::test]
async fn a_file_of_endpoints_is_followed_and_a_broken_one_changes_nothing() {
    logged::keep();
    let (one, two) = (named("one").await, named("two").await);
    let listed = Listed::new(&format!("- {one}\n"));
    let door = Gateway::start(&yaml("followed", listed.source(), "")).await;
    assert_eq!(door.get("/").send().await.text(), "one");
    listed.replace(&format!("endpoints: [{{address: \"{two}\", weight: 3}}]\n"));
    answers(&door, "two").await;
    let whole = format!("- {one}\n- {two}\n");
    for broken in [&whole[..whole.len() - 3], "", "- {address: 127.0.0.1:1, wieght: 3}\n", "- users:80\n", "[]"] {
        let failed = discovery(&door, "followed").failed;
        std::fs::write(listed.path(), broken).unwrap();
        until(format!("{broken:?} is noticed"), || discovery(&door, "followed").failed > failed).await;
        assert_eq!(door.get("/").send().await.text(), "two", "{broken:?}");
    }
    std::fs::remove_file(listed.path()).unwrap();
    until("it is missed", || {
        discovery(&door, "followed").last_error.is_some_and(|why| why.contains("there is no such file"))
    })
    .await;
    listed.replace(&format!("- {one}\n"));
    answers(&door, "one").await;
    let told = logged::lines("upstream followed: ");
    let wrong = told.iter().filter(|line| line.contains("did you mean `weight`")).count();
    assert_eq!(wrong, 1, "{told:?}");
}

#[tokio::test]
async fn what_no_request_could_reach_is_refused_like_a_broken_file() {
    let ca = Ca::new("internal");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
    let api = TlsUpstream::new(&ca.issue(&["127.0.0.1"])).start().await;
    let listed = Listed::new(&format!("- {}\n", api.address()));
    let more = format!(", tls: {{ca: \"{}/ca.pem\"}}", folder.path().display());
    let door = Gateway::start(&yaml("api", listed.source(), &more)).await;
    listed.replace("- unix:/run/x.sock\n");
    until("the refusal", || discovery(&door, "api").last_error.is_some_and(|why| why.contains("set `sni`"))).await;
    assert_eq!(door.get("/").send().await.status, 200);
}

#[tokio::test]
async fn before_the_door_runs_explain_says_that_nobody_was_asked() {
    let yaml = format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\"}}}}\n{}\ntests: [{{get: /a, expect: {{to: api}}}}]",
        yaml("api", "dns: \"users.internal:8080\"", "")
    );
    let (config, _) = onedoor::config::Config::parse(&yaml, "test.yaml").unwrap_or_else(|_| panic!("{yaml}"));
    let (snapshot, warnings) = onedoor::server::check(config, &onedoor::builtins(), None).await.unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let said = explain(&snapshot, &Question::new(http::Method::GET, "/a")).await;
    assert_eq!((said.upstream.as_deref(), said.endpoint, said.status), (Some("api"), None, None));
    assert!(said.discovery.is_some_and(|said| said.starts_with("dns users.internal:8080: no answer yet")));
}

#[tokio::test]
async fn what_is_wrong_with_a_discovery_is_told_at_its_place() {
    let listed = Listed::new("- users:80\n");
    let source = listed.source();
    for (upstream, words) in [
        ("{}".to_owned(), "upstreams.api: `endpoints` is missing; write `endpoints: [127.0.0.1:9101]`, or `discover`"),
        (
            "{endpoints: [127.0.0.1:9], discover: {dns: \"a:1\"}}".to_owned(),
            "upstreams.api: the endpoints are either listed or discovered",
        ),
        ("{discover: {file: /nowhere/users.yaml}}".to_owned(), "upstreams.api.discover.file: cannot read /nowhere"),
        (format!("{{discover: {{{source}}}}}"), "users.yaml:1:3: [0]: `users:80` is a name"),
        ("{discover: {dns: \"a_b.users.internal:1\"}, tls: {}}".to_owned(), "upstreams.api.discover.dns: by TLS, "),
        ("{discovr: {dns: \"a:1\"}}".to_owned(), "did you mean `discover`?"),
    ] {
        let said =
            Gateway::refused(&format!("upstreams:\n  api: {upstream}\nroutes: {{a: {{path: /, to: api}}}}")).await;
        assert!(said.len() == 1 && said[0].contains(words), "{words}: {said:?}");
    }
}
