//! Strips AWS's published service models to what a server needs, and commits them.
//!
//! The models come from botocore's `data` folder (`pip download --no-deps botocore`, unzip). Prose is
//! most of their bytes and none of their meaning, so only the traits named in the lists below are
//! kept. The lists are allow-lists, and what falls outside them is counted on standard output, so
//! a trait that AWS adds is noticed when the models are next renewed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use crate::generate::services;

const METADATA: &[&str] = &[
    "apiVersion",
    "awsQueryCompatible",
    "endpointPrefix",
    "jsonVersion",
    "protocol",
    "protocols",
    "serviceFullName",
    "serviceId",
    "signingName",
    "signatureVersion",
    "targetPrefix",
    "xmlNamespace",
];
const OPERATION: &[&str] = &["auth", "authtype", "errors", "http", "httpChecksum", "input", "output", "unsignedPayload"];
/// The traits of a shape, and of a reference to a shape (a member, a key, an operation's input).
const SHAPE: &[&str] = &[
    "box",
    "document",
    "enum",
    "error",
    "event",
    "eventpayload",
    "eventstream",
    "exception",
    "fault",
    "flattened",
    "idempotencyToken",
    "jsonName",
    "jsonvalue",
    "key",
    "location",
    "locationName",
    "max",
    "member",
    "members",
    "min",
    "pattern",
    "payload",
    "queryName",
    "required",
    "resultWrapper",
    "sensitive",
    "shape",
    "streaming",
    "timestampFormat",
    "type",
    "union",
    "value",
    "wrapper",
    "xmlAttribute",
    "xmlNamespace",
];

/// Which of a service's models is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The one that AWS publishes now.
    Current,
    /// That of the Query protocol, for services which have moved to JSON and still answer Query clients.
    Query,
}

impl Form {
    /// The stripped model's file in `models/`.
    pub(crate) fn file(self, service: &str) -> String {
        match self {
            Self::Current => format!("{service}.json"),
            Self::Query => format!("{service}.query.json"),
        }
    }
}

/// Strips the newest model of every service that `services.toml` names (in the Query form: that also speaks Query).
pub(crate) fn strip_all(root: &Path, from: &Path, form: Form) -> Result<()> {
    let wire = crate::wire_folder(root);
    let mut dropped = BTreeMap::new();
    let services = services(&wire)?;
    for (service, _) in services.iter().filter(|(_, entry)| form == Form::Current || entry.also_query) {
        let model = newest_model(&from.join(service))?;
        let stripped = strip(&model, &mut dropped).with_context(|| format!("stripping the model of {service}"))?;
        let path = wire.join("models").join(form.file(service));
        std::fs::write(&path, &stripped).with_context(|| format!("writing {}", path.display()))?;
        println!("{}: {} bytes", path.display(), stripped.len());
    }
    let dropped: Vec<String> = dropped.iter().map(|(name, count)| format!("{name} ({count})")).collect();
    println!("traits left out: {}", dropped.join(", "));
    Ok(())
}

/// Reads `service-2.json[.gz]` of the newest version folder.
fn newest_model(folder: &Path) -> Result<Map<String, Value>> {
    let mut versions: Vec<_> = std::fs::read_dir(folder)
        .with_context(|| format!("reading {}: is this botocore's data folder?", folder.display()))?
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    versions.sort();
    let Some(newest) = versions.last() else {
        bail!("{} has no version folder", folder.display());
    };
    let packed = newest.join("service-2.json.gz");
    let text = if packed.exists() {
        let mut text = String::new();
        flate2::read::GzDecoder::new(std::fs::File::open(&packed)?)
            .read_to_string(&mut text)
            .with_context(|| format!("unpacking {}", packed.display()))?;
        text
    } else {
        crate::read(&newest.join("service-2.json"))?
    };
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", newest.display()))
}

/// One line for each operation and shape, so that a renewed model is a readable diff.
fn strip(model: &Map<String, Value>, dropped: &mut BTreeMap<String, u64>) -> Result<String> {
    let mut out = String::from("{\n");
    let section = |name: &str| model.get(name).and_then(Value::as_object).with_context(|| format!("the model has no \"{name}\""));
    let metadata = keep(section("metadata")?, METADATA, "metadata", dropped);
    writeln!(out, "\"metadata\":{},", Value::Object(metadata))?;
    for (name, end) in [("operations", ","), ("shapes", "")] {
        writeln!(out, "\"{name}\":{{")?;
        let section = section(name)?;
        let mut sorted: Vec<_> = section.iter().collect();
        sorted.sort_by_key(|(name, _)| *name);
        for (i, (item, traits)) in sorted.iter().enumerate() {
            let traits = traits.as_object().context("an entry is not an object")?;
            let stripped = match name {
                "operations" => strip_operation(traits, dropped),
                _ => strip_shape(traits, dropped),
            };
            let comma = if i + 1 < sorted.len() { "," } else { "" };
            writeln!(out, "\"{item}\":{}{comma}", Value::Object(stripped))?;
        }
        writeln!(out, "}}{end}")?;
    }
    out.push_str("}\n");
    Ok(out)
}

fn strip_operation(operation: &Map<String, Value>, dropped: &mut BTreeMap<String, u64>) -> Map<String, Value> {
    let mut kept = keep(operation, OPERATION, "operation", dropped);
    if let Some(Value::Array(errors)) = kept.get_mut("errors") {
        for error in errors {
            if let Some(shape) = error.get("shape").cloned() {
                *error = shape;
            }
        }
    }
    for side in ["input", "output"] {
        if let Some(Value::Object(reference)) = kept.get_mut(side) {
            *reference = strip_shape(reference, dropped);
        }
    }
    kept
}

fn strip_shape(shape: &Map<String, Value>, dropped: &mut BTreeMap<String, u64>) -> Map<String, Value> {
    let mut kept = keep(shape, SHAPE, "shape", dropped);
    for part in ["member", "key", "value"] {
        if let Some(Value::Object(reference)) = kept.get_mut(part) {
            *reference = strip_shape(reference, dropped);
        }
    }
    if let Some(Value::Object(members)) = kept.get_mut("members") {
        for member in members.values_mut() {
            if let Value::Object(reference) = member {
                *reference = strip_shape(reference, dropped);
            }
        }
    }
    kept
}

fn keep(traits: &Map<String, Value>, names: &[&str], place: &str, dropped: &mut BTreeMap<String, u64>) -> Map<String, Value> {
    let mut kept = Map::new();
    for (name, value) in traits {
        if names.contains(&name.as_str()) {
            kept.insert(name.clone(), value.clone());
        } else {
            *dropped.entry(format!("{place}.{name}")).or_default() += 1;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn prose_goes_and_constraints_stay() {
        let model = json!({
            "documentation": "<p>long</p>",
            "metadata": {"protocol": "json", "uid": "x"},
            "operations": {"Do": {
                "name": "Do", "documentation": "<p>",
                "input": {"shape": "DoIn", "documentation": "<p>"},
                "errors": [{"shape": "Bad", "documentation": "<p>"}],
            }},
            "shapes": {"DoIn": {
                "type": "structure", "required": ["A"], "documentation": "<p>",
                "members": {"A": {"shape": "S", "documentation": "<p>", "idempotencyToken": true}},
            }, "Bad": {"type": "structure", "members": {}, "error": {"code": "B", "httpStatusCode": 404}},
            "S": {"type": "string", "min": 1, "pattern": "[a-z]+"}},
        });
        let mut dropped = BTreeMap::new();
        let stripped = strip(model.as_object().unwrap(), &mut dropped).unwrap();
        let read: Value = serde_json::from_str(&stripped).unwrap();
        assert_eq!(
            read,
            json!({
                "metadata": {"protocol": "json"},
                "operations": {"Do": {"input": {"shape": "DoIn"}, "errors": ["Bad"]}},
                "shapes": {
                    "Bad": {"type": "structure", "members": {}, "error": {"code": "B", "httpStatusCode": 404}},
                    "DoIn": {"type": "structure", "required": ["A"],
                             "members": {"A": {"shape": "S", "idempotencyToken": true}}},
                    "S": {"type": "string", "min": 1, "pattern": "[a-z]+"},
                },
            })
        );
        assert_eq!(dropped["shape.documentation"], 3);
    }
}
