//! The listeners of a configuration, as requests and connections need them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Made, Snapshot};
use crate::acme::Acme;
use crate::config::{self, AcmeChallenge, Config, ListenAddress, ListenerLimits, Name, Network, Problem, ToHttps};
use crate::head::strict::HeadLimits;
use crate::tls::{Remark, Tls};

/// What requests and connections need to know of the listener that they came in by.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Its name in the file.
    pub name: Arc<str>,
    /// Whose word about clients is taken.
    pub trusted_proxies: Vec<Network>,
    /// Whose connections begin with a PROXY header.
    pub proxy_protocol: Vec<Network>,
    /// Whether HTTP/2 is spoken.
    pub http2: bool,
    /// Where all requests are sent, if anywhere.
    pub redirect: Option<ToHttps>,
    /// What one client may cost.
    pub limits: ListenerLimits,
    /// The same for the head of a request.
    pub head: HeadLimits,
    /// TLS with its clients, if it has that.
    pub tls: Option<Arc<Tls>>,
    /// Who orders and renews a certificate for that. Listeners that ask for the same have the same.
    pub acme: Option<Arc<Acme>>,
}

/// What Pingora 0.9.1 reads of a head at most, less a line that it does not count.
const MOST_HEADER_BYTES: u64 = 512 << 10;

/// The same for header lines.
const MOST_HEADERS: u32 = 256;

/// Beyond that no client has a reason.
const MOST_TARGET_BYTES: u64 = 64 << 10;

impl Listener {
    fn new(name: &Name, settings: &config::Listener, tls: Option<Arc<Tls>>, acme: Option<Arc<Acme>>) -> Self {
        let limits = settings.limits.clone();
        let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        let head = HeadLimits {
            headers: limits.headers.0 as usize,
            header_bytes: bytes(limits.header_size.0),
            target_bytes: bytes(limits.target_size.0),
        };
        Self {
            name: Arc::from(name.as_str()),
            trusted_proxies: settings.trusted_proxies.clone(),
            proxy_protocol: settings.proxy_protocol.clone(),
            http2: settings.speaks_http2(),
            redirect: settings.redirect,
            limits,
            head,
            tls,
            acme,
        }
    }

    /// One without TLS that has nothing but defaults.
    #[cfg(test)]
    pub fn plain(name: &str) -> Self {
        Self {
            name: Arc::from(name),
            trusted_proxies: Vec::new(),
            proxy_protocol: Vec::new(),
            http2: false,
            redirect: None,
            limits: ListenerLimits::default(),
            head: HeadLimits::default(),
            tls: None,
            acme: None,
        }
    }
}

/// The listeners, in the order of their names.
pub(super) fn compile(config: &Config, previous: Option<&Snapshot>, problems: &mut Vec<Problem>) -> Vec<Arc<Listener>> {
    refuse_one_address(config, problems);
    let mut listeners: Vec<Arc<Listener>> = Vec::new();
    for (name, settings) in &config.listeners {
        refuse_beyond_reading(name, &settings.limits, config, problems);
        refuse_a_circle(name, settings, config, problems);
        refuse_vain_proxies(name, settings, config, problems);
        let before = previous.and_then(|previous| previous.listener(name.as_str()));
        let tls = tls(name, settings, before.and_then(|before| before.tls.as_ref()), config, problems);
        let known = listeners.iter().chain(previous.into_iter().flat_map(Snapshot::listeners));
        let acme = acme(name, settings, known, config, problems);
        listeners.push(Arc::new(Listener::new(name, settings, tls, acme)));
    }
    listeners
}

/// The TLS of a listener; `None` without, or if there is a problem with it.
fn tls(
    name: &Name,
    settings: &config::Listener,
    before: Option<&Arc<Tls>>,
    config: &Config,
    problems: &mut Vec<Problem>,
) -> Option<Arc<Tls>> {
    let asked = settings.tls.as_ref()?;
    match Tls::compile(name.as_str(), asked, settings.speaks_http2(), before, SystemTime::now()) {
        Ok((tls, remarks)) => {
            let warnings = remarks.iter().map(|remark| config.source.warning(&path(name, remark), &*remark.message));
            problems.extend(warnings);
            Some(tls)
        }
        Err(remarks) => {
            tell(name, &remarks, config, problems);
            None
        }
    }
}

/// Who orders a certificate for a listener; `None` if nobody is to, or if there is a problem with it.
fn acme<'a>(
    name: &Name,
    settings: &config::Listener,
    mut known: impl Iterator<Item = &'a Arc<Listener>>,
    config: &Config,
    problems: &mut Vec<Problem>,
) -> Option<Arc<Acme>> {
    let asked = settings.tls.as_ref()?.acme.as_ref()?;
    refuse_unanswered(name, asked, config, problems);
    let same = known.find_map(|listener| listener.acme.as_ref().filter(|acme| acme.is_of(asked)));
    if let Some(same) = same {
        return Some(same.clone());
    }
    let compiled = Acme::compile(asked);
    compiled.map(Arc::new).map_err(|remarks| tell(name, &remarks, config, problems)).ok()
}

/// What a CA asks in the clear has to be asked somewhere.
fn refuse_unanswered(name: &Name, asked: &config::Acme, config: &Config, problems: &mut Vec<Problem>) {
    if asked.challenge == AcmeChallenge::Http01 && config.listeners.values().all(|listener| listener.tls.is_some()) {
        let path = ["listeners", name.as_ref(), "tls", "acme", "challenge"];
        let message = "`http-01` is answered by listeners without `tls`, and there is none; add the one that clients \
                       of port 80 get to, such as `web: {address: \"[::]:80\", redirect: https}`, or use `tls-alpn-01`";
        problems.push(config.source.problem(&path, message));
    }
}

fn tell(name: &Name, remarks: &[Remark], config: &Config, problems: &mut Vec<Problem>) {
    problems.extend(remarks.iter().map(|remark| config.source.problem(&path(name, remark), &*remark.message)));
}

/// Where in the file the value stands that a remark is about.
fn path<'a>(name: &'a Name, remark: &'a Remark) -> Vec<&'a str> {
    let above = ["listeners", name.as_ref(), "tls"];
    above.into_iter().chain(remark.at.iter().map(String::as_str)).collect()
}

/// Networks have no connections to a Unix socket, and processes of this machine none to a port by a Unix socket.
fn refuse_vain_proxies(name: &Name, settings: &config::Listener, config: &Config, problems: &mut Vec<Problem>) {
    let is_unix = matches!(settings.address, ListenAddress::Unix(_));
    let is_vain = |network: &Network| matches!(network, Network::Unix) != is_unix;
    for at in settings.proxy_protocol.iter().enumerate().filter(|(_, network)| is_vain(network)).map(|(at, _)| at) {
        let path = ["listeners", name.as_ref(), "proxy_protocol", &at.to_string()];
        let message = match is_unix {
            true => "nobody comes to a Unix socket from a network; write `unix`",
            false => "nobody comes to this address through a Unix socket; write networks, such as `10.0.0.0/8`",
        };
        problems.push(config.source.problem(&path, message));
    }
}

/// A listener with TLS that sends its clients to `https` sends them round and round.
fn refuse_a_circle(name: &Name, settings: &config::Listener, config: &Config, problems: &mut Vec<Problem>) {
    if settings.tls.is_some() && settings.redirect.is_some() {
        let path = ["listeners", name.as_ref(), "redirect"];
        let message = "this listener speaks `https` already; redirect from one without `tls`";
        problems.push(config.source.problem(&path, message));
    }
}

/// What asks for clients' certificates where no client can show any would refuse everybody.
pub(super) fn refuse_vain_filters(config: &Config, filters: &[Made], problems: &mut Vec<Problem>) {
    let asks = |listener: &config::Listener| listener.tls.as_ref().is_some_and(|tls| tls.client_auth.is_some());
    if config.listeners.values().any(asks) {
        return;
    }
    for made in filters.iter().filter(|made| made.link.filter.needs_certificates()) {
        let path: Vec<&str> = made.path.iter().map(AsRef::as_ref).collect();
        let message = "this needs a certificate of the client, and no listener asks for one; give one \
                       `tls: {client_auth: {ca: FILE, mode: request}}`";
        problems.push(config.source.problem(&path, message));
    }
}

/// Two listeners cannot have one address.
fn refuse_one_address(config: &Config, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<String, &Name> = BTreeMap::new();
    for (name, listener) in &config.listeners {
        let address = listener.address.to_string();
        if matches!(&listener.address, ListenAddress::Tcp(address) if address.port() == 0) {
            continue;
        }
        if let Some(first) = seen.insert(address, name) {
            let path = ["listeners", name.as_ref(), "address"];
            problems.push(config.source.problem(&path, format!("the listener `{first}` has this address already")));
        }
    }
}

/// What a limit allows must be read in the first place.
fn refuse_beyond_reading(name: &Name, limits: &ListenerLimits, config: &Config, problems: &mut Vec<Problem>) {
    let mut refuse = |key: &str, most: &str| {
        let path = ["listeners", name.as_ref(), "limits", key];
        problems.push(config.source.problem(&path, format!("more than {most}, the most that is read")));
    };
    if limits.header_size.0 > MOST_HEADER_BYTES {
        refuse("header_size", "512KiB");
    }
    if limits.headers.0 > MOST_HEADERS {
        refuse("headers", "256");
    }
    if limits.target_size.0 > MOST_TARGET_BYTES {
        refuse("target_size", "64KiB");
    }
}
