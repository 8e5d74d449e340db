//! What is new for a run: the source objects that came after the bookmark, in one snapshot of the lake.

use super::RunError;
use crate::glue::crawler::grouping_values;
use crate::glue::crawler::rows as crawlers;
use crate::glue::crawler::spec::RecrawlBehavior;
use crate::glue::job::rows::{self, Bookmark};
use crate::glue::job::spec::ConvertArguments;
use crate::lake::catalog::{self, FileRules};
use crate::lake::ledger;
use crate::lake::objects::{self, Object, split_uri};
use millpond_core::catalog::{StorageDescriptor, Table};
use millpond_engine::format;
use millpond_engine::table::{FileGroup, Format, TableShape};
use rusqlite::Connection;
use std::collections::HashMap;
use std::sync::Arc;

/// Objects that one look takes from the index.
const PAGE: usize = 4_096;

/// How much one run with a bookmark takes; what is more is left to the next, which follows at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Source objects.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { files: 20_000, bytes: 8 << 30 }
    }
}

/// A source object of a run.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Its key in [`Selection::bucket`].
    pub key: String,
    /// With bucket and key it identifies the version.
    pub etag: String,
    /// Bytes.
    pub size: u64,
}

/// What a run works on.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The source table.
    pub source: Table,
    /// Its bucket.
    pub bucket: String,
    /// The target table, where there is one.
    pub target: Option<Table>,
    /// `s3://bucket/prefix/` of the target.
    pub target_location: String,
    /// The target's partition keys.
    pub partition_by: Vec<String>,
    /// The bookmark, as it was found.
    pub bookmark: Option<Bookmark>,
    /// Where the bookmark is to be moved.
    pub until: i64,
    /// The source objects by partition, in the engine's form.
    pub groups: Vec<FileGroup>,
    /// The same objects, in the order of the groups.
    pub files: Vec<SourceFile>,
    /// Whether more is there than one run takes.
    pub more: bool,
    /// Objects that lie in no partition of the source.
    pub outside: u64,
    /// Something that people should know.
    pub remark: Option<String>,
}

impl Selection {
    /// The source as the engine sees it.
    pub fn source_shape(&self) -> TableShape {
        shape(&self.source)
    }
}

/// A table as the engine sees it.
pub fn shape(table: &Table) -> TableShape {
    TableShape {
        columns: table.storage.columns.clone(),
        partition_keys: table.partition_keys.clone(),
        parameters: table.parameters.clone(),
    }
}

fn failed<T>(text: String) -> Result<T, RunError> {
    Err(RunError::Failed(text))
}

/// Selects.
pub(super) fn select(
    connection: &Connection,
    job: &str,
    wanted: &ConvertArguments,
    limits: Limits,
) -> Result<Selection, RunError> {
    let Some(source) = catalog::table(connection, &wanted.source_database, &wanted.source_table)? else {
        return failed(format!("Source table {} does not exist. Create it, or let a crawler find it.", wanted.source()));
    };
    Format::of(&source.storage, &source.parameters).map_err(|format::FormatError(text)| {
        RunError::Failed(format!("Source table {} cannot be read: {text}", wanted.source()))
    })?;
    let target = Target::find(connection, wanted)?;
    let location = source.storage.location.clone().unwrap_or_default();
    let Some((bucket_name, prefix)) = split_uri(&location) else {
        return failed(format!("Source table {} has the location '{location}', which is not in S3.", wanted.source()));
    };
    let (bucket_name, prefix) = (bucket_name.to_owned(), prefix.to_owned());
    let Some(bucket) = objects::bucket(connection, &bucket_name)? else {
        return failed(format!("Bucket '{bucket_name}' of source table {} does not exist.", wanted.source()));
    };
    let committed = millpond_store::committed_seq(connection)?;
    let bookmark = if wanted.bookmark { rows::bookmark(connection, job, &wanted.source())? } else { None };
    let (until, remark) = seen_until(connection, &source, bucket.id, &prefix, committed)?;
    let mut picker = Picker {
        connection,
        job,
        wanted,
        source: &source,
        bucket: &bucket_name,
        rest_at: if prefix.is_empty() || prefix.ends_with('/') { prefix.len() } else { prefix.len() + 1 },
        is_object: !prefix.is_empty() && !prefix.ends_with('/') && objects::get(connection, bucket.id, &prefix)?.is_some(),
        prefix: prefix.clone(),
        rules: FileRules::of(&source),
        generation: bookmark.as_ref().map(|bookmark| bookmark.generation),
        groups: HashMap::new(),
        storages: Vec::new(),
        files: 0,
        bytes: 0,
        outside: 0,
    };
    let mut after = bookmark.as_ref().map_or(0, |bookmark| bookmark.seq);
    let mut more = false;
    'pages: loop {
        let page = objects::since(connection, bucket.id, &prefix, after, until, PAGE)?;
        let full = page.len() == PAGE;
        for object in page {
            if wanted.bookmark && picker.files > 0 && (picker.files >= limits.files || picker.bytes >= limits.bytes) {
                more = true;
                break 'pages;
            }
            after = object.seq;
            picker.take(object)?;
        }
        if !full {
            break;
        }
    }
    let outside = picker.outside;
    let (groups, files) = picker.finish();
    let until = if more { after } else { until.max(after) };
    let (target_location, partition_by, target) = (target.location, target.partition_by, target.table);
    Ok(Selection {
        source,
        bucket: bucket_name,
        target,
        target_location,
        partition_by,
        bookmark,
        until,
        groups,
        files,
        more,
        outside,
        remark,
    })
}

/// Up to which seq the source's objects are taken. Those that a crawler in event mode has not seen yet wait for it: it may widen types and add columns that
/// they need, and when it has ended the job is told again.
fn seen_until(
    connection: &Connection,
    source: &Table,
    bucket: i64,
    prefix: &str,
    committed: i64,
) -> Result<(i64, Option<String>), RunError> {
    let Some(name) = source.parameters.get("UPDATED_BY_CRAWLER") else { return Ok((committed, None)) };
    let crawler = crawlers::crawler(connection, name)?;
    let crawler = crawler.filter(|crawler| crawler.spec.recrawl_policy.recrawl_behavior == RecrawlBehavior::CrawlEventMode);
    let Some(crawler) = crawler else { return Ok((committed, None)) };
    let until = crawler.bookmark.min(committed);
    let waits = !objects::since(connection, bucket, prefix, until, committed, 1)?.is_empty();
    let remark = || format!("newer objects wait for the crawler '{name}', which has not seen them yet");
    Ok((until, waits.then(remark)))
}

struct Target {
    table: Option<Table>,
    location: String,
    partition_by: Vec<String>,
}

impl Target {
    fn find(connection: &Connection, wanted: &ConvertArguments) -> Result<Self, RunError> {
        if wanted.items.is_some() {
            // The table is no matter of the catalog; what is said here is where the quarantine lies.
            let location = wanted.target_location.clone().unwrap_or_default();
            return Ok(Self { table: None, location, partition_by: Vec::new() });
        }
        let Some(database) = catalog::database(connection, &wanted.target_database)? else {
            return failed(format!("Target database '{}' does not exist. Create it.", wanted.target_database));
        };
        let name = wanted.target();
        let Some(table) = catalog::table(connection, &wanted.target_database, &wanted.target_table)? else {
            let below = |uri: &String| format!("{}/{}/", uri.trim_end_matches('/'), wanted.target_table);
            let of_database = database.location_uri.as_ref().filter(|uri| split_uri(uri).is_some()).map(below);
            let bucket = objects::bucket(connection, &wanted.target_database)?
                .map(|bucket| format!("s3://{}/{}/", bucket.name, wanted.target_table));
            let Some(location) = wanted.target_location.clone().or(of_database).or(bucket) else {
                return failed(format!(
                    "Nothing says where target table {name} is to lie: give --target-location, or give the database '{}' a LocationUri.",
                    wanted.target_database
                ));
            };
            return Self { table: None, location, partition_by: wanted.partition_by.clone() }.checked(connection);
        };
        let location = table.storage.location.clone().unwrap_or_default();
        let location = format!("{}/", location.trim_end_matches('/'));
        if let Some(other) = wanted.target_location.as_ref().filter(|other| **other != location) {
            return failed(format!(
                "Target table {name} lies at {location}, and --target-location says {other}: drop the table or change the argument."
            ));
        }
        match Format::of(&table.storage, &table.parameters) {
            Ok(Format::Parquet) => {}
            _ => return failed(format!("Target table {name} is not of Parquet: give another target, or drop the table.")),
        }
        let keys: Vec<String> = table.partition_keys.iter().map(|key| key.name.clone()).collect();
        if !wanted.partition_by.is_empty() && wanted.partition_by != keys {
            return failed(format!(
                "Target table {name} is partitioned by ({}), and --partition-by says ({}): drop the table or change the argument.",
                keys.join(", "),
                wanted.partition_by.join(", ")
            ));
        }
        Self { table: Some(table), location, partition_by: keys }.checked(connection)
    }

    fn checked(self, connection: &Connection) -> Result<Self, RunError> {
        let bucket = split_uri(&self.location).map(|(bucket, _)| bucket.to_owned());
        match bucket.as_deref().map(|name| objects::bucket(connection, name)).transpose()?.flatten() {
            Some(_) => Ok(self),
            None => failed(format!("The bucket of the target's location {} does not exist. Create it.", self.location)),
        }
    }
}

/// Picks objects, and sorts them by partition.
struct Picker<'a> {
    connection: &'a Connection,
    job: &'a str,
    wanted: &'a ConvertArguments,
    source: &'a Table,
    bucket: &'a str,
    prefix: String,
    /// Where the part of a key begins that lies after the table's location.
    rest_at: usize,
    is_object: bool,
    rules: FileRules,
    generation: Option<i64>,
    groups: HashMap<Vec<String>, (usize, Vec<Object>)>,
    storages: Vec<Arc<StorageDescriptor>>,
    files: usize,
    bytes: u64,
    outside: u64,
}

impl Picker<'_> {
    fn take(&mut self, object: Object) -> Result<(), RunError> {
        if self.is_object && object.key != self.prefix {
            return Ok(());
        }
        let Some(rest) = (if self.is_object { Some("") } else { object.key.get(self.rest_at..) }) else { return Ok(()) };
        if !self.is_object && self.rest_at > 0 && object.key.as_bytes()[self.rest_at - 1] != b'/' {
            return Ok(());
        }
        let base = object.key.len() - rest.len();
        if !self.rules.is_data(self.bucket, &object.key, base, object.size) || !self.is_wanted(&object.key) {
            return Ok(());
        }
        if let Some(generation) = self.generation
            && ledger::contributed(self.connection, self.job, generation, self.bucket, &object.key, &object.etag)?
        {
            return Ok(());
        }
        let Some((values, _)) = grouping_values(rest, self.source.partition_keys.len()) else {
            self.outside += 1;
            return Ok(());
        };
        self.files += 1;
        self.bytes += object.size;
        if let Some((_, files)) = self.groups.get_mut(&values) {
            files.push(object);
            return Ok(());
        }
        let storage = self.storage(&values)?;
        self.groups.insert(values, (storage, vec![object]));
        Ok(())
    }

    fn is_wanted(&self, key: &str) -> bool {
        let path = self.wanted.source_path.as_deref().and_then(split_uri);
        let below = path.is_none_or(|(bucket, prefix)| bucket == self.bucket && key.starts_with(prefix));
        below && self.wanted.source_suffix.as_deref().is_none_or(|suffix| key.ends_with(suffix))
    }

    /// The place of the descriptor for a partition; of equal ones (but for the location) there is one.
    fn storage(&mut self, values: &[String]) -> Result<usize, RunError> {
        let own = match values.is_empty() {
            true => None,
            false => catalog::partition(self.connection, &self.source.database, &self.source.name, values)?,
        };
        // A partition may say no more than its location; the rest is then the table's.
        let says =
            |storage: &StorageDescriptor| storage.serde_info.serialization_library.is_some() || storage.input_format.is_some();
        let own = own.map(|partition| partition.storage).filter(says);
        let mut storage = own.unwrap_or_else(|| self.source.storage.clone());
        storage.location = None;
        if let Some(at) = self.storages.iter().rposition(|known| **known == storage) {
            return Ok(at);
        }
        self.storages.push(Arc::new(storage));
        Ok(self.storages.len() - 1)
    }

    fn finish(self) -> (Vec<FileGroup>, Vec<SourceFile>) {
        let mut sorted: Vec<_> = self.groups.into_iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let (mut groups, mut files) = (Vec::with_capacity(sorted.len()), Vec::with_capacity(self.files));
        for (values, (storage, objects)) in sorted {
            let data = objects.iter().map(|object| object.data_file(self.bucket)).collect();
            groups.push(FileGroup { values, storage: self.storages[storage].clone(), files: data });
            files.extend(objects.into_iter().map(|object| SourceFile { key: object.key, etag: object.etag, size: object.size }));
        }
        (groups, files)
    }
}
