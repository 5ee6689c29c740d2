//! The gateway's own duties to both heads: hop-by-hop headers go, the gateway's own are written, filters' changes are
//! carried out.

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Version};
use pingora::http::RequestHeader;

use super::decide::Incoming;
use super::exchange::Exchange;
use super::{deadline, forwarded};
use crate::filter::{Edits, HeadersMut};
use crate::head::grpc::Dialect;
use crate::head::hop::{is_framing, is_hop_by_hop, nominated};

/// Makes the head that the upstream sees of the one that the client sent.
pub fn to_upstream(exchange: &Exchange, headers: &mut impl HeadersMut) {
    let trusted = exchange.client.trusted;
    strip(headers, &|name| (!trusted && forwarded::is_spoofable(name)) || is_lookalike(name, &exchange.edits));
    if exchange.asked.upgrade {
        headers.set(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.set(UPGRADE, HeaderValue::from_static("websocket"));
    }
    exchange.edits.let_through(headers);
    forwarded::write(exchange, headers);
    exchange.edits.apply(headers);
    deadline::write(exchange, headers);
    forwarded::write_host(exchange, headers);
}

/// `TE: trailers` goes on where trailers come back: from HTTP/2 to HTTP/2, and with every gRPC call. Its servers insist on
/// it, and take what does not have it for a proxy that would lose them; whoever asks by gRPC-Web can't say so.
///
/// # Errors
/// None that is known: Pingora's word for what can't be set.
pub(super) fn ask_for_trailers(asked: &RequestHeader, onward: &mut RequestHeader) -> pingora::Result<()> {
    let is_asked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"trailers");
    let is_call = || Dialect::of(onward.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes)) == Some(Dialect::Native);
    let is_wanted = || asked.version == Version::HTTP_2 && asked.headers.get_all(TE).iter().any(is_asked);
    if onward.version == Version::HTTP_2 && (is_wanted() || is_call()) {
        onward.insert_header(TE, HeaderValue::from_static("trailers"))?;
    }
    Ok(())
}

/// Whether a service behind CGI or WSGI, where `-` becomes `_`, would take this header for one that the door or a
/// filter writes or removes: `X_Forwarded_For`, `X_User` (nginx calls such names invalid, and drops them all).
fn is_lookalike(name: &HeaderName, edits: &Edits) -> bool {
    if !name.as_str().contains('_') {
        return false;
    }
    let Ok(meant) = HeaderName::try_from(name.as_str().replace('_', "-")) else { return false };
    forwarded::is_spoofable(&meant) || edits.names(&meant)
}

/// Makes the head that the client sees of the one that the upstream sent, before filters change it.
pub fn from_upstream(status: u16, headers: &mut impl HeadersMut) {
    if status == 101 {
        // The tunnel's own handshake.
        return;
    }
    strip(headers, &|_| false);
    if status == 204 {
        // Allowed is at most a 0, which says nothing (RFC 9110, 8.6).
        headers.remove(&CONTENT_LENGTH);
    }
}

/// Carries out what filters change in a response of the upstream.
pub fn change(changes: &Edits, headers: &mut impl HeadersMut) {
    changes.let_through(headers);
    changes.apply(headers);
}

/// Takes away what concerns one connection only (RFC 9110, 7.6.1), what `Connection` says is such, and what else is to
/// go. Framing is not a client's or an upstream's to take away.
fn strip(headers: &mut impl HeadersMut, also: &dyn Fn(&HeaderName) -> bool) {
    let mut named: Vec<HeaderName> = Vec::new();
    nominated(headers, &mut |name| named.push(name));
    headers.retain(&|name| !(is_hop_by_hop(name) || also(name) || (named.contains(name) && !is_framing(name))));
}

/// Whether this is a WebSocket handshake (RFC 6455, 4.1), the one upgrade that is passed on. None has a body: with one,
/// the protocols would change in its midst.
pub fn is_websocket(incoming: &Incoming<'_>) -> bool {
    let headers: &HeaderMap = incoming.headers;
    let is_upgrade = |value: &HeaderValue| {
        value.as_bytes().split(|&b| b == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    };
    headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && headers.get_all(CONNECTION).iter().any(is_upgrade)
        && incoming.method == Method::GET
        && incoming.version == Version::HTTP_11
        && !headers.contains_key(TRANSFER_ENCODING)
        && headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0")
}
