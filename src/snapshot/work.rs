//! The work that a filter does beside the requests.

use std::sync::{Arc, OnceLock};

use tokio::task::AbortHandle;

use crate::filter::Filter;

/// The task of one filter, which ends with the last snapshot that has the filter.
#[derive(Debug, Default)]
pub(super) struct Work(OnceLock<AbortHandle>);

impl Work {
    /// Begins, if it has not yet.
    pub(super) fn begin(&self, filter: &Arc<dyn Filter>) {
        self.0.get_or_init(|| {
            let filter = filter.clone();
            tokio::spawn(async move { filter.run().await }).abort_handle()
        });
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(task) = self.0.get() {
            task.abort();
        }
    }
}
