//! The head of a request as the door sees it, whoever parsed it: one canonical path, a normalised host, headers by
//! name. Everything that decides (routes, filters, `explain`) reads this and nothing else, so that all of it agrees
//! on what was asked for.

mod cookie;
mod credential;
pub mod grpc;
pub mod hop;
pub mod host;
pub mod path;
pub mod strict;
pub mod wire;

use http::{HeaderMap, HeaderName, Method};

pub use cookie::{cookie, cookies};
pub use credential::is_credential;
pub use path::Path;

/// Look-up of headers by name, over whatever the driver parsed them into.
pub trait Headers: Sync {
    /// The first value of a header.
    fn get(&self, name: &HeaderName) -> Option<&[u8]>;
    /// Every header in turn, repeated ones once for each value.
    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a HeaderName, &'a [u8]));

    /// All values of a header in turn.
    fn all<'a>(&'a self, name: &HeaderName, visit: &mut dyn FnMut(&'a [u8])) {
        self.each(&mut |n, value| {
            if n == name {
                visit(value);
            }
        });
    }
}

impl Headers for HeaderMap {
    fn get(&self, name: &HeaderName) -> Option<&[u8]> {
        HeaderMap::get(self, name).map(|value| value.as_bytes())
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a HeaderName, &'a [u8])) {
        for (name, value) in self {
            visit(name, value.as_bytes());
        }
    }

    fn all<'a>(&'a self, name: &HeaderName, visit: &mut dyn FnMut(&'a [u8])) {
        for value in self.get_all(name) {
            visit(value.as_bytes());
        }
    }
}

/// The head of one request: borrowed from the driver, except for what had to be made canonical.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// As the client sent it.
    pub method: &'a Method,
    /// From `Host` or the target's authority: lower case, no port, no trailing dot.
    pub host: &'a str,
    /// The one path that is matched, filtered by and forwarded.
    pub path: &'a Path,
    /// What stands after `?`, as the client sent it.
    pub query: Option<&'a str>,
    /// As the client sent them.
    pub headers: &'a dyn Headers,
}
