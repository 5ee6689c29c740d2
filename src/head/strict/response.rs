//! The responses whose framing a client could read in another way than the door does.

use http::{HeaderName, header};
use thiserror::Error;

use super::{Headers, is_length, once};

/// Why a response of an upstream is refused, in words for who runs the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ResponseProblem {
    /// Both `Content-Length` and `Transfer-Encoding` (RFC 9112, 6.3): response splitting, or a server in a muddle.
    #[error("the response has both a Content-Length and a Transfer-Encoding")]
    AmbiguousLength,
    /// Repeated (even with the same value), a list, signed, empty, not digits, or beyond 2⁶³ - 1.
    #[error("the response's Content-Length is not one number")]
    ContentLength,
    /// Anything but exactly `chunked`: the door undoes no other coding, nor does every client.
    #[error("the response's Transfer-Encoding is not exactly `chunked`")]
    TransferEncoding,
    /// A length of what has no body: 1xx and 204 (RFC 9110, 8.6; RFC 9112, 6.1).
    #[error("the response has no body but a Content-Length or Transfer-Encoding")]
    Bodiless,
}

/// Checks the framing of an upstream's response: whether a client could find another end of its body than the door.
///
/// A response to `HEAD` and a 304 may have either header, which then tell of the body that a `GET` would have got
/// (RFC 9110, 8.6; RFC 9112, 6.1); they are held to the same rules. A 204 may have a `Content-Length` of exactly `0`,
/// which RFC 9110, 8.6 forbids but many servers send: no recipient reads anything else into it, and the caller removes
/// it. A 1xx may not, the 101 of a tunnel included.
///
/// It sees what the driver left: Pingora 0.9.1 drops a `Content-Length` beside a `Transfer-Encoding` before anybody can
/// look. That HTTP/1.0 has no `Transfer-Encoding` is for who knows the version.
///
/// # Errors
/// The first rule that it breaks.
pub fn check_response(status: u16, headers: &dyn Headers) -> Result<(), ResponseProblem> {
    let length = only(headers, &header::CONTENT_LENGTH, ResponseProblem::ContentLength)?;
    let coding = only(headers, &header::TRANSFER_ENCODING, ResponseProblem::TransferEncoding)?;
    let is_bodiless = matches!(status, 100..=199 | 204);
    match (length, coding) {
        (None, None) => Ok(()),
        (Some(_), Some(_)) => Err(ResponseProblem::AmbiguousLength),
        (Some(b"0"), None) if status == 204 => Ok(()),
        _ if is_bodiless => Err(ResponseProblem::Bodiless),
        (Some(value), None) if !is_length(value) => Err(ResponseProblem::ContentLength),
        (None, Some(coding)) if !coding.eq_ignore_ascii_case(b"chunked") => Err(ResponseProblem::TransferEncoding),
        _ => Ok(()),
    }
}

/// The one value of a header, if it has any.
fn only<'a, P: Copy>(headers: &'a dyn Headers, name: &HeaderName, problem: P) -> Result<Option<&'a [u8]>, P> {
    let (mut found, mut result) = (None, Ok(()));
    headers.all(name, &mut |value| {
        if let Err(problem) = once(&mut found, value, problem) {
            result = Err(problem);
        }
    });
    result.map(|()| found)
}

#[cfg(test)]
mod tests {
    use super::super::tests::headers;
    use super::*;

    fn response(status: u16, lines: &[(&str, &str)]) -> Option<ResponseProblem> {
        check_response(status, &headers(lines)).err()
    }

    #[test]
    fn a_usual_response_passes() {
        for status in [200, 206, 304, 404, 500] {
            assert_eq!(response(status, &[]), None);
            assert_eq!(response(status, &[("content-length", "12"), ("content-type", "text/plain")]), None);
            assert_eq!(response(status, &[("transfer-encoding", "Chunked")]), None);
        }
        for status in [100, 101, 103, 204] {
            assert_eq!(response(status, &[("upgrade", "websocket")]), None);
        }
        assert_eq!(response(205, &[("content-length", "0")]), None);
    }

    #[test]
    fn doubtful_framing_of_a_response_is_refused() {
        for (lines, expected) in [
            (&[("transfer-encoding", "chunked"), ("content-length", "3")][..], ResponseProblem::AmbiguousLength),
            (&[("transfer-encoding", "gzip, chunked")], ResponseProblem::TransferEncoding),
            (&[("transfer-encoding", "gzip")], ResponseProblem::TransferEncoding),
            (&[("transfer-encoding", "identity")], ResponseProblem::TransferEncoding),
            (&[("transfer-encoding", "")], ResponseProblem::TransferEncoding),
            (&[("transfer-encoding", "chunked, chunked")], ResponseProblem::TransferEncoding),
            (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], ResponseProblem::TransferEncoding),
            (&[("content-length", "2"), ("content-length", "3")], ResponseProblem::ContentLength),
            (&[("content-length", "2"), ("content-length", "2")], ResponseProblem::ContentLength),
            (&[("content-length", "2, 2")], ResponseProblem::ContentLength),
            (&[("content-length", "+2")], ResponseProblem::ContentLength),
            (&[("content-length", "-2")], ResponseProblem::ContentLength),
            (&[("content-length", "0x2")], ResponseProblem::ContentLength),
            (&[("content-length", "")], ResponseProblem::ContentLength),
            (&[("content-length", "9223372036854775808")], ResponseProblem::ContentLength),
        ] {
            assert_eq!(response(200, lines), Some(expected), "{lines:?}");
            assert!(response(204, lines).is_some() && response(304, lines).is_some(), "{lines:?}");
        }
    }

    #[test]
    fn a_response_without_a_body_has_no_length_but_0_in_a_204() {
        for status in [100, 101, 103, 199, 204] {
            for line in [("content-length", "1"), ("content-length", "00"), ("transfer-encoding", "chunked")] {
                assert_eq!(response(status, &[line]), Some(ResponseProblem::Bodiless), "{status} {line:?}");
            }
        }
        assert_eq!(response(204, &[("content-length", "0")]), None);
        assert_eq!(response(101, &[("content-length", "0")]), Some(ResponseProblem::Bodiless));
        let twice = [("content-length", "0"), ("content-length", "0")];
        assert_eq!(response(204, &twice), Some(ResponseProblem::ContentLength));
        let both = [("content-length", "0"), ("transfer-encoding", "chunked")];
        assert_eq!(response(204, &both), Some(ResponseProblem::AmbiguousLength));
    }
}
