//! A stripped service model, as far as the generator reads it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
pub(super) struct Model {
    pub(super) metadata: Metadata,
    pub(super) operations: IndexMap<String, Operation>,
    pub(super) shapes: IndexMap<String, Shape>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) api_version: String,
    pub(super) json_version: Option<String>,
    pub(super) protocol: String,
    pub(super) service_id: String,
    pub(super) target_prefix: Option<String>,
    pub(super) xml_namespace: Option<Value>,
    pub(super) endpoint_prefix: String,
}

#[derive(Deserialize)]
pub(super) struct Operation {
    pub(super) http: Http,
    pub(super) input: Option<Reference>,
    pub(super) output: Option<Reference>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Http {
    pub(super) method: String,
    pub(super) request_uri: String,
    pub(super) response_code: Option<u16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reference {
    pub(super) shape: String,
    pub(super) location: Option<String>,
    pub(super) location_name: Option<String>,
    #[serde(default)]
    pub(super) flattened: bool,
    pub(super) timestamp_format: Option<String>,
    pub(super) result_wrapper: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shape {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) location_name: Option<String>,
    pub(super) payload: Option<String>,
    #[serde(default)]
    pub(super) members: IndexMap<String, Reference>,
    #[serde(default)]
    pub(super) required: BTreeSet<String>,
    pub(super) member: Option<Reference>,
    pub(super) key: Option<Reference>,
    pub(super) value: Option<Reference>,
    #[serde(default, rename = "enum")]
    pub(super) allowed: Vec<String>,
    pub(super) min: Option<serde_json::Number>,
    pub(super) max: Option<serde_json::Number>,
    pub(super) pattern: Option<String>,
    pub(super) timestamp_format: Option<String>,
    #[serde(default)]
    pub(super) flattened: bool,
    #[serde(default)]
    pub(super) sensitive: bool,
    #[serde(default)]
    pub(super) document: bool,
    #[serde(default)]
    pub(super) exception: bool,
    #[serde(default)]
    pub(super) fault: bool,
    pub(super) error: Option<ErrorTrait>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorTrait {
    pub(super) code: Option<String>,
    pub(super) http_status_code: Option<u16>,
    #[serde(default)]
    pub(super) sender_fault: bool,
}

impl Model {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let model: Self = serde_json::from_str(text)?;
        for (name, shape) in &model.shapes {
            for reference in shape.references() {
                if !model.shapes.contains_key(&reference.shape) {
                    bail!("shape {name} refers to {}, which does not exist", reference.shape);
                }
            }
        }
        Ok(model)
    }

    pub(super) fn shape(&self, name: &str) -> Result<&Shape> {
        self.shapes.get(name).with_context(|| format!("there is no shape {name}"))
    }

    /// The shapes that can be reached from `roots`, in the order of their names. The walk does not
    /// enter the shapes of `closed`, but lists them.
    pub(super) fn reachable<'a>(&'a self, roots: impl IntoIterator<Item = &'a str>, closed: &[String]) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut waiting: Vec<&str> = roots.into_iter().collect();
        while let Some(name) = waiting.pop() {
            if !reached.insert(name) || closed.iter().any(|closed| closed == name) {
                continue;
            }
            if let Some(shape) = self.shapes.get(name) {
                waiting.extend(shape.references().map(|reference| reference.shape.as_str()));
            }
        }
        reached
    }

    /// Whether a structure holds itself through other structures alone, so that Rust needs a `Box`.
    pub(super) fn holds_itself_through(&self, outer: &str, inner: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![inner];
        while let Some(name) = waiting.pop() {
            if name == outer {
                return true;
            }
            if seen.insert(name)
                && let Some(shape) = self.shapes.get(name)
                && shape.kind == "structure"
            {
                waiting.extend(shape.members.values().map(|member| member.shape.as_str()));
            }
        }
        false
    }
}

impl Shape {
    fn references(&self) -> impl Iterator<Item = &Reference> {
        self.members.values().chain(&self.member).chain(&self.key).chain(&self.value)
    }
}
