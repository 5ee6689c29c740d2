//! TLS with clients: what a listener shows of itself and asks of them, kept up to date while it runs.
//!
//! [`Tls::compile`] reads and checks all files of a listener's `tls`, and says of everything that is wrong where.
//! [`Tls::config`] is what a handshake is made with; [`Tls::start`] has it follow the files. Who accepts connections
//! does the handshake, and asks [`ClientIdentity`] who the client is.
//!
//! # Resumption
//!
//! By tickets alone (RFC 5077, RFC 8446 2.2), whose key changes every 6 hours, so that a ticket is good for 6 to 12.
//! All threads share the key, and nothing is remembered for a client: what session ids of TLS 1.2 would need is memory
//! for each, and clients without tickets are older than those that 1.2 with forward secrecy is for. The key outlives
//! reloads and swaps as long as clients are asked for the same: the same mode and the same CAs. Otherwise a ticket would
//! let a client pass a check that it never passed. There is no early data (0-RTT), which anybody could replay.
//!
//! # Cryptography
//!
//! By ring, which Pingora brings and upstreams use, so that the door has one library for it. aws-lc-rs was measured
//! beside it (`bench/handshakes`): a full handshake of TLS 1.3 takes the server 114 µs instead of 131 with a key on
//! P-256, but 366 instead of 734 with RSA of 2048 bits. So it is the better choice for RSA, and for a post-quantum key
//! exchange, which ring does not have; for P-256 it does not make up for a second library in C. With both, rustls has no
//! provider of its own choice any more: Pingora's connectors then install ring for the whole process, and what is built
//! before them without naming one, as TLS to Redis is, panics. So who switches has to install one at the very start.

mod certificate;
mod clients;
mod follow;
mod identity;
mod material;
mod names;
mod ocsp;
mod remark;
mod subject;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::crypto::ring::{self, Ticketer};
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerConfig};
use rustls::version::{TLS12, TLS13};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::config::{ListenerTls, TlsVersion};
use certificate::Served;
pub use identity::{ClientIdentity, Unidentified};
use material::{Findings, Material};
pub use remark::Remark;

/// The TLS of a listener.
pub struct Tls {
    listener: Arc<str>,
    settings: ListenerTls,
    http2: bool,
    current: ArcSwap<Loaded>,
    state: watch::Sender<State>,
    task: Mutex<Option<AbortHandle>>,
}

/// What handshakes are made with at one time.
struct Loaded {
    material: Material,
    tickets: Arc<dyn ProducesTickets>,
    config: Arc<ServerConfig>,
}

/// What following the files has come to.
#[derive(Debug, Clone, Default)]
struct State {
    /// What could not be used when the files were read last.
    problems: Vec<Remark>,
    warnings: Vec<Remark>,
    reads: u64,
    swaps: u64,
}

/// How a listener's TLS is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsStatus {
    /// What clients are shown, in the order of the file; last the one that the door orders itself, once it is there.
    pub certificates: Vec<CertificateStatus>,
    /// Why the files, as they were read last, are not all in use; what they held before is.
    pub last_error: Option<String>,
    /// How often something else was taken into use since the listener began.
    pub swaps: u64,
}

/// A certificate in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateStatus {
    /// The DNS names that it is for.
    pub names: Vec<String>,
    /// When it ends.
    pub not_after: SystemTime,
    /// Whether an OCSP response is sent along.
    pub is_stapled: bool,
}

impl Tls {
    /// Reads and checks all files. `previous` is the TLS that this listener has now: it is returned itself if nothing
    /// is different, and lends its tickets' key if clients are asked for the same. `http2` offers HTTP/2 (ALPN).
    /// Nothing is started.
    ///
    /// With it come warnings: what ends within 14 days, names that stand twice, responses of OCSP that have ended.
    ///
    /// # Errors
    /// All that would make handshakes fail, or a client be taken for what it isn't: files that can't be read or hold
    /// something else, keys of other certificates, certificates out of their time, chains with a gap.
    pub fn compile(
        listener: &str,
        settings: &ListenerTls,
        http2: bool,
        previous: Option<&Arc<Self>>,
        now: SystemTime,
    ) -> Result<(Arc<Self>, Vec<Remark>), Vec<Remark>> {
        if settings.certificates.is_empty() && settings.acme.is_none() {
            let message = "there is no certificate; name some by `certificates: [{cert: FILE, key: FILE}]`, or have the \
                           door order one by `acme`";
            return Err(vec![Remark::new([], message)]);
        }
        let before = previous.map(|previous| previous.current.load_full());
        let ordered = previous.zip(before.as_deref()).and_then(|(previous, before)| previous.ordered(before));
        let Findings { material, problems, warnings } = Material::read(settings, None, ordered, now);
        let Some(material) = material.filter(|_| problems.is_empty()) else { return Err(problems) };
        let is_same = |previous: &&Arc<Self>| previous.is_of(listener, settings, http2);
        if let (Some(same), Some(before)) = (previous.filter(is_same), &before)
            && before.material == material
        {
            return Ok((same.clone(), warnings));
        }
        let loaded = Loaded::new(settings, http2, material, before.as_deref());
        let loaded = loaded.map_err(|why| vec![Remark::new([], why)])?;
        let swaps = previous.map_or(0, |previous| previous.state.borrow().swaps + 1);
        let state = State { warnings: warnings.clone(), swaps, ..State::default() };
        let tls = Self {
            listener: listener.into(),
            settings: settings.clone(),
            http2,
            current: ArcSwap::from_pointee(loaded),
            state: watch::Sender::new(state),
            task: Mutex::default(),
        };
        Ok((Arc::new(tls), warnings))
    }

    /// The certificate that the door has ordered itself. It serves until there is another one, whatever is asked for now.
    fn ordered<'a>(&self, loaded: &'a Loaded) -> Option<&'a Arc<Served>> {
        self.settings.acme.as_ref()?;
        loaded.material.certificates.get(self.settings.certificates.len())
    }

    fn is_of(&self, listener: &str, settings: &ListenerTls, http2: bool) -> bool {
        *self.listener == *listener && self.settings == *settings && self.http2 == http2
    }

    /// What the next handshake is to be made with.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.load().config.clone()
    }

    /// Whether clients are asked for a certificate.
    pub fn asks_clients(&self) -> bool {
        self.settings.client_auth.is_some()
    }

    /// How it is doing now.
    pub fn status(&self) -> TlsStatus {
        let current = self.current.load();
        let certificates = current.material.certificates.iter().map(|served| served.status()).collect();
        let state = self.state.borrow();
        TlsStatus { certificates, last_error: remark::one_line(&state.problems), swaps: state.swaps }
    }
}

impl fmt::Display for CertificateStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = if self.names.is_empty() { "no name".to_owned() } else { self.names.join(", ") };
        write!(f, "{names} until {}", humantime::format_rfc3339_seconds(self.not_after))
    }
}

impl Loaded {
    fn new(settings: &ListenerTls, http2: bool, material: Material, before: Option<&Self>) -> Result<Self, String> {
        // A ticket says who a client is without another look at its certificate.
        let tickets = match before.filter(|before| before.material.asks_the_same(&material)) {
            Some(before) => before.tickets.clone(),
            None => Ticketer::new().map_err(|error| format!("no key for tickets can be made: {error}"))?,
        };
        let config = server_config(settings, http2, &material, tickets.clone());
        let config = config.map_err(|error| format!("TLS cannot be set up: {error}"))?;
        Ok(Self { config: Arc::new(config), tickets, material })
    }
}

fn server_config(
    settings: &ListenerTls,
    http2: bool,
    material: &Material,
    tickets: Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, rustls::Error> {
    let versions: &[_] = match settings.min_version {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(versions)?;
    let builder = match &material.clients {
        Some(clients) => builder.with_client_cert_verifier(clients.verifier()),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(material.by_name()));
    let protocols: &[&[u8]] = if http2 { &[b"h2", b"http/1.1", b"http/1.0"] } else { &[b"http/1.1", b"http/1.0"] };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = tickets;
    config.max_early_data_size = 0;
    Ok(config)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("listener", &self.listener).field("status", &self.status()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
