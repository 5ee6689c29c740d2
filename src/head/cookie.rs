//! Cookies that a client sends.

use http::header::COOKIE;

use super::Headers;

/// The value of a cookie (RFC 6265, 4.2): the first of that name.
pub fn cookie<'a>(headers: &'a dyn Headers, name: &[u8]) -> Option<&'a [u8]> {
    let mut found = None;
    headers.all(&COOKIE, &mut |value| {
        found = found.or(cookies(value).find(|(own, _)| *own == name).map(|(_, value)| value));
    });
    found
}

/// Names and values of one `Cookie` header, without the spaces around them; what has no `=` is left out.
pub fn cookies(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    value.split(|byte| *byte == b';').filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        Some((pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()))
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("xsid=1; a=b;sid=abc==; sid=second"));
        headers.append(COOKIE, HeaderValue::from_static("late=yes"));
        let value =
            |name: &str| cookie(&headers, name.as_bytes()).map(|value| String::from_utf8_lossy(value).into_owned());
        assert_eq!(value("sid").as_deref(), Some("abc=="));
        assert_eq!(value("late").as_deref(), Some("yes"));
        assert_eq!(value("none"), None);
        assert_eq!(value("si"), None);
    }

    #[test]
    fn a_header_has_names_and_values() {
        let pairs: Vec<_> = cookies(b"a=1; token=x.y.z; odd; b==2").collect();
        assert_eq!(pairs, [(&b"a"[..], &b"1"[..]), (b"token", b"x.y.z"), (b"b", b"=2")]);
    }
}
