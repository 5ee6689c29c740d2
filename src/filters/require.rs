//! `require`: whether those who ask may, by what is known of them.
//!
//! ```yaml
//! filters:
//!   require:
//!     scopes: [orders.read, orders.write]                        # all of them
//!     subjects: [u1, billing-service]                            # one of them
//!     claims: {role: [admin, ops], email_verified: "true", realm_access.roles: api, tenant: {present: true}}
//! ```
//!
//! All that is named must hold, else a 403, which does not say why: the log does, by a cause (`require_scope`,
//! `require_subject`, `require_claim`). Scopes are those of the claim `scope` (with spaces between, RFC 8693, 4.2) or `scp`
//! (as some issuers have it, often as a list). A claim holds if its value is one of those named or, where it is a list, if
//! one of its values is. A request of which nobody has found out who asks gets a 403 (`require_identity`): the filter `auth`
//! stands before this one, and without it this route lets nobody in.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::config::{OneOrMany, by_shape};
use crate::filter::{Configure, Env, Filter, Flow, Identity, Problems, Reply, Request, Result, Stage, async_trait};

/// Refuses those who may not.
pub(super) struct Require {
    config: Config,
}

/// What must hold of whoever asks.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// All of these scopes.
    #[serde(default)]
    scopes: Vec<String>,
    /// One of these subjects.
    #[serde(default)]
    subjects: Vec<String>,
    /// All of these claims, each by its name or by the names that lead to it: `realm_access.roles`.
    #[serde(default)]
    claims: BTreeMap<String, Wanted>,
}

/// What a claim must be.
enum Wanted {
    /// One of these.
    One(OneOrMany<String>),
    /// There or not.
    Present(bool),
}

/// The first requirement that does not hold.
type Lack = (&'static str, String);

impl Config {
    fn lack(&self, identity: &Identity) -> Option<Lack> {
        self.lacks_scope(identity).or_else(|| self.lacks_subject(identity)).or_else(|| self.lacks_claim(identity))
    }

    fn lacks_scope(&self, identity: &Identity) -> Option<Lack> {
        let missing = self.scopes.iter().find(|scope| !has_scope(identity, scope))?;
        Some(("require_scope", format!("`{}` has no scope `{missing}`", identity.subject)))
    }

    fn lacks_subject(&self, identity: &Identity) -> Option<Lack> {
        let is_fine = self.subjects.is_empty() || self.subjects.contains(&identity.subject);
        (!is_fine).then(|| ("require_subject", format!("`{}` is none of `subjects`", identity.subject)))
    }

    fn lacks_claim(&self, identity: &Identity) -> Option<Lack> {
        let (name, _) = self.claims.iter().find(|(name, wanted)| !wanted.holds(identity.claim(name).as_deref()))?;
        Some(("require_claim", format!("`{}` does not have `{name}` as it must be", identity.subject)))
    }
}

fn has_scope(identity: &Identity, wanted: &str) -> bool {
    ["scope", "scp"].iter().filter_map(|name| identity.claims.get(*name)).any(|value| match value {
        Value::String(scopes) => scopes.split(' ').any(|scope| scope == wanted),
        Value::Array(scopes) => scopes.iter().any(|scope| scope == wanted),
        _ => false,
    })
}

impl Wanted {
    fn holds(&self, value: Option<&Value>) -> bool {
        let value = value.filter(|value| !value.is_null());
        match (self, value) {
            (Self::Present(wanted), value) => value.is_some() == *wanted,
            (Self::One(_), None) => false,
            (Self::One(wanted), Some(Value::Array(list))) => list.iter().any(|value| is_one_of(value, wanted)),
            (Self::One(wanted), Some(value)) => is_one_of(value, wanted),
        }
    }
}

/// Numbers and truth values count as JSON has them, since the file has nothing but texts.
fn is_one_of(value: &Value, wanted: &[String]) -> bool {
    match value {
        Value::String(text) => wanted.contains(text),
        Value::Number(_) | Value::Bool(_) => wanted.contains(&value.to_string()),
        _ => false,
    }
}

#[async_trait]
impl Filter for Require {
    async fn request(&self, request: &mut Request<'_>) -> Result<Flow> {
        let lack = match request.subject.identity.as_deref() {
            Some(identity) => self.config.lack(identity),
            None => Some(("require_identity", "nobody has found out who asks".to_owned())),
        };
        match lack {
            Some((cause, reason)) => Ok(Reply::bare_problem(403).because(cause, reason).into()),
            None => Ok(Flow::Continue),
        }
    }
}

impl Configure for Require {
    const KIND: &'static str = "require";
    const STAGE: Stage = Stage::Require;
    const AFTER: Option<&'static str> = Some("auth");
    type Config = Config;

    fn configure(config: Config, _: &Env<'_>) -> std::result::Result<Self, Problems> {
        let mut problems = Problems::default();
        if let Some(scope) = config.scopes.iter().find(|scope| scope.is_empty() || scope.contains(char::is_whitespace))
        {
            problems
                .add(&["scopes"], format!("`{scope}` is no scope: write each as an item of its own, without spaces"));
        }
        if config.scopes.is_empty() && config.subjects.is_empty() && config.claims.is_empty() {
            problems.add(&[], "name `scopes`, `subjects` or `claims`, e.g. `require: {scopes: [orders.read]}`");
        }
        problems.or(Self { config })
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Presence {
    /// Whether it must be there.
    present: bool,
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = Wanted;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value, a list of values or `{present: true}`")
            }

            fn visit_str<E: Error>(self, text: &str) -> std::result::Result<Wanted, E> {
                OneOrMany::deserialize(StrDeserializer::new(text)).map(Wanted::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> std::result::Result<Wanted, A::Error> {
                OneOrMany::deserialize(SeqAccessDeserializer::new(list)).map(Wanted::One)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Wanted, A::Error> {
                Presence::deserialize(MapAccessDeserializer::new(map)).map(|presence| Wanted::Present(presence.present))
            }
        }

        by_shape(deserializer, Shape)
    }
}

impl JsonSchema for Wanted {
    fn schema_name() -> Cow<'static, str> {
        "Wanted".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (values, presence) =
            (generator.subschema_for::<OneOrMany<String>>(), generator.subschema_for::<Presence>());
        json_schema!({"anyOf": [values, presence]})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lack(config: Value, claims: Value) -> Option<&'static str> {
        let config: Config = serde_json::from_value(config).unwrap();
        let claims = claims.as_object().unwrap().clone();
        let identity = Identity { claims, ..Identity::new("u1", "jwt") };
        config.lack(&identity).map(|(cause, _)| cause)
    }

    #[test]
    fn all_scopes_must_be_there_as_words_or_as_a_list() {
        for (claims, cause) in [
            (json!({"scope": "x a b"}), None),
            (json!({"scp": ["a", "b"]}), None),
            (json!({"scp": "a b"}), None),
            (json!({"scope": "a", "scp": ["b"]}), None),
            (json!({"scope": "a"}), Some("require_scope")),
            (json!({"scope": "ab"}), Some("require_scope")),
            (json!({"scope": "a,b"}), Some("require_scope")),
            (json!({"scope": {"a": true, "b": true}}), Some("require_scope")),
            (json!({}), Some("require_scope")),
        ] {
            assert_eq!(lack(json!({"scopes": ["a", "b"]}), claims.clone()), cause, "{claims}");
        }
    }

    #[test]
    fn a_claim_holds_by_one_of_its_values() {
        for (wanted, claims, holds) in [
            (json!("admin"), json!({"role": "admin"}), true),
            (json!(["admin", "ops"]), json!({"role": "ops"}), true),
            (json!("admin"), json!({"role": ["x", "admin"]}), true),
            (json!("true"), json!({"role": true}), true),
            (json!("5"), json!({"role": 5}), true),
            (json!("admin"), json!({"role": "Admin"}), false),
            (json!("admin"), json!({"role": "admin ops"}), false),
            (json!("admin"), json!({"role": {"admin": 1}}), false),
            (json!("admin"), json!({}), false),
            (json!({"present": true}), json!({"role": 0}), true),
            (json!({"present": true}), json!({"role": null}), false),
            (json!({"present": false}), json!({}), true),
            (json!({"present": false}), json!({"role": "x"}), false),
        ] {
            let cause = lack(json!({"claims": {"role": wanted}}), claims.clone());
            assert_eq!(cause, (!holds).then_some("require_claim"), "{wanted} {claims}");
        }
    }

    #[test]
    fn all_that_is_named_must_hold() {
        let config = || json!({"scopes": ["a"], "subjects": ["u1", "u2"], "claims": {"r.s": "x"}});
        assert_eq!(lack(config(), json!({"scope": "a", "r": {"s": "x"}})), None);
        assert_eq!(lack(config(), json!({"scope": "a"})), Some("require_claim"));
        assert_eq!(lack(json!({"subjects": ["u2"]}), json!({"sub": "u2"})), Some("require_subject"));
    }
}
