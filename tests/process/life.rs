//! Start, reload, drain, end.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::door::{Door, PATIENCE, Service, file, onedoor, run, stderr, stdout, text};

fn yaml(body: &str) -> String {
    format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\"}}}}\nlog: {{access: off}}\nroutes:\n  a: {{path: /a, respond: {{body: \"{body}\"}}}}\n"
    )
}

#[test]
fn a_port_that_is_taken_is_exit_code_1_and_one_line() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let (_folder, path) = file(&yaml("x").replace("127.0.0.1:0", &address.to_string()));
    let output = run(&["run", "-c", text(&path)]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
    assert!(said.contains("onedoor.yaml:1:"), "{said}");
}

#[test]
fn if_one_of_two_ports_is_taken_neither_is_served() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken_address = taken.local_addr().unwrap();
    let listeners = format!("{{a: {{address: \"127.0.0.1:0\"}}, b: {{address: \"{taken_address}\"}}}}");
    let (_folder, path) = file(&yaml("x").replace("{web: {address: \"127.0.0.1:0\"}}", &listeners));
    let output = run(&["run", "-c", text(&path)]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(!stderr(&output).contains("listener `a` on"), "{}", stderr(&output));
}

#[test]
fn a_broken_ca_of_the_system_is_told_where_it_is_needed_and_stops_nobody_else() {
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let (_folder, path) = file(broken);
    let mut command = onedoor();
    command.env("SSL_CERT_FILE", &path);
    let door = Door::start_by(command, &yaml("x"), std::process::Stdio::null());
    assert_eq!(stdout(&door.curl(&[], "/a")), "x");
    let (_folder, needs) = file(&yaml("x").replace("respond: {body: \"x\"}", "to: \"https://127.0.0.1:1\""));
    let output = onedoor().env("SSL_CERT_FILE", &path).args(["check", "-c", text(&needs)]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert!(said.contains("routes.a.to: this system's CAs cannot be read"), "{said}");
}

#[test]
fn hup_swaps_in_a_new_file() {
    let mut door = Door::start(&yaml("one"));
    assert_eq!(stdout(&door.curl(&[], "/a")), "one");
    door.rewrite(&yaml("two"));
    door.signal("HUP");
    door.wait_for("generation 2");
    assert_eq!(stdout(&door.curl(&[], "/a")), "two");
}

#[test]
fn hup_with_a_bad_file_keeps_the_old_one_and_says_why() {
    let mut door = Door::start(&yaml("one"));
    door.rewrite(&yaml("two").replace("respond", "respnd"));
    door.signal("HUP");
    door.wait_for("did you mean `respond`");
    door.wait_for("goes on with generation 1");
    assert_eq!(stdout(&door.curl(&[], "/a")), "one");
    assert!(door.is_running());
}

#[test]
fn a_listener_can_come_and_go_by_reload() {
    let mut door = Door::start(&yaml("one"));
    let other = "{web: {address: \"127.0.0.1:0\"}, more: {address: \"127.0.0.1:0\"}}";
    door.rewrite(&yaml("two").replace("{web: {address: \"127.0.0.1:0\"}}", other));
    door.signal("HUP");
    let line = door.wait_for("listener `more` on ");
    let more = line.rsplit(' ').next().unwrap().to_owned();
    door.wait_for("generation 2");
    assert_eq!(stdout(&crate::door::curl(&[], &format!("http://{more}/a"))), "two");
    assert_eq!(stdout(&door.curl(&[], "/a")), "two");
    door.rewrite(&yaml("three"));
    door.signal("HUP");
    door.wait_for("generation 3");
    assert_eq!(stdout(&door.curl(&[], "/a")), "three");
    let refused = (0..400).any(|_| {
        std::thread::park_timeout(Duration::from_millis(5));
        TcpStream::connect(&more).is_err()
    });
    assert!(refused, "a removed listener still accepts");
}

#[test]
fn term_leaves_at_once_when_idle() {
    let mut door = Door::start(&yaml("one"));
    door.signal("TERM");
    let before = Instant::now();
    assert_eq!(door.wait().code(), Some(0));
    // The drain time is 30 s, and what is idle would get 3 s.
    assert!(before.elapsed() < Duration::from_secs(3), "{:?}", before.elapsed());
}

/// A service that answers only when the test says so, and a door in front of it with one request under way.
fn under_way(more: &str) -> (Door, TcpStream, std::sync::mpsc::Sender<()>) {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (arrived, has_arrived) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let service = Service::start(move |_, stream| {
        arrived.send(()).ok();
        wait.lock().unwrap().recv_timeout(PATIENCE).ok();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").ok();
    });
    let door = Door::start(&format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\"}}}}\nroutes:\n  a: {{path: /a, to: \"http://{}\"}}\n{more}",
        service.address
    ));
    let mut client = connected(&door);
    client.write_all(REQUEST).unwrap();
    has_arrived.recv_timeout(PATIENCE).unwrap();
    (door, client, go)
}

const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

fn connected(door: &Door) -> TcpStream {
    let client = TcpStream::connect(door.address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// What comes until the connection is closed.
fn rest_of(client: &mut impl Read) -> String {
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

#[track_caller]
fn assert_last(answer: &str, status: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
}

#[test]
fn term_lets_a_request_that_is_under_way_end_well_and_says_that_it_was_the_last() {
    let (mut door, mut client, go) = under_way("log: {access: off}");
    door.signal("TERM");
    door.wait_for("draining");
    go.send(()).unwrap();
    let answer = rest_of(&mut client);
    assert_last(&answer, "200");
    assert!(answer.ends_with("late"), "{answer}");
    drop(client);
    assert_eq!(door.wait().code(), Some(0));
}

/// The one line of a log, which must tell of an exchange that was broken off.
fn assert_shutdown(log: &std::path::Path, listener: &str) {
    let log = std::fs::read_to_string(log).unwrap();
    let line: serde_json::Value = serde_json::from_str(log.trim_end()).expect("one line of JSON");
    let field = |name: &str| line[name].as_str().unwrap_or_default();
    assert_eq!((field("cause"), field("route"), field("listener")), ("shutdown", "a", listener), "{log}");
    assert_eq!(line["status"], 503, "{log}");
}

#[test]
fn what_is_under_way_when_the_drain_time_is_over_is_told_so_and_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let more = format!("process: {{drain: 500ms}}\nlog: {{access: {{to: {}}}}}", log.display());
    let (mut door, mut client, _go) = under_way(&more);
    door.signal("TERM");
    let answer = rest_of(&mut client);
    assert_last(&answer, "503");
    door.wait_for("the drain time is over: 1 connections were cut");
    assert_eq!(door.wait().code(), Some(0));
    assert_shutdown(&log, "web");
}

#[test]
fn a_second_term_or_an_int_leaves_at_once_and_what_is_under_way_is_written_down() {
    for signals in [&["TERM", "TERM"][..], &["TERM", "INT"], &["INT"]] {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("access.log");
        let (mut door, mut client, _go) = under_way(&format!("log: {{access: {{to: {}}}}}", log.display()));
        door.signal(signals[0]);
        if let Some(second) = signals.get(1) {
            door.wait_for("draining");
            door.signal(second);
        }
        let before = Instant::now();
        assert_eq!(door.wait().code(), Some(0), "{signals:?}");
        assert!(before.elapsed() < Duration::from_secs(10), "{signals:?}");
        let answer = rest_of(&mut client);
        assert_last(&answer, "503");
        assert_shutdown(&log, "web");
    }
}

#[test]
fn who_waits_to_be_accepted_when_term_comes_is_answered_with_a_close() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("door.sock");
    let listeners = format!("{{web: {{address: \"127.0.0.1:0\"}}, local: {{address: \"unix:{}\"}}}}", socket.display());
    let mut door = Door::start(&yaml("one").replace("{web: {address: \"127.0.0.1:0\"}}", &listeners));
    // A door that stands still accepts nobody, but its kernel takes who comes.
    door.signal("STOP");
    let clients: Vec<TcpStream> = (0..200).map(|_| connected(&door)).collect();
    let local: Vec<UnixStream> = (0..50).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    door.signal("TERM");
    door.signal("CONT");
    door.wait_for("draining");
    for mut client in clients {
        client.write_all(REQUEST).unwrap();
        let answer = rest_of(&mut client);
        assert_last(&answer, "200");
    }
    for mut client in local {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(REQUEST).unwrap();
        let answer = rest_of(&mut client);
        assert_last(&answer, "200");
    }
    assert_eq!(door.wait().code(), Some(0));
}

/// Connects and asks again and again until nobody can connect, and does something to the door in the midst of it.
fn storm(address: std::net::SocketAddr, then: impl FnOnce()) {
    let answered = AtomicUsize::new(0);
    // A door that closes lets first packets fall: whoever sent one would try again after a second.
    let ask = || {
        while let Ok(mut client) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            let answer = rest_of(&mut client);
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            answered.fetch_add(1, Relaxed);
        }
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        let end = Instant::now() + PATIENCE;
        while answered.load(Relaxed) < 200 && Instant::now() < end {
            std::thread::yield_now();
        }
        then();
        for client in clients {
            client.join().expect("whoever could connect was answered");
        }
    });
    assert!(answered.load(Relaxed) >= 200);
}

#[test]
fn nobody_who_could_connect_is_reset_when_the_door_closes() {
    let mut door = Door::start(&yaml("one"));
    storm(door.address, || door.signal("TERM"));
    assert_eq!(door.wait().code(), Some(0));
}

#[test]
fn nobody_who_could_connect_is_reset_when_a_listener_is_removed() {
    let mut door = Door::start(&yaml("one"));
    door.rewrite(&yaml("two").replace("{web: {address: \"127.0.0.1:0\"}}", "{other: {address: \"[::1]:0\"}}"));
    // `one` and `two` are both good answers on the way.
    storm(door.address, || door.signal("HUP"));
    door.wait_for("generation 2");
    assert!(door.is_running());
}

#[test]
fn usr1_opens_the_log_file_anew() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let mut door = Door::start(&yaml("x").replace("{access: off}", &format!("{{access: {{to: {}}}}}", log.display())));
    door.curl(&[], "/a?first");
    let moved = folder.path().join("access.log.1");
    std::fs::rename(&log, &moved).unwrap();
    door.signal("USR1");
    let there = (0..2000).any(|_| {
        std::thread::park_timeout(Duration::from_millis(5));
        log.exists()
    });
    assert!(there, "the log file was not opened anew");
    door.curl(&[], "/a?second");
    door.signal("TERM");
    door.wait();
    assert!(std::fs::read_to_string(&moved).unwrap().contains("?first"));
    assert!(std::fs::read_to_string(&log).unwrap().contains("?second"));
}

#[test]
fn a_unix_socket_is_served_to_curl_and_gone_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("door.sock");
    let listeners = format!("{{web: {{address: \"127.0.0.1:0\"}}, local: {{address: \"unix:{}\"}}}}", socket.display());
    // What a crashed door left behind is no obstacle.
    drop(UnixListener::bind(&socket).unwrap());
    let mut door = Door::start(&yaml("local").replace("{web: {address: \"127.0.0.1:0\"}}", &listeners));
    let output = crate::door::curl(&["--unix-socket", text(&socket)], "http://anything/a");
    assert_eq!(stdout(&output), "local", "{}", stderr(&output));
    door.signal("TERM");
    assert_eq!(door.wait().code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn a_path_that_another_process_has_taken_over_stays() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("door.sock");
    let listeners = format!("{{web: {{address: \"127.0.0.1:0\"}}, local: {{address: \"unix:{}\"}}}}", socket.display());
    let mut door = Door::start(&yaml("x").replace("{web: {address: \"127.0.0.1:0\"}}", &listeners));
    // Beside it first, so that the file system can't give it the inode of the one that goes.
    let beside = folder.path().join("other.sock");
    let other = UnixListener::bind(&beside).unwrap();
    std::fs::rename(&beside, &socket).unwrap();
    door.signal("TERM");
    assert_eq!(door.wait().code(), Some(0));
    assert!(UnixStream::connect(&socket).is_ok());
    drop(other);
}

#[test]
fn a_socket_whose_process_hangs_is_in_use_and_does_not_hang_the_door() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("door.sock");
    let hung = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    hung.bind(&socket2::SockAddr::unix(&socket).unwrap()).unwrap();
    hung.listen(0).unwrap();
    // One has room; whoever comes now would wait for an accept that never comes.
    let _queued = UnixStream::connect(&socket).unwrap();
    let (_folder, path) = file(&yaml("x").replace("127.0.0.1:0", &format!("unix:{}", socket.display())));
    let (ended, has_ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || ended.send(run(&["run", "-c", text(&path)])).ok());
    let output = has_ended.recv_timeout(PATIENCE).expect("the door says so in time");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("another process has it"), "{}", stderr(&output));
    assert!(socket.exists());
}

#[test]
fn a_reload_says_what_only_a_restart_can_change() {
    let mut door = Door::start(&format!("{}process: {{threads: 1}}\n", yaml("one")));
    door.rewrite(&format!("{}process: {{threads: 2}}\n", yaml("two")));
    door.signal("HUP");
    let line = door.wait_for("process.threads");
    assert!(line.contains("asked for 2, at work 1; restart the door"), "{line}");
    door.wait_for("generation 2");
}

#[test]
fn a_log_that_nobody_reads_does_not_keep_the_door_from_leaving() {
    let mut door = Door::start_with(&yaml("x").replace("log: {access: off}\n", ""), std::process::Stdio::piped());
    // Stdout is a pipe that nobody reads: it holds 64 KiB, a line has about 300 bytes.
    let mut client = TcpStream::connect(door.address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0; 4096];
    for _ in 0..1000 {
        client.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(client.read(&mut answer).unwrap() > 0);
    }
    drop(client);
    door.signal("TERM");
    assert_eq!(door.wait().code(), Some(0));
}

#[test]
fn a_start_that_fails_leaves_no_socket_behind() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("door.sock");
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let listeners = format!(
        "{{a: {{address: \"unix:{}\"}}, b: {{address: \"{}\"}}}}",
        socket.display(),
        taken.local_addr().unwrap()
    );
    let (_folder, path) = file(&yaml("x").replace("{web: {address: \"127.0.0.1:0\"}}", &listeners));
    assert_eq!(run(&["run", "-c", text(&path)]).status.code(), Some(1));
    assert!(!socket.exists());
}

#[test]
fn two_listeners_with_one_address_are_refused_by_check() {
    let listeners = "{a: {address: \"127.0.0.1:7001\"}, b: {address: \"127.0.0.1:7001\"}}";
    let (_folder, path) = file(&yaml("x").replace("{web: {address: \"127.0.0.1:0\"}}", listeners));
    let output = run(&["check", "-c", text(&path)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("the listener `a` has this address already"), "{}", stderr(&output));
}

#[test]
fn ten_thousand_routes_load_in_less_than_a_second_in_release() {
    use std::fmt::Write as _;
    let mut yaml = "listeners: {web: {address: \"127.0.0.1:0\"}}\nroutes:\n".to_owned();
    for index in 0..10_000 {
        let path =
            ["/s/", "/s/{id}/items", "/s/exact", "/s/{rest...}"][index % 4].replacen("/s", &format!("/s{index}"), 1);
        writeln!(yaml, "  r{index}: {{path: \"{path}\", methods: [GET], to: \"http://127.0.0.1:9\", timeout: 5s}}")
            .unwrap();
    }
    let (_folder, path) = file(&yaml);
    let before = Instant::now();
    let output = run(&["check", "-c", text(&path)]);
    let took = before.elapsed();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    println!("10,000 routes loaded and checked in {took:?}");
    // Without optimisation it takes about ten times as long.
    let limit = if cfg!(debug_assertions) { 15 } else { 1 };
    assert!(took < Duration::from_secs(limit), "{took:?}");
}
