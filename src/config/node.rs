//! A file as a tree: what stands where, before anything is made of it.

use super::problem::Place;

/// A value of a file and where it stands.
///
/// Two nodes are compared by [`Node::same`], which looks at what they say and not at where they say it.
#[derive(Debug, Clone)]
pub struct Node {
    /// Counts upwards through the tree, a node before what is in it; so it can be found again from the root.
    pub(super) id: u32,
    pub(super) value: Value,
    pub(super) place: Place,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Map),
}

/// Text as it stands in the file; what it means is for whoever reads it to say.
#[derive(Debug, Clone)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Without quotes, so that it may be a number, a truth value or nothing.
    pub(super) plain: bool,
    /// Holds a variable that could not be replaced or something else that was told of already: it is not to be read.
    pub(super) unset: bool,
    /// Something of it was brought in by a variable of the environment.
    pub(super) from_outside: bool,
}

impl Scalar {
    pub(super) fn new(text: impl Into<String>, plain: bool) -> Self {
        Self { text: text.into(), plain, unset: false, from_outside: false }
    }

    pub(super) fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

/// Keys and values in the order of the file. Every key stands there once.
#[derive(Debug, Clone, Default)]
pub(super) struct Map {
    entries: Vec<Entry>,
    /// Positions in the order of the keys, where there are so many that looking through them all would cost.
    sorted: Vec<u32>,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) value: Node,
}

const FEW: usize = 8;

impl Map {
    /// A map of these entries; and those whose key stood there before, in the order of the file, each with the place
    /// of the first.
    pub(super) fn new(entries: Vec<Entry>) -> (Self, Vec<(Place, Entry)>) {
        let mut map = Self { entries, sorted: Vec::new() };
        map.sort();
        let mut repeated = map.repeated();
        if repeated.is_empty() {
            return (map, Vec::new());
        }
        repeated.sort_unstable();
        let places: Vec<Place> =
            repeated.iter().map(|&(_, first)| map.entries[first as usize].key_place.clone()).collect();
        let mut next = repeated.iter().zip(places).peekable();
        let (mut kept, mut again) = (Vec::new(), Vec::new());
        for (at, entry) in map.entries.into_iter().enumerate() {
            match next.next_if(|((position, _), _)| *position as usize == at) {
                Some((_, place)) => again.push((place, entry)),
                None => kept.push(entry),
            }
        }
        let mut map = Self { entries: kept, sorted: Vec::new() };
        map.sort();
        (map, again)
    }

    /// The positions of entries whose key stands before them, each with that of the first.
    fn repeated(&self) -> Vec<(u32, u32)> {
        let key = |at: u32| &self.entries[at as usize].key;
        let few = 0..self.entries.len() as u32;
        if self.sorted.is_empty() {
            let first = |at: u32| (0..at).find(|&before| key(before) == key(at));
            return few.filter_map(|at| Some((at, first(at)?))).collect();
        }
        // Equal keys are neighbours, in the order of the file since the sort was stable.
        let mut first = self.sorted[0];
        let mut repeated = Vec::new();
        for &at in &self.sorted[1..] {
            if key(at) == key(first) {
                repeated.push((at, first));
            } else {
                first = at;
            }
        }
        repeated
    }

    fn sort(&mut self) {
        self.sorted.clear();
        if self.entries.len() > FEW {
            self.sorted.extend(0..self.entries.len() as u32);
            let entries = &self.entries;
            self.sorted.sort_by(|&a, &b| entries[a as usize].key.cmp(&entries[b as usize].key));
        }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Each key and value; keys stay as they are, since the order of the keys is kept beside them.
    pub(super) fn for_each_value(&mut self, mut action: impl FnMut(&str, &mut Node)) {
        self.entries.iter_mut().for_each(|entry| action(&entry.key, &mut entry.value));
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        if self.sorted.is_empty() {
            return self.entries.iter().find(|entry| entry.key == key);
        }
        let found = self.sorted.binary_search_by(|&at| self.entries[at as usize].key.as_str().cmp(key)).ok()?;
        self.entries.get(self.sorted[found] as usize)
    }
}

/// One step on the way from a node to one below it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    Key(&'a Entry),
    Index(usize),
}

impl Node {
    pub(super) fn new(value: Value, place: Place) -> Self {
        Self { id: 0, value, place }
    }

    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The value of a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key).map(|entry| &entry.value)
    }

    /// The text of a value that is neither a list, nor a map, nor nothing: `8080`, `"8080"` and `off` are texts.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) if !scalar.is_null() => Some(&scalar.text),
            _ => None,
        }
    }

    /// Whether nothing stands here: an empty place, `null` or `~`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }

    /// A map's keys and values in the order of the file; nothing for everything else.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Node)> {
        let entries = self.as_map().map_or(&[][..], Map::entries);
        entries.iter().map(|entry| (entry.key.as_str(), &entry.value))
    }

    /// A list's values; nothing for everything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// Whether both say the same, wherever they stand: the same texts (a plain `5` is not a quoted `"5"`), lists in the
    /// same order, maps in any order. Works across files and reloads.
    pub fn same(&self, other: &Node) -> bool {
        match (&self.value, &other.value) {
            (Value::Scalar(a), Value::Scalar(b)) => (&a.text, a.plain, a.unset) == (&b.text, b.plain, b.unset),
            (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Value::Map(a), Value::Map(b)) => {
                a.entries.len() == b.entries.len()
                    && a.entries
                        .iter()
                        .all(|entry| b.get(&entry.key).is_some_and(|other| entry.value.same(&other.value)))
            }
            _ => false,
        }
    }

    /// Whether this is a text with a variable that could not be replaced.
    pub(super) fn is_unset(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.unset)
    }

    /// Whether this is such a text, or holds one.
    pub(super) fn holds_unset(&self) -> bool {
        match &self.value {
            Value::Scalar(scalar) => scalar.unset,
            Value::List(items) => items.iter().any(Node::holds_unset),
            Value::Map(map) => map.entries().iter().any(|entry| entry.value.holds_unset()),
        }
    }

    /// Whether something of this text stands in a variable of the environment and not in the file.
    pub(super) fn is_from_outside(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.from_outside)
    }

    /// Whether this is the text, holds it, or holds one that nobody knows since its variable is missing.
    pub(crate) fn may_say(&self, text: &str) -> bool {
        match &self.value {
            Value::Scalar(scalar) => scalar.unset || scalar.text == text,
            Value::List(items) => items.iter().any(|item| item.may_say(text)),
            Value::Map(map) => map.entries().iter().any(|entry| entry.value.may_say(text)),
        }
    }

    pub(super) fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Gives each node of a finished tree its number. Ids are promised to rise from a node to what is in it and from
    /// one child to the next, so that [`Node::trail`] finds a node without an index.
    pub(super) fn number(&mut self) {
        fn number(node: &mut Node, next: &mut u32) {
            node.id = *next;
            *next += 1;
            match &mut node.value {
                Value::Scalar(_) => {}
                Value::List(items) => items.iter_mut().for_each(|item| number(item, next)),
                Value::Map(map) => map.for_each_value(|_, value| number(value, next)),
            }
        }
        number(self, &mut 0);
    }

    /// The node of this tree that has this id, and the steps that lead to it.
    pub(super) fn trail(&self, id: u32) -> Option<(Vec<Step<'_>>, &Node)> {
        let mut steps = Vec::new();
        let mut node = self;
        while node.id != id {
            let (step, child) = node.towards(id)?;
            steps.push(step);
            node = child;
        }
        Some((steps, node))
    }

    /// The same as [`Node::trail`] for those who don't ask for the way.
    pub(super) fn find(&self, id: u32) -> Option<&Node> {
        let mut node = self;
        while node.id != id {
            (_, node) = node.towards(id)?;
        }
        Some(node)
    }

    fn towards(&self, id: u32) -> Option<(Step<'_>, &Node)> {
        if id < self.id {
            return None;
        }
        match &self.value {
            Value::Scalar(_) => None,
            Value::List(items) => {
                let at = items.partition_point(|item| item.id <= id).checked_sub(1)?;
                Some((Step::Index(at), items.get(at)?))
            }
            Value::Map(map) => {
                let at = map.entries.partition_point(|entry| entry.value.id <= id).checked_sub(1)?;
                let entry = map.entries.get(at)?;
                Some((Step::Key(entry), &entry.value))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;

    fn tree(text: &str) -> Node {
        let mut problems = Vec::new();
        let mut node = yaml::parse(text.as_bytes(), &"t.yaml".into(), &mut problems).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        node.number();
        node
    }

    #[test]
    fn places_and_the_order_of_keys_make_no_difference() {
        assert!(tree("{a: 1, b: [x, {c: d}]}").same(&tree("b:\n- x\n- c: d\na: 1\n")));
        for other in ["{a: 1, b: [x]}", "{a: '1', b: [x, {c: d}]}", "{a: 1, b: [{c: d}, x]}", "[a]", "a"] {
            assert!(!tree("{a: 1, b: [x, {c: d}]}").same(&tree(other)), "{other}");
        }
    }

    #[test]
    fn every_node_is_found_by_its_id() {
        let mut text = String::from("z: [[a, {b: c}], [], {d: {e: [f]}}]\n");
        (0..50).for_each(|i| text.push_str(&format!("k{i}: {{v: {i}}}\n")));
        let root = tree(&text);
        fn all(node: &Node, root: &Node, count: &mut u32) {
            assert_eq!(node.id, *count);
            *count += 1;
            let (_, found) = root.trail(node.id).unwrap();
            assert!(std::ptr::eq(found, node));
            node.items().iter().for_each(|item| all(item, root, count));
            node.entries().for_each(|(_, value)| all(value, root, count));
        }
        let mut count = 0;
        all(&root, &root, &mut count);
        assert!(root.trail(count).is_none());
        assert!(root.find(u32::MAX).is_none());
        assert_eq!(root.get("k33").and_then(|node| node.get("v")).and_then(Node::as_text), Some("33"));
    }
}
