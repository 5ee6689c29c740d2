//! Why a check failed, in a few words.

use std::io;
use std::time::Duration;

use pingora::{Error, ErrorType};

/// Why no connection came about within `limit`.
pub(super) fn of_connecting(error: &Error, limit: Duration) -> String {
    match error.etype {
        ErrorType::ConnectTimedout => format!("no connection in {}", humantime::format_duration(limit)),
        _ => of(error),
    }
}

/// Why there was no answer, or only half of one.
pub(super) fn of(error: &Error) -> String {
    match &error.etype {
        ErrorType::ConnectRefused => "refused".to_owned(),
        ErrorType::ConnectNoRoute => "no route to it".to_owned(),
        ErrorType::ConnectionClosed => "closed before its answer was complete".to_owned(),
        ErrorType::TLSHandshakeFailure | ErrorType::TLSHandshakeTimedout | ErrorType::InvalidCert => {
            format!("TLS: {}", said(&tls(error)))
        }
        ErrorType::InvalidHTTPHeader if error.cause.is_some() => "the answer is not HTTP".to_owned(),
        _ => match io_error(error) {
            Some(error) => of_io(error),
            None => other(error),
        },
    }
}

/// A text from outside as part of a reason: one line, not long.
pub(super) fn said(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut said: String = text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        said.push('…');
    }
    said
}

fn of_io(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such socket".to_owned(),
        io::ErrorKind::PermissionDenied => "not permitted to connect".to_owned(),
        io::ErrorKind::ConnectionReset => "reset".to_owned(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => "closed before its answer was complete".to_owned(),
        _ => said(&error.to_string()),
    }
}

fn io_error(error: &Error) -> Option<&io::Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error.root_cause());
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error);
        }
        next = error.source();
    }
    None
}

/// What rustls said. Pingora keeps it only as text: `TLS connect() failed:  … cause: …, SNI: …`.
fn tls(error: &Error) -> String {
    let context = error.context.as_ref().map(|context| context.as_str()).unwrap_or_default();
    let cause = context.rsplit_once(" cause: ").map_or(context, |(_, cause)| cause);
    let cause = cause.split_once(", SNI: ").map_or(cause, |(cause, _)| cause);
    if cause.is_empty() { error.etype.as_str().to_owned() } else { cause.to_owned() }
}

fn other(error: &Error) -> String {
    let http2 = matches!(error.etype, ErrorType::H2Error | ErrorType::InvalidH2 | ErrorType::HandshakeError);
    match (&error.cause, &error.context) {
        (Some(_), _) if http2 => format!("HTTP/2: {}", said(&error.root_cause().to_string())),
        (Some(_), _) => said(&error.root_cause().to_string()),
        (None, Some(context)) => said(context.as_str()),
        (None, None) => error.etype.as_str().to_owned(),
    }
}
