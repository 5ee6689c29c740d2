//! gRPC servers by HTTP/2 without TLS, which answer every call in the same way and record what they were asked.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::HeaderMap;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Address, Gate};

/// What a server was asked.
#[derive(Debug, Clone)]
pub struct Call {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Call {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }
}

/// A server to be: its answer, before it listens.
#[derive(Clone)]
pub struct GrpcUpstream {
    headers: HeaderMap,
    pieces: Vec<(Bytes, Option<Gate>)>,
    trailers: Option<HeaderMap>,
}

/// One that listens until it is dropped.
pub struct GrpcServer {
    address: Address,
    calls: Arc<Mutex<Vec<Call>>>,
    _serving: JoinSet<()>,
}

fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
}

/// A message in its frame.
pub fn message(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("a short message").to_be_bytes();
    [&[0], &length[..], text.as_bytes()].concat()
}

impl GrpcUpstream {
    /// An answer with this head.
    pub fn new(headers: &[(&'static str, &'static str)]) -> Self {
        Self { headers: map(headers), pieces: Vec::new(), trailers: None }
    }

    /// The usual one: two messages and a status.
    pub fn fine() -> Self {
        let head = Self::new(&[("content-type", "application/grpc+proto")]);
        head.data(message("one")).data(message("two")).trailers(&[("grpc-status", "0"), ("grpc-message", "")])
    }

    /// More of the body.
    #[must_use]
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.pieces.push((data.into(), None));
        self
    }

    /// The next of the body waits for the gate.
    #[must_use]
    pub fn wait(mut self, gate: &Gate) -> Self {
        self.pieces.push((Bytes::new(), Some(gate.clone())));
        self
    }

    #[must_use]
    pub fn trailers(mut self, trailers: &[(&'static str, &'static str)]) -> Self {
        self.trailers = Some(map(trailers));
        self
    }

    pub async fn start(self) -> GrpcServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("its address").into();
        let calls = Arc::default();
        let (script, heard) = (Arc::new(self), Arc::clone(&calls));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&script), Arc::clone(&heard)));
            }
        });
        GrpcServer { address, calls, _serving: serving }
    }

    async fn answer(&self, mut respond: h2::server::SendResponse<Bytes>) -> Result<(), h2::Error> {
        let mut response = http::Response::new(());
        *response.headers_mut() = self.headers.clone();
        let mut body = respond.send_response(response, self.pieces.is_empty() && self.trailers.is_none())?;
        for (data, gate) in &self.pieces {
            match gate {
                Some(gate) => gate.pass().await,
                None => body.send_data(data.clone(), false)?,
            }
        }
        match &self.trailers {
            Some(trailers) => body.send_trailers(trailers.clone()),
            None if self.pieces.is_empty() => Ok(()),
            None => body.send_data(Bytes::new(), true),
        }
    }
}

async fn serve(stream: TcpStream, script: Arc<GrpcUpstream>, calls: Arc<Mutex<Vec<Call>>>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let mut tasks = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (script, calls) = (Arc::clone(&script), Arc::clone(&calls));
        tasks.spawn(async move {
            let (head, mut incoming) = request.into_parts();
            let mut body = Vec::new();
            while let Some(Ok(data)) = incoming.data().await {
                body.extend_from_slice(&data);
            }
            let call = Call { path: head.uri.path().to_owned(), headers: head.headers, body };
            calls.lock().expect("not poisoned").push(call);
            // A caller that is gone is the test's own affair.
            script.answer(respond).await.ok();
        });
    }
}

impl GrpcServer {
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The latest call.
    #[track_caller]
    pub fn last(&self) -> Call {
        self.calls.lock().expect("not poisoned").last().expect("a call came").clone()
    }
}
