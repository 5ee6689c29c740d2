//! Whether an address is one of this machine or of a private network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{EndpointAddress, Network};

/// Of IPv4: this machine, private networks (RFC 1918), carriers' (RFC 6598) and links' (RFC 3927).
const INSIDE_V4: [Ipv4Net; 7] = [
    v4([0, 0, 0, 0], 32),
    v4([127, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([172, 16, 0, 0], 12),
    v4([192, 168, 0, 0], 16),
    v4([100, 64, 0, 0], 10),
    v4([169, 254, 0, 0], 16),
];

/// Of IPv6: this machine, private networks (RFC 4193) and links' (RFC 4291, 2.5.6).
const INSIDE_V6: [Ipv6Net; 3] =
    [v6(Ipv6Addr::UNSPECIFIED, 127), v6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7), v6(LINKS, 10)];

const LINKS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(address: Ipv6Addr, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(address, prefix)
}

/// Ends of names that no public server answers for: RFC 6761, 6762 (with its appendix G), 8375, ICANN's `internal`, and
/// what container platforms use.
const INSIDE_NAMES: [&str; 13] = [
    "localhost",
    "local",
    "internal",
    "home.arpa",
    "lan",
    "home",
    "corp",
    "intranet",
    "private",
    "localdomain",
    "svc",
    "consul",
    "test",
];

/// Whether what is sent to this address stays on this machine or in a private network.
pub fn is_inside(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => INSIDE_V4.iter().any(|net| net.contains(&ip)),
        IpAddr::V6(ip) => INSIDE_V6.iter().any(|net| net.contains(&ip)),
    }
}

/// Whether a name is one that only this machine or a private network knows: `localhost`, `users`, `users.internal`.
/// It may be mistaken about a private network that uses public names.
pub fn is_inside_name(name: &str) -> bool {
    if let Ok(ip) = name.trim_matches(['[', ']']).parse() {
        return is_inside(ip);
    }
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let is_below = |end: &&str| name.strip_suffix(*end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    !name.contains('.') || INSIDE_NAMES.iter().any(is_below)
}

impl EndpointAddress {
    /// Whether what is sent there stays on this machine or in a private network, as far as its name tells.
    pub fn is_inside(&self) -> bool {
        match self {
            Self::Socket(address) => is_inside(address.ip()),
            Self::Name { host, .. } => is_inside_name(host),
            Self::Unix(_) => true,
        }
    }
}

impl Network {
    /// Whether all of it is this machine or a private network.
    pub fn is_inside(&self) -> bool {
        match self {
            Self::Inet(IpNet::V4(net)) => INSIDE_V4.iter().any(|inside| inside.contains(net)),
            Self::Inet(IpNet::V6(net)) => INSIDE_V6.iter().any(|inside| inside.contains(net)),
            Self::Unix => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_private_networks_are_inside() {
        for text in
            ["127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd00::1", "fe80::1", "::"]
        {
            assert!(is_inside(text.parse().unwrap()), "{text}");
        }
        for text in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:db8::1", "::ffff:8.8.8.8", "192.0.2.1"] {
            assert!(!is_inside(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn names_that_nobody_outside_answers_for_are_inside() {
        for name in ["localhost", "users", "users.internal", "Users.Internal.", "a.svc.cluster.local", "[::1]"] {
            assert!(is_inside_name(name), "{name}");
        }
        for name in ["example.com", "internal.example.com", "users.notinternal", "8.8.8.8", "[2001:db8::1]"] {
            assert!(!is_inside_name(name), "{name}");
        }
    }

    #[test]
    fn a_network_is_inside_as_a_whole() {
        for (text, inside) in
            [("10.0.0.0/8", true), ("10.0.0.0/7", false), ("0.0.0.0/0", false), ("fd00::/8", true), ("unix", true)]
        {
            assert_eq!(text.parse::<Network>().unwrap().is_inside(), inside, "{text}");
        }
    }
}
