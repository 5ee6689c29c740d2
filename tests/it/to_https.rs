//! A listener that sends everybody to `https`.

use http::Method;
use onedoor::explain::{Question, explain};

use crate::support::*;

async fn door(to: &str) -> Gateway {
    Gateway::start(&format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\", redirect: \"{to}\"}}, other: {{address: \"127.0.0.1:0\"}}}}\n\
         routes: {{all: {{path: /, respond: {{body: good}}}}}}"
    ))
    .await
}

#[tokio::test]
async fn every_request_is_sent_to_the_same_address_by_https() {
    for (to, port) in [("https", ""), ("https:443", ""), ("https:8443", ":8443")] {
        let door = door(to).await;
        let web = door.client_of("web");
        for (host, target, location) in [
            ("a.test", "/", "https://a.test{port}/"),
            ("A.Test:8080", "/x/y?b=c&d=%20", "https://a.test{port}/x/y?b=c&d=%20"),
            ("a.test.", "/no/such/route", "https://a.test{port}/no/such/route"),
            ("192.0.2.1:80", "/", "https://192.0.2.1{port}/"),
            ("[2001:DB8::1]:8080", "/", "https://[2001:db8::1]{port}/"),
            ("a.test", "//evil.test/x", "https://a.test{port}/evil.test/x"),
            ("a.test", "/a/../b", "https://a.test{port}/b"),
            ("a.test", "http://a.test/abs?q", "https://a.test{port}/abs?q"),
        ] {
            let response = web.get(target).host(host).send().await;
            let location = location.replace("{port}", port);
            assert_eq!(
                (response.status, response.header("location")),
                (308, Some(location.as_str())),
                "{host} {target}"
            );
        }
    }
}

#[tokio::test]
async fn methods_stay_what_they_are() {
    let door = door("https").await;
    let web = door.client_of("web");
    let mut connection = web.connect().await;
    let head = connection.send(web.request("HEAD", "/x").host("a.test")).await;
    assert_eq!((head.status, head.header("location"), head.text()), (308, Some("https://a.test/x"), ""));
    // The body is read, so that the connection can go on.
    let post = connection.send(web.post("/x").host("a.test").body("some")).await;
    assert_eq!((post.status, post.header("location")), (308, Some("https://a.test/x")));
    assert_eq!(connection.send(web.get("/x").host("a.test")).await.status, 308);
    assert_eq!(door.client_of("other").get("/").send().await.text(), "good", "only this listener does it");
}

#[tokio::test]
async fn what_is_refused_elsewhere_is_refused_here() {
    let door = door("https").await;
    let web = door.client_of("web");
    for (request, status) in [
        (web.get("/").no_host(), 400),
        (web.get("/").host("a@b"), 400),
        (web.get("/").host("a.test/x"), 400),
        (web.get("/../x").host("a.test"), 400),
        (web.get("/").no_host().version("HTTP/1.0"), 400),
    ] {
        let what = request.to_string();
        assert_eq!(request.send().await.status, status, "{what}");
    }
    let line = &door.log(1).await[0];
    assert_eq!((line["status"].as_u64(), line["listener"].as_str()), (Some(400), Some("web")));
}

#[tokio::test]
async fn explain_says_it() {
    let door = door("https:8443").await;
    let mut question = Question::new(Method::GET, "http://a.test/x?y");
    question.listener = Some("web".into());
    let said = explain(&door.server().snapshot(), &question).await;
    assert_eq!(said.status, Some(308));
    assert!(said.headers.contains(&("location".into(), "https://a.test:8443/x?y".into())), "{:?}", said.headers);
    question.listener = Some("other".into());
    assert_eq!(explain(&door.server().snapshot(), &question).await.status, Some(200));
}

#[tokio::test]
async fn a_files_tests_are_for_the_listener_that_requests_are_sent_to() {
    let yaml = |listeners: &str, status: u16| {
        format!(
            "listeners: {{{listeners}}}\nroutes: {{all: {{path: /, respond: {{status: 204}}}}}}\ntests: [{{get: /, expect: {{status: {status}}}}}]"
        )
    };
    let (plain, other) = ("a: {address: \"127.0.0.1:0\", redirect: https}", "b: {address: \"127.0.0.1:0\"}");
    assert_eq!(Gateway::refused(&yaml(&format!("{plain}, {other}"), 204)).await, Vec::<String>::new());
    assert_eq!(Gateway::refused(&yaml(plain, 308)).await, Vec::<String>::new());
}
