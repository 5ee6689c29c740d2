//! Time in atomics.

use std::time::{Duration, Instant};

/// A zero point, so that an [`Instant`] fits into an atomic. It goes along with what survives a reload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

/// Nanoseconds since a clock's zero, for 584 years; 0 stands for never.
pub(super) type Nanos = u64;

/// What has not happened.
pub(super) const NEVER: Nanos = 0;

impl Clock {
    /// A clock whose zero is this.
    pub(super) fn new(zero: Instant) -> Self {
        Self(zero)
    }

    /// An instant; what was before the clock's zero is its first.
    pub(super) fn at(self, now: Instant) -> Nanos {
        nanos(now.saturating_duration_since(self.0)) + 1
    }
}

/// A span of time.
pub(super) fn nanos(span: Duration) -> Nanos {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX / 4)
}
