//! `tls` of a listener: what it shows of itself, and what it asks of clients.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::Acme;
use crate::config::problem::shortened;
use crate::config::value::unknown;
use crate::config::value::{FilePath, PrivateKey};

/// TLS with clients. All files are watched: what is renewed is served within a second or two, without a reload, and
/// what cannot be used leaves the old one in place.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerTls {
    /// What clients are shown, by the name that they ask for (SNI): the one for just this name, else the one for
    /// `*.` in the place of its first label, else the first of the list, which is also for clients that name nobody.
    /// May be left out where there is `acme`, whose certificate stands behind these.
    #[serde(default, deserialize_with = "at_least_one")]
    #[schemars(length(min = 1))]
    pub certificates: Vec<ServerCertificate>,
    /// A certificate that the door orders and renews itself.
    pub acme: Option<Acme>,
    /// The oldest version of TLS that is spoken: `"1.2"` or `"1.3"`.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// Clients' certificates. None: they are not asked for any.
    pub client_auth: Option<ClientAuth>,
}

/// A certificate of the door's and its key. Names are those of its subject alternative names (RFC 5280, 4.2.1.6).
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerCertificate {
    /// A PEM file: the certificate first, then those between it and the CA.
    pub cert: FilePath,
    /// The certificate's private key in PEM (PKCS#8, PKCS#1 or SEC1), not encrypted.
    pub key: PrivateKey,
    /// A file with an OCSP response about the certificate in DER (RFC 6960), which is sent along (stapled).
    pub ocsp: Option<FilePath>,
}

/// What clients' certificates are checked with.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientAuth {
    /// A PEM file of the CAs that may have signed them.
    pub ca: FilePath,
    /// `require`: no connection without one. `request`: also without one, but never with one that is no good.
    #[serde(default)]
    pub mode: ClientAuthMode,
}

/// Whether a client must have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuthMode {
    /// The handshake fails without one.
    #[default]
    Require,
    /// One that is shown must be good; none is also well.
    Request,
}

impl FromStr for ClientAuthMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "require" => Ok(Self::Require),
            "request" => Ok(Self::Request),
            _ => Err(unknown(text, &["require", "request"], "")),
        }
    }
}

text_type!(ClientAuthMode, "`require` or `request`", {
    "enum": ["require", "request"],
});

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), with forward secrecy and authenticated encryption only.
    #[default]
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

impl FromStr for TlsVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = shortened(text, 40);
        match text {
            "1.2" => Ok(Self::V1_2),
            "1.3" => Ok(Self::V1_3),
            "1.0" | "1.1" => {
                Err(format!("TLS {shown} is no longer safe (RFC 8996) and not spoken; allowed: \"1.2\", \"1.3\""))
            }
            _ => Err(format!("`{shown}` is no version of TLS; allowed: \"1.2\", \"1.3\"")),
        }
    }
}

text_type!(TlsVersion, "\"1.2\" or \"1.3\"", {
    "enum": ["1.2", "1.3"],
});

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ServerCertificate>, D::Error> {
    let certificates = Vec::deserialize(deserializer)?;
    if certificates.is_empty() {
        return Err(D::Error::custom(
            "the list is empty; it needs at least one certificate, such as `[{cert: /etc/onedoor/api.crt, key: \
             /etc/onedoor/api.key}]`",
        ));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, SecretText};

    fn parse(tls: &str) -> Result<ListenerTls, String> {
        let text = format!(
            "listeners: {{a: {{address: \"127.0.0.1:0\", tls: {tls}}}}}\nroutes: {{a: {{path: /, respond: {{status: 200}}}}}}"
        );
        match Config::parse(&text, "a.yaml") {
            Ok((config, _)) => Ok(config.listeners.into_values().next().unwrap().tls.unwrap()),
            Err(refused) => Err(refused.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        }
    }

    #[test]
    fn the_shortest_form_is_one_certificate() {
        let tls = parse("{certificates: [{cert: /a.crt, key: /a.key}]}").unwrap();
        assert_eq!((tls.min_version, tls.client_auth), (TlsVersion::V1_2, None));
        let [ServerCertificate { cert, key, ocsp: None }] = &tls.certificates[..] else { panic!("one certificate") };
        assert_eq!((cert.to_string().as_str(), key.secret()), ("/a.crt", &SecretText::File("/a.key".into())));
    }

    #[test]
    fn every_key_is_read() {
        let tls = parse(
            "{certificates: [{cert: /a.crt, key: {credential: a.key}, ocsp: /a.ocsp}, {cert: /b, key: {env: B}}], \
             min_version: \"1.3\", client_auth: {ca: /ca.pem, mode: request}}",
        );
        let tls = tls.unwrap();
        assert_eq!((tls.certificates.len(), tls.min_version), (2, TlsVersion::V1_3));
        assert!(tls.certificates[0].ocsp.is_some());
        let client_auth = tls.client_auth.unwrap();
        assert_eq!((client_auth.ca.to_string().as_str(), client_auth.mode), ("/ca.pem", ClientAuthMode::Request));
    }

    #[test]
    fn a_version_may_stand_without_quotes_and_clients_are_asked_strictly_by_default() {
        let tls = parse("{certificates: [{cert: /a, key: /b}], min_version: 1.3, client_auth: {ca: /ca}}").unwrap();
        assert_eq!(tls.min_version, TlsVersion::V1_3);
        assert_eq!(tls.client_auth.unwrap().mode, ClientAuthMode::Require);
    }

    #[test]
    fn what_would_weaken_it_by_a_slip_is_refused() {
        let with = |more: &str| format!("{{certificates: [{{cert: /a, key: /b}}], {more}}}");
        for (tls, words) in [
            ("".into(), "nothing stands behind this key"),
            ("{certificates: []}".into(), "needs at least one certificate"),
            ("{certificates: [{cert: /a}]}".into(), "`key` is missing"),
            ("{certificates: [{cert: /a, key: \"-----BEGIN X\"}]}".into(), "put the text into a file"),
            (with("min_version: 1.1"), "no longer safe"),
            (with("min_version: 1.30"), "allowed: \"1.2\", \"1.3\""),
            (with("min_version:"), "listeners.a.tls.min_version"),
            (with("client_auth:"), "listeners.a.tls.client_auth"),
            (with("client_auth: {mode: require}"), "`ca` is missing"),
            (with("client_auth: {ca: /c, mode: requird}"), "did you mean `require`?"),
            (with("client_auths: {ca: /c}"), "did you mean `client_auth`?"),
        ] {
            let why = parse(&tls).unwrap_err();
            assert!(why.contains(words), "{tls}: {why}");
        }
    }
}
