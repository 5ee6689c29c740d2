//! The handshake by which a CA looks whether a name is ours (RFC 8737).

use std::io;
use std::sync::Arc;

use pingora::listeners::tls::Acceptor;
use pingora::protocols::l4::stream::Stream as L4Stream;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::handshake::innermost;
use crate::acme::Answers;

/// Reads the client's first message and gives it back, so that whoever makes the handshake finds it as it was. What to
/// make it with, if this is a CA's question.
pub(super) async fn read(stream: &mut L4Stream, answers: &Answers) -> io::Result<Option<Arc<ServerConfig>>> {
    let mut acceptor = rustls::server::Acceptor::default();
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    let answer = loop {
        let length = stream.read(&mut buffer).await?;
        let piece = buffer.get(..length).unwrap_or_default();
        seen.extend_from_slice(piece);
        if piece.is_empty() || !takes(&mut acceptor, piece) {
            break None;
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                break answers.to_handshake(hello.server_name(), hello.alpn());
            }
            // The handshake that follows finds it as well, and tells the client.
            Err(_) => break None,
        }
    };
    stream.rewind(&seen);
    Ok(answer)
}

fn takes(acceptor: &mut rustls::server::Acceptor, mut piece: &[u8]) -> bool {
    while !piece.is_empty() {
        if !matches!(acceptor.read_tls(&mut piece), Ok(1..)) {
            return false;
        }
    }
    true
}

/// Makes the handshake, and ends the connection: that was all of the question.
pub(super) async fn answer(stream: L4Stream, answer: Arc<ServerConfig>) -> Result<(), String> {
    let mut stream = Acceptor::from_server_config(answer).tls_handshake(stream).await.map_err(|e| innermost(&e))?;
    // Whether it arrives is of no consequence.
    stream.shutdown().await.ok();
    Ok(())
}
