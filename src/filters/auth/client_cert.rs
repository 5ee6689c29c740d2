//! `client_cert`: by the certificate that the client has shown in the TLS handshake, which has checked it.
//!
//! ```yaml
//! listeners:
//!   secure: {address: "[::]:8443", tls: {certificates: […], client_auth: {ca: clients.pem, mode: request}}}
//! routes:
//!   api: {path: /, to: api, filters: {auth: {client_cert: {subject: uri}}}}
//! ```
//!
//! Who asks is what the certificate says under `subject`: its `common_name`, the first `dns` name, `uri` or `email` of
//! its subject alternative names, the whole `dn` (RFC 4514), or its `fingerprint` (SHA-256). All of them are claims,
//! beside `issuer`, `serial` and `not_after` (seconds since 1970): for `require`, for `rate_limit` by identity, and for
//! `headers` as `{identity.fingerprint}`. With `client_auth: {mode: request}` a route that asks for no certificate is
//! open to clients that have none.
//!
//! A certificate that has ended since the handshake counts no more. There is no challenge for a `WWW-Authenticate`: a
//! client shows its certificate before its first request or not at all. So a 401 for want of one has none, if this is
//! the only way.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Said, Way};
use crate::filter::{Identity, Problems, Request, async_trait};
use crate::tls::ClientIdentity;

/// What of a client's certificate says who asks.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// What says who asks; without it no certificate will do.
    #[serde(default)]
    subject: Part,
}

/// A part of a certificate that names whom it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Part {
    /// The subject's common name.
    #[default]
    CommonName,
    /// The first DNS name among the subject alternative names (RFC 5280, 4.2.1.6).
    Dns,
    /// The first URI among them, such as a SPIFFE id.
    Uri,
    /// The first e-mail address among them.
    Email,
    /// The whole subject (RFC 4514), the most specific part first: `CN=billing,O=Example`.
    Dn,
    /// The SHA-256 of the certificate, in hexadecimal and small letters.
    Fingerprint,
}

struct ClientCert {
    subject: Part,
}

/// The way of this part of the file.
pub(super) fn way(config: Config) -> Result<Box<dyn Way>, Problems> {
    Ok(Box::new(ClientCert { subject: config.subject }))
}

impl Part {
    /// Whom the certificate is for.
    fn of(self, certificate: &ClientIdentity) -> Option<&str> {
        let text = match self {
            Self::CommonName => certificate.common_name.as_deref(),
            Self::Dns => certificate.dns.first().map(String::as_str),
            Self::Uri => certificate.uris.first().map(String::as_str),
            Self::Email => certificate.emails.first().map(String::as_str),
            Self::Dn => Some(&*certificate.subject),
            Self::Fingerprint => Some(&*certificate.fingerprint),
        };
        text.filter(|text| !text.is_empty())
    }

    fn words(self) -> &'static str {
        match self {
            Self::CommonName => "no common name, or several",
            Self::Dns => "no DNS name",
            Self::Uri => "no URI",
            Self::Email => "no e-mail address",
            Self::Dn => "no subject",
            Self::Fingerprint => "no fingerprint",
        }
    }
}

impl ClientCert {
    fn judge(&self, certificate: &ClientIdentity, now: SystemTime) -> Said {
        if certificate.not_after < now {
            let ended = humantime::format_rfc3339_seconds(certificate.not_after);
            return Said::Bad { cause: "auth_expired", reason: format!("the client's certificate ended at {ended}") };
        }
        match self.subject.of(certificate) {
            Some(subject) => {
                let identity = Identity { claims: claims(certificate), ..Identity::new(subject, "client_cert") };
                Said::Known(Arc::new(identity))
            }
            None => Said::Bad {
                cause: "auth_unnamed",
                reason: format!("the client's certificate, `{}`, has {}", certificate.subject, self.subject.words()),
            },
        }
    }
}

/// All that the certificate says; what it doesn't say is no claim.
fn claims(certificate: &ClientIdentity) -> Map<String, Value> {
    let ClientIdentity { subject, common_name, dns, uris, emails, issuer, serial, fingerprint, not_after, .. } =
        certificate;
    let list = |names: &Vec<String>| (!names.is_empty()).then(|| Value::from(names.clone()));
    let ends = not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let claims = [
        ("common_name", common_name.clone().map(Value::from)),
        ("dns", list(dns)),
        ("uri", list(uris)),
        ("email", list(emails)),
        ("dn", Some(subject.clone().into())),
        ("issuer", Some(issuer.clone().into())),
        ("serial", Some(serial.clone().into())),
        ("fingerprint", Some(fingerprint.clone().into())),
        ("not_after", Some(ends.into())),
    ];
    claims.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[async_trait]
impl Way for ClientCert {
    async fn ask(&self, request: &mut Request<'_>) -> Said {
        match request.subject.certificate {
            Some(certificate) => self.judge(certificate, SystemTime::now()),
            None => Said::Nothing,
        }
    }

    fn needs_certificates(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn certificate() -> ClientIdentity {
        ClientIdentity {
            subject: "CN=billing,O=Example".into(),
            common_name: Some("billing".into()),
            dns: vec!["billing.internal".into(), "b.internal".into()],
            uris: vec!["spiffe://example/billing".into()],
            emails: Vec::new(),
            issuer: "CN=clients".into(),
            serial: "1F".into(),
            fingerprint: "ab12".into(),
            not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000),
            der: Vec::new().into(),
        }
    }

    fn said(subject: &str, certificate: &ClientIdentity) -> Result<Arc<Identity>, (&'static str, String)> {
        let config: Config = serde_json::from_value(json!({ "subject": subject })).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        match (ClientCert { subject: config.subject }).judge(certificate, now) {
            Said::Known(identity) => Ok(identity),
            Said::Bad { cause, reason } => Err((cause, reason)),
            _ => unreachable!("a certificate is there, and judged by itself"),
        }
    }

    #[test]
    fn who_asks_is_what_the_file_says_and_all_else_is_a_claim() {
        for (subject, who) in [
            ("common_name", "billing"),
            ("dns", "billing.internal"),
            ("uri", "spiffe://example/billing"),
            ("dn", "CN=billing,O=Example"),
            ("fingerprint", "ab12"),
        ] {
            let identity = said(subject, &certificate()).unwrap();
            assert_eq!((identity.subject.as_str(), &*identity.via), (who, "client_cert"));
            let claims = json!({
                "common_name": "billing", "dns": ["billing.internal", "b.internal"], "uri": ["spiffe://example/billing"],
                "dn": "CN=billing,O=Example", "issuer": "CN=clients", "serial": "1F", "fingerprint": "ab12",
                "not_after": 2_000_000_000,
            });
            assert_eq!(Value::from(identity.claims.clone()), claims);
        }
    }

    #[test]
    fn a_certificate_without_the_name_that_counts_is_no_good() {
        let nameless = ClientIdentity { subject: String::new(), common_name: None, ..certificate() };
        for subject in ["common_name", "dn", "email"] {
            assert_eq!(said(subject, &nameless).unwrap_err().0, "auth_unnamed", "{subject}");
        }
        assert!(said("email", &certificate()).unwrap_err().1.contains("`CN=billing,O=Example`, has no e-mail address"));
    }

    #[test]
    fn a_certificate_that_has_ended_since_the_handshake_counts_no_more() {
        let ended =
            ClientIdentity { not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000), ..certificate() };
        assert_eq!(
            said("dns", &ended).unwrap_err(),
            ("auth_expired", "the client's certificate ended at 2023-11-14T22:13:20Z".into())
        );
    }
}
