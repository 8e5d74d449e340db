//! The parts that requests on items share: conditions, filters, projections, and the names and values of their expressions.

use super::{Attributes, DynamoError};
use millpond_tables::Item;
use millpond_tables::expression::legacy::{self, LegacyCondition};
use millpond_tables::expression::{self, ExpressionError, Kind, Placeholders};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// `ExpressionAttributeNames` and `ExpressionAttributeValues`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expressions {
    /// By `#name`.
    pub names: Option<BTreeMap<String, String>>,
    /// By `:name`.
    pub values: Option<Attributes>,
}

/// What JSON takes in memory, in bytes, about.
pub(super) fn held_bytes<'a>(values: impl IntoIterator<Item = &'a Json>) -> usize {
    const EACH: usize = 32;
    let of = |json: &Json| match json {
        Json::String(text) => EACH + text.len(),
        Json::Array(elements) => EACH + held_bytes(elements),
        Json::Object(members) => {
            EACH + members.keys().map(|name| EACH + name.len()).sum::<usize>() + held_bytes(members.values())
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => EACH,
    };
    values.into_iter().map(of).sum()
}

impl Condition {
    /// What it holds of values by itself, in bytes, about.
    pub(super) fn held_bytes(&self) -> usize {
        self.legacy.given.as_ref().map_or(0, |given| held_bytes(given.values()))
    }
}

impl Expressions {
    pub(super) fn placeholders(&self) -> Result<Placeholders, DynamoError> {
        Placeholders::new(self.names.as_ref(), self.values.as_ref()).map_err(refused)
    }
}

/// A parameter from before expressions, by attribute: `{"ComparisonOperator": …}` and its like, with the operator between them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Legacy {
    /// As the request has it.
    pub given: Option<Map<String, Json>>,
    /// `ConditionalOperator`.
    pub operator: Option<String>,
}

/// A condition on a write.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Condition {
    /// `ConditionExpression`.
    pub expression: Option<String>,
    /// `Expected`.
    pub legacy: Legacy,
}

/// A filter of what was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    /// `FilterExpression`.
    pub expression: Option<String>,
    /// `QueryFilter` or `ScanFilter`.
    pub legacy: Legacy,
}

/// Which parts of items are wanted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Projection {
    /// `ProjectionExpression`.
    pub expression: Option<String>,
    /// `AttributesToGet`.
    pub attributes: Option<Vec<String>>,
}

/// An expression's refusal is the request's.
pub(super) fn refused(error: ExpressionError) -> DynamoError {
    match error.is_malformed() {
        true => DynamoError::Serialization(error.to_string()),
        false => DynamoError::Validation(error.to_string()),
    }
}

/// Refuses a request that speaks in both ways. By the names of parameters, with whether each was given.
pub(super) fn check_one_way(old: &[(&str, bool)], new: &[(&str, bool)]) -> Result<(), DynamoError> {
    let given = |all: &[(&str, bool)]| {
        let mut names: Vec<_> = all.iter().filter(|(_, given)| *given).map(|(name, _)| (*name).to_owned()).collect();
        names.sort_unstable();
        names
    };
    let (old, new) = (given(old), given(new));
    if old.is_empty() || new.is_empty() {
        return Ok(());
    }
    Err(DynamoError::Validation(format!(
        "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {{{}}} Expression parameters: {{{}}}",
        old.join(", "),
        new.join(", ")
    )))
}

impl Legacy {
    fn check_operator(&self) -> Result<(), DynamoError> {
        match (&self.given, &self.operator) {
            (None, Some(_)) => Err(DynamoError::invalid("ConditionalOperator cannot be used without Filter or Expected")),
            (Some(given), Some(_)) if given.len() < 2 => {
                Err(DynamoError::invalid("ConditionalOperator can only be used when Filter or Expected has two or more elements"))
            }
            _ => Ok(()),
        }
    }
}

/// Conditions by attribute, as the parser takes them.
pub(super) fn conditions(given: &Map<String, Json>) -> impl Iterator<Item = (&str, LegacyCondition<'_>)> {
    given.iter().map(|(name, condition)| {
        let condition = LegacyCondition {
            comparison: condition.get("ComparisonOperator").and_then(Json::as_str),
            values: condition.get("AttributeValueList").and_then(Json::as_array).map(Vec::as_slice),
            value: condition.get("Value"),
            exists: condition.get("Exists").and_then(Json::as_bool),
        };
        (name.as_str(), condition)
    })
}

/// `AttributeUpdates`, as the parser takes them.
pub(super) fn updates(given: &Map<String, Json>) -> impl Iterator<Item = (&str, Option<&str>, Option<&Json>)> {
    given.iter().map(|(name, update)| (name.as_str(), update.get("Action").and_then(Json::as_str), update.get("Value")))
}

impl Condition {
    pub(super) fn parse(&self, placeholders: &mut Placeholders) -> Result<Option<expression::Condition>, DynamoError> {
        if let Some(text) = &self.expression {
            return expression::Condition::parse(Kind::Condition, text, placeholders).map(Some).map_err(refused);
        }
        self.legacy.check_operator()?;
        let expected = self.legacy.given.as_ref();
        expected.map(|given| legacy::expected(conditions(given), self.legacy.operator.as_deref())).transpose().map_err(refused)
    }
}

impl Filter {
    pub(super) fn parse(&self, placeholders: &mut Placeholders) -> Result<Option<expression::Condition>, DynamoError> {
        if let Some(text) = &self.expression {
            return expression::Condition::parse(Kind::Filter, text, placeholders).map(Some).map_err(refused);
        }
        self.legacy.check_operator()?;
        let filter = self.legacy.given.as_ref();
        filter.map(|given| legacy::filter(conditions(given), self.legacy.operator.as_deref())).transpose().map_err(refused)
    }
}

impl Projection {
    pub(super) fn parse(&self, placeholders: &mut Placeholders) -> Result<Option<expression::Projection>, DynamoError> {
        match (&self.expression, &self.attributes) {
            (Some(text), _) => expression::Projection::parse(text, placeholders).map(Some).map_err(refused),
            (None, Some(names)) => {
                let mut seen = std::collections::BTreeSet::new();
                if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
                    return Err(DynamoError::parameter(format!("Duplicate value in attribute name: {twice}")));
                }
                Ok(Some(expression::Projection::of_names(names.iter().map(String::as_str))))
            }
            (None, None) => Ok(None),
        }
    }

    pub(super) fn is_given(&self) -> bool {
        self.expression.is_some() || self.attributes.is_some()
    }
}

/// An item as the wire has it.
pub(super) fn written(item: &Item) -> Attributes {
    item.iter().map(|(name, value)| (name.clone(), millpond_tables::value::json::write_value(value))).collect()
}
