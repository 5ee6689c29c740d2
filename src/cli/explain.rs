//! `onedoor explain`.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use super::{FAINT, File, GOOD, STRONG, WARNING, fail, load, pretty, print, refused, runtime};
use crate::explain::{Explanation, Peer, Question};
use crate::filter::Registry;
use crate::snapshot;
use crate::upstream::Using;

/// What to explain.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The request's method.
    method: String,
    /// The request's path and query, as a client would send them, or an absolute URL.
    #[arg(value_name = "PATH")]
    target: String,
    /// A header, e.g. -H 'Host: api.example.com'. May be given several times.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The client's address.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    from: IpAddr,
    /// The listener that the request comes in by; if none is given the first by name that does not send everybody to
    /// https.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// A claim of whom the request comes from, as if `auth` had found that out, e.g. --as sub=u1. May be given several
    /// times.
    #[arg(long = "as", value_name = "CLAIM=VALUE")]
    identity: Vec<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: File,
}

/// Says what the door would do.
pub(super) fn explain(arguments: &Arguments, registry: &Registry) -> ExitCode {
    let question = match question(arguments) {
        Ok(question) => question,
        Err(message) => {
            anstream::eprintln!("{WARNING}error:{WARNING:#} {message}");
            return ExitCode::from(2);
        }
    };
    let compiled = load(&arguments.file.config, registry).and_then(|config| snapshot::compile(config, registry, None));
    let snapshot = match compiled {
        Ok((snapshot, _)) => snapshot,
        Err(problems) => return refused(&problems, arguments.json),
    };
    if let Some(name) = &arguments.listener
        && snapshot.listener(name).is_none()
    {
        let known: Vec<&str> = snapshot.listeners().iter().map(|listener| &*listener.name).collect();
        return fail(&format!("there is no listener `{name}`; known: {}", known.join(", ")));
    }
    let explanation = match runtime(1) {
        Ok(runtime) => runtime.block_on(crate::explain::explain(&snapshot, &question)),
        Err(e) => return fail(&format!("no worker thread: {e}")),
    };
    match serde_json::to_value(&explanation) {
        Ok(value) if arguments.json => print(&pretty(&value)),
        Ok(_) => print(&for_people(&explanation, &question.method)),
        Err(e) => fail(&e.to_string()),
    }
}

fn question(arguments: &Arguments) -> Result<Question, String> {
    let method = Method::from_bytes(arguments.method.as_bytes())
        .map_err(|_| format!("`{}` is no method; try GET or POST", arguments.method))?;
    if method.as_str().bytes().any(|byte| byte.is_ascii_lowercase()) {
        anstream::eprintln!(
            "{WARNING}note:{WARNING:#} methods are case-sensitive (RFC 9110, 9.1): did you mean {}?",
            method.as_str().to_ascii_uppercase()
        );
    }
    let mut question = Question::new(method, &arguments.target);
    question.peer = Peer::Inet(SocketAddr::new(arguments.from, 0));
    question.listener.clone_from(&arguments.listener);
    if !arguments.identity.is_empty() {
        let claim = |text: &String| match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.into())),
            _ => Err(format!("`{text}` is no claim; write it as sub=u1")),
        };
        question.assume(arguments.identity.iter().map(claim).collect::<Result<Vec<_>, _>>()?);
    }
    for header in &arguments.headers {
        let (name, value) =
            header.split_once(':').ok_or_else(|| format!("`{header}` is no header; write it as 'name: value'"))?;
        let name =
            HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| format!("`{name}` is no header's name"))?;
        let value =
            HeaderValue::from_str(value.trim()).map_err(|_| format!("the value of `{name}` holds forbidden bytes"))?;
        question.headers.append(name, value);
    }
    Ok(question)
}

fn for_people(found: &Explanation, method: &Method) -> String {
    let mut page = Page::default();
    page.line(format_args!("{STRONG}{}{STRONG:#}", found.request));
    page.field("listener", found.listener.as_deref());
    page.field("host", found.host.as_deref());
    page.field("path", found.canonical.as_deref());
    page.field("client", found.client.map(|ip| ip.to_string()).as_deref());
    page.field("route", Some(found.route.as_deref().unwrap_or("none")));
    for (index, filter) in found.filters.iter().enumerate() {
        let label = if index == 0 { "filters" } else { "" };
        let notes = filter.notes.join("; ");
        page.line(format_args!(
            "  {FAINT}{label:<9}{FAINT:#} {:<12} {:<12} {FAINT}{notes}{FAINT:#}",
            filter.kind, filter.verdict
        ));
    }
    if let Some(upstream) = &found.upstream {
        let endpoint = found.endpoint.as_deref().unwrap_or("no endpoint");
        let using = match found.using {
            Some(Using::Backups) => ", a backup since no primary can be used",
            Some(Using::Everyone) => ", used with all others since too few can be (`panic`)",
            _ => "",
        };
        page.field(
            "upstream",
            Some(&match &found.discovery {
                Some(discovery) => format!("{upstream}, endpoint by {discovery}"),
                None => format!("{upstream}, endpoint {endpoint}{using}"),
            }),
        );
        let shares: Vec<String> =
            found.shares.iter().map(|share| format!("{} {}", share.weight, share.upstream)).collect();
        page.field("shares", Some(shares.join(", ").as_str()).filter(|shares| !shares.is_empty()));
    }
    page.field("timeout", found.timeout_ms.map(span).as_deref());
    page.field("retry", found.retry.as_deref());
    page.field("mirror", found.mirror.as_deref());
    match found.status {
        Some(status) => {
            let cause = found.cause.map(|cause| format!(" {cause}")).unwrap_or_default();
            let detail = found.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
            page.field("answer", Some(&format!("{WARNING}{status}{WARNING:#}{cause}{detail}")));
            page.line(format_args!("\n{FAINT}The door answers:{FAINT:#}"));
        }
        None => {
            let path = found.path.as_deref().unwrap_or("/");
            page.line(format_args!("\n{FAINT}The upstream sees:{FAINT:#}\n  {GOOD}{method} {path} HTTP/1.1{GOOD:#}"));
        }
    }
    for (name, value) in &found.headers {
        page.line(format_args!("  {name}: {value}"));
    }
    if let Some(body) = &found.body {
        page.line(format_args!("\n  {}", body.trim_end()));
    }
    if !found.near.is_empty() {
        page.line(format_args!("\n{FAINT}Came near:{FAINT:#}"));
        for near in &found.near {
            page.line(format_args!("  {:<12} {}", near.route, near.failed));
        }
    }
    page.0
}

/// Milliseconds as the file has them: `5s`, `1m 30s`.
fn span(ms: u64) -> String {
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        writeln!(self.0, "{line}").ok();
    }

    fn field(&mut self, label: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.line(format_args!("  {FAINT}{label:<9}{FAINT:#} {value}"));
        }
    }
}
