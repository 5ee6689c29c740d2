//! The file's JSON Schema, made from the types that it is read into.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde_json::{Value as Json, json};

use super::listener::Listener;
use super::process::{Log, Process};
use super::route::{Defaults, Route};
use super::test::Test;
use super::upstream::Upstream;
use super::value::Name;

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
    if let Some(Json::Object(all)) = document.get_mut("$defs") {
        all.values_mut().for_each(refuse_nothing);
    }
    take_variables(&mut document);
    if let Some(Json::Object(all)) = document.get_mut("$defs") {
        all.insert(
            "Variables".into(),
            json!({
                "type": "string",
                "pattern": "\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}",
                "description": "Text with `${NAME}` or `${NAME:-default}`, variables of the environment.",
            }),
        );
    }
    document
}

/// Takes `null` from the values of the language's keys: a key that may be absent is not one with nothing behind it.
fn refuse_nothing(schema: &mut Json) {
    let Some(object) = schema.as_object_mut() else { return };
    for (key, value) in object.iter_mut() {
        match (key.as_str(), value) {
            ("properties", Json::Object(all)) => all.values_mut().for_each(|value| {
                take_null(value);
                refuse_nothing(value);
            }),
            ("anyOf" | "oneOf" | "allOf", Json::Array(all)) => all.iter_mut().for_each(refuse_nothing),
            ("items" | "additionalProperties", one) => refuse_nothing(one),
            _ => {}
        }
    }
}

fn take_null(value: &mut Json) {
    let Some(object) = value.as_object_mut() else { return };
    if object.get("default").is_some_and(Json::is_null) {
        object.remove("default");
    }
    if let Some(Json::Array(kinds)) = object.get_mut("type") {
        kinds.retain(|kind| kind != "null");
    }
    if let Some(Json::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
    }
}

/// Lets every value that is not any text, such as a number or a word, be a text with variables of the environment too:
/// they are replaced before the value is looked at.
fn take_variables(schema: &mut Json) {
    let Some(object) = schema.as_object_mut() else { return };
    // A variable is all of the choices at once, which only `anyOf` takes.
    if !object.contains_key("anyOf")
        && object.get("oneOf").and_then(Json::as_array).is_some_and(|all| all.iter().any(is_narrow_scalar))
        && let Some(choices) = object.remove("oneOf")
    {
        object.insert("anyOf".into(), choices);
    }
    for (key, value) in object.iter_mut() {
        match (key.as_str(), value) {
            ("properties" | "$defs", Json::Object(all)) => all.values_mut().for_each(take_variables),
            ("anyOf" | "oneOf" | "allOf", Json::Array(all)) => all.iter_mut().for_each(take_variables),
            ("items" | "additionalProperties", one) => take_variables(one),
            _ => {}
        }
    }
    if !is_narrow_scalar(schema) {
        return;
    }
    let mut wider = json!({});
    for said_of_both in ["title", "description", "default", "examples"] {
        if let Some(said) = schema.as_object_mut().and_then(|object| object.remove(said_of_both)) {
            wider[said_of_both] = said;
        }
    }
    wider["anyOf"] = json!([schema.take(), {"$ref": "#/$defs/Variables"}]);
    *schema = wider;
}

fn is_narrow_scalar(schema: &Json) -> bool {
    let is_of = |kind: &str| match &schema["type"] {
        Json::String(only) => only == kind,
        Json::Array(kinds) => kinds.iter().any(|known| known == kind),
        _ => false,
    };
    let is_word = schema.get("const").is_some_and(Json::is_string) || schema.get("enum").is_some();
    is_word
        || ["integer", "number", "boolean"].into_iter().any(is_of)
        || (is_of("string") && (schema.get("pattern").is_some() || schema.get("format").is_some()))
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
    use super::super::{decode, document::SECTIONS, yaml};
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
        assert_eq!(limits[0]["properties"]["on_error"]["anyOf"][0]["enum"], json!(["closed", "open"]));
        assert_eq!(limits[0]["properties"]["body"]["description"], "How much.");
        assert_eq!(limits[0]["additionalProperties"], false);
        assert_eq!(limits[1]["anyOf"][0]["const"], "off");
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

    /// A text as an editor sees it: as YAML and no more.
    fn as_json(text: &str) -> Json {
        let mut problems = Vec::new();
        let mut node = yaml::parse(text.as_bytes(), &"t".into(), &mut problems).unwrap();
        node.number();
        decode(&node, &[], &[], &mut problems).unwrap()
    }

    fn with(more: &str) -> Json {
        as_json(&format!("listeners: {{web: {{address: '127.0.0.1:1'}}}}\nroutes: {{a: {{path: /, to: u}}}}\n{more}"))
    }

    fn validator() -> jsonschema::Validator {
        jsonschema::validator_for(&schema(crate::builtins().schemas())).unwrap()
    }

    #[test]
    fn every_file_under_conf_fits_the_schema() {
        let validator = validator();
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let file = as_json(&std::fs::read_to_string(&path).unwrap());
                let wrong: Vec<_> = validator.iter_errors(&file).map(|error| error.to_string()).collect();
                assert!(wrong.is_empty(), "{}: {wrong:#?}", path.display());
                count += 1;
            }
        }
        assert!(count >= 5, "{count}");
    }

    #[test]
    fn a_variable_may_stand_for_every_value() {
        let validator = validator();
        assert!(validator.is_valid(&with("defaults:\ntests: [{get: /, expect: {headers: {a: ~}}}]")));
        for more in [
            "upstreams: {u: {endpoints: [{address: \"${A}:1\", weight: \"${W}\"}, \"${B:-127.0.0.1:2}\"]}}",
            "process: {threads: \"${T:-auto}\", drain: \"${D}s\"}",
            "log: {level: \"${L}\", access: \"${X}\"}",
            "defaults: {timeout: \"${T}\", filters: {ip: {allow: [\"${N}\"], on_error: \"${E}\"}, headers: \"${OFF:-off}\"}}",
            "tests: [{get: \"/${P}\", expect: {status: \"${S}\"}}]",
        ] {
            let wrong: Vec<_> = validator.iter_errors(&with(more)).map(|error| error.to_string()).collect();
            assert!(wrong.is_empty(), "{more}: {wrong:#?}");
        }
    }

    #[test]
    fn what_the_door_refuses_by_its_shape_the_schema_refuses() {
        let validator = validator();
        for more in [
            "upstreams: {u: {endpoints: [{address: \"a:1\", weight: 1001}]}}",
            "upstreams: {u: {endpoints: [{address: \"a:1\", weight: \"3\"}]}}",
            "process: {drain: 5}",
            "process: {drains: 5s}",
            "log: {level: loud}",
            "log: {level: \"$L\"}",
            "defaults: {timeout: }",
            "defaults: {filters: {ip: {allow: }}}",
            "tests: [{get: /, expect: {path: }}]",
            "defaults: {filters: {cros: off}}",
            "defaults: {filters: {ip: {on_error: opened}}}",
        ] {
            assert!(!validator.is_valid(&with(more)), "{more}");
        }
    }
}
