//! Secrets that stand in the settings of health checks. Filters speak of theirs themselves.

use std::collections::BTreeMap;

use super::{Door, Finding};
use crate::config::{CheckKind, HealthCheck, RequestHeaderName, SecretText};
use crate::filter::Concern;
use crate::head::is_credential;

pub(super) fn check(door: &Door<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (upstream, settings) in &door.config().upstreams {
        for (name, value) in settings.health.iter().flat_map(headers) {
            let above = ["upstreams", upstream.as_ref(), "health", "headers"];
            let key = door.config().source.key(&above, |key| key.eq_ignore_ascii_case(name.name().as_str()));
            let path = [&above[..], key.as_slice()].concat();
            let stands_here = matches!(value, SecretText::Literal(_)) && !door.config().source.is_from_outside(&path);
            if stands_here && is_credential(name.name()) {
                let Concern { code, remedy, .. } = Concern::secret("");
                let reason = format!("whoever reads the file has the checks' `{}`", name.name());
                findings.push(door.finding(&path, code, reason, remedy));
            }
        }
    }
    findings
}

fn headers(health: &HealthCheck) -> &BTreeMap<RequestHeaderName, SecretText> {
    const NONE: &BTreeMap<RequestHeaderName, SecretText> = &BTreeMap::new();
    match &health.kind {
        CheckKind::Http(check) => &check.headers,
        CheckKind::Grpc(check) => &check.headers,
        CheckKind::Tcp => NONE,
    }
}
