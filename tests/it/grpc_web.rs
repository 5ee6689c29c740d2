//! gRPC-Web: pages speak it, and the upstream sees gRPC.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::grpc::message;
use crate::support::*;

async fn door(endpoint: impl std::fmt::Display) -> Gateway {
    Gateway::start(&format!(
        "upstreams: {{api: {{endpoints: [\"{endpoint}\"], protocol: http2}}}}\nroutes: {{all: {{path: /pkg.Service/, methods: [POST], to: api, filters: {{grpc_web: {{}}}}}}}}\ndefaults: {{filters: {{compress: {{}}, cors: {{origins: [\"https://app.example.com\"], methods: [POST], headers: [content-type, x-grpc-web, x-user-agent, grpc-timeout], expose: [grpc-status, grpc-message]}}}}}}"
    ))
    .await
}

fn call(door: &Gateway, content_type: &str, body: impl Into<bytes::Bytes>) -> Request {
    let head = door.request("POST", "/pkg.Service/Get").header("content-type", content_type).header("x-grpc-web", "1");
    head.header("origin", "https://app.example.com").header("accept-encoding", "gzip").body(body)
}

fn trailers(text: &str) -> Vec<u8> {
    let mut frame = message(text);
    frame[0] = 0x80;
    frame
}

/// Base64 in pieces, each padded by itself.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for group in text.chunks(4) {
        STANDARD.decode_vec(group, &mut bytes).unwrap();
    }
    bytes
}

#[tokio::test]
async fn a_call_goes_on_as_grpc_and_comes_back_with_its_trailers_in_the_body() {
    let api = GrpcUpstream::fine().start().await;
    let door = door(api.address()).await;
    let response = call(&door, "application/grpc-web+proto", message("hi")).send().await;
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/grpc-web+proto")));
    assert_eq!(response.header("access-control-allow-origin"), Some("https://app.example.com"));
    assert_eq!(response.header("content-encoding"), None);
    let end = trailers("grpc-status: 0\r\ngrpc-message: \r\n");
    assert_eq!((response.truncated(), &response.body), (false, &[message("one"), message("two"), end].concat()));
    let seen = api.last();
    assert_eq!((seen.header("content-type"), seen.header("te")), (Some("application/grpc+proto"), Some("trailers")));
    assert_eq!((seen.path.as_str(), seen.body.clone()), ("/pkg.Service/Get", message("hi")));
    let line = &door.log(1).await[0];
    assert_eq!(
        (line["grpc_status"].as_u64(), line["bytes_sent"].as_u64()),
        (Some(0), Some(response.body.len() as u64))
    );
}

#[tokio::test]
async fn text_is_decoded_on_the_way_in_and_encoded_on_the_way_out() {
    let api = GrpcUpstream::fine().start().await;
    let door = door(api.address()).await;
    let body = [STANDARD.encode(message("a")), STANDARD.encode(message("bc"))].concat();
    let response = call(&door, "application/grpc-web-text+proto", body).send().await;
    assert_eq!(response.header("content-type"), Some("application/grpc-web-text+proto"));
    let end = trailers("grpc-status: 0\r\ngrpc-message: \r\n");
    assert_eq!(decoded(&response.body), [message("one"), message("two"), end].concat());
    assert_eq!(api.last().body, [message("a"), message("bc")].concat());
    assert_eq!(api.last().header("content-length"), None);
}

#[tokio::test]
async fn a_client_that_asks_in_bytes_may_want_its_answer_as_text() {
    let api = GrpcUpstream::fine().start().await;
    let door = door(api.address()).await;
    let response = call(&door, "application/grpc-web", message("hi")).header("accept", "application/grpc-web-text");
    let response = response.send().await;
    assert_eq!(response.header("content-type"), Some("application/grpc-web-text+proto"));
    assert!(decoded(&response.body).starts_with(&message("one")));
    assert_eq!(api.last().header("content-type"), Some("application/grpc"));
}

#[tokio::test]
async fn each_message_of_a_stream_comes_before_the_next_is_sent() {
    let gate = Gate::new();
    let head = GrpcUpstream::new(&[("content-type", "application/grpc")]);
    let stream = head.data(message("1")).wait(&gate).data(message("2")).trailers(&[("grpc-status", "0")]);
    let api = stream.start().await;
    let door = door(api.address()).await;
    let mut connection = door.client().connect().await;
    let request = door.request("POST", "/pkg.Service/Watch").header("content-type", "application/grpc-web-text");
    connection.send_head(request.header("content-length", "0")).await;
    assert_eq!(connection.read_head().await.status, 200);
    assert_eq!(decoded(&connection.read_some().await.unwrap()), message("1"));
    gate.open();
    let mut rest = Vec::new();
    while let Some(piece) = connection.read_some().await {
        rest.extend_from_slice(&piece);
    }
    assert_eq!(decoded(&rest), [message("2"), trailers("grpc-status: 0\r\n")].concat());
}

#[tokio::test]
async fn a_call_that_fails_at_once_has_its_status_in_the_head() {
    let failed = [("content-type", "application/grpc"), ("grpc-status", "5"), ("grpc-message", "none")];
    let api = GrpcUpstream::new(&failed).start().await;
    let door = door(api.address()).await;
    let response = call(&door, "application/grpc-web", message("hi")).send().await;
    assert_eq!((response.header("content-type"), response.text()), (Some("application/grpc-web"), ""));
    assert_eq!((response.header("grpc-status"), response.header("grpc-message")), (Some("5"), Some("none")));
    assert_eq!(response.header("access-control-expose-headers"), Some("grpc-status, grpc-message"));
    assert_eq!(door.log(1).await[0]["grpc_status"], 5);
}

#[tokio::test]
async fn an_error_of_the_door_speaks_the_clients_dialect() {
    let door = door(Port::refusing().address()).await;
    let response = call(&door, "application/grpc-web+proto", message("hi")).send().await;
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/grpc-web")));
    assert_eq!((response.header("grpc-status"), response.text()), (Some("14"), ""));
    assert_eq!(response.header("access-control-allow-origin"), Some("https://app.example.com"));
    assert_eq!(door.cause(1).await, ("upstream_refused".into(), 200));
}

#[tokio::test]
async fn what_is_no_base64_is_refused() {
    let api = GrpcUpstream::fine().start().await;
    let door = door(api.address()).await;
    let response = call(&door, "application/grpc-web-text", "no base64!").send().await;
    assert_eq!((response.status, response.header("grpc-status")), (200, Some("13")));
    assert_eq!(response.header("grpc-message"), Some("the body is not base64"));
}

#[tokio::test]
async fn a_preflight_for_it_is_answered() {
    let door = door(Port::refusing().address()).await;
    let preflight = door.request("OPTIONS", "/pkg.Service/Get").header("origin", "https://app.example.com");
    let preflight = preflight.header("access-control-request-method", "POST");
    let response = preflight.header("access-control-request-headers", "content-type,x-grpc-web").send().await;
    assert_eq!(response.status, 204);
    let allowed = response.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
    assert!(allowed.contains("x-grpc-web") && allowed.contains("grpc-timeout"), "{allowed}");
}

#[tokio::test]
async fn native_grpc_and_other_types_pass_as_they_are() {
    let api = GrpcUpstream::fine().start().await;
    let door = door(api.address()).await;
    for content_type in ["application/grpc", "application/json"] {
        let response = call(&door, content_type, "as it is").send().await;
        assert_eq!(response.header("content-type"), Some("application/grpc+proto"));
        assert_eq!(response.body, [message("one"), message("two")].concat(), "the trailers stay trailers");
        assert_eq!(api.last().header("content-type"), Some(content_type));
    }
}
