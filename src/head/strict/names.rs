//! Headers that a client must not name as its connection's, and names that are read as another's.

/// Headers that hold from end to end, or that the door sets. RFC 9110, 7.6.1 forbids clients to name the former; who
/// does it anyway wants them removed on the way.
const NOT_THE_CONNECTIONS: [&str; 21] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "authorization",
    "cookie",
    "expect",
    "forwarded",
    "via",
    "origin",
    "cache-control",
    "range",
    "traceparent",
    "tracestate",
    "date",
    "accept-encoding",
    "x-real-ip",
    "x-request-id",
    "x-api-key",
    "x-original-url",
];

pub(super) fn names_more_than_the_connection(token: &[u8]) -> bool {
    NOT_THE_CONNECTIONS.iter().any(|name| token.eq_ignore_ascii_case(name.as_bytes()))
        || token.get(..FORWARDED.len()).is_some_and(|start| start.eq_ignore_ascii_case(FORWARDED.as_bytes()))
}

const FORWARDED: &str = "x-forwarded-";

/// Headers with a `-` that frame a message, say who sends it, or replace its target or method. Those without one have
/// no disguise.
const DISGUISABLE: [&str; 24] = [
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "keep-alive",
    "max-forwards",
    "proxy-authorization",
    "proxy-connection",
    "http2-settings",
    "if-match",
    "if-none-match",
    "true-client-ip",
    "cf-connecting-ip",
    "x-api-key",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-request-id",
    "x-rewrite-url",
];

/// Whether a header's name (in lower case) is one of the protocol's, or one that says who asks, with `_` in place of
/// `-`: `transfer_encoding`, `x_forwarded_for`.
///
/// CGI, WSGI and Rack hand both over under one name (RFC 3875, 4.1.18), so that one could be smuggled past the door.
/// Other names with `_` pass: APIs use them (`api_key`), and dropping them without a word, as nginx does, has cost many
/// an afternoon. A filter that sets a header of its own kind and trusts it further on has to remove its disguises, too.
pub fn is_disguised(name: &str) -> bool {
    if !name.contains('_') {
        return false;
    }
    let plain = name.replace('_', "-");
    plain.starts_with(FORWARDED) || plain.starts_with("x-original-") || DISGUISABLE.contains(&plain.as_str())
}
