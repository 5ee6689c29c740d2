//! `compress`: bodies of responses as gzip, brotli or zstd, for clients that take them.
//!
//! ```yaml
//! filters:
//!   compress: {}                                    # what follows is what that means
//!   compress:
//!     algorithms: [zstd, br, gzip]                  # of those that a client likes equally, the first
//!     levels: {zstd: 3, br: 4, gzip: 6}
//!     min_size: 1KiB                                # smaller bodies are left alone, if their length is known
//!     types: ["text/*", "*/*+json", "*/*+xml", application/json, …]
//! ```
//!
//! **What the client takes** is its `Accept-Encoding` with all its weights (RFC 9110, 12.5.3): `gzip;q=0` is a no, `*`
//! is whatever is not named, `identity;q=0` asks for a coding whatever the size. Without the header nothing is
//! compressed.
//!
//! **Left alone** are: event streams and gRPC, whose messages must not wait; what has a `Content-Encoding` already, so
//! an upstream may compress by itself; `Cache-Control: no-transform`, in request or response; parts (206,
//! `Content-Range`); 204, 304 and 101; what comes with a digest of its bytes (RFC 9530); all types that are not in
//! `types`. What the upstream, or a route's `respond`, says of itself counts, not what the filter `headers` makes of it
//! afterwards. The door's own answers on the route are compressed, too.
//!
//! **Headers.** `Vary: Accept-Encoding` stands on all that might have been compressed, also where it was not for this
//! client; a filter `headers` that sets `vary` takes that away. A strong `ETag` becomes a weak one (`W/"x"`), since the
//! bytes are other ones than the upstream's. For `If-None-Match` that makes no difference: there `W/"x"` and `"x"` are
//! the same (RFC 9110, 13.1.2), and the upstream's 304 comes through. `If-Match` and `If-Range` never match a weak one,
//! so no write and no part is taken for what it is not. (Apache appends `-gzip` instead, which no upstream knows.)
//! `Content-Length` and `Accept-Ranges` go. A `HEAD` is answered with the headers of the `GET`.
//!
//! **Streams.** A body without a `Content-Length` may be one whose end is far: each piece is compressed and sent on as
//! it comes. One with a length is compressed in larger blocks.
//!
//! **Cost.** Compression is done where the request is served, piece by piece (64 KiB at most), with moderate levels;
//! those above zstd 9 and br 6 are for small answers only. At the levels above, a response under way holds 0.5 MiB for
//! gzip, 0.7 for brotli, 1.7 for zstd.
//!
//! **Secrets.** The length of a compressed page tells of its content: where it has both a secret (a token against
//! request forgery) and what an attacker may choose (a search term), the secret can be guessed byte by byte from
//! outside TLS (BREACH, CVE-2013-3587). Mask such secrets anew in each page, or say `compress: off` on those routes.

mod accept;
mod coding;
mod media;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, VARY,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::Size;
use crate::filter::{Configure, Env, Filter, Flow, Problems, Request, Response, Result, Stage, async_trait};
use crate::head::Headers;
use accept::{Accept, Choice};
use coding::{Coding, Encode, Plan};
use media::{Media, USUAL};

/// Compresses the bodies of responses.
pub(super) struct Compress {
    offered: Vec<Coding>,
    levels: Levels,
    min_size: u64,
    types: Vec<Media>,
}

/// What is compressed, and how.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Config {
    /// Of those that a client likes equally, the first is used.
    algorithms: Vec<Coding>,
    /// How much work is put into it.
    levels: Levels,
    /// Smaller bodies are left alone, if their length is known.
    min_size: Size,
    /// Media types: `application/json`, `text/*`, `*/*+json`.
    types: Vec<String>,
}

/// How much work is put into each algorithm: more is smaller, and slower.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Levels {
    /// 1 to 19.
    #[schemars(range(min = 1, max = 19))]
    zstd: u32,
    /// 0 to 11.
    #[schemars(range(min = 0, max = 11))]
    br: u32,
    /// 1 to 9.
    #[schemars(range(min = 1, max = 9))]
    gzip: u32,
}

impl Default for Levels {
    fn default() -> Self {
        Self { zstd: 3, br: 4, gzip: 6 }
    }
}

impl Default for Config {
    fn default() -> Self {
        let types = USUAL.iter().map(|text| (*text).to_owned()).collect();
        Self { algorithms: Coding::ALL.to_vec(), levels: Levels::default(), min_size: Size(1024), types }
    }
}

impl Levels {
    fn of(self, coding: Coding) -> u32 {
        match coding {
            Coding::Zstd => self.zstd,
            Coding::Br => self.br,
            Coding::Gzip => self.gzip,
        }
    }
}

#[async_trait]
impl Filter for Compress {
    async fn request(&self, request: &mut Request<'_>) -> Result<Flow> {
        // What the client said itself: what a filter tells the upstream in its place is another matter.
        let choice = Accept::read(request.head.headers).choose(&self.offered);
        match choice.filter(|_| !is_untouchable(request.head.headers)) {
            Some(choice) => {
                request.subject.kept.insert(choice);
                request.note(|| format!("the client gets {} where it is worth it", choice.coding.name()));
            }
            None => request.note(|| "the client gets what comes as it is".to_owned()),
        }
        Ok(Flow::Continue)
    }

    async fn response(&self, response: &mut Response<'_>) -> Result<()> {
        let choice = response.subject.kept.get::<Choice>().copied();
        if response.status == StatusCode::NOT_MODIFIED {
            return self.not_modified(response, choice);
        }
        if !self.may_be_compressed(response, choice) {
            return Ok(());
        }
        vary(response)?;
        let Some(Choice { coding, .. }) = choice else { return Ok(()) };
        response.edits.set(CONTENT_ENCODING, HeaderValue::from_static(coding.name()))?;
        response.edits.remove(ACCEPT_RANGES)?;
        weaken(response)?;
        let flush = response.headers.get(&CONTENT_LENGTH).is_none();
        let plan = Plan { coding, level: self.levels.of(coding), flush, head: response.method == Method::HEAD };
        response.with_body(Box::new(Encode::new(plan)));
        Ok(())
    }
}

impl Compress {
    /// Whether a response's content depends on what the client takes.
    fn may_be_compressed(&self, response: &Response<'_>, choice: Option<Choice>) -> bool {
        let headers = response.headers;
        let has_body = !response.status.is_informational()
            && !matches!(response.status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT);
        has_body
            && response.status != StatusCode::PARTIAL_CONTENT
            && headers.get(&CONTENT_TYPE).is_some_and(|value| media::is_worth_it(&self.types, value))
            && AS_IT_IS.iter().all(|name| headers.get(name).is_none())
            && !is_untouchable(headers)
            && self.is_large_enough(headers, choice)
    }

    fn is_large_enough(&self, headers: &dyn Headers, choice: Option<Choice>) -> bool {
        let length = headers.get(&CONTENT_LENGTH).and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        let least = if choice.is_some_and(|choice| choice.needs_coding) { 1 } else { self.min_size };
        length.is_none_or(|length: u64| length >= least)
    }

    /// A 304 tells of the response that the client has, which was compressed if this one would have been. It need not
    /// say of what type that was.
    fn not_modified(&self, response: &mut Response<'_>, choice: Option<Choice>) -> Result<()> {
        let other = |value: &[u8]| !media::is_worth_it(&self.types, value);
        if response.headers.get(&CONTENT_TYPE).is_some_and(other) || is_untouchable(response.headers) {
            return Ok(());
        }
        vary(response)?;
        if choice.is_some() { weaken(response) } else { Ok(()) }
    }
}

/// A response with one of these is about bytes as they are.
static AS_IT_IS: [HeaderName; 6] = [
    CONTENT_ENCODING,
    CONTENT_RANGE,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Whether `Cache-Control` says `no-transform` (RFC 9111, 5.2.1.6 and 5.2.2.6).
fn is_untouchable(headers: &dyn Headers) -> bool {
    lists(headers, &CACHE_CONTROL, b"no-transform")
}

/// Whether one of a list in a header is this.
fn lists(headers: &dyn Headers, name: &HeaderName, wanted: &[u8]) -> bool {
    let mut found = false;
    headers.all(name, &mut |value| {
        found |= value.split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(wanted));
    });
    found
}

/// Says that the response depends on what the client takes.
fn vary(response: &mut Response<'_>) -> Result<()> {
    let told = [&b"accept-encoding"[..], b"*"].iter().any(|name| lists(response.headers, &VARY, name));
    if !told {
        response.edits.add(VARY, HeaderValue::from_static("accept-encoding"))?;
    }
    Ok(())
}

/// Makes a strong `ETag` a weak one.
fn weaken(response: &mut Response<'_>) -> Result<()> {
    if let Some(tag) = response.headers.get(&ETAG).filter(|tag| tag.starts_with(b"\"")) {
        let weak = HeaderValue::from_bytes(&[b"W/", tag].concat())?;
        response.edits.set(ETAG, weak)?;
    }
    Ok(())
}

impl Configure for Compress {
    const KIND: &'static str = "compress";
    const STAGE: Stage = Stage::Compress;
    type Config = Config;

    fn configure(config: Config, _: &Env<'_>) -> std::result::Result<Self, Problems> {
        let mut problems = Problems::default();
        for coding in Coding::ALL {
            let (level, allowed) = (config.levels.of(coding), coding.levels());
            if !allowed.contains(&level) {
                let (least, most) = (allowed.start(), allowed.end());
                problems
                    .add(&["levels", coding.name()], format!("{level} is no level of it; allowed: {least} to {most}"));
            }
        }
        if config.algorithms.is_empty() {
            problems.add(
                &["algorithms"],
                "the list is empty; name some, such as `[zstd, br, gzip]`, or write `compress: off`",
            );
        }
        for (index, coding) in config.algorithms.iter().enumerate() {
            if config.algorithms[..index].contains(coding) {
                problems.add(&["algorithms", &index.to_string()], format!("`{}` stands there twice", coding.name()));
            }
        }
        if config.types.is_empty() {
            problems.add(&["types"], "the list is empty; name some, such as `[\"text/*\", application/json]`");
        }
        let mut types = Vec::new();
        for (index, text) in config.types.iter().enumerate() {
            match text.parse() {
                Ok(media) => types.push(media),
                Err(message) => problems.add(&["types", &index.to_string()], message),
            }
        }
        problems.or(Self { offered: config.algorithms, levels: config.levels, min_size: config.min_size.0, types })
    }
}
