//! What a TLS handshake costs the server: CPU time of its side alone, in memory, by crypto provider, kind of key, version
//! and whether it goes on from an earlier one.
//!
//! `cargo run --release [ROUNDS] [HANDSHAKES]`: so many handshakes a case in each of so many rounds, the cases in turn.

use std::error::Error;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, Connection, HandshakeKind, NamedGroup, RootCertStore, ServerConfig,
    ServerConnection, SupportedProtocolVersion,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

struct Case {
    name: String,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    kind: HandshakeKind,
    /// CPU time a handshake, of each round.
    rounds: Vec<Duration>,
}

struct Provider {
    name: &'static str,
    provider: CryptoProvider,
    tickets: fn() -> std::result::Result<Arc<dyn ProducesTickets>, rustls::Error>,
    groups: Vec<&'static dyn SupportedKxGroup>,
}

struct Pair {
    name: &'static str,
    cert: CertificateDer<'static>,
    key: KeyPair,
}

fn main() -> Result<()> {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<u32>());
    let rounds = numbers.next().transpose()?.unwrap_or(9);
    let handshakes = numbers.next().transpose()?.unwrap_or(1000);
    let pairs = [
        Pair::new("ECDSA P-256", KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)?,
        Pair::new("RSA 2048", KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?)?,
    ];
    let providers = [
        Provider {
            name: "ring",
            provider: ring::default_provider(),
            tickets: ring::Ticketer::new,
            groups: vec![ring::kx_group::X25519],
        },
        Provider {
            name: "aws-lc-rs",
            provider: aws_lc_rs::default_provider(),
            tickets: aws_lc_rs::Ticketer::new,
            groups: vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::X25519MLKEM768],
        },
    ];
    let mut cases = Vec::new();
    for pair in &pairs {
        for version in [&TLS13, &TLS12] {
            for provider in &providers {
                for group in &provider.groups {
                    cases.extend(cases_of(pair, version, provider, *group)?);
                }
            }
        }
    }
    for _ in 0..rounds {
        for case in &mut cases {
            case.run(handshakes)?;
        }
    }
    println!("{:<52} {:>11} {:>11} {:>13}", "", "median", "best", "per CPU second");
    cases.iter_mut().for_each(Case::print);
    Ok(())
}

impl Pair {
    fn new(name: &'static str, key: KeyPair) -> Result<Self> {
        let cert = CertificateParams::new(vec!["a.example".to_owned()])?.self_signed(&key)?;
        Ok(Self { name, cert: cert.der().clone(), key })
    }
}

/// A full and a resumed handshake.
fn cases_of(
    pair: &Pair,
    version: &'static SupportedProtocolVersion,
    of: &Provider,
    group: &'static dyn SupportedKxGroup,
) -> Result<Vec<Case>> {
    if version.version == TLS12.version && group.name() == NamedGroup::X25519MLKEM768 {
        return Ok(Vec::new());
    }
    let provider = CryptoProvider { kx_groups: vec![group], ..of.provider.clone() };
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.key.serialize_der()));
    let builder = ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[version])?;
    let mut server = builder.with_no_client_auth().with_single_cert(vec![pair.cert.clone()], key)?;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.ticketer = (of.tickets)()?;
    let server = Arc::new(server);
    [HandshakeKind::Full, HandshakeKind::Resumed]
        .into_iter()
        .map(|kind| {
            let client = Arc::new(client(pair, version, kind, group.name())?);
            let about = format!("{:?} {:?} {kind:?} {:?}", version.version, pair.name, group.name());
            let name = format!("{about} {}", of.name).replace('"', "");
            Ok(Case { name, server: server.clone(), client, kind, rounds: Vec::new() })
        })
        .collect()
}

/// By the same provider for all servers, with a key share that the server takes.
fn client(
    pair: &Pair,
    version: &'static SupportedProtocolVersion,
    kind: HandshakeKind,
    group: NamedGroup,
) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(pair.cert.clone())?;
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups.retain(|known| known.name() == group);
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(&[version])?.with_root_certificates(roots);
    let mut client = builder.with_no_client_auth();
    if kind == HandshakeKind::Full {
        client.resumption = rustls::client::Resumption::disabled();
    }
    Ok(client)
}

impl Case {
    fn run(&mut self, handshakes: u32) -> Result<()> {
        // One to get a ticket by.
        self.handshake()?;
        let mut spent = Duration::ZERO;
        for _ in 0..handshakes {
            let (time, kind) = self.handshake()?;
            if kind != self.kind {
                return Err(format!("{}: {kind:?}", self.name).into());
            }
            spent += time;
        }
        self.rounds.push(spent / handshakes);
        Ok(())
    }

    /// How long the server took, and what kind of handshake it was.
    fn handshake(&self) -> Result<(Duration, HandshakeKind)> {
        let mut client: Connection =
            ClientConnection::new(self.client.clone(), ServerName::try_from("a.example")?)?.into();
        let mut spent = Duration::ZERO;
        let begun = now()?;
        let mut server: Connection = ServerConnection::new(self.server.clone())?.into();
        spent += now()? - begun;
        loop {
            let to_server = written(&mut client)?;
            let begun = now()?;
            take(&mut server, &to_server)?;
            let to_client = written(&mut server)?;
            spent += now()? - begun;
            if to_server.is_empty() && to_client.is_empty() {
                break;
            }
            take(&mut client, &to_client)?;
        }
        Ok((spent, server.handshake_kind().ok_or("no handshake")?))
    }

    fn print(&mut self) {
        self.rounds.sort_unstable();
        let median = self.rounds[self.rounds.len() / 2];
        let a_second = Duration::from_secs(1).as_nanos() / median.as_nanos().max(1);
        println!("{:<52} {median:>11.1?} {:>11.1?} {a_second:>13}", self.name, self.rounds[0]);
    }
}

fn written(from: &mut Connection) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes)?;
    }
    Ok(bytes)
}

fn take(to: &mut Connection, bytes: &[u8]) -> Result<()> {
    let mut left = Cursor::new(bytes);
    while left.position() < bytes.len() as u64 {
        to.read_tls(&mut left)?;
        to.process_new_packets()?;
    }
    Ok(())
}

/// CPU time of this thread.
fn now() -> Result<Duration> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?))
}
