//! `jwt`: by a signed token (RFC 7519, RFC 8725).

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Said, Way};
use crate::filter::{Env, Problems, Request, async_trait};

/// A signed token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {}

struct Jwt;

/// The way of this part of the file.
pub(super) fn way(_: Config, _: &Env<'_>) -> Result<Box<dyn Way>, Problems> {
    Ok(Box::new(Jwt))
}

#[async_trait]
impl Way for Jwt {
    async fn ask(&self, _: &mut Request<'_>) -> Said {
        Said::Unable { cause: "auth_unavailable", reason: "tokens cannot be checked yet".into() }
    }
}
