use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What a check with these settings finds of a server with this answer.
async fn found(settings: Value, answer: &'static [u8], then: Then) -> Result<(), String> {
    let (server, _said) = server(answer, then).await;
    checker(settings).check(&server).await
}

async fn get(answer: &'static [u8], then: Then) -> Result<(), String> {
    found(json!({"path": "/healthz"}), answer, then).await
}

#[tokio::test]
async fn a_success_is_well_and_other_statuses_are_told() {
    assert_eq!(get(OK, Then::Close).await, Ok(()));
    assert_eq!(get(b"HTTP/1.1 204 No Content\r\n\r\n", Then::Wait).await, Ok(()));
    let unwell = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(get(unwell, Then::Wait).await, failed("status 503, expected 200-299"));
    let moved = b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(get(moved, Then::Wait).await, failed("status 302, expected 200-299"));
    let switched = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
    assert_eq!(get(switched, Then::Wait).await, failed("status 101, expected 200-299"));
}

#[tokio::test]
async fn the_file_says_which_statuses_pass() {
    let settings = json!({"path": "/", "status": ["300-399", "503"]});
    let unwell = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(found(settings.clone(), unwell, Then::Wait).await, Ok(()));
    assert_eq!(found(settings, OK, Then::Wait).await, failed("status 200, expected 300-399 or 503"));
}

#[tokio::test]
async fn the_request_is_what_the_file_says_and_the_connection_ends_with_it() {
    let (server, mut said) = server(OK, Then::Wait).await;
    let settings =
        json!({"path": "/h?deep=1", "host": "users.internal", "headers": {"X-Check": "yes", "user-agent": "me"}});
    assert_eq!(checker(settings).check(&server).await, Ok(()));
    let request = said.recv().await.unwrap();
    let lines: Vec<_> = request.to_lowercase().lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "get /h?deep=1 http/1.1");
    for line in ["host: users.internal", "connection: close", "user-agent: me", "x-check: yes"] {
        assert!(lines.iter().any(|sent| sent == line), "{line} is not in {request}");
    }
    assert_eq!(said.recv().await.unwrap(), "closed after Some(0) bytes");
}

#[tokio::test]
async fn every_check_has_a_connection_of_its_own() {
    let keep = b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n";
    let (server, mut said) = server(keep, Then::Wait).await;
    let checker = checker(json!({"path": "/"}));
    for _ in 0..3 {
        assert_eq!(checker.check(&server).await, Ok(()));
        assert!(said.recv().await.unwrap().starts_with("GET / "));
        assert_eq!(said.recv().await.unwrap(), "closed after Some(0) bytes");
    }
}

#[tokio::test]
async fn the_host_is_the_checks_the_upstreams_or_the_endpoints() {
    let (server, mut said) = server(OK, Then::Close).await;
    let settings = settings(json!({"path": "/"}));
    for (policy, host) in [
        (HostPolicy::Client, server.name.as_str()),
        (HostPolicy::Endpoint, &server.name),
        (HostPolicy::Literal("users.internal:80".into()), "users.internal:80"),
    ] {
        let checker = Checker::new(&settings, &policy, &Connector::default()).unwrap();
        assert_eq!(checker.check(&server).await, Ok(()));
        let request = said.recv().await.unwrap().to_lowercase();
        assert!(request.contains(&format!("host: {host}\r\n")), "{request}");
    }
}

#[tokio::test]
async fn head_expects_no_body() {
    let settings = json!({"path": "/", "method": "HEAD"});
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    assert_eq!(found(settings, answer, Then::Wait).await, Ok(()));
}

#[tokio::test]
async fn what_hangs_is_given_up_after_the_timeout() {
    let settings = json!({"path": "/", "timeout": "100ms"});
    let late = failed("no answer in 100ms");
    assert_eq!(found(settings.clone(), b"", Then::Wait).await, late);
    assert_eq!(found(settings.clone(), b"HTTP/1.1 200 OK\r\nContent-Le", Then::Wait).await, late);
    assert_eq!(found(settings, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n12", Then::Wait).await, late);
}

#[tokio::test]
async fn a_check_that_is_given_up_closes_its_connection() {
    let (server, mut said) = server(b"", Then::Wait).await;
    assert!(checker(json!({"path": "/", "timeout": "100ms"})).check(&server).await.is_err());
    said.recv().await.unwrap();
    assert_eq!(said.recv().await.unwrap(), "closed after Some(0) bytes");
}

#[tokio::test]
async fn a_slow_drip_is_bounded_as_a_whole() {
    let settings = json!({"path": "/", "timeout": "100ms"});
    let late = failed("no answer in 100ms");
    assert_eq!(found(settings.clone(), b"HTTP/1.1 200 OK\r\n", Then::Drip(b"X-A: b\r\n")).await, late);
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(found(settings, chunked, Then::Drip(b"1\r\nx\r\n")).await, late);
}

#[tokio::test]
async fn what_is_no_answer_is_told() {
    let half = failed("closed before its answer was complete");
    assert_eq!(get(b"", Then::Close).await, half);
    assert_eq!(get(b"HTTP/1.1 200", Then::Close).await, half);
    assert_eq!(get(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n12", Then::Close).await, half);
    assert_eq!(get(b"SSH-2.0-OpenSSH_9.9\r\n", Then::Wait).await, failed("the answer is not HTTP"));
    assert_eq!(get(b"\x15\x03\x01\0\x02\x02\x16", Then::Wait).await, failed("the answer is not HTTP"));
    assert!(get(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Then::Wait).await.is_err());
}

#[tokio::test]
async fn interim_answers_are_read_over_but_not_for_ever() {
    let early = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(get(early, Then::Wait).await, Ok(()));
    let flood = Then::Repeat(b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(get(b"", flood).await, failed("more than 16 interim answers"));
}

#[tokio::test]
async fn an_endless_body_is_read_no_further_than_the_bound() {
    assert_eq!(get(b"HTTP/1.1 200 OK\r\n\r\n", Then::Repeat(&[b'x'; 4096])).await, Ok(()));
}

#[tokio::test]
async fn an_endless_head_is_no_answer() {
    let why = get(b"HTTP/1.1 200 OK\r\n", Then::Repeat(b"X-A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n")).await;
    assert!(why.is_err(), "{why:?}");
}

#[tokio::test]
async fn nobody_there_is_refused() {
    let server = nobody().await;
    assert_eq!(checker(json!({"path": "/"})).check(&server).await, failed("refused"));
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_told_with_its_header() {
    let settings =
        settings(json!({"path": "/", "headers": {"authorization": {"file": "/nowhere/token"}, "x-a": "a\nb"}}));
    let problems = Checker::new(&settings, &HostPolicy::Client, &Connector::default()).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].0 == "authorization" && problems[0].1.contains("/nowhere/token"), "{problems:?}");
    assert!(problems[1].0 == "x-a" && problems[1].1.contains("line break"), "{problems:?}");
}
