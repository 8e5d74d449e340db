//! An Avro file's own schema, before a reader believes it: types that contain themselves, or that nest or unfold without end, would exhaust the
//! stack or the memory; items of no bytes can be promised in any number ("Schema Declaration" in the Avro specification).

use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// Types within types at the most, named ones put in where they are named.
const DEPTH_MAX: usize = 64;
/// Types of a schema at the most, named ones put in where they are named.
const TYPES_MAX: usize = 100_000;

/// What a value looks like in the file: as much of its type as it takes to walk over it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Type {
    /// `null`.
    Nothing,
    /// So many bytes.
    Fixed(u64),
    /// A number of variable length.
    Number,
    /// A length, and so many bytes.
    Bytes,
    /// One after another.
    Record(Vec<Arc<Shape>>),
    /// Blocks of items.
    Array(Arc<Shape>),
    /// Blocks of keys and items.
    Map(Arc<Shape>),
    /// The number of a branch, and its value.
    Union(Vec<Arc<Shape>>),
}

/// A type, and what is known of it as a whole.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub(super) kind: Type,
    depth: usize,
    types: usize,
}

impl Shape {
    fn new(kind: Type) -> Result<Arc<Self>, String> {
        let inner: &[Arc<Self>] = match &kind {
            Type::Record(inner) | Type::Union(inner) => inner,
            Type::Array(item) | Type::Map(item) => std::slice::from_ref(item),
            _ => &[],
        };
        let depth = 1 + inner.iter().map(|shape| shape.depth).max().unwrap_or(0);
        let types = inner.iter().fold(1usize, |sum, shape| sum.saturating_add(shape.types));
        if depth > DEPTH_MAX {
            return Err(format!("the schema nests types more than {DEPTH_MAX} deep"));
        }
        if types > TYPES_MAX {
            return Err(format!("the schema has more than {TYPES_MAX} types"));
        }
        Ok(Arc::new(Self { kind, depth, types }))
    }

    /// Whether a value can have no bytes at all.
    pub(super) fn is_empty(&self) -> bool {
        match &self.kind {
            Type::Nothing | Type::Fixed(0) => true,
            Type::Record(fields) => fields.iter().all(|field| field.is_empty()),
            _ => false,
        }
    }
}

/// Reads a schema in Avro's JSON.
///
/// # Errors
/// It is no JSON, or it is one of those that are refused.
pub(super) fn parse(text: &[u8]) -> Result<Arc<Shape>, String> {
    let json: Value = serde_json::from_slice(text).map_err(|error| format!("the schema is no JSON: {error}"))?;
    Names::default().shape(&json, "", 0)
}

/// The named types so far: `None` for one whose own parts are being read.
#[derive(Default)]
struct Names(HashMap<String, Option<Arc<Shape>>>);

impl Names {
    fn shape(&mut self, json: &Value, namespace: &str, depth: usize) -> Result<Arc<Shape>, String> {
        if depth > DEPTH_MAX {
            return Err(format!("the schema nests types more than {DEPTH_MAX} deep"));
        }
        match json {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => {
                let branches =
                    branches.iter().map(|branch| self.shape(branch, namespace, depth + 1)).collect::<Result<_, _>>()?;
                Shape::new(Type::Union(branches))
            }
            Value::Object(object) => match object.get("type") {
                Some(Value::String(kind)) => self.declared(kind, json, namespace, depth),
                Some(inner) => self.shape(inner, namespace, depth + 1),
                None => Err("the schema has a type without a name".into()),
            },
            _ => Err("the schema has a type that is none".into()),
        }
    }

    fn declared(&mut self, kind: &str, json: &Value, namespace: &str, depth: usize) -> Result<Arc<Shape>, String> {
        let text = |member: &str| json.get(member).and_then(Value::as_str);
        let inner = |member: &str| json.get(member).unwrap_or(&Value::Null);
        match kind {
            "array" => {
                let item = self.shape(inner("items"), namespace, depth + 1)?;
                if item.is_empty() {
                    return Err("the schema has an array whose items have no bytes".into());
                }
                Shape::new(Type::Array(item))
            }
            "map" => Shape::new(Type::Map(self.shape(inner("values"), namespace, depth + 1)?)),
            "record" | "error" | "enum" | "fixed" => {
                let name = full(text("name").unwrap_or_default(), text("namespace").unwrap_or(namespace));
                let namespace = name.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
                self.0.insert(name.clone(), None);
                let shape = match kind {
                    "enum" => Shape::new(Type::Number)?,
                    "fixed" => Shape::new(Type::Fixed(json.get("size").and_then(Value::as_u64).unwrap_or(0)))?,
                    _ => {
                        let fields = json.get("fields").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                        let field = |field: &Value| self.shape(field.get("type").unwrap_or(&Value::Null), &namespace, depth + 1);
                        Shape::new(Type::Record(fields.iter().map(field).collect::<Result<_, _>>()?))?
                    }
                };
                self.0.insert(name, Some(Arc::clone(&shape)));
                Ok(shape)
            }
            name => self.named(name, namespace),
        }
    }

    /// A type that is built in, or declared before.
    fn named(&self, name: &str, namespace: &str) -> Result<Arc<Shape>, String> {
        let kind = match name {
            "null" => Type::Nothing,
            "boolean" => Type::Fixed(1),
            "int" | "long" => Type::Number,
            "float" => Type::Fixed(4),
            "double" => Type::Fixed(8),
            "bytes" | "string" => Type::Bytes,
            _ => {
                return match self.0.get(&full(name, namespace)).or_else(|| self.0.get(name)) {
                    Some(Some(shape)) => Ok(Arc::clone(shape)),
                    Some(None) => Err(format!("the schema's type '{}' contains itself", cut(name))),
                    None => Err(format!("the schema names the type '{}', which it does not declare before", cut(name))),
                };
            }
        };
        Shape::new(kind)
    }
}

fn full(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn cut(name: &str) -> String {
    name.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_without_an_end_are_refused() {
        let doubling = (1..40).fold(r#"{"type":"record","name":"r0","fields":[]}"#.to_owned(), |fields, level| {
            let first =
                if level == 1 { fields } else { format!(r#"{{"type":"record","name":"r{}","fields":[{fields}]}}"#, level - 1) };
            format!(r#"{{"name":"a","type":{first}}},{{"name":"b","type":"r{}"}}"#, level - 1)
        });
        let doubling = format!(r#"{{"type":"record","name":"r40","fields":[{doubling}]}}"#);
        for (schema, expected) in [
            (r#"{"type":"record","name":"r","fields":[{"name":"a","type":["null","r"]}]}"#, "contains itself"),
            (r#"{"type":"record","name":"r","namespace":"n","fields":[{"name":"a","type":"n.r"}]}"#, "contains itself"),
            (r#"{"type":"record","name":"n.r","fields":[{"name":"a","type":{"type":"array","items":"r"}}]}"#, "contains itself"),
            (&format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(70), "}".repeat(70)), "deep"),
            (&doubling, "more than 100000 types"),
            (r#"{"type":"array","items":"null"}"#, "no bytes"),
            (r#"{"type":"array","items":{"type":"record","name":"r","fields":[]}}"#, "no bytes"),
            (r#"{"type":"array","items":"other"}"#, "does not declare"),
            ("{", "no JSON"),
        ] {
            let error = parse(schema.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn sensible_schemas_are_taken() {
        for schema in [
            r#""long""#,
            r#"["null",{"type":"int","logicalType":"date"}]"#,
            r#"{"type":{"type":"string"}}"#,
            r#"{"type":"record","name":"n.r","fields":[{"name":"a","type":{"type":"fixed","name":"f","size":4}},{"name":"b","type":"f"},{"name":"c","type":"n.f"}]}"#,
        ] {
            parse(schema.as_bytes()).unwrap();
        }
    }
}
