//! TLS to endpoints: what is read from files when the configuration is loaded, and what is made of it.
//!
//! Everything is checked here, since Pingora takes certificates and keys apart when it connects, and panics on those
//! it can't read.

mod fault;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::SystemTime;

use pingora::connectors::ConnectorOptions;
use pingora::protocols::tls::CaType;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::RootCertStore;

use crate::config::{ClientCert, FilePath, Resolved, Tls};
use crate::pem::{self, Certificate};
pub use fault::{TlsFault, classify, tls_reason};

/// What the files of an upstream's `tls` hold. Two are equal if the files hold the same, wherever they are.
#[derive(Clone, Default)]
pub struct Material {
    /// The CAs, unless the system's count.
    roots: Option<Arc<CaType>>,
    client: Option<Arc<CertKey>>,
}

/// Something about an upstream's `tls`: a reason to refuse it, or a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The keys below `tls` that lead to the value that it is about.
    pub at: &'static [&'static str],
    /// A sentence for people.
    pub message: String,
}

impl Material {
    /// Reads and checks all files, with what should be looked at although it works: what has expired or will within
    /// 14 days.
    ///
    /// # Errors
    /// Everything that would make each connection fail: a file that cannot be read, holds no certificate or no key, or
    /// one that is broken or has expired; a key that belongs to another certificate; a system without CAs.
    pub fn load(settings: &Tls, now: SystemTime) -> Result<(Self, Vec<Remark>), Vec<Remark>> {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let roots = match &settings.ca {
            Some(path) => roots(path, now, &mut warnings).map(Some),
            None => system_has_roots().map(|()| None),
        };
        let client = settings.client_cert.as_ref().map(|client| identity(client, now, &mut warnings)).transpose();
        match (roots, client) {
            (Ok(roots), Ok(client)) => return Ok((Self { roots, client }, warnings)),
            (roots, client) => problems.extend(roots.err().into_iter().chain(client.err())),
        }
        Err(problems)
    }

    /// The CAs that may sign; `None` for the system's.
    pub fn roots(&self) -> Option<&Arc<CaType>> {
        self.roots.as_ref()
    }

    /// The door's own certificate and key.
    pub fn client(&self) -> Option<&Arc<CertKey>> {
        self.client.as_ref()
    }

    fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        fn der(certificate: &WrappedX509) -> &[u8] {
            certificate.borrow_raw_cert()
        }
        let roots = self.roots.iter().flat_map(|roots| roots.iter().map(der));
        let client = self.client.iter().flat_map(|own| [own.leaf()].into_iter().chain(own.intermediates()).map(der));
        // The empty one keeps a CA apart from a certificate of the door's.
        roots.chain([&[][..]]).chain(client)
    }

    fn key(&self) -> Option<&[u8]> {
        self.client.as_ref().map(|client| client.key().as_slice())
    }
}

impl PartialEq for Material {
    fn eq(&self, other: &Self) -> bool {
        self.certificates().eq(other.certificates()) && self.key() == other.key()
    }
}

/// Over the certificates alone, so that nothing is made of a key that could tell of it: another key has another
/// certificate.
impl Hash for Material {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.certificates().for_each(|der| der.hash(state));
        self.roots.is_some().hash(state);
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roots = self.roots.as_ref().map(|roots| roots.len());
        f.debug_struct("Material").field("roots", &roots).field("client", &self.client.is_some()).finish()
    }
}

fn roots(path: &FilePath, now: SystemTime, warnings: &mut Vec<Remark>) -> Result<Arc<CaType>, Remark> {
    let remark = |message| Remark { at: &["ca"], message };
    let found = pem::authorities(path, now).map_err(remark)?;
    warnings.extend(found.warnings.into_iter().map(remark));
    Ok(found.certificates.into_iter().map(wrapped).collect())
}

fn wrapped(certificate: Certificate) -> WrappedX509 {
    WrappedX509::new(certificate.der.to_vec(), parse_x509)
}

/// Without the system's CAs no certificate of an upstream without a `ca` is ever good.
fn system_has_roots() -> Result<(), Remark> {
    system_roots().map_err(|why| Remark {
        at: &[],
        message: format!(
            "{why}, so no certificate can be checked; mend your system's `ca-certificates`, or name a file in `ca`"
        ),
    })
}

/// Whether Pingora can use the system's CAs, which it reads once, when a proxy is built, and panics where one is broken.
///
/// # Errors
/// Half a sentence that says why it cannot.
pub fn system_roots() -> Result<(), String> {
    let cannot = |why: &dyn fmt::Display| format!("this system's CAs cannot be read ({why})");
    let certificates = rustls_native_certs::load_native_certs().map_err(|error| cannot(&error))?;
    if certificates.is_empty() {
        return Err("this system has no CAs".into());
    }
    let mut store = RootCertStore::empty();
    certificates.into_iter().try_for_each(|certificate| store.add(certificate)).map_err(|error| cannot(&error))
}

/// A file that holds no CAs, and is there.
const NO_CAS: &str = "/dev/null";

/// What Pingora's connectors are to read as the system's CAs, `None` for these themselves. Broken ones would keep a
/// connector from being made at all, also for upstreams that need none; those that do are refused before.
pub fn ca_file() -> Option<String> {
    system_roots().is_err().then(|| NO_CAS.to_owned())
}

/// What a connector of Pingora's is made of that keeps so many connections, and reads CAs as [`ca_file`] says.
pub fn connector_options(pool_size: usize) -> ConnectorOptions {
    ConnectorOptions { ca_file: ca_file(), ..ConnectorOptions::new(pool_size) }
}

fn identity(client: &ClientCert, now: SystemTime, warnings: &mut Vec<Remark>) -> Result<Arc<CertKey>, Remark> {
    const CERT: &[&str] = &["client_cert", "cert"];
    const KEY: &[&str] = &["client_cert", "key"];
    let chain = pem::certificates(&client.cert).map_err(|message| Remark { at: CERT, message })?;
    for end in chain.iter().filter_map(|certificate| certificate.end(now)) {
        let remark = Remark { at: CERT, message: end.message };
        if end.is_past {
            return Err(remark);
        }
        warnings.push(remark);
    }
    let refuse = |message| Remark { at: KEY, message };
    let (Resolved::Literal(text) | Resolved::Secret(text)) = client.key.secret().resolve().map_err(refuse)?;
    let key = pem::private_key(&text).map_err(refuse)?;
    pem::pair(&chain, &key, &client.cert).map_err(refuse)?;
    let chain = chain.iter().map(|certificate| certificate.der.to_vec()).collect();
    Ok(Arc::new(CertKey::new(chain, key.secret_der().to_vec())))
}

#[cfg(test)]
mod tests;
