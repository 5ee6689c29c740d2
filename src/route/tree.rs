//! The paths of all routes for one host pattern as a tree of segments.
//!
//! A look-up descends along the path and turns to the most specific branch first: a literal segment, then a wildcard, then
//! a remainder. Where two patterns that match a path differ first, the one within the other has the more specific
//! segment, so it is met first; patterns that only overlap are conflicts unless something else keeps them apart.
//! It costs O(length of the path) on the way down. It only turns back where a branch was entered in vain; a file can be
//! made up in which that happens at every segment, a request cannot.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::matched::Shape;
use super::methods::Methods;
use super::pattern::{Pattern, Segment};

/// A tree of segments. The first node is the root, above all segments.
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
}

/// A position in a [`Tree`].
pub(super) type NodeId = u32;

/// One of a route's paths for one of its hosts.
pub(super) struct Entry {
    pub(super) route: u32,
    pub(super) pattern: u32,
    pub(super) methods: Methods,
    pub(super) conditions: u32,
    pub(super) shape: Shape,
}

/// What patterns have in common up to a segment.
#[derive(Default)]
pub(super) struct Node {
    pub(super) literals: Literals,
    pub(super) wild: Option<NodeId>,
    /// Patterns that end here, …
    pub(super) exact: Vec<Entry>,
    /// … with `{$}` after this, …
    pub(super) slash: Vec<Entry>,
    /// … and with a remainder after this.
    pub(super) rest: Vec<Entry>,
    /// Whether there is a wildcard or a remainder in it or below.
    pub(super) is_open: bool,
}

/// The children of a node for literal segments. Few are faster to compare than to hash.
pub(super) enum Literals {
    Few(Vec<(Box<str>, NodeId)>),
    /// The keys are the file's, so clients cannot choose ones that collide, and the hash needs no secret.
    Many(HashMap<Box<str>, NodeId, FixedState>),
}

const FEW: usize = 4;

impl Default for Literals {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Literals {
    pub(super) fn get(&self, segment: &str) -> Option<NodeId> {
        match self {
            Self::Few(list) => list.iter().find(|(literal, _)| **literal == *segment).map(|(_, node)| *node),
            Self::Many(map) => map.get(segment).copied(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many(map) => map.len(),
        }
    }

    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = (&str, NodeId)> + '_> {
        match self {
            Self::Few(list) => Box::new(list.iter().map(|(literal, node)| (&**literal, *node))),
            Self::Many(map) => Box::new(map.iter().map(|(literal, node)| (&**literal, *node))),
        }
    }

    fn insert(&mut self, segment: &str, node: NodeId) {
        match self {
            Self::Few(list) if list.len() < FEW => list.push((segment.into(), node)),
            Self::Few(list) => {
                let mut map: HashMap<Box<str>, NodeId, FixedState> = list.drain(..).collect();
                map.insert(segment.into(), node);
                *self = Self::Many(map);
            }
            Self::Many(map) => {
                map.insert(segment.into(), node);
            }
        }
    }
}

impl Tree {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    pub(super) fn insert(&mut self, pattern: &Pattern, entry: Entry) {
        let segments = pattern.segments();
        let first_open = segments.iter().position(|segment| matches!(segment, Segment::Wild(_) | Segment::Rest(_)));
        let mut at = 0;
        for (depth, segment) in segments.iter().enumerate() {
            // The nodes above the last wildcard have one below them.
            if first_open.is_some() {
                let is_above = segments[depth..].iter().any(|s| matches!(s, Segment::Wild(_) | Segment::Rest(_)));
                self.nodes[at].is_open |= is_above;
            }
            at = match segment {
                Segment::Literal(literal) => self.literal_child(at, literal),
                Segment::Wild(_) => self.wild_child(at),
                Segment::End => return self.nodes[at].slash.push(entry),
                Segment::Rest(_) => return self.nodes[at].rest.push(entry),
            };
        }
        self.nodes[at].exact.push(entry);
    }

    fn literal_child(&mut self, parent: usize, literal: &str) -> usize {
        if let Some(child) = self.nodes[parent].literals.get(literal) {
            return child as usize;
        }
        let child = self.push();
        self.nodes[parent].literals.insert(literal, child);
        child as usize
    }

    fn wild_child(&mut self, parent: usize) -> usize {
        if let Some(child) = self.nodes[parent].wild {
            return child as usize;
        }
        let child = self.push();
        self.nodes[parent].wild = Some(child);
        child as usize
    }

    fn push(&mut self) -> NodeId {
        let id = NodeId::try_from(self.nodes.len()).unwrap_or(NodeId::MAX);
        self.nodes.push(Node::default());
        id
    }

    /// Puts the more specific entries of one path first: fewer methods, then more conditions.
    pub(super) fn sort(&mut self) {
        for node in &mut self.nodes {
            for leaf in [&mut node.exact, &mut node.slash, &mut node.rest] {
                leaf.sort_by_key(|entry| {
                    (entry.methods.breadth(), std::cmp::Reverse(entry.conditions), entry.route, entry.pattern)
                });
                leaf.shrink_to_fit();
            }
        }
    }
}

/// A walk over all entries whose path matches, the most specific first.
pub(super) struct Walk<'t> {
    tree: &'t Tree,
    /// Walks as if the path had one more slash at its end.
    with_slash: bool,
    /// Whether the path with one more slash at its end might match otherwise than it does without.
    pub(super) saw_slash: bool,
}

impl<'t> Walk<'t> {
    pub(super) fn new(tree: &'t Tree, with_slash: bool) -> Self {
        Self { tree, with_slash, saw_slash: false }
    }

    /// Visits the entries of each pattern that matches a canonical path, and whether it does so exactly: with no
    /// remainder, or an empty one. Ends when `visit` says `true`, and then says so itself.
    pub(super) fn run(&mut self, path: &str, visit: &mut impl FnMut(&'t [Entry], bool) -> bool) -> bool {
        self.descend(0, path.strip_prefix('/'), visit)
    }

    fn descend(&mut self, at: NodeId, below: Option<&str>, visit: &mut impl FnMut(&'t [Entry], bool) -> bool) -> bool {
        let node = self.tree.node(at);
        let Some(below) = below else {
            self.saw_slash |= !node.slash.is_empty() || !node.rest.is_empty();
            return !node.exact.is_empty() && visit(&node.exact, true);
        };
        if below.is_empty() {
            return !node.slash.is_empty() && visit(&node.slash, true)
                || !node.rest.is_empty() && visit(&node.rest, true);
        }
        let (segment, next) = match below.bytes().position(|byte| byte == b'/') {
            Some(slash) => (&below[..slash], Some(&below[slash + 1..])),
            None => (below, self.with_slash.then_some("")),
        };
        if let Some(child) = node.literals.get(segment)
            && self.descend(child, next, visit)
        {
            return true;
        }
        if let Some(child) = node.wild
            && self.descend(child, next, visit)
        {
            return true;
        }
        !node.rest.is_empty() && visit(&node.rest, false)
    }
}
