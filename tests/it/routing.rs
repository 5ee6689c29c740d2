//! Which request goes where, and with which path.

use crate::support::*;

async fn door(routes: &str) -> (Gateway, Server) {
    let api = Upstream::new().on("*", echo()).start().await;
    let yaml = format!("upstreams: {{api: {{endpoints: [\"{}\"]}}}}\nroutes:\n{routes}", api.address());
    (Gateway::start(&yaml).await, api)
}

#[tokio::test]
async fn a_prefix_ends_at_a_segment() {
    let (door, api) = door("  users: {path: /users/, to: api}").await;
    assert_eq!(door.get("/users/7").send().await.status, 200);
    assert_eq!(api.last().target, "/users/7");
    for near in ["/usersX", "/user", "/Users/7"] {
        assert_eq!(door.get(near).send().await.status, 404, "{near}");
    }
    assert_eq!(api.requests().len(), 1);
}

#[tokio::test]
async fn a_missing_slash_is_added_by_a_redirect_that_keeps_the_query() {
    let (door, _api) = door("  users: {path: /users/, to: api}").await;
    let response = door.get("/users?page=2").send().await;
    assert_eq!((response.status, response.header("location")), (308, Some("/users/?page=2")));
    // Slashes that are merged cannot make the location another host's.
    let response = door.get("//users").send().await;
    assert_eq!((response.status, response.header("location")), (308, Some("/users/")));
}

#[tokio::test]
async fn strip_takes_the_prefix_and_keeps_the_clients_spelling_of_the_rest() {
    let (door, api) = door("  users: {path: [/users, /users/], strip: true, to: api}").await;
    for (asked, seen) in [
        ("/users/7?x=%20", "/7?x=%20"),
        ("/users", "/"),
        ("/users/", "/"),
        ("/users/a%2Fb", "/a%2Fb"),
        ("/users/%7Ejoe", "/%7Ejoe"),
        ("/%75sers/%7Ejoe", "/%7Ejoe"),
        ("/users/../users/x//y", "/x/y"),
        ("/users/7?", "/7?"),
    ] {
        assert_eq!(door.get(asked).send().await.status, 200, "{asked}");
        assert_eq!(api.last().target, seen, "{asked}");
    }
}

#[tokio::test]
async fn a_rewrite_is_filled_from_the_path() {
    let (door, api) = door(
        "  one: {path: \"/users/{id}/posts\", rewrite: \"/by-user/{id}\", to: api}\n  rest: {path: \"/files/{rest...}\", rewrite: \"/v2/{rest}\", to: api}",
    )
    .await;
    for (asked, seen) in
        [("/users/a%2Fb/posts?p=1", "/by-user/a%2Fb?p=1"), ("/files/a/b", "/v2/a/b"), ("/files/", "/v2/")]
    {
        door.get(asked).send().await;
        assert_eq!(api.last().target, seen, "{asked}");
    }
}

#[tokio::test]
async fn a_rewritten_path_keeps_to_the_rules_too() {
    let (door, api) = door("  r: {path: \"/x/{id}\", rewrite: \"/p/.{id}\", to: api}").await;
    assert_eq!(door.get("/x/;y").send().await.status, 400);
    assert_eq!(door.get("/x/y").send().await.status, 200);
    assert_eq!(api.last().target, "/p/.y");
    let said =
        Gateway::refused("routes: {r: {path: /x/, rewrite: \"/a%zz/{rest}\", to: \"http://127.0.0.1:9\"}}").await;
    assert!(said[0].contains("routes.r.rewrite"), "{said:?}");
}

#[tokio::test]
async fn an_absolute_target_goes_on_as_a_path() {
    let (door, api) = door("  all: {path: /, hosts: [a.test], to: api}").await;
    let response = door.get("http://a.test/x?y=1").host("a.test").send().await;
    assert_eq!(response.status, 200);
    assert_eq!((api.last().target.as_str(), api.last().header("host")), ("/x?y=1", Some("a.test")));
}

#[tokio::test]
async fn a_method_that_no_route_has_is_a_405_that_says_which_they_have() {
    let (door, _api) =
        door("  get: {path: /x, methods: [GET], to: api}\n  put: {path: /x, methods: [PUT], to: api}").await;
    let response = door.request("DELETE", "/x").send().await;
    assert_eq!((response.status, response.header("allow")), (405, Some("GET, HEAD, PUT")));
    assert_eq!(door.request("HEAD", "/x").send().await.status, 200);
}

#[tokio::test]
async fn weights_share_requests_out_exactly() {
    let (a, b) = (Upstream::new().on("*", reply(200)).start().await, Upstream::new().on("*", reply(200)).start().await);
    let door = Gateway::start(&format!(
        "routes: {{all: {{path: /, to: [{{upstream: \"http://{}\", weight: 3}}, {{upstream: \"http://{}\", weight: 1}}]}}}}",
        a.address(),
        b.address()
    ))
    .await;
    for _ in 0..40 {
        door.get("/").send().await;
    }
    assert_eq!((a.requests().len(), b.requests().len()), (30, 10));
}

#[tokio::test]
async fn endpoints_take_turns_by_weight_and_one_of_weight_0_has_none() {
    let mut apis = Vec::new();
    for _ in 0..3 {
        apis.push(Upstream::new().on("*", reply(200)).start().await);
    }
    let door = Gateway::start(&format!(
        "upstreams: {{api: {{endpoints: [\"{}\", {{address: \"{}\", weight: 2}}, {{address: \"{}\", weight: 0}}]}}}}\nroutes: {{all: {{path: /, to: api}}}}",
        apis[0].address(),
        apis[1].address(),
        apis[2].address()
    ))
    .await;
    for _ in 0..30 {
        door.get("/").send().await;
    }
    let counts: Vec<usize> = apis.iter().map(|api| api.requests().len()).collect();
    assert_eq!(counts, [10, 20, 0]);
}

#[tokio::test]
async fn an_upstream_can_be_a_unix_socket_and_a_name() {
    let api = Upstream::new().on("*", echo()).start_unix();
    let named = Upstream::new().on("*", echo()).start().await;
    let port = named.address().to_string().rsplit(':').next().unwrap().to_owned();
    let door = Gateway::start(&format!(
        "upstreams: {{local: {{endpoints: [\"{}\"], host: endpoint}}, named: {{endpoints: [\"localhost:{port}\"], host: endpoint}}}}\nroutes: {{a: {{path: /a, to: local}}, b: {{path: /b, to: named}}}}",
        api.address()
    ))
    .await;
    assert_eq!(door.get("/a").send().await.status, 200);
    assert_eq!(api.last().header("host"), Some("localhost"));
    // localhost may be [::1] first, where nobody listens: the name's next address is tried.
    assert_eq!(door.get("/b").send().await.status, 200);
    assert_eq!(named.last().header("host"), Some(format!("localhost:{port}").as_str()));
}

#[tokio::test]
async fn a_redirect_to_a_path_leads_to_no_other_host_whatever_fills_it() {
    let (door, _api) = door(
        "  old: {path: /old/, redirect: {to: \"/{rest}\"}}\n  turned: {path: \"/u/{id}/\", redirect: {to: \"/{rest}/{id}\"}}",
    )
    .await;
    for (asked, location) in [
        ("/old//evil.test", "/evil.test"),
        ("/old/%2Fevil.test", "/%2Fevil.test"),
        ("/old/%5Cevil.test", "/%5Cevil.test"),
        ("/old/%2e//evil.test", "/evil.test"),
        ("/u/evil.test/", "/evil.test"),
        ("/u/evil.test/a", "/a/evil.test"),
    ] {
        let response = door.get(asked).send().await;
        assert_eq!((response.status, response.header("location")), (308, Some(location)), "{asked}");
    }
}

#[tokio::test]
async fn redirects_keep_the_query_unless_they_have_their_own() {
    let (door, _api) = door(
        "  old: {path: /v1/, redirect: {to: \"/v2/{rest}\"}}\n  own: {path: /own, redirect: {to: \"https://x.test/?a=1\", status: 302}}\n  app: {path: /app, redirect: {to: \"/#/app\"}}",
    )
    .await;
    let response = door.get("/v1/a/b?c=d").send().await;
    assert_eq!((response.status, response.header("location")), (308, Some("/v2/a/b?c=d")));
    let response = door.get("/own?c=d").send().await;
    assert_eq!((response.status, response.header("location")), (302, Some("https://x.test/?a=1")));
    let response = door.get("/app?c=d").send().await;
    assert_eq!(response.header("location"), Some("/?c=d#/app"));
}

#[tokio::test]
async fn a_response_of_the_file_has_its_status_body_and_headers() {
    let (door, _api) = door(
        "  r: {path: /r, respond: {status: 418, body: \"{\\\"a\\\":1}\", content_type: application/json, headers: {x-a: b}}}\n  e: {path: /e, respond: {status: 204}}",
    )
    .await;
    let response = door.get("/r").send().await;
    assert_eq!((response.status, response.text(), response.header("x-a")), (418, "{\"a\":1}", Some("b")));
    assert_eq!(response.header("content-type"), Some("application/json"));
    let response = door.request("HEAD", "/r").send().await;
    assert_eq!((response.status, response.header("content-length"), response.text()), (418, Some("7"), ""));
    let response = door.get("/e").send().await;
    assert_eq!((response.status, response.header("content-length")), (204, None));
}
