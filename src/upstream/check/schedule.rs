//! Whose turn it is to be checked.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Member;

/// So many are checked at the same time.
pub(super) const AT_ONCE: usize = 32;
/// A big set is spread over at least this, also where the interval is shorter.
const SHORTEST_SPREAD: Duration = Duration::from_secs(1);
/// By how much an interval may be shorter or longer, so that several doors don't fall into step.
const JITTER: f64 = 0.15;

/// The members by name, and when each is due.
#[derive(Debug)]
pub(super) struct Schedule<M> {
    interval: Duration,
    members: HashMap<Arc<str>, Slot<M>>,
    queue: BTreeSet<(Instant, Arc<str>)>,
}

#[derive(Debug)]
struct Slot<M> {
    member: Arc<M>,
    /// None while it is being checked.
    due: Option<Instant>,
}

impl<M: Member> Schedule<M> {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, members: HashMap::new(), queue: BTreeSet::new() }
    }

    /// Takes the members as they are now: who stays keeps its turn, who is new gets one soon, who is gone has none.
    pub(super) fn update(&mut self, members: Vec<Arc<M>>, now: Instant) {
        let mut before = std::mem::take(&mut self.members);
        let fresh = members.iter().filter(|member| !before.contains_key(member.name())).count();
        let spread = if fresh <= AT_ONCE { Duration::ZERO } else { self.interval.max(SHORTEST_SPREAD) };
        let mut place = 0;
        for member in members {
            let name: Arc<str> = member.name().into();
            // A name that stands twice is one member.
            if self.members.contains_key(&name) {
                continue;
            }
            let due = before.remove(&name).map_or_else(
                || {
                    place += 1;
                    Some(now + spread.mul_f64(f64::from(place - 1) / fresh.max(1) as f64))
                },
                |slot| slot.due,
            );
            self.queue.extend(due.map(|due| (due, name.clone())));
            self.members.insert(name, Slot { member, due });
        }
        for (name, slot) in before {
            if let Some(due) = slot.due {
                self.queue.remove(&(due, name));
            }
        }
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.queue.first().map(|&(due, _)| due)
    }

    /// The one that has been due for longest; it has no further turn until [`finish`](Self::finish).
    pub(super) fn start(&mut self, now: Instant) -> Option<Arc<M>> {
        if self.next_due()? > now {
            return None;
        }
        let (_, name) = self.queue.pop_first()?;
        let slot = self.members.get_mut(&name)?;
        slot.due = None;
        Some(slot.member.clone())
    }

    /// Gives one that was checked its next turn, an interval after its last. Whether it is still a member.
    pub(super) fn finish(&mut self, name: &str, started: Instant, now: Instant) -> bool {
        let Some((name, _)) = self.members.get_key_value(name) else { return false };
        let name = name.clone();
        let Some(slot) = self.members.get_mut(&name).filter(|slot| slot.due.is_none()) else { return false };
        let due = (started + jittered(self.interval, fastrand::f64())).max(now);
        slot.due = Some(due);
        self.queue.insert((due, name));
        true
    }
}

/// The interval, longer or shorter by chance: `chance` is from 0 to 1.
fn jittered(interval: Duration, chance: f64) -> Duration {
    interval.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_at_most_15_percent_off() {
        let interval = Duration::from_secs(100);
        for (chance, seconds) in [(0.0, 85), (0.5, 100), (1.0, 115)] {
            let off = jittered(interval, chance).abs_diff(Duration::from_secs(seconds));
            assert!(off < Duration::from_millis(1), "{chance}: {off:?}");
        }
    }

    struct Named(&'static str);

    impl Member for Named {
        fn name(&self) -> &str {
            self.0
        }

        fn peers(&self) -> &[pingora::upstreams::peer::HttpPeer] {
            &[]
        }
    }

    #[test]
    fn one_that_goes_and_comes_back_while_it_is_checked_has_one_turn() {
        let (mut schedule, now) = (Schedule::new(Duration::from_secs(5)), Instant::now());
        let member = || vec![Arc::new(Named("a"))];
        schedule.update(member(), now);
        assert!(schedule.start(now).is_some());
        schedule.update(Vec::new(), now);
        schedule.update(member(), now);
        assert!(!schedule.finish("a", now, now), "this was a check of the one that went");
        assert!(schedule.start(now).is_some());
        assert!(schedule.start(now + Duration::from_secs(60)).is_none());
        assert!(schedule.finish("a", now, now));
    }

    #[test]
    fn the_one_that_has_waited_longest_is_first() {
        let (mut schedule, now) = (Schedule::new(Duration::from_secs(5)), Instant::now());
        schedule.update(vec![Arc::new(Named("z"))], now);
        let later = now + Duration::from_secs(1);
        schedule.update(vec![Arc::new(Named("z")), Arc::new(Named("a"))], later);
        assert_eq!(schedule.start(later).map(|member| member.0), Some("z"));
        assert_eq!(schedule.start(later).map(|member| member.0), Some("a"));
    }
}
