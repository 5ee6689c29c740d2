//! serde's view of a tree.

use std::path::Path;

use serde::de::{Deserializer, Expected, Visitor};

use super::super::node::{Node, Scalar, Value};
use super::super::problem::shortened;
use super::children::{Choice, Entries, List};
use super::error::{At, Error, Result, WHOLE_NUMBER, What, list_of, plain_words};
use super::scalar::{Plain, describe, kind};
use super::{BY_SHAPE, PATH, RAW_NODE, Spoilt, is_bracketed};

/// A node, in one round of decoding.
#[derive(Clone, Copy)]
pub(super) struct De<'a> {
    node: &'a Node,
    spoilt: &'a Spoilt,
    /// Keys of this node's map that are no part of it.
    leave_aside: &'a [&'a str],
}

impl<'a> De<'a> {
    pub(super) fn new(node: &'a Node, spoilt: &'a Spoilt, leave_aside: &'a [&'a str]) -> Self {
        Self { node, spoilt, leave_aside }
    }

    pub(super) fn below(&self, node: &'a Node) -> Self {
        Self { node, spoilt: self.spoilt, leave_aside: &[] }
    }

    /// Whatever goes wrong in `result` without saying where is about this node.
    pub(super) fn about<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| error.about(self.node.id, false))
    }

    pub(super) fn fail<T>(&self, message: String) -> Result<T> {
        Err(Error::message(message).about(self.node.id, false))
    }

    fn expected<T>(&self, expected: &str) -> Result<T> {
        self.fail(format!("expected {expected}, found {}", describe(self.node)))
    }

    pub(super) fn is_left_out(&self, node: &Node) -> bool {
        node.is_unset() || (!self.spoilt.nodes.is_empty() && self.spoilt.nodes.contains(&node.id))
    }

    pub(super) fn is_left_aside(&self, key: &str) -> bool {
        self.leave_aside.contains(&key)
    }

    fn scalar(&self) -> Option<&'a Scalar> {
        match &self.node.value {
            Value::Scalar(scalar) if !scalar.is_null() => Some(scalar),
            _ => None,
        }
    }

    fn text(&self, expected: &dyn Expected) -> Result<&'a str> {
        match self.scalar() {
            Some(scalar) => Ok(&scalar.text),
            None => self.expected(&plain_words(expected)),
        }
    }

    fn path(&self, expected: &dyn Expected) -> Result<String> {
        let text = self.text(expected)?;
        let folder = Path::new(&*self.node.place.file).parent().filter(|_| !text.is_empty());
        Ok(folder.map_or_else(|| text.to_owned(), |folder| folder.join(text).to_string_lossy().into_owned()))
    }

    /// The text of something that is no text and so stands without quotes.
    fn unquoted(&self, what: &str) -> Result<&'a str> {
        match self.scalar() {
            Some(scalar) if scalar.plain => Ok(&scalar.text),
            Some(scalar) => {
                let text = shortened(&scalar.text, 40);
                let would_do = !matches!(kind(&scalar.text), Plain::Text);
                let advice = if would_do { "; take the quotes away" } else { "" };
                self.fail(format!("expected {what}, found the text \"{text}\"{advice}"))
            }
            None => self.expected(what),
        }
    }

    /// A whole number from `least` to `most`.
    fn whole(&self, least: i128, most: i128, expected: &dyn Expected) -> Result<i128> {
        let what = match plain_words(expected) {
            // Rust's types say less of themselves than their bounds do, and 64 bits are no bound to anybody.
            words if words == WHOLE_NUMBER && most < i128::from(i64::MAX) => {
                format!("{WHOLE_NUMBER} from {least} to {most}")
            }
            words => words,
        };
        let text = self.unquoted(&what)?;
        match kind(text) {
            Plain::Whole(number) if (least..=most).contains(&number) => Ok(number),
            _ => self.expected(&what),
        }
    }

    fn list<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        let Value::List(items) = &self.node.value else {
            let advice = match self.scalar() {
                Some(scalar) if scalar.plain && !scalar.text.contains([',', '[', ']', '{', '}', '#', ':', '\n']) => {
                    format!("; write `[{}]`", shortened(&scalar.text, 40))
                }
                Some(scalar) if !scalar.plain && is_bracketed(&scalar.text) => "; take the quotes away".to_owned(),
                _ => String::new(),
            };
            return self.fail(format!("expected a list, found {}{advice}", describe(self.node)));
        };
        let mut list = List::new(self, items);
        let value = self.about(visitor.visit_seq(&mut list))?;
        match list.next() {
            None => Ok(value),
            Some(item) => Err(Error::message("this value is one too many for the list").about(item.id, false)),
        }
    }

    /// A map with these keys, or with whatever keys it has.
    fn map<V: Visitor<'a>>(self, visitor: V, keys: Keys<'_>) -> Result<V::Value> {
        let Value::Map(map) = &self.node.value else {
            return self.fail(format!("expected a map, found {}{}", describe(self.node), self.advice_on(keys)));
        };
        let mut entries = Entries::new(self, map, !matches!(keys, Keys::Any));
        let value = self.about(visitor.visit_map(&mut entries))?;
        match entries.next() {
            None => Ok(value),
            Some(entry) => Err(Error::message("this key is one too many").about(entry.value.id, true)),
        }
    }

    fn advice_on(&self, keys: Keys<'_>) -> String {
        let Keys::These(keys) = keys else { return String::new() };
        let allowed = list_of(keys.iter().chain(self.leave_aside).copied());
        // Keys are left aside of filters only, of which every kind can be switched off.
        let off = if self.leave_aside.is_empty() { "" } else { "; or write `off` to go without it" };
        format!("; allowed keys: {allowed}{off}")
    }
}

/// What is known of a map's keys before it is read.
#[derive(Clone, Copy)]
enum Keys<'a> {
    /// Names that the user chose.
    Any,
    /// Some of the language's own.
    Own,
    /// These of the language's own.
    These(&'a [&'a str]),
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $kind:ty;)*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
            let most = i128::try_from(<$kind>::MAX).unwrap_or(i128::MAX);
            let number = self.whole(<$kind>::MIN as i128, most, &visitor)?;
            match <$kind>::try_from(number) {
                Ok(number) => self.about(visitor.$visit(number)),
                Err(_) => self.expected(WHOLE_NUMBER),
            }
        }
    )*};
}

impl<'a> Deserializer<'a> for De<'a> {
    type Error = Error;

    whole_numbers! {
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_u128 visit_u128 u128;
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_i128 visit_i128 i128;
    }

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        let result = match &self.node.value {
            Value::List(_) => return self.list(visitor),
            Value::Map(_) => return self.map(visitor, Keys::Any),
            Value::Scalar(scalar) if scalar.is_null() => visitor.visit_unit(),
            Value::Scalar(scalar) if !scalar.plain => visitor.visit_str(&scalar.text),
            Value::Scalar(scalar) => match kind(&scalar.text) {
                Plain::Bool(value) => visitor.visit_bool(value),
                Plain::Float(number) => visitor.visit_f64(number),
                Plain::Text => visitor.visit_str(&scalar.text),
                Plain::Whole(number) => match (u64::try_from(number), i64::try_from(number)) {
                    (Ok(number), _) => visitor.visit_u64(number),
                    (_, Ok(number)) => visitor.visit_i64(number),
                    _ => visitor.visit_i128(number),
                },
            },
        };
        self.about(result)
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        let text = self.unquoted("`true` or `false`")?;
        let advice = match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" => "; write `true`",
            "no" | "off" | "n" => "; write `false`",
            _ => "",
        };
        match kind(text) {
            Plain::Bool(value) => self.about(visitor.visit_bool(value)),
            _ => self.fail(format!("expected `true` or `false`, found {}{advice}", describe(self.node))),
        }
    }

    fn deserialize_f32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        match kind(self.unquoted("a number")?) {
            Plain::Whole(number) => self.about(visitor.visit_f64(number as f64)),
            Plain::Float(number) => self.about(visitor.visit_f64(number)),
            _ => self.expected("a number"),
        }
    }

    fn deserialize_char<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        let text = self.text(&visitor)?;
        self.about(visitor.visit_borrowed_str(text))
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        let text = self.text(&visitor)?;
        self.about(visitor.visit_borrowed_bytes(text.as_bytes()))
    }

    fn deserialize_byte_buf<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        let result = if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) };
        self.about(result)
    }

    fn deserialize_unit<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        if self.node.is_null() { self.about(visitor.visit_unit()) } else { self.expected("nothing") }
    }

    fn deserialize_unit_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        let result = match (name, &self.node.value) {
            (RAW_NODE, _) => visitor.visit_u32(self.node.id),
            (PATH, Value::Map(_)) => return self.map(visitor, Keys::Own),
            (PATH, _) => {
                let path = self.path(&visitor)?;
                visitor.visit_string(path)
            }
            (BY_SHAPE, Value::List(_)) => return self.list(visitor),
            (BY_SHAPE, Value::Map(_)) => return self.map(visitor, Keys::Own),
            (BY_SHAPE, Value::Scalar(_)) => {
                let text = self.text(&visitor)?;
                visitor.visit_str(text)
            }
            _ => visitor.visit_newtype_struct(self),
        };
        self.about(result)
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.list(visitor)
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value> {
        self.list(visitor)
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.map(visitor, Keys::Any)
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.map(visitor, Keys::These(fields))
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let choice = match &self.node.value {
            Value::Scalar(scalar) if !scalar.is_null() => Choice::new(self, &scalar.text, None),
            Value::Map(map) => {
                let mut entries = Entries::new(self, map, false);
                match (entries.next(), entries.next()) {
                    (Some(entry), None) => Choice::new(self, &entry.key, Some(&entry.value)),
                    (None, _) if !map.entries().is_empty() => {
                        return Err(Error::new(At { id: self.node.id, key: false }, What::Skipped));
                    }
                    _ => {
                        return self
                            .fail(format!("expected a map with exactly one of {}", list_of(variants.iter().copied())));
                    }
                }
            }
            _ => return self.expected(&format!("one of {}", list_of(variants.iter().copied()))),
        };
        self.about(visitor.visit_enum(choice))
    }

    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }
}
