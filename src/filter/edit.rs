//! Changes of headers as a list, applied once when the head is written.
//!
//! A filter does not change a map under way: it says what is to change, with names and values prepared when the file
//! was loaded. So `explain` can print the changes, a client's `Connection` header can't undo them, and a chain costs no
//! look-ups in a map that it doesn't need.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::head::Headers;

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// This value and no other.
    Set(HeaderName, HeaderValue),
    /// This value besides any others.
    Add(HeaderName, HeaderValue),
    /// None of this name.
    Remove(HeaderName),
    /// None but these, and those that the message cannot do without (see [`is_framing`]).
    Keep(Arc<[HeaderName]>),
}

impl fmt::Display for Edit {
    /// As `explain` prints it: `set x-a: b`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edit::Set(name, value) => write!(f, "set {name}: {}", shown(value)),
            Edit::Add(name, value) => write!(f, "add {name}: {}", shown(value)),
            Edit::Remove(name) => write!(f, "remove {name}"),
            Edit::Keep(names) => {
                let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
                write!(f, "keep only {}", names.join(", "))
            }
        }
    }
}

/// A header's value for people: a secret stays one.
fn shown(value: &HeaderValue) -> Cow<'_, str> {
    if value.is_sensitive() { "(secret)".into() } else { String::from_utf8_lossy(value.as_bytes()) }
}

/// A list of changes, in the order in which they count.
#[derive(Debug, Clone, Default)]
pub struct Edits(Vec<Edit>);

impl Edits {
    /// Sets a header to one value.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push(Edit::Set(name, value));
    }

    /// Adds a value to a header.
    pub fn add(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push(Edit::Add(name, value));
    }

    /// Removes a header.
    pub fn remove(&mut self, name: HeaderName) {
        self.0.push(Edit::Remove(name));
    }

    /// Adds a prepared change.
    pub fn push(&mut self, edit: Edit) {
        self.0.push(edit);
    }

    /// The changes so far.
    pub fn as_slice(&self) -> &[Edit] {
        &self.0
    }

    /// What the changes so far make of a header: `None` if they leave it alone, `Some(None)` if they remove it.
    pub fn outcome(&self, name: &HeaderName) -> Option<Option<&HeaderValue>> {
        for edit in self.0.iter().rev() {
            match edit {
                Edit::Set(n, value) | Edit::Add(n, value) if n == name => return Some(Some(value)),
                Edit::Remove(n) if n == name => return Some(None),
                Edit::Keep(names) if !names.contains(name) && !is_framing(name) => return Some(None),
                _ => {}
            }
        }
        None
    }

    /// Carries the changes out.
    pub fn apply(&self, headers: &mut impl HeadersMut) {
        for edit in &self.0 {
            match edit {
                Edit::Set(name, value) => headers.set(name.clone(), value.clone()),
                Edit::Add(name, value) => headers.add(name.clone(), value.clone()),
                Edit::Remove(name) => headers.remove(name),
                Edit::Keep(names) => headers.retain(&|name| names.contains(name) || is_framing(name)),
            }
        }
    }
}

/// Headers that can be changed: whatever a driver builds its messages with.
pub trait HeadersMut: Headers {
    /// This value and no other.
    fn set(&mut self, name: HeaderName, value: HeaderValue);
    /// This value besides any others.
    fn add(&mut self, name: HeaderName, value: HeaderValue);
    /// None of this name.
    fn remove(&mut self, name: &HeaderName);

    /// None but those that are asked for.
    fn retain(&mut self, keep: &dyn Fn(&HeaderName) -> bool) {
        let mut gone: Vec<HeaderName> = Vec::new();
        self.each(&mut |name, _| {
            if !keep(name) && gone.last() != Some(name) {
                gone.push(name.clone());
            }
        });
        for name in &gone {
            self.remove(name);
        }
    }
}

impl HeadersMut for HeaderMap {
    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.insert(name, value);
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) {
        self.append(name, value);
    }

    fn remove(&mut self, name: &HeaderName) {
        HeaderMap::remove(self, name);
    }
}

/// Whether a header belongs to the message's framing or its connection: those are the door's to write, no filter may
/// change them, and an `allow` list need not name them.
pub fn is_framing(name: &HeaderName) -> bool {
    use http::header::{
        CONNECTION, CONTENT_LENGTH, EXPECT, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    };
    const NAMES: [HeaderName; 13] = [
        HOST,
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
        CONNECTION,
        UPGRADE,
        TE,
        TRAILER,
        EXPECT,
        SEC_WEBSOCKET_ACCEPT,
        SEC_WEBSOCKET_EXTENSIONS,
        SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION,
    ];
    NAMES.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ACCEPT, COOKIE, HOST};

    fn headers() -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert(HOST, HeaderValue::from_static("a.test"));
        map.append(COOKIE, HeaderValue::from_static("a=1"));
        map.append(COOKIE, HeaderValue::from_static("b=2"));
        map.insert(ACCEPT, HeaderValue::from_static("*/*"));
        map
    }

    #[test]
    fn an_allow_list_drops_what_it_does_not_name_but_keeps_the_framing() {
        let mut edits = Edits::default();
        edits.push(Edit::Keep(Arc::from([ACCEPT])));
        let mut map = headers();
        edits.apply(&mut map);
        let mut names: Vec<_> = map.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        assert_eq!(names, ["accept", "host"]);
    }

    #[test]
    fn later_changes_count_over_earlier_ones() {
        let mut edits = Edits::default();
        edits.set(COOKIE, HeaderValue::from_static("c=3"));
        edits.add(COOKIE, HeaderValue::from_static("d=4"));
        let mut map = headers();
        edits.apply(&mut map);
        assert_eq!(map.get_all(COOKIE).iter().collect::<Vec<_>>(), ["c=3", "d=4"]);
        edits.remove(COOKIE);
        assert_eq!(edits.outcome(&COOKIE), Some(None));
        assert_eq!(edits.outcome(&ACCEPT), None);
        edits.apply(&mut map);
        assert!(!map.contains_key(COOKIE));
    }
}
