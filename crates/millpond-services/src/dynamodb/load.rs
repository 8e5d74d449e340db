//! Rows that become items: what jobs and flows ask for through the seam [`crate::lake::items`].
//!
//! Rows are read from Parquet files by several threads, each of which encodes them straight into the bytes of the store ([`mapping`]) and gives them to a writer
//! of one load. The load sorts them; nothing is in the table before all rows were taken, so that a row which is no item leaves nothing behind. Loading the same
//! rows again changes nothing: keys and attributes come from the rows alone.

mod mapping;

use super::{DynamoDb, DynamoError, ItemsError};
use crate::lake::items::{ItemLoad, ItemLoader, ItemShape, ItemTable, LoadError, Loaded};
use async_trait::async_trait;
use mapping::{Mapping, Scratch};
use millpond_engine::decode::Reader;
use millpond_engine::query::Engine;
use millpond_engine::rows::{Fault, Place, RowCheck, Rows, VisitError, VisitSpec, Visitor, visit_parquet};
use millpond_engine::table::DataFile;
use millpond_tables::store::{Items, LoadError as StoreLoadError, LoadOptions, LoadWriter, Loader, TableId};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// Loads items into the tables of a lake.
#[derive(Debug, Clone)]
pub struct ItemLoads {
    dynamodb: DynamoDb,
    engine: Arc<Engine>,
}

impl ItemLoads {
    /// Into the tables of `dynamodb`; rows are read by `engine`.
    pub fn new(dynamodb: DynamoDb, engine: Arc<Engine>) -> Self {
        Self { dynamodb, engine }
    }

    fn mapping(&self, table: &str, shape: &ItemShape) -> Result<(TableId, Mapping), LoadError> {
        let missing = |error: DynamoError| match error {
            DynamoError::NotFound | DynamoError::NoSuchTable(_) => LoadError::Input(format!(
                "The table '{table}' of items does not exist, or is being deleted: create it (CreateTable), then run again."
            )),
            other => LoadError::Input(other.to_string()),
        };
        let found = self.dynamodb.table(table).map_err(missing)?;
        let indexes = found.indexes.iter().map(|index| &index.schema);
        let mapping = Mapping::new(table, &found.schema, indexes, shape).map_err(LoadError::Input)?;
        Ok((found.id(), mapping))
    }
}

fn of_store(error: ItemsError) -> LoadError {
    match error {
        ItemsError::NoTable(_) => LoadError::Input("The table of items was deleted while rows were being put into it.".into()),
        other => LoadError::Retry(other.to_string()),
    }
}

#[async_trait]
impl ItemLoader for ItemLoads {
    async fn table(&self, name: &str) -> Result<Option<ItemTable>, LoadError> {
        let Ok(table) = self.dynamodb.table(name) else { return Ok(None) };
        let key = table.schema.attributes().map(|one| (one.name.clone(), one.key_type.name())).collect();
        let id = table.id();
        let counts = self.dynamodb.look(move |items| items.counts(id).map_err(super::items_error)).await;
        match counts {
            Ok(counts) => Ok(Some(ItemTable { key, items: counts.items })),
            Err(DynamoError::NotFound) => Ok(None),
            Err(error) => Err(LoadError::Retry(error.to_string())),
        }
    }

    async fn check(&self, table: &str, shape: &ItemShape) -> Result<Arc<dyn RowCheck>, LoadError> {
        Ok(Arc::new(self.mapping(table, shape)?.1))
    }

    async fn load(&self, load: &ItemLoad, stop: &CancellationToken) -> Result<Loaded, LoadError> {
        let (table, mapping) = self.mapping(&load.table, &load.shape)?;
        let handle = self.engine.handle();
        let cancel = Arc::new(AtomicBool::new(false));
        let spec = VisitSpec {
            reader: Reader { store: self.engine.store().clone(), handle: handle.clone() },
            files: load.files.clone(),
            threads: self.engine.config().threads,
            cancel: cancel.clone(),
        };
        let items = self.dynamodb.items().clone();
        let mut loading = handle.spawn_blocking(move || put_all(&items, table, &mapping, &spec));
        let joined = tokio::select! {
            joined = &mut loading => joined,
            () = stop.cancelled() => {
                cancel.store(true, Ordering::Relaxed);
                loading.await
            }
        };
        joined.unwrap_or_else(|_| Err(LoadError::Input("an internal fault ended the load; the log says more".into())))
    }
}

/// Puts the rows of all files into a table. Blocks.
fn put_all(items: &Items, table: TableId, mapping: &Mapping, spec: &VisitSpec) -> Result<Loaded, LoadError> {
    let threads = spec.threads.max(1);
    let options = LoadOptions { writers: threads, ..LoadOptions::default() };
    let loader = items.loader(table, options).map_err(of_store)?;
    let rows = read_all(&loader, mapping, spec)?;
    let counts = loader.finish(|_, _| !spec.cancel.load(Ordering::Relaxed)).map_err(|error| match error {
        StoreLoadError::Stopped => LoadError::Stopped,
        StoreLoadError::Store(error) => of_store(error),
        StoreLoadError::Item(error) => LoadError::Input(error.to_string()),
    })?;
    Ok(Loaded { rows, created: counts.created, replaced: counts.replaced, duplicates: counts.duplicates })
}

fn read_all(loader: &Loader, mapping: &Mapping, spec: &VisitSpec) -> Result<u64, LoadError> {
    // Of faults in several threads the first in the files is told: the same one each time, if no thread was stopped before it came to it.
    let faults: Mutex<Vec<(Place, Fault)>> = Mutex::default();
    let visitor = || Putter { mapping, writer: Some(loader.writer()), scratch: Scratch::default(), faults: &faults };
    let read = visit_parquet(spec, visitor);
    let mut faults = faults.into_inner().unwrap_or_else(PoisonError::into_inner);
    faults.sort_by_key(|(place, fault)| (place.file, place.first_row, fault.row));
    if let Some((place, fault)) = faults.first() {
        return Err(LoadError::Input(told(&spec.files[place.file], *place, fault)));
    }
    read.map_err(|error| match error {
        VisitError::Content(text) => LoadError::Input(text),
        VisitError::Retry(text) => LoadError::Retry(text),
        VisitError::Cancelled => LoadError::Stopped,
        VisitError::Visitor(error) => error,
    })
}

/// `file, row 17: column 'id' = 'x': is no number`
fn told(file: &DataFile, place: Place, fault: &Fault) -> String {
    let row = place.first_row + fault.row as u64 + 1;
    let column = fault.column.as_ref().map(|column| match &fault.value {
        Some(value) => format!(" '{column}' = '{}':", value.chars().take(100).collect::<String>()),
        None => format!(" '{column}':"),
    });
    format!("{}, row {row}:{} {}. No item was put.", file.uri, column.unwrap_or_default(), fault.reason)
}

/// Puts the rows of one thread.
struct Putter<'a> {
    mapping: &'a Mapping,
    writer: Option<LoadWriter>,
    scratch: Scratch,
    faults: &'a Mutex<Vec<(Place, Fault)>>,
}

impl Visitor for Putter<'_> {
    type Error = LoadError;

    fn visit(&mut self, rows: &Rows<'_>, place: Place) -> Result<(), LoadError> {
        let columns = self.mapping.columns(rows);
        let Some(writer) = &mut self.writer else { return Ok(()) };
        for row in 0..rows.len() {
            let faulty = |fault: Fault| {
                self.faults.lock().unwrap_or_else(PoisonError::into_inner).push((place, fault));
                LoadError::Input(String::new())
            };
            let order = columns.order(row).unwrap_or_else(|| order_of(place, row));
            let item = columns.encode(row, &mut self.scratch).map_err(faulty)?;
            match writer.put_encoded(order, item) {
                Ok(()) => {}
                Err(StoreLoadError::Item(error)) => {
                    return Err(faulty(Fault { row, column: None, value: None, reason: error.to_string() }));
                }
                Err(StoreLoadError::Store(error)) => return Err(of_store(error)),
                Err(StoreLoadError::Stopped) => return Err(LoadError::Stopped),
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<(), LoadError> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        writer.finish().map_err(|error| match error {
            StoreLoadError::Store(error) => of_store(error),
            other => LoadError::Retry(other.to_string()),
        })
    }
}

/// Rises with files and with rows in them.
fn order_of(place: Place, row: usize) -> u64 {
    (place.file as u64) << 40 | (place.first_row + row as u64)
}

#[cfg(test)]
mod tests;
