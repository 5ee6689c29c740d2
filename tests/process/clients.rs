//! Clients that people use: curl, gRPC and WebSockets in Python. What is not installed fails its test: `make setup`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::door::{Door, Service, curl, onedoor, stderr, stdout, text};
use crate::pki::{Ca, Identity};

/// Debian's, for which `make setup` installs packages; another one on the PATH may not have them.
const PYTHON: &str = "/usr/bin/python3";

/// A service in Python on a port of the kernel's choosing.
struct Python {
    child: Child,
    port: u16,
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process/clients").join(name)
}

impl Python {
    fn serve(name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(PYTHON);
        command.arg(script(name)).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("Python is installed (make setup)");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("a line");
        let port = line.trim().parse().expect("a port; the Python packages are installed (make setup)");
        Self { child, port }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn python(name: &str, arguments: &[&str]) {
    let mut command = Command::new("timeout");
    command.args(["60", PYTHON]).arg(script(name)).args(arguments);
    let output = command.output().expect("timeout is installed");
    assert!(output.status.success(), "{name} {arguments:?}: {}{}", stdout(&output), stderr(&output));
}

/// Certificates of a door, a service and a client, in files.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().expect("a folder") };
        let (ca, clients) = (Ca::new("ca"), Ca::new("clients"));
        files.write("ca.pem", &ca.pem());
        files.write("clients.pem", &clients.pem());
        files.pair("door", &ca.issue(&["door.test"]));
        files.pair("service", &ca.issue(&["localhost"]));
        files.pair("billing", &clients.issue(&["billing"]));
        files.pair("stranger", &Ca::new("clients").issue(&["billing"]));
        files
    }

    fn pair(&self, name: &str, identity: &Identity) {
        self.write(&format!("{name}.crt"), &identity.cert);
        self.write(&format!("{name}.key"), &identity.key);
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.folder.path().join(name), content).expect("the file is written");
    }

    fn path(&self, name: &str) -> String {
        text(&self.folder.path().join(name)).to_owned()
    }

    /// A door with one listener by TLS, where `DIR` stands for the folder.
    fn door(&self, tls: &str, rest: &str) -> Door {
        let tls = format!("certificates: [{{cert: DIR/door.crt, key: DIR/door.key}}]{tls}");
        self.start(&format!("{{address: \"127.0.0.1:0\", tls: {{{tls}}}}}"), rest)
    }

    fn start(&self, listener: &str, rest: &str) -> Door {
        let yaml = format!("listeners: {{web: {listener}}}\nlog: {{access: off}}\n{rest}");
        Door::start_by(onedoor(), &yaml.replace("DIR", text(self.folder.path())), Stdio::null())
    }

    /// What curl says of a door by TLS: the version of HTTP and TLS and the status in a line, then the body.
    fn curl(&self, door: &Door, arguments: &[&str]) -> Output {
        let ca = self.path("ca.pem");
        let resolve = format!("door.test:{}:127.0.0.1", door.address.port());
        let told = ["--write-out", "%{http_version} %{http_code}", "--cacert", &ca, "--resolve", &resolve];
        curl(&[&told, arguments].concat(), &format!("https://door.test:{}/", door.address.port()))
    }
}

const HI: &str = "routes: {all: {path: /, respond: {body: \"hi \"}}}";

#[test]
fn curl_gets_what_it_asks_for_by_every_version_of_http_and_tls() {
    let files = Files::new();
    let door = files.door("", HI);
    for (arguments, answer) in [
        (&["--http1.1"][..], "hi 1.1 200"),
        (&["--http2"], "hi 2 200"),
        (&["--http1.0"], "hi 1.1 200"),
        (&["--http1.1", "--tls-max", "1.2"], "hi 1.1 200"),
        (&["--http2", "--tls-max", "1.2"], "hi 2 200"),
        (&["--http2", "--tlsv1.3"], "hi 2 200"),
        (&["--head", "--http2"], "200"),
        (&["--header", "Host: other.test"], "421"),
    ] {
        let output = files.curl(&door, arguments);
        let said = stdout(&output);
        assert!(said.ends_with(answer), "{arguments:?}: {said}{}", stderr(&output));
    }
    for arguments in [&["--tls-max", "1.1"][..], &["--cacert", &files.path("clients.pem")]] {
        let output = files.curl(&door, arguments);
        assert!(matches!(output.status.code(), Some(35 | 60)), "{arguments:?}: {}", stderr(&output));
    }
    let only = files.door(", min_version: \"1.3\"", HI);
    assert!(stdout(&files.curl(&only, &[])).ends_with("200"));
    assert_eq!(files.curl(&only, &["--tls-max", "1.2"]).status.code(), Some(35));
    let plain = door.curl(&["--write-out", "%{http_code}"], "/");
    assert_eq!(stdout(&plain), "This port speaks TLS only: use https instead.\n400");
}

#[test]
fn curl_speaks_http2_without_tls_where_it_may() {
    let files = Files::new();
    let door = files.start("{address: \"127.0.0.1:0\", http2: true}", HI);
    let told = ["--write-out", "%{http_version} %{http_code}"];
    for (arguments, answer) in
        [(&["--http2-prior-knowledge"][..], "hi 2 200"), (&["--http1.1"], "hi 1.1 200"), (&["--http2"], "hi 1.1 200")]
    {
        assert_eq!(stdout(&door.curl(&[&told, arguments].concat(), "/")), answer, "{arguments:?}");
    }
}

#[test]
fn curl_is_known_by_its_certificate() {
    let files = Files::new();
    let service = Service::start(|head, stream| {
        let who = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("x-who: ").map(str::to_owned));
        let who = who.unwrap_or_default();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{who}", who.len());
        std::io::Write::write_all(stream, head.as_bytes()).ok();
    });
    let routes = format!(
        "routes: {{all: {{path: /, to: \"http://{}\", filters: {{auth: {{client_cert: {{}}}}, headers: {{request: {{set: {{x-who: \"{{identity.sub}}\"}}}}}}}}}}}}",
        service.address
    );
    let shown = |name: &str| {
        let (cert, key) = (files.path(&format!("{name}.crt")), files.path(&format!("{name}.key")));
        ["--cert".to_owned(), cert, "--key".to_owned(), key]
    };
    let request = files.door(", client_auth: {ca: DIR/clients.pem, mode: request}", &routes);
    let require = files.door(", client_auth: {ca: DIR/clients.pem}", &routes);
    let billing = shown("billing");
    let billing: Vec<&str> = billing.iter().map(String::as_str).collect();
    for http in ["--http1.1", "--http2"] {
        for door in [&request, &require] {
            let said = stdout(&files.curl(door, &[&billing[..], &[http]].concat()));
            assert!(said.starts_with("billing") && said.ends_with("200"), "{said}");
        }
        assert!(stdout(&files.curl(&request, &[http])).ends_with("401"));
        assert!(!files.curl(&require, &[http]).status.success());
    }
    let stranger = shown("stranger");
    let stranger: Vec<&str> = stranger.iter().map(String::as_str).collect();
    for door in [&request, &require] {
        assert!(!files.curl(door, &stranger).status.success());
    }
}

#[test]
fn grpc_is_the_same_with_a_door_in_between() {
    let files = Files::new();
    let plain = Python::serve("grpc_service.py", &[]);
    let secure = Python::serve("grpc_service.py", &[&files.path("service.crt"), &files.path("service.key")]);
    let upstreams = [
        format!("{{endpoints: [\"127.0.0.1:{}\"], protocol: http2}}", plain.port),
        format!("{{endpoints: [\"localhost:{}\"], tls: {{ca: DIR/ca.pem}}}}", secure.port),
    ];
    for upstream in upstreams {
        let rest = format!("upstreams: {{api: {upstream}}}\nroutes: {{all: {{path: /test.Bytes/, to: api}}}}");
        let door = files.start("{address: \"127.0.0.1:0\", http2: true}", &rest);
        python("grpc_client.py", &[&door.address.to_string()]);
        let door = files.door("", &rest);
        python("grpc_client.py", &[&door.address.to_string(), &files.path("ca.pem")]);
    }
}

#[test]
fn websockets_are_the_same_with_a_door_in_between() {
    let files = Files::new();
    let service = Python::serve("websocket_service.py", &[]);
    let rest = format!("routes: {{all: {{path: /, to: \"http://127.0.0.1:{}\"}}}}", service.port);
    let door = files.start("{address: \"127.0.0.1:0\"}", &rest);
    python("websocket_client.py", &[&format!("ws://{}", door.address)]);
    let door = files.door("", &rest);
    python("websocket_client.py", &["wss://door.test", &door.address.to_string(), &files.path("ca.pem")]);
}
