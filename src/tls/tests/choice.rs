//! Versions, protocols, and which certificate a client gets.

use super::*;

struct Named {
    files: Files,
    ca: Ca,
}

impl Named {
    fn new() -> Self {
        Self { files: Files::new(), ca: Ca::new("ca") }
    }

    /// The door for certificates with these names each, and the certificates.
    fn door(&self, names: &[&[&str]]) -> (Arc<Tls>, Vec<CertificateDer<'static>>) {
        let (tls, certificates, warnings) = self.door_with_warnings(names);
        assert_eq!(warnings, []);
        (tls, certificates)
    }

    fn door_with_warnings(&self, names: &[&[&str]]) -> (Arc<Tls>, Vec<CertificateDer<'static>>, Vec<Remark>) {
        let identities: Vec<_> = names.iter().map(|names| self.ca.issue(names)).collect();
        let pairs =
            identities.iter().enumerate().map(|(index, identity)| self.files.pair(&index.to_string(), identity));
        let settings = settings(json!({"certificates": pairs.collect::<Vec<_>>()}));
        let (tls, warnings) = Tls::compile("web", &settings, true, None, now()).unwrap();
        (tls, identities.iter().map(|identity| ders(&identity.cert).remove(0)).collect(), warnings)
    }
}

#[test]
fn a_client_gets_the_certificate_for_the_name_that_it_asks_for() {
    let named = Named::new();
    let (tls, certificates) = named.door(&[
        &["first.example"],
        &["api.example.com", "Other.Example.com"],
        &["*.example.com"],
        &["*.deep.example.com", "example.com"],
    ]);
    for (name, index) in [
        ("first.example", 0),
        ("api.example.com", 1),
        ("API.example.COM", 1),
        ("other.example.com", 1),
        ("a.example.com", 2),
        ("deep.example.com", 2),
        ("a.deep.example.com", 3),
        ("example.com", 3),
        ("a.b.example.com", 0),
        ("nobody.test", 0),
        ("localhost", 0),
        ("192.0.2.7", 0),
    ] {
        let shaken = Client::new().shake(&tls, name).unwrap();
        assert_eq!(shaken.shown(), &certificates[index], "{name}");
    }
    let shaken = Client::new().without_sni().shake(&tls, "api.example.com").unwrap();
    assert_eq!(shaken.shown(), &certificates[0], "without SNI");
}

#[test]
fn of_two_certificates_for_a_name_the_first_is_shown_and_the_second_warned_of() {
    let (tls, certificates, warnings) = Named::new().door_with_warnings(&[&["a.example"], &["b.example", "A.example"]]);
    let [Remark { at, message }] = &warnings[..] else { panic!("{warnings:?}") };
    assert_eq!(at, &["certificates", "1", "cert"]);
    assert!(message.contains("`a.example` is also a name of `certificates[0]`"), "{message}");
    assert_eq!(Client::new().shake(&tls, "a.example").unwrap().shown(), &certificates[0]);
    assert_eq!(Client::new().shake(&tls, "b.example").unwrap().shown(), &certificates[1]);
}

#[test]
fn a_certificate_that_no_client_can_ask_for_is_warned_of_unless_it_is_the_first() {
    let files = Files::new();
    let nameless = made(|params| params.distinguished_name.push(DnType::CommonName, "a.example"));
    let named = Ca::new("ca").issue(&["b.example"]);
    let (nameless, named) = (files.pair("nameless", &nameless), files.pair("named", &named));
    assert_eq!(said(json!({"certificates": [nameless, named]}), now()), Ok(vec![]));
    has(&said(json!({"certificates": [named, nameless]}), now()).unwrap(), "tls.certificates[1].cert: no client gets");
}

#[test]
fn of_two_kinds_of_keys_for_a_name_a_client_gets_one_that_it_can_check() {
    let files = Files::new();
    let name = |params: &mut CertificateParams| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("a.example".try_into().unwrap())];
    };
    let edwards = made_with(&rcgen::PKCS_ED25519, name);
    let ecdsa = made(name);
    let tls = compiled(json!({"certificates": [files.pair("1", &edwards), files.pair("2", &ecdsa)]}));
    for host in ["a.example", "nobody.test"] {
        let mut client = Client::new();
        assert_eq!(client.shake(&tls, host).unwrap().shown(), &ders(&ecdsa.cert)[0], "the quicker for {host}");
        client.config = OnlyEdwards::client();
        assert_eq!(client.shake(&tls, host).unwrap().shown(), &ders(&edwards.cert)[0], "the only for {host}");
    }
}

/// Checks signatures of Ed25519 alone.
#[derive(Debug)]
struct OnlyEdwards(Seen);

impl OnlyEdwards {
    fn client() -> ClientConfig {
        let mut config = Client::new().config;
        config.dangerous().set_certificate_verifier(Arc::new(Self(Seen::default())));
        config
    }
}

impl ServerCertVerifier for OnlyEdwards {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.0.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

#[test]
fn old_versions_are_refused_where_the_file_says_so() {
    let files = Files::new();
    let certificates = json!([files.pair("a", &Ca::new("ca").issue(&["a.example"]))]);
    let both = compiled(json!({"certificates": certificates}));
    let new = compiled(json!({"certificates": certificates, "min_version": "1.3"}));
    let (of_12, of_13) = (Client::of(&[&TLS12], None), Client::of(&[&TLS13], None));
    let version =
        |client: &Client, tls: &Tls| client.shake(tls, "a.example").map(|s| s.server.protocol_version().unwrap());
    assert_eq!(version(&of_12, &both).unwrap(), rustls::ProtocolVersion::TLSv1_2);
    assert_eq!(version(&of_13, &both).unwrap(), rustls::ProtocolVersion::TLSv1_3);
    assert_eq!(version(&of_13, &new).unwrap(), rustls::ProtocolVersion::TLSv1_3);
    let why = version(&of_12, &new).unwrap_err();
    assert!(matches!(why, rustls::Error::PeerIncompatible(_)), "{why:?}");
}

#[test]
fn http2_is_offered_first_where_it_is_on_and_not_at_all_where_it_is_off() {
    let files = Files::new();
    let settings = settings(json!({"certificates": [files.pair("a", &Ca::new("ca").issue(&["a.example"]))]}));
    let door = |http2| Tls::compile("web", &settings, http2, None, now()).unwrap().0;
    let agreed = |protocols: &[&str], tls: &Tls| {
        let shaken = Client::new().alpn(protocols).shake(tls, "a.example")?;
        Ok::<_, rustls::Error>(
            shaken.server.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned()),
        )
    };
    let (with, without) = (door(true), door(false));
    assert_eq!(agreed(&["http/1.1", "h2"], &with).unwrap().as_deref(), Some("h2"));
    assert_eq!(agreed(&["http/1.1"], &with).unwrap().as_deref(), Some("http/1.1"));
    assert_eq!(agreed(&["h2", "http/1.1"], &without).unwrap().as_deref(), Some("http/1.1"));
    assert_eq!(agreed(&["http/1.0"], &with).unwrap().as_deref(), Some("http/1.0"));
    assert_eq!(agreed(&[], &with).unwrap(), None);
    assert_eq!(agreed(&["h2"], &without).unwrap_err(), rustls::Error::NoApplicationProtocol);
}
