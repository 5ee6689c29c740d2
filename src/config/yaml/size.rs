//! How much an anchor or alias copies.

use super::super::node::{Node, Value};
use super::DEEPEST;

/// What copying a node costs.
pub(super) struct Size {
    pub(super) nodes: usize,
    pub(super) bytes: usize,
    pub(super) height: usize,
}

impl Size {
    /// `None` if it is too deep to be used anywhere.
    pub(super) fn of(node: &Node) -> Option<Self> {
        fn add(node: &Node, depth: usize, size: &mut Size) -> Option<()> {
            size.nodes += 1;
            match &node.value {
                Value::Scalar(scalar) => size.bytes += scalar.text.len(),
                Value::List(items) => {
                    size.height = size.height.max(depth + 1);
                    (depth < DEEPEST).then_some(())?;
                    items.iter().try_for_each(|item| add(item, depth + 1, size))?;
                }
                Value::Map(map) => {
                    size.height = size.height.max(depth + 1);
                    (depth < DEEPEST).then_some(())?;
                    for entry in map.entries() {
                        size.bytes += entry.key.len();
                        add(&entry.value, depth + 1, size)?;
                    }
                }
            }
            Some(())
        }
        let mut size = Self { nodes: 0, bytes: 0, height: 0 };
        add(node, 0, &mut size)?;
        Some(size)
    }
}
