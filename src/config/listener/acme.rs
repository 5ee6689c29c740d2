//! `acme` of a listener's `tls`: a certificate that the door orders and renews itself.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use ring::digest;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::tls::ServerCertificate;
use crate::config::problem::shortened;
use crate::config::value::unknown;
use crate::config::value::{FilePath, PrivateKey, Resolved, SecretText, ServiceUrl, host_name};

/// A certificate that the door orders from a CA and renews, by ACME (RFC 8555).
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// The names of the certificate, 1 to 100. All lead here: the CA asks under each of them.
    #[serde(deserialize_with = "one_to_a_hundred")]
    #[schemars(length(min = 1, max = 100))]
    pub domains: Vec<Domain>,
    /// A folder for the account's key, the certificate and its key. It is made if it isn't there. Several doors with
    /// one folder order together.
    pub store: FilePath,
    /// `true`: you agree to the CA's terms of service (RFC 8555, 7.3). Nothing is ordered otherwise.
    #[serde(default)]
    pub agree: bool,
    /// Whom the CA may write to.
    pub email: Option<Email>,
    /// The CA, by the URL of its directory; Let's Encrypt's by default.
    pub directory: Option<ServiceUrl>,
    /// How the CA sees that the names are yours. `tls-alpn-01` (RFC 8737): by a handshake on port 443, which must lead
    /// to a listener with this `acme`. `http-01` (RFC 8555, 8.3): by a request on port 80, which must lead to a
    /// listener without `tls`.
    #[serde(default)]
    pub challenge: AcmeChallenge,
    /// The account with the CA that the door's is to be bound to, where the CA asks for one (RFC 8555, 7.3.4).
    pub eab: Option<ExternalAccount>,
    /// A PEM file of the CAs that may have signed the certificate of the directory, instead of the system's.
    pub ca: Option<FilePath>,
}

/// An account that the CA knows already. It is told of when the door registers; one that is in the store stays as it is.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalAccount {
    /// The key's identifier.
    pub kid: String,
    /// The key for the HMAC in base64url, as the CA gives it out.
    pub hmac: SecretText,
}

impl ExternalAccount {
    /// The key's bytes.
    ///
    /// # Errors
    /// Why there is none. It never holds any of the key.
    pub fn key(&self) -> Result<Vec<u8>, String> {
        let (Resolved::Literal(text) | Resolved::Secret(text)) = self.hmac.resolve()?;
        let key = URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('=')).ok().filter(|key| !key.is_empty());
        key.ok_or_else(|| "the key is no base64url (letters, digits, `-` and `_`); copy it as the CA shows it".into())
    }
}

/// Where Let's Encrypt is.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

impl Acme {
    /// The URL of the CA's directory.
    pub fn directory(&self) -> String {
        self.directory.as_ref().map_or_else(|| LETS_ENCRYPT.to_owned(), ToString::to_string)
    }

    /// The folder below the store for this CA: `acme-v02.api.letsencrypt.org_directory`.
    pub fn folder(&self) -> FilePath {
        let url = self.directory();
        let url = url.split_once("://").map_or(&*url, |(_, rest)| rest);
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
        self.store.join(url.trim_end_matches('/').chars().map(plain).collect::<String>())
    }

    /// The file of the certificate, its chain and its key, the same in whatever order the names stand:
    /// `api.example.com.pem`, and for several names the first in the alphabet and a mark of them all.
    pub fn file(&self) -> FilePath {
        let mut names: Vec<&str> = self.domains.iter().map(Domain::as_str).collect();
        names.sort_unstable();
        let first = names.first().copied().unwrap_or_default();
        if names.len() == 1 {
            return self.folder().join(format!("{first}.pem"));
        }
        let all = digest::digest(&digest::SHA256, names.join(",").as_bytes());
        let mark: String = all.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        // A name has at most 253 characters, and so has a file's with what stands behind it.
        let first: String = first.chars().take(200).collect();
        self.folder().join(format!("{first}-{mark}.pem"))
    }

    /// The same, as any other certificate of the listener.
    pub fn certificate(&self) -> ServerCertificate {
        ServerCertificate { cert: self.file(), key: PrivateKey::in_file(self.file()), ocsp: None }
    }
}

/// A DNS name that a CA can be asked to certify, in small letters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(String);

impl Domain {
    /// The name, without a dot at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = shortened(text, 60);
        if text.contains('*') {
            return Err(format!(
                "`{shown}` is a wildcard, which a CA certifies by `dns-01` only, and the door doesn't do that; name each \
                 host, or order it by another tool and put it into `certificates`"
            ));
        }
        if text.contains('_') || host_name(text).is_err() {
            return Err(format!(
                "`{shown}` is no DNS name that can be certified; write it like `api.example.com`, other alphabets as \
                 `xn--…`"
            ));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_type!(Domain, "a DNS name such as `api.example.com`", {
    "type": "string",
    "minLength": 1,
    "maxLength": 253,
    "pattern": "^[A-Za-z0-9.-]+$",
    "description": "A DNS name; no wildcard.",
    "examples": ["api.example.com"],
});

fn one_to_a_hundred<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Domain>, D::Error> {
    let domains: Vec<Domain> = Vec::deserialize(deserializer)?;
    let twice = domains.iter().enumerate().find(|(index, domain)| domains[..*index].contains(domain));
    match (domains.len(), twice) {
        (0, _) => Err(D::Error::custom("the list is empty; it needs at least one name, such as `[api.example.com]`")),
        (101.., _) => Err(D::Error::custom(format!(
            "{} names are more than CAs put into one certificate, which is 100; order the others by another tool, and put \
             them into `certificates`",
            domains.len()
        ))),
        (_, Some((_, domain))) => Err(D::Error::custom(format!("`{domain}` stands here twice; remove one"))),
        _ => Ok(domains),
    }
}

/// An address for mail, without a name beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// As it stands in the file.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = String;

    /// RFC 8555 7.3 allows what RFC 6068 does, less lists and headers; quoted and international addresses are no loss.
    fn from_str(text: &str) -> Result<Self, String> {
        let local = |text: &str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$'*+-.^_`{|}~".contains(&byte))
        };
        let is_one = text.split_once('@').is_some_and(|(name, host)| local(name) && host_name(host).is_ok());
        let shown = shortened(text, 60);
        is_one
            .then(|| Self(text.to_owned()))
            .ok_or_else(|| format!("`{shown}` is no address for mail; write it like `ops@example.com`"))
    }
}

text_type!(Email, "an address for mail such as `ops@example.com`", {
    "type": "string",
    "format": "email",
    "description": "An address for mail.",
    "examples": ["ops@example.com"],
});

/// How a CA sees that names belong to whoever orders a certificate for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AcmeChallenge {
    /// By a request without TLS.
    Http01,
    /// By a TLS handshake.
    #[default]
    TlsAlpn01,
}

impl AcmeChallenge {
    /// As the file and the protocol have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

impl FromStr for AcmeChallenge {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "http-01" => Ok(Self::Http01),
            "tls-alpn-01" => Ok(Self::TlsAlpn01),
            _ => Err(unknown(text, &["http-01", "tls-alpn-01"], "")),
        }
    }
}

text_type!(AcmeChallenge, "`http-01` or `tls-alpn-01`", {
    "enum": ["http-01", "tls-alpn-01"],
});

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(mut acme: serde_json::Value) -> Result<Acme, String> {
        if acme.get("store").is_none() {
            acme["store"] = json!("/acme");
        }
        serde_json::from_value(acme).map_err(|error| error.to_string())
    }

    #[test]
    fn the_shortest_form_asks_lets_encrypt_by_a_handshake() {
        let acme = parse(json!({"domains": ["API.example.com"]})).unwrap();
        assert_eq!((acme.domains[0].as_str(), acme.challenge), ("api.example.com", AcmeChallenge::TlsAlpn01));
        assert_eq!(acme.directory(), "https://acme-v02.api.letsencrypt.org/directory");
        assert_eq!(acme.file().to_string(), "/acme/acme-v02.api.letsencrypt.org_directory/api.example.com.pem");
        assert!(!acme.agree);
    }

    #[test]
    fn a_file_is_for_a_set_of_names_whatever_their_order() {
        let file = |domains: serde_json::Value| parse(json!({"domains": domains})).unwrap().file().to_string();
        assert_eq!(
            file(json!(["www.example.com", "api.example.com"])),
            file(json!(["api.example.com", "www.example.com"]))
        );
        let others = [json!(["api.example.com"]), json!(["api.example.com", "w.example.com"])].map(file);
        assert_ne!(others[0], others[1]);
        assert!(others[1].contains("/api.example.com-"), "{}", others[1]);
    }

    #[test]
    fn what_no_ca_would_certify_is_refused() {
        let many: Vec<String> = (0..101).map(|n| format!("a{n}.test")).collect();
        for (acme, words) in [
            (json!({"domains": []}), "at least one name"),
            (json!({"domains": many}), "which is 100"),
            (json!({"domains": ["*.example.com"]}), "is a wildcard"),
            (json!({"domains": ["192.0.2.7"]}), "is no DNS name"),
            (json!({"domains": ["[::1]"]}), "is no DNS name"),
            (json!({"domains": ["a_b.example.com"]}), "is no DNS name"),
            (json!({"domains": ["bücher.example"]}), "xn--"),
            (json!({"domains": ["a.test."]}), "is no DNS name"),
            (json!({"domains": ["../../etc"]}), "is no DNS name"),
            (json!({"domains": ["a.test", "A.test"]}), "stands here twice"),
            (json!({"domains": ["a.test"], "email": "ops"}), "no address for mail"),
            (json!({"domains": ["a.test"], "email": "mailto:ops@a.test"}), "no address for mail"),
            (json!({"domains": ["a.test"], "email": "../a@a.test/b"}), "no address for mail"),
            (json!({"domains": ["a.test"], "challenge": "http01"}), "did you mean `http-01`?"),
            (json!({"domains": ["a.test"], "challenge": "dns-01"}), "allowed: `http-01`, `tls-alpn-01`"),
            (json!({"domain": ["a.test"]}), "domain"),
        ] {
            let why = parse(acme.clone()).unwrap_err();
            assert!(why.contains(words), "{acme}: {why}");
        }
    }
}
