//! Files that change while the door runs.

use super::*;

/// Sooner than the files are read without a sign of change.
const SOON: Duration = Duration::from_secs(20);

struct Door {
    files: Files,
    ca: Ca,
}

impl Door {
    fn new() -> Self {
        let this = Self { files: Files::new(), ca: Ca::new("ca") };
        this.files.pair("a", &this.ca.issue(&["a.example"]));
        this.files.pair("b", &this.ca.issue(&["b.example"]));
        this
    }

    fn settings(&self) -> ListenerTls {
        let pair = |name: &str| json!({"cert": self.files.path(&format!("{name}.crt")), "key": self.files.path(&format!("{name}.key"))});
        settings(json!({"certificates": [pair("a"), pair("b")]}))
    }

    fn tls(&self) -> Arc<Tls> {
        Tls::compile("web", &self.settings(), true, None, now()).unwrap().0
    }
}

fn shown(tls: &Tls, name: &str) -> CertificateDer<'static> {
    Client::new().shake(tls, name).unwrap().shown().clone().into_owned()
}

async fn until(tls: &Tls, when: impl FnMut(&State) -> bool) {
    let mut changes = tls.state.subscribe();
    match tokio::time::timeout(SOON, changes.wait_for(when)).await {
        Ok(state) => drop(state.unwrap()),
        Err(_) => panic!("no such state soon: {:?}", tls.status()),
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_served_soon_and_connections_go_on() {
    let door = Door::new();
    let tls = door.tls();
    tls.start();
    until(&tls, |state| state.reads == 1).await;
    let mut open = Client::new().shake(&tls, "a.example").unwrap();
    let renewed = door.ca.issue(&["a.example", "new.example"]);
    door.files.pair("a", &renewed);
    until(&tls, |state| state.swaps == 1).await;
    assert_eq!(shown(&tls, "new.example"), ders(&renewed.cert)[0]);
    assert_eq!(tls.status().certificates[0].names, ["a.example", "new.example"]);
    std::io::Write::write_all(&mut open.client.writer(), b"hello").unwrap();
    let (mut client, mut server) = (Connection::from(open.client), Connection::from(open.server));
    carry(&mut client, &mut server).unwrap();
    let mut text = [0; 5];
    std::io::Read::read_exact(&mut server.reader(), &mut text).unwrap();
    assert_eq!(&text, b"hello");
}

#[tokio::test]
async fn what_does_not_hold_leaves_the_old_one_until_it_does() {
    let door = Door::new();
    let tls = door.tls();
    tls.start();
    until(&tls, |state| state.reads == 1).await;
    let before = shown(&tls, "a.example");
    let renewed = door.ca.issue(&["a.example"]);
    for (cert, words) in [
        (&renewed.cert[..100], "is no good PEM"),
        ("", "holds no certificate"),
        (&renewed.cert, "is not the key of the first certificate"),
    ] {
        door.files.write("a.crt", cert);
        until(&tls, |state| state.problems.iter().any(|problem| problem.message.contains(words))).await;
        assert_eq!(shown(&tls, "a.example"), before, "{words}");
        assert!(tls.status().last_error.unwrap().contains("tls.certificates[0]."), "{words}");
    }
    door.files.write("a.key", &renewed.key);
    until(&tls, |state| state.problems.is_empty()).await;
    assert_eq!(shown(&tls, "a.example"), ders(&renewed.cert)[0]);
    assert_eq!((tls.status().swaps, tls.status().last_error), (1, None));
}

#[test]
fn a_broken_certificate_does_not_keep_another_from_being_renewed() {
    let door = Door::new();
    let tls = door.tls();
    let before = shown(&tls, "a.example");
    door.files.write("a.crt", "");
    let renewed = door.ca.issue(&["b.example"]);
    door.files.pair("b", &renewed);
    tls.refresh(now());
    assert_eq!(shown(&tls, "a.example"), before);
    assert_eq!(shown(&tls, "b.example"), ders(&renewed.cert)[0]);
    let status = tls.status();
    assert_eq!(status.swaps, 1);
    assert!(status.last_error.unwrap().starts_with("tls.certificates[0].cert: "));
}

#[test]
fn files_that_hold_the_same_are_no_swap() {
    let tls = Door::new().tls();
    let config = tls.config();
    tls.refresh(now());
    assert!(Arc::ptr_eq(&config, &tls.config()));
    assert_eq!(tls.status().swaps, 0);
}

#[tokio::test(start_paused = true)]
async fn without_any_sign_the_files_are_read_every_minute() {
    let door = Door::new();
    let tls = door.tls();
    tls.start();
    until(&tls, |state| state.reads == 1).await;
    let begun = tokio::time::Instant::now();
    let mut changes = tls.state.subscribe();
    changes.wait_for(|state| state.reads == 2).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 60);
}

#[tokio::test]
async fn following_ends_with_the_listener() {
    let door = Door::new();
    let tls = door.tls();
    tls.start();
    tls.start();
    until(&tls, |state| state.reads == 1).await;
    let tasks = tokio::runtime::Handle::current().metrics();
    assert_eq!(tasks.num_alive_tasks(), 1);
    drop(tls);
    while tasks.num_alive_tasks() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn compiling_starts_nothing() {
    let door = Door::new();
    let _tls = door.tls();
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}
