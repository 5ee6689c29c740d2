//! The task that checks members when they are due.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep_until};

use super::Member;
use super::schedule::{AT_ONCE, Schedule};

/// How often is asked who the members are.
const REFRESH: Duration = Duration::from_secs(1);

/// Checks members, each once an interval; ends when `members` says `None`. What is under way ends with it.
pub(super) async fn watch<M: Member, C: Future<Output = Result<(), String>>>(
    interval: Duration,
    check: impl Fn(Arc<M>) -> C,
    members: impl Fn() -> Option<Vec<Arc<M>>>,
    report: impl Fn(&str, Result<(), String>),
) {
    let mut schedule = Schedule::new(interval);
    let mut checks = FuturesUnordered::new();
    let mut refresh = Instant::now();
    loop {
        let now = Instant::now();
        if now >= refresh {
            let Some(members) = members() else { return };
            schedule.update(members, now);
            refresh = now + REFRESH;
        }
        while checks.len() < AT_ONCE
            && let Some(member) = schedule.start(now)
        {
            checks.push(one(&check, member, now));
        }
        // With as many under way as may be, the next one's turn comes when one of these ends.
        let due = schedule.next_due().filter(|_| checks.len() < AT_ONCE);
        tokio::select! {
            Some((member, started, result)) = checks.next() => {
                if schedule.finish(member.name(), started, Instant::now()) {
                    report(member.name(), result);
                }
            }
            () = sleep_until(due.map_or(refresh, |due| due.min(refresh))) => {}
        }
    }
}

/// A panic costs this check, not all to come.
async fn one<M, C: Future<Output = Result<(), String>>>(
    check: impl Fn(Arc<M>) -> C,
    member: Arc<M>,
    started: Instant,
) -> (Arc<M>, Instant, Result<(), String>) {
    let result = AssertUnwindSafe(check(member.clone())).catch_unwind().await;
    (member, started, result.unwrap_or_else(|_| Err("the check panicked, which is a defect of OneDoor".to_owned())))
}
