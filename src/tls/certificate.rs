//! A certificate that the door shows, and what goes with it.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::SignatureAlgorithm;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use super::CertificateStatus;
use super::material::Read;
use super::ocsp;
use super::remark::Remark;
use crate::config::{FilePath, PrivateKey, Resolved, ServerCertificate};
use crate::pem::{self, Certificate};

/// A certificate of the door's with its chain, its key and perhaps an OCSP response. Two are equal if clients can't tell
/// them apart.
pub(super) struct Served {
    pub pair: Arc<CertifiedKey>,
    /// The DNS names that it is for, in small letters.
    pub names: Vec<String>,
    pub not_after: SystemTime,
}

/// Kinds of keys; the quicker a signature is made, the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeyKind {
    Ecdsa,
    Ed25519,
    Rsa,
}

impl PartialEq for Served {
    fn eq(&self, other: &Self) -> bool {
        // One certificate has one key.
        self.pair.cert == other.pair.cert && self.pair.ocsp == other.pair.ocsp
    }
}

impl Served {
    /// Reads and checks the files of one certificate.
    pub fn read(settings: &ServerCertificate, now: SystemTime) -> Read<Self> {
        let mut warnings = Vec::new();
        let chain = chain(&settings.cert, now, &mut warnings);
        let key = key(&settings.key);
        let (chain, key) = match (chain, key) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => return Err(chain.err().into_iter().flatten().chain(key.err()).collect()),
        };
        let pair = pem::pair(&chain, &key, &settings.cert);
        let mut pair = pair.map_err(|why| vec![Remark::new(["key"], why)])?;
        let refuse = |why| vec![Remark::new(["cert"], why)];
        let own = chain.first().ok_or_else(|| refuse(format!("{} holds no certificate", settings.cert)))?;
        let names = names(own).map_err(refuse)?;
        if let Some(file) = &settings.ocsp {
            let staple = ocsp::read(file, own, now).map_err(|why| vec![Remark::new(["ocsp"], why)])?;
            pair.ocsp = staple.response;
            warnings.extend(staple.warning.map(|why| Remark::new(["ocsp"], why)));
        }
        Ok((Self { pair: Arc::new(pair), names, not_after: own.not_after }, warnings))
    }

    pub fn kind(&self) -> KeyKind {
        match self.pair.key.algorithm() {
            SignatureAlgorithm::RSA => KeyKind::Rsa,
            SignatureAlgorithm::ED25519 => KeyKind::Ed25519,
            _ => KeyKind::Ecdsa,
        }
    }

    pub fn status(&self) -> CertificateStatus {
        CertificateStatus { names: self.names.clone(), not_after: self.not_after, is_stapled: self.pair.ocsp.is_some() }
    }
}

/// The certificates of a file, each in its time and signed by the next.
fn chain(file: &FilePath, now: SystemTime, warnings: &mut Vec<Remark>) -> Result<Vec<Certificate>, Vec<Remark>> {
    let remark = |message: String| Remark::new(["cert"], message);
    let chain = pem::certificates(file).map_err(|why| vec![remark(why)])?;
    let mut problems: Vec<Remark> = Vec::new();
    for certificate in &chain {
        problems.extend(certificate.begin(now).map(remark));
        if let Some(end) = certificate.end(now) {
            if end.is_past { &mut problems } else { &mut *warnings }.push(remark(end.message));
        }
    }
    for (certificate, next) in chain.iter().zip(chain.iter().skip(1)) {
        if !is_signed_by(certificate, next) {
            problems.push(remark(format!(
                "{next} follows {certificate}, but is not the one that signed it; put the door's certificate first, \
                 then each time the one that signed the one before"
            )));
        }
    }
    if problems.is_empty() { Ok(chain) } else { Err(problems) }
}

/// Whether the names fit, and the ids of the key where both have one (RFC 5280 4.1.2.4, 4.2.1.1). The signature itself
/// is for clients to check.
fn is_signed_by(certificate: &Certificate, signer: &Certificate) -> bool {
    let (Ok((_, certificate)), Ok((_, signer))) =
        (X509Certificate::from_der(&certificate.der), X509Certificate::from_der(&signer.der))
    else {
        return false;
    };
    let wanted = certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref(),
        _ => None,
    });
    let has = signer.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id),
        _ => None,
    });
    certificate.issuer().as_raw() == signer.subject().as_raw()
        && wanted.is_none_or(|wanted| has.is_none_or(|has| wanted == has))
}

fn key(key: &PrivateKey) -> Result<PrivateKeyDer<'static>, Remark> {
    let refuse = |why| Remark::new(["key"], why);
    let (Resolved::Literal(text) | Resolved::Secret(text)) = key.secret().resolve().map_err(refuse)?;
    pem::private_key(&text).map_err(refuse)
}

/// The DNS names that a certificate is for. Its common name is none of them: clients stopped looking at it (RFC 9525).
fn names(certificate: &Certificate) -> Result<Vec<String>, String> {
    let cannot =
        |why: &dyn std::fmt::Display| format!("the names of {certificate} cannot be read ({why}); make it anew");
    let (_, parsed) = X509Certificate::from_der(&certificate.der).map_err(|error| cannot(&error))?;
    let Some(names) = parsed.subject_alternative_name().map_err(|error| cannot(&error))? else { return Ok(Vec::new()) };
    let dns = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    let mut names: Vec<String> = dns.collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}
