//! What a token says, and whether that counts here and now (RFC 7519, 4.1).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::keys::shown;
use super::{Refusal, refuse};
use crate::filter::Identity;

/// What claims must say.
pub(super) struct Rules {
    /// Who may have issued it; `None`: anybody who has the key.
    pub(super) issuers: Option<Vec<String>>,
    /// For whom it may be; `None`: for anybody.
    pub(super) audiences: Option<Vec<String>>,
    /// By how much clocks may differ.
    pub(super) leeway: Duration,
    /// The claim that says who asks.
    pub(super) subject: String,
}

/// Somebody, for so long.
#[derive(Debug, PartialEq)]
pub(super) struct Verified {
    pub(super) identity: Arc<Identity>,
    pub(super) until: SystemTime,
}

impl Rules {
    /// Who asks, by the payload of a token whose signature is good.
    ///
    /// # Errors
    /// Why it does not count.
    pub(super) fn judge(&self, payload: &[u8], now: SystemTime) -> Result<Verified, Refusal> {
        let claims: Map<String, Value> = serde_json::from_slice(payload)
            .map_err(|error| refuse("auth_malformed", format!("the token's claims cannot be read ({error})")))?;
        self.check_issuer(&claims)?;
        self.check_audience(&claims)?;
        let until = self.check_times(&claims, now)?;
        let subject = match claims.get(&self.subject) {
            Some(Value::String(subject)) if !subject.is_empty() => subject.clone(),
            _ => return Err(refuse("auth_malformed", format!("the token has no text as `{}`", self.subject))),
        };
        Ok(Verified { identity: Arc::new(Identity { subject, via: Cow::Borrowed("jwt"), claims }), until })
    }

    fn check_issuer(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        let Some(known) = &self.issuers else { return Ok(()) };
        match claims.get("iss") {
            Some(Value::String(issuer)) if known.contains(issuer) => Ok(()),
            Some(Value::String(issuer)) => {
                Err(refuse("auth_issuer", format!("the token was issued by `{}`", shown(issuer))))
            }
            _ => Err(refuse("auth_issuer", "the token does not say who issued it (`iss`)")),
        }
    }

    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        let Some(known) = &self.audiences else { return Ok(()) };
        let is_known = |value: &Value| value.as_str().is_some_and(|one| known.iter().any(|known| known == one));
        match claims.get("aud") {
            Some(value @ Value::String(_)) if is_known(value) => Ok(()),
            Some(Value::Array(list)) if list.iter().all(Value::is_string) && list.iter().any(is_known) => Ok(()),
            Some(other) => Err(refuse("auth_audience", format!("the token is for {}", shown(&other.to_string())))),
            None => Err(refuse("auth_audience", "the token does not say for whom it is (`aud`)")),
        }
    }

    fn check_times(&self, claims: &Map<String, Value>, now: SystemTime) -> Result<SystemTime, Refusal> {
        let Some(expires) = time(claims, "exp")? else {
            return Err(refuse("auth_malformed", "the token never ends (`exp`)"));
        };
        let until = expires.checked_add(self.leeway).unwrap_or(expires);
        if until <= now {
            let ago = now.duration_since(expires).unwrap_or_default().as_secs();
            return Err(refuse("auth_expired", format!("the token has ended {ago} s ago")));
        }
        for (name, what) in [("nbf", "begins"), ("iat", "was issued")] {
            let Some(begins) = time(claims, name)? else { continue };
            let ahead = begins.duration_since(now).unwrap_or_default();
            if ahead > self.leeway {
                let ahead = ahead.as_secs();
                return Err(refuse("auth_not_yet_valid", format!("the token {what} in {ahead} s (`{name}`)")));
            }
        }
        Ok(until)
    }
}

/// A moment in seconds since 1970, perhaps with a fraction (RFC 7519, 2: NumericDate). Far off is as good as any.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<SystemTime>, Refusal> {
    /// The year 9999.
    const END: f64 = 253_402_300_799.0;
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64().filter(|seconds| seconds.is_finite()) {
            Some(seconds) => Ok(Some(UNIX_EPOCH + Duration::from_secs_f64(seconds.clamp(0.0, END)))),
            None => Err(refuse("auth_malformed", format!("the token's `{name}` is no time"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules() -> Rules {
        Rules {
            issuers: Some(vec!["https://id.test".into()]),
            audiences: Some(vec!["api".into(), "web".into()]),
            leeway: Duration::from_secs(30),
            subject: "sub".into(),
        }
    }

    fn judge(changes: Value) -> Result<Verified, &'static str> {
        let mut claims = json!({"iss": "https://id.test", "aud": "api", "sub": "u1", "exp": 2000});
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        rules().judge(claims.to_string().as_bytes(), now).map_err(|refusal| refusal.cause)
    }

    #[test]
    fn claims_count_only_from_the_issuer_for_the_audience_and_in_time() {
        for (changes, cause) in [
            (json!({}), None),
            (json!({"aud": ["other", "web"]}), None),
            (json!({"aud": "other"}), Some("auth_audience")),
            (json!({"aud": ["other"]}), Some("auth_audience")),
            (json!({"aud": []}), Some("auth_audience")),
            (json!({"aud": ["api", 5]}), Some("auth_audience")),
            (json!({"aud": {"api": true}}), Some("auth_audience")),
            (json!({"aud": "api "}), Some("auth_audience")),
            (json!({"aud": null}), Some("auth_audience")),
            (json!({"iss": "https://id.test/"}), Some("auth_issuer")),
            (json!({"iss": "HTTPS://id.test"}), Some("auth_issuer")),
            (json!({"iss": ["https://id.test"]}), Some("auth_issuer")),
            (json!({"iss": null}), Some("auth_issuer")),
            (json!({"exp": 1001}), None),
            (json!({"exp": 971}), None),
            (json!({"exp": 970}), Some("auth_expired")),
            (json!({"exp": 970.5}), None),
            (json!({"exp": -1}), Some("auth_expired")),
            (json!({"exp": 1e300}), None),
            (json!({"exp": "2000"}), Some("auth_malformed")),
            (json!({"exp": [2000]}), Some("auth_malformed")),
            (json!({"exp": null}), Some("auth_malformed")),
            (json!({"nbf": 1030}), None),
            (json!({"nbf": 1031}), Some("auth_not_yet_valid")),
            (json!({"nbf": "soon"}), Some("auth_malformed")),
            (json!({"iat": 1030}), None),
            (json!({"iat": 1031}), Some("auth_not_yet_valid")),
            (json!({"iat": false}), Some("auth_malformed")),
            (json!({"sub": null}), Some("auth_malformed")),
            (json!({"sub": ""}), Some("auth_malformed")),
            (json!({"sub": 5}), Some("auth_malformed")),
        ] {
            assert_eq!(judge(changes.clone()).err(), cause, "{changes}");
        }
        for payload in ["", "[]", "5", "\"a\"", "{", "\u{feff}{}"] {
            let refusal = rules().judge(payload.as_bytes(), UNIX_EPOCH).unwrap_err();
            assert_eq!(refusal.cause, "auth_malformed", "{payload}");
        }
    }

    #[test]
    fn an_identity_has_its_claims_and_ends_with_the_token() {
        let verified = judge(json!({"role": "admin"})).unwrap();
        assert_eq!(verified.until, UNIX_EPOCH + Duration::from_secs(2030));
        assert_eq!((verified.identity.subject.as_str(), &*verified.identity.via), ("u1", "jwt"));
        assert_eq!(verified.identity.text("role").as_deref(), Some("admin"));
    }
}
