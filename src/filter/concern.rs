//! What a filter says against its own settings, to whoever audits the file.

use super::registry::Stage;

/// Something about a filter's settings that works as it is written, and that somebody who answers for the door's security
/// should know of: `onedoor check --audit` tells it. What is wrong for sure is a problem and refuses the file; what is odd
/// is a warning ([`Env::warn`](super::Env::warn)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    pub(crate) code: &'static str,
    /// The keys that lead to it, below the filter's own.
    pub(crate) at: Vec<String>,
    pub(crate) reason: String,
    pub(crate) remedy: String,
    pub(crate) only: Only,
}

/// When a concern is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Only {
    Always,
    /// On routes that have no filter at this stage.
    Without(Stage),
    /// On routes that pass requests on to somebody outside this machine and private networks.
    Outside,
    /// If the text stands in the file, and not in a variable of the environment.
    InTheFile,
}

impl Concern {
    /// `code` is what people search for, such as `limit_dry_run`, and never changes; `reason` is a sentence's beginning
    /// that says what may come of it, `remedy` its end that says what to write.
    pub fn new(code: &'static str, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code, at: Vec::new(), reason: reason.into(), remedy: remedy.into(), only: Only::Always }
    }

    /// A secret that stands in the file itself. It is none where a variable of the environment brings it in.
    pub fn secret(reason: impl Into<String>) -> Self {
        let remedy = "write `{file: PATH}`, `{env: NAME}` or `{credential: NAME}` in its place";
        Self { only: Only::InTheFile, ..Self::new("secret_in_file", reason, remedy) }
    }

    /// About the value at the end of these keys, which begin below the filter's own.
    #[must_use]
    pub fn at(mut self, path: &[&str]) -> Self {
        self.at = path.iter().map(|&key| key.to_owned()).collect();
        self
    }

    /// Only on routes that have no filter at this stage.
    #[must_use]
    pub fn without(self, stage: Stage) -> Self {
        Self { only: Only::Without(stage), ..self }
    }

    /// Only on routes that pass requests on to somebody outside this machine and private networks.
    #[must_use]
    pub fn to_outside(self) -> Self {
        Self { only: Only::Outside, ..self }
    }
}
