//! Whole doors in this process, in front of scripted upstreams, asked by a client that sends exactly what it is told.

#![allow(missing_docs, clippy::unwrap_used, reason = "these are tests")]

mod support;

mod acme;
mod auth;
mod auth_ways;
mod compress;
mod contract;
mod cors;
mod deadlines;
mod discovery;
mod examples;
mod explain_agrees;
mod faults;
mod filters;
mod framing;
mod grpc;
mod grpc_web;
mod harness;
mod head;
mod health;
mod http2;
mod http_1_0;
mod limits;
mod listener_limits;
mod mirrors;
mod mutated;
mod outage;
mod proxy_in;
mod proxy_out;
mod rate_limit;
mod readme_filter;
mod reload;
mod retries;
mod routing;
mod security_headers;
mod smuggling;
mod streaming;
mod tls;
mod to_https;
mod upstream_http2;
mod upstream_tls;
mod upstreams;
mod websockets;
mod zoo;
