//! What a CA is answered while it looks whether names are ours.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::Mutex;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};

/// The protocol of a handshake that is only an answer (RFC 8737, 6.2).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// The answers that CAs wait for, as long as an order is under way.
#[derive(Default)]
pub struct Answers {
    /// Key authorizations by token (RFC 8555, 8.3).
    requests: Mutex<HashMap<String, Bytes>>,
    /// Handshakes by name (RFC 8737, 3).
    handshakes: Mutex<HashMap<String, Arc<ServerConfig>>>,
    /// How many handshakes there are, for those who have no time to look.
    expected: AtomicUsize,
}

/// An answer that is given until this is dropped.
pub(super) struct Given<'a> {
    answers: &'a Answers,
    to: To,
}

enum To {
    Request(String),
    Handshake(String),
}

impl Answers {
    /// The body of the answer to a request for this token, if a CA waits for it.
    pub fn to_request(&self, token: &str) -> Option<Bytes> {
        self.requests.lock().get(token).cloned()
    }

    /// Whether a CA may come with a handshake that is no client's.
    pub fn expects_handshake(&self) -> bool {
        self.expected.load(Relaxed) > 0
    }

    /// What to make a handshake with that is a CA's question: it asks for this name and offers only the protocol that
    /// exists for that.
    pub fn to_handshake<'a>(
        &self,
        name: Option<&str>,
        protocols: Option<impl Iterator<Item = &'a [u8]>>,
    ) -> Option<Arc<ServerConfig>> {
        let mut protocols = protocols?;
        let is_question = protocols.next() == Some(ACME_TLS) && protocols.next().is_none();
        let name = name.filter(|_| is_question)?;
        self.handshakes.lock().get(&name.to_ascii_lowercase()).cloned()
    }

    pub(super) fn give_to_request(&self, token: &str, authorization: &str) -> Given<'_> {
        self.requests.lock().insert(token.to_owned(), Bytes::copy_from_slice(authorization.as_bytes()));
        Given { answers: self, to: To::Request(token.to_owned()) }
    }

    /// # Errors
    /// Why no certificate could be made for it.
    pub(super) fn give_to_handshake(&self, name: &str, digest: &[u8]) -> Result<Given<'_>, String> {
        let config = Arc::new(handshake(name, digest)?);
        if self.handshakes.lock().insert(name.to_owned(), config).is_none() {
            self.expected.fetch_add(1, Relaxed);
        }
        Ok(Given { answers: self, to: To::Handshake(name.to_owned()) })
    }
}

impl Drop for Given<'_> {
    fn drop(&mut self) {
        match &self.to {
            To::Request(token) => drop(self.answers.requests.lock().remove(token)),
            To::Handshake(name) => {
                if self.answers.handshakes.lock().remove(name).is_some() {
                    self.answers.expected.fetch_sub(1, Relaxed);
                }
            }
        }
    }
}

/// A handshake with a certificate of the door's own making that holds the answer (RFC 8737, 3). No client of ours is
/// asked for a certificate by it, and nobody gets further than it.
fn handshake(name: &str, digest: &[u8]) -> Result<ServerConfig, String> {
    let made = || {
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        Ok::<_, rcgen::Error>((params.self_signed(&key)?, key))
    };
    let (certificate, key) = made().map_err(|error| format!("no certificate for `{name}` can be made: {error}"))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(ring::default_provider());
    let unusable = |error| format!("TLS for `{name}` cannot be set up: {error}");
    // Without a look at the certificate: rustls knows no extension like the one in it.
    let key = provider.key_provider.load_private_key(key).map_err(unusable)?;
    let pair = SingleCertAndKey::from(CertifiedKey::new(vec![certificate.der().clone()], key));
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12]);
    let builder = builder.map_err(unusable)?.with_no_client_auth();
    let mut config = builder.with_cert_resolver(Arc::new(pair));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = self.requests.lock().len();
        f.debug_struct("Answers").field("requests", &requests).field("handshakes", &self.expected).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answers: &Answers, name: Option<&str>, protocols: &[&[u8]]) -> bool {
        answers.to_handshake(name, Some(protocols.iter().copied())).is_some()
    }

    #[test]
    fn an_answer_is_given_as_long_as_it_is_waited_for() {
        let answers = Answers::default();
        let given = answers.give_to_request("abc", "abc.def");
        assert_eq!(answers.to_request("abc").as_deref(), Some(&b"abc.def"[..]));
        assert_eq!(answers.to_request("ab"), None);
        drop(given);
        assert_eq!(answers.to_request("abc"), None);
    }

    #[test]
    fn only_a_cas_question_for_a_name_that_it_was_asked_for_is_answered() {
        let answers = Answers::default();
        let given = answers.give_to_handshake("a.test", &[7; 32]).unwrap();
        assert!(answers.expects_handshake());
        assert!(asked(&answers, Some("a.test"), &[ACME_TLS]));
        assert!(asked(&answers, Some("A.test"), &[ACME_TLS]));
        for (name, protocols) in [
            (Some("b.test"), &[ACME_TLS][..]),
            (None, &[ACME_TLS]),
            (Some("a.test"), &[]),
            (Some("a.test"), &[b"h2"]),
            (Some("a.test"), &[b"h2", ACME_TLS]),
            (Some("a.test"), &[ACME_TLS, b"h2"]),
        ] {
            assert!(!asked(&answers, name, protocols), "{name:?} {protocols:?}");
        }
        assert!(answers.to_handshake(Some("a.test"), None::<std::iter::Empty<&[u8]>>).is_none());
        drop(given);
        assert!(!answers.expects_handshake() && !asked(&answers, Some("a.test"), &[ACME_TLS]));
    }
}
