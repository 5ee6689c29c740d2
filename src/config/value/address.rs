//! Where to listen, where to connect, and whom to believe.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use http::uri::Authority;
use ipnet::IpNet;

use super::super::problem::shortened;
use super::super::suggest::did_you_mean;

/// Where a listener accepts: a socket address or a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenAddress {
    /// `0.0.0.0:8080`, `[::]:8080`; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// `unix:/run/onedoor/web.sock`: an absolute path of at most 107 bytes.
    Unix(PathBuf),
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = unix(text)? {
            return Ok(Self::Unix(path));
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        let shown = shortened(text, 60);
        let why = match split(text) {
            Split::Whole => format!("`{shown}` is no address"),
            Split::OnlyPort(port) => {
                format!("`{shown}` is only a port; write `127.0.0.1:{port}`, or `0.0.0.0:{port}` for every interface")
            }
            Split::NoPort(ip) => format!("`{shown}` has no port; write `{}`", SocketAddr::new(ip, 8080)),
            Split::Name(_, None) => format!("`{shown}` has no port and no literal address"),
            Split::Name(host, Some(_)) => {
                format!("a listener needs a literal address, not the name `{}`", shortened(host, 60))
            }
            Split::BadPort(port) => bad_port(port),
        };
        Err(format!("{why}; allowed: `127.0.0.1:8080`, `[::]:8080`, `unix:/run/onedoor/web.sock`"))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

text_type!(ListenAddress, "an address such as `127.0.0.1:8080` or `unix:/run/onedoor/web.sock`", {
    "type": "string",
    "pattern": "^(unix:/.+|\\[[0-9A-Fa-f:.]+(%[0-9]+)?\\]:[0-9]{1,5}|[0-9.]+:[0-9]{1,5})$",
    "description": "A literal address with a port, or `unix:` and an absolute path.",
    "examples": ["127.0.0.1:8080", "[::]:8080", "unix:/run/onedoor/web.sock"],
});

/// Where an upstream's endpoint listens. Its port is never 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointAddress {
    /// `127.0.0.1:9101`, `[::1]:9101`.
    Socket(SocketAddr),
    /// `unix:/run/users.sock`: an absolute path of at most 107 bytes.
    Unix(PathBuf),
    /// `users.internal:80`: a name to be resolved.
    Name {
        /// A host's name.
        host: String,
        /// Its port.
        port: u16,
    },
}

impl EndpointAddress {
    /// A host with a port, or with `default` if it has none.
    fn host_and_port(text: &str, default: Option<u16>) -> Result<Self, String> {
        let shown = shortened(text, 60);
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 { Err(bad_port("0")) } else { Ok(Self::Socket(address)) };
        }
        let example = default.unwrap_or(80);
        match (split(text), default) {
            (Split::NoPort(ip), Some(port)) if ip.is_ipv4() || text.starts_with('[') => {
                Ok(Self::Socket(SocketAddr::new(ip, port)))
            }
            (Split::NoPort(ip), _) => Err(format!("`{shown}` has no port; write `{}`", SocketAddr::new(ip, example))),
            (Split::OnlyPort(port), _) => Err(format!("`{shown}` is only a port; write `127.0.0.1:{port}`")),
            (Split::BadPort(port), _) => Err(bad_port(port)),
            (Split::Name(host, port), default) => {
                host_name(host)?;
                match port.or(default) {
                    Some(0) => Err(bad_port("0")),
                    Some(port) => Ok(Self::Name { host: host.to_owned(), port }),
                    None => Err(format!("`{shown}` has no port; write `{shown}:80`")),
                }
            }
            (Split::Whole, _) => Err(format!("`{shown}` is no address")),
        }
    }
}

impl FromStr for EndpointAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = unix(text)? {
            return Ok(Self::Unix(path));
        }
        if text.contains("://") {
            return Err(format!(
                "`{}` is a URL; an endpoint is an address alone, such as `127.0.0.1:9101` or `users.internal:80`",
                shortened(text, 60)
            ));
        }
        Self::host_and_port(text, None).map_err(|why| {
            format!("{why}; allowed: `127.0.0.1:9101`, `[::1]:9101`, `users.internal:80`, `unix:/run/users.sock`")
        })
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

text_type!(EndpointAddress, "an address such as `127.0.0.1:9101`, `users.internal:80` or `unix:/run/users.sock`", {
    "type": "string",
    "pattern": "^(unix:/.+|.+:[0-9]{1,5})$",
    "description": "A host with a port, or `unix:` and an absolute path.",
    "examples": ["127.0.0.1:9101", "users.internal:80", "unix:/run/users.sock"],
});

/// The `Host` that is sent to an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub enum HostPolicy {
    /// What the client sent.
    #[default]
    Client,
    /// The endpoint's own address.
    Endpoint,
    /// Always this: a host, with a port or without.
    Literal(String),
}

impl FromStr for HostPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = shortened(text, 60);
        let allowed = "allowed: `client`, `endpoint`, or a host such as `users.internal` or `users.internal:8080`";
        match text {
            "client" => Ok(Self::Client),
            "endpoint" => Ok(Self::Endpoint),
            _ if text.eq_ignore_ascii_case("client") || text.eq_ignore_ascii_case("endpoint") => {
                Err(format!("`{shown}` must be written in small letters; {allowed}"))
            }
            _ if text.starts_with('$') => {
                Err(format!("`{shown}` is no host; for a variable of the environment write `${{NAME}}`; {allowed}"))
            }
            _ => match (near_word(text), text.parse::<Authority>()) {
                (Some(near), _) => Err(format!(
                    "unknown word `{shown}`; did you mean `{near}`? {allowed}; for a host of that name write its port \
                     too, `{shown}:80`"
                )),
                (None, Ok(authority)) if is_host(&authority) => Ok(Self::Literal(text.to_owned())),
                _ => Err(format!("`{shown}` is no host; {allowed}")),
            },
        }
    }
}

text_type!(HostPolicy, "`client`, `endpoint` or a host such as `users.internal`", {
    "type": "string",
    "description": "`client` (what the client sent), `endpoint` (its address), or a host to be sent always.",
    "examples": ["client", "endpoint", "users.internal"],
});

/// A network of clients or proxies. As `10.0.0.0/8`, `fd00::/8`, a single address, or `unix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// A network without host bits; a single address is a /32 or /128.
    Inet(IpNet),
    /// Every peer on a Unix socket.
    Unix,
}

/// Peers whose word about the client is believed.
pub type TrustedPeer = Network;

impl Network {
    /// Whether a peer is one of it: an address, or `None` for the other end of a Unix socket. An IPv4 address is looked
    /// for as such, also where it came through an IPv6 socket.
    pub fn contains(&self, ip: Option<IpAddr>) -> bool {
        match (self, ip) {
            (Self::Inet(net), Some(ip)) => net.contains(&ip.to_canonical()),
            (Self::Unix, None) => true,
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Inet(ip.into()));
        }
        let shown = shortened(text, 60);
        let allowed =
            "allowed: a network such as `10.0.0.0/8` or `fd00::/8`, an address such as `192.0.2.7`, or `unix`";
        match text.parse::<IpNet>() {
            Ok(net) if net.trunc() != net => Err(format!(
                "`{shown}` has bits set behind its prefix; the network is `{}`, the address alone is `{}`",
                net.trunc(),
                net.addr()
            )),
            Ok(net) => Ok(Self::Inet(net)),
            Err(_) => match text.split_once('/') {
                Some((ip, _)) if ip.parse::<IpAddr>().is_ok() => {
                    let most = if ip.contains(':') { 128 } else { 32 };
                    Err(format!("`{shown}` needs a number from 0 to {most} behind the `/`; {allowed}"))
                }
                _ => Err(format!("`{shown}` is no network; {allowed}")),
            },
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(net) => net.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

text_type!(Network, "a network such as `10.0.0.0/8`, an address, or `unix`", {
    "type": "string",
    "pattern": "^(unix|[0-9.]+(/[0-9]{1,2})?|[0-9A-Fa-f:.]+(/[0-9]{1,3})?)$",
    "description": "A network, a single address, or `unix` for every peer on a Unix socket.",
    "examples": ["10.0.0.0/8", "fd00::/8", "192.0.2.7", "unix"],
});

/// `http://host[:port]` or `https://host[:port]`, an upstream of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamUrl {
    /// Where it listens; port 80 if the URL names none, with TLS 443.
    pub address: EndpointAddress,
    /// Whether it is reached by TLS, with a certificate for the URL's host.
    pub tls: bool,
    /// Host and port as the URL has them.
    pub host: String,
    text: String,
}

impl UpstreamUrl {
    /// As it was written, with its scheme in small letters and without a `/` at the end.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for UpstreamUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = shortened(text, 60);
        let like = "write it like `http://127.0.0.1:9101` or `https://users.internal`";
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let (scheme, port) = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => ("http", 80),
            _ if scheme.eq_ignore_ascii_case("https") => ("https", 443),
            _ => return Err(format!("`{shown}` is no URL of an upstream; {like}")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let surplus = match authority.find(['/', '?', '#', '@']).map(|at| authority.as_bytes()[at]) {
            Some(b'/') => Some("a path (a route's `rewrite` makes paths)"),
            Some(b'?') => Some("a query"),
            Some(b'#') => Some("a fragment"),
            Some(_) => Some("a user (the filter `headers` can set `Authorization`)"),
            None => None,
        };
        if let Some(surplus) = surplus {
            return Err(format!("`{shown}` has {surplus}, which an upstream's URL cannot have; {like}"));
        }
        let address = EndpointAddress::host_and_port(authority, Some(port))
            .map_err(|why| format!("in `{shown}`, {why}; {like}"))?;
        Ok(Self {
            address,
            tls: scheme == "https",
            host: authority.to_owned(),
            text: format!("{scheme}://{authority}"),
        })
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

text_type!(UpstreamUrl, "a URL such as `http://127.0.0.1:9101`", {
    "type": "string",
    "pattern": "^https?://[^/?#@]+/?$",
    "description": "An upstream of one endpoint: `http://host[:port]`, or `https://host[:port]` for TLS.",
    "examples": ["http://127.0.0.1:9101", "https://users.internal"],
});

/// The longest path that a Unix socket's address has room for, in bytes.
const LONGEST_SOCKET_PATH: usize = 107;

/// The path of `unix:/path`; `None` if the text is something else.
fn unix(text: &str) -> Result<Option<PathBuf>, String> {
    let shown = shortened(text, 60);
    let Some(path) = text.strip_prefix("unix:") else {
        return match text.starts_with('/') {
            true => Err(format!("`{shown}` is a path; for a Unix socket write `unix:{shown}`")),
            false => Ok(None),
        };
    };
    if path.contains('\0') {
        Err("the path of a Unix socket cannot hold a NUL character".into())
    } else if !Path::new(path).is_absolute() {
        Err(format!("`{shown}` needs an absolute path, such as `unix:/run/onedoor/web.sock`"))
    } else if path.len() > LONGEST_SOCKET_PATH {
        let length = path.len();
        Err(format!("`{shown}` has a path of {length} bytes; a Unix socket's has at most {LONGEST_SOCKET_PATH}"))
    } else {
        Ok(Some(path.into()))
    }
}

/// What a text that is not a socket address seems to be.
enum Split<'a> {
    OnlyPort(u16),
    NoPort(IpAddr),
    BadPort(&'a str),
    Name(&'a str, Option<u16>),
    Whole,
}

fn split(text: &str) -> Split<'_> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse() {
        return Split::NoPort(ip);
    }
    if let Ok(port) = text.trim_start_matches(':').parse() {
        return Split::OnlyPort(port);
    }
    match text.rsplit_once(':') {
        None if text.is_empty() => Split::Whole,
        None => Split::Name(text, None),
        Some(("", _)) => Split::Whole,
        Some((host, port)) => match port.parse() {
            // `parse` would take `+80`.
            Ok(number) if port.bytes().all(|byte| byte.is_ascii_digit()) => Split::Name(host, Some(number)),
            _ => Split::BadPort(port),
        },
    }
}

/// The word that a text was meant to be. What has a dot or a port is a host.
fn near_word(text: &str) -> Option<&'static str> {
    if text.contains(['.', ':']) { None } else { did_you_mean(text, ["client", "endpoint"]) }
}

/// Whether this is a name or an address, and perhaps a port. The grammar of URLs allows more in a host than any has.
fn is_host(authority: &Authority) -> bool {
    let host = authority.host();
    let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    let has_user = authority.as_str().contains('@');
    let port_is_good = authority.as_str() == host || authority.port_u16().is_some_and(|port| port > 0);
    !has_user && port_is_good && (is_address || host_name(host.strip_suffix('.').unwrap_or(host)).is_ok())
}

fn bad_port(port: &str) -> String {
    format!("`{}` is no port that can be used; a port is a number from 1 to 65535", shortened(port, 20))
}

pub(in crate::config) fn host_name(host: &str) -> Result<(), String> {
    let shown = shortened(host, 60);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.len() > 253 || !host.split('.').all(label) {
        return Err(format!("`{shown}` is no host's name; it is made of letters, digits, `-`, `_` and `.`"));
    }
    if host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(format!("`{shown}` is no IPv4 address, and no host's name ends in a number"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused<T: FromStr<Err = String>>(text: &str) -> String {
        text.parse::<T>().err().unwrap_or_else(|| panic!("{text} was taken"))
    }

    #[test]
    fn a_listener_needs_a_literal_address_with_a_port_or_a_socket() {
        for text in ["0.0.0.0:8080", "[::]:8080", "127.0.0.1:0", "unix:/run/x.sock"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for (text, words) in [
            ("8080", "write `127.0.0.1:8080`, or `0.0.0.0:8080`"),
            (":8080", "write `127.0.0.1:8080`, or `0.0.0.0:8080`"),
            ("127.0.0.1", "has no port; write `127.0.0.1:8080`"),
            ("::1", "has no port; write `[::1]:8080`"),
            ("localhost:8080", "not the name `localhost`"),
            ("localhost", "has no port"),
            ("127.0.0.1:99999", "a number from 1 to 65535"),
            ("127.0.0.1:http", "a number from 1 to 65535"),
            ("/run/x.sock", "write `unix:/run/x.sock`"),
            ("unix:x.sock", "an absolute path"),
            ("", "is no address"),
            (":", "is no address"),
        ] {
            let why = refused::<ListenAddress>(text);
            assert!(why.contains(words), "{text}: {why}");
        }
        assert!(refused::<ListenAddress>(&format!("unix:/{}", "x".repeat(107))).contains("at most 107"));
    }

    #[test]
    fn an_endpoint_has_a_port_that_can_be_connected_to() {
        for text in ["127.0.0.1:9101", "[::1]:9101", "users.internal:80", "localhost:1", "unix:/run/x.sock", "a_b:80"] {
            assert_eq!(text.parse::<EndpointAddress>().unwrap().to_string(), text);
        }
        for (text, words) in [
            ("users", "`users` has no port; write `users:80`"),
            ("127.0.0.1:0", "a number from 1 to 65535"),
            ("users:0", "a number from 1 to 65535"),
            ("users:+80", "a number from 1 to 65535"),
            ("127.0.0.300:80", "is no IPv4 address"),
            ("9101", "is only a port; write `127.0.0.1:9101`"),
            ("http://x:80", "is a URL; an endpoint is an address alone"),
            ("a b:80", "is no host's name"),
            ("::1", "write `[::1]:80`"),
        ] {
            let why = refused::<EndpointAddress>(text);
            assert!(why.contains(words), "{text}: {why}");
        }
    }

    #[test]
    fn a_host_is_the_clients_the_endpoints_or_a_literal() {
        assert_eq!("client".parse(), Ok(HostPolicy::Client));
        assert_eq!("endpoint".parse(), Ok(HostPolicy::Endpoint));
        assert_eq!("users.internal:8080".parse(), Ok(HostPolicy::Literal("users.internal:8080".into())));
        for text in ["", "Client", "a b", "u@h", "a/b", "http://x", "a:b:c", "é", "a$b", "a~b", "a:0", "a:"] {
            refused::<HostPolicy>(text);
        }
        for text in ["[::1]:80", "[::1]", "127.0.0.1", "clients:80", "app", "a.b.", "a_b"] {
            assert_eq!(text.parse(), Ok(HostPolicy::Literal(text.into())));
        }
        assert!(refused::<HostPolicy>("endpont").contains("did you mean `endpoint`?"));
        assert!(refused::<HostPolicy>("$HOST").contains("write `${NAME}`"));
    }

    #[test]
    fn a_bare_address_is_a_network_of_one() {
        assert_eq!("192.0.2.7".parse::<Network>().unwrap().to_string(), "192.0.2.7/32");
        assert_eq!("::1".parse::<Network>().unwrap().to_string(), "::1/128");
        assert_eq!("10.0.0.0/8".parse::<Network>().unwrap().to_string(), "10.0.0.0/8");
        assert_eq!("unix".parse(), Ok(Network::Unix));
    }

    #[test]
    fn host_bits_in_a_network_are_refused_with_the_network_that_was_meant() {
        let why = refused::<Network>("10.0.0.1/8");
        assert!(why.contains("the network is `10.0.0.0/8`"), "{why}");
        assert!(refused::<Network>("10.0.0.0/33").contains("from 0 to 32"));
        assert!(refused::<Network>("fd00::/129").contains("from 0 to 128"));
        assert!(refused::<Network>("10.0.0/8").contains("is no network"));
        assert!(refused::<Network>("localhost").contains("is no network"));
    }

    #[test]
    fn an_upstreams_url_is_a_host_and_no_more() {
        let url: UpstreamUrl = "http://127.0.0.1:9101/".parse().unwrap();
        assert_eq!((url.as_str(), url.host.as_str()), ("http://127.0.0.1:9101", "127.0.0.1:9101"));
        assert_eq!(url.address, EndpointAddress::Socket("127.0.0.1:9101".parse().unwrap()));
        let url: UpstreamUrl = "http://users.internal".parse().unwrap();
        assert_eq!(url.address, EndpointAddress::Name { host: "users.internal".into(), port: 80 });
        assert_eq!(url.host, "users.internal");
        let url: UpstreamUrl = "http://[::1]".parse().unwrap();
        assert_eq!(url.address.to_string(), "[::1]:80");
        let url: UpstreamUrl = "HTTPS://users.internal".parse().unwrap();
        assert_eq!((url.tls, url.as_str()), (true, "https://users.internal"));
        assert_eq!(url.address.to_string(), "users.internal:443");
        assert_eq!("https://[::1]:8443".parse::<UpstreamUrl>().unwrap().address.to_string(), "[::1]:8443");
        for (text, words) in [
            ("https://x/v1", "has a path"),
            ("http://x/v1", "has a path"),
            ("http://x/?a", "has a path"),
            ("http://x?a", "has a query"),
            ("http://x#a", "has a fragment"),
            ("http://u:p@x", "has a user"),
            ("http://", "is no address"),
            ("http://x:0", "a number from 1 to 65535"),
            ("http://::1", "has no port; write `[::1]:80`"),
            ("ftp://x", "is no URL"),
            ("héé", "is no URL"),
        ] {
            let why = refused::<UpstreamUrl>(text);
            assert!(why.contains(words), "{text}: {why}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

        #[test]
        fn no_text_panics(text in "(unix:|http://|https://|/|\\[)?[0-9a-f:.\\[\\]/@é-]{0,20}\\PC{0,4}") {
            drop(text.parse::<ListenAddress>());
            drop(text.parse::<EndpointAddress>());
            drop(text.parse::<HostPolicy>());
            drop(text.parse::<Network>());
            drop(text.parse::<UpstreamUrl>());
        }
    }
}
