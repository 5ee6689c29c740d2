//! Which methods a route is for.

use std::fmt;

use http::Method;

/// A set of methods; without any it is every method.
///
/// `GET` has `HEAD` with it, weakly: a route that names `HEAD` comes first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Methods {
    /// One bit for each of [`USUAL`].
    usual: u16,
    /// The others, sorted by name.
    others: Box<[Method]>,
}

/// Sorted by name, as `Allow` lists them.
const USUAL: &[Method] =
    &[Method::DELETE, Method::GET, Method::HEAD, Method::OPTIONS, Method::PATCH, Method::POST, Method::PUT];

/// How a set of methods takes in a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Takes {
    No,
    /// As every method, or `HEAD` because of `GET`.
    Implied,
    Named,
}

/// How two sets of methods compare on a method that both take in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    First,
    Second,
    Equal,
    /// Both hold what the other does not.
    Crossed,
}

impl Methods {
    /// Every method.
    pub fn any() -> Self {
        Self::default()
    }

    /// Reads names of methods.
    ///
    /// # Errors
    /// The position of each that is none, that stands there twice or that the door does not do, and why.
    pub fn parse<T: AsRef<str>>(names: &[T]) -> Result<Self, Vec<(usize, String)>> {
        let mut set = Self::default();
        let mut others = Vec::new();
        let mut problems = Vec::new();
        for (index, name) in names.iter().map(AsRef::as_ref).enumerate() {
            match method(name) {
                Ok(method) if set.names(&method) || others.contains(&method) => {
                    problems.push((index, format!("`{name}` stands here twice; keep one")));
                }
                Ok(method) => match bit(&method) {
                    Some(bit) => set.usual |= bit,
                    None => others.push(method),
                },
                Err(why) => problems.push((index, why)),
            }
        }
        others.sort_by(|a: &Method, b| a.as_str().cmp(b.as_str()));
        set.others = others.into();
        if problems.is_empty() { Ok(set) } else { Err(problems) }
    }

    /// Whether it is every method.
    pub fn is_any(&self) -> bool {
        self.usual == 0 && self.others.is_empty()
    }

    /// Whether it takes in a method.
    pub fn matches(&self, method: &Method) -> bool {
        self.takes(method) != Takes::No
    }

    /// Those that it names, sorted.
    pub fn named(&self) -> impl Iterator<Item = &Method> {
        let mut named: Vec<&Method> = USUAL.iter().filter(|method| self.names(method)).chain(&self.others).collect();
        named.sort_by_key(|method| method.as_str());
        named.into_iter()
    }

    fn names(&self, method: &Method) -> bool {
        match bit(method) {
            Some(bit) => self.usual & bit != 0,
            None => self.others.contains(method),
        }
    }

    pub(super) fn takes(&self, method: &Method) -> Takes {
        if self.names(method) {
            Takes::Named
        } else if self.is_any() || (*method == Method::HEAD && self.names(&Method::GET)) {
            Takes::Implied
        } else {
            Takes::No
        }
    }

    /// How many it is; the fewer, the more specific.
    pub(super) fn breadth(&self) -> usize {
        if self.is_any() { usize::MAX } else { self.usual.count_ones() as usize + self.others.len() }
    }

    fn is_within(&self, other: &Self) -> bool {
        other.is_any()
            || (!self.is_any()
                && self.usual & !other.usual == 0
                && self.others.iter().all(|method| other.others.contains(method)))
    }

    /// Compares them on a method that both take in.
    pub(super) fn compare(&self, other: &Self, method: &Method) -> Order {
        // `HEAD` by its name comes before `HEAD` by `GET`, however many methods stand beside it.
        if *method == Method::HEAD {
            match (self.names(method), other.names(method)) {
                (true, false) => return Order::First,
                (false, true) => return Order::Second,
                _ => {}
            }
        }
        match (self.is_within(other), other.is_within(self)) {
            (true, true) => Order::Equal,
            (true, false) => Order::First,
            (false, true) => Order::Second,
            (false, false) => Order::Crossed,
        }
    }

    /// Methods that both take in: one of each kind that matters.
    pub(super) fn shared(&self, other: &Self) -> impl Iterator<Item = Method> {
        let either = if self.is_any() { other } else { self };
        let mut candidates: Vec<Method> = either.named().cloned().collect();
        if either.is_any() {
            candidates.push(Method::GET);
        }
        if candidates.contains(&Method::GET) {
            candidates.push(Method::HEAD);
        }
        candidates.into_iter().filter(|method| self.matches(method) && other.matches(method))
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_any() {
            return f.write_str("any method");
        }
        for (index, method) in self.named().enumerate() {
            write!(f, "{}{method}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

fn bit(method: &Method) -> Option<u16> {
    USUAL.iter().position(|usual| usual == method).map(|at| 1 << at)
}

fn method(name: &str) -> Result<Method, String> {
    let upper = name.to_ascii_uppercase();
    match upper.as_str() {
        "CONNECT" | "TRACE" | "TRACK" => {
            return Err(format!("the door does not do `{name}`: it answers 501 to it; leave it out"));
        }
        "*" | "ANY" | "ALL" => {
            return Err(format!("`{name}` is no method; leave `methods` out for every method"));
        }
        _ => {}
    }
    let Ok(method) = Method::from_bytes(name.as_bytes()) else {
        return Err(not_a_method(name));
    };
    match usual_like(&upper) {
        Some(usual) if usual.as_str() == name => Ok(method),
        Some(usual) if usual.as_str() == upper => Err(format!("methods are told apart by case; write `{usual}`")),
        Some(usual) => Err(format!("`{name}` is no method that is in use; did you mean `{usual}`?")),
        None => Ok(method),
    }
}

/// What to write in place of a text that is no token (RFC 9110, 9.1): `GET, POST` is meant to be two methods.
fn not_a_method(name: &str) -> String {
    let words: Vec<&str> = name.split([',', ' ', '|', '/']).filter(|word| !word.is_empty()).collect();
    if words.len() > 1 && words.iter().all(|word| method(word).is_ok()) {
        return format!("one method stands here; write each by itself: `{}`", words.join("`, `"));
    }
    let known: Vec<&str> = USUAL.iter().map(Method::as_str).collect();
    format!("`{name}` is no method; allowed: {}, and others of letters, digits and `-`", known.join(", "))
}

/// The usual method that a name in upper case is, or was most likely meant to be. No method that is registered or known
/// from caches and WebDAV is as close to a usual one.
fn usual_like(upper: &str) -> Option<&'static Method> {
    if upper.len() > 10 {
        return None;
    }
    let slips = |method: &Method| strsim::osa_distance(method.as_str(), upper);
    let nearest = USUAL.iter().min_by_key(|method| slips(method))?;
    let allowed = if nearest.as_str().len() <= 5 { 1 } else { 2 };
    (slips(nearest) <= allowed).then_some(nearest)
}

/// The methods that a path is there for, as the `Allow` header lists them (RFC 9110, 10.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allow {
    /// Sorted by name.
    methods: Vec<Method>,
}

impl Allow {
    /// Sorted by name; with `HEAD` wherever there is `GET`.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    pub(super) fn add(&mut self, methods: &Methods) {
        let head = methods.names(&Method::GET).then_some(&Method::HEAD);
        for method in methods.named().chain(head) {
            if let Err(at) = self.methods.binary_search_by(|known| known.as_str().cmp(method.as_str())) {
                self.methods.insert(at, method.clone());
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.methods.is_empty()
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, method) in self.methods.iter().enumerate() {
            write!(f, "{}{method}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> Methods {
        Methods::parse(names).unwrap()
    }

    #[test]
    fn get_takes_head_weakly() {
        assert_eq!(set(&["GET"]).takes(&Method::HEAD), Takes::Implied);
        assert_eq!(set(&["HEAD"]).takes(&Method::HEAD), Takes::Named);
        assert_eq!(set(&["HEAD"]).takes(&Method::GET), Takes::No);
        assert_eq!(set(&["POST"]).takes(&Method::HEAD), Takes::No);
        assert_eq!(set(&["GET"]).compare(&set(&["GET", "HEAD", "POST"]), &Method::HEAD), Order::Second);
        assert_eq!(set(&["GET"]).compare(&set(&["GET", "HEAD", "POST"]), &Method::GET), Order::First);
    }

    #[test]
    fn fewer_methods_are_more_specific() {
        let any = Methods::any();
        assert!(any.is_any() && any.matches(&Method::from_bytes(b"PURGE").unwrap()));
        assert_eq!(set(&["GET"]).compare(&any, &Method::HEAD), Order::First);
        assert_eq!(any.compare(&set(&["PURGE"]), &Method::from_bytes(b"PURGE").unwrap()), Order::Second);
        assert_eq!(set(&["GET", "POST"]).compare(&set(&["POST", "GET"]), &Method::GET), Order::Equal);
        assert_eq!(set(&["GET", "POST"]).compare(&set(&["PUT", "GET"]), &Method::GET), Order::Crossed);
    }

    #[test]
    fn shared_methods_are_taken_in_by_both() {
        let shared = |a: &[&str], b: &[&str]| set(a).shared(&set(b)).map(|m| m.to_string()).collect::<Vec<_>>();
        assert_eq!(shared(&["GET"], &["HEAD"]), ["HEAD"]);
        assert_eq!(shared(&["GET"], &["POST"]), [""; 0]);
        assert_eq!(shared(&[], &["PURGE"]), ["PURGE"]);
        assert_eq!(shared(&[], &[]), ["GET", "HEAD"]);
    }

    #[test]
    fn each_problem_says_which_and_what_to_write() {
        let why = |name: &str| Methods::parse(&[name]).unwrap_err().remove(0).1;
        for (name, says) in [
            ("post", "write `POST`"),
            ("Get", "write `GET`"),
            ("Gte", "did you mean `GET`?"),
            ("POTS", "did you mean `POST`?"),
            ("option", "did you mean `OPTIONS`?"),
            ("DELET", "did you mean `DELETE`?"),
            ("a@b", "allowed: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
            ("", "allowed: DELETE"),
            ("GET, POST", "write each by itself: `GET`, `POST`"),
            ("*", "leave `methods` out"),
            ("any", "leave `methods` out"),
            ("TRACE", "501"),
        ] {
            assert!(why(name).contains(says), "{name}: {}", why(name));
        }
        let problems = Methods::parse(&["GET", "post", "GET", "Gte"]).unwrap_err();
        assert_eq!(problems.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(problems[1].1.contains("twice"));
    }

    #[test]
    fn a_method_of_ones_own_is_a_method() {
        for name in [
            "ACL",
            "BAN",
            "BIND",
            "CHECKIN",
            "COPY",
            "LABEL",
            "LINK",
            "LOCK",
            "M-SEARCH",
            "MERGE",
            "MKCOL",
            "MOVE",
            "NOTIFY",
            "ORDERPATCH",
            "PRI",
            "PROPFIND",
            "PROPPATCH",
            "PURGE",
            "purge",
            "QUERY",
            "REBIND",
            "REFRESH",
            "REPORT",
            "SEARCH",
            "SUBSCRIBE",
            "UNBIND",
            "UNLINK",
            "UNLOCK",
            "UPDATE",
            "VERSION-CONTROL",
        ] {
            assert!(Methods::parse(&[name]).is_ok(), "{name}");
        }
    }

    #[test]
    fn allow_is_sorted_and_lists_head_with_get() {
        let mut allow = Allow::default();
        allow.add(&set(&["PUT", "LOCK"]));
        allow.add(&set(&["PUT", "GET"]));
        assert_eq!(allow.to_string(), "GET, HEAD, LOCK, PUT");
        assert_eq!(set(&["PUT", "LOCK"]).to_string(), "LOCK, PUT");
    }
}
