//! Clients' certificates.

use rustls::version::{TLS12, TLS13};

use super::*;

/// Files with a CA for clients.
fn files() -> (Files, Ca) {
    let (files, clients) = (Files::new(), Ca::new("clients"));
    files.write("clients.pem", &clients.pem());
    (files, clients)
}

fn asking(mode: &str) -> String {
    format!("{DOOR}, client_auth: {{ca: DIR/clients.pem, mode: {mode}}}")
}

/// Whether a client is let in. In TLS 1.3 it is told only after its own handshake is over.
async fn gets_in(door: &Gateway, client: &Secure) -> bool {
    match client.try_connect(door.client().address(), "door.test").await {
        Ok(mut connection) => connection.try_send(get("/")).await.is_ok_and(|response| response.status == 200),
        Err(_) => false,
    }
}

#[tokio::test]
async fn a_certificate_that_is_required_lets_in_and_nothing_else_does() {
    let (files, clients) = files();
    let door = Gateway::start(&files.yaml(&asking("require"), "", HI)).await;
    let (good, foreign) = (clients.issue(&["billing"]), Ca::new("clients").issue(&["billing"]));
    let mut refused = 0;
    for version in [&TLS12, &TLS13] {
        for (identity, is_let_in) in [(Some(&good), true), (Some(&foreign), false), (None, false)] {
            let client = Secure::of(&files.ca, identity, &[version]);
            assert_eq!(gets_in(&door, &client).await, is_let_in, "{version:?}");
            refused += u64::from(!is_let_in);
        }
    }
    wait_for(&door, TurnedAway::TlsHandshakeFailed, refused).await;
}

#[tokio::test]
async fn where_one_is_only_asked_for_none_will_do_but_not_a_bad_one() {
    let (files, clients) = files();
    let door = Gateway::start(&files.yaml(&asking("request"), "", HI)).await;
    let (good, foreign) = (clients.issue(&["billing"]), Ca::new("clients").issue(&["billing"]));
    let ended = clients.issue_until(&["billing"], 2020);
    for (identity, is_let_in) in [(Some(&good), true), (Some(&foreign), false), (Some(&ended), false), (None, true)] {
        let client = Secure::of(&files.ca, identity, rustls::ALL_VERSIONS);
        assert_eq!(gets_in(&door, &client).await, is_let_in);
    }
    wait_for(&door, TurnedAway::TlsHandshakeFailed, 2).await;
}

#[tokio::test]
async fn what_a_reload_asks_of_clients_holds_for_new_connections_and_no_ticket_gets_around_it() {
    let (files, clients) = files();
    let mut door = files.door("", HI).await;
    let address = door.client().address().clone();
    let (stranger, friend) = (files.client(), Secure::showing(&files.ca, &clients.issue(&["billing"])));
    let mut open = stranger.connect(&address, "door.test").await;
    assert_eq!(open.send(get("/")).await.status, 200);
    door.reload(&files.yaml(&asking("require"), "", HI)).await.unwrap();
    assert_eq!(open.send(get("/")).await.status, 200);
    assert!(!gets_in(&door, &stranger).await, "with a ticket");
    assert!(gets_in(&door, &friend).await);
    door.reload(&files.yaml(DOOR, "", HI)).await.unwrap();
    assert!(gets_in(&door, &stranger).await);
}

#[tokio::test]
async fn another_ca_in_the_same_file_is_taken_up() {
    let (files, clients) = files();
    let door = Gateway::start(&files.yaml(&asking("require"), "", HI)).await;
    let before = Secure::showing(&files.ca, &clients.issue(&["billing"]));
    assert!(gets_in(&door, &before).await);
    let others = Ca::new("others");
    files.write("clients.pem", &others.pem());
    let after = Secure::showing(&files.ca, &others.issue(&["billing"]));
    within("the other CA to count", async {
        while !gets_in(&door, &after).await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(!gets_in(&door, &before).await, "with a ticket");
}
