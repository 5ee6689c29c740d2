//! Who asks, found out through a whole door: tokens, the issuer's keys as they come and go, and what is required.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use crate::support::*;

/// A key of an issuer.
struct Key {
    id: &'static str,
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Key {
    fn new(id: &'static str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { id, pair, random }
    }

    /// What an issuer with this key publishes.
    fn set(&self) -> Reply {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (base64(&point[1..33]), base64(&point[33..]));
        let set = json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.id, "x": x, "y": y}]});
        reply(200).header("Cache-Control", "max-age=600").body(set.to_string())
    }

    /// A token with these claims beside or in place of good ones.
    fn token(&self, changes: Value) -> String {
        let mut claims = json!({"iss": "https://id.test", "aud": "api", "sub": "u1", "exp": now() + 60});
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let header = json!({"alg": "ES256", "kid": self.id});
        let message = format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
        let signature = self.pair.sign(&self.random, message.as_bytes()).unwrap();
        format!("{message}.{}", base64(signature.as_ref()))
    }
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn jwt(issuer: &Address, more: &str) -> String {
    format!("auth: {{jwt: {{issuer: https://id.test, audience: api, jwks: \"http://{issuer}/jwks.json\"{more}}}}}")
}

fn file(api: &Address, filters: &str) -> String {
    format!("routes: {{all: {{path: /, to: \"http://{api}\", filters: {{{filters}}}}}}}")
}

async fn issuer(script: impl Into<Script>) -> Server {
    Upstream::new().on("/jwks.json", script).start().await
}

async fn api() -> Server {
    Upstream::new().on("*", reply(200)).start().await
}

async fn ask(door: &Gateway, token: &str) -> u16 {
    door.get("/").header("authorization", format!("Bearer {token}")).send().await.status
}

#[tokio::test]
async fn a_good_token_lets_in_and_says_who_asks() {
    let (key, api) = (Key::new("a"), api().await);
    let issuer = issuer(key.set()).await;
    let headers = ", headers: {request: {set: {x-user: \"{identity.sub}\"}}}";
    let door = Gateway::start(&file(api.address(), &format!("{}{headers}", jwt(issuer.address(), "")))).await;
    let token = key.token(json!({}));
    for _ in 0..3 {
        assert_eq!(ask(&door, &token).await, 200);
    }
    let seen = api.last();
    assert_eq!(seen.header("x-user"), Some("u1"));
    assert_eq!(seen.header("authorization"), Some(&*format!("Bearer {token}")));
    assert_eq!(door.log(3).await[2]["identity"], "u1");
    assert_eq!(issuer.requests().len(), 1, "keys are fetched before the requests and not for them");
}

#[tokio::test]
async fn a_refusal_has_a_challenge_and_says_nothing_more() {
    let (key, api) = (Key::new("a"), api().await);
    let issuer = issuer(key.set()).await;
    let door = Gateway::start(&file(api.address(), &jwt(issuer.address(), ", realm: shop"))).await;
    let response = door.get("/").send().await;
    assert_eq!((response.status, response.header("www-authenticate")), (401, Some("Bearer realm=\"shop\"")));
    assert_eq!(door.cause(1).await, ("auth_missing".into(), 401));
    let forged = Key::new("a").token(json!({}));
    let table = [
        (forged, "auth_signature"),
        (key.token(json!({"exp": now() - 31})), "auth_expired"),
        (key.token(json!({"nbf": now() + 60})), "auth_not_yet_valid"),
        (key.token(json!({"iss": "https://evil.test"})), "auth_issuer"),
        (key.token(json!({"aud": "other"})), "auth_audience"),
        ("x".into(), "auth_malformed"),
        ("x".repeat(9000), "auth_malformed"),
        ("eyJhbGciOiJub25lIn0.e30.".into(), "auth_algorithm"),
    ];
    for (line, (token, cause)) in table.into_iter().enumerate() {
        let response = door.get("/").header("authorization", format!("Bearer {token}")).send().await;
        let challenge = response.header("www-authenticate");
        assert_eq!(
            (response.status, challenge),
            (401, Some("Bearer realm=\"shop\", error=\"invalid_token\"")),
            "{cause}"
        );
        assert!(!response.text().contains(cause) && response.text().contains("not valid"), "{}", response.text());
        assert_eq!(door.cause(line + 2).await, (cause.into(), 401));
    }
    let two = door.get("/").header("authorization", "Bearer a").header("authorization", "Basic b").send().await;
    assert_eq!(two.status, 401);
    assert_eq!(api.requests().len(), 0);
}

#[tokio::test]
async fn keys_that_were_never_fetched_are_a_503_until_the_issuer_comes() {
    let (key, api) = (Key::new("a"), api().await);
    let issuer = issuer([garbage(), reply(500), reply(200).body("<html>"), reply(200).body("{\"keys\": []}")]).await;
    let door = Gateway::start(&file(api.address(), &jwt(issuer.address(), ""))).await;
    let token = key.token(json!({}));
    assert_eq!(ask(&door, &token).await, 503);
    assert_eq!(door.cause(1).await, ("auth_unavailable".into(), 503));
    assert_eq!(door.get("/").send().await.status, 401);
    assert_eq!(api.requests().len(), 0);
    let before = issuer.requests().len();
    issuer.change("/jwks.json", key.set());
    issuer.wait_for_requests(before + 1).await;
    within("the keys to be there", async {
        while ask(&door, &token).await != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it_and_the_issuer_is_not_asked_again_and_again() {
    let (old, new, api) = (Key::new("old"), Key::new("new"), api().await);
    let issuer = issuer(old.set()).await;
    let door = Gateway::start(&file(api.address(), &jwt(issuer.address(), ""))).await;
    assert_eq!(ask(&door, &old.token(json!({}))).await, 200);
    issuer.change("/jwks.json", new.set());
    assert_eq!(ask(&door, &new.token(json!({}))).await, 200, "the request has waited for it");
    assert_eq!(issuer.requests().len(), 2);
    assert_eq!(ask(&door, &old.token(json!({}))).await, 401, "tokens of keys that are gone are forgotten");
    for id in ["x", "y", "z"] {
        assert_eq!(ask(&door, &Key::new(id).token(json!({}))).await, 401);
    }
    assert_eq!(issuer.requests().len(), 2, "once in ten seconds at most");
    assert_eq!(door.cause(6).await, ("auth_unknown_key".into(), 401));
}

#[tokio::test]
async fn one_fetch_serves_all_who_wait_and_a_slow_issuer_keeps_nobody_for_long() {
    let (old, new, api, gate) = (Key::new("old"), Key::new("new"), api().await, Gate::new());
    let issuer = issuer(old.set()).await;
    let door = Gateway::start(&file(api.address(), &jwt(issuer.address(), ""))).await;
    issuer.change("/jwks.json", new.set().hold(&gate));
    let (slow, token) = (Key::new("slow").token(json!({})), new.token(json!({})));
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let (client, token) = (door.client().clone(), token.clone());
        let request = client.get("/").header("authorization", format!("Bearer {token}"));
        waiting.push(tokio::spawn(async move { request.send().await.status }));
    }
    gate.reached().await;
    assert_eq!(ask(&door, &old.token(json!({}))).await, 200, "whose key is there waits for nobody");
    gate.open();
    for waits in waiting {
        assert_eq!(waits.await.unwrap(), 200);
    }
    assert_eq!(ask(&door, &slow).await, 401);
    assert_eq!(issuer.requests().len(), 2);
}

#[tokio::test]
async fn keys_count_on_while_the_issuer_is_down_and_over_reloads() {
    let (key, api) = (Key::new("a"), api().await);
    let issuer = issuer(key.set()).await;
    let mut door = Gateway::start(&file(api.address(), &jwt(issuer.address(), ""))).await;
    issuer.change("/jwks.json", reply(503));
    assert_eq!(ask(&door, &Key::new("b").token(json!({}))).await, 401);
    assert_eq!(issuer.requests().len(), 2, "it was asked, and failed");
    assert_eq!(ask(&door, &key.token(json!({}))).await, 200);
    // Another filter with the same keys.
    door.reload(&file(api.address(), &jwt(issuer.address(), ", hide: true"))).await.unwrap();
    assert_eq!(ask(&door, &key.token(json!({}))).await, 200);
    assert_eq!(api.last().header("authorization"), None);
}

#[tokio::test]
async fn a_reload_with_another_audience_forgets_who_was_known() {
    let (key, api) = (Key::new("a"), api().await);
    let issuer = issuer(key.set()).await;
    let yaml = file(api.address(), &jwt(issuer.address(), ""));
    let mut door = Gateway::start(&yaml).await;
    let token = key.token(json!({}));
    assert_eq!(ask(&door, &token).await, 200);
    door.reload(&yaml.replace("audience: api", "audience: other")).await.unwrap();
    assert_eq!(ask(&door, &token).await, 401);
}

#[tokio::test]
async fn an_issuer_by_tls_is_believed_only_with_a_good_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new("internal");
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, ca.pem()).unwrap();
    let api = api().await;
    // It answers with something that is no set of keys: what counts is whether the handshake came to its end.
    for (name, is_asked) in [("localhost", true), ("elsewhere.test", false)] {
        let issuer = TlsUpstream::new(&ca.issue(&[name])).start().await;
        let url = format!("{{url: \"https://localhost:{}/\", ca: \"{}\"}}", issuer.port(), path.display());
        let auth = format!("auth: {{jwt: {{issuer: a, audience: b, jwks: {url}}}}}");
        let door = Gateway::start(&file(api.address(), &auth)).await;
        assert_eq!(ask(&door, &Key::new("a").token(json!({}))).await, 503, "{name}");
        assert_eq!(issuer.connections() > 0, is_asked, "{name}");
    }
}

#[tokio::test]
async fn a_token_in_a_cookie_can_be_hidden_and_the_other_cookies_stay() {
    let (key, api) = (Key::new("a"), api().await);
    let issuer = issuer(key.set()).await;
    let door = Gateway::start(&file(api.address(), &jwt(issuer.address(), ", cookie: session, hide: true"))).await;
    let cookies = format!("a=1; session={}; b=2", key.token(json!({})));
    assert_eq!(door.get("/").header("cookie", &cookies).send().await.status, 200);
    assert_eq!(api.last().headers.all("cookie"), ["a=1; b=2"]);
    let twice = format!("session=x; {cookies}");
    assert_eq!(door.get("/").header("cookie", &twice).send().await.status, 401);
}

#[tokio::test]
async fn what_is_required_is_asked_of_those_who_are_known_and_a_403_says_nothing() {
    let (key, api) = (Key::new("a"), api().await);
    let issuer = issuer(key.set()).await;
    let require =
        "require: {scopes: [read], subjects: [u1, u2], claims: {role: [admin, ops], tenant: {present: true}}}";
    let door = Gateway::start(&file(api.address(), &format!("{}, {require}", jwt(issuer.address(), "")))).await;
    let table = [
        (json!({"scope": "read write", "role": "ops", "tenant": 5}), 200, ""),
        (json!({"scope": "write", "role": "ops", "tenant": 5}), 403, "require_scope"),
        (json!({"scope": "read", "role": "ops", "tenant": 5, "sub": "u3"}), 403, "require_subject"),
        (json!({"scope": "read", "role": "guest", "tenant": 5}), 403, "require_claim"),
        (json!({"scope": "read", "role": "ops"}), 403, "require_claim"),
    ];
    for (line, (claims, status, cause)) in table.into_iter().enumerate() {
        let token = format!("Bearer {}", key.token(claims));
        let response = door.get("/").header("authorization", &token).send().await;
        assert_eq!((response.status, door.cause(line + 1).await.0.as_str()), (status, cause));
        assert!(status == 200 || !response.text().contains("require"), "{}", response.text());
    }
    let door = Gateway::start("routes: {a: {path: /, respond: {}, filters: {require: {subjects: [u1]}}}}").await;
    assert_eq!(door.get("/").send().await.status, 403);
    assert_eq!(door.cause(1).await, ("require_identity".into(), 403));
}

#[tokio::test]
async fn a_files_tests_say_who_asks_and_ask_no_issuer() {
    let (key, api) = (Key::new("a"), api().await);
    let issuer = issuer(key.set()).await;
    let filters = format!("{}, require: {{scopes: [read]}}", jwt(issuer.address(), ", hide: true"));
    let tests = "tests: [{get: /, as: {sub: u1, scope: read}, headers: {authorization: x}, expect: {route: all, headers: {authorization: null}}}, {get: /, as: {sub: u1}, expect: {status: 403}}, {get: /, expect: {status: 401}}]";
    let yaml = format!("{}\n{tests}", file(api.address(), &filters));
    assert_eq!(Gateway::refused(&yaml).await, Vec::<String>::new());
    assert_eq!(issuer.requests().len(), 0);
}

#[tokio::test]
async fn what_could_never_work_is_refused_when_it_is_loaded() {
    for (auth, words) in [
        ("{}", "name a way"),
        ("{client_cert: {}}", "no listener asks for one"),
        ("{client_cert: {subject: cn}}", "common_name"),
        ("{jwt: {issuer: a, audience: b}}", "say where the issuer's keys are"),
        ("{jwt: {audience: b, jwks: \"https://id.test/\"}}", "issuer"),
        ("{jwt: {issuer: a, jwks: \"https://id.test/\"}}", "audience"),
        ("{jwt: {issuer: a, audience: b, jwks: \"http://id.test/\"}}", "use https"),
        ("{jwt: {issuer: a, audience: b, jwks: {file: /nowhere.json}}}", "cannot read"),
        ("{jwt: {issuer: a, audience: b, jwks: {ca: /nowhere.pem}}}", "either `file` or `url`"),
        ("{jwt: {issuer: a, audience: b, key: {secret: short}}}", "can be guessed"),
        ("{jwt: {issuer: a, audience: b, key: {}}}", "either `pem` or `secret`"),
        ("{jwt: {issuer: a, audience: b, jwks: \"http://127.0.0.1:1/\", algorithms: [HS256]}}", "needs a secret"),
        ("{jwt: {issuer: a, audience: b, jwks: \"http://127.0.0.1:1/\", algorithms: [none]}}", "none"),
        ("{jwt: {issuer: a, audience: b, jwks: \"http://127.0.0.1:1/\", realm: \"a\\\"b\"}}", "realm"),
        ("{jwt: {issuer: a, audience: b, jwks: \"http://127.0.0.1:1/\", header: x, cookie: y}}", "keep one"),
    ] {
        let said =
            Gateway::refused(&format!("routes: {{a: {{path: /, respond: {{}}, filters: {{auth: {auth}}}}}}}")).await;
        assert!(said.iter().any(|line| line.contains(words)), "{auth}: {said:?}");
    }
}
