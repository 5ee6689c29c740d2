//! Bodies on their way through what filters do with them.

use bytes::Bytes;

use crate::filter::{BodyHook, Reply};

type Hooks = [Box<dyn BodyHook>];

/// A piece of a request's body, through the hooks in the order of the filters.
///
/// # Errors
/// What the first hook that refuses answers.
pub(super) fn to_upstream(hooks: &mut Hooks, piece: Bytes, end: bool) -> Result<Bytes, Box<Reply>> {
    hooks.iter_mut().try_fold(piece, |piece, hook| pass(hook, piece, end))
}

/// A piece of a response's body. The filters were asked the last first, and the hook of the first one that was asked is
/// the nearest to the client.
///
/// # Errors
/// What the first hook that refuses answers.
pub(super) fn to_client(hooks: &mut Hooks, piece: Bytes, end: bool) -> Result<Bytes, Box<Reply>> {
    hooks.iter_mut().rev().try_fold(piece, |piece, hook| pass(hook, piece, end))
}

fn pass(hook: &mut Box<dyn BodyHook>, piece: Bytes, end: bool) -> Result<Bytes, Box<Reply>> {
    if piece.is_empty() && !end { Ok(piece) } else { hook.piece(piece, end) }
}
