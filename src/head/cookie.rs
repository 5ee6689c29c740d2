//! Cookies that a client sends.

use http::header::COOKIE;

use super::Headers;

/// The value of a cookie (RFC 6265, 4.2): the first of that name.
pub fn cookie<'a>(headers: &'a dyn Headers, name: &[u8]) -> Option<&'a [u8]> {
    let mut found = None;
    headers.all(&COOKIE, &mut |value| {
        let pairs = value.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let value = pairs.filter_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"=")).next();
        found = found.or(value);
    });
    found
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
}
