//! What is asked of clients.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::TrustAnchor;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::material::Read;
use super::remark::Remark;
use crate::config::{ClientAuth, ClientAuthMode};
use crate::pem;

/// How clients' certificates are checked. Two are equal if who passes one passes the other.
pub(super) struct Clients {
    mode: ClientAuthMode,
    roots: Arc<RootCertStore>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl PartialEq for Clients {
    fn eq(&self, other: &Self) -> bool {
        let roots = |clients: &Self| -> Vec<TrustAnchor<'static>> { clients.roots.roots.clone() };
        self.mode == other.mode && roots(self) == roots(other)
    }
}

impl Clients {
    /// Reads the CAs. Those that have ended count no more: a chain's end is checked for all of it but the CA.
    pub fn read(settings: &ClientAuth, now: SystemTime) -> Read<Self> {
        let remark = |message| Remark::new(["ca"], message);
        let found = pem::authorities(&settings.ca, now).map_err(|why| vec![remark(why)])?;
        let roots = Arc::new(found.roots);
        let builder = WebPkiClientVerifier::builder_with_provider(roots.clone(), Arc::new(ring::default_provider()));
        let builder = match settings.mode {
            ClientAuthMode::Require => builder,
            ClientAuthMode::Request => builder.allow_unauthenticated(),
        };
        let verifier =
            builder.build().map_err(|error| vec![remark(format!("{} cannot be used: {error}", settings.ca))])?;
        Ok((Self { mode: settings.mode, roots, verifier }, found.warnings.into_iter().map(remark).collect()))
    }

    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.verifier.clone()
    }
}
