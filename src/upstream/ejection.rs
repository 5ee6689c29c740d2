//! Out of use for failing: what the requests themselves find (Envoy: outlier detection, consecutive 5xx).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::clock::{NEVER, Nanos, nanos};
use super::{Endpoint, Upstream};
use crate::config;

/// Until when a server is out of use, and how often it was lately.
#[derive(Debug, Default)]
pub(super) struct Ejected {
    until: AtomicU64,
    times: AtomicU32,
}

/// The longest time out of use, unless the file asks for a longer one (Envoy's `max_ejection_time`).
const LONGEST: Duration = Duration::from_secs(300);

impl Ejected {
    /// The end of it, if it is not over.
    pub(super) fn until(&self, at: Nanos) -> Option<Nanos> {
        Some(self.until.load(Relaxed)).filter(|&until| until > at)
    }

    /// Takes it out of use, longer each time; what lies back longer than it took is forgiven. Only under the upstream's
    /// lock.
    fn begin(&self, time: Duration, at: Nanos) -> Duration {
        let until = self.until.load(Relaxed);
        let once = nanos(time).max(1);
        let forgiven = if until == NEVER { 0 } else { at.saturating_sub(until) / once };
        let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX);
        let times = self.times.load(Relaxed).saturating_sub(forgiven).saturating_add(1);
        let span = time.saturating_mul(times).min(LONGEST.max(time));
        self.times.store(times, Relaxed);
        self.until.store(at.saturating_add(nanos(span)), Relaxed);
        span
    }
}

impl Upstream {
    /// Takes in that a request to an endpoint failed.
    pub(super) fn note_failure(&self, endpoint: &Endpoint, at: Nanos) {
        let Some(settings) = &self.settings.ejection else { return };
        let failures = endpoint.state.failures.fetch_add(1, Relaxed).wrapping_add(1);
        // Where it may not be ejected, the lock is not asked for at each further failure.
        if failures.is_multiple_of(settings.consecutive_failures.0) {
            self.eject(endpoint, settings, at);
        }
    }

    /// Takes in that a request to an endpoint succeeded.
    pub(super) fn note_success(&self, endpoint: &Endpoint) {
        if endpoint.state.failures.load(Relaxed) != 0 {
            endpoint.state.failures.store(0, Relaxed);
        }
    }

    fn eject(&self, endpoint: &Endpoint, settings: &config::Ejection, at: Nanos) {
        let _rebuilding = self.rebuilding.lock();
        let members = self.members.load_full();
        // It may have left, or be out of use already because of a request that ended a moment ago.
        if !members.is_usable(endpoint) {
            return;
        }
        if endpoint.state.ejected.until(at).is_none() {
            let (mut out, mut all) = (0, 0);
            for member in members.all().iter().filter(|member| member.weight() > 0) {
                all += 1;
                out += usize::from(member.state.ejected.until(at).is_some());
            }
            if out >= settings.max_ejected.of(all) {
                return;
            }
            let span = endpoint.state.ejected.begin(settings.time.0, at);
            endpoint.state.failures.store(0, Relaxed);
            let (name, failures) = (endpoint.name(), settings.consecutive_failures.0);
            log::warn!("upstream `{}`: {name} failed {failures} times in a row and is ejected for {span:?}", self.name);
        }
        // Else it was ejected by requests that were under way when the file was loaded again.
        self.rebuild(members.membership(), at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_longer_up_to_five_minutes_and_good_conduct_is_rewarded() {
        let ejected = Ejected::default();
        let time = Duration::from_secs(120);
        let mut at = 1;
        let mut spans = Vec::new();
        for _ in 0..4 {
            spans.push(ejected.begin(time, at).as_secs());
            at = ejected.until(at).unwrap();
        }
        assert_eq!(spans, [120, 240, 300, 300]);
        assert_eq!(ejected.begin(time, at + nanos(2 * time)).as_secs(), 300, "four times, two of them forgiven");
        at = ejected.until(at).unwrap() + nanos(100 * time);
        assert_eq!(ejected.begin(time, at).as_secs(), 120);
        assert_eq!(Ejected::default().begin(Duration::from_secs(600), 1).as_secs(), 600);
    }
}
