//! The filters that come with the door: a file each, and this list. Nothing else names them.

mod auth;
mod compress;
mod cors;
mod grpc_web;
mod headers;
mod ip;
mod limits;
mod rate_limit;
mod request_id;
mod require;
mod security_headers;

#[cfg(any(test, feature = "fuzzing"))]
pub use auth::fuzz_token;

use crate::filter::Registry;

/// A registry of all filters that come with the door, to which users add their own:
/// `onedoor::run(onedoor::builtins().with::<Mine>())`.
#[must_use]
pub fn builtins() -> Registry {
    Registry::default()
        .with::<request_id::RequestId>()
        .with::<ip::Ip>()
        .with::<cors::Cors>()
        .with::<rate_limit::RateLimit>()
        .with::<auth::Auth>()
        .with::<require::Require>()
        .with::<limits::Limits>()
        .with::<grpc_web::GrpcWeb>()
        .with::<security_headers::SecurityHeaders>()
        .with::<headers::Headers>()
        .with::<compress::Compress>()
}
