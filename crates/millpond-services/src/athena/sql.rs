//! All SQL of Athena's own tables.

use super::model::{DataCatalog, Execution, NamedQuery, PreparedStatement, Workgroup};
use millpond_store::{StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, params};

/// Executions that are kept at the most; older ones are forgotten. (AWS keeps 45 days.)
const EXECUTIONS_KEPT: i64 = 100_000;

pub(super) fn execution(connection: &Connection, id: &str) -> Result<Option<Execution>, StoreError> {
    let mut select = connection.prepare_cached("SELECT doc FROM athena_execution WHERE id = ?")?;
    let doc: Option<String> = select.query_row([id], |row| row.get(0)).optional()?;
    Ok(doc.map(|doc| serde_json::from_str(&doc)).transpose()?)
}

pub(super) fn execution_of_token(connection: &Connection, workgroup: &str, token: &str) -> Result<Option<Execution>, StoreError> {
    let mut select = connection.prepare_cached("SELECT doc FROM athena_execution WHERE workgroup = ? AND token = ?")?;
    let doc: Option<String> = select.query_row([workgroup, token], |row| row.get(0)).optional()?;
    Ok(doc.map(|doc| serde_json::from_str(&doc)).transpose()?)
}

pub(super) fn insert_execution(tx: &Tx<'_>, execution: &Execution, token: Option<&str>) -> Result<(), StoreError> {
    let seq = tx.next_seq();
    let insert = "INSERT INTO athena_execution (id, seq, workgroup, token, doc) VALUES (?, ?, ?, ?, ?)";
    let doc = serde_json::to_string(execution)?;
    tx.prepare_cached(insert)?.execute(params![execution.id, seq, execution.workgroup, token, doc])?;
    // Cheap enough to do now and then; ids are random, so it spreads evenly.
    if seq % 1024 == 0 {
        let forget =
            "DELETE FROM athena_execution WHERE seq <= (SELECT seq FROM athena_execution ORDER BY seq DESC LIMIT 1 OFFSET ?)";
        tx.prepare_cached(forget)?.execute([EXECUTIONS_KEPT])?;
    }
    Ok(())
}

pub(super) fn update_execution(tx: &Tx<'_>, execution: &Execution) -> Result<(), StoreError> {
    let doc = serde_json::to_string(execution)?;
    tx.prepare_cached("UPDATE athena_execution SET doc = ? WHERE id = ?")?.execute([&doc, &execution.id])?;
    Ok(())
}

/// Marks an execution's result as one that can be used again for what `key` stands for.
pub(super) fn set_reuse(tx: &Tx<'_>, id: &str, key: &str) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE athena_execution SET reuse = ? WHERE id = ?")?.execute([key, id])?;
    Ok(())
}

/// The latest execution whose result can be used again for what `key` stands for.
pub(super) fn reusable(connection: &Connection, key: &str) -> Result<Option<Execution>, StoreError> {
    let latest = "SELECT doc FROM athena_execution WHERE reuse = ? ORDER BY seq DESC LIMIT 1";
    let doc: Option<String> = connection.prepare_cached(latest)?.query_row([key], |row| row.get(0)).optional()?;
    Ok(doc.map(|doc| serde_json::from_str(&doc)).transpose()?)
}

/// Calls `visit` with each execution of a workgroup that was submitted since a time, the latest first, until it answers `false`.
pub(super) fn visit_executions(
    connection: &Connection,
    workgroup: &str,
    mut visit: impl FnMut(Execution) -> bool,
) -> Result<(), StoreError> {
    let select = "SELECT doc FROM athena_execution WHERE workgroup = ? ORDER BY seq DESC";
    let mut select = connection.prepare_cached(select)?;
    let mut rows = select.query([workgroup])?;
    while let Some(row) = rows.next()? {
        if !visit(serde_json::from_str(&row.get::<_, String>(0)?)?) {
            break;
        }
    }
    Ok(())
}

/// The latest first: (seq, id), from before `before` on.
pub(super) fn execution_ids(
    connection: &Connection,
    workgroup: &str,
    before: i64,
    limit: usize,
) -> Result<Vec<(i64, String)>, StoreError> {
    let select = "SELECT seq, id FROM athena_execution WHERE workgroup = ? AND seq < ? ORDER BY seq DESC LIMIT ?";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map(params![workgroup, before, limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn has_executions(connection: &Connection, workgroup: &str) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM athena_execution WHERE workgroup = ? LIMIT 1")?.exists([workgroup])?)
}

pub(super) fn workgroup(connection: &Connection, name: &str) -> Result<Option<Workgroup>, StoreError> {
    let mut select = connection.prepare_cached("SELECT doc FROM athena_workgroup WHERE name = ?")?;
    let doc: Option<String> = select.query_row([name], |row| row.get(0)).optional()?;
    Ok(doc.map(|doc| serde_json::from_str(&doc)).transpose()?)
}

pub(super) fn workgroups(connection: &Connection, after: &str, limit: usize) -> Result<Vec<Workgroup>, StoreError> {
    let mut select = connection.prepare_cached("SELECT doc FROM athena_workgroup WHERE name > ? ORDER BY name LIMIT ?")?;
    let rows = select.query_map(params![after, limit as i64], |row| row.get::<_, String>(0))?;
    rows.map(|doc| Ok(serde_json::from_str(&doc?)?)).collect()
}

pub(super) fn put_workgroup(tx: &Tx<'_>, workgroup: &Workgroup) -> Result<(), StoreError> {
    let put = "INSERT INTO athena_workgroup (name, doc) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET doc = ?2";
    tx.prepare_cached(put)?.execute([&workgroup.name, &serde_json::to_string(workgroup)?])?;
    Ok(())
}

/// Removes a workgroup with its executions, named queries and prepared statements.
pub(super) fn delete_workgroup(tx: &Tx<'_>, name: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM athena_execution WHERE workgroup = ?")?.execute([name])?;
    tx.prepare_cached("DELETE FROM athena_named_query WHERE workgroup = ?")?.execute([name])?;
    tx.prepare_cached("DELETE FROM athena_prepared_statement WHERE workgroup = ?")?.execute([name])?;
    tx.prepare_cached("DELETE FROM athena_workgroup WHERE name = ?")?.execute([name])?;
    Ok(())
}

pub(super) fn named_query(connection: &Connection, id: &str) -> Result<Option<NamedQuery>, StoreError> {
    let mut select = connection.prepare_cached("SELECT doc FROM athena_named_query WHERE id = ?")?;
    let doc: Option<String> = select.query_row([id], |row| row.get(0)).optional()?;
    Ok(doc.map(|doc| serde_json::from_str(&doc)).transpose()?)
}

pub(super) fn named_query_of_token(connection: &Connection, token: &str) -> Result<Option<NamedQuery>, StoreError> {
    let mut select = connection.prepare_cached("SELECT doc FROM athena_named_query WHERE token = ?")?;
    let doc: Option<String> = select.query_row([token], |row| row.get(0)).optional()?;
    Ok(doc.map(|doc| serde_json::from_str(&doc)).transpose()?)
}

pub(super) fn insert_named_query(tx: &Tx<'_>, query: &NamedQuery, token: Option<&str>) -> Result<(), StoreError> {
    let insert = "INSERT INTO athena_named_query (id, seq, workgroup, token, doc) VALUES (?, ?, ?, ?, ?)";
    let doc = serde_json::to_string(query)?;
    tx.prepare_cached(insert)?.execute(params![query.id, tx.next_seq(), query.workgroup, token, doc])?;
    Ok(())
}

pub(super) fn update_named_query(tx: &Tx<'_>, query: &NamedQuery) -> Result<(), StoreError> {
    let doc = serde_json::to_string(query)?;
    tx.prepare_cached("UPDATE athena_named_query SET doc = ? WHERE id = ?")?.execute([&doc, &query.id])?;
    Ok(())
}

pub(super) fn delete_named_query(tx: &Tx<'_>, id: &str) -> Result<bool, StoreError> {
    Ok(tx.prepare_cached("DELETE FROM athena_named_query WHERE id = ?")?.execute([id])? > 0)
}

/// The latest first: (seq, id), from before `before` on.
pub(super) fn named_query_ids(
    connection: &Connection,
    workgroup: &str,
    before: i64,
    limit: usize,
) -> Result<Vec<(i64, String)>, StoreError> {
    let select = "SELECT seq, id FROM athena_named_query WHERE workgroup = ? AND seq < ? ORDER BY seq DESC LIMIT ?";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map(params![workgroup, before, limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn has_named_queries(connection: &Connection, workgroup: &str) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM athena_named_query WHERE workgroup = ? LIMIT 1")?.exists([workgroup])?)
}

pub(super) fn prepared_statement(
    connection: &Connection,
    workgroup: &str,
    name: &str,
) -> Result<Option<PreparedStatement>, StoreError> {
    let mut select = connection.prepare_cached("SELECT doc FROM athena_prepared_statement WHERE workgroup = ? AND name = ?")?;
    let doc: Option<String> = select.query_row([workgroup, name], |row| row.get(0)).optional()?;
    Ok(doc.map(|doc| serde_json::from_str(&doc)).transpose()?)
}

/// By name, from after `after` on.
pub(super) fn prepared_statements(
    connection: &Connection,
    workgroup: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<PreparedStatement>, StoreError> {
    let select = "SELECT doc FROM athena_prepared_statement WHERE workgroup = ? AND name > ? ORDER BY name LIMIT ?";
    let mut select = connection.prepare_cached(select)?;
    let rows = select.query_map(params![workgroup, after, limit as i64], |row| row.get::<_, String>(0))?;
    rows.map(|doc| Ok(serde_json::from_str(&doc?)?)).collect()
}

pub(super) fn count_prepared_statements(connection: &Connection, workgroup: &str) -> Result<i64, StoreError> {
    let count = "SELECT count(*) FROM athena_prepared_statement WHERE workgroup = ?";
    Ok(connection.prepare_cached(count)?.query_row([workgroup], |row| row.get(0))?)
}

pub(super) fn put_prepared_statement(tx: &Tx<'_>, statement: &PreparedStatement) -> Result<(), StoreError> {
    let put = "INSERT INTO athena_prepared_statement (workgroup, name, doc) VALUES (?1, ?2, ?3)
               ON CONFLICT (workgroup, name) DO UPDATE SET doc = ?3";
    tx.prepare_cached(put)?.execute([&statement.workgroup, &statement.name, &serde_json::to_string(statement)?])?;
    Ok(())
}

pub(super) fn delete_prepared_statement(tx: &Tx<'_>, workgroup: &str, name: &str) -> Result<bool, StoreError> {
    let delete = "DELETE FROM athena_prepared_statement WHERE workgroup = ? AND name = ?";
    Ok(tx.prepare_cached(delete)?.execute([workgroup, name])? > 0)
}

pub(super) fn data_catalog(connection: &Connection, name: &str) -> Result<Option<DataCatalog>, StoreError> {
    let mut select = connection.prepare_cached("SELECT doc FROM athena_data_catalog WHERE name = ?")?;
    let doc: Option<String> = select.query_row([name], |row| row.get(0)).optional()?;
    Ok(doc.map(|doc| serde_json::from_str(&doc)).transpose()?)
}

pub(super) fn data_catalogs(connection: &Connection) -> Result<Vec<DataCatalog>, StoreError> {
    let mut select = connection.prepare_cached("SELECT doc FROM athena_data_catalog ORDER BY name")?;
    let rows = select.query_map([], |row| row.get::<_, String>(0))?;
    rows.map(|doc| Ok(serde_json::from_str(&doc?)?)).collect()
}

pub(super) fn put_data_catalog(tx: &Tx<'_>, catalog: &DataCatalog) -> Result<(), StoreError> {
    let put = "INSERT INTO athena_data_catalog (name, doc) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET doc = ?2";
    tx.prepare_cached(put)?.execute([catalog.name.to_lowercase(), serde_json::to_string(catalog)?])?;
    Ok(())
}

pub(super) fn delete_data_catalog(tx: &Tx<'_>, name: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM athena_data_catalog WHERE name = ?")?.execute([name])?;
    Ok(())
}
