//! A lake for tests of crawls and jobs: real store, real engine, tasks done one after another.

use crate::glue::crawler::{CrawlHandler, CrawlerSpec};
use crate::glue::job::{Arguments, JobRun, JobRunHandler, JobSpec, Limits, StartRun};
use crate::glue::{Glue, GlueError};
use crate::lake::objects::{self, Cause, NewObject, ObjectMeta};
use crate::lake::{Lake, catalog, ledger};
use crate::runtime::Handler;
use md5::{Digest, Md5};
use millpond_core::catalog::Table;
use millpond_core::env::SystemEnv;
use millpond_engine::query::{Engine, EngineConfig, QueryRequest};
use millpond_store::{Store, StoreError};
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) struct Pond {
    pub lake: Lake,
    pub glue: Glue,
    pub engine: Arc<Engine>,
    pub limits: Limits,
    directory: tempfile::TempDir,
}

impl Pond {
    /// With the buckets `raw` and `processed`, and databases of the same names.
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::open(directory, true).await
    }

    async fn open(directory: tempfile::TempDir, fresh: bool) -> Self {
        let components = [
            objects::COMPONENT,
            catalog::COMPONENT,
            ledger::COMPONENT,
            crate::glue::COMPONENT,
            crate::glue::crawler::COMPONENT,
            crate::glue::classifier::COMPONENT,
            crate::glue::job::COMPONENT,
            crate::glue::job::script::COMPONENT,
            crate::glue::job::ITEMS_COMPONENT,
            crate::glue::trigger::COMPONENT,
        ];
        // The threads of a former lake's engine may still be letting go of it.
        let mut opened = Store::open(directory.path(), &components, Arc::new(SystemEnv));
        for _ in 0..100 {
            if matches!(opened, Err(StoreError::InUse(_))) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                opened = Store::open(directory.path(), &components, Arc::new(SystemEnv));
            }
        }
        let store = opened.unwrap();
        let lake = Lake { store, place: Arc::default() };
        let config = EngineConfig { spill_dir: directory.path().join("spill"), ..EngineConfig::default() };
        let engine = Arc::new(Engine::new(config, Arc::new(lake.store.blobs().clone())));
        let pond = Self { glue: Glue::new(lake.clone()), lake, engine, limits: Limits::default(), directory };
        if fresh {
            let place = pond.lake.place.clone();
            let made = pond.lake.store.write(move |tx| {
                for name in ["raw", "processed"] {
                    objects::create_bucket(tx, name, "us-east-1")?;
                    catalog::ensure_database(tx, &place, name).map_err(GlueError::from)?;
                }
                Ok::<_, GlueError>(())
            });
            made.await.unwrap();
        }
        pond
    }

    /// The same lake as a later process finds it.
    pub(crate) async fn reopen(self) -> Self {
        let Self { directory, .. } = { self };
        Self::open(directory, false).await
    }

    pub(crate) async fn put(&self, files: &[(&str, &[u8])]) {
        let files: Vec<(String, Vec<u8>)> = files.iter().map(|(uri, bytes)| ((*uri).to_owned(), bytes.to_vec())).collect();
        let place = self.lake.place.clone();
        let put = self.lake.store.write(move |tx| {
            for (uri, bytes) in files {
                let (bucket, key) = objects::split_uri(&uri).unwrap();
                let bucket = objects::bucket(tx, bucket)?.unwrap();
                let (size, etag) = (bytes.len() as u64, hex::encode(Md5::digest(&bytes)));
                let blob = tx.adopt(&millpond_store::blobs::NewBlob::Inline(bytes.into()))?;
                let new = NewObject { key: key.into(), blob, size, etag, meta: ObjectMeta::default() };
                objects::put(tx, &place, &bucket, new, &Cause::default())?;
            }
            Ok::<_, StoreError>(())
        });
        put.await.unwrap();
    }

    pub(crate) async fn delete(&self, uri: &str) {
        let (uri, place) = (uri.to_owned(), self.lake.place.clone());
        let gone = self.lake.store.write(move |tx| {
            let (bucket, key) = objects::split_uri(&uri).unwrap();
            let bucket = objects::bucket(tx, bucket)?.unwrap();
            objects::delete(tx, &place, &bucket, key, &Cause::default())
        });
        gone.await.unwrap().unwrap();
    }

    /// Does all tasks that are ready, until none is.
    pub(crate) async fn work(&self) {
        let crawls = CrawlHandler { glue: self.glue.clone(), engine: self.engine.clone() };
        let runs = JobRunHandler { glue: self.glue.clone(), engine: self.engine.clone(), limits: self.limits };
        let handlers: [&dyn Handler; 2] = [&crawls, &runs];
        loop {
            let mut idle = true;
            for handler in handlers {
                let kind = handler.kind();
                for task in self.lake.store.write(move |tx| tx.lease_tasks(kind, 1)).await.unwrap() {
                    idle = false;
                    handler.run(&self.lake, &task).await.unwrap();
                }
            }
            if idle {
                return;
            }
        }
    }

    /// Makes (or changes) the crawler `c` over `raw` and crawls; answers the database's tables.
    pub(crate) async fn crawl(&self, path: &str, more: Value) -> Vec<Table> {
        let mut members = json!({"Role": "r", "DatabaseName": "raw", "Targets": {"S3Targets": [{"Path": path}]}});
        members.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        if self.glue.crawler("c".into()).await.is_err() {
            let spec: CrawlerSpec = serde_json::from_value(members).unwrap();
            self.glue.create_crawler("c".into(), spec, Default::default()).await.unwrap();
        }
        self.glue.start_crawler("c".into()).await.unwrap();
        self.work().await;
        self.tables().await
    }

    pub(crate) async fn tables(&self) -> Vec<Table> {
        self.lake.store.read(|connection| catalog::tables(connection, "raw", "", 1_000)).await.unwrap()
    }

    pub(crate) async fn table(&self, database: &'static str, name: &'static str) -> Option<Table> {
        self.lake.store.read(move |connection| catalog::table(connection, database, name)).await.unwrap()
    }

    /// Makes the job `j` from a table of `raw` to a table of `processed`, where there is none; and runs it.
    pub(crate) async fn convert(&self, table: &str, more: &[(&str, &str)]) -> JobRun {
        let id = self.start(table, more).await;
        self.work().await;
        self.glue.job_run("j".into(), id).await.unwrap()
    }

    pub(crate) async fn start(&self, table: &str, more: &[(&str, &str)]) -> String {
        if self.glue.job("j".into()).await.is_err() {
            let base =
                [("source-database", "raw"), ("source-table", table), ("target-database", "processed"), ("target-table", table)];
            let arguments: Arguments =
                base.iter().chain(more).map(|(key, value)| (format!("--{key}"), (*value).to_owned())).collect();
            let spec = json!({"Role": "r", "Command": {"Name": "millpond"}, "DefaultArguments": arguments});
            let spec: JobSpec = serde_json::from_value(spec).unwrap();
            self.glue.create_job("j".into(), spec, Default::default()).await.unwrap();
        }
        self.glue.start_job_run("j".into(), StartRun::default()).await.unwrap()
    }

    /// The first value of each row of a query, as text.
    pub(crate) async fn sql(&self, text: &str) -> Vec<String> {
        let catalog = Arc::new(catalog::LakeTables::new(self.lake.clone()));
        let stream = self.engine.query(QueryRequest::new(text, catalog)).await.unwrap();
        let batches = stream.collect().await.unwrap();
        let show = |batch: &arrow::record_batch::RecordBatch| -> Vec<String> {
            let options = arrow::util::display::FormatOptions::new().with_null("NULL");
            let columns: Vec<_> = batch
                .columns()
                .iter()
                .map(|column| arrow::util::display::ArrayFormatter::try_new(column, &options).unwrap())
                .collect();
            let row = |at| columns.iter().map(|column| column.value(at).to_string()).collect::<Vec<_>>().join("|");
            (0..batch.num_rows()).map(row).collect()
        };
        batches.iter().flat_map(show).collect()
    }

    /// The outbox's events of one detail type, oldest first.
    pub(crate) async fn events(&self, detail_type: &'static str) -> Vec<Value> {
        let rows = self.lake.store.write(|tx| tx.outbox(10_000)).await.unwrap();
        rows.into_iter().filter(|row| row.event.detail_type == detail_type).map(|row| row.event.detail).collect()
    }
}

/// Bytes that are no text.
pub(crate) fn binary() -> Vec<u8> {
    (0..2_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}
