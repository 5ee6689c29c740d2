//! To the one that has less to do.
//!
//! Of two drawn at random, the less loaded (Mitzenmacher, *The Power of Two Choices in Randomized Load Balancing*,
//! 1996): nearly as even as asking all, at the cost of looking at two, and without the herd that runs to whoever was
//! the least loaded when everybody looked. Envoy's `LEAST_REQUEST` and HAProxy's `balance random(2)` do the same.

/// What one has to do, and what it can.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Load {
    /// Requests in flight.
    pub(in super::super) in_flight: u32,
    /// Its weight; never 0 for one that is drawn.
    pub(in super::super) weight: u16,
}

/// Whether the first would have less to do for its weight than the second if it got this request.
pub(in super::super) fn less_loaded(first: Load, second: Load) -> bool {
    // (a + 1) / weight of a < (b + 1) / weight of b, without the division.
    let side = |mine: Load, other: Load| (u64::from(mine.in_flight) + 1) * u64::from(other.weight);
    side(first, second) < side(second, first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_counts_for_the_weight() {
        let load = |in_flight, weight| Load { in_flight, weight };
        assert!(less_loaded(load(0, 1), load(1, 1)));
        assert!(!less_loaded(load(1, 1), load(1, 1)));
        assert!(less_loaded(load(2, 4), load(0, 1)), "three of four is less than one of one");
        assert!(!less_loaded(load(4, 4), load(0, 1)));
        assert!(less_loaded(load(0, 1), load(u32::MAX, 1000)));
    }
}
