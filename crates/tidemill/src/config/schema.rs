//! Renders the table of keys for editors, as a JSON schema (draft 2020-12).
//!
//! A schema says less than the reader checks: what lies between keys (names that are taken twice,
//! probe keys without their probe) is not in it.

use serde_json::{Map, Value, json};

use super::definition::{Key, Kind, Presence, Section};
use super::jobs::{CLUSTER, JOBS};
use super::node::NODE;
use super::proxy::PROXY;
use super::workstream::WORKSTREAM;

/// Returns the schema of `tidemill.toml`.
pub fn schema() -> Value {
    let mut sections = Map::new();
    sections.insert(NODE.name.to_owned(), section(&NODE));
    sections.insert(JOBS.name.to_owned(), section(&JOBS));
    sections.insert(CLUSTER.name.to_owned(), section(&CLUSTER));
    sections.insert(PROXY.name.to_owned(), section(&PROXY));
    sections.insert(WORKSTREAM.name.to_owned(), section(&WORKSTREAM));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tidemill.toml",
        "type": "object",
        "additionalProperties": false,
        "properties": sections,
    })
}

fn section<T>(section: &'static Section<T>) -> Value {
    let mut table = table(section.keys);
    table["description"] = section.doc.into();
    if section.is_repeated { json!({ "type": "array", "items": table }) } else { table }
}

fn table<T>(keys: &'static [Key<T>]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in keys {
        let mut value = value(&key.kind);
        value["description"] = key.doc.into();
        match key.presence {
            Presence::Required => required.push(key.name),
            Presence::Default(toml) => {
                // The defaults are strings and integers, which TOML and JSON write alike.
                let default = serde_json::from_str(toml).expect("a default is valid JSON");
                value["default"] = default;
            }
            Presence::Absent(_) => {}
        }
        properties.insert(key.name.to_owned(), value);
    }
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}

fn value<T>(kind: &Kind<T>) -> Value {
    match kind {
        Kind::Name(_) => json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" }),
        Kind::Text { bytes_max, begins: "", .. } => {
            json!({ "type": "string", "minLength": 1, "maxLength": bytes_max })
        }
        Kind::Text { bytes_max, begins, .. } => {
            json!({ "type": "string", "maxLength": bytes_max, "pattern": format!("^{begins}") })
        }
        Kind::Folder(_) => json!({ "type": "string", "minLength": 1 }),
        Kind::Listen(_) | Kind::Endpoint(_) => {
            json!({ "type": "string", "pattern": "^.+:[0-9]{1,5}$" })
        }
        Kind::Duration { .. } => {
            json!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$" })
        }
        Kind::Integer { min, max, .. } => {
            json!({ "type": "integer", "minimum": min, "maximum": max })
        }
        Kind::Percent(_) => json!({ "type": "string", "pattern": "^(100|[0-9]{1,2})%$" }),
        Kind::Size { .. } => json!({ "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB|TiB)$" }),
        Kind::Texts { count_max, .. } => json!({
            "type": "array",
            "minItems": 1,
            "maxItems": count_max,
            "items": { "type": "string", "minLength": 1, "maxLength": 256 },
        }),
        Kind::Statuses(_) => {
            json!({ "type": "string", "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$" })
        }
        Kind::Threads { max, .. } => json!({
            "oneOf": [{ "const": "auto" }, { "type": "integer", "minimum": 1, "maximum": max }],
        }),
        Kind::Choice(choices) => {
            let names: Vec<_> = choices.iter().map(|choice| choice.name).collect();
            json!({ "enum": names })
        }
        Kind::Table(keys) => table(keys),
        Kind::Backends { keys, .. } => json!({
            "type": "array",
            "minItems": 1,
            "items": { "oneOf": [{ "type": "string", "pattern": "^.+:[0-9]{1,5}$" }, table(keys)] },
        }),
    }
}
