use ::http::{HeaderMap, Response};
use bytes::Bytes;

use super::*;

/// What a scripted gRPC server answers.
#[derive(Clone, Default)]
pub(super) struct Answer {
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: Option<&'static [u8]>,
    trailers: Option<&'static [(&'static str, &'static str)]>,
    /// Further pieces of the same body, without end.
    endless: bool,
}

const GRPC: &[(&str, &str)] = &[("content-type", "application/grpc")];
const FINE: Option<&[(&str, &str)]> = Some(&[("grpc-status", "0")]);

impl Answer {
    fn message(body: &'static [u8]) -> Self {
        Self { status: 200, headers: GRPC, body: Some(body), trailers: FINE, endless: false }
    }

    pub(super) fn serving() -> Self {
        Self::message(&[0, 0, 0, 0, 2, 8, 1])
    }

    /// Only a head, which is the trailers.
    fn head(headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { status: 200, headers, ..Self::default() }
    }
}

/// Serves one connection.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: Answer,
    heard: mpsc::UnboundedSender<String>,
) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (head, mut body) = request.into_parts();
        let (answer, heard) = (answer.clone(), heard.clone());
        tokio::spawn(async move {
            let mut sent = Vec::new();
            while let Some(Ok(chunk)) = body.data().await {
                sent.extend_from_slice(&chunk);
            }
            let header = |name| head.headers.get(name).map_or("", |value| value.to_str().unwrap());
            let names = ["te", "content-type", "grpc-timeout", "authorization"];
            let headers = names.map(header).join("|");
            let said = format!("{} {} {headers} {}", head.method, head.uri, sent.escape_ascii());
            drop(heard.send(said));
            send(respond, answer).await
        });
    }
    drop(heard.send("closed".into()));
}

async fn send(mut respond: h2::server::SendResponse<Bytes>, answer: Answer) -> Option<()> {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(*name, *value);
    }
    let ends = answer.body.is_none() && answer.trailers.is_none();
    let mut stream = respond.send_response(response.body(()).unwrap(), ends).ok()?;
    let body = Bytes::from_static(answer.body.unwrap_or_default());
    if answer.body.is_some() {
        stream.send_data(body.clone(), answer.trailers.is_none() && !answer.endless).ok()?;
    }
    if answer.endless {
        loop {
            stream.reserve_capacity(body.len());
            std::future::poll_fn(|context| stream.poll_capacity(context)).await?.ok()?;
            stream.send_data(body.clone(), false).ok()?;
        }
    }
    let trailers = answer.trailers?.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    stream.send_trailers(HeaderMap::from_iter(trailers)).ok()
}

async fn server(answer: Answer) -> (Server, Said) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::at(listener.local_addr().unwrap());
    let (heard, said) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer.clone(), heard.clone()));
        }
    });
    (server, said)
}

async fn found(answer: Answer) -> Result<(), String> {
    let (server, _said) = server(answer).await;
    checker(json!({"grpc": "users.Users"})).check(&server).await
}

#[tokio::test]
async fn serving_is_well_and_its_connection_ends_with_the_check() {
    let (server, mut said) = server(Answer::serving()).await;
    let settings = json!({"grpc": "users.Users", "timeout": "20s", "headers": {"authorization": "Bearer x"}});
    let checker = checker(settings);
    for _ in 0..2 {
        assert_eq!(checker.check(&server).await, Ok(()));
        let asked = format!(
            "POST http://{}/grpc.health.v1.Health/Check trailers|application/grpc|20000m|Bearer x {}",
            server.name,
            b"\0\0\0\0\x0d\x0a\x0busers.Users".escape_ascii()
        );
        assert_eq!(said.recv().await.unwrap(), asked);
        assert_eq!(said.recv().await.unwrap(), "closed");
    }
}

#[tokio::test]
async fn other_states_of_a_service_are_told_by_their_names() {
    assert_eq!(found(Answer::message(&[0, 0, 0, 0, 2, 8, 2])).await, failed("NOT_SERVING"));
    assert_eq!(found(Answer::message(&[0, 0, 0, 0, 2, 8, 3])).await, failed("SERVICE_UNKNOWN"));
    assert_eq!(found(Answer::message(&[0, 0, 0, 0, 0])).await, failed("UNKNOWN"));
}

#[tokio::test]
async fn a_call_that_failed_is_told_whether_in_the_head_or_in_trailers() {
    const UNIMPLEMENTED: &[(&str, &str)] = &[("content-type", "application/grpc"), ("grpc-status", "12")];
    const NOT_FOUND: &[(&str, &str)] = &[("content-type", "application/grpc"), ("grpc-status", "5")];
    const UNAVAILABLE: &[(&str, &str)] = &[("grpc-status", "14"), ("grpc-message", "still warming up")];
    let unimplemented = failed("UNIMPLEMENTED: the server does not offer grpc.health.v1.Health");
    assert_eq!(found(Answer::head(UNIMPLEMENTED)).await, unimplemented);
    assert_eq!(found(Answer::head(NOT_FOUND)).await, failed("NOT_FOUND: the server knows no service `users.Users`"));
    let late = Answer { body: None, trailers: Some(UNAVAILABLE), ..Answer::serving() };
    assert_eq!(found(late).await, failed("UNAVAILABLE: still warming up"));
    let after_message = Answer { trailers: Some(UNAVAILABLE), ..Answer::serving() };
    assert_eq!(found(after_message).await, failed("UNAVAILABLE: still warming up"));
    const ODD: &[(&str, &str)] = &[("grpc-status", "99")];
    assert_eq!(found(Answer::head(ODD)).await, failed("an unknown grpc-status"));
}

#[tokio::test]
async fn what_is_not_grpc_is_told() {
    let proxy = Answer { status: 503, ..Answer::head(&[]) };
    assert_eq!(found(proxy).await, failed("status 503, expected 200"));
    const HTML: &[(&str, &str)] = &[("content-type", "text/html")];
    let page = Answer { headers: HTML, trailers: None, ..Answer::message(b"<html>") };
    assert_eq!(found(page).await, failed("the answer is not gRPC, its content-type is `text/html`"));
    let no_status = Answer { trailers: None, ..Answer::serving() };
    assert_eq!(found(no_status).await, failed("the answer ends without a grpc-status"));
    const EMPTY: &[(&str, &str)] = &[("grpc-status", "0")];
    assert_eq!(found(Answer::head(EMPTY)).await, failed("the answer has no message"));
    assert_eq!(found(Answer::message(b"zip")).await, failed("the answer is no message of gRPC without compression"));
}

#[tokio::test]
async fn an_endless_answer_is_given_up_at_the_bound() {
    let endless = Answer { endless: true, ..Answer::message(&[0; 1024]) };
    assert_eq!(found(endless).await, failed("the answer is longer than 4096 bytes"));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_after_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::at(listener.local_addr().unwrap());
    let checker = checker(json!({"grpc": "", "timeout": "100ms"}));
    assert_eq!(checker.check(&server).await, failed("no answer in 100ms"));
    let (mut stream, _) = listener.accept().await.unwrap();
    let closed = stream.read_to_end(&mut Vec::new()).await;
    assert!(closed.is_ok(), "the connection is closed: {closed:?}");
}

#[tokio::test]
async fn a_server_of_http1_is_no_server_of_grpc() {
    let (server, _said) = super::server(b"HTTP/1.1 400 Bad Request\r\n\r\n", Then::Wait).await;
    let why = checker(json!({"grpc": ""})).check(&server).await.unwrap_err();
    assert!(why.starts_with("HTTP/2: "), "{why}");
}

#[tokio::test]
async fn http_is_checked_by_http2_where_the_peer_is_bound_to_it() {
    let (mut server, mut said) = server(Answer::serving()).await;
    server.peers[0].options.set_http_version(2, 2);
    assert_eq!(checker(json!({"path": "/healthz"})).check(&server).await, Ok(()));
    let asked = said.recv().await.unwrap();
    assert!(asked.starts_with(&format!("GET http://{}/healthz ", server.name)), "{asked}");
    assert_eq!(said.recv().await.unwrap(), "closed");
}
