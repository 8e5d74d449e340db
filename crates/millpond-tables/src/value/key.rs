//! Keys: their attributes, their bytes in the store's order, and ranges of sort keys.
//!
//! DynamoDB orders strings by their UTF-8 bytes, numbers by value and binaries by unsigned bytes (developer guide, "Query": sort order). The bytes of [`encode_key_part`] have
//! that order under `memcmp`, and end by themselves: no encoding is a prefix of another of its type, so that hash and range key are put one after the other.

use super::{Item, Kind, Value};

/// The longest partition key, in bytes.
pub const HASH_KEY_BYTES_MAX: usize = 2048;
/// The longest sort key, in bytes.
pub const RANGE_KEY_BYTES_MAX: usize = 1024;

/// The type of a key attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// `S`
    String,
    /// `N`
    Number,
    /// `B`
    Binary,
}

impl KeyType {
    /// `S`, `N` or `B`.
    pub fn name(self) -> &'static str {
        self.kind().name()
    }

    /// Of its name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "S" => Some(Self::String),
            "N" => Some(Self::Number),
            "B" => Some(Self::Binary),
            _ => None,
        }
    }

    /// The type of values that it takes.
    pub fn kind(self) -> Kind {
        match self {
            Self::String => Kind::String,
            Self::Number => Kind::Number,
            Self::Binary => Kind::Binary,
        }
    }
}

/// An attribute of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyAttribute {
    /// Its name.
    pub name: String,
    /// Its type.
    pub key_type: KeyType,
}

/// The key of a table or an index.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeySchema {
    /// The partition key.
    pub hash: KeyAttribute,
    /// The sort key, where there is one.
    pub range: Option<KeyAttribute>,
}

impl KeySchema {
    /// Is it an attribute of this key?
    pub fn has(&self, name: &str) -> bool {
        self.attributes().any(|attribute| attribute.name == name)
    }

    /// The partition key, then the sort key.
    pub fn attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        std::iter::once(&self.hash).chain(&self.range)
    }

    /// The key's attributes of an item, if it has them all with the right types.
    pub fn key_of(&self, item: &Item) -> Option<Item> {
        self.attributes()
            .map(|attribute| {
                let value = item.get(&attribute.name)?;
                (value.kind() == attribute.key_type.kind()).then(|| (attribute.name.clone(), value.clone()))
            })
            .collect()
    }
}

/// Which sort keys of a partition; values are of the sort key's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortRange {
    /// All of them.
    All,
    /// `=`
    Equal(Value),
    /// `<`
    Less(Value),
    /// `<=`
    LessOrEqual(Value),
    /// `>`
    Greater(Value),
    /// `>=`
    GreaterOrEqual(Value),
    /// From the first to the second, both included; never the wrong way round.
    Between(Value, Value),
    /// `S` and `B` only.
    BeginsWith(Value),
}

/// What a query reads: one partition, and which sort keys of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The partition key's value.
    pub hash: Value,
    /// Which sort keys.
    pub sort: SortRange,
}

impl SortRange {
    /// Is this sort key in it? The value is of the sort key's type.
    pub fn contains(&self, value: &Value) -> bool {
        let _ = value;
        todo!()
    }

    /// As bytes of [`encode_key_part`]: from the first (included, if given) to the second (excluded, if given).
    pub fn bounds(&self) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        todo!()
    }
}

/// Appends the key's bytes. `S`, `N` and `B` only: answers false, and appends nothing, for others.
#[must_use]
pub fn encode_key_part(value: &Value, out: &mut Vec<u8>) -> bool {
    let _ = (value, out);
    todo!()
}

/// Reads what [`encode_key_part`] wrote for a value of this type; also says how many bytes it took. `None` where the bytes are none.
pub fn decode_key_part(key_type: KeyType, bytes: &[u8]) -> Option<(Value, usize)> {
    let _ = (key_type, bytes);
    todo!()
}
