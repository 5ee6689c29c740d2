//! The listeners of a configuration, as requests and connections need them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{Config, ListenAddress, ListenerLimits, Name, Network, Problem, ToHttps};
use crate::head::strict::HeadLimits;

/// What requests and connections need to know of the listener that they came in by.
#[derive(Debug, Clone, PartialEq)]
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
}

/// What Pingora 0.9.1 reads of a head at most, less a line that it does not count.
const MOST_HEADER_BYTES: u64 = 512 << 10;

/// The same for header lines.
const MOST_HEADERS: u32 = 256;

/// Beyond that no client has a reason.
const MOST_TARGET_BYTES: u64 = 64 << 10;

impl Listener {
    fn new(name: &Name, settings: &crate::config::Listener) -> Self {
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
            http2: settings.http2.unwrap_or(false),
            redirect: settings.redirect,
            limits,
            head,
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
        }
    }
}

/// The listeners, in the order of their names.
pub(super) fn compile(config: &Config, problems: &mut Vec<Problem>) -> Vec<Arc<Listener>> {
    refuse_one_address(config, problems);
    for (name, listener) in &config.listeners {
        refuse_beyond_reading(name, &listener.limits, config, problems);
    }
    config.listeners.iter().map(|(name, settings)| Arc::new(Listener::new(name, settings))).collect()
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
