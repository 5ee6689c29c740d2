//! Shares of the requests.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};

/// A share of the requests beside the others' shares, 0 to 1000; 0 takes what has it out of turn.
///
/// It is bounded since a round of turns holds the sum of all weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(pub u16);

impl Weight {
    /// The largest.
    pub const MOST: u16 = 1000;

    /// For fields that hold the number alone.
    pub(in super::super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
        Self::deserialize(deserializer).map(|weight| weight.0)
    }
}

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Weight;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a weight from 0 to {}, such as 3", Weight::MOST)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Weight, E> {
                match u16::try_from(number) {
                    Ok(weight) if weight <= Weight::MOST => Ok(Weight(weight)),
                    _ => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
                }
            }
        }

        deserializer.deserialize_u16(Number)
    }
}

impl JsonSchema for Weight {
    fn schema_name() -> Cow<'static, str> {
        "Weight".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let description = "A share of the requests beside the others' shares.";
        json_schema!({"type": "integer", "minimum": 0, "maximum": Self::MOST, "description": description})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_0_to_1000() {
        assert_eq!(serde_json::from_str::<Weight>("0").unwrap(), Weight(0));
        assert_eq!(serde_json::from_str::<Weight>("1000").unwrap(), Weight(1000));
        let why = serde_json::from_str::<Weight>("1001").unwrap_err().to_string();
        assert!(why.contains("a weight from 0 to 1000"), "{why}");
        assert!(serde_json::from_str::<Weight>("-1").is_err());
    }
}
