//! The files as they were read, for whoever finds something wrong later and must say where.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::node::{Node, Scalar, Step, Value};
use super::problem::{Place, Problem, push_index, push_key, render};
use super::value::RawNode;

/// What a configuration was made of: one tree of the file and all that it includes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Source {
    root: Arc<Node>,
    nothing: Arc<Node>,
}

impl Source {
    pub(super) fn new(mut root: Node) -> Self {
        root.number();
        let nothing = Node::new(Value::Scalar(Scalar::new("", true)), root.place.clone());
        Self { root: Arc::new(root), nothing: Arc::new(nothing) }
    }

    /// The whole: a map of `listeners`, `routes` and so on, those of included files among them.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// The node that a part of this source's configuration stands for; an empty one if the part is of another source.
    pub fn node(&self, raw: RawNode) -> &Node {
        self.root.find(raw.0).unwrap_or(&self.nothing)
    }

    /// Where the value at the end of these keys stands (a list's values by their index, from 0); if there is none, the
    /// value of the last key that is there. `None` only if not even the first key is.
    pub fn place(&self, path: &[&str]) -> Option<&Place> {
        let (steps, node) = self.walk(path);
        (path.is_empty() || !steps.is_empty()).then_some(&node.place)
    }

    /// Where the last of these keys itself stands, rather than its value; for a list's value there is no difference.
    pub fn key_place(&self, path: &[&str]) -> Option<&Place> {
        match self.walk(path).0.last() {
            Some(Step::Key(entry)) => Some(&entry.key_place),
            _ => self.place(path),
        }
    }

    /// Whether the text at the end of these keys stands, at least in part, in a variable of the environment and not in
    /// the file.
    pub fn is_from_outside(&self, path: &[&str]) -> bool {
        let (steps, node) = self.walk(path);
        steps.len() == path.len() && node.is_from_outside()
    }

    /// The first key of the map at the end of these keys that fits, as the file writes it.
    pub fn key(&self, path: &[&str], fits: impl Fn(&str) -> bool) -> Option<&str> {
        let (steps, node) = self.walk(path);
        let mut keys = node.entries().map(|(key, _)| key);
        if steps.len() == path.len() { keys.find(|key| fits(key)) } else { None }
    }

    /// The keys as one text, as the file has them: `routes.users.to[0].upstream`.
    pub fn shown(&self, path: &[&str]) -> String {
        self.render(path)
    }

    /// A reason to refuse the file, about the value at the end of these keys.
    pub fn problem(&self, path: &[&str], message: impl Into<String>) -> Problem {
        Problem::error(self.place(path).cloned(), self.render(path), message)
    }

    /// A reason to refuse the file, about the last of these keys rather than its value.
    pub fn problem_with_key(&self, path: &[&str], message: impl Into<String>) -> Problem {
        Problem::error(self.key_place(path).cloned(), self.render(path), message)
    }

    /// Something to look at, about the value at the end of these keys.
    pub fn warning(&self, path: &[&str], message: impl Into<String>) -> Problem {
        Problem::warning(self.place(path).cloned(), self.render(path), message)
    }

    /// Where texts stand that must not be read, such as those with a variable that is missing: of each a problem is
    /// told already.
    pub(crate) fn unset(&self) -> BTreeSet<&Place> {
        fn add<'a>(node: &'a Node, places: &mut BTreeSet<&'a Place>) {
            match &node.value {
                Value::Scalar(scalar) if scalar.unset => drop(places.insert(&node.place)),
                Value::Scalar(_) => {}
                Value::List(items) => items.iter().for_each(|item| add(item, places)),
                Value::Map(map) => map.entries().iter().for_each(|entry| add(&entry.value, places)),
            }
        }
        let mut places = BTreeSet::new();
        add(&self.root, &mut places);
        places
    }

    fn walk(&self, path: &[&str]) -> (Vec<Step<'_>>, &Node) {
        let mut node: &Node = &self.root;
        let mut steps = Vec::new();
        for key in path {
            let (step, next) = match &node.value {
                Value::Map(map) => match map.get(key) {
                    Some(entry) => (Step::Key(entry), &entry.value),
                    None => break,
                },
                Value::List(items) => match key.parse::<usize>().ok().and_then(|at| Some((at, items.get(at)?))) {
                    Some((index, item)) => (Step::Index(index), item),
                    None => break,
                },
                Value::Scalar(_) => break,
            };
            steps.push(step);
            node = next;
        }
        (steps, node)
    }

    fn render(&self, path: &[&str]) -> String {
        let (steps, _) = self.walk(path);
        // A list of one may stand there without its brackets, and then the index has nothing to point at.
        if steps.len() < path.len() {
            let rest = &path[steps.len()..];
            let written = &path[..steps.len()];
            let is_one = rest.len() == 1 && rest[0] == "0" && !written.is_empty();
            return if is_one { self.render(written) } else { render(path) };
        }
        let mut text = String::new();
        for step in steps {
            match step {
                Step::Key(entry) => push_key(&mut text, &entry.key),
                Step::Index(index) => push_index(&mut text, &index.to_string()),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;

    fn source(text: &str) -> Source {
        let mut problems = Vec::new();
        Source::new(yaml::parse(text.as_bytes(), &"t".into(), &mut problems).unwrap())
    }

    const TEXT: &str =
        "routes:\n  users:\n    path: /a\n    to:\n      - upstream: x\n      - {upstream: y}\n  '7': {path: /}\n";

    #[test]
    fn a_place_is_that_of_the_value_or_of_what_is_there_of_its_path() {
        let source = source(TEXT);
        let at = |path: &[&str]| source.place(path).map(|place| (place.line, place.column));
        assert_eq!(at(&["routes", "users", "to", "1", "upstream"]), Some((6, 20)));
        assert_eq!(at(&["routes", "users", "to", "9"]), Some((5, 7)));
        assert_eq!(at(&["routes", "users", "timeout"]), Some((3, 5)));
        assert_eq!(at(&["nothing"]), None);
        assert_eq!(at(&[]), Some((1, 1)));
        assert_eq!(source.key_place(&["routes", "users"]).map(|place| (place.line, place.column)), Some((2, 3)));
    }

    #[test]
    fn paths_are_shown_as_the_file_has_them() {
        let source = source(TEXT);
        let shown = |path: &[&str]| source.problem(path, "m").path;
        assert_eq!(shown(&["routes", "users", "to", "1", "upstream"]), "routes.users.to[1].upstream");
        assert_eq!(shown(&["routes", "7", "path"]), "routes.7.path");
        assert_eq!(shown(&["routes", "users", "path", "0"]), "routes.users.path");
        assert_eq!(shown(&["routes", "users", "hosts", "0"]), "routes.users.hosts[0]");
        assert_eq!(source.warning(&["routes"], "m").to_string(), "t:2:3: warning: routes: m");
    }
}
