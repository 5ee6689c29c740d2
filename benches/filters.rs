//! What each filter costs a request: a chain of that filter alone, request and response, against an empty one.
//!
//! `cargo bench --bench filters`

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode};
use onedoor::config::Config;
use onedoor::filter::{Client, Edits, Request, Response, Subject};
use onedoor::head::{Head, Path};
use onedoor::snapshot::{Snapshot, compile};

/// A door with one route that has these filters only.
fn door(filters: &str) -> Arc<Snapshot> {
    let yaml = format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\"}}}}\nroutes: {{all: {{path: /, respond: {{}}, filters: {{request_id: off{filters}}}}}}}"
    );
    let (config, _) = Config::parse(&yaml, "bench.yaml").unwrap_or_else(|_| panic!("a good file: {yaml}"));
    compile(config, &onedoor::builtins(), None).unwrap_or_else(|problems| panic!("{problems:?}")).0
}

/// Takes requests of 10,000 clients through the route's filters, and back if it is asked for.
fn measure(criterion: &mut Criterion, name: &str, filters: &str, back: bool) {
    let snapshot = door(filters);
    let chain = &snapshot.routes()[0].chain;
    let path = Path::parse("/users/7").expect("a path");
    let mut headers = HeaderMap::new();
    headers.insert("accept", HeaderValue::from_static("*/*"));
    headers.insert("x-key", HeaderValue::from_static("0123456789abcdef0123456789abcdef"));
    let mut number = 0_u32;
    criterion.bench_function(name, |b| {
        b.iter(|| {
            number = (number + 1) % 10_000;
            let ip = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | number));
            let client = Client { ip: Some(ip), ..Client::default() };
            let (mut edits, mut bodies, mut kept) = (Edits::default(), Vec::new(), Extensions::new());
            let (mut identity, mut query) = (None, None);
            let head = Head { method: &Method::GET, host: "a.test", path: &path, query: None, headers: &headers };
            let subject = Subject {
                client: &client,
                certificate: None,
                request_id: "0",
                route: "all",
                identity: &mut identity,
                kept: &mut kept,
            };
            let param = |_: &str| None;
            let mut request = Request::new(head, subject, &param, &mut edits, &mut bodies, &mut query);
            let mut entered = 0;
            black_box(chain.request(&mut request, &mut entered, None).now_or_never()).expect("nothing to wait for");
            if back {
                let (mut edits, mut bodies) = (Edits::default(), Vec::new());
                let subject = Subject {
                    client: &client,
                    certificate: None,
                    request_id: "0",
                    route: "all",
                    identity: &mut identity,
                    kept: &mut kept,
                };
                let method = &Method::GET;
                let mut response = Response::new(StatusCode::OK, &headers, subject, &mut edits, method, &mut bodies);
                let done = chain.response(&mut response, entered).now_or_never();
                black_box(done).expect("nothing to wait for").expect("no failure");
            }
        });
    });
}

fn rate_limit(criterion: &mut Criterion) {
    measure(criterion, "no filter, request and response", "", true);
    let fast = "rate: 1000000/s";
    let by_ip = format!(", rate_limit: {{per: client_ip, {fast}}}");
    measure(criterion, "rate_limit per client_ip, request", &by_ip, false);
    measure(criterion, "rate_limit per client_ip, request and response", &by_ip, true);
    measure(
        criterion,
        "rate_limit per header, request",
        &format!(", rate_limit: {{per: {{header: x-key}}, {fast}}}"),
        false,
    );
    measure(
        criterion,
        "rate_limit dry run, request",
        &format!(", rate_limit: {{per: client_ip, {fast}, dry_run: true}}"),
        false,
    );
    measure(criterion, "rate_limit refused, request", ", rate_limit: {per: client_ip, rate: 1/d}", false);
    measure(
        criterion,
        "rate_limit without room, request",
        &format!(", rate_limit: {{per: client_ip, {fast}, keys: 1}}"),
        false,
    );
    let three = format!(
        ", rate_limit: [{{name: a, per: client_ip, {fast}}}, {{name: b, per: client_ip, {fast}}}, {{per: route, {fast}}}]"
    );
    measure(criterion, "rate_limit list of three, request", &three, false);
}

fn others(criterion: &mut Criterion) {
    for (name, filters) in [
        ("ip", ", ip: {allow: [127.0.0.0/8, 10.0.0.0/8], deny: [192.0.2.0/24]}"),
        ("headers", ", headers: {request: {set: {x-ip: \"{client_ip}\"}}, response: {set: {server: door}}}"),
        ("limits body", ", limits: {body: 1MiB}"),
        ("limits requests", ", limits: {requests: 100}"),
        ("limits each", ", limits: {each: {per: client_ip, requests: 10}}"),
        ("limits adaptive", ", limits: {adaptive: {}}"),
        ("compress, too small", ", compress: {}"),
    ] {
        measure(criterion, &format!("{name}, request and response"), filters, true);
    }
}

criterion_group!(benches, rate_limit, others);
criterion_main!(benches);
