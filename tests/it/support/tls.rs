//! Upstreams by TLS and HTTP/2, which say of each request how it came.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::pki::{Ca, Identity};
use super::{Address, within};

/// An upstream to be, before it listens.
pub struct TlsUpstream {
    tls: Option<ServerConfig>,
    http2: bool,
    together: usize,
}

/// One that listens until it is dropped.
pub struct TlsServer {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<watch::Sender<usize>>,
    _serving: JoinSet<()>,
}

impl TlsUpstream {
    /// HTTP/1.1 by TLS.
    pub fn new(identity: &Identity) -> Self {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
        Self::of(builder.with_single_cert(chain(&identity.cert), key(identity)).expect("a good identity"))
    }

    /// The same for clients with a certificate of this CA only.
    pub fn for_clients_of(ca: &Ca, identity: &Identity) -> Self {
        let mut roots = RootCertStore::empty();
        chain(&ca.pem()).into_iter().for_each(|ca| roots.add(ca).expect("a CA"));
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_client_cert_verifier(verifier.build().expect("a verifier"));
        Self::of(builder.with_single_cert(chain(&identity.cert), key(identity)).expect("a good identity"))
    }

    fn of(mut tls: ServerConfig) -> Self {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { tls: Some(tls), http2: false, together: 1 }
    }

    /// HTTP/2 without TLS.
    pub fn h2c() -> Self {
        Self { tls: None, http2: true, together: 1 }
    }

    /// HTTP/2 also, and rather, if the client can.
    #[must_use]
    pub fn http2(mut self) -> Self {
        if let Some(tls) = &mut self.tls {
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        self
    }

    /// Negotiates no version: HTTP/1.1 then, as of old.
    #[must_use]
    pub fn without_alpn(mut self) -> Self {
        if let Some(tls) = &mut self.tls {
            tls.alpn_protocols.clear();
        }
        self
    }

    /// Answers no request before there are so many at once.
    #[must_use]
    pub fn together(mut self, requests: usize) -> Self {
        self.together = requests;
        self
    }

    pub async fn start(self) -> TlsServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        let mut serving = JoinSet::new();
        let acceptor = self.tls.map(|tls| TlsAcceptor::from(Arc::new(tls)));
        let requests = Arc::new(watch::Sender::new(0));
        let together = Arc::new(Together { barrier: Barrier::new(self.together), requests: requests.clone() });
        serving.spawn(async move {
            let mut tasks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, together, counted) = (acceptor.clone(), together.clone(), counted.clone());
                tasks.spawn(async move {
                    // How it ends is what the other side is asked.
                    serve(stream, acceptor, self.http2, together, &counted).await.ok();
                });
            }
        });
        TlsServer { address, connections, requests, _serving: serving }
    }
}

impl TlsServer {
    pub fn address(&self) -> Address {
        self.address.into()
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Waits until so many requests by HTTP/2 have come.
    pub async fn wait_for_requests(&self, count: usize) {
        let mut requests = self.requests.subscribe();
        let come = requests.wait_for(|&come| come >= count);
        within(format!("{count} requests"), come).await.expect("the server runs");
    }

    /// How many connections had a whole handshake so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Holds requests back until enough of them have come.
struct Together {
    barrier: Barrier,
    requests: Arc<watch::Sender<usize>>,
}

async fn serve(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    http2: bool,
    together: Arc<Together>,
    connections: &AtomicUsize,
) -> io::Result<()> {
    let Some(acceptor) = acceptor else {
        connections.fetch_add(1, Ordering::SeqCst);
        return if http2 { serve_http2(stream, "h2c".into(), together).await } else { serve_http1(stream, "").await };
    };
    let stream = acceptor.accept(stream).await?;
    connections.fetch_add(1, Ordering::SeqCst);
    let session = stream.get_ref().1;
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let name = session.server_name().unwrap_or("-");
    let client = if session.peer_certificates().is_some() { "known" } else { "unknown" };
    let about = format!("{} {name} {client}", if is_http2 { "h2" } else { "http/1.1" });
    if is_http2 { serve_http2(stream, about, together).await } else { serve_http1(stream, &about).await }
}

async fn serve_http2<S>(stream: S, about: String, together: Arc<Together>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = h2::server::handshake(stream).await.map_err(io::Error::other)?;
    let mut tasks = JoinSet::new();
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request.map_err(io::Error::other)?;
        let (about, together) = (about.clone(), together.clone());
        tasks.spawn(async move {
            together.requests.send_modify(|come| *come += 1);
            together.barrier.wait().await;
            let authority = request.uri().authority().map_or("-", |authority| authority.as_str()).to_owned();
            let scheme = request.uri().scheme_str().unwrap_or("-").to_owned();
            let mut body = respond.send_response(http::Response::new(()), false)?;
            body.send_data(Bytes::from(format!("{about} {scheme}://{authority}")), true)
        });
    }
    Ok(())
}

async fn serve_http1<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, about: &str) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        while !buffer.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let upgrades = buffer.windows(8).any(|part| part.eq_ignore_ascii_case(b"upgrade:"));
        buffer.clear();
        let length = about.len();
        let head = match upgrades {
            true => "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n".into(),
            false => format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{about}"),
        };
        stream.write_all(head.as_bytes()).await?;
        stream.flush().await?;
    }
}

fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().expect("certificates")
}

fn key(identity: &Identity) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key")
}
