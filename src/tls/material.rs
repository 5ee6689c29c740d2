//! What the files of a listener's `tls` hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::certificate::Served;
use super::clients::Clients;
use super::names::ByName;
use super::remark::Remark;
use crate::config::{Acme, Domain, ListenerTls};

/// All that a listener's configuration is made of. Two are equal if the files hold the same.
#[derive(PartialEq)]
pub(super) struct Material {
    /// In the order of the file, and behind them the one that the door orders itself, once it is there.
    pub certificates: Vec<Arc<Served>>,
    /// The names of that one, in whose place no other certificate is shown.
    ordered: Vec<Domain>,
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
    ///
    /// `ordered` is what the door has ordered for other settings; it stands in until there is one for these.
    pub fn read(
        settings: &ListenerTls,
        before: Option<&Self>,
        ordered: Option<&Arc<Served>>,
        now: SystemTime,
    ) -> Findings {
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
        let is_whole = certificates.len() == settings.certificates.len() && !matches!(clients, Some(None));
        let domains = settings.acme.as_ref().map_or(&[][..], |acme| &acme.domains);
        findings.warnings.extend(warn_of_names(&certificates));
        findings.warnings.extend(warn_of_ordered(&certificates, domains));
        if let Some(acme) = &settings.acme {
            let own = before.and_then(|before| before.certificates.get(settings.certificates.len()));
            let old = own.or(ordered).filter(|old| now < old.not_after);
            certificates.extend(findings.take_ordered(acme, old, now));
        }
        findings.material =
            is_whole.then(|| Self { certificates, ordered: domains.to_vec(), clients: clients.flatten() });
        findings
    }

    /// Whether a client that has passed the other's check has passed this one's.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.clients == other.clients
    }

    /// For the choice in a handshake.
    pub fn by_name(&self) -> ByName {
        ByName::new(&self.certificates, &self.ordered)
    }
}

impl Findings {
    /// The certificate that the door orders itself. There may be none yet, and one that is no good is ordered anew: both
    /// are no reason to serve nothing. When it ends is watched by who orders it.
    fn take_ordered(&mut self, acme: &Acme, old: Option<&Arc<Served>>, now: SystemTime) -> Option<Arc<Served>> {
        if matches!(acme.file().as_ref().try_exists(), Ok(false)) {
            return old.cloned();
        }
        match Served::read(&acme.certificate(), now) {
            Ok((new, _)) => Some(Arc::new(new)),
            Err(problems) => {
                let why = problems.into_iter().map(|why| Remark::new(["acme", "store"], why.message));
                self.warnings.extend(why);
                old.cloned()
            }
        }
    }

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

/// Names that are ordered in vain, since a certificate of the list is for just them.
fn warn_of_ordered(certificates: &[Arc<Served>], ordered: &[Domain]) -> Option<Remark> {
    let shown = |domain: &&Domain| certificates.iter().any(|of| of.names.iter().any(|name| name == domain.as_str()));
    let domain = ordered.iter().find(shown)?;
    let message = format!("`{domain}` is also a name of one of `certificates`, which its clients get; remove one");
    Some(Remark::new(["acme", "domains"], message))
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
