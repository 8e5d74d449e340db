//! Using an earlier result again (Athena user guide, "Reusing query results").
//!
//! AWS trusts the age that the caller allows. Here a result is used only while it is what the query would give now: an execution keeps a digest of
//! the tables and files that its plan was made of, and the same query is planned again, without running it, to compare.

use super::Athena;
use super::execute::Context;
use super::model::{Execution, State};
use super::sql;
use crate::lake::objects;
use async_trait::async_trait;
use millpond_core::catalog::{Database, Table};
use millpond_engine::iceberg::Look;
use millpond_engine::query::{QueryRequest, is_repeatable, view};
use millpond_engine::table::{FileGroup, ScanRequest, SourceError, TableSource};
use millpond_store::StoreError;
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

/// What a query asked of the catalog.
#[derive(Debug, Default, Clone)]
struct Seen {
    /// Of each answer.
    digests: BTreeSet<[u8; 32]>,
    /// Whether something was asked whose answer is not in the digests, or is another one each time.
    unfit: bool,
    /// Bytes of the files that were given.
    file_bytes: u64,
    /// The locations of tables of which partitions were left out.
    filtered: BTreeMap<String, String>,
}

/// A catalog that notes what it answers.
#[derive(Debug)]
pub(super) struct Watched {
    inner: Arc<dyn TableSource>,
    seen: Mutex<Seen>,
}

impl Watched {
    pub(super) fn new(inner: Arc<dyn TableSource>) -> Arc<Self> {
        Arc::new(Self { inner, seen: Mutex::default() })
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().expect("notes are only added"));
    }

    fn seen(&self) -> Seen {
        self.seen.lock().expect("notes are only added").clone()
    }

    /// A digest of all that was answered; `None` where that does not say what a query gives.
    pub(super) fn digest(&self) -> Option<String> {
        let seen = self.seen();
        if seen.unfit {
            return None;
        }
        let mut all = Sha256::new();
        seen.digests.iter().for_each(|digest| all.update(digest));
        Some(hex::encode(all.finalize()))
    }

    /// Whether no table was read.
    pub(super) fn is_untouched(&self) -> bool {
        let seen = self.seen();
        seen.digests.is_empty() && !seen.unfit
    }

    /// Bytes of the tables that were read, with those of the partitions that a filter left out (as far as they are counted quickly).
    pub(super) async fn table_bytes(&self, athena: &Athena) -> u64 {
        let Seen { file_bytes, filtered, .. } = self.seen();
        if filtered.is_empty() {
            return file_bytes;
        }
        let counted = athena.lake.store.read(move |connection| {
            let mut bytes = 0;
            for location in filtered.values() {
                let Some((bucket, prefix)) = objects::split_uri(location) else { continue };
                if let Some(bucket) = objects::bucket(connection, bucket)? {
                    bytes += bytes_below(connection, bucket.id, prefix)?;
                }
            }
            Ok::<_, StoreError>(bytes)
        });
        counted.await.unwrap_or_default().max(file_bytes)
    }
}

/// Objects whose sizes are added up for a statistic: what a reader does in some milliseconds.
const OBJECTS_COUNTED: usize = 20_000;

fn bytes_below(connection: &Connection, bucket: i64, prefix: &str) -> Result<u64, StoreError> {
    let prefix = if prefix.is_empty() { String::new() } else { format!("{}/", prefix.trim_end_matches('/')) };
    let (mut bytes, mut left) = (0, OBJECTS_COUNTED);
    objects::visit_files(connection, bucket, &prefix, |file| {
        if left == 0 || !file.key.starts_with(&prefix) {
            return Ok::<_, StoreError>(ControlFlow::Break(()));
        }
        bytes += file.size;
        left -= 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(bytes)
}

/// A hash of texts that are written to it.
struct Hashed(Sha256);

impl std::fmt::Write for Hashed {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

fn digest_of(write: impl FnOnce(&mut Hashed) -> std::fmt::Result) -> [u8; 32] {
    let mut hashed = Hashed(Sha256::new());
    // Writing to a hash does not fail.
    let _ = write(&mut hashed);
    hashed.0.finalize().into()
}

/// What of a scan's answer decides a query's: values, descriptors and files, whose blobs never change.
fn digest_of_files(table: &Table, groups: &[FileGroup]) -> [u8; 32] {
    digest_of(|hash| {
        write!(hash, "scan {} {}", table.database, table.name)?;
        for group in groups {
            write!(hash, "\0{:?}{:?}", group.values, group.storage)?;
            for file in &group.files {
                write!(hash, "\0{} {}", file.blob, file.uri)?;
            }
        }
        Ok(())
    })
}

#[async_trait]
impl TableSource for Watched {
    async fn table(&self, database: &str, name: &str) -> Result<Option<Table>, SourceError> {
        let found = self.inner.table(database, name).await?;
        let digest = digest_of(|hash| write!(hash, "table {database} {name} {found:?}"));
        // A view's text is part of the query.
        let repeats = found
            .as_ref()
            .filter(|table| view::is_view(table))
            .is_none_or(|table| view::read(table).is_ok_and(|text| is_repeatable(&text.sql, &[])));
        self.note(|seen| {
            seen.digests.insert(digest);
            seen.unfit |= !repeats;
        });
        Ok(found)
    }

    async fn databases(&self) -> Result<Vec<Database>, SourceError> {
        self.note(|seen| seen.unfit = true);
        self.inner.databases().await
    }

    async fn table_names(&self, database: &str) -> Result<Option<Vec<String>>, SourceError> {
        self.note(|seen| seen.unfit = true);
        self.inner.table_names(database).await
    }

    async fn tables(&self, database: &str) -> Result<Vec<Table>, SourceError> {
        self.note(|seen| seen.unfit = true);
        self.inner.tables(database).await
    }

    async fn scan(&self, table: &Table, request: &ScanRequest) -> Result<Vec<FileGroup>, SourceError> {
        let groups = self.inner.scan(table, request).await?;
        let digest = digest_of_files(table, &groups);
        let bytes: u64 = groups.iter().flat_map(|group| &group.files).map(|file| file.size).sum();
        let filtered = request.filter.is_some().then(|| table.storage.location.clone()).flatten();
        self.note(|seen| {
            seen.digests.insert(digest);
            seen.file_bytes += bytes;
            if let Some(location) = filtered {
                seen.filtered.insert(format!("{}.{}", table.database, table.name), location);
            }
        });
        Ok(groups)
    }

    async fn partitions(&self, table: &Table, request: &ScanRequest) -> Result<Vec<Vec<String>>, SourceError> {
        let values = self.inner.partitions(table, request).await?;
        let digest = digest_of(|hash| write!(hash, "partitions {} {} {values:?}", table.database, table.name));
        self.note(|seen| {
            seen.digests.insert(digest);
        });
        Ok(values)
    }

    /// Metadata that are objects never change: which ones are read is in the table.
    async fn look(&self, look: Look) -> Result<(), SourceError> {
        self.inner.look(look).await
    }
}

/// A digest of what decides a result besides the tables: workgroup, statement, parameters, context and result configuration.
pub(super) fn key(effective: &Execution) -> String {
    let location = effective.output.rsplit_once('/').map_or("", |(location, _)| location);
    let digest = digest_of(|hash| {
        let Execution { workgroup, query, parameters, database, catalog, encryption, details, .. } = effective;
        let settings = (&details.expected_owner, &details.acl, encryption, location);
        write!(hash, "{workgroup:?}{query:?}{parameters:?}{database:?}{catalog:?}{settings:?}")
    });
    hex::encode(digest)
}

/// An earlier execution whose result is what this one's would be.
pub(super) async fn earlier(cx: &Context<'_>, sql: &str) -> Option<Execution> {
    let minutes = cx.execution.details.reuse_minutes?;
    if !is_worth(cx.execution, sql) {
        return None;
    }
    let (key, since_ms) = (key(cx.execution), cx.athena.lake.store.env().now_ms() - i64::from(minutes) * 60_000);
    let found = cx.athena.lake.store.read(move |connection| {
        let Some(found) = sql::reusable(connection, &key)? else { return Ok(None) };
        let young = found.state == State::Succeeded && found.completed_ms.is_some_and(|ended_ms| ended_ms >= since_ms);
        let (bucket, name) = objects::split_uri(&found.output).unwrap_or_default();
        let bucket = objects::bucket(connection, bucket)?;
        let object = bucket.map(|bucket| objects::get(connection, bucket.id, name)).transpose()?.flatten();
        let kept = object.is_some_and(|object| Some(object.etag) == found.details.result_etag);
        Ok::<_, StoreError>((young && kept).then_some(found))
    });
    let found = found.await.unwrap_or_default()?;
    let watched = Watched::new(cx.athena.tables.clone());
    let request = QueryRequest { catalog: watched.clone(), ..cx.request(sql) };
    cx.athena.engine.check(request).await.ok()?;
    let now = watched.digest()?;
    (Some(now) == found.details.tables_read).then_some(found)
}

/// Whether a result is worth to be found again.
pub(super) fn is_worth(effective: &Execution, sql: &str) -> bool {
    is_repeatable(sql, &effective.parameters)
}
