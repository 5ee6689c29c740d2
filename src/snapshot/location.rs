//! Where a redirect may lead: to a path of the door's own, or to a URL whose host stands in the file.

use crate::head::host;

/// Why a template cannot be a redirect's target, and what can. Whatever a client fills in, a good one leads to the
/// host that the file says: `http://{x}.test/` would be an open redirect.
pub(super) fn check(to: &str) -> Result<(), String> {
    if to.contains('\\') {
        return Err("browsers read a backslash as `/`; write `/`, or `%5C` where it is data".to_owned());
    }
    if to.chars().any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
        return Err("a location holds no spaces, line breaks or non-ASCII characters; percent-encode them".to_owned());
    }
    if let Some(rest) = to.strip_prefix("//") {
        return Err(format!("browsers read `{to}` as another host's; write `https://{rest}` or `/{rest}`"));
    }
    if to.starts_with('/') {
        return Ok(());
    }
    match to.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => check_authority(scheme, rest),
        Some((scheme, rest)) if is_scheme(scheme) => {
            let better = if scheme.eq_ignore_ascii_case("http") { "http" } else { "https" };
            Err(format!("a redirect leads to `http` or `https`, not to `{scheme}`; write `{better}://{rest}`"))
        }
        _ => Err(format!("`{to}` is neither a path nor a URL; begin it with `/`, `https://` or `http://`")),
    }
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn check_authority(scheme: &str, rest: &str) -> Result<(), String> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() {
        let path = rest.trim_start_matches('/');
        return Err(format!(
            "a URL has a host, and here it is empty; write `{scheme}://example.com/{path}` or `/{path}`"
        ));
    }
    if authority.contains(['{', '}']) {
        return Err("the host of a redirect cannot hold a variable: clients would choose it; write it out".to_owned());
    }
    host::normalise(authority.as_bytes())
        .map(drop)
        .map_err(|why| format!("`{authority}` is no host to lead to: {why}; write it as in `{scheme}://example.com/`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_a_url_with_a_host_of_its_own_are_targets() {
        for to in [
            "/",
            "/v2/{rest}",
            "/#/app",
            "/a?next=https://x.test",
            "https://h.test",
            "https://h.test?a=1",
            "http://h.test:8080/{rest}",
            "https://[::1]/x#y",
        ] {
            assert_eq!(check(to), Ok(()), "{to}");
        }
    }

    #[test]
    fn a_bad_target_says_what_to_write() {
        for (to, says) in [
            ("https:///x", "write `https://example.com/x` or `/x`"),
            ("https://", "it is empty"),
            ("https://?x", "it is empty"),
            ("//evil.test/", "write `https://evil.test/` or `/evil.test/`"),
            ("/\\evil.test", "write `/`, or `%5C`"),
            ("https://a.test\\@b.test/", "a backslash"),
            ("ftp://a.test/x", "not to `ftp`; write `https://a.test/x`"),
            ("HTTP://a.test/x", "write `http://a.test/x`"),
            ("javascript:alert(1)", "begin it with `/`"),
            ("https:evil.test", "begin it with `/`"),
            ("{rest}", "begin it with `/`"),
            ("v2/{rest}", "begin it with `/`"),
            ("", "begin it with `/`"),
            ("https://{id}.test/", "cannot hold a variable"),
            ("https://a.test{rest}", "cannot hold a variable"),
            ("https://u@a.test/", "user information"),
            ("https://a.test:x/", "port"),
            ("/a b", "percent-encode"),
            ("/\t{rest}", "percent-encode"),
            ("/é", "percent-encode"),
        ] {
            let said = check(to).unwrap_err();
            assert!(said.contains(says), "{to}: {said}");
        }
    }
}
