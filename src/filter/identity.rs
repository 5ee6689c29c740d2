//! Who a request comes from, where a filter has found that out.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Who a request comes from, as the filter `auth` (or one like it) has found out: for limits, requirements, headers and
/// the log. What a client merely says of itself is never in here.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Identity {
    /// Whom it was issued for: a token's `sub`, a key's name, a user's name, a name in a certificate.
    pub subject: String,
    /// How it was found out: `jwt`, `api_key`, `basic`, `client_cert`, `forward`.
    pub via: Cow<'static, str>,
    /// What else is said of it: a token's claims, for example.
    pub claims: Map<String, Value>,
}

impl Identity {
    /// One of that subject, found out that way, of which no more is known.
    pub fn new(subject: impl Into<String>, via: impl Into<Cow<'static, str>>) -> Self {
        Self { subject: subject.into(), via: via.into(), claims: Map::new() }
    }

    /// A claim by its name, or by the names that lead to it: `realm_access.roles`. A name that holds dots itself, as
    /// URLs do, counts first. `sub` and `via` are there without being claims.
    pub fn claim(&self, path: &str) -> Option<Cow<'_, Value>> {
        match path {
            "sub" => return Some(Cow::Owned(Value::String(self.subject.clone()))),
            "via" => return Some(Cow::Owned(Value::String(self.via.clone().into_owned()))),
            _ => {}
        }
        if let Some(value) = self.claims.get(path) {
            return Some(Cow::Borrowed(value));
        }
        let (first, rest) = path.split_once('.')?;
        let mut value = self.claims.get(first)?;
        for name in rest.split('.') {
            value = value.get(name)?;
        }
        Some(Cow::Borrowed(value))
    }

    /// A claim as text, for a header or a key: text as it is, numbers and truth values as JSON has them, a list of these
    /// with spaces between; `None` for anything else.
    pub fn text(&self, path: &str) -> Option<String> {
        as_text(self.claim(path)?.as_ref())
    }
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Array(list) => list.iter().map(as_text).collect::<Option<Vec<_>>>().map(|list| list.join(" ")),
        Value::Null | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_found_by_its_name_or_the_names_that_lead_to_it() {
        let claims = json!({"https://a.b/c": 1, "realm": {"roles": ["a", "b"]}, "ok": true, "sub": "forged"});
        let Value::Object(claims) = claims else { unreachable!("an object") };
        let identity = Identity { claims, ..Identity::new("u1", "jwt") };
        for (path, text) in [
            ("sub", Some("u1")),
            ("via", Some("jwt")),
            ("https://a.b/c", Some("1")),
            ("realm.roles", Some("a b")),
            ("ok", Some("true")),
            ("realm", None),
            ("none", None),
            ("realm.none", None),
        ] {
            assert_eq!(identity.text(path).as_deref(), text, "{path}");
        }
    }
}
