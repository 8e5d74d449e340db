//! The files of a version of a table, with what deletes rows of them.

use super::metadata::{self, Version};
use super::prune::Pruner;
use super::{Objects, invalid, named};
use crate::query::QueryError;
use crate::table::{DataFile, DeleteContent, DeleteFile, Format};
use iceberg::spec::{DataContentType, DataFileFormat, ManifestContentType, ManifestEntryRef, PartitionSpecRef, Struct};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Files of one answer at the most.
const FILES_MAX: usize = 2_000_000;

/// A data file that is read.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its bytes.
    pub file: DataFile,
    /// What its manifest says.
    pub entry: ManifestEntryRef,
    /// The specification of its partition.
    pub spec_id: i32,
    /// What deletes rows of it.
    pub deletes: Vec<Arc<DeleteFile>>,
}

/// What deletes rows, and of which files.
struct Delete {
    file: Arc<DeleteFile>,
    sequence: i64,
    spec_id: i32,
    global: bool,
    partition: Struct,
    /// The one data file that it is about.
    only: Option<String>,
    rows_by_position: bool,
}

impl Delete {
    /// Iceberg specification, "Scan Planning".
    fn concerns(&self, task: &ManifestEntryRef, spec_id: i32) -> bool {
        let sequence = task.sequence_number().unwrap_or_default();
        let late = if self.rows_by_position { self.sequence >= sequence } else { self.sequence > sequence };
        if !late {
            return false;
        }
        if let Some(only) = &self.only {
            return only == task.file_path();
        }
        let everywhere = self.global && !self.rows_by_position;
        everywhere || (self.spec_id == spec_id && self.partition == *task.data_file().partition())
    }
}

/// The entries of a version's manifests that are alive and that `pruner` leaves, with their partition specifications. `deletes`: those of delete
/// files instead of data files.
pub(crate) fn live(
    objects: &dyn Objects,
    version: &Version,
    pruner: Option<&Pruner>,
    deletes: bool,
) -> Result<Vec<(ManifestEntryRef, PartitionSpecRef)>, QueryError> {
    let Some(snapshot) = &version.snapshot else { return Ok(Vec::new()) };
    let mut live = Vec::new();
    for manifest in metadata::manifests(objects, &version.metadata, snapshot)? {
        if (manifest.content == ManifestContentType::Deletes) != deletes {
            continue;
        }
        let spec = spec(version, manifest.partition_spec_id)?;
        if pruner.is_some_and(|pruner| !deletes && !pruner.keeps_manifest(&manifest, &spec)) {
            continue;
        }
        let mut entries = metadata::entries(objects, &version.metadata, &manifest)?;
        entries.retain(|entry| entry.is_alive());
        if let Some(pruner) = pruner.filter(|_| !deletes) {
            let files: Vec<_> = entries.iter().map(|entry| entry.data_file()).collect();
            let mut kept = pruner.keeps(&files, &spec)?.into_iter();
            entries.retain(|_| kept.next().unwrap_or(true));
        }
        if live.len() + entries.len() > FILES_MAX {
            let message = format!("the query would read more than {FILES_MAX} files: say in its WHERE clause what it is about");
            return Err(named("ICEBERG_TOO_MANY_FILES", message));
        }
        live.extend(entries.into_iter().map(|entry| (entry, spec.clone())));
    }
    Ok(live)
}

fn spec(version: &Version, id: i32) -> Result<PartitionSpecRef, QueryError> {
    let found = version.metadata.partition_spec_by_id(id).cloned();
    found.ok_or_else(|| invalid(format!("{}: there is no partition specification {id}", version.location)))
}

/// The object of a file that a manifest names.
fn object(objects: &dyn Objects, uri: &str) -> Result<DataFile, QueryError> {
    objects.file(uri)?.ok_or_else(|| {
        named("ICEBERG_CANNOT_OPEN_SPLIT", format!("Error opening Iceberg split {uri}: the object does not exist"))
    })
}

/// The data files of a version that `pruner` leaves; of those, only `restricted` ones where it is given.
///
/// # Errors
/// Metadata or files are missing or broken.
pub(crate) fn tasks(
    objects: &dyn Objects,
    version: &Version,
    pruner: Option<&Pruner>,
    restricted: Option<&HashSet<String>>,
) -> Result<Vec<Task>, QueryError> {
    let mut deletes = Vec::new();
    for (entry, spec) in live(objects, version, None, true)? {
        deletes.push(delete(objects, &entry, spec.spec_id(), spec.is_unpartitioned())?);
    }
    let mut by_file: HashMap<&str, Vec<&Delete>> = HashMap::new();
    let mut wide = Vec::new();
    for delete in &deletes {
        match &delete.only {
            Some(only) => by_file.entry(only).or_default().push(delete),
            None => wide.push(delete),
        }
    }
    let mut tasks = Vec::new();
    for (entry, spec) in live(objects, version, pruner, false)? {
        if restricted.is_some_and(|restricted| !restricted.contains(entry.file_path())) {
            continue;
        }
        if entry.file_format() != DataFileFormat::Parquet {
            let message = format!(
                "{}: data files of Iceberg tables in the format {} cannot be read",
                entry.file_path(),
                entry.file_format()
            );
            return Err(QueryError::NotSupported(message));
        }
        let own = by_file.get(entry.file_path()).into_iter().flatten();
        let concerned = own.chain(&wide).filter(|delete| delete.concerns(&entry, spec.spec_id()));
        let deletes = concerned.map(|delete| Arc::clone(&delete.file)).collect();
        let file = object(objects, entry.file_path())?;
        tasks.push(Task { file, spec_id: spec.spec_id(), deletes, entry });
    }
    Ok(tasks)
}

/// The field of position deletes that names the data file (Iceberg specification, "Reserved Field IDs").
const DELETE_FILE_PATH: i32 = 2_147_483_546;

fn delete(objects: &dyn Objects, entry: &ManifestEntryRef, spec_id: i32, global: bool) -> Result<Delete, QueryError> {
    let data_file = entry.data_file();
    let uri = entry.file_path();
    if entry.file_format() != DataFileFormat::Parquet {
        let message = format!("{uri}: deletes in the format {} cannot be read", entry.file_format());
        return Err(QueryError::NotSupported(message));
    }
    let content = match data_file.content_type() {
        DataContentType::EqualityDeletes => DeleteContent::Equality(data_file.equality_ids().unwrap_or_default()),
        _ => DeleteContent::Positions,
    };
    // Bounds that are one name, not cut off: the file is about one data file.
    let bound = |bounds: &HashMap<i32, iceberg::spec::Datum>| bounds.get(&DELETE_FILE_PATH).map(|bound| bound.literal().clone());
    let named = match (bound(data_file.lower_bounds()), bound(data_file.upper_bounds())) {
        (Some(iceberg::spec::PrimitiveLiteral::String(lower)), Some(iceberg::spec::PrimitiveLiteral::String(upper)))
            if lower == upper =>
        {
            Some(lower)
        }
        _ => None,
    };
    let rows_by_position = content == DeleteContent::Positions;
    let only = data_file.referenced_data_file().or(named).filter(|_| rows_by_position);
    let file = Arc::new(DeleteFile { file: object(objects, uri)?, format: Format::Parquet, content });
    let sequence = entry.sequence_number().unwrap_or_default();
    Ok(Delete { file, sequence, spec_id, global, partition: data_file.partition().clone(), only, rows_by_position })
}
