//! Why a TLS connection to an endpoint failed.

use pingora::{Error, ErrorType};

/// Why a TLS connection to an endpoint failed: what has to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsFault {
    /// Its certificate is for other names.
    Name,
    /// Its certificate is signed by nobody who is trusted, or is not fit for a server.
    Untrusted,
    /// Its certificate has expired, or is not valid yet.
    Expired,
    /// It refused by an alert, such as for want of a certificate of the door's.
    Alert,
    /// Everything else: it speaks no TLS, none that is new enough, or went away.
    Failed,
}

/// What an error says of TLS; `None` if it is about something else.
///
/// In TLS 1.3 the door's handshake ends before the endpoint has seen the door's certificate, so a refusal may come as
/// an error of the first read: ask also after the connection was made, until the response has begun.
pub fn classify(error: &Error) -> Option<TlsFault> {
    match reason(error) {
        Some(reason) => of_reason(&reason).or_else(|| failed(error)),
        None => failed(error),
    }
}

/// What the two ends did not agree on, in rustls's words.
pub fn tls_reason(error: &Error) -> Option<String> {
    classify(error).and_then(|_| reason(error))
}

fn failed(error: &Error) -> Option<TlsFault> {
    (*error.etype() == ErrorType::TLSHandshakeFailure).then_some(TlsFault::Failed)
}

/// What Pingora's connector writes before an error that it drops (`protocols/tls/rustls/client.rs`).
const CONNECT_FAILED: &str = "TLS connect() failed: ";

/// The words of the innermost error. Of a failed handshake no error of rustls's is left: Pingora prints it into the
/// context of another one. Of a failed read it is still there, within an `io::Error`.
fn reason(error: &Error) -> Option<String> {
    if let Some((_, printed)) = error.context.as_ref().and_then(|context| context.as_str().split_once(CONNECT_FAILED)) {
        let (printed, _) = printed.rsplit_once(", SNI: ")?;
        return printed.split_once(" cause: ").map(|(_, reason)| reason.to_owned());
    }
    let mut inner: &(dyn std::error::Error + 'static) = error.root_cause();
    while let Some(source) = inner.source() {
        inner = source;
    }
    // Of an error of the door's own its words are enough.
    let own = inner.downcast_ref::<Error>().and_then(|error| error.context.as_ref());
    Some(own.map_or_else(|| inner.to_string(), |words| words.as_str().to_owned()))
}

/// By the words that rustls prints of `rustls::Error`; the tests hold them against real handshakes.
fn of_reason(reason: &str) -> Option<TlsFault> {
    if let Some(certificate) = reason.strip_prefix("invalid peer certificate: ") {
        return Some(of_certificate(certificate));
    }
    if reason.starts_with("received fatal alert: ") {
        return Some(TlsFault::Alert);
    }
    let others =
        ["received corrupt message", "peer is incompatible: ", "peer misbehaved: ", "peer sent no certificates"];
    others.iter().any(|start| reason.starts_with(start)).then_some(TlsFault::Failed)
}

/// By the words of `rustls::CertificateError`. Names in a certificate are whatever its owner wrote, so only the
/// beginning counts.
fn of_certificate(reason: &str) -> TlsFault {
    match reason {
        "NotValidForName" => TlsFault::Name,
        "Expired" | "NotValidYet" => TlsFault::Expired,
        _ if reason.starts_with("certificate not valid for name ") => TlsFault::Name,
        _ if reason.starts_with("certificate expired: ") => TlsFault::Expired,
        _ if reason.starts_with("certificate not valid yet: ") => TlsFault::Expired,
        _ => TlsFault::Untrusted,
    }
}

#[cfg(test)]
mod tests;
