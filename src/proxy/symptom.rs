//! What can be read from an error of Pingora's beside its kind: error numbers, alerts, how much had come.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};

use pingora::{Error, ErrorType};

use super::fault::UpstreamFault;
use crate::upstream::tls_reason;

/// What a failure looked like from here. All of it can be unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Symptom {
    /// `ECONNRESET`, `REFUSED_STREAM`, a TLS alert, what was wrong with a head.
    pub sign: Option<String>,
    /// How the connection ended, if it did.
    pub end: Option<End>,
    /// Bytes of the response's head that had come.
    pub head_bytes: u64,
    /// Bytes of the response's body that were yet to come.
    pub missing: Option<u64>,
    /// Whether the endpoint was reached, and TLS not agreed on yet.
    pub in_tls: bool,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In order, or by TLS without its own farewell.
    Closed,
    /// By a reset, or because the other host could not be reached any more.
    Reset,
}

/// An upstream's response that was refused by a check of the door's own; the cause of an error of Pingora's.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Refused {
    /// What is wrong with it.
    pub fault: UpstreamFault,
    /// The same for people.
    pub why: String,
}

/// A sign is cut at this length: an upstream chooses some of what Pingora says of its head.
const LONGEST_SIGN: usize = 160;

impl Symptom {
    /// Reads an error.
    pub fn of(e: &Error) -> Self {
        let words = words(e);
        Self {
            sign: sign(e, &words),
            end: end(e),
            head_bytes: number_behind(&words, "bytes already read: ").unwrap_or(0),
            missing: number_behind(&words, "closed connection with "),
            // The two that include TLS begin so, the one of the connection alone ends so.
            in_tls: words.starts_with("connecting to server "),
        }
    }
}

/// The first error of a type in the chain of causes.
pub fn find<T: StdError + 'static>(e: &Error) -> Option<&T> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(e.root_cause());
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The innermost words of Pingora's own.
fn words(e: &Error) -> String {
    let inner = e.cause.as_ref().and_then(|cause| cause.downcast_ref::<Box<Error>>());
    match inner {
        Some(inner) => words(inner),
        None => e.context.as_ref().map(|context| context.as_str().to_owned()).unwrap_or_default(),
    }
}

fn sign(e: &Error, words: &str) -> Option<String> {
    let sign = if let Some(refused) = find::<Refused>(e) {
        refused.to_string()
    } else if let Some(reason) = tls_reason(e) {
        reason
    } else if let Some(h2) = find::<h2::Error>(e) {
        h2_sign(h2)?
    } else if let Some(error) = find::<io::Error>(e) {
        errno(error)?
    } else if let Some(error) = find::<httparse::Error>(e) {
        error.to_string()
    } else if matches!(e.etype(), ErrorType::InvalidHTTPHeader | ErrorType::Custom(_) | ErrorType::H2Error) {
        words.to_owned()
    } else {
        return None;
    };
    Some(shortened(sign)).filter(|sign| !sign.is_empty())
}

fn h2_sign(error: &h2::Error) -> Option<String> {
    match (error.reason(), error.get_io()) {
        (Some(reason), _) if error.is_remote() => Some(format!("{reason:?}")),
        (_, Some(io)) => errno(io),
        _ => Some(error.to_string()),
    }
}

fn shortened(mut sign: String) -> String {
    if let Some((end, _)) = sign.char_indices().nth(LONGEST_SIGN) {
        sign.truncate(end);
        sign.push('…');
    }
    sign
}

/// An error of the operating system by its name. HTTP/2 keeps only its kind; that it calls an orderly end a broken pipe
/// is no name of one.
fn errno(error: &io::Error) -> Option<String> {
    let name = match error.kind() {
        ErrorKind::ConnectionReset => "ECONNRESET",
        _ if error.raw_os_error().is_none() => return None,
        ErrorKind::ConnectionRefused => "ECONNREFUSED",
        ErrorKind::BrokenPipe => "EPIPE",
        ErrorKind::NetworkUnreachable => "ENETUNREACH",
        ErrorKind::HostUnreachable => "EHOSTUNREACH",
        ErrorKind::NetworkDown => "ENETDOWN",
        ErrorKind::NotFound => "ENOENT",
        ErrorKind::PermissionDenied => "EACCES",
        ErrorKind::TimedOut => "ETIMEDOUT",
        ErrorKind::ConnectionAborted => "ECONNABORTED",
        ErrorKind::AddrNotAvailable => "EADDRNOTAVAIL",
        ErrorKind::AddrInUse => "EADDRINUSE",
        _ => return Some(error.to_string()),
    };
    Some(name.into())
}

fn end(e: &Error) -> Option<End> {
    let h2 = find::<h2::Error>(e);
    let error = match h2 {
        Some(h2) => h2.get_io(),
        None => find::<io::Error>(e),
    };
    match error.map(io::Error::kind) {
        Some(ErrorKind::UnexpectedEof) => Some(End::Closed),
        // What HTTP/2 calls a broken pipe is an end without a GOAWAY.
        Some(ErrorKind::BrokenPipe) if h2.is_some() => Some(End::Closed),
        Some(_) => Some(End::Reset),
        None => (*e.etype() == ErrorType::ConnectionClosed).then_some(End::Closed),
    }
}

fn number_behind(words: &str, start: &str) -> Option<u64> {
    let (_, rest) = words.split_once(start)?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_much_had_come_is_read_from_the_words_of_pingora() {
        let error =
            Error::explain(ErrorType::ConnectionClosed, "while reading response headers, bytes already read: 12");
        let wrapped = error.more_context("Peer: addr: 127.0.0.1:1");
        let symptom = Symptom::of(&wrapped);
        assert_eq!((symptom.head_bytes, symptom.end, symptom.sign), (12, Some(End::Closed), None));
    }

    #[test]
    fn an_error_of_the_system_has_its_name() {
        let reset = io::Error::from_raw_os_error(104);
        let error =
            Error::because(ErrorType::ReadError, "while reading response headers, bytes already read: 0", reset);
        let symptom = Symptom::of(&error.more_context("Peer"));
        assert_eq!((symptom.end, symptom.sign.as_deref()), (Some(End::Reset), Some("ECONNRESET")));
    }

    #[test]
    fn what_an_upstream_chooses_does_not_fill_the_log() {
        let error = Error::explain(ErrorType::InvalidHTTPHeader, "9".repeat(10_000));
        assert!(Symptom::of(&error).sign.unwrap().len() < 200);
    }
}
