//! Which handshakes go on from an earlier one.

use super::*;

struct Door {
    files: Files,
    ca: Ca,
    clients: Ca,
}

impl Door {
    fn new() -> Self {
        let this = Self { files: Files::new(), ca: Ca::new("ca"), clients: Ca::new("clients") };
        this.renew();
        this.files.write("clients.pem", this.clients.pem());
        this.files.write("others.pem", Ca::new("others").pem());
        this
    }

    fn renew(&self) {
        self.files.pair("door", &self.ca.issue(&["a.example"]));
    }

    fn open(&self) -> ListenerTls {
        let path = |name| json!(self.files.path(name));
        settings(json!({"certificates": [{"cert": path("door.crt"), "key": path("door.key")}]}))
    }

    fn asking(&self, ca: &str, mode: &str) -> ListenerTls {
        let client_auth = serde_json::from_value(json!({"ca": self.files.path(ca), "mode": mode})).unwrap();
        ListenerTls { client_auth: Some(client_auth), ..self.open() }
    }
}

fn compile(settings: &ListenerTls, previous: Option<&Arc<Tls>>) -> Arc<Tls> {
    Tls::compile("web", settings, true, previous, now()).unwrap().0
}

fn resumes(client: &Client, tls: &Tls) -> bool {
    client.shake(tls, "a.example").unwrap().is_resumed()
}

#[test]
fn a_second_handshake_goes_on_from_the_first() {
    let tls = compile(&Door::new().open(), None);
    for version in [&TLS12, &TLS13] {
        let client = Client::of(&[version], None);
        assert!(!resumes(&client, &tls) && resumes(&client, &tls), "{version:?}");
    }
}

#[test]
fn tickets_outlive_a_swap_and_a_reload() {
    let door = Door::new();
    let tls = compile(&door.open(), None);
    let client = Client::new();
    assert!(!resumes(&client, &tls));
    door.renew();
    tls.refresh(now());
    assert_eq!(tls.status().swaps, 1);
    assert!(resumes(&client, &tls), "over a swap");
    let reloaded = compile(&ListenerTls { min_version: TlsVersion::V1_3, ..door.open() }, Some(&tls));
    assert!(!Arc::ptr_eq(&reloaded, &tls));
    assert!(resumes(&client, &reloaded), "over a reload");
    assert!(!resumes(&client, &compile(&door.open(), None)), "but not into another listener");
}

#[test]
fn tickets_of_clients_that_were_asked_for_the_same_outlive_a_reload() {
    let door = Door::new();
    let asked = compile(&door.asking("clients.pem", "require"), None);
    let client = Client::with(&door.clients.issue(&["billing"]));
    assert!(!resumes(&client, &asked));
    door.renew();
    let reloaded = compile(&door.asking("clients.pem", "require"), Some(&asked));
    let shaken = client.shake(&reloaded, "a.example").unwrap();
    assert!(shaken.is_resumed());
    assert_eq!(shaken.server.peer_certificates().map(<[_]>::len), Some(1), "and it is still known who it is");
}

#[test]
fn no_ticket_passes_a_check_that_its_client_has_not_passed() {
    let door = Door::new();
    let both = format!("{}{}", std::fs::read_to_string(door.files.path("others.pem")).unwrap(), door.clients.pem());
    door.files.write("both.pem", both);
    let policies = [
        door.open(),
        door.asking("clients.pem", "request"),
        door.asking("clients.pem", "require"),
        door.asking("both.pem", "require"),
    ];
    let identity = door.clients.issue(&["billing"]);
    for (from, one) in policies.iter().enumerate() {
        for (to, other) in policies.iter().enumerate().filter(|(to, _)| *to != from) {
            let client = Client::with(&identity);
            let first = compile(one, None);
            assert!(!resumes(&client, &first) && resumes(&client, &first), "{from}");
            assert!(!resumes(&client, &compile(other, Some(&first))), "{from} to {to}");
        }
    }
}

#[test]
fn a_client_without_a_certificate_is_refused_as_soon_as_one_is_required() {
    let door = Door::new();
    for settings in [door.open(), door.asking("clients.pem", "request")] {
        let before = compile(&settings, None);
        let client = Client::new();
        client.shake(&before, "a.example").unwrap();
        let after = compile(&door.asking("clients.pem", "require"), Some(&before));
        assert_eq!(client.shake(&after, "a.example").unwrap_err(), rustls::Error::NoCertificatesPresented);
    }
}

#[test]
fn a_ca_that_is_replaced_in_its_file_ends_the_tickets_of_its_clients() {
    let door = Door::new();
    let tls = compile(&door.asking("clients.pem", "require"), None);
    let client = Client::with(&door.clients.issue(&["billing"]));
    assert!(!resumes(&client, &tls) && resumes(&client, &tls));
    std::fs::copy(door.files.path("others.pem"), door.files.path("clients.pem")).unwrap();
    tls.refresh(now());
    let why = client.shake(&tls, "a.example").unwrap_err();
    assert!(matches!(why, rustls::Error::InvalidCertificate(_)), "{why:?}");
}

#[test]
fn a_ticket_is_for_one_name_only() {
    let door = Door::new();
    let tls = compile(&door.open(), None);
    let client = Client::new();
    assert!(!client.shake(&tls, "a.example").unwrap().is_resumed());
    assert!(!client.shake(&tls, "b.example").unwrap().is_resumed());
}

#[test]
fn there_is_no_early_data() {
    let config = compile(&Door::new().open(), None).config();
    assert_eq!(config.max_early_data_size, 0);
    assert!(!config.send_half_rtt_data);
}
