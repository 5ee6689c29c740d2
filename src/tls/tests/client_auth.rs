//! Clients' certificates in handshakes.

use super::*;

struct Door {
    files: Files,
    clients: Ca,
}

impl Door {
    fn new() -> Self {
        let files = Files::new();
        files.pair("door", &Ca::new("ca").issue(&["a.example"]));
        let clients = Ca::new("clients");
        files.write("clients.pem", clients.pem());
        Self { files, clients }
    }

    fn tls(&self, mode: &str) -> Arc<Tls> {
        let path = |name| json!(self.files.path(name));
        compiled(json!({
            "certificates": [{"cert": path("door.crt"), "key": path("door.key")}],
            "client_auth": {"ca": path("clients.pem"), "mode": mode},
        }))
    }
}

#[test]
fn require_takes_only_clients_with_a_good_certificate() {
    let door = Door::new();
    let tls = door.tls("require");
    assert!(tls.asks_clients());
    for version in [&TLS12, &TLS13] {
        let shake = |identity: Option<&Identity>| Client::of(&[version], identity).shake(&tls, "a.example");
        let known = shake(Some(&door.clients.issue(&["billing"]))).unwrap();
        assert_eq!(known.server.peer_certificates().map(<[_]>::len), Some(1));
        assert_eq!(shake(None).unwrap_err(), rustls::Error::NoCertificatesPresented);
        let stranger = shake(Some(&Ca::new("clients").issue(&["billing"]))).unwrap_err();
        assert!(matches!(stranger, rustls::Error::InvalidCertificate(_)), "{stranger:?}");
        let past = shake(Some(&door.clients.issue_until(&["billing"], 2020))).unwrap_err();
        assert!(matches!(past, rustls::Error::InvalidCertificate(_)), "{past:?}");
    }
}

#[test]
fn request_also_takes_clients_without_one_but_never_a_bad_one() {
    let door = Door::new();
    let tls = door.tls("request");
    let unknown = Client::new().shake(&tls, "a.example").unwrap();
    assert!(unknown.server.peer_certificates().is_none());
    let known = Client::with(&door.clients.issue(&["billing"])).shake(&tls, "a.example").unwrap();
    let chain = known.server.peer_certificates().unwrap();
    let identity = ClientIdentity::from_chain(chain, now()).unwrap().unwrap();
    assert_eq!(identity.common_name.as_deref(), Some("billing"));
    let stranger = Client::with(&Ca::new("others").issue(&["billing"])).shake(&tls, "a.example").unwrap_err();
    assert!(matches!(stranger, rustls::Error::InvalidCertificate(_)), "{stranger:?}");
}

#[test]
fn a_ca_that_has_ended_counts_no_more() {
    let door = Door::new();
    let old = Ca::until("old", 2020);
    door.files.write("clients.pem", format!("{}{}", old.pem(), door.clients.pem()));
    let settings = settings(json!({
        "certificates": [{"cert": door.files.path("door.crt"), "key": door.files.path("door.key")}],
        "client_auth": {"ca": door.files.path("clients.pem")},
    }));
    let (tls, warnings) = Tls::compile("web", &settings, true, None, now()).unwrap();
    has(&warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), "tls.client_auth.ca: the certificate `CN=old`");
    Client::with(&door.clients.issue(&["billing"])).shake(&tls, "a.example").unwrap();
    let why = Client::with(&old.issue(&["billing"])).shake(&tls, "a.example").unwrap_err();
    assert!(matches!(why, rustls::Error::InvalidCertificate(_)), "{why:?}");
}

#[test]
fn a_ca_that_ends_while_the_door_runs_lets_nobody_in() {
    let door = Door::new();
    let old = Ca::until("old", 2020);
    door.files.write("clients.pem", old.pem());
    let settings = settings(json!({
        "certificates": [{"cert": door.files.path("door.crt"), "key": door.files.path("door.key")}],
        "client_auth": {"ca": door.files.path("clients.pem")},
    }));
    let in_2019 = at(1_560_000_000);
    let (tls, _) = Tls::compile("web", &settings, true, None, in_2019).unwrap();
    tls.refresh(now());
    assert!(tls.status().last_error.unwrap().contains("tls.client_auth.ca: the certificate `CN=old`"));
    let why = Client::with(&old.issue(&["billing"])).shake(&tls, "a.example").unwrap_err();
    assert_eq!(why, rustls::Error::InvalidCertificate(rustls::CertificateError::Expired));
}
