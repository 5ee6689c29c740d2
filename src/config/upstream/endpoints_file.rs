//! A file of endpoints that other tools write, named by `discover: {file: …}`.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use super::super::decode::decode;
use super::super::node::{Node, Value};
use super::super::problem::{Place, Problem, render};
use super::super::value::EndpointAddress;
use super::super::yaml;
use super::Endpoint;

/// Reads such a file: a list as under `endpoints`, or a map with such a list as its only key `endpoints`. YAML, and so
/// JSON. `${NAME}` is not replaced. `file` is its name, for the places of problems.
///
/// # Errors
/// Everything that is wrong: bad YAML, an unknown key, a name in place of an address, an address that stands twice, no
/// endpoint at all, and an end that looks cut off (text outside of brackets without a line break behind it).
pub fn read_endpoints(bytes: &[u8], file: &str) -> Result<Vec<Endpoint>, Vec<Problem>> {
    let file: Arc<str> = file.into();
    let mut problems = Vec::new();
    let Some(mut root) = yaml::parse(bytes, &file, &mut problems) else { return Err(problems) };
    root.number();
    if root.is_null() {
        return Err(vec![Problem::error(Some(root.place), "", format!("the file is empty; {NEEDS}"))]);
    }
    if let Some(place) = cut_off(bytes, &file) {
        let message = "the last line has no line break, so the file may be cut off; end it with one (best is to write \
                       the file aside and rename it)";
        return Err(vec![Problem::error(Some(place), "", message)]);
    }
    let (list, path) = list_in(&root);
    let endpoints = match &root.value {
        Value::Map(_) => decode::<File>(&root, &[], &[], &mut problems).map(|file| file.endpoints),
        _ => decode(&root, &[], &[], &mut problems),
    };
    match endpoints {
        Some(endpoints) if problems.is_empty() => {
            check(&endpoints, list, path, &mut problems);
            if problems.is_empty() { Ok(endpoints) } else { Err(problems) }
        }
        _ => Err(problems),
    }
}

const NEEDS: &str = "it needs at least one endpoint, such as `[127.0.0.1:9101]`";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    endpoints: Vec<Endpoint>,
}

/// The node that the endpoints stand in, and the keys that lead there.
fn list_in(root: &Node) -> (&Node, &'static [&'static str]) {
    match root.get("endpoints") {
        Some(list) => (list, &["endpoints"]),
        None => (root, &[]),
    }
}

/// Where a file ends that was perhaps not written to its end. Brackets that are not closed are bad YAML, but a list in
/// lines can be cut anywhere, and what is left of an address may be another address.
fn cut_off(bytes: &[u8], file: &Arc<str>) -> Option<Place> {
    let ends_well =
        bytes.ends_with(b"\n") || bytes.trim_ascii_end().ends_with(b"]") || bytes.trim_ascii_end().ends_with(b"}");
    let line = bytes.iter().filter(|&&byte| byte == b'\n').count() as u32 + 1;
    (!ends_well).then(|| Place { file: file.clone(), line, column: 1 })
}

/// Whoever writes the file knows the addresses, and a name would have to be resolved on each change.
fn name_refused(host: &str, port: u16) -> String {
    format!(
        "`{host}:{port}` is a name; a file of endpoints holds addresses such as `127.0.0.1:{port}`; to follow a name, \
         write `discover: {{dns: \"{host}:{port}\"}}`"
    )
}

fn check(endpoints: &[Endpoint], list: &Node, path: &[&str], problems: &mut Vec<Problem>) {
    if endpoints.is_empty() {
        problems.push(Problem::error(Some(list.place.clone()), render(path), format!("the list is empty; {NEEDS}")));
    }
    let mut refuse = |index: usize, message: String| {
        let place = list.items().get(index).map(|node| node.place.clone());
        let index = index.to_string();
        let path: Vec<&str> = path.iter().copied().chain([index.as_str()]).collect();
        problems.push(Problem::error(place, render(&path), message));
    };
    let mut places: HashMap<&EndpointAddress, &Place> = HashMap::new();
    for (index, (endpoint, node)) in endpoints.iter().zip(list.items()).enumerate() {
        if let EndpointAddress::Name { host, port } = &endpoint.address {
            refuse(index, name_refused(host, *port));
        }
        if let Some(first) = places.insert(&endpoint.address, &node.place) {
            refuse(index, format!("{} stands twice, first at {first}; take one away", endpoint.address));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, u16, bool)>, Vec<String>> {
        match read_endpoints(text.as_bytes(), "users.yaml") {
            Ok(endpoints) => Ok(endpoints.into_iter().map(|e| (e.address.to_string(), e.weight.0, e.backup)).collect()),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn a_list_a_map_and_json_say_the_same() {
        let wanted = vec![("127.0.0.1:9101".to_owned(), 1, false), ("unix:/run/x".to_owned(), 3, true)];
        for text in [
            "[127.0.0.1:9101, {address: unix:/run/x, weight: 3, backup: true}]",
            "- 127.0.0.1:9101\n- address: unix:/run/x\n  weight: 3\n  backup: true\n",
            "endpoints:\n- 127.0.0.1:9101\n- {address: unix:/run/x, weight: 3, backup: true}\n",
            r#"{"endpoints": ["127.0.0.1:9101", {"address": "unix:/run/x", "weight": 3, "backup": true}]}"#,
        ] {
            assert_eq!(read(text), Ok(wanted.clone()), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, words) in [
            ("", "users.yaml:1:1: the file is empty; it needs at least one endpoint"),
            ("# nothing\n", "users.yaml:1:1: the file is empty"),
            ("[]", "users.yaml:1:1: the list is empty"),
            ("{endpoints: []}", "users.yaml:1:13: endpoints: the list is empty"),
            ("{endpoints: ~}", "users.yaml:1:13: endpoints: nothing stands behind this key"),
            ("[127.0.0.1:9101", "expected `,` or `]` in the list"),
            ("[\"127.0.0.1:9101\", \"127.0", "users.yaml:1:"),
            ("- 127.0.0.1:9101\n- 127.0.0.1:91", "users.yaml:2:1: the last line has no line break"),
            ("- 127.0.0.1:9101\n- users:80\n", "users.yaml:2:3: [1]: `users:80` is a name"),
            (
                "- {address: 127.0.0.1:1, weight: 1001}\n",
                "users.yaml:1:34: [0].weight: expected a weight from 0 to 1000",
            ),
            ("- {address: 127.0.0.1:1, wieght: 3}\n", "did you mean `weight`?"),
            ("- {weight: 3}\n", "`address` is missing"),
            (
                "[127.0.0.1:1, 127.0.0.1:1]",
                "1:15: [1]: 127.0.0.1:1 stands twice, first at users.yaml:1:2; take one away",
            ),
            ("{endpoint: [127.0.0.1:1]}", "did you mean `endpoints`?"),
            ("hello\n", "expected a list"),
            ("- \u{0}\n", "users.yaml:1:"),
        ] {
            let why = read(text).expect_err(text);
            assert!(why[0].contains(words), "{text}: {why:?}");
        }
        assert!(read_endpoints(b"- \xff\n", "x").is_err_and(|why| why[0].to_string().contains("x:1:3: the byte 0xff")));
    }

    #[test]
    fn no_beginning_of_a_file_is_taken_for_the_whole() {
        for whole in ["[127.0.0.1:9101, {address: 127.0.0.1:9102, weight: 30}]", r#"{"endpoints": ["127.0.0.1:9101"]}"#]
        {
            assert!(read(whole).is_ok());
            for end in 0..whole.len() {
                assert!(read(&whole[..end]).is_err(), "{}", &whole[..end]);
            }
        }
    }
}
