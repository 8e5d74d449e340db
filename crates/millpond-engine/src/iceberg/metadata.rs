//! Bytes to and from a table's metadata, manifest lists and manifests.

use super::promote::promote;
use super::{Objects, TableUpdate, conflict, invalid, named};
use crate::decode::avro;
use crate::query::QueryError;
use crate::table::TimeTravel;
use bytes::Bytes;
use chrono::DateTime;
use flate2::read::GzDecoder;
use iceberg::io::FileIO;
use iceberg::spec::{
    FormatVersion, ManifestEntryRef, ManifestFile, ManifestList, PartitionSpec, SchemaRef, SnapshotRef, TableMetadata,
};
use serde_json::Value;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Bytes of one file of metadata at the most, unpacked.
const METADATA_BYTES_MAX: u64 = 256 << 20;

/// Reads a table's metadata, which may be compressed by gzip.
///
/// # Errors
/// `ICEBERG_INVALID_METADATA` with the location.
pub fn parse(bytes: &[u8], location: &str) -> Result<TableMetadata, QueryError> {
    let wrong = |error: &dyn std::fmt::Display| invalid(format!("{location}: {error}"));
    let mut unpacked = Vec::new();
    let json = if bytes.starts_with(&[0x1f, 0x8b]) {
        let read = GzDecoder::new(bytes).take(METADATA_BYTES_MAX + 1).read_to_end(&mut unpacked);
        read.map_err(|error| wrong(&error))?;
        if unpacked.len() as u64 > METADATA_BYTES_MAX {
            return Err(wrong(&format!("it has more than {METADATA_BYTES_MAX} bytes")));
        }
        unpacked.as_slice()
    } else {
        bytes
    };
    guarded(location, || serde_json::from_slice(json).map_err(|error| wrong(&error)))
}

/// A table's metadata as a file: JSON, packed by gzip where its properties (and so its name) say so.
///
/// # Errors
/// It cannot be encoded.
pub fn encode(metadata: &TableMetadata, location: &str) -> Result<Bytes, QueryError> {
    let json = serde_json::to_vec(&as_json(metadata)?).map_err(invalid)?;
    if !location.ends_with(".gz.metadata.json") {
        return Ok(json.into());
    }
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, &json).map_err(invalid)?;
    Ok(packed.finish().map_err(invalid)?.into())
}

/// A table's metadata as JSON, its lists in the order in which what they hold came: the crate has them in maps, and clients look for the first snapshot
/// and the last.
///
/// # Errors
/// They cannot be encoded.
pub fn as_json(metadata: &TableMetadata) -> Result<Value, QueryError> {
    let mut json = serde_json::to_value(metadata).map_err(invalid)?;
    for (list, order) in [
        ("snapshots", ["sequence-number", "timestamp-ms"]),
        ("schemas", ["schema-id", ""]),
        ("partition-specs", ["spec-id", ""]),
        ("sort-orders", ["order-id", ""]),
    ] {
        if let Some(items) = json.get_mut(list).and_then(Value::as_array_mut) {
            items.sort_by_key(|item| order.map(|field| item.get(field).and_then(Value::as_i64).unwrap_or_default()));
        }
    }
    Ok(json)
}

/// What the crate does with others' files may not bring a thread down.
pub(super) fn guarded<T>(location: &str, work: impl FnOnce() -> Result<T, QueryError>) -> Result<T, QueryError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(invalid(format!("{location} cannot be decoded"))))
}

/// The bytes of a metadata file.
pub(crate) fn read(objects: &dyn Objects, location: &str) -> Result<Bytes, QueryError> {
    let file = objects.file(location)?.ok_or_else(|| {
        named("ICEBERG_MISSING_METADATA", format!("Metadata not found in metadata location for table: {location} does not exist"))
    })?;
    Ok(objects.bytes(&file, METADATA_BYTES_MAX)?)
}

/// A table's metadata at a location.
///
/// # Errors
/// `ICEBERG_MISSING_METADATA` and `ICEBERG_INVALID_METADATA`.
pub fn load(objects: &dyn Objects, location: &str) -> Result<TableMetadata, QueryError> {
    parse(&read(objects, location)?, location)
}

/// The manifests of a snapshot.
///
/// # Errors
/// As [`load`].
pub fn manifests(
    objects: &dyn Objects,
    metadata: &TableMetadata,
    snapshot: &SnapshotRef,
) -> Result<Vec<ManifestFile>, QueryError> {
    let location = snapshot.manifest_list();
    let bytes = read(objects, location)?;
    avro::check(&bytes).map_err(|error| invalid(format!("{location} {error}")))?;
    guarded(location, || {
        let version = metadata.format_version();
        // A table that was brought from version 1 to 2 keeps lists of version 1.
        let list = ManifestList::parse_with_version(&bytes, version)
            .or_else(|error| ManifestList::parse_with_version(&bytes, FormatVersion::V1).map_err(|_| error));
        let list = list.map_err(|error| invalid(format!("{location}: {error}")))?;
        Ok(list.consume_entries().into_iter().collect())
    })
}

/// The schema that a partition specification's fields are typed by: the current one, or the last one that still had all columns that they come from.
pub(super) fn partition_schema(metadata: &TableMetadata, spec: &PartitionSpec) -> SchemaRef {
    let current = metadata.current_schema();
    let fits = |schema: &SchemaRef| spec.fields().iter().all(|field| schema.field_by_id(field.source_id).is_some());
    if fits(current) {
        return current.clone();
    }
    let former = metadata.schemas_iter().filter(|schema| fits(schema)).max_by_key(|schema| schema.schema_id());
    former.unwrap_or(current).clone()
}

/// The entries of a manifest, with what they inherit from its list. Their partitions have the types that the table's columns have now, whatever they
/// had when the manifest was written.
///
/// # Errors
/// As [`load`]; the manifest is encrypted.
pub fn entries(
    objects: &dyn Objects,
    metadata: &TableMetadata,
    manifest: &ManifestFile,
) -> Result<Vec<ManifestEntryRef>, QueryError> {
    let location = manifest.manifest_path.as_str();
    if manifest.key_metadata.is_some() {
        return Err(QueryError::NotSupported(format!("the manifest {location} is encrypted")));
    }
    let bytes = read(objects, location)?;
    avro::check(&bytes).map_err(|error| invalid(format!("{location} {error}")))?;
    guarded(location, || {
        let memory = FileIO::new_with_memory();
        let loaded = futures::executor::block_on(async {
            memory.new_output(location)?.write(bytes).await?;
            manifest.load_manifest(&memory).await
        });
        let loaded = loaded.map_err(|error| invalid(format!("{location}: {error}")))?;
        let mut entries = loaded.into_parts().0;
        if let Some(spec) = metadata.partition_spec_by_id(manifest.partition_spec_id)
            && let Ok(types) = spec.partition_type(&partition_schema(metadata, spec))
        {
            entries.iter_mut().try_for_each(|entry| promote(entry, &types, spec.spec_id())).map_err(invalid)?;
        }
        Ok(entries)
    })
}

/// Whether the objects are there that a snapshot leads to: its manifest list, and the manifests in it. A snapshot whose writer took too long may have
/// lost them as files that nobody knew.
///
/// # Errors
/// `ICEBERG_COMMIT_ERROR` where one is missing; the list cannot be read.
pub fn check_snapshot(
    objects: &dyn Objects,
    metadata: &TableMetadata,
    snapshot: &SnapshotRef,
    table: &str,
) -> Result<(), QueryError> {
    if objects.file(snapshot.manifest_list())?.is_none() {
        return Err(conflict(table));
    }
    for manifest in manifests(objects, metadata, snapshot)? {
        if objects.file(&manifest.manifest_path)?.is_none() {
            return Err(conflict(table));
        }
    }
    Ok(())
}

/// Whether the snapshots are all there that `updates` added to a table's metadata.
///
/// # Errors
/// As [`check_snapshot`].
pub fn check_added(
    objects: &dyn Objects,
    metadata: &TableMetadata,
    updates: &[TableUpdate],
    table: &str,
) -> Result<(), QueryError> {
    updates.iter().try_for_each(|update| match update {
        TableUpdate::AddSnapshot { snapshot } => match metadata.snapshot_by_id(snapshot.snapshot_id()) {
            Some(added) => check_snapshot(objects, metadata, added, table),
            None => Ok(()),
        },
        _ => Ok(()),
    })
}

/// One version of a table, as queries see it.
#[derive(Debug, Clone)]
pub struct Version {
    /// Where the metadata lie.
    pub location: String,
    /// Of the table.
    pub metadata: Arc<TableMetadata>,
    /// `None`: the table has no rows yet.
    pub snapshot: Option<SnapshotRef>,
    /// The columns that are seen: the snapshot's own for an old version, the table's for the current one.
    pub schema: SchemaRef,
}

impl Version {
    /// The version at `at`, the current one without. `name` is `"database"."table"`, for messages.
    ///
    /// # Errors
    /// There is no such version.
    pub fn at(metadata: TableMetadata, location: &str, at: Option<&TimeTravel>, name: &str) -> Result<Self, QueryError> {
        let metadata = Arc::new(metadata);
        let location = location.to_owned();
        let Some(at) = at else {
            let (snapshot, schema) = (metadata.current_snapshot().cloned(), metadata.current_schema().clone());
            return Ok(Self { location, metadata, snapshot, schema });
        };
        let wrong = |message: String| named("INVALID_ARGUMENTS", message);
        let found = match at {
            TimeTravel::Snapshot(id) => {
                let found = metadata.snapshot_by_id(*id);
                found.ok_or_else(|| wrong(format!("Iceberg snapshot ID does not exists: {id}")))?
            }
            TimeTravel::Reference(reference) => {
                let found = metadata.snapshot_for_ref(reference);
                found.ok_or_else(|| wrong(format!("Cannot find snapshot with reference name: {reference}")))?
            }
            TimeTravel::Timestamp(micros) => {
                let millis = micros.div_euclid(1000);
                let current = metadata.history().iter().rev().find(|entry| entry.timestamp_ms() <= millis);
                let found = current.and_then(|entry| metadata.snapshot_by_id(entry.snapshot_id));
                found.ok_or_else(|| {
                    let time =
                        DateTime::from_timestamp_millis(millis).map(|time| time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
                    wrong(format!("No version history table {name} at or before {}", time.unwrap_or_default()))
                })?
            }
        };
        let schema = found.schema(&metadata).map_err(invalid)?;
        Ok(Self { location, snapshot: Some(found.clone()), schema, metadata })
    }
}
