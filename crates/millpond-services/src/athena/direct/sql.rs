//! All SQL of direct executions.

use millpond_store::{StoreError, Tx};

pub(super) fn insert(tx: &Tx<'_>, id: &str) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT INTO athena_direct (id) VALUES (?)")?.execute([id])?;
    Ok(())
}

pub(super) fn delete(tx: &Tx<'_>, id: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM athena_direct WHERE id = ?")?.execute([id])?;
    Ok(())
}

pub(super) fn all(tx: &Tx<'_>) -> Result<Vec<String>, StoreError> {
    let mut select = tx.prepare_cached("SELECT id FROM athena_direct")?;
    let ids = select.query_map([], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}
