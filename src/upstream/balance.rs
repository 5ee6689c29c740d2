//! Whose turn it is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::config::Weight;

/// Weighted turns that are spread evenly: with weights 3 and 1 the order is `a a b a`, not `a a a b`.
///
/// The order of one whole round is laid down once, by earliest deadline first, as Envoy's scheduler does it; a turn is
/// then one atomic addition, without a lock.
#[derive(Debug)]
pub struct RoundRobin {
    round: Box<[u16]>,
    next: AtomicUsize,
}

/// The largest weight: a round holds the sum of all weights (divided by what they have in common).
const HEAVIEST: u16 = Weight::MOST;

impl RoundRobin {
    /// Turns for as many as there are weights; a weight of 0 never has its turn.
    ///
    /// # Errors
    /// A sentence for people: a weight above 1000, or more than 65,535 weights.
    pub fn new(weights: &[u16]) -> Result<Self, String> {
        if let Some(heavy) = weights.iter().find(|&&weight| weight > HEAVIEST) {
            return Err(format!("the weight {heavy} is too large; allowed are 0 to {HEAVIEST}"));
        }
        let common = weights.iter().fold(0, |common, &weight| gcd(common, weight)).max(1);
        let mut due: BinaryHeap<Reverse<(u64, u16)>> = BinaryHeap::new();
        for (index, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0) {
            let index = u16::try_from(index).map_err(|_| "there are more than 65,535 of them".to_owned())?;
            // Half a period first: a light one's turn then comes in the middle of the heavy ones', not after them.
            due.push(Reverse((period(weight) / 2, index)));
        }
        let length: usize = weights.iter().map(|&weight| usize::from(weight / common)).sum();
        let mut round = Vec::with_capacity(length);
        while round.len() < length {
            let Some(Reverse((deadline, index))) = due.pop() else { break };
            round.push(index);
            due.push(Reverse((deadline + period(weights[usize::from(index)]), index)));
        }
        Ok(Self { round: round.into(), next: AtomicUsize::new(0) })
    }

    /// Whether nobody ever has a turn.
    pub fn is_empty(&self) -> bool {
        self.round.is_empty()
    }

    /// Takes a turn; `None` if nobody has a weight above 0.
    pub fn next(&self) -> Option<usize> {
        self.at(self.next.fetch_add(1, Relaxed))
    }

    /// Whose turn is next.
    pub fn peek(&self) -> Option<usize> {
        self.at(self.next.load(Relaxed))
    }

    fn at(&self, turn: usize) -> Option<usize> {
        let turn = turn.checked_rem(self.round.len())?;
        self.round.get(turn).map(|&index| index.into())
    }
}

/// The time between two turns, on a scale on which all weights up to [`HEAVIEST`] come out exactly enough.
fn period(weight: u16) -> u64 {
    (1 << 40) / u64::from(weight)
}

fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(weights: &[u16], count: usize) -> Vec<usize> {
        let turns = RoundRobin::new(weights).unwrap();
        (0..count).map(|_| turns.next().unwrap()).collect()
    }

    #[test]
    fn each_has_its_share_in_every_round() {
        for weights in [&[1, 1, 1][..], &[3, 1], &[95, 5], &[1000, 1, 0, 7], &[6, 4, 2]] {
            let total: u16 = weights.iter().sum();
            let turns = turns(weights, usize::from(total));
            for (index, &weight) in weights.iter().enumerate() {
                let had = turns.iter().filter(|&&turn| turn == index).count();
                assert_eq!(had, usize::from(weight), "{weights:?} {index}");
            }
        }
    }

    #[test]
    fn turns_are_spread_evenly() {
        assert_eq!(turns(&[2, 1], 6), [0, 1, 0, 0, 1, 0]);
        assert_eq!(turns(&[3, 1], 4), [0, 0, 1, 0]);
        let heavy_runs = turns(&[5, 5], 10);
        assert!(heavy_runs.windows(2).all(|pair| pair[0] != pair[1]), "{heavy_runs:?}");
    }

    #[test]
    fn weights_that_cannot_be_used_are_refused_with_a_reason() {
        assert_eq!(RoundRobin::new(&[0, 0]).unwrap().next(), None);
        assert!(RoundRobin::new(&[]).unwrap().is_empty());
        assert!(RoundRobin::new(&[1001]).unwrap_err().contains("0 to 1000"));
    }

    #[test]
    fn looking_takes_no_turn() {
        let turns = RoundRobin::new(&[1, 1]).unwrap();
        assert_eq!(turns.peek(), turns.peek());
        assert_eq!(turns.peek(), turns.next());
        assert_ne!(turns.peek(), Some(0));
    }
}
