//! Certificates that the door orders from a real ACME server, and renews.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use onedoor::acme::AcmeStatus;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::support::pebble::{ACCOUNT, Pebble};
use crate::support::pki::Year;
use crate::support::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A busy machine takes its time to make an RSA key for the CA.
const LONG: Duration = Duration::from_secs(60);

/// A listener that orders and one in the clear, with the rest of an `acme` and of a `tls`.
fn yaml(store: &Path, acme: &str, more: &str) -> String {
    format!(
        "listeners:\n  plain: {{address: \"127.0.0.1:0\", redirect: https}}\n  secure:\n    address: \"127.0.0.1:0\"\n    \
         tls: {{acme: {{domains: [api.test, www.test], store: \"{}\", {acme}}}{more}}}\n\
         routes: {{all: {{path: /, respond: {{status: 200, body: there}}}}}}",
        store.display()
    )
}

fn status(door: &Gateway) -> AcmeStatus {
    let snapshot = door.server().snapshot();
    snapshot.listener("secure").unwrap().acme.as_ref().unwrap().status()
}

/// Waits for an end of the first attempt.
async fn tried(door: &Gateway) -> AcmeStatus {
    let ended = async {
        loop {
            let status = status(door);
            if status.next.is_some() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within_time(LONG, "an order's end", ended).await
}

/// What a certificate is for, and whose it is.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    names: Vec<String>,
    by: String,
    serial: String,
}

async fn connect(door: &Gateway, name: &str, protocols: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    let client = door.client_of("secure");
    let Address::Tcp(address) = client.address() else { panic!("a TCP port") };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().dangerous();
    let mut config = builder.with_custom_certificate_verifier(Arc::new(Anything)).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    within("a handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

fn certificate(stream: &TlsStream<TcpStream>) -> Shown {
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    let (_, own) = X509Certificate::from_der(&chain[0]).unwrap();
    let names = own.subject_alternative_name().unwrap().unwrap();
    let names = names.value.general_names.iter().map(ToString::to_string).collect();
    Shown { names, by: own.issuer().to_string(), serial: own.tbs_certificate.raw_serial_as_string() }
}

async fn shown(door: &Gateway, name: &str) -> Result<Shown, String> {
    connect(door, name, &[]).await.map(|stream| certificate(&stream)).map_err(|error| error.to_string())
}

/// Waits for a certificate of the CA.
async fn ordered(door: &Gateway, name: &str) -> Shown {
    let shown = async {
        loop {
            match shown(door, name).await {
                Ok(shown) if shown.by.contains("Pebble") => return shown,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    within_time(LONG, format!("a new certificate for {name}; {:?}", status(door)), shown).await
}

/// What is answered to a request for `/` by TLS.
async fn answer(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await.unwrap();
    let mut text = String::new();
    let read = async {
        while !text.ends_with("there") {
            let mut buffer = [0; 1024];
            let length = stream.read(&mut buffer).await.unwrap();
            assert!(length > 0, "the connection ended after {text}");
            text += std::str::from_utf8(&buffer[..length]).unwrap();
        }
    };
    within("an answer", read).await;
    text
}

fn files(store: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![store.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { &mut folders } else { &mut found }.push(path);
        }
    }
    found
}

/// Puts a certificate into the place of the one that a door ordered or would order, which ends in the next two years.
fn plant(store: &Path, acme: &str) -> Shown {
    let text = yaml(store, acme, "");
    let (config, _) = onedoor::config::Config::parse(&text, "test.yaml").unwrap();
    let tls = config.listeners.values().find_map(|listener| listener.tls.clone()).unwrap();
    let file: PathBuf = tls.acme.unwrap().file().into();
    let year = 1970 + SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() / 31_557_600;
    let old = Ca::new("old").issue_until(&["api.test", "www.test"], Year::try_from(year).unwrap() + 2);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, format!("{}{}", old.key, old.cert)).unwrap();
    let der = <CertificateDer as rustls::pki_types::pem::PemObject>::from_pem_slice(old.cert.as_bytes()).unwrap();
    let (_, own) = X509Certificate::from_der(&der).unwrap();
    let serial = own.tbs_certificate.raw_serial_as_string();
    Shown { names: Vec::new(), by: own.issuer().to_string(), serial }
}

/// Nobody listens there.
fn nowhere(port: &Port) -> String {
    format!("agree: true, directory: \"https://{port}/dir\"")
}

#[tokio::test]
async fn a_certificate_is_ordered_by_http_01_and_a_restart_needs_no_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut ca = Pebble::start().await;
    let yaml = yaml(&folder.path().join("acme"), &format!("challenge: http-01, {}", ca.keys()), "");
    let door = Gateway::start(&yaml).await;
    // While the CA waits, nobody is shown anything.
    until("the CA's question", || ca.requests.connections() > 0).await;
    assert!(shown(&door, "api.test").await.is_err());
    ca.requests.leads_to(door.client_of("plain").address());
    let first = ordered(&door, "www.test").await;
    assert_eq!(first.names, ["DNSName(api.test)", "DNSName(www.test)"]);
    let status = tried(&door).await;
    assert_eq!((status.orders, &status.last_error), (1, &None));
    let left = |moment: Option<SystemTime>| moment.unwrap().duration_since(SystemTime::now()).unwrap();
    assert!(left(status.next) < 60 * DAY && left(status.next) > 56 * DAY, "{status:?}");
    assert!(answer(&mut connect(&door, "api.test", &[]).await.unwrap()).await.starts_with("HTTP/1.1 200"));
    // Without an order it is a path as any other.
    let other = door.client_of("plain").get("/.well-known/acme-challenge/abc").host("api.test").send().await;
    assert_eq!(
        (other.status, other.header("location")),
        (308, Some("https://api.test/.well-known/acme-challenge/abc"))
    );
    drop(door);

    ca.kill();
    let door = Gateway::start(&yaml).await;
    assert_eq!(shown(&door, "api.test").await.unwrap(), first);
    let status = tried(&door).await;
    assert_eq!((status.orders, status.last_error), (0, None));
}

#[tokio::test]
async fn a_certificate_is_ordered_by_a_handshake_that_asks_no_client_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Pebble::start().await;
    let clients = Ca::new("clients");
    std::fs::write(folder.path().join("clients.pem"), clients.pem()).unwrap();
    let more = format!(", client_auth: {{ca: \"{}\", mode: require}}", folder.path().join("clients.pem").display());
    let door = Gateway::start(&yaml(&folder.path().join("acme"), &ca.keys(), &more)).await;
    until("the CA's question", || ca.handshakes.connections() > 0).await;
    // What is not the CA's question gets no answer to it.
    assert!(connect(&door, "other.test", &[b"acme-tls/1"]).await.is_err());
    assert!(connect(&door, "api.test", &[b"h2", b"http/1.1"]).await.is_err());
    ca.handshakes.leads_to(door.client_of("secure").address());
    let shown = ordered(&door, "api.test").await;
    assert_eq!(shown.names, ["DNSName(api.test)", "DNSName(www.test)"]);
    assert_eq!(ca.requests.connections(), 0);
    // It is over: the protocol is unknown again.
    let why = connect(&door, "api.test", &[b"acme-tls/1"]).await.unwrap_err().to_string();
    assert!(why.contains("NoApplicationProtocol"), "{why}");
    assert!(
        door.server().turned_away().iter().all(|(_, why, count)| why.code() == "tls_handshake_failed" || *count == 0)
    );
}

#[tokio::test]
async fn what_is_due_is_renewed_while_its_connections_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Pebble::start().await;
    let acme = format!("challenge: http-01, {}", ca.keys());
    let old = plant(folder.path(), &acme);
    let door = Gateway::start(&yaml(folder.path(), &acme, "")).await;
    until("the CA's question", || ca.requests.connections() > 0).await;
    let mut connection = connect(&door, "api.test", &[]).await.unwrap();
    assert_eq!(certificate(&connection).serial, old.serial);
    assert!(answer(&mut connection).await.starts_with("HTTP/1.1 200"));
    ca.requests.leads_to(door.client_of("plain").address());
    assert_ne!(ordered(&door, "api.test").await.serial, old.serial);
    assert!(answer(&mut connection).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_ca_that_is_down_leaves_the_old_one_and_is_not_asked_again_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Port::refusing();
    let old = plant(folder.path(), &nowhere(&ca));
    let yaml = yaml(folder.path(), &nowhere(&ca), "");
    let door = Gateway::start(&yaml).await;
    let status = tried(&door).await;
    assert!(status.last_error.as_ref().unwrap().contains(&format!("asking https://{ca}/dir")), "{status:?}");
    let pause = status.next.unwrap().duration_since(SystemTime::now()).unwrap();
    assert!(pause > Duration::from_secs(30) && pause <= Duration::from_secs(66), "{pause:?}");
    assert_eq!(shown(&door, "api.test").await.unwrap().serial, old.serial);
    drop(door);

    // What it knows of the failure outlives it.
    let door = Gateway::start(&yaml).await;
    let again = tried(&door).await;
    assert_eq!(again.last_error, status.last_error);
    assert!(again.next.unwrap() <= status.next.unwrap());
    let failed = files(folder.path()).into_iter().find(|path| path.to_string_lossy().ends_with(".failed.json"));
    let failed: Value = serde_json::from_slice(&std::fs::read(failed.unwrap()).unwrap()).unwrap();
    assert_eq!(failed["failures"], 1);
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_gets_no_certificate_and_the_others_of_the_listener_stay() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Pebble::start().await;
    let other = Ca::new("other").issue(&["other.test"]);
    for (name, text) in [("other.crt", other.cert), ("other.key", other.key)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let file = |name: &str| folder.path().join(name).display().to_string();
    let more = format!(", certificates: [{{cert: \"{}\", key: \"{}\"}}]", file("other.crt"), file("other.key"));
    let door = Gateway::start(&yaml(&folder.path().join("acme"), &ca.keys(), &more)).await;
    // The CA finds a door that was not asked for anything.
    let stranger = TlsUpstream::new(&Ca::new("stranger").issue(&["api.test"])).start().await;
    ca.handshakes.leads_to(&stranger.address());
    let status = tried(&door).await;
    let why = status.last_error.clone().unwrap_or_default();
    assert!(why.contains("api.test by tls-alpn-01: the CA says") || why.contains("www.test by tls-alpn-01"), "{why}");
    assert_eq!((status.orders, status.not_after), (0, None));
    assert!(shown(&door, "api.test").await.is_err());
    for name in ["other.test", "nobody.test"] {
        assert_eq!(shown(&door, name).await.unwrap().names, ["DNSName(other.test)"]);
    }
}

#[tokio::test]
async fn a_ca_that_takes_no_strangers_is_told_who_asks() {
    let ca = Pebble::for_known().await;
    let (kid, key) = ACCOUNT;
    let known = format!("email: ops@api.test, eab: {{kid: {kid}, hmac: {key}}}");
    for (more, is_taken) in [("email: ops@api.test", false), (&*known, true)] {
        let folder = tempfile::tempdir().unwrap();
        let door = Gateway::start(&yaml(folder.path(), &format!("{more}, {}", ca.keys()), "")).await;
        ca.handshakes.leads_to(door.client_of("secure").address());
        let status = tried(&door).await;
        assert_eq!(status.orders, u64::from(is_taken), "{status:?}");
        let why = status.last_error.unwrap_or_default();
        assert_eq!(why.contains("externalAccountRequired"), !is_taken, "{why}");
        let files = files(folder.path());
        let has_account = files.iter().any(|path| path.ends_with("account-ops@api.test.json"));
        assert_eq!(has_account, is_taken, "{files:?}");
    }
}

#[tokio::test]
async fn doors_with_one_store_order_once() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Pebble::start().await;
    let yaml = yaml(folder.path(), &format!("challenge: http-01, {}", ca.keys()), "");
    let first = Gateway::start(&yaml).await;
    until("the CA's question", || ca.requests.connections() > 0).await;
    // It waits for the other's lock, and then has no need of it.
    let second = Gateway::start(&yaml).await;
    ca.requests.leads_to(first.client_of("plain").address());
    let shown = ordered(&first, "api.test").await;
    assert_eq!(ordered(&second, "api.test").await, shown);
    let status = [tried(&first).await, tried(&second).await];
    assert_eq!(status.map(|status| (status.orders, status.last_error)), [(1, None), (0, None)]);
}

#[tokio::test]
async fn a_reload_goes_on_with_the_order_that_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Pebble::start().await;
    let text = yaml(folder.path(), &format!("challenge: http-01, {}", ca.keys()), "");
    let mut door = Gateway::start(&text).await;
    until("the CA's question", || ca.requests.connections() > 0).await;
    door.reload(&text.replace("status: 200", "status: 201")).await.unwrap();
    ca.requests.leads_to(door.client_of("plain").address());
    ordered(&door, "api.test").await;
    let status = tried(&door).await;
    assert_eq!((status.orders, status.last_error), (1, None));
}

#[tokio::test]
async fn a_certificate_serves_on_while_one_for_other_domains_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Port::refusing();
    let old = plant(folder.path(), &nowhere(&ca));
    let text = yaml(folder.path(), &nowhere(&ca), "");
    let mut door = Gateway::start(&text).await;
    door.reload(&text.replace("[api.test, www.test]", "[api.test, more.test]")).await.unwrap();
    assert_eq!(shown(&door, "api.test").await.unwrap().serial, old.serial);
    assert!(shown(&door, "more.test").await.is_err());
}

#[tokio::test]
async fn what_cannot_be_ordered_is_refused_when_the_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let listener = |tls: &str, more: &str| {
        format!(
            "listeners:\n  secure: {{address: \"127.0.0.1:0\", tls: {tls}}}\n{more}\
             routes: {{all: {{path: /, respond: {{status: 200}}}}}}"
        )
    };
    let store = format!("store: \"{}\"", folder.path().join("acme").display());
    for (tls, words) in [
        ("{}".to_owned(), "there is no certificate"),
        ("{acme: {domains: [a.test], agree: true}}".to_owned(), "`store` is missing"),
        (format!("{{acme: {{domains: [a.test], {store}}}}}"), "read them, and write `agree: true`"),
        (format!("{{acme: {{domains: [\"*.a.test\"], agree: true, {store}}}}}"), "is a wildcard"),
        (
            format!("{{acme: {{domains: [a.test], agree: true, challenge: http-01, {store}}}}}"),
            "`http-01` is answered by listeners without `tls`",
        ),
    ] {
        let why = Gateway::refused(&listener(&tls, "")).await;
        assert!(why.len() == 1 && why[0].contains(words), "{tls}: {why:?}");
    }
    let good = format!("{{acme: {{domains: [a.test], agree: true, {store}}}}}");
    assert_eq!(Gateway::refused(&listener(&good, "")).await, [""; 0]);
    assert!(!folder.path().join("acme").exists(), "a check leaves nothing behind");
}

#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
