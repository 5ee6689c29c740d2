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
use crate::head::hop::{is_framing, is_hop_by_hop};

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// This value and no other.
    Set(HeaderName, HeaderValue),
    /// This value besides any others.
    Add(HeaderName, HeaderValue),
    /// None of this name.
    Remove(HeaderName),
}

/// A header that no filter may change: it belongs to the message's framing or its connection (see
/// [`is_framing`] and [`is_hop_by_hop`]), which the door writes itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the header `{0}` belongs to the message's framing or connection, which no filter may change")]
pub struct NotForFilters(HeaderName);

impl fmt::Display for Edit {
    /// As `explain` prints it: `set x-a: b`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edit::Set(name, value) => write!(f, "set {name}: {}", shown(value)),
            Edit::Add(name, value) => write!(f, "add {name}: {}", shown(value)),
            Edit::Remove(name) => write!(f, "remove {name}"),
        }
    }
}

/// A header's value for people: a secret stays one.
fn shown(value: &HeaderValue) -> Cow<'_, str> {
    if value.is_sensitive() { "(secret)".into() } else { String::from_utf8_lossy(value.as_bytes()) }
}

/// What filters change in a head: first what the other side sent is let through or not, then each change in its order.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    allowed: Option<Arc<[HeaderName]>>,
    list: Vec<Edit>,
}

impl Edits {
    /// Sets a header to one value.
    ///
    /// # Errors
    /// If the header is not for filters to change.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), NotForFilters> {
        changeable(&name)?;
        self.list.push(Edit::Set(name, value));
        Ok(())
    }

    /// Adds a value to a header.
    ///
    /// # Errors
    /// If the header is not for filters to change.
    pub fn add(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), NotForFilters> {
        changeable(&name)?;
        self.list.push(Edit::Add(name, value));
        Ok(())
    }

    /// Removes a header.
    ///
    /// # Errors
    /// If the header is not for filters to change.
    pub fn remove(&mut self, name: HeaderName) -> Result<(), NotForFilters> {
        changeable(&name)?;
        self.list.push(Edit::Remove(name));
        Ok(())
    }

    /// Lets through, of what the other side sent, these headers only, and those that a message cannot do without. What
    /// the door and filters write is not concerned.
    pub fn allow_only(&mut self, names: Arc<[HeaderName]>) {
        self.allowed = Some(match self.allowed.take() {
            Some(before) => before.iter().filter(|name| names.contains(name)).cloned().collect(),
            None => names,
        });
    }

    /// Adds a change whose name was checked when the file was loaded.
    pub(crate) fn push(&mut self, edit: Edit) {
        self.list.push(edit);
    }

    /// The changes so far.
    pub fn as_slice(&self) -> &[Edit] {
        &self.list
    }

    /// Whether a header is set or removed, so that what the other side sent of it does not get through.
    pub(crate) fn names(&self, name: &HeaderName) -> bool {
        self.list.iter().any(|edit| matches!(edit, Edit::Set(n, _) | Edit::Remove(n) if n == name))
    }

    /// What the first value of a header is after the changes so far, if this is what was sent.
    pub fn first<'a>(&'a self, name: &HeaderName, sent: Option<&'a [u8]>) -> Option<&'a [u8]> {
        let sent = sent.filter(|_| self.lets_through(name));
        self.list.iter().fold(sent, |first, edit| match edit {
            Edit::Set(n, value) if n == name => Some(value.as_bytes()),
            Edit::Add(n, value) if n == name => first.or(Some(value.as_bytes())),
            Edit::Remove(n) if n == name => None,
            _ => first,
        })
    }

    /// Every value of a header after the changes so far, if these headers were sent.
    pub fn all<'a>(&'a self, name: &HeaderName, sent: &'a dyn Headers, visit: &mut dyn FnMut(&'a [u8])) {
        let of_it = |edit: &Edit| matches!(edit, Edit::Set(n, _) | Edit::Remove(n) if n == name);
        let from = self.list.iter().rposition(of_it);
        if from.is_none() && self.lets_through(name) {
            sent.all(name, visit);
        }
        for edit in &self.list[from.unwrap_or(0)..] {
            if let Edit::Set(n, value) | Edit::Add(n, value) = edit
                && n == name
            {
                visit(value.as_bytes());
            }
        }
    }

    fn lets_through(&self, name: &HeaderName) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.contains(name) || is_framing(name))
    }

    /// Drops, of what the other side sent, what is not let through.
    pub(crate) fn let_through(&self, headers: &mut impl HeadersMut) {
        if self.allowed.is_some() {
            headers.retain(&|name| self.lets_through(name));
        }
    }

    /// Carries the changes out.
    pub(crate) fn apply(&self, headers: &mut impl HeadersMut) {
        for edit in &self.list {
            match edit {
                Edit::Set(name, value) => headers.set(name.clone(), value.clone()),
                Edit::Add(name, value) => headers.add(name.clone(), value.clone()),
                Edit::Remove(name) => headers.remove(name),
            }
        }
    }

    /// How far it has come: what [`Edits::take_back`] goes back to.
    pub(crate) fn mark(&self) -> (Option<Arc<[HeaderName]>>, usize) {
        (self.allowed.clone(), self.list.len())
    }

    /// Forgets everything since the mark.
    pub(crate) fn take_back(&mut self, (allowed, length): (Option<Arc<[HeaderName]>>, usize)) {
        self.allowed = allowed;
        self.list.truncate(length);
    }
}

fn changeable(name: &HeaderName) -> Result<(), NotForFilters> {
    if is_framing(name) || is_hop_by_hop(name) { Err(NotForFilters(name.clone())) } else { Ok(()) }
}

/// A header's name that a filter may change.
pub fn editable(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| format!("`{text}` is no header's name; allowed are letters, digits and -, e.g. x-user"))?;
    if is_framing(&name) || is_hop_by_hop(&name) {
        return Err(format!(
            "`{name}` belongs to the message's framing or connection, which the door writes itself{}",
            if name == http::header::HOST { "; see the upstream's `host`" } else { "" }
        ));
    }
    Ok(name)
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ACCEPT, CONTENT_LENGTH, COOKIE, HOST};

    fn headers() -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert(HOST, HeaderValue::from_static("a.test"));
        map.append(COOKIE, HeaderValue::from_static("a=1"));
        map.append(COOKIE, HeaderValue::from_static("b=2"));
        map.insert(ACCEPT, HeaderValue::from_static("*/*"));
        map
    }

    #[test]
    fn an_allow_list_drops_what_it_does_not_name_but_keeps_the_framing_and_what_is_written() {
        let mut edits = Edits::default();
        edits.set(COOKIE, HeaderValue::from_static("c=3")).unwrap();
        edits.allow_only(Arc::from([ACCEPT]));
        let mut map = headers();
        edits.let_through(&mut map);
        assert!(!map.contains_key(COOKIE));
        edits.apply(&mut map);
        let mut names: Vec<_> = map.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        assert_eq!(names, ["accept", "cookie", "host"]);
    }

    #[test]
    fn later_changes_count_over_earlier_ones() {
        let mut edits = Edits::default();
        edits.set(COOKIE, HeaderValue::from_static("c=3")).unwrap();
        edits.add(COOKIE, HeaderValue::from_static("d=4")).unwrap();
        let mut map = headers();
        edits.apply(&mut map);
        assert_eq!(map.get_all(COOKIE).iter().collect::<Vec<_>>(), ["c=3", "d=4"]);
        edits.remove(COOKIE).unwrap();
        edits.apply(&mut map);
        assert!(!map.contains_key(COOKIE));
    }

    #[test]
    fn the_first_value_is_the_one_that_the_other_side_will_see_first() {
        let mut edits = Edits::default();
        edits.add(COOKIE, HeaderValue::from_static("d=4")).unwrap();
        assert_eq!(edits.first(&COOKIE, Some(b"a=1")), Some(&b"a=1"[..]));
        assert_eq!(edits.first(&COOKIE, None), Some(&b"d=4"[..]));
        edits.remove(COOKIE).unwrap();
        assert_eq!(edits.first(&COOKIE, Some(b"a=1")), None);
        edits.allow_only(Arc::from([COOKIE]));
        assert_eq!(edits.first(&ACCEPT, Some(b"*/*")), None);
    }

    #[test]
    fn all_values_are_those_that_the_other_side_will_see() {
        fn all(edits: &Edits) -> Vec<String> {
            let (mut values, sent) = (Vec::new(), headers());
            edits.all(&COOKIE, &sent, &mut |value| values.push(String::from_utf8_lossy(value).into_owned()));
            values
        }
        let mut edits = Edits::default();
        assert_eq!(all(&edits), ["a=1", "b=2"]);
        edits.add(COOKIE, HeaderValue::from_static("c=3")).unwrap();
        assert_eq!(all(&edits), ["a=1", "b=2", "c=3"]);
        edits.set(COOKIE, HeaderValue::from_static("d=4")).unwrap();
        edits.add(COOKIE, HeaderValue::from_static("e=5")).unwrap();
        assert_eq!(all(&edits), ["d=4", "e=5"]);
        edits.remove(COOKIE).unwrap();
        assert!(all(&edits).is_empty());
    }

    #[test]
    fn framing_is_not_for_filters() {
        let mut edits = Edits::default();
        assert!(edits.set(CONTENT_LENGTH, HeaderValue::from_static("1")).is_err());
        assert!(edits.remove(HeaderName::from_static("keep-alive")).is_err());
        assert!(edits.as_slice().is_empty());
    }
}
