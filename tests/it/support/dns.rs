//! A DNS server on the loopback interface that says what it is told to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// What is answered to a question.
#[derive(Debug, Clone)]
pub enum Reply {
    Records(Vec<Record>),
    Code(ResponseCode),
    /// Whole by TCP, cut off by UDP.
    LongerThanUdp(Vec<Record>),
    /// Cut off, whatever it is sent by.
    Truncated,
    /// A header and then rubbish.
    Malformed,
    Silence,
}

/// A question's name, without the dot at its end, and kind.
pub type Script = dyn Fn(&str, RecordType) -> Reply + Send + Sync;

pub struct Server {
    pub address: SocketAddr,
    script: Arc<Mutex<Arc<Script>>>,
    questions: Arc<Mutex<Vec<(String, RecordType)>>>,
    tasks: JoinSet<()>,
}

impl Server {
    pub async fn new(script: impl Fn(&str, RecordType) -> Reply + Send + Sync + 'static) -> Self {
        let (udp, tcp) = both().await;
        let address = udp.local_addr().unwrap();
        let script: Arc<Script> = Arc::new(script);
        let mut server =
            Self { address, script: Arc::new(Mutex::new(script)), questions: Arc::default(), tasks: JoinSet::new() };
        server.tasks.spawn(by_udp(udp, server.answerer()));
        server.tasks.spawn(by_tcp(tcp, server.answerer()));
        server
    }

    /// From now on it answers this.
    pub fn says(&self, script: impl Fn(&str, RecordType) -> Reply + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    /// What it was asked so far.
    pub fn questions(&self) -> Vec<(String, RecordType)> {
        self.questions.lock().unwrap().clone()
    }

    /// Closes its sockets.
    pub async fn die(&mut self) {
        self.tasks.shutdown().await;
    }

    fn answerer(&self) -> Answerer {
        Answerer { script: self.script.clone(), questions: self.questions.clone() }
    }
}

/// Sockets of both kinds at one port: the kernel chooses the first, and another if the second is taken.
async fn both() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

async fn by_udp(socket: UdpSocket, answerer: Answerer) {
    let mut buffer = [0; 4096];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        if let Some(answer) = answerer.answer(&buffer[..length], true) {
            socket.send_to(&answer, client).await.unwrap();
        }
    }
}

async fn by_tcp(listener: TcpListener, answerer: Answerer) {
    let mut streams = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        streams.spawn(serve(stream, answerer.clone()));
    }
}

async fn serve(mut stream: TcpStream, answerer: Answerer) {
    while let Ok(length) = stream.read_u16().await {
        let mut question = vec![0; length.into()];
        stream.read_exact(&mut question).await.unwrap();
        if let Some(answer) = answerer.answer(&question, false) {
            let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
            stream.write_all(&[&length, &answer[..]].concat()).await.unwrap();
        }
    }
}

#[derive(Clone)]
struct Answerer {
    script: Arc<Mutex<Arc<Script>>>,
    questions: Arc<Mutex<Vec<(String, RecordType)>>>,
}

impl Answerer {
    fn answer(&self, question: &[u8], udp: bool) -> Option<Vec<u8>> {
        let question = Message::from_vec(question).unwrap();
        let query = question.queries[0].clone();
        let (name, kind) = (query.name().to_string().trim_end_matches('.').to_owned(), query.query_type());
        self.questions.lock().unwrap().push((name.clone(), kind));
        let script = self.script.lock().unwrap().clone();
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        answer.add_query(query);
        match script(&name, kind) {
            Reply::Records(records) => drop(answer.add_answers(records)),
            Reply::LongerThanUdp(records) if !udp => drop(answer.add_answers(records)),
            Reply::LongerThanUdp(_) | Reply::Truncated => answer.metadata.truncation = true,
            Reply::Code(code) => answer.metadata.response_code = code,
            Reply::Malformed => {
                let mut bytes = answer.to_vec().unwrap();
                // It claims to have answers, and what stands there is none.
                bytes[7] = 5;
                bytes.extend([0xff; 7]);
                return Some(bytes);
            }
            Reply::Silence => return None,
        }
        Some(answer.to_vec().unwrap())
    }
}

/// These addresses for every name, and nothing else.
pub fn addresses(ttl: u32, ips: &'static [&'static str]) -> impl Fn(&str, RecordType) -> Reply + Send + Sync + 'static {
    move |name, kind| {
        let records = ips.iter().map(|ip| at(name, ttl, ip));
        Reply::Records(records.filter(|record| record.record_type() == kind).collect())
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

/// An A or AAAA record.
pub fn at(owner: &str, ttl: u32, ip: &str) -> Record {
    let data = match ip.parse().unwrap() {
        std::net::IpAddr::V4(ip) => RData::A(A(ip)),
        std::net::IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    };
    Record::from_rdata(name(owner), ttl, data)
}

pub fn alias(owner: &str, ttl: u32, target: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
}

pub fn srv(owner: &str, ttl: u32, (priority, weight, port): (u16, u16, u16), target: &str) -> Record {
    let target = if target.is_empty() { Name::root() } else { name(target) };
    Record::from_rdata(name(owner), ttl, RData::SRV(SRV::new(priority, weight, port, target)))
}
