//! Collecting bytes that nothing names any more, and files that no row knows.

use super::write::blocking;
use super::{BlobId, BlobStore, GRACE_MS, UNNAMED_GRACE_MS, kind};
use crate::{Store, StoreError, Tx};
use rusqlite::params;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

/// Blobs that one transaction removes at the most, so that others need not wait long.
const BATCH: i64 = 256;

/// A file's time may lag behind the clock by a step of the system's timer; this is far more.
const CLOCK_STEP_MS: i64 = 1000;

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs whose last name went.
    pub released: u64,
    /// Files without a row.
    pub orphans: u64,
    /// Bytes of both.
    pub bytes: u64,
}

impl Store {
    /// Removes the blobs whose last name went before `now - grace_ms`, and the files that no row knows and nobody writes any more: those of a
    /// former process, and those older than [`UNNAMED_GRACE_MS`]. A grace that is given holds for both.
    pub async fn collect(&self, grace_ms: Option<i64>) -> Result<Collected, StoreError> {
        let blobs = self.blobs();
        let orphaned_ms = match grace_ms {
            Some(grace_ms) => blobs.inner.env.now_ms() - grace_ms,
            None => blobs.orphaned_ms(),
        };
        let grace_ms = grace_ms.unwrap_or(GRACE_MS);
        let mut collected = Collected::default();
        loop {
            let removed: Vec<(BlobId, i64, u64)> = self.write(move |tx| remove_released(tx, grace_ms)).await?;
            collected.released += removed.len() as u64;
            collected.bytes += removed.iter().map(|(_, _, size)| size).sum::<u64>();
            let more = removed.len() as i64 == BATCH;
            let blobs = self.blobs().clone();
            blocking(move || {
                for (id, kind, _) in removed {
                    if kind == kind::FILE {
                        remove(&blobs.file(&id))?;
                    }
                }
                Ok(())
            })
            .await?;
            if !more {
                break;
            }
        }
        let blobs = self.blobs().clone();
        let (orphans, bytes) = blocking(move || blobs.remove_orphans(orphaned_ms)).await?;
        collected.orphans = orphans;
        collected.bytes += bytes;
        Ok(collected)
    }
}

fn remove_released(tx: &Tx<'_>, grace_ms: i64) -> Result<Vec<(BlobId, i64, u64)>, StoreError> {
    let due = "SELECT id, kind, size FROM blob WHERE released_ms <= ?1 ORDER BY released_ms LIMIT ?2";
    let removed = {
        let mut statement = tx.prepare_cached(due)?;
        let rows = statement.query_map(params![tx.now_ms() - grace_ms, BATCH], |row| {
            Ok((row.get::<_, BlobId>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)? as u64))
        })?;
        rows.collect::<Result<Vec<_>, _>>()?
    };
    for (id, kind, _) in &removed {
        if *kind == kind::CONCAT {
            let parts = {
                let mut statement = tx.prepare_cached("SELECT part FROM blob_part WHERE blob = ?")?;
                statement.query_map([id], |row| row.get::<_, BlobId>(0))?.collect::<Result<Vec<_>, _>>()?
            };
            parts.iter().try_for_each(|part| tx.release(part))?;
            tx.prepare_cached("DELETE FROM blob_part WHERE blob = ?")?.execute([id])?;
        }
        tx.prepare_cached("DELETE FROM blob WHERE id = ?")?.execute([id])?;
    }
    Ok(removed)
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io(path, error)),
        _ => Ok(()),
    }
}

impl BlobStore {
    /// Files without a row that changed last before this time belong to nobody.
    fn orphaned_ms(&self) -> i64 {
        let former_process_ms = self.inner.opened_ms.load(Ordering::Relaxed) - CLOCK_STEP_MS;
        former_process_ms.max(self.inner.env.now_ms() - UNNAMED_GRACE_MS)
    }

    /// Walks the folders one by one. A file that changed after `orphaned_ms` may belong to a transaction under way.
    fn remove_orphans(&self, orphaned_ms: i64) -> Result<(u64, u64), StoreError> {
        let (mut count, mut bytes) = (0, 0);
        let youngest = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(orphaned_ms).unwrap_or(0));
        for folder in 0..=255u8 {
            let folder = self.inner.directory.join(format!("{folder:02x}"));
            for entry in std::fs::read_dir(&folder).map_err(|error| StoreError::io(&folder, error))?.flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                let old = metadata.modified().is_ok_and(|modified| modified <= youngest);
                let id: Option<BlobId> = entry.file_name().to_str().and_then(|name| name.parse().ok());
                let Some(id) = id.filter(|_| old) else { continue };
                if !self.with_reader(|connection| Ok(super::size(connection, &id).is_ok()))? {
                    remove(&entry.path())?;
                    count += 1;
                    bytes += metadata.len();
                }
            }
        }
        Ok((count, bytes))
    }

    /// Blobs whose bytes are missing or of the wrong size, `limit` at the most: for the doctor. Blocks.
    pub fn faults(&self, limit: usize) -> Result<Vec<String>, StoreError> {
        self.with_reader(|connection| {
            let mut statement = connection.prepare("SELECT id, size FROM blob WHERE kind = 1")?;
            let rows = statement.query_map([], |row| Ok((row.get::<_, BlobId>(0)?, row.get::<_, i64>(1)? as u64)))?;
            let mut faults = Vec::new();
            for row in rows {
                let (id, size) = row?;
                let path = self.file(&id);
                match std::fs::metadata(&path) {
                    Ok(metadata) if metadata.len() == size => continue,
                    Ok(metadata) => faults.push(format!("{}: has {} bytes, {size} were written", path.display(), metadata.len())),
                    Err(error) => faults.push(format!("{}: {error}", path.display())),
                }
                if faults.len() >= limit {
                    break;
                }
            }
            Ok(faults)
        })
    }
}
