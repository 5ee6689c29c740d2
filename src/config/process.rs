//! `process` and `log`: how the door runs and what it writes down.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::decode::by_shape;
use super::value::{AccessFormat, AccessTarget, Count, LogLevel, Period, Threads};

/// How the process runs.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Process {
    /// Worker threads: `auto` (one for each core) or a number. Read at start only.
    pub threads: Threads,
    /// Connections of clients open at a time, over all listeners; one more is closed unheard. None: 50,000, or half of
    /// what the limit on open files is, if that is less.
    pub connections: Option<Count>,
    /// The longest time that a stopping door waits for what is under way.
    pub drain: Period,
}

impl Default for Process {
    fn default() -> Self {
        Self { threads: Threads::Auto, connections: None, drain: Period(Duration::from_secs(30)) }
    }
}

/// What is written down.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Diagnostics to stderr: `error`, `warn`, `info`, `debug` or `trace`.
    pub level: LogLevel,
    /// A line for each request.
    pub access: AccessLog,
}

/// Where and how requests are written down: `off`, or `{to: …, format: …}`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccessLog {
    /// `stdout` (the default), a file's path, or `off`.
    pub to: AccessTarget,
    /// `json` (the default), `combined` (as Apache and nginx have it), or a template such as
    /// `"{status} {method} {path} {duration_ms}"`.
    pub format: AccessFormat,
}

/// A line for each request.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Written {
    /// `stdout` (the default), a file's path, or `off`.
    to: AccessTarget,
    /// `json` (the default), `combined`, or a template such as `"{status} {method} {path} {duration_ms}"`.
    format: AccessFormat,
}

impl<'de> Deserialize<'de> for AccessLog {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = AccessLog;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`off`, or a map such as `{to: stdout, format: json}`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<AccessLog, E> {
                match text {
                    "off" => Ok(AccessLog { to: AccessTarget::Off, ..AccessLog::default() }),
                    _ => Err(E::invalid_type(serde::de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AccessLog, A::Error> {
                let Written { to, format } = Written::deserialize(MapAccessDeserializer::new(map))?;
                Ok(AccessLog { to, format })
            }
        }

        by_shape(deserializer, Shape)
    }
}

impl JsonSchema for AccessLog {
    fn schema_name() -> Cow<'static, str> {
        "AccessLog".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"const": "off"}, Written::json_schema(generator)]})
    }
}
