//! `compress`: what is compressed, by what, and what the head says of it; decoded by the crates' own decoders.

use std::io::Read;

use crate::support::*;

/// Text that is worth it.
fn text(length: usize) -> String {
    (0..)
        .map(|number| format!("line {number} of a text, {}\n", number * 7919 % 1009))
        .flat_map(|line| line.into_bytes())
        .map(char::from)
        .take(length)
        .collect()
}

fn decode(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        "zstd" => drop(zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut out).unwrap()),
        "br" => drop(brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out).unwrap()),
        "gzip" => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap()),
        other => panic!("{other} is no coding"),
    }
    out
}

async fn door(api: &Server, compress: &str) -> Gateway {
    let yaml = format!(
        "routes: {{all: {{path: /, to: \"http://{}\", filters: {{compress: {{{compress}}}}}}}}}",
        api.address()
    );
    Gateway::start(&yaml).await
}

async fn serving(reply: Reply) -> (Gateway, Server) {
    let api = Upstream::new().on("*", reply).start().await;
    (door(&api, "").await, api)
}

fn page(length: usize) -> Reply {
    reply(200).header("content-type", "text/plain").body(text(length))
}

#[tokio::test]
async fn each_coding_brings_the_body_byte_for_byte() {
    let (door, api) = serving(page(100_000).header("etag", "\"v1\"").header("accept-ranges", "bytes")).await;
    for coding in ["zstd", "br", "gzip"] {
        let mut connection = door.client().connect().await;
        for _ in 0..2 {
            let response = connection.send(door.get("/").header("accept-encoding", coding)).await;
            assert_eq!(response.header("content-encoding"), Some(coding));
            assert_eq!(decode(coding, &response.body), text(100_000).into_bytes(), "{coding}");
            assert!(response.body.len() < 40_000, "{coding}: {}", response.body.len());
            assert_eq!(response.headers.all("vary"), ["accept-encoding"]);
            assert_eq!(response.header("etag"), Some("W/\"v1\""));
            for gone in ["content-length", "accept-ranges"] {
                assert_eq!(response.header(gone), None, "{gone}");
            }
        }
    }
    assert_eq!(api.last().header("accept-encoding"), Some("gzip"), "an upstream may compress by itself");
}

#[tokio::test]
async fn the_client_decides_which_and_the_file_where_it_does_not_care() {
    let api = Upstream::new().on("*", page(5000)).start().await;
    for (compress, accepted, coding) in [
        ("", "gzip, deflate, br, zstd", Some("zstd")),
        ("algorithms: [br, gzip]", "gzip, br, zstd", Some("br")),
        ("algorithms: [gzip]", "br, zstd", None),
        ("", "gzip;q=1, br;q=0.5", Some("gzip")),
        ("", "gzip;q=0, *;q=0", None),
        ("", "identity", None),
        ("", "", None),
    ] {
        let door = door(&api, compress).await;
        let response = door.get("/").header("accept-encoding", accepted).send().await;
        assert_eq!(response.header("content-encoding"), coding, "{compress} {accepted}");
        assert_eq!(response.headers.all("vary"), ["accept-encoding"], "{accepted}: caches must know either way");
        match coding {
            Some(coding) => assert_eq!(decode(coding, &response.body), text(5000).into_bytes()),
            None => {
                assert_eq!((response.text(), response.header("content-length")), (text(5000).as_str(), Some("5000")))
            }
        }
    }
}

#[tokio::test]
async fn what_must_not_be_touched_is_not() {
    let plain = || reply(200).header("content-type", "text/plain");
    for (what, script) in [
        ("an event stream", reply(200).header("content-type", "text/event-stream").chunk("data: x\n\n")),
        ("what is encoded already", page(5000).header("content-encoding", "gzip")),
        ("no-transform", page(5000).header("cache-control", "public, No-Transform")),
        (
            "a part",
            reply(206)
                .header("content-type", "text/plain")
                .header("content-range", "bytes 0-4999/9000")
                .body(text(5000)),
        ),
        ("a picture", reply(200).header("content-type", "image/png").body(text(5000))),
        ("no type", reply(200).body(text(5000))),
        ("a small body", page(1023)),
        ("no body", plain()),
        ("a 204", reply(204).header("content-type", "text/plain")),
        ("a digest", page(5000).header("repr-digest", "sha-256=:AA==:")),
    ] {
        let script = script.header("etag", "\"v1\"");
        let (door, _api) = serving(script).await;
        let response = door.get("/").header("accept-encoding", "gzip").send().await;
        assert_ne!(response.header("vary"), Some("accept-encoding"), "{what}");
        assert_eq!(response.header("etag"), Some("\"v1\""), "{what}");
        if what != "what is encoded already" {
            assert_eq!(response.header("content-encoding"), None, "{what}");
        }
    }
    let (door, _api) = serving(page(5000)).await;
    let request = door.get("/").header("accept-encoding", "gzip").header("cache-control", "no-transform");
    assert_eq!(request.send().await.header("content-encoding"), None, "the client asks for it as it is");
}

#[tokio::test]
async fn a_client_that_takes_nothing_else_gets_even_a_small_body_encoded() {
    let (door, _api) = serving(page(100)).await;
    let response = door.get("/").header("accept-encoding", "gzip, identity;q=0").send().await;
    assert_eq!(decode(response.header("content-encoding").unwrap(), &response.body), text(100).into_bytes());
}

#[tokio::test]
async fn a_slow_stream_is_not_held_back() {
    for coding in ["zstd", "br", "gzip"] {
        let gate = Gate::new();
        let script =
            reply(200).header("content-type", "application/json").chunk("{\"first\": 1}\n").wait(&gate).chunk("last");
        let (door, _api) = serving(script).await;
        let mut connection = door.client().connect().await;
        connection.send_head(door.get("/").header("accept-encoding", coding)).await;
        assert_eq!(connection.read_head().await.header("content-encoding"), Some(coding));
        let mut came = Vec::new();
        while !partly(coding, &came).ends_with(b"}\n") {
            came.extend(connection.read_some().await.expect("the first piece before the second is sent"));
        }
        gate.open();
        while let Some(piece) = connection.read_some().await {
            came.extend(piece);
        }
        assert_eq!(decode(coding, &came), b"{\"first\": 1}\nlast");
    }
}

#[tokio::test]
async fn a_body_comes_whole_whatever_chunks_it_is_sent_in() {
    /// Chunks of any size, of text and of noise.
    fn chunks(seed: u64) -> Vec<Vec<u8>> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut chunk = || {
            let bits = random.usize(..18);
            let length = 1 + random.usize(..1 << bits);
            if random.bool() { text(length).into_bytes() } else { (0..length).map(|_| random.u8(..)).collect() }
        };
        (0..=seed % 9).map(|_| chunk()).collect()
    }
    let api = Upstream::new().on(
        "*",
        Script::made(|seen| {
            let head = reply(200).header("content-type", "text/css");
            let seed = seen.target.trim_start_matches('/').parse().unwrap();
            chunks(seed).into_iter().fold(head, Reply::chunk)
        }),
    );
    let api = api.start().await;
    let door = door(&api, "").await;
    let mut connection = door.client().connect().await;
    for seed in 0..60 {
        let coding = ["zstd", "br", "gzip"][seed as usize % 3];
        let response = connection.send(door.get(&format!("/{seed}")).header("accept-encoding", coding)).await;
        assert_eq!(response.header("content-encoding"), Some(coding));
        assert!(decode(coding, &response.body) == chunks(seed).concat(), "seed {seed}, {coding}");
    }
}

/// As much as can be read of what came so far.
fn partly(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut reader: Box<dyn Read> = match coding {
        "zstd" => Box::new(zstd::stream::read::Decoder::new(bytes).unwrap()),
        "br" => Box::new(brotli::Decompressor::new(bytes, 4096)),
        _ => Box::new(flate2::read::GzDecoder::new(bytes)),
    };
    let (mut all, mut room) = (Vec::new(), [0; 512]);
    while let Ok(length @ 1..) = reader.read(&mut room) {
        all.extend_from_slice(&room[..length]);
    }
    all
}

#[tokio::test]
async fn a_head_is_answered_with_the_headers_of_the_get() {
    let api = Upstream::new().on("*", page(5000).header("etag", "\"v1\"")).start().await;
    let yaml = format!(
        "defaults: {{filters: {{compress: {{}}}}}}\nroutes: {{all: {{path: /, to: \"http://{}\"}}, own: {{path: /own, respond: {{body: \"{}\"}}}}}}",
        api.address(),
        "own words ".repeat(200)
    );
    let door = Gateway::start(&yaml).await;
    for target in ["/", "/own"] {
        let mut connection = door.client().connect().await;
        let ask = |method: &str| door.request(method, target).header("accept-encoding", "gzip");
        let get = connection.send(ask("GET")).await;
        let head = connection.send(ask("HEAD")).await;
        for name in ["content-encoding", "vary", "etag", "content-type", "content-length"] {
            assert_eq!(head.header(name), get.header(name), "{target} {name}");
        }
        assert_eq!((get.header("content-encoding"), head.body.len()), (Some("gzip"), 0));
        assert_eq!(connection.send(ask("GET")).await.body, get.body, "the connection is usable");
    }
}

#[tokio::test]
async fn a_client_that_has_it_is_told_so_by_the_tag_that_it_knows() {
    let api = Upstream::new().on(
        "*",
        Script::made(|seen| match seen.header("if-none-match") {
            Some("W/\"v1\"") => reply(304).header("etag", "\"v1\""),
            _ => page(5000).header("etag", "\"v1\"").header("vary", "origin"),
        }),
    );
    let api = api.start().await;
    let door = door(&api, "").await;
    let ask = || door.get("/").header("accept-encoding", "br");
    let first = ask().send().await;
    assert_eq!(first.headers.all("vary"), ["origin", "accept-encoding"]);
    let response = ask().header("if-none-match", first.header("etag").unwrap()).send().await;
    assert_eq!((response.status, response.header("etag")), (304, Some("W/\"v1\"")));
    assert_eq!((response.header("vary"), response.header("content-encoding")), (Some("accept-encoding"), None));
}

#[tokio::test]
async fn the_doors_own_words_are_compressed_if_there_are_enough_of_them() {
    let words = "own words ".repeat(200);
    let door = Gateway::start(&format!(
        "defaults: {{filters: {{compress: {{}}}}}}\nroutes: {{long: {{path: /long, respond: {{body: \"{words}\"}}}}, short: {{path: /short, respond: {{body: short}}}}, gone: {{path: /gone, to: \"http://{}\"}}}}",
        Port::refusing()
    ))
    .await;
    let ask = |target: &str| door.get(target).header("accept-encoding", "gzip");
    let response = ask("/long").send().await;
    assert_eq!(decode(response.header("content-encoding").unwrap(), &response.body), words.as_bytes());
    assert_eq!(response.header("content-length"), Some(response.body.len().to_string().as_str()));
    assert_eq!(ask("/short").send().await.text(), "short");
    let response = ask("/gone").send().await;
    assert_eq!((response.status, response.header("content-encoding")), (502, None));
    let yaml = format!(
        "routes: {{gone: {{path: /, to: \"http://{}\", filters: {{compress: {{min_size: 1B}}}}}}}}",
        Port::refusing()
    );
    let door = Gateway::start(&yaml).await;
    let response = door.get("/").header("accept-encoding", "zstd").send().await;
    assert_eq!(response.status, 502);
    assert!(String::from_utf8(decode("zstd", &response.body)).unwrap().contains("Bad Gateway"));
}

#[tokio::test]
async fn a_body_that_is_cut_short_looks_cut_short() {
    let cut = reply(200).header("content-type", "text/plain").content_length(10_000).body(text(5000)).then_close();
    let (door, _api) = serving(cut).await;
    assert!(door.get("/").header("accept-encoding", "gzip").send().await.truncated());
    assert_eq!(door.cause(1).await.0, "upstream_truncated_body");
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_what_is() {
    for (compress, words) in [
        ("{algorithms: [deflate]}", "gzip"),
        ("{algorithms: []}", "empty"),
        ("{algorithms: [gzip, gzip]}", "stands there twice"),
        ("{levels: {gzip: 10}}", "allowed: 1 to 9"),
        ("{levels: {br: 12}}", "allowed: 0 to 11"),
        ("{min_size: 500}", "`500` has no unit"),
        ("{types: [json]}", "is no media type"),
        ("{types: [text/event-stream]}", "is never compressed"),
        ("{algoritms: [gzip]}", "did you mean `algorithms`?"),
    ] {
        let said =
            Gateway::refused(&format!("routes: {{a: {{path: /, respond: {{}}, filters: {{compress: {compress}}}}}}}"))
                .await;
        assert!(said.iter().any(|line| line.contains(words)), "{compress}: {said:?}");
    }
}
