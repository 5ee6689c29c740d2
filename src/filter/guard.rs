//! What a filter sees to in the headers of requests, for whoever audits the file.

use http::HeaderName;

/// Which headers of a request the services behind may believe, and of which no client's own value gets past the filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Guard {
    /// Say who asks.
    pub(super) vouched: Vec<HeaderName>,
    /// Are not the client's any more.
    pub(super) closed: Vec<HeaderName>,
    /// The only ones that are; `None`: all others may be.
    pub(super) open: Option<Vec<HeaderName>>,
}

impl Guard {
    /// The headers by which the services behind learn from this filter who asks.
    pub(crate) fn vouched(&self) -> &[HeaderName] {
        &self.vouched
    }

    /// Whether no client's own value of this header gets past.
    pub(crate) fn is_closed(&self, name: &HeaderName) -> bool {
        self.closed.contains(name) || self.open.as_ref().is_some_and(|open| !open.contains(name))
    }
}
