//! Certificates and keys in PEM (RFC 7468).

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use crate::config::FilePath;

/// The largest file of certificates that is read, in bytes: the system's own have about 250 KiB.
const LARGEST: u64 = 4 << 20;

/// How long before its end a certificate is warned of.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// A certificate that can be taken apart, and where it was found; displayed as what people know it by.
pub(crate) struct Certificate {
    pub der: CertificateDer<'static>,
    name: String,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

/// That a certificate has ended or will soon.
pub(crate) struct End {
    pub is_past: bool,
    pub message: String,
}

impl Certificate {
    fn new(der: CertificateDer<'static>, file: &FilePath, number: usize) -> Result<Self, String> {
        let broken = |why: String| format!("the certificate {number} in {file} is broken ({why}); make the file anew");
        let (rest, parsed) = X509Certificate::from_der(&der).map_err(|error| broken(error.to_string()))?;
        if !rest.is_empty() {
            return Err(broken("there are bytes behind its end".into()));
        }
        let subject: String = parsed.subject().to_string().chars().filter(|c| !c.is_control()).take(100).collect();
        let name = if subject.is_empty() {
            format!("the certificate {number} in {file}")
        } else {
            format!("the certificate `{subject}` in {file}")
        };
        let [not_before, not_after] = [parsed.validity().not_before, parsed.validity().not_after].map(time);
        Ok(Self { name, not_before, not_after, der })
    }

    /// When it ends, if that is past or near.
    pub fn end(&self, now: SystemTime) -> Option<End> {
        let (is_past, word) = match self.not_after.duration_since(now) {
            Err(_) => (true, "has expired"),
            Ok(left) if left < SOON => (false, "expires soon"),
            Ok(_) => return None,
        };
        Some(End {
            is_past,
            message: format!("{self} {word}, at {}; renew it", humantime::format_rfc3339_seconds(self.not_after)),
        })
    }

    /// That it is not valid yet, if so.
    pub fn begin(&self, now: SystemTime) -> Option<String> {
        let begin = humantime::format_rfc3339_seconds(self.not_before);
        (now < self.not_before)
            .then(|| format!("{self} is not valid before {begin}; wait, or set this machine's clock"))
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The last second of the year 9999, behind which RFC 5280 and RFC 3339 have no times.
const LAST: u64 = 253_402_300_799;

/// What is before 1970 is as much in the past as 1970.
pub(crate) fn time(time: ASN1Time) -> SystemTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0).min(LAST);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// All certificates of a file, at least one, in their order. What else is in the file is passed over.
pub(crate) fn certificates(file: &FilePath) -> Result<Vec<Certificate>, String> {
    let bytes = read(file.as_ref()).map_err(|why| format!("cannot read {file}: {why}"))?;
    let mut certificates = Vec::new();
    for (index, der) in CertificateDer::pem_slice_iter(&bytes).enumerate() {
        let der = der.map_err(|error| format!("{file} is no good PEM ({error}); make the file anew"))?;
        certificates.push(Certificate::new(der, file, index + 1)?);
    }
    if certificates.is_empty() {
        return Err(format!("{file} holds no certificate; expected is PEM, `-----BEGIN CERTIFICATE-----`"));
    }
    Ok(certificates)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST { Err("it is larger than 4 MiB".into()) } else { Ok(bytes) }
}

/// CAs that count.
pub(crate) struct Authorities {
    /// All that the file holds, in its order.
    pub certificates: Vec<Certificate>,
    /// Those that have not ended: who checks a chain does not ask that of a root.
    pub roots: RootCertStore,
    /// Of those that have ended or will soon.
    pub warnings: Vec<String>,
}

/// The CAs of a bundle. One that has not ended is enough: old ones are left in while a new one comes into use.
pub(crate) fn authorities(file: &FilePath, now: SystemTime) -> Result<Authorities, String> {
    let certificates = certificates(file)?;
    let mut roots = RootCertStore::empty();
    let mut warnings = Vec::new();
    for certificate in &certificates {
        let end = certificate.end(now);
        let mut unused = RootCertStore::empty();
        let store = if end.as_ref().is_some_and(|end| end.is_past) { &mut unused } else { &mut roots };
        let added = store.add(certificate.der.clone());
        added.map_err(|error| format!("{certificate} cannot be used as a CA: {error}"))?;
        warnings.extend(end.map(|end| end.message));
    }
    if roots.is_empty() { Err(warnings.join("; ")) } else { Ok(Authorities { certificates, roots, warnings }) }
}

/// A chain with the key of its first certificate, ready to sign; `file` is where the chain was read.
///
/// # Errors
/// That the key is another certificate's, or is of a kind that cannot be used. It never holds any of the key.
pub(crate) fn pair(
    chain: &[Certificate],
    key: &PrivateKeyDer<'static>,
    file: &FilePath,
) -> Result<CertifiedKey, String> {
    let chain = chain.iter().map(|certificate| certificate.der.clone()).collect();
    match CertifiedKey::from_der(chain, key.clone_key(), &ring::default_provider()) {
        Ok(pair) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(format!("this is not the key of the first certificate in {file}; both must come from one pair"))
        }
        Err(rustls::Error::InvalidCertificate(why)) => {
            Err(format!("the first certificate in {file} cannot be used ({why}); make it anew, with version 3"))
        }
        Err(error) => Err(format!(
            "this key cannot be used ({error}); allowed are RSA of 2048 bits and more, ECDSA on P-256 or P-384, and Ed25519"
        )),
    }
}

/// The first private key of a text. The error never holds any of the text.
pub(crate) fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, String> {
    if text.contains("ENCRYPTED") {
        return Err("the key is encrypted; decrypt it, such as by `openssl pkey -in KEY -out NEW`".into());
    }
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| "there is no private key in it; expected is PEM, `-----BEGIN PRIVATE KEY-----`")?;
    // Pingora keeps only the bytes, and finds out anew what kind of key they are.
    match PrivateKeyDer::try_from(key.secret_der().to_vec()) {
        Ok(same) if same == key => Ok(key),
        _ => Err("the key's kind is not the one that its first line says; make the file anew".into()),
    }
}
