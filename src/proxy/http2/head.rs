//! From the fields of an HTTP/2 request to the one head that the engine knows.

use http::header::{COOKIE, HOST};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Uri};
use pingora::http::RequestHeader;

use crate::head::strict::HeadProblem;

/// Makes a head as HTTP/1 has it: the authority is in `Host`, the target is path and query, and of cookies there is one
/// line (RFC 9113, 8.2.3). What is wrong with it that can't be seen any more afterwards is told beside it.
pub(super) fn read(mut parts: Parts) -> (RequestHeader, Option<HeadProblem>) {
    let problem = problem(&parts);
    join_cookies(&mut parts);
    if !parts.headers.contains_key(HOST)
        && let Some(host) = parts.uri.authority().and_then(|name| HeaderValue::from_str(name.as_str()).ok())
    {
        parts.headers.insert(HOST, host);
    }
    let target = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    parts.uri = Uri::from(target);
    (RequestHeader::from(parts), problem)
}

/// What only these fields show: a tunnel (RFC 9113, 8.5, without a path), another scheme than those that the door
/// serves, an authority that is not the `Host` (8.3.1).
fn problem(parts: &Parts) -> Option<HeadProblem> {
    if parts.method == Method::CONNECT {
        return Some(HeadProblem::Method);
    }
    // Without an authority h2 keeps no scheme either.
    let authority = parts.uri.authority()?.as_str().as_bytes();
    if !matches!(parts.uri.scheme_str(), Some("http" | "https")) {
        return Some(HeadProblem::Target);
    }
    let is_other = |host: &HeaderValue| !host.as_bytes().eq_ignore_ascii_case(authority);
    parts.headers.get_all(HOST).iter().any(is_other).then_some(HeadProblem::HostMismatch)
}

fn join_cookies(parts: &mut Parts) {
    let mut crumbs = parts.headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let mut all = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        all.extend_from_slice(b"; ");
        all.extend_from_slice(crumb.as_bytes());
    }
    // Values that were valid one by one are so together.
    if let Ok(all) = HeaderValue::from_bytes(&all) {
        parts.headers.insert(COOKIE, all);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::request::Builder;

    use super::*;

    fn parts(request: Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_authority_becomes_the_host_and_the_target_a_path() {
        let (head, problem) = read(parts(Request::get("https://Shop.test:8443/a?b=c")));
        assert_eq!(head.headers[HOST], "Shop.test:8443");
        assert_eq!((head.raw_path(), problem), (&b"/a?b=c"[..], None));
    }

    #[test]
    fn crumbs_of_cookies_are_one_line() {
        let request = Request::get("http://a/").header(COOKIE, "a=1").header(COOKIE, "b=2; c=3").header(COOKIE, "d=4");
        let (head, _) = read(parts(request));
        assert_eq!(head.headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2; c=3; d=4"]);
    }

    #[test]
    fn an_authority_that_is_not_the_host_is_refused() {
        let told = |host: &str| read(parts(Request::get("http://a.test/").header(HOST, host))).1;
        assert_eq!(told("A.test"), None);
        assert_eq!(told("b.test"), Some(HeadProblem::HostMismatch));
        assert_eq!(told("a.test:80"), Some(HeadProblem::HostMismatch));
    }

    #[test]
    fn tunnels_and_other_schemes_are_refused() {
        assert_eq!(read(parts(Request::connect("a.test:443"))).1, Some(HeadProblem::Method));
        assert_eq!(read(parts(Request::get("ftp://a.test/"))).1, Some(HeadProblem::Target));
    }
}
