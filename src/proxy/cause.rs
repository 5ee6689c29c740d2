//! Causes: one stable word for each way to fail, the same in logs, metrics and docs.

/// Makes the enum, its words and the list of all from one table, so that none can be missing in any of them.
macro_rules! causes {
    ($($name:ident $code:literal $status:literal $meaning:literal)*) => {
        /// Why an exchange failed, without the circumstances.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Cause {
            $(#[doc = $meaning] $name,)*
        }

        impl Cause {
            #[cfg(test)]
            /// All of them, in the order in which an exchange meets them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word, which does not change any more.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            #[cfg(test)]
            /// The status that goes along with it, as the docs say it.
            pub fn status(self) -> &'static str {
                match self {
                    $(Self::$name => $status,)*
                }
            }

            #[cfg(test)]
            /// What happened, as the docs say it.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }
        }
    };
}

causes! {
    MalformedHead "malformed_head" "400" "the request breaks HTTP's grammar"
    BadHead "bad_head" "400, 414, 417, 431, 501" "the request breaks a rule that a gateway must hold up"
    BadPath "bad_path" "400" "the path breaks a rule"
    HeadTimeout "head_timeout" "408" "the request's head was not whole within the listener's `header_timeout`"
    Misdirected "misdirected" "421" "the request is for another host than the one that its TLS connection was made for"
    NoRoute "no_route" "404" "no route takes such a request"
    MethodNotAllowed "method_not_allowed" "405" "routes take the path, but not with this method"
    FilterFailed "filter_failed" "500" "a filter failed and is not `on_error: open`"
    NoEndpoint "no_endpoint" "503" "no endpoint can be used: unhealthy, ejected, of weight 0, or none discovered yet"
    BreakerOpen "breaker_open" "503" "too many requests to the upstream fail; `Retry-After` says how long it is left alone"
    LimitRequests "limit_requests" "503" "the upstream has as many requests in flight as its `limits` allow"
    LimitConnections "limit_connections" "503" "every endpoint has as many connections in use as `limits` allow"
    UpstreamRefused "upstream_refused" "502" "nobody listens at the endpoint"
    UpstreamUnreachable "upstream_unreachable" "502" "no way to the endpoint, or no such socket"
    UpstreamConnectTimeout "upstream_connect_timeout" "504" "no connection, TLS included, within `connect`; `phase` says which"
    UpstreamTlsName "upstream_tls_name" "502" "the endpoint's certificate is for other names"
    UpstreamTlsUntrusted "upstream_tls_untrusted" "502" "the endpoint's certificate is signed by nobody who counts"
    UpstreamTlsExpired "upstream_tls_expired" "502" "the endpoint's certificate is past its end or before its beginning"
    UpstreamTlsAlert "upstream_tls_alert" "502" "the endpoint refused TLS by an alert, such as for want of a client certificate"
    UpstreamTlsFailed "upstream_tls_failed" "502" "the endpoint speaks no TLS, none that is new enough, or not the `protocol`, or it left within the handshake"
    UpstreamWriteFailed "upstream_write_failed" "502" "the request could not be sent, for another reason than a reset"
    UpstreamWriteTimeout "upstream_write_timeout" "504" "the upstream took nothing more of the request for `idle`"
    UpstreamClosedBeforeHead "upstream_closed_before_head" "502" "the upstream closed the connection before any byte of the response"
    UpstreamResetBeforeHead "upstream_reset_before_head" "502" "the connection was reset or lost before any byte of the response"
    UpstreamTruncatedHead "upstream_truncated_head" "502" "the connection was closed or reset within the response's head"
    UpstreamHeadTimeout "upstream_head_timeout" "504" "silent for longer than `idle` before the response's head was whole"
    UpstreamTryTimeout "upstream_try_timeout" "504" "no head within the route's `per_try`, and no try was left"
    UpstreamMalformedHead "upstream_malformed_head" "502" "what came is no head of an HTTP response"
    UpstreamHeadTooLarge "upstream_head_too_large" "502" "the response's head has more than 1 MiB or 256 headers"
    UpstreamBadFraming "upstream_bad_framing" "502" "the response's length is in doubt: bad or several lengths, another coding than `chunked`, a body where none can be"
    UpstreamTooManyInterim "upstream_too_many_interim" "502" "more than 16 interim responses (1xx)"
    UpstreamUnexpectedSwitch "upstream_unexpected_switch" "502" "a 101 that was not asked for"
    UpstreamTruncatedBody "upstream_truncated_body" "as sent" "the upstream closed the connection within the body"
    UpstreamResetBody "upstream_reset_body" "as sent" "the connection was reset or lost within the body"
    UpstreamBadChunks "upstream_bad_chunks" "as sent" "the body's chunks break HTTP's grammar"
    UpstreamIdleTimeout "upstream_idle_timeout" "as sent" "silent for longer than `idle` within the body"
    UpstreamH2Goaway "upstream_h2_goaway" "502, or as sent" "the upstream ended the HTTP/2 connection by a GOAWAY"
    UpstreamH2Reset "upstream_h2_reset" "502, or as sent" "the upstream ended the HTTP/2 stream by a RST_STREAM"
    UpstreamH2Error "upstream_h2_error" "502, or as sent" "the upstream broke HTTP/2's rules, or speaks no HTTP/2"
    Deadline "deadline" "504, or as sent" "the route's `timeout`"
    ClientGone "client_gone" "499, or as sent" "the client left; the upstream call is cancelled"
    ClientBodyTimeout "client_body_timeout" "408" "nothing of the request's body for the listener's `body_timeout`, or the upstream's `idle` if that is shorter; or less of it than `body_rate`"
    ClientReadTimeout "client_read_timeout" "499, or as sent" "the client left a piece of the response unread for the listener's `body_timeout`"
    MalformedBody "malformed_body" "400" "the request's body has bad chunks, or another length than it says"
    Http2Error "http2_error" "400" "the client broke rules of HTTP/2 that concern its whole connection, which was ended; one line for a connection"
    Http2Flood "http2_flood" "400" "the client sent frame after frame of HTTP/2 that is of no use, or took back request after request; one line for a connection, which was ended"
    Shutdown "shutdown" "503, or as sent" "the door left before it was over: `process.drain` was, or a second TERM or INT came"
    Internal "internal" "500" "a bug in the door"
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::readme;

    const BEGIN: &str = "<!-- causes: made of src/proxy/cause.rs by ONEDOOR_WRITE_DOCS=1 make test -->\n";
    const END: &str = "<!-- end of causes -->\n";

    fn table() -> String {
        let rows = Cause::ALL.iter().map(|cause| {
            let (code, status, meaning) = (cause.code(), cause.status(), cause.meaning());
            format!("| `{code}` | {status} | {meaning} |\n")
        });
        format!("\n| cause | status | what happened |\n|---|---|---|\n{}\n", rows.collect::<String>())
    }

    #[test]
    fn the_readme_has_every_cause() {
        readme::has_table(BEGIN, END, &table());
    }

    #[test]
    fn words_are_unique_and_can_be_labels() {
        let mut seen = HashSet::new();
        for cause in Cause::ALL {
            let code = cause.code();
            assert!(seen.insert(code), "{code} stands there twice");
            assert!(
                code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                "{code}"
            );
        }
    }
}
