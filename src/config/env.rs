//! `${NAME}` and `${NAME:-default}` in the values of a tree.
//!
//! It happens after parsing, so no variable can bring YAML into a file; only values are looked at, never keys. `$$` is
//! a `$`, and a `$` before anything but `{` and `$` is one too, so that regular expressions and `{$}` stay as they are.
//! What stands in a value without quotes is typed by what it has become: `port: ${PORT}` is a number if the variable
//! is one, and nothing at all if it is empty. Between brackets YAML takes the braces for its own, so `{port: "${PORT}"}`
//! needs quotes: they count for nothing around one variable alone.

use std::ffi::OsString;

use super::node::{Node, Value};
use super::problem::{Problem, push_index, push_key};

/// Gives the value of a variable of the environment; the process's own is `&|name| std::env::var_os(name)`.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The most bytes of text that the variables may bring into one file.
const MOST_BYTES: usize = 16 << 20;

/// Replaces the variables in all values of `node`; what cannot be replaced is a problem, and is marked as unset.
pub(super) fn replace(node: &mut Node, lookup: Lookup<'_>, problems: &mut Vec<Problem>) {
    Replacer { lookup, problems, left: MOST_BYTES }.node(node, &mut String::new());
}

struct Replacer<'a> {
    lookup: Lookup<'a>,
    problems: &'a mut Vec<Problem>,
    left: usize,
}

impl Replacer<'_> {
    fn node(&mut self, node: &mut Node, path: &mut String) {
        let length = path.len();
        match &mut node.value {
            Value::Scalar(scalar) if scalar.text.contains('$') => match self.expanded(&scalar.text) {
                Ok(Expanded { text, from_outside }) => {
                    scalar.from_outside = from_outside;
                    scalar.plain |= is_one_reference(&scalar.text) && is_number_or_truth(&text);
                    scalar.text = text;
                }
                Err(why) => {
                    scalar.unset = true;
                    self.problems.push(Problem::error(Some(node.place.clone()), path.as_str(), why));
                }
            },
            Value::Scalar(_) => {}
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    push_index(path, &index.to_string());
                    self.node(item, path);
                    path.truncate(length);
                }
            }
            Value::Map(map) => map.for_each_value(|key, value| {
                push_key(path, key);
                self.node(value, path);
                path.truncate(length);
            }),
        }
    }

    fn expanded(&mut self, text: &str) -> Result<Expanded, String> {
        let expanded = expand(text, self.lookup)?;
        self.left = self
            .left
            .checked_sub(expanded.text.len())
            .ok_or_else(|| format!("the environment's variables make the file longer than {} MiB", MOST_BYTES >> 20))?;
        Ok(expanded)
    }
}

/// Whether a text is one `${NAME}` and nothing else.
fn is_one_reference(text: &str) -> bool {
    text.starts_with("${") && text.find('}') == Some(text.len() - 1)
}

fn is_number_or_truth(text: &str) -> bool {
    matches!(text, "true" | "false") || text.parse::<f64>().is_ok()
}

/// A text with its variables replaced.
#[derive(Debug, PartialEq)]
struct Expanded {
    text: String,
    /// Whether the environment had something to do with it: a default stands in the file.
    from_outside: bool,
}

/// `text` with its variables replaced, or what is wrong with one of them.
fn expand(text: &str, lookup: Lookup<'_>) -> Result<Expanded, String> {
    let mut result = String::with_capacity(text.len());
    let mut from_outside = false;
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(reference) = after.strip_prefix('{') {
            let Some(end) = reference.find('}') else {
                return Err("a `${` is not closed; write `${NAME}`, or `$${` for the characters themselves".into());
            };
            let (value, is_outside) = value(&reference[..end], lookup)?;
            result.push_str(&value);
            from_outside |= is_outside;
            rest = &reference[end + 1..];
        } else {
            result.push('$');
            rest = after.strip_prefix('$').unwrap_or(after);
        }
    }
    result.push_str(rest);
    Ok(Expanded { text: result, from_outside })
}

/// What a reference stands for, and whether the environment says so.
fn value(reference: &str, lookup: Lookup<'_>) -> Result<(String, bool), String> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    if name.is_empty() {
        return Err("`${}` names no variable; write `${NAME}`, or `$${` for the characters themselves".into());
    }
    let well_formed = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if !well_formed {
        return Err(format!(
            "`${{{reference}}}` names no variable; allowed are `${{NAME}}` and `${{NAME:-default}}` with letters, digits and \
             `_` in the name, and `$${{` for the characters themselves"
        ));
    }
    let found = match lookup(name) {
        None => None,
        Some(value) => match value.into_string() {
            Ok(value) => Some(value),
            Err(_) => return Err(format!("the environment variable `{name}` is not UTF-8")),
        },
    };
    match (found, default) {
        (Some(value), Some(default)) if value.is_empty() => Ok((default.to_owned(), false)),
        (Some(value), _) => Ok((value, true)),
        (None, Some(default)) => Ok((default.to_owned(), false)),
        (None, None) => Err(format!(
            "the environment variable `{name}` is not set; set it, or give a default with `${{{name}:-default}}`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::yaml;
    use super::*;

    fn lookup(name: &str) -> Option<OsString> {
        match name {
            "PORT" => Some("8080".into()),
            "EVIL" => Some("x\nroutes: {}".into()),
            "EMPTY" => Some("".into()),
            "_a1" => Some("$PORT ${PORT} $$".into()),
            _ => None,
        }
    }

    fn expanded(text: &str) -> Result<String, String> {
        expand(text, &lookup).map(|expanded| expanded.text)
    }

    #[test]
    fn variables_are_replaced_once() {
        assert_eq!(expanded("a${PORT}b${PORT}").as_deref(), Ok("a8080b8080"));
        assert_eq!(expanded("${_a1}").as_deref(), Ok("$PORT ${PORT} $$"));
        assert_eq!(expanded("${EMPTY}").as_deref(), Ok(""));
    }

    #[test]
    fn a_default_stands_in_for_what_is_missing_or_empty() {
        assert_eq!(expanded("${NO:-d:-e}").as_deref(), Ok("d:-e"));
        assert_eq!(expanded("${EMPTY:-d}").as_deref(), Ok("d"));
        assert_eq!(expanded("${PORT:-d}").as_deref(), Ok("8080"));
        assert_eq!(expanded("${NO:-}").as_deref(), Ok(""));
    }

    #[test]
    fn other_dollars_stay() {
        for text in ["^/a$", "/x/{$}", "$2b$10$abc", "$", "$PORT", "a$b"] {
            assert_eq!(expanded(text).as_deref(), Ok(text));
        }
        assert_eq!(expanded("$${PORT} $$$$").as_deref(), Ok("${PORT} $$"));
    }

    #[test]
    fn what_names_no_variable_is_refused() {
        assert!(expanded("${NO}").unwrap_err().contains("`NO` is not set"));
        assert!(expanded("${").unwrap_err().contains("not closed"));
        assert!(expanded("${PORT").unwrap_err().contains("not closed"));
        assert!(expanded("${}").unwrap_err().contains("names no variable"));
        assert!(expanded("${:-x}").unwrap_err().contains("names no variable"));
        assert!(expanded("${A B}").unwrap_err().contains("`${A B}` names no variable"));
        assert!(expanded("${1A}").is_err());
    }

    fn tree(text: &str) -> (Node, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut node = yaml::parse(text.as_bytes(), &"t.yaml".into(), &mut problems).unwrap();
        replace(&mut node, &lookup, &mut problems);
        (node, problems)
    }

    #[test]
    fn a_value_cannot_bring_yaml_in_and_keys_are_left_alone() {
        let (node, problems) = tree("'${PORT}': '${EVIL}'\nn: ${EMPTY}\nq: '${EMPTY}'\n");
        assert!(problems.is_empty());
        assert_eq!(node.get("${PORT}").unwrap().as_text(), Some("x\nroutes: {}"));
        assert!(node.get("n").unwrap().is_null());
        assert_eq!(node.get("q").unwrap().as_text(), Some(""));
    }

    #[test]
    fn quotes_around_one_variable_alone_count_for_nothing() {
        let (tree, _) = tree("{a: \"${PORT}\", b: \"x${PORT}\", c: \"${EMPTY:-null}\"}");
        let is_plain = |key: &str| match &tree.get(key).unwrap().value {
            Value::Scalar(scalar) => scalar.plain,
            _ => panic!("{key} is no scalar"),
        };
        assert!(is_plain("a"));
        assert!(!is_plain("b") && !is_plain("c"));
    }

    #[test]
    fn every_missing_variable_is_told_at_its_value() {
        let (_, problems) = tree("a:\n  - ${NO}\n  - ok\nb: {c: 'x ${NIX}'}\n");
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(told[0].starts_with("t.yaml:2:5: a[0]: the environment variable `NO` is not set"), "{told:?}");
        assert!(told[1].starts_with("t.yaml:4:8: b.c: the environment variable `NIX`"), "{told:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

        #[test]
        fn no_text_panics(text in "[${}:A-C_\\-1é]{0,30}") {
            drop(expanded(&text));
        }

        #[test]
        fn text_without_dollars_stays(text in "[^$]{0,60}") {
            prop_assert_eq!(expanded(&text), Ok(text));
        }
    }
}
