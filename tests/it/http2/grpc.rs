//! gRPC through the door, HTTP/2 on both sides: streams both ways, and trailers.

use std::io::Read;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, Method, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::listeners;
use crate::support::http2::{Http2, request, send_all};
use crate::support::*;

/// A server that sends every piece back as it comes, tells what `te` it was asked with, and ends with trailers.
async fn echoing() -> (Address, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().into();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut tasks = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            tasks.spawn(async move { connection(stream).await.unwrap_or_default() });
        }
    });
    (address, serving)
}

async fn connection(stream: TcpStream) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    let mut tasks = JoinSet::new();
    while let Some(asked) = connection.accept().await {
        let (request, respond) = asked?;
        tasks.spawn(async move { call(request, respond).await.unwrap_or_default() });
    }
    Ok(())
}

async fn call(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let te = request.headers().get("te").cloned();
    let kind = request.headers().get("content-type").cloned();
    let mut response = Response::new(());
    response.headers_mut().extend(kind.map(|kind| (http::header::CONTENT_TYPE, kind)));
    response.headers_mut().extend(te.map(|te| (HeaderName::from_static("x-te"), te)));
    let mut sender = respond.send_response(response, false)?;
    let mut body = request.into_body();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        send_all(&mut sender, data, false).await?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    sender.send_trailers(trailers)
}

async fn door(api: &Address, route: &str) -> Gateway {
    let upstream = format!("upstreams: {{api: {{endpoints: [\"{api}\"], protocol: http2}}}}");
    Gateway::start(&format!("{}\n{upstream}\nroutes: {{all: {{path: /, to: api{route}}}}}", listeners(""))).await
}

fn call_of(kind: &str) -> Request<()> {
    let mut call = request(Method::POST, "/pkg.Service/Call");
    call.headers_mut().insert("content-type", kind.parse().unwrap());
    call.headers_mut().insert("te", "trailers".parse().unwrap());
    call
}

#[tokio::test]
async fn a_call_streams_both_ways_and_ends_with_trailers() {
    let (api, _serving) = echoing().await;
    // A stream of gRPC that has begun is not under the route's deadline.
    let door = door(&api, ", timeout: 300ms").await;
    let mut client = Http2::connect(door.client().address()).await;
    let (response, mut sender) = client.begin(call_of("application/grpc"), false).await.unwrap();
    let response = within("the head, before any of the body", response).await.unwrap();
    assert_eq!(response.headers()["x-te"], "trailers");
    let mut body = response.into_body();
    for piece in ["ping", "pong"] {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        sender.send_data(Bytes::from(piece), false).unwrap();
        let came = within("the piece", body.data()).await.unwrap().unwrap();
        assert_eq!(came, piece);
    }
    sender.send_data(Bytes::new(), true).unwrap();
    assert!(within("the end", body.data()).await.is_none());
    let trailers = within("the trailers", body.trailers()).await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    let line = &door.log(1).await[0];
    assert_eq!((line["status"].as_u64(), line.get("cause")), (Some(200), None), "{line}");
}

#[tokio::test]
async fn a_call_that_the_client_cancels_is_cancelled_upstream() {
    let (api, _serving) = echoing().await;
    let door = door(&api, "").await;
    let mut client = Http2::connect(door.client().address()).await;
    let (response, mut sender) = client.begin(call_of("application/grpc"), false).await.unwrap();
    let response = within("the head", response).await.unwrap();
    sender.send_reset(Reason::CANCEL);
    drop(response);
    assert_eq!(door.cause(1).await, ("client_gone".into(), 200));
}

#[tokio::test]
async fn a_compressed_body_with_trailers_behind_it_is_whole() {
    let (api, _serving) = echoing().await;
    let door = door(&api, ", filters: {compress: {}}").await;
    let text = "all work and no play makes a dull test. ".repeat(200);
    let response = door.request("POST", "/").header("content-type", "text/plain").header("accept-encoding", "gzip");
    let response = response.body(text.clone()).send().await;
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    let mut plain = String::new();
    flate2::read::GzDecoder::new(response.body.as_slice()).read_to_string(&mut plain).unwrap();
    assert_eq!(plain, text);
}
