//! How long to wait before a retry.

use std::time::Duration;

/// The longest wait before the first retry.
const BASE: Duration = Duration::from_millis(25);

/// The longest wait before any.
const MOST: Duration = Duration::from_millis(250);

/// How long to wait before a retry, of which `retries` came before it: anything from nothing to 25 ms, doubling up to
/// 250 ms. `random` is from 0 up to 1.
///
/// The whole of it is left to chance ("full jitter", Brooker, *Exponential Backoff And Jitter*, AWS 2015; Envoy's
/// default base and cap): what failed together must not come back together.
pub fn backoff(retries: u32, random: f64) -> Duration {
    let longest = BASE.saturating_mul(1_u32.checked_shl(retries).unwrap_or(u32::MAX)).min(MOST);
    longest.mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_doubles_up_to_a_quarter_of_a_second() {
        let longest = [0, 1, 2, 3, 4, 31, 32, u32::MAX].map(|retries| backoff(retries, 1.0).as_millis());
        assert_eq!(longest, [25, 50, 100, 200, 250, 250, 250, 250]);
    }

    #[test]
    fn any_part_of_it_may_be_waited() {
        assert_eq!(backoff(3, 0.0), Duration::ZERO);
        assert_eq!(backoff(1, 0.5), Duration::from_millis(25));
    }
}
