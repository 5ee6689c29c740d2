//! Readers of HTTP/1 that share nothing with the door: a strict one, which takes only what has one meaning, and lenient
//! ones, each as careless as some server out there. What all of them read alike has one meaning.

/// A request as a reader understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub method: String,
    pub target: String,
    pub host: String,
    pub body: Vec<u8>,
}

/// How what a reader was given ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With the last message.
    Clean,
    /// Within a message.
    Cut,
    /// With what is no message, and why.
    Wrong(&'static str),
}

/// What a reader has read.
#[derive(Debug)]
pub struct Read {
    pub messages: Vec<Message>,
    /// The headers of each message, names in lower case.
    pub headers: Vec<Vec<(String, String)>>,
    pub end: End,
    /// Where the first message ends.
    pub first_ends: usize,
}

impl Read {
    fn new() -> Self {
        Self { messages: Vec::new(), headers: Vec::new(), end: End::Clean, first_ends: 0 }
    }
}

type Headers = Vec<(String, String)>;

/// Reads as RFC 9112 has it, and takes nothing that anybody could read in another way.
pub fn strict(bytes: &[u8]) -> Read {
    let mut read = Read::new();
    let mut rest = bytes;
    loop {
        while let Some(behind) = rest.strip_prefix(b"\r\n") {
            rest = behind;
        }
        if rest.is_empty() || rest == b"\r" {
            return read;
        }
        match strict_message(&mut rest) {
            Ok((message, headers)) => {
                read.messages.push(message);
                read.headers.push(headers);
            }
            Err(end) => {
                read.end = end;
                return read;
            }
        }
        if read.messages.len() == 1 {
            read.first_ends = bytes.len() - rest.len();
        }
    }
}

fn strict_message(rest: &mut &[u8]) -> Result<(Message, Headers), End> {
    let line = strict_line(rest)?;
    let parts: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts[..] else { return Err(End::Wrong("a request line of not three parts")) };
    let is_version = version == b"HTTP/1.1" || version == b"HTTP/1.0";
    if !is_token(method) || target.is_empty() || !target.iter().all(u8::is_ascii_graphic) || !is_version {
        return Err(End::Wrong("a request line"));
    }
    let mut headers = Headers::new();
    loop {
        let line = strict_line(rest)?;
        if line.is_empty() {
            break;
        }
        headers.push(strict_field(line)?);
    }
    let all =
        |wanted: &str| headers.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value).collect::<Vec<_>>();
    let (hosts, lengths, codings) = (all("host"), all("content-length"), all("transfer-encoding"));
    let [host] = hosts[..] else { return Err(End::Wrong("not one Host")) };
    let body = match (&lengths[..], &codings[..]) {
        ([], []) => Vec::new(),
        ([length], []) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let length: i64 = length.parse().map_err(|_| End::Wrong("a length beyond numbers"))?;
            let length = usize::try_from(length).map_err(|_| End::Wrong("a length beyond numbers"))?;
            if rest.len() < length {
                return Err(End::Cut);
            }
            let (body, behind) = rest.split_at(length);
            *rest = behind;
            body.to_vec()
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") && version == b"HTTP/1.1" => strict_chunks(rest)?,
        _ => return Err(End::Wrong("framing")),
    };
    let message = Message { method: text(method), target: text(target), host: host.clone(), body };
    Ok((message, headers))
}

fn strict_line<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], End> {
    let Some(at) = rest.iter().position(|byte| *byte == b'\n') else {
        let cr = rest.iter().position(|byte| *byte == b'\r');
        return Err(if cr.is_some_and(|at| at + 1 < rest.len()) { End::Wrong("a bare CR") } else { End::Cut });
    };
    let line = rest[..at].strip_suffix(b"\r").ok_or(End::Wrong("a bare LF"))?;
    *rest = &rest[at + 1..];
    if line.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
        return Err(End::Wrong("a control byte"));
    }
    Ok(line)
}

fn strict_field(line: &[u8]) -> Result<(String, String), End> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(End::Wrong("a header without a colon"))?;
    if !is_token(&line[..colon]) {
        return Err(End::Wrong("a header's name"));
    }
    Ok((text(&line[..colon]).to_ascii_lowercase(), text(trim(&line[colon + 1..]))))
}

fn strict_chunks(rest: &mut &[u8]) -> Result<Vec<u8>, End> {
    let mut body = Vec::new();
    loop {
        let line = strict_line(rest)?;
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
        if size.is_empty() || size.len() > 16 || !size.iter().all(u8::is_ascii_hexdigit) {
            return Err(End::Wrong("a chunk's size"));
        }
        let size = i64::from_str_radix(&text(size), 16).map_err(|_| End::Wrong("a chunk's size"))?;
        let size = usize::try_from(size).map_err(|_| End::Wrong("a chunk's size"))?;
        if size == 0 {
            break;
        }
        if rest.len() < size.saturating_add(2) {
            let begun = rest.get(size..).unwrap_or_default();
            return Err(if b"\r\n".starts_with(begun) { End::Cut } else { End::Wrong("what follows a chunk") });
        }
        body.extend_from_slice(&rest[..size]);
        if &rest[size..size + 2] != b"\r\n" {
            return Err(End::Wrong("what follows a chunk"));
        }
        *rest = &rest[size + 2..];
    }
    loop {
        let line = strict_line(rest)?;
        if line.is_empty() {
            return Ok(body);
        }
        let (name, _) = strict_field(line)?;
        if matches!(&*name, "content-length" | "transfer-encoding" | "host") {
            return Err(End::Wrong("framing in a trailer"));
        }
    }
}

/// A way to read carelessly.
#[derive(Debug, Clone, Copy)]
pub struct Careless {
    /// Lines end in a bare CR, too, not only in a bare LF.
    bare_cr: bool,
    /// A line that begins with a space goes on with the one before it; else it is a header of its own.
    folds: bool,
    /// `_` in a name is `-`, as in CGI.
    cgi: bool,
    /// Of several lengths the last counts, not the first.
    last_length: bool,
    /// A length counts even beside a coding.
    length_wins: bool,
    /// A coding that has `chunked` anywhere in it is that; else it has to be exactly so.
    any_coding: bool,
}

/// All of them.
pub fn careless() -> impl Iterator<Item = Careless> {
    (0..64_u8).map(|bits| {
        let bit = |at: u8| bits >> at & 1 == 1;
        Careless {
            bare_cr: bit(0),
            folds: bit(1),
            cgi: bit(2),
            last_length: bit(3),
            length_wins: bit(4),
            any_coding: bit(5),
        }
    })
}

impl Careless {
    /// Reads whatever somehow looks like messages.
    pub fn read(self, bytes: &[u8]) -> Read {
        let mut read = Read::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.message(&mut rest) {
                Some((message, headers)) => {
                    read.messages.push(message);
                    read.headers.push(headers);
                }
                None => {
                    read.end = End::Cut;
                    break;
                }
            }
        }
        read
    }

    fn message(self, rest: &mut &[u8]) -> Option<(Message, Headers)> {
        let mut line = self.line(rest)?;
        while line.is_empty() {
            line = self.line(rest)?;
        }
        let line = text(line);
        let mut parts = line.split_ascii_whitespace();
        let (method, target) =
            (parts.next().unwrap_or_default().to_owned(), parts.next().unwrap_or_default().to_owned());
        let mut headers = Headers::new();
        loop {
            let line = self.line(rest)?;
            if line.is_empty() {
                break;
            }
            self.note(&text(line), &mut headers);
        }
        let body = self.body(rest, &headers)?;
        let host = headers.iter().rev().find(|(name, _)| name == "host").map(|(_, value)| value.clone());
        Some((Message { method, target, host: host.unwrap_or_default(), body }, headers))
    }

    fn line<'a>(self, rest: &mut &'a [u8]) -> Option<&'a [u8]> {
        let is_end = |byte: &u8| *byte == b'\n' || (self.bare_cr && *byte == b'\r');
        let at = rest.iter().position(is_end)?;
        let line = &rest[..at];
        let crlf = rest[at..].starts_with(b"\r\n");
        *rest = &rest[at + 1 + usize::from(crlf)..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn note(self, line: &str, headers: &mut Headers) {
        if self.folds
            && line.starts_with([' ', '\t'])
            && let Some((_, value)) = headers.last_mut()
        {
            *value += line;
            return;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        // Whatever is no letter around a name is overlooked.
        let mut name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_ascii_lowercase();
        if self.cgi {
            name = name.replace('_', "-");
        }
        headers.push((name, value.trim_matches(|c: char| c.is_whitespace() || c.is_control()).to_owned()));
    }

    fn body(self, rest: &mut &[u8], headers: &Headers) -> Option<Vec<u8>> {
        let all = |wanted: &str| {
            headers.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value).collect::<Vec<_>>()
        };
        let lengths = all("content-length");
        let length = if self.last_length { lengths.last() } else { lengths.first() };
        let length = length.map(|value| {
            let digits: String = value.trim_start_matches('+').chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<usize>().unwrap_or(0)
        });
        let is_chunked = |value: &&String| {
            let value = value.to_ascii_lowercase();
            if self.any_coding { value.contains("chunked") } else { value == "chunked" }
        };
        let chunked = all("transfer-encoding").iter().any(is_chunked);
        match length {
            Some(length) if !chunked || self.length_wins => {
                let body = rest.get(..length)?.to_vec();
                *rest = &rest[length..];
                Some(body)
            }
            _ if chunked => self.chunks(rest),
            _ => Some(Vec::new()),
        }
    }

    fn chunks(self, rest: &mut &[u8]) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = text(self.line(rest)?);
            let digits: String = line.trim_start().chars().take_while(char::is_ascii_hexdigit).collect();
            let size = usize::from_str_radix(&digits, 16).unwrap_or(0);
            if size == 0 {
                break;
            }
            body.extend_from_slice(rest.get(..size)?);
            *rest = &rest[size..];
            self.line(rest)?;
        }
        while !self.line(rest)?.is_empty() {}
        Some(body)
    }
}

/// Reads heads and chunk sizes by httparse, which many servers have.
pub fn by_httparse(bytes: &[u8]) -> Read {
    let mut read = Read::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        match httparse_message(&mut rest) {
            Some((message, headers)) => {
                read.messages.push(message);
                read.headers.push(headers);
            }
            None => {
                read.end = End::Cut;
                break;
            }
        }
    }
    read
}

fn httparse_message(rest: &mut &[u8]) -> Option<(Message, Headers)> {
    let mut room = [httparse::EMPTY_HEADER; 256];
    let mut parsed = httparse::Request::new(&mut room);
    let httparse::Status::Complete(end) = parsed.parse(rest).ok()? else { return None };
    let field = |header: &httparse::Header<'_>| (header.name.to_ascii_lowercase(), text(header.value));
    let headers: Headers = parsed.headers.iter().map(field).collect();
    let (method, target) = (parsed.method?.to_owned(), parsed.path?.to_owned());
    *rest = &rest[end..];
    let value = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let mut body = Vec::new();
    if value("transfer-encoding").is_some() {
        loop {
            let httparse::Status::Complete((at, size)) = httparse::parse_chunk_size(rest).ok()? else { return None };
            let end = at + usize::try_from(size).ok()?;
            body.extend_from_slice(rest.get(at..end)?);
            *rest = rest.get(end..)?.strip_prefix(b"\r\n")?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = value("content-length") {
        let length = length.parse::<usize>().ok()?;
        body.extend_from_slice(rest.get(..length)?);
        *rest = &rest[length..];
    }
    Some((Message { method, target, host: value("host")?, body }, headers))
}

fn is_token(bytes: &[u8]) -> bool {
    let is = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is)
}

fn trim(value: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_blank(byte)).map_or(start, |at| at + 1);
    &value[start..end]
}

/// Byte for byte, so that nothing is lost.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}
