//! One run of a job whose target is a table of items, from what is new in its source to its commit.
//!
//! 1. What is new is selected and converted as for a target of Parquet ([`super::select`]), with the rows that can be no items in quarantine.
//! 2. One transaction *stages* it ([`sql`]): the files of rows, and what the run will have done. From now on it is decided which rows are put.
//! 3. The rows are put as items. The item store is not the lake's transactional store: items are there, durably, before the run has ended.
//! 4. One transaction commits: quarantine, ledger, bookmark, the run's end, its event, the end of the task; what was staged goes.
//!
//! A crash before 2. leaves blobs without a name; a crash after it is followed by 3. again with the very same rows, which changes nothing that was done
//! before. A run that is stopped or fails in 3. leaves a part of its rows in the table; its bookmark did not move, so that the next run puts them all.

mod sql;

pub use sql::COMPONENT;
pub(super) use sql::forget;

use super::commit::{self, Quarantine};
use super::{JobRunHandler, RunError, ending, select};
use crate::glue::job::rows::{self, Bookmark, JobRun, RunState, RunStats};
use crate::glue::job::spec::{ConvertArguments, ITEMS_KEY, ItemsTarget};
use crate::glue::job::timeout::{Bounds, load_within};
use crate::lake::Lake;
use crate::lake::items::{AttributeTypes, ItemLoad, ItemLoader, ItemShape, ItemTable, LoadError, Loaded, RowId, column_of};
use crate::lake::ledger::{self, Entry};
use crate::lake::objects::{self, split_uri};
use millpond_core::arn::Place;
use millpond_engine::convert::ConvertOutcome;
use millpond_engine::table::DataFile;
use millpond_engine::write::WrittenFile;
use millpond_store::Tx;
use millpond_store::task::Task;
use select::Selection;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Columns that say when and whence a row came: no part of what the row is.
const APART: [&str; 2] = ["ingestion_timestamp", "source_file"];

/// The column that keeps rows in the order of their files; no attribute.
const ORDER: &str = "millpond_row_order";

/// A file of rows or of the quarantine, whose blob is held by the staging.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StagedFile {
    blob: String,
    size: u64,
    rows: u64,
}

/// What a run will have done when its rows are put.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Staged {
    /// Rows to put.
    files: Vec<StagedFile>,
    quarantine: Vec<StagedFile>,
    /// `s3://bucket/prefix/` that the quarantine is beside.
    location: String,
    shape: ItemShape,
    /// Whether ids are hashes of rows.
    hashed: bool,
    /// Items that the table had before.
    items_before: u64,
    entries: Vec<Entry>,
    bookmark: Option<Bookmark>,
    until: i64,
    more: bool,
    outside: u64,
    remark: Option<String>,
    rows_in: u64,
    rows_quarantined: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl StagedFile {
    fn of(file: &WrittenFile) -> Self {
        Self { blob: file.blob.to_string(), size: file.size, rows: file.rows }
    }

    fn written(&self) -> WrittenFile {
        WrittenFile {
            blob: self.blob.as_str().into(),
            size: self.size,
            rows: self.rows,
            partition_values: Vec::new(),
            statistics: Vec::new(),
        }
    }
}

impl From<LoadError> for RunError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Input(text) => Self::Failed(text),
            LoadError::Retry(text) => Self::Transient(text),
            LoadError::Stopped => Self::Stopped,
        }
    }
}

/// Where the quarantines of tables of items are, if nobody says: a bucket of its own, so that no crawler of incoming files comes by.
pub(super) fn location(arguments: &ConvertArguments, place: &Place) -> String {
    let default = || format!("s3://{}/{}/", quarantine_bucket(place), arguments.target_table);
    arguments.target_location.clone().unwrap_or_else(default)
}

/// The bucket of quarantines of tables of items, where nobody says another.
pub fn quarantine_bucket(place: &Place) -> String {
    format!("millpond-quarantine-{}-{}", place.account, place.region)
}

/// Does the run.
pub(super) async fn run(
    handler: &JobRunHandler,
    lake: &Lake,
    task: &Task,
    run: &JobRun,
    arguments: ConvertArguments,
    bounds: &Bounds,
) -> Result<(), RunError> {
    let Some(target) = arguments.items.clone() else { return Err(RunError::Failed("the target is no table of items".into())) };
    let loader = handler.glue.loaders.loader()?.clone();
    let id = run.id.clone();
    let before = lake.store.read(move |connection| sql::staged(connection, &id)).await?;
    let resumed = before.is_some();
    let staged = match before {
        Some(staged) => staged,
        None => prepare(handler, lake, run, &arguments, &target, &*loader, bounds).await?,
    };
    let mut loaded = Loaded::default();
    if !staged.files.is_empty() {
        let files = staged.files.iter().enumerate().map(|(at, file)| data_file(run, at, file)).collect();
        let load = ItemLoad { table: target.table.clone(), files, shape: staged.shape.clone() };
        loaded = load_within(bounds, &*loader, &load).await?.ok_or(RunError::Timeout)?;
        if resumed && let Some(ItemTable { items, .. }) = loader.table(&target.table).await? {
            // A former try, which a crash ended, may have put some of them.
            let put = loaded.created + loaded.replaced;
            loaded.created = items.saturating_sub(staged.items_before).clamp(loaded.created, put);
            loaded.replaced = put - loaded.created;
        }
    }
    let work = Work { place: lake.place.clone(), task: task.clone(), run: run.clone(), arguments, staged, loaded };
    lake.store.write(move |tx| commit_items(tx, work)).await
}

/// Parquet files of a run, which only messages name.
fn data_file(run: &JobRun, at: usize, file: &StagedFile) -> DataFile {
    let uri = format!("rows of job run {}, file {at}", run.id);
    DataFile { blob: file.blob.as_str().into(), uri, size: file.size, etag: String::new(), modified_ms: 0 }
}

/// Selects, converts and stages. What is new may be nothing: then nothing is staged.
async fn prepare(
    handler: &JobRunHandler,
    lake: &Lake,
    run: &JobRun,
    arguments: &ConvertArguments,
    target: &ItemsTarget,
    loader: &dyn ItemLoader,
    bounds: &Bounds,
) -> Result<Staged, RunError> {
    let table = loader.table(&target.table).await?;
    let table = table.ok_or_else(|| RunError::Failed(missing(target)))?;
    let shape = shape(target, &table).map_err(RunError::Failed)?;
    let (job, limits, wanted) = (run.job.clone(), handler.limits, arguments.clone());
    let selected = lake.store.read(move |connection| select::select(connection, &job, &wanted, limits)).await?;
    if bounds.stop.is_cancelled() {
        return Err(RunError::Stopped);
    }
    let outcome = match selected.files.is_empty() {
        true => None,
        false => {
            let mut spec = handler.convert_spec(lake, run, arguments, &selected, &bounds.stop);
            spec.check = Some(loader.check(&target.table, &shape).await?);
            spec.options.text = target.types == AttributeTypes::String;
            spec.options.order = Some(ORDER.into());
            // The same for each try of this run.
            spec.options.now_ms = run.begun_ms.unwrap_or(run.started_ms);
            spec.options.ingestion_timestamp_ms = arguments.ingestion_timestamp.then_some(spec.options.now_ms);
            Some(handler.converted(spec, bounds).await?)
        }
    };
    let location = location(arguments, &lake.place);
    let staged = staged(&selected, outcome.as_ref(), location, shape, table.items)?;
    if outcome.is_none() {
        return Ok(staged);
    }
    let (id, kept) = (run.id.clone(), staged.clone());
    let stage = lake.store.write(move |tx| {
        let open = rows::run(tx, &id)?.is_some_and(|run| !run.state.has_ended() && run.state != RunState::Stopping);
        match open {
            true => Ok(sql::stage(tx, &id, &kept)?),
            false => Err(RunError::Stopped),
        }
    });
    stage.await?;
    Ok(staged)
}

fn missing(target: &ItemsTarget) -> String {
    let keys: Vec<String> = target.key.iter().map(|name| format!("{name} (S)")).collect();
    format!("Table '{}' of items does not exist: create it (CreateTable) with the key {}.", target.table, keys.join(", "))
}

/// How rows become items of the table.
///
/// # Errors
/// For people: the table has another key than the job says.
fn shape(target: &ItemsTarget, table: &ItemTable) -> Result<ItemShape, String> {
    target.suits(&table.key)?;
    let id = match table.key.as_slice() {
        [(name, "S")] => Some(RowId { attribute: name.clone(), apart: APART.map(str::to_owned).to_vec() }),
        _ => None,
    };
    Ok(ItemShape { types: target.types, id, order: Some(ORDER.into()) })
}

fn staged(
    selected: &Selection,
    outcome: Option<&ConvertOutcome>,
    location: String,
    shape: ItemShape,
    items_before: u64,
) -> Result<Staged, RunError> {
    let mut staged = Staged {
        location,
        items_before,
        bookmark: selected.bookmark.clone(),
        until: selected.until,
        more: selected.more,
        outside: selected.outside,
        remark: selected.remark.clone(),
        ..Staged::default()
    };
    if let Some(outcome) = outcome {
        let has = |id: &RowId| column_of(&id.attribute, outcome.columns.iter().map(|column| column.name.as_str())).is_some();
        staged.hashed = shape.id.as_ref().is_some_and(|id| !has(id));
        staged.files = outcome.files.iter().map(StagedFile::of).collect();
        staged.quarantine = outcome.quarantine.iter().map(StagedFile::of).collect();
        staged.entries = commit::entries(selected, outcome)?;
        (staged.rows_in, staged.rows_quarantined) = (outcome.rows_in, outcome.rows_quarantined);
        (staged.bytes_in, staged.bytes_out) = (outcome.bytes_in, outcome.bytes_out);
    }
    staged.shape = shape;
    Ok(staged)
}

/// What is committed.
struct Work {
    place: Arc<Place>,
    task: Task,
    run: JobRun,
    arguments: ConvertArguments,
    staged: Staged,
    loaded: Loaded,
}

fn commit_items(tx: &Tx<'_>, work: Work) -> Result<(), RunError> {
    tx.finish_task(&work.task)?;
    let (run, staged) = (&work.run, &work.staged);
    // Whoever told it to stop came too late: the items are there.
    if rows::run(tx, &run.id)?.is_none_or(|run| run.state.has_ended()) {
        return Ok(forget(tx, &run.id)?);
    }
    let (source, found) = (work.arguments.source(), staged.bookmark.as_ref());
    let generation = match work.arguments.bookmark {
        true => Some(commit::move_bookmark(tx, run, &source, found, staged.until)?),
        false => None,
    };
    let stats = stats(&work, tx.now_ms());
    let files: Vec<WrittenFile> = staged.quarantine.iter().map(StagedFile::written).collect();
    if !files.is_empty() {
        ensure_place(tx, &work)?;
        let ConvertArguments { target_database, target_table, .. } = &work.arguments;
        let quarantine = Quarantine { database: target_database, beside: target_table, location: &staged.location };
        commit::write_quarantine(tx, &work.place, run, &quarantine, &files)?;
    }
    forget(tx, &run.id)?;
    ledger::record(tx, &run.job, generation, &run.id, &staged.entries)?;
    let message = describe(&work, &stats).or_else(|| staged.remark.clone());
    if staged.more {
        commit::go_on(tx, run)?;
    }
    Ok(ending::end(tx, &work.place, run, RunState::Succeeded, message.as_deref(), &stats)?)
}

/// Makes the quarantine's database and bucket where they are missing.
fn ensure_place(tx: &Tx<'_>, work: &Work) -> Result<(), RunError> {
    crate::lake::catalog::ensure_database(tx, &work.place, &work.arguments.target_database)?;
    let (bucket, _) = split_uri(&work.staged.location).unwrap_or_default();
    if objects::bucket(tx, bucket)?.is_none() {
        objects::create_bucket(tx, bucket, &work.place.region)?;
    }
    Ok(())
}

fn stats(work: &Work, now_ms: i64) -> RunStats {
    let (staged, loaded) = (&work.staged, work.loaded);
    // Where ids are hashes, an item that takes the place of another is the same row again.
    let (replaced, again) = if staged.hashed { (0, loaded.replaced) } else { (loaded.replaced, 0) };
    RunStats {
        files: staged.entries.len() as u64,
        files_failed: staged.entries.iter().filter(|entry| entry.error.is_some()).count() as u64,
        rows_in: staged.rows_in,
        rows_out: loaded.created + replaced,
        rows_quarantined: staged.rows_quarantined,
        bytes_in: staged.bytes_in,
        bytes_out: staged.bytes_out,
        duplicates: loaded.duplicates + again,
        items_replaced: replaced,
        target: work.arguments.target(),
        elapsed_ms: work.run.begun_ms.map_or(0, |begun| (now_ms - begun).max(0)) as u64,
        more: staged.more,
        ..RunStats::default()
    }
}

/// What people should know of a run that worked: what did not become an item of its own. `None` where all rows did.
fn describe(work: &Work, stats: &RunStats) -> Option<String> {
    let RunStats { rows_in, duplicates, items_replaced, rows_quarantined, files, files_failed, .. } = stats;
    let mut parts = Vec::new();
    // Who names a key of their own may have meant a column.
    if let (true, Some(id)) = (work.staged.hashed, work.staged.shape.id.as_ref().filter(|id| id.attribute != ITEMS_KEY)) {
        parts.push(format!("the rows have no column {}: each item's is a hash of its row", id.attribute));
    }
    if *duplicates > 0 {
        parts.push(format!("{duplicates} of {rows_in} rows were duplicates"));
    }
    if *items_replaced > 0 {
        parts.push(format!("{items_replaced} items took the place of others with their key"));
    }
    if *rows_quarantined > 0 {
        let quarantine = format!("{}{}", work.arguments.catalog_target(), commit::QUARANTINE);
        parts.push(format!("{rows_quarantined} of {rows_in} rows went to {quarantine}"));
    }
    if *files_failed > 0 {
        let first = work.staged.entries.iter().find_map(|entry| Some((&entry.key, entry.error.as_ref()?)));
        let first = first.map(|(key, error)| format!(" ({key}: {error}{})", if *files_failed > 1 { "; …" } else { "" }));
        parts.push(format!("{files_failed} of {files} files could not be read{}", first.unwrap_or_default()));
    }
    if work.staged.outside > 0 {
        parts.push(format!("{} objects lie in no partition of the source table, and were left out", work.staged.outside));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests;
