//! Who a client is by its certificate.

use std::fmt;
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::subject;
use crate::pem;

/// What a client's certificate says of it, after a handshake that has checked it. All texts are printable ASCII, so that
/// they may stand in a header and in a log; names that are not are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// Its subject (RFC 4514), the most specific part first: `CN=billing,O=Example`.
    pub subject: String,
    /// The subject's common name, if it has exactly one.
    pub common_name: Option<String>,
    /// The DNS names of its subject alternative names (RFC 5280 4.2.1.6), in small letters.
    pub dns: Vec<String>,
    /// The URIs among them, such as a SPIFFE id.
    pub uris: Vec<String>,
    /// The e-mail addresses among them.
    pub emails: Vec<String>,
    /// The issuer (RFC 4514), within which the serial number is unique.
    pub issuer: String,
    /// The serial number in hexadecimal, in capitals and without zeros before it, as nginx and OpenSSL write it.
    pub serial: String,
    /// The SHA-256 of the certificate, in hexadecimal and small letters.
    pub fingerprint: String,
    /// When it ends. A connection may outlive it.
    pub not_after: SystemTime,
    /// The certificate itself.
    pub der: CertificateDer<'static>,
}

/// Why a client with a certificate cannot be told who it is; its connection must be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unidentified {
    /// Its certificate passed the handshake's check, but not this one: it cannot be taken apart.
    Broken,
    /// Its certificate has ended: the connection goes on from an earlier one by a ticket, without a check of it.
    Expired,
}

impl fmt::Display for Unidentified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broken => "the client's certificate cannot be read",
            Self::Expired => "the client's certificate has expired since it was checked",
        })
    }
}

impl std::error::Error for Unidentified {}

impl ClientIdentity {
    /// Who the client is whose certificates a handshake has ended with; `None` if it has shown none.
    ///
    /// # Errors
    /// Why the connection must be refused.
    pub fn from_chain(chain: &[CertificateDer<'_>], now: SystemTime) -> Result<Option<Self>, Unidentified> {
        let Some(der) = chain.first() else { return Ok(None) };
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| Unidentified::Broken)?;
        let not_after = pem::time(certificate.validity().not_after);
        if not_after < now {
            return Err(Unidentified::Expired);
        }
        let Names { dns, uris, emails } = Names::of(&certificate).ok_or(Unidentified::Broken)?;
        Ok(Some(Self {
            subject: subject::text(certificate.subject()),
            common_name: common_name(&certificate),
            dns,
            uris,
            emails,
            issuer: subject::text(certificate.issuer()),
            serial: serial(certificate.raw_serial()),
            fingerprint: hex(digest(&SHA256, der).as_ref()).to_ascii_lowercase(),
            not_after,
            der: der.clone().into_owned(),
        }))
    }

    /// The certificate in PEM (RFC 7468), with line breaks.
    pub fn pem(&self) -> String {
        let base64 = BASE64_STANDARD.encode(&self.der);
        let mut pem = String::with_capacity(base64.len() + base64.len() / 64 + 64);
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        for (at, character) in base64.chars().enumerate() {
            if at > 0 && at.is_multiple_of(64) {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push_str("\n-----END CERTIFICATE-----\n");
        pem
    }
}

/// Subject alternative names.
#[derive(Default)]
struct Names {
    dns: Vec<String>,
    uris: Vec<String>,
    emails: Vec<String>,
}

impl Names {
    /// `None` if they can't be read.
    fn of(certificate: &X509Certificate<'_>) -> Option<Self> {
        let mut names = Self::default();
        let Some(found) = certificate.subject_alternative_name().ok()? else { return Some(names) };
        for name in &found.value.general_names {
            let (list, text) = match name {
                GeneralName::DNSName(name) => (&mut names.dns, name.to_ascii_lowercase()),
                GeneralName::URI(uri) => (&mut names.uris, (*uri).to_owned()),
                GeneralName::RFC822Name(address) => (&mut names.emails, (*address).to_owned()),
                _ => continue,
            };
            if is_plain(&text) {
                list.push(text);
            }
        }
        Some(names)
    }
}

fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let mut names = certificate.subject().iter_common_name();
    let only = names.next().filter(|_| names.next().is_none())?;
    subject::value(only).filter(|name| is_plain(name))
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn serial(bytes: &[u8]) -> String {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    hex(bytes.get(zeros.min(bytes.len().saturating_sub(1))..).unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
