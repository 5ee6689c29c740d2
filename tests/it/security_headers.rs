//! `security_headers` through a whole door.

use crate::support::*;

async fn door(settings: &str, more: &str) -> (Gateway, Server) {
    let own = reply(200).header("x-frame-options", "DENY").header("server", "old/1.0").header("x-powered-by", "tea");
    let api = Upstream::new().on("*", own).start().await;
    let yaml = format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\", trusted_proxies: [127.0.0.0/8]}}, far: {{address: \"127.0.0.1:0\"}}}}\ndefaults: {{filters: {{security_headers: {settings}{more}}}}}\nroutes:\n  a: {{path: /a, to: \"http://{0}\"}}\n  denied: {{path: /denied, to: \"http://{0}\", filters: {{ip: {{deny: [127.0.0.1]}}}}}}",
        api.address()
    );
    (Gateway::start(&yaml).await, api)
}

#[tokio::test]
async fn every_answer_has_the_preset_and_a_services_own_word_stands() {
    let (door, _api) = door("{}", "").await;
    for (target, status, frames) in [("/a", 200, "DENY"), ("/denied", 403, "SAMEORIGIN"), ("/none", 404, "SAMEORIGIN")]
    {
        let response = door.client_of("far").get(target).send().await;
        assert_eq!(response.status, status);
        for (name, value) in [
            ("x-frame-options", frames),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "strict-origin-when-cross-origin"),
            ("cross-origin-opener-policy", "same-origin-allow-popups"),
            ("cross-origin-resource-policy", "same-site"),
        ] {
            assert_eq!(response.headers.all(name), [value], "{target} {name}");
        }
        for name in ["strict-transport-security", "content-security-policy", "permissions-policy"] {
            assert_eq!(response.header(name), None, "{target} {name}");
        }
    }
}

#[tokio::test]
async fn strict_transport_is_for_those_who_came_by_tls_as_a_trusted_proxy_says() {
    let (door, _api) = door("{}", "").await;
    for (listener, name, value, sent) in [
        ("web", "x-forwarded-proto", "https", true),
        ("web", "x-forwarded-proto", "https, http", true),
        ("web", "x-forwarded-proto", "http", false),
        ("web", "forwarded", "for=192.0.2.7;proto=https", true),
        ("web", "forwarded", "for=192.0.2.7;proto=http", false),
        ("web", "x-other", "https", false),
        ("far", "x-forwarded-proto", "https", false),
    ] {
        for target in ["/a", "/none"] {
            let response = door.client_of(listener).get(target).header(name, value).send().await;
            let expected = sent.then_some("max-age=31536000");
            assert_eq!(response.header("strict-transport-security"), expected, "{listener} {name}: {value}");
        }
    }
}

#[tokio::test]
async fn a_key_changes_one_and_headers_has_the_last_word() {
    let settings = "{override: true, remove: [server, x-powered-by], cross_origin_resource_policy: off, permissions_policy: \"camera=()\"}";
    let (door, _api) = door(settings, ", headers: {response: {set: {referrer-policy: no-referrer}}}").await;
    let response = door.get("/a").send().await;
    assert_eq!(response.headers.all("x-frame-options"), ["SAMEORIGIN"]);
    assert_eq!(response.headers.all("referrer-policy"), ["no-referrer"]);
    assert_eq!(response.header("permissions-policy"), Some("camera=()"));
    for name in ["server", "x-powered-by", "cross-origin-resource-policy"] {
        assert_eq!(response.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn what_browsers_do_not_know_refuses_the_file() {
    for (settings, why) in [
        ("{x_frame_options: ALLOWALL}", "security_headers.x_frame_options: browsers do not know `ALLOWALL`"),
        ("{strict_transport_security: 1y}", "security_headers.strict_transport_security: `1y` is no part of it"),
        ("{remove: [content-length]}", "security_headers.remove[0]"),
        ("{frame_options: DENY}", "did you mean `x_frame_options`"),
    ] {
        let yaml = format!("routes: {{a: {{path: /, respond: {{}}, filters: {{security_headers: {settings}}}}}}}");
        let said = Gateway::refused(&yaml).await;
        assert!(said.iter().any(|line| line.contains(why)), "{settings}: {said:?}");
    }
}
