//! A table in memory, with deletes as other engines write them.

use super::change::{Changed, Writing, insert, version};
use super::commit::{self, Content, Prepared};
use super::create::{NewColumns, NewTable, create};
use super::write::Target;
use super::{Look, Objects, metadata, metadata_location};
use crate::query::{Engine, EngineConfig, QueryError, QueryRequest};
use crate::table::{DataFile, FileGroup, ScanRequest, SourceError, TableSource};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Int64Type, Schema};
use async_trait::async_trait;
use bytes::Bytes;
use iceberg::TableUpdate;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataContentType, DataFileBuilder, DataFileFormat, MAIN_BRANCH, ManifestListWriter, ManifestWriterBuilder, Operation,
    Snapshot, SnapshotReference, SnapshotRetention, Summary,
};
use millpond_core::catalog::{Column, Database, Parameters, Table};
use millpond_core::env::{EnvExt, SharedEnv, SystemEnv};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

#[derive(Debug)]
struct Lake {
    store: Arc<InMemory>,
    objects: Mutex<HashMap<String, Bytes>>,
    table: Mutex<Table>,
}

struct Now(HashMap<String, Bytes>);

fn blob(uri: &str) -> Path {
    Path::from(uri.replace("s3://", "").replace('/', "-"))
}

impl Objects for Now {
    fn file(&self, uri: &str) -> Result<Option<DataFile>, SourceError> {
        Ok(self.0.get(uri).map(|bytes| DataFile {
            blob: blob(uri),
            uri: uri.to_owned(),
            size: bytes.len() as u64,
            etag: String::new(),
            modified_ms: 0,
        }))
    }

    fn bytes(&self, file: &DataFile, _: u64) -> Result<Bytes, SourceError> {
        Ok(self.0[&file.uri].clone())
    }
}

#[async_trait]
impl TableSource for Lake {
    async fn table(&self, _: &str, name: &str) -> Result<Option<Table>, SourceError> {
        Ok(Some(self.table.lock().unwrap().clone()).filter(|table| table.name == name))
    }

    async fn databases(&self) -> Result<Vec<Database>, SourceError> {
        Ok(Vec::new())
    }

    async fn table_names(&self, _: &str) -> Result<Option<Vec<String>>, SourceError> {
        Ok(Some(vec!["t".into()]))
    }

    async fn scan(&self, _: &Table, _: &ScanRequest) -> Result<Vec<FileGroup>, SourceError> {
        Ok(Vec::new())
    }

    async fn partitions(&self, _: &Table, _: &ScanRequest) -> Result<Vec<Vec<String>>, SourceError> {
        Ok(Vec::new())
    }

    async fn look(&self, look: Look) -> Result<(), SourceError> {
        look(&self.now());
        Ok(())
    }
}

impl Lake {
    fn now(&self) -> Now {
        Now(self.objects.lock().unwrap().clone())
    }

    async fn put(&self, uri: &str, bytes: Bytes) {
        self.store.put(&blob(uri), bytes.clone().into()).await.unwrap();
        self.objects.lock().unwrap().insert(uri.to_owned(), bytes);
    }

    async fn commit(&self, prepared: &Prepared) {
        for (uri, content) in &prepared.objects {
            let bytes = match content {
                Content::Bytes(bytes) => bytes.clone(),
                Content::Blob(path, _) => self.store.get(path).await.unwrap().bytes().await.unwrap(),
            };
            self.put(uri, bytes).await;
        }
        prepared.describe(&mut self.table.lock().unwrap());
    }
}

struct Test {
    engine: Engine,
    lake: Arc<Lake>,
    source: Arc<dyn TableSource>,
    env: SharedEnv,
}

impl Test {
    async fn new() -> Self {
        let store = Arc::new(InMemory::new());
        let table = Table { database: "d".into(), name: "t".into(), ..Table::default() };
        let lake = Arc::new(Lake { store: store.clone(), objects: Mutex::default(), table: Mutex::new(table) });
        let columns = vec![Column::new("id", "bigint"), Column::new("name", "string")];
        let new = NewTable {
            location: "s3://b/t".into(),
            columns: NewColumns::Catalog(columns),
            partitioning: Vec::new(),
            properties: Parameters::new(),
            comment: None,
        };
        lake.commit(&create(&new).unwrap()).await;
        let config = EngineConfig { threads: 2, ..EngineConfig::default() };
        let engine = Engine::new(config, store as Arc<dyn ObjectStore>);
        Self { engine, source: lake.clone(), lake, env: Arc::new(SystemEnv) }
    }

    fn request(&self, sql: &str) -> QueryRequest {
        QueryRequest::new(sql, Arc::clone(&self.source)).in_database("d")
    }

    async fn change(&self, sql: &str) -> Changed {
        let table = self.lake.table.lock().unwrap().clone();
        let version = version(&table, &self.source).await.unwrap();
        let (paths, names) = (Arc::clone(&self.env), Arc::clone(&self.env));
        let target = Target {
            store: self.lake.store.clone(),
            new_path: Arc::new(move || Path::from(format!("blob-{}", paths.uuid()))),
            new_name: Arc::new(move || names.uuid()),
            partitions_max: 10,
        };
        let writing = Writing { engine: &self.engine, table: &table, version, request: self.request(""), target };
        insert(&writing, None, sql.to_owned()).await.unwrap()
    }

    async fn insert(&self, sql: &str) {
        let changed = self.change(sql).await;
        self.prepare(&changed).await.unwrap();
    }

    async fn prepare(&self, changed: &Changed) -> Result<(), QueryError> {
        let location = metadata_location(&self.lake.table.lock().unwrap()).unwrap().to_owned();
        let prepared = commit::prepare(&self.lake.now(), &location, &changed.change, &self.env, "t")?;
        self.lake.commit(&prepared).await;
        Ok(())
    }

    async fn ids(&self, sql: &str) -> Vec<i64> {
        let batches = self.engine.query(self.request(sql)).await.unwrap().collect().await.unwrap();
        let mut ids: Vec<i64> =
            batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        ids.sort_unstable();
        ids
    }

    async fn data_file(&self) -> String {
        let batches = self.engine.query(self.request("SELECT DISTINCT \"$path\" FROM t")).await.unwrap().collect().await.unwrap();
        batches.iter().find(|batch| batch.num_rows() > 0).unwrap().column(0).as_string::<i32>().value(0).to_owned()
    }

    /// Commits a delete file with these columns (name, id, values), as an engine that merges on read does.
    async fn delete(&self, columns: Vec<(&str, i32, ArrayRef)>, equality_ids: Option<Vec<i32>>) {
        let field = |(name, id, values): &(&str, i32, ArrayRef)| {
            let ids = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]);
            Field::new(*name, values.data_type().clone(), false).with_metadata(ids)
        };
        let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        let batch = RecordBatch::try_new(schema.clone(), columns.into_iter().map(|(_, _, values)| values).collect()).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, schema, None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let uri = format!("s3://b/t/data/{}.parquet", self.env.uuid());
        let size = bytes.len() as u64;
        self.lake.put(&uri, bytes.into()).await;

        let location = metadata_location(&self.lake.table.lock().unwrap()).unwrap().to_owned();
        let current = metadata::load(&self.lake.now(), &location).unwrap();
        let parent = current.current_snapshot().unwrap().clone();
        let (id, memory) = (parent.snapshot_id() + 1, FileIO::new_with_memory());
        let content = if equality_ids.is_some() { DataContentType::EqualityDeletes } else { DataContentType::PositionDeletes };
        let file = DataFileBuilder::default()
            .content(content)
            .file_path(uri)
            .file_format(DataFileFormat::Parquet)
            .record_count(batch.num_rows() as u64)
            .file_size_in_bytes(size)
            .equality_ids(equality_ids)
            .build()
            .unwrap();
        let manifest_uri = format!("s3://b/t/metadata/{}-m0.avro", self.env.uuid());
        let output = memory.new_output(&manifest_uri).unwrap();
        let spec = current.default_partition_spec().as_ref().clone();
        let mut writer = ManifestWriterBuilder::new(output, Some(id), current.current_schema().clone(), spec).build_v2_deletes();
        writer.add_file(file, -1).unwrap();
        let manifest = writer.write_manifest_file().await.unwrap();
        let list_uri = format!("s3://b/t/metadata/snap-{id}.avro");
        let sequence = current.next_sequence_number();
        let writer = memory.new_output(&list_uri).unwrap().writer().await.unwrap();
        let mut list = ManifestListWriter::v2(writer, id, Some(parent.snapshot_id()), sequence);
        let former = metadata::manifests(&self.lake.now(), &current, &parent).unwrap();
        list.add_manifests(former.into_iter().chain([manifest])).unwrap();
        list.close().await.unwrap();
        let mut objects = Vec::new();
        for uri in [manifest_uri, list_uri.clone()] {
            let bytes = memory.new_input(&uri).unwrap().read().await.unwrap();
            objects.push((uri, Content::Bytes(bytes)));
        }
        let snapshot = Snapshot::builder()
            .with_snapshot_id(id)
            .with_parent_snapshot_id(Some(parent.snapshot_id()))
            .with_sequence_number(sequence)
            .with_timestamp_ms(parent.timestamp_ms() + 1)
            .with_manifest_list(list_uri)
            .with_summary(Summary { operation: Operation::Overwrite, additional_properties: HashMap::new() })
            .with_schema_id(current.current_schema_id())
            .build();
        let retention =
            SnapshotRetention::Branch { min_snapshots_to_keep: None, max_snapshot_age_ms: None, max_ref_age_ms: None };
        let reference = SnapshotReference { snapshot_id: id, retention };
        let updates =
            vec![TableUpdate::AddSnapshot { snapshot }, TableUpdate::SetSnapshotRef { ref_name: MAIN_BRANCH.into(), reference }];
        self.lake.commit(&commit::apply(current, &location, updates, objects).unwrap()).await;
    }
}

const PATH_ID: i32 = 2_147_483_546;
const POSITION_ID: i32 = 2_147_483_545;

#[tokio::test(flavor = "multi_thread")]
async fn deletes_of_both_kinds_take_rows_out() {
    let test = Test::new().await;
    test.insert("SELECT * FROM (VALUES (BIGINT '0', 'a'), (1, 'b'), (2, 'c'), (3, 'd'), (4, 'e')) AS v(id, name)").await;
    assert_eq!(test.ids("SELECT id FROM t").await, [0, 1, 2, 3, 4]);
    let file = test.data_file().await;
    let paths: ArrayRef = Arc::new(StringArray::from(vec![file.as_str(), &file]));
    let positions: ArrayRef = Arc::new(Int64Array::from(vec![0, 3]));
    test.delete(vec![("file_path", PATH_ID, paths), ("pos", POSITION_ID, positions)], None).await;
    assert_eq!(test.ids("SELECT id FROM t").await, [1, 2, 4]);
    assert_eq!(test.ids("SELECT count(*) FROM t").await, [3]);
    let names: ArrayRef = Arc::new(StringArray::from(vec!["c", "e"]));
    test.delete(vec![("name", 2, names)], Some(vec![2])).await;
    assert_eq!(test.ids("SELECT id FROM t").await, [1]);
    assert_eq!(test.ids("SELECT count(*) FROM t WHERE id >= 0").await, [1]);
    // What comes after an equality delete is not its concern.
    test.insert("SELECT BIGINT '9', 'c'").await;
    assert_eq!(test.ids("SELECT id FROM t WHERE name = 'c'").await, [9]);
    assert_eq!(test.ids("SELECT id FROM t").await, [1, 9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_told_in_their_order() {
    let test = Test::new().await;
    for id in 1..=8 {
        test.insert(&format!("SELECT BIGINT '{id}', 'a'")).await;
    }
    let location = metadata_location(&test.lake.table.lock().unwrap()).unwrap().to_owned();
    let current = metadata::load(&test.lake.now(), &location).unwrap();
    let told = metadata::as_json(&current).unwrap();
    let numbers: Vec<i64> =
        told["snapshots"].as_array().unwrap().iter().map(|one| one["sequence-number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_large_files_are_read_once_where_some_are_deleted() {
    let test = Test::new().await;
    // Long enough to be read in pieces.
    let rows = "FROM UNNEST(sequence(0, 499)) AS a (x) CROSS JOIN UNNEST(sequence(0, 599)) AS b (y)";
    test.insert(&format!("SELECT x * 600 + y, to_hex(sha256(to_utf8(CAST(x * 600 + y AS varchar)))) {rows}")).await;
    let file = test.data_file().await;
    assert_eq!(test.ids("SELECT count(*) FROM t WHERE \"$file_size\" > 8000000").await, [300_000]);
    let paths: ArrayRef = Arc::new(StringArray::from(vec![file.as_str(), &file]));
    let positions: ArrayRef = Arc::new(Int64Array::from(vec![0, 299_999]));
    test.delete(vec![("file_path", PATH_ID, paths), ("pos", POSITION_ID, positions)], None).await;
    for _ in 0..4 {
        assert_eq!(test.ids("SELECT count(*) FROM t").await, [299_998]);
        assert_eq!(test.ids("SELECT count(DISTINCT id) FROM t WHERE length(name) = 64").await, [299_998]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_only_added_go_on_top_of_another_commit() {
    let test = Test::new().await;
    let first = test.change("SELECT BIGINT '1', 'a'").await;
    let second = test.change("SELECT BIGINT '2', 'b'").await;
    test.prepare(&first).await.unwrap();
    test.prepare(&second).await.unwrap();
    assert_eq!(test.ids("SELECT id FROM t").await, [1, 2]);
}
