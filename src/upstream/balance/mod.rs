//! Whose turn it is: each algorithm by itself, over positions and weights. Who may be used is not known here.

mod hash;
mod least_requests;
mod round_robin;

pub use hash::hash_key;
pub(super) use hash::{Keys, fraction};
pub(super) use least_requests::{Load, less_loaded};
pub use round_robin::RoundRobin;
pub(super) use round_robin::{Round, check_weights};
