//! Each check where it has something to tell, and where it has not.

use crate::config::Config;
use crate::filters::builtins;
use crate::snapshot::compile;

use super::{Finding, audit};

const WEB: &str = "listeners: {web: {address: '127.0.0.1:0'}}";
const AUTH: &str = "{api_key: {keys: {p: 62249369389075490555a758353aec61500c6218fa597252d52dc4bd0148f12d}}}";
const PASSWORD: &str = "$2b$12$eIOkpXHUQcy3k3wQPQIGM.IHFON1wSTAxdZSWcB6mWh/xBQrJ.vkO";

fn found(text: &str) -> Vec<Finding> {
    let env = |name: &str| match name {
        "SECRET" => Some("s3cret".into()),
        "REDIS" => Some("redis://:s3cret@127.0.0.1:6379".into()),
        _ => None,
    };
    let (config, _) = Config::parse_with(text, "t", &env).unwrap_or_else(|refused| panic!("{text}: {refused:#?}"));
    let (snapshot, _) = compile(config, &builtins(), None).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"));
    audit(&snapshot, &builtins())
}

/// Where and what is found.
fn codes(text: &str) -> Vec<String> {
    found(text).iter().map(|finding| format!("{} {}", finding.path, finding.code)).collect()
}

/// What is found of one route to this machine, with these filters and `auth` besides.
fn filters(more: &str) -> Vec<String> {
    let shorter = |line: String| line.replace("routes.a.filters.", "");
    codes(&format!("{WEB}\nroutes: {{a: {{path: /, to: 'http://127.0.0.1:1', filters: {{{more}}}}}}}"))
        .into_iter()
        .map(shorter)
        .collect()
}

#[test]
fn a_finding_is_a_line_that_editors_can_jump_to_and_flat_as_json() {
    let found = found(&format!("{WEB}\nroutes:\n  a: {{path: /, to: 'http://127.0.0.1:1'}}"));
    let line = found[0].to_string();
    assert!(line.starts_with("t:3:6: routes.a: anybody may use what is behind this route, since"), "{line}");
    assert!(line.ends_with("; give it one, here or in `defaults`, or write `filters: {auth: off}` to say that this is meant [route_without_auth]"), "{line}");
    let json = serde_json::to_value(&found[0]).unwrap();
    assert_eq!((&json["line"], &json["code"]), (&3.into(), &"route_without_auth".into()));
}

#[test]
fn a_route_that_goes_on_has_auth_or_says_that_it_has_none() {
    let route = |more: &str| codes(&format!("{WEB}\nroutes: {{a: {{path: /, {more}}}}}"));
    assert_eq!(route("to: 'http://127.0.0.1:1'"), ["routes.a route_without_auth"]);
    assert_eq!(
        route("to: 'http://127.0.0.1:1', filters: {ip: {allow: [10.0.0.0/8]}}"),
        ["routes.a route_without_auth"]
    );
    for more in [
        "to: 'http://127.0.0.1:1', filters: {auth: off}",
        &format!("to: 'http://127.0.0.1:1', filters: {{auth: {AUTH}}}"),
        "respond: {}",
        "redirect: {to: /x}",
    ] {
        assert_eq!(route(more), [""; 0], "{more}");
    }
    let routes = "routes: {a: {path: /a, to: 'http://127.0.0.1:1'}, b: {path: /b, to: 'http://127.0.0.1:1', filters: {auth: off}}}";
    assert_eq!(codes(&format!("{WEB}\n{routes}\ndefaults: {{filters: {{auth: {AUTH}}}}}")), [""; 0]);
    assert_eq!(codes(&format!("{WEB}\n{routes}\ndefaults: {{filters: {{auth: off}}}}")), [""; 0]);
    let off = routes.replace("to: 'http://127.0.0.1:1'}, b", "to: 'http://127.0.0.1:1', filters: {auth: off}}, b");
    assert_eq!(codes(&format!("{WEB}\n{off}")), [""; 0]);
}

#[test]
fn saying_that_a_route_has_no_auth_is_no_warning() {
    let text =
        format!("{WEB}\nroutes: {{a: {{path: /, to: 'http://127.0.0.1:1', filters: {{auth: off, cors: off}}}}}}");
    let (config, _) = Config::parse(&text, "t").unwrap_or_else(|refused| panic!("{refused:?}"));
    let (_, warnings) = compile(config, &builtins(), None).unwrap_or_else(|problems| panic!("{problems:?}"));
    let about: Vec<&str> = warnings.iter().map(|warning| &*warning.path).collect();
    assert_eq!(about, ["routes.a.filters.cors"]);
}

#[test]
fn what_protects_and_fails_open_is_told_at_its_place() {
    assert_eq!(filters("auth: off, ip: {deny: [192.0.2.1], on_error: open}"), ["ip.on_error fails_open"]);
    assert_eq!(filters("auth: off, ip: {deny: [192.0.2.1], on_error: closed}, compress: {on_error: open}"), [""; 0]);
    let routes = "routes: {a: {path: /a, to: 'http://127.0.0.1:1'}, b: {path: /b, to: 'http://127.0.0.1:1'}}";
    let defaults = "defaults: {filters: {auth: off, limits: {body: 1MiB, on_error: open}}}";
    assert_eq!(codes(&format!("{WEB}\n{routes}\n{defaults}")), ["defaults.filters.limits.on_error fails_open"], "once");
}

#[test]
fn credentials_are_for_pages_that_are_surely_ones_own() {
    let cors = |origins: &str| filters(&format!("auth: off, cors: {{origins: {origins}, credentials: true}}"));
    for (origins, code) in [
        ("['null']", "cors_null_with_credentials"),
        ("['http://app.example.com']", "cors_http_with_credentials"),
        ("['http://127.evil.example:80']", "cors_http_with_credentials"),
        ("['http://*.example.com']", "cors_http_with_credentials"),
        ("['https://*.example.com']", "cors_pattern_with_credentials"),
    ] {
        assert_eq!(cors(origins), [format!("cors.origins[0] {code}")], "{origins}");
    }
    assert_eq!(
        cors("[https://app.example.com, 'http://localhost:3000', 'http://[::1]:80', capacitor://localhost]"),
        [""; 0]
    );
    assert_eq!(filters("auth: off, cors: {origins: ['null', 'http://a.test', 'https://*.a.test']}"), [""; 0]);
    assert_eq!(filters("auth: off, cors: {origins: '*'}"), [""; 0]);
    let told = filters("auth: off, cors: {origins: '*', private_network: true}");
    assert_eq!(told, ["cors.private_network cors_private_network_for_all"]);
}

#[test]
fn a_limit_that_refuses_nobody_is_told() {
    let told = filters("auth: off, rate_limit: {per: client_ip, rate: 1/s, dry_run: true}");
    assert_eq!(told, ["rate_limit.dry_run limit_dry_run"]);
    let told = filters("auth: off, rate_limit: [{per: route, rate: 1/s}, {per: identity, rate: 1/s, dry_run: true}]");
    assert_eq!(told, ["rate_limit[1].dry_run limit_dry_run"]);
}

#[test]
fn passwords_need_a_limit_that_is_asked_before() {
    let basic = format!("auth: {{basic: {{users: {{a: '{PASSWORD}'}}}}}}");
    assert_eq!(filters(&basic), ["auth.basic passwords_without_limit"]);
    assert_eq!(filters(&format!("{basic}, rate_limit: {{per: client_ip, rate: 5/s}}")), [""; 0]);
    let after = filters(&format!("{basic}, rate_limit: {{per: identity, rate: 5/s}}"));
    assert_eq!(after, ["auth.basic passwords_without_limit"], "whoever guesses has no identity");
    let routes = "routes: {a: {path: /a, to: 'http://127.0.0.1:1'}, b: {path: /b, to: 'http://127.0.0.1:1', filters: {rate_limit: off}}}";
    let defaults = format!("defaults: {{filters: {{{basic}, rate_limit: {{per: client_ip, rate: 5/s}}}}}}");
    let found = found(&format!("{WEB}\n{routes}\n{defaults}"));
    assert_eq!(found.len(), 1);
    assert!(found[0].path == "defaults.filters.auth.basic" && found[0].reason.ends_with("(on `b`)"), "{found:?}");
}

#[test]
fn a_hash_that_is_tried_through_fast_is_told() {
    let hashed = |hash: &str| {
        filters(&format!("rate_limit: {{per: client_ip, rate: 5/s}}, auth: {{basic: {{users: {{a: '{hash}'}}}}}}"))
    };
    let argon2 =
        |costs: &str| format!("$argon2id$v=19${costs}$c2FsdHNhbHRzYWx0$CrPHr2eRWmBPCxhEeA1rGkUBYSMJ9X2A1Ui5VRbtEO4");
    for weak in [PASSWORD.replace("$12$", "$05$"), argon2("m=4096,t=3,p=1")] {
        assert_eq!(hashed(&weak), ["auth.basic.users.a weak_password_hash"], "{weak}");
    }
    for good in [PASSWORD.replace("$12$", "$10$"), argon2("m=19456,t=2,p=1"), argon2("m=7168,t=5,p=1")] {
        assert_eq!(hashed(&good), [""; 0], "{good}");
    }
}

#[test]
fn a_secret_in_the_file_is_told_and_one_from_outside_is_not() {
    for secret in [
        "headers: {request: {set: {Authorization: Bearer abc}}}",
        "headers: {request: {add: {x-api-key: abc}}}",
        "rate_limit: {per: route, rate: 1/s, shared: 'redis://:s3cret@127.0.0.1:6379'}",
        "rate_limit: {per: route, rate: 1/s, shared: '${NO:-redis://me:s3cret@127.0.0.1:6379}'}",
    ] {
        let told = found(&format!(
            "{WEB}\nroutes: {{a: {{path: /, to: 'http://127.0.0.1:1', filters: {{auth: off, {secret}}}}}}}"
        ));
        assert!(told.len() == 1 && told[0].code == "secret_in_file", "{secret}: {told:?}");
        assert!(!told[0].to_string().contains("s3cret"), "{}", told[0]);
    }
    for fine in [
        "headers: {request: {set: {Authorization: 'Bearer ${SECRET}'}}}",
        "headers: {request: {set: {x-api-key: '{identity.key}', x-user: abc}, remove: [authorization]}}",
        "headers: {response: {set: {cookie: a}}}",
        "rate_limit: {per: route, rate: 1/s, shared: '${REDIS}'}",
        "rate_limit: {per: route, rate: 1/s, shared: 'redis://127.0.0.1:6379'}",
    ] {
        assert_eq!(filters(&format!("auth: off, {fine}")), [""; 0], "{fine}");
    }
    let jwt = |secret: &str| {
        filters(&format!("auth: {{jwt: {{issuer: a, audience: b, key: {{secret: '{secret}'}}, algorithms: [HS256]}}}}"))
    };
    assert_eq!(jwt("0123456789abcdef0123456789abcdef"), ["auth.jwt.key.secret secret_in_file"]);
    assert_eq!(jwt("${SECRET}0123456789abcdef0123456789abcdef"), [""; 0]);
}

#[test]
fn a_secret_of_a_health_check_is_one_too() {
    let check = |headers: &str| {
        let upstream = format!("{{endpoints: [127.0.0.1:1], health: {{path: /, headers: {headers}}}}}");
        codes(&format!(
            "{WEB}\nupstreams: {{u: {upstream}}}\nroutes: {{a: {{path: /, to: u, filters: {{auth: off}}}}}}"
        ))
    };
    assert_eq!(check("{Authorization: Bearer abc}"), ["upstreams.u.health.headers.Authorization secret_in_file"]);
    for fine in ["{Authorization: 'Bearer ${SECRET}'}", "{x-check: onedoor}"] {
        assert_eq!(check(fine), [""; 0], "{fine}");
    }
}

#[test]
fn an_upstream_outside_is_spoken_to_by_tls() {
    let to = |to: &str| codes(&format!("{WEB}\nroutes: {{a: {{path: /, filters: {{auth: off}}, {to}}}}}"));
    assert_eq!(to("to: 'http://192.0.2.1:80'"), ["routes.a.to upstream_without_tls"]);
    assert_eq!(
        to("to: 'http://10.0.0.1', mirror: {to: 'http://192.0.2.1'}"),
        ["routes.a.mirror.to upstream_without_tls"]
    );
    for fine in
        ["to: 'https://192.0.2.1'", "to: 'http://10.0.0.1'", "to: 'http://localhost:1'", "to: 'http://[fd00::1]'"]
    {
        assert_eq!(to(fine), [""; 0], "{fine}");
    }
    let upstream = |more: &str| {
        codes(&format!(
            "{WEB}\nupstreams: {{u: {{{more}}}}}\nroutes: {{a: {{path: /, to: u, filters: {{auth: off}}}}}}"
        ))
    };
    assert_eq!(upstream("endpoints: [10.0.0.1:1, 192.0.2.1:1]"), ["upstreams.u upstream_without_tls"]);
    assert_eq!(upstream("discover: {dns: 'api.example.com:80'}"), ["upstreams.u upstream_without_tls"]);
    for fine in [
        "endpoints: [192.0.2.1:1], tls: {sni: a.test}",
        "discover: {dns: 'users.internal:80'}",
        "endpoints: ['unix:/x']",
    ] {
        assert_eq!(upstream(fine), [""; 0], "{fine}");
    }
}

#[test]
fn services_that_filters_ask_are_reached_by_tls_or_inside() {
    let forward = |url: &str| filters(&format!("auth: {{forward: {{to: '{url}'}}}}"));
    assert_eq!(forward("http://auth.example.com/verify"), ["auth.forward.to service_without_tls"]);
    for fine in ["https://auth.example.com/verify", "http://auth.internal/verify", "http://127.0.0.1:1/"] {
        assert_eq!(forward(fine), [""; 0], "{fine}");
    }
    let redis = |url: &str| filters(&format!("auth: off, rate_limit: {{per: route, rate: 1/s, shared: '{url}'}}"));
    assert_eq!(redis("redis://redis.example.com:6379"), ["rate_limit.shared service_without_tls"]);
    assert_eq!(redis("rediss://redis.example.com:6379"), [""; 0]);
}

#[test]
fn a_credential_goes_to_others_only_if_the_file_says_so() {
    let auth = |auth: &str, to: &str| {
        codes(&format!("{WEB}\nroutes: {{a: {{path: /, to: '{to}', filters: {{auth: {auth}}}}}}}"))
    };
    let outside = "https://192.0.2.1";
    assert_eq!(auth(AUTH, outside), ["routes.a.filters.auth.api_key credential_passed_on"]);
    assert_eq!(auth(AUTH, "https://10.0.0.1"), [""; 0]);
    for said in ["true", "false"] {
        assert_eq!(auth(&AUTH.replace("keys", &format!("hide: {said}, keys")), outside), [""; 0]);
    }
    assert_eq!(auth(&AUTH.replace("keys", "query: key, keys"), outside), [""; 0], "it is hidden anyway");
    let jwt = "{jwt: {issuer: a, audience: b, jwks: 'https://id.example.com/'}}";
    assert_eq!(auth(jwt, outside), ["routes.a.filters.auth.jwt credential_passed_on"]);
}

#[test]
fn what_says_who_asks_is_never_the_clients() {
    let routes = |more: &str| {
        codes(&format!(
            "{WEB}\nroutes:\n  a: {{path: /a, to: 'http://127.0.0.1:1', filters: {{auth: {AUTH}, headers: {{request: {{set: {{x-user: '{{identity.sub}}'}}}}}}}}}}\n  b: {{path: /b, {more}}}"
        ))
    };
    let same = "to: 'http://127.0.0.1:1', filters: {auth: off";
    assert_eq!(routes(&format!("{same}}}")), ["routes.b forgeable_identity"]);
    assert_eq!(
        routes(&format!("{same}, headers: {{request: {{add: {{x-user: '{{identity.sub}}'}}}}}}}}")),
        ["routes.b forgeable_identity"]
    );
    let copied = "to: 'http://127.0.0.1:2', mirror: {to: 'http://127.0.0.1:1'}, filters: {auth: off}";
    assert_eq!(routes(copied), ["routes.b forgeable_identity"]);
    for fine in [
        "to: 'http://127.0.0.1:2', filters: {auth: off}".to_owned(),
        format!("{same}, headers: {{request: {{remove: [X-User]}}}}}}"),
        format!("{same}, headers: {{request: {{set: {{x-user: nobody}}}}}}}}"),
        format!("{same}, headers: {{request: {{allow: [accept]}}}}}}"),
        format!("{same}, headers: {{request: {{set: {{x-user: '{{identity.sub}}'}}}}}}}}"),
    ] {
        assert_eq!(routes(&fine), [""; 0], "{fine}");
    }
}

#[test]
fn what_a_service_says_of_clients_is_never_their_own() {
    let forward = "{forward: {to: 'http://127.0.0.1:2/', subject: x-user}}";
    let routes = format!(
        "a: {{path: /a, to: 'http://127.0.0.1:1', filters: {{auth: {forward}}}}}, b: {{path: /b, to: 'http://127.0.0.1:1', filters: {{auth: {AUTH}}}}}"
    );
    assert_eq!(codes(&format!("{WEB}\nroutes: {{{routes}}}")), ["routes.b forgeable_identity"]);
}

#[test]
fn tokens_are_for_this_door_and_end() {
    let jwt = |more: &str| filters(&format!("auth: {{jwt: {{issuer: a, {more}}}}}"));
    let keys = "jwks: 'https://id.example.com/'";
    assert_eq!(jwt(&format!("audience: off, {keys}")), ["auth.jwt.audience jwt_for_any_audience"]);
    assert_eq!(jwt(&format!("audience: b, leeway: 10m, {keys}")), ["auth.jwt.leeway jwt_long_leeway"]);
    assert_eq!(jwt(&format!("audience: b, leeway: 1m, {keys}")), [""; 0]);
}

#[test]
fn credentials_reach_the_door_by_tls() {
    let listener = |listener: &str, auth: &str| {
        codes(&format!(
            "listeners: {{web: {{{listener}}}}}\nroutes: {{a: {{path: /, respond: {{}}, filters: {{auth: {auth}}}}}}}"
        ))
    };
    for open in ["'0.0.0.0:80'", "'[::]:80'", "'192.0.2.1:80'"] {
        let told = listener(&format!("address: {open}"), AUTH);
        assert_eq!(told, ["listeners.web.address listener_without_tls"], "{open}");
        assert_eq!(listener(&format!("address: {open}"), "off"), [""; 0]);
        for more in ["trusted_proxies: [10.0.0.0/8]", "proxy_protocol: [10.0.0.0/8]", "redirect: https"] {
            assert_eq!(listener(&format!("address: {open}, {more}"), AUTH), [""; 0], "{more}");
        }
    }
    for closed in ["'127.0.0.1:80'", "'10.0.0.1:80'", "'unix:/run/x'"] {
        assert_eq!(listener(&format!("address: {closed}"), AUTH), [""; 0], "{closed}");
    }
}

#[test]
fn not_everybody_is_a_proxy() {
    let listener = |address: &str, trusted: &str| {
        codes(&format!(
            "listeners: {{web: {{address: '{address}', trusted_proxies: [{trusted}]}}}}\nroutes: {{a: {{path: /, respond: {{}}}}}}"
        ))
    };
    let told = |index: usize| [format!("listeners.web.trusted_proxies[{index}] trusts_everybody")];
    assert_eq!(listener("0.0.0.0:80", "10.0.0.0/8, 0.0.0.0/0"), told(1));
    assert_eq!(listener("0.0.0.0:80", "128.0.0.0/1"), told(0));
    assert_eq!(listener("[::]:80", "'2000::/3'"), told(0));
    assert_eq!(listener("0.0.0.0:80", "10.0.0.0/8, 104.16.0.0/13, 'fc00::/7', '2400:cb00::/32', unix"), [""; 0]);
    assert_eq!(listener("127.0.0.1:80", "0.0.0.0/0"), [""; 0]);
    let told = codes(
        "listeners: {web: {address: '0.0.0.0:80', proxy_protocol: [0.0.0.0/0]}}\nroutes: {a: {path: /, respond: {}}}",
    );
    assert_eq!(told, ["listeners.web.proxy_protocol[0] trusts_everybody"]);
}

#[test]
fn a_route_that_no_request_reaches_is_told_with_those_that_take_its_requests() {
    let route = |name: &str, methods: &str| format!("{name}: {{path: /x, methods: {methods}, respond: {{}}}}");
    let routes = [route("a", "[GET, POST]"), route("b", "[GET]"), route("c", "[POST]")].join(", ");
    let found = found(&format!("{WEB}\nroutes: {{{routes}}}"));
    assert_eq!(found.len(), 1);
    assert!(found[0].path == "routes.a" && found[0].reason.ends_with("the more specific `b` and `c`"), "{found:?}");
}
