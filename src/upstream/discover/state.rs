//! How a discovery goes, and what of it is worth a line in the log.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use log::Level;

use super::Endpoint;

/// How a discovery went so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DiscoveryState {
    /// How many turns gave a set of endpoints, the same one or another.
    pub ok: u64,
    /// How many turns gave none, so that the last good set stayed.
    pub failed: u64,
    /// Why the last turn gave none; `None` if it gave one.
    pub last_error: Option<Arc<str>>,
    /// When there was a set for the last time.
    pub last_good: Option<SystemTime>,
    /// The last good set, sorted; empty until there is one.
    pub known: Arc<[Endpoint]>,
}

impl DiscoveryState {
    pub(super) fn good(&mut self, found: Arc<[Endpoint]>) {
        self.ok += 1;
        self.last_error = None;
        self.last_good = Some(SystemTime::now());
        self.known = found;
    }

    pub(super) fn bad(&mut self, why: &str) {
        self.failed += 1;
        self.last_error = Some(why.into());
    }
}

/// That nothing was found yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Where it is looked for.
    pub source: String,
    /// Why nothing was found; `None` if nobody has asked yet.
    pub why: Option<Arc<str>>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Some(why) => write!(f, "{}: {why}", self.source),
            None => write!(f, "{}: no answer yet, since it is asked only while the door runs", self.source),
        }
    }
}

/// What a reader of the log wants to know of a turn: that it fails now, or for another reason; that it is well again;
/// that there are other endpoints.
pub(super) fn news(before: &DiscoveryState, now: &DiscoveryState) -> Option<(Level, String)> {
    let failed_before = before.last_error.is_some();
    match &now.last_error {
        Some(why) if before.last_error.as_ref() != Some(why) => {
            let stays = match now.known.len() {
                0 => "there are no endpoints yet".to_owned(),
                count => format!("the last good set stays ({})", endpoints(count)),
            };
            Some((Level::Warn, format!("{why}; {stays}")))
        }
        Some(_) => None,
        None if before.known != now.known => Some((Level::Info, difference(&before.known, &now.known))),
        None if failed_before => {
            Some((Level::Info, format!("well again, with the same {}", endpoints(now.known.len()))))
        }
        None => None,
    }
}

fn endpoints(count: usize) -> String {
    format!("{count} endpoint{}", if count == 1 { "" } else { "s" })
}

/// How many endpoints there are, and which came and went; a few of each.
fn difference(before: &[Endpoint], now: &[Endpoint]) -> String {
    let mut line = endpoints(now.len());
    for (word, these, others) in [("new", now, before), ("gone", before, now)] {
        let names: Vec<String> = these
            .iter()
            .filter(|one| !others.iter().any(|other| other.address == one.address))
            .map(|one| one.address.to_string())
            .collect();
        if !names.is_empty() {
            let some = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
            line = format!("{line}; {word}: {some}{more}");
        }
    }
    line
}

/// How many endpoints a line names.
const SHOWN: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ports: &[u16]) -> Arc<[Endpoint]> {
        let found = |port| Endpoint::of(crate::config::EndpointAddress::Socket(([127, 0, 0, 1], port).into()));
        ports.iter().copied().map(found).collect()
    }

    fn lines(turns: &[Result<&[u16], &str>]) -> Vec<String> {
        let mut state = DiscoveryState::default();
        let mut lines = Vec::new();
        for turn in turns {
            let before = state.clone();
            match turn {
                Ok(ports) => state.good(set(ports)),
                Err(why) => state.bad(why),
            }
            lines.extend(news(&before, &state).map(|(level, line)| format!("{level} {line}")));
        }
        lines
    }

    #[test]
    fn a_failure_is_told_once_and_so_is_its_end() {
        let told =
            lines(&[Ok(&[1]), Ok(&[1]), Err("timed out"), Err("timed out"), Err("timed out"), Ok(&[1]), Ok(&[1])]);
        let wanted = [
            "INFO 1 endpoint; new: 127.0.0.1:1",
            "WARN timed out; the last good set stays (1 endpoint)",
            "INFO well again, with the same 1 endpoint",
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn another_reason_is_another_line() {
        assert_eq!(
            lines(&[Err("a"), Err("b"), Err("b")]),
            ["WARN a; there are no endpoints yet", "WARN b; there are no endpoints yet"]
        );
    }

    #[test]
    fn a_line_says_which_came_and_went() {
        let told = lines(&[Ok(&[1, 2, 3]), Ok(&[2, 3, 4])]);
        assert_eq!(told[1], "INFO 3 endpoints; new: 127.0.0.1:4; gone: 127.0.0.1:1");
        let many: Vec<u16> = (1..=25).collect();
        assert!(lines(&[Ok(&many)])[0].ends_with("127.0.0.1:10 and 15 more"));
    }

    #[test]
    fn turns_are_counted_and_a_failure_keeps_the_set() {
        let mut state = DiscoveryState::default();
        state.good(set(&[1]));
        state.bad("why");
        assert_eq!((state.ok, state.failed, state.last_error.as_deref()), (1, 1, Some("why")));
        assert_eq!(state.known, set(&[1]));
        assert!(state.last_good.is_some());
    }
}
