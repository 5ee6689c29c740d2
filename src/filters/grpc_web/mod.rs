//! `grpc_web`: gRPC for browsers. What a page asks by gRPC-Web goes on as gRPC, and the answer comes back as gRPC-Web.
//!
//! ```yaml
//! upstreams: {greeter: {endpoints: ["127.0.0.1:50051"], protocol: http2}}
//! routes:
//!   greeter: {path: /helloworld.Greeter/, methods: [POST], to: greeter, filters: {grpc_web: {}}}
//! ```
//!
//! By gRPC-Web (gRPC's `doc/PROTOCOL-WEB.md`) the trailers, which a page can't see, are the last frame of the body; with
//! `application/grpc-web-text` all of it is base64, which this decodes on the way in and encodes, piece by piece, on the
//! way out. Where `Accept` names that, the answer is text whatever the question was. Requests of other types, native gRPC
//! among them, pass untouched, and so do responses that are no gRPC. The upstream must be spoken to by HTTP/2
//! (`protocol: http2`, or TLS that negotiates it): by HTTP/1.1 it could send no trailers.
//!
//! A page on another origin needs `cors` besides, with `headers: [content-type, x-grpc-web, x-user-agent, grpc-timeout]`
//! and `expose: [grpc-status, grpc-message]`, which stand in the head where a call fails before its first message.

mod frame;
mod text;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, header};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::filter::{Configure, Env, Filter, Flow, Problems, Request, Response, Result, Stage, async_trait};
use crate::head::grpc::Dialect;
use frame::Frames;
use text::Decode;

/// Translates between gRPC-Web and gRPC.
pub(super) struct GrpcWeb;

/// gRPC for browsers: gRPC-Web from the client, gRPC to an upstream by HTTP/2.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {}

/// Kept for the way back: how the client wants its answer.
#[derive(Clone, Copy)]
struct Wanted(Dialect);

#[async_trait]
impl Filter for GrpcWeb {
    async fn request(&self, request: &mut Request<'_>) -> Result<Flow> {
        let content_type = request.head.headers.get(&CONTENT_TYPE).unwrap_or_default();
        let Some(spoken @ (Dialect::Web | Dialect::WebText)) = Dialect::of(Some(content_type)) else {
            return Ok(Flow::Continue);
        };
        let translated =
            HeaderValue::try_from([Dialect::Native.media_type().as_bytes(), format_of(content_type)].concat())?;
        request.edits.set(CONTENT_TYPE, translated)?;
        let wants_text = Dialect::of(request.head.headers.get(&ACCEPT)) == Some(Dialect::WebText);
        request.subject.kept.insert(Wanted(if wants_text { Dialect::WebText } else { spoken }));
        if spoken == Dialect::WebText {
            request.with_body(Box::new(Decode::default()));
        }
        request.note(|| "gRPC-Web goes on as gRPC".to_owned());
        Ok(Flow::Continue)
    }

    async fn response(&self, response: &mut Response<'_>) -> Result<()> {
        let Some(Wanted(dialect)) = response.subject.kept.get::<Wanted>().copied() else { return Ok(()) };
        let content_type = response.headers.get(&CONTENT_TYPE).unwrap_or_default();
        if Dialect::of(Some(content_type)) != Some(Dialect::Native) {
            return Ok(());
        }
        let translated = HeaderValue::try_from([dialect.media_type().as_bytes(), format_of(content_type)].concat())?;
        response.edits.set(header::CONTENT_TYPE, translated)?;
        response.with_body(Box::new(Frames::new(dialect == Dialect::WebText)));
        Ok(())
    }
}

/// What a media type says of the messages: `+proto`; nothing where it says nothing.
fn format_of(content_type: &[u8]) -> &[u8] {
    let end = content_type.iter().position(|byte| matches!(byte, b';' | b' ' | b'\t')).unwrap_or(content_type.len());
    let start = content_type[..end].iter().position(|byte| *byte == b'+').unwrap_or(end);
    &content_type[start..end]
}

impl Configure for GrpcWeb {
    const KIND: &'static str = "grpc_web";
    const STAGE: Stage = Stage::Protocol;
    type Config = Config;

    fn configure(_: Config, _: &Env<'_>) -> std::result::Result<Self, Problems> {
        Ok(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_of_the_messages_is_kept() {
        for (content_type, format) in [
            ("application/grpc-web", ""),
            ("application/grpc-web+proto", "+proto"),
            ("application/grpc-web-text+json; charset=utf-8", "+json"),
            ("application/grpc-web;x=a+b", ""),
            ("", ""),
        ] {
            assert_eq!(format_of(content_type.as_bytes()), format.as_bytes(), "{content_type}");
        }
    }
}
