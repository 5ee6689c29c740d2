//! How many requests a service can have at a time, found out by how long it takes.
//!
//! While a service has room, another request at the same time makes none slower; beyond that they wait for each other.
//! So the time that it takes without load, divided by the time that it takes now, says by how much there are too many
//! (the gradient of Netflix's concurrency-limits and Envoy's adaptive concurrency). Times without load are taken anew
//! now and then, at half the limit, as BBRv2 does for networks; Envoy goes down to three requests for that and refuses
//! the rest meanwhile.

use std::time::{Duration, Instant};

/// What the file says of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    /// It is never less than this.
    pub(super) min: u32,
    /// It is never more than this.
    pub(super) max: u32,
    /// By this share of the time without load things may get slower, as they vary without any load, too.
    pub(super) tolerance: f64,
    /// How often the time without load is taken.
    pub(super) probe: Duration,
}

/// The limit, and what it is made of. Times come in, and nothing here looks at a clock.
#[derive(Debug)]
pub(super) struct Gradient {
    limit: f64,
    /// What a request takes without load, in seconds; 0 until that is known.
    unloaded: f64,
    phase: Phase,
    /// The limit when that was found.
    probed: f64,
    since: Instant,
    /// So many answers don't count yet: their requests were let in under another limit.
    settling: u32,
    times: Vec<f64>,
    /// The most that were under way at a time.
    peak: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// Half as many are let in, and their times are those without load.
    Probe,
    /// Until the next probe.
    Steady(Instant),
}

/// Where nothing is known yet: Netflix's first limit.
const FIRST: f64 = 20.0;

/// The limit is found anew as often at most; Envoy's interval.
const WINDOW: Duration = Duration::from_millis(100);

/// So many times make a window; Netflix has 10.
const FEWEST: usize = 25;

/// So many times make a probe; Envoy's number.
const PROBE: usize = 50;

/// More are not kept.
const MOST: usize = 250;

impl Gradient {
    /// Of a service that nothing is known of.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            limit: FIRST,
            unloaded: 0.0,
            phase: Phase::Probe,
            probed: FIRST,
            since: now,
            settling: 0,
            times: Vec::new(),
            peak: 0,
        }
    }

    /// How many may be under way.
    pub(super) fn limit(&mut self, now: Instant, bounds: &Bounds) -> u32 {
        if matches!(self.phase, Phase::Steady(until) if until <= now) {
            self.probe(now);
        }
        let limit = if self.phase == Phase::Probe { self.limit / 2.0 } else { self.limit };
        // The number is small and not negative.
        (limit as u32).clamp(bounds.min, bounds.max)
    }

    /// A request was let in as one of so many.
    pub(super) fn enter(&mut self, under_way: u32) {
        self.peak = self.peak.max(under_way);
    }

    /// A request that was let in at `began` has its answer.
    pub(super) fn answered(&mut self, began: Instant, now: Instant, bounds: &Bounds) {
        if self.settling > 0 {
            self.settling -= 1;
            return;
        }
        if self.times.len() < MOST {
            self.times.push(now.saturating_duration_since(began).as_secs_f64());
        }
        match self.phase {
            Phase::Probe if self.times.len() >= PROBE => {
                self.unloaded = median(&mut self.times);
                self.phase = Phase::Steady(now + bounds.probe);
                self.begin(now);
            }
            Phase::Steady(_) if self.times.len() >= FEWEST && now >= self.since + WINDOW => {
                self.adapt(bounds);
                self.begin(now);
                // Had there been too many, fewer would have made it faster by now.
                if self.limit <= self.probed / 2.0 {
                    self.probe(now);
                }
            }
            _ => {}
        }
    }

    fn probe(&mut self, now: Instant) {
        self.phase = Phase::Probe;
        self.probed = self.limit;
        self.begin(now);
    }

    fn begin(&mut self, now: Instant) {
        self.since = now;
        // As many as may be under way now. (The limit is small and not negative.)
        self.settling = self.peak.max(self.limit as u32);
        self.times.clear();
        self.peak = 0;
    }

    fn adapt(&mut self, bounds: &Bounds) {
        let time = median(&mut self.times).max(f64::MIN_POSITIVE);
        let gradient = (self.unloaded * (1.0 + bounds.tolerance) / time).clamp(0.5, 2.0);
        // Some more than that: times vary, and what is found too low by chance must get up again.
        let limit = self.limit * gradient + self.limit.sqrt() / 4.0;
        // While nobody asks for more, nothing is learnt of how much more there could be.
        if limit <= self.limit || f64::from(self.peak) >= self.limit / 2.0 {
            self.limit = limit.clamp(bounds.min.into(), bounds.max.into());
        }
    }
}

/// The one in the middle; 0 of none.
fn median(times: &mut [f64]) -> f64 {
    let middle = times.len() / 2;
    if times.is_empty() { 0.0 } else { *times.select_nth_unstable_by(middle, f64::total_cmp).1 }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use super::*;

    const BOUNDS: Bounds = Bounds { min: 5, max: 1000, tolerance: 0.1, probe: Duration::from_secs(10) };

    /// A server with so many workers and a queue, in virtual time. Requests come at random, `rate` a second.
    struct Server {
        gradient: Gradient,
        random: fastrand::Rng,
        start: Instant,
        /// In seconds.
        now: f64,
        workers: usize,
        service: f64,
        /// Whether times vary without bounds (exponentially) or by a fifth.
        varies: bool,
        /// When each that is under way ends, and when it began, in nanoseconds.
        under_way: BinaryHeap<Reverse<(u64, u64)>>,
        /// When each worker is free.
        free: BinaryHeap<Reverse<u64>>,
    }

    /// What became of a stretch of time.
    #[derive(Debug, Default)]
    struct Seen {
        limit: f64,
        asked: u32,
        refused: u32,
        time: f64,
    }

    fn nanos(seconds: f64) -> u64 {
        (seconds * 1e9) as u64
    }

    impl Server {
        fn new(workers: usize, service: f64) -> Self {
            let start = Instant::now();
            Self {
                gradient: Gradient::new(start),
                random: fastrand::Rng::with_seed(7),
                start,
                now: 0.0,
                workers,
                service,
                varies: false,
                under_way: BinaryHeap::new(),
                free: BinaryHeap::new(),
            }
        }

        fn at(&self, nanos: u64) -> Instant {
            self.start + Duration::from_nanos(nanos)
        }

        /// Lets `seconds` pass with `rate` requests in each; what the second half of them was like.
        fn run(&mut self, seconds: f64, rate: f64) -> Seen {
            let (half, end) = (self.now + seconds / 2.0, self.now + seconds);
            let (mut seen, mut times) = (Seen::default(), Vec::new());
            while self.now < end {
                self.now += self.exponential() / rate;
                self.end_what_is_over(&mut times);
                let limit = self.gradient.limit(self.at(nanos(self.now)), &BOUNDS);
                let admitted = self.under_way.len() < limit as usize;
                if admitted {
                    self.begin();
                }
                if self.now >= half {
                    seen.asked += 1;
                    seen.refused += u32::from(!admitted);
                    seen.limit += f64::from(limit);
                } else {
                    times.clear();
                }
            }
            seen.limit /= f64::from(seen.asked);
            seen.time = median(&mut times);
            seen
        }

        fn exponential(&mut self) -> f64 {
            -self.random.f64().max(1e-12).ln()
        }

        fn end_what_is_over(&mut self, times: &mut Vec<f64>) {
            let now = nanos(self.now);
            while let Some(Reverse((ended, began))) = self.under_way.peek().copied().filter(|next| next.0.0 <= now) {
                self.under_way.pop();
                times.push((ended - began) as f64 / 1e9);
                let (began, ended) = (self.at(began), self.at(ended));
                self.gradient.answered(began, ended, &BOUNDS);
            }
        }

        fn begin(&mut self) {
            let now = nanos(self.now);
            while self.free.len() > self.workers {
                self.free.pop();
            }
            while self.free.len() < self.workers {
                self.free.push(Reverse(now));
            }
            let Reverse(free) = self.free.pop().unwrap();
            let factor = if self.varies { self.exponential() } else { 0.8 + 0.4 * self.random.f64() };
            let ended = free.max(now) + nanos(self.service * factor);
            self.free.push(Reverse(ended));
            self.under_way.push(Reverse((ended, now)));
            self.gradient.enter(u32::try_from(self.under_way.len()).unwrap());
        }
    }

    #[track_caller]
    fn assert_near(found: f64, knee: f64) {
        assert!((found / knee - 1.0).abs() <= 0.3, "found {found:.1}, and it is {knee}");
    }

    #[test]
    fn the_knee_of_a_server_is_found_where_it_is_asked_for_too_much() {
        for (workers, service) in [(10, 0.01), (32, 0.01), (100, 0.05), (32, 0.5), (200, 0.002)] {
            let mut server = Server::new(workers, service);
            let capacity = workers as f64 / service;
            let seen = server.run(240.0_f64.min(2e6 / capacity), capacity * 2.0);
            assert_near(seen.limit, workers as f64);
            let refused = f64::from(seen.refused) / f64::from(seen.asked);
            assert!((0.45..0.6).contains(&refused), "{workers}: half is too much, and {refused:.2} were refused");
            assert!(seen.time < service * 1.5, "{workers}: {seen:?}");
        }
    }

    #[test]
    fn a_server_whose_times_vary_without_bounds_is_kept_busy_all_the_same() {
        for (workers, service) in [(20, 0.02), (100, 0.05)] {
            let mut server = Server { varies: true, ..Server::new(workers, service) };
            let capacity = workers as f64 / service;
            let seen = server.run(240.0, capacity * 2.0);
            let done = f64::from(seen.asked - seen.refused) / 120.0;
            assert!(done > capacity * 0.9, "{workers}: {done:.0} a second of {capacity}");
            assert!(seen.limit < workers as f64 * 2.0, "{workers}: {seen:?}");
        }
    }

    #[test]
    fn below_the_knee_nothing_is_refused_but_for_the_bursts_of_a_probe() {
        let mut server = Server::new(32, 0.01);
        server.run(20.0, 6400.0);
        let seen = server.run(60.0, 1000.0);
        assert!(f64::from(seen.refused) < f64::from(seen.asked) * 0.001, "{seen:?}");
        let seen = server.run(60.0, 10.0);
        assert_eq!(seen.refused, 0, "{seen:?}");
    }

    #[test]
    fn a_server_that_gets_weaker_is_given_less_and_one_that_recovers_more() {
        let mut server = Server::new(40, 0.01);
        assert_near(server.run(30.0, 8000.0).limit, 40.0);
        server.workers = 12;
        assert_near(server.run(30.0, 8000.0).limit, 12.0);
        server.workers = 40;
        assert_near(server.run(30.0, 8000.0).limit, 40.0);
    }

    #[test]
    fn slowness_that_is_no_load_is_learnt_by_the_next_probe() {
        let mut server = Server::new(40, 0.01);
        server.run(30.0, 8000.0);
        server.service = 0.05;
        let seen = server.run(60.0, 1600.0);
        assert_near(seen.limit, 40.0);
        server.service = 0.01;
        assert_near(server.run(60.0, 8000.0).limit, 40.0);
    }

    #[test]
    fn the_bounds_hold_whatever_comes() {
        let bounds = Bounds { min: 3, max: 12, ..BOUNDS };
        let start = Instant::now();
        let mut gradient = Gradient::new(start);
        let mut random = fastrand::Rng::with_seed(1);
        for step in 0..10_000_u64 {
            let now = start + Duration::from_millis(step * 10);
            let limit = gradient.limit(now, &bounds);
            assert!((3..=12).contains(&limit), "{limit}");
            gradient.enter(limit);
            gradient.answered(now, now + Duration::from_micros(random.u64(0..5_000_000)), &bounds);
        }
    }
}
