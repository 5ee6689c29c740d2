//! A file of endpoints that other tools write, named by `discover: {file: …}`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::super::decode::{by_shape, decode};
use super::super::node::{Node, Value};
use super::super::problem::{Place, Problem, render};
use super::super::value::EndpointAddress;
use super::super::yaml;

/// One endpoint of such a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedEndpoint {
    /// Where it listens: a socket address or a Unix socket, never a name.
    pub address: EndpointAddress,
    /// Its share of the requests beside the others', 0 to 1000; 0 takes it out of turn.
    pub weight: u16,
    /// Whether it gets requests only while no endpoint that is none is healthy.
    pub backup: bool,
}

/// Reads such a file: a list as under `endpoints`, or a map with such a list as its only key `endpoints`. YAML, and so
/// JSON. `${NAME}` is not replaced. `file` is its name, for the places of problems.
///
/// # Errors
/// Everything that is wrong: bad YAML, an unknown key, a name in place of an address, an address that stands twice, no
/// endpoint at all, and an end that looks cut off (text outside of brackets without a line break behind it).
pub fn read_endpoints(bytes: &[u8], file: &str) -> Result<Vec<ListedEndpoint>, Vec<Problem>> {
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
    endpoints: Vec<ListedEndpoint>,
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

fn check(endpoints: &[ListedEndpoint], list: &Node, path: &[&str], problems: &mut Vec<Problem>) {
    if endpoints.is_empty() {
        problems.push(Problem::error(Some(list.place.clone()), render(path), format!("the list is empty; {NEEDS}")));
    }
    let mut places: HashMap<&EndpointAddress, &Place> = HashMap::new();
    for (index, (endpoint, node)) in endpoints.iter().zip(list.items()).enumerate() {
        if let Some(first) = places.insert(&endpoint.address, &node.place) {
            let index = index.to_string();
            let path: Vec<&str> = path.iter().copied().chain([index.as_str()]).collect();
            let message = format!("{} stands twice, first at {first}; take one away", endpoint.address);
            problems.push(Problem::error(Some(node.place.clone()), render(&path), message));
        }
    }
}

/// The heaviest weight.
const HEAVIEST: u16 = 1000;

/// An endpoint with settings of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    address: Literal,
    #[serde(default = "one", deserialize_with = "weight")]
    weight: u16,
    #[serde(default)]
    backup: bool,
}

fn one() -> u16 {
    1
}

fn weight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    match u16::deserialize(deserializer)? {
        weight @ ..=HEAVIEST => Ok(weight),
        weight => Err(D::Error::custom(format!("the weight {weight} is too large; allowed are 0 to {HEAVIEST}"))),
    }
}

/// An address that needs no look-up: whoever writes the file knows the addresses, and a name would have to be resolved
/// on each change.
struct Literal(EndpointAddress);

impl std::str::FromStr for Literal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            EndpointAddress::Name { host, port } => Err(format!(
                "`{host}:{port}` is a name; a file of endpoints holds addresses such as `127.0.0.1:{port}`; to follow \
                 a name, write `discover: {{dns: \"{host}:{port}\"}}`"
            )),
            address => Ok(Self(address)),
        }
    }
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::super::value::from_text(deserializer, "an address such as `127.0.0.1:9101`")
    }
}

impl<'de> Deserialize<'de> for ListedEndpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = ListedEndpoint;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an address such as `127.0.0.1:9101`, or a map such as `{address: 127.0.0.1:9101, weight: 3}`",
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ListedEndpoint, E> {
                let Literal(address) = text.parse().map_err(E::custom)?;
                Ok(ListedEndpoint { address, weight: one(), backup: false })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ListedEndpoint, A::Error> {
                let Written { address, weight, backup } = Written::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ListedEndpoint { address: address.0, weight, backup })
            }
        }

        by_shape(deserializer, Shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, u16, bool)>, Vec<String>> {
        match read_endpoints(text.as_bytes(), "users.yaml") {
            Ok(endpoints) => Ok(endpoints.into_iter().map(|e| (e.address.to_string(), e.weight, e.backup)).collect()),
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
            ("{endpoints: ~}", "users.yaml:1:13: endpoints: expected a list"),
            ("[127.0.0.1:9101", "expected `,` or `]` in the list"),
            ("[\"127.0.0.1:9101\", \"127.0", "users.yaml:1:"),
            ("- 127.0.0.1:9101\n- 127.0.0.1:91", "users.yaml:2:1: the last line has no line break"),
            ("- 127.0.0.1:9101\n- users:80\n", "users.yaml:2:3: [1]: `users:80` is a name"),
            ("- {address: 127.0.0.1:1, weight: 1001}\n", "users.yaml:1:34: [0].weight: the weight 1001 is too large"),
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
