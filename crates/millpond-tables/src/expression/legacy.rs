//! The parameters from before expressions. Developer guide, "Legacy conditional parameters".
//!
//! They are taken as JSON, as the wire has them: `{"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "x"}]}`.

use super::{Condition, ExpressionError, Update};
use crate::value::key::{KeyRange, KeySchema};
use serde_json::Value as Json;

/// `Expected` with `ConditionalOperator` (`AND`, `OR`).
///
/// # Errors
/// See [`ExpressionError`].
pub fn expected(expected: &serde_json::Map<String, Json>, operator: Option<&str>) -> Result<Condition, ExpressionError> {
    let _ = (expected, operator);
    todo!()
}

/// `QueryFilter` or `ScanFilter` with `ConditionalOperator`.
///
/// # Errors
/// See [`ExpressionError`].
pub fn filter(filter: &serde_json::Map<String, Json>, operator: Option<&str>) -> Result<Condition, ExpressionError> {
    let _ = (filter, operator);
    todo!()
}

/// `KeyConditions`.
///
/// # Errors
/// See [`ExpressionError`].
pub fn key_conditions(conditions: &serde_json::Map<String, Json>, schema: &KeySchema) -> Result<KeyRange, ExpressionError> {
    let _ = (conditions, schema);
    todo!()
}

/// `AttributeUpdates`: `{"a": {"Action": "PUT" | "ADD" | "DELETE", "Value": {…}}}`.
///
/// # Errors
/// See [`ExpressionError`].
pub fn attribute_updates(updates: &serde_json::Map<String, Json>) -> Result<Update, ExpressionError> {
    let _ = updates;
    todo!()
}
