//! The parameters from before expressions: `Expected`, `QueryFilter`, `ScanFilter`, `KeyConditions`, `AttributeUpdates`. Developer guide, "Legacy DynamoDB
//! conditional parameters". They become the trees that expressions become.

use super::{Condition, ExpressionError, Update};
use crate::value::key::{KeyRange, KeySchema};
use serde_json::Value as Json;

/// A condition on one attribute, as the wire has it.
#[derive(Debug, Clone, Copy, Default)]
pub struct LegacyCondition<'a> {
    /// `ComparisonOperator`
    pub comparison: Option<&'a str>,
    /// `AttributeValueList`
    pub values: Option<&'a [Json]>,
    /// `Value`, of `Expected` only.
    pub value: Option<&'a Json>,
    /// `Exists`, of `Expected` only.
    pub exists: Option<bool>,
}

/// `Expected` with `ConditionalOperator` (`AND`, `OR`).
///
/// # Errors
/// See [`ExpressionError`].
pub fn expected<'a>(
    conditions: impl IntoIterator<Item = (&'a str, LegacyCondition<'a>)>,
    operator: Option<&str>,
) -> Result<Condition, ExpressionError> {
    let _ = (conditions.into_iter().count(), operator);
    todo!()
}

/// `QueryFilter` or `ScanFilter` with `ConditionalOperator`.
///
/// # Errors
/// See [`ExpressionError`].
pub fn filter<'a>(
    conditions: impl IntoIterator<Item = (&'a str, LegacyCondition<'a>)>,
    operator: Option<&str>,
) -> Result<Condition, ExpressionError> {
    let _ = (conditions.into_iter().count(), operator);
    todo!()
}

/// `KeyConditions`.
///
/// # Errors
/// See [`ExpressionError`].
pub fn key_conditions<'a>(
    conditions: impl IntoIterator<Item = (&'a str, LegacyCondition<'a>)>,
    schema: &KeySchema,
) -> Result<KeyRange, ExpressionError> {
    let _ = (conditions.into_iter().count(), schema);
    todo!()
}

/// `AttributeUpdates`: attribute, `Action` (`PUT`, `ADD`, `DELETE`; none is `PUT`), `Value`.
///
/// # Errors
/// See [`ExpressionError`].
pub fn attribute_updates<'a>(
    updates: impl IntoIterator<Item = (&'a str, Option<&'a str>, Option<&'a Json>)>,
) -> Result<Update, ExpressionError> {
    let _ = updates.into_iter().count();
    todo!()
}
