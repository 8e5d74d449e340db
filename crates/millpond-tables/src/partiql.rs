//! PartiQL as DynamoDB has it: single statements on items. Developer guide, "PartiQL - a SQL-compatible query language for Amazon DynamoDB".

use crate::expression::{Condition, Projection, Update};
use crate::value::key::{KeyRange, KeySchema};
use crate::value::{Item, Value};

/// Why a statement is refused; its text is the message of DynamoDB's `ValidationException`, whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StatementError {
    message: String,
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

/// How a `WHERE` reads a table or an index.
#[derive(Debug, Clone, PartialEq)]
pub enum Access {
    /// Partitions, one after the other, each with a range of sort keys: `hash = x`, `hash IN [x, y]`. The whole `WHERE` is still to be evaluated.
    Ranges(Vec<KeyRange>),
    /// All items.
    Scan,
}

/// Parses a statement; `parameters` take the places of its `?`.
///
/// # Errors
/// See [`StatementError`]; also a number of parameters that is not that of the `?`.
pub fn parse(text: &str, parameters: &[Value]) -> Result<Statement, StatementError> {
    let _ = (text, parameters);
    todo!()
}

/// How to read what a `WHERE` may be true for: conditions on the key that all of it depends on (joined by `AND`).
pub fn access(filter: Option<&Condition>, schema: &KeySchema) -> Access {
    let _ = (filter, schema);
    todo!()
}

/// The primary key that an `UPDATE`'s or `DELETE`'s `WHERE` names by `=`, whole; the rest of the condition is still to be evaluated (all of it may be).
///
/// # Errors
/// "Where clause does not contain a mandatory equality on all key attributes".
pub fn key_of(filter: Option<&Condition>, schema: &KeySchema) -> Result<Item, StatementError> {
    let _ = (filter, schema);
    todo!()
}
