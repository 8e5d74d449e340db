//! Condition, key condition, filter, projection and update expressions.
//!
//! A request's expressions share one [`Placeholders`] (its `ExpressionAttributeNames` and `ExpressionAttributeValues`): each is parsed with it, then
//! [`Placeholders::finish`] says which were given and not used. What is parsed is resolved: names and values are in the tree, which needs no request any more.
//! The parameters from before expressions ([`legacy`]) and PartiQL ([`crate::partiql`]) give the same trees.
//!
//! Text becomes tokens ([`lexer`]), tokens a tree as written ([`syntax`]), that one a tree of names and values after DynamoDB's checks ([`resolve`]). Nothing
//! recurses deeper than its input is allowed to nest: 300 operators, 32 levels of a path.

mod boolean;
pub(crate) mod checks;
mod condition;
mod key_condition;
pub mod legacy;
mod lexer;
mod path;
mod placeholders;
mod projection;
mod reserved;
mod resolve;
mod syntax;
mod update;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use boolean::{Builder, Tree, closing_parentheses};
pub use condition::Condition;
pub(crate) use condition::{Comparator, Operand, Test};
pub use key_condition::KeyCondition;
pub(crate) use path::{Path, Step, collision};
pub use placeholders::Placeholders;
pub use projection::Projection;
pub(crate) use update::{Action, Term};
pub use update::{Touched, Update, UpdateError};

use crate::value::ValueError;

/// The most operators of an expression. Developer guide, "Service, account, and table quotas": expression parameters.
pub(crate) const OPERATORS_MAX: usize = 300;
/// The most operands of `IN`.
pub(crate) const IN_OPERANDS_MAX: usize = 100;
/// The most bytes of an expression.
const EXPRESSION_BYTES_MAX: usize = 4096;
/// Why an expression is refused; its text is the message of DynamoDB's `ValidationException`, whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    message: String,
    malformed: bool,
}

impl ExpressionError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), malformed: false }
    }

    /// Whether a value is not even the JSON that its type needs: DynamoDB answers `SerializationException` then.
    pub fn is_malformed(&self) -> bool {
        self.malformed
    }
}

impl From<ValueError> for ExpressionError {
    fn from(error: ValueError) -> Self {
        Self { malformed: matches!(error, ValueError::Shape(_)), message: error.to_string() }
    }
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

impl Kind {
    /// The parameter's name.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Condition => "ConditionExpression",
            Self::Filter => "FilterExpression",
            Self::KeyCondition => "KeyConditionExpression",
            Self::Projection => "ProjectionExpression",
            Self::Update => "UpdateExpression",
        }
    }

    /// A fault of the expression, in the form that DynamoDB gives it.
    fn error(self, what: impl std::fmt::Display) -> ExpressionError {
        ExpressionError::new(format!("Invalid {}: {what}", self.parameter()))
    }
}
