//! Headers' names and values, wherever the file has them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::super::problem::shortened;
use super::from_text;

/// A map by headers' names: `#[serde(deserialize_with = "by_header")]`. Each key is a header's name, and none stands
/// there twice, as `X-A` and `x-a` would.
///
/// # Errors
/// About the key that is no header's name or another's in other letters.
pub fn by_header<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_map(Headers { also: |_| Ok(()), value: PhantomData })
}

/// The same for the conditions of a route, which has a key of its own for the host.
pub(in super::super) fn conditions<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let also = |name: &HeaderName| match *name == http::header::HOST {
        true => Err("a request's host is no condition here; write `hosts: [api.example.com]` beside `path`".to_owned()),
        false => Ok(()),
    };
    deserializer.deserialize_map(Headers { also, value: PhantomData })
}

struct Headers<T> {
    /// What more there is to say against a name.
    also: fn(&HeaderName) -> Result<(), String>,
    value: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Headers<T> {
    type Value = BTreeMap<String, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of headers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut seen = BTreeSet::new();
        let mut headers = BTreeMap::new();
        while let Some(name) = map.next_key_seed(Key { seen: &mut seen, also: self.also })? {
            headers.insert(name, map.next_value()?);
        }
        Ok(headers)
    }
}

/// One name, in the light of those before it.
struct Key<'a> {
    seen: &'a mut BTreeSet<String>,
    also: fn(&HeaderName) -> Result<(), String>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        let text = String::deserialize(deserializer)?;
        let shown = shortened(&text, 60);
        let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
            D::Error::custom(format!(
                "`{shown}` is no header's name; allowed are letters, digits and `-`, such as `x-user`"
            ))
        })?;
        (self.also)(&name).map_err(D::Error::custom)?;
        if !self.seen.insert(name.as_str().to_owned()) {
            return Err(D::Error::custom(format!(
                "the header `{name}` stands twice in this map, since capital and small letters count the same; keep one"
            )));
        }
        Ok(text)
    }
}

/// A text that a header can carry.
pub(in super::super) struct HeaderText(pub(in super::super) String);

impl FromStr for HeaderText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match HeaderValue::from_str(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(format!(
                "`{}` holds a line break or another character that no header can carry",
                shortened(text, 40)
            )),
        }
    }
}

impl<'de> Deserialize<'de> for HeaderText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, "text that a header can carry")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BTreeMap<String, String>, String> {
        by_header(&mut serde_json::Deserializer::from_str(text)).map_err(|error| error.to_string())
    }

    #[test]
    fn letters_of_either_case_make_one_header() {
        assert_eq!(read(r#"{"X-A": "1", "x-b": "2"}"#).unwrap().len(), 2);
        assert!(read(r#"{"X-A": "1", "x-a": "2"}"#).unwrap_err().contains("the header `x-a` stands twice"));
    }

    #[test]
    fn a_key_is_a_headers_name() {
        for name in ["", "a b", "ä", "a:"] {
            assert!(read(&format!("{{{name:?}: \"1\"}}")).unwrap_err().contains("is no header's name"), "{name}");
        }
    }

    #[test]
    fn a_route_asks_for_a_host_by_its_own_key() {
        let read = |text: &str| conditions::<_, String>(&mut serde_json::Deserializer::from_str(text));
        assert!(read(r#"{"Host": "a"}"#).unwrap_err().to_string().contains("write `hosts:"));
        assert!(read(r#"{"x-host": "a"}"#).is_ok());
    }

    #[test]
    fn a_value_holds_no_line_break() {
        assert!("a\tb é".parse::<HeaderText>().is_ok());
        assert!("a\nb".parse::<HeaderText>().is_err());
    }
}
