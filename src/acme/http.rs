//! How a CA is asked: over the door's own HTTP client, so that it is found, verified and bounded as everything else that
//! the door asks.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use parking_lot::Mutex;

use crate::config::{self, FilePath, Tls, UpstreamUrl};
use crate::tls::Remark;
use crate::upstream::{Bounds, Client};

/// What a CA may take for one answer, and how much it may say: a directory, an order, a chain.
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(30), body: 1 << 20 };

/// Who asks (RFC 8555, 6.1).
const AGENT: HeaderValue = HeaderValue::from_static(concat!("onedoor/", env!("CARGO_PKG_VERSION"), " instant-acme"));

/// The client of one order, so that names are resolved and files are read anew for each.
#[derive(Clone)]
pub(super) struct Http(Arc<Inner>);

struct Inner {
    ca: Option<FilePath>,
    clients: Mutex<HashMap<String, Arc<Client>>>,
    not_before: Mutex<Option<SystemTime>>,
}

/// Whether the CA can be asked at all, as far as that is known without asking.
pub(super) fn check(settings: &config::Acme) -> Result<(), Remark> {
    let url = settings.directory();
    let at = if settings.ca.is_some() { ["acme", "ca"] } else { ["acme", "directory"] };
    let origin = url.parse().ok().and_then(|uri| origin(&uri));
    let made = origin.map(|origin| client(&origin, settings.ca.clone()));
    match made {
        Some(Err(why)) if url.starts_with("https:") => Err(Remark::new(at, why)),
        _ => Ok(()),
    }
}

/// `https://host:port` of a URL; none for other schemes.
fn origin(uri: &Uri) -> Option<String> {
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https"))?;
    Some(format!("https://{authority}"))
}

fn client(origin: &str, ca: Option<FilePath>) -> Result<Client, String> {
    let url: UpstreamUrl = origin.parse()?;
    let remarks = |remarks: Vec<crate::upstream::Remark>| {
        remarks.into_iter().map(|remark| remark.message).collect::<Vec<_>>().join("; ")
    };
    Client::new(&url, Tls { ca, ..Tls::default() }).map_err(remarks)
}

impl Http {
    pub fn new(settings: &config::Acme) -> Self {
        let ca = settings.ca.clone();
        Self(Arc::new(Inner { ca, clients: Mutex::default(), not_before: Mutex::default() }))
    }

    /// When the CA wants to be asked again, if it said so in place of an answer.
    pub fn not_before(&self) -> Option<SystemTime> {
        *self.0.not_before.lock()
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let inner = self.0.clone();
        Box::pin(async move {
            let uri = request.uri().clone();
            let asked = inner.ask(request).await;
            asked.map_err(|why| Error::Other(format!("asking {uri}: {why}").into()))
        })
    }
}

impl Inner {
    async fn ask(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, String> {
        let (mut head, body) = request.into_parts();
        let origin = origin(&head.uri).ok_or("the CA sends us to a URL without https")?;
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        head.headers.insert(USER_AGENT, AGENT);
        let client = self.client(origin).await?;
        let response = client.send(Request::from_parts(head, body), BOUNDS).await?;
        self.note(&response);
        let (parts, body) = response.into_parts();
        Ok(BytesResponse { parts, body: Box::new(body) })
    }

    async fn client(&self, origin: String) -> Result<Arc<Client>, String> {
        let known = self.clients.lock().get(&origin).cloned();
        if let Some(client) = known {
            return Ok(client);
        }
        let (at, ca) = (origin.clone(), self.ca.clone());
        let made = tokio::task::spawn_blocking(move || client(&at, ca)).await;
        let client = Arc::new(made.map_err(|error| error.to_string())??);
        client.resolve().await?;
        self.clients.lock().insert(origin, client.clone());
        Ok(client)
    }

    /// Remembers when the CA wants to be asked again. While an order goes on it says so, too, with a success.
    fn note(&self, response: &Response<Bytes>) {
        if response.status().is_success() {
            return;
        }
        let value = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let moment = value.and_then(|value| match value.trim().parse() {
            Ok(seconds) => SystemTime::now().checked_add(Duration::from_secs(seconds)),
            Err(_) => httpdate::parse_http_date(value).ok(),
        });
        if moment.is_some() {
            *self.not_before.lock() = moment;
        }
    }
}
