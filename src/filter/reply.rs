//! A response made at the door.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

/// A response made at the door: by a filter, by a route's `respond` or `redirect`, or for a fault.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status it is sent with.
    pub status: StatusCode,
    /// Its headers, without those of its body.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Its body.
    pub body: Body,
    /// One stable word for the log and the metrics, if this is a refusal: `ip_denied`. Never shown to the client.
    pub cause: Option<&'static str>,
    /// The whole story, for the log and `explain`. Never shown to the client.
    pub reason: Option<String>,
}

/// The body of a [`Reply`].
#[derive(Debug, Clone)]
pub enum Body {
    /// Nothing.
    Empty,
    /// These bytes, with this media type.
    Bytes(HeaderValue, Bytes),
    /// An error as RFC 9457 has it (`application/problem+json`; plain text for clients that ask for that), with the
    /// request's id and this sentence, if there is one.
    Problem(Option<String>),
}

impl Reply {
    /// An empty answer. A number that is no status (under 100, over 999) counts as 500.
    pub fn status(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: Vec::new(),
            body: Body::Empty,
            cause: None,
            reason: None,
        }
    }

    /// An error page with one sentence for the client: what was wrong, and nothing of what is behind the door.
    pub fn problem(status: u16, detail: impl Into<String>) -> Self {
        Self { body: Body::Problem(Some(detail.into())), ..Self::status(status) }
    }

    /// An error page that says no more than its status.
    pub fn bare_problem(status: u16) -> Self {
        Self { body: Body::Problem(None), ..Self::status(status) }
    }

    /// With one more header.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With a body of text.
    pub fn with_text(mut self, text: impl Into<Bytes>) -> Self {
        self.body = Body::Bytes(HeaderValue::from_static("text/plain; charset=utf-8"), text.into());
        self
    }

    /// With one stable word for logs and metrics, and the story behind it for the log and `explain` only.
    pub fn because(mut self, cause: &'static str, reason: impl Into<String>) -> Self {
        self.cause = Some(cause);
        self.reason = Some(reason.into());
        self
    }

    /// A redirect to `location`; a location that no header can carry becomes a 500.
    pub fn redirect(status: u16, location: &str) -> Self {
        match HeaderValue::from_str(location) {
            Ok(value) => Self::status(status).with_header(header::LOCATION, value),
            Err(_) => Self::bare_problem(500).because("internal", "the redirect's location cannot stand in a header"),
        }
    }
}
