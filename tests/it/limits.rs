//! `limits`: bodies that are too large, and too many requests at a time.

use http::HeaderName;
use onedoor::filter::{BodyHook, Configure, Env, Filter, Flow, Problems, Request as Asked, Result, async_trait};

use crate::support::who::{Nothing, Who};
use crate::support::*;

async fn door(api: &Server, limits: &str) -> Gateway {
    Gateway::start(&file(api, limits)).await
}

fn file(api: &Server, limits: &str) -> String {
    format!("routes: {{all: {{path: /, to: \"http://{}\", filters: {{limits: {{{limits}}}}}}}}}", api.address())
}

/// An upstream that answers when the gate is opened.
async fn held(gate: &Gate) -> Server {
    Upstream::new().on("*", reply(200).hold(gate).body("done")).start().await
}

#[tokio::test]
async fn a_body_that_is_too_large_by_its_length_never_reaches_the_upstream() {
    let api = Upstream::new().on("*", echo()).start().await;
    let door = door(&api, "body: 1KiB").await;
    assert_eq!(door.client().post("/").body(vec![b'x'; 1024]).send().await.status, 200);
    let response = door.client().post("/").body(vec![b'x'; 1025]).send().await;
    assert_eq!((response.status, response.header("content-type")), (413, Some("application/problem+json")));
    assert!(response.text().contains("at most 1024 bytes"), "{}", response.text());
    assert_eq!(door.cause(2).await, ("body_too_large".into(), 413));
    assert_eq!(api.requests().len(), 1);
}

#[tokio::test]
async fn who_waits_for_a_100_gets_the_413_in_its_place_and_the_end_of_the_connection() {
    let api = Upstream::new().on("*", echo()).start().await;
    let door = door(&api, "body: 1KiB").await;
    let mut connection = door.client().connect().await;
    let head = door.client().post("/").header("content-length", "5000").header("expect", "100-continue");
    connection.send_head(head).await;
    let response = connection.read_response().await;
    assert_eq!((response.status, response.interim.len()), (413, 0));
    assert_eq!(response.header("connection"), Some("close"));
    assert!(connection.read_to_close().await.is_empty());
    assert_eq!(api.connections(), 0);
}

#[tokio::test]
async fn a_chunked_body_is_cut_off_and_the_client_that_goes_on_sending_reads_the_answer() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = door(&api, "body: 100KiB").await;
    assert_eq!(door.client().post("/").chunks([vec![b'x'; 100 << 10]]).send().await.status, 200);
    let mut connection = door.client().connect().await;
    connection.send_head(door.client().post("/").header("transfer-encoding", "chunked")).await;
    for _ in 0..200 {
        // It may have been closed already: whoever sends a long body finds out late.
        if connection.try_write([b"2800\r\n".as_slice(), &[b'x'; 10 << 10], b"\r\n"].concat()).await.is_err() {
            break;
        }
    }
    let response = connection.read_response().await;
    assert_eq!((response.status, response.truncated()), (413, false));
    assert_eq!(door.cause(2).await, ("body_too_large".into(), 413));
    assert!(api.wait_closed(1).await != Closed::Here);
    let last = api.last();
    assert!(last.body_length <= 100 << 10 && !last.complete, "{last}");
}

#[tokio::test]
async fn what_flows_through_a_websocket_is_no_body() {
    let api = Upstream::new().on("*", upgrade("websocket")).start().await;
    let door = door(&api, "body: 10B").await;
    let mut connection = door.client().connect().await;
    let head = door.get("/").header("connection", "upgrade").header("upgrade", "websocket");
    connection.send_head(head).await;
    assert_eq!(connection.read_head().await.status, 101);
    connection.write([b'x'; 5000]).await;
    assert_eq!(connection.read_exactly(5000).await, [b'x'; 5000]);
}

#[tokio::test]
async fn above_the_limit_there_is_a_503_at_once_and_room_again_when_one_ends() {
    let gate = Gate::new();
    let api = held(&gate).await;
    let mut door = door(&api, "requests: 2").await;
    let under_way = [tokio::spawn(door.get("/").send()), tokio::spawn(door.get("/").send())];
    api.wait_for_requests(2).await;
    let response = door.get("/").send().await;
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    assert_eq!(door.cause(1).await, ("limit_concurrent".into(), 503));
    // Another limit, and the same count.
    door.reload(&file(&api, "requests: 1")).await.unwrap();
    assert_eq!(door.get("/").send().await.status, 503);
    gate.open();
    for response in under_way {
        assert_eq!(response.await.unwrap().status, 200);
    }
    door.log(4).await;
    assert_eq!(door.get("/").send().await.status, 200);
}

#[tokio::test]
async fn in_defaults_each_route_has_its_own_count() {
    let gate = Gate::new();
    let api = held(&gate).await;
    let door = Gateway::start(&format!(
        "defaults: {{filters: {{limits: {{requests: 1}}}}}}\nroutes: {{a: {{path: /a, to: \"http://{0}\"}}, b: {{path: /b, to: \"http://{0}\"}}}}",
        api.address()
    ))
    .await;
    let first = tokio::spawn(door.get("/a").send());
    api.wait_for_requests(1).await;
    let second = tokio::spawn(door.get("/b").send());
    api.wait_for_requests(2).await;
    assert_eq!(door.get("/a").send().await.status, 503);
    gate.open();
    assert_eq!((first.await.unwrap().status, second.await.unwrap().status), (200, 200));
}

#[tokio::test]
async fn however_an_exchange_ends_its_place_is_free_then() {
    let gate = Gate::new();
    let api = Upstream::new()
        .on("/held", reply(200).hold(&gate))
        .on("/cut", reply(200).content_length(100).body("short").then_close())
        .on("/chat", upgrade("websocket"))
        .on("/early", reply(200).before_body())
        .on("*", reply(200))
        .start()
        .await;
    let yaml = file(&api, "requests: 1, body: 1KiB").replace("all: {", "all: {timeout: 300ms, ");
    let door = Gateway::start_with(&yaml.replace("limits:", "panics: {}, limits:"), registry()).await;
    let is_free = async |line: usize, what: &str| {
        door.log(line).await;
        assert_eq!(door.get("/").send().await.status, 200, "{what}");
    };
    // The client goes while the upstream is waited for.
    let mut gone = door.client().connect().await;
    gone.send_head(door.get("/held")).await;
    api.wait_for_requests(1).await;
    assert_eq!(door.get("/").send().await.status, 503);
    gone.reset();
    is_free(2, "the client is gone").await;
    assert_eq!(door.get("/held").send().await.status, 504);
    is_free(4, "the deadline struck").await;
    assert!(door.get("/cut").send().await.truncated());
    is_free(6, "the body was cut short").await;
    assert_eq!(door.get("/").header("x-panic", "request").send().await.status, 500);
    is_free(8, "a filter after it panicked").await;
    assert_eq!(door.get("/").header("x-panic", "body").send().await.status, 500);
    is_free(10, "a filter panicked within the exchange").await;
    let mut chat = door.client().connect().await;
    chat.send_head(door.get("/chat").header("connection", "upgrade").header("upgrade", "websocket")).await;
    assert_eq!(chat.read_head().await.status, 101);
    assert_eq!(door.get("/").send().await.status, 503, "a WebSocket counts as long as it lasts");
    drop(chat);
    is_free(13, "the WebSocket ended").await;
    // The connection lingers for its client, the place does not.
    let mut large = door.client().connect().await;
    large.send_head(door.client().post("/").header("transfer-encoding", "chunked")).await;
    large.send_chunk([b'x'; 2000]).await;
    assert_eq!(large.read_response().await.status, 413);
    is_free(15, "a body was refused").await;
    // What is left of a request's body may take its time.
    let mut slow = door.client().connect().await;
    slow.send_head(door.client().post("/early").header("content-length", "100")).await;
    assert_eq!(slow.read_response().await.status, 200);
    is_free(17, "the response came before the request's end").await;
}

#[tokio::test]
async fn each_client_has_its_own_count() {
    let gate = Gate::new();
    let api = held(&gate).await;
    let door = door(&api, "each: {per: {header: x-tenant}, requests: 1, keys: 2}").await;
    let of = |tenant: &str| door.get("/").header("x-tenant", tenant);
    let mut under_way = vec![tokio::spawn(of("a").send())];
    api.wait_for_requests(1).await;
    let response = of("a").send().await;
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    under_way.push(tokio::spawn(door.get("/").send()));
    api.wait_for_requests(2).await;
    assert_eq!(door.get("/").send().await.status, 503, "those without a key share one count");
    under_way.push(tokio::spawn(of("b").send()));
    api.wait_for_requests(3).await;
    assert_eq!(of("c").send().await.status, 503, "those for whom the table has no room share one count");
    let lines = door.log(3).await;
    let said: Vec<&str> = lines.iter().map(|line| line["detail"].as_str().unwrap()).collect();
    assert!(said[0].contains("this `x-tenant` has 1 requests under way already"), "{said:?}");
    assert!(said[1].contains("who sends no `x-tenant`") && said[2].contains("raise `keys`"), "{said:?}");
    gate.open();
    for response in under_way {
        assert_eq!(response.await.unwrap().status, 200);
    }
    door.log(6).await;
    assert_eq!(of("c").send().await.status, 200);
}

#[tokio::test]
async fn a_client_is_known_by_its_address_or_its_identity() {
    let gate = Gate::new();
    for per in ["client_ip", "identity"] {
        let api = held(&gate).await;
        let yaml = file(&api, &format!("each: {{per: {per}, requests: 1}}")).replace("limits:", "who: {}, limits:");
        let listener = "\nlisteners: {web: {address: \"127.0.0.1:0\", trusted_proxies: [127.0.0.0/8]}}\n";
        let door = Gateway::start_with(&(yaml + listener), registry()).await;
        let of = |number: u8| {
            door.get("/").header("x-forwarded-for", format!("192.0.2.{number}")).header("x-user", format!("u{number}"))
        };
        let _held = tokio::spawn(of(1).send());
        api.wait_for_requests(1).await;
        assert_eq!(of(1).send().await.status, 503, "{per}");
        let _other = tokio::spawn(of(2).send());
        api.wait_for_requests(2).await;
    }
}

#[tokio::test]
async fn an_adaptive_limit_holds_within_its_bounds() {
    let gate = Gate::new();
    let api = held(&gate).await;
    let door = door(&api, "adaptive: {min: 2, max: 2}").await;
    let under_way = [tokio::spawn(door.get("/").send()), tokio::spawn(door.get("/").send())];
    api.wait_for_requests(2).await;
    assert_eq!(door.get("/").send().await.status, 503);
    gate.open();
    for response in under_way {
        assert_eq!(response.await.unwrap().status, 200);
    }
    for _ in 0..100 {
        assert_eq!(door.get("/").send().await.status, 200);
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_what_is() {
    for (limits, words) in [
        ("{}", "give it something to limit"),
        ("{body: 5}", "`5` has no unit; write `5KiB`"),
        ("{body: 10MB}", "did you mean `10MiB`?"),
        ("{requests: 0}", "from 1 to 1000000"),
        ("{requests: 5, adaptive: {}}", "finds out what `requests` says"),
        ("{adaptive: {min: 5, max: 4}}", "5 is more than `max`, which is 4"),
        ("{each: {per: ip, requests: 5}}", "allowed: `client_ip`"),
        ("{each: {per: client_ip}}", "requests"),
        ("{bdy: 1KiB}", "did you mean `body`?"),
    ] {
        let said =
            Gateway::refused(&format!("routes: {{a: {{path: /, respond: {{}}, filters: {{limits: {limits}}}}}}}"))
                .await;
        assert!(said.iter().any(|line| line.contains(words)), "{limits}: {said:?}");
    }
}

/// Panics where a header says so, after `limits` has let the request in.
struct Panics;

struct PanicsInBody;

impl BodyHook for PanicsInBody {
    fn piece(&mut self, _: bytes::Bytes, _: bool) -> std::result::Result<bytes::Bytes, Box<onedoor::filter::Reply>> {
        panic!("told to panic within a body")
    }
}

fn header(request: &Asked<'_>, name: &'static str) -> Option<String> {
    request.header(&HeaderName::from_static(name)).map(|value| String::from_utf8(value.to_vec()).unwrap())
}

#[async_trait]
impl Filter for Panics {
    async fn request(&self, request: &mut Asked<'_>) -> Result<Flow> {
        match header(request, "x-panic").as_deref() {
            Some("body") => request.with_body(Box::new(PanicsInBody)),
            Some(_) => panic!("told to panic"),
            None => {}
        }
        Ok(Flow::Continue)
    }
}

impl Configure for Panics {
    const KIND: &'static str = "panics";
    type Config = Nothing;

    fn configure(_: Nothing, _: &Env<'_>) -> std::result::Result<Self, Problems> {
        Ok(Self)
    }
}

fn registry() -> onedoor::filter::Registry {
    onedoor::builtins().with::<Who>().with::<Panics>()
}

#[tokio::test]
async fn a_chunked_body_that_is_too_large_is_refused_also_on_its_way_to_http2() {
    let api = GrpcUpstream::fine().start().await;
    let door = Gateway::start(&format!(
        "upstreams: {{api: {{endpoints: [\"{}\"], protocol: http2}}}}\nroutes: {{all: {{path: /, to: api, filters: {{limits: {{body: 10B}}}}}}}}",
        api.address()
    ))
    .await;
    let response = door.request("POST", "/").chunks(["0123456789", "too much"]).send().await;
    assert_eq!(response.status, 413);
    let line = &door.log(1).await[0];
    assert_eq!((line["cause"].as_str(), line["status"].as_u64()), (Some("body_too_large"), Some(413)), "{line}");
}
