//! Headers that concern one connection, or the framing of the one message: the door's to write, nobody else's.

use http::HeaderName;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

use super::Headers;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// What concerns one connection only (RFC 9110, 7.6.1), whether `Connection` names it or not.
///
/// `Proxy-Authenticate` and `Proxy-Authorization` (RFC 9110, 11.7) are between a client and its next proxy, and
/// `HTTP2-Settings` (RFC 7540, 3.2.1) is between those who upgrade a connection. `Transfer-Encoding` is not here: it
/// frames the message, and whoever writes that decides on it.
pub const HOP_BY_HOP: [HeaderName; 9] = [
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

/// Whether a header is one of [`HOP_BY_HOP`].
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    // A constant would be built and dropped for each look.
    static NAMES: [HeaderName; 9] = HOP_BY_HOP;
    NAMES.contains(name)
}

/// Whether a header belongs to the message's framing or its connection: those are the door's to write, no filter may
/// change them, and an `allow` list need not name them.
///
/// `Connection`, `TE`, `Trailer` and `Upgrade` are hop-by-hop, too. The others of [`HOP_BY_HOP`] are not here: without
/// them a message still says the same.
pub fn is_framing(name: &HeaderName) -> bool {
    static NAMES: [HeaderName; 13] = [
        HOST,
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
        CONNECTION,
        UPGRADE,
        TE,
        TRAILER,
        EXPECT,
        SEC_WEBSOCKET_ACCEPT,
        SEC_WEBSOCKET_EXTENSIONS,
        SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION,
    ];
    NAMES.contains(name)
}

/// Visits the names that `Connection` lists (RFC 9110, 7.6.1), in all its lines, as often as they stand there.
///
/// `close` and `keep-alive` are left out, in whatever case: the one is no header, the other always goes. What is no
/// token is passed over. Framing is visited like anything else (see [`is_framing`]): it is not for the sender to take
/// that away, so who removes what is nominated has to spare it.
pub fn nominated(headers: &dyn Headers, visit: &mut dyn FnMut(HeaderName)) {
    headers.all(&CONNECTION, &mut |value| {
        let tokens = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        // Nearly every request has one of these two, and a name outside `http`'s own is allocated.
        let names =
            tokens.filter(|token| !token.eq_ignore_ascii_case(b"close") && !token.eq_ignore_ascii_case(b"keep-alive"));
        names.filter_map(|token| HeaderName::from_bytes(token).ok()).for_each(&mut *visit);
    });
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn named_by(lines: &[&[u8]]) -> Vec<String> {
        let mut map = HeaderMap::new();
        for line in lines {
            map.append(CONNECTION, HeaderValue::from_bytes(line).unwrap());
        }
        let mut names = Vec::new();
        nominated(&map, &mut |name| names.push(name.as_str().to_owned()));
        names
    }

    #[test]
    fn each_hop_by_hop_header_is_one_and_no_other_is() {
        for name in &HOP_BY_HOP {
            assert!(is_hop_by_hop(name), "{name}");
        }
        for name in ["transfer-encoding", "content-length", "host", "expect", "sec-websocket-key", "x-close"] {
            assert!(!is_hop_by_hop(&HeaderName::from_static(name)), "{name}");
        }
    }

    #[test]
    fn framing_is_what_a_message_cannot_do_without() {
        for name in ["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"]
        {
            assert!(is_framing(&HeaderName::from_static(name)), "{name}");
        }
        for part in ["accept", "extensions", "key", "protocol", "version"] {
            let name = HeaderName::try_from(format!("sec-websocket-{part}")).unwrap();
            assert!(is_framing(&name), "{name}");
        }
        for name in ["keep-alive", "proxy-connection", "proxy-authorization", "http2-settings", "content-type"] {
            assert!(!is_framing(&HeaderName::from_static(name)), "{name}");
        }
    }

    #[test]
    fn connection_nominates_the_names_of_all_its_lines() {
        assert_eq!(named_by(&[b"X-A, upgrade", b"x-b,\tX-A"]), ["x-a", "upgrade", "x-b", "x-a"]);
        assert_eq!(named_by(&[b"content-length"]), ["content-length"]);
        assert!(named_by(&[]).is_empty());
    }

    #[test]
    fn connection_options_that_are_no_headers_are_not_nominated() {
        assert!(named_by(&[b"close", b"Keep-Alive , CLOSE"]).is_empty());
        assert_eq!(named_by(&[b"x-close,keep-alive-x"]), ["x-close", "keep-alive-x"]);
    }

    #[test]
    fn what_is_no_token_is_not_nominated() {
        assert_eq!(named_by(&[b"", b", ,,", b"\"x-a\", :authority, a b, \xe9, x-b"]), ["x-b"]);
    }

    proptest! {
        #[test]
        fn no_connection_header_makes_it_panic(line in prop::collection::vec(0x20..=0x7e_u8, 0..60)) {
            named_by(&[&line]);
        }
    }
}
