//! Who asks, said by the client itself.

use std::sync::Arc;

use http::HeaderName;
use onedoor::filter::{Configure, Env, Filter, Flow, Identity, Problems, Request, Result, Stage, async_trait};

/// The filter `who`: takes what stands in `x-user` for whom the request comes from.
pub struct Who;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

#[async_trait]
impl Filter for Who {
    async fn request(&self, request: &mut Request<'_>) -> Result<Flow> {
        let user = request.header(&HeaderName::from_static("x-user")).map(String::from_utf8_lossy);
        *request.subject.identity = user.map(|user| Arc::new(Identity::new(user.into_owned(), "test")));
        Ok(Flow::Continue)
    }
}

impl Configure for Who {
    const KIND: &'static str = "who";
    const STAGE: Stage = Stage::Auth;
    type Config = Nothing;

    fn configure(_: Nothing, _: &Env<'_>) -> std::result::Result<Self, Problems> {
        Ok(Self)
    }
}
