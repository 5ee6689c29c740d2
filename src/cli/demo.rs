//! `onedoor demo`: two small services, a door in front of them, and the first requests.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use async_trait::async_trait;
use http::{Response, StatusCode};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{FAINT, GOOD, STRONG, fail, fail_all, print, runtime, warn_all};
use crate::config::{Config, Name, Problem};
use crate::filter::Registry;
use crate::server::{BoundAddress, Server, SideService, Signals, run_until_told};
use crate::snapshot::every_problem;

/// How to show it.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The door's port on 127.0.0.1; 0 lets the kernel choose.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Leave after the first requests, and fail if one was not answered as it should be.
    #[arg(long)]
    once: bool,
}

/// A small service that tells what it was asked.
struct Small {
    name: &'static str,
}

#[async_trait]
impl ServeHttp for Small {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let head = session.req_header();
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let body = json!({
            "service": self.name,
            "method": head.method.as_str(),
            "path": head.uri.path(),
            "x-forwarded-for": header("x-forwarded-for"),
            "x-internal": header("x-internal"),
            "x-request-id": header("x-request-id"),
        });
        let body = format!("{body}\n").into_bytes();
        let response = Response::builder()
            .status(StatusCode::OK)
            .header("content-type", "application/json")
            .header("content-length", body.len())
            .header("server", self.name)
            .body(body);
        response.unwrap_or_default()
    }
}

/// A request to try and what must come of it.
struct Try {
    path: &'static str,
    header: Option<&'static str>,
    status: u16,
    holds: &'static str,
    shows: &'static str,
}

const TRIES: &[Try] = &[
    Try {
        path: "/users/7",
        header: Some("X-Internal: forged"),
        status: 200,
        holds: r#""path":"/7""#,
        shows: "the users service sees /7, and not the header that clients may not send",
    },
    Try { path: "/orders/9", header: None, status: 200, holds: r#""service":"orders""#, shows: "the orders service" },
    Try { path: "/healthz", header: None, status: 200, holds: "ok", shows: "answered at the door" },
    Try { path: "/users", header: None, status: 308, holds: "location: /users/", shows: "the slash is added" },
    Try {
        path: "/nope",
        header: None,
        status: 404,
        holds: "request_id",
        shows: "no route: an error page with the request's id",
    },
];

/// Shows the door at work.
pub(super) fn demo(arguments: &Arguments, registry: Registry) -> ExitCode {
    let runtime = match runtime(2) {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("no worker threads: {e}")),
    };
    let shown = runtime.block_on(show(arguments, registry));
    runtime.shutdown_timeout(Duration::from_millis(100));
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(problems)) => {
            let code = fail_all(&problems);
            if arguments.port != 0 {
                anstream::eprintln!("try another port: onedoor demo --port 0");
            }
            code
        }
        Err(Failure::Other(message)) => fail(&message),
    }
}

enum Failure {
    Config(Vec<Problem>),
    Other(String),
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Self {
        Self::Config(problems)
    }
}

impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        Self::Other(e.to_string())
    }
}

async fn show(arguments: &Arguments, registry: Registry) -> Result<(), Failure> {
    let users = SideService::start(Small { name: "users" })?;
    let orders = SideService::start(Small { name: "orders" })?;
    let text = configuration(arguments.port, users.address(), orders.address());
    let signals = Signals::listen()?;
    let (config, mut warnings) =
        Config::parse(&text, "demo.yaml").map_err(|refused| every_problem(refused, &registry))?;
    let (mut server, more) = Server::start(config, registry).await?;
    warnings.extend(more);
    warn_all(&warnings);
    print(&format!("{FAINT}# The configuration of this door{FAINT:#}\n{text}"));
    let Some(BoundAddress::Tcp(door)) = web(&server) else {
        return Err(Failure::Other("the demo's listener has no address".into()));
    };
    for attempt in TRIES {
        attempt.run(door).await?;
    }
    if arguments.once {
        server.drain().await;
        return Ok(());
    }
    print(&format!(
        "\n{STRONG}The door is open at http://{door}{STRONG:#} until Ctrl-C. Try e.g.\n  curl -i http://{door}/users/7"
    ));
    // There is no file to reload: HUP says so and changes nothing.
    run_until_told(server, Path::new("demo.yaml"), signals).await;
    Ok(())
}

fn web(server: &Server) -> Option<BoundAddress> {
    server.addresses().into_iter().find(|(name, _): &(Name, _)| name.as_ref() == "web").map(|(_, address)| address)
}

fn configuration(port: u16, users: SocketAddr, orders: SocketAddr) -> String {
    let door = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    format!(
        r#"listeners:
  web: {{address: "{door}"}}
defaults:
  timeout: 5s
  filters:
    headers: {{request: {{remove: [x-internal]}}, response: {{remove: [server]}}}}
routes:
  users: {{path: /users/, strip: true, to: "http://{users}"}}
  orders: {{path: /orders/, to: "http://{orders}"}}
  health: {{path: /healthz, respond: {{body: ok}}}}
log: {{access: off}}
tests:
  - {{get: /users/7, expect: {{route: users, path: /7}}}}
"#
    )
}

impl Try {
    /// Sends the request as curl would, and prints it with what came back.
    async fn run(&self, door: SocketAddr) -> Result<(), Failure> {
        let header = self.header.map(|header| format!(" -H '{header}'")).unwrap_or_default();
        print(&format!(
            "\n{STRONG}curl -i{header} http://{door}{}{STRONG:#}   {FAINT}# {}{FAINT:#}",
            self.path, self.shows
        ));
        let answer = tokio::time::timeout(Duration::from_secs(10), self.ask(door))
            .await
            .map_err(|_| Failure::Other(format!("{} was not answered within 10 s", self.path)))??;
        let (status, rest) = answer.split_once('\n').unwrap_or((&answer, ""));
        print(&format!("{GOOD}{}{GOOD:#}\n{}", status.trim_end(), rest.trim_end()));
        if !status.contains(&format!(" {} ", self.status)) || !answer.contains(self.holds) {
            return Err(Failure::Other(format!("{}: expected {} and `{}`", self.path, self.status, self.holds)));
        }
        Ok(())
    }

    async fn ask(&self, door: SocketAddr) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(door).await?;
        let header = self.header.map(|header| format!("{header}\r\n")).unwrap_or_default();
        let request = format!("GET {} HTTP/1.1\r\nHost: {door}\r\n{header}Connection: close\r\n\r\n", self.path);
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}
