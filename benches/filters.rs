//! What each filter costs a request: a chain of that filter alone, request and response, against an empty one.
//!
//! `cargo bench --bench filters`

use std::hint::black_box;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode};
use onedoor::config::Config;
use onedoor::filter::{Client, Edits, Identity, Request, Response, Subject};
use onedoor::head::{Head, Path};
use onedoor::snapshot::{Snapshot, compile};
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256};
use serde_json::{Value, json};

/// A door with one route that has these filters only.
fn door(filters: &str) -> Arc<Snapshot> {
    let yaml = format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\"}}}}\nroutes: {{all: {{path: /, respond: {{}}, filters: {{request_id: off{filters}}}}}}}"
    );
    let (config, _) = Config::parse(&yaml, "bench.yaml").unwrap_or_else(|_| panic!("a good file: {yaml}"));
    compile(config, &onedoor::builtins(), None).unwrap_or_else(|problems| panic!("{problems:?}")).0
}

/// What comes, each in turn.
struct Asks {
    method: Method,
    headers: Vec<HeaderMap>,
    /// How `Debug` shows what the filters make of it, so that nothing else is measured by a slip.
    outcome: &'static str,
}

impl Asks {
    /// A GET with these headers, which passes.
    fn with<'a>(headers: impl IntoIterator<Item = (&'static str, &'a str)>) -> Self {
        let mut map = HeaderMap::new();
        map.insert("accept", HeaderValue::from_static("*/*"));
        map.insert("x-key", HeaderValue::from_static("0123456789abcdef0123456789abcdef"));
        for (name, value) in headers {
            map.insert(name, HeaderValue::from_str(value).expect("a header's value"));
        }
        Self { method: Method::GET, headers: vec![map], outcome: "Continue" }
    }
}

/// Takes requests of 10,000 clients through the route's filters, and back if it is asked for.
fn measure(criterion: &mut Criterion, name: &str, filters: &str, back: bool) {
    let outcome = if name.contains("refused") || name.contains("without room") { "" } else { "Continue" };
    measure_asks(criterion, name, filters, &Asks { outcome, ..Asks::with([]) }, back);
}

/// What both ways of an exchange have in common.
fn subject_of<'a>(
    client: &'a Client,
    identity: &'a mut Option<Arc<Identity>>,
    kept: &'a mut Extensions,
) -> Subject<'a> {
    Subject { client, certificate: None, request_id: "0", route: "all", identity, kept }
}

fn measure_asks(criterion: &mut Criterion, name: &str, filters: &str, asks: &Asks, back: bool) {
    let snapshot = door(filters);
    let chain = &snapshot.routes()[0].chain;
    let path = Path::parse("/users/7").expect("a path");
    let mut number = 0_u32;
    let mut turn = |is_checked: bool| {
        number = (number + 1) % 10_000;
        let ip = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | number));
        let headers = &asks.headers[number as usize % asks.headers.len()];
        let client = Client { ip: Some(ip), ..Client::default() };
        let (mut edits, mut bodies, mut kept) = (Edits::default(), Vec::new(), Extensions::new());
        let (mut identity, mut query) = (None, None);
        let head = Head { method: &asks.method, host: "a.test", path: &path, query: None, headers };
        let subject = subject_of(&client, &mut identity, &mut kept);
        let param = |_: &str| None;
        let mut request = Request::new(head, subject, &param, &mut edits, &mut bodies, &mut query);
        let mut entered = 0;
        let outcome = black_box(chain.request(&mut request, &mut entered, None).now_or_never());
        let outcome = outcome.expect("nothing to wait for");
        assert!(!is_checked || format!("{outcome:?}").starts_with(asks.outcome), "{name}: {outcome:?}");
        if back {
            let (mut edits, mut bodies) = (Edits::default(), Vec::new());
            let subject = subject_of(&client, &mut identity, &mut kept);
            let mut response = Response::new(StatusCode::OK, headers, subject, &mut edits, &asks.method, &mut bodies);
            response.origin = headers.get("origin");
            let done = chain.response(&mut response, entered).now_or_never();
            black_box(done).expect("nothing to wait for").expect("no failure");
        }
    };
    asks.headers.iter().for_each(|_| turn(true));
    criterion.bench_function(name, |b| b.iter(|| turn(false)));
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

fn cors(criterion: &mut Criterion) {
    let filters = ", cors: {origins: [https://app.example.com, \"https://*.example.org\"], methods: [GET, POST], \
                   headers: [Authorization], credentials: true, max_age: 2h}";
    let page = [("origin", "https://app.example.com")];
    measure_asks(criterion, "cors of a page, request and response", filters, &Asks::with(page), true);
    let asks =
        [page[0], ("access-control-request-method", "POST"), ("access-control-request-headers", "authorization")];
    let asks = Asks { method: Method::OPTIONS, outcome: "Reply", ..Asks::with(asks) };
    measure_asks(criterion, "cors preflight, request and response", filters, &asks, true);
}

fn api_key(criterion: &mut Criterion) {
    let filters =
        ", auth: {api_key: {keys: {partner: 62249369389075490555a758353aec61500c6218fa597252d52dc4bd0148f12d}}}";
    let asks = Asks::with([("x-api-key", "correct-horse-battery")]);
    measure_asks(criterion, "auth api_key, request", filters, &asks, false);
    let hidden = filters.replace("keys:", "hide: true, keys:");
    measure_asks(criterion, "auth api_key that is hidden, request", &hidden, &asks, false);
}

fn jwt(criterion: &mut Criterion) {
    let issuer = Issuer::new();
    for (algorithm, sign) in
        [("ES256", &(|text: &[u8]| issuer.es256(text)) as Sign<'_>), ("RS256", &|text| issuer.rs256(text))]
    {
        let tokens: Vec<HeaderMap> = (0..64)
            .flat_map(|number| Asks::with([("authorization", &*issuer.token(algorithm, number, sign))]).headers)
            .collect();
        let asks = Asks { headers: tokens, ..Asks::with([]) };
        for (name, cache) in [("known", 10_000), ("cold", 1)] {
            let keys = issuer.file.path().display();
            let filters = format!(
                ", auth: {{jwt: {{issuer: \"https://id.test\", audience: api, jwks: {{file: \"{keys}\"}}, cache: {cache}}}}}"
            );
            measure_asks(criterion, &format!("auth jwt {algorithm} {name}, request"), &filters, &asks, false);
        }
    }
}

type Sign<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

/// Somebody who issues tokens, with the published keys in a file.
struct Issuer {
    ec: EcdsaKeyPair,
    rsa: rsa::KeyPair,
    random: SystemRandom,
    file: tempfile::NamedTempFile,
}

impl Issuer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).expect("a key");
        let key = rsa_key();
        let part = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().expect("a number")).expect("base64");
        let components = rsa::KeyPairComponents {
            public_key: rsa::PublicKeyComponents { n: part("n"), e: part("e") },
            d: part("d"),
            p: part("p"),
            q: part("q"),
            dP: part("dp"),
            dQ: part("dq"),
            qInv: part("qi"),
        };
        let rsa = rsa::KeyPair::from_components(&components).expect("a key");
        let (x, y) = ec.public_key().as_ref()[1..].split_at(32);
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let set = json!({"keys": [
            {"kty": "EC", "crv": "P-256", "kid": "ES256", "x": encode(x), "y": encode(y)},
            {"kty": "RSA", "kid": "RS256", "n": key["n"], "e": key["e"]},
        ]});
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(set.to_string().as_bytes()).expect("room on the disk");
        Self { ec, rsa, random, file }
    }

    fn es256(&self, text: &[u8]) -> Vec<u8> {
        self.ec.sign(&self.random, text).expect("a signature").as_ref().to_vec()
    }

    fn rs256(&self, text: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.rsa.public().modulus_len()];
        self.rsa.sign(&RSA_PKCS1_SHA256, &self.random, text, &mut signature).expect("a signature");
        signature
    }

    /// What a client sends in `Authorization`.
    fn token(&self, algorithm: &str, number: u32, sign: Sign<'_>) -> String {
        let head = json!({"alg": algorithm, "kid": algorithm, "typ": "JWT"}).to_string();
        let claims = json!({
            "iss": "https://id.test", "aud": "api", "sub": format!("u{number}"), "exp": 4_000_000_000_u32,
            "iat": 1_700_000_000, "scope": "read write", "role": "admin", "email": "u@id.test",
        });
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims.to_string()));
        format!("Bearer {text}.{}", URL_SAFE_NO_PAD.encode(sign(text.as_bytes())))
    }
}

/// Making one takes long, and a test vector has one of 2048 bits.
fn rsa_key() -> Value {
    let vectors: Value =
        serde_json::from_str(include_str!("../tests/vectors/json_web_signature_test.json")).expect("JSON");
    let groups = vectors["testGroups"].as_array().expect("groups");
    groups.iter().find(|group| group["comment"] == "rs256").expect("a group")["private"].clone()
}

criterion_group!(benches, rate_limit, others, cors, api_key, jwt);
criterion_main!(benches);
