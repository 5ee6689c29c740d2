//! What changes while the door runs, and how it ends.

use std::time::Duration;

use http::Request as Asked;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::*;
use crate::support::secure::{der, shown};

#[tokio::test]
async fn a_certificate_that_is_renewed_is_shown_to_new_connections_and_the_open_ones_go_on() {
    let files = Files::new();
    let door = files.door("", HI).await;
    let address = door.client().address();
    let client = files.client();
    let mut http1 = client.connect(address, "door.test").await;
    let mut http2 = client.http2(address, "door.test").await;
    assert_eq!(http1.send(get("/")).await.text(), "hi");
    let new = der(&files.renew());
    within("the new certificate", async {
        while shown(&client.try_shake(address, "door.test").await.unwrap()) != new {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(http1.send(get("/")).await.text(), "hi");
    let asked = Asked::get("https://door.test/").body(()).unwrap();
    assert_eq!(http2.send(asked, "").await.text(), "hi");
    assert_eq!(door.server().snapshot().generation(), 1);
}

#[tokio::test]
async fn a_reload_turns_tls_on_and_off_for_new_connections() {
    let files = Files::new();
    let plain = format!("listeners: {{web: {{address: \"127.0.0.1:0\"}}}}\n{HI}");
    let mut door = Gateway::start(&plain).await;
    let address = door.client().address().clone();
    let mut in_the_clear = door.client().connect().await;
    assert_eq!(in_the_clear.send(get("/")).await.text(), "hi");
    door.reload(&files.yaml(DOOR, "", HI)).await.unwrap();
    assert_eq!(in_the_clear.send(get("/")).await.text(), "hi");
    assert_eq!(door.get("/").send().await.status, 400);
    let mut secure = files.client().connect(&address, "door.test").await;
    assert_eq!(secure.send(get("/")).await.text(), "hi");
    door.reload(&plain).await.unwrap();
    assert_eq!(secure.send(get("/")).await.text(), "hi");
    assert_eq!(door.get("/").send().await.text(), "hi");
    files.client().try_shake(&address, "door.test").await.unwrap_err();
    assert_eq!(door.client().address(), &address, "it is the same socket all the time");
}

#[tokio::test]
async fn a_reload_with_a_certificate_that_is_no_good_changes_nothing() {
    let files = Files::new();
    let mut door = files.door("", HI).await;
    let before = der(&Identity { cert: std::fs::read_to_string(files.path("door.crt")).unwrap(), key: String::new() });
    files.pair("ended", &files.ca.issue_until(&["door.test"], 2020));
    let rest = "routes: {all: {path: /, respond: {body: new}}}";
    let yaml = files.yaml("certificates: [{cert: DIR/ended.crt, key: DIR/ended.key}]", "", rest);
    let said = door.reload(&yaml).await.unwrap_err().join("\n");
    assert!(said.contains("listeners.web.tls.certificates[0].cert: "), "{said}");
    let client = files.client();
    assert_eq!(shown(&client.try_shake(door.client().address(), "door.test").await.unwrap()), before);
    let mut connection = client.connect(door.client().address(), "door.test").await;
    assert_eq!(connection.send(get("/")).await.text(), "hi");
    assert_eq!(door.server().snapshot().generation(), 1);
}

#[tokio::test]
async fn a_connection_that_could_still_be_made_has_its_handshake_and_its_answer_while_the_door_drains() {
    let files = Files::new();
    let door = files.door("", HI).await;
    let Address::Tcp(address) = *door.client().address() else { panic!("a port") };
    let made = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
    until("both to be accepted", || door.server().connections() == 2).await;
    let drained = tokio::spawn(door.drain());
    within("the listener to close", async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let [first, second] = made;
    let client = files.client();
    let mut http1 = client.over(first, "door.test").await.unwrap();
    let response = http1.send(get("/")).await;
    assert_eq!((response.text(), response.header("connection")), ("hi", Some("close")));
    let second = client.alpn(&["h2"]).shake_over(second, "door.test").await.unwrap();
    let mut http2 = http2::Http2::over(second, &h2::client::Builder::new()).await;
    let asked = Asked::get("https://door.test/").body(()).unwrap();
    assert_eq!(http2.send(asked, "").await.text(), "hi");
    http2.ended().await.unwrap();
    assert_eq!(within("the drain", drained).await.unwrap(), 0);
}

#[tokio::test]
async fn a_handshake_that_comes_to_nothing_does_not_hold_a_drain_up() {
    let files = Files::new();
    let door = files.door("", &format!("{HI}\nprocess: {{drain: 4s}}")).await;
    let Address::Tcp(address) = *door.client().address() else { panic!("a port") };
    let mut begun = TcpStream::connect(address).await.unwrap();
    begun.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    let silent = TcpStream::connect(address).await.unwrap();
    until("both to be accepted", || door.server().connections() == 2).await;
    assert_eq!(door.drain().await, 0, "none had to be cut");
    drop((begun, silent));
}
