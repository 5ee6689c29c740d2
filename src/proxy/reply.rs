//! From a reply to the bytes of a response, the same for the live proxy and for `explain`.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::decide::certificate;
use super::exchange::Exchange;
use super::fault::Fault;
use super::grpc::{self, Failed};
use crate::filter::{Body, Edits, Failure, Reply, Response, Subject};
use crate::head::Headers;
use crate::head::grpc::{GRPC_MESSAGE, GRPC_STATUS};
use crate::head::hop::{is_framing, is_hop_by_hop};

/// A response of the door's own, ready to be written.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// All its headers but those that a connection needs (`Date`, `Connection`).
    pub headers: HeaderMap,
    /// Its body; not to be sent to a `HEAD`, nor with a 204 or 304.
    pub body: Bytes,
}

/// Sends a reply back through the filters that its request has seen, and makes an answer of it.
///
/// A filter that fails on the way and may not turns the answer into a 500, as it would a response of the upstream.
pub async fn answer(exchange: &mut Exchange, reply: Reply) -> Answer {
    let mut failed = grpc::failed(exchange, &reply);
    let mut answer = render(exchange, reply, failed.as_ref());
    let changes = match changes(exchange, answer.status, &answer.headers).await {
        Ok(changes) => changes,
        Err((changes, failure)) => {
            let reply = exchange.fail(Fault::Filter(failure)).reply();
            failed = grpc::failed(exchange, &reply);
            answer = render(exchange, reply, failed.as_ref());
            changes
        }
    };
    changes.apply(&mut answer.headers);
    if let Some(failed) = failed {
        // The filters have seen what it is; whatever it is, gRPC has it in a 200.
        answer.status = StatusCode::OK;
        exchange.answered.grpc_status = Some(failed.status as u16);
        exchange.response_hooks.clear();
    }
    // Also for a `HEAD`, whose answer tells the length that the body of a `GET` has.
    if !exchange.response_hooks.is_empty() && !matches!(answer.status.as_u16(), 204 | 304) {
        pass_hooks(exchange, &mut answer);
    }
    answer
}

/// The door's own body passes the filters' hooks in one piece. One that refuses leaves it as it is: there is no better
/// answer to give than this.
fn pass_hooks(exchange: &mut Exchange, answer: &mut Answer) {
    match super::hooks::to_client(&mut exchange.response_hooks, answer.body.clone(), true) {
        Ok(body) => {
            answer.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            answer.body = body;
        }
        Err(reply) => log::warn!("request {}: a filter refused an answer's body: {reply:?}", exchange.request_id),
    }
}

/// What the filters that were entered change in a response.
///
/// # Errors
/// The changes that the others make, and the first filter that failed and may not.
pub async fn changes(
    exchange: &mut Exchange,
    status: StatusCode,
    headers: &dyn Headers,
) -> Result<Edits, (Edits, Failure)> {
    let mut edits = Edits::default();
    let Exchange { snapshot, route, client, tls, request_id, asked, identity, kept, response_hooks, entered, .. } =
        exchange;
    let route = route.as_ref().map(|taken| &taken.route);
    let unrouted;
    let (chain, entered) = match route {
        Some(route) => (&route.chain, *entered),
        None => {
            unrouted = snapshot.unrouted();
            (unrouted, unrouted.links().len())
        }
    };
    // What an earlier answer would have done with its body is no concern of this one.
    response_hooks.clear();
    let mut response = Response {
        status,
        headers,
        subject: Subject {
            client,
            certificate: certificate(tls.as_ref()),
            request_id,
            route: route.map_or("", |route| &route.name),
            identity,
            kept,
        },
        edits: &mut edits,
        method: &asked.method,
        origin: asked.origin.as_ref(),
        bodies: response_hooks,
    };
    match chain.response(&mut response, entered).await {
        Ok(()) => Ok(edits),
        Err(failure) => Err((edits, failure)),
    }
}

fn render(exchange: &Exchange, reply: Reply, failed: Option<&Failed>) -> Answer {
    let (media_type, body) = match reply.body {
        _ if let Some(failed) = failed => (Some(HeaderValue::from_static(failed.dialect.media_type())), Bytes::new()),
        Body::Empty => (None, Bytes::new()),
        Body::Bytes(media_type, bytes) => (Some(media_type), bytes),
        Body::Problem(detail) => {
            let (media_type, body) = problem(exchange, reply.status, detail.as_deref());
            (Some(HeaderValue::from_static(media_type)), body.into())
        }
    };
    let mut headers = HeaderMap::with_capacity(reply.headers.len() + 4);
    if reply.status.is_client_error() || reply.status.is_server_error() {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Some(media_type) = media_type {
        headers.insert(CONTENT_TYPE, media_type);
    }
    if !matches!(reply.status.as_u16(), 204 | 304) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    // A body's headers are made of the body; what concerns the connection is the driver's to write.
    for (name, value) in reply.headers.into_iter().filter(|(name, _)| !is_framing(name) && !is_hop_by_hop(name)) {
        headers.append(name, value);
    }
    if let Some(failed) = failed {
        headers.insert(GRPC_STATUS, HeaderValue::from(failed.status as u16));
        headers.insert(GRPC_MESSAGE, failed.message.clone());
    }
    Answer { status: reply.status, headers, body }
}

/// An error page (RFC 9457), or plain text for those who like that better: what the client may know, and no more.
fn problem(exchange: &Exchange, status: StatusCode, detail: Option<&str>) -> (&'static str, String) {
    let title = status.canonical_reason().unwrap_or("Error");
    if likes_text(exchange.asked.accept.as_ref()) {
        let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        let text = format!("{} {title}{detail}\nrequest id: {}\n", status.as_u16(), exchange.request_id);
        return ("text/plain; charset=utf-8", text);
    }
    let mut page = serde_json::json!({ "type": "about:blank", "title": title, "status": status.as_u16() });
    if let Some(detail) = detail {
        page["detail"] = detail.into();
    }
    page["request_id"] = (*exchange.request_id).into();
    ("application/problem+json", format!("{page}\n"))
}

/// Whether `Accept` prefers plain text to JSON (RFC 9110, 12.5.1). Browsers and curl, which take anything, get JSON.
fn likes_text(accept: Option<&HeaderValue>) -> bool {
    let Some(accept) = accept.and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let (mut text, mut json) = (0.0_f32, 0.0_f32);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        match kind.as_str() {
            "text/plain" => text = quality,
            "application/problem+json" | "application/json" | "application/*" | "*/*" => json = json.max(quality),
            _ => {}
        }
    }
    text > json
}

impl Answer {
    /// Whether its body goes along with its head.
    pub fn has_body(&self, method: &Method) -> bool {
        method != Method::HEAD && !matches!(self.status.as_u16(), 204 | 304)
    }

    /// The whole response as HTTP/1.1 has it, for a connection that is closed afterwards.
    pub fn to_bytes(&self, method: &Method) -> Vec<u8> {
        let reason = self.status.canonical_reason().unwrap_or("");
        let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", self.status.as_u16()).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        let date = httpdate::fmt_http_date(SystemTime::now());
        bytes.extend_from_slice(format!("date: {date}\r\nconnection: close\r\n\r\n").as_bytes());
        if self.has_body(method) {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}
