//! `SHOW` and `DESCRIBE`.

use super::ddl::{database_name, partition, table_name};
use super::token::{Cursor, Token};
use super::{Statement, TableName};
use crate::query::QueryError;

pub(super) fn show(cursor: &mut Cursor<'_>) -> Result<Statement, QueryError> {
    cursor.expect(&["SHOW"])?;
    if cursor.takes(&["DATABASES"]) || cursor.takes(&["SCHEMAS"]) {
        in_from(cursor, database_name)?;
        return Ok(Statement::ShowDatabases { like: pattern(cursor)? });
    }
    if cursor.takes(&["TABLES"]) {
        let database = in_from(cursor, database_name)?;
        return Ok(Statement::ShowTables { database, like: pattern(cursor)? });
    }
    if cursor.takes(&["VIEWS"]) {
        let database = in_from(cursor, database_name)?;
        return Ok(Statement::ShowViews { database, like: pattern(cursor)? });
    }
    if cursor.takes(&["COLUMNS"]) {
        let Some(name) = in_from(cursor, table_name)? else { return Err(cursor.unexpected(&["'FROM'", "'IN'"])) };
        let database = in_from(cursor, database_name)?;
        let database = database.or(name.database.clone());
        return Ok(Statement::ShowColumns { name: TableName { database, ..name } });
    }
    if cursor.takes(&["PARTITIONS"]) {
        return Ok(Statement::ShowPartitions { name: table_name(cursor)? });
    }
    if cursor.takes(&["CREATE", "TABLE"]) {
        return Ok(Statement::ShowCreateTable { name: table_name(cursor)? });
    }
    if cursor.takes(&["CREATE", "VIEW"]) {
        return Ok(Statement::ShowCreateView { name: table_name(cursor)? });
    }
    if cursor.takes(&["TBLPROPERTIES"]) {
        let name = table_name(cursor)?;
        let mut property = None;
        if cursor.takes_symbol("(") {
            property = Some(cursor.text()?);
            cursor.expect_symbol(")")?;
        }
        return Ok(Statement::ShowTblProperties { name, property });
    }
    Err(cursor.unexpected(&[
        "'COLUMNS'",
        "'CREATE'",
        "'DATABASES'",
        "'PARTITIONS'",
        "'SCHEMAS'",
        "'TABLES'",
        "'TBLPROPERTIES'",
        "'VIEWS'",
    ]))
}

pub(super) fn describe(cursor: &mut Cursor<'_>) -> Result<Statement, QueryError> {
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
    Ok(Statement::Describe { name, extended, formatted, partition, column })
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
