//! A tree → the types of the configuration, by serde.
//!
//! **What is expected decides how a scalar is read.** Where text is expected, a plain `200`, `no` or `1.5` is that
//! text, so that nobody's country becomes a truth value ("the Norway problem"). Where a number or a truth value is
//! expected, quoted text is none. `null`, `~` and an empty place are nothing, which is a problem behind each key of the
//! language: `hosts:` with every line below commented out must not become a route for all hosts. Only where a type says
//! nothing (`deserialize_any`, thus `untagged` and `flatten`) does the spelling decide, as YAML 1.2 has it.
//!
//! **All problems at once**, although serde stops at the first: [`decode`] notes the problem, marks the node as spoilt
//! and starts again, leaving spoilt nodes out, until nothing new is found. So is a text left out that holds a variable
//! which is not set. What is only a consequence of a node that was left out (its key is missing now) is not told.

use std::collections::BTreeSet;

use serde::de::{DeserializeOwned, Deserializer, Visitor};

use super::node::{Node, Step};
use super::problem::{Problem, push_index, push_key, render, shortened};
use super::suggest::did_you_mean;

mod access;
mod children;
mod error;
mod scalar;

use access::De;
pub(super) use error::list_of;
use error::{At, Error, What};

/// How many problems [`decode`] tells of one node before it stops.
const MOST_PROBLEMS: usize = 100;

/// A `T` made of `node`, which stands at `path` in the file; `None` if there is any problem with it, and then all its
/// problems are among `problems`. If `node` is a map, its keys in `leave_aside` are no part of the `T`.
///
/// Use `#[serde(deny_unknown_fields)]` on `T` and what is in it, so that misspelt keys are problems. Costs as many
/// rounds as there are problems, at most a hundred.
pub fn decode<T: DeserializeOwned>(
    node: &Node,
    path: &[&str],
    leave_aside: &[&str],
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let decoded = decode_partly(node, path, leave_aside, problems);
    decoded.value.filter(|_| decoded.whole)
}

/// What could be made of a node.
pub(super) struct Decoded<T> {
    /// `None` if nothing is left of it without what could not be read.
    pub(super) value: Option<T>,
    /// Nothing was left out.
    pub(super) whole: bool,
    /// The map's keys of which something was left out, and those that unknown keys were meant to be.
    pub(super) without: BTreeSet<String>,
}

/// The same as [`decode`], and keeps what can be read of a node beside what cannot.
pub(super) fn decode_partly<T: DeserializeOwned>(
    node: &Node,
    path: &[&str],
    leave_aside: &[&str],
    problems: &mut Vec<Problem>,
) -> Decoded<T> {
    let mut rounds = Rounds { root: node, path: render(path), leave_aside, spoilt: Spoilt::default(), told: 0 };
    let value = loop {
        if node.is_unset() {
            break None;
        }
        match T::deserialize(De::new(node, &rounds.spoilt, leave_aside)) {
            Ok(value) => break Some(value),
            Err(error) => {
                if !rounds.note(error, problems) {
                    break None;
                }
            }
        }
    };
    let whole = rounds.told == 0 && !node.holds_unset();
    let without = if whole { BTreeSet::new() } else { rounds.without() };
    Decoded { value, whole, without }
}

/// Asks for a value in whatever shape it has: a scalar comes as text (`visit_str`) however it is spelt, a list as
/// `visit_seq`, a map as `visit_map`. Other deserializers than this module's choose by themselves.
pub(crate) fn by_shape<'de, D, V>(deserializer: D, visitor: V) -> Result<V::Value, D::Error>
where
    D: Deserializer<'de>,
    V: Visitor<'de>,
{
    deserializer.deserialize_newtype_struct(BY_SHAPE, ByShape(visitor))
}

/// The names by which requests of our own pass through serde.
const BY_SHAPE: &str = "$onedoor::by_shape";
/// A node's id, by `visit_u32`.
pub(super) const RAW_NODE: &str = "$onedoor::raw_node";
/// A file's path, by `visit_string`; a relative one starts in the folder of the file that it stands in. A map as
/// `visit_map`.
pub(super) const PATH: &str = "$onedoor::path";

/// Passes everything on, and a deserializer that does not know the request is asked for whatever it has.
struct ByShape<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for ByShape<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.expecting(f)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_any(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<V::Value, E> {
        self.0.visit_str(text)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(list)
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(map)
    }
}

/// Whether a text is what YAML would take for a list, had nobody put quotes around it.
pub(super) fn is_bracketed(text: &str) -> bool {
    text.starts_with('[') && text.ends_with(']')
}

/// The nodes that a further round leaves out, and the keys whose absence is explained by that.
#[derive(Default)]
struct Spoilt {
    nodes: BTreeSet<u32>,
    /// A map's id and a key of it.
    excused: BTreeSet<(u32, String)>,
}

impl Spoilt {
    fn is_below(&self, node: &Node) -> bool {
        self.nodes.range(node.id + 1..).next().is_some_and(|&id| node.find(id).is_some())
    }
}

struct Rounds<'a> {
    root: &'a Node,
    path: String,
    leave_aside: &'a [&'a str],
    spoilt: Spoilt,
    told: usize,
}

impl<'a> Rounds<'a> {
    /// Takes an error in; says whether another round may find more.
    fn note(&mut self, error: Error, problems: &mut Vec<Problem>) -> bool {
        let (at, what) = error.into_parts();
        let at = at.unwrap_or(At { id: self.root.id, key: false });
        let root = self.root;
        // An id comes from a node below the root, so there always is a trail.
        let Some((steps, node)) = root.trail(at.id) else { return false };
        if !self.is_consequence(&what, node) {
            if self.told == MOST_PROBLEMS {
                let message = format!("more than {MOST_PROBLEMS} problems; the others are not told");
                problems.push(Problem::error(Some(root.place.clone()), self.path.as_str(), message));
                return false;
            }
            self.told += 1;
            problems.push(self.problem(&steps, node, at.key, &what));
        }
        if let (What::UnknownKey { key, allowed }, Some(parent)) = (&what, parent(root, &steps))
            && let Some(near) = did_you_mean(key, allowed.iter().copied())
        {
            self.spoilt.excused.insert((parent.id, near.to_owned()));
        }
        self.spoil(&steps)
    }

    /// Marks the node at the end of the steps, or where that did not help before, the nearest above it.
    fn spoil(&mut self, steps: &[Step<'a>]) -> bool {
        let mut nodes = vec![self.root];
        for step in steps {
            match step {
                Step::Key(entry) => nodes.push(&entry.value),
                Step::Index(index) => nodes.extend(nodes.last().and_then(|list| list.items().get(*index))),
            }
        }
        for (depth, node) in nodes.iter().enumerate().rev() {
            if self.spoilt.nodes.insert(node.id) {
                if let Some(Step::Key(entry)) = depth.checked_sub(1).map(|above| steps[above]) {
                    self.spoilt.excused.insert((nodes[depth - 1].id, entry.key.clone()));
                }
                return depth > 0;
            }
        }
        false
    }

    fn is_consequence(&self, what: &What, node: &Node) -> bool {
        match what {
            // A key that stands there and is missing was left out.
            What::Missing { key } => {
                node.get(key).is_some() || self.spoilt.excused.contains(&(node.id, (*key).to_owned()))
            }
            What::Skipped => true,
            What::UnknownKey { .. } => false,
            // A whole of which a part was left out may be wrong for that reason alone.
            What::Message(_) => node.holds_unset() || self.spoilt.is_below(node),
        }
    }

    /// The keys of the root of which something was left out.
    fn without(self) -> BTreeSet<String> {
        let is_spoilt =
            |node: &Node| self.spoilt.nodes.contains(&node.id) || node.holds_unset() || self.spoilt.is_below(node);
        let entries = self.root.as_map().map_or(&[][..], |map| map.entries());
        let spoilt = entries.iter().filter(|entry| is_spoilt(&entry.value)).map(|entry| entry.key.clone());
        let excused = self.spoilt.excused.iter().filter(|(map, _)| *map == self.root.id).map(|(_, key)| key.clone());
        spoilt.chain(excused).collect()
    }

    fn problem(&self, steps: &[Step<'_>], node: &Node, is_key: bool, what: &What) -> Problem {
        let mut path = self.path.clone();
        let mut place = &node.place;
        for step in steps {
            match step {
                Step::Key(entry) => push_key(&mut path, &entry.key),
                Step::Index(index) => push_index(&mut path, &index.to_string()),
            }
        }
        if is_key && let Some(Step::Key(entry)) = steps.last() {
            place = &entry.key_place;
        }
        let message = match what {
            What::Message(message) => message.clone(),
            What::Missing { key } => format!("`{key}` is missing"),
            What::Skipped => String::new(),
            What::UnknownKey { key, allowed } => {
                let aside = if steps.len() == 1 { self.leave_aside } else { &[] };
                unknown_key(key, allowed.iter().chain(aside).copied())
            }
        };
        Problem::error(Some(place.clone()), path, message)
    }
}

fn parent<'a>(root: &'a Node, steps: &[Step<'a>]) -> Option<&'a Node> {
    let (_, above) = steps.split_last()?;
    above.iter().try_fold(root, |node, step| match step {
        Step::Key(entry) => Some(&entry.value),
        Step::Index(index) => node.items().get(*index),
    })
}

/// What to say of a key that is not among the allowed ones.
pub(super) fn unknown_key<'a>(key: &str, allowed: impl Iterator<Item = &'a str> + Clone) -> String {
    let shown = shortened(key, 60);
    // `path:/users` without a space and `path /users` without a colon are long keys to YAML.
    let value = allowed.clone().find_map(|known| {
        let rest = key.strip_prefix(known)?;
        rest.starts_with([':', ' ']).then_some((known, rest))
    });
    let hint = match value {
        Some((known, rest)) if rest.starts_with(':') => {
            format!("put a space behind the colon: `{known}: {}`; ", shortened(&rest[1..], 40))
        }
        Some((known, rest)) => {
            format!("put a colon behind the key: `{known}: {}`; ", shortened(rest.trim_start(), 40))
        }
        None => did_you_mean(key, allowed.clone()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default(),
    };
    format!("unknown key `{shown}`; {hint}allowed: {}", list_of(allowed))
}

#[cfg(test)]
mod tests;
