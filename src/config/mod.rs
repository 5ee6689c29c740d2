//! The configuration: the shape of the file, its narrow values, and where each stands.
//!
//! [`Config::load`] reads a file and all that it includes into types that hold only what is valid by itself, or says
//! everything that is wrong: each [`Problem`] with file, line, column and the keys that lead there. Whether names point
//! at something, and whether routes are at odds, is for the snapshot to find; the [`Source`] tells it where they stand.
//!
//! ```text
//! bytes ── yaml ──▸ Node ── env ──▸ Node ── include, Source ──▸ decode ──▸ Config
//!                tree with places   ${NAME}                    serde, all problems at once
//! ```
//!
//! Nothing here knows another module of the crate, and only `yaml` knows the YAML crate.

mod problem;
mod suggest;

mod node;
mod yaml;

mod env;

mod decode;
#[macro_use]
mod value;

mod listener;
mod process;
mod route;
mod test;
mod upstream;

mod source;

mod document;
mod file;
mod schema;

pub(crate) use decode::by_shape;
pub use decode::decode;
pub use document::{Config, Incomplete, Rest};
pub use env::Lookup;
pub use file::{Loaded, Refused, read as read_file};
pub use listener::{
    Acme, AcmeChallenge, ClientAuth, ClientAuthMode, Domain, Email, ExternalAccount, Listener, ListenerLimits,
    ListenerTls, ServerCertificate, TlsVersion,
};
pub use node::Node;
pub use problem::{Place, Problem, Severity};
pub use process::{AccessLog, Log, Process};
pub use route::{
    Condition, Defaults, Destination, Mirror, Redirect, Respond, Retry, RetryOn, Route, To, WeightedDestination,
};
pub use schema::schema;
pub use source::Source;
pub use suggest::did_you_mean;
pub use test::{Expect, Test};
pub use upstream::{
    Asking, Balance, Breaker, CheckKind, CheckMethod, ClientCert, Discover, Ejection, Endpoint, GrpcCheck, HashKey,
    HealthCheck, HttpCheck, Limits, Tls, Upstream, UpstreamTimeouts, read_endpoints,
};
pub use value::{
    AccessFormat, AccessTarget, ByteRate, Count, EndpointAddress, FilePath, HostPolicy, Limit, LimitKey, ListenAddress,
    LogLevel, Name, Network, OneOrMany, Percent, Period, Prefixes, PrivateKey, Protocol, ProxyVersion, Rate, RawNode,
    RequestHeaderName, RequestHost, RequestPath, Resolved, SecretText, ServiceUrl, Share, Size, Status, StatusRange,
    Switch, Threads, TlsName, ToHttps, TrustedPeer, UpstreamUrl, Weight, by_header, is_inside, is_inside_name,
};
