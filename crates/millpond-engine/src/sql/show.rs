//! `SHOW` and `DESCRIBE`.

use super::ddl::{database_name, partition, table_name};
use super::token::{Cursor, Token};
use super::{PartitionSpec, ResultName, TableName};
use crate::query::QueryError;

/// A statement that shows the catalog.
#[derive(Debug, Clone, PartialEq)]
pub enum Show {
    /// `SHOW {DATABASES | SCHEMAS} [LIKE 'pattern']`
    Databases {
        /// For [`super::show_pattern`].
        like: Option<String>,
    },
    /// `SHOW TABLES [IN database] ['pattern']`
    Tables {
        /// `None`: the default database.
        database: Option<String>,
        /// For [`super::show_pattern`].
        like: Option<String>,
    },
    /// `SHOW VIEWS [IN database] [LIKE 'pattern']`
    Views {
        /// `None`: the default database.
        database: Option<String>,
        /// For [`super::show_pattern`].
        like: Option<String>,
    },
    /// `SHOW FUNCTIONS [LIKE 'pattern']`
    Functions {
        /// `%` stands for any characters, `_` for one.
        like: Option<String>,
    },
    /// `SHOW COLUMNS {IN | FROM} table [{IN | FROM} database]`
    Columns {
        /// The table.
        name: TableName,
    },
    /// `SHOW PARTITIONS table`
    Partitions {
        /// The table.
        name: TableName,
    },
    /// `SHOW CREATE TABLE table`
    CreateTable {
        /// The table.
        name: TableName,
    },
    /// `SHOW CREATE VIEW view`
    CreateView {
        /// The view.
        name: TableName,
    },
    /// `SHOW TBLPROPERTIES table [('name')]`
    TblProperties {
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

impl Show {
    pub(super) fn sub_kind(&self) -> &'static str {
        match self {
            Self::Databases { .. } => "SHOW_DATABASES",
            Self::Tables { .. } => "SHOW_TABLES",
            Self::Views { .. } => "SHOW_VIEWS",
            Self::Functions { .. } => "SHOW_FUNCTIONS",
            Self::Columns { .. } => "SHOW_COLUMNS",
            Self::Partitions { .. } => "SHOW_PARTITIONS",
            Self::CreateTable { .. } => "SHOW_CREATE_TABLE",
            Self::CreateView { .. } => "SHOW_CREATE_VIEW",
            Self::TblProperties { .. } => "SHOW_TABLE_PROPERTIES",
            Self::Describe { .. } => "DESCRIBE_TABLE",
        }
    }

    pub(super) fn result_name(&self) -> ResultName {
        match self {
            Self::Functions { .. } => ResultName::Csv,
            _ => ResultName::Text,
        }
    }
}

/// The query that `SHOW FUNCTIONS` is; its result is a query's too.
pub fn show_functions(like: Option<&str>) -> String {
    let pattern = like.map(str::to_lowercase);
    crate::query::show_functions(|name| pattern.as_deref().is_none_or(|pattern| super::like(pattern.as_bytes(), name.as_bytes())))
}

pub(super) fn show(cursor: &mut Cursor<'_>) -> Result<Show, QueryError> {
    cursor.expect(&["SHOW"])?;
    if cursor.takes(&["DATABASES"]) || cursor.takes(&["SCHEMAS"]) {
        in_from(cursor, database_name)?;
        return Ok(Show::Databases { like: pattern(cursor)? });
    }
    if cursor.takes(&["TABLES"]) {
        let database = in_from(cursor, database_name)?;
        return Ok(Show::Tables { database, like: pattern(cursor)? });
    }
    if cursor.takes(&["VIEWS"]) {
        let database = in_from(cursor, database_name)?;
        return Ok(Show::Views { database, like: pattern(cursor)? });
    }
    if cursor.takes(&["FUNCTIONS"]) {
        return Ok(Show::Functions { like: pattern(cursor)? });
    }
    if cursor.takes(&["COLUMNS"]) {
        let Some(name) = in_from(cursor, table_name)? else { return Err(cursor.unexpected(&["'FROM'", "'IN'"])) };
        let database = in_from(cursor, database_name)?;
        let database = database.or(name.database.clone());
        return Ok(Show::Columns { name: TableName { database, ..name } });
    }
    if cursor.takes(&["PARTITIONS"]) {
        return Ok(Show::Partitions { name: table_name(cursor)? });
    }
    if cursor.takes(&["CREATE", "TABLE"]) {
        return Ok(Show::CreateTable { name: table_name(cursor)? });
    }
    if cursor.takes(&["CREATE", "VIEW"]) {
        return Ok(Show::CreateView { name: table_name(cursor)? });
    }
    if cursor.takes(&["TBLPROPERTIES"]) {
        let name = table_name(cursor)?;
        let mut property = None;
        if cursor.takes_symbol("(") {
            property = Some(cursor.text()?);
            cursor.expect_symbol(")")?;
        }
        return Ok(Show::TblProperties { name, property });
    }
    Err(cursor.unexpected(&[
        "'COLUMNS'",
        "'CREATE'",
        "'DATABASES'",
        "'FUNCTIONS'",
        "'PARTITIONS'",
        "'SCHEMAS'",
        "'TABLES'",
        "'TBLPROPERTIES'",
        "'VIEWS'",
    ]))
}

pub(super) fn describe(cursor: &mut Cursor<'_>) -> Result<Show, QueryError> {
    cursor.next();
    // A table may be called `formatted`.
    let more = |cursor: &Cursor<'_>| matches!(cursor.ahead(1).token, Token::Word(_) | Token::Quoted(_));
    let extended = more(cursor) && cursor.takes(&["EXTENDED"]);
    let formatted = !extended && more(cursor) && cursor.takes(&["FORMATTED"]);
    let name = table_name(cursor)?;
    let partition = if cursor.sees(&["PARTITION"]) { Some(partition(cursor)?) } else { None };
    let column = match cursor.peek().token {
        Token::Word(_) | Token::Quoted(_) => Some(cursor.name()?),
        _ => None,
    };
    Ok(Show::Describe { name, extended, formatted, partition, column })
}

fn in_from<T>(cursor: &mut Cursor<'_>, what: fn(&mut Cursor<'_>) -> Result<T, QueryError>) -> Result<Option<T>, QueryError> {
    if cursor.takes(&["IN"]) || cursor.takes(&["FROM"]) { what(cursor).map(Some) } else { Ok(None) }
}

fn pattern(cursor: &mut Cursor<'_>) -> Result<Option<String>, QueryError> {
    let like = cursor.takes(&["LIKE"]);
    match cursor.peek().token {
        Token::Text(_) | Token::Quoted(_) => cursor.text().map(Some),
        _ if like => Err(cursor.unexpected(&["<string>"])),
        _ => Ok(None),
    }
}
