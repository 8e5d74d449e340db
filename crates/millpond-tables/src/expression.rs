//! Condition, key condition, filter, projection and update expressions.
//!
//! A request's expressions share one [`Placeholders`] (its `ExpressionAttributeNames` and `ExpressionAttributeValues`): each is parsed with it, then
//! [`Placeholders::finish`] says which were given and not used. What is parsed is resolved: names and values are in the tree, which needs no request any more.
//! The parameters from before expressions (`Expected`, `AttributeUpdates`, …) and PartiQL ([`crate::partiql`]) give the same trees.

pub mod legacy;

use crate::value::key::{KeyRange, KeySchema};
use crate::value::{Item, Value, ValueError};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// Why an expression is refused; its text is the message of DynamoDB's `ValidationException`, whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    message: String,
}

/// Why an update cannot be applied to an item; its text is the message of DynamoDB's `ValidationException`, whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// The path leads through something that is not there, or is no map or list.
    #[error("The document path provided in the update expression is invalid for update")]
    Path,
    /// A type that the operation does not take.
    #[error("An operand in the update expression has an incorrect data type")]
    OperandType,
    /// `ADD` or a function on an attribute of another type, with the legacy parameter.
    #[error("Type mismatch for attribute to update")]
    AttributeType,
    /// A value that is read is not there.
    #[error("The provided expression refers to an attribute that does not exist in the item")]
    Missing,
    /// A number that cannot be kept, or too many levels.
    #[error(transparent)]
    Value(#[from] ValueError),
}

/// Where an expression stands in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `ConditionExpression`
    Condition,
    /// `FilterExpression`
    Filter,
    /// `KeyConditionExpression`
    KeyCondition,
    /// `ProjectionExpression`
    Projection,
    /// `UpdateExpression`
    Update,
}

/// The names and values that a request gives its expressions.
#[derive(Debug, Default)]
pub struct Placeholders {}

impl Placeholders {
    /// Of `ExpressionAttributeNames` and `ExpressionAttributeValues`.
    ///
    /// # Errors
    /// Empty maps, keys without `#` or `:`, names that are empty or too long, values that are none.
    pub fn new<'a>(
        names: Option<impl IntoIterator<Item = (&'a String, &'a String)>>,
        values: Option<impl IntoIterator<Item = (&'a String, &'a Json)>>,
    ) -> Result<Self, ExpressionError> {
        let _ = (names.map(|n| n.into_iter().count()), values.map(|n| n.into_iter().count()));
        todo!()
    }

    /// To be called once all expressions are parsed.
    ///
    /// # Errors
    /// Names or values that no expression used. `kinds` are those that the operation has: if none of them was parsed, the message names them.
    pub fn finish(&self, kinds: &[Kind]) -> Result<(), ExpressionError> {
        let _ = kinds;
        todo!()
    }
}

/// A condition on an item: `ConditionExpression`, `FilterExpression`, the `WHERE` of PartiQL.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {}

impl Condition {
    /// Parses `ConditionExpression` or `FilterExpression` (`kind` is for messages).
    ///
    /// # Errors
    /// See [`ExpressionError`].
    pub fn parse(kind: Kind, text: &str, placeholders: &mut Placeholders) -> Result<Self, ExpressionError> {
        let _ = (kind, text, placeholders);
        todo!()
    }

    /// Does it hold? An item that is not there is an empty one.
    pub fn holds(&self, item: &Item) -> bool {
        let _ = item;
        todo!()
    }

    /// The top-level attributes that it names: a filter may not name key attributes ("Filter Expression can only contain non-primary key attributes").
    pub fn top_level_names(&self) -> BTreeSet<&str> {
        todo!()
    }
}

/// `KeyConditionExpression`.
#[derive(Debug)]
pub struct KeyCondition;

impl KeyCondition {
    /// Parses it for a table's or an index's key.
    ///
    /// # Errors
    /// See [`ExpressionError`]; also where it does not fit the key ("Query condition missed key schema element: id").
    pub fn parse(text: &str, placeholders: &mut Placeholders, schema: &KeySchema) -> Result<KeyRange, ExpressionError> {
        let _ = (text, placeholders, schema);
        todo!()
    }
}

/// Which parts of an item are wanted: `ProjectionExpression`.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {}

impl Projection {
    /// Parses it.
    ///
    /// # Errors
    /// See [`ExpressionError`]; also paths of which one contains another.
    pub fn parse(text: &str, placeholders: &mut Placeholders) -> Result<Self, ExpressionError> {
        let _ = (text, placeholders);
        todo!()
    }

    /// Of whole top-level attributes: `AttributesToGet`, an index's projection.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let _ = names.into_iter().count();
        todo!()
    }

    /// The wanted parts of the item; elements of lists move up.
    pub fn apply(&self, item: &Item) -> Item {
        let _ = item;
        todo!()
    }

    /// The top-level attributes that it names: where an index does not have them all, the table is read.
    pub fn top_level_names(&self) -> BTreeSet<&str> {
        todo!()
    }
}

/// A change of an item: `UpdateExpression`.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {}

/// What an update touched, for `ReturnValues`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Touched {
    /// `UPDATED_OLD`: what the updated paths had before.
    pub old: Item,
    /// `UPDATED_NEW`: what they have now.
    pub new: Item,
}

impl Update {
    /// Parses it.
    ///
    /// # Errors
    /// See [`ExpressionError`]; also paths of which one contains another ("Two document paths overlap with each other; …").
    pub fn parse(text: &str, placeholders: &mut Placeholders) -> Result<Self, ExpressionError> {
        let _ = (text, placeholders);
        todo!()
    }

    /// Changes the item; all right sides are of the item as it was. On an error the item is as it was.
    ///
    /// # Errors
    /// See [`UpdateError`].
    pub fn apply(&self, item: &mut Item) -> Result<Touched, UpdateError> {
        let _ = item;
        todo!()
    }

    /// The top-level attributes that it changes: none may be of the key ("Cannot update attribute id. This attribute is part of the key").
    pub fn changed_names(&self) -> BTreeSet<&str> {
        todo!()
    }
}

/// A constant or an attribute's value, in messages and in tests of trees.
pub type Constant = Value;
