//! Which certificate a client gets.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::{KeyKind, Served};
use crate::config::Domain;

/// The certificates of a listener by the name that clients ask for (SNI, RFC 6066 section 3): the one for just this
/// name, else the one for `*.` before the rest of it (RFC 6125 6.4.3: one label), else the default. Of those for the
/// same name it is one that the client can check.
///
/// Who asks for a name that a certificate is only ordered for yet gets none, rather than the default.
#[derive(Debug)]
pub(super) struct ByName {
    exact: HashMap<String, Group>,
    /// By what stands behind `*.`.
    wildcard: HashMap<String, Group>,
    default: Group,
}

/// Certificates for the same, with keys of different kinds, the quickest first.
#[derive(Debug, Default)]
struct Group(Vec<(KeyKind, Arc<CertifiedKey>)>);

impl ByName {
    pub fn new(certificates: &[Arc<Served>], ordered: &[Domain]) -> Self {
        let mut this = Self { exact: HashMap::new(), wildcard: HashMap::new(), default: Group::default() };
        for served in certificates {
            if certificates.first().is_some_and(|first| first.names == served.names) {
                this.default.add(served);
            }
            for name in &served.names {
                let group = match name.strip_prefix("*.") {
                    Some(parent) => this.wildcard.entry(parent.to_owned()),
                    None => this.exact.entry(name.clone()),
                };
                group.or_default().add(served);
            }
        }
        for name in ordered.iter().map(Domain::as_str) {
            if this.named(name).is_none() {
                this.exact.insert(name.to_owned(), Group::default());
            }
        }
        this
    }

    fn group(&self, name: Option<&str>) -> &Group {
        let Some(name) = name else { return &self.default };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.named(&name).unwrap_or(&self.default)
    }

    fn named(&self, name: &str) -> Option<&Group> {
        self.exact.get(name).or_else(|| self.wildcard.get(name.split_once('.')?.1))
    }
}

impl Group {
    /// The first of a kind stays.
    fn add(&mut self, served: &Served) {
        let kind = served.kind();
        if let Err(at) = self.0.binary_search_by_key(&kind, |(kind, _)| *kind) {
            self.0.insert(at, (kind, served.pair.clone()));
        }
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let group = &self.group(hello.server_name()).0;
        let fits = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(hello.signature_schemes()).is_some();
        let mut pairs = group.iter().map(|(_, pair)| pair);
        // Where none fits, any will do to tell the client so.
        pairs.clone().find(fits).or_else(|| pairs.next()).cloned()
    }
}
