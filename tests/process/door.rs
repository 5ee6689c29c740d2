//! The real binary under test: started on a port of the kernel's choosing, told by signals, ended with the test.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// No wait in these tests is longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The command that is tested.
pub fn onedoor() -> Command {
    Command::new(env!("CARGO_BIN_EXE_onedoor"))
}

/// Runs the command to its end.
pub fn run(arguments: &[&str]) -> Output {
    onedoor().args(arguments).output().expect("onedoor starts")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("stdout is text")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("stderr is text")
}

/// A running door with a file of its own.
pub struct Door {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    pub address: SocketAddr,
    pub file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Door {
    /// Starts a door whose listener `web` is on port 0, and waits until it listens.
    pub fn start(yaml: &str) -> Self {
        Self::start_with(yaml, Stdio::null())
    }

    /// The same with another standard output.
    pub fn start_with(yaml: &str, stdout: Stdio) -> Self {
        Self::start_by(onedoor(), yaml, stdout)
    }

    /// The same by a command that has more to it than [`onedoor`].
    pub fn start_by(mut command: Command, yaml: &str, stdout: Stdio) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("onedoor.yaml");
        std::fs::write(&file, yaml).expect("the file is written");
        let mut child = command
            .args(["run", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .expect("onedoor starts");
        let stderr = child.stderr.take().expect("stderr is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut door = Self {
            child,
            lines,
            seen: Vec::new(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            file,
            _folder: folder,
        };
        let line = door.wait_for("listener `web` on ");
        let address = line.rsplit(' ').next().expect("an address");
        door.address = address.parse().expect("an address");
        door
    }

    /// The next line on stderr that holds this text.
    pub fn wait_for(&mut self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(e) => panic!("no line with `{text}` on stderr ({e}); it said:\n{}", self.seen.join("\n")),
            }
        }
    }

    /// Where another listener is, of those that were told of before `web`: they come in the order of their names.
    pub fn listener(&self, name: &str) -> SocketAddr {
        let words = format!("listener `{name}` on ");
        let line = self.seen.iter().find_map(|line| line.split_once(&words)).expect("a listener of that name");
        line.1.parse().expect("an address")
    }

    /// How many files it has open.
    pub fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("proc").count()
    }

    pub fn rewrite(&self, yaml: &str) {
        std::fs::write(&self.file, yaml).expect("the file is written");
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        panic!("the door did not end; it said:\n{}", self.seen.join("\n"));
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// Resident memory in KiB: now, and at its highest.
    pub fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("proc");
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).expect("the field is there");
            line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// What curl prints, with these arguments before the URL.
    pub fn curl(&self, arguments: &[&str], path: &str) -> Output {
        curl(arguments, &format!("http://{}{path}", self.address))
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left behind.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Real curl, bounded in time.
pub fn curl(arguments: &[&str], url: &str) -> Output {
    Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "60", "--path-as-is"])
        .args(arguments)
        .arg(url)
        .output()
        .expect("curl is installed (make setup)")
}

/// A tiny HTTP service on a thread of its own: what it answers is up to a closure, a connection for each request.
pub struct Service {
    pub address: SocketAddr,
}

impl Service {
    pub fn start(answer: impl Fn(&str, &mut std::net::TcpStream) + Send + Sync + 'static) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let answer = std::sync::Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let answer = answer.clone();
                std::thread::spawn(move || {
                    let mut stream = stream;
                    let head = read_head(&mut stream);
                    answer(&head, &mut stream);
                });
            }
        });
        Self { address }
    }
}

fn read_head(stream: &mut std::net::TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// A file with this text in a folder that lives as long as it is held.
pub fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("onedoor.yaml");
    std::fs::write(&path, text).expect("the file is written");
    (folder, path)
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
