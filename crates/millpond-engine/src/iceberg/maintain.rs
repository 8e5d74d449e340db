//! OPTIMIZE and VACUUM.

use super::change::{Changed, Writing};
use super::commit::{Change, Guard};
use super::metadata;
use super::plan;
use super::{Objects, invalid, look};
use crate::query::QueryError;
use arrow::array::AsArray;
use futures::StreamExt;
use iceberg::TableUpdate;
use iceberg::spec::{MAIN_BRANCH, Operation, TableMetadata};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// A table's property as a number.
fn number(metadata: &TableMetadata, key: &str) -> Option<u64> {
    metadata.properties().get(key)?.parse().ok()
}

/// What of a file decides whether it is rewritten.
struct Candidate {
    path: String,
    bytes: u64,
    deletes: usize,
    partition: String,
}

/// Brings small files of a partition together, cuts large ones, and applies deletes (Athena user guide, "Optimize Iceberg tables"). With a condition:
/// only files that have rows for which it holds.
///
/// # Errors
/// The condition's.
pub async fn optimize(writing: &Writing<'_>, condition: Option<&str>) -> Result<Changed, QueryError> {
    let chosen = match condition {
        Some(condition) => Some(files_of(writing, condition).await?),
        None => None,
    };
    let (version, only) = (Arc::clone(&writing.version), chosen.clone());
    let candidates = look(writing.request.catalog.as_ref(), move |objects| {
        let tasks = plan::tasks(objects, &version, None, only.as_ref())?;
        Ok(tasks
            .into_iter()
            .map(|task| Candidate {
                path: task.entry.file_path().to_owned(),
                bytes: task.entry.file_size_in_bytes(),
                deletes: task.deletes.len(),
                partition: format!("{} {:?}", task.spec_id, task.entry.data_file().partition()),
            })
            .collect::<Vec<_>>())
    })
    .await?;
    let (removed, all_deletes) = rewritten(&writing.version.metadata, candidates);
    let base = Arc::clone(&writing.version);
    let mut change = Change {
        base,
        operation: Operation::Replace,
        added: Vec::new(),
        removed,
        guard: Guard::Files { drop_deletes: all_deletes && chosen.is_none() },
    };
    if change.removed.is_empty() {
        return Ok(Changed { change, rows: 0 });
    }
    let mut writer = writing.writer()?;
    let sql = format!("SELECT * FROM {}", writing.target_sql(&writing.table.name));
    let mut stream = writing.open(sql, writing.given(Some(Arc::new(change.removed.clone())), None)).await?;
    while let Some(batch) = stream.next().await {
        writer.write(&batch?).await?;
    }
    let rows = writer.rows();
    change.added = writer.finish().await?;
    Ok(Changed { change, rows })
}

async fn files_of(writing: &Writing<'_>, condition: &str) -> Result<HashSet<String>, QueryError> {
    let sql = format!("SELECT DISTINCT \"$path\" FROM {} WHERE {condition}", writing.target_sql(&writing.table.name));
    let mut files = HashSet::new();
    let mut stream = writing.open(sql, writing.given(None, None)).await?;
    while let Some(batch) = stream.next().await {
        files.extend(batch?.column(0).as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    Ok(files)
}

/// The files that are worth it, and whether all those are among them that deletes apply to.
fn rewritten(metadata: &TableMetadata, candidates: Vec<Candidate>) -> (HashSet<String>, bool) {
    let target = number(metadata, "write.target-file-size-bytes").unwrap_or(512 << 20);
    let least = number(metadata, "optimize_rewrite_min_data_file_size_bytes").unwrap_or(target / 4 * 3);
    let most = number(metadata, "optimize_rewrite_max_data_file_size_bytes").unwrap_or(target.saturating_mul(9) / 5);
    let files = number(metadata, "optimize_rewrite_data_file_threshold").unwrap_or(5).max(2);
    let threshold = number(metadata, "optimize_rewrite_delete_file_threshold").unwrap_or(2).max(1);
    let mut all_deletes = true;
    let mut rewritten = HashSet::new();
    let mut small: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for candidate in candidates {
        if candidate.deletes as u64 >= threshold || candidate.bytes > most {
            rewritten.insert(candidate.path);
        } else if candidate.bytes < least {
            all_deletes &= candidate.deletes == 0;
            small.entry(candidate.partition).or_default().push(candidate.path);
        } else {
            all_deletes &= candidate.deletes == 0;
        }
    }
    for paths in small.into_values().filter(|paths| paths.len() as u64 >= files) {
        rewritten.extend(paths);
    }
    (rewritten, all_deletes)
}

/// What VACUUM does to a table's description: snapshots that are too old go, but for the last ones (Athena user guide, "VACUUM").
pub fn expire(metadata: &TableMetadata, now_ms: i64) -> Vec<TableUpdate> {
    let age_ms = number(metadata, "vacuum_max_snapshot_age_seconds").unwrap_or(432_000).saturating_mul(1000);
    let kept = number(metadata, "vacuum_min_snapshots_to_keep").unwrap_or(1).max(1);
    let oldest_ms = now_ms.saturating_sub(i64::try_from(age_ms).unwrap_or(i64::MAX));
    let mut keep = HashSet::new();
    let mut next = metadata.snapshot_for_ref(MAIN_BRANCH).cloned();
    let mut seen = HashSet::new();
    while let Some(snapshot) = next.filter(|snapshot| seen.insert(snapshot.snapshot_id())) {
        if (keep.len() as u64) < kept || snapshot.timestamp_ms() >= oldest_ms {
            keep.insert(snapshot.snapshot_id());
        }
        next = snapshot.parent_snapshot_id().and_then(|parent| metadata.snapshot_by_id(parent)).cloned();
    }
    let named: HashSet<i64> = super::inspect::references(metadata).into_values().map(|reference| reference.snapshot_id).collect();
    let expired = metadata.snapshots().filter(|snapshot| {
        let id = snapshot.snapshot_id();
        !keep.contains(&id) && !named.contains(&id) && snapshot.timestamp_ms() < oldest_ms
    });
    let mut snapshot_ids: Vec<i64> = expired.map(|snapshot| snapshot.snapshot_id()).collect();
    snapshot_ids.sort_unstable();
    if snapshot_ids.is_empty() { Vec::new() } else { vec![TableUpdate::RemoveSnapshots { snapshot_ids }] }
}

/// Milliseconds for which files stay that no version knows, however short a table's snapshots live: a writer may be about to commit them. (Iceberg's
/// and Trino's procedures refuse a shorter time, too.)
const ORPHAN_AGE_MS_MIN: u64 = 24 * 60 * 60 * 1000;

/// From when on files that no version ever knew are kept, in milliseconds since the epoch.
pub fn orphans_before_ms(metadata: &TableMetadata, now_ms: i64) -> i64 {
    let age_ms = number(metadata, "vacuum_max_snapshot_age_seconds").unwrap_or(432_000).saturating_mul(1000);
    now_ms.saturating_sub(i64::try_from(age_ms.max(ORPHAN_AGE_MS_MIN)).unwrap_or(i64::MAX))
}

/// Files that one VACUUM looks at.
const FILES_MAX: usize = 20_000_000;

/// URIs of all files that a table's description leads to.
///
/// # Errors
/// Metadata are missing or broken: then nothing may be deleted.
pub fn reachable(objects: &dyn Objects, table: &TableMetadata, location: &str) -> Result<HashSet<String>, QueryError> {
    let mut files = HashSet::from([location.to_owned()]);
    files.extend(table.metadata_log().iter().map(|log| log.metadata_file.clone()));
    files.extend(table.statistics_iter().map(|statistics| statistics.statistics_path.clone()));
    files.extend(table.partition_statistics_iter().map(|statistics| statistics.statistics_path.clone()));
    for snapshot in table.snapshots() {
        files.insert(snapshot.manifest_list().to_owned());
        for manifest in metadata::manifests(objects, table, snapshot)? {
            if !files.insert(manifest.manifest_path.clone()) {
                continue;
            }
            let entries = metadata::entries(objects, table, &manifest)?;
            files.extend(entries.iter().filter(|entry| entry.is_alive()).map(|entry| entry.file_path().to_owned()));
            if files.len() > FILES_MAX {
                return Err(invalid("the table has more files than can be looked at in one VACUUM"));
            }
        }
    }
    Ok(files)
}
