//! One limit, ready to be asked.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use ring::digest::{SHA256, digest};

use super::gcra::{Allowance, Standing};
use super::settings::Limit;
use super::shared::Ask;
use super::table::{Id, Table};
use crate::config::LimitKey;
use crate::filter::Request;
use crate::head::cookie;

/// See the module.
pub(super) struct Rule {
    /// What it is called.
    pub(super) name: String,
    /// As the file has it.
    pub(super) limit: Limit,
    allowance: Allowance,
    table: Arc<Table>,
    /// What its buckets on a shared server begin with: doors that share it have the same.
    prefix: String,
}

/// Whose request it is.
#[derive(Clone, Copy)]
pub(super) enum Key<'a> {
    /// One without such a key: all of these are counted together.
    Without,
    /// A client's network, by its first address.
    Network(IpAddr),
    /// A text; two kinds of it are never the same.
    Text { kind: &'a [u8], text: &'a [u8], is_secret: bool },
}

impl Rule {
    /// A limit of this route (or `defaults`), whose buckets lie in this table.
    pub(super) fn new(limit: &Limit, allowance: Allowance, owner: &str, table: Arc<Table>) -> Self {
        let name = limit.called();
        let prefix = format!("onedoor:{owner}:{name}:");
        Self { name, limit: limit.clone(), allowance, table, prefix }
    }

    /// Whose request this is.
    pub(super) fn key<'a>(&self, request: &'a Request<'_>) -> Key<'a> {
        let secret = |text: &'a [u8]| Key::Text { kind: b"", text, is_secret: true };
        let found = match &self.limit.per {
            LimitKey::ClientIp(prefixes) => request.subject.client.ip.map(|ip| Key::Network(prefixes.network_of(ip))),
            LimitKey::Identity => request.subject.identity.as_ref().map(|identity| Key::Text {
                kind: identity.via.as_bytes(),
                text: identity.subject.as_bytes(),
                is_secret: false,
            }),
            LimitKey::Route => Some(Key::Text { kind: b"", text: request.subject.route.as_bytes(), is_secret: false }),
            LimitKey::Header(name) => request.header(name).map(secret),
            LimitKey::Cookie(name) => cookie(request.head.headers, name.as_bytes()).map(secret),
        };
        match found {
            None | Some(Key::Text { text: b"", .. }) => Key::Without,
            Some(key) => key,
        }
    }

    /// Asks the door's own buckets.
    pub(super) fn take(&self, key: Key<'_>, now: Instant) -> Standing {
        let room = self.limit.keys.0 as usize;
        let standing = self.table.take(self.id(key), self.allowance, room, now);
        if standing.pooled
            && let Some(count) = self.table.crowded.happened(self.table.nanos(now))
        {
            log::warn!(
                "the rate limit `{}` has {room} keys under way, all there is room for: {count} requests of others shared one bucket",
                self.name
            );
        }
        standing
    }

    /// What [`take`](Self::take) would say, without a trace.
    pub(super) fn peek(&self, key: Key<'_>, now: Instant) -> Standing {
        self.table.peek(self.id(key), self.allowance, self.limit.keys.0 as usize, now)
    }

    /// Takes back what an admitted request has spent of the door's own bucket.
    pub(super) fn give_back(&self, key: Key<'_>, standing: Standing) {
        self.table.give_back(self.id(key), standing);
    }

    /// Whether a request that it does not admit is refused.
    pub(super) fn refuses(&self, standing: Standing) -> bool {
        !standing.admitted && !self.limit.dry_run
    }

    /// Counts a request that a dry run lets through.
    pub(super) fn passed_dry(&self, standing: Standing, now: Instant) {
        if !standing.admitted
            && self.limit.dry_run
            && let Some(count) = self.table.dry.happened(self.table.nanos(now))
        {
            log::info!("the rate limit `{}` ({self}) would have refused {count} requests (dry run)", self.name);
        }
    }

    /// What a shared server is asked.
    pub(super) fn ask(&self, key: Key<'_>) -> Ask {
        let key = match key {
            Key::Without => format!("{}-", self.prefix),
            Key::Network(ip) => format!("{}{ip}", self.prefix),
            // A key may be a credential, and of any length.
            Key::Text { kind, text, .. } => {
                let hash = digest(&SHA256, &[kind, b"\0", text].concat());
                let half = hash.as_ref().first_chunk().map_or(0, |half| u128::from_be_bytes(*half));
                format!("{}{half:032x}", self.prefix)
            }
        };
        Ask { key, allowance: self.allowance, dry_run: self.limit.dry_run }
    }

    /// What a shared server's answer means.
    pub(super) fn standing(&self, (admitted, owed): (bool, u64)) -> Standing {
        self.allowance.standing(admitted, owed.min(self.allowance.most()))
    }

    /// As an item of `RateLimit-Policy`.
    pub(super) fn policy(&self) -> String {
        format!("\"{}\";q={};w={}", self.name, self.limit.rate.count(), self.limit.rate.window().as_secs())
    }

    fn id(&self, key: Key<'_>) -> Id {
        match key {
            // No client has this address.
            Key::Without => Id::MAX,
            Key::Network(IpAddr::V4(ip)) => ip.to_ipv6_mapped().to_bits(),
            Key::Network(IpAddr::V6(ip)) => ip.to_bits(),
            Key::Text { kind, text, .. } => self.table.id_of(kind, text),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, burst {}", self.limit.rate, self.allowance.burst())
    }
}

impl fmt::Display for Key<'_> {
    /// For the log and `explain`: what may be a credential is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Without => f.write_str("requests without such a key"),
            Self::Network(ip) => ip.fmt(f),
            Self::Text { is_secret: true, .. } => f.write_str("this value"),
            Self::Text { text, .. } => f.write_str(&String::from_utf8_lossy(text)),
        }
    }
}
