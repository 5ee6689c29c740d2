//! What a filter sees of an exchange.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{Extensions, HeaderName, HeaderValue, Method, StatusCode};

use super::body::BodyHook;
use super::edit::Edits;
use super::identity::Identity;
use crate::head::{Head, Headers};
use crate::tls::ClientIdentity;

/// Who is asking, as far as the connection and trusted proxies tell.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Client {
    /// The client's address: the peer's own, or what a trusted proxy said of it. `None` for a peer on a Unix socket
    /// of which no trusted proxy said more.
    pub ip: Option<IpAddr>,
    /// The other end of the connection; `None` on a Unix socket.
    pub peer: Option<SocketAddr>,
    /// Whether that other end is one of the listener's `trusted_proxies`.
    pub trusted: bool,
    /// Whether the client came by TLS: to the door, or where a trusted proxy is in between as that says.
    pub https: bool,
}

/// What request and response of one exchange have in common.
pub struct Subject<'a> {
    /// Who is asking.
    pub client: &'a Client,
    /// The certificate that the client has shown in the TLS handshake, which has checked it.
    pub certificate: Option<&'a ClientIdentity>,
    /// The id that this exchange has in logs, error bodies and `x-request-id`.
    pub request_id: &'a str,
    /// The route's name.
    pub route: &'a str,
    /// Whom a filter before this one has found the request to come from. In a rehearsal it may be given beforehand.
    pub identity: &'a mut Option<Arc<Identity>>,
    /// What filters keep for the way back, by type. It is dropped when the exchange is over, however that comes about.
    pub kept: &'a mut Extensions,
}

/// A request on its way to the route's action.
pub struct Request<'a> {
    /// Its head, as the client sent it but for the canonical path and host.
    pub head: Head<'a>,
    /// Who asks, under which id, on which route.
    pub subject: Subject<'a>,
    /// Looks up a wildcard of the route's path: `{id}`, or `rest`.
    pub param: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// The changes that are made to the head when it goes on.
    pub edits: &'a mut Edits,
    /// What filters do with its body.
    pub(crate) bodies: &'a mut Vec<Box<dyn BodyHook>>,
    /// What stands in place of its query for everything behind the filters.
    pub(crate) query: &'a mut Option<Box<str>>,
    /// Whether this is no real request but a question of `explain` or a test of the file: nothing may be counted.
    pub rehearsal: bool,
    /// What `explain` shows of this filter; `None` while nobody looks.
    pub(crate) notes: Option<&'a mut Vec<String>>,
}

impl<'a> Request<'a> {
    /// A request by itself, as a driver makes it: for tests and benches of filters.
    pub fn new(
        head: Head<'a>,
        subject: Subject<'a>,
        param: &'a (dyn Fn(&str) -> Option<String> + Sync),
        edits: &'a mut Edits,
        bodies: &'a mut Vec<Box<dyn BodyHook>>,
        query: &'a mut Option<Box<str>>,
    ) -> Self {
        Self { head, subject, param, edits, bodies, query, rehearsal: false, notes: None }
    }
}

impl Request<'_> {
    /// The first value of a header, as the filters before this one have left it.
    pub fn header(&self, name: &HeaderName) -> Option<&[u8]> {
        self.edits.first(name, self.head.headers.get(name))
    }

    /// Has the body pass through this on its way to the upstream, after the hooks of the filters before this one.
    pub fn with_body(&mut self, hook: Box<dyn BodyHook>) {
        self.bodies.push(hook);
    }

    /// The query, as the filters before this one have left it.
    pub fn query(&self) -> Option<&str> {
        match &*self.query {
            Some(query) => Some(&**query).filter(|query| !query.is_empty()),
            None => self.head.query,
        }
    }

    /// Puts another query in the place of the client's, for the upstream, for redirects and for the log; an empty one is
    /// none. The head of the request stays as it is.
    pub fn set_query(&mut self, query: impl Into<Box<str>>) {
        *self.query = Some(query.into());
    }

    /// Says something for `explain`. The sentence is only made when somebody looks.
    pub fn note(&mut self, sentence: impl FnOnce() -> String) {
        if let Some(notes) = self.notes.as_deref_mut() {
            notes.push(sentence());
        }
    }
}

/// A response on its way back to the client.
pub struct Response<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, as they came from the upstream or the door.
    pub headers: &'a dyn Headers,
    /// Who asked, under which id, on which route.
    pub subject: Subject<'a>,
    /// The changes that are made to the head when it goes back.
    pub edits: &'a mut Edits,
    /// What the request asked.
    pub method: &'a Method,
    /// The origin of the page that the request came from, if its client said one; also where no route takes it.
    pub origin: Option<&'a HeaderValue>,
    /// What filters do with its body.
    pub(crate) bodies: &'a mut Vec<Box<dyn BodyHook>>,
}

impl<'a> Response<'a> {
    /// A response by itself, as a driver makes it: for tests and benches of filters.
    pub fn new(
        status: StatusCode,
        headers: &'a dyn Headers,
        subject: Subject<'a>,
        edits: &'a mut Edits,
        method: &'a Method,
        bodies: &'a mut Vec<Box<dyn BodyHook>>,
    ) -> Self {
        Self { status, headers, subject, edits, method, origin: None, bodies }
    }
}

impl Response<'_> {
    /// Has the body pass through this on its way to the client, before the hooks of the filters that were asked before
    /// this one: the filter that a request meets last is the nearest to the client here, and `compress` is that.
    pub fn with_body(&mut self, hook: Box<dyn BodyHook>) {
        self.bodies.push(hook);
    }

    /// The first value of a header, as the filters before this one have left it.
    pub fn header(&self, name: &HeaderName) -> Option<&[u8]> {
        self.edits.first(name, self.headers.get(name))
    }

    /// All values of a list such as `Vary`, as the filters before this one have left it, joined by commas; `None` where
    /// there is none.
    pub fn list(&self, name: &HeaderName) -> Option<Vec<u8>> {
        self.header(name)?;
        let mut list = Vec::new();
        self.edits.all(name, self.headers, &mut |value| {
            if !list.is_empty() {
                list.extend_from_slice(b", ");
            }
            list.extend_from_slice(value);
        });
        Some(list)
    }
}
