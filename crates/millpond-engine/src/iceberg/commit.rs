//! A change as new metadata, on top of a version of the table.
//!
//! What a statement did ([`Change`]) is kept apart from the version that it is committed on: where another commit came between, rows that were only
//! added are put on top of that one ([`prepare`] again, without running the statement), and replaced files are checked against it. The result
//! ([`Prepared`]) says on top of which metadata file it lies; whoever commits it sees in the transaction that this is still the table's.

use super::metadata::{self, Version};
use super::prune::Pruner;
use super::schema::catalog_columns;
use super::write::NewDataFile;
use super::{METADATA_LOCATION, Objects, PREVIOUS_METADATA_LOCATION, TABLE_TYPE, conflict, invalid};
use super::{create, inspect};
use crate::query::QueryError;
use bytes::Bytes;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, FormatVersion, MAIN_BRANCH, ManifestContentType, ManifestEntryRef, ManifestFile, ManifestListWriter,
    ManifestWriter, ManifestWriterBuilder, Operation, PartitionSpecRef, Snapshot, SnapshotReference, SnapshotRetention,
    SnapshotSummaryCollector, Summary, TableMetadata,
};
use iceberg::{MetadataLocation, TableRequirement, TableUpdate};
use millpond_core::catalog::Table;
use millpond_core::env::{EnvExt, SharedEnv};
use object_store::path::Path;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;

/// Manifests of one partition specification from which on an append brings them together (Iceberg: `commit.manifest.min-count-to-merge`).
const MANIFESTS_MAX: usize = 100;
/// Bytes of a manifest that is not brought together with others any more (Iceberg: `commit.manifest.target-size-bytes`).
const MANIFEST_BYTES: i64 = 8 << 20;

/// What a change must not have missed.
#[derive(Debug, Clone)]
pub(crate) enum Guard {
    /// Nothing: rows are added, whatever others did.
    Nothing,
    /// That others put deletes on the files; rows that they added do not matter. Delete files that no data file is left for may go.
    Files {
        /// Whether no data file is left that the delete files of the version concern.
        drop_deletes: bool,
    },
    /// Files that others added since: any of them.
    Anything,
    /// Files that others added since and that may have rows which the statement would have looked at.
    Matching(Arc<Pruner>),
}

/// What a statement did to a version of a table; nothing of it has a name yet.
#[derive(Debug, Clone)]
pub struct Change {
    /// The version that it read.
    pub base: Arc<Version>,
    /// Iceberg's name for it.
    pub operation: Operation,
    /// New data files.
    pub added: Vec<NewDataFile>,
    /// URIs of data files that are no longer in the table.
    pub removed: HashSet<String>,
    pub(crate) guard: Guard,
}

impl Change {
    /// Rows that are added.
    pub fn append(base: Arc<Version>, added: Vec<NewDataFile>) -> Self {
        Self { base, operation: Operation::Append, added, removed: HashSet::new(), guard: Guard::Nothing }
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// Bytes of an object that a commit names.
#[derive(Debug, Clone)]
pub enum Content {
    /// Here.
    Bytes(Bytes),
    /// Written to the engine's store already; its size in bytes.
    Blob(Path, u64),
}

/// A version of a table that is ready to be committed.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The metadata file that it is on top of; `None`: the table is new.
    pub base: Option<String>,
    /// Its own metadata file.
    pub location: String,
    /// The metadata.
    pub metadata: Arc<TableMetadata>,
    /// Objects that get their names, the metadata file among them.
    pub objects: Vec<(String, Content)>,
}

impl Prepared {
    /// Says in a row of the catalog what this version is (as Iceberg's own catalogs for Glue do).
    pub fn describe(&self, table: &mut Table) {
        let parameters = &mut table.parameters;
        parameters.insert(TABLE_TYPE.into(), "ICEBERG".into());
        parameters.insert(METADATA_LOCATION.into(), self.location.clone());
        match &self.base {
            Some(base) => parameters.insert(PREVIOUS_METADATA_LOCATION.into(), base.clone()),
            None => parameters.remove(PREVIOUS_METADATA_LOCATION),
        };
        create::describe(&self.metadata, parameters);
        table.table_type = Some("EXTERNAL_TABLE".into());
        table.partition_keys = Vec::new();
        table.storage.columns = catalog_columns(&self.metadata);
        table.storage.location = Some(self.metadata.location().trim_end_matches('/').to_owned());
        if let Some(comment) = self.metadata.properties().get("comment") {
            table.description = Some(comment.clone());
        }
    }

    /// A version that is described by `metadata`.
    ///
    /// # Errors
    /// It cannot be encoded.
    pub fn new(base: Option<&str>, metadata: TableMetadata, mut objects: Vec<(String, Content)>) -> Result<Self, QueryError> {
        let next = base
            .and_then(|base| MetadataLocation::from_str(base).ok())
            .map(|base| base.with_next_version().with_new_metadata(&metadata));
        let location =
            next.unwrap_or_else(|| MetadataLocation::new_with_metadata(metadata.location().trim_end_matches('/'), &metadata));
        let location = location.to_string();
        objects.push((location.clone(), Content::Bytes(metadata::encode(&metadata, &location)?)));
        Ok(Self { base: base.map(str::to_owned), location, metadata: Arc::new(metadata), objects })
    }
}

/// The version that `updates` make of the one at `location`.
///
/// # Errors
/// `ICEBERG_COMMIT_ERROR` where a requirement does not hold; the updates make no sense.
pub fn update(
    objects: &dyn Objects,
    location: &str,
    requirements: &[TableRequirement],
    updates: Vec<TableUpdate>,
    table: &str,
) -> Result<Prepared, QueryError> {
    let current = metadata::load(objects, location)?;
    if requirements.iter().any(|requirement| requirement.check(Some(&current)).is_err()) {
        return Err(conflict(table));
    }
    apply(current, location, updates, Vec::new())
}

pub(super) fn apply(
    current: TableMetadata,
    location: &str,
    updates: Vec<TableUpdate>,
    objects: Vec<(String, Content)>,
) -> Result<Prepared, QueryError> {
    let built = metadata::guarded(location, || {
        let mut builder = current.into_builder(Some(location.to_owned()));
        for update in updates {
            builder = update.apply(builder).map_err(invalid)?;
        }
        builder.build().map_err(invalid)
    })?;
    Prepared::new(Some(location), built.metadata, objects)
}

/// The version that `change` makes of the one at `location`, which is that of the change or a later one.
///
/// # Errors
/// `ICEBERG_COMMIT_ERROR` where the change missed something that came between.
pub fn prepare(
    objects: &dyn Objects,
    location: &str,
    change: &Change,
    env: &SharedEnv,
    table: &str,
) -> Result<Prepared, QueryError> {
    let current = metadata::load(objects, location)?;
    if current.uuid() != change.base.metadata.uuid() {
        return Err(conflict(table));
    }
    if current.format_version() != FormatVersion::V2 {
        return Err(QueryError::NotSupported(format!("changes of Iceberg tables of format {}", current.format_version())));
    }
    let manifests = match current.current_snapshot() {
        Some(snapshot) => metadata::manifests(objects, &current, snapshot)?,
        None => Vec::new(),
    };
    if current.current_snapshot_id() != change.base.snapshot.as_ref().map(|snapshot| snapshot.snapshot_id()) {
        validate(objects, &current, &manifests, change, table)?;
    }
    let (updates, files) = metadata::guarded(location, || {
        let mut building = Building::new(objects, &current, change, env);
        building.manifests(manifests, table)?;
        building.finish()
    })?;
    apply(current, location, updates, files)
}

/// Whether a change still says the truth after what others committed.
fn validate(
    objects: &dyn Objects,
    current: &TableMetadata,
    manifests: &[ManifestFile],
    change: &Change,
    table: &str,
) -> Result<(), QueryError> {
    if matches!(change.guard, Guard::Nothing) {
        return Ok(());
    }
    let former = match &change.base.snapshot {
        // A version that is not the table's any more cannot be compared with.
        Some(snapshot) if current.snapshot_by_id(snapshot.snapshot_id()).is_none() => return Err(conflict(table)),
        Some(snapshot) => metadata::manifests(objects, current, snapshot)?,
        None => Vec::new(),
    };
    let paths = |of: &[ManifestFile]| of.iter().map(|manifest| manifest.manifest_path.clone()).collect::<HashSet<_>>();
    let (before, now) = (paths(&former), paths(manifests));
    let alive = |manifest: &ManifestFile| -> Result<Vec<ManifestEntryRef>, QueryError> {
        Ok(metadata::entries(objects, current, manifest)?.into_iter().filter(|entry| entry.is_alive()).collect())
    };
    let mut gone = HashSet::new();
    for manifest in former.iter().filter(|manifest| !now.contains(&manifest.manifest_path)) {
        gone.extend(alive(manifest)?.into_iter().map(|entry| entry.file_path().to_owned()));
    }
    for manifest in manifests.iter().filter(|manifest| !before.contains(&manifest.manifest_path)) {
        let mut added = Vec::new();
        for entry in alive(manifest)? {
            if !gone.remove(entry.file_path()) {
                added.push(entry);
            }
        }
        if added.is_empty() {
            continue;
        }
        let files: Vec<&DataFile> = added.iter().map(|entry| entry.data_file()).collect();
        let missed = match (&change.guard, manifest.content, current.partition_spec_by_id(manifest.partition_spec_id)) {
            (Guard::Matching(pruner), ManifestContentType::Data, Some(spec)) => pruner.keeps(&files, spec)?.contains(&true),
            (Guard::Files { .. }, ManifestContentType::Data, _) => false,
            _ => true,
        };
        if missed {
            return Err(conflict(table));
        }
    }
    if gone.iter().any(|path| change.removed.contains(path)) {
        return Err(conflict(table));
    }
    Ok(())
}

/// Objects by their URIs.
type Files = Vec<(String, Content)>;

/// A snapshot under construction.
struct Building<'a> {
    objects: &'a dyn Objects,
    current: &'a TableMetadata,
    change: &'a Change,
    env: &'a SharedEnv,
    id: i64,
    memory: FileIO,
    folder: String,
    summary: SnapshotSummaryCollector,
    manifests: Vec<ManifestFile>,
    files: Files,
}

impl<'a> Building<'a> {
    fn new(objects: &'a dyn Objects, current: &'a TableMetadata, change: &'a Change, env: &'a SharedEnv) -> Self {
        let taken = |id: i64| id == 0 || current.snapshot_by_id(id).is_some();
        let random = || i64::from_str_radix(&env.random_hex(8), 16).unwrap_or_default() & i64::MAX;
        let mut id = random();
        while taken(id) {
            id = random();
        }
        let folder = format!("{}/metadata", current.location().trim_end_matches('/'));
        let (memory, summary) = (FileIO::new_with_memory(), SnapshotSummaryCollector::default());
        Self { objects, current, change, env, id, memory, folder, summary, manifests: Vec::new(), files: Vec::new() }
    }

    /// The manifests of the new snapshot: a new one of added files, then those that were there, without removed files.
    fn manifests(&mut self, former: Vec<ManifestFile>, table: &str) -> Result<(), QueryError> {
        self.added()?;
        let mut missing = self.change.removed.clone();
        let mut kept = Vec::new();
        let drop_deletes = matches!(self.change.guard, Guard::Files { drop_deletes: true });
        for manifest in former {
            if drop_deletes && manifest.content == ManifestContentType::Deletes {
                self.dropped(&manifest)?;
                continue;
            }
            if missing.is_empty() || manifest.content == ManifestContentType::Deletes {
                kept.push(manifest);
                continue;
            }
            let entries = metadata::entries(self.objects, self.current, &manifest)?;
            let concerned = entries.iter().any(|entry| entry.is_alive() && missing.contains(entry.file_path()));
            if !concerned {
                kept.push(manifest);
                continue;
            }
            kept.push(self.without(&manifest, &entries, &mut missing)?);
        }
        if !missing.is_empty() {
            return Err(conflict(table));
        }
        let kept = self.merged(kept)?;
        self.manifests.extend(kept);
        Ok(())
    }

    fn added(&mut self) -> Result<(), QueryError> {
        let mut by_spec: BTreeMap<i32, Vec<&NewDataFile>> = BTreeMap::new();
        for added in &self.change.added {
            by_spec.entry(self.change.base.metadata.default_partition_spec_id()).or_default().push(added);
            let blob = Content::Blob(added.blob.clone(), added.data_file.file_size_in_bytes());
            self.files.push((added.data_file.file_path().to_owned(), blob));
        }
        for (id, added) in by_spec {
            let spec = self.spec(id)?;
            let schema = metadata::partition_schema(self.current, &spec);
            for file in &added {
                self.summary.add_file(&file.data_file, schema.clone(), spec.clone());
            }
            let written =
                self.write(&spec, |writer| added.iter().try_for_each(|file| writer.add_file(file.data_file.clone(), -1)))?;
            self.manifests.push(written);
        }
        Ok(())
    }

    fn spec(&self, id: i32) -> Result<PartitionSpecRef, QueryError> {
        let found = self.current.partition_spec_by_id(id).cloned();
        found.ok_or_else(|| invalid(format!("there is no partition specification {id}")))
    }

    /// A manifest without those of its files that are removed, which are taken out of `missing`.
    fn without(
        &mut self,
        manifest: &ManifestFile,
        entries: &[ManifestEntryRef],
        missing: &mut HashSet<String>,
    ) -> Result<ManifestFile, QueryError> {
        let spec = self.spec(manifest.partition_spec_id)?;
        let schema = metadata::partition_schema(self.current, &spec);
        let mut removed = HashSet::new();
        for entry in entries.iter().filter(|entry| entry.is_alive()) {
            if missing.remove(entry.file_path()) {
                self.summary.remove_file(entry.data_file(), schema.clone(), spec.clone());
                removed.insert(entry.file_path());
            }
        }
        self.write(&spec, |writer| {
            entries.iter().filter(|entry| entry.is_alive()).try_for_each(|entry| {
                let (file, sequence) = (entry.data_file().clone(), entry.sequence_number().unwrap_or_default());
                let file_sequence = entry.file_sequence_number.or(Some(sequence));
                if removed.contains(entry.file_path()) {
                    writer.add_delete_file(file, sequence, file_sequence)
                } else {
                    writer.add_existing_file(file, entry.snapshot_id().unwrap_or_default(), sequence, file_sequence)
                }
            })
        })
    }

    /// Counts delete files that go.
    fn dropped(&mut self, manifest: &ManifestFile) -> Result<(), QueryError> {
        let spec = self.spec(manifest.partition_spec_id)?;
        let schema = metadata::partition_schema(self.current, &spec);
        for entry in metadata::entries(self.objects, self.current, manifest)?.iter().filter(|entry| entry.is_alive()) {
            self.summary.remove_file(entry.data_file(), schema.clone(), spec.clone());
        }
        Ok(())
    }

    /// Small manifests as one, where there are many.
    fn merged(&mut self, manifests: Vec<ManifestFile>) -> Result<Vec<ManifestFile>, QueryError> {
        let small =
            |manifest: &ManifestFile| manifest.content == ManifestContentType::Data && manifest.manifest_length < MANIFEST_BYTES;
        let mut counts: HashMap<i32, usize> = HashMap::new();
        for manifest in manifests.iter().filter(|manifest| small(manifest)) {
            *counts.entry(manifest.partition_spec_id).or_default() += 1;
        }
        let many: HashSet<i32> = counts.into_iter().filter(|(_, count)| *count >= MANIFESTS_MAX).map(|(spec, _)| spec).collect();
        let (together, mut kept): (Vec<_>, Vec<_>) = manifests.into_iter().partition(|manifest| {
            small(manifest) && many.contains(&manifest.partition_spec_id) && manifest.added_snapshot_id != self.id
        });
        for id in many {
            let mut entries = Vec::new();
            for manifest in together.iter().filter(|manifest| manifest.partition_spec_id == id) {
                entries.extend(
                    metadata::entries(self.objects, self.current, manifest)?.into_iter().filter(|entry| entry.is_alive()),
                );
            }
            let spec = self.spec(id)?;
            kept.push(self.write(&spec, |writer| {
                entries.iter().try_for_each(|entry| {
                    let sequence = entry.sequence_number().unwrap_or_default();
                    let file_sequence = entry.file_sequence_number.or(Some(sequence));
                    writer.add_existing_file(
                        entry.data_file().clone(),
                        entry.snapshot_id().unwrap_or_default(),
                        sequence,
                        file_sequence,
                    )
                })
            })?);
        }
        Ok(kept)
    }

    fn write(
        &mut self,
        spec: &PartitionSpecRef,
        fill: impl FnOnce(&mut ManifestWriter) -> iceberg::Result<()>,
    ) -> Result<ManifestFile, QueryError> {
        let location = format!("{}/{}-m{}.avro", self.folder, self.env.uuid(), self.files.len());
        let output = self.memory.new_output(&location).map_err(invalid)?;
        let schema = metadata::partition_schema(self.current, spec);
        let builder = ManifestWriterBuilder::new(output, Some(self.id), schema, spec.as_ref().clone());
        let mut writer = builder.build_v2_data();
        fill(&mut writer).map_err(invalid)?;
        let manifest = futures::executor::block_on(writer.write_manifest_file()).map_err(invalid)?;
        self.keep(location)?;
        Ok(manifest)
    }

    /// A file that the crate wrote to memory.
    fn keep(&mut self, location: String) -> Result<(), QueryError> {
        let read = async { self.memory.new_input(&location)?.read().await };
        let bytes = futures::executor::block_on(read).map_err(invalid)?;
        self.files.push((location, Content::Bytes(bytes)));
        Ok(())
    }

    fn finish(mut self) -> Result<(Vec<TableUpdate>, Files), QueryError> {
        let parent = self.current.current_snapshot();
        let sequence = self.current.next_sequence_number();
        let location = format!("{}/snap-{}-1-{}.avro", self.folder, self.id, self.env.uuid());
        let output = self.memory.new_output(&location).map_err(invalid)?;
        let manifests = std::mem::take(&mut self.manifests);
        let written = async {
            let writer = output.writer().await?;
            let parent = parent.map(|parent| parent.snapshot_id());
            let mut list = ManifestListWriter::v2(writer, self.id, parent, sequence);
            list.add_manifests(manifests.into_iter())?;
            list.close().await
        };
        futures::executor::block_on(written).map_err(invalid)?;
        self.keep(location.clone())?;
        let last = parent.map_or(0, |parent| parent.timestamp_ms()).max(self.current.last_updated_ms());
        let mut properties = self.summary.build();
        totals(&mut properties, parent.map(|parent| parent.summary()));
        let snapshot = Snapshot::builder()
            .with_snapshot_id(self.id)
            .with_parent_snapshot_id(parent.map(|parent| parent.snapshot_id()))
            .with_sequence_number(sequence)
            .with_timestamp_ms(self.env.now_ms().max(last))
            .with_manifest_list(location)
            .with_summary(Summary { operation: self.change.operation.clone(), additional_properties: properties })
            .with_schema_id(self.current.current_schema_id())
            .build();
        let retention = match inspect::references(self.current).remove(MAIN_BRANCH) {
            Some(reference) => reference.retention,
            None => SnapshotRetention::Branch { min_snapshots_to_keep: None, max_snapshot_age_ms: None, max_ref_age_ms: None },
        };
        let reference = SnapshotReference { snapshot_id: self.id, retention };
        let updates = vec![
            TableUpdate::AddSnapshot { snapshot },
            TableUpdate::SetSnapshotRef { ref_name: MAIN_BRANCH.to_owned(), reference },
        ];
        Ok((updates, self.files))
    }
}

/// Adds what the whole table has to a snapshot's summary (Iceberg specification, "Optional Snapshot Summary Fields").
fn totals(summary: &mut HashMap<String, String>, parent: Option<&Summary>) {
    let count = |of: &HashMap<String, String>, key: &str| of.get(key).and_then(|value| value.parse::<i64>().ok());
    for (total, added, removed) in [
        ("total-data-files", "added-data-files", "deleted-data-files"),
        ("total-delete-files", "added-delete-files", "removed-delete-files"),
        ("total-records", "added-records", "deleted-records"),
        ("total-files-size", "added-files-size", "removed-files-size"),
        ("total-position-deletes", "added-position-deletes", "removed-position-deletes"),
        ("total-equality-deletes", "added-equality-deletes", "removed-equality-deletes"),
    ] {
        let before = match parent {
            // A parent that does not say how much it has leaves it unknown.
            Some(parent) => count(&parent.additional_properties, total),
            None => Some(0),
        };
        let Some(before) = before else { continue };
        let now = before + count(summary, added).unwrap_or(0) - count(summary, removed).unwrap_or(0);
        summary.insert(total.to_owned(), now.max(0).to_string());
    }
}
