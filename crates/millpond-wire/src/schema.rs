//! Shapes as static tables: what the protocols and the constraint checks walk.

use std::sync::OnceLock;

use regex::Regex;

/// One shape of a service's model.
#[derive(Debug)]
pub struct Schema {
    /// The shape's name in the model.
    pub name: &'static str,
    /// What it is, with its parts.
    pub kind: Kind,
    /// Bounds of a string's characters, a blob's bytes, a list's or map's entries, or a number's value.
    pub range: Range,
    /// What a string must match as a whole.
    pub pattern: Option<&'static Pattern>,
    /// Whether its values must not appear in messages.
    pub sensitive: bool,
}

/// What a shape is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Named members.
    Structure(&'static [Member]),
    /// Values of one shape. `member_name` is the element between list and value in awsQuery.
    List {
        /// The shape of the values.
        member: &'static Schema,
        /// `member`, if the model does not say otherwise.
        member_name: &'static str,
        /// Whether the element between list and value is left out.
        flattened: bool,
    },
    /// Values of one shape by name.
    Map {
        /// The shape of the names.
        key: &'static Schema,
        /// The shape of the values.
        value: &'static Schema,
        /// `key`, if the model does not say otherwise (awsQuery).
        key_name: &'static str,
        /// `value`, if the model does not say otherwise (awsQuery).
        value_name: &'static str,
        /// Whether the element `entry` is left out.
        flattened: bool,
    },
    /// Text; where `allowed` is not empty, one of those.
    String {
        /// The values of an enumeration.
        allowed: &'static [&'static str],
    },
    /// Bytes, written in base64.
    Blob,
    /// True or false.
    Boolean,
    /// 32 bits.
    Integer,
    /// 64 bits.
    Long,
    /// A floating point number.
    Double,
    /// A point in time.
    Timestamp,
    /// Any JSON.
    Document,
}

/// A structure's member.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its name on the wire.
    pub name: &'static str,
    /// Its shape.
    pub schema: &'static Schema,
    /// Its name in messages: the model's, which differs from that on the wire for headers.
    pub title: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// Its name in the Query protocol; the same as on the wire where the service speaks no other.
    pub query_name: &'static str,
    /// Whether its list or map is flattened in the Query protocol although its shape is not.
    pub flattened: bool,
    /// Where in a request or response of the REST protocols it is.
    pub location: Location,
}

/// Where in a request or response a member is. Other protocols than REST know only the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Location {
    /// A member of the body's document.
    #[default]
    Body,
    /// The whole body: bytes as they are, or the document of a structure.
    Payload,
    /// A part of the path.
    Label,
    /// A parameter of the query string; one that is there several times where it is a list.
    Query,
    /// A header.
    Header,
    /// All headers whose names begin so.
    Headers,
    /// The response's status code.
    Status,
}

/// Bounds, both inclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The least value.
    pub min: Option<i64>,
    /// The greatest value.
    pub max: Option<i64>,
}

/// A regular expression, compiled when it is first needed.
#[derive(Debug)]
pub struct Pattern {
    /// As AWS writes it, for messages.
    pub source: &'static str,
    /// The same for the `regex` crate.
    translated: &'static str,
    compiled: OnceLock<Regex>,
}

/// The input or output of operations that have none in the model.
pub static EMPTY: Schema = Schema::structure("Unit", &[]);

impl Pattern {
    /// A pattern in AWS's and in the `regex` crate's dialect.
    pub(crate) const fn new(source: &'static str, translated: &'static str) -> Self {
        Self { source, translated, compiled: OnceLock::new() }
    }

    /// Whether the whole text matches. Services take their patterns so, with anchors or without.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.compiled
            .get_or_init(|| {
                Regex::new(&format!("^(?:{})$", self.translated)).expect("a test compiles every pattern of every service")
            })
            .is_match(text)
    }
}

impl Member {
    pub(crate) const fn required(name: &'static str, schema: &'static Schema) -> Self {
        Self { name, title: name, schema, required: true, query_name: name, flattened: false, location: Location::Body }
    }

    pub(crate) const fn optional(name: &'static str, schema: &'static Schema) -> Self {
        Self { name, title: name, schema, required: false, query_name: name, flattened: false, location: Location::Body }
    }

    pub(crate) const fn in_query(mut self, name: &'static str) -> Self {
        self.query_name = name;
        self
    }

    pub(crate) const fn flattened(mut self) -> Self {
        self.flattened = true;
        self
    }

    pub(crate) const fn titled(mut self, title: &'static str) -> Self {
        self.title = title;
        self
    }

    pub(crate) const fn at(mut self, location: Location) -> Self {
        self.location = location;
        self
    }

    /// Whether its entries stand without an element around them in the Query protocol.
    pub(crate) fn is_flattened(&self) -> bool {
        self.flattened || matches!(self.schema.kind, Kind::List { flattened: true, .. } | Kind::Map { flattened: true, .. })
    }
}

impl Schema {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, range: Range { min: None, max: None }, pattern: None, sensitive: false }
    }

    pub(crate) const fn structure(name: &'static str, members: &'static [Member]) -> Self {
        Self::new(name, Kind::Structure(members))
    }

    pub(crate) const fn list(name: &'static str, member: &'static Self) -> Self {
        Self::new(name, Kind::List { member, member_name: "member", flattened: false })
    }

    pub(crate) const fn map(name: &'static str, key: &'static Self, value: &'static Self) -> Self {
        Self::new(name, Kind::Map { key, value, key_name: "key", value_name: "value", flattened: false })
    }

    pub(crate) const fn string(name: &'static str) -> Self {
        Self::new(name, Kind::String { allowed: &[] })
    }

    pub(crate) const fn enumeration(name: &'static str, allowed: &'static [&'static str]) -> Self {
        Self::new(name, Kind::String { allowed })
    }

    pub(crate) const fn blob(name: &'static str) -> Self {
        Self::new(name, Kind::Blob)
    }

    pub(crate) const fn boolean(name: &'static str) -> Self {
        Self::new(name, Kind::Boolean)
    }

    pub(crate) const fn integer(name: &'static str) -> Self {
        Self::new(name, Kind::Integer)
    }

    pub(crate) const fn long(name: &'static str) -> Self {
        Self::new(name, Kind::Long)
    }

    pub(crate) const fn double(name: &'static str) -> Self {
        Self::new(name, Kind::Double)
    }

    pub(crate) const fn timestamp(name: &'static str) -> Self {
        Self::new(name, Kind::Timestamp)
    }

    pub(crate) const fn document(name: &'static str) -> Self {
        Self::new(name, Kind::Document)
    }

    // The rest is used by the generator where a model asks for it.
    #[allow(dead_code)]
    pub(crate) const fn member_name(mut self, name: &'static str) -> Self {
        if let Kind::List { member, flattened, .. } = self.kind {
            self.kind = Kind::List { member, member_name: name, flattened };
        }
        self
    }

    #[allow(dead_code)]
    pub(crate) const fn entry_names(mut self, key_name: &'static str, value_name: &'static str) -> Self {
        if let Kind::Map { key, value, flattened, .. } = self.kind {
            self.kind = Kind::Map { key, value, key_name, value_name, flattened };
        }
        self
    }

    #[allow(dead_code)]
    pub(crate) const fn flattened(mut self) -> Self {
        self.kind = match self.kind {
            Kind::List { member, member_name, .. } => Kind::List { member, member_name, flattened: true },
            Kind::Map { key, value, key_name, value_name, .. } => Kind::Map { key, value, key_name, value_name, flattened: true },
            kind => kind,
        };
        self
    }

    pub(crate) const fn range(mut self, min: Option<i64>, max: Option<i64>) -> Self {
        self.range = Range { min, max };
        self
    }

    pub(crate) const fn pattern(mut self, pattern: &'static Pattern) -> Self {
        self.pattern = Some(pattern);
        self
    }

    pub(crate) const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// The members of a structure; none for other shapes.
    #[must_use]
    pub fn members(&self) -> &'static [Member] {
        match self.kind {
            Kind::Structure(members) => members,
            _ => &[],
        }
    }

    /// Whether values have no parts.
    #[must_use]
    pub fn is_scalar(&self) -> bool {
        !matches!(self.kind, Kind::Structure(_) | Kind::List { .. } | Kind::Map { .. } | Kind::Document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn visit(schema: &'static Schema, seen: &mut HashSet<*const Schema>) {
        if !seen.insert(std::ptr::from_ref(schema)) {
            return;
        }
        if let Some(pattern) = schema.pattern {
            let _ = pattern.matches("");
        }
        match schema.kind {
            Kind::Structure(members) => members.iter().for_each(|member| visit(member.schema, seen)),
            Kind::List { member, .. } => visit(member, seen),
            Kind::Map { key, value, .. } => {
                visit(key, seen);
                visit(value, seen);
            }
            _ => {}
        }
    }

    #[test]
    fn every_pattern_of_every_service_compiles() {
        let mut seen = HashSet::new();
        for (_, schema, _) in crate::agreement::sides() {
            visit(schema, &mut seen);
        }
        assert!(seen.len() > 600, "{} schemas", seen.len());
    }

    #[test]
    fn patterns_match_whole_texts() {
        static DIGITS: Pattern = Pattern::new("[0-9]+", "[0-9]+");
        assert!(DIGITS.matches("012"));
        assert!(!DIGITS.matches("012a"));
        assert!(!DIGITS.matches("012\n"));
    }
}
