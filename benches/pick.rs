//! What it costs to give a request to an endpoint and to take in how it ended, with 3 and with 1,000 endpoints; and
//! what a change of one costs.
//!
//! `cargo bench --bench pick`

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use onedoor::config::{self, Balance, Breaker, Count, Ejection, HashKey, Limits, Weight};
use onedoor::upstream::{Ask, Outcome, Transport, Upstream, hash_key};

fn upstream(count: usize, settings: impl FnOnce(&mut config::Upstream)) -> Arc<Upstream> {
    let address = |index: usize| format!("10.0.{}.{}:80", index / 250, index % 250 + 1).parse().expect("an address");
    let endpoints = (0..count).map(|index| config::Endpoint {
        // Of several weights, as no two machines are bought at once.
        weight: Weight([1, 2, 4][index % 3]),
        ..config::Endpoint::of(address(index))
    });
    let mut part = config::Upstream::of(endpoints.collect());
    settings(&mut part);
    let (transport, _) = Transport::load(&part, SystemTime::now()).expect("no TLS");
    Arc::new(Upstream::new("bench", &part, transport, None, None).expect("an upstream"))
}

fn pick(criterion: &mut Criterion) {
    let balances = [
        ("round_robin", Balance::RoundRobin),
        ("least_requests", Balance::LeastRequests),
        ("hash", Balance::Hash(HashKey::ClientIp)),
    ];
    for (name, balance) in &balances {
        for count in [3, 1_000] {
            let plain = upstream(count, |part| part.balance = balance.clone());
            measure(criterion, &format!("{name} of {count}"), &plain);
        }
        let full = upstream(1_000, |part| {
            part.balance = balance.clone();
            part.ejection = Some(Ejection::default());
            part.breaker = Some(Breaker::default());
            part.limits = Limits { connections: Some(Count(1_024)), requests: Some(Count(1_024)) };
        });
        measure(criterion, &format!("{name} of 1000 with ejection, breaker and limits"), &full);
    }
}

/// Picks and reports with another key each time, and a hundred requests under way all along.
fn measure(criterion: &mut Criterion, name: &str, upstream: &Arc<Upstream>) {
    let now = Instant::now();
    let _held: Vec<_> = (0..100).map(|_| upstream.pick(&Ask::at(now)).expect("an endpoint")).collect();
    let mut key = 0_u64;
    criterion.bench_function(name, |b| {
        b.iter(|| {
            key = hash_key(&key.to_le_bytes());
            let mut picked = upstream.pick(black_box(&Ask { now, key: Some(key), tried: &[] })).expect("an endpoint");
            picked.report(Outcome::Succeeded, now);
        });
    });
}

/// What it costs to find out anew who is used, which the request pays that ejects an endpoint: two changes each time.
fn change(criterion: &mut Criterion) {
    for count in [3, 1_000] {
        let upstream = upstream(count, |_| {});
        let name = upstream.endpoints()[0].name().to_owned();
        let now = Instant::now();
        criterion.bench_function(&format!("unhealthy and back, one of {count}"), |b| {
            b.iter(|| {
                (0..3).for_each(|_| upstream.checked(&name, Err(String::new()), now));
                (0..2).for_each(|_| upstream.checked(&name, Ok(()), now));
            });
        });
    }
}

criterion_group!(benches, pick, change);
criterion_main!(benches);
