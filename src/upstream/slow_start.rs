//! Little by little for what comes back.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::clock::{NEVER, Nanos};

/// When a server came back.
#[derive(Debug, Default)]
pub(super) struct WarmUp(AtomicU64);

/// How the share of those that came back grows: as time goes by, from a tenth (Envoy's minimum) to the whole.
///
/// It is held up when a request is given away: who comes back refuses the rest of its turns. So nothing has to be built
/// anew while it grows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ramp {
    /// How long it takes.
    pub(super) length: Nanos,
    /// When that is asked.
    pub(super) at: Nanos,
}

/// The share that it begins with.
const LEAST: f64 = 0.1;

impl WarmUp {
    /// It is back.
    pub(super) fn begin(&self, at: Nanos) {
        self.0.store(at, Relaxed);
    }
}

impl Ramp {
    /// The part of its share that a server takes.
    pub(super) fn share(self, warm_up: &WarmUp) -> f64 {
        let since = warm_up.0.load(Relaxed);
        let elapsed = self.at.saturating_sub(since);
        if since == NEVER || elapsed >= self.length {
            return 1.0;
        }
        (elapsed as f64 / self.length as f64).max(LEAST)
    }

    /// Whether a server takes the request that this number belongs to, which is anything from 0 up to 1.
    pub(super) fn admits(self, warm_up: &WarmUp, number: impl FnOnce() -> f64) -> bool {
        let share = self.share(warm_up);
        share >= 1.0 || number() < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_grows_from_a_tenth_to_the_whole() {
        let warm_up = WarmUp::default();
        let share = |at| Ramp { length: 100, at }.share(&warm_up);
        assert_eq!(share(1), 1.0, "it was never away");
        warm_up.begin(1000);
        assert_eq!([1000, 1005, 1050, 1099, 1100].map(share), [0.1, 0.1, 0.5, 0.99, 1.0]);
        let halfway = Ramp { length: 100, at: 1050 };
        assert!(halfway.admits(&warm_up, || 0.49) && !halfway.admits(&warm_up, || 0.51));
    }
}
