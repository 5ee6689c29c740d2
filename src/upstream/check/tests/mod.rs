//! Checks against scripted servers on the loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::upstreams::peer::HttpPeer;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::{Checker, Connector, Member};
use crate::config::{HealthCheck, HostPolicy};

mod connection;
mod grpc;
mod http;
mod watched;

pub(super) struct Server {
    pub(super) name: String,
    pub(super) peers: Vec<HttpPeer>,
}

impl Member for Server {
    fn name(&self) -> &str {
        &self.name
    }

    fn peers(&self) -> &[HttpPeer] {
        &self.peers
    }
}

impl Server {
    fn at(address: SocketAddr) -> Self {
        Self { name: address.to_string(), peers: vec![HttpPeer::new(address, false, String::new())] }
    }
}

/// What a scripted server does once its answer is written.
#[derive(Clone, Copy)]
enum Then {
    Close,
    /// Waits for the client to close, and says so.
    Wait,
    /// Repeats the bytes as long as somebody takes them.
    Repeat(&'static [u8]),
    /// The same, but one byte every few milliseconds, so that no single read takes long.
    Drip(&'static [u8]),
}

type Said = mpsc::UnboundedReceiver<String>;

/// Answers every connection alike; what it heard comes out of the channel.
async fn server(answer: &'static [u8], then: Then) -> (Server, Said) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::at(listener.local_addr().unwrap());
    let (heard, said) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(play(stream, answer, then, heard.clone()));
        }
    });
    (server, said)
}

async fn play(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &[u8],
    then: Then,
    heard: mpsc::UnboundedSender<String>,
) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.ok()?);
    }
    heard.send(String::from_utf8(request).unwrap()).ok()?;
    stream.write_all(answer).await.ok()?;
    match then {
        Then::Close => {}
        Then::Wait => {
            let rest = stream.read_to_end(&mut Vec::new()).await;
            heard.send(format!("closed after {:?} bytes", rest.ok())).ok()?;
        }
        Then::Repeat(bytes) => while stream.write_all(bytes).await.is_ok() {},
        Then::Drip(bytes) => {
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            for byte in bytes.iter().cycle() {
                pace.tick().await;
                stream.write_u8(*byte).await.ok()?;
            }
        }
    }
    Some(())
}

fn settings(mut settings: Value) -> HealthCheck {
    settings["interval"] = json!("60s");
    if settings["timeout"].is_null() {
        // So long that it strikes in no test that isn't about it.
        settings["timeout"] = json!("30s");
    }
    serde_json::from_value(settings).unwrap()
}

fn checker(json: Value) -> Arc<Checker> {
    Arc::new(Checker::new(&settings(json), &HostPolicy::Client, &Connector::default()).unwrap())
}

/// A port that nobody listens on.
async fn nobody() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Server::at(listener.local_addr().unwrap())
}

fn failed<T>(why: &str) -> Result<T, String> {
    Err(why.to_owned())
}
