//! `KeyConditionExpression`: which partition, and which sort keys of it. Developer guide, "Key condition expressions for the Query operation in DynamoDB".

use super::resolve::Resolver;
use super::syntax::Parser;
use super::{Comparator, ExpressionError, Kind, Operand, Placeholders, Test, Tree};
use crate::value::Value;
use crate::value::key::{KeyAttribute, KeyRange, KeySchema, SortRange};

/// `KeyConditionExpression`.
#[derive(Debug)]
pub struct KeyCondition;

/// A condition on one attribute.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OnAttribute {
    pub(super) name: String,
    pub(super) range: SortRange,
}

impl KeyCondition {
    /// Parses it for a table's or an index's key.
    ///
    /// # Errors
    /// See [`ExpressionError`]; also where it does not fit the key ("Query condition missed key schema element: id").
    pub fn parse(text: &str, placeholders: &mut Placeholders, schema: &KeySchema) -> Result<KeyRange, ExpressionError> {
        let kind = Kind::KeyCondition;
        let raw = Parser::new(kind, text)?.condition()?;
        let tree = Resolver::new(kind, placeholders).condition(raw)?;
        range(conditions(&tree)?, schema)
    }
}

/// The tests of the tree as conditions on attributes.
fn conditions(tree: &Tree<Test>) -> Result<Vec<OnAttribute>, ExpressionError> {
    let mut conditions: Vec<OnAttribute> = Vec::new();
    let operator = |name: &str| ExpressionError::new(format!("Invalid operator used in KeyConditionExpression: {name}"));
    for part in tree.conjuncts() {
        let test = match part {
            Tree::Test(test) => test,
            Tree::Not(_) => return Err(operator("NOT")),
            Tree::And(_) | Tree::Or(_) => return Err(operator("OR")),
        };
        let (name, operands) = match test {
            Test::Compare(_, Comparator::NotEqual, _) => return Err(operator("<>")),
            Test::In(..) => return Err(operator("IN")),
            Test::Exists(_) => return Err(operator("attribute_exists")),
            Test::NotExists(_) => return Err(operator("attribute_not_exists")),
            Test::HasType(..) => return Err(operator("attribute_type")),
            Test::Contains(..) | Test::NotContains(..) => return Err(operator("contains")),
            Test::Compare(left, comparator, right) => (comparator.symbol(), vec![left, right]),
            Test::Between(value, low, high) => ("BETWEEN", vec![value, low, high]),
            Test::BeginsWith(value, prefix) => ("begins_with", vec![value, prefix]),
        };
        let condition = OnAttribute { name: key_attribute(name, &operands)?, range: sort_range(test)? };
        if conditions.iter().any(|other| other.name == condition.name) {
            return Err(Kind::KeyCondition.error("KeyConditionExpressions must only contain one condition per key"));
        }
        conditions.push(condition);
    }
    Ok(conditions)
}

/// The attribute that the condition is on.
fn key_attribute(operator: &str, operands: &[&Operand]) -> Result<String, ExpressionError> {
    let error = |message: String| Err(ExpressionError::new(message));
    if operands.iter().any(|operand| matches!(operand, Operand::Size(_))) {
        return error("KeyConditionExpressions cannot contain nested operations".into());
    }
    let paths: Vec<_> = operands
        .iter()
        .filter_map(|operand| match operand {
            Operand::Path(path) => Some(path),
            _ => None,
        })
        .collect();
    if paths.len() > 1 {
        return error("Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition".into());
    }
    let Some(path) = paths.first() else {
        return error("Invalid condition in KeyConditionExpression: No key attribute specified".into());
    };
    if !path.steps.is_empty() {
        return error("KeyConditionExpressions cannot have conditions on nested attributes".into());
    }
    if matches!(operator, "BETWEEN" | "begins_with") && !matches!(operands.first(), Some(Operand::Path(_))) {
        return error(format!(
            "Invalid condition in KeyConditionExpression: {operator} operator must have the key attribute as its first operand"
        ));
    }
    Ok(path.name.clone())
}

/// The values that a test lets the one attribute have that it names. Other tests are no ranges.
pub(super) fn sort_range(test: &Test) -> Result<SortRange, ExpressionError> {
    let range = match test {
        Test::Compare(Operand::Path(_), comparator, Operand::Value(value)) => comparator.range(value.clone()),
        Test::Compare(Operand::Value(value), comparator, Operand::Path(_)) => comparator.flipped().range(value.clone()),
        Test::Between(Operand::Path(_), Operand::Value(low), Operand::Value(high)) => {
            Some(SortRange::Between(low.clone(), high.clone()))
        }
        Test::BeginsWith(Operand::Path(_), Operand::Value(prefix)) => Some(SortRange::BeginsWith(prefix.clone())),
        _ => None,
    };
    range.ok_or_else(|| ExpressionError::new("Query key condition not supported"))
}

impl Comparator {
    /// The sort keys for which the comparison with `value` holds, where they are one range.
    pub(crate) fn range(self, value: Value) -> Option<SortRange> {
        Some(match self {
            Self::Equal => SortRange::Equal(value),
            Self::Less => SortRange::Less(value),
            Self::LessOrEqual => SortRange::LessOrEqual(value),
            Self::Greater => SortRange::Greater(value),
            Self::GreaterOrEqual => SortRange::GreaterOrEqual(value),
            Self::NotEqual => return None,
        })
    }
}

/// Joins conditions on the partition key and the sort key.
pub(super) fn range(conditions: Vec<OnAttribute>, schema: &KeySchema) -> Result<KeyRange, ExpressionError> {
    let keys = schema.attributes().count();
    if conditions.len() > 2 {
        return Err(ExpressionError::new(format!(
            "The number of query conditions ({}) exceeds the number of key attributes defined in the schema ({keys})",
            conditions.len()
        )));
    }
    let count = conditions.len();
    let mut hash = None;
    let mut sort = None;
    for condition in conditions {
        if condition.name == schema.hash.name {
            hash = Some(condition.range);
        } else if schema.range.as_ref().is_some_and(|range| range.name == condition.name) {
            sort = Some(condition.range);
        }
    }
    let missing =
        |attribute: &KeyAttribute| ExpressionError::new(format!("Query condition missed key schema element: {}", attribute.name));
    let hash = hash.ok_or_else(|| missing(&schema.hash))?;
    check_type(&hash, &schema.hash)?;
    let SortRange::Equal(hash) = hash else { return Err(ExpressionError::new("Query key condition not supported")) };
    if sort.is_none() && count > 1 {
        return Err(match &schema.range {
            Some(attribute) => missing(attribute),
            None => ExpressionError::new("Query key condition not supported"),
        });
    }
    if let (Some(range), Some(attribute)) = (&sort, &schema.range) {
        check_type(range, attribute)?;
    }
    Ok(KeyRange { hash, sort: sort.unwrap_or(SortRange::All) })
}

fn check_type(range: &SortRange, attribute: &KeyAttribute) -> Result<(), ExpressionError> {
    let values = match range {
        SortRange::All => vec![],
        SortRange::Between(low, high) => vec![low, high],
        SortRange::Equal(value)
        | SortRange::Less(value)
        | SortRange::LessOrEqual(value)
        | SortRange::Greater(value)
        | SortRange::GreaterOrEqual(value)
        | SortRange::BeginsWith(value) => vec![value],
    };
    for value in values {
        if value.kind() != attribute.key_type.kind() {
            return Err(ExpressionError::new(
                "One or more parameter values were invalid: Condition parameter type does not match schema type",
            ));
        }
        let empty = match value {
            Value::String(text) if text.is_empty() => "string",
            Value::Binary(bytes) if bytes.is_empty() => "binary",
            _ => continue,
        };
        return Err(ExpressionError::new(format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty {empty} value. Key: {}",
            attribute.name
        )));
    }
    Ok(())
}

#[cfg(test)]
#[path = "key_condition/tests.rs"]
mod tests;
