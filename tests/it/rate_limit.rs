//! How often requests may come, seen through a whole door, or two that share a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use futures_util::future::join_all;
use http::Method;
use onedoor::explain::{Question, explain};
use onedoor::filter::Registry;

use crate::support::redis::Redis;
use crate::support::who::Who;
use crate::support::*;

fn registry() -> Registry {
    onedoor::builtins().with::<Who>()
}

fn file(filters: &str) -> String {
    format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\", trusted_proxies: [127.0.0.1]}}}}\n\
         routes: {{all: {{path: /, respond: {{body: ok}}, filters: {{{filters}}}}}}}"
    )
}

async fn door(limit: &str) -> Gateway {
    Gateway::start_with(&file(&format!("rate_limit: {limit}")), registry()).await
}

async fn from(door: &Gateway, ip: &str) -> u16 {
    door.get("/").header("x-forwarded-for", ip).send().await.status
}

async fn with(door: &Gateway, name: &str, value: &str) -> u16 {
    door.get("/").header(name, value).send().await.status
}

/// Fifteen requests of each of thirty clients, through these doors in turn, nine at a time: how many were admitted.
async fn admitted_of_450(doors: &[&Gateway]) -> usize {
    let mut admitted = 0;
    for round in 0..50 {
        let requests = (0..9).map(async |number| {
            let index = round * 9 + number;
            from(doors[index / 30 % doors.len()], &format!("192.0.2.{}", index % 30)).await
        });
        let statuses = join_all(requests).await;
        assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
        admitted += statuses.iter().filter(|&&status| status == 200).count();
    }
    admitted
}

#[tokio::test]
async fn thirty_clients_with_five_each_are_admitted_150_times() {
    let door = door("{per: client_ip, rate: 5/h}").await;
    assert_eq!(admitted_of_450(&[&door]).await, 150);
}

#[tokio::test]
async fn two_doors_that_share_a_server_admit_no_more_than_one() {
    let redis = Redis::start().await;
    let limit = format!("{{per: client_ip, rate: 5/h, shared: \"{}\", timeout: 5s}}", redis.url());
    let (one, other) = (door(&limit).await, door(&limit).await);
    assert_eq!(admitted_of_450(&[&one, &other]).await, 150);
    let keys: Vec<String> = redis.ask(&["KEYS", "*"]).await.unwrap();
    assert_eq!(keys.len(), 30);
    assert!(keys.contains(&"onedoor:all:client_ip:192.0.2.7".to_owned()), "{keys:?}");
    let left: i64 = redis.ask(&["PTTL", "onedoor:all:client_ip:192.0.2.7"]).await.unwrap();
    assert!((1..=3_600_000).contains(&left), "what is idle goes: {left}");
}

#[tokio::test]
async fn a_list_is_shared_by_one_question_and_a_refused_request_spends_nothing() {
    let redis = Redis::start().await;
    let shared = format!("shared: \"{}\", timeout: 5s", redis.url());
    let limits = format!(
        "[{{per: route, rate: 3/h, {shared}}}, {{per: {{header: x-key}}, rate: 1/h, {shared}}}, {{name: own, per: route, rate: 3/h}}]"
    );
    let (one, other) = (door(&limits).await, door(&limits).await);
    assert_eq!(with(&one, "x-key", "a").await, 200);
    for door in [&one, &other, &one, &other] {
        assert_eq!(with(door, "x-key", "a").await, 429);
    }
    let response = other.get("/").header("x-key", "b").send().await;
    assert_eq!(response.status, 200);
    assert_eq!(
        response.header("ratelimit"),
        Some("\"own\";r=2;t=1200, \"route\";r=1;t=1200, \"header.x-key\";r=0;t=3600")
    );
    assert_eq!(with(&one, "x-key", "c").await, 200);
    assert_eq!(with(&one, "x-key", "d").await, 429);
    let keys: Vec<String> = redis.ask(&["KEYS", "*"]).await.unwrap();
    assert!(keys.iter().all(|key| !key.ends_with(":a")), "a key may be a credential: {keys:?}");
}

#[tokio::test]
async fn a_shared_limit_admits_its_whole_burst_and_keeps_what_was_spent_at_another_rate() {
    let redis = Redis::start().await;
    let limit =
        |rate: &str| format!("{{per: route, rate: {rate}, burst: 20, shared: \"{}\", timeout: 5s}}", redis.url());
    let mut one = door(&limit("7/h")).await;
    let statuses = join_all((0..15).map(async |_| one.get("/").send().await.status)).await;
    assert!(statuses.iter().all(|&status| status == 200));
    one.reload(&file(&format!("rate_limit: {}", limit("70/h")))).await.unwrap();
    let other = door(&limit("70/h")).await;
    let mut seen = Vec::new();
    for door in [&one, &other, &one, &other, &one, &other] {
        seen.push(door.get("/").send().await.status);
    }
    assert_eq!(seen, [200, 200, 200, 200, 200, 429]);
}

/// Requests through each of these doors, one after the other, until it is dropped.
struct Load {
    stop: Arc<AtomicBool>,
    served: Vec<Arc<AtomicUsize>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(doors: &[&Gateway]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let served: Vec<Arc<AtomicUsize>> = doors.iter().map(|_| Arc::default()).collect();
        let tasks = doors.iter().zip(&served).map(|(door, served)| {
            let (client, served, stop) = (door.client().clone(), served.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.load(Relaxed) {
                    assert_eq!(client.get("/").send().await.status, 200);
                    served.fetch_add(1, Relaxed);
                }
            })
        });
        let tasks = tasks.collect();
        Self { stop, served, tasks }
    }

    /// So many more have been served by each door.
    async fn more(&self, count: usize) {
        for served in &self.served {
            let until = served.load(Relaxed) + count;
            let reached = async {
                while served.load(Relaxed) < until && !self.tasks.iter().any(|task| task.is_finished()) {
                    tokio::task::yield_now().await;
                }
            };
            within("requests to be served", reached).await;
        }
    }

    async fn end(self) {
        self.stop.store(true, Relaxed);
        for task in self.tasks {
            task.await.expect("every request was served");
        }
    }
}

/// Resolves when the server counts again.
async fn is_shared(redis: &Redis) {
    let counts = async {
        while redis.ask::<usize>(&["DBSIZE"]).await.unwrap_or(0) == 0 {
            tokio::task::yield_now().await;
        }
    };
    within("the server to count", counts).await;
}

#[tokio::test]
async fn no_request_fails_for_a_server_that_is_killed_and_comes_back() {
    let mut redis = Redis::start().await;
    let limit = format!("{{per: route, rate: 100000/h, shared: \"{}\"}}", redis.url());
    let doors = [door(&limit).await, door(&limit).await];
    let load = Load::start(&[&doors[0], &doors[1]]);
    load.more(50).await;
    for _ in 0..2 {
        is_shared(&redis).await;
        redis.kill();
        load.more(50).await;
        redis.back().await;
        is_shared(&redis).await;
        load.more(50).await;
    }
    load.end().await;
}

#[tokio::test]
async fn no_request_fails_or_waits_for_long_for_a_server_that_hangs() {
    let redis = Redis::start().await;
    let door = door(&format!("{{per: client_ip, rate: 100/h, shared: \"{}\"}}", redis.url())).await;
    assert_eq!(from(&door, "192.0.2.1").await, 200);
    redis.ask::<String>(&["CLIENT", "PAUSE", "600000", "ALL"]).await.unwrap();
    let begin = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(from(&door, "192.0.2.1").await, 200);
    }
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_door_whose_server_is_not_there_counts_alone_from_the_start() {
    let door = door("{per: client_ip, rate: 2/h, shared: \"unix:///nowhere/redis.sock\"}").await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(from(&door, "192.0.2.1").await);
    }
    assert_eq!(seen, [200, 200, 429]);
}

#[tokio::test]
async fn who_comes_is_told_how_many_more_may_and_who_is_refused_when_the_next_may() {
    let door = door("{per: client_ip, rate: 60/h, burst: 2}").await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let response = door.get("/").send().await;
        assert_eq!(response.header("ratelimit-policy"), Some("\"client_ip\";q=60;w=3600"));
        seen.push((response.status, response.header("ratelimit").unwrap().to_owned()));
        if response.status == 429 {
            assert_eq!(response.header("retry-after"), Some("60"));
            assert_eq!(response.header("content-type"), Some("application/problem+json"));
        }
    }
    let told = |status, text: &str| (status, format!("\"client_ip\";{text}"));
    assert_eq!(seen, [told(200, "r=1;t=60"), told(200, "r=0;t=60"), told(429, "r=0;t=60")]);
    assert_eq!(door.cause(3).await, ("rate_limited".into(), 429));
    assert!(door.log(3).await[2]["detail"].as_str().unwrap().contains("`client_ip` (60/h, burst 2) of 127.0.0.1"));
}

#[tokio::test]
async fn a_network_of_ipv6_is_one_client_and_what_has_no_key_is_one_too() {
    let door = door("[{per: client_ip, rate: 2/h}, {per: {cookie: sid}, rate: 4/h}]").await;
    assert_eq!(from(&door, "2001:db8:1:2::1").await, 200);
    assert_eq!(from(&door, "2001:db8:1:2:ffff::1").await, 200);
    assert_eq!(from(&door, "2001:db8:1:2::3").await, 429);
    assert_eq!(from(&door, "2001:db8:1:3::1").await, 200);
    assert_eq!(from(&door, "192.0.2.1").await, 200);
    assert_eq!(from(&door, "192.0.2.2").await, 429, "four have come without a cookie");
    let cookie = door.get("/").header("cookie", "a=b; sid=1").header("x-forwarded-for", "192.0.2.2");
    assert_eq!(cookie.send().await.status, 200);
}

#[tokio::test]
async fn above_the_bound_on_keys_new_ones_share_one_bucket() {
    let door = door("{per: client_ip, rate: 2/h, keys: 10}").await;
    let mut admitted = Vec::new();
    for client in (0..20).flat_map(|client| [client, client]) {
        admitted.push(from(&door, &format!("192.0.2.{client}")).await == 200);
    }
    assert!(admitted[..20].iter().all(|&admitted| admitted));
    assert_eq!(admitted[20..].iter().filter(|&&admitted| admitted).count(), 2);
}

#[tokio::test]
async fn a_dry_run_refuses_and_tells_nobody() {
    let door = door("{per: route, rate: 1/h, dry_run: true}").await;
    for _ in 0..3 {
        let response = door.get("/").send().await;
        assert_eq!((response.status, response.header("ratelimit")), (200, None));
    }
    let explained = explain(&door.server().snapshot(), &Question::new(Method::GET, "/")).await;
    let notes: Vec<_> = explained.filters.iter().flat_map(|verdict| &verdict.notes).collect();
    assert!(notes.iter().any(|note| note.contains("dry run: it would be refused")), "{notes:?}");
}

#[tokio::test]
async fn a_list_asks_by_address_before_it_is_known_who_asks_and_by_identity_after() {
    let limits = "who: {}, rate_limit: [{per: identity, rate: 1/h}, {per: client_ip, rate: 4/h}]";
    let door = Gateway::start_with(&file(limits), registry()).await;
    let explained = explain(&door.server().snapshot(), &Question::new(Method::GET, "/")).await;
    let kinds: Vec<_> = explained.filters.iter().map(|verdict| verdict.kind).collect();
    assert_eq!(kinds, ["request_id", "rate_limit", "who", "rate_limit"]);
    let response = door.get("/").header("x-user", "a").send().await;
    let told = response.headers.all("ratelimit");
    assert_eq!((response.status, told), (200, vec!["\"identity\";r=0;t=3600", "\"client_ip\";r=3;t=900"]));
    assert_eq!(with(&door, "x-user", "a").await, 429);
    assert_eq!(with(&door, "x-user", "b").await, 200);
    assert_eq!(door.get("/").send().await.status, 200, "all without an identity are one");
    assert_eq!(with(&door, "x-user", "c").await, 429, "the address has spent its own");
}

#[tokio::test]
async fn a_reload_keeps_what_was_spent_also_at_another_rate() {
    let mut door = door("{per: client_ip, rate: 5/h}").await;
    for _ in 0..4 {
        assert_eq!(from(&door, "192.0.2.1").await, 200);
    }
    door.reload(&file("rate_limit: {per: client_ip, rate: 50/h, burst: 6}")).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(from(&door, "192.0.2.1").await);
    }
    assert_eq!(seen, [200, 200, 429]);
    door.reload(&file("rate_limit: {name: other, per: client_ip, rate: 50/h, burst: 6}")).await.unwrap();
    assert_eq!(from(&door, "192.0.2.1").await, 200, "another limit");
}

#[tokio::test]
async fn explain_spends_nothing_and_says_what_would_be() {
    let door = door("{per: client_ip, rate: 1/h}").await;
    let question = Question::new(Method::GET, "/");
    for _ in 0..3 {
        assert_eq!(explain(&door.server().snapshot(), &question).await.status, Some(200));
    }
    assert_eq!(door.get("/").send().await.status, 200);
    let explained = explain(&door.server().snapshot(), &question).await;
    assert_eq!((explained.status, explained.cause), (Some(429), Some("rate_limited")));
}

#[tokio::test]
async fn slips_are_told_where_they_are() {
    for (limit, words) in [
        ("{per: client_ip}", "`rate` is missing"),
        ("{rate: 5/s}", "`per` is missing"),
        ("{per: client, rate: 5/s}", "did you mean `client_ip`?"),
        ("{per: client_ip, rate: 5}", "rate_limit.rate: `5` has no unit of time; write `5/s`"),
        ("{per: client_ip, rate: 5/s, brust: 3}", "did you mean `burst`?"),
        ("{per: client_ip, rate: 5/s, burst: 0}", "from 1 to 1000000"),
        ("{per: client_ip, rate: 1/d, burst: 1000}", "rate_limit.burst: the burst takes more than a year"),
        ("{per: client_ip, rate: 5/s, timeout: 5ms}", "rate_limit.timeout: there is nothing to wait for"),
        ("{per: client_ip, rate: 5/s, shared: \"http://a\"}", "rate_limit.shared: expected the URL of a Redis server"),
        (
            "[{per: route, rate: 5/s}, {per: route, rate: 50/m}]",
            "rate_limit[1].name: there is another limit called `route`",
        ),
        (
            "[{per: route, rate: 5/s, shared: \"redis://a\"}, {per: identity, rate: 5/s, shared: \"redis://b\"}]",
            "rate_limit[1].shared: the limits of one list are asked at once",
        ),
        ("[]", "at least one"),
        ("[{per: client_ip, rate: 5/s, kyes: 1}]", "did you mean `keys`?"),
    ] {
        let said = Gateway::refused(&file(&format!("rate_limit: {limit}"))).await;
        assert!(said.len() == 1 && said[0].contains(words), "{limit}: {said:?}");
    }
}

#[tokio::test]
async fn a_limit_may_say_what_becomes_of_a_failure() {
    let door = door("{per: client_ip, rate: 1/h, on_error: open}").await;
    assert_eq!([from(&door, "192.0.2.1").await, from(&door, "192.0.2.1").await], [200, 429]);
}
