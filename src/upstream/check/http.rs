//! Checks by an HTTP request: the status of the answer says it.
//!
//! Pingora's own `HttpHealthCheck` was read and not taken. It connects by a template of its own, in which only the
//! address is the endpoint's, so an endpoint's SNI or client certificate is not checked; it bounds single reads but not
//! the check, so a slow drip holds it for ever; it reads bodies to their end, however long; and each of them loads the
//! system's trusted certificates twice. Its connectors and sessions, which do the work, are used here.

use http::Method;
use http::uri::Authority;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;

use super::head::Head;
use super::reason;
use crate::config::{CheckMethod, HttpCheck, OneOrMany, StatusRange};

#[derive(Debug, PartialEq)]
pub(super) struct Http {
    head: Head,
    status: OneOrMany<StatusRange>,
}

/// So much of a body is read, in bytes: enough that one that is cut short shows, and that most are read to their end,
/// since closing before it looks like a reset to the server.
const LARGEST_BODY: usize = 64 << 10;
/// So many interim answers (1xx) are read over.
const MOST_INTERIM: usize = 16;

impl Http {
    pub(super) fn new(settings: &HttpCheck) -> Result<Self, Vec<(String, String)>> {
        let method = match settings.method {
            CheckMethod::Get => Method::GET,
            CheckMethod::Head => Method::HEAD,
        };
        let head = Head::new(method, settings.path.as_str(), settings.host.as_ref(), &settings.headers)?;
        Ok(Self { head, status: settings.status.clone() })
    }

    pub(super) async fn ask(&self, mut session: HttpSession, peer: &HttpPeer, host: &Authority) -> Result<(), String> {
        let head = self.head.write(&session, peer, host)?;
        session.write_request_header(head).await.map_err(|error| reason::of(&error))?;
        session.finish_request_body().await.map_err(|error| reason::of(&error))?;
        let status = status(&mut session).await?;
        if !self.status.iter().any(|range| range.contains(status)) {
            return Err(format!("status {status}, expected {}", self.expected()));
        }
        read_body(&mut session).await
    }

    fn expected(&self) -> String {
        let ranges: Vec<String> = self.status.iter().map(ToString::to_string).collect();
        ranges.join(" or ")
    }
}

async fn status(session: &mut HttpSession) -> Result<u16, String> {
    for _ in 0..MOST_INTERIM {
        session.read_response_header().await.map_err(|error| reason::of(&error))?;
        let status = session.response_header().map_or(0, |head| head.status.as_u16());
        // HTTP/2's interim answers never come this far, and Pingora would panic if it had to read a second head.
        if status >= 200 || status == 101 || session.as_http2().is_some() {
            return Ok(status);
        }
    }
    Err(format!("more than {MOST_INTERIM} interim answers"))
}

async fn read_body(session: &mut HttpSession) -> Result<(), String> {
    let mut read = 0;
    while let Some(chunk) = session.read_response_body().await.map_err(|error| reason::of(&error))? {
        read += chunk.len();
        if read > LARGEST_BODY {
            break;
        }
    }
    Ok(())
}
