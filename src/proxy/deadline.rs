//! What the upstream is told of the time that is left: `grpc-timeout`, and the header that a route asks for.

use std::time::{Duration, Instant};

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};

use super::exchange::Exchange;
use crate::filter::HeadersMut;
use crate::head::grpc::Dialect;

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Writes how much time is left into the head that leaves.
///
/// gRPC calls are told where the file sets a `timeout`: it then bounds the call at its server, too, though the door
/// itself lets a stream that has begun run. Where the client has set a shorter one, that counts, less what has passed.
pub(super) fn write(exchange: &Exchange, headers: &mut impl HeadersMut) {
    let is_grpc = Dialect::of(headers.get(&CONTENT_TYPE)) == Some(Dialect::Native);
    let name = exchange.forward().and_then(|forward| forward.deadline_header.as_ref());
    if !is_grpc && name.is_none() {
        return;
    }
    let passed = Instant::now().saturating_duration_since(exchange.started);
    let left = exchange.timeout.map(|limit| limit.saturating_sub(passed));
    if is_grpc {
        let asked = headers.get(&GRPC_TIMEOUT).and_then(parse).map(|asked| asked.saturating_sub(passed));
        let own = left.filter(|_| exchange.route.as_ref().is_some_and(|taken| taken.route.has_own_timeout));
        if let Some(value) = asked.into_iter().chain(own).min().and_then(grpc_timeout) {
            headers.set(GRPC_TIMEOUT, value);
        }
    }
    if let (Some(name), Some(left)) = (name, left) {
        headers.set(name.clone(), HeaderValue::from(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)));
    }
}

/// At most eight digits and a unit (gRPC over HTTP/2, `Timeout`).
fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// In the finest unit that its eight digits hold.
fn grpc_timeout(left: Duration) -> Option<HeaderValue> {
    let units = [(left.as_micros(), 'u'), (left.as_millis(), 'm'), (left.as_secs().into(), 'S')];
    let (number, unit) = units.into_iter().find(|(number, _)| *number < 100_000_000)?;
    HeaderValue::try_from(format!("{number}{unit}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_timeout_is_eight_digits_and_a_unit() {
        assert_eq!(parse(b"5S"), Some(Duration::from_secs(5)));
        assert_eq!(parse(b"00000100m"), Some(Duration::from_millis(100)));
        for bad in [&b""[..], b"S", b"5", b"5s", b"123456789S", b"-1S", b"1.5S"] {
            assert_eq!(parse(bad), None, "{}", String::from_utf8_lossy(bad));
        }
        let written = |left| grpc_timeout(left).unwrap();
        assert_eq!(written(Duration::from_millis(1500)), "1500000u");
        assert_eq!(written(Duration::from_secs(100)), "100000m");
        assert_eq!(written(Duration::from_secs(1_000_000)), "1000000S");
        assert_eq!(grpc_timeout(Duration::MAX), None);
    }
}
