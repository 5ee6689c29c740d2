//! Paths as other routers have them, or with more in them than a path, and what to write here in their place: `/x/*`,
//! `/users/:id`, `/users/<id>`, `GET /x`, `https://example.com/x`, `/x?page=1`, `/x#top`.

use super::host::HostPattern;
use super::methods::Methods;
use super::pattern::PatternProblem;

/// What is wrong with a text that is meant for another router or has more in it than a path; `None` if it is neither.
pub(super) fn problem(text: &str) -> Option<PatternProblem> {
    let (methods, rest) = split_method(text);
    let (hosts, rest) = split_host(rest);
    let (rest, fragment) = split(rest, '#');
    let (rest, query) = split(rest, '?');
    let (path, foreign) = path_here(rest);
    if methods.is_some() || hosts.is_some() || query.is_some() {
        let query = query.and_then(conditions);
        let keys = [methods, hosts, Some(format!("path: {path}")), query];
        let keys: Vec<String> = keys.into_iter().flatten().map(|key| format!("`{key}`")).collect();
        return Some(PatternProblem::Elsewhere(listed(&keys)));
    }
    if fragment.is_some() {
        return Some(PatternProblem::Fragment(path));
    }
    foreign.map(|piece| PatternProblem::Foreign { piece: piece.to_owned(), better: path })
}

fn split(text: &str, mark: char) -> (&str, Option<&str>) {
    text.split_once(mark).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn listed(keys: &[String]) -> String {
    match keys {
        [many @ .., last] if !many.is_empty() => format!("{} and {last}", many.join(", ")),
        keys => keys.concat(),
    }
}

/// `GET /x`, as Go's `ServeMux` has it.
fn split_method(text: &str) -> (Option<String>, &str) {
    let Some((word, rest)) = text.split_once(char::is_whitespace) else { return (None, text) };
    let (method, rest) = (word.to_ascii_uppercase(), rest.trim_start());
    // In lower case only a usual method is meant for one: `users /7` is no request.
    let is_meant = word == method || Methods::parse(&[word]).is_err();
    let is_method = method.bytes().all(|byte| byte.is_ascii_uppercase()) && Methods::parse(&[&method]).is_ok();
    if is_meant && is_method && (rest.starts_with('/') || split_host(rest).0.is_some()) {
        (Some(format!("methods: [{method}]")), rest)
    } else {
        (None, text)
    }
}

/// `example.com/x` and `http://example.com/x`. Without a scheme a host has a dot or a port, and a path after it:
/// `users/7` and `index.html` only lack their slash.
fn split_host(text: &str) -> (Option<String>, &str) {
    let (is_url, rest) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => (true, rest),
        _ => (false, text),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let looks_so = is_url || (path.starts_with('/') && authority.find(['.', ':']).is_some_and(|at| at > 0));
    let host = authority.split_once(':').filter(|_| !authority.starts_with('[')).map_or(authority, |(host, _)| host);
    match HostPattern::parse(host) {
        Ok(host) if looks_so => (Some(format!("hosts: [{}]", quoted(&host.to_string()))), path),
        _ => (None, text),
    }
}

/// As it has to stand within a flow list of YAML.
fn quoted(text: &str) -> String {
    if text.starts_with(['*', '[']) { format!("\"{text}\"") } else { text.to_owned() }
}

/// `page=1` as conditions. `None` where there is nothing to ask for.
fn conditions(query: &str) -> Option<String> {
    let condition = |pair: &str| match pair.split_once('=') {
        Some((name, value)) => format!("{name}: \"{value}\""),
        None => format!("{pair}: {{present: true}}"),
    };
    let conditions: Vec<String> = query.split('&').filter(|pair| !pair.is_empty()).map(condition).collect();
    (!conditions.is_empty()).then(|| format!("query: {{{}}}", conditions.join(", ")))
}

/// What a segment means to the router that it was written for.
enum Meaning<'a> {
    /// One segment of any text.
    One(&'a str),
    /// All that is left.
    Remainder(&'a str),
    /// All that begins so.
    Below(&'a str),
}

/// The path with this router's wildcards, and the first segment that had others.
fn path_here(text: &str) -> (String, Option<&str>) {
    let pieces: Vec<&str> = text.strip_prefix('/').unwrap_or(text).split('/').collect();
    let mut path = String::new();
    let mut foreign = None;
    for (index, piece) in pieces.iter().enumerate() {
        path.push('/');
        let Some(meaning) = meaning(piece) else {
            path.push_str(piece);
            continue;
        };
        foreign.get_or_insert(*piece);
        let is_last = index + 1 == pieces.len();
        match meaning {
            Meaning::Remainder("") if is_last => {}
            Meaning::Remainder(name) if is_last => path.push_str(&format!("{{{}...}}", free_name(name, &path, text))),
            Meaning::Below(start) if is_last => path.push_str(&format!("{start}/")),
            Meaning::One(name) | Meaning::Remainder(name) => {
                path.push_str(&format!("{{{}}}", free_name(name, &path, text)));
            }
            Meaning::Below(_) => path.push_str(&format!("{{{}}}", free_name("", &path, text))),
        }
    }
    (path, foreign)
}

/// `None` for what is a segment here, be it right or wrong.
fn meaning(piece: &str) -> Option<Meaning<'_>> {
    let inside = |open: char, close: char| piece.strip_prefix(open)?.strip_suffix(close);
    if matches!(piece, "*" | "**" | ".*" | ".+" | "(.*)" | "(.+)") {
        return Some(Meaning::Remainder(""));
    }
    if let Some(inner) = inside('{', '}') {
        // `{*path}`, `{id:[0-9]+}`, `{id?}`
        let (name, after) = split_name(inner.trim_start_matches('*'));
        let is_foreign = inner.starts_with('*') || after.starts_with([':', '?', '=']);
        let meaning = if inner.starts_with('*') { Meaning::Remainder(name) } else { Meaning::One(name) };
        return is_foreign.then_some(meaning);
    }
    if let Some(inner) = inside('<', '>') {
        let (kind, name) = inner.rsplit_once(':').unwrap_or(("", inner));
        let name = split_name(name).0;
        return Some(if kind == "path" { Meaning::Remainder(name) } else { Meaning::One(name) });
    }
    if let Some((name, after)) = piece.strip_prefix(':').map(split_name).filter(|(name, _)| !name.is_empty()) {
        return Some(if matches!(after, "*" | "+") { Meaning::Remainder(name) } else { Meaning::One(name) });
    }
    let (before, after) = piece.split_once('*').filter(|_| !piece.contains(['{', '}']))?;
    Some(match (before, after) {
        ("", name) if split_name(name).1.is_empty() => Meaning::Remainder(name),
        (start, "") if start.bytes().all(|byte| byte.is_ascii_alphanumeric()) => Meaning::Below(start),
        _ => Meaning::One(""),
    })
}

/// The letters, digits and `_` that a text begins with, and the rest of it.
fn split_name(text: &str) -> (&str, &str) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split_at(text.find(|c| !is_part(c)).unwrap_or(text.len()))
}

/// A name for a wildcard that no other one of the path has.
fn free_name(wanted: &str, path: &str, text: &str) -> String {
    let is_name = !wanted.is_empty() && wanted != "rest" && !wanted.starts_with(|c: char| c.is_ascii_digit());
    let wanted = if is_name { wanted } else { "name" };
    let is_taken = |name: &str| {
        [path, text]
            .iter()
            .any(|text| text.contains(&format!("{{{name}}}")) || text.contains(&format!("{{{name}...}}")))
    };
    let numbered = (2..).map(|number| format!("{wanted}{number}"));
    std::iter::once(wanted.to_owned()).chain(numbered).find(|name| !is_taken(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pattern::Pattern;
    use super::*;

    fn said(text: &str) -> String {
        problem(text).map_or("nothing".to_owned(), |problem| problem.to_string())
    }

    #[test]
    fn a_foreign_wildcard_is_told_as_it_is_written_here() {
        for (text, better) in [
            ("*", "/"),
            ("/*", "/"),
            ("/x/*", "/x/"),
            ("/x/**", "/x/"),
            ("/x/(.*)", "/x/"),
            ("/x/*/y", "/x/{name}/y"),
            ("/*/*/*", "/{name}/{name2}/"),
            ("/api*", "/api/"),
            ("/x/*.js", "/x/{name}"),
            (":id", "/{id}"),
            ("/users/:id", "/users/{id}"),
            ("/users/:id/posts/:id", "/users/{id}/posts/{id2}"),
            ("/users/:id([0-9]+)/*", "/users/{id}/"),
            ("/files/:rest", "/files/{name}"),
            ("/files/:path*", "/files/{path...}"),
            ("/files/*path", "/files/{path...}"),
            ("/files/{*path}", "/files/{path...}"),
            ("/users/{id:[0-9]+}/x", "/users/{id}/x"),
            ("/users/<id>", "/users/{id}"),
            ("/users/<int:id>/{id2}", "/users/{id}/{id2}"),
            ("/files/<path:name>", "/files/{name...}"),
        ] {
            let said = said(text);
            assert!(said.ends_with(&format!("; write `{better}`")), "{text}: {said}");
            Pattern::parse(better).unwrap();
        }
        assert_eq!(said("/x/:id/*"), "`:id` is no wildcard here; write `/x/{id}/`");
    }

    #[test]
    fn what_is_no_path_is_told_where_it_belongs() {
        for (text, keys) in [
            ("GET /x", "`methods: [GET]` and `path: /x`"),
            ("get  /x/:id", "`methods: [GET]` and `path: /x/{id}`"),
            ("POST a.test/x", "`methods: [POST]`, `hosts: [a.test]` and `path: /x`"),
            ("example.com/x", "`hosts: [example.com]` and `path: /x`"),
            ("*.example.com/x", "`hosts: [\"*.example.com\"]` and `path: /x`"),
            ("http://h/x", "`hosts: [h]` and `path: /x`"),
            ("https://H.test:8443", "`hosts: [h.test]` and `path: /`"),
            ("localhost:80/*", "`hosts: [localhost]` and `path: /`"),
            ("/x?y", "`path: /x` and `query: {y: {present: true}}`"),
            ("/x?y=1&z=#top", "`path: /x` and `query: {y: \"1\", z: \"\"}`"),
            ("/users/:id?", "`path: /users/{id}`"),
        ] {
            assert_eq!(said(text), format!("only a path stands here; write {keys}"), "{text}");
        }
        assert_eq!(said("/x#y"), "no request carries a `#`: browsers keep it and what follows; write `/x`");
    }

    #[test]
    fn what_is_a_path_here_is_left_alone() {
        for text in [
            "/",
            "/users",
            "users",
            "users/7",
            "index.html",
            "/a:b",
            "/v1/x:cancel",
            "/:",
            "/a.test/x",
            "/{a}/{b...}",
            "/x/{$}",
            "/{a",
            "/a{b}",
            "/a b",
            "my file/x",
            "users /7",
            ".well-known/x",
            "",
        ] {
            assert_eq!(said(text), "nothing", "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_to_be_written_is_never_foreign_again(text in "/?[/{}a:*<>.?=# h]{0,12}|.*") {
            let better = match problem(&text) {
                Some(PatternProblem::Foreign { better, .. } | PatternProblem::Fragment(better)) => better,
                _ => return Ok(()),
            };
            prop_assert_eq!(problem(&better), None, "{}", better);
        }
    }
}
