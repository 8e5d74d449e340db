//! Looking into objects, on the engine's threads that may block.

use super::gather::Found;
use super::schema::{Shape, Shapes};
use crate::glue::classifier::{Classifier, one_byte};
use millpond_core::catalog::StorageDescriptor;
use millpond_engine::decode::Reader;
use millpond_engine::infer::{self, ContainsHeader, CsvClassifier, InferError, Inferred};
use millpond_engine::query::Engine;
use std::collections::HashSet;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What an object turned out to be.
#[derive(Debug)]
pub struct Looked {
    /// Which target.
    pub target: usize,
    /// The key after the target's prefix.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Its shape; `None`: the object was not looked into, since others of its folder were.
    pub shape: Option<Arc<Shape>>,
    /// Why it has none.
    pub reason: Option<String>,
    /// About how many records it has.
    pub records: u64,
    /// What people should know about it.
    pub warnings: Vec<String>,
}

/// Why objects could not be looked into. Trying again may help.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The store's.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// A panic.
    #[error("looking into an object failed; the log says more")]
    Panicked,
    /// The crawl was told to stop.
    #[error("the crawl was stopped")]
    Stopped,
}

/// A custom classifier in the engine's form.
pub fn classifier(known: &Classifier) -> CsvClassifier {
    let spec = &known.spec;
    CsvClassifier {
        name: known.name.clone(),
        delimiter: spec.delimiter.as_deref().and_then(one_byte),
        quote_symbol: spec.quote_symbol.as_deref().and_then(one_byte),
        contains_header: match spec.contains_header.as_deref() {
            Some("PRESENT") => ContainsHeader::Present,
            Some("ABSENT") => ContainsHeader::Absent,
            _ => ContainsHeader::Unknown,
        },
        header: spec.header.clone(),
        allow_single_column: spec.allow_single_column.unwrap_or(false),
        disable_value_trimming: spec.disable_value_trimming.unwrap_or(false),
        serde: spec.kept.get("Serde").and_then(|serde| serde.as_str()).filter(|serde| *serde != "None").map(str::to_owned),
    }
}

/// Looks into the objects of a page, several at a time.
pub async fn inspect(
    engine: &Arc<Engine>,
    classifiers: &Arc<Vec<CsvClassifier>>,
    page: Vec<Found>,
    shapes: &mut Shapes,
    stop: &CancellationToken,
) -> Result<Vec<Looked>, InspectError> {
    let threads = engine.config().threads.max(1);
    let share = page.len().div_ceil(threads).max(1);
    let mut pages = Vec::with_capacity(threads);
    let mut page = page.into_iter();
    loop {
        let part: Vec<Found> = page.by_ref().take(share).collect();
        if part.is_empty() {
            break;
        }
        let reader = Reader { store: engine.store().clone(), handle: engine.handle() };
        let (classifiers, stop) = (classifiers.clone(), stop.clone());
        pages.push(engine.handle().spawn_blocking(move || look_at_all(&reader, &classifiers, part, &stop)));
    }
    let mut looked = Vec::new();
    for part in pages {
        let part = part.await.map_err(|_| InspectError::Panicked)??;
        looked.extend(part.into_iter().map(|(found, inferred)| intern(found, inferred, shapes)));
    }
    Ok(looked)
}

type Seen = (Found, Option<Inferred>);

fn look_at_all(
    reader: &Reader,
    classifiers: &[CsvClassifier],
    part: Vec<Found>,
    stop: &CancellationToken,
) -> Result<Vec<Seen>, InspectError> {
    let look = |found: Found| {
        if stop.is_cancelled() {
            return Err(InspectError::Stopped);
        }
        let inferred = if found.unsampled { None } else { Some(infer::infer(reader, &found.file, classifiers)?) };
        Ok((found, inferred))
    };
    part.into_iter().map(look).collect()
}

fn intern(found: Found, inferred: Option<Inferred>, shapes: &mut Shapes) -> Looked {
    let Found { target, path, file, .. } = found;
    let mut looked = Looked { target, path, size: file.size, shape: None, reason: None, records: 0, warnings: Vec::new() };
    let Some(inferred) = inferred else { return looked };
    if let Some(reason) = &inferred.reason {
        looked.reason = Some(reason.clone());
        return looked;
    }
    if inferred.columns.is_empty() {
        looked.reason = Some("has no columns".into());
        return looked;
    }
    let undecided: HashSet<String> =
        inferred.columns.iter().filter(|column| !column.decided).map(|column| column.name.clone()).collect();
    let columns = infer::catalog_columns(&inferred.columns);
    let mut storage: StorageDescriptor = inferred.storage(&[]);
    let parameters = std::mem::take(&mut storage.parameters);
    looked.records = inferred.record_count;
    looked.shape = Some(shapes.intern(&inferred.classification, columns, undecided, storage, parameters));
    looked.warnings = inferred.warnings;
    looked
}
