//! The PROXY protocol, versions 1 and 2 (HAProxy's specification, 2.x): a load balancer says before all else whose
//! connection it passes on.
//!
//! The bytes are parsed and made by the crate `ppp`; here is how many of them are read, and what counts.

use std::io;
use std::net::{IpAddr, SocketAddr};

use ppp::{HeaderResult, v1, v2};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::config::ProxyVersion;

/// The longest header of version 1, line end included (specification, 2.1).
const LONGEST_V1: usize = 107;

/// What is read of version 2 before its length is known.
const START_V2: usize = 16;

/// The longest header of version 2 that is read. Addresses take 216 bytes at most; the rest is for what load balancers
/// add, such as the certificate's name.
const LONGEST_V2: usize = 4096;

const SIGNATURE_V2: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The addresses of the two ends of a client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Addresses {
    /// Who has made it.
    pub client: SocketAddr,
    /// The address that it was made to.
    pub door: SocketAddr,
}

/// Why there is no header to go by.
#[derive(Debug, Error)]
pub enum HeaderProblem {
    /// The first bytes are something else.
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    /// It breaks the protocol's rules, or is cut short.
    #[error("{0}")]
    Malformed(String),
    /// The connection ended, or was reset, before its first byte: nobody wanted anything.
    #[error("{0}")]
    Gone(io::Error),
}

impl From<io::Error> for HeaderProblem {
    fn from(e: io::Error) -> Self {
        Self::Malformed(format!("it is cut short: {e}"))
    }
}

/// Reads a header, and not a byte more. `None` where it names no client by an address: the load balancer speaks for
/// itself then (a health check), or stands for a client on a Unix socket.
///
/// # Errors
/// [`HeaderProblem`]. What was read is lost, so the connection is of no more use.
pub async fn read<R: AsyncRead + Unpin>(from: &mut R) -> Result<Option<Addresses>, HeaderProblem> {
    let first = from.read_u8().await.map_err(HeaderProblem::Gone)?;
    let header = match first {
        b'P' => read_v1(from).await?,
        b'\r' => read_v2(from).await?,
        _ => return Err(HeaderProblem::Missing),
    };
    parse(&header)
}

async fn read_v1<R: AsyncRead + Unpin>(from: &mut R) -> Result<Vec<u8>, HeaderProblem> {
    let mut line = vec![b'P'];
    while line.last() != Some(&b'\n') {
        if line.len() == LONGEST_V1 {
            return Err(HeaderProblem::Malformed(format!("its line has more than {LONGEST_V1} bytes")));
        }
        line.push(from.read_u8().await?);
        if line.len() == 6 && line != b"PROXY " {
            return Err(HeaderProblem::Missing);
        }
    }
    if !line.ends_with(b"\r\n") {
        return Err(HeaderProblem::Malformed("its line does not end in CR LF".into()));
    }
    Ok(line)
}

async fn read_v2<R: AsyncRead + Unpin>(from: &mut R) -> Result<Vec<u8>, HeaderProblem> {
    let mut header = vec![b'\r'; START_V2];
    from.read_exact(&mut header[1..]).await?;
    if !header.starts_with(&SIGNATURE_V2) {
        return Err(HeaderProblem::Missing);
    }
    let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if START_V2 + length > LONGEST_V2 {
        return Err(HeaderProblem::Malformed(format!("it has more than {LONGEST_V2} bytes")));
    }
    header.resize(START_V2 + length, 0);
    from.read_exact(&mut header[START_V2..]).await?;
    Ok(header)
}

/// What a whole header names, as [`read`] says.
///
/// # Errors
/// [`HeaderProblem::Malformed`].
pub fn parse(header: &[u8]) -> Result<Option<Addresses>, HeaderProblem> {
    let malformed = |e: &dyn std::fmt::Display| HeaderProblem::Malformed(e.to_string());
    match HeaderResult::parse(header) {
        HeaderResult::V1(Ok(header)) => Ok(match header.addresses {
            v1::Addresses::Unknown => None,
            v1::Addresses::Tcp4(ip) => Some(Addresses {
                client: address(ip.source_address, ip.source_port),
                door: address(ip.destination_address, ip.destination_port),
            }),
            v1::Addresses::Tcp6(ip) => Some(Addresses {
                client: address(ip.source_address, ip.source_port),
                door: address(ip.destination_address, ip.destination_port),
            }),
        }),
        HeaderResult::V1(Err(e)) => Err(malformed(&e)),
        HeaderResult::V2(Ok(header)) => match (header.command, header.protocol, header.addresses) {
            (v2::Command::Local, ..) | (_, _, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => Ok(None),
            (_, v2::Protocol::Datagram, _) => Err(malformed(&"it is for datagrams")),
            (_, _, v2::Addresses::IPv4(ip)) => Ok(Some(Addresses {
                client: address(ip.source_address, ip.source_port),
                door: address(ip.destination_address, ip.destination_port),
            })),
            (_, _, v2::Addresses::IPv6(ip)) => Ok(Some(Addresses {
                client: address(ip.source_address, ip.source_port),
                door: address(ip.destination_address, ip.destination_port),
            })),
        },
        HeaderResult::V2(Err(e)) => Err(malformed(&e)),
    }
}

fn address(ip: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into(), port)
}

/// A header for a connection between these addresses. Without them it says that the door speaks for itself (`LOCAL`, in
/// version 1 `UNKNOWN`).
///
/// # Errors
/// Never for the lengths that addresses have; the crate's writer says so in general.
pub fn write(version: ProxyVersion, addresses: Option<Addresses>) -> io::Result<Vec<u8>> {
    let addresses = addresses.map(of_one_family);
    match (version, addresses) {
        (ProxyVersion::V1, addresses) => {
            Ok(addresses.map_or(v1::Addresses::Unknown, v1::Addresses::from).to_string().into())
        }
        (ProxyVersion::V2, Some(addresses)) => {
            let command = v2::Version::Two | v2::Command::Proxy;
            v2::Builder::with_addresses(command, v2::Protocol::Stream, addresses).build()
        }
        (ProxyVersion::V2, None) => {
            let command = v2::Version::Two | v2::Command::Local;
            v2::Builder::with_addresses(command, v2::Protocol::Unspecified, v2::Addresses::Unspecified).build()
        }
    }
}

/// A header has room for one family: IPv4 in IPv6 is IPv4, unless the other end is IPv6 (as HAProxy has it).
fn of_one_family(Addresses { client, door }: Addresses) -> (SocketAddr, SocketAddr) {
    let canonical = |at: SocketAddr| address(at.ip().to_canonical(), at.port());
    let mapped = |at: SocketAddr| match at.ip() {
        IpAddr::V4(ip) => address(ip.to_ipv6_mapped(), at.port()),
        IpAddr::V6(_) => at,
    };
    let (client, door) = (canonical(client), canonical(door));
    if client.is_ipv4() == door.is_ipv4() { (client, door) } else { (mapped(client), mapped(door)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a header with something behind it; what was left over.
    async fn read_all(bytes: &[u8]) -> (Result<Option<SocketAddr>, HeaderProblem>, Vec<u8>) {
        let mut from = bytes;
        let found = read(&mut from).await;
        (found.map(|found| found.map(|addresses| addresses.client)), from.to_vec())
    }

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&SIGNATURE_V2[..], &[command, family], &length, payload].concat()
    }

    const IPV4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0, 80];

    #[tokio::test]
    async fn the_client_is_named_and_nothing_behind_the_header_is_read() {
        let cases: [(&[u8], Option<&str>); 6] = [
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n", Some("192.0.2.7:4711")),
            (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n", Some("[2001:db8::7]:4711")),
            (b"PROXY UNKNOWN\r\n", None),
            (&v2(0x21, 0x11, &IPV4), Some("192.0.2.7:4711")),
            (&v2(0x20, 0x00, &[]), None),
            (&v2(0x21, 0x11, &[&IPV4[..], &[0x04, 0, 2, 0, 0]].concat()), Some("192.0.2.7:4711")),
        ];
        for (header, client) in cases {
            let (found, rest) = read_all(&[header, b"GET / HTTP/1.1\r\n"].concat()).await;
            assert_eq!(found.unwrap(), client.map(|client| client.parse().unwrap()), "{header:?}");
            assert_eq!(rest, b"GET / HTTP/1.1\r\n", "{header:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_told_from_what_is_a_bad_one() {
        for missing in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], b"POST / HTTP/1.1\r\n", b"\r\nGET / HTTP/1.1\r\n\r\n\r\n", b"\x16\x03\x01"]
        {
            assert!(matches!(read_all(missing).await.0, Err(HeaderProblem::Missing)), "{missing:?}");
        }
        let long = [&b"PROXY TCP4 "[..], &[b'1'; 200], b"\r\n"].concat();
        let huge = v2(0x21, 0x11, &[0; 5000]);
        for bad in [
            &b"PROXY TCP4 192.0.2.7\r\n"[..],
            b"PROXY TCP4 300.0.2.7 1.1.1.1 1 2\r\n",
            b"PROXY SCTP 1 2 3 4\r\n",
            &long,
            &huge,
            &v2(0x31, 0x11, &IPV4),
            &v2(0x21, 0x12, &IPV4),
            &v2(0x21, 0x11, &IPV4[..8]),
            &v2(0x22, 0x11, &IPV4),
        ] {
            assert!(matches!(read_all(bad).await.0, Err(HeaderProblem::Malformed(_))), "{bad:?}");
        }
        for cut in [&b"P"[..], b"PROXY TCP4", &v2(0x21, 0x11, &IPV4)[..20]] {
            assert!(matches!(read_all(cut).await.0, Err(HeaderProblem::Malformed(_))), "{cut:?}");
        }
        assert!(matches!(read_all(b"").await.0, Err(HeaderProblem::Gone(_))));
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            for (client, door, read_as) in [
                ("192.0.2.7:4711", "198.51.100.1:80", ("192.0.2.7:4711", "198.51.100.1:80")),
                ("[2001:db8::7]:4711", "[2001:db8::1]:80", ("[2001:db8::7]:4711", "[2001:db8::1]:80")),
                ("[::ffff:192.0.2.7]:1", "[::ffff:192.0.2.1]:2", ("192.0.2.7:1", "192.0.2.1:2")),
                ("192.0.2.7:1", "[2001:db8::1]:2", ("[::ffff:192.0.2.7]:1", "[2001:db8::1]:2")),
            ] {
                let header = write(version, Some(Addresses { client: at(client), door: at(door) })).unwrap();
                let read_as = Addresses { client: at(read_as.0), door: at(read_as.1) };
                assert_eq!(parse(&header).unwrap(), Some(read_as), "{version:?} {client}");
            }
            assert_eq!(parse(&write(version, None).unwrap()).unwrap(), None);
        }
        assert_eq!(write(ProxyVersion::V1, None).unwrap(), b"PROXY UNKNOWN\r\n");
        assert_eq!(write(ProxyVersion::V2, None).unwrap(), v2(0x20, 0, &[]));
    }
}
