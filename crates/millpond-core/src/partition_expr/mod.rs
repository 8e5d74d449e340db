//! Filters over partition keys: what Glue's `GetPartitions` takes as `Expression`, what a query's `WHERE` clause says about partition
//! keys, and what the store turns into SQL.
//!
//! Keys are compared by the key's declared type (Glue API reference, `GetPartitions`): text for `string`, `char` and `varchar`, by date for
//! `date`, by time for `timestamp`, and as numbers for the integer types and `decimal`.
//!
//! Text is parsed into a [`PartitionExpr`] ([`std::str::FromStr`]) and printed from it; [`PartitionExpr::bind`] resolves it against a table's
//! keys. A value that is NULL, or that is not of its key's type, makes a comparison unknown, as in SQL. (AWS answers InvalidStateException as
//! soon as one partition has a value that is not of its key's type; here that partition is left out, and the others can be had.)

mod bound;
mod parse;
mod value;

pub use bound::{BoundExpr, KeyValues, SortRange, like};
pub use value::{KeyType, KeyValue, sort_bytes};

use std::fmt;

/// What is wrong with a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExprError {
    /// It cannot be read.
    #[error("Invalid partition expression! At character {position}: {what}")]
    Syntax {
        /// Counted from 1.
        position: usize,
        /// For people.
        what: String,
    },
    /// It names a column that is no partition key.
    #[error("Invalid partition expression! '{key}' is not a partition key of the table; its keys are: {}", .keys.join(", "))]
    UnknownKey {
        /// The name.
        key: String,
        /// The keys that there are.
        keys: Vec<String>,
    },
    /// A literal is not of its key's type.
    #[error("Invalid partition expression! The key '{key}' is compared with '{value}', which is not of its type: {expected}")]
    NotOfType {
        /// The key.
        key: String,
        /// The literal.
        value: String,
        /// The key's type.
        expected: &'static str,
    },
}

/// A filter over partition keys. Keys are lower-case names of the table's partition keys.
#[derive(Debug, Clone, PartialEq)]
pub enum PartitionExpr {
    /// All hold (an empty list holds).
    And(Vec<PartitionExpr>),
    /// One holds (an empty list does not).
    Or(Vec<PartitionExpr>),
    /// Does not hold.
    Not(Box<PartitionExpr>),
    /// `key op literal`.
    Compare {
        /// The partition key.
        key: String,
        /// How.
        op: CompareOp,
        /// With what.
        value: Literal,
    },
    /// `key [NOT] IN (…)`.
    In {
        /// The partition key.
        key: String,
        /// The list.
        values: Vec<Literal>,
        /// `NOT IN`.
        negated: bool,
    },
    /// `key [NOT] BETWEEN low AND high`, both ends included.
    Between {
        /// The partition key.
        key: String,
        /// The least value that holds.
        low: Literal,
        /// The greatest value that holds.
        high: Literal,
        /// `NOT BETWEEN`.
        negated: bool,
    },
    /// `key [NOT] LIKE 'pattern'` with `%` and `_`.
    Like {
        /// The partition key.
        key: String,
        /// The pattern.
        pattern: String,
        /// `NOT LIKE`.
        negated: bool,
    },
    /// `key IS [NOT] NULL`: the value is Hive's null partition.
    IsNull {
        /// The partition key.
        key: String,
        /// `IS NOT NULL`.
        negated: bool,
    },
}

/// The comparison operators of the filter language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    /// `=`
    Eq,
    /// `<>` or `!=`
    NotEq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
}

/// A literal in a filter, before it is read as the key's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// A quoted text (also dates and timestamps).
    Text(String),
    /// A number, as it was written.
    Number(String),
}

impl CompareOp {
    /// The operator with its sides exchanged.
    fn turned(self) -> Self {
        match self {
            Self::Lt => Self::Gt,
            Self::LtEq => Self::GtEq,
            Self::Gt => Self::Lt,
            Self::GtEq => Self::LtEq,
            same @ (Self::Eq | Self::NotEq) => same,
        }
    }
}

impl std::str::FromStr for PartitionExpr {
    type Err = ExprError;

    fn from_str(text: &str) -> Result<Self, ExprError> {
        parse::parse(text)
    }
}

impl fmt::Display for CompareOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eq => "=",
            Self::NotEq => "<>",
            Self::Lt => "<",
            Self::LtEq => "<=",
            Self::Gt => ">",
            Self::GtEq => ">=",
        })
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Number(number) => f.write_str(number),
        }
    }
}

/// A key in backticks, so that no name is taken for a keyword.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0.replace('`', "``"))
    }
}

/// Prints a filter that reads as the same filter. (An empty `And` or `Or`, which the language has no words for, prints as nothing.)
impl fmt::Display for PartitionExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = |negated: &bool| if *negated { "NOT " } else { "" };
        match self {
            Self::And(exprs) => joined(f, exprs, " AND "),
            Self::Or(exprs) => joined(f, exprs, " OR "),
            Self::Not(expr) => write!(f, "NOT ({expr})"),
            Self::Compare { key, op, value } => write!(f, "{} {op} {value}", Name(key)),
            Self::In { key, values, negated } => {
                write!(f, "{} {}IN (", Name(key), not(negated))?;
                for (i, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str(")")
            }
            Self::Between { key, low, high, negated } => write!(f, "{} {}BETWEEN {low} AND {high}", Name(key), not(negated)),
            Self::Like { key, pattern, negated } => {
                write!(f, "{} {}LIKE {}", Name(key), not(negated), Literal::Text(pattern.clone()))
            }
            Self::IsNull { key, negated } => write!(f, "{} IS {}NULL", Name(key), not(negated)),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, exprs: &[PartitionExpr], by: &str) -> fmt::Result {
    for (i, expr) in exprs.iter().enumerate() {
        write!(f, "{}({expr})", if i > 0 { by } else { "" })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
