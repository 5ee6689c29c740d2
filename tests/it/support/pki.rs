//! Certificates made for a test. Unit tests include this file too.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};

/// A CA of the test's own.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, both as PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    pub cert: String,
    pub key: String,
}

/// When a certificate ends: the first day of a year.
pub type Year = i32;

/// Later than any test.
pub const FAR: Year = 3000;

impl Ca {
    pub fn new(name: &str) -> Self {
        Self::until(name, FAR)
    }

    /// One that ends with that year's first day.
    pub fn until(name: &str, year: Year) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("a CA") }
    }

    pub fn pem(&self) -> String {
        self.issuer.as_ref().pem()
    }

    /// For these names and addresses, for servers and clients.
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.issue_until(names, FAR)
    }

    /// One that ends with that year's first day.
    pub fn issue_until(&self, names: &[&str], year: Year) -> Identity {
        let mut params = named(names.first().copied().unwrap_or("nobody"), names);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity { cert: cert.pem(), key: key.serialize_pem() }
    }
}

fn named(name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
