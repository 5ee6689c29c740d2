//! What the door itself asks of a service over HTTP: keys of an issuer, a verdict on a request.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderValue, Method, Request, Response};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::{HttpPeer, Peer};
use tokio::time::timeout;

use super::{Ask, Outcome, Remark, Transport, Upstream, connector_options, tls_reason};
use crate::config;
use crate::config::{Protocol, UpstreamUrl};

/// A service that the door itself asks something, by HTTP/1.1 and over connections of its own, which are kept. By
/// `https` its certificate is verified, for the URL's host and against the system's CAs or those of a file.
///
/// Names are resolved by [`Client::resolve`] and never while a request waits. Redirects are not followed: the file
/// says who is asked.
pub(crate) struct Client {
    settings: config::Upstream,
    name: String,
    host: HeaderValue,
    transport: Transport,
    /// Where it is, once that is known.
    upstream: ArcSwapOption<Upstream>,
    /// Made when it is first used: to check a file, nothing is connected to.
    connector: OnceLock<Connector>,
}

/// What one exchange may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// From the first step to the last byte of the body.
    pub(crate) time: Duration,
    /// Bytes of the response's body.
    pub(crate) body: usize,
}

/// Connections that are kept for the next exchange, for each client.
const POOL_SIZE: usize = 128;

/// Heads of a response that are read: interim ones and the final one.
const MOST_HEADS: usize = 8;

/// How often a request is sent at most, if kept connections turn out to be closed.
const MOST_TRIES: usize = 3;

impl Client {
    /// For a service at this URL, reached as `tls` says where the URL is `https`. Files that `tls` names are read here;
    /// nothing is resolved or connected to.
    ///
    /// # Errors
    /// What would make each connection fail: a CA that cannot be read, a system without CAs.
    pub(crate) fn new(url: &UpstreamUrl, tls: config::Tls) -> Result<Self, Vec<Remark>> {
        let tls = url.tls.then_some(tls);
        let endpoints = vec![config::Endpoint::of(url.address.clone())];
        let settings = config::Upstream { tls, protocol: Protocol::Http1, ..config::Upstream::of(endpoints) };
        let (transport, _) = Transport::load(&settings, SystemTime::now())?;
        let host = HeaderValue::from_str(&url.host).map_err(|_| {
            vec![Remark { at: &[], message: format!("`{}` cannot stand in a `Host` header", url.host) }]
        })?;
        let name = url.as_str().to_owned();
        Ok(Self { settings, name, host, transport, upstream: ArcSwapOption::empty(), connector: OnceLock::new() })
    }

    /// Finds out where the service is. If that fails, the addresses that were found before count on.
    ///
    /// # Errors
    /// Why it could not be found out.
    pub(crate) async fn resolve(&self) -> Result<(), String> {
        let (name, settings, transport) = (self.name.clone(), self.settings.clone(), self.transport.clone());
        let previous = self.upstream.load_full();
        let resolved =
            tokio::task::spawn_blocking(move || Upstream::new(&name, &settings, transport, None, previous.as_deref()))
                .await;
        let upstream = resolved
            .map_err(|e| e.to_string())?
            .map_err(|why| why.into_iter().map(|why| why.message).collect::<Vec<_>>().join("; "))?;
        self.upstream.store(Some(Arc::new(upstream)));
        Ok(())
    }

    /// Sends a request and reads the whole response. Of the request's URI path and query count; `Host` is the URL's and
    /// the framing the client's, whatever the request says.
    ///
    /// # Errors
    /// Why there is no whole response within the bounds, in half a sentence for the log: never resolved, no connection,
    /// a certificate that is not good, a broken or too long response. Whatever its status, a whole response is none.
    pub(crate) async fn send(&self, request: Request<Bytes>, bounds: Bounds) -> Result<Response<Bytes>, String> {
        let Some(upstream) = self.upstream.load_full() else {
            return Err("its name is not resolved yet".into());
        };
        let picked = upstream.pick(&Ask::at(Instant::now()));
        let mut picked = picked.map_err(|why| format!("it cannot be asked: {why:?}"))?;
        let peers = picked.endpoint().peers().to_vec();
        let answer = timeout(bounds.time, self.exchange(&peers, request, bounds.body)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("there was no whole answer within {:?}", bounds.time)));
        picked.report(if answer.is_ok() { Outcome::Succeeded } else { Outcome::Failed }, Instant::now());
        answer
    }

    async fn exchange(
        &self,
        peers: &[HttpPeer],
        request: Request<Bytes>,
        most: usize,
    ) -> Result<Response<Bytes>, String> {
        let may_repeat = request.method().is_idempotent();
        let (head, body) = self.prepared(request)?;
        let mut tries = 0;
        loop {
            tries += 1;
            let (mut session, is_reused, peer) = self.connect(peers).await?;
            session.set_read_timeout(peer.options.read_timeout);
            session.set_write_timeout(peer.options.write_timeout);
            let answers = ask(&mut session, head.clone(), body.clone()).await;
            match answers {
                Ok(()) => {}
                // The service may have closed it in the same moment.
                Err(_) if is_reused && may_repeat && tries < MOST_TRIES => continue,
                Err(why) => return Err(why),
            }
            let response = read(&mut session, most).await?;
            self.connector().release_http_session(session, peer, peer.idle_timeout()).await;
            return Ok(response);
        }
    }

    fn prepared(&self, request: Request<Bytes>) -> Result<(RequestHeader, Bytes), String> {
        let (parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let headers = parts.headers.len() + 2;
        let mut head = RequestHeader::build(parts.method.clone(), target.as_bytes(), Some(headers)).map_err(said)?;
        for (name, value) in &parts.headers {
            if !crate::head::hop::is_framing(name) && !crate::head::hop::is_hop_by_hop(name) {
                head.append_header(name.clone(), value.clone()).map_err(said)?;
            }
        }
        head.insert_header(HOST, self.host.clone()).map_err(said)?;
        if !body.is_empty() || matches!(parts.method, Method::POST | Method::PUT | Method::PATCH) {
            head.insert_header(CONTENT_LENGTH, body.len()).map_err(said)?;
        }
        Ok((head, body))
    }

    /// A connection to the first address that takes one, and whether it was kept from before.
    async fn connect<'a>(&self, peers: &'a [HttpPeer]) -> Result<(HttpSession, bool, &'a HttpPeer), String> {
        let mut why = "it has no address".to_owned();
        for peer in peers {
            match self.connector().get_http_session(peer).await {
                Ok((session, is_reused)) => return Ok((session, is_reused, peer)),
                Err(error) => why = said(error),
            }
        }
        Err(why)
    }

    fn connector(&self) -> &Connector {
        self.connector.get_or_init(|| Connector::new(Some(connector_options(POOL_SIZE))))
    }
}

/// Sends a request and waits for the first head of the response.
async fn ask(session: &mut HttpSession, head: RequestHeader, body: Bytes) -> Result<(), String> {
    session.write_request_header(Box::new(head)).await.map_err(said)?;
    if !body.is_empty() {
        session.write_request_body(body, false).await.map_err(said)?;
    }
    session.finish_request_body().await.map_err(said)?;
    session.read_response_header().await.map_err(said)
}

/// Reads the final head, if the first was an interim one, and the body.
async fn read(session: &mut HttpSession, most: usize) -> Result<Response<Bytes>, String> {
    let mut heads = 1;
    let mut response = Response::new(Bytes::new());
    loop {
        match session.response_header() {
            Some(head) if !head.status.is_informational() => {
                *response.status_mut() = head.status;
                *response.headers_mut() = head.headers.clone();
                break;
            }
            _ if heads == MOST_HEADS => return Err(format!("{heads} interim responses and no final one")),
            _ => session.read_response_header().await.map_err(said)?,
        }
        heads += 1;
    }
    let mut body = BytesMut::new();
    while let Some(piece) = session.read_response_body().await.map_err(said)? {
        if body.len() + piece.len() > most {
            return Err(format!("its answer is longer than {most} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    *response.body_mut() = body.freeze();
    Ok(response)
}

fn said(error: Box<pingora::Error>) -> String {
    tls_reason(&error).map_or_else(|| error.to_string(), |reason| format!("no TLS connection: {reason}"))
}
