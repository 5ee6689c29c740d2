//! Which request takes which route. Pure: knows neither the file nor what a route does.
//!
//! Paths are matched as Go's `http.ServeMux` (1.22) does it. The most specific route wins, whatever the order: first
//! the host decides (exact, then the longest suffix, then none), then the path (the one that matches a strict subset),
//! then the methods (a subset; one that names `HEAD` before one that has it from `GET`), then the number of further
//! conditions. A route matches only if all of it does; else the next most specific one is asked. Two routes that this
//! leaves equal and that can both match one request are a [`Conflict`], found when the [`Table`] is built.

pub mod condition;
mod conflict;
mod foreign;
pub mod host;
mod matched;
pub mod methods;
#[cfg(test)]
mod model;
mod near;
pub mod pattern;
mod shadow;
pub mod table;
mod tree;
mod values;

pub use condition::{Condition, Test};
pub use conflict::{Conflict, Example};
pub use host::HostPattern;
pub use matched::{Lookup, Match};
pub use methods::{Allow, Methods};
pub use near::Near;
pub use pattern::Pattern;
pub use shadow::Shadowed;
pub use table::{Matcher, Table};
