//! Which certificate a client gets, and for which hosts its connection is.

use http::Request as Asked;
use rustls::pki_types::CertificateDer;

use super::*;
use crate::support::secure::{der, shown};

#[tokio::test]
async fn a_client_gets_the_certificate_for_the_name_that_it_asks_for() {
    let files = Files::new();
    let issue = |file: &str, names: &[&str]| {
        let identity = files.ca.issue(names);
        files.pair(file, &identity);
        der(&identity)
    };
    // All are good for `other.test`, so that the default can be told from the others.
    let default = issue("default", &["default.test", "other.test", "a.b.wild.test", "127.0.0.1"]);
    let wild = issue("wild", &["*.wild.test"]);
    let exact = issue("exact", &["exact.wild.test"]);
    let certificates: Vec<String> =
        ["default", "wild", "exact"].map(|name| format!("{{cert: DIR/{name}.crt, key: DIR/{name}.key}}")).into();
    let tls = format!("certificates: [{}]", certificates.join(", "));
    let door = Gateway::start(&files.yaml(&tls, "", HI)).await;
    let asked = async |client: &Secure, name: &str| -> CertificateDer<'static> {
        shown(&client.try_shake(door.client().address(), name).await.unwrap())
    };
    let client = files.client();
    for (name, certificate) in [
        ("exact.wild.test", &exact),
        ("EXACT.wild.test", &exact),
        ("a.wild.test", &wild),
        ("a.b.wild.test", &default),
        ("other.test", &default),
        ("default.test", &default),
        // No SNI can be sent for an address.
        ("127.0.0.1", &default),
    ] {
        assert_eq!(asked(&client, name).await, *certificate, "{name}");
    }
    assert_eq!(asked(&client.without_sni(), "default.test").await, default);
}

#[tokio::test]
async fn a_connection_is_for_the_host_that_it_was_made_for() {
    let files = Files::new();
    let door = files.door("", HI).await;
    let address = door.client().address();
    let mut client = files.client().connect(address, "door.test").await;
    for (host, status) in [("door.test", 200), ("other.test", 421), ("DOOR.test:8443", 200), ("xdoor.test", 421)] {
        let response = client.send(get("/").host(host)).await;
        assert_eq!(response.status, status, "{host}");
        assert!(status == 200 || response.header("content-type") == Some("application/problem+json"));
    }
    assert_eq!(door.cause(2).await, ("misdirected".into(), 421));
    let mut nobodys = files.client().without_sni().connect(address, "door.test").await;
    assert_eq!(nobodys.send(get("/").host("other.test")).await.status, 200);
}

#[tokio::test]
async fn by_http2_a_misdirected_request_leaves_the_others_alone() {
    let files = Files::new();
    let door = files.door("", HI).await;
    let mut client = files.client().http2(door.client().address(), "door.test").await;
    for (host, status) in [("door.test", 200), ("other.test", 421), ("door.test:443", 200)] {
        let asked = Asked::get(format!("https://{host}/")).body(()).unwrap();
        assert_eq!(client.send(asked, "").await.status.as_u16(), status, "{host}");
    }
    let line = &door.log(3).await[1];
    assert_eq!((line["cause"].as_str(), line["host"].as_str()), (Some("misdirected"), Some("other.test")), "{line}");
}
