//! The head of a check's request.

use std::collections::BTreeMap;

use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;

use crate::config::{RequestHeaderName, RequestHost, Resolved, SecretText};

/// What is asked for, whatever the version of HTTP.
#[derive(Debug, PartialEq)]
pub(super) struct Head {
    method: Method,
    path: String,
    host: Option<Authority>,
    headers: HeaderMap,
}

/// Who asks, in the endpoint's log.
const USER_AGENT: &str = concat!("onedoor/", env!("CARGO_PKG_VERSION"), " (health check)");

impl Head {
    /// # Errors
    /// Each header that can't be sent, by its name, and why.
    pub(super) fn new(
        method: Method,
        path: &str,
        host: Option<&RequestHost>,
        more: &BTreeMap<RequestHeaderName, SecretText>,
    ) -> Result<Self, Vec<(String, String)>> {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let mut problems = Vec::new();
        for (name, text) in more {
            match value(text) {
                Ok(value) => drop(headers.insert(name.name(), value)),
                Err(why) => problems.push((name.name().to_string(), why)),
            }
        }
        let host = host.map(|host| host.authority().clone());
        let head = Self { method, path: path.to_owned(), host, headers };
        if problems.is_empty() { Ok(head) } else { Err(problems) }
    }

    /// Sets a header, whatever the file says of it.
    pub(super) fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.insert(name, value);
    }

    /// As the session's version of HTTP has it. `host` is asked for where the check has none of its own.
    pub(super) fn write(
        &self,
        session: &HttpSession,
        peer: &HttpPeer,
        host: &Authority,
    ) -> Result<Box<RequestHeader>, String> {
        let host = self.host.as_ref().unwrap_or(host);
        let cannot = |error: Box<pingora::Error>| format!("the request cannot be made: {error}");
        let mut head = RequestHeader::build(self.method.clone(), self.path.as_bytes(), None).map_err(cannot)?;
        if session.as_http2().is_some() {
            head.set_uri(uri(peer, host, &self.path)?);
        } else {
            head.insert_header(header::HOST, host.as_str()).map_err(cannot)?;
            head.insert_header(header::CONNECTION, "close").map_err(cannot)?;
        }
        for (name, value) in &self.headers {
            head.insert_header(name, value).map_err(cannot)?;
        }
        Ok(Box::new(head))
    }
}

/// Pingora would call every HTTP/2 request `https`; that of a server without TLS is not.
fn uri(peer: &HttpPeer, host: &Authority, path: &str) -> Result<Uri, String> {
    let scheme = if peer.is_tls() { Scheme::HTTPS } else { Scheme::HTTP };
    let uri = Uri::builder().scheme(scheme).authority(host.clone()).path_and_query(path).build();
    uri.map_err(|error| format!("the request cannot be made: {error}"))
}

fn value(text: &SecretText) -> Result<HeaderValue, String> {
    let (text, secret) = match text.resolve()? {
        Resolved::Literal(text) => (text, false),
        Resolved::Secret(text) => (text, true),
    };
    let value = HeaderValue::from_str(&text);
    let mut value = value.map_err(|_| "holds a line break or another byte that no header can carry")?;
    value.set_sensitive(secret);
    Ok(value)
}
