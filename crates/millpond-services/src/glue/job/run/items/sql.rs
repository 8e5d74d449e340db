//! The rows of what is staged for tables of items. All SQL about them is here.

use super::Staged;
use millpond_store::blobs::BlobId;
use millpond_store::{Component, StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, params};

/// The tables of this module.
pub const COMPONENT: Component = Component { name: "job items", migrations: &[include_str!("schema.sql")] };

/// What a run has staged.
pub fn staged(connection: &Connection, run: &str) -> Result<Option<Staged>, StoreError> {
    let select = "SELECT staged FROM job_items WHERE run = ?";
    let found: Option<String> = connection.prepare_cached(select)?.query_row([run], |row| row.get(0)).optional()?;
    Ok(found.map(|text| serde_json::from_str(&text)).transpose()?)
}

/// Stages: the files' blobs are held from now on. What runs that are no more have left goes.
pub fn stage(tx: &Tx<'_>, run: &str, staged: &Staged) -> Result<(), StoreError> {
    let left: Vec<String> = {
        let select = "SELECT run FROM job_items WHERE run NOT IN (SELECT id FROM job_run WHERE completed_ms IS NULL)";
        let mut statement = tx.prepare_cached(select)?;
        statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?
    };
    left.iter().try_for_each(|run| forget(tx, run))?;
    blobs(staged).try_for_each(|blob| tx.adopt_written(&blob?))?;
    let insert = "INSERT INTO job_items (run, staged) VALUES (?, ?)";
    tx.prepare_cached(insert)?.execute(params![run, serde_json::to_string(staged)?])?;
    Ok(())
}

/// Lets go of what a run has staged, if it has.
pub fn forget(tx: &Tx<'_>, run: &str) -> Result<(), StoreError> {
    let Some(staged) = staged(tx, run)? else { return Ok(()) };
    blobs(&staged).try_for_each(|blob| tx.release(&blob?))?;
    tx.prepare_cached("DELETE FROM job_items WHERE run = ?")?.execute([run])?;
    Ok(())
}

fn blobs(staged: &Staged) -> impl Iterator<Item = Result<BlobId, StoreError>> {
    staged.files.iter().chain(&staged.quarantine).map(|file| file.blob.parse())
}
