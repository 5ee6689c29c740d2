//! A server that wants a PROXY header before anything else, in front of another one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, copy_bidirectional};
use tokio::task::JoinSet;

use super::{Address, Listener, Stream};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Takes the header off each connection, writes it down and passes the rest on. A connection that begins otherwise is
/// written down as `no header` and closed.
pub struct Announced {
    address: Address,
    headers: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Announced {
    pub async fn to(server: &Address) -> Self {
        let (listener, address) = Listener::tcp().await;
        let headers: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut serving = JoinSet::new();
        let (server, seen) = (server.clone(), headers.clone());
        serving.spawn(async move {
            let mut relays = JoinSet::new();
            while let Ok(mut client) = listener.accept().await {
                let (server, seen) = (server.clone(), seen.clone());
                relays.spawn(async move {
                    let header = read(&mut client).await;
                    let is_one = header.is_some();
                    seen.lock().unwrap().push(header.unwrap_or_else(|| "no header".to_owned()));
                    if is_one && let Ok(mut server) = Stream::connect(&server).await {
                        // How it ends is what the two ends see.
                        copy_bidirectional(&mut client, &mut server).await.ok();
                    }
                });
            }
        });
        Self { address, headers, _serving: serving }
    }

    /// What each connection began with: `v2 192.0.2.7:4711 to 198.51.100.1:80`, `v2 local`.
    pub fn headers(&self) -> Vec<String> {
        self.headers.lock().unwrap().clone()
    }
}

impl fmt::Display for Announced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

async fn read(from: &mut Stream) -> Option<String> {
    let mut start = [0; 12];
    from.read_exact(&mut start).await.ok()?;
    if start == *SIGNATURE {
        return read_v2(from).await;
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") && line.len() < 107 {
        line.push(from.read_u8().await.ok()?);
    }
    let line = String::from_utf8(line).ok()?;
    let words: Vec<&str> = line.trim_end().split(' ').collect();
    match *words {
        ["PROXY", "UNKNOWN"] => Some("v1 local".to_owned()),
        ["PROXY", "TCP4" | "TCP6", client, door, client_port, door_port] => {
            let at = |ip: &str, port: &str| Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?));
            Some(format!("v1 {} to {}", at(client, client_port)?, at(door, door_port)?))
        }
        _ => None,
    }
}

async fn read_v2(from: &mut Stream) -> Option<String> {
    let command = from.read_u8().await.ok()?;
    let family = from.read_u8().await.ok()?;
    let mut rest = vec![0; from.read_u16().await.ok()?.into()];
    from.read_exact(&mut rest).await.ok()?;
    let port = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
    match (command, family, rest.len()) {
        (0x20, _, _) => Some("v2 local".to_owned()),
        (0x21, 0x11, 12) => {
            let ip = |at: usize| IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(&rest[at..at + 4]).unwrap()));
            Some(format!("v2 {} to {}", SocketAddr::new(ip(0), port(8)), SocketAddr::new(ip(4), port(10))))
        }
        (0x21, 0x21, 36) => {
            let ip = |at: usize| IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(&rest[at..at + 16]).unwrap()));
            Some(format!("v2 {} to {}", SocketAddr::new(ip(0), port(32)), SocketAddr::new(ip(16), port(34))))
        }
        _ => None,
    }
}
