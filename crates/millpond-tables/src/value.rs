//! Attribute values and items: what they are, how large they count, and their forms as JSON, as bytes and as keys.
//!
//! - [`json`]: DynamoDB JSON (`{"S": "…"}`), on the wire, in exports and imports.
//! - [`binary`]: the compact form in the store.
//! - [`key`]: key attributes, and bytes that sort as DynamoDB does.

pub mod binary;
pub mod json;
pub mod key;

use crate::number::{Number, NumberError};
use std::collections::BTreeMap;

/// An item: attributes by name.
pub type Item = BTreeMap<String, Value>;

/// The largest item, in bytes as [`item_size`] counts them. Developer guide, "Service, account, and table quotas".
pub const ITEM_SIZE_BYTES_MAX: usize = 400 * 1024;

/// How many levels of lists and maps an attribute may have.
pub const DEPTH_MAX: usize = 32;

/// The longest name of an attribute, in bytes.
pub const NAME_BYTES_MAX: usize = 65_535;

/// An attribute's value. DynamoDB developer guide, "Naming rules and data types".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// `S`
    String(String),
    /// `N`
    Number(Number),
    /// `B`
    Binary(Vec<u8>),
    /// `BOOL`
    Bool(bool),
    /// `NULL`
    Null,
    /// `L`
    List(Vec<Value>),
    /// `M`
    Map(Item),
    /// `SS`: without duplicates, in the order of their bytes.
    StringSet(Vec<String>),
    /// `NS`: without duplicates, in the order of their values.
    NumberSet(Vec<Number>),
    /// `BS`: without duplicates, in the order of their bytes.
    BinarySet(Vec<Vec<u8>>),
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    String,
    Number,
    Binary,
    Bool,
    Null,
    List,
    Map,
    StringSet,
    NumberSet,
    BinarySet,
}

impl Kind {
    /// Its name in DynamoDB JSON: `S`, `N`, `B`, `BOOL`, `NULL`, `L`, `M`, `SS`, `NS`, `BS`.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "S",
            Self::Number => "N",
            Self::Binary => "B",
            Self::Bool => "BOOL",
            Self::Null => "NULL",
            Self::List => "L",
            Self::Map => "M",
            Self::StringSet => "SS",
            Self::NumberSet => "NS",
            Self::BinarySet => "BS",
        }
    }
}

/// Why something is no attribute value; its text is the message of DynamoDB's `ValidationException`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// No member.
    #[error("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")]
    Empty,
    /// More than one member.
    #[error("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")]
    Several,
    /// `NULL` that is not `true`.
    #[error("One or more parameter values were invalid: Null attribute value types must have the value of true")]
    NullNotTrue,
    /// A set without elements; DynamoDB's sentence about it, with its second space.
    #[error("One or more parameter values were invalid: {0}")]
    EmptySet(&'static str),
    /// A set that names an element twice; the set as DynamoDB shows it.
    #[error("One or more parameter values were invalid: Input collection {0} contains duplicates.")]
    Duplicates(String),
    /// A number set that names a number twice.
    #[error("Input collection contains duplicates")]
    DuplicateNumbers,
    /// Too many levels of lists and maps.
    #[error("Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit")]
    Depth,
    /// An attribute without a name.
    #[error("Empty attribute name")]
    EmptyName,
    /// An attribute's name of more than [`NAME_BYTES_MAX`].
    #[error("Attribute name is too large, must be less than 65536 bytes")]
    LongName,
    /// Not a number, or none that can be kept.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// Not the JSON that the member's type needs: DynamoDB answers `SerializationException`, not `ValidationException`.
    #[error("{0}")]
    Shape(String),
}

/// Checks an attribute's name.
pub(crate) fn check_name(name: &str) -> Result<(), ValueError> {
    match name.len() {
        0 => Err(ValueError::EmptyName),
        1..=NAME_BYTES_MAX => Ok(()),
        _ => Err(ValueError::LongName),
    }
}

impl Value {
    /// Its type.
    pub fn kind(&self) -> Kind {
        match self {
            Self::String(_) => Kind::String,
            Self::Number(_) => Kind::Number,
            Self::Binary(_) => Kind::Binary,
            Self::Bool(_) => Kind::Bool,
            Self::Null => Kind::Null,
            Self::List(_) => Kind::List,
            Self::Map(_) => Kind::Map,
            Self::StringSet(_) => Kind::StringSet,
            Self::NumberSet(_) => Kind::NumberSet,
            Self::BinarySet(_) => Kind::BinarySet,
        }
    }

    /// What it counts of an item's size, in bytes. Developer guide, "DynamoDB item sizes and formats".
    pub fn size(&self) -> usize {
        match self {
            Self::String(text) => text.len(),
            Self::Number(number) => number.size(),
            Self::Binary(bytes) => bytes.len(),
            Self::Bool(_) | Self::Null => 1,
            Self::List(elements) => 3 + elements.iter().map(|element| 1 + element.size()).sum::<usize>(),
            Self::Map(members) => 3 + members.iter().map(|(name, value)| 1 + name.len() + value.size()).sum::<usize>(),
            Self::StringSet(elements) => elements.iter().map(String::len).sum(),
            Self::NumberSet(elements) => elements.iter().map(|element| element.size()).sum(),
            Self::BinarySet(elements) => elements.iter().map(Vec::len).sum(),
        }
    }

    /// How many levels of lists and maps it has: 0 for anything else.
    pub fn depth(&self) -> usize {
        match self {
            Self::List(elements) => 1 + elements.iter().map(Self::depth).max().unwrap_or(0),
            Self::Map(members) => 1 + members.values().map(Self::depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// The string of an `S`.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number of an `N`.
    pub fn as_number(&self) -> Option<Number> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Number::from(number))
    }
}

/// An item's size as its limit and its capacity count it, in bytes: names as UTF-8, and values ([`Value::size`]).
pub fn item_size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value.size()).sum()
}
