//! What goes along with passing a request on: `retry`, `mirror` and `deadline_header`.

use std::sync::Arc;

use http::HeaderName;

use super::actions::Compiler;
use super::upstreams::Upstreams;
use crate::config::{Config, Percent, Retry};
use crate::filter::editable;
use crate::upstream::Upstream;

/// Copies of requests for another upstream.
pub struct Mirror {
    /// Where to.
    pub upstream: Arc<Upstream>,
    /// Which share.
    pub ratio: Percent,
}

impl Compiler<'_> {
    /// When requests of the route are tried again; `None`: never.
    pub(super) fn retry(&mut self, config: &Config) -> Option<Retry> {
        let retry = self.route.retry.as_ref().or(config.defaults.retry.as_ref());
        let retry = retry.map_or_else(|| Some(Retry::default()), |retry| retry.on().cloned())?;
        let timeout = self.route.timeout.or(config.defaults.timeout).and_then(|timeout| timeout.after());
        if let (Some(per_try), Some(timeout)) = (retry.per_try.after(), timeout)
            && per_try >= timeout
            && self.route.retry.is_some()
        {
            let message = format!("it never strikes, as the route's `timeout` of {timeout:?} is over first");
            self.warn(&["retry", "per_try"], message);
        }
        Some(retry)
    }

    /// Where requests of the route are copied to; an unknown upstream is a problem.
    pub(super) fn mirror(&mut self, config: &Config, upstreams: &Upstreams) -> Option<Mirror> {
        let mirror = self.route.mirror.as_ref()?;
        let path = ["routes", self.name, "mirror", "to"];
        let upstream = upstreams.find(&mirror.to, &path, config, self.problems)?;
        Some(Mirror { upstream, ratio: mirror.ratio })
    }

    /// The header that tells the upstream how much time is left.
    pub(super) fn deadline_header(&mut self) -> Option<HeaderName> {
        let name = self.route.deadline_header.as_ref()?;
        editable(name).map_err(|why| self.problem(&["deadline_header"], why)).ok()
    }
}
