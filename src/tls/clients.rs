//! What is asked of clients.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};

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
        let verifier = builder.build();
        let checks = verifier.map_err(|error| vec![remark(format!("{} cannot be used: {error}", settings.ca))])?;
        let until = found.certificates.iter().map(|ca| ca.not_after).max().unwrap_or(now);
        let verifier = Arc::new(UntilTheEnd { checks, until });
        Ok((Self { mode: settings.mode, roots, verifier }, found.warnings.into_iter().map(remark).collect()))
    }

    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.verifier.clone()
    }
}

/// Checks nothing more when the last of the CAs has ended. Their file is then no longer good, and what stays in use
/// instead would let their clients in for ever.
#[derive(Debug)]
struct UntilTheEnd {
    checks: Arc<dyn ClientCertVerifier>,
    until: SystemTime,
}

impl ClientCertVerifier for UntilTheEnd {
    fn offer_client_auth(&self) -> bool {
        self.checks.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.checks.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.checks.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs()) > self.until {
            return Err(CertificateError::Expired.into());
        }
        self.checks.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.checks.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.checks.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.checks.supported_verify_schemes()
    }
}
