//! Checks by `grpc.health.v1.Health/Check`, the protocol that gRPC has for it.
//!
//! Its two messages have one field each, so they are written and read here: a Protobuf crate with generated code would
//! be far more than that.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::http::v2::client::Http2Session;
use pingora::upstreams::peer::HttpPeer;

use super::head::Head;
use super::reason::{self, said};
use crate::config::GrpcCheck;

#[derive(Debug, PartialEq)]
pub(super) struct Grpc {
    head: Head,
    service: String,
    request: Bytes,
}

const METHOD: &str = "/grpc.health.v1.Health/Check";
/// An answer has 7 bytes; later versions of it may have fields that are read over.
const LARGEST_ANSWER: usize = 4 << 10;

impl Grpc {
    pub(super) fn new(settings: &GrpcCheck, timeout: Duration) -> Result<Self, Vec<(String, String)>> {
        let mut head = Head::new(Method::POST, METHOD, settings.host.as_ref(), &settings.headers)?;
        head.set(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        head.set(header::TE, HeaderValue::from_static("trailers"));
        if let Ok(timeout) = HeaderValue::from_str(&grpc_timeout(timeout)) {
            head.set(HeaderName::from_static("grpc-timeout"), timeout);
        }
        Ok(Self { head, service: settings.service.clone(), request: request(&settings.service) })
    }

    pub(super) async fn ask(&self, session: HttpSession, peer: &HttpPeer, host: &Authority) -> Result<(), String> {
        let head = self.head.write(&session, peer, host)?;
        let HttpSession::H2(mut session) = session else {
            return Err("the endpoint does not speak HTTP/2, which gRPC needs".to_owned());
        };
        session.write_request_header(head, false).map_err(|error| reason::of(&error))?;
        session.write_request_body(self.request.clone(), true).await.map_err(|error| reason::of(&error))?;
        session.read_response_header().await.map_err(|error| reason::of(&error))?;
        self.judge_head(&session)?;
        let answer = read_answer(&mut session).await?;
        let trailers = session.read_trailers().await.map_err(|error| reason::of(&error))?;
        match trailers.as_ref().and_then(|trailers| self.outcome(trailers)) {
            Some(outcome) => outcome?,
            None => return Err("the answer ends without a grpc-status".to_owned()),
        }
        serving(&answer)
    }

    /// A head may be all there is: then the call's status is in it.
    fn judge_head(&self, session: &Http2Session) -> Result<(), String> {
        let Some(head) = session.response_header() else { return Err("no answer".to_owned()) };
        let status = head.status.as_u16();
        if status != 200 {
            return Err(format!("status {status}, expected 200"));
        }
        if let Some(outcome) = self.outcome(&head.headers) {
            outcome?;
            return Err("the answer has no message".to_owned());
        }
        let media_type = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        if !media_type.starts_with(b"application/grpc") {
            let media_type = said(&String::from_utf8_lossy(media_type));
            return Err(format!("the answer is not gRPC, its content-type is `{media_type}`"));
        }
        Ok(())
    }

    /// The call's own status, if it is there.
    fn outcome(&self, headers: &HeaderMap) -> Option<Result<(), String>> {
        let status = headers.get("grpc-status")?.to_str().ok().and_then(|status| status.parse::<usize>().ok());
        let name = match status {
            Some(0) => return Some(Ok(())),
            Some(status) => STATUSES.get(status).copied().unwrap_or("an unknown grpc-status"),
            None => "a grpc-status that is no number",
        };
        let message = headers.get("grpc-message").map(|message| said(&String::from_utf8_lossy(message.as_bytes())));
        Some(Err(match (name, message) {
            ("UNIMPLEMENTED", _) => "UNIMPLEMENTED: the server does not offer grpc.health.v1.Health".to_owned(),
            ("NOT_FOUND", _) => format!("NOT_FOUND: the server knows no service `{}`", self.service),
            (name, Some(message)) if !message.is_empty() => format!("{name}: {message}"),
            (name, _) => name.to_owned(),
        }))
    }
}

/// The names of gRPC's statuses by their numbers.
const STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// At most eight digits and a unit.
fn grpc_timeout(timeout: Duration) -> String {
    match timeout.as_millis().max(1) {
        milliseconds @ ..=99_999_999 => format!("{milliseconds}m"),
        _ => format!("{}S", timeout.as_secs()),
    }
}

/// `HealthCheckRequest { string service = 1 }`, not compressed, behind its length.
fn request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    // A field with its default value is left out.
    if !service.is_empty() {
        message.put_u8(1 << 3 | 2);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8(length as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut request = BytesMut::with_capacity(5 + message.len());
    request.put_u8(0);
    request.put_u32(message.len() as u32);
    request.put(message);
    request.freeze()
}

async fn read_answer(session: &mut Http2Session) -> Result<Vec<u8>, String> {
    let mut answer = Vec::new();
    while let Some(chunk) = session.read_response_body().await.map_err(|error| reason::of(&error))? {
        if answer.len() + chunk.len() > LARGEST_ANSWER {
            return Err(format!("the answer is longer than {LARGEST_ANSWER} bytes"));
        }
        answer.extend_from_slice(&chunk);
    }
    Ok(answer)
}

/// Whether the answer, `HealthCheckResponse { ServingStatus status = 1 }` behind its length, says that it serves.
fn serving(answer: &[u8]) -> Result<(), String> {
    let [0, a, b, c, d, message @ ..] = answer else {
        return Err("the answer is no message of gRPC without compression".to_owned());
    };
    let status = match usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])) {
        Ok(length) if length == message.len() => status(message),
        _ => None,
    };
    match status {
        Some(1) => Ok(()),
        Some(0) => Err("UNKNOWN".to_owned()),
        Some(2) => Err("NOT_SERVING".to_owned()),
        Some(3) => Err("SERVICE_UNKNOWN".to_owned()),
        Some(other) => Err(format!("the unknown status {other}")),
        None => Err("the answer is no HealthCheckResponse".to_owned()),
    }
}

/// The field `status`; 0, its default, if it is left out. Other fields are read over. `None` if this is no message.
fn status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let length = match tag & 7 {
            0 => {
                let value = varint(&mut message)?;
                status = if tag >> 3 == 1 { value } else { status };
                0
            }
            1 => 8,
            2 => varint(&mut message)?.try_into().ok()?,
            5 => 4,
            _ => return None,
        };
        message = message.get(length..)?;
    }
    Some(status)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_is_what_protobuf_makes_of_it() {
        assert_eq!(request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(request("a.B")[..], *b"\0\0\0\0\x05\x0a\x03a.B");
        let long = request(&"x".repeat(200));
        assert_eq!(long[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 0x01]);
        assert_eq!(long.len(), 208);
    }

    #[test]
    fn only_serving_is_well() {
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 1]), Ok(()));
        for (answer, why) in [
            (&[0, 0, 0, 0, 2, 8, 2][..], "NOT_SERVING"),
            (&[0, 0, 0, 0, 2, 8, 3], "SERVICE_UNKNOWN"),
            (&[0, 0, 0, 0, 2, 8, 9], "the unknown status 9"),
            (&[0, 0, 0, 0, 2, 8, 0], "UNKNOWN"),
            (&[0, 0, 0, 0, 0], "UNKNOWN"),
        ] {
            assert_eq!(serving(answer), Err(why.to_owned()));
        }
    }

    #[test]
    fn unknown_fields_are_read_over() {
        let others = [0x12, 2, 8, 2, 0x18, 2, 0x25, 2, 2, 2, 2, 0x29, 2, 2, 2, 2, 2, 2, 2, 2];
        let mut answer = vec![0, 0, 0, 0, 22, 8, 1];
        answer.extend(others);
        assert_eq!(serving(&answer), Ok(()));
    }

    #[test]
    fn what_is_no_answer_is_never_well() {
        for answer in [
            &[][..],
            &[0, 0, 0, 0],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 3, 8, 1],
            &[0, 0, 0, 0, 1, 8, 1],
            &[0, 0, 0, 0, 1, 8],
            &[0, 0, 0, 0, 2, 0x12, 200],
            &[0, 0, 0, 0, 2, 0x0f, 1],
            &[0, 0, 0, 0, 11, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255],
        ] {
            let why = serving(answer).unwrap_err();
            assert!(why.starts_with("the answer is no"), "{answer:?}: {why}");
        }
    }

    #[test]
    fn a_timeout_has_at_most_eight_digits() {
        assert_eq!(grpc_timeout(Duration::from_secs(1)), "1000m");
        assert_eq!(grpc_timeout(Duration::from_micros(10)), "1m");
        assert_eq!(grpc_timeout(Duration::from_secs(365 * 86_400)), "31536000S");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

        #[test]
        fn no_answer_panics(message: Vec<u8>) {
            let mut answer = vec![0];
            answer.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
            answer.extend(&message);
            drop(serving(&answer));
            drop(serving(&message));
        }
    }
}
