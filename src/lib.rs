//! OneDoor: the single door to your services, a programmable API gateway on Cloudflare's Pingora.
//!
//! This page is the map of the code. A *listener* accepts connections. A *route* says which requests it takes, which
//! *filters* they pass and what becomes of them in the end: mostly they go on to an *endpoint* of an *upstream*. One
//! request with its response is an *exchange*. A *snapshot* holds all that the file says, ready to serve, and is swapped
//! as a whole.
//!
//! # Two sentences that decide most questions
//!
//! **The door is a thin layer**: it finds a route, runs a chain of filters and picks a peer; connection pooling and
//! protocol work are Pingora's. **The door explains itself**: `explain` and `test` call the same functions on the same
//! snapshot as the live proxy.
//!
//! # Floors
//!
//! A module names only modules on lower floors. Nothing below floor 5 knows a `Session`.
//!
//! | floor | modules | |
//! |---|---|---|
//! | 7 | [`cli`](run) | flags to library calls; the only place that prints or exits |
//! | 6 | [`server`] | listeners, signals, reload, drain |
//! | 5½ | [`explain`], [`audit`] | the engine asked on paper; the file's own tests; what weakens its security |
//! | 5 | `proxy` | the engine (`decide`), and Pingora's `ProxyHttp` as its driver; the guard before it; every fault |
//! | 4½ | `observe` | the access log: reads a finished record, knows no proxy |
//! | 4 | [`snapshot`] | `compile(config, registry, previous)`: all or every problem |
//! | 3 | `filters`, [`route`] | the filters that come along, a file each; which request takes which route |
//! | 2 | [`filter`] | the contract for filters: `Filter`, `Configure`, `Flow`, chain, registry |
//! | 1½ | [`acme`] | certificates that the door orders itself, for [`tls`] to follow |
//! | 1 | [`head`], `proxy_protocol`, `seldom`, `template`, [`tls`], [`upstream`] | a request's head; the PROXY header; what is told now and then; texts with `{variables}`; TLS with clients; whose turn it is, and how it is reached |
//! | ½ | `pem`, `watch` | certificates and keys from files; signs that a file has changed |
//! | 0 | [`config`] | the shape of the file, narrow values, places (line:column), secrets; alone knows the YAML crate |
//!
//! # The trip of a request
//!
//! The guard reads a connection under its deadlines. `new_ctx` takes one [`Snapshot`](snapshot::Snapshot).
//! `request_filter` has the engine check the head, make the path canonical, find the route and run its chain.
//! `upstream_peer` lets the upstream pick an endpoint, again on each try. `upstream_request_filter` makes the head that
//! leaves. `response_filter` takes the response back through the filters that were entered. A fault becomes a status in
//! one place and goes back the same way. `logging` writes a line.
//!
//! # The trip of a configuration
//!
//! Text, to [`Config`](config::Config) with narrow types and a place for each value, to a
//! [`Snapshot`](snapshot::Snapshot) by [`compile`](snapshot::compile), to one swap. `check` is the same compile. What is
//! unchanged keeps its instance.
//!
//! # Absences
//!
//! No module is called core, common, util, types or manager. No state is shared by the process: ten doors fit in one
//! test. No filter is named outside `filters`. No name is resolved, and nothing is looked up by name, while a request
//! waits.

pub mod acme;
pub mod audit;
mod cli;
pub mod config;
pub mod explain;
pub mod filter;
mod filters;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod head;
mod observe;
mod pem;
#[cfg(test)]
#[path = "../tests/it/support/pki.rs"]
#[allow(missing_docs, dead_code, reason = "part of the tests' tool box")]
mod pki;
mod proxy;
mod proxy_protocol;
#[cfg(test)]
mod readme;
pub mod route;
mod seldom;
pub mod server;
pub mod snapshot;
mod template;
pub mod tls;
pub mod upstream;
mod watch;

pub use cli::{run, run_from};
pub use filters::builtins;
