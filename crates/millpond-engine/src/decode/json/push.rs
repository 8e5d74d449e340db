//! One JSON value into columns, without a tree in between.

use crate::decode::columns::{Node, Struct};
use crate::decode::csv::misfit;
use crate::decode::times::Times;
use crate::decode::{cut_text, values};
use crate::infer::value_type;
use crate::table::JsonOptions;
use crate::types::{DEPTH_MAX, HiveType, merge};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// Keys without a column, and the types of their values.
pub(crate) type Unknown = BTreeMap<String, HiveType>;

/// Why a value was refused.
#[derive(Debug)]
pub(crate) struct Misfit {
    pub column: Option<String>,
    pub value: Option<String>,
    pub reason: String,
}

/// The wanted keys of top-level objects.
#[derive(Debug)]
pub(crate) struct Object {
    fields: Vec<(String, HiveType)>,
    /// Lower-cased key → field.
    by_key: HashMap<String, usize>,
    pub unknown: Unknown,
    pub ignored: HashSet<String>,
    /// No more columns may be added: rows with unknown keys are refused.
    pub closed: bool,
    /// Columns whose nested types lack fields that values have, and types that have them.
    pub grown: Unknown,
    /// Keys are columns only where they are written the same.
    case_sensitive: bool,
    dots_in_keys: bool,
    mappings: Mappings,
    times: Times,
}

/// The keys of fields that are called otherwise (`mapping.field` = `key`).
type Mappings = BTreeMap<String, String>;

/// How many distinct unknown keys are collected: objects that use data as keys must not fill the memory.
const UNKNOWN_MAX: usize = 2_000;

/// The longest type that is collected, as text, for the same reason.
const GROWN_TEXT_MAX: usize = 64 << 10;

struct Context<'a> {
    strict: bool,
    times: &'a Times,
    mappings: &'a Mappings,
    /// The top-level field whose value is being read.
    field: usize,
    /// The first value that did not fit: field, text, reason.
    misfit: Option<(usize, String, String)>,
    unknown: &'a mut Unknown,
    /// The misfit is a field that a struct lacks.
    lacks_field: bool,
}

impl Object {
    pub fn new(fields: Vec<(String, HiveType)>, options: &JsonOptions) -> Self {
        let case_sensitive = options.case_sensitive;
        let same = |key: &String| if case_sensitive { key.clone() } else { key.to_lowercase() };
        let by_key = fields.iter().enumerate().map(|(i, (key, _))| (same(key), i)).collect();
        Self {
            fields,
            by_key,
            unknown: Unknown::new(),
            ignored: HashSet::new(),
            closed: false,
            grown: Unknown::new(),
            case_sensitive,
            dots_in_keys: options.dots_in_keys,
            mappings: options.mappings.clone(),
            times: Times::new(&options.timestamp_formats, false),
        }
    }

    /// Pushes one value to each node, or leaves the nodes with a part of the row, to be cut.
    pub fn push(&mut self, nodes: &mut [Node], raw: &[u8], strict: bool) -> Result<(), Misfit> {
        let malformed = |e: serde_json::Error| Misfit { column: None, value: None, reason: format!("is malformed JSON: {e}") };
        let row = nodes.first().map_or(0, Node::len);
        let mut cx = Context {
            strict,
            times: &self.times,
            mappings: &self.mappings,
            field: 0,
            misfit: None,
            unknown: &mut self.unknown,
            lacks_field: false,
        };
        let top = Top {
            case_sensitive: self.case_sensitive,
            dots_in_keys: self.dots_in_keys,
            fields: &self.fields,
            by_key: &self.by_key,
            ignored: &self.ignored,
            closed: self.closed,
            nodes,
            row,
            cx: &mut cx,
        };
        let mut input = serde_json::Deserializer::from_slice(raw);
        input.deserialize_map(top).map_err(malformed)?;
        input.end().map_err(malformed)?;
        match cx.misfit {
            None => Ok(()),
            Some((field, value, reason)) => {
                let column = self.fields.get(field).map(|f| f.0.clone());
                if cx.lacks_field {
                    self.note_grown(field, raw);
                }
                Err(Misfit { column, value: Some(value), reason })
            }
        }
    }

    /// Notes the type of this row's value of a column whose own type lacks some field of it.
    #[cold]
    fn note_grown(&mut self, field: usize, raw: &[u8]) {
        let Ok(serde_json::Value::Object(row)) = serde_json::from_slice(raw) else { return };
        let name = &self.fields[field].0;
        let value = row.iter().find(|(key, _)| key.eq_ignore_ascii_case(name) || crate::names::clean(key) == *name);
        let Some(t) = value.and_then(|(_, value)| value_type(value)) else { return };
        let t = self.grown.get(name).map_or_else(|| t.clone(), |have| merge(have, &t));
        if t.to_string().len() <= GROWN_TEXT_MAX {
            self.grown.insert(name.clone(), t);
        }
    }
}

/// One JSON text into a nested column of a delimited file.
pub(crate) fn push_text(node: &mut Node, t: &HiveType, text: &[u8], strict: bool) -> Result<(), String> {
    let mut unknown = Unknown::new();
    let times = Times::default();
    let mappings = Mappings::new();
    let mut cx =
        Context { strict, times: &times, mappings: &mappings, field: 0, misfit: None, unknown: &mut unknown, lacks_field: false };
    let mut input = serde_json::Deserializer::from_slice(text);
    let pushed = Seed { node, t, cx: &mut cx, depth: 0 }.deserialize(&mut input).and_then(|()| input.end());
    match (pushed, cx.misfit) {
        (Err(e), _) => Err(format!("is malformed JSON: {e}")),
        (Ok(()), Some((_, _, reason))) => Err(reason),
        (Ok(()), None) => Ok(()),
    }
}

struct Top<'a, 'c> {
    case_sensitive: bool,
    dots_in_keys: bool,
    fields: &'a [(String, HiveType)],
    by_key: &'a HashMap<String, usize>,
    ignored: &'a HashSet<String>,
    closed: bool,
    nodes: &'a mut [Node],
    row: usize,
    cx: &'a mut Context<'c>,
}

impl<'de> Visitor<'de> for Top<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut next = 0;
        while let Some(key) = map.next_key::<Key<'de>>()? {
            let key = key.as_str();
            let field = match self.fields.get(next) {
                _ if self.case_sensitive => self.by_key.get(key).copied(),
                Some((wanted, _)) if wanted.eq_ignore_ascii_case(key) => Some(next),
                _ => self.by_key.get(key).or_else(|| self.by_key.get(&crate::names::clean(key))).copied(),
            };
            let undotted =
                || if self.dots_in_keys { self.by_key.get(&key.replace('.', "_").to_lowercase()).copied() } else { None };
            let field = field.or_else(undotted);
            let Some(field) = field else {
                let name = crate::names::clean(key);
                if self.cx.strict && !self.ignored.contains(&name) {
                    let value: serde_json::Value = map.next_value()?;
                    if self.closed && self.cx.misfit.is_none() && !value.is_null() {
                        let reason =
                            format!("has a key '{name}' that the table has no column for, and too many new columns came at once");
                        let value = cut_text(value.to_string().as_bytes(), 4 << 10);
                        self.cx.misfit = Some((usize::MAX, value, reason));
                    } else if !self.closed {
                        note_unknown(self.cx, name, value);
                    }
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
                continue;
            };
            next = field + 1;
            let t = &self.fields[field].1;
            let node = &mut self.nodes[field];
            // A key that comes twice: the last one counts, as in every JSON parser.
            node.truncate(self.row);
            self.cx.field = field;
            map.next_value_seed(Seed { node, t, cx: self.cx, depth: 0 })?;
        }
        for node in self.nodes.iter_mut().filter(|node| node.len() == self.row) {
            node.push_null();
        }
        Ok(())
    }
}

fn note_unknown(cx: &mut Context<'_>, name: String, value: serde_json::Value) {
    let Some(t) = value_type(&value) else { return };
    if let Some(have) = cx.unknown.get_mut(&name) {
        *have = merge(have, &t);
    } else if cx.unknown.len() < UNKNOWN_MAX {
        cx.unknown.insert(name, t);
    }
}

/// A key, borrowed where it has no escapes.
enum Key<'de> {
    Borrowed(&'de str),
    Owned(String),
}

impl Key<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(s) => s,
            Self::Owned(s) => s,
        }
    }
}

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Key<'de>, E> {
                Ok(Key::Borrowed(v))
            }
            fn visit_str<E>(self, v: &str) -> Result<Key<'de>, E> {
                Ok(Key::Owned(v.to_owned()))
            }
        }
        d.deserialize_str(KeyVisitor)
    }
}

/// Any value into one node.
struct Seed<'a, 'c> {
    node: &'a mut Node,
    t: &'a HiveType,
    cx: &'a mut Context<'c>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        match self.node {
            // Text takes any value as it is written; a decimal needs its digits as they are written.
            Node::Text(_) | Node::Binary(_) | Node::Decimal(..) => self.raw(<&RawValue>::deserialize(d)?.get()),
            _ => return d.deserialize_any(self),
        }
        Ok(())
    }
}

use serde::Deserialize as _;

impl Seed<'_, '_> {
    fn raw(self, raw: &str) {
        if raw == "null" {
            return self.node.push_null();
        }
        let owned;
        let text = match raw.strip_prefix('"').and_then(|r| r.strip_suffix('"')) {
            Some(inner) if !inner.contains('\\') => inner,
            Some(_) => {
                owned = serde_json::from_str::<String>(raw).unwrap_or_default();
                owned.as_str()
            }
            None => raw,
        };
        match self.node {
            Node::Text(node) => node.push(text.as_bytes()),
            Node::Binary(node) => node.push_base64(text.as_bytes()),
            _ => self.text(text),
        }
    }

    /// A scalar from text.
    fn text(self, text: &str) {
        let bytes = values::trim(text.as_bytes());
        if bytes.is_empty() {
            return self.node.push_null();
        }
        if !self.node.push_scalar(bytes, self.cx.times, self.cx.strict) {
            self.misfit(text);
        }
    }

    fn misfit(self, text: &str) {
        self.node.push_null();
        if self.cx.strict && self.cx.misfit.is_none() {
            let reason = misfit(values::trim(text.as_bytes()), self.t);
            self.cx.misfit = Some((self.cx.field, cut_text(text.as_bytes(), 4 << 10), reason));
        }
    }

    fn integer(self, v: i64) {
        match self.node {
            Node::I64(p) => p.push(v),
            Node::F64(p) => p.push(v as f64),
            Node::F32(p) => p.push(v as f32),
            // Numbers as timestamps are seconds or milliseconds since the epoch, nobody knows which.
            _ => self.text(&v.to_string()),
        }
    }

    fn struct_fields<'de, A: MapAccess<'de>>(
        s: &mut Struct,
        types: &[(String, HiveType)],
        cx: &mut Context<'_>,
        depth: usize,
        mut map: A,
    ) -> Result<(), A::Error> {
        let row = s.row();
        let mappings = cx.mappings;
        let mut next = 0;
        while let Some(key) = map.next_key::<Key<'de>>()? {
            let key = key.as_str();
            // Mappings are for fields of any depth.
            let mapped = |name: &String| if mappings.is_empty() { None } else { mappings.get(&name.to_lowercase()) };
            let same = |name: &String| mapped(name).unwrap_or(name).eq_ignore_ascii_case(key);
            let field = if s.names.get(next).is_some_and(same) { Some(next) } else { s.names.iter().position(same) };
            let Some(field) = field else {
                if cx.strict {
                    let value: serde_json::Value = map.next_value()?;
                    note_nested(cx, key, &value);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
                continue;
            };
            next = field + 1;
            let node = &mut s.children[field];
            node.truncate(row);
            map.next_value_seed(Seed { node, t: &types[field].1, cx, depth: depth + 1 })?;
        }
        for node in s.children.iter_mut().filter(|node| node.len() == row) {
            node.push_null();
        }
        s.end();
        Ok(())
    }
}

/// A field that the struct lacks: the row is refused, since its value would be lost.
fn note_nested(cx: &mut Context<'_>, key: &str, value: &serde_json::Value) {
    if cx.misfit.is_none() && !value.is_null() {
        let reason = format!("has a field '{key}' that the column's type lacks");
        cx.lacks_field = true;
        cx.misfit = Some((cx.field, cut_text(value.to_string().as_bytes(), 4 << 10), reason));
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of type {}", self.t)
    }

    fn visit_bool<E>(self, v: bool) -> Result<(), E> {
        match self.node {
            Node::Bool(p) => p.push(v),
            _ => self.misfit(if v { "true" } else { "false" }),
        }
        Ok(())
    }

    fn visit_i64<E>(self, v: i64) -> Result<(), E> {
        self.integer(v);
        Ok(())
    }

    fn visit_u64<E>(self, v: u64) -> Result<(), E> {
        match i64::try_from(v) {
            Ok(v) => self.integer(v),
            Err(_) => self.text(&v.to_string()),
        }
        Ok(())
    }

    fn visit_f64<E>(self, v: f64) -> Result<(), E> {
        let is_whole = v.fract() == 0.0 && v.abs() < 9e15;
        match self.node {
            Node::F64(p) => p.push(v),
            Node::F32(p) => p.push(v as f32),
            Node::I8(_) | Node::I16(_) | Node::I32(_) | Node::I64(_) if is_whole => self.integer(v as i64),
            _ => self.misfit(&v.to_string()),
        }
        Ok(())
    }

    fn visit_str<E>(self, v: &str) -> Result<(), E> {
        self.text(v);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.node.push_null();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let (Node::List(list), HiveType::Array(item)) = (&mut *self.node, self.t) else {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            self.misfit("[…]");
            return Ok(());
        };
        if self.depth > DEPTH_MAX {
            return Err(serde::de::Error::custom("values nest too deep"));
        }
        while seq.next_element_seed(Seed { node: &mut list.child, t: item, cx: self.cx, depth: self.depth + 1 })?.is_some() {}
        list.end();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        match (&mut *self.node, self.t) {
            (Node::Struct(s), HiveType::Struct(types)) => Seed::struct_fields(s, types, self.cx, self.depth, map),
            (Node::Map(list), HiveType::Map(key_type, value_type)) => {
                let Node::Struct(pairs) = list.child.as_mut() else { return Ok(()) };
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    let [keys, values] = pairs.children.as_mut_slice() else { return Ok(()) };
                    let seed = Seed { node: keys, t: key_type, cx: self.cx, depth: self.depth + 1 };
                    match seed.node {
                        Node::Text(text) => text.push(key.as_str().as_bytes()),
                        _ => seed.text(key.as_str()),
                    }
                    map.next_value_seed(Seed { node: values, t: value_type, cx: self.cx, depth: self.depth + 1 })?;
                    pairs.end();
                }
                list.end();
                Ok(())
            }
            _ => {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                self.misfit("{…}");
                Ok(())
            }
        }
    }
}
