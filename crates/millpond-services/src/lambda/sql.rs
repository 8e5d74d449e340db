//! SQL of functions, versions, aliases and what belongs to them. That of layers and of mappings is beside its operations.

use super::model::{Config, Facts};
use millpond_store::blobs::BlobId;
use millpond_store::{StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A package.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CodeRow {
    /// Hexadecimal.
    pub(super) sha256: String,
    pub(super) blob: BlobId,
    pub(super) size: u64,
    pub(super) unpacked: u64,
}

/// A function.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FunctionRow {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) last_version: i64,
    pub(super) reserved: Option<u32>,
    pub(super) facts: Facts,
}

/// A version of a function; 0 is `$LATEST`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VersionRow {
    pub(super) version: i64,
    pub(super) revision: String,
    pub(super) generation: i64,
    pub(super) modified_ms: i64,
    pub(super) code: String,
    pub(super) config: Config,
}

/// An alias.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AliasRow {
    pub(super) name: String,
    pub(super) version: i64,
    /// Another version, and the part of invocations that it gets.
    pub(super) other: Option<(i64, f64)>,
    pub(super) description: String,
    pub(super) revision: String,
}

/// A JSON column.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> Result<T, StoreError> {
    let text = row.get_ref(index)?.as_str().map_err(|error| StoreError::Corrupt(error.to_string()))?;
    Ok(serde_json::from_str(text)?)
}

/// The text of a JSON column.
pub(super) fn text(value: &impl Serialize) -> Result<String, StoreError> {
    Ok(serde_json::to_string(value)?)
}

pub(super) fn code(connection: &Connection, sha256: &str) -> Result<Option<CodeRow>, StoreError> {
    let select = "SELECT sha256, blob, size, unpacked FROM lambda_code WHERE sha256 = ?";
    Ok(connection.prepare_cached(select)?.query_row([sha256], code_row).optional()?)
}

pub(super) fn codes(connection: &Connection) -> Result<Vec<CodeRow>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT sha256, blob, size, unpacked FROM lambda_code")?;
    let rows = statement.query_map([], code_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn code_row(row: &Row<'_>) -> rusqlite::Result<CodeRow> {
    let (size, unpacked): (i64, i64) = (row.get(2)?, row.get(3)?);
    Ok(CodeRow { sha256: row.get(0)?, blob: row.get(1)?, size: size as u64, unpacked: unpacked as u64 })
}

/// One more name for a package that is there.
pub(super) fn hold_code(tx: &Tx<'_>, sha256: &str) -> Result<(), StoreError> {
    let update = "UPDATE lambda_code SET refs = refs + 1 WHERE sha256 = ?";
    match tx.prepare_cached(update)?.execute([sha256])? {
        0 => Err(StoreError::Corrupt(format!("the package {sha256} is missing"))),
        _ => Ok(()),
    }
}

pub(super) fn insert_code(tx: &Tx<'_>, row: &CodeRow) -> Result<(), StoreError> {
    let insert = "INSERT INTO lambda_code (sha256, blob, size, unpacked, refs) VALUES (?, ?, ?, ?, 1)";
    let CodeRow { sha256, blob, size, unpacked } = row;
    tx.prepare_cached(insert)?.execute(params![sha256, blob, *size as i64, *unpacked as i64])?;
    Ok(())
}

/// One name less; at none its bytes go.
pub(super) fn drop_code(tx: &Tx<'_>, sha256: &str) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE lambda_code SET refs = refs - 1 WHERE sha256 = ?")?.execute([sha256])?;
    let delete = "DELETE FROM lambda_code WHERE sha256 = ? AND refs <= 0 RETURNING blob";
    let blob: Option<BlobId> = tx.prepare_cached(delete)?.query_row([sha256], |row| row.get(0)).optional()?;
    match blob {
        Some(blob) => tx.release(&blob),
        None => Ok(()),
    }
}

/// Bytes of all packages, and how many functions there are.
pub(super) fn usage(connection: &Connection) -> Result<(i64, i64), StoreError> {
    // A package counts as often as it is used, as on AWS.
    let select = "SELECT (SELECT coalesce(sum(size * refs), 0) FROM lambda_code), (SELECT count(*) FROM lambda_function)";
    Ok(connection.prepare_cached(select)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

const FUNCTION: &str = "SELECT id, name, last_version, reserved, facts FROM lambda_function";

fn function_row(row: &Row<'_>) -> Result<FunctionRow, StoreError> {
    let facts = json(row, 4)?;
    Ok(FunctionRow { id: row.get(0)?, name: row.get(1)?, last_version: row.get(2)?, reserved: row.get(3)?, facts })
}

pub(super) fn function(connection: &Connection, name: &str) -> Result<Option<FunctionRow>, StoreError> {
    let select = format!("{FUNCTION} WHERE name = ?");
    connection.prepare_cached(&select)?.query_and_then([name], function_row)?.next().transpose()
}

pub(super) fn functions(connection: &Connection, from: &str, limit: usize) -> Result<Vec<FunctionRow>, StoreError> {
    let select = format!("{FUNCTION} WHERE name >= ? ORDER BY name LIMIT ?");
    let mut statement = connection.prepare_cached(&select)?;
    statement.query_and_then(params![from, limit as i64], function_row)?.collect()
}

pub(super) fn insert_function(tx: &Tx<'_>, name: &str, facts: &Facts) -> Result<i64, StoreError> {
    let insert = "INSERT INTO lambda_function (name, facts) VALUES (?, ?)";
    tx.prepare_cached(insert)?.execute(params![name, text(facts)?])?;
    Ok(tx.last_insert_rowid())
}

pub(super) fn update_function(tx: &Tx<'_>, row: &FunctionRow) -> Result<(), StoreError> {
    let update = "UPDATE lambda_function SET last_version = ?2, reserved = ?3, facts = ?4 WHERE id = ?1";
    let FunctionRow { id, last_version, reserved, facts, .. } = row;
    tx.prepare_cached(update)?.execute(params![id, last_version, reserved, text(facts)?])?;
    Ok(())
}

pub(super) fn delete_function(tx: &Tx<'_>, id: i64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM lambda_function WHERE id = ?")?.execute([id])?;
    Ok(())
}

/// What all functions have reserved together, but one.
pub(super) fn reserved_by_others(connection: &Connection, id: i64) -> Result<i64, StoreError> {
    let select = "SELECT coalesce(sum(reserved), 0) FROM lambda_function WHERE id <> ?";
    Ok(connection.prepare_cached(select)?.query_row([id], |row| row.get(0))?)
}

const VERSION: &str = "SELECT version, revision, generation, modified_ms, code, config FROM lambda_version";

fn version_row(row: &Row<'_>) -> Result<VersionRow, StoreError> {
    Ok(VersionRow {
        version: row.get(0)?,
        revision: row.get(1)?,
        generation: row.get(2)?,
        modified_ms: row.get(3)?,
        code: row.get(4)?,
        config: json(row, 5)?,
    })
}

pub(super) fn version(connection: &Connection, function: i64, version: i64) -> Result<Option<VersionRow>, StoreError> {
    let select = format!("{VERSION} WHERE function = ? AND version = ?");
    connection.prepare_cached(&select)?.query_and_then([function, version], version_row)?.next().transpose()
}

/// From the version `from` on, in their order.
pub(super) fn versions(connection: &Connection, function: i64, from: i64, limit: usize) -> Result<Vec<VersionRow>, StoreError> {
    let select = format!("{VERSION} WHERE function = ? AND version >= ? ORDER BY version LIMIT ?");
    let mut statement = connection.prepare_cached(&select)?;
    statement.query_and_then(params![function, from, limit as i64], version_row)?.collect()
}

pub(super) fn last_published(connection: &Connection, function: i64) -> Result<Option<VersionRow>, StoreError> {
    let select = format!("{VERSION} WHERE function = ? AND version > 0 ORDER BY version DESC LIMIT 1");
    connection.prepare_cached(&select)?.query_and_then([function], version_row)?.next().transpose()
}

pub(super) fn put_version(tx: &Tx<'_>, function: i64, row: &VersionRow) -> Result<(), StoreError> {
    let put = "INSERT OR REPLACE INTO lambda_version (function, version, revision, generation, modified_ms, code, config)
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    let VersionRow { version, revision, generation, modified_ms, code, config } = row;
    let config = text(config)?;
    tx.prepare_cached(put)?.execute(params![function, version, revision, generation, modified_ms, code, config])?;
    Ok(())
}

/// Gives a version a new revision, with which nothing else changes.
pub(super) fn revise_version(tx: &Tx<'_>, function: i64, version: i64, revision: &str) -> Result<(), StoreError> {
    let update = "UPDATE lambda_version SET revision = ? WHERE function = ? AND version = ?";
    tx.prepare_cached(update)?.execute(params![revision, function, version])?;
    Ok(())
}

pub(super) fn delete_version(tx: &Tx<'_>, function: i64, version: i64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM lambda_version WHERE function = ? AND version = ?")?.execute([function, version])?;
    for table in ["lambda_policy", "lambda_event_config"] {
        let delete = format!("DELETE FROM {table} WHERE function = ? AND qualifier = ?");
        tx.prepare_cached(&delete)?.execute(params![function, version.to_string()])?;
    }
    Ok(())
}

const ALIAS: &str = "SELECT name, version, other_version, other_weight, description, revision FROM lambda_alias";

fn alias_row(row: &Row<'_>) -> rusqlite::Result<AliasRow> {
    let (other, weight): (Option<i64>, Option<f64>) = (row.get(2)?, row.get(3)?);
    Ok(AliasRow {
        name: row.get(0)?,
        version: row.get(1)?,
        other: other.zip(weight),
        description: row.get(4)?,
        revision: row.get(5)?,
    })
}

pub(super) fn alias(connection: &Connection, function: i64, name: &str) -> Result<Option<AliasRow>, StoreError> {
    let select = format!("{ALIAS} WHERE function = ? AND name = ?");
    Ok(connection.prepare_cached(&select)?.query_row(params![function, name], alias_row).optional()?)
}

/// By name, from `from` on; those that point to one version where it is given.
pub(super) fn aliases(
    connection: &Connection,
    function: i64,
    from: &str,
    version: Option<i64>,
    limit: usize,
) -> Result<Vec<AliasRow>, StoreError> {
    let select = format!(
        "{ALIAS} WHERE function = ?1 AND name >= ?2 AND (?3 IS NULL OR version = ?3 OR other_version = ?3) ORDER BY name LIMIT ?4"
    );
    let mut statement = connection.prepare_cached(&select)?;
    let rows = statement.query_map(params![function, from, version, limit as i64], alias_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn put_alias(tx: &Tx<'_>, function: i64, row: &AliasRow) -> Result<(), StoreError> {
    let put = "INSERT OR REPLACE INTO lambda_alias (function, name, version, other_version, other_weight, description, revision)
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    let AliasRow { name, version, other, description, revision } = row;
    let (other, weight) = (other.map(|other| other.0), other.map(|other| other.1));
    tx.prepare_cached(put)?.execute(params![function, name, version, other, weight, description, revision])?;
    Ok(())
}

pub(super) fn delete_alias(tx: &Tx<'_>, function: i64, name: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM lambda_alias WHERE function = ? AND name = ?")?.execute(params![function, name])?;
    for table in ["lambda_policy", "lambda_event_config"] {
        let delete = format!("DELETE FROM {table} WHERE function = ? AND qualifier = ?");
        tx.prepare_cached(&delete)?.execute(params![function, name])?;
    }
    Ok(())
}

/// The statements of a resource policy; none where there is none.
pub(super) fn policy(connection: &Connection, function: i64, qualifier: &str) -> Result<Vec<Value>, StoreError> {
    let select = "SELECT statements FROM lambda_policy WHERE function = ? AND qualifier = ?";
    let found = connection
        .prepare_cached(select)?
        .query_and_then(params![function, qualifier], |row| json(row, 0))?
        .next()
        .transpose()?;
    Ok(found.unwrap_or_default())
}

pub(super) fn put_policy(tx: &Tx<'_>, function: i64, qualifier: &str, statements: &[Value]) -> Result<(), StoreError> {
    if statements.is_empty() {
        let delete = "DELETE FROM lambda_policy WHERE function = ? AND qualifier = ?";
        tx.prepare_cached(delete)?.execute(params![function, qualifier])?;
        return Ok(());
    }
    let put = "INSERT OR REPLACE INTO lambda_policy (function, qualifier, statements) VALUES (?, ?, ?)";
    tx.prepare_cached(put)?.execute(params![function, qualifier, text(&statements)?])?;
    Ok(())
}

/// A secret of the service, made when it is first asked for.
pub(super) fn secret(tx: &Tx<'_>, name: &str) -> Result<Vec<u8>, StoreError> {
    let select = "SELECT value FROM lambda_secret WHERE name = ?";
    let found: Option<Vec<u8>> = tx.prepare_cached(select)?.query_row([name], |row| row.get(0)).optional()?;
    if let Some(found) = found {
        return Ok(found);
    }
    let mut value = vec![0u8; 32];
    tx.env().fill_random(&mut value);
    tx.prepare_cached("INSERT INTO lambda_secret (name, value) VALUES (?, ?)")?.execute(params![name, value])?;
    Ok(value)
}
