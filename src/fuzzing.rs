//! What fuzzers feed bytes to, and what holds whatever the bytes are. `fuzz/` has a target for each of these; what those
//! have found stays in `fuzz/finds`, and is played again by the tests here.

use std::collections::BTreeSet;

use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

pub use crate::filters::fuzz_token as token;

use crate::config::{Config, Problem};
use crate::head::wire::Wire;
use crate::head::{Path, host, strict};
use crate::proxy_protocol;

/// A client's bytes: read alike in whatever pieces they come, and what passes is HTTP/1 to another parser, too.
pub fn wire(bytes: &[u8]) {
    let read = |size: usize| {
        let mut wire = Wire::new(100_000);
        bytes.chunks(size.max(1)).for_each(|piece| wire.saw(piece));
        (wire.begun(), wire.problem())
    };
    let whole = read(bytes.len());
    let size = bytes.first().map_or(1, |byte| usize::from(byte % 7) + 1);
    assert_eq!(read(size), whole);
    assert!(whole.1.is_none_or(|(of, _)| of == whole.0), "the problem is the last message's");
    let mut bytes = bytes;
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    // Of a head that is not whole only whole lines are judged.
    let has_head = bytes.windows(4).any(|window| window == b"\r\n\r\n");
    let lines = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let judged = if has_head { bytes } else { &bytes[..lines] };
    if whole.1.is_none() {
        let mut room = [httparse::EMPTY_HEADER; 257];
        let parsed = httparse::Request::new(&mut room).parse(judged);
        assert!(parsed.is_ok(), "{parsed:?}");
    }
}

/// A request's head as a driver has parsed it: what passes has one host in its one spelling, and one length.
pub fn head(bytes: &[u8]) {
    let mut room = [httparse::EMPTY_HEADER; 256];
    let mut parsed = httparse::Request::new(&mut room);
    if !parsed.parse(bytes).is_ok_and(|parsed| parsed.is_complete()) {
        return;
    }
    let mut headers = HeaderMap::new();
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(header.value)) {
            headers.append(name, value);
        }
    }
    let Ok(method) = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes()) else { return };
    let target = parsed.path.unwrap_or_default();
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        let Ok(checked) = strict::check(&method, version, target, &headers, strict::HeadLimits::default()) else {
            continue;
        };
        assert_eq!(host::normalise(checked.host.as_bytes()).as_deref(), Ok(&*checked.host));
        let origin = checked.path_and_query;
        assert!(origin.starts_with('/') && (origin == "/" || target.ends_with(origin)), "{target:?} as {origin:?}");
        let count = |name: &str| headers.get_all(name).iter().count();
        assert!(count("host") <= 1 && count("content-length") + count("transfer-encoding") <= 1);
    }
}

/// A path: canonical once and for all, without a way upwards, and the same for another spelling of the same.
pub fn path(bytes: &[u8]) {
    let Ok(raw) = std::str::from_utf8(bytes) else { return };
    let Ok(path) = Path::parse(raw) else { return };
    let canonical = path.canonical();
    let again = Path::parse(canonical).expect("a canonical path is good");
    assert_eq!((again.canonical(), again.forwarded()), (canonical, canonical));
    let forwarded = Path::parse(path.forwarded()).expect("a forwarded path is good");
    assert_eq!(forwarded.canonical(), canonical);
    assert_eq!(path.segments().count(), path.forwarded().split('/').skip(1).count());
    let last = path.segments().count() - 1;
    for (index, segment) in path.segments().enumerate() {
        let decoded = decoded(decoded(segment.as_bytes().to_vec()));
        assert!(!segment.is_empty() || index == last, "an empty segment in {canonical:?}");
        for part in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
            let name = part.split(|byte| matches!(byte, b';' | b'?' | b'#' | b' ' | 0)).next();
            assert_ne!(name, Some(&b".."[..]), "{canonical:?} climbs");
        }
    }
    if raw.contains('%') {
        return;
    }
    let escape = |c: char| if c.is_ascii_alphabetic() { format!("%{:02x}", u32::from(c)) } else { c.into() };
    let escaped: String = raw.chars().map(escape).collect();
    assert_eq!(Path::parse(&escaped).as_ref().map(Path::canonical), Ok(canonical));
}

fn decoded(bytes: Vec<u8>) -> Vec<u8> {
    percent_encoding::percent_decode(&bytes).collect()
}

/// A configuration: refused with problems that stand somewhere in it, or taken.
///
/// Only what names no upstream and no URL is compiled, so that no name is looked up.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let is_far = ["://", "include", "file", "pem", "redis", "discover", "/dev"].iter().any(|word| text.contains(word));
    if is_far {
        return;
    }
    let problems = match Config::parse_with(text, "fuzz.yaml", &|_| None) {
        Err(refused) => {
            assert!(!refused.problems.is_empty(), "refused for nothing");
            refused.problems
        }
        Ok((config, warnings)) if !config.upstreams.is_empty() => warnings,
        Ok((config, _)) => match crate::snapshot::compile(config, &crate::builtins(), None) {
            Err(problems) => {
                assert!(problems.iter().any(Problem::is_error), "refused for nothing");
                problems
            }
            Ok((_, warnings)) => warnings,
        },
    };
    let lines = text.split(['\n', '\r']).count() + 1;
    for problem in &problems {
        assert!(!problem.message.is_empty() && !problem.message.contains('\n'), "{problem:?}");
        if let Some(place) = &problem.place {
            assert!(place.line >= 1 && place.line as usize <= lines && place.column >= 1, "{problem:?}");
        }
    }
    let told: BTreeSet<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), problems.len(), "something is said twice: {problems:#?}");
}

/// The PROXY header of a connection: no byte is read behind it, and it says the same by itself.
pub fn proxy_header(bytes: &[u8]) {
    let mut rest = bytes;
    let read = proxy_protocol::read(&mut rest).now_or_never().expect("bytes in memory are there");
    if let Ok(client) = read {
        let header = &bytes[..bytes.len() - rest.len()];
        assert_eq!(proxy_protocol::parse(header).ok(), Some(client));
        assert!(
            header.starts_with(b"\r\n\r\n\0\r\nQUIT\n") || (header.starts_with(b"PROXY ") && header.ends_with(b"\r\n"))
        );
    } else {
        proxy_protocol::parse(bytes).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path as File;

    use super::*;

    #[test]
    fn what_was_found_once_is_found_no_more() {
        type Target = (&'static str, fn(&[u8]));
        let targets: [Target; 6] = [
            ("wire", wire),
            ("head", head),
            ("path", path),
            ("config", config),
            ("token", token),
            ("proxy_header", proxy_header),
        ];
        let mut played = 0;
        for (name, target) in targets {
            for folder in ["finds", "seeds"] {
                let folder = File::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder).join(name);
                for file in std::fs::read_dir(folder).into_iter().flatten() {
                    target(&std::fs::read(file.unwrap().path()).unwrap());
                    played += 1;
                }
            }
        }
        assert!(played >= targets.len(), "{played}");
    }
}
