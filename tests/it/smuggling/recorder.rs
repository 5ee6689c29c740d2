//! An upstream that keeps every byte it gets, and answers on connections that stay open: a second request that was
//! hidden in a first would get an answer, too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::reader::strict;

/// What came: the number of a connection, and bytes.
type Log = Arc<Mutex<Vec<(usize, Vec<u8>)>>>;

/// Listens until it is dropped.
pub struct Recorder {
    pub address: std::net::SocketAddr,
    log: Log,
    accepting: AbortHandle,
}

impl Recorder {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Log::default();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&log))).abort_handle();
        Self { address, log, accepting }
    }

    /// Where the record stands.
    pub fn mark(&self) -> usize {
        self.log.lock().unwrap().len()
    }

    /// What has come since, connection by connection.
    pub fn since(&self, mark: usize) -> Vec<Vec<u8>> {
        let mut connections = BTreeMap::<usize, Vec<u8>>::new();
        for (connection, bytes) in &self.log.lock().unwrap()[mark..] {
            connections.entry(*connection).or_default().extend_from_slice(bytes);
        }
        connections.into_values().collect()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, log: Log) {
    let mut connections = tokio::task::JoinSet::new();
    for number in 0.. {
        let Ok((stream, _)) = listener.accept().await else { return };
        connections.spawn(serve(stream, number, Arc::clone(&log)));
    }
}

async fn serve(mut stream: TcpStream, number: usize, log: Log) {
    let mut pending = Vec::new();
    let mut room = vec![0; 64 << 10];
    while let Ok(read @ 1..) = stream.read(&mut room).await {
        log.lock().unwrap().push((number, room[..read].to_vec()));
        pending.extend_from_slice(&room[..read]);
        loop {
            let seen = strict(&pending);
            let Some(message) = seen.messages.first() else { break };
            let body = if message.method == "HEAD" { "" } else { "ok" };
            let answer = format!("HTTP/1.1 200 OK\r\nX-Target: {}\r\nContent-Length: 2\r\n\r\n{body}", message.target);
            pending.drain(..seen.first_ends);
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}
