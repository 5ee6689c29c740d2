//! What a look-up finds.

use std::sync::Arc;

use super::methods::Allow;
use super::pattern::{Pattern, Segment};
use crate::head::Path;

/// What the table says of a request.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// This route takes it.
    Route(Match),
    /// It lacks the slash at its end: with it, a route would match exactly. 308, as Go has it.
    AddSlash,
    /// Routes take its path, but not with its method. 405.
    MethodNotAllowed(Allow),
    /// No route takes it. 404.
    NotFound,
}

/// A route that takes a request, and how. Cheap to clone, and bound to neither the table nor the request.
#[derive(Debug, Clone)]
pub struct Match {
    pub(super) route: usize,
    pub(super) pattern: usize,
    pub(super) shape: Shape,
}

/// Where a pattern's captures stand in the paths that it matches.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    prefix: u16,
    /// Whether what follows the prefix is called `rest`.
    has_rest: bool,
    /// All captures but `rest`.
    captures: Option<Arc<[Capture]>>,
}

#[derive(Debug)]
struct Capture {
    name: Box<str>,
    segment: u16,
    is_remainder: bool,
}

impl Shape {
    pub(super) fn new(pattern: &Pattern) -> Self {
        let mut has_rest = false;
        let mut captures = Vec::new();
        // A pattern has no more than 256 segments.
        for (index, segment) in (0_u16..).zip(pattern.segments()) {
            match segment {
                Segment::Rest(name) if **name == *"rest" => has_rest = true,
                Segment::Wild(name) => {
                    captures.push(Capture { name: name.clone(), segment: index, is_remainder: false })
                }
                Segment::Rest(name) => {
                    captures.push(Capture { name: name.clone(), segment: index, is_remainder: true })
                }
                Segment::Literal(_) | Segment::End => {}
            }
        }
        let prefix = u16::try_from(pattern.prefix_segments()).unwrap_or(u16::MAX);
        Self { prefix, has_rest, captures: (!captures.is_empty()).then(|| captures.into()) }
    }
}

impl Match {
    /// The route, as its position among those that the table was built of.
    pub fn route(&self) -> usize {
        self.route
    }

    /// Which of the route's paths matched, as its position among them.
    pub fn pattern(&self) -> usize {
        self.pattern
    }

    /// What a wildcard of the pattern stands for in the path that was matched, in the client's spelling where that
    /// may go on. `rest` is the remainder below a pattern that ends in a slash, without the slash before it; it may be
    /// empty. `None` for names that the pattern has not.
    pub fn param<'p>(&self, path: &'p Path, name: &str) -> Option<&'p str> {
        if name == "rest" {
            return self.shape.has_rest.then(|| remainder(path, self.shape.prefix));
        }
        let capture = self.shape.captures.as_deref()?.iter().find(|capture| *capture.name == *name)?;
        if capture.is_remainder {
            Some(remainder(path, capture.segment))
        } else {
            path.segment(usize::from(capture.segment))
        }
    }

    /// How many segments stand before the remainder, for `strip`: what goes on is [`Path::below`] them. All of them
    /// for a pattern without a remainder, so that `/` is left.
    pub fn prefix_segments(&self) -> usize {
        usize::from(self.shape.prefix)
    }
}

fn remainder(path: &Path, segment: u16) -> &str {
    let below = path.below(usize::from(segment));
    below.strip_prefix('/').unwrap_or(below)
}
