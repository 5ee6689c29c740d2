//! Clients by TLS, which trust one CA.

use std::io;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::http2::Http2;
use super::pki::{Ca, Identity};
use super::{Address, Connection, Stream, within};

/// What a client speaks and shows. Clones share the tickets that they got.
#[derive(Clone)]
pub struct Secure {
    config: ClientConfig,
}

impl Secure {
    /// One that believes this CA and shows nothing of itself.
    pub fn trusting(ca: &Ca) -> Self {
        Self::of(ca, None, rustls::ALL_VERSIONS)
    }

    /// The same with a certificate.
    pub fn showing(ca: &Ca, identity: &Identity) -> Self {
        Self::of(ca, Some(identity), rustls::ALL_VERSIONS)
    }

    /// The same that speaks only this version.
    pub fn of(ca: &Ca, identity: Option<&Identity>, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let mut roots = RootCertStore::empty();
        chain(&ca.pem()).into_iter().for_each(|ca| roots.add(ca).expect("a CA"));
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(versions).expect("versions").with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { cert, key }) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain(cert), key).expect("a good identity")
            }
        };
        Self { config }
    }

    /// Offers these protocols (ALPN).
    #[must_use]
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// Does not say whom it asks (SNI).
    #[must_use]
    pub fn without_sni(mut self) -> Self {
        self.config.enable_sni = false;
        self
    }

    /// A handshake with whom it believes to be `name`.
    pub async fn try_shake(&self, address: &Address, name: &str) -> io::Result<TlsStream<TcpStream>> {
        self.try_shake_after(b"", address, name).await
    }

    /// The same, behind bytes in the clear.
    pub async fn try_shake_after(
        &self,
        bytes: &[u8],
        address: &Address,
        name: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut stream = tcp(address).await?;
        stream.write_all(bytes).await?;
        self.shake_over(stream, name).await
    }

    /// The same on a connection that is there.
    pub async fn shake_over(&self, stream: TcpStream, name: &str) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let shaking = TlsConnector::from(Arc::new(self.config.clone())).connect(name, stream);
        within("a handshake", shaking).await
    }

    /// A connection for HTTP/1.
    pub async fn connect(&self, address: &Address, name: &str) -> Connection {
        self.try_connect(address, name).await.expect("a handshake")
    }

    /// The same where the handshake may fail. In TLS 1.3 a client hears only afterwards that its certificate is no good.
    pub async fn try_connect(&self, address: &Address, name: &str) -> io::Result<Connection> {
        self.over(tcp(address).await?, name).await
    }

    /// The same on a connection that is there.
    pub async fn over(&self, stream: TcpStream, name: &str) -> io::Result<Connection> {
        Ok(Connection::over(Stream::Tls(Box::new(self.shake_over(stream, name).await?)), name))
    }

    /// A connection of HTTP/2.
    pub async fn http2(&self, address: &Address, name: &str) -> Http2 {
        let stream = self.clone().alpn(&["h2"]).try_shake(address, name).await.expect("a handshake");
        Http2::over(stream, &h2::client::Builder::new()).await
    }
}

/// Whether its handshake went on from an earlier one.
pub fn is_resumed(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// The certificate that the server has shown.
pub fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().expect("a certificate")[0].clone()
}

/// A certificate as it is on the wire.
pub fn der(identity: &Identity) -> CertificateDer<'static> {
    chain(&identity.cert).remove(0)
}

async fn tcp(address: &Address) -> io::Result<TcpStream> {
    let Address::Tcp(address) = address else { panic!("a TCP address") };
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().expect("certificates")
}
