//! Bodies on their way through what filters do with them.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use http::HeaderMap;
use pingora::{Error, ErrorType};

use super::trip::Trip;
use crate::filter::{BodyHook, Reply, panic_message};

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

/// The end of a response's body that has trailers: what is left of it, with what hooks make of the trailers. `None` where
/// nothing is, so that the trailers can go on as such.
///
/// # Errors
/// What the first hook that refuses answers.
pub(super) fn end_with(hooks: &mut Hooks, trailers: &HeaderMap) -> Result<Option<Bytes>, Box<Reply>> {
    let mut rest = Bytes::new();
    for hook in hooks.iter_mut().rev() {
        rest = pass(hook, rest, true)?;
        let made = catch_unwind(AssertUnwindSafe(|| hook.trailers(trailers))).map_err(|panic| panicked(&*panic))?;
        if let Some(made) = made {
            rest = [rest, made].concat().into();
        }
    }
    Ok(Some(rest).filter(|rest| !rest.is_empty()))
}

fn pass(hook: &mut Box<dyn BodyHook>, piece: Bytes, end: bool) -> Result<Bytes, Box<Reply>> {
    if piece.is_empty() && !end {
        return Ok(piece);
    }
    // As anywhere in a filter, a panic is an error, and costs one request.
    catch_unwind(AssertUnwindSafe(|| hook.piece(piece, end))).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

fn panicked(panic: &(dyn Any + Send)) -> Box<Reply> {
    let story = format!("a filter panicked within a body: {}", panic_message(panic));
    Box::new(Reply::bare_problem(500).because("filter_failed", story))
}

/// Has a piece of the request's body pass what filters do with it.
pub(super) fn pass_request_hooks(trip: &mut Trip, body: &mut Option<Bytes>, end: bool) -> pingora::Result<()> {
    if trip.request_hooks.is_empty() {
        return Ok(());
    }
    let piece = to_upstream(&mut trip.request_hooks, body.take().unwrap_or_default(), end);
    // By HTTP/2 the upstream's answer would be waited for, were the error not the client's.
    let piece = piece.map_err(|reply| refused_by_hook(trip, reply).into_down())?;
    *body = Some(piece).filter(|piece| !piece.is_empty());
    Ok(())
}

pub(super) fn refused_by_hook(trip: &mut Trip, reply: Box<Reply>) -> Box<Error> {
    trip.body_refused = Some(reply);
    Error::explain(ErrorType::InternalError, "a filter refused the body")
}
