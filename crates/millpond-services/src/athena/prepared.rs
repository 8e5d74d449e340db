//! Prepared statements: kept by name in their workgroup.

use super::model::{Page, PreparedStatement};
use super::workgroups::require;
use super::{Athena, AthenaError, name_page, page_size, sql};
use millpond_engine::query::QueryError;
use millpond_engine::sql::parse_preparable;
use millpond_store::Tx;
use rusqlite::Connection;

/// A workgroup has so many prepared statements at the most (Athena user guide, "Querying with prepared statements").
const STATEMENTS_MAX: i64 = 1000;

/// A prepared statement to keep.
#[derive(Debug, Clone)]
pub struct NewPreparedStatement {
    /// The workgroup's name.
    pub workgroup: String,
    /// Unique in it; case counts.
    pub name: String,
    /// A `SELECT`, `INSERT`, `CREATE TABLE AS` or `UNLOAD`, with `?` for its parameters.
    pub query: String,
    /// Free text.
    pub description: Option<String>,
}

/// Whether a statement is there already that is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// It must not be.
    New,
    /// It must be.
    Known,
}

impl Athena {
    /// Keeps a new statement.
    ///
    /// # Errors
    /// It does not parse, its name is taken, or the workgroup has no room.
    pub async fn create_prepared_statement(&self, new: NewPreparedStatement) -> Result<(), AthenaError> {
        self.put_prepared_statement(new, Expected::New).await
    }

    /// Changes a statement's text and description.
    ///
    /// # Errors
    /// It does not parse, or there is none of this name.
    pub async fn update_prepared_statement(&self, new: NewPreparedStatement) -> Result<(), AthenaError> {
        self.put_prepared_statement(new, Expected::Known).await
    }

    async fn put_prepared_statement(&self, new: NewPreparedStatement, expected: Expected) -> Result<(), AthenaError> {
        parse_preparable(&new.query).map_err(malformed)?;
        self.lake.store.write(move |tx| put(tx, new, expected)).await
    }

    /// A statement.
    pub async fn prepared_statement(&self, workgroup: String, name: String) -> Result<PreparedStatement, AthenaError> {
        let found = self.lake.store.read(move |connection| {
            require(connection, &workgroup)?;
            find(connection, &workgroup, &name)
        });
        found.await
    }

    /// The statements of these names that exist; the names of those that do not.
    pub async fn prepared_statements(
        &self,
        workgroup: String,
        names: Vec<String>,
    ) -> Result<(Vec<PreparedStatement>, Vec<String>), AthenaError> {
        let found = self.lake.store.read(move |connection| {
            require(connection, &workgroup)?;
            let (mut found, mut missing) = (Vec::new(), Vec::new());
            for name in names {
                match sql::prepared_statement(connection, &workgroup, &name)? {
                    Some(statement) => found.push(statement),
                    None => missing.push(name),
                }
            }
            Ok((found, missing))
        });
        found.await
    }

    /// A workgroup's statements by name.
    pub async fn list_prepared_statements(
        &self,
        workgroup: String,
        token: Option<String>,
        size: Option<i32>,
    ) -> Result<Page<PreparedStatement>, AthenaError> {
        let size = page_size(size, 50);
        let listed = self.lake.store.read(move |connection| {
            require(connection, &workgroup)?;
            let items = sql::prepared_statements(connection, &workgroup, token.as_deref().unwrap_or_default(), size + 1)?;
            Ok(name_page(items, |statement| &statement.name, size))
        });
        listed.await
    }

    /// Removes a statement.
    pub async fn delete_prepared_statement(&self, workgroup: String, name: String) -> Result<(), AthenaError> {
        let deleted = self.lake.store.write(move |tx| {
            require(tx, &workgroup)?;
            remove(tx, &workgroup, &name)
        });
        deleted.await
    }
}

/// A statement that cannot be prepared, as `StartQueryExecution` refuses it.
fn malformed(error: QueryError) -> AthenaError {
    AthenaError::InvalidRequest { message: error.to_string(), code: "MALFORMED_QUERY" }
}

/// Keeps a statement that parses.
pub(super) fn put(tx: &Tx<'_>, new: NewPreparedStatement, expected: Expected) -> Result<(), AthenaError> {
    let NewPreparedStatement { workgroup, name, query, description } = new;
    require(tx, &workgroup)?;
    let known = sql::prepared_statement(tx, &workgroup, &name)?;
    match (&known, expected) {
        (Some(_), Expected::New) => {
            return Err(AthenaError::invalid(format!("Prepared Statement {name} already exists in workGroup {workgroup}")));
        }
        (None, Expected::Known) => return Err(missing(&workgroup, &name)),
        (None, Expected::New) if sql::count_prepared_statements(tx, &workgroup)? >= STATEMENTS_MAX => {
            let message = format!("WorkGroup {workgroup} has {STATEMENTS_MAX} prepared statements, which is the most.");
            return Err(AthenaError::invalid(message));
        }
        _ => {}
    }
    let description = description.or(known.and_then(|known| known.description));
    let statement = PreparedStatement { name, workgroup, query, description, modified_ms: tx.now_ms() };
    Ok(sql::put_prepared_statement(tx, &statement)?)
}

pub(super) fn find(connection: &Connection, workgroup: &str, name: &str) -> Result<PreparedStatement, AthenaError> {
    sql::prepared_statement(connection, workgroup, name)?.ok_or_else(|| missing(workgroup, name))
}

pub(super) fn remove(tx: &Tx<'_>, workgroup: &str, name: &str) -> Result<(), AthenaError> {
    match sql::delete_prepared_statement(tx, workgroup, name)? {
        true => Ok(()),
        false => Err(missing(workgroup, name)),
    }
}

pub(super) fn missing(workgroup: &str, name: &str) -> AthenaError {
    AthenaError::NotFound {
        message: format!("PreparedStatement {name} was not found in workGroup {workgroup}"),
        resource: name.to_owned(),
    }
}
