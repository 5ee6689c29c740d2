//! `discover`: where an upstream's endpoints come from when the file does not name them.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::json;

use super::super::problem::shortened;
use super::super::value::{EndpointAddress, FilePath, Period, host_name};

/// Where endpoints come from instead of `endpoints`: `{dns: "users.internal:8080", every: 10s}`,
/// `{srv: _http._tcp.users.internal}` or `{file: /run/users.yaml}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discover {
    /// `dns`: each A and AAAA record of a name is an endpoint.
    Dns {
        /// The name. With a dot at its end it is whole, and the system's search list does not apply.
        host: String,
        /// The port of every endpoint, never 0.
        port: u16,
        /// Whom to ask, and how often.
        asking: Asking,
    },
    /// `srv`: each SRV record of a name is an endpoint, with its port and weight (RFC 2782). Those of the lowest
    /// priority get the requests, the others are backups.
    Srv {
        /// The name, mostly `_service._protocol.domain`. With a dot at its end it is whole, as for `dns`.
        name: String,
        /// Whom to ask, and how often.
        asking: Asking,
    },
    /// `file`: a list as under `endpoints`, which other tools write (see
    /// [`read_endpoints`](crate::config::read_endpoints)). Changes are seen at once.
    File(FilePath),
}

/// Whom to ask for DNS records, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asking {
    /// `every`: the time from an answer to the next question, at least 1 s. Left out, the records' TTL decides, within
    /// 1 s and 5 min.
    pub every: Option<Duration>,
    /// `resolver`: the DNS server, `127.0.0.1:53`; port 53 if it is left out. Without it the system's
    /// `/etc/resolv.conf` and `/etc/hosts` hold, read anew for each turn.
    pub resolver: Option<SocketAddr>,
}

impl Discover {
    /// The key that says where.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Dns { .. } => "dns",
            Self::Srv { .. } => "srv",
            Self::File(_) => "file",
        }
    }

    /// Whose endpoints they are: the host that certificates are for and that `host: endpoint` sends. Of SRV records it
    /// is the domain that was asked about and not a target, which anybody may have written who can forge an answer
    /// (RFC 6125, 6.2.1). A file has none.
    pub fn host(&self) -> Option<&str> {
        let whole = |name: &'_ str| name.strip_suffix('.').unwrap_or(name).len();
        match self {
            Self::Dns { host, .. } => Some(&host[..whole(host)]),
            Self::Srv { name, .. } => {
                let mut domain = &name[..whole(name)];
                while let Some((_, above)) = domain.split_once('.').filter(|(label, _)| label.starts_with('_')) {
                    domain = above;
                }
                Some(domain)
            }
            Self::File(_) => None,
        }
    }
}

/// As it is written, for `dns`, `srv` and `file` each: `dns users.internal:8080`.
impl fmt::Display for Discover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns { host, port, .. } => write!(f, "dns {host}:{port}"),
            Self::Srv { name, .. } => write!(f, "srv {name}"),
            Self::File(path) => write!(f, "file {path}"),
        }
    }
}

/// Exactly one of `dns`, `srv` and `file` is there.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// A name and a port; each of the name's addresses (A and AAAA records) is an endpoint.
    dns: Option<HostAndPort>,
    /// A name whose SRV records are the endpoints.
    srv: Option<ServiceName>,
    /// The path of a file that holds a list as under `endpoints`; it is watched for changes.
    file: Option<FilePath>,
    /// How long after an answer to ask again, for `dns` and `srv`; by the records' TTL if it is left out.
    every: Option<Every>,
    /// The DNS server to ask, for `dns` and `srv`; the system's if it is left out.
    resolver: Option<Resolver>,
}

const ONE_OF: &str = "`dns: \"users.internal:8080\"`, `srv: _http._tcp.users.internal` or `file: users.yaml`";

impl Written {
    fn narrow(self) -> Result<Discover, String> {
        let asking = Asking { every: self.every.map(|every| every.0), resolver: self.resolver.map(|server| server.0) };
        match (self.dns, self.srv, self.file) {
            (Some(HostAndPort { host, port }), None, None) => Ok(Discover::Dns { host, port, asking }),
            (None, Some(ServiceName(name)), None) => Ok(Discover::Srv { name, asking }),
            (None, None, Some(path)) if asking == Asking::default() => Ok(Discover::File(path)),
            (None, None, Some(_)) => {
                Err("`every` and `resolver` are for `dns` and `srv`; a file is watched, so take them away".into())
            }
            (None, None, None) => Err(format!("endpoints are discovered by one of {ONE_OF}; none is there")),
            _ => Err(format!("endpoints are discovered by exactly one of {ONE_OF}; take the others away")),
        }
    }
}

impl<'de> Deserialize<'de> for Discover {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Written::deserialize(deserializer)?.narrow().map_err(D::Error::custom)
    }
}

impl JsonSchema for Discover {
    fn schema_name() -> Cow<'static, str> {
        "Discover".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Written::json_schema(generator);
        let one_of = json!([
            {"required": ["dns"]},
            {"required": ["srv"]},
            {"required": ["file"], "properties": {"every": false, "resolver": false}},
        ]);
        schema.insert("oneOf".into(), one_of);
        schema
    }
}

/// `users.internal:8080`.
struct HostAndPort {
    host: String,
    port: u16,
}

impl FromStr for HostAndPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = shortened(text, 60);
        let like = "write it like `users.internal:8080`";
        let (host, rest) =
            text.rsplit_once(':').map_or((text, String::new()), |(host, rest)| (host, format!(":{rest}")));
        // An endpoint's name has no dot at its end.
        let (host, dot) = host.strip_suffix('.').map_or((host, ""), |host| (host, "."));
        match format!("{host}{rest}").parse() {
            Ok(EndpointAddress::Name { host, port }) => Ok(Self { host: host + dot, port }),
            Ok(address) => Err(format!("`{shown}` is no name to look up; write `endpoints: [\"{address}\"]` instead")),
            Err(_) if rest.is_empty() && host_name(host).is_ok() => Err(format!("`{shown}` has no port; {like}")),
            Err(why) => {
                let why = why.split("; allowed").next().unwrap_or_default();
                Err(format!("{why}; {like}"))
            }
        }
    }
}

text_type!(HostAndPort, "a name with a port such as `users.internal:8080`", {
    "type": "string",
    "pattern": "^[A-Za-z0-9_.-]+:[0-9]{1,5}$",
    "description": "A name to look up, and the port of its endpoints.",
    "examples": ["users.internal:8080"],
});

/// `_http._tcp.users.internal`.
struct ServiceName(String);

impl FromStr for ServiceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = shortened(text, 60);
        if let Some((name, port)) = text.split_once(':') {
            let name = shortened(name, 60);
            return Err(format!(
                "SRV records have the port in them; write `{name}` without `:{}`",
                shortened(port, 20)
            ));
        }
        host_name(text.strip_suffix('.').unwrap_or(text))
            .map_err(|_| format!("`{shown}` is no name of SRV records; write it like `_http._tcp.users.internal`"))?;
        Ok(Self(text.to_owned()))
    }
}

text_type!(ServiceName, "a name such as `_http._tcp.users.internal`", {
    "type": "string",
    "pattern": "^[A-Za-z0-9_.-]+$",
    "description": "A name that has SRV records.",
    "examples": ["_http._tcp.users.internal"],
});

/// How often a name server may be asked at most.
const OFTENEST: Duration = Duration::from_secs(1);

struct Every(Duration);

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<Period>()? {
            Period(every) if every < OFTENEST => {
                Err(format!("`{text}` is too often to ask a DNS server; `every` is at least `1s`, such as `10s`"))
            }
            Period(every) => Ok(Self(every)),
        }
    }
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::super::value::from_text(deserializer, "a duration such as `10s`")
    }
}

impl JsonSchema for Every {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Every".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Period>()
    }
}

struct Resolver(SocketAddr);

impl FromStr for Resolver {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.parse().or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)));
        match address {
            Ok(address) if address.port() != 0 => Ok(Self(address)),
            _ => Err(format!(
                "`{}` is no DNS server's address; write one such as `127.0.0.1:53` or `[::1]:53`, or take `resolver` \
                 away for the system's",
                shortened(text, 60)
            )),
        }
    }
}

text_type!(Resolver, "an address such as `127.0.0.1:53`", {
    "type": "string",
    "pattern": "^([0-9.]+(:[0-9]{1,5})?|[0-9A-Fa-f:.]+|\\[[0-9A-Fa-f:.]+\\]:[0-9]{1,5})$",
    "description": "A DNS server's literal address; port 53 if it has none.",
    "examples": ["127.0.0.1:53", "[::1]:53"],
});

#[cfg(test)]
mod tests {
    use super::super::super::{Problem, decode, yaml};
    use super::*;

    fn decoded(text: &str) -> Result<Discover, String> {
        let mut problems: Vec<Problem> = Vec::new();
        let mut node = yaml::parse(text.as_bytes(), &"t".into(), &mut problems).expect("it is YAML");
        node.number();
        decode(&node, &["discover"], &[], &mut problems).ok_or_else(|| problems[0].to_string())
    }

    #[test]
    fn a_name_a_service_or_a_file_says_where_endpoints_come_from() {
        let every = Asking { every: Some(Duration::from_secs(10)), resolver: None };
        let wanted = Discover::Dns { host: "users.internal".into(), port: 8080, asking: every };
        assert_eq!(decoded("{dns: 'users.internal:8080', every: 10s}"), Ok(wanted));
        let resolver = Asking { every: None, resolver: Some("127.0.0.1:5353".parse().unwrap()) };
        let wanted = Discover::Srv { name: "_http._tcp.users.internal.".into(), asking: resolver };
        assert_eq!(decoded("{srv: _http._tcp.users.internal., resolver: '127.0.0.1:5353'}"), Ok(wanted));
        assert_eq!(decoded("{file: users.yaml}"), Ok(Discover::File("users.yaml".parse().unwrap())));
    }

    #[test]
    fn it_is_shown_as_it_is_written() {
        for (text, shown) in [
            ("{dns: 'users.internal.:80'}", "dns users.internal.:80"),
            ("{srv: _grpc._tcp.x}", "srv _grpc._tcp.x"),
            ("{file: /run/x.yaml}", "file /run/x.yaml"),
        ] {
            assert_eq!(decoded(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_certificate_is_for_the_name_that_was_asked_about() {
        for (text, host) in [
            ("{dns: 'users.internal.:80'}", Some("users.internal")),
            ("{srv: _grpc._tcp.users.internal}", Some("users.internal")),
            ("{srv: users.internal.}", Some("users.internal")),
            ("{file: /run/x.yaml}", None),
        ] {
            assert_eq!(decoded(text).unwrap().host(), host, "{text}");
        }
    }

    #[test]
    fn a_resolver_without_a_port_listens_on_53() {
        for (text, address) in [("10.0.0.2", "10.0.0.2:53"), ("'::1'", "[::1]:53"), ("'[::1]:54'", "[::1]:54")] {
            let Ok(Discover::Dns { asking, .. }) = decoded(&format!("{{dns: 'x:1', resolver: {text}}}")) else {
                panic!("{text} was refused");
            };
            assert_eq!(asking.resolver, Some(address.parse().unwrap()));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_can() {
        for (text, words) in [
            ("{}", "one of `dns: \"users.internal:8080\"`"),
            ("{every: 10s}", "none is there"),
            ("{dns: 'a:1', srv: b}", "exactly one of"),
            ("{dns: 'a:1', file: b}", "exactly one of"),
            ("{file: b, every: 10s}", "a file is watched"),
            ("{dns: users.internal}", "`users.internal` has no port; write it like `users.internal:8080`"),
            ("{dns: 'users:0'}", "a port is a number from 1 to 65535"),
            ("{dns: '127.0.0.1:80'}", "write `endpoints: [\"127.0.0.1:80\"]` instead"),
            ("{dns: 'unix:/run/x'}", "write `endpoints: [\"unix:/run/x\"]` instead"),
            ("{dns: 'http://users:80'}", "write it like `users.internal:8080`"),
            ("{dns: 'a..b:80'}", "is no host's name"),
            ("{srv: 'users:80'}", "write `users` without `:80`"),
            ("{srv: 'a b'}", "is no name of SRV records"),
            ("{srv: .}", "is no name of SRV records"),
            ("{file: ''}", "a path is empty"),
            ("{dns: 'a:1', every: 10}", "has no unit"),
            ("{dns: 'a:1', every: 500ms}", "at least `1s`"),
            ("{dns: 'a:1', resolver: localhost}", "is no DNS server's address"),
            ("{dns: 'a:1', resolver: '127.0.0.1:0'}", "is no DNS server's address"),
            ("{dnss: 'a:1'}", "did you mean `dns`?"),
        ] {
            let why = decoded(text).expect_err(text);
            assert!(why.contains(words), "{text}: {why}");
        }
    }

    #[test]
    fn the_schema_wants_exactly_one_source() {
        let schema = serde_json::to_value(schemars::schema_for!(Discover)).unwrap();
        assert_eq!(schema["oneOf"].as_array().map(Vec::len), Some(3));
    }
}
