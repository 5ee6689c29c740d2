//! gRPC: what fails at the door is told as gRPC tells it.

use crate::support::grpc::message;
use crate::support::*;

/// A door to an endpoint by HTTP/2, with these routes beside the one for all.
async fn door(endpoint: impl std::fmt::Display, more: &str) -> Gateway {
    Gateway::start(&format!(
        "upstreams: {{api: {{endpoints: [\"{endpoint}\"], protocol: http2}}}}\nroutes:\n  all: {{path: /pkg.Service/, to: api}}\n{more}"
    ))
    .await
}

fn call(door: &Gateway, path: &str) -> Request {
    door.request("POST", path).header("content-type", "application/grpc").header("te", "trailers").body(message("hi"))
}

#[tokio::test]
async fn an_error_of_the_door_is_a_200_with_its_status_and_no_body() {
    let door = door(Port::refusing().address(), "").await;
    let response = call(&door, "/nowhere").send().await;
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/grpc")));
    assert_eq!((response.header("grpc-status"), response.header("grpc-message")), (Some("12"), Some("Not Found")));
    assert_eq!((response.header("content-length"), response.text()), (Some("0"), ""));
    assert!(response.header("x-request-id").is_some());
    let line = &door.log(1).await[0];
    assert_eq!((line["status"].as_u64(), line["grpc_status"].as_u64()), (Some(200), Some(12)));
    assert_eq!(line["cause"], "no_route");
}

#[tokio::test]
async fn each_way_to_fail_has_the_status_that_clients_act_upon() {
    let refusing = Port::refusing();
    let silent = Upstream::new().on("*", silence()).start().await;
    let to = format!("to: \"http://{}\"", silent.address());
    let more = format!(
        "  late: {{path: /late, timeout: 100ms, {to}}}\n  \
           auth: {{path: /auth, {to}, filters: {{auth: {{api_key: {{header: x-key, keys: {{a: \"sha256:{0}\"}}}}}}, cors: {{origins: [\"https://a.example\"]}}}}}}\n  \
           ip: {{path: /ip, {to}, filters: {{ip: {{deny: [127.0.0.1]}}}}}}\n  \
           big: {{path: /big, {to}, filters: {{limits: {{body: 1B}}}}}}\n  \
           many: {{path: /many, respond: {{body: ok}}, filters: {{rate_limit: {{per: route, rate: 1/h, burst: 1}}}}}}\n  \
           gone: {{path: /gone, respond: {{status: 404}}}}\n",
        "0".repeat(64)
    );
    let door = door(refusing.address(), &more).await;
    assert_eq!(call(&door, "/many").send().await.header("grpc-status"), None);
    for (n, (path, status, message, cause)) in [
        ("/pkg.Service/Get", "14", "Bad Gateway", "upstream_refused"),
        ("/late", "4", "Gateway Timeout", "deadline"),
        ("/auth", "16", "credentials are needed", "auth_missing"),
        ("/ip", "7", "", "ip_denied"),
        ("/big", "8", "", "body_too_large"),
        ("/many", "14", "", "rate_limited"),
        ("/gone", "12", "Not Found", ""),
        ("/a%zz", "13", "", "bad_path"),
    ]
    .into_iter()
    .enumerate()
    {
        let response = call(&door, path).header("origin", "https://a.example").send().await;
        assert_eq!((response.status, response.header("grpc-status")), (200, Some(status)), "{path}");
        assert_eq!((response.text(), response.header("content-type")), ("", Some("application/grpc")), "{path}");
        let said = response.header("grpc-message").unwrap();
        assert!(said.starts_with(message) && !said.is_empty(), "{path}: {said}");
        if path == "/auth" {
            assert_eq!(response.header("access-control-allow-origin"), Some("https://a.example"));
        }
        assert_eq!(door.log(n + 2).await[n + 1]["cause"].as_str().unwrap_or_default(), cause, "{path}");
    }
}

#[tokio::test]
async fn who_does_not_speak_grpc_gets_pages_as_ever() {
    let door = door(Port::refusing().address(), "").await;
    for content_type in ["application/json", "application/grpcx"] {
        let response = door.request("POST", "/nowhere").header("content-type", content_type).body("{}").send().await;
        assert_eq!((response.status, response.header("grpc-status")), (404, None), "{content_type}");
    }
}

#[tokio::test]
async fn a_call_goes_on_with_te_and_its_status_is_in_the_log() {
    let api = GrpcUpstream::fine().trailers(&[("grpc-status", "5")]).start().await;
    let door = door(api.address(), "").await;
    let response = call(&door, "/pkg.Service/Get").send().await;
    assert_eq!((response.status, response.body), (200, [message("one"), message("two")].concat()));
    let seen = api.last();
    assert_eq!((seen.path.as_str(), seen.header("te")), ("/pkg.Service/Get", Some("trailers")));
    assert_eq!((seen.header("content-type"), seen.body.clone()), (Some("application/grpc"), message("hi")));
    assert_eq!(door.log(1).await[0]["grpc_status"], 5);
}

#[tokio::test]
async fn a_compressed_body_is_whole_though_trailers_follow_it() {
    let text = "a text that is worth it. ".repeat(200);
    let api = GrpcUpstream::new(&[("content-type", "text/plain")]).data(text.clone()).trailers(&[("x-sum", "1")]);
    let api = api.start().await;
    let door = door(api.address(), "defaults: {filters: {compress: {}}}").await;
    let response = door.get("/pkg.Service/").header("accept-encoding", "gzip").send().await;
    assert_eq!((response.status, response.header("content-encoding")), (200, Some("gzip")));
    let mut plain = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&response.body[..]), &mut plain).unwrap();
    assert_eq!(plain, text);
}
