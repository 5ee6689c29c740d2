//! The ways of `auth` that are not tokens: keys, passwords, another service's word.

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};

use crate::support::*;

const KEY: &str = "partner-key-0123456789";
/// Its SHA-256.
const HASH: &str = "e3a9ab3072756cb2b404980ba837bec9a0931d8b35ae3b406e5f0246d4cf7033";

async fn door(auth: &str) -> (Gateway, Server) {
    let api = Upstream::new().on("*", echo()).start().await;
    let yaml = format!(
        "defaults: {{filters: {{auth: {auth}}}}}\nroutes:\n  all: {{path: /, to: \"http://{}\"}}\n  moved: {{path: /old/, redirect: {{to: \"/new/{{rest}}\"}}}}",
        api.address()
    );
    (Gateway::start(&yaml).await, api)
}

#[tokio::test]
async fn a_key_is_known_by_its_hash_and_its_name_asks() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("office"), "office-key-0123456789\n").unwrap();
    let file = folder.path().join("office");
    let (door, api) =
        door(&format!("{{api_key: {{keys: {{partner: {HASH}, office: {{file: \"{}\"}}}}}}}}", file.display())).await;
    for (line, (keys, status, cause, identity)) in [
        (&[KEY][..], 200, None, Some("partner")),
        (&["office-key-0123456789"], 200, None, Some("office")),
        (&[], 401, Some("auth_missing"), None),
        (&["partner-key-012345678"], 401, Some("auth_bad_key"), None),
        (&[HASH], 401, Some("auth_bad_key"), None),
        (&[""], 401, Some("auth_bad_key"), None),
        (&[KEY, KEY], 401, Some("auth_bad_key"), None),
    ]
    .into_iter()
    .enumerate()
    {
        let request = keys.iter().fold(door.get("/"), |request, key| request.header("x-api-key", key));
        let response = request.send().await;
        assert_eq!(response.status, status, "{keys:?}");
        let challenge = (status == 401).then_some("ApiKey in=\"header\", name=\"x-api-key\"");
        assert_eq!(response.header("www-authenticate"), challenge);
        let seen = &door.log(line + 1).await[line];
        assert_eq!((seen["cause"].as_str(), seen["identity"].as_str()), (cause, identity), "{keys:?}");
    }
    assert_eq!(api.requests().len(), 2);
    assert_eq!(api.last().header("x-api-key"), Some("office-key-0123456789"));
}

#[tokio::test]
async fn a_key_that_is_hidden_stays_at_the_door() {
    let (door, api) = door(&format!("{{api_key: {{keys: {{partner: {HASH}}}, header: x-key, hide: true}}}}")).await;
    assert_eq!(door.get("/").header("x-key", KEY).send().await.status, 200);
    assert_eq!(api.last().header("x-key"), None);
}

#[tokio::test]
async fn a_key_in_the_query_is_neither_passed_on_nor_written_down() {
    let (door, api) = door(&format!("{{api_key: {{keys: {{partner: {HASH}}}, query: key}}}}")).await;
    let other = "another-key-0123456789";
    for (target, status, path) in [
        (format!("/a?key={KEY}"), 200, "/a"),
        (format!("/a?x=1&key={KEY}&y=%41"), 200, "/a?x=1&y=%41"),
        (format!("/a?%6bey={}", KEY.replace('-', "%2D")), 200, "/a"),
        (format!("/old/b?key={KEY}&x=1"), 308, "/old/b?x=1"),
        (format!("/a?key={other}"), 401, "/a"),
        (format!("/a?key={KEY}&key={other}"), 401, "/a"),
        ("/a?keys=1".to_owned(), 401, "/a?keys=1"),
    ] {
        let response = door.get(&target).send().await;
        assert_eq!(response.status, status, "{target}");
        if status == 200 {
            assert_eq!(api.last().target, path);
        }
        if status == 308 {
            assert_eq!(response.header("location"), Some("/new/b?x=1"));
        }
        let text = format!("{:?}", door.log(1).await);
        assert!(!text.contains("key-0123456789") && !text.contains("%2D"), "{target}: {text}");
    }
    let lines = door.log(7).await;
    assert!(lines[1]["path"].as_str() == Some("/a?x=1&y=%41"), "{}", lines[1]);
}

#[tokio::test]
async fn a_password_is_verified_against_its_hash() {
    let quick = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
    let argon = quick.hash_password_with_salt(b"secret:1", b"saltsalt").unwrap().to_string();
    let bcrypt = bcrypt::hash("secret2", 4).unwrap().replace("$2b$", "$2y$");
    let users = format!("{{alice: \"{argon}\", \"bob@example.com\": \"{bcrypt}\"}}");
    let (door, api) = door(&format!("{{basic: {{users: {users}, realm: shop, hide: true}}}}")).await;
    for (line, (pair, status, cause)) in [
        ("alice:secret:1", 200, None),
        ("alice:secret:1", 200, None),
        ("bob@example.com:secret2", 200, None),
        ("alice:secret2", 401, Some("auth_bad_password")),
        ("Alice:secret:1", 401, Some("auth_bad_password")),
        ("eve:secret:1", 401, Some("auth_bad_password")),
        ("alice:", 401, Some("auth_bad_password")),
        ("alice", 401, Some("auth_bad_password")),
    ]
    .into_iter()
    .enumerate()
    {
        use base64::Engine;
        let encoded = base64::prelude::BASE64_STANDARD.encode(pair);
        let response = door.get("/").header("authorization", format!("Basic {encoded}")).send().await;
        assert_eq!(response.status, status, "{pair}");
        let challenge = (status == 401).then_some("Basic realm=\"shop\", charset=\"UTF-8\"");
        assert_eq!(response.header("www-authenticate"), challenge);
        assert_eq!(door.log(line + 1).await[line]["cause"].as_str(), cause, "{pair}");
    }
    assert_eq!(api.last().header("authorization"), None);
    // Another scheme is another way's.
    assert_eq!(door.get("/").header("authorization", "Bearer x").send().await.status, 401);
    assert_eq!(door.cause(9).await, ("auth_missing".into(), 401));
}

async fn forwarding(service: &Address, more: &str) -> (Gateway, Server) {
    door(&format!("{{forward: {{to: \"http://{service}/verify?a=b\"{more}}}}}")).await
}

#[tokio::test]
async fn a_service_lets_requests_in_and_says_who_asks() {
    let yes = reply(204).header("x-user", "u1").header("x-groups", "a").header("x-groups", "b").header("x-other", "no");
    let service = Upstream::new().on("*", yes).start().await;
    let (door, api) = forwarding(service.address(), ", response_headers: [x-groups, x-role], subject: x-user").await;
    let request = door.request("DELETE", "/x%20y?q=1").host("shop.test").header("authorization", "token").body("abc");
    let request = request.header("x-user", "forged").header("x-role", "admin").header("x-forwarded-uri", "/forged");
    assert_eq!(request.header("x-secret", "mine").send().await.status, 200);
    let asked = service.last();
    assert_eq!((asked.method.as_str(), asked.target.as_str(), asked.body_length), ("GET", "/verify?a=b", 0));
    for (name, value) in [
        ("authorization", Some("token")),
        ("x-forwarded-method", Some("DELETE")),
        ("x-forwarded-uri", Some("/x%20y?q=1")),
        ("x-forwarded-host", Some("shop.test")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-secret", None),
        ("x-user", None),
    ] {
        assert_eq!(asked.header(name), value, "{name}");
    }
    assert!(asked.header("x-request-id").is_some());
    let seen = api.last();
    assert_eq!((seen.headers.all("x-user"), seen.headers.all("x-groups")), (vec!["u1"], vec!["a", "b"]));
    assert_eq!((seen.header("x-role"), seen.header("x-other")), (None, None));
    assert_eq!((seen.body_length, seen.header("x-secret")), (3, Some("mine")));
    assert_eq!(door.log(1).await[0]["identity"], "u1");
}

#[tokio::test]
async fn a_services_refusal_is_the_clients_to_see() {
    let service = Upstream::new()
        .on(
            "*",
            [
                reply(401).header("www-authenticate", "Bearer").header("x-internal", "x").body("secret story"),
                reply(403),
                reply(302).header("location", "https://id.test/login").header("set-cookie", "state=1"),
            ],
        )
        .start()
        .await;
    let (door, api) = forwarding(service.address(), "").await;
    let response = door.get("/").send().await;
    assert_eq!((response.status, response.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(response.header("x-internal"), None);
    assert!(!response.text().contains("secret story"), "{}", response.text());
    assert_eq!(door.get("/").send().await.status, 403);
    let response = door.get("/").send().await;
    assert_eq!((response.status, response.header("location")), (302, Some("https://id.test/login")));
    assert_eq!(response.header("set-cookie"), Some("state=1"));
    assert_eq!(door.cause(3).await, ("auth_forward_refused".into(), 302));
    assert_eq!(api.requests().len(), 0);
}

#[tokio::test]
async fn a_service_that_says_nothing_useful_or_is_down_lets_nobody_in() {
    let answers = [
        reply(500),
        reply(404),
        reply(302),
        reply(429),
        raw_then_close("garbage\r\n\r\n"),
        reply(200).filler(100_000),
        silence(),
    ];
    let count = answers.len();
    let service = Upstream::new().on("*", answers).start().await;
    let (slow, api) = forwarding(service.address(), ", timeout: 500ms").await;
    for line in 1..=count {
        assert_eq!(slow.get("/").send().await.status, 503, "{line}");
        assert_eq!(slow.cause(line).await, ("auth_forward_failed".into(), 503));
    }
    let port = Port::refusing();
    let (down, _api) = forwarding(port.address(), "").await;
    assert_eq!(down.get("/").send().await.status, 503);
    assert_eq!(down.cause(1).await, ("auth_forward_failed".into(), 503));
    let service = Upstream::new().on("*", reply(200)).start().await;
    let (nameless, other) = forwarding(service.address(), ", subject: x-user").await;
    assert_eq!(nameless.get("/").send().await.status, 503);
    assert_eq!(api.requests().len() + other.requests().len(), 0);
}

#[tokio::test]
async fn what_only_the_service_may_say_goes_also_where_another_way_knows_who_asks() {
    let service = Upstream::new().on("*", reply(200).header("x-role", "guest")).start().await;
    let (door, api) = door(&format!(
        "{{api_key: {{keys: {{partner: {HASH}}}}}, forward: {{to: \"http://{}/\", response_headers: [x-role]}}}}",
        service.address()
    ))
    .await;
    door.get("/").header("x-role", "admin").header("x-api-key", KEY).send().await;
    assert_eq!((api.last().header("x-role"), service.requests().len()), (None, 0));
    door.get("/").header("x-role", "admin").send().await;
    assert_eq!((api.last().header("x-role"), service.requests().len()), (Some("guest"), 1));
}

#[tokio::test]
async fn settings_that_would_let_in_nobody_or_anybody_refuse_the_file() {
    for (auth, why) in [
        ("{}", "name a way"),
        ("{api_key: {keys: {}}}", "auth.api_key.keys: without a key nobody comes in"),
        ("{api_key: {keys: {a: hunter2}}}", "auth.api_key.keys.a: expected the key's SHA-256"),
        ("{api_key: {keys: {a: {env: HOME}}}}", "auth.api_key.keys.a: the key has"),
        (
            "{api_key: {header: x, query: y, keys: {a: b}}}",
            "auth.api_key.query: a key stands in a header or in the query",
        ),
        ("{api_key: {header: connection, keys: {a: b}}}", "auth.api_key.header"),
        ("{basic: {users: {}}}", "auth.basic.users: without a user nobody comes in"),
        ("{basic: {users: {alice: hunter2}}}", "auth.basic.users.alice: expected a password's hash"),
        ("{forward: {to: auth.internal}}", "auth.forward.to"),
        ("{forward: {to: \"http://a.test/\", tls: {}}}", "auth.forward.tls: the URL is `http`"),
        (
            "{forward: {to: \"http://127.0.0.1/\", request_headers: [x-forwarded-for]}}",
            "auth.forward.request_headers[0]",
        ),
        ("{forward: {to: \"http://127.0.0.1/\", response_headers: [host]}}", "auth.forward.response_headers[0]"),
    ] {
        let yaml = format!("routes: {{a: {{path: /, respond: {{}}, filters: {{auth: {auth}}}}}}}");
        let said = Gateway::refused(&yaml).await;
        assert!(said.iter().any(|line| line.contains(why)), "{auth}: {said:?}");
    }
    let twice = format!("{{api_key: {{keys: {{a: {HASH}, b: {HASH}}}}}}}");
    let said =
        Gateway::refused(&format!("routes: {{a: {{path: /, respond: {{}}, filters: {{auth: {twice}}}}}}}")).await;
    assert!(said[0].contains("auth.api_key.keys.b: `a` has the same key"), "{said:?}");
}
