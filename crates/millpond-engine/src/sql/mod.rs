//! Athena's statements, taken apart.
//!
//! Athena sends queries to Trino and the rest to Hive, and so do we: what begins with `SELECT`, `WITH`, `VALUES`, `TABLE` or a parenthesis is left
//! as text for [`crate::query`]; everything else is Hive's DDL and is parsed here, by hand, into a [`Statement`]. Parsing is pure: it asks no catalog.

mod ddl;
pub mod render;
mod show;
mod table;
mod token;

#[cfg(test)]
mod tests;

pub use token::quote_identifier;

use crate::query::{Position, QueryError};
use millpond_core::catalog::{Column, Parameters, Table};
use token::Cursor;

/// A table's name as written, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// `None`: the query's default database.
    pub database: Option<String>,
    /// Without the database.
    pub name: String,
    /// Where it stands.
    pub position: Position,
}

impl TableName {
    /// Database and name, with the query's default database where none is written.
    ///
    /// # Errors
    /// There is neither.
    pub fn resolve(&self, default: Option<&str>) -> Result<(String, String), QueryError> {
        let database = self.database.as_deref().or(default).filter(|name| !name.is_empty());
        let database = database.ok_or(QueryError::NoDatabase(self.position))?;
        Ok((database.to_lowercase(), self.name.clone()))
    }
}

/// `PARTITION (key = 'value', …)`: lower-case keys and values as text (Hive's form for nulls), in the order written.
pub type PartitionSpec = Vec<(String, String)>;

/// A condition of `DROP PARTITION (key < 'value', …)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionCondition {
    /// Lower case.
    pub key: String,
    /// `=`, `<>`, `<`, `<=`, `>` or `>=`.
    pub op: millpond_core::partition_expr::CompareOp,
    /// As text.
    pub value: String,
}

/// What `ALTER TABLE` does.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterTable {
    /// `ADD [IF NOT EXISTS] PARTITION (…) [LOCATION '…'] …`
    AddPartitions {
        /// Partitions that exist are left as they are.
        if_not_exists: bool,
        /// Values, and the location where one is given.
        partitions: Vec<(PartitionSpec, Option<String>)>,
    },
    /// `DROP [IF EXISTS] PARTITION (…), …`: those for which all conditions of one list hold.
    DropPartitions {
        /// No error where nothing fits.
        if_exists: bool,
        /// Lists of conditions.
        partitions: Vec<Vec<PartitionCondition>>,
    },
    /// `PARTITION (…) RENAME TO PARTITION (…)`
    RenamePartition {
        /// The partition.
        from: PartitionSpec,
        /// Its new values.
        to: PartitionSpec,
    },
    /// `[PARTITION (…)] SET LOCATION '…'`
    SetLocation {
        /// Of one partition only.
        partition: Option<PartitionSpec>,
        /// `s3://bucket/prefix/`
        location: String,
    },
    /// `SET TBLPROPERTIES (…)`
    SetProperties(Parameters),
    /// `ADD COLUMNS (…)`
    AddColumns(Vec<Column>),
    /// `REPLACE COLUMNS (…)`
    ReplaceColumns(Vec<Column>),
    /// `CHANGE [COLUMN] old new type [COMMENT '…']`
    ChangeColumn {
        /// The column's name now.
        from: String,
        /// What it becomes.
        to: Column,
    },
}

/// One statement of Athena's.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// A query: its text, without the semicolon.
    Query {
        /// For [`crate::query::Engine::query`].
        sql: String,
    },
    /// `EXPLAIN [ANALYZE] query`
    Explain {
        /// The query.
        sql: String,
        /// Whether it is to be run.
        analyze: bool,
    },
    /// `CREATE {DATABASE | SCHEMA}`
    CreateDatabase {
        /// Lower case.
        name: String,
        /// No error where it exists.
        if_not_exists: bool,
        /// `COMMENT`
        comment: Option<String>,
        /// `LOCATION`
        location: Option<String>,
        /// `WITH DBPROPERTIES`
        properties: Parameters,
    },
    /// `DROP {DATABASE | SCHEMA}`
    DropDatabase {
        /// Lower case.
        name: String,
        /// No error where there is none.
        if_exists: bool,
        /// With its tables; without (`RESTRICT`) a database with tables is not dropped.
        cascade: bool,
    },
    /// `ALTER {DATABASE | SCHEMA} name SET DBPROPERTIES (…)`
    AlterDatabase {
        /// Lower case.
        name: String,
        /// To be set.
        properties: Parameters,
    },
    /// `CREATE EXTERNAL TABLE`: the catalog entry in full; its `database` is empty where none is written.
    CreateExternalTable {
        /// Where the name stands, and its database.
        name: TableName,
        /// What to put into the catalog.
        table: Box<Table>,
        /// No error where it exists.
        if_not_exists: bool,
    },
    /// `DROP TABLE`
    DropTable {
        /// The table.
        name: TableName,
        /// No error where there is none.
        if_exists: bool,
    },
    /// `CREATE [OR REPLACE] VIEW name AS query`
    CreateView {
        /// The view.
        name: TableName,
        /// An old one is replaced.
        or_replace: bool,
        /// The query's text.
        sql: String,
    },
    /// `DROP VIEW`
    DropView {
        /// The view.
        name: TableName,
        /// No error where there is none.
        if_exists: bool,
    },
    /// `MSCK REPAIR TABLE`: adds the partitions that are found under the table's location.
    MsckRepair {
        /// The table.
        name: TableName,
    },
    /// `ALTER TABLE`
    AlterTable {
        /// The table.
        name: TableName,
        /// What is done.
        action: AlterTable,
    },
    /// `SHOW {DATABASES | SCHEMAS} [LIKE 'pattern']`
    ShowDatabases {
        /// For [`show_pattern`].
        like: Option<String>,
    },
    /// `SHOW TABLES [IN database] ['pattern']`
    ShowTables {
        /// `None`: the default database.
        database: Option<String>,
        /// For [`show_pattern`].
        like: Option<String>,
    },
    /// `SHOW VIEWS [IN database] [LIKE 'pattern']`
    ShowViews {
        /// `None`: the default database.
        database: Option<String>,
        /// For [`show_pattern`].
        like: Option<String>,
    },
    /// `SHOW COLUMNS {IN | FROM} table [{IN | FROM} database]`
    ShowColumns {
        /// The table.
        name: TableName,
    },
    /// `SHOW PARTITIONS table`
    ShowPartitions {
        /// The table.
        name: TableName,
    },
    /// `SHOW CREATE TABLE table`
    ShowCreateTable {
        /// The table.
        name: TableName,
    },
    /// `SHOW CREATE VIEW view`
    ShowCreateView {
        /// The view.
        name: TableName,
    },
    /// `SHOW TBLPROPERTIES table [('name')]`
    ShowTblProperties {
        /// The table.
        name: TableName,
        /// One property only.
        property: Option<String>,
    },
    /// `{DESCRIBE | DESC} [EXTENDED | FORMATTED] table [PARTITION (…)] [column]`
    Describe {
        /// The table or view.
        name: TableName,
        /// Everything in Hive's one-line form.
        extended: bool,
        /// Everything in Hive's table form.
        formatted: bool,
        /// Of one partition.
        partition: Option<PartitionSpec>,
        /// Of one column.
        column: Option<String>,
    },
}

impl Statement {
    /// Athena's `StatementType` (Athena API reference, `QueryExecution`): `DDL`, `DML` or `UTILITY`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Query { .. } => "DML",
            Self::CreateDatabase { .. }
            | Self::DropDatabase { .. }
            | Self::AlterDatabase { .. }
            | Self::CreateExternalTable { .. }
            | Self::DropTable { .. }
            | Self::CreateView { .. }
            | Self::DropView { .. }
            | Self::MsckRepair { .. }
            | Self::AlterTable { .. } => "DDL",
            Self::Explain { .. }
            | Self::ShowDatabases { .. }
            | Self::ShowTables { .. }
            | Self::ShowViews { .. }
            | Self::ShowColumns { .. }
            | Self::ShowPartitions { .. }
            | Self::ShowCreateTable { .. }
            | Self::ShowCreateView { .. }
            | Self::ShowTblProperties { .. }
            | Self::Describe { .. } => "UTILITY",
        }
    }

    /// Athena's `SubstatementType`, where it has one: `SELECT`, `CREATE_EXTERNAL_TABLE`, …
    pub fn sub_kind(&self) -> &'static str {
        match self {
            Self::Query { .. } => "SELECT",
            Self::Explain { .. } => "EXPLAIN",
            Self::CreateDatabase { .. } => "CREATE_DATABASE",
            Self::DropDatabase { .. } => "DROP_DATABASE",
            Self::AlterDatabase { .. } => "ALTER_DATABASE",
            Self::CreateExternalTable { .. } => "CREATE_EXTERNAL_TABLE",
            Self::DropTable { .. } => "DROP_TABLE",
            Self::CreateView { .. } => "CREATE_VIEW",
            Self::DropView { .. } => "DROP_VIEW",
            Self::MsckRepair { .. } => "MSCK_REPAIR",
            Self::AlterTable { .. } => "ALTER_TABLE",
            Self::ShowDatabases { .. } => "SHOW_DATABASES",
            Self::ShowTables { .. } => "SHOW_TABLES",
            Self::ShowViews { .. } => "SHOW_VIEWS",
            Self::ShowColumns { .. } => "SHOW_COLUMNS",
            Self::ShowPartitions { .. } => "SHOW_PARTITIONS",
            Self::ShowCreateTable { .. } => "SHOW_CREATE_TABLE",
            Self::ShowCreateView { .. } => "SHOW_CREATE_VIEW",
            Self::ShowTblProperties { .. } => "SHOW_TBLPROPERTIES",
            Self::Describe { .. } => "DESCRIBE_TABLE",
        }
    }
}

/// Takes one statement apart; a semicolon may end it.
///
/// The text of a query is not looked into here: [`check_query`] does.
///
/// # Errors
/// [`QueryError::Syntax`] with the place, [`QueryError::NotSupported`] for statements that Athena has and Millpond does not yet.
pub fn parse(sql: &str) -> Result<Statement, QueryError> {
    let mut cursor = Cursor::new(sql);
    ddl::statement(&mut cursor)
}

/// Checks the syntax of a query, as Athena does when it is submitted.
///
/// # Errors
/// [`QueryError::Syntax`] with the place.
pub fn check_query(sql: &str) -> Result<(), QueryError> {
    crate::query::check_syntax(sql)
}

/// Whether a name fits the pattern of a `SHOW` statement: `*` and `%` stand for any characters, `|` separates choices; case does not count
/// (Athena User Guide, "SHOW TABLES").
pub fn show_pattern(pattern: Option<&str>, name: &str) -> bool {
    let Some(pattern) = pattern else { return true };
    let name = name.to_lowercase();
    pattern.to_lowercase().split('|').any(|choice| wildcard(choice.trim().as_bytes(), name.as_bytes()))
}

fn wildcard(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while place < name.len() {
        match pattern.get(at) {
            Some(b'*' | b'%') => {
                retry = Some((at + 1, place));
                at += 1;
            }
            Some(b'.') if pattern.get(at + 1) == Some(&b'*') => at += 1,
            Some(byte) if *byte == name[place] => {
                at += 1;
                place += 1;
            }
            _ => match retry {
                Some((after, taken)) => {
                    retry = Some((after, taken + 1));
                    at = after;
                    place = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| matches!(byte, b'*' | b'%' | b'.'))
}
