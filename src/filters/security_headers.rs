//! `security_headers`: what protects pages in browsers, as a preset that can be changed key by key.
//!
//! ```yaml
//! filters:
//!   security_headers: {}                             # the preset
//! ```
//!
//! | key | preset |
//! |---|---|
//! | `strict_transport_security` | `max-age=31536000`, only to clients that came by TLS (RFC 6797, 7.2) |
//! | `x_content_type_options` | `nosniff` |
//! | `referrer_policy` | `strict-origin-when-cross-origin` |
//! | `x_frame_options` | `SAMEORIGIN` |
//! | `cross_origin_opener_policy` | `same-origin-allow-popups` |
//! | `cross_origin_resource_policy` | `same-site` |
//! | `content_security_policy`, `permissions_policy`, `cross_origin_embedder_policy` | `off`: only those who made a page know what it needs |
//! | `override` | `false`: a service's own value of any of these stays; `true`: the door's replaces it |
//! | `remove` | none; e.g. `[server, x-powered-by]` |
//!
//! Each key takes another value, or `off`. Every answer has them, the door's errors too. What the filter `headers` sets or
//! removes stands. `includeSubDomains` is not in the preset, as it binds hosts that the door knows nothing of. That a
//! client came by TLS is what a trusted proxy says (`X-Forwarded-Proto`, `Forwarded`).
//!
//! ```yaml
//! filters:
//!   security_headers:
//!     strict_transport_security: "max-age=63072000; includeSubDomains; preload"
//!     content_security_policy: "frame-ancestors 'none'"
//!     x_frame_options: DENY
//!     cross_origin_resource_policy: off
//!     remove: [server, x-powered-by]
//! ```

use http::{HeaderName, HeaderValue, header};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::did_you_mean;
use crate::filter::{
    Configure, Edit, Env, Filter, Flow, Problems, Request, Response, Result, Stage, async_trait, editable,
};

/// Adds to every response what protects pages.
pub(super) struct SecurityHeaders {
    values: Vec<(HeaderName, HeaderValue)>,
    /// Only for clients that came by TLS.
    transport: Option<HeaderValue>,
    replaces: bool,
    remove: Vec<HeaderName>,
}

/// What protects pages in browsers: the preset, and what is to be otherwise. Each value may be `off`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Config {
    /// `Strict-Transport-Security`; preset: `max-age=31536000`. Only sent to clients that came by TLS.
    strict_transport_security: Option<String>,
    /// `X-Content-Type-Options`; preset: `nosniff`.
    x_content_type_options: Option<String>,
    /// `Referrer-Policy`; preset: `strict-origin-when-cross-origin`.
    referrer_policy: Option<String>,
    /// `X-Frame-Options`; preset: `SAMEORIGIN`.
    x_frame_options: Option<String>,
    /// `Cross-Origin-Opener-Policy`; preset: `same-origin-allow-popups`.
    cross_origin_opener_policy: Option<String>,
    /// `Cross-Origin-Resource-Policy`; preset: `same-site`.
    cross_origin_resource_policy: Option<String>,
    /// `Cross-Origin-Embedder-Policy`; preset: `off`.
    cross_origin_embedder_policy: Option<String>,
    /// `Content-Security-Policy`; preset: `off`.
    content_security_policy: Option<String>,
    /// `Permissions-Policy`; preset: `off`.
    permissions_policy: Option<String>,
    /// Whether these replace a service's own values.
    #[serde(rename = "override")]
    replaces: bool,
    /// Headers that no response has, such as `server`.
    remove: Vec<String>,
}

/// One of the headers.
struct Known {
    key: &'static str,
    name: HeaderName,
    preset: Option<&'static str>,
    /// The values that browsers know; empty where they are free.
    values: &'static [&'static str],
}

const STRICT_TRANSPORT_SECURITY: &str = "strict_transport_security";

impl Known {
    const fn new(
        key: &'static str,
        name: HeaderName,
        preset: Option<&'static str>,
        values: &'static [&'static str],
    ) -> Self {
        Self { key, name, preset, values }
    }
}

fn known() -> [Known; 9] {
    let cross_origin = |name| HeaderName::from_static(name);
    [
        Known::new(STRICT_TRANSPORT_SECURITY, header::STRICT_TRANSPORT_SECURITY, Some("max-age=31536000"), &[]),
        Known::new("x_content_type_options", header::X_CONTENT_TYPE_OPTIONS, Some("nosniff"), &["nosniff"]),
        Known::new(
            "referrer_policy",
            header::REFERRER_POLICY,
            Some("strict-origin-when-cross-origin"),
            &[
                "no-referrer",
                "no-referrer-when-downgrade",
                "same-origin",
                "origin",
                "strict-origin",
                "origin-when-cross-origin",
                "strict-origin-when-cross-origin",
                "unsafe-url",
            ],
        ),
        Known::new("x_frame_options", header::X_FRAME_OPTIONS, Some("SAMEORIGIN"), &["DENY", "SAMEORIGIN"]),
        Known::new(
            "cross_origin_opener_policy",
            cross_origin("cross-origin-opener-policy"),
            Some("same-origin-allow-popups"),
            &["unsafe-none", "same-origin", "same-origin-allow-popups", "noopener-allow-popups"],
        ),
        Known::new(
            "cross_origin_resource_policy",
            cross_origin("cross-origin-resource-policy"),
            Some("same-site"),
            &["same-origin", "same-site", "cross-origin"],
        ),
        Known::new(
            "cross_origin_embedder_policy",
            cross_origin("cross-origin-embedder-policy"),
            None,
            &["unsafe-none", "require-corp", "credentialless"],
        ),
        Known::new("content_security_policy", header::CONTENT_SECURITY_POLICY, None, &[]),
        Known::new("permissions_policy", HeaderName::from_static("permissions-policy"), None, &[]),
    ]
}

impl Config {
    fn of(&self, key: &str) -> Option<&str> {
        let value = match key {
            "x_content_type_options" => &self.x_content_type_options,
            "referrer_policy" => &self.referrer_policy,
            "x_frame_options" => &self.x_frame_options,
            "cross_origin_opener_policy" => &self.cross_origin_opener_policy,
            "cross_origin_resource_policy" => &self.cross_origin_resource_policy,
            "cross_origin_embedder_policy" => &self.cross_origin_embedder_policy,
            "content_security_policy" => &self.content_security_policy,
            "permissions_policy" => &self.permissions_policy,
            _ => &self.strict_transport_security,
        };
        value.as_deref()
    }
}

#[async_trait]
impl Filter for SecurityHeaders {
    async fn request(&self, _: &mut Request<'_>) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    async fn response(&self, response: &mut Response<'_>) -> Result<()> {
        for name in &self.remove {
            if !response.edits.names(name) {
                response.edits.push(Edit::Remove(name.clone()));
            }
        }
        for (name, value) in &self.values {
            self.add(response, name, value);
        }
        if let Some(value) = self.transport.as_ref().filter(|_| response.subject.client.https) {
            self.add(response, &header::STRICT_TRANSPORT_SECURITY, value);
        }
        Ok(())
    }
}

impl SecurityHeaders {
    fn add(&self, response: &mut Response<'_>, name: &HeaderName, value: &HeaderValue) {
        let is_the_files = response.edits.names(name);
        if !is_the_files && (self.replaces || response.header(name).is_none()) {
            response.edits.push(Edit::Set(name.clone(), value.clone()));
        }
    }
}

impl Configure for SecurityHeaders {
    const KIND: &'static str = "security_headers";
    const STAGE: Stage = Stage::Protection;
    const UNROUTED: bool = true;
    type Config = Config;

    fn configure(config: Config, _: &Env<'_>) -> std::result::Result<Self, Problems> {
        let mut problems = Problems::default();
        let (mut values, mut transport) = (Vec::new(), None);
        for known in known() {
            let Some(text) = config.of(known.key).or(known.preset).filter(|text| *text != "off") else { continue };
            match known.value(text) {
                Ok(value) if known.key == STRICT_TRANSPORT_SECURITY => transport = Some(value),
                Ok(value) => values.push((known.name, value)),
                Err(why) => problems.add(&[known.key], why),
            }
        }
        let mut remove = Vec::new();
        for (index, text) in config.remove.iter().enumerate() {
            match editable(text) {
                Ok(name) => remove.push(name),
                Err(why) => problems.add(&["remove", &index.to_string()], why),
            }
        }
        problems.or(Self { values, transport, replaces: config.replaces, remove })
    }
}

impl Known {
    fn value(&self, text: &str) -> std::result::Result<HeaderValue, String> {
        if self.key == STRICT_TRANSPORT_SECURITY {
            check_transport(text)?;
        } else if !self.values.is_empty() && !self.fits(text) {
            let hint = did_you_mean(text, self.values.iter().copied())
                .map(|near| format!(" did you mean `{near}`?"))
                .unwrap_or_default();
            let allowed: Vec<String> = self.values.iter().map(|value| format!("`{value}`")).collect();
            return Err(format!("browsers do not know `{text}`;{hint} allowed: {}, `off`", allowed.join(", ")));
        }
        HeaderValue::from_str(text)
            .ok()
            .filter(|value| !value.is_empty())
            .ok_or_else(|| "expected text that a header can carry, or `off`".to_owned())
    }

    /// A referrer policy may be a list, of which browsers take the last that they know.
    fn fits(&self, text: &str) -> bool {
        let is_known = |text: &str| self.values.contains(&text.trim());
        if self.name == header::REFERRER_POLICY { text.split(',').all(is_known) } else { is_known(text) }
    }
}

/// RFC 6797, 6.1: `max-age` is needed, and browsers drop the whole header for a mistake.
fn check_transport(text: &str) -> std::result::Result<(), String> {
    let mut has_age = false;
    for directive in text.split(';').map(str::trim) {
        let seconds = directive.strip_prefix("max-age=").map(|age| age.trim_matches('"'));
        match seconds {
            Some(age) if !has_age && !age.is_empty() && age.bytes().all(|b| b.is_ascii_digit()) => has_age = true,
            None if matches!(directive, "includeSubDomains" | "preload") => {}
            _ => {
                return Err(format!(
                    "`{directive}` is no part of it; write e.g. `max-age=31536000; includeSubDomains`"
                ));
            }
        }
    }
    if has_age { Ok(()) } else { Err("`max-age` is needed, in seconds, e.g. `max-age=31536000`".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_among_the_values_that_are_allowed() {
        for known in known() {
            if let Some(preset) = known.preset {
                known.value(preset).unwrap();
            }
        }
    }

    #[test]
    fn a_value_that_browsers_would_drop_is_refused() {
        for text in ["", "max-age", "max-age=", "max-age=1y", "includeSubDomains", "max-age=1; max-age=2", "max-age=1;"]
        {
            assert!(check_transport(text).is_err(), "{text}");
        }
        check_transport("max-age=63072000; includeSubDomains; preload").unwrap();
        let known = known();
        let frame = known.iter().find(|known| known.key == "x_frame_options").unwrap();
        assert!(frame.value("deny").unwrap_err().contains("allowed: `DENY`, `SAMEORIGIN`, `off`"));
        let referrer = known.iter().find(|known| known.key == "referrer_policy").unwrap();
        referrer.value("no-referrer, strict-origin-when-cross-origin").unwrap();
        assert!(referrer.value("no-referer").unwrap_err().contains("did you mean `no-referrer`?"));
    }
}
