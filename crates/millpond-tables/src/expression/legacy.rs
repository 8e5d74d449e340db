//! The parameters from before expressions: `Expected`, `QueryFilter`, `ScanFilter`, `KeyConditions`, `AttributeUpdates`. Developer guide, "Legacy DynamoDB
//! conditional parameters". They become the trees that expressions become.

use super::key_condition::{OnAttribute, range, sort_range};
use super::{Action, Comparator, Condition, ExpressionError, Operand, Path, Term, Test, Tree, Update};
use crate::value::key::{KeyRange, KeySchema, compare};
use crate::value::{Kind as Type, Value, check_name, json};
use serde_json::Value as Json;
use std::fmt::Display;

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
    let tests = conditions.into_iter().map(|(name, condition)| expected_test(name, condition)).collect::<Result<_, _>>()?;
    Ok(joined(tests, operator))
}

/// `QueryFilter` or `ScanFilter` with `ConditionalOperator`.
///
/// # Errors
/// See [`ExpressionError`].
pub fn filter<'a>(
    conditions: impl IntoIterator<Item = (&'a str, LegacyCondition<'a>)>,
    operator: Option<&str>,
) -> Result<Condition, ExpressionError> {
    let tests = conditions.into_iter().map(|(name, condition)| filter_test(name, condition)).collect::<Result<_, _>>()?;
    Ok(joined(tests, operator))
}

/// `KeyConditions`.
///
/// # Errors
/// See [`ExpressionError`].
pub fn key_conditions<'a>(
    conditions: impl IntoIterator<Item = (&'a str, LegacyCondition<'a>)>,
    schema: &KeySchema,
) -> Result<KeyRange, ExpressionError> {
    let tests: Vec<_> = conditions
        .into_iter()
        .map(|(name, condition)| Ok((name, filter_test(name, condition)?)))
        .collect::<Result<_, ExpressionError>>()?;
    if !(1..=2).contains(&tests.len()) {
        return Err(ExpressionError::new("Conditions can be of length 1 or 2 only"));
    }
    let conditions = tests
        .into_iter()
        .map(|(name, test)| {
            let range = sort_range(&test)
                .map_err(|_| ExpressionError::new("Attempted conditional constraint is not an indexable operation"))?;
            Ok(OnAttribute { name: name.to_owned(), range })
        })
        .collect::<Result<_, ExpressionError>>()?;
    range(conditions, schema)
}

/// `AttributeUpdates`: attribute, `Action` (`PUT`, `ADD`, `DELETE`; none is `PUT`), `Value`.
///
/// # Errors
/// See [`ExpressionError`].
pub fn attribute_updates<'a>(
    updates: impl IntoIterator<Item = (&'a str, Option<&'a str>, Option<&'a Json>)>,
) -> Result<Update, ExpressionError> {
    let action = |(name, action, value): (&str, Option<&str>, Option<&Json>)| {
        check_name(name)?;
        let path = Path::attribute(name);
        let action = action.unwrap_or("PUT");
        let Some(value) = value else {
            return match action {
                "DELETE" => Ok(Action::Remove(path)),
                _ => Err(invalid("Only DELETE action is allowed when no attribute value is specified")),
            };
        };
        let value = read(value)?;
        let set = matches!(value.kind(), Type::StringSet | Type::NumberSet | Type::BinarySet);
        match action {
            "PUT" => Ok(Action::Set(path, Term::Value(value))),
            "ADD" if set || matches!(value.kind(), Type::Number | Type::List) => Ok(Action::Add(path, value)),
            "ADD" => Err(invalid(format_args!("ADD action is not supported for the type {}", value.kind().name()))),
            "DELETE" if set => Ok(Action::Delete(path, value)),
            "DELETE" => {
                Err(invalid(format_args!("DELETE action with value is not supported for the type {}", value.kind().name())))
            }
            other => Err(invalid(format_args!("Unknown action {other} for Attribute: {name}; it is PUT, ADD or DELETE"))),
        }
    };
    Ok(Update::legacy(updates.into_iter().map(action).collect::<Result<_, _>>()?))
}

fn invalid(what: impl Display) -> ExpressionError {
    ExpressionError::new(format!("One or more parameter values were invalid: {what}"))
}

fn read(json: &Json) -> Result<Value, ExpressionError> {
    Ok(json::read_value(json)?)
}

fn joined(tests: Vec<Test>, operator: Option<&str>) -> Condition {
    let tests = tests.into_iter().map(Tree::Test).collect();
    Condition { tree: if operator == Some("OR") { Tree::Or(tests) } else { Tree::And(tests) } }
}

/// A condition of `Expected`: on a value, on being there, or by a comparison.
fn expected_test(name: &str, condition: LegacyCondition<'_>) -> Result<Test, ExpressionError> {
    let LegacyCondition { comparison, values, value, exists } = condition;
    if values.is_some() && value.is_some() {
        return Err(invalid(format_args!("Value and AttributeValueList cannot be used together for Attribute: {name}")));
    }
    if let Some(comparison) = comparison {
        if exists.is_some() {
            return Err(invalid(format_args!("Exists and ComparisonOperator cannot be used together for Attribute: {name}")));
        }
        if !matches!(comparison, "NULL" | "NOT_NULL") && values.is_none() && value.is_none() {
            return Err(invalid(format_args!(
                "Value or AttributeValueList must be used with ComparisonOperator: {comparison} for Attribute: {name}"
            )));
        }
        return compared(name, comparison, values.unwrap_or_else(|| value.map_or(&[], std::slice::from_ref)));
    }
    if values.is_some() {
        return Err(invalid(format_args!("AttributeValueList can only be used with a ComparisonOperator for Attribute: {name}")));
    }
    match (exists, value) {
        (Some(false), None) => Ok(Test::NotExists(Path::attribute(name))),
        (Some(false), Some(_)) => Err(invalid(format_args!("Value cannot be used when Exists is false for Attribute: {name}"))),
        (exists, None) => {
            let exists = if exists.is_some() { "true" } else { "null" };
            Err(invalid(format_args!("Value must be provided when Exists is {exists} for Attribute: {name}")))
        }
        (_, Some(value)) => compared(name, "EQ", std::slice::from_ref(value)),
    }
}

/// A condition of a filter or on a key.
fn filter_test(name: &str, condition: LegacyCondition<'_>) -> Result<Test, ExpressionError> {
    let comparison = condition
        .comparison
        .ok_or_else(|| invalid(format_args!("ComparisonOperator must be specified for Attribute: {name}")))?;
    compared(name, comparison, condition.values.unwrap_or_default())
}

fn compared(name: &str, comparison: &str, values: &[Json]) -> Result<Test, ExpressionError> {
    let values: Vec<Value> = values.iter().map(read).collect::<Result<_, _>>()?;
    let counted = match comparison {
        "NULL" | "NOT_NULL" => values.is_empty(),
        "IN" => !values.is_empty(),
        "BETWEEN" => values.len() == 2,
        "EQ" | "NE" | "LE" | "LT" | "GE" | "GT" | "CONTAINS" | "NOT_CONTAINS" | "BEGINS_WITH" => values.len() == 1,
        other => return Err(invalid(format_args!("Unknown ComparisonOperator {other} for Attribute: {name}"))),
    };
    if !counted {
        return Err(invalid(format_args!("Invalid number of argument(s) for the {comparison} ComparisonOperator")));
    }
    check_types(comparison, &values)?;
    let path = Path::attribute(name);
    let operand = Operand::Path(path.clone());
    let mut values = values.into_iter();
    let Some(first) = values.next() else {
        return Ok(if comparison == "NULL" { Test::NotExists(path) } else { Test::Exists(path) });
    };
    let by = |comparator, first| Ok(Test::Compare(operand.clone(), comparator, Operand::Value(first)));
    match comparison {
        "EQ" => by(Comparator::Equal, first),
        "NE" => by(Comparator::NotEqual, first),
        "LE" => by(Comparator::LessOrEqual, first),
        "LT" => by(Comparator::Less, first),
        "GE" => by(Comparator::GreaterOrEqual, first),
        "GT" => by(Comparator::Greater, first),
        "CONTAINS" => Ok(Test::Contains(operand, Operand::Value(first))),
        "NOT_CONTAINS" => Ok(Test::NotContains(operand, Operand::Value(first))),
        "BEGINS_WITH" => Ok(Test::BeginsWith(operand, Operand::Value(first))),
        "IN" => Ok(Test::In(operand, std::iter::once(first).chain(values).map(Operand::Value).collect())),
        _ => {
            let high = values.next().unwrap_or(Value::Null);
            Ok(Test::Between(operand, Operand::Value(first), Operand::Value(high)))
        }
    }
}

fn check_types(comparison: &str, values: &[Value]) -> Result<(), ExpressionError> {
    let scalar = |kind| matches!(kind, Type::String | Type::Number | Type::Binary);
    for value in values {
        let kind = value.kind();
        let valid = match comparison {
            "LE" | "LT" | "GE" | "GT" | "IN" | "BETWEEN" => scalar(kind),
            "CONTAINS" | "NOT_CONTAINS" => scalar(kind) || matches!(kind, Type::Bool | Type::Null),
            "BEGINS_WITH" => matches!(kind, Type::String | Type::Binary),
            _ => true,
        };
        if !valid {
            return Err(invalid(format_args!(
                "ComparisonOperator {comparison} is not valid for {} AttributeValue type",
                kind.name()
            )));
        }
    }
    if values.windows(2).any(|pair| pair[0].kind() != pair[1].kind()) {
        return Err(invalid("AttributeValues inside AttributeValueList must be of same type"));
    }
    if let ("BETWEEN", [low, high]) = (comparison, values)
        && compare(low, high).is_some_and(std::cmp::Ordering::is_gt)
    {
        return Err(ExpressionError::new(
            "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound",
        ));
    }
    Ok(())
}

#[cfg(test)]
#[path = "legacy/tests.rs"]
mod tests;
