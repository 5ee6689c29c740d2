//! Private keys, which never stand in the file themselves.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::super::decode::PATH;
use super::{FilePath, SecretText};

/// Where a private key is read: a file's path, `{file: PATH}`, `{env: NAME}` or `{credential: NAME}`.
#[derive(Debug, Clone, PartialEq)]
pub struct PrivateKey(SecretText);

impl PrivateKey {
    /// One that stands in a file.
    pub fn in_file(path: FilePath) -> Self {
        Self(SecretText::File(path.into()))
    }

    /// Where it is: never a literal text.
    pub fn secret(&self) -> &SecretText {
        &self.0
    }
}

impl<'de> Deserialize<'de> for PrivateKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = PrivateKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a file's path, `{file: PATH}`, `{env: NAME}` or `{credential: NAME}`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<PrivateKey, E> {
                text.parse::<FilePath>().map(|path| PrivateKey(SecretText::File(path.into()))).map_err(E::custom)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<PrivateKey, D::Error> {
                deserializer.deserialize_any(self)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PrivateKey, A::Error> {
                SecretText::deserialize(MapAccessDeserializer::new(map)).map(PrivateKey)
            }
        }

        deserializer.deserialize_newtype_struct(PATH, Shape)
    }
}

impl JsonSchema for PrivateKey {
    fn schema_name() -> Cow<'static, str> {
        "PrivateKey".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let elsewhere = generator.subschema_for::<SecretText>();
        json_schema!({"description": "A file's path, or where else the key is.", "anyOf": [elsewhere]})
    }
}
