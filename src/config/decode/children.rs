//! What is in a list or a map, as serde takes it.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::super::node::{Entry, Map, Node};
use super::super::problem::shortened;
use super::BY_SHAPE;
use super::access::De;
use super::error::{Error, Result};

/// A list, item by item.
pub(super) struct List<'a> {
    de: De<'a>,
    items: std::slice::Iter<'a, Node>,
}

impl<'a> List<'a> {
    pub(super) fn new(de: De<'a>, items: &'a [Node]) -> Self {
        Self { de, items: items.iter() }
    }

    /// The next item that is not left out.
    pub(super) fn next(&mut self) -> Option<&'a Node> {
        let de = self.de;
        self.items.by_ref().find(|item| !de.is_left_out(item))
    }
}

impl<'a> SeqAccess<'a> for &mut List<'a> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(item) = self.next() else { return Ok(None) };
        let de = self.de.below(item);
        de.about(seed.deserialize(de)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// A map, entry by entry.
pub(super) struct Entries<'a> {
    de: De<'a>,
    entries: std::slice::Iter<'a, Entry>,
    value: Option<&'a Node>,
    /// The keys are the language's own, so none stands there for nothing.
    own: bool,
}

impl<'a> Entries<'a> {
    pub(super) fn new(de: De<'a>, map: &'a Map, own: bool) -> Self {
        Self { de, entries: map.entries().iter(), value: None, own }
    }

    /// The next entry that is neither left out nor left aside.
    pub(super) fn next(&mut self) -> Option<&'a Entry> {
        let de = self.de;
        self.entries.by_ref().find(|entry| !de.is_left_out(&entry.value) && !de.is_left_aside(&entry.key))
    }
}

impl<'a> MapAccess<'a> for &mut Entries<'a> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let Some(entry) = self.next() else { return Ok(None) };
        self.value = Some(&entry.value);
        let key = seed.deserialize(Key(&entry.key));
        key.map(Some).map_err(|error| error.about(entry.value.id, true))
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value> {
        let Some(value) = self.value.take() else {
            return Err(Error::message("a value was asked for before its key"));
        };
        let de = self.de.below(value);
        if self.own && value.is_null() {
            return de.fail("nothing stands behind this key; give it a value, or take the key away".to_owned());
        }
        de.about(seed.deserialize(de))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// A map's key: text, or whatever can be read from text.
struct Key<'de>(&'de str);

macro_rules! key_numbers {
    ($($method:ident $visit:ident $kind:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            match self.0.parse::<$kind>() {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(Error::invalid_type(Unexpected::Str(self.0), &visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Error;

    key_numbers! {
        deserialize_bool visit_bool bool;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        if name == BY_SHAPE { visitor.visit_str(self.0) } else { visitor.visit_newtype_struct(self) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let word: StrDeserializer<'de, Error> = self.0.into_deserializer();
        word.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

/// One of an enum's words: alone, or as a map's only key with a value.
pub(super) struct Choice<'a> {
    de: De<'a>,
    word: &'a str,
    value: Option<&'a Node>,
}

impl<'a> Choice<'a> {
    pub(super) fn new(de: De<'a>, word: &'a str, value: Option<&'a Node>) -> Self {
        Self { de, word, value }
    }
}

impl<'a> EnumAccess<'a> for Choice<'a> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, Self)> {
        let variant = seed.deserialize(Key(self.word)).map_err(|error| match self.value {
            Some(value) => error.about(value.id, true),
            None => error,
        })?;
        Ok((variant, self))
    }
}

impl<'a> Choice<'a> {
    fn value(&self) -> Result<De<'a>> {
        match self.value {
            Some(value) => Ok(self.de.below(value)),
            None => {
                let word = shortened(self.word, 40);
                self.de.fail(format!("`{word}` needs a value; write `{{{word}: …}}`"))
            }
        }
    }
}

impl<'a> VariantAccess<'a> for Choice<'a> {
    type Error = Error;

    fn unit_variant(self) -> Result<()> {
        match self.value {
            Some(value) if !value.is_null() => {
                let word = shortened(self.word, 40);
                self.de.below(value).fail(format!("`{word}` takes no value; write `{word}` alone"))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value> {
        let de = self.value()?;
        de.about(seed.deserialize(de))
    }

    fn tuple_variant<V: Visitor<'a>>(self, length: usize, visitor: V) -> Result<V::Value> {
        self.value()?.deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'a>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value> {
        self.value()?.deserialize_struct("", fields, visitor)
    }
}
