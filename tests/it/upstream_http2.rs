//! Upstreams by HTTP/2: many exchanges share a connection, and none is at the mercy of another.

use bytes::Bytes;
use http::Response as Head;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::http2::send_all;
use crate::support::*;

/// Answers `/large` with 16 MiB, everything else with a word; how many connections there were is told by its clients.
async fn serve(listener: TcpListener) {
    let mut tasks = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        tasks.spawn(async move {
            let Ok(mut connection) = h2::server::handshake(stream).await else { return };
            let mut streams = JoinSet::new();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let size = if request.uri().path() == "/large" { 16 << 20 } else { 4 };
                let Ok(mut body) = respond.send_response(Head::new(()), false) else { continue };
                streams.spawn(async move {
                    // A client that is gone is nothing to this server.
                    send_all(&mut body, Bytes::from(vec![b'x'; size]), true).await.ok();
                });
            }
        });
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_nobody_else_on_its_upstreams_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(serve(listener));
    let door = Gateway::start(&format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\"}}}}\n\
         upstreams: {{api: {{endpoints: [\"{address}\"], protocol: http2}}}}\nroutes: {{all: {{path: /, to: api}}}}"
    ))
    .await;
    let mut deaf = door.client().connect().await;
    deaf.send_head(door.get("/large")).await;
    assert_eq!(deaf.read_head().await.status, 200);
    // As long as it takes for all windows on the way to be full.
    for _ in 0..300 {
        assert_eq!(door.get("/small").send().await.text(), "xxxx");
    }
}
