//! The file as a whole: its sections, the configuration made of them, and its JSON Schema.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::decode::{decode, unknown_key};
use super::listener::Listener;
use super::node::{Node, Value};
use super::problem::Problem;
use super::process::{Log, Process};
use super::route::{Defaults, Route};
use super::source::Source;
use super::test::Test;
use super::upstream::Upstream;
use super::value::Name;

/// What the file says, every value of it narrow. Names that point at others are not followed yet.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the door accepts connections; at least one.
    pub listeners: BTreeMap<Name, Listener>,
    /// Named groups of endpoints.
    pub upstreams: BTreeMap<Name, Upstream>,
    /// Which requests go where; at least one.
    pub routes: BTreeMap<Name, Route>,
    /// What every route has unless it says otherwise.
    pub defaults: Defaults,
    /// How the process runs.
    pub process: Process,
    /// What is written down.
    pub log: Log,
    /// What the file promises of itself, in the order of the files.
    pub tests: Vec<Test>,
    /// The files as they were read.
    pub source: Source,
}

/// The file's sections.
pub(super) const SECTIONS: [&str; 8] =
    ["include", "listeners", "upstreams", "routes", "defaults", "process", "log", "tests"];

impl Config {
    /// What of a source's tree is in order; `None` if it is no map. `whole` is false if a part of the
    /// source could not be read, so that what is missing may have been there.
    pub(super) fn of(source: Source, whole: bool, problems: &mut Vec<Problem>) -> Option<Self> {
        let root = source.root();
        let Some(map) = root.as_map() else {
            problems.push(not_a_map(root));
            return None;
        };
        for entry in map.entries().iter().filter(|entry| !SECTIONS.contains(&entry.key.as_str())) {
            let message = unknown_key(&entry.key, SECTIONS.into_iter());
            problems.push(Problem::error(
                Some(entry.key_place.clone()),
                super::problem::render(&[&entry.key]),
                message,
            ));
        }
        let mut sections = Sections { root, whole, problems };
        let listeners = sections.required("listeners", LISTENERS_EXAMPLE);
        let upstreams = sections.named("upstreams");
        let routes = sections.required("routes", ROUTES_EXAMPLE);
        let defaults = sections.one("defaults");
        let process = sections.one("process");
        let log = sections.one("log");
        let tests = sections.list("tests");
        Some(Self {
            listeners,
            upstreams,
            routes,
            defaults: defaults.unwrap_or_default(),
            process: process.unwrap_or_default(),
            log: log.unwrap_or_default(),
            tests,
            source,
        })
    }
}

const LISTENERS_EXAMPLE: &str =
    "it says where the door accepts connections: `listeners: {web: {address: \"127.0.0.1:8080\"}}`";
const ROUTES_EXAMPLE: &str =
    "it says which requests go where: `routes: {users: {path: /users/, to: \"http://127.0.0.1:9101\"}}`";

fn not_a_map(root: &Node) -> Problem {
    let message = match &root.value {
        _ if root.is_null() => "the file is empty; it needs at least `listeners` and `routes`",
        Value::List(_) => "the file is a list; it must be a map that begins with `listeners:` or another section",
        _ => "the file is a text; it must be a map that begins with `listeners:` or another section",
    };
    Problem::error(Some(root.place.clone()), "", message)
}

/// Reads the sections one by one, each part of them by itself: so what is wrong with one route costs one route's work.
struct Sections<'a> {
    root: &'a Node,
    whole: bool,
    problems: &'a mut Vec<Problem>,
}

impl Sections<'_> {
    fn required<T: DeserializeOwned>(&mut self, section: &str, example: &str) -> BTreeMap<Name, T> {
        let node = self.root.get(section);
        let is_empty =
            node.is_some_and(|node| node.is_null() || node.as_map().is_some_and(|map| map.entries().is_empty()));
        if self.whole && (node.is_none() || is_empty) {
            let place = node.unwrap_or(self.root).place.clone();
            let what = if is_empty { "empty" } else { "missing" };
            let path = if is_empty { section } else { "" };
            self.problems.push(Problem::error(Some(place), path, format!("`{section}` is {what}; {example}")));
        }
        self.named(section)
    }

    fn named<T: DeserializeOwned>(&mut self, section: &str) -> BTreeMap<Name, T> {
        let mut parts = BTreeMap::new();
        let Some(node) = self.root.get(section).filter(|node| !node.is_null()) else { return parts };
        let Some(map) = node.as_map() else {
            let message = match &node.value {
                Value::List(_) => {
                    "expected a map of names, found a list; take the dashes away and write `name:` before each"
                }
                _ => "expected a map of names, found text",
            };
            self.problems.push(Problem::error(Some(node.place.clone()), section, message));
            return parts;
        };
        for entry in map.entries() {
            let path = [section, entry.key.as_str()];
            let name = entry.key.parse::<Name>();
            if let Err(why) = &name {
                let place = Some(entry.key_place.clone());
                self.problems.push(Problem::error(place, super::problem::render(&path), why.as_str()));
            }
            let part = decode(&entry.value, &path, &[], self.problems);
            if let (Ok(name), Some(part)) = (name, part) {
                parts.insert(name, part);
            }
        }
        parts
    }

    fn one<T: DeserializeOwned>(&mut self, section: &str) -> Option<T> {
        let node = self.root.get(section).filter(|node| !node.is_null())?;
        decode(node, &[section], &[], self.problems)
    }

    fn list<T: DeserializeOwned>(&mut self, section: &str) -> Vec<T> {
        let Some(node) = self.root.get(section).filter(|node| !node.is_null()) else { return Vec::new() };
        if !matches!(node.value, Value::List(_)) {
            let message = "expected a list; begin each with `- `";
            self.problems.push(Problem::error(Some(node.place.clone()), section, message));
        }
        let items = node.items().iter().enumerate();
        items.filter_map(|(index, item)| decode(item, &[section, &index.to_string()], &[], self.problems)).collect()
    }
}

/// A file of OneDoor: what comes in, where it goes, and what happens on the way.
#[derive(JsonSchema)]
#[schemars(title = "OneDoor configuration", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used; sections are read one by one")]
struct Document {
    /// Further files by their paths or globs, relative to this file: `[routes.d/*.yaml]`. They may hold `listeners`,
    /// `upstreams`, `routes` and `tests`.
    #[schemars(default)]
    include: Vec<String>,
    /// Where the door accepts connections, by name; at least one.
    #[schemars(required, extend("minProperties" = 1))]
    listeners: BTreeMap<Name, Listener>,
    /// Named groups of endpoints.
    #[schemars(default)]
    upstreams: BTreeMap<Name, Upstream>,
    /// Which requests go where, by name; at least one. Their order never matters.
    #[schemars(extend("minProperties" = 1))]
    routes: BTreeMap<Name, Route>,
    /// What every route has unless it says otherwise.
    #[schemars(default)]
    defaults: Option<Defaults>,
    /// How the process runs.
    #[schemars(default)]
    process: Option<Process>,
    /// What is written down.
    #[schemars(default)]
    log: Option<Log>,
    /// What the file promises of itself, checked before every reload.
    #[schemars(default)]
    tests: Vec<Test>,
}

/// The JSON Schema (2020-12) of the file, with the settings of these kinds of filter.
///
/// Editors use it to complete and check files as they are typed. It is a little stricter than the door: a plain `200`
/// where text is expected is text to the door, and a number to an editor.
pub fn schema(filters: BTreeMap<String, Schema>) -> Json {
    let mut document = schemars::generate::SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Document>()
        .to_value();
    // Listeners and routes may stand in included files.
    if let Some(root) = document.as_object_mut() {
        root.insert("anyOf".into(), json!([{"required": ["listeners", "routes"]}, {"required": ["include"]}]));
        root.remove("required");
    }
    let mut definitions = serde_json::Map::new();
    let kinds: serde_json::Map<String, Json> = filters
        .into_iter()
        .map(|(kind, schema)| {
            let mut settings = schema.to_value();
            prepare(&mut settings, &mut definitions);
            (kind, json!({"anyOf": [settings, {"const": "off", "description": "Without this filter."}]}))
        })
        .collect();
    definitions.insert("Filters".into(), json!({"type": "object", "properties": kinds, "additionalProperties": false}));
    for owner in ["Route", "Defaults"] {
        if let Some(filters) = document.pointer_mut(&format!("/$defs/{owner}/properties/filters")) {
            let description = filters.get("description").cloned().unwrap_or_default();
            *filters = json!({"$ref": "#/$defs/Filters", "description": description});
        }
    }
    if let Some(Json::Object(all)) = document.get_mut("$defs") {
        for (name, definition) in definitions {
            all.entry(name).or_insert(definition);
        }
    }
    document
}

/// Makes a root schema one to be used inside another, and allows `on_error` in it.
fn prepare(settings: &mut Json, definitions: &mut serde_json::Map<String, Json>) {
    if let Some(root) = settings.as_object_mut() {
        root.remove("$schema");
        if let Some(Json::Object(own)) = root.remove("$defs") {
            definitions.extend(own);
        }
    }
    allow_on_error(settings);
}

fn allow_on_error(settings: &mut Json) {
    let Some(object) = settings.as_object_mut() else { return };
    for choice in ["anyOf", "oneOf"] {
        if let Some(Json::Array(choices)) = object.get_mut(choice) {
            choices.iter_mut().for_each(allow_on_error);
        }
    }
    if object.get("type").is_some_and(|kind| kind == "object") {
        let properties = object.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.insert(
                "on_error".into(),
                json!({
                    "enum": ["closed", "open"],
                    "default": "closed",
                    "description": "When the filter itself fails: refuse the request (`closed`), or go on without it (`open`).",
                }),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(JsonSchema)]
    #[schemars(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct Limits {
        /// How much.
        body: u32,
    }

    #[test]
    fn the_schema_knows_every_section_and_every_filter() {
        let schema = schema([("limits".to_owned(), schemars::schema_for!(Limits))].into());
        for section in SECTIONS {
            assert!(schema.pointer(&format!("/properties/{section}/description")).is_some(), "{section}");
        }
        assert_eq!(schema["additionalProperties"], false);
        let filters = &schema["$defs"]["Filters"];
        assert_eq!(filters["additionalProperties"], false);
        let limits = &filters["properties"]["limits"]["anyOf"];
        assert_eq!(limits[0]["properties"]["on_error"]["enum"], json!(["closed", "open"]));
        assert_eq!(limits[0]["properties"]["body"]["description"], "How much.");
        assert_eq!(limits[0]["additionalProperties"], false);
        assert_eq!(limits[1]["const"], "off");
        for owner in ["Route", "Defaults"] {
            assert_eq!(schema["$defs"][owner]["properties"]["filters"]["$ref"], "#/$defs/Filters");
        }
    }

    #[test]
    fn every_reference_of_the_schema_leads_somewhere() {
        fn check(value: &Json, root: &Json) {
            match value {
                Json::Object(map) => {
                    if let Some(Json::String(target)) = map.get("$ref") {
                        assert!(root.pointer(&target[1..]).is_some(), "{target}");
                    }
                    map.values().for_each(|value| check(value, root));
                }
                Json::Array(values) => values.iter().for_each(|value| check(value, root)),
                _ => {}
            }
        }
        let schema = schema(BTreeMap::new());
        check(&schema, &schema);
    }
}
