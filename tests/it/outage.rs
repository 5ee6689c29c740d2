//! Endpoints that are killed, hang, or answer 500, under a steady 200 requests a second: what clients see of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::support::*;

const EVERY: Duration = Duration::from_millis(5);

/// How long a failure may go unnoticed.
const GRACE: Duration = Duration::from_secs(2);

async fn door_to(endpoints: &[&Address]) -> Gateway {
    let endpoints: Vec<String> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
    Gateway::start(&format!(
        "defaults: {{retry: {{attempts: 3, on: [connect, reset, 500], per_try: 250ms}}, timeout: 2s}}\n\
         upstreams:\n  api:\n    endpoints: [{}]\n    slow_start: 3s\n    panic: off\n    \
         ejection: {{consecutive_failures: 5, for: 1s, max_ejected: 100%}}\n    \
         timeouts: {{connect: 250ms}}\n\
         routes: {{all: {{path: /, to: api}}}}",
        endpoints.join(", ")
    ))
    .await
}

fn good() -> Upstream {
    Upstream::new().on("*", reply(200).body("good"))
}

/// 500 every other time.
fn every_other_time() -> Script {
    let turn = AtomicUsize::new(0);
    Script::made(move |_| reply(if turn.fetch_add(1, Relaxed).is_multiple_of(2) { 500 } else { 200 }))
}

/// What a run of requests came to.
#[derive(Debug, Default)]
struct Seen {
    requests: usize,
    failed: usize,
    /// Of those that began after the grace.
    late: usize,
    late_failed: usize,
}

/// Asks 200 times a second, whether there are answers or not, as long as `lasting` runs.
async fn load(door: &Gateway, lasting: Duration) -> Seen {
    let client = Arc::new(door.client().clone());
    let mut under_way = JoinSet::new();
    let mut ticks = tokio::time::interval(EVERY);
    let began = Instant::now();
    while began.elapsed() < lasting {
        ticks.tick().await;
        let client = client.clone();
        let is_late = began.elapsed() > GRACE;
        under_way.spawn(async move { (is_late, client.get("/").try_send().await.map(|response| response.status)) });
    }
    let mut seen = Seen::default();
    while let Some(Ok((is_late, status))) = under_way.join_next().await {
        let failed = !matches!(status, Ok(200));
        seen.requests += 1;
        seen.failed += usize::from(failed);
        seen.late += usize::from(is_late);
        seen.late_failed += usize::from(is_late && failed);
    }
    seen
}

fn is_hardly_noticed(seen: &Seen, what: &str) {
    println!("{what}: {seen:?}");
    assert!(seen.late > 100, "{what}: {seen:?}");
    assert!(seen.late_failed * 200 <= seen.late, "{what}: more than 0.5 % failed: {seen:?}");
}

/// The sum of the tries beyond the first, by the access log.
async fn retries(door: &Gateway, requests: usize) -> u64 {
    door.log(requests).await.iter().filter_map(|line| line["tries"].as_u64()).map(|tries| tries.saturating_sub(1)).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_three_endpoints_may_fail_in_its_own_way_and_clients_hardly_notice() {
    let (killed, hangs, half) = (good().start().await, good().start().await, good().start().await);
    let door = door_to(&[killed.address(), hangs.address(), half.address()]).await;
    let length = Duration::from_millis(3500);
    let mut requests = 0;

    let at = killed.address().clone();
    drop(killed);
    let seen = load(&door, length).await;
    requests += seen.requests;
    is_hardly_noticed(&seen, "one is killed");

    // It comes back: little at first, then its third.
    let back = good().start_at(&at).await;
    let mut shares = Vec::new();
    for span in [1200, 4000, 1000] {
        let before = back.requests().len();
        let seen = load(&door, Duration::from_millis(span)).await;
        requests += seen.requests;
        shares.push((back.requests().len() - before) as f64 / seen.requests as f64);
    }
    println!("it returns: {shares:?}");
    assert!(shares[0] < shares[2] * 0.7, "slowly first: {shares:?}");
    assert!((0.25..0.42).contains(&shares[2]), "its whole share in the end: {shares:?}");

    hangs.change("*", silence());
    let seen = load(&door, length).await;
    requests += seen.requests;
    is_hardly_noticed(&seen, "one hangs");
    hangs.change("*", reply(200).body("good"));

    half.change("*", every_other_time());
    let seen = load(&door, length).await;
    requests += seen.requests;
    is_hardly_noticed(&seen, "one answers 500 half of the time");

    let retries = retries(&door, requests).await;
    println!("{retries} retries of {requests} requests");
    assert!(retries <= requests as u64 / 5 + 10, "{retries} retries of {requests} requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_of_six_may_fail_at_once_each_in_its_own_way() {
    let (a, b, c) = (good().start().await, good().start().await, good().start().await);
    let killed = Port::refusing();
    let hangs = Upstream::new().on("*", silence()).start().await;
    let half = Upstream::new().on("*", every_other_time()).start().await;
    let door =
        door_to(&[a.address(), killed.address(), b.address(), hangs.address(), c.address(), half.address()]).await;
    let seen = load(&door, Duration::from_millis(4000)).await;
    is_hardly_noticed(&seen, "one is killed, one hangs, one answers 500 half of the time");
    let retries = retries(&door, seen.requests).await;
    println!("{retries} retries of {} requests", seen.requests);
    assert!(retries <= seen.requests as u64 / 5 + 10, "{retries} retries of {} requests", seen.requests);
}
