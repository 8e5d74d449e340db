//! The end of a run that worked: one transaction.

use super::select::Selection;
use super::{RunError, ending};
use crate::glue::job::rows::{self, Bookmark, JobRun, RunState, RunStats};
use crate::glue::job::spec::ConvertArguments;
use crate::lake::catalog::{self, Archive};
use crate::lake::ledger::{self, Entry};
use crate::lake::objects::{self, Bucket, Cause, NewObject, ObjectMeta, split_uri};
use md5::{Digest, Md5};
use millpond_core::arn::Place;
use millpond_core::catalog::{Column, Parameters, Partition, SerDeInfo, StorageDescriptor, Table};
use millpond_engine::convert::{ConvertOutcome, quarantine_columns};
use millpond_engine::write::{WrittenFile, partition_path};
use millpond_store::blobs::BlobId;
use millpond_store::task::Task;
use millpond_store::{StoreError, Tx};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What follows the name of a target table in that of its quarantine.
pub const QUARANTINE: &str = "_quarantine";

/// What is committed.
pub(super) struct Work {
    pub place: Arc<Place>,
    pub task: Task,
    pub run: JobRun,
    pub arguments: ConvertArguments,
    pub selected: Selection,
    /// Absent where nothing was new.
    pub outcome: Option<ConvertOutcome>,
}

/// Commits.
///
/// # Errors
/// [`RunError::Transient`] where something that the run was based on has changed since; nothing of it remains then.
pub(super) fn commit(tx: &Tx<'_>, work: Work) -> Result<(), RunError> {
    tx.finish_task(&work.task)?;
    let Some(run) = rows::run(tx, &work.run.id)?.filter(|run| !run.state.has_ended()) else { return Ok(()) };
    if run.state == RunState::Stopping {
        return Err(RunError::Stopped);
    }
    let mut stats = RunStats {
        target: work.arguments.target(),
        more: work.selected.more,
        elapsed_ms: work.run.begun_ms.map_or(0, |begun| (tx.now_ms() - begun).max(0)) as u64,
        ..RunStats::default()
    };
    let (source, bookmark) = (work.arguments.source(), work.selected.bookmark.as_ref());
    let generation = match work.arguments.bookmark {
        true => Some(move_bookmark(tx, &work.run, &source, bookmark, work.selected.until)?),
        false => None,
    };
    let mut message = work.selected.remark.clone();
    if let Some(outcome) = &work.outcome {
        stats.partitions_created = write_target(tx, &work, outcome)?;
        let quarantine = Quarantine {
            database: &work.arguments.target_database,
            beside: &work.arguments.target_table,
            location: &work.selected.target_location,
        };
        write_quarantine(tx, &work.place, &work.run, &quarantine, &outcome.quarantine)?;
        let entries = entries(&work.selected, outcome)?;
        ledger::record(tx, &work.run.job, generation, &work.run.id, &entries)?;
        count(&mut stats, outcome, &entries);
        message = describe(&stats, &entries, work.selected.outside).or(message);
    }
    if work.selected.more {
        go_on(tx, &work.run)?;
    }
    Ok(ending::end(tx, &work.place, &work.run, RunState::Succeeded, message.as_deref(), &stats)?)
}

/// Adds the run that takes what a run left.
pub(super) fn go_on(tx: &Tx<'_>, run: &JobRun) -> Result<(), RunError> {
    let waits = |one: &JobRun| matches!(one.state, RunState::Waiting | RunState::Starting) && one.arguments == run.arguments;
    if !rows::open_runs(tx, &run.job)?.iter().any(waits) {
        let next = JobRun { id: rows::new_run_id(tx), attempt: 0, previous: None, state: RunState::Starting, ..run.clone() };
        rows::insert_run(tx, &JobRun { stats: RunStats::default(), ..next })?;
    }
    Ok(())
}

/// Moves the bookmark from where it was found to where the run has read; answers its generation.
pub(super) fn move_bookmark(
    tx: &Tx<'_>,
    run: &JobRun,
    source: &str,
    found: Option<&Bookmark>,
    until: i64,
) -> Result<i64, RunError> {
    let job = &run.job;
    let now = rows::bookmark_or_new(tx, job, source)?;
    let as_found = match found {
        Some(found) => (found.generation, found.seq) == (now.generation, now.seq),
        None => now.seq == 0,
    };
    if !as_found || !rows::advance(tx, job, &now, until.max(now.seq), &run.id)? {
        return Err(RunError::Transient(format!("the bookmark of job {job} was changed while the run was under way")));
    }
    Ok(now.generation)
}

fn bucket_of(tx: &Tx<'_>, location: &str) -> Result<(Bucket, String), RunError> {
    let (name, prefix) = split_uri(location).unwrap_or_default();
    let bucket = objects::bucket(tx, name)?;
    let bucket =
        bucket.ok_or_else(|| RunError::Failed(format!("The bucket of {location} was deleted while the run was under way.")))?;
    Ok((bucket, prefix.to_owned()))
}

/// Writes the objects, and what the catalog says of the target. Answers how many partitions are new.
fn write_target(tx: &Tx<'_>, work: &Work, outcome: &ConvertOutcome) -> Result<u64, RunError> {
    let (arguments, selected) = (&work.arguments, &work.selected);
    let now = catalog::table(tx, &arguments.target_database, &arguments.target_table)?;
    if now.as_ref().map(|table| table.version) != selected.target.as_ref().map(|table| table.version) {
        let text = format!("target table {} was changed while the run was under way", arguments.target());
        return Err(RunError::Transient(text));
    }
    if outcome.files.is_empty() && now.is_none() {
        return Ok(0);
    }
    let (bucket, prefix) = bucket_of(tx, &selected.target_location)?;
    let names: Vec<String> = outcome.partition_keys.iter().map(|key| key.name.clone()).collect();
    let mut partitions: BTreeMap<&[String], String> = BTreeMap::new();
    for (at, file) in outcome.files.iter().enumerate() {
        let folder = folder(&names, &file.partition_values);
        put_file(tx, &work.place, &bucket, format!("{prefix}{folder}{}", file_name(&work.run, at)), file)?;
        partitions.entry(&file.partition_values).or_insert(folder);
    }
    let table = match now {
        Some(mut table) => {
            if table.storage.columns != outcome.columns {
                table.storage.columns.clone_from(&outcome.columns);
                table = catalog::put_table(tx, &work.place, table, Archive::Keep)?.0;
            }
            table
        }
        None => {
            let table = NewTable {
                database: &arguments.target_database,
                name: &arguments.target_table,
                location: &selected.target_location,
            };
            let table = table.with(&work.run, &outcome.columns, &outcome.partition_keys);
            catalog::put_table(tx, &work.place, table, Archive::Keep)?.0
        }
    };
    if names.is_empty() {
        return Ok(0);
    }
    let mut new = Vec::new();
    for (values, folder) in partitions {
        if catalog::partition(tx, &table.database, &table.name, values)?.is_none() {
            let storage =
                StorageDescriptor { location: Some(format!("{}{folder}", selected.target_location)), ..table.storage.clone() };
            new.push(Partition { values: values.to_vec(), storage, created_ms: tx.now_ms(), ..Partition::default() });
        }
    }
    let put = catalog::put_partitions(tx, &work.place, &table.database, &table.name, &new)?;
    Ok(put.created as u64)
}

/// Where a target's quarantine is.
pub(super) struct Quarantine<'a> {
    /// Its database.
    pub database: &'a str,
    /// The table that it is beside, whose name its own begins with.
    pub beside: &'a str,
    /// `s3://bucket/prefix/` of that table.
    pub location: &'a str,
}

/// Names the files of the quarantine, and its table.
pub(super) fn write_quarantine(
    tx: &Tx<'_>,
    place: &Place,
    run: &JobRun,
    quarantine: &Quarantine<'_>,
    files: &[WrittenFile],
) -> Result<(), RunError> {
    if files.is_empty() {
        return Ok(());
    }
    let name = format!("{}{QUARANTINE}", quarantine.beside);
    let beside = format!("{}{QUARANTINE}/", quarantine.location.trim_end_matches('/'));
    let existing = catalog::table(tx, quarantine.database, &name)?;
    let location = existing.as_ref().and_then(|table| table.storage.location.clone()).unwrap_or(beside);
    let location = format!("{}/", location.trim_end_matches('/'));
    let (bucket, prefix) = bucket_of(tx, &location)?;
    for (at, file) in files.iter().enumerate() {
        put_file(tx, place, &bucket, format!("{prefix}{}", file_name(run, at)), file)?;
    }
    if existing.is_none() {
        let table = NewTable { database: quarantine.database, name: &name, location: &location };
        catalog::put_table(tx, place, table.with(run, &quarantine_columns(), &[]), Archive::Keep)?;
    }
    Ok(())
}

fn folder(keys: &[String], values: &[String]) -> String {
    let path = partition_path(keys, values);
    if path.is_empty() || path.ends_with('/') { path } else { format!("{path}/") }
}

fn file_name(run: &JobRun, at: usize) -> String {
    let id = run.id.trim_start_matches("jr_");
    let (base, attempt) = id.split_once("_attempt_").map_or((id, String::new()), |(base, attempt)| (base, format!("-{attempt}")));
    format!("part-{}{attempt}-{at:05}.zstd.parquet", &base[..base.len().min(16)])
}

fn put_file(tx: &Tx<'_>, place: &Place, bucket: &Bucket, key: String, file: &WrittenFile) -> Result<(), RunError> {
    let blob: BlobId = file.blob.as_ref().parse()?;
    tx.adopt_written(&blob)?;
    // Not the MD5 of the bytes, which nobody has computed: like the ETag of a multipart upload, which clients take as opaque.
    let etag = format!("{}-1", hex::encode(Md5::digest(blob.as_str())));
    let headers = BTreeMap::from([("content-type".to_owned(), "application/vnd.apache.parquet".to_owned())]);
    let meta = ObjectMeta { headers, ..ObjectMeta::default() };
    let cause = Cause { reason: "PutObject", requester: "glue.amazonaws.com".into(), ..Cause::default() };
    objects::put(tx, place, bucket, NewObject { key, blob, size: file.size, etag, meta }, &cause)?;
    Ok(())
}

fn parameters(pairs: &[(&str, &str)]) -> Parameters {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A table of Parquet files that a run makes.
struct NewTable<'a> {
    database: &'a str,
    name: &'a str,
    location: &'a str,
}

impl NewTable<'_> {
    fn with(&self, run: &JobRun, columns: &[Column], keys: &[Column]) -> Table {
        let storage = StorageDescriptor {
            columns: columns.to_vec(),
            location: Some(self.location.to_owned()),
            input_format: Some("org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat".into()),
            output_format: Some("org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat".into()),
            compressed: false,
            number_of_buckets: -1,
            serde_info: SerDeInfo {
                name: None,
                serialization_library: Some("org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe".into()),
                parameters: parameters(&[("serialization.format", "1")]),
            },
            ..StorageDescriptor::default()
        };
        Table {
            database: self.database.to_owned(),
            name: self.name.to_owned(),
            storage,
            partition_keys: keys.to_vec(),
            table_type: Some("EXTERNAL_TABLE".into()),
            parameters: parameters(&[
                ("EXTERNAL", "TRUE"),
                ("classification", "parquet"),
                ("compressionType", "zstd"),
                ("typeOfData", "file"),
                ("CreatedByJob", &run.job),
                ("CreatedByJobRun", &run.id),
            ]),
            ..Table::default()
        }
    }
}

/// The ledger's entries: inputs and counts are in the same order.
pub(super) fn entries(selected: &Selection, outcome: &ConvertOutcome) -> Result<Vec<Entry>, RunError> {
    if selected.files.len() != outcome.inputs.len() {
        let text = format!("the conversion answered for {} of {} objects", outcome.inputs.len(), selected.files.len());
        return Err(RunError::Failed(text));
    }
    let entry = |(file, input): (&super::select::SourceFile, &millpond_engine::convert::InputCount)| Entry {
        bucket: selected.bucket.clone(),
        key: file.key.clone(),
        etag: file.etag.clone(),
        size: file.size,
        rows_in: input.rows_in,
        rows_out: input.rows_out,
        rows_quarantined: input.rows_quarantined,
        error: input.error.clone(),
    };
    Ok(selected.files.iter().zip(&outcome.inputs).map(entry).collect())
}

fn count(stats: &mut RunStats, outcome: &ConvertOutcome, entries: &[Entry]) {
    stats.files = entries.len() as u64;
    stats.files_failed = entries.iter().filter(|entry| entry.error.is_some()).count() as u64;
    stats.rows_in = outcome.rows_in;
    stats.rows_out = outcome.rows_out;
    stats.rows_quarantined = outcome.rows_quarantined;
    stats.bytes_in = outcome.bytes_in;
    stats.bytes_out = outcome.bytes_out;
    stats.files_out = outcome.files.len() as u64;
}

/// What people should know of a run that worked: what it could not take. `None` where it took everything.
fn describe(stats: &RunStats, entries: &[Entry], outside: u64) -> Option<String> {
    let mut parts = Vec::new();
    if stats.rows_quarantined > 0 {
        parts.push(format!("{} of {} rows went to {}{QUARANTINE}", stats.rows_quarantined, stats.rows_in, stats.target));
    }
    if stats.files_failed > 0 {
        let first = entries.iter().find_map(|entry| Some((&entry.key, entry.error.as_ref()?)));
        let first = first.map(|(key, error)| format!(" ({key}: {error}{})", if stats.files_failed > 1 { "; …" } else { "" }));
        parts.push(format!("{} of {} files could not be read{}", stats.files_failed, stats.files, first.unwrap_or_default()));
    }
    if outside > 0 {
        parts.push(format!("{outside} objects lie in no partition of the source table, and were left out"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

impl From<rusqlite::Error> for RunError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::from(error).into()
    }
}
