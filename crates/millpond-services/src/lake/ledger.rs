//! The ledger: which version of which source object contributed to what, and with how many rows.
//!
//! A run's entries are written in the transaction that makes its output visible, and the unique index on (job, generation, bucket, key, ETag) lets
//! that happen once: it is the record on which "exactly once" rests. The ledger never forgets.

use millpond_store::{Component, StoreError, Tx};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

/// The tables of this module.
pub const COMPONENT: Component = Component { name: "ledger", migrations: &[include_str!("ledger.sql")] };

/// What one version of a source object contributed to a run. `rows_in` = `rows_out` + `rows_quarantined`, unless SQL of the job adds or drops rows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Entry {
    /// The source bucket.
    pub bucket: String,
    /// The source key.
    pub key: String,
    /// With bucket and key it identifies the version.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// Rows read.
    pub rows_in: u64,
    /// Rows that are in the target.
    pub rows_out: u64,
    /// Rows that are in the quarantine.
    pub rows_quarantined: u64,
    /// Why the object as a whole could not be taken.
    pub error: Option<String>,
}

/// Records what a run's source objects contributed. `generation` identifies the bookmark's life since it was last reset.
///
/// # Errors
/// [`StoreError::Sqlite`] with a constraint violation where a version contributed before: the whole transaction must fail.
pub fn record(tx: &Tx<'_>, job: &str, generation: Option<i64>, run: &str, entries: &[Entry]) -> Result<(), StoreError> {
    let insert = "INSERT INTO ledger (job, generation, run, bucket, key, etag, size, rows_in, rows_out, rows_quarantined, error)
                  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let mut insert = tx.prepare_cached(insert)?;
    for entry in entries {
        let (rows_in, rows_out, quarantined) = (entry.rows_in as i64, entry.rows_out as i64, entry.rows_quarantined as i64);
        let Entry { bucket, key, etag, size, error, .. } = entry;
        insert.execute(params![job, generation, run, bucket, key, etag, *size as i64, rows_in, rows_out, quarantined, error])?;
    }
    Ok(())
}

/// Whether this version contributed to this job since its bookmark was last reset.
pub fn contributed(
    connection: &Connection,
    job: &str,
    generation: i64,
    bucket: &str,
    key: &str,
    etag: &str,
) -> Result<bool, StoreError> {
    let select = "SELECT 1 FROM ledger WHERE job = ? AND generation = ? AND bucket = ? AND key = ? AND etag = ?";
    Ok(connection.prepare_cached(select)?.exists(params![job, generation, bucket, key, etag])?)
}

/// An entry with its place in the run's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// In the order in which they were recorded.
    pub id: i64,
    /// The entry.
    pub entry: Entry,
}

/// The entries of a run from the first after `after` on; those with an error or quarantined rows alone where `faults` says so.
pub fn entries(connection: &Connection, run: &str, after: i64, limit: usize, faults: bool) -> Result<Vec<Listed>, StoreError> {
    let select = "SELECT id, bucket, key, etag, size, rows_in, rows_out, rows_quarantined, error FROM ledger
                  WHERE run = ?1 AND id > ?2 AND (NOT ?4 OR error IS NOT NULL OR rows_quarantined > 0) ORDER BY id LIMIT ?3";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map(params![run, after, limit as i64, faults], |row| {
        let entry = Entry {
            bucket: row.get(1)?,
            key: row.get(2)?,
            etag: row.get(3)?,
            size: row.get::<_, i64>(4)? as u64,
            rows_in: row.get::<_, i64>(5)? as u64,
            rows_out: row.get::<_, i64>(6)? as u64,
            rows_quarantined: row.get::<_, i64>(7)? as u64,
            error: row.get(8)?,
        };
        Ok(Listed { id: row.get(0)?, entry })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_core::env::SystemEnv;
    use millpond_store::Store;
    use std::sync::Arc;

    fn entry(key: &str, etag: &str) -> Entry {
        Entry {
            bucket: "raw".into(),
            key: key.into(),
            etag: etag.into(),
            rows_in: 3,
            rows_out: 2,
            rows_quarantined: 1,
            ..Entry::default()
        }
    }

    #[tokio::test]
    async fn a_version_contributes_once_in_each_generation() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &[COMPONENT], Arc::new(SystemEnv)).unwrap();
        let add = |generation: Option<i64>, run: &'static str, etag: &'static str| {
            store.write(move |tx| record(tx, "j", generation, run, &[entry("a", etag)]))
        };
        add(Some(1), "r1", "e1").await.unwrap();
        add(Some(1), "r2", "e1").await.unwrap_err();
        add(Some(1), "r2", "e2").await.unwrap();
        add(Some(2), "r3", "e1").await.unwrap();
        add(None, "r4", "e1").await.unwrap();
        add(None, "r5", "e1").await.unwrap();
        let looked = store.read(|connection| {
            assert!(contributed(connection, "j", 1, "raw", "a", "e2")?);
            assert!(!contributed(connection, "j", 2, "raw", "a", "e2")?);
            entries(connection, "r2", 0, 10, true)
        });
        let listed = looked.await.unwrap();
        assert_eq!(listed.iter().map(|listed| &listed.entry).collect::<Vec<_>>(), [&entry("a", "e2")]);
    }
}
