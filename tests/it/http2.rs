//! HTTP/2 from clients: what goes through, what ends early, and how a connection ends.

mod conformance;
mod ends;
mod exchanges;
mod floods;
mod grpc;

use crate::support::*;

/// A door that speaks HTTP/2 by prior knowledge, and sends everything to one upstream.
async fn door(api: &Address) -> Gateway {
    door_with(api, "", "").await
}

/// The same with more keys for the listener and the route.
async fn door_with(api: &Address, listener: &str, route: &str) -> Gateway {
    let route = format!("routes: {{all: {{path: /, to: \"http://{api}\"{route}}}}}");
    Gateway::start(&format!("{}\n{route}", listeners(listener))).await
}

fn listeners(more: &str) -> String {
    format!("listeners: {{web: {{address: \"127.0.0.1:0\", http2: true{more}}}}}")
}
