//! A record as one line of text: JSON, combined, or a template.
//!
//! No value can forge a line or a field, whatever the client sent: every control byte, quote and backslash of a value
//! is written as an escape, and so is, outside of quotes, a space.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::Record;
use super::text::{address, common_time, decimal, escaped, json_text, millis, padded, rfc3339};
use crate::config::did_you_mean;

/// How a [`Record`] becomes a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Format(Kind);

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Json,
    Combined,
    Template(Vec<Part>),
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Literal(String),
    Field { field: Field, quoted: bool },
}

impl Format {
    /// One JSON object a line, with the fields of [`Field::ALL`] under their names and in that order; those that are
    /// not known are left out. `tries`, `status`, `duration_ms` and the two byte counts are always there.
    #[must_use]
    pub const fn json() -> Self {
        Self(Kind::Json)
    }

    /// The format that Apache and nginx call combined, byte for byte as nginx writes it (`\x22` for a quote, `000`
    /// where no status was sent, the body's bytes as the size, `-` for what is missing).
    #[must_use]
    pub const fn combined() -> Self {
        Self(Kind::Combined)
    }

    /// A line with `{name}` wherever a field of [`Field::ALL`] is to stand, and `{{` and `}}` for braces. A field that
    /// is not known is `-`. Values are escaped as in [`combined`](Self::combined); where a field does not stand between
    /// double quotes, its spaces are escaped too, so that columns stay columns.
    ///
    /// # Errors
    /// What is wrong with the template, in one sentence: an unknown name (with the ones that exist), a brace without
    /// its partner, a control character, or nothing at all.
    pub fn template(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty template; give it at least one `{name}`".into());
        }
        if let Some(control) = text.chars().find(|c| c.is_control() && *c != '\t') {
            return Err(format!("the template has a control character ({control:?}); a record is one line"));
        }
        parse(text).map(|parts| Self(Kind::Template(parts)))
    }

    /// Appends the record and a line feed. Nothing else in what is appended is a line feed or another control byte,
    /// except for tabs that stand in a template.
    pub fn write(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        match &self.0 {
            Kind::Json => json(record, out),
            Kind::Combined => combined(record, out),
            Kind::Template(parts) => template(parts, record, out),
        }
        out.push(b'\n');
    }
}

/// What a line can tell, by the names that JSON keys and templates have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `time`: when the request came, `2026-11-24T11:05:00.123Z`.
    Time,
    /// `request_id`
    RequestId,
    /// `client`: an address; IPv4 as such even where it came through an IPv6 socket.
    Client,
    /// `method`
    Method,
    /// `host`: what was asked for.
    Host,
    /// `path`: with the query, as the client sent it.
    Path,
    /// `protocol`: `HTTP/1.1` and so on.
    Protocol,
    /// `tls`: the version of TLS, `TLSv1_2` or `TLSv1_3`.
    Tls,
    /// `cipher`: of TLS.
    Cipher,
    /// `listener`: its name.
    Listener,
    /// `route`: its name.
    Route,
    /// `identity`: whom `auth` has found the request to come from.
    Identity,
    /// `upstream`: its name.
    Upstream,
    /// `endpoint`: the address that was tried last.
    Endpoint,
    /// `tries`: endpoints asked.
    Tries,
    /// `status`: 0 in JSON and `-` in a template where none was sent.
    Status,
    /// `grpc_status`: of a gRPC call, a number.
    GrpcStatus,
    /// `cause`: the stable code of what failed.
    Cause,
    /// `phase`: how far the last try had come when that failed: `request`, `connect`, `tls`, `send`, `head` or `body`.
    Phase,
    /// `detail`: more about what failed, also in tries before one that succeeded.
    Detail,
    /// `duration_ms`: of the whole exchange, in milliseconds with three decimals as all times here.
    Duration,
    /// `connect_ms`: of the last connection made.
    Connect,
    /// `upstream_ms`: until the upstream's head began to come.
    UpstreamHead,
    /// `bytes_received`: of the request's body.
    Received,
    /// `bytes_sent`: of the response's body.
    Sent,
    /// `user_agent`
    UserAgent,
    /// `referer`
    Referer,
}

/// A field's value, before a format has made it safe.
enum Value<'a> {
    Text(&'a [u8]),
    Number(u64),
    Millis(Duration),
    Time(SystemTime),
    Address(IpAddr),
}

impl Field {
    /// All there are, in the order in which JSON has them.
    pub const ALL: [Self; 27] = [
        Self::Time,
        Self::RequestId,
        Self::Client,
        Self::Method,
        Self::Host,
        Self::Path,
        Self::Protocol,
        Self::Tls,
        Self::Cipher,
        Self::Listener,
        Self::Route,
        Self::Identity,
        Self::Upstream,
        Self::Endpoint,
        Self::Tries,
        Self::Status,
        Self::GrpcStatus,
        Self::Cause,
        Self::Phase,
        Self::Detail,
        Self::Duration,
        Self::Connect,
        Self::UpstreamHead,
        Self::Received,
        Self::Sent,
        Self::UserAgent,
        Self::Referer,
    ];

    /// Its JSON key, and its name in a template.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::RequestId => "request_id",
            Self::Client => "client",
            Self::Method => "method",
            Self::Host => "host",
            Self::Path => "path",
            Self::Protocol => "protocol",
            Self::Tls => "tls",
            Self::Cipher => "cipher",
            Self::Listener => "listener",
            Self::Route => "route",
            Self::Identity => "identity",
            Self::Upstream => "upstream",
            Self::Endpoint => "endpoint",
            Self::Tries => "tries",
            Self::Status => "status",
            Self::GrpcStatus => "grpc_status",
            Self::Cause => "cause",
            Self::Phase => "phase",
            Self::Detail => "detail",
            Self::Duration => "duration_ms",
            Self::Connect => "connect_ms",
            Self::UpstreamHead => "upstream_ms",
            Self::Received => "bytes_received",
            Self::Sent => "bytes_sent",
            Self::UserAgent => "user_agent",
            Self::Referer => "referer",
        }
    }

    fn value<'a>(self, record: &Record<'a>) -> Option<Value<'a>> {
        let text = |text: Option<&'a str>| text.map(|text| Value::Text(text.as_bytes()));
        let known = |bytes: &'a [u8]| (!bytes.is_empty()).then_some(Value::Text(bytes));
        match self {
            Self::Time => Some(Value::Time(record.started)),
            Self::RequestId => text(record.request_id),
            Self::Client => record.client.map(Value::Address),
            Self::Method => known(record.method.as_bytes()),
            Self::Host => record.host.and_then(known),
            Self::Path => known(record.target),
            Self::Protocol => known(protocol(record.version).as_bytes()),
            Self::Tls => text(record.tls),
            Self::Cipher => text(record.cipher),
            Self::Listener => text(record.listener),
            Self::Route => text(record.route),
            Self::Identity => record.identity.and_then(known),
            Self::Upstream => text(record.upstream),
            Self::Endpoint => text(record.endpoint),
            Self::Tries => Some(Value::Number(record.tries.into())),
            Self::Status => Some(Value::Number(record.status.into())),
            Self::GrpcStatus => record.grpc_status.map(|status| Value::Number(status.into())),
            Self::Cause => text(record.cause),
            Self::Phase => text(record.phase),
            Self::Detail => text(record.detail),
            Self::Duration => Some(Value::Millis(record.total)),
            Self::Connect => record.connect.map(Value::Millis),
            Self::UpstreamHead => record.upstream_head.map(Value::Millis),
            Self::Received => Some(Value::Number(record.received)),
            Self::Sent => Some(Value::Number(record.sent)),
            Self::UserAgent => record.user_agent.map(Value::Text),
            Self::Referer => record.referer.map(Value::Text),
        }
    }
}

const fn protocol(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_09 => "HTTP/0.9",
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_11 => "HTTP/1.1",
        http::Version::HTTP_2 => "HTTP/2.0",
        http::Version::HTTP_3 => "HTTP/3.0",
        _ => "",
    }
}

fn parse(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut quoted = false;
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, found) = rest.split_at(at);
        literal.push_str(before);
        quoted ^= before.matches('"').count() % 2 == 1;
        if let Some(after) = found.strip_prefix("{{").or_else(|| found.strip_prefix("}}")) {
            literal.push_str(&found[..1]);
            rest = after;
        } else if let Some(inner) = found.strip_prefix('{') {
            let (name, after) = inner.split_once('}').ok_or_else(|| format!("`{found}` has no closing brace"))?;
            let field = Field::ALL.into_iter().find(|field| field.name() == name).ok_or_else(|| unknown(name))?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Field { field, quoted });
            rest = after;
        } else {
            return Err("a `}` without its `{`; write `}}` for a brace".into());
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

fn unknown(name: &str) -> String {
    let names = || Field::ALL.iter().map(|field| field.name());
    let hint = did_you_mean(name, names()).map(|near| format!(" did you mean `{{{near}}}`?")).unwrap_or_default();
    // Not `format!` in a `map`: rustc 1.95 takes more than ten minutes to optimise that over a constant array.
    let mut allowed = String::new();
    for known in names() {
        allowed.extend(["{", known, "}, "]);
    }
    format!("there is no `{{{name}}}` here;{hint} allowed: {allowed}and {{{{ for a brace")
}

fn json(record: &Record<'_>, out: &mut Vec<u8>) {
    let mut before = b'{';
    for field in Field::ALL {
        let Some(value) = field.value(record) else { continue };
        out.push(before);
        before = b',';
        out.push(b'"');
        out.extend_from_slice(field.name().as_bytes());
        out.extend_from_slice(b"\":");
        match value {
            Value::Number(number) => decimal(number, out),
            Value::Millis(duration) => millis(duration, out),
            text => {
                out.push(b'"');
                match text {
                    Value::Text(bytes) => json_text(bytes, out),
                    other => plain(&other, out),
                }
                out.push(b'"');
            }
        }
    }
    out.push(b'}');
}

fn combined(record: &Record<'_>, out: &mut Vec<u8>) {
    let text = |bytes: &[u8], out: &mut Vec<u8>| escaped(if bytes.is_empty() { b"-" } else { bytes }, true, out);
    match record.client {
        Some(client) => address(client, out),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" - ");
    escaped(record.identity.filter(|identity| !identity.is_empty()).unwrap_or(b"-"), false, out);
    out.extend_from_slice(b" [");
    common_time(record.started, out);
    out.extend_from_slice(b"] \"");
    if record.method.is_empty() {
        out.push(b'-');
    } else {
        escaped(record.method.as_bytes(), true, out);
        out.push(b' ');
        text(record.target, out);
        out.push(b' ');
        out.extend_from_slice(protocol(record.version).as_bytes());
    }
    out.extend_from_slice(b"\" ");
    padded(record.status.into(), 3, out);
    out.push(b' ');
    decimal(record.sent, out);
    out.extend_from_slice(b" \"");
    text(record.referer.unwrap_or_default(), out);
    out.extend_from_slice(b"\" \"");
    text(record.user_agent.unwrap_or_default(), out);
    out.push(b'"');
}

fn template(parts: &[Part], record: &Record<'_>, out: &mut Vec<u8>) {
    for part in parts {
        let (field, quoted) = match part {
            Part::Literal(text) => {
                out.extend_from_slice(text.as_bytes());
                continue;
            }
            Part::Field { field, quoted } => (*field, *quoted),
        };
        match field.value(record) {
            None | Some(Value::Text(b"")) => out.push(b'-'),
            Some(Value::Number(0)) if field == Field::Status => out.push(b'-'),
            Some(Value::Text(bytes)) => escaped(bytes, quoted, out),
            Some(value) => plain(&value, out),
        }
    }
}

/// What needs no escape in any format.
fn plain(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Text(bytes) => escaped(bytes, false, out),
        Value::Number(number) => decimal(*number, out),
        Value::Millis(duration) => millis(*duration, out),
        Value::Time(time) => rfc3339(*time, out),
        Value::Address(ip) => address(*ip, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::UNIX_EPOCH;

    const HOSTILE: &[u8] = b"a\"b\\c\nd\re\0f\x1b[31m\x7f\xc2\x9b\xff\xfe {x} \xe2\x80\xae\xe2\x80\xa8 z\tw\xf0\x9f";

    fn full() -> Record<'static> {
        Record {
            request_id: Some("0192f"),
            client: Some(Ipv4Addr::new(192, 0, 2, 7).into()),
            method: "GET",
            host: Some(b"api.example.com"),
            target: b"/users/7?x=1",
            tls: Some("TLSv1_3"),
            cipher: Some("TLS13_AES_128_GCM_SHA256"),
            listener: Some("web"),
            route: Some("users"),
            identity: Some(b"u1"),
            upstream: Some("users"),
            endpoint: Some("127.0.0.1:9101"),
            tries: 2,
            status: 200,
            grpc_status: Some(14),
            total: Duration::from_micros(12_345),
            connect: Some(Duration::from_micros(80)),
            upstream_head: Some(Duration::from_millis(12)),
            received: 5,
            sent: 612,
            user_agent: Some(b"curl/8.5.0"),
            referer: Some(b"https://example.com/"),
            cause: Some("upstream_truncated_body"),
            phase: Some("body"),
            detail: Some("12 of 20 bytes"),
            ..Record::at(UNIX_EPOCH + Duration::from_millis(1_795_518_300_123))
        }
    }

    fn hostile() -> Record<'static> {
        Record {
            method: "G\"E T\n",
            tls: Some("TLSv1.3"),
            cipher: Some("TLS_AES_256_GCM_SHA384"),
            host: Some(HOSTILE),
            target: HOSTILE,
            user_agent: Some(HOSTILE),
            referer: Some(HOSTILE),
            request_id: Some("a\u{9b}\"\n"),
            route: Some("r\n"),
            identity: Some(HOSTILE),
            detail: Some("\u{2028}\"\\\n"),
            ..full()
        }
    }

    fn line(format: &Format, record: &Record<'_>) -> String {
        let mut out = b"before".to_vec();
        format.write(record, &mut out);
        let text = String::from_utf8(out).expect("a line is UTF-8");
        text.strip_prefix("before").expect("what was there stays").to_owned()
    }

    fn template(text: &str) -> Format {
        Format::template(text).expect(text)
    }

    fn every_field() -> String {
        let mut all = String::new();
        for field in Field::ALL {
            all.extend([" {", field.name(), "}"]);
        }
        all.split_off(1)
    }

    #[test]
    fn json_has_every_known_field_in_the_documented_order() {
        assert_eq!(
            line(&Format::json(), &full()),
            concat!(
                r#"{"time":"2026-11-24T11:05:00.123Z","request_id":"0192f","client":"192.0.2.7","method":"GET","#,
                r#""host":"api.example.com","path":"/users/7?x=1","protocol":"HTTP/1.1","tls":"TLSv1_3","cipher":"TLS13_AES_128_GCM_SHA256","listener":"web","#,
                r#""route":"users","identity":"u1","upstream":"users","endpoint":"127.0.0.1:9101","tries":2,"status":200,"grpc_status":14,"#,
                r#""cause":"upstream_truncated_body","phase":"body","detail":"12 of 20 bytes","duration_ms":12.345,"#,
                r#""connect_ms":0.080,"upstream_ms":12.000,"bytes_received":5,"bytes_sent":612,"#,
                r#""user_agent":"curl/8.5.0","referer":"https://example.com/"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn json_leaves_out_what_is_not_known() {
        assert_eq!(
            line(&Format::json(), &Record::at(UNIX_EPOCH)),
            concat!(
                r#"{"time":"1970-01-01T00:00:00.000Z","protocol":"HTTP/1.1","tries":0,"status":0,"#,
                r#""duration_ms":0.000,"bytes_received":0,"bytes_sent":0}"#,
                "\n"
            )
        );
    }

    #[test]
    fn combined_is_what_nginx_writes() {
        assert_eq!(
            line(&Format::combined(), &full()),
            "192.0.2.7 - u1 [24/Nov/2026:11:05:00 +0000] \"GET /users/7?x=1 HTTP/1.1\" 200 612 \
             \"https://example.com/\" \"curl/8.5.0\"\n"
        );
        assert_eq!(
            line(&Format::combined(), &Record::at(UNIX_EPOCH)),
            "- - - [01/Jan/1970:00:00:00 +0000] \"-\" 000 0 \"-\" \"-\"\n"
        );
    }

    #[test]
    fn a_template_has_fields_literals_and_braces() {
        assert_eq!(
            line(&template("{{{status}}} {method} {path} {duration_ms} {connect_ms} {bytes_sent} {time}"), &full()),
            "{200} GET /users/7?x=1 12.345 0.080 612 2026-11-24T11:05:00.123Z\n"
        );
        assert_eq!(line(&template("only text"), &full()), "only text\n");
    }

    #[test]
    fn what_is_missing_in_a_template_is_a_dash() {
        let empty = Record { user_agent: Some(b""), ..Record::at(UNIX_EPOCH) };
        let all = every_field();
        assert_eq!(
            line(&template(&all), &empty),
            "1970-01-01T00:00:00.000Z - - - - - HTTP/1.1 - - - - - - - 0 - - - - - 0.000 - - 0 0 - -\n"
        );
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_names_that_exist() {
        let error = Format::template("{statsu} {path}").expect_err("misspelt");
        assert!(error.contains("`{statsu}`") && error.contains("did you mean `{status}`?"), "{error}");
        for name in every_field().split(' ') {
            assert!(error.contains(name), "{error}");
        }
        let error = Format::template("{nothing_of_the_kind}").expect_err("unknown");
        assert!(!error.contains("did you mean"), "{error}");
    }

    #[test]
    fn a_template_that_cannot_be_read_is_refused() {
        for (text, reason) in [
            ("", "empty"),
            ("{status", "closing"),
            ("status}", "without its"),
            ("{}", "there is no `{}`"),
            ("{status}\n{path}", "control"),
            ("{ status }", "there is no"),
            ("{{status}", "without its"),
        ] {
            let error = Format::template(text).expect_err(text);
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }

    #[test]
    fn no_value_ends_a_line_or_commands_a_terminal() {
        let all = every_field();
        for format in [Format::json(), Format::combined(), template(&all), template("\"{user_agent}\" {host}")] {
            let line = line(&format, &hostile());
            let body = line.strip_suffix('\n').expect("a line feed at the end");
            assert!(!body.chars().any(char::is_control), "{body:?}");
            assert!(!body.contains(['\u{2028}', '\u{202e}']), "{body:?}");
        }
    }

    #[test]
    fn hostile_values_come_back_from_json_as_they_were() {
        let line = line(&Format::json(), &hostile());
        let parsed: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(parsed["path"], String::from_utf8_lossy(HOSTILE).as_ref());
        assert_eq!(parsed["user_agent"], String::from_utf8_lossy(HOSTILE).as_ref());
        assert_eq!(parsed["request_id"], "a\u{9b}\"\n");
        assert_eq!(parsed["status"], 200);
        assert_eq!(parsed.as_object().expect("an object").len(), Field::ALL.len());
    }

    #[test]
    fn hostile_values_add_no_quotes_to_combined() {
        let line = line(&Format::combined(), &hostile());
        assert_eq!(line.matches('"').count(), 6, "{line}");
        assert!(line.contains(r"a\x22b\x5Cc\x0Ad\x0De\x00f\x1B[31m\x7F\xC2\x9B\xFF\xFE {x} "), "{line}");
    }

    #[test]
    fn hostile_values_add_no_columns_to_a_template() {
        let columns = line(&template("{host} {status} {user_agent}"), &hostile());
        assert_eq!(columns.trim_end().split(' ').count(), 3, "{columns}");
        let quoted = line(&template("\"{user_agent}\" {status}"), &hostile());
        assert_eq!(quoted.matches('"').count(), 2, "{quoted}");
        assert!(quoted.contains(" {x} "), "a space inside of quotes stays: {quoted}");
    }

    #[test]
    fn names_are_unique() {
        let mut names = Field::ALL.map(Field::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Field::ALL.len());
    }
}
