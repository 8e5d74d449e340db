//! Statements that write what a query reads: `CREATE TABLE AS`, `INSERT INTO` and `UNLOAD`.

mod parse;

pub(super) use parse::{Reader, create_table_as, parse};

use super::{ResultName, TableName};

/// A value of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropertyValue {
    /// `'text'`
    Text(String),
    /// `12`
    Number(i64),
    /// `true`
    Boolean(bool),
    /// `ARRAY['a', 'b']`
    Array(Vec<String>),
}

/// What `WITH (name = value, …)` says: names in lower case, in the order written.
pub type Properties = Vec<(String, PropertyValue)>;

/// `CREATE TABLE [IF NOT EXISTS] name [(column, …)] [COMMENT 'text'] [WITH (…)] AS query [WITH [NO] DATA]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTableAs {
    /// The new table.
    pub name: TableName,
    /// No error where it exists.
    pub if_not_exists: bool,
    /// Names for the columns, which Athena refuses.
    pub columns: Option<Vec<String>>,
    /// `COMMENT`
    pub comment: Option<String>,
    /// `WITH (…)`
    pub properties: Properties,
    /// The query, at its place: blanks stand for what comes before it.
    pub sql: String,
    /// Whether its rows are written.
    pub with_data: bool,
}

/// `INSERT INTO name [(column, …)] query`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insert {
    /// The table.
    pub name: TableName,
    /// In lower case; `None`: all, in their order.
    pub columns: Option<Vec<String>>,
    /// The query, at its place.
    pub sql: String,
}

/// `UNLOAD (query) TO 's3://…' WITH (…)`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unload {
    /// The query, at its place.
    pub sql: String,
    /// `s3://bucket/prefix/`
    pub location: String,
    /// `WITH (…)`
    pub properties: Properties,
}

/// A statement that writes what a query reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Into a new table.
    CreateTableAs(CreateTableAs),
    /// Into a table.
    Insert(Insert),
    /// Into files.
    Unload(Unload),
}

impl Write {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::CreateTableAs(_) => "DDL",
            Self::Insert(_) | Self::Unload(_) => "DML",
        }
    }

    pub(super) fn sub_kind(&self) -> &'static str {
        match self {
            Self::CreateTableAs(_) => "CREATE_TABLE_AS_SELECT",
            Self::Insert(_) => "INSERT",
            Self::Unload(_) => "UNLOAD",
        }
    }

    pub(super) fn result_name(&self) -> ResultName {
        match self {
            Self::CreateTableAs(_) => ResultName::Table,
            Self::Insert(_) | Self::Unload(_) => ResultName::Bare,
        }
    }

    pub(super) fn query(&self) -> &str {
        match self {
            Self::CreateTableAs(CreateTableAs { sql, .. })
            | Self::Insert(Insert { sql, .. })
            | Self::Unload(Unload { sql, .. }) => sql,
        }
    }
}
