//! The host that a request is for, in one spelling.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use thiserror::Error;

/// Why a host is refused. Each of these gets a 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HostProblem {
    /// Nothing, or nothing before the port.
    #[error("the host is empty")]
    Empty,
    /// More than the 253 characters that a DNS name can have.
    #[error("the host is longer than 253 characters")]
    TooLong,
    /// `user@host`: no such thing in HTTP (RFC 9110, 4.2.4).
    #[error("the host holds user information")]
    UserInfo,
    /// `a..b` or `.a`.
    #[error("the host has an empty label")]
    EmptyLabel,
    /// A byte that no host name has.
    #[error("the host holds a character that no host name has")]
    Illegal,
    /// `[…]` that is no IPv6 address, or has a zone.
    #[error("the host is no IPv6 address although it begins with `[`")]
    Ipv6,
    /// Not 0 to 65535 in digits; an empty one too, which RFC 3986 allows but nobody sends in good faith.
    #[error("the host's port is not a number from 0 to 65535")]
    Port,
}

/// Normalises a `Host` header or an authority (RFC 9110, 7.2; RFC 3986, 3.2): lower case, without the port and without
/// the dot at the end. An IPv6 address stays in its brackets and gets its one spelling (RFC 5952).
///
/// Names may have letters, digits, `-`, `_` and dots. RFC 3986 also allows escapes and `!$&'()*+,;=`, which no name
/// in use has, and which read differently from server to server; so they are refused. Names beyond ASCII come as
/// `xn--…`.
///
/// # Errors
/// If it is not exactly one host with at most one port.
pub fn normalise(raw: &[u8]) -> Result<Cow<'_, str>, HostProblem> {
    let text = std::str::from_utf8(raw).map_err(|_| HostProblem::Illegal)?;
    if text.contains('@') {
        return Err(HostProblem::UserInfo);
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(HostProblem::Ipv6)?;
        if !port.is_empty() {
            check_port(port.strip_prefix(':').ok_or(HostProblem::Illegal)?)?;
        }
        let parsed: Ipv6Addr = address.parse().map_err(|_| HostProblem::Ipv6)?;
        return Ok(Cow::Owned(format!("[{parsed}]")));
    }
    let name = match text.split_once(':') {
        Some((name, port)) => {
            check_port(port)?;
            name
        }
        None => text,
    };
    check_name(name)
}

fn check_port(port: &str) -> Result<(), HostProblem> {
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if digits && port.parse::<u16>().is_ok() { Ok(()) } else { Err(HostProblem::Port) }
}

fn check_name(name: &str) -> Result<Cow<'_, str>, HostProblem> {
    if name.is_empty() {
        return Err(HostProblem::Empty);
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > 253 {
        return Err(HostProblem::TooLong);
    }
    let (mut upper, mut after_dot) = (false, true);
    for byte in name.bytes() {
        match byte {
            b'.' if after_dot => return Err(HostProblem::EmptyLabel),
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {}
            b'A'..=b'Z' => upper = true,
            _ => return Err(HostProblem::Illegal),
        }
        after_dot = byte == b'.';
    }
    if after_dot {
        return Err(HostProblem::EmptyLabel);
    }
    Ok(if upper { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_port_and_final_dot_do_not_matter() {
        for raw in
            ["api.example.com", "API.Example.com", "api.example.com:8080", "api.example.com.", "api.example.com.:1"]
        {
            assert_eq!(normalise(raw.as_bytes()).unwrap(), "api.example.com");
        }
        assert_eq!(normalise(b"127.0.0.1:80").unwrap(), "127.0.0.1");
        assert_eq!(normalise(b"[0:0::1]:80").unwrap(), "[::1]");
        assert_eq!(normalise(b"my_service").unwrap(), "my_service");
        assert!(matches!(normalise(b"a.test:80").unwrap(), Cow::Borrowed("a.test")));
    }

    #[test]
    fn a_doubtful_host_is_refused() {
        for (raw, expected) in [
            ("", HostProblem::Empty),
            (":80", HostProblem::Empty),
            (".", HostProblem::EmptyLabel),
            ("a..b", HostProblem::EmptyLabel),
            (".a", HostProblem::EmptyLabel),
            ("a..", HostProblem::EmptyLabel),
            ("u@a", HostProblem::UserInfo),
            ("a b", HostProblem::Illegal),
            ("a,b", HostProblem::Illegal),
            ("a/b", HostProblem::Illegal),
            ("a%2eb", HostProblem::Illegal),
            ("é.test", HostProblem::Illegal),
            ("a:", HostProblem::Port),
            ("a:65536", HostProblem::Port),
            ("a:+80", HostProblem::Port),
            ("a:80:80", HostProblem::Port),
            ("::1", HostProblem::Port),
            ("[::1", HostProblem::Ipv6),
            ("[fe80::1%25eth0]", HostProblem::Ipv6),
            ("[v1.x]", HostProblem::Ipv6),
            ("[::1]x", HostProblem::Illegal),
            ("[::1]:", HostProblem::Port),
        ] {
            assert_eq!(normalise(raw.as_bytes()).unwrap_err(), expected, "{raw}");
        }
        assert_eq!(normalise("a".repeat(254).as_bytes()).unwrap_err(), HostProblem::TooLong);
        assert_eq!(normalise(b"\xff").unwrap_err(), HostProblem::Illegal);
    }

    proptest! {
        #[test]
        fn a_normal_host_is_normal(raw in "[aB1:.@\\[\\]x, -]{0,12}") {
            if let Ok(host) = normalise(raw.as_bytes()) {
                prop_assert_eq!(normalise(host.as_bytes()), Ok(host.clone()));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(raw in prop::collection::vec(any::<u8>(), 0..40)) {
            normalise(&raw).ok();
        }
    }
}
