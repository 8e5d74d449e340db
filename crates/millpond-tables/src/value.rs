//! Attribute values and items.

use bigdecimal::BigDecimal;
use std::collections::BTreeMap;

/// An item: attributes by name.
pub type Item = BTreeMap<String, Value>;

/// An attribute's value. DynamoDB developer guide, "Naming rules and data types".
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `S`
    String(String),
    /// `N`: up to 38 significant digits, from 1E-130 to 9.9…E+125; without trailing zeros.
    Number(BigDecimal),
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
    NumberSet(Vec<BigDecimal>),
    /// `BS`: without duplicates, in the order of their bytes.
    BinarySet(Vec<Vec<u8>>),
}
