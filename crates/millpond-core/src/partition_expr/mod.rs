//! Filters over partition keys: what Glue's `GetPartitions` takes as `Expression`, what a query's `WHERE` clause says about partition
//! keys, and what the store turns into SQL.
//!
//! Keys are compared by the key's declared type (Glue API reference, `GetPartitions`): text for `string`, `char` and `varchar`, by date for
//! `date`, by time for `timestamp`, and as numbers for the integer types and `decimal`.

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
