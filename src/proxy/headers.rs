//! The gateway's own duties to both heads: hop-by-hop headers go, the gateway's own are written, filters' changes are
//! carried out.

use http::header::{CONNECTION, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, UPGRADE};
use http::{HeaderValue, Method, Version};

use super::exchange::Exchange;
use super::forwarded;
use crate::filter::HeadersMut;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// What concerns one connection only (RFC 9110, 7.6.1), whether `Connection` names it or not. `Transfer-Encoding` is
/// the driver's to write.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    UPGRADE,
    HTTP2_SETTINGS,
];

/// Makes the head that the upstream sees of the one that the client sent.
pub fn to_upstream(exchange: &Exchange, headers: &mut impl HeadersMut) {
    let upgrade = is_websocket(exchange, headers);
    strip_hop_by_hop(headers);
    if upgrade {
        headers.set(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.set(UPGRADE, HeaderValue::from_static("websocket"));
    }
    forwarded::write(exchange, headers);
    exchange.edits.apply(headers);
    forwarded::write_host(exchange, headers);
}

/// Makes the head that the client sees of the one that the upstream sent; filters change it afterwards.
pub fn from_upstream(status: u16, headers: &mut impl HeadersMut) {
    if status == 101 {
        // The tunnel's own handshake.
        return;
    }
    strip_hop_by_hop(headers);
}

fn strip_hop_by_hop(headers: &mut impl HeadersMut) {
    let mut nominated: Vec<HeaderName> = Vec::new();
    headers.all(&CONNECTION, &mut |value| {
        let tokens = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        nominated.extend(tokens.filter_map(|token| HeaderName::from_bytes(token).ok()));
    });
    // Framing is not a client's or an upstream's to take away. The strict check refuses such requests; of responses
    // nothing is refused for it.
    for name in nominated.iter().filter(|name| !crate::filter::is_framing(name)) {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        if headers.get(name).is_some() {
            headers.remove(name);
        }
    }
}

/// Whether this is a WebSocket handshake (RFC 6455, 4.1), the one upgrade that is passed on.
fn is_websocket(exchange: &Exchange, headers: &impl HeadersMut) -> bool {
    let asked = &exchange.asked;
    let mut connection = false;
    headers.all(&CONNECTION, &mut |value| {
        connection |= value.split(|&b| b == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    });
    connection
        && asked.method == Method::GET
        && asked.version == Version::HTTP_11
        && headers.get(&UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
}
