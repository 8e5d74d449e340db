//! Athena's statements, taken apart.
//!
//! Athena sends queries to Trino and the rest to Hive, and so do we: what begins with `SELECT`, `WITH`, `VALUES`, `TABLE` or a parenthesis is left
//! as text for [`crate::query`]; everything else is Hive's DDL and is parsed here, by hand, into a [`Statement`], whose
//! families are one file each. Parsing is pure: it asks no catalog.

mod ddl;
mod explain;
mod iceberg;
mod prepared;
pub mod render;
mod show;
mod table;
mod token;
mod write;

#[cfg(test)]
mod tests;

pub use ddl::{AlterTable, ColumnPlace, Ddl, PartitionCondition};
pub use explain::Explain;
pub use iceberg::{CreateIceberg, Iceberg};
pub use prepared::{Prepared, parse_preparable};
pub use show::{Show, show_functions};
pub use token::quote_identifier;
pub use write::{CreateTableAs, Insert, Properties, PropertyValue, Unload, Write};

use crate::query::{Position, QueryError};
use token::{Cursor, Token};

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

/// One statement of Athena's, by what carries it out.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// Reads: for [`crate::query::Engine::query`].
    Query {
        /// Its text, without the semicolon.
        sql: String,
    },
    /// Shows a plan.
    Explain(Explain),
    /// Changes the catalog.
    Ddl(Ddl),
    /// Shows the catalog.
    Show(Show),
    /// Writes what a query reads.
    Write(Write),
    /// What only Iceberg tables know.
    Iceberg(Iceberg),
    /// Keeps, executes or forgets a statement.
    Prepared(Prepared),
}

/// How the objects are called that hold an execution's result, below its result location (Athena user guide, "Query output files").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultName {
    /// `ID.csv`: rows under a header.
    Csv,
    /// `ID.txt`: lines of text.
    Text,
    /// `ID`: nothing but metadata and a manifest.
    Bare,
    /// `tables/ID`: the data of a new table.
    Table,
}

impl Statement {
    /// Athena's `StatementType` (Athena API reference, `QueryExecution`): `DDL`, `DML` or `UTILITY`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Query { .. } | Self::Explain(_) => "DML",
            Self::Ddl(_) => "DDL",
            Self::Show(_) => "UTILITY",
            Self::Write(write) => write.kind(),
            Self::Iceberg(iceberg) => iceberg.kind(),
            Self::Prepared(prepared) => prepared.kind(),
        }
    }

    /// Athena's `SubstatementType`, where it has one: `SELECT`, `CREATE_TABLE`, …
    pub fn sub_kind(&self) -> &'static str {
        match self {
            Self::Query { .. } => "SELECT",
            Self::Explain(_) => "EXPLAIN",
            Self::Ddl(ddl) => ddl.sub_kind(),
            Self::Show(show) => show.sub_kind(),
            Self::Write(write) => write.sub_kind(),
            Self::Iceberg(iceberg) => iceberg.sub_kind(),
            Self::Prepared(prepared) => prepared.sub_kind(),
        }
    }

    /// Where the result lies.
    pub fn result_name(&self) -> ResultName {
        match self {
            Self::Query { .. } => ResultName::Csv,
            Self::Explain(_) | Self::Ddl(_) => ResultName::Text,
            Self::Show(show) => show.result_name(),
            Self::Write(write) => write.result_name(),
            Self::Iceberg(iceberg) => iceberg.result_name(),
            Self::Prepared(prepared) => prepared.result_name(),
        }
    }

    /// The query within, whose syntax [`check_query`] checks.
    pub fn query(&self) -> Option<&str> {
        match self {
            Self::Query { sql } | Self::Explain(Explain { sql, .. }) => Some(sql),
            Self::Write(write) => Some(write.query()),
            Self::Ddl(_) | Self::Show(_) | Self::Prepared(_) | Self::Iceberg(_) => None,
        }
    }
}

/// What statements may begin with.
const BEGINNINGS: &[&str] = &[
    "'ALTER'",
    "'CREATE'",
    "'DEALLOCATE'",
    "'DELETE'",
    "'DESCRIBE'",
    "'DROP'",
    "'EXECUTE'",
    "'EXPLAIN'",
    "'INSERT'",
    "'MERGE'",
    "'MSCK'",
    "'OPTIMIZE'",
    "'PREPARE'",
    "'SELECT'",
    "'SHOW'",
    "'UNLOAD'",
    "'UPDATE'",
    "'VACUUM'",
    "'VALUES'",
    "'WITH'",
];

/// Statements of Trino's and Hive's that Athena does not take (Athena user guide, "Unsupported DDL" and "Considerations and limitations for SQL
/// queries").
const REFUSED: &[&str] = &[
    "ANALYZE", "CALL", "COMMENT", "COMMIT", "DENY", "DFS", "EXPORT", "GRANT", "IMPORT", "LOAD", "LOCK", "REFRESH", "RELOAD",
    "RESET", "REVOKE", "ROLLBACK", "SET", "START", "TRUNCATE", "UNLOCK", "USE",
];

fn statement(sql: &str) -> Result<Statement, QueryError> {
    let cursor = &mut Cursor::new(sql);
    let first = match &cursor.peek().token {
        Token::Word(word) => word.to_uppercase(),
        Token::Symbol("(") => return Ok(Statement::Query { sql: cursor.rest().to_owned() }),
        _ => return Err(cursor.unexpected(BEGINNINGS)),
    };
    let parsed = match first.as_str() {
        "SELECT" | "WITH" | "VALUES" | "TABLE" => Statement::Query { sql: cursor.rest().to_owned() },
        "EXPLAIN" => Statement::Explain(explain::explain(cursor)?),
        "INSERT" | "UNLOAD" => Statement::Write(write::parse(sql)?),
        "DELETE" | "UPDATE" | "MERGE" => Statement::Iceberg(iceberg::parse(sql)?),
        "OPTIMIZE" => Statement::Iceberg(iceberg::optimize(cursor)?),
        "VACUUM" => Statement::Iceberg(iceberg::vacuum(cursor)?),
        "CREATE" if cursor.takes(&["CREATE", "TABLE"]) => match write::create_table_as(sql)? {
            Some(create) => Statement::Write(create),
            None => Statement::Iceberg(iceberg::create(cursor)?),
        },
        "CREATE" => Statement::Ddl(ddl::create(cursor)?),
        "DROP" => Statement::Ddl(ddl::drop(cursor)?),
        "ALTER" => Statement::Ddl(ddl::alter(cursor)?),
        "MSCK" => Statement::Ddl(ddl::msck(cursor)?),
        "PREPARE" => Statement::Prepared(prepared::prepare(cursor)?),
        "EXECUTE" => Statement::Prepared(prepared::execute(cursor)?),
        "DEALLOCATE" => Statement::Prepared(prepared::deallocate(cursor)?),
        "SHOW" => Statement::Show(show::show(cursor)?),
        "DESCRIBE" | "DESC" => Statement::Show(show::describe(cursor)?),
        "USING" => return Err(QueryError::NotSupported("USING EXTERNAL FUNCTION statements are not supported yet".into())),
        refused if REFUSED.contains(&refused) => {
            return Err(QueryError::Refused("Queries of this type are not supported".into()));
        }
        _ => return Err(cursor.unexpected(BEGINNINGS)),
    };
    // Statements in Trino's tokens have looked at their ends.
    if !matches!(parsed, Statement::Write(_) | Statement::Iceberg(_)) {
        cursor.end()?;
    }
    Ok(parsed)
}

/// Takes one statement apart; a semicolon may end it.
///
/// The text of a query is not looked into here: [`check_query`] does.
///
/// # Errors
/// [`QueryError::Syntax`] with the place. What is known and not supported is no error: it is a statement that fails when it is carried out.
pub fn parse(sql: &str) -> Result<Statement, QueryError> {
    match statement(sql) {
        Err(QueryError::NotSupported(message)) => Ok(Statement::Ddl(Ddl::Unsupported(message))),
        parsed => parsed,
    }
}

/// Checks the syntax of a query, as Athena does when it is submitted.
///
/// # Errors
/// [`QueryError::Syntax`] with the place. What is not supported is left to fail when it is carried out.
pub fn check_query(sql: &str) -> Result<(), QueryError> {
    match crate::query::check_syntax(sql) {
        Err(error) if error.is_syntax() => Err(error),
        _ => Ok(()),
    }
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

/// SQL's `LIKE` on whole names. Goes back to the last `%` only, so that no pattern takes long.
fn like(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut place, mut retry) = (0, 0, None);
    while place < name.len() {
        match pattern.get(at) {
            Some(b'%') => {
                at += 1;
                retry = Some((at, place));
            }
            Some(byte) if *byte == b'_' || *byte == name[place] => {
                at += 1;
                place += 1;
            }
            _ => {
                let Some((after, taken)) = retry else { return false };
                retry = Some((after, taken + 1));
                (at, place) = (after, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'%')
}
