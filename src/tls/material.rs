//! What the files of a listener's `tls` hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::certificate::Served;
use super::clients::Clients;
use super::names::ByName;
use super::remark::Remark;
use crate::config::ListenerTls;

/// All that a listener's configuration is made of. Two are equal if the files hold the same.
#[derive(PartialEq)]
pub(super) struct Material {
    /// In the order of the file; at least one.
    pub certificates: Vec<Arc<Served>>,
    pub clients: Option<Arc<Clients>>,
}

/// What reading the files came to.
pub(super) struct Findings {
    /// Whole only if there is no problem, or if there was something before to stand in for it.
    pub material: Option<Material>,
    pub problems: Vec<Remark>,
    pub warnings: Vec<Remark>,
}

/// Something read from files with warnings, or why not.
pub(super) type Read<T> = Result<(T, Vec<Remark>), Vec<Remark>>;

impl Material {
    /// Reads and checks everything. What can't be used is left as it was `before`, each certificate by itself: one that
    /// is broken must not keep the others from being renewed.
    pub fn read(settings: &ListenerTls, before: Option<&Self>, now: SystemTime) -> Findings {
        let mut findings = Findings { material: None, problems: Vec::new(), warnings: Vec::new() };
        let mut certificates = Vec::new();
        for (index, of) in settings.certificates.iter().enumerate() {
            let old = before.and_then(|before| before.certificates.get(index));
            let at = ["certificates", &index.to_string()];
            certificates.extend(findings.take(Served::read(of, now), old, &at));
        }
        let clients = settings.client_auth.as_ref().map(|of| {
            let old = before.and_then(|before| before.clients.as_ref());
            findings.take(Clients::read(of, now), old, &["client_auth"])
        });
        findings.warnings.extend(warn_of_names(&certificates));
        let is_whole = certificates.len() == settings.certificates.len() && !matches!(clients, Some(None));
        findings.material = is_whole.then(|| Self { certificates, clients: clients.flatten() });
        findings
    }

    /// Whether a client that has passed the other's check has passed this one's.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.clients == other.clients
    }

    /// For the choice in a handshake.
    pub fn by_name(&self) -> ByName {
        ByName::new(&self.certificates)
    }
}

impl Findings {
    fn take<T>(&mut self, read: Read<T>, old: Option<&Arc<T>>, at: &[&str]) -> Option<Arc<T>> {
        let below = |remarks: Vec<Remark>| remarks.into_iter().map(|remark| remark.below(at)).collect::<Vec<_>>();
        match read {
            Ok((new, warnings)) => {
                self.warnings.extend(below(warnings));
                Some(Arc::new(new))
            }
            Err(problems) => {
                self.problems.extend(below(problems));
                old.cloned()
            }
        }
    }
}

/// Names that say nothing: those that an earlier certificate of the same kind of key has, and none at all.
fn warn_of_names(certificates: &[Arc<Served>]) -> Vec<Remark> {
    let mut known: BTreeMap<_, usize> = BTreeMap::new();
    let mut warnings = Vec::new();
    for (index, served) in certificates.iter().enumerate() {
        let at = ["certificates", &index.to_string(), "cert"];
        if served.names.is_empty() && index > 0 {
            let message = "no client gets this certificate: it is not the first, and has no DNS name among its subject \
                           alternative names";
            warnings.push(Remark::new(at, message));
        }
        for name in &served.names {
            let first = *known.entry((name, served.kind())).or_insert(index);
            if first != index {
                let message = format!(
                    "`{name}` is also a name of `certificates[{first}]`, which is the one that its clients get; remove one, \
                     or use keys of two kinds (RSA and ECDSA)"
                );
                warnings.push(Remark::new(at, message));
            }
        }
    }
    warnings
}
