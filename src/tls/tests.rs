use std::fmt::Debug;
use std::io::Cursor;
use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;
use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, Connection, DigitallySignedStruct, HandshakeKind, ServerConnection,
    SignatureScheme, SupportedProtocolVersion,
};
use serde_json::{Value, json};

use super::*;
use crate::pki::{Ca, FAR, Identity};

mod choice;
mod client_auth;
mod following;
mod identity;
mod loading;
mod resumption;
mod stapling;

/// Files of a listener.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Value {
        std::fs::write(self.path(name), content).unwrap();
        json!(self.path(name))
    }

    /// A certificate and its key, as the file of the configuration has them.
    fn pair(&self, name: &str, identity: &Identity) -> Value {
        let cert = self.write(&format!("{name}.crt"), &identity.cert);
        json!({"cert": cert, "key": self.write(&format!("{name}.key"), &identity.key)})
    }
}

/// In May of 2026, within what the tests' certificates last.
fn now() -> SystemTime {
    at(1_780_000_000)
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn settings(tls: Value) -> ListenerTls {
    serde_json::from_value(tls).unwrap()
}

fn compiled(tls: Value) -> Arc<Tls> {
    let (tls, warnings) = Tls::compile("web", &settings(tls), true, None, now()).unwrap();
    assert_eq!(warnings, []);
    tls
}

/// What there is to say about files that are refused, or about those that are taken.
fn said(tls: Value, now: SystemTime) -> Result<Vec<String>, Vec<String>> {
    let texts = |remarks: Vec<Remark>| remarks.iter().map(ToString::to_string).collect();
    Tls::compile("web", &settings(tls), true, None, now).map(|(_, warnings)| texts(warnings)).map_err(texts)
}

fn ders(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().unwrap()
}

/// A client that takes any certificate.
struct Client {
    config: ClientConfig,
    seen: Arc<Seen>,
}

/// What the door has sent last of OCSP.
#[derive(Debug, Default)]
struct Seen {
    ocsp: Mutex<Vec<u8>>,
}

impl Client {
    fn new() -> Self {
        Self::of(&[&TLS13, &TLS12], None)
    }

    fn with(identity: &Identity) -> Self {
        Self::of(&[&TLS13, &TLS12], Some(identity))
    }

    fn of(versions: &[&'static SupportedProtocolVersion], identity: Option<&Identity>) -> Self {
        let seen = Arc::new(Seen::default());
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(versions).unwrap();
        let builder = builder.dangerous().with_custom_certificate_verifier(seen.clone());
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { cert, key }) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(ders(cert), key).unwrap()
            }
        };
        Self { config, seen }
    }

    fn alpn(mut self, protocols: &[&str]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    fn without_sni(mut self) -> Self {
        self.config.enable_sni = false;
        self
    }

    /// A whole handshake in memory, with what the door sends after it.
    fn shake(&self, tls: &Tls, name: &str) -> Result<Shaken, rustls::Error> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = Connection::from(ClientConnection::new(Arc::new(self.config.clone()), name).unwrap());
        let mut server = Connection::from(ServerConnection::new(tls.config()).unwrap());
        loop {
            let sent = carry(&mut client, &mut server)?;
            if carry(&mut server, &mut client)? + sent == 0 {
                break;
            }
        }
        let (Connection::Client(client), Connection::Server(server)) = (client, server) else { unreachable!() };
        assert!(!client.is_handshaking() && !server.is_handshaking());
        Ok(Shaken { client, server })
    }

    fn ocsp(&self) -> Vec<u8> {
        self.seen.ocsp.lock().clone()
    }
}

fn carry(from: &mut Connection, to: &mut Connection) -> Result<usize, rustls::Error> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut left = Cursor::new(&bytes);
    while left.position() < bytes.len() as u64 {
        to.read_tls(&mut left).unwrap();
        to.process_new_packets()?;
    }
    Ok(bytes.len())
}

/// Both ends after a handshake.
#[derive(Debug)]
struct Shaken {
    client: ClientConnection,
    server: ServerConnection,
}

impl Shaken {
    fn is_resumed(&self) -> bool {
        self.server.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    fn shown(&self) -> &CertificateDer<'_> {
        &self.client.peer_certificates().unwrap()[0]
    }
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.ocsp.lock() = ocsp.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate that signs itself, made as `change` says.
fn made(change: impl FnOnce(&mut CertificateParams)) -> Identity {
    made_with(&rcgen::PKCS_ECDSA_P256_SHA256, change)
}

fn made_with(kind: &'static rcgen::SignatureAlgorithm, change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_after = date_time_ymd(FAR, 1, 1);
    change(&mut params);
    let key = KeyPair::generate_for(kind).unwrap();
    Identity { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

fn has(texts: &[impl AsRef<str> + Debug], words: &str) {
    let [text] = texts else { panic!("not one: {texts:?}") };
    assert!(text.as_ref().contains(words), "{texts:?} without {words}");
}
