//! Clients that are slow on purpose, many at once: each is closed on time, nobody else is hurt, and the memory comes back.
//!
//! The short form has some of each kind, all at once; `make slow` has 2,000 of each, one kind after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::door::{Door, file};

/// What each of the door's limits is in these tests.
const LIMIT: Duration = Duration::from_secs(1);

/// What a busy machine may add, also for letting thousands connect.
const SLACK: Duration = Duration::from_secs(10);

/// More than the kernels keep of a response that nobody reads.
const BIG: usize = 16 << 20;

/// Files of the door that are not a client's or an upstream's.
const FILES: usize = 200;

/// A way to be slow.
struct Kind {
    name: &'static str,
    to: To,
    begin: &'static str,
    /// Sent again and again, ten times as often as the limits would allow silence.
    drip: Option<&'static str>,
    reads: bool,
    /// How many limits it may take until it is closed.
    limits: u32,
    /// The most of them at once: what each costs the kernel beside the door.
    most: usize,
}

#[derive(Clone, Copy)]
enum To {
    Web,
    Http2,
    /// The port of TLS, by plain bytes.
    Secure,
    /// The same after a handshake.
    ByTls,
}

impl Kind {
    const fn new(name: &'static str, to: To, begin: &'static str, limits: u32) -> Self {
        Self { name, to, begin, drip: None, reads: true, limits, most: usize::MAX }
    }

    const fn dripping(self, drip: &'static str) -> Self {
        Self { drip: Some(drip), ..self }
    }
}

const KINDS: &[Kind] = &[
    Kind::new("nothing at all", To::Web, "", 1),
    Kind::new("idle keep-alive", To::Web, "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n", 1),
    Kind::new("a head that drips", To::Web, "GET /ok HTTP/1.1\r\nX: ", 1).dripping("x"),
    Kind::new("empty lines that drip", To::Web, "", 1).dripping("\r\n"),
    Kind::new("a body that stalls", To::Web, "PUT /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx", 1),
    // It has `body_timeout`, and what the bytes buy.
    Kind::new("a body that drips", To::Web, "PUT /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", 2)
        .dripping("x"),
    Kind {
        reads: false,
        most: 200,
        ..Kind::new("a response that is not read", To::Web, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n", 1)
    },
    Kind::new("nothing at all for HTTP/2", To::Http2, "", 1),
    Kind::new("half a preface", To::Http2, "PRI * HTTP/2.0\r\n", 1),
    Kind::new("idle HTTP/2", To::Http2, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", 3),
    Kind::new("nothing at all for TLS", To::Secure, "", 1),
    Kind::new("a handshake that drips", To::Secure, "\x16\x03\x01\x02\0\x01", 1).dripping("\0"),
    Kind::new("TLS and then nothing", To::ByTls, "", 1),
];

/// Where everybody connects, and how by TLS.
#[derive(Clone)]
struct Doors {
    web: SocketAddr,
    http2: SocketAddr,
    secure: SocketAddr,
    tls: TlsConnector,
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

impl Doors {
    async fn connect(&self, to: To) -> std::io::Result<Box<dyn Duplex>> {
        let socket = TcpSocket::new_v4()?;
        // So that responses that are not read don't fill the kernel's memory.
        socket.set_recv_buffer_size(4096)?;
        let stream = socket.connect(match to {
            To::Web => self.web,
            To::Http2 => self.http2,
            To::Secure | To::ByTls => self.secure,
        });
        let stream = stream.await?;
        Ok(match to {
            To::ByTls => {
                let name = ServerName::try_from("127.0.0.1").expect("a name");
                Box::new(self.tls.connect(name, stream).await?)
            }
            _ => Box::new(stream),
        })
    }

    /// Plays a slow client; how long it was there, and how many bytes it read.
    async fn play(&self, kind: &Kind) -> std::io::Result<(Duration, usize)> {
        let mut stream = self.connect(kind.to).await?;
        let since = Instant::now();
        stream.write_all(kind.begin.as_bytes()).await?;
        let (mut read, mut write) = tokio::io::split(stream);
        let dripping = async {
            while let Some(drip) = kind.drip {
                tokio::time::sleep(LIMIT / 10).await;
                // It ends by what is read.
                write.write_all(drip.as_bytes()).await.ok();
            }
            std::future::pending::<()>().await;
        };
        let reading = async {
            if !kind.reads {
                tokio::time::sleep(LIMIT * kind.limits + SLACK / 2).await;
            }
            let (mut sink, mut length) = (vec![0; 16 << 10], 0);
            // An end and a reset are the same here.
            while let Ok(bytes @ 1..) = read.read(&mut sink).await {
                length += bytes;
            }
            length
        };
        tokio::select! {
            length = reading => Ok((since.elapsed(), length)),
            () = dripping => unreachable!(),
        }
    }
}

/// Answers `/big` by much, everything else by little once its body has come.
async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            // How it ends is the door's affair.
            tokio::spawn(async move { answer(stream).await.ok() });
        }
    });
    address
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut seen = Vec::new();
    loop {
        while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
            if stream.read_buf(&mut seen).await? == 0 {
                return Ok(());
            }
        }
        if seen.starts_with(b"PUT") {
            // It never comes whole.
            while stream.read(&mut [0; 1024]).await? > 0 {}
            return Ok(());
        }
        let length = if seen.starts_with(b"GET /big") { BIG } else { 2 };
        seen.clear();
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes()).await?;
        let mut left = length;
        while left > 0 {
            let piece = left.min(64 << 10);
            stream.write_all(&vec![b'x'; piece]).await?;
            left -= piece;
        }
    }
}

/// Requests of everybody else, on kept connections and new ones, until told to stop: how long each took.
async fn others(web: SocketAddr, is_over: Arc<AtomicBool>) -> Vec<Duration> {
    let mut took = Vec::new();
    while !is_over.load(Relaxed) {
        let mut stream = TcpStream::connect(web).await.expect("a connection");
        stream.set_nodelay(true).unwrap();
        for _ in 0..20 {
            let since = Instant::now();
            stream.write_all(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the request is taken");
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\nxx") {
                assert!(stream.read_buf(&mut answer).await.expect("an answer") > 0, "closed: {answer:?}");
            }
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
            took.push(since.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    took
}

/// Plays so many of these kinds at once.
async fn play(doors: &Doors, kinds: &'static [Kind], each: usize) {
    let mut clients = JoinSet::new();
    for kind in kinds {
        for _ in 0..each.min(kind.most) {
            let doors = doors.clone();
            clients.spawn(async move { (kind, doors.play(kind).await) });
        }
    }
    let mut longest = vec![Duration::ZERO; kinds.len()];
    while let Some(played) = clients.join_next().await {
        let (kind, played) = played.unwrap();
        let (took, read) = played.unwrap_or_else(|e| panic!("{}: {e}", kind.name));
        // Who did not read has much to read from the kernels yet, and sees the end only then.
        assert!(!kind.reads || took <= LIMIT * kind.limits + SLACK, "{}: closed after {took:?}", kind.name);
        assert!(read < BIG, "{}: got all of its response", kind.name);
        let at = kinds.iter().position(|other| other.name == kind.name).unwrap();
        longest[at] = longest[at].max(took);
    }
    for (kind, longest) in kinds.iter().zip(longest) {
        println!("{:>5} of {}: the last was closed after {longest:?}", each.min(kind.most), kind.name);
    }
}

/// A certificate for 127.0.0.1, and who believes it.
fn certificate() -> (tempfile::TempDir, String, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    assert!(PrivateKeyDer::from_pem_slice(key.as_bytes()).is_ok());
    let (folder, path) = file(&cert);
    let key_path = folder.path().join("key.pem");
    std::fs::write(&key_path, key).unwrap();
    let tls =
        format!("{{certificates: [{{cert: \"{}\", key: {{file: \"{}\"}}}}]}}", path.display(), key_path.display());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    (folder, tls, TlsConnector::from(Arc::new(client)))
}

#[test]
fn slow_clients_are_closed_on_time_and_hurt_nobody() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let is_long = std::env::var_os("ONEDOOR_SLOW").is_some();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (_folder, tls, connector) = certificate();
        let limits = "{handshake_timeout: 1s, header_timeout: 1s, body_timeout: 1s, body_rate: 1KiB/s, idle_timeout: 1s}";
        let listener = |more: &str| format!("{{address: \"127.0.0.1:0\", limits: {limits}{more}}}");
        let door = Door::start(&format!(
            "listeners: {{h2c: {}, secure: {}, web: {}}}\nlog: {{access: off}}\nroutes: {{all: {{path: /, timeout: off, to: \"http://{}\"}}}}\n",
            listener(", http2: true"),
            listener(&format!(", tls: {tls}")),
            listener(""),
            upstream().await,
        ));
        let doors =
            Doors { web: door.address, http2: door.listener("h2c"), secure: door.listener("secure"), tls: connector };
        // Whatever is made once is made now.
        play(&doors, KINDS, 2).await;
        let (before, _) = door.memory();

        let is_over = Arc::new(AtomicBool::new(false));
        let others: Vec<_> = (0..4).map(|_| tokio::spawn(others(doors.web, is_over.clone()))).collect();
        if is_long {
            for kind in KINDS {
                play(&doors, std::slice::from_ref(kind), 2000).await;
            }
        } else {
            play(&doors, KINDS, 25).await;
        }
        let (with_all, highest) = door.memory();
        // The allocator gives back what is unused for ten seconds, when it is asked for something.
        let end = Instant::now() + Duration::from_secs(30);
        while door.memory().0 > before + MOST_KIB && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let (after, _) = door.memory();
        is_over.store(true, Relaxed);
        let mut took = Vec::new();
        for other in others {
            took.extend(other.await.expect("no request failed"));
        }
        took.sort();
        let p99 = took[took.len() * 99 / 100];
        println!("{} requests beside them: p99 {p99:?}, the longest {:?}", took.len(), took[took.len() - 1]);
        println!("{before} KiB before, {highest} at the highest, {with_all} when all were closed, {after} later");
        assert!(p99 < MOST_P99, "{p99:?}");
        assert!(after <= before + MOST_KIB, "{before} KiB before, {after} KiB after");
        assert!(door.files() < FILES, "{} files are open", door.files());
    });
}

/// Longer than this somebody gives up. A build without optimisations on a busy machine comes near it while hundreds
/// shake hands at once.
const MOST_P99: Duration = Duration::from_secs(5);

/// What may stay: pools of connections and buffers, and pages that are not all empty.
const MOST_KIB: u64 = 24 * 1024;
