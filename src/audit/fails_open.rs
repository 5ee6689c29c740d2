//! Filters whose failure lets requests through.

use super::{Door, Finding};
use crate::filter::{OnError, Stage};

pub(super) fn check(door: &Door<'_>) -> Vec<Finding> {
    let open = door.filters().filter(|placed| placed.link.on_error == OnError::Open && protects(placed.link.order.0));
    open.map(|placed| {
        let path: Vec<&str> = placed.path.iter().copied().chain(["on_error"]).collect();
        let kind = placed.link.kind;
        let reason = format!("whoever makes `{kind}` fail gets past it");
        door.finding(&path, "fails_open", reason, "take `on_error: open` away, so that a failure refuses the request")
    })
    .collect()
}

/// Whether requests may be worse off without a filter of this stage; a response without compression is only longer.
fn protects(stage: Stage) -> bool {
    !matches!(stage, Stage::RequestId | Stage::Compress)
}
