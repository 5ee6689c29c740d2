use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::time::Instant;

use super::*;

pub(super) fn socket(address: &str) -> Endpoint {
    Endpoint::of(address.parse().expect(address))
}

fn discovery() -> Discovery {
    let settings = config::Discover::Dns { host: "users".into(), port: 80, asking: config::Asking::default() };
    Discovery::new("users", &settings, None).expect("nothing is looked up yet")
}

/// Says what it was told to say, and notes when it was asked. With nothing more to say it never answers.
struct Script<'a> {
    answers: VecDeque<Result<(&'a [&'a str], u64), &'a str>>,
    asked: &'a Mutex<Vec<Instant>>,
    done: &'a tokio::sync::Notify,
}

impl Source for Script<'_> {
    async fn ask(&mut self) -> Result<Answer, String> {
        self.asked.lock().unwrap().push(Instant::now());
        match self.answers.pop_front() {
            Some(Ok((found, ttl))) => {
                Ok(Answer { found: found.iter().copied().map(socket).collect(), holds: Duration::from_secs(ttl) })
            }
            Some(Err(why)) => Err(why.to_owned()),
            None => {
                self.done.notify_one();
                std::future::pending().await
            }
        }
    }
}

type Answers<'a> = &'a [Result<(&'a [&'a str], u64), &'a str>];

/// Plays the answers to the end: what was published, and the seconds from one question to the next.
async fn played(discovery: &Discovery, every: Option<u64>, answers: Answers<'_>) -> (Vec<Vec<Endpoint>>, Vec<f64>) {
    let (asked, published) = (Mutex::default(), Mutex::new(Vec::new()));
    let done = tokio::sync::Notify::new();
    let script = Script { answers: answers.iter().cloned().collect(), asked: &asked, done: &done };
    let publish = |found: &[Endpoint]| {
        published.lock().unwrap().push(found.to_vec());
        Ok(())
    };
    tokio::select! {
        () = discovery.turns(script, Pace::new(every.map(Duration::from_secs)), publish) => {}
        () = done.notified() => {}
    }
    let asked = asked.into_inner().unwrap();
    let gaps = asked.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    (published.into_inner().unwrap(), gaps)
}

fn are_about(gaps: &[f64], wanted: &[f64]) -> bool {
    gaps.len() == wanted.len()
        && gaps.iter().zip(wanted).all(|(gap, wanted)| (wanted * 0.89..wanted * 1.12).contains(gap))
}

const A: &[&str] = &["10.0.0.1:80"];
const AB: &[&str] = &["10.0.0.1:80", "10.0.0.2:80"];

#[tokio::test(start_paused = true)]
async fn the_ttl_says_when_to_ask_again() {
    let (_, gaps) = played(&discovery(), None, &[Ok((A, 30)), Ok((A, 5)), Ok((A, 0)), Ok((A, 86_400))]).await;
    assert!(are_about(&gaps, &[30.0, 5.0, 1.0, 300.0]), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn every_overrules_the_ttl() {
    let (_, gaps) = played(&discovery(), Some(10), &[Ok((A, 300)), Ok((A, 1))]).await;
    assert!(are_about(&gaps, &[10.0, 10.0]), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn only_another_set_is_published() {
    let (published, _) =
        played(&discovery(), None, &[Ok((A, 1)), Ok((A, 1)), Ok((AB, 1)), Ok((AB, 1)), Ok((A, 1))]).await;
    let sizes: Vec<usize> = published.iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_keeps_the_last_good_set_is_counted_and_is_retried_sooner() {
    let discovery = discovery();
    let answers: Answers<'_> =
        &[Ok((AB, 60)), Err("SERVFAIL"), Err("SERVFAIL"), Err("timeout"), Ok((AB, 60)), Err("x")];
    let (published, gaps) = played(&discovery, None, answers).await;
    assert_eq!(published.len(), 1);
    assert!(are_about(&gaps, &[60.0, 1.0, 2.0, 4.0, 60.0, 1.0]), "{gaps:?}");
    let state = discovery.state();
    assert_eq!((state.ok, state.failed, state.last_error.as_deref()), (2, 4, Some("x")));
    assert_eq!(discovery.known().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_first_good_set_can_be_waited_for() {
    let discovery = discovery();
    assert!(tokio::time::timeout(Duration::from_secs(9), discovery.first()).await.is_err());
    let play = played(&discovery, None, &[Err("not yet"), Ok((A, 1))]);
    let (_, waited) = tokio::join!(play, async {
        let begun = Instant::now();
        discovery.first().await;
        begun.elapsed().as_secs_f64()
    });
    assert!(are_about(&[waited], &[1.0]), "{waited}");
    discovery.first().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_found_outlives_a_reload_if_it_is_looked_for_in_the_same_place() {
    let before = discovery();
    played(&before, None, &[Ok((A, 1))]).await;
    let same = Discovery::new("users", before.settings(), Some(&before)).unwrap();
    assert_eq!(same.state(), before.state());
    let settings = config::Discover::Dns { host: "orders".into(), port: 80, asking: config::Asking::default() };
    let other = Discovery::new("users", &settings, Some(&before)).unwrap();
    assert!(other.known().is_empty());
}
