//! The narrow types that the file's values have: whoever holds one need not ask whether it is any good.
//!
//! All are read from text (`FromStr`, whose error is a sentence for people: what is wrong, what is allowed, an example)
//! and, by serde, from the file.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

use super::decode::{RAW_NODE, by_shape, is_bracketed};
use super::problem::shortened;

/// Gives a type that is text in the file its `Deserialize` (by `FromStr`) and its `JsonSchema`.
macro_rules! text_type {
    ($type:ident, $expecting:literal, $schema:tt) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::value::from_text(deserializer, $expecting)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

mod address;
mod byte_rate;
mod count;
mod header;
mod inside;
mod limit_key;
mod path;
mod percent;
mod private_key;
mod rate;
mod request;
mod secret;
mod size;
mod status;
mod switch;
mod time;
mod tls_name;
mod to_https;
mod url;
mod weight;
mod word;

pub(super) use address::host_name;
pub use address::{EndpointAddress, HostPolicy, ListenAddress, Network, TrustedPeer, UpstreamUrl};
pub use byte_rate::ByteRate;
pub use count::Count;
pub use header::by_header;
pub(super) use header::{HeaderText, conditions};
pub use inside::{is_inside, is_inside_name};
pub use limit_key::{LimitKey, Prefixes};
pub use path::FilePath;
pub use percent::{Percent, Share};
pub use private_key::PrivateKey;
pub use rate::Rate;
pub use request::{RequestHeaderName, RequestHost, RequestPath};
pub use secret::{Resolved, SecretText};
pub use size::Size;
pub use status::StatusRange;
pub use switch::Switch;
pub use time::{Limit, Period};
pub use tls_name::TlsName;
pub use to_https::ToHttps;
pub use url::ServiceUrl;
pub use weight::Weight;
pub(super) use word::unknown;
pub use word::{AccessFormat, AccessTarget, LogLevel, Protocol, ProxyVersion, Threads};

/// Reads text and makes a `T` of it.
pub(super) fn from_text<'de, D, T>(deserializer: D, expecting: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = String>,
{
    struct Text<T>(&'static str, PhantomData<T>);

    impl<T: FromStr<Err = String>> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text(expecting, PhantomData))
}

/// The name of a listener, an upstream or a route: 1 to 64 letters, digits, `_`, `-` and `.`, so that it can stand in
/// logs, metrics and on a command line as it is. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// As it stands in the file.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let shown = shortened(text, 40);
        if text.is_empty() {
            Err("a name is empty; write 1 to 64 letters, digits, `_`, `-` and `.`, such as `users`".into())
        } else if let Some(odd) = text.chars().find(|&c| !fits(c)) {
            Err(format!(
                "the name `{shown}` holds {odd:?}; a name is made of letters, digits, `_`, `-` and `.`, such as `users-v2`"
            ))
        } else if text.len() > 64 {
            Err(format!("the name `{shown}` has {} characters; a name has at most 64", text.len()))
        } else {
            Ok(Self(text.into()))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

text_type!(Name, "a name such as `users`", {
    "type": "string",
    "pattern": "^[A-Za-z0-9_.-]{1,64}$",
    "description": "A name: letters, digits, `_`, `-` and `.`.",
});

/// An HTTP status, 100 to 599.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(pub u16);

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Status;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an HTTP status from 100 to 599, such as 404")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Status, E> {
                match u16::try_from(number) {
                    Ok(status @ 100..=599) => Ok(Status(status)),
                    _ => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
                }
            }
        }

        deserializer.deserialize_u16(Number)
    }
}

impl JsonSchema for Status {
    fn schema_name() -> Cow<'static, str> {
        "Status".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 100, "maximum": 599, "description": "An HTTP status."})
    }
}

/// A value or a list of at least one; as a slice there is no difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOrMany<T>(Vec<T>);

impl<T> From<T> for OneOrMany<T> {
    fn from(value: T) -> Self {
        Self(vec![value])
    }
}

impl<T> Deref for OneOrMany<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'a, T> IntoIterator for &'a OneOrMany<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Shape<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a list of values")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                if is_bracketed(text) {
                    return Err(E::custom(format!(
                        "`{}` is a text; for a list take the quotes away",
                        shortened(text, 40)
                    )));
                }
                T::deserialize(StrDeserializer::new(text)).map(OneOrMany::from)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(OneOrMany::from)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                if values.is_empty() {
                    return Err(A::Error::custom("the list is empty; it needs at least one value"));
                }
                Ok(OneOrMany(values))
            }
        }

        by_shape(deserializer, Shape(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})
    }
}

/// A part of the file that is not read with the rest, such as a filter's settings, whose shape is not known yet: see
/// [`Source::node`](super::Source::node).
///
/// Only [`decode`](super::decode()) can make one. Two are equal if they are the same part of the same source, which says
/// nothing across sources: compare the nodes there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawNode(pub u32);

impl<'de> Deserialize<'de> for RawNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Id;

        impl Visitor<'_> for Id {
            type Value = RawNode;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a part of a configuration file")
            }

            fn visit_u32<E: Error>(self, id: u32) -> Result<RawNode, E> {
                Ok(RawNode(id))
            }
        }

        deserializer.deserialize_newtype_struct(RAW_NODE, Id)
    }
}

impl JsonSchema for RawNode {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RawNode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        true.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_stand_anywhere_as_it_is() {
        for name in ["users", "a", "api.v1", "x_y-Z9", &"n".repeat(64)] {
            assert_eq!(name.parse::<Name>().unwrap().as_str(), name);
        }
        for name in ["", "a b", "ü", "a/b", "{x}", &"n".repeat(65)] {
            assert!(name.parse::<Name>().is_err(), "{name}");
        }
        let why = "a b".parse::<Name>().unwrap_err();
        assert_eq!(
            why,
            "the name `a b` holds ' '; a name is made of letters, digits, `_`, `-` and `.`, such as `users-v2`"
        );
    }

    #[test]
    fn a_status_is_one_of_http() {
        assert_eq!(serde_json::from_str::<Status>("404").unwrap(), Status(404));
        assert!(serde_json::from_str::<Status>("99").unwrap_err().to_string().contains("from 100 to 599"));
        assert!(serde_json::from_str::<Status>("600").is_err());
    }

    #[test]
    fn one_is_a_list_of_one_and_none_is_refused() {
        assert_eq!(serde_json::from_str::<OneOrMany<String>>("\"a\"").unwrap()[..], ["a".to_owned()]);
        assert_eq!(serde_json::from_str::<OneOrMany<String>>("[\"a\", \"b\"]").unwrap().len(), 2);
        assert!(serde_json::from_str::<OneOrMany<String>>("[]").unwrap_err().to_string().contains("at least one"));
    }

    #[test]
    fn a_raw_node_comes_from_a_file_only() {
        assert!(serde_json::from_str::<RawNode>("5").is_err());
    }
}
