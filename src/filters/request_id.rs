//! `request_id`: the exchange's id, for the upstream and for the client.
//!
//! Every exchange has an id: 32 hexadecimal digits made at the door, or what a trusted proxy sent in `x-request-id`.
//! It stands in the log and in error bodies. This filter writes it into the request that goes on and into the
//! response. Every route has it without asking.
//!
//! ```yaml
//! filters:
//!   request_id: {header: x-correlation-id, response: false}   # or: off
//! ```

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::filter::{Configure, Env, Filter, Flow, Problems, Request, Response, Result, Stage, async_trait, editable};

/// Writes the exchange's id into both heads.
pub(super) struct RequestId {
    header: HeaderName,
    response: bool,
}

/// The id that each request has in logs and error bodies, told to upstream and client.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Config {
    /// The header that carries it.
    header: String,
    /// Whether the response carries it, too.
    response: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { header: "x-request-id".into(), response: true }
    }
}

#[async_trait]
impl Filter for RequestId {
    async fn request(&self, request: &mut Request<'_>) -> Result<Flow> {
        let id = HeaderValue::from_str(request.subject.request_id)?;
        request.edits.set(self.header.clone(), id)?;
        Ok(Flow::Continue)
    }

    async fn response(&self, response: &mut Response<'_>) -> Result<()> {
        if self.response {
            let id = HeaderValue::from_str(response.subject.request_id)?;
            response.edits.set(self.header.clone(), id)?;
        }
        Ok(())
    }
}

impl Configure for RequestId {
    const KIND: &'static str = "request_id";
    const STAGE: Stage = Stage::RequestId;
    type Config = Config;

    fn configure(config: Config, _: &Env<'_>) -> std::result::Result<Self, Problems> {
        match editable(&config.header) {
            Ok(header) => Ok(Self { header, response: config.response }),
            Err(message) => {
                let mut problems = Problems::default();
                problems.add(&["header"], message);
                Err(problems)
            }
        }
    }

    fn implied() -> Option<Self> {
        Some(Self { header: HeaderName::from_static("x-request-id"), response: true })
    }
}
