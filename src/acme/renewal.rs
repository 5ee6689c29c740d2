//! When a certificate is ordered.

use std::sync::Weak;
use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_seconds;

use super::Acme;
use super::failure::{Failure, Kind};
use super::store::{Failed, Held, Store};

/// How often the store is looked at, whatever is expected: another door may have renewed, and clocks jump.
const LOOK_ANYWAY: Duration = Duration::from_secs(60 * 60);

/// What an order may take as a whole.
const LONGEST_ORDER: Duration = Duration::from_secs(5 * 60);

/// How long another door may order before it counts as stuck.
const LONGEST_LOCK: Duration = Duration::from_secs(11 * 60);

/// Who starts anew tries so soon after a failure, whatever pause there was: 5 times in an hour.
const AFTER_A_START: Duration = Duration::from_secs(12 * 60);

/// What became of an attempt.
enum Attempt {
    Ordered(Held),
    /// Another door was faster.
    NotDue(Held),
    /// An earlier one failed, so this one waits.
    Later(Failed, SystemTime),
}

/// Orders and renews as long as somebody holds the other end.
pub(super) async fn run(acme: Weak<Acme>) {
    let mut is_first = true;
    loop {
        let Some(this) = acme.upgrade() else { return };
        let (next, has_tried) = this.step(is_first).await;
        drop(this);
        is_first &= !has_tried;
        let pause = next.duration_since(SystemTime::now()).unwrap_or_default();
        tokio::time::sleep(pause.clamp(Duration::from_secs(1), LOOK_ANYWAY)).await;
    }
}

impl Acme {
    /// Does what is due; when to look again, and whether anything was tried.
    async fn step(&self, is_first: bool) -> (SystemTime, bool) {
        let held = self.held().await;
        if let Some(next) = held.map(|held| self.due(held)).filter(|due| SystemTime::now() < *due) {
            self.note(held, next, None);
            return (next, false);
        }
        if is_first && held.is_none() {
            log::info!("{self}: there is no certificate yet; until there is one, handshakes for these names fail");
        }
        match self.attempt(is_first).await {
            Ok(Attempt::Ordered(held)) => {
                let next = self.due(held);
                let [end, renewal] = [held.not_after, next].map(format_rfc3339_seconds);
                log::info!("{self}: there is a new certificate, good until {end}; the next is ordered at {renewal}");
                self.state.send_modify(|state| state.orders += 1);
                self.note(Some(held), next, None);
                (next, true)
            }
            Ok(Attempt::NotDue(held)) => {
                let next = self.due(held);
                self.note(Some(held), next, None);
                (next, false)
            }
            Ok(Attempt::Later(failed, next)) => {
                let (when, why) = (format_rfc3339_seconds(next), &failed.why);
                log::info!("{self}: the latest order failed, the next is tried at {when}: {why}");
                self.note(held, next, Some(failed.why));
                (next, false)
            }
            Err(failure) => (self.put_off(held, failure).await, true),
        }
    }

    fn note(&self, held: Option<Held>, next: SystemTime, last_error: Option<String>) {
        self.state.send_modify(|state| {
            state.not_after = held.map(|held| held.not_after);
            state.next = Some(next);
            state.last_error = last_error;
        });
    }

    /// When a certificate is to be renewed.
    fn due(&self, held: Held) -> SystemTime {
        due(held, self.earlier)
    }

    /// What there is. What cannot be used is ordered anew.
    async fn held(&self) -> Option<Held> {
        let held = self.at_disk(Store::held).await;
        held.unwrap_or_else(|failure| {
            log::warn!("{self}: what is in the store cannot be used: {}", failure.why);
            None
        })
    }

    /// Orders, unless another door has done it, or has failed just now.
    async fn attempt(&self, is_first: bool) -> Result<Attempt, Failure> {
        self.at_disk(Store::prepare).await?;
        let lock = self.store.lock(LONGEST_LOCK).await;
        let _lock = lock.map_err(|why| Failure::new(Kind::Unavailable, why))?;
        let now = SystemTime::now();
        if let Some(held) = self.held().await.filter(|held| now < self.due(*held)) {
            return Ok(Attempt::NotDue(held));
        }
        let before = self.at_disk(|store| Ok(store.failed())).await?;
        let failures = before.as_ref().map_or(0, |failed| failed.failures).saturating_add(1);
        if let Some(failed) = before.filter(|failed| failed.at() <= now) {
            let next = if is_first { failed.next().min(failed.at() + AFTER_A_START) } else { failed.next() };
            if now < next {
                return Ok(Attempt::Later(failed, next));
            }
        }
        // A store that takes no record would take no certificate either, and a door that dies within an order would
        // order again and again: so nothing is asked for before it is written down that it was.
        let begun = Failed::begun(failures, now, Failure::new(Kind::Refused, "").next(failures, now));
        self.at_disk(move |store| store.keep_failed(&begun)).await?;
        log::info!("{self}: a certificate is ordered from {}", self.settings.directory());
        let pem = tokio::time::timeout(LONGEST_ORDER, self.order()).await;
        let late = |_| Failure::new(Kind::Unavailable, format!("the order did not end within {LONGEST_ORDER:?}"));
        let pem = pem.map_err(late)??;
        let kept = self.at_disk(move |store| store.keep(&pem, SystemTime::now())).await;
        // The CA has made one and counts it.
        let held = kept.map_err(|failure| Failure { kind: Kind::Refused, ..failure })?;
        if self.due(held) <= SystemTime::now() {
            let why = "the new certificate is to be renewed as soon as it is there; set this machine's clock";
            return Err(Failure::new(Kind::Refused, why));
        }
        self.at_disk(Store::forget_failed).await?;
        Ok(Attempt::Ordered(held))
    }

    /// Remembers a failure, for this door and for others; when to try again.
    async fn put_off(&self, held: Option<Held>, failure: Failure) -> SystemTime {
        let now = SystemTime::now();
        let before = self.at_disk(|store| Ok(store.failed())).await.ok().flatten();
        let failures = before.map_or(1, |failed| failed.next_count());
        let next = failure.next(failures, now);
        let until = match held {
            Some(held) if now < held.not_after => "the one before stays in use",
            _ => "until there is one, handshakes for these names fail",
        };
        let (why, when) = (&failure.why, format_rfc3339_seconds(next));
        log::error!("{self}: no certificate: {why}; {until}; the next try is at {when}");
        self.note(held, next, Some(failure.why.clone()));
        let failed = Failed::new(failures, failure.why, now, next);
        if let Err(failure) = self.at_disk(move |store| store.keep_failed(&failed)).await {
            log::warn!("{self}: {}", failure.why);
        }
        next
    }

    /// Does something with the store where waiting for the disk holds nobody up.
    pub(super) async fn at_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, String> + Send + 'static,
    ) -> Result<T, Failure> {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        let done = done.unwrap_or_else(|error| Err(error.to_string()));
        done.map_err(|why| Failure::new(Kind::Unavailable, why))
    }
}

/// Two thirds into the lifetime, less that part of it.
fn due(held: Held, earlier: f64) -> SystemTime {
    let lifetime = held.not_after.duration_since(held.not_before).unwrap_or_default();
    held.not_before + lifetime.mul_f64((2.0 / 3.0 - earlier).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::super::SPREAD;
    use super::*;

    #[test]
    fn a_certificate_of_ninety_days_is_renewed_between_the_57th_and_the_60th() {
        let day = |day: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(day * 24 * 60 * 60);
        let held = Held { not_before: day(100), not_after: day(190) };
        let near = |a: SystemTime, b: SystemTime| a.max(b).duration_since(a.min(b)).unwrap() < Duration::from_secs(1);
        assert!(near(due(held, 0.0), day(160)));
        assert!(near(due(held, SPREAD), day(157)));
        assert_eq!(due(Held { not_before: day(9), not_after: day(8) }, SPREAD), day(9));
    }
}
