//! HTTP/2 by TLS, which clients choose by ALPN.

use std::sync::Arc;

use http::Request;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::http2::Http2;
use crate::support::*;

struct Secure {
    door: Gateway,
    ca: Ca,
    _files: tempfile::TempDir,
}

async fn secure(api: &Address, more: &str) -> Secure {
    let ca = Ca::new("ours");
    let identity = ca.issue(&["a.test", "b.test"]);
    let files = tempfile::tempdir().unwrap();
    let (cert, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    std::fs::write(&cert, &identity.cert).unwrap();
    std::fs::write(&key, &identity.key).unwrap();
    let tls = format!("tls: {{certificates: [{{cert: \"{}\", key: \"{}\"}}]}}", cert.display(), key.display());
    let door = Gateway::start(&format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\", {tls}{more}}}}}\nroutes: {{all: {{path: /, to: \"http://{api}\"}}}}"
    ))
    .await;
    Secure { door, ca, _files: files }
}

impl Secure {
    async fn connect(&self, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.pem().as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let Address::Tcp(address) = self.door.client().address() else { panic!("a TCP address") };
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("a.test").unwrap();
        within("TLS", TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap()
    }
}

fn asked(host: &str) -> Request<()> {
    Request::get(format!("https://{host}/")).body(()).unwrap()
}

#[tokio::test]
async fn a_client_that_can_speaks_http2_by_tls() {
    let api = Upstream::new().on("*", reply(200).body("hi")).start().await;
    let secure = secure(api.address(), "").await;
    let stream = secure.connect(&[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut client = Http2::over(stream, &h2::client::Builder::new()).await;
    assert_eq!(client.send(asked("a.test"), "").await.text(), "hi");
    assert_eq!(api.last().header("x-forwarded-proto"), Some("https"));
}

#[tokio::test]
async fn a_request_for_another_host_than_the_connections_is_misdirected() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let secure = secure(api.address(), "").await;
    let mut client = Http2::over(secure.connect(&[b"h2"]).await, &h2::client::Builder::new()).await;
    assert_eq!(client.send(asked("b.test"), "").await.status.as_u16(), 421);
    assert_eq!(client.send(asked("a.test"), "").await.status.as_u16(), 200);
    assert_eq!(secure.door.log(2).await[0]["cause"], "misdirected");
}

#[tokio::test]
async fn where_http2_is_off_it_is_not_agreed_on() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let secure = secure(api.address(), ", http2: false").await;
    let stream = secure.connect(&[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}
