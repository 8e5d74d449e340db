//! Taking apart what changes databases, tables, views and partitions.

use super::{AlterTable, ColumnPlace, Ddl, PartitionCondition};
use crate::query::QueryError;
use crate::sql::token::{Cursor, Token};
use crate::sql::{PartitionSpec, TableName, table};
use millpond_core::catalog::{Column, Parameters};
use millpond_core::partition_expr::CompareOp;

/// `[catalog.][database.]table`, with or without backticks, and `` `database.table` ``.
pub(in crate::sql) fn table_name(cursor: &mut Cursor<'_>) -> Result<TableName, QueryError> {
    let position = cursor.position();
    let dotted = matches!(&cursor.peek().token, Token::Quoted(_));
    let mut parts = vec![cursor.name()?];
    while cursor.takes_symbol(".") {
        parts.push(cursor.name()?);
    }
    if parts.len() == 1 && dotted {
        parts = parts[0].split('.').map(str::to_owned).collect();
    }
    let wrong = |what: &str| Err(QueryError::syntax(position, format!("{what}: write [database.]table")));
    let (name, database) = match parts.len() {
        1 => (parts.remove(0), None),
        2 => (parts.remove(1), Some(parts.remove(0))),
        3 if ["awsdatacatalog", "hive"].contains(&parts[0].as_str()) => (parts.remove(2), Some(parts.remove(1))),
        3 => return Err(QueryError::CatalogNotFound { position, catalog: parts.remove(0) }),
        _ => return wrong("too many parts in a table's name"),
    };
    if name.is_empty() || database.as_ref().is_some_and(String::is_empty) {
        return wrong("a part of the table's name is empty");
    }
    Ok(TableName { database, name, position })
}

/// `[catalog.]database`
pub(in crate::sql) fn database_name(cursor: &mut Cursor<'_>) -> Result<String, QueryError> {
    let first = cursor.name()?;
    if cursor.takes_symbol(".") { cursor.name() } else { Ok(first) }
}

pub(in crate::sql) fn create(cursor: &mut Cursor<'_>) -> Result<Ddl, QueryError> {
    cursor.expect(&["CREATE"])?;
    if cursor.takes(&["DATABASE"]) || cursor.takes(&["SCHEMA"]) {
        return create_database(cursor);
    }
    let or_replace = cursor.takes(&["OR", "REPLACE"]);
    if cursor.takes(&["VIEW"]) {
        return create_view(cursor, or_replace);
    }
    if or_replace {
        return Err(cursor.unexpected(&["'VIEW'"]));
    }
    if cursor.takes(&["EXTERNAL", "TABLE"]) {
        return table::create_external(cursor);
    }
    Err(cursor.unexpected(&["'DATABASE'", "'EXTERNAL'", "'OR'", "'SCHEMA'", "'TABLE'", "'VIEW'"]))
}

fn create_database(cursor: &mut Cursor<'_>) -> Result<Ddl, QueryError> {
    let if_not_exists = cursor.takes(&["IF", "NOT", "EXISTS"]);
    let name = database_name(cursor)?;
    let (mut comment, mut location, mut properties) = (None, None, Parameters::new());
    loop {
        if comment.is_none() && cursor.takes(&["COMMENT"]) {
            comment = Some(cursor.text()?);
        } else if location.is_none() && cursor.takes(&["LOCATION"]) {
            location = Some(self::location(cursor)?);
        } else if cursor.takes(&["WITH", "DBPROPERTIES"]) {
            properties = self::properties(cursor)?;
        } else {
            return Ok(Ddl::CreateDatabase { name, if_not_exists, comment, location, properties });
        }
    }
}

fn create_view(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Ddl, QueryError> {
    let name = table_name(cursor)?;
    if cursor.takes(&["COMMENT"]) {
        cursor.text()?;
    }
    cursor.expect(&["AS"])?;
    if cursor.peek().token == Token::End {
        return Err(cursor.unexpected(&["<query>"]));
    }
    Ok(Ddl::CreateView { name, or_replace, sql: cursor.rest().to_owned() })
}

pub(in crate::sql) fn drop(cursor: &mut Cursor<'_>) -> Result<Ddl, QueryError> {
    cursor.expect(&["DROP"])?;
    if cursor.takes(&["DATABASE"]) || cursor.takes(&["SCHEMA"]) {
        let if_exists = cursor.takes(&["IF", "EXISTS"]);
        let name = database_name(cursor)?;
        let cascade = cursor.takes(&["CASCADE"]);
        if !cascade {
            cursor.takes(&["RESTRICT"]);
        }
        return Ok(Ddl::DropDatabase { name, if_exists, cascade });
    }
    if cursor.takes(&["TABLE"]) {
        let if_exists = cursor.takes(&["IF", "EXISTS"]);
        let name = table_name(cursor)?;
        cursor.takes(&["PURGE"]);
        return Ok(Ddl::DropTable { name, if_exists });
    }
    if cursor.takes(&["VIEW"]) {
        let if_exists = cursor.takes(&["IF", "EXISTS"]);
        return Ok(Ddl::DropView { name: table_name(cursor)?, if_exists });
    }
    Err(cursor.unexpected(&["'DATABASE'", "'SCHEMA'", "'TABLE'", "'VIEW'"]))
}

pub(in crate::sql) fn alter(cursor: &mut Cursor<'_>) -> Result<Ddl, QueryError> {
    cursor.expect(&["ALTER"])?;
    if cursor.takes(&["DATABASE"]) || cursor.takes(&["SCHEMA"]) {
        let name = database_name(cursor)?;
        cursor.expect(&["SET", "DBPROPERTIES"])?;
        return Ok(Ddl::AlterDatabase { name, properties: properties(cursor)? });
    }
    if !cursor.takes(&["TABLE"]) {
        return Err(cursor.unexpected(&["'DATABASE'", "'SCHEMA'", "'TABLE'"]));
    }
    let name = table_name(cursor)?;
    let action = alter_action(cursor)?;
    Ok(Ddl::AlterTable { name, action })
}

fn alter_action(cursor: &mut Cursor<'_>) -> Result<AlterTable, QueryError> {
    if cursor.takes(&["ADD", "COLUMNS"]) {
        return Ok(AlterTable::AddColumns { partition: None, columns: table::columns(cursor)? });
    }
    if cursor.takes(&["REPLACE", "COLUMNS"]) {
        return Ok(AlterTable::ReplaceColumns(table::columns(cursor)?));
    }
    if cursor.takes(&["CHANGE"]) {
        return change_column(cursor);
    }
    if cursor.takes(&["ADD"]) {
        return add_partitions(cursor);
    }
    if cursor.takes(&["DROP", "COLUMN"]) {
        return Ok(AlterTable::DropColumn(cursor.name()?));
    }
    if cursor.takes(&["DROP"]) {
        let if_exists = cursor.takes(&["IF", "EXISTS"]);
        let mut partitions = vec![conditions(cursor)?];
        while cursor.takes_symbol(",") {
            partitions.push(conditions(cursor)?);
        }
        cursor.takes(&["PURGE"]);
        return Ok(AlterTable::DropPartitions { if_exists, partitions });
    }
    if cursor.takes(&["SET", "TBLPROPERTIES"]) {
        return Ok(AlterTable::SetProperties(properties(cursor)?));
    }
    if cursor.takes(&["UNSET", "TBLPROPERTIES"]) {
        let if_exists = cursor.takes(&["IF", "EXISTS"]);
        return Ok(AlterTable::UnsetProperties { if_exists, names: list(cursor, |cursor| cursor.text())? });
    }
    if cursor.takes(&["RENAME", "TO"]) {
        return Ok(AlterTable::RenameTo(table_name(cursor)?));
    }
    if let Some(what) = unsupported(cursor) {
        return Ok(AlterTable::Unsupported(what));
    }
    of_partition(cursor)
}

/// `[PARTITION (…)] {SET LOCATION | ADD COLUMNS | RENAME TO PARTITION}`
fn of_partition(cursor: &mut Cursor<'_>) -> Result<AlterTable, QueryError> {
    let partition = if cursor.sees(&["PARTITION"]) { Some(partition(cursor)?) } else { None };
    if cursor.takes(&["SET", "LOCATION"]) {
        return Ok(AlterTable::SetLocation { partition, location: location(cursor)? });
    }
    let Some(partition) = partition else {
        return Err(cursor.unexpected(&[
            "'ADD'",
            "'CHANGE'",
            "'DROP'",
            "'PARTITION'",
            "'RENAME'",
            "'REPLACE'",
            "'SET'",
            "'UNSET'",
        ]));
    };
    if cursor.takes(&["ADD", "COLUMNS"]) {
        return Ok(AlterTable::AddColumns { partition: Some(partition), columns: table::columns(cursor)? });
    }
    if let Some(what) = unsupported(cursor) {
        return Ok(AlterTable::Unsupported(what));
    }
    cursor.expect(&["RENAME", "TO"])?;
    Ok(AlterTable::RenamePartition { from: partition, to: self::partition(cursor)? })
}

/// What Hive has and Athena does not (Athena User Guide, "Unsupported DDL"): read to its end.
fn unsupported(cursor: &mut Cursor<'_>) -> Option<&'static str> {
    const FORMS: &[(&[&str], &str)] = &[
        (&["SET", "SERDEPROPERTIES"], "SET SERDEPROPERTIES"),
        (&["SET", "SERDE"], "SET SERDE"),
        (&["SET", "FILEFORMAT"], "SET FILEFORMAT"),
        (&["SET", "SKEWED"], "SET SKEWED LOCATION"),
        (&["CLUSTERED", "BY"], "CLUSTERED BY"),
        (&["SKEWED", "BY"], "SKEWED BY"),
        (&["NOT", "CLUSTERED"], "NOT CLUSTERED"),
        (&["NOT", "SKEWED"], "NOT SKEWED"),
        (&["NOT", "SORTED"], "NOT SORTED"),
        (&["NOT", "STORED", "AS"], "NOT STORED AS DIRECTORIES"),
        (&["EXCHANGE", "PARTITION"], "EXCHANGE PARTITION"),
        (&["ARCHIVE", "PARTITION"], "ARCHIVE PARTITION"),
        (&["UNARCHIVE", "PARTITION"], "UNARCHIVE PARTITION"),
        (&["TOUCH"], "TOUCH"),
        (&["COMPACT"], "COMPACT"),
        (&["CONCATENATE"], "CONCATENATE"),
    ];
    let (_, what) = FORMS.iter().find(|(words, _)| cursor.takes(words))?;
    cursor.rest();
    Some(what)
}

fn change_column(cursor: &mut Cursor<'_>) -> Result<AlterTable, QueryError> {
    cursor.takes(&["COLUMN"]);
    let from = cursor.name()?;
    let to = table::column(cursor)?;
    let place = if cursor.takes(&["FIRST"]) {
        Some(ColumnPlace::First)
    } else if cursor.takes(&["AFTER"]) {
        Some(ColumnPlace::After(cursor.name()?))
    } else {
        None
    };
    Ok(AlterTable::ChangeColumn { from, to, place })
}

fn add_partitions(cursor: &mut Cursor<'_>) -> Result<AlterTable, QueryError> {
    let if_not_exists = cursor.takes(&["IF", "NOT", "EXISTS"]);
    let mut partitions = Vec::new();
    while cursor.sees(&["PARTITION"]) {
        let values = partition(cursor)?;
        let location = if cursor.takes(&["LOCATION"]) { Some(location(cursor)?) } else { None };
        partitions.push((values, location));
        cursor.takes_symbol(",");
    }
    if partitions.is_empty() {
        return Err(cursor.unexpected(&["'COLUMNS'", "'IF'", "'PARTITION'"]));
    }
    Ok(AlterTable::AddPartitions { if_not_exists, partitions })
}

/// `PARTITION (key = value, …)`
pub(in crate::sql) fn partition(cursor: &mut Cursor<'_>) -> Result<PartitionSpec, QueryError> {
    cursor.expect(&["PARTITION"])?;
    list(cursor, |cursor| {
        let key = cursor.name()?;
        cursor.expect_symbol("=")?;
        Ok((key, cursor.value()?))
    })
}

/// `PARTITION (key < value, …)`
fn conditions(cursor: &mut Cursor<'_>) -> Result<Vec<PartitionCondition>, QueryError> {
    cursor.expect(&["PARTITION"])?;
    list(cursor, |cursor| {
        let key = cursor.name()?;
        let op = match &cursor.peek().token {
            Token::Symbol("=") => CompareOp::Eq,
            Token::Symbol("<>" | "!=") => CompareOp::NotEq,
            Token::Symbol("<") => CompareOp::Lt,
            Token::Symbol("<=") => CompareOp::LtEq,
            Token::Symbol(">") => CompareOp::Gt,
            Token::Symbol(">=") => CompareOp::GtEq,
            _ => return Err(cursor.unexpected(&["'='", "'<>'", "'<'", "'<='", "'>'", "'>='"])),
        };
        cursor.next();
        Ok(PartitionCondition { key, op, value: cursor.value()? })
    })
}

/// `('key' = 'value', …)`; a later value of the same key wins.
pub(in crate::sql) fn properties(cursor: &mut Cursor<'_>) -> Result<Parameters, QueryError> {
    let pairs = list(cursor, |cursor| {
        let key = cursor.text()?;
        cursor.expect_symbol("=")?;
        let value = match &cursor.peek().token {
            Token::Number(_) | Token::Word(_) => cursor.value()?,
            _ => cursor.text()?,
        };
        Ok((key, value))
    })?;
    Ok(pairs.into_iter().collect())
}

/// `(item, …)`, at least one.
pub(in crate::sql) fn list<T>(
    cursor: &mut Cursor<'_>,
    mut item: impl FnMut(&mut Cursor<'_>) -> Result<T, QueryError>,
) -> Result<Vec<T>, QueryError> {
    cursor.expect_symbol("(")?;
    let mut items = vec![item(cursor)?];
    loop {
        if cursor.takes_symbol(")") {
            return Ok(items);
        }
        if !cursor.takes_symbol(",") {
            return Err(cursor.unexpected(&["')'", "','"]));
        }
        items.push(item(cursor)?);
    }
}

/// `'s3://bucket/prefix/'`
pub(in crate::sql) fn location(cursor: &mut Cursor<'_>) -> Result<String, QueryError> {
    let position = cursor.position();
    let text = cursor.text()?;
    let bucket =
        ["s3://", "s3a://", "s3n://"].iter().find_map(|scheme| text.strip_prefix(scheme)).map(|rest| rest.split('/').next());
    match bucket {
        Some(Some(bucket)) if !bucket.is_empty() => Ok(text),
        _ => Err(QueryError::syntax(position, format!("LOCATION must be of the form 's3://bucket/prefix/', is '{text}'"))),
    }
}

/// Columns are distinct by name.
pub(in crate::sql) fn distinct(columns: &[&Column], cursor: &Cursor<'_>) -> Result<(), QueryError> {
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].iter().any(|other| other.name == column.name) {
            return Err(QueryError::syntax(cursor.position(), format!("Column '{}' is repeated", column.name)));
        }
    }
    Ok(())
}

/// `MSCK REPAIR TABLE`
pub(in crate::sql) fn msck(cursor: &mut Cursor<'_>) -> Result<Ddl, QueryError> {
    cursor.expect(&["MSCK", "REPAIR", "TABLE"])?;
    Ok(Ddl::MsckRepair { name: table_name(cursor)? })
}
