//! By what a limit tells requests apart.

use std::borrow::Cow;
use std::fmt;

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::super::decode::by_shape;
use super::super::problem::shortened;

/// By what a limit tells requests apart: `client_ip`, `identity`, `{header: x-tenant}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Per {
    /// The client's address.
    ClientIp,
    /// Whom a filter has found the request to come from.
    Identity,
    /// The first value of a header, as the filters before have left it.
    Header(HeaderName),
}

const ALLOWED: &str = "`client_ip`, `identity`, `{header: x-tenant}`";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfHeader {
    header: String,
}

impl<'de> Deserialize<'de> for Per {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = Per;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(ALLOWED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Per, E> {
                match text {
                    "client_ip" => Ok(Per::ClientIp),
                    "identity" => Ok(Per::Identity),
                    _ => Err(E::custom(format!("unknown word `{}`; allowed: {ALLOWED}", shortened(text, 40)))),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Per, A::Error> {
                let OfHeader { header } = OfHeader::deserialize(MapAccessDeserializer::new(map))?;
                HeaderName::from_bytes(header.as_bytes()).map(Per::Header).map_err(|_| {
                    A::Error::custom(format!("`{}` is no header's name, such as `x-tenant`", shortened(&header, 40)))
                })
            }
        }

        by_shape(deserializer, Shape)
    }
}

impl JsonSchema for Per {
    fn schema_name() -> Cow<'static, str> {
        "Per".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "By what requests are told apart.",
            "anyOf": [
                {"enum": ["client_ip", "identity"]},
                {
                    "type": "object", "properties": {"header": {"type": "string"}}, "required": ["header"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_by_a_word_or_a_header() {
        let read = |json: &str| serde_json::from_str::<Per>(json).map_err(|e| e.to_string());
        assert_eq!(read("\"client_ip\""), Ok(Per::ClientIp));
        assert_eq!(read("\"identity\""), Ok(Per::Identity));
        assert_eq!(read("{\"header\": \"X-Tenant\"}"), Ok(Per::Header(HeaderName::from_static("x-tenant"))));
        assert!(read("\"ip\"").unwrap_err().contains("allowed: `client_ip`"));
        assert!(read("{\"header\": \"a b\"}").unwrap_err().contains("is no header's name"));
    }
}
