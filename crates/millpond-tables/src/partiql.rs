//! PartiQL as DynamoDB has it: single statements on items. Developer guide, "PartiQL - a SQL-compatible query language for Amazon DynamoDB".
//!
//! ```text
//! SELECT * | path, … FROM "table"[."index"] [WHERE condition] [ORDER BY attribute [ASC | DESC], …]
//! INSERT INTO "table" VALUE {'attribute': value, …}
//! UPDATE "table" { SET path = value, … | REMOVE path, … } [WHERE condition] [RETURNING (ALL | MODIFIED) (OLD | NEW) *]
//! FROM "table" [WHERE condition] { SET … | REMOVE … } [RETURNING …]
//! DELETE FROM "table" [WHERE condition] [RETURNING ALL OLD *]
//! EXISTS(SELECT …)
//! ```
//! Statements give the trees that expressions give ([`crate::expression`]): there is one evaluator.

mod access;
mod condition;
mod lexer;
mod parser;
mod terms;

pub use access::{Access, access, key_of};

use crate::expression::{Condition, Projection, Update};
use crate::value::{Item, Value};

/// The longest statement, in characters. API reference, `ExecuteStatement`.
const STATEMENT_LENGTH_MAX: usize = 8192;

/// Why a statement is refused; its text is the message of DynamoDB's `ValidationException`, whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StatementError {
    message: String,
}

impl StatementError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// What `RETURNING` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returning {
    /// `ALL OLD *`
    AllOld,
    /// `ALL NEW *`
    AllNew,
    /// `MODIFIED OLD *`
    ModifiedOld,
    /// `MODIFIED NEW *`
    ModifiedNew,
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `SELECT`
    Select(Select),
    /// `INSERT INTO "table" VALUE {…}`
    Insert {
        /// The table's name.
        table: String,
        /// The item.
        item: Item,
    },
    /// `UPDATE "table" SET … REMOVE … WHERE …`
    Update {
        /// The table's name.
        table: String,
        /// The change.
        update: Update,
        /// Which item, and the condition on it.
        filter: Option<Condition>,
        /// What is answered.
        returning: Option<Returning>,
    },
    /// `DELETE FROM "table" WHERE …`
    Delete {
        /// The table's name.
        table: String,
        /// Which item, and the condition on it.
        filter: Option<Condition>,
        /// What is answered: `ALL OLD *` or nothing.
        returning: Option<Returning>,
    },
    /// `EXISTS(SELECT … WHERE …)`: a condition in a transaction.
    Exists(Select),
}

impl Statement {
    /// The table that it is about.
    pub fn table(&self) -> &str {
        match self {
            Self::Select(select) | Self::Exists(select) => &select.table,
            Self::Insert { table, .. } | Self::Update { table, .. } | Self::Delete { table, .. } => table,
        }
    }
}

/// `SELECT … FROM "table"."index" WHERE … ORDER BY …`
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    /// The table's name.
    pub table: String,
    /// The index's name.
    pub index: Option<String>,
    /// What of the items; none is `*`.
    pub projection: Option<Projection>,
    /// `WHERE`
    pub filter: Option<Condition>,
    /// `ORDER BY`: attributes, and whether downwards.
    pub order: Vec<(String, bool)>,
}

/// Parses a statement; `parameters` take the places of its `?`.
///
/// What cannot be read is told with its place, `line:column:length` in characters from 1.
///
/// # Errors
/// See [`StatementError`]; also a number of parameters that is not that of the `?`.
pub fn parse(text: &str, parameters: &[Value]) -> Result<Statement, StatementError> {
    parser::Parser::new(text, parameters)?.statement()
}

#[cfg(test)]
#[path = "partiql/tests.rs"]
mod tests;
