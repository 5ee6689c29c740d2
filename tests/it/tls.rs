//! Listeners by TLS: who gets which certificate, who is let in, and what changes while the door runs.

mod clients;
mod exchanges;
mod files;
mod identity;
mod life;
mod names;

use std::path::PathBuf;

use onedoor::server::TurnedAway;

use crate::support::*;

/// A folder with the files of a door, and the CA that signed its certificate.
struct Files {
    folder: tempfile::TempDir,
    ca: Ca,
}

/// A certificate for `door.test`.
const DOOR: &str = "certificates: [{cert: DIR/door.crt, key: DIR/door.key}]";

impl Files {
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap(), ca: Ca::new("ca") };
        files.renew();
        files
    }

    /// Another certificate for `door.test` in the same files.
    fn renew(&self) -> Identity {
        let identity = self.ca.issue(&["door.test"]);
        self.pair("door", &identity);
        identity
    }

    fn pair(&self, name: &str, identity: &Identity) {
        self.write(&format!("{name}.key"), &identity.key);
        self.write(&format!("{name}.crt"), &identity.cert);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// A file with one listener by TLS, where `DIR` stands for the folder; `more` are further keys of the listener.
    fn yaml(&self, tls: &str, more: &str, rest: &str) -> String {
        let yaml = format!("listeners: {{web: {{address: \"127.0.0.1:0\", tls: {{{tls}}}{more}}}}}\n{rest}");
        self.filled(&yaml)
    }

    fn filled(&self, yaml: &str) -> String {
        yaml.replace("DIR", self.folder.path().to_str().unwrap())
    }

    /// A door with the certificate for `door.test`.
    async fn door(&self, more: &str, rest: &str) -> Gateway {
        Gateway::start(&self.yaml(DOOR, more, rest)).await
    }

    fn client(&self) -> Secure {
        Secure::trusting(&self.ca)
    }
}

/// Everything is answered by the door itself.
const HI: &str = "routes: {all: {path: /, respond: {body: hi}}}";

fn to(api: &Server) -> String {
    format!("routes: {{all: {{path: /, to: \"http://{}\"}}}}", api.address())
}

fn get(target: &str) -> Request {
    Request::new("GET", target)
}

/// How many connections were turned away for this reason.
fn turned_away(door: &Gateway, reason: TurnedAway) -> u64 {
    door.server().turned_away().into_iter().filter(|(_, why, _)| *why == reason).map(|(.., count)| count).sum()
}

/// Waits until so many were.
async fn wait_for(door: &Gateway, reason: TurnedAway, count: u64) {
    until(format!("{count} times {reason:?}"), || turned_away(door, reason) >= count).await;
    assert_eq!(turned_away(door, reason), count, "{reason:?}");
}
