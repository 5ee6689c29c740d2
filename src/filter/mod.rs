//! The contract for filters: code that a request passes on its way, ours and users' alike.
//!
//! A [`Filter`] sees the head of a request ([`Request`]) and may answer it ([`Flow::Reply`]) or change what goes on
//! ([`Request::edits`]); it sees the response on its way back. [`Configure`] says how it is made from its part of the
//! file. Nothing here knows the server underneath: the same filter runs in the live proxy, in `onedoor explain` and in
//! `onedoor test`.
//!
//! ```
//! use onedoor::filter::{async_trait, Configure, Env, Filter, Flow, Problems, Reply, Request, Result};
//!
//! /// Answers 503 while the works are on: `filters: {works: {until: "18:00"}}`.
//! struct Works {
//!     until: String,
//! }
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     until: String,
//! }
//!
//! #[async_trait]
//! impl Filter for Works {
//!     async fn request(&self, _: &mut Request<'_>) -> Result<Flow> {
//!         Ok(Reply::problem(503, format!("back at {}", self.until)).into())
//!     }
//! }
//!
//! impl Configure for Works {
//!     const KIND: &'static str = "works";
//!     type Config = Config;
//!
//!     fn configure(config: Config, _: &Env<'_>) -> std::result::Result<Self, Problems> {
//!         Ok(Self { until: config.until })
//!     }
//! }
//!
//! let registry = onedoor::builtins().with::<Works>();
//! assert!(registry.kinds().any(|kind| kind == "works"));
//! ```

mod body;
mod chain;
mod concern;
mod edit;
mod guard;
mod identity;
mod message;
mod registry;
mod reply;
mod state;

pub use async_trait::async_trait;
pub use body::BodyHook;
pub use chain::Verdict;
pub(crate) use chain::panic_message;
pub(crate) use chain::{Chain, Failure, Link, OnError, Outcome};
pub use concern::Concern;
pub(crate) use concern::Only;
pub(crate) use edit::HeadersMut;
pub use edit::{Edit, Edits, NotForFilters, editable};
pub use identity::Identity;
pub use message::{Client, Request, Response, Subject};
pub(crate) use registry::owner_of;
pub use registry::{Configure, Env, Problems, Registry, Stage};
pub use reply::{Body, Reply};
pub(crate) use state::States;

/// Why a filter could not do its work. The client sees a 500 and none of it; the log has it whole.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a filter's methods return.
pub type Result<T> = std::result::Result<T, Error>;

/// What becomes of a request after a filter has seen it.
#[must_use = "a verdict that is dropped lets the request through"]
#[derive(Debug)]
pub enum Flow {
    /// On to the next filter, and in the end to the route's action.
    Continue,
    /// Answered here: no later filter sees the request, and the answer goes back through the filters that did.
    Reply(Reply),
}

impl From<Reply> for Flow {
    fn from(reply: Reply) -> Self {
        Flow::Reply(reply)
    }
}

/// Code on the path of requests, made once for each place in the file that names it and shared by all requests.
///
/// An `Err` ends the request with a 500 (the filter fails *closed*) unless the file says `on_error: open` in the
/// filter's settings: then the request goes on as if the filter had not been there, without what it had changed by then,
/// and the log says so. A panic counts as an error.
#[async_trait]
pub trait Filter: Send + Sync + 'static {
    /// Sees a request before its route's action.
    async fn request(&self, _request: &mut Request<'_>) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    /// Sees the response on its way back, whoever made it: the upstream, a filter or the door's own error page.
    /// Called in the reverse order, and only if [`Filter::request`] of this filter was called for the request; filters
    /// that every route has without asking ([`Configure::implied`]) also see the answers to requests that no route takes.
    async fn response(&self, _response: &mut Response<'_>) -> Result<()> {
        Ok(())
    }

    /// Work beside the requests, such as fetching keys ahead of their end. It begins when the filter is first served
    /// and is cancelled when the filter's part of the file has changed or gone; `check`, `test` and `explain` never
    /// begin it.
    async fn run(&self) {}

    /// Resolves when the filter has what it needs to do its work. The door waits for that before it takes the first
    /// request, but only for some seconds: a filter that is not ready then must refuse.
    async fn ready(&self) {}

    /// Whether it is of no use where no client can show a certificate. A file that names it is then refused unless one of
    /// its listeners asks clients for one.
    fn needs_certificates(&self) -> bool {
        false
    }
}
