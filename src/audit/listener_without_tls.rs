//! Credentials in the clear between clients and the door.

use super::{Door, Finding};
use crate::config::{ListenAddress, Listener, is_inside};
use crate::filter::Stage;

pub(super) fn check(door: &Door<'_>) -> Vec<Finding> {
    let asks = |link: &crate::filter::Link| link.order.0 == Stage::Auth;
    let Some((route, ..)) = door.routes().find(|(_, _, route)| route.chain.links().iter().any(asks)) else {
        return Vec::new();
    };
    let plain = door.config().listeners.iter().filter(|(_, listener)| is_open(listener) && !has_tls(listener));
    plain
        .map(|(name, _)| {
            let reason = format!("clients send their credentials in the clear, since route `{route}` asks for some");
            let remedy = "give it `tls`, have a proxy end TLS before it and name that in `trusted_proxies`, or listen on an address that \
                          only it reaches";
            door.finding(&["listeners", name.as_ref(), "address"], "listener_without_tls", reason, remedy)
        })
        .collect()
}

/// Whether clients of public networks may reach it by themselves, and are let in. With `trusted_proxies` or
/// `proxy_protocol` somebody stands before it.
fn is_open(listener: &Listener) -> bool {
    match &listener.address {
        ListenAddress::Unix(_) => false,
        ListenAddress::Tcp(address) => {
            let stands_alone = listener.trusted_proxies.is_empty() && listener.proxy_protocol.is_empty();
            let is_public = address.ip().is_unspecified() || !is_inside(address.ip());
            is_public && stands_alone && listener.redirect.is_none()
        }
    }
}

/// Whether clients speak TLS to it.
fn has_tls(listener: &Listener) -> bool {
    listener.tls.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_listener_by_tls_is_open_and_not_in_the_clear() {
        let listener = |tls: &str| {
            let text =
                format!("listeners: {{a: {{address: '0.0.0.0:443'{tls}}}}}\nroutes: {{a: {{path: /, respond: {{}}}}}}");
            let (config, _) = Config::parse(&text, "t").unwrap_or_else(|refused| panic!("{refused:?}"));
            config.listeners.into_values().next().unwrap()
        };
        let secure = listener(", tls: {certificates: [{cert: /a.crt, key: /a.key}]}");
        assert!(is_open(&secure) && has_tls(&secure));
        assert!(!has_tls(&listener("")));
    }
}
