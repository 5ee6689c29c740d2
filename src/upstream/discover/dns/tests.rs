//! Against a real server on the loopback interface. Where the clock is paused, it jumps to the next time limit as soon
//! as nothing else happens: so a server that never answers costs no time.

#[path = "../../../../tests/it/support/dns.rs"]
#[allow(missing_docs, dead_code, reason = "part of the tests' tool box")]
mod server;

use std::sync::{Arc, Mutex};

use super::*;
use crate::config;
use crate::config::Weight;
use crate::upstream::discover::tests::socket;
use crate::upstream::discover::{Discovery, DiscoveryState};
use server::{Reply, Server, alias, at, srv};

const NO_NAME: Reply = Reply::Code(ResponseCode::NXDomain);
const SERVFAIL: Reply = Reply::Code(ResponseCode::ServFail);
const NOTHING: Reply = Reply::Records(Vec::new());

fn host(server: &Server) -> Dns {
    Dns::host("users.test", 80, Some(server.address))
}

fn service(server: &Server) -> Dns {
    Dns::service("_http._tcp.users.test", Some(server.address))
}

fn shown(answer: &Answer) -> Vec<String> {
    answer.found.iter().map(|found| found.address.to_string()).collect()
}

/// Answers for one family, and none for the other.
fn v4(ttl: u32, ips: &'static [&'static str]) -> impl Fn(&str, RecordType) -> Reply + Send + Sync + 'static {
    move |name, kind| match kind {
        RecordType::A => Reply::Records(ips.iter().map(|ip| at(name, ttl, ip)).collect()),
        _ => NOTHING,
    }
}

#[tokio::test]
async fn every_address_of_a_name_is_an_endpoint_in_both_families() {
    let server = Server::new(|name, kind| match kind {
        RecordType::A => Reply::Records(vec![at(name, 60, "10.0.0.2"), at(name, 60, "10.0.0.1")]),
        _ => Reply::Records(vec![at(name, 20, "fd00::1")]),
    });
    let server = server.await;
    let answer = host(&server).ask().await.unwrap();
    assert_eq!(shown(&answer), ["10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"]);
    assert_eq!(answer.holds, Duration::from_secs(20), "the shortest TTL counts");
}

#[tokio::test]
async fn the_ttl_of_an_alias_counts_too() {
    let server = Server::new(|name, kind| match kind {
        RecordType::A => Reply::Records(vec![alias(name, 7, "a.test"), at("a.test", 60, "10.0.0.1")]),
        _ => Reply::Records(vec![alias(name, 7, "a.test")]),
    });
    let server = server.await;
    let answer = host(&server).ask().await.unwrap();
    assert_eq!((shown(&answer), answer.holds.as_secs()), (vec!["10.0.0.1:80".to_owned()], 7));
}

#[tokio::test]
async fn an_answer_too_long_for_udp_is_had_by_tcp() {
    let server = Server::new(|name, kind| match kind {
        RecordType::A => Reply::LongerThanUdp((0..250).map(|n| at(name, 60, &format!("10.0.0.{n}"))).collect()),
        _ => NOTHING,
    });
    let server = server.await;
    assert_eq!(host(&server).ask().await.unwrap().found.len(), 250);
}

#[tokio::test]
async fn what_is_no_answer_is_told_apart() {
    for (reply, words) in [
        (NO_NAME, "there is no name `users.test` (NXDOMAIN)"),
        (NOTHING, "`users.test` has no A or AAAA records"),
        (Reply::Records(vec![at("users.test", 60, "0.0.0.0")]), "`users.test` has no A or AAAA records"),
        (SERVFAIL, "the DNS server answers SERVFAIL"),
        (Reply::Code(ResponseCode::Refused), "the DNS server answers REFUSED"),
        (Reply::Truncated, "the answer is cut off, over TCP too"),
        (Reply::Malformed, "the answer is malformed"),
    ] {
        let said = reply.clone();
        let server = Server::new(move |_, _| said.clone()).await;
        let why = host(&server).ask().await.expect_err(words);
        assert!(why.contains(words), "{reply:?}: {why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_not_waited_for_longer_than_10_seconds() {
    let server = Server::new(|_, _| Reply::Silence).await;
    let begun = tokio::time::Instant::now();
    assert!(host(&server).ask().await.unwrap_err().contains("no answer"));
    assert!(begun.elapsed() <= LONGEST_TURN);
}

#[tokio::test]
async fn a_family_that_never_had_an_answer_is_done_without_but_none_is_lost_to_a_failure() {
    let without = |aaaa: Reply| {
        move |name: &str, kind| match kind {
            RecordType::A => Reply::Records(vec![at(name, 60, "10.0.0.1")]),
            _ => aaaa.clone(),
        }
    };
    let server = Server::new(without(SERVFAIL)).await;
    let mut dns = host(&server);
    assert_eq!(shown(&dns.ask().await.unwrap()), ["10.0.0.1:80"]);
    server.says(without(Reply::Records(vec![at("users.test", 60, "fd00::1")])));
    assert_eq!(dns.ask().await.unwrap().found.len(), 2);
    server.says(without(SERVFAIL));
    assert!(dns.ask().await.unwrap_err().contains("AAAA records of `users.test` failed"));
    server.says(without(NOTHING));
    assert_eq!(shown(&dns.ask().await.unwrap()), ["10.0.0.1:80"], "that there is nothing is an answer");
}

#[tokio::test]
async fn srv_records_give_port_weight_and_backups() {
    let server = Server::new(|name, kind| match (name, kind) {
        (_, RecordType::SRV) => Reply::Records(vec![
            srv(name, 60, (10, 3, 8001), "a.test"),
            srv(name, 60, (10, 1, 8002), "b.test"),
            srv(name, 60, (20, 0, 8003), "a.test"),
            srv(name, 60, (20, 0, 8004), "gone.test"),
        ]),
        ("a.test", RecordType::A) => Reply::Records(vec![at(name, 9, "10.0.0.1")]),
        ("b.test", RecordType::AAAA) => Reply::Records(vec![at(name, 60, "fd00::2")]),
        ("gone.test", _) => NO_NAME,
        _ => NOTHING,
    });
    let server = server.await;
    let answer = service(&server).ask().await.unwrap();
    let wanted = [
        Endpoint { weight: Weight(3), ..socket("10.0.0.1:8001") },
        Endpoint { weight: Weight(1), backup: true, ..socket("10.0.0.1:8003") },
        Endpoint { weight: Weight(1), ..socket("[fd00::2]:8002") },
    ];
    assert_eq!(answer.found, wanted);
    assert_eq!(answer.holds.as_secs(), 9, "the targets' TTL counts too");
}

#[tokio::test]
async fn a_service_that_is_not_there_or_not_known_is_no_empty_set() {
    let to = |target: &'static str, addresses: Reply| {
        move |name: &str, kind| match kind {
            RecordType::SRV => Reply::Records(vec![srv(name, 60, (1, 1, 80), target)]),
            _ => addresses.clone(),
        }
    };
    for (script, words) in [
        (to("", NOTHING), "there is no such service"),
        (to("a.test", NO_NAME), "there is no name `a.test.`"),
        (to("a.test", SERVFAIL), "`a.test.` failed: the DNS server answers SERVFAIL"),
    ] {
        let server = Server::new(script).await;
        let why = service(&server).ask().await.expect_err(words);
        assert!(why.contains(words), "{why}");
    }
}

#[tokio::test]
async fn a_server_of_the_files_is_asked_for_the_name_alone() {
    let server = Server::new(v4(60, &["10.0.0.1"])).await;
    host(&server).ask().await.unwrap();
    let mut asked = server.questions();
    asked.sort();
    let name = || "users.test".to_owned();
    assert_eq!(asked, [(name(), RecordType::A), (name(), RecordType::AAAA)]);
}

/// A discovery that runs, and what it has published.
struct Running {
    discovery: Arc<Discovery>,
    published: Arc<Mutex<Vec<Vec<Endpoint>>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn new(server: &Server) -> Self {
        let asking = config::Asking { every: None, resolver: Some(server.address) };
        let settings = config::Discover::Dns { host: "users.test".into(), port: 80, asking };
        let discovery = Arc::new(Discovery::new("users", &settings, None).unwrap());
        let published = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn({
            let (discovery, published) = (discovery.clone(), published.clone());
            let publish = move |found: &[Endpoint]| {
                published.lock().unwrap().push(found.to_vec());
                Ok(())
            };
            async move { discovery.run(publish).await }
        });
        Self { discovery, published, task }
    }

    async fn until(&self, when: impl FnMut(&DiscoveryState) -> bool) -> DiscoveryState {
        self.discovery.state.subscribe().wait_for(when).await.unwrap().clone()
    }

    fn published(&self) -> Vec<usize> {
        self.published.lock().unwrap().iter().map(Vec::len).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_costs_nothing_but_a_count() {
    let mut server = Server::new(v4(60, &["10.0.0.1", "10.0.0.2"])).await;
    let running = Running::new(&server);
    running.discovery.first().await;
    server.die().await;
    let state = running.until(|state| state.failed == 3).await;
    assert!(state.last_error.is_some_and(|why| why.contains("no answer")));
    assert_eq!((state.known.len(), running.published()), (2, vec![2]));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_follows_its_name_through_every_kind_of_trouble() {
    let server = Server::new(v4(30, &["10.0.0.1"])).await;
    let running = Running::new(&server);
    running.until(|state| state.ok == 1).await;
    for (count, reply) in [NO_NAME, NOTHING, SERVFAIL, Reply::Malformed, Reply::Truncated].into_iter().enumerate() {
        let before = running.discovery.state();
        server.says(move |_, _| reply.clone());
        let state = running.until(|state| state.failed > before.failed).await;
        assert_eq!((state.known.len(), running.published().len()), (1, 1 + count));
        // Another set each time, so that it is published.
        let ips: &[&str] = if count % 2 == 0 { &["10.0.0.9"] } else { &["10.0.0.1"] };
        let good = running.discovery.state().ok;
        server.says(move |name, kind| match kind {
            RecordType::A => Reply::Records(ips.iter().map(|ip| at(name, 30, ip)).collect()),
            _ => NOTHING,
        });
        running.until(|state| state.ok > good).await;
    }
    assert_eq!(running.published(), [1; 6]);
}

#[tokio::test(start_paused = true)]
async fn the_ttl_of_a_real_answer_is_obeyed() {
    let server = Server::new(v4(40, &["10.0.0.1"])).await;
    let running = Running::new(&server);
    running.until(|state| state.ok == 1).await;
    let begun = tokio::time::Instant::now();
    running.until(|state| state.ok == 2).await;
    let waited = begun.elapsed().as_secs_f64();
    assert!((35.9..45.0).contains(&waited), "{waited}");
    assert_eq!(server.questions().len(), 4, "two families, two turns");
}
