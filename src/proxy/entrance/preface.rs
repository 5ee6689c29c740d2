//! Whether a connection without TLS begins with HTTP/2 (prior knowledge; RFC 9113, 3.3 and 3.4).

use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::AsyncReadExt;

use super::{unwrap, within};

const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether the connection begins with the preface of HTTP/2, all of which is still to be read from it. As soon as it
/// differs the answer is known: a request of HTTP/1 may be shorter than the preface.
///
/// # Errors
/// When the connection ends first, or when its first byte takes longer than `idle` (`false`); when the rest of a
/// preface takes longer than `limit` (`true`).
pub(super) async fn begins_http2(stream: Stream, idle: Duration, limit: Duration) -> Result<(Stream, bool), bool> {
    let mut stream = unwrap(stream).ok_or(false)?;
    let mut seen = [0_u8; PREFACE.len()];
    let mut length = match within(idle, stream.read(&mut seen)).await {
        Some(Ok(length @ 1..)) => length,
        _ => return Err(false),
    };
    let rest = async {
        while length < PREFACE.len() && PREFACE.starts_with(&seen[..length]) {
            match stream.read(&mut seen[length..]).await {
                Ok(more @ 1..) => length += more,
                _ => return Err(false),
            }
        }
        Ok(())
    };
    within(limit, rest).await.ok_or(true)??;
    stream.rewind(&seen[..length]);
    Ok((stream, seen == PREFACE))
}
