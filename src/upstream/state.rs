//! What is known of a server while it runs.

use std::sync::atomic::AtomicU32;

use super::ejection::Ejected;
use super::limits::Gauge;
use super::slow_start::WarmUp;

/// What is known of a server while it runs. It belongs to the server's name: a reload or a discovery that makes the
/// endpoint anew takes it over.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Requests under way.
    pub(super) in_flight: Gauge,
    /// Failures since the last success.
    pub(super) failures: AtomicU32,
    /// Whether it is out of use for its failures.
    pub(super) ejected: Ejected,
    /// Whether it has come back lately.
    pub(super) warm_up: WarmUp,
}
