//! When members are checked: time stands still but for what is waited for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::watch::watch;
use super::*;

const INTERVAL: Duration = Duration::from_secs(5);

fn member(name: impl ToString) -> Arc<Server> {
    Arc::new(Server { name: name.to_string(), peers: Vec::new() })
}

fn members(count: usize) -> Vec<Arc<Server>> {
    (0..count).map(member).collect()
}

/// When each check began and how many were under way.
#[derive(Default)]
struct Log {
    began: Mutex<BTreeMap<String, Vec<Duration>>>,
    running: AtomicUsize,
    most: AtomicUsize,
}

struct Running<'a>(&'a Log);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}

impl Log {
    /// A check that takes this long.
    async fn check(&self, start: Instant, member: Arc<Server>, takes: Duration) -> Result<(), String> {
        self.began.lock().entry(member.name.clone()).or_default().push(start.elapsed());
        self.most.fetch_max(self.running.fetch_add(1, Relaxed) + 1, Relaxed);
        let _running = Running(self);
        tokio::time::sleep(takes).await;
        Ok(())
    }

    /// All the times at which a check began.
    fn times(&self) -> Vec<Duration> {
        self.began.lock().values().flatten().copied().collect()
    }
}

/// Watches the members for this long.
async fn watched(interval: Duration, members: Vec<Arc<Server>>, takes: Duration, time: Duration) -> Log {
    let (log, start) = (Log::default(), Instant::now());
    let check = |member| log.check(start, member, takes);
    let watch = watch(interval, check, || Some(members.clone()), |_, _| {});
    assert!(tokio::time::timeout(time, watch).await.is_err(), "it goes on until it is dropped");
    assert_eq!(log.running.load(Relaxed), 0, "what was under way ended with it");
    log
}

#[tokio::test(start_paused = true)]
async fn each_is_checked_at_once_and_then_every_interval_give_or_take_15_percent() {
    let log = watched(INTERVAL, members(10), Duration::from_millis(20), INTERVAL * 100).await;
    let mut gaps = Vec::new();
    for times in log.began.lock().values() {
        assert!(times[0] < Duration::from_millis(5), "{:?}", times[0]);
        assert!((90..=110).contains(&times.len()), "{}", times.len());
        gaps.extend(times.windows(2).map(|pair| pair[1] - pair[0]));
    }
    let (least, most) = (INTERVAL.mul_f64(0.85), INTERVAL.mul_f64(1.15) + Duration::from_millis(5));
    assert!(gaps.iter().all(|gap| (least..=most).contains(gap)));
    let (shortest, longest) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
    assert!(*shortest < INTERVAL.mul_f64(0.9) && *longest > INTERVAL.mul_f64(1.1), "{shortest:?} {longest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_big_set_is_spread_over_the_first_interval() {
    let log = watched(INTERVAL, members(1000), Duration::from_millis(20), INTERVAL).await;
    let began = log.began.lock();
    assert_eq!(began.len(), 1000);
    for second in 0..5 {
        let begun = began.values().filter(|times| times[0].as_secs() == second).count();
        assert!((190..=210).contains(&begun), "{begun} in second {second}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_big_set_is_spread_over_a_second_at_least() {
    let interval = Duration::from_millis(100);
    let log = watched(interval, members(100), Duration::from_millis(5), Duration::from_millis(500)).await;
    let begun = log.began.lock().len();
    assert!((45..=55).contains(&begun), "{begun}");
}

#[tokio::test(start_paused = true)]
async fn at_most_32_are_checked_at_the_same_time_and_nobody_is_left_out() {
    let log = watched(INTERVAL, members(500), Duration::from_secs(4), Duration::from_secs(130)).await;
    assert_eq!(log.most.load(Relaxed), 32);
    let began = log.began.lock();
    assert_eq!(began.len(), 500);
    let fewest = began.values().map(Vec::len).min();
    assert_eq!(fewest, Some(2), "16 at a time, so each had its turn before another had its third");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_takes_long_never_overlaps_with_the_next() {
    let log = watched(INTERVAL, members(1), INTERVAL.mul_f64(0.99), INTERVAL * 50).await;
    assert_eq!(log.most.load(Relaxed), 1);
    assert!(log.times().len() >= 45);
}

#[tokio::test(start_paused = true)]
async fn who_stays_keeps_its_turn_who_comes_is_checked_soon_and_who_goes_is_forgotten() {
    let start = Instant::now();
    let interval = Duration::from_secs(100);
    let (log, reported) = (Log::default(), Mutex::new(Vec::new()));
    let members = || {
        let mut members = vec![member("stays")];
        match start.elapsed().as_secs() {
            ..20 => members.push(member("goes")),
            20.. => members.extend([member("comes"), member("comes")]),
        }
        Some(members)
    };
    let check = |member: Arc<Server>| {
        // The one that goes is still being checked when it is gone.
        let takes = if member.name == "goes" { 30 } else { 0 };
        log.check(start, member, Duration::from_secs(takes))
    };
    let report = |name: &str, result| reported.lock().push((name.to_owned(), result));
    let watch = watch(interval, check, members, report);
    assert!(tokio::time::timeout(Duration::from_secs(84), watch).await.is_err());
    let began = log.began.lock();
    assert_eq!(began["stays"].len(), 1);
    assert_eq!(began["comes"].len(), 1);
    assert!((20..22).contains(&began["comes"][0].as_secs()), "{:?}", began["comes"]);
    assert_eq!(*reported.lock(), [("stays".to_owned(), Ok(())), ("comes".to_owned(), Ok(()))]);
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_there_is_nobody_left_to_watch_for() {
    let upstream = Mutex::new(Some(members(3)));
    let check = |_| async {
        upstream.lock().take();
        Ok(())
    };
    watch(INTERVAL, check, || upstream.lock().clone(), |_, _| {}).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_one_check() {
    let reported = Mutex::new(BTreeMap::<String, Vec<Result<(), String>>>::new());
    let check = |member: Arc<Server>| async move {
        assert_ne!(member.name, "0", "this one is meant to panic");
        Ok(())
    };
    let report = |name: &str, result| reported.lock().entry(name.to_owned()).or_default().push(result);
    let watch = watch(INTERVAL, check, || Some(members(2)), report);
    assert!(tokio::time::timeout(INTERVAL * 3, watch).await.is_err());
    let reported = reported.lock();
    assert!(reported["0"].len() >= 2 && reported["0"].iter().all(Result::is_err));
    assert!(reported["1"].iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_checker_reports_what_it_finds_by_name() {
    let (alive, _said) = server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Then::Close).await;
    let (alive, dead) = (Arc::new(alive), Arc::new(nobody().await));
    let (found, mut reports) = mpsc::unbounded_channel();
    let set = vec![alive.clone(), dead.clone()];
    let watch = checker(json!({"path": "/"}))
        .watch(move || Some(set.clone()), move |name, result| drop(found.send((name.to_owned(), result))));
    let task = tokio::spawn(watch);
    let mut results = BTreeMap::new();
    while results.len() < 2 {
        results.extend(reports.recv().await);
    }
    assert_eq!(results[&alive.name], Ok(()));
    assert_eq!(results[&dead.name], failed("refused"));
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
}
