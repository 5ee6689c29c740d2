//! By turns, in proportion to the weights.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Weighted turns that are spread evenly: with weights 3 and 1 the order is `a a b a`, not `a a a b`.
///
/// A turn is one atomic addition, without a lock.
#[derive(Debug)]
pub struct RoundRobin {
    round: Round,
    next: AtomicUsize,
}

/// The order of one whole round, laid down once, by earliest deadline first, as Envoy's scheduler does it.
///
/// Its turns are also what weighted draws are made from: one at random falls on each in proportion to its weight.
#[derive(Debug, Default)]
pub(in super::super) struct Round(Box<[u16]>);

/// The largest weight.
const HEAVIEST: u16 = crate::config::Weight::MOST;

/// The most turns in a round. Where the weights add up to more they are scaled down, and the lightest keep one turn.
const LONGEST: u64 = 65_536;

impl RoundRobin {
    /// Turns for as many as there are weights; a weight of 0 never has its turn.
    ///
    /// # Errors
    /// A sentence for people: a weight above 1000, or more than 65,535 weights.
    pub fn new(weights: &[u16]) -> Result<Self, String> {
        check_weights(weights)?;
        Ok(Self { round: Round::new(weights), next: AtomicUsize::new(0) })
    }

    /// Whether nobody ever has a turn.
    pub fn is_empty(&self) -> bool {
        self.round.0.is_empty()
    }

    /// Takes a turn; `None` if nobody has a weight above 0.
    pub fn next(&self) -> Option<usize> {
        self.round.at(self.next.fetch_add(1, Relaxed))
    }

    /// Whose turn is next.
    pub fn peek(&self) -> Option<usize> {
        self.round.at(self.next.load(Relaxed))
    }
}

/// Whether these weights can be used.
///
/// # Errors
/// A sentence for people: a weight above 1000, or more than 65,535 weights.
pub(in super::super) fn check_weights(weights: &[u16]) -> Result<(), String> {
    if let Some(heavy) = weights.iter().find(|&&weight| weight > HEAVIEST) {
        return Err(format!("the weight {heavy} is too large; allowed are 0 to {HEAVIEST}"));
    }
    if weights.len() > usize::from(u16::MAX) {
        return Err(format!("these are {} of them; allowed are at most 65,535", weights.len()));
    }
    Ok(())
}

impl Round {
    /// The round of weights that [`check_weights`] finds in order.
    pub(in super::super) fn new(weights: &[u16]) -> Self {
        let weights = turns(weights);
        let mut due: BinaryHeap<Reverse<(u64, u16)>> = BinaryHeap::new();
        for (index, &weight) in (0..=u16::MAX).zip(&weights).filter(|(_, weight)| **weight > 0) {
            // Half a period first: a light one's turn then comes in the middle of the heavy ones', not after them.
            due.push(Reverse((period(weight) / 2, index)));
        }
        let length: usize = weights.iter().map(|&weight| usize::from(weight)).sum();
        let mut round = Vec::with_capacity(length);
        while round.len() < length {
            let Some(Reverse((deadline, index))) = due.pop() else { break };
            round.push(index);
            due.push(Reverse((deadline + period(weights[usize::from(index)]), index)));
        }
        Self(round.into())
    }

    /// Whose this turn is, however many rounds there were before; `None` if nobody ever has one.
    pub(in super::super) fn at(&self, turn: usize) -> Option<usize> {
        let turn = turn.checked_rem(self.0.len())?;
        self.0.get(turn).map(|&index| index.into())
    }

    /// Somebody, each as likely as heavy.
    pub(in super::super) fn draw(&self) -> Option<usize> {
        // A round has at most 65,536 turns.
        let length = self.0.len() as u32;
        self.0.get(fastrand::u32(0..length.max(1)) as usize).map(|&index| index.into())
    }
}

/// How many turns each has in a round.
fn turns(weights: &[u16]) -> Vec<u16> {
    let common = weights.iter().fold(0, |common, &weight| gcd(common, weight)).max(1);
    let weights: Vec<u16> = weights.iter().map(|&weight| weight / common).collect();
    scaled(&weights, LONGEST)
}

/// Weights in the same proportion, which add up to `most` if they were more. A light one keeps at least 1, so that many
/// light ones may add up to as many as they are.
pub(super) fn scaled(weights: &[u16], most: u64) -> Vec<u16> {
    let sum: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    if sum <= most {
        return weights.to_vec();
    }
    // One for each, and what is left in proportion: so the sum can't be more than the most.
    let left = most.saturating_sub(weights.len() as u64);
    let scale = |weight: u16| match weight {
        0 => 0,
        _ => u16::try_from(u64::from(weight) * left / sum).unwrap_or(u16::MAX).max(1),
    };
    weights.iter().map(|&weight| scale(weight)).collect()
}

/// The time between two turns, on a scale on which all weights come out exactly enough.
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

    #[test]
    fn weights_hold_within_one_percent_over_100_000_turns() {
        for weights in [&[3, 1][..], &[1, 2, 4, 8], &[100, 101, 99], &[7; 10]] {
            let had = turns(weights, 100_000);
            let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
            for (index, &weight) in weights.iter().enumerate() {
                let share = had.iter().filter(|&&turn| turn == index).count() as f64 / 100_000.0;
                assert!((share - f64::from(weight) / total).abs() < 0.01, "{weights:?} {index}: {share}");
            }
        }
    }

    #[test]
    fn a_round_is_bounded_and_the_lightest_keep_their_turn() {
        let mut weights: Vec<u16> = (0..1000).map(|index| 1000 - index % 7).collect();
        weights[17] = 1;
        weights[18] = 0;
        let round = Round::new(&weights);
        assert!(round.0.len() <= 65_536, "{}", round.0.len());
        assert!(round.0.contains(&17) && !round.0.contains(&18));
        let first = round.0.iter().filter(|&&index| index == 0).count();
        assert!((64..=66).contains(&first), "{first}");
        let many = Round::new(&vec![1000; 65_535]);
        assert_eq!(many.0.len(), 65_535);
    }

    #[test]
    fn draws_are_as_likely_as_weights_are_heavy() {
        fastrand::seed(7);
        let round = Round::new(&[3, 1]);
        let heavy = (0..100_000).filter(|_| round.draw() == Some(0)).count();
        assert!((74_000..76_000).contains(&heavy), "{heavy}");
        assert_eq!(Round::default().draw(), None);
    }
}
