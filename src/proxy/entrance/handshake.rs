//! The TLS handshake of a connection, with the listener's own settings of now.

use std::sync::Arc;
use std::time::SystemTime;

use pingora::listeners::tls::Acceptor;
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::protocols::{ALPN, Ssl, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::arrival::Secured;
use super::super::turned_away::TurnedAway;
use super::{question, unwrap};
use crate::acme::Acme;
use crate::tls::{ClientIdentity, Tls};

/// The first byte of a TLS connection: a record of the handshake (RFC 8446, 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// A connection by TLS.
pub(super) struct Secure {
    pub(super) stream: Stream,
    pub(super) secured: Arc<Secured>,
    /// Whether the client has chosen HTTP/2.
    pub(super) is_http2: bool,
}

/// Makes a TLS connection of one that was accepted; `None` if it was no client's, but a CA's that has its answer.
///
/// # Errors
/// Why none came about. The client was told by an alert, or, if it spoke HTTP in the clear, by a page.
pub(super) async fn secure(
    stream: Stream,
    tls: &Tls,
    acme: Option<&Acme>,
) -> Result<Option<Secure>, (TurnedAway, Option<String>)> {
    let failed = |why: String| (TurnedAway::TlsHandshakeFailed, Some(why));
    let mut stream = unwrap(stream).ok_or_else(|| failed("the connection is of a kind that takes no TLS".into()))?;
    let first = stream.read_u8().await.map_err(|e| failed(e.to_string()))?;
    if first != HANDSHAKE_RECORD {
        say_that_it_is_tls(&mut stream, first).await;
        return Err((TurnedAway::TlsNotSpoken, None));
    }
    stream.rewind(&[first]);
    if let Some(acme) = acme.filter(|acme| acme.answers().expects_handshake()) {
        let question = question::read(&mut stream, acme.answers()).await.map_err(|e| failed(e.to_string()))?;
        if let Some(answer) = question {
            question::answer(*stream, answer).await.map_err(failed)?;
            return Ok(None);
        }
    }
    let stream = Acceptor::from_server_config(tls.config()).tls_handshake(*stream).await;
    let stream = stream.map_err(|e| failed(innermost(&e)))?;
    let shown = stream.get_ssl();
    let chain = shown.and_then(|tls| tls.peer_cert_chain_der()).unwrap_or_default();
    let client = ClientIdentity::from_chain(chain, SystemTime::now()).map_err(|e| failed(e.to_string()))?;
    let secured = Secured {
        server_name: shown.and_then(|tls| tls.server_name()).map(|name| name.to_ascii_lowercase().into()),
        version: shown.and_then(|tls| tls.version()).unwrap_or_default(),
        cipher: shown.and_then(|tls| tls.current_cipher_name()).unwrap_or_default(),
        client: client.map(Arc::new),
    };
    let is_http2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
    Ok(Some(Secure { secured: Arc::new(secured), is_http2, stream: Box::new(stream) }))
}

/// What a browser shows of a plain `http://` URL with the port of `https://`, as nginx has it.
const NOT_IN_THE_CLEAR: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 46\r\n\
    Connection: close\r\n\r\nThis port speaks TLS only: use https instead.\n";

async fn say_that_it_is_tls(stream: &mut L4Stream, first: u8) {
    if first.is_ascii_uppercase() {
        // Whether it arrives is of no consequence: the connection is closed either way.
        stream.write_all(NOT_IN_THE_CLEAR).await.ok();
        stream.flush().await.ok();
    }
}

/// The words of the error that all others were made of.
pub(super) fn innermost(error: &pingora::Error) -> String {
    let mut innermost: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(below) = innermost.and_then(std::error::Error::source) {
        innermost = Some(below);
    }
    innermost.map_or_else(|| error.to_string(), ToString::to_string)
}
