//! An upstream as a whole, in virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::config::{Balance, Count, HashKey, Limit as Span, Limits, Percent, Period, Share};

/// An upstream and the time in it.
struct World {
    upstream: Arc<Upstream>,
    now: Instant,
}

const OFF: Share = Share::Off;

/// In the clear, by HTTP/1.1.
fn plain() -> Transport {
    Transport::load(&config::Upstream::of(Vec::new()), std::time::SystemTime::now()).unwrap().0
}

/// Endpoints by port: `9101`, `9102:3` with a weight, `9103b` for a backup.
fn settings(endpoints: &[&str]) -> config::Upstream {
    let endpoint = |text: &&str| {
        let (text, backup) = text.strip_suffix('b').map_or((*text, false), |text| (text, true));
        let (port, weight) = text.split_once(':').unwrap_or((text, "1"));
        let address = format!("127.0.0.1:{port}").parse().unwrap();
        config::Endpoint { weight: config::Weight(weight.parse().unwrap()), backup, ..config::Endpoint::of(address) }
    };
    config::Upstream::of(endpoints.iter().map(endpoint).collect())
}

fn many(count: u16) -> config::Upstream {
    let address = |index| config::Endpoint::of(format!("127.0.0.1:{}", 10_000 + index).parse().unwrap());
    config::Upstream::of((0..count).map(address).collect())
}

fn ejecting() -> Option<config::Ejection> {
    Some(config::Ejection { consecutive_failures: Count(2), ..Default::default() })
}

impl World {
    fn new(settings: config::Upstream) -> Self {
        let now = Instant::now();
        fastrand::seed(4);
        Self { upstream: Arc::new(Upstream::made("users", &settings, plain(), None, None, now).unwrap()), now }
    }

    fn reload(&mut self, settings: config::Upstream) {
        let next = Upstream::made("users", &settings, plain(), None, Some(&self.upstream), self.now).unwrap();
        self.upstream = Arc::new(next);
    }

    fn wait(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
    }

    fn pick(&self) -> Result<Picked, NoPick> {
        self.upstream.pick(&Ask::at(self.now))
    }

    fn by_key(&self, key: u64) -> u16 {
        let ask = Ask { key: Some(hash_key(&key.to_le_bytes())), ..Ask::at(self.now) };
        port(self.upstream.pick(&ask).unwrap().endpoint())
    }

    /// Who gets so many requests, each of which ends at once.
    fn shares(&self, requests: usize) -> BTreeMap<u16, usize> {
        let mut shares = BTreeMap::new();
        for _ in 0..requests {
            let mut picked = self.pick().unwrap();
            *shares.entry(port(picked.endpoint())).or_default() += 1;
            picked.report(Outcome::Succeeded, self.now);
        }
        shares
    }

    fn ports(&self) -> Vec<u16> {
        self.shares(100).into_keys().collect()
    }

    /// The endpoint fails until it is ejected, if it may be.
    fn fail(&self, bad: u16) {
        for _ in 0..40 {
            let Ok(mut picked) = self.pick() else { return };
            let outcome = if port(picked.endpoint()) == bad { Outcome::Failed } else { Outcome::Succeeded };
            picked.report(outcome, self.now);
        }
    }

    fn check(&self, port: u16, passed: bool) {
        for _ in 0..3 {
            let passed = if passed { Ok(()) } else { Err("refused".to_owned()) };
            self.upstream.checked(&format!("127.0.0.1:{port}"), passed, self.now);
        }
    }

    fn ejected(&self) -> usize {
        self.upstream.status(self.now).endpoints.iter().filter(|endpoint| endpoint.ejected_ms.is_some()).count()
    }

    fn in_flight(&self) -> u32 {
        self.upstream.status(self.now).endpoints.iter().map(|endpoint| endpoint.in_flight).sum()
    }
}

fn port(endpoint: &Endpoint) -> u16 {
    endpoint.name().rsplit(':').next().unwrap().parse().unwrap()
}

#[test]
fn turns_follow_the_weights_and_an_unhealthy_one_has_none() {
    let world = World::new(settings(&["9101", "9102:2", "9103:0"]));
    assert_eq!(world.shares(300), [(9101, 100), (9102, 200)].into());
    world.check(9102, false);
    assert_eq!(world.ports(), [9101]);
    world.check(9102, true);
    assert_eq!(world.shares(300), [(9101, 100), (9102, 200)].into());
}

#[test]
fn peeking_takes_neither_a_turn_nor_room() {
    let mut two = settings(&["9101", "9102"]);
    two.limits.requests = Some(Count(1));
    let world = World::new(two);
    let seen = world.upstream.peek(&Ask::at(world.now)).unwrap();
    assert_eq!(seen.name(), world.upstream.peek(&Ask::at(world.now)).unwrap().name());
    let picked = world.pick().unwrap();
    assert_eq!(picked.endpoint().name(), seen.name());
    assert_eq!(world.upstream.peek(&Ask::at(world.now)).unwrap_err(), NoPick::Limit(Limit::Requests));
}

#[test]
fn backups_are_used_only_when_no_primary_can_be() {
    let world = World::new(settings(&["9101", "9102", "9103b"]));
    assert_eq!(world.ports(), [9101, 9102]);
    world.check(9101, false);
    assert_eq!(world.ports(), [9102], "half of them is not below the half");
    world.check(9102, false);
    assert_eq!((world.ports(), world.upstream.using()), (vec![9103], Using::Backups));
    world.check(9101, true);
    assert_eq!((world.ports(), world.upstream.using()), (vec![9101], Using::Primaries));
    assert_eq!(World::new(settings(&["9101b", "9102b"])).ports(), [9101, 9102], "they stand by for nobody");
}

#[test]
fn when_too_few_can_be_used_all_are() {
    let world = World::new(settings(&["9101", "9102", "9103"]));
    [9101, 9102].iter().for_each(|&port| world.check(port, false));
    assert_eq!((world.ports(), world.upstream.using()), (vec![9101, 9102, 9103], Using::Everyone));
    world.check(9101, true);
    assert_eq!((world.ports(), world.upstream.using()), (vec![9101, 9103], Using::Primaries));
    let calm = World::new(config::Upstream { panic: OFF, ..settings(&["9101", "9102", "9103"]) });
    [9101, 9102].iter().for_each(|&port| calm.check(port, false));
    assert_eq!(calm.ports(), [9103]);
    calm.check(9103, false);
    assert_eq!(calm.pick().unwrap_err(), NoPick::NoEndpoint);
    assert_eq!(calm.upstream.using(), Using::Nobody);
}

#[test]
fn a_retry_goes_to_another_endpoint_while_there_is_one() {
    let world = World::new(settings(&["9101", "9102", "9103b"]));
    let mut tried = Vec::new();
    for _ in 0..3 {
        let picked = world.upstream.pick(&Ask { tried: &tried, ..Ask::at(world.now) }).unwrap();
        tried.push(picked.endpoint().clone());
    }
    let mut ports: Vec<u16> = tried.iter().map(|endpoint| port(endpoint)).collect();
    assert_eq!(ports.pop(), Some(9103), "the backup comes last");
    ports.sort_unstable();
    assert_eq!(ports, [9101, 9102]);
    let again = world.upstream.pick(&Ask { tried: &tried, ..Ask::at(world.now) }).unwrap();
    assert_ne!(port(again.endpoint()), 9103, "all have failed it, so that a primary is as good as any");
}

#[test]
fn one_that_fails_again_and_again_is_ejected_and_comes_back() {
    let mut world = World::new(config::Upstream { ejection: ejecting(), ..settings(&["9101", "9102", "9103"]) });
    world.fail(9101);
    assert_eq!(world.ports(), [9102, 9103]);
    world.fail(9102);
    assert_eq!((world.ejected(), world.ports()), (1, vec![9102, 9103]), "half of three is one");
    world.wait(29.9);
    assert_eq!(world.ports(), [9102, 9103]);
    world.wait(0.2);
    assert_eq!(world.ports(), [9101, 9102, 9103]);
    world.fail(9101);
    world.wait(31.0);
    assert_eq!(world.ports(), [9102, 9103], "the second time is twice as long");
    world.wait(30.0);
    assert_eq!(world.ports(), [9101, 9102, 9103]);
}

#[test]
fn the_only_one_is_never_ejected() {
    let world = World::new(config::Upstream { ejection: ejecting(), ..settings(&["9101"]) });
    world.fail(9101);
    assert_eq!((world.ejected(), world.ports()), (0, vec![9101]));
}

#[test]
fn a_success_between_failures_and_a_client_that_leaves_eject_nobody() {
    let world = World::new(config::Upstream { ejection: ejecting(), ..settings(&["9101", "9102"]) });
    for outcome in [Outcome::Failed, Outcome::Succeeded].iter().cycle().take(80) {
        for _ in 0..2 {
            world.pick().unwrap().report(*outcome, world.now);
        }
    }
    (0..80).for_each(|_| world.pick().unwrap().report(Outcome::Abandoned, world.now));
    (0..80).for_each(|_| drop(world.pick().unwrap()));
    assert_eq!(world.ejected(), 0);
}

#[test]
fn what_comes_back_gets_its_share_little_by_little() {
    let slow = Span::After(Duration::from_secs(10));
    let mut world = World::new(config::Upstream { slow_start: slow, ..settings(&["9101", "9102"]) });
    assert_eq!(world.shares(1000), [(9101, 500), (9102, 500)].into(), "at the start nobody comes back");
    world.check(9101, false);
    world.check(9101, true);
    let mut share = |seconds: f64| {
        world.wait(seconds);
        world.shares(10_000).get(&9101).copied().unwrap_or_default()
    };
    // Of 100 turns for each, the one refuses part of its own: 10 to 100.
    let (first, half, nearly, whole) = (share(0.0), share(5.0), share(4.5), share(1.0));
    assert!((700..1_100).contains(&first), "{first}");
    assert!((3_000..3_700).contains(&half), "{half}");
    assert!((4_700..5_000).contains(&nearly), "{nearly}");
    assert_eq!(whole, 5_000);
}

#[test]
fn the_same_key_has_the_same_endpoint_and_comes_back_to_it() {
    let hashed = config::Upstream { balance: Balance::Hash(HashKey::ClientIp), panic: OFF, ..many(10) };
    let world = World::new(hashed);
    let owners = || (0..2_000).map(|key| world.by_key(key)).collect::<Vec<_>>();
    let before = owners();
    assert_eq!(before, owners());
    world.check(10_003, false);
    let during = owners();
    let mut heirs = BTreeMap::new();
    for (&before, &during) in before.iter().zip(&during) {
        if before == 10_003 {
            *heirs.entry(during).or_insert(0) += 1;
        } else {
            assert_eq!(before, during, "nobody else's key moves");
        }
    }
    assert!(heirs.len() == 9 && heirs.values().all(|&keys| keys < 60), "{heirs:?}");
    world.check(10_003, true);
    assert_eq!(before, owners());
    assert!(world.pick().is_ok(), "without a key it goes by turns");
}

#[test]
fn keys_of_one_that_starts_slowly_come_home_one_by_one_and_stay() {
    let slow = Span::After(Duration::from_secs(10));
    let hashed = config::Upstream { balance: Balance::Hash(HashKey::ClientIp), slow_start: slow, ..many(4) };
    let mut world = World::new(hashed);
    let home: Vec<u64> = (0..2_000).filter(|&key| world.by_key(key) == 10_001).collect();
    world.check(10_001, false);
    world.check(10_001, true);
    let mut back: Vec<u64> = Vec::new();
    for _ in 0..10 {
        world.wait(1.0);
        let now: Vec<u64> = home.iter().copied().filter(|&key| world.by_key(key) == 10_001).collect();
        assert!(back.iter().all(|key| now.contains(key)) && now.len() >= back.len());
        back = now;
    }
    assert_eq!(back, home);
}

#[test]
fn least_requests_looks_at_two_different_ones() {
    let least = config::Upstream { balance: Balance::LeastRequests, ..settings(&["9101:1000", "9102"]) };
    let world = World::new(least);
    // With 1,000 in flight for its weight of 1,000 the heavy one has as much to do as the light one with one.
    let held: Vec<Picked> = (0..1_001).map(|_| world.pick().unwrap()).collect();
    let light = held.iter().filter(|picked| port(picked.endpoint()) == 9102).count();
    assert_eq!(light, 1);
}

#[test]
fn a_full_endpoint_is_passed_over_and_full_ones_are_told() {
    let mut three = settings(&["9101", "9102", "9103b"]);
    three.limits = Limits { connections: Some(Count(1)), requests: None };
    let world = World::new(three);
    let held: Vec<Picked> = (0..3).map(|_| world.pick().unwrap()).collect();
    assert_eq!(port(held[2].endpoint()), 9103, "no primary can take it");
    assert_eq!(world.pick().unwrap_err(), NoPick::Limit(Limit::Connections));
    drop(held);
    assert!(world.pick().is_ok());
    assert_eq!(world.in_flight(), 0);
}

#[test]
fn too_many_failures_open_the_breaker_and_one_success_closes_it() {
    let breaker = Some(config::Breaker { minimum_requests: Count(4), ..Default::default() });
    let mut world = World::new(config::Upstream { breaker, ..settings(&["9101", "9102"]) });
    (0..4).for_each(|_| world.pick().unwrap().report(Outcome::Failed, world.now));
    assert_eq!(world.pick().unwrap_err(), NoPick::BreakerOpen(Duration::from_secs(5)));
    assert_eq!(world.upstream.status(world.now).breaker_open_ms, Some(5_000));
    world.reload(world.upstream.settings().clone());
    world.wait(5.0);
    let mut probe = world.pick().unwrap();
    assert_eq!(world.pick().unwrap_err(), NoPick::BreakerOpen(Duration::ZERO));
    probe.answers(world.now);
    assert!(world.pick().is_ok(), "the head is enough, the body may take hours");
    probe.report(Outcome::Succeeded, world.now);
    assert_eq!(world.in_flight(), 1);
    drop(probe);
    assert_eq!(world.in_flight(), 0);
}

#[test]
fn a_reload_forgets_nothing_of_those_that_stay() {
    let before = config::Upstream { ejection: ejecting(), ..settings(&["9101", "9102", "9103"]) };
    let mut world = World::new(before.clone());
    world.fail(9101);
    world.check(9102, false);
    let held = world.pick().unwrap();
    let after = config::Upstream { endpoints: settings(&["9102", "9101", "9103", "9104"]).endpoints, ..before.clone() };
    world.reload(after);
    assert_eq!((world.ejected(), world.ports(), world.in_flight()), (1, vec![9103, 9104], 1));
    drop(held);
    assert_eq!(world.in_flight(), 0);
    world.reload(config::Upstream { ejection: None, ..before });
    assert_eq!(world.ports(), [9101, 9103], "nobody is ejected where nothing ejects");
}

#[test]
fn what_was_ejected_by_requests_from_before_a_reload_is_ejected_after_it() {
    let ejection = config::Upstream { ejection: ejecting(), ..settings(&["9101", "9102"]) };
    let mut world = World::new(ejection.clone());
    let old: Vec<Picked> = (0..4).map(|_| world.pick().unwrap()).collect();
    world.reload(ejection);
    for mut picked in old {
        let outcome = if port(picked.endpoint()) == 9101 { Outcome::Failed } else { Outcome::Succeeded };
        picked.report(outcome, world.now);
    }
    world.fail(9101);
    assert_eq!(world.ports(), [9102]);
}

#[test]
fn discovery_keeps_what_is_known_of_those_that_it_finds_again() {
    let world = World::new(settings(&["9101", "9102", "9103"]));
    world.check(9102, false);
    let replace = |ports: &[&str]| world.upstream.replace(&settings(ports).endpoints, world.now);
    replace(&["9102", "9103", "9103", "9104"]).unwrap();
    assert_eq!(world.ports(), [9103, 9104]);
    assert!(replace(&["9101:1001"]).unwrap_err().contains("1001 is too large"));
    assert_eq!(world.ports(), [9103, 9104], "they stay as they are");
    replace(&[]).unwrap();
    assert_eq!(world.pick().unwrap_err(), NoPick::NoEndpoint);
}

#[test]
fn an_endpoint_that_stands_there_twice_is_refused() {
    let problems = Upstream::new("users", &settings(&["9101", "9102", "9101:2"]), plain(), None, None).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].at == ["endpoints", "2"] && problems[0].message.contains("stands here twice"), "{problems:?}");
}

/// Checked as `json` says beside `tcp: true`.
fn checked(json: &str, endpoints: &[&str]) -> config::Upstream {
    let health = serde_json::from_str(&format!("{{\"tcp\": true, {json}}}")).unwrap();
    config::Upstream { health: Some(health), ..settings(endpoints) }
}

#[test]
fn the_file_says_how_many_checks_change_anything() {
    let world = World::new(checked("\"unhealthy_after\": 2, \"healthy_after\": 3", &["9101", "9102"]));
    let check = |passed: Result<(), String>| {
        world.upstream.checked("127.0.0.1:9101", passed, world.now);
        world.ports().len()
    };
    let fail = || Err("refused".to_owned());
    assert_eq!([check(fail()), check(fail()), check(Ok(())), check(Ok(())), check(Ok(()))], [2, 1, 1, 1, 2]);
}

#[test]
fn other_checks_begin_with_a_clean_sheet_and_the_same_do_not() {
    let settings = |interval: &str| config::Upstream {
        host: interval.parse().unwrap(),
        ..checked(&format!("\"interval\": \"{interval}\""), &["9101", "9102"])
    };
    let mut world = World::new(settings("5s"));
    world.check(9101, false);
    world.reload(config::Upstream { slow_start: Span::Off, ..settings("5s") });
    assert_eq!(world.ports(), [9102]);
    world.reload(settings("6s"));
    assert_eq!(world.ports(), [9101, 9102]);
}

#[test]
fn what_the_checks_before_a_reload_find_while_it_is_made_is_not_lost() {
    let mut world = World::new(checked("\"unhealthy_after\": 1", &["9101", "9102"]));
    let before = world.upstream.clone();
    world.reload(world.upstream.settings().clone());
    before.checked("127.0.0.1:9101", Err("refused".to_owned()), world.now);
    assert_eq!(world.ports(), [9101, 9102], "until the next check");
    world.upstream.checked("127.0.0.1:9101", Err("refused".to_owned()), world.now);
    assert_eq!(world.ports(), [9102]);
}

/// The latencies of 20,000 requests to four servers that do one thing at a time, of which one takes ten times as long.
fn latencies(balance: Balance) -> Vec<Duration> {
    let mut world = World::new(config::Upstream { balance, ..settings(&["9101", "9102", "9103", "9104"]) });
    let mut free_at: BTreeMap<u16, Instant> = BTreeMap::new();
    let mut under_way: Vec<(Instant, Picked)> = Vec::new();
    let mut latencies = Vec::new();
    for _ in 0..20_000 {
        // On average a request each 28 ms, so that a quarter of them keeps the slow one busy for nine tenths of the
        // time.
        world.wait(-0.028 * (1.0 - fastrand::f64()).ln());
        let now = world.now;
        under_way.retain_mut(|(end, picked)| {
            if *end <= now {
                picked.report(Outcome::Succeeded, now);
            }
            *end > now
        });
        let picked = world.pick().unwrap();
        let port = port(picked.endpoint());
        let work = Duration::from_millis(if port == 9104 { 100 } else { 10 });
        let free = free_at.entry(port).or_insert(now);
        *free = (*free).max(now) + work;
        latencies.push(*free - now);
        under_way.push((*free, picked));
    }
    latencies.sort_unstable();
    latencies
}

#[test]
fn with_one_slow_of_four_least_requests_has_the_better_p99() {
    let p99 = |balance| latencies(balance)[19_800];
    let (turns, least) = (p99(Balance::RoundRobin), p99(Balance::LeastRequests));
    assert!(least * 2 < turns, "round robin {turns:?}, least requests {least:?}");
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u16),
    Pick,
    End(usize, u8),
    Check(u16, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..20_000_u16).prop_map(Step::Wait),
        Just(Step::Pick),
        Just(Step::Pick),
        (0..16_usize, 0..4_u8).prop_map(|(which, outcome)| Step::End(which, outcome)),
        (0..16_usize, 0..4_u8).prop_map(|(which, outcome)| Step::End(which, outcome)),
        (0..6_u16, any::<bool>()).prop_map(|(which, passed)| Step::Check(which, passed)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn never_more_than_max_are_ejected_and_every_request_is_accounted_for(
        count in 1..6_u16, max in 0..=100_u8, steps in proptest::collection::vec(step(), 0..300),
    ) {
        let ejection = config::Ejection {
            consecutive_failures: Count(2), time: Period(Duration::from_secs(10)), max_ejected: Percent::whole(max),
        };
        let slow_start = Span::After(Duration::from_secs(5));
        let mut world = World::new(config::Upstream { ejection: Some(ejection), slow_start, ..many(count) });
        let mut under_way: Vec<Picked> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(millis) => world.wait(f64::from(millis) / 1000.0),
                Step::Pick => under_way.push(world.pick().unwrap()),
                Step::End(which, outcome) if which < under_way.len() => {
                    let outcomes = [Outcome::Failed, Outcome::Failed, Outcome::Succeeded, Outcome::Abandoned];
                    under_way.swap_remove(which).report(outcomes[usize::from(outcome)], world.now);
                }
                Step::End(..) => {}
                Step::Check(which, passed) => world.check(10_000 + which, passed),
            }
            prop_assert!(world.ejected() <= Percent::whole(max).of(count.into()));
            prop_assert_eq!(world.in_flight() as usize, under_way.len());
        }
    }
}

#[test]
fn after_a_storm_from_four_threads_everything_is_given_back() {
    let mut stormy = config::Upstream { ejection: ejecting(), balance: Balance::LeastRequests, ..many(8) };
    stormy.limits = Limits { connections: Some(Count(2)), requests: Some(Count(6)) };
    stormy.breaker = Some(config::Breaker { minimum_requests: Count(50), ..Default::default() });
    stormy.slow_start = Span::After(Duration::from_secs(1));
    let world = World::new(stormy);
    let storm = |seed: u64| {
        let mut random = fastrand::Rng::with_seed(seed);
        for step in 0..20_000_u64 {
            let now = world.now + Duration::from_millis(step);
            let Ok(mut picked) = world.upstream.pick(&Ask::at(now)) else { continue };
            match random.u8(..10) {
                0..3 => picked.report(Outcome::Failed, now),
                3 => drop(picked),
                _ => picked.report(Outcome::Succeeded, now),
            }
            if step % 100 == 0 {
                let name = format!("127.0.0.1:{}", 10_000 + random.u16(..8));
                let passed = if random.bool() { Ok(()) } else { Err("refused".to_owned()) };
                world.upstream.checked(&name, passed, now);
            }
            assert!(world.upstream.in_flight.count() <= 6);
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|seed| drop(scope.spawn(move || storm(seed)))));
    assert_eq!((world.in_flight(), world.upstream.in_flight.count()), (0, 0));
    assert!(world.ejected() <= 4);
}
