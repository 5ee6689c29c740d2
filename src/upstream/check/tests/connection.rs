//! How checks connect: by TCP, over Unix sockets, over TLS, to which address and port.

use pingora::tls::{CertificateDer, PrivateKeyDer, ServerConfig, TlsAcceptor, install_default_crypto_provider};
use pingora::utils::tls::{WrappedX509, parse_x509};
use tokio::net::UnixListener;

use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn tcp_asks_for_a_connection_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::at(listener.local_addr().unwrap());
    assert_eq!(checker(json!({"tcp": true})).check(&server).await, Ok(()));
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    drop(listener);
    assert_eq!(checker(json!({"tcp": true})).check(&server).await, failed("refused"));
}

#[tokio::test]
async fn a_unix_socket_is_checked_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (heard, mut said) = mpsc::unbounded_channel();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        play(stream, OK, Then::Close, heard).await;
    });
    let path = path.to_str().unwrap();
    let peers = vec![HttpPeer::new_uds(path, false, String::new()).unwrap()];
    let server = Server { name: format!("unix:{path}"), peers };
    let checker = checker(json!({"path": "/"}));
    assert_eq!(checker.check(&server).await, Ok(()));
    assert!(said.recv().await.unwrap().to_lowercase().contains("host: localhost\r\n"));
    served.await.unwrap();
    assert_eq!(checker.check(&server).await, failed("refused"));
    std::fs::remove_file(path).unwrap();
    assert_eq!(checker.check(&server).await, failed("no such socket"));
    let other_port = super::checker(json!({"tcp": true, "port": 81}));
    assert_eq!(other_port.check(&server).await, failed("a Unix socket has no port 81 to check"));
}

#[tokio::test]
async fn another_port_is_checked_at_the_same_address() {
    let (server, mut said) = server(OK, Then::Close).await;
    let port = server.peers[0]._address.as_inet().unwrap().port();
    let nobody = nobody().await;
    let checker = checker(json!({"path": "/", "port": port}));
    assert_eq!(checker.check(&nobody).await, Ok(()));
    let request = said.recv().await.unwrap().to_lowercase();
    assert!(request.contains(&format!("host: {}\r\n", nobody.name)), "{request}");
}

#[tokio::test]
async fn a_name_is_well_if_one_of_its_addresses_takes_the_connection() {
    let (alive, _said) = server(OK, Then::Close).await;
    let peers = vec![nobody().await.peers.remove(0), alive.peers[0].clone()];
    let server = Server { name: "localhost:80".into(), peers };
    assert_eq!(checker(json!({"path": "/"})).check(&server).await, Ok(()));
    let none = Server { name: "nowhere:80".into(), peers: vec![] };
    assert_eq!(checker(json!({"tcp": true})).check(&none).await, failed("no address"));
}

/// A TLS server that offers `alpn` by a certificate of its own for `users.internal`; and that certificate.
async fn tls_server(alpn: &[&[u8]]) -> (Server, Vec<u8>) {
    install_default_crypto_provider();
    let made = rcgen::generate_simple_self_signed(["users.internal".to_owned()]).unwrap();
    let certificate = made.cert.der().to_vec();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(vec![CertificateDer::from(certificate.clone())], key).unwrap();
    config.alpn_protocols = alpn.iter().map(|alpn| alpn.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                grpc::serve(stream, grpc::Answer::serving(), mpsc::unbounded_channel().0).await;
            } else {
                play(stream, OK, Then::Close, mpsc::unbounded_channel().0).await;
            }
        }
    });
    (
        Server { name: address.to_string(), peers: vec![HttpPeer::new(address, true, "users.internal".into())] },
        certificate,
    )
}

fn trust(server: &mut Server, certificate: Vec<u8>) {
    server.peers[0].options.ca = Some(Arc::new([WrappedX509::new(certificate, parse_x509)]));
}

#[tokio::test]
async fn tls_is_verified_as_it_is_for_requests() {
    let (mut server, certificate) = tls_server(&[]).await;
    for kind in [json!({"tcp": true}), json!({"path": "/"})] {
        server.peers[0].options.ca = None;
        let why = checker(kind.clone()).check(&server).await.unwrap_err();
        assert_eq!(why, "TLS: invalid peer certificate: UnknownIssuer");
        trust(&mut server, certificate.clone());
        assert_eq!(checker(kind.clone()).check(&server).await, Ok(()));
        server.peers[0].sni = "orders.internal".into();
        let why = checker(kind).check(&server).await.unwrap_err();
        assert!(why.starts_with("TLS: invalid peer certificate: certificate not valid for name"), "{why}");
        server.peers[0].sni = "users.internal".into();
    }
}

#[tokio::test]
async fn http2_is_spoken_where_tls_agrees_on_it() {
    let (mut server, certificate) = tls_server(&[b"h2", b"http/1.1"]).await;
    trust(&mut server, certificate);
    assert_eq!(checker(json!({"grpc": ""})).check(&server).await, Ok(()));
    server.peers[0].options.set_http_version(2, 1);
    assert_eq!(checker(json!({"path": "/"})).check(&server).await, Ok(()));
    server.peers[0].options.set_http_version(1, 1);
    assert_eq!(checker(json!({"path": "/"})).check(&server).await, Ok(()));
}

#[tokio::test]
async fn grpc_needs_http2() {
    let (mut server, certificate) = tls_server(&[]).await;
    trust(&mut server, certificate);
    let why = checker(json!({"grpc": ""})).check(&server).await;
    assert_eq!(why, failed("the endpoint does not speak HTTP/2, which gRPC needs"));
}

#[tokio::test]
async fn a_handshake_that_hangs_is_bounded() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server =
        Server { name: address.to_string(), peers: vec![HttpPeer::new(address, true, "users.internal".into())] };
    let why = checker(json!({"tcp": true, "timeout": "100ms"})).check(&server).await;
    assert_eq!(why, failed("no connection in 100ms"));
}

#[tokio::test]
async fn an_address_that_hangs_leaves_the_others_their_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut hangs = HttpPeer::new(listener.local_addr().unwrap(), true, "users.internal".into());
    hangs.options.total_connection_timeout = Some(Duration::from_secs(30));
    let (mut server, certificate) = tls_server(&[]).await;
    trust(&mut server, certificate);
    server.peers.insert(0, hangs);
    assert_eq!(checker(json!({"path": "/", "timeout": "2s"})).check(&server).await, Ok(()));
    server.peers.truncate(1);
    server.peers[0].options.total_connection_timeout = Some(Duration::from_millis(50));
    let why = checker(json!({"path": "/"})).check(&server).await;
    assert_eq!(why, failed("no connection in 50ms"), "the peer's own limit holds for checks too");
}
