//! What is said of files that are no good.

use super::*;

#[tokio::test]
async fn each_file_that_is_no_good_is_told_at_its_place() {
    let files = Files::new();
    files.pair("ended", &files.ca.issue_until(&["door.test"], 2020));
    files.pair("other", &files.ca.issue(&["door.test"]));
    files.write("empty.pem", "");
    files.write("broken.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let pair = |cert: &str, key: &str| format!("certificates: [{{cert: DIR/{cert}, key: DIR/{key}}}]");
    let clients = |ca: &str| format!("{DOOR}, client_auth: {{ca: DIR/{ca}}}");
    for (tls, place, words) in [
        (pair("none.crt", "door.key"), "certificates[0].cert", "cannot read"),
        (pair("door.crt", "none.key"), "certificates[0].key", "none.key"),
        (pair("empty.pem", "door.key"), "certificates[0].cert", "holds no certificate"),
        (pair("door.key", "door.key"), "certificates[0].cert", "holds no certificate"),
        (pair("broken.crt", "door.key"), "certificates[0].cert", "broken.crt"),
        (pair("door.crt", "door.crt"), "certificates[0].key", "key"),
        (pair("door.crt", "other.key"), "certificates[0].key", "this is not the key"),
        (pair("ended.crt", "ended.key"), "certificates[0].cert", "expired"),
        (clients("none.pem"), "client_auth.ca", "cannot read"),
        (clients("empty.pem"), "client_auth.ca", "holds no certificate"),
        (clients("ended.crt"), "client_auth.ca", "ended.crt"),
        ("certificates: []".into(), "certificates", "at least one"),
        (format!("{DOOR}, min_version: \"1.1\""), "min_version", "no longer safe"),
    ] {
        let said = Gateway::refused(&files.yaml(&tls, "", HI)).await;
        let [line] = &said[..] else { panic!("{tls}: {said:?}") };
        assert!(line.starts_with("test.yaml:1:"), "{line}");
        assert!(line.contains(&format!(" listeners.web.tls.{place}: ")) && line.contains(words), "{tls}: {line}");
    }
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once() {
    let files = Files::new();
    let tls = "certificates: [{cert: DIR/a.crt, key: DIR/a.key}, {cert: DIR/door.crt, key: DIR/door.key}, {cert: DIR/c.crt, key: DIR/door.key}], client_auth: {ca: DIR/ca.pem}";
    let said = Gateway::refused(&files.yaml(tls, "", HI)).await.join("\n");
    for place in ["certificates[0].cert", "certificates[0].key", "certificates[2].cert", "client_auth.ca"] {
        assert!(said.contains(&format!("listeners.web.tls.{place}: ")), "{place}: {said}");
    }
    assert_eq!(said.lines().count(), 4, "{said}");
}

#[tokio::test]
async fn a_listener_by_tls_sends_nobody_to_https() {
    let files = Files::new();
    let said = Gateway::refused(&files.yaml(DOOR, ", redirect: https", HI)).await.join("\n");
    assert!(said.contains("listeners.web.redirect: this listener speaks `https` already"), "{said}");
}
