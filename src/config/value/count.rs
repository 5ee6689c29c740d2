//! Whole numbers of things.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Unexpected, Visitor};

/// At least one of something, and at most a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Count(pub u32);

/// Nothing that is counted here is meant to be more; a larger number is rather a slip.
const MOST: u32 = 1_000_000;

impl<'de> serde::Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number from 1 to 1000000, such as 5")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Count, E> {
                match u32::try_from(number) {
                    Ok(number @ 1..=MOST) => Ok(Count(number)),
                    _ => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
                }
            }
        }

        deserializer.deserialize_u32(Number)
    }
}

impl JsonSchema for Count {
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 1, "maximum": MOST, "description": "A whole number."})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_from_one_to_a_million() {
        assert_eq!(serde_json::from_str::<Count>("5").unwrap(), Count(5));
        for text in ["0", "1000001", "99999999999"] {
            let why = serde_json::from_str::<Count>(text).unwrap_err().to_string();
            assert!(why.contains("from 1 to 1000000"), "{text}: {why}");
        }
    }
}
