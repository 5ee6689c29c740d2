//! A whole door in the test's own process: the same server as `onedoor run`, on ports of the kernel's choosing.

use std::path::PathBuf;
use std::time::Duration;

use onedoor::config::{Config, Problem};
use onedoor::server::{BoundAddress, Server};
use onedoor::snapshot::every_problem;
use serde_json::Value;

use super::{Address, Client, Request, within};

/// A door that serves until it is dropped.
///
/// A file without `listeners` gets one, `web`; one without `log` writes its access log where [`Gateway::log`] reads it.
pub struct Gateway {
    server: Option<Server>,
    client: Client,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Gateway {
    /// Starts a door, and fails the test if the file has any problem.
    pub async fn start(yaml: &str) -> Self {
        Self::start_with(yaml, onedoor::builtins()).await
    }

    /// The same with filters of the test's own.
    pub async fn start_with(yaml: &str, registry: onedoor::filter::Registry) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("access.log");
        let yaml = completed(yaml, &log);
        let (config, _) = Config::parse(&yaml, "test.yaml").unwrap_or_else(|refused| fail(&yaml, &refused.problems));
        let started = within("the door to start", Server::start(config, registry)).await;
        let (server, _) = started.unwrap_or_else(|problems| fail(&yaml, &problems));
        let client = Client::to(address(&server, None));
        Self { server: Some(server), client, log, _folder: folder }
    }

    /// What is wrong with a file, as the lines that a user sees.
    pub async fn refused(yaml: &str) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let yaml = completed(yaml, &folder.path().join("access.log"));
        let problems = match Config::parse(&yaml, "test.yaml") {
            Ok((config, _)) => onedoor::server::check(config, &onedoor::builtins(), None).await.map(|_| ()),
            Err(refused) => Err(every_problem(refused, &onedoor::builtins())),
        };
        problems.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    /// Brings the door to another file.
    pub async fn reload(&mut self, yaml: &str) -> Result<(), Vec<String>> {
        let yaml = completed(yaml, &self.log);
        let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (config, _) = Config::parse(&yaml, "test.yaml").map_err(|refused| told(refused.problems))?;
        let server = self.server.as_mut().expect("the door runs");
        within("the reload", server.reload(config)).await.map(|_| ()).map_err(told)
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("the door runs")
    }

    /// Ends the door well; how many connections were cut.
    pub async fn drain(mut self) -> usize {
        let mut server = self.server.take().expect("the door runs");
        within("the drain", server.drain()).await
    }

    /// A client of the first listener.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A client of the listener of this name.
    pub fn client_of(&self, listener: &str) -> Client {
        Client::to(address(self.server(), Some(listener)))
    }

    pub fn get(&self, target: &str) -> Request {
        self.client.get(target)
    }

    pub fn request(&self, method: &str, target: &str) -> Request {
        self.client.request(method, target)
    }

    /// How many connections were turned away so far, over all listeners, by reason; those that were not are left out.
    pub fn turned_away(&self) -> Vec<(&'static str, u64)> {
        let all = self.server().turned_away().into_iter();
        all.filter(|(_, _, count)| *count > 0).map(|(_, why, count)| (why.code(), count)).collect()
    }

    /// The lines of the access log so far, once there are this many.
    pub async fn log(&self, lines: usize) -> Vec<Value> {
        let read = async {
            loop {
                self.server().flush_logs().await;
                let text = std::fs::read_to_string(&self.log).unwrap_or_default();
                if text.lines().count() >= lines {
                    return text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
                }
                // A file does not tell that it has grown; asking all the time would keep those busy that make it grow.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within(format!("{lines} lines in the access log"), read).await
    }

    /// The cause and status of the last of so many lines.
    pub async fn cause(&self, line: usize) -> (String, u64) {
        let lines = self.log(line).await;
        let last = &lines[line - 1];
        (last["cause"].as_str().unwrap_or_default().to_owned(), last["status"].as_u64().unwrap_or_default())
    }
}

fn completed(yaml: &str, log: &std::path::Path) -> String {
    let mut yaml = yaml.to_owned();
    let has = |key: &str, yaml: &str| yaml.lines().any(|line| line.starts_with(key));
    if !has("listeners:", &yaml) {
        yaml = format!("{yaml}\nlisteners: {{web: {{address: \"127.0.0.1:0\"}}}}\n");
    }
    if !has("log:", &yaml) {
        yaml = format!("{yaml}\nlog: {{access: {{to: \"{}\"}}}}\n", log.display());
    }
    yaml
}

fn address(server: &Server, listener: Option<&str>) -> Address {
    let mut addresses = server.addresses().into_iter();
    let found = addresses.find(|(name, _)| listener.is_none_or(|listener| name.as_str() == listener));
    match found.expect("a listener of that name").1 {
        BoundAddress::Tcp(address) => address.into(),
        BoundAddress::Unix(path) => path.into(),
    }
}

#[track_caller]
fn fail(yaml: &str, problems: &[Problem]) -> ! {
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    panic!("the door does not start:\n{}\nwith:\n{yaml}", said.join("\n"))
}
