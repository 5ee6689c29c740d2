//! The filter `auth` by clients' certificates.

use super::*;

const ASKING: &str = "client_auth: {ca: DIR/clients.pem, mode: request}";

struct Door {
    files: Files,
    clients: Ca,
    api: Server,
    door: Gateway,
}

impl Door {
    async fn new(filters: &str) -> Self {
        let (files, clients) = (Files::new(), Ca::new("clients"));
        files.write("clients.pem", &clients.pem());
        let api = Upstream::new().on("*", reply(200)).start().await;
        let rest = format!("routes: {{all: {{path: /, to: \"http://{}\", filters: {{{filters}}}}}}}", api.address());
        let door = Gateway::start(&files.yaml(&format!("{DOOR}, {ASKING}"), "", &rest)).await;
        Self { files, clients, api, door }
    }

    async fn ask(&self, identity: Option<&Identity>, request: Request) -> Response {
        let client = Secure::of(&self.files.ca, identity, rustls::ALL_VERSIONS);
        client.connect(self.door.client().address(), "door.test").await.send(request).await
    }
}

#[tokio::test]
async fn whoever_shows_a_certificate_is_known_by_its_name_and_nobody_else() {
    let door = Door::new("auth: {client_cert: {}}").await;
    let billing = door.clients.issue(&["billing"]);
    assert_eq!(door.ask(Some(&billing), get("/")).await.status, 200);
    assert_eq!(door.door.log(1).await[0]["identity"], "billing");
    let refused = door.ask(None, get("/")).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, None));
    assert_eq!(door.door.cause(2).await, ("auth_missing".into(), 401));
    assert_eq!(door.api.requests().len(), 1);
}

#[tokio::test]
async fn what_the_certificate_says_is_there_for_requirements_and_headers() {
    let filters = "auth: {client_cert: {subject: dns}}, require: {subjects: [a.test, b.test], claims: {common_name: a.test}}, \
                   headers: {request: {set: {x-who: \"{identity.sub}\", x-via: \"{identity.via}\", \
                   x-forwarded-client-cert: \"Hash={identity.fingerprint};Subject=\\\"{identity.dn}\\\";DNS={identity.dns}\", \
                   x-mail: \"{identity.email}\"}}}";
    let door = Door::new(filters).await;
    let forged = |request: Request| request.header("x-forwarded-client-cert", "Hash=1").header("x-mail", "root@a.test");
    assert_eq!(door.ask(Some(&door.clients.issue(&["a.test"])), forged(get("/"))).await.status, 200);
    let seen = door.api.last();
    assert_eq!((seen.header("x-who"), seen.header("x-via")), (Some("a.test"), Some("client_cert")));
    let [about] = seen.headers.all("x-forwarded-client-cert")[..] else { panic!("{seen}") };
    assert!(
        about.starts_with("Hash=") && about.contains(";Subject=\"CN=a.test") && about.ends_with(";DNS=a.test"),
        "{about}"
    );
    assert_eq!(seen.header("x-mail"), None, "the certificate has no e-mail address");
    for (name, cause) in [("b.test", "require_claim"), ("c.test", "require_subject")] {
        assert_eq!(door.ask(Some(&door.clients.issue(&[name])), get("/")).await.status, 403, "{name}");
        let lines = door.door.log(2).await;
        assert!(lines.iter().any(|line| line["cause"] == cause), "{lines:?}");
    }
}

#[tokio::test]
async fn it_stands_beside_other_ways() {
    // SHA-256 of `hunter2`.
    let key = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";
    let filters = format!("auth: {{client_cert: {{}}, api_key: {{header: x-key, keys: {{robot: \"{key}\"}}}}}}");
    let door = Door::new(&filters).await;
    let billing = door.clients.issue(&["billing"]);
    for (identity, key, status) in [
        (Some(&billing), None, 200),
        (None, Some("hunter2"), 200),
        (Some(&billing), Some("hunter2"), 200),
        // A forged key is worth less than none.
        (Some(&billing), Some("wrong"), 401),
        (None, None, 401),
    ] {
        let request = key.map_or(get("/"), |key| get("/").header("x-key", key));
        assert_eq!(door.ask(identity, request).await.status, status, "{} {key:?}", identity.is_some());
    }
    let known: Vec<_> = door.door.log(5).await.iter().map(|line| line["identity"].clone()).collect();
    assert_eq!(known[..3], ["billing", "robot", "robot"]);
}

#[tokio::test]
async fn what_clients_say_of_certificates_goes_no_further() {
    let files = Files::new();
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = files.door("", &to(&api)).await;
    let names = [
        "x-forwarded-client-cert",
        "client-cert",
        "client-cert-chain",
        "ssl-client-verify",
        "SSL_Client_S_DN",
        "x-ssl-client-cn",
        "x-client-cert",
        "x-amzn-mtls-clientcert",
    ];
    let mut client = files.client().connect(door.client().address(), "door.test").await;
    client.send(names.iter().fold(get("/"), |request, name| request.header(name, "forged"))).await;
    let seen = api.last();
    assert!(names.iter().all(|name| seen.header(name).is_none()), "{seen}");
}

#[tokio::test]
async fn a_file_in_which_nobody_is_asked_for_a_certificate_is_refused_also_by_a_reload() {
    let (files, clients) = (Files::new(), Ca::new("clients"));
    files.write("clients.pem", &clients.pem());
    let rest = "routes: {all: {path: /, respond: {}, filters: {auth: {client_cert: {}}}}}";
    let said = Gateway::refused(&files.yaml(DOOR, "", rest)).await;
    let [line] = &said[..] else { panic!("{said:?}") };
    assert!(line.starts_with("test.yaml:2:") && line.contains("routes.all.filters.auth: "), "{line}");
    assert!(line.contains("no listener asks for one"), "{line}");
    let mut door = Gateway::start(&files.yaml(&format!("{DOOR}, {ASKING}"), "", rest)).await;
    let said = door.reload(&files.yaml(DOOR, "", rest)).await.unwrap_err();
    assert!(said.join("\n").contains("no listener asks for one"), "{said:?}");
}

#[tokio::test]
async fn a_files_tests_say_who_asks() {
    let (files, clients) = (Files::new(), Ca::new("clients"));
    files.write("clients.pem", &clients.pem());
    let rest = "routes: {all: {path: /, respond: {}, filters: {auth: {client_cert: {}}, require: {subjects: [billing]}}}}\n\
                tests: [{get: /, as: {sub: billing}, expect: {status: 200}}, {get: /, as: {sub: x}, expect: {status: 403}}, {get: /, expect: {status: 401}}]";
    assert_eq!(Gateway::refused(&files.yaml(&format!("{DOOR}, {ASKING}"), "", rest)).await, Vec::<String>::new());
}
