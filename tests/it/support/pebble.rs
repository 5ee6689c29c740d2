//! A real CA for one test: Pebble, the ACME server that Let's Encrypt's makers test clients with.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::pki::Ca;
use super::{Address, dns, within};

/// An account outside of the protocol, and its key.
pub const ACCOUNT: (&str, &str) = ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");

/// A CA that lives until it is dropped. All names lead to this machine, and what it asks there goes through
/// [`requests`](Self::requests) and [`handshakes`](Self::handshakes).
pub struct Pebble {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
    /// Where it asks by `http-01`.
    pub requests: Relay,
    /// Where it asks by `tls-alpn-01`.
    pub handshakes: Relay,
    _dns: dns::Server,
}

impl Pebble {
    /// One that answers. Its certificates last for 90 days.
    pub async fn start() -> Self {
        Self::start_for(false).await
    }

    /// One that takes nobody but who has the account [`ACCOUNT`] with it.
    pub async fn for_known() -> Self {
        Self::start_for(true).await
    }

    async fn start_for(known: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ca = Ca::new("the test's own");
        let identity = ca.issue(&["127.0.0.1"]);
        for (name, text) in [("ca.pem", ca.pem()), ("api.pem", identity.cert), ("api.key", identity.key)] {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        let (requests, handshakes) = (Relay::new().await, Relay::new().await);
        let dns = dns::Server::new(dns::addresses(60, &["127.0.0.1"])).await;
        // It takes only ports that it is told, so another one is tried if somebody else gets this first.
        loop {
            let address = free();
            let config = serde_json::json!({"pebble": {
                "listenAddress": address.to_string(),
                "managementListenAddress": "",
                "certificate": "api.pem",
                "privateKey": "api.key",
                "httpPort": requests.port,
                "tlsPort": handshakes.port,
                "certificateValidityPeriod": 90 * 24 * 60 * 60,
                "externalAccountBindingRequired": known,
                "externalAccountMACKeys": {ACCOUNT.0: ACCOUNT.1},
            }});
            std::fs::write(folder.path().join("pebble.json"), config.to_string()).expect("a file");
            let mut child = Command::new("pebble")
                .args(["-config", "pebble.json", "-strict", "-dnsserver", &dns.address.to_string()])
                // The order of events is the test's, not chance's.
                .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0"), ("PEBBLE_AUTHZREUSE", "0")])
                .current_dir(folder.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("pebble, which `make setup` installs");
            if within("the CA to answer", listens(&mut child, address)).await {
                return Self { child, address, folder, requests, handshakes, _dns: dns };
            }
        }
    }

    /// What a door needs to order there, as a configuration has it.
    pub fn keys(&self) -> String {
        let ca = self.folder.path().join("ca.pem");
        format!("directory: \"https://{}/dir\", ca: \"{}\", agree: true", self.address, ca.display())
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.child.kill().expect("the CA ended");
        self.child.wait().expect("its end");
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn free() -> SocketAddr {
    let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    socket.local_addr().expect("its address")
}

/// Whether it is there in the end; not if it has ended itself.
async fn listens(child: &mut Child, address: SocketAddr) -> bool {
    while TcpStream::connect(address).await.is_err() {
        if child.try_wait().expect("its state").is_some() {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

/// A port that is known before it is known where it leads to. Until then, who connects waits.
pub struct Relay {
    pub port: u16,
    target: watch::Sender<Option<Address>>,
    connections: Arc<AtomicUsize>,
    _relaying: JoinSet<()>,
}

impl Relay {
    async fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port");
        let port = listener.local_addr().expect("its address").port();
        let (target, connections) = (watch::Sender::new(None), Arc::new(AtomicUsize::new(0)));
        let (targets, counted) = (target.subscribe(), connections.clone());
        let mut relaying = JoinSet::new();
        relaying.spawn(async move {
            let mut relays = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                relays.spawn(relay(stream, targets.clone()));
            }
        });
        Self { port, target, connections, _relaying: relaying }
    }

    pub fn leads_to(&self, target: &Address) {
        self.target.send_replace(Some(target.clone()));
    }

    /// How often somebody connected.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn relay(mut stream: TcpStream, mut target: watch::Receiver<Option<Address>>) {
    let Ok(target) = target.wait_for(Option::is_some).await.map(|target| target.clone()) else { return };
    let Some(Address::Tcp(target)) = target else { return };
    let Ok(mut onward) = TcpStream::connect(target).await else { return };
    // How it ends is between the two.
    copy_bidirectional(&mut stream, &mut onward).await.ok();
}
