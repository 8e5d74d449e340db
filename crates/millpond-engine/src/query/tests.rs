//! Queries over tables in memory, through the public API.

use super::*;
use crate::iceberg::Look;
use crate::result::value::texts;
use crate::table::{DataFile, FileGroup, ScanRequest, SourceError, TableSource};
use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use millpond_core::catalog::{Column, Database, SerDeInfo, StorageDescriptor, Table};
use millpond_core::partition_expr::PartitionExpr;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

mod errors;
mod explain;
mod formats;
mod limits;
mod pages;
mod scan;
mod shared;
mod sql;
mod statistics;
mod views;
mod wide;

type Entry = (Table, Vec<FileGroup>);

/// A catalog in memory. Partition filters are recorded, and not applied: the engine must not rely on more than it asked for.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    pub(crate) tables: Mutex<BTreeMap<(String, String), Entry>>,
    pub(crate) asked: Mutex<Vec<Option<PartitionExpr>>>,
}

#[async_trait]
impl TableSource for Fake {
    async fn table(&self, database: &str, name: &str) -> Result<Option<Table>, SourceError> {
        Ok(self.tables.lock().unwrap().get(&(database.to_owned(), name.to_owned())).map(|(table, _)| table.clone()))
    }

    async fn databases(&self) -> Result<Vec<Database>, SourceError> {
        let mut names: Vec<String> = self.tables.lock().unwrap().keys().map(|(database, _)| database.clone()).collect();
        names.dedup();
        Ok(names.into_iter().map(|name| Database { name, ..Database::default() }).collect())
    }

    async fn table_names(&self, database: &str) -> Result<Option<Vec<String>>, SourceError> {
        let tables = self.tables.lock().unwrap();
        let names: Vec<String> = tables.keys().filter(|(db, _)| db == database).map(|(_, name)| name.clone()).collect();
        Ok((!names.is_empty()).then_some(names))
    }

    async fn scan(&self, table: &Table, request: &ScanRequest) -> Result<Vec<FileGroup>, SourceError> {
        let filter = request.filter.as_ref();
        self.asked.lock().unwrap().push(filter.cloned());
        let groups = self.tables.lock().unwrap()[&(table.database.clone(), table.name.clone())].1.clone();
        Ok(match filter {
            Some(filter) => groups.into_iter().filter(|group| holds(filter, table, group)).collect(),
            None => groups,
        })
    }

    async fn look(&self, _: Look) -> Result<(), SourceError> {
        Err(SourceError::metastore("there are no objects here"))
    }

    async fn partitions(&self, table: &Table, request: &ScanRequest) -> Result<Vec<Vec<String>>, SourceError> {
        Ok(self.scan(table, request).await?.into_iter().map(|group| group.values).collect())
    }
}

/// Enough of the filter language for the tests: comparisons of texts and numbers.
fn holds(filter: &PartitionExpr, table: &Table, group: &FileGroup) -> bool {
    use millpond_core::partition_expr::{CompareOp, Literal};
    let value = |key: &str| {
        let index = table.partition_keys.iter().position(|column| column.name == key).unwrap();
        group.values[index].clone()
    };
    match filter {
        PartitionExpr::And(all) => all.iter().all(|one| holds(one, table, group)),
        PartitionExpr::Or(any) => any.iter().any(|one| holds(one, table, group)),
        PartitionExpr::Compare { key, op, value: literal } => {
            let order = match literal {
                Literal::Number(number) => value(key).parse::<i64>().unwrap().cmp(&number.parse().unwrap()),
                Literal::Text(text) => value(key).cmp(text),
            };
            match op {
                CompareOp::Eq => order.is_eq(),
                CompareOp::NotEq => order.is_ne(),
                CompareOp::Lt => order.is_lt(),
                CompareOp::LtEq => order.is_le(),
                CompareOp::Gt => order.is_gt(),
                CompareOp::GtEq => order.is_ge(),
            }
        }
        PartitionExpr::IsNull { key, negated } => (value(key) == millpond_core::catalog::NULL_PARTITION) != *negated,
        other => panic!("the test catalog does not know {other:?}"),
    }
}

/// An engine over a store and a catalog in memory.
pub(crate) struct Lake {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<InMemory>,
    pub(crate) catalog: Arc<Fake>,
}

impl Lake {
    pub(crate) fn new() -> Self {
        Self::with(EngineConfig { memory_bytes: 64 << 20, threads: 2, ..EngineConfig::default() })
    }

    pub(crate) fn with(config: EngineConfig) -> Self {
        let store = Arc::new(InMemory::new());
        let engine = Engine::new(config, Arc::clone(&store) as Arc<dyn ObjectStore>);
        Self { engine, store, catalog: Arc::new(Fake::default()) }
    }

    pub(crate) async fn put(&self, name: &str, bytes: Vec<u8>) -> DataFile {
        let blob = Path::from(name);
        let size = bytes.len() as u64;
        self.store.put(&blob, bytes.into()).await.unwrap();
        DataFile { blob, uri: format!("s3://lake/{name}"), size, etag: "e".into(), modified_ms: 1_700_000_000_000 }
    }

    /// `(values, files)` for each group.
    pub(crate) fn add(&self, table: Table, groups: Vec<(Vec<&str>, Vec<DataFile>)>) {
        let groups = groups
            .into_iter()
            .map(|(values, files)| FileGroup {
                values: values.into_iter().map(str::to_owned).collect(),
                storage: Arc::new(table.storage.clone()),
                files,
            })
            .collect();
        self.catalog.tables.lock().unwrap().insert((table.database.clone(), table.name.clone()), (table, groups));
    }

    pub(crate) fn request(&self, sql: &str) -> QueryRequest {
        QueryRequest::new(sql, Arc::clone(&self.catalog) as Arc<dyn TableSource>).in_database("db")
    }

    pub(crate) async fn run(&self, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
        self.engine.query(self.request(sql)).await?.collect().await
    }

    /// The rows as text: values by `|`, rows by `; `, NULL as `∅`.
    pub(crate) async fn text(&self, sql: &str) -> String {
        match self.run(sql).await {
            Ok(batches) => rows(&batches).join("; "),
            Err(error) => error.to_string(),
        }
    }

    pub(crate) async fn check(&self, sql: &str, expected: &str) {
        assert_eq!(self.text(sql).await, expected, "{sql}");
    }
}

pub(crate) fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let mut out = Vec::new();
    for batch in batches {
        let columns: Vec<Vec<Option<String>>> = batch.columns().iter().map(|column| texts(column).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let values: Vec<&str> = columns.iter().map(|column| column[row].as_deref().unwrap_or("∅")).collect();
            out.push(values.join("|"));
        }
    }
    out
}

pub(crate) fn parquet_file(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

pub(crate) fn ints(values: &[i32]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

pub(crate) fn longs(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

pub(crate) fn doubles(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

pub(crate) fn strings(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub(crate) fn columns(list: &[(&str, &str)]) -> Vec<Column> {
    list.iter().map(|(name, data_type)| Column::new(*name, *data_type)).collect()
}

pub(crate) fn parquet_table(name: &str, list: &[(&str, &str)], keys: &[(&str, &str)]) -> Table {
    let library = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";
    table(name, list, keys, SerDeInfo { serialization_library: Some(library.into()), ..SerDeInfo::default() })
}

pub(crate) fn csv_table(name: &str, list: &[(&str, &str)], keys: &[(&str, &str)]) -> Table {
    let library = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe";
    let parameters = [("field.delim".to_owned(), ",".to_owned()), ("skip.header.line.count".to_owned(), "1".to_owned())];
    table(name, list, keys, SerDeInfo { serialization_library: Some(library.into()), parameters: parameters.into(), name: None })
}

pub(crate) fn json_table(name: &str, list: &[(&str, &str)]) -> Table {
    let library = "org.openx.data.jsonserde.JsonSerDe";
    table(name, list, &[], SerDeInfo { serialization_library: Some(library.into()), ..SerDeInfo::default() })
}

fn table(name: &str, list: &[(&str, &str)], keys: &[(&str, &str)], serde_info: SerDeInfo) -> Table {
    Table {
        database: "db".into(),
        name: name.into(),
        storage: StorageDescriptor {
            columns: columns(list),
            location: Some(format!("s3://lake/{name}/")),
            serde_info,
            ..StorageDescriptor::default()
        },
        partition_keys: columns(keys),
        table_type: Some("EXTERNAL_TABLE".into()),
        ..Table::default()
    }
}

/// The table that most tests ask: partitioned by year, in two files.
pub(crate) async fn flights() -> Lake {
    let lake = Lake::new();
    let first = parquet_file(vec![
        ("carrier", strings(&["AA", "UA", "AA"])),
        ("Delay", ints(&[10, -5, 0])),
        ("distance", longs(&[100, 250, 400])),
    ]);
    let second = parquet_file(vec![
        ("distance", longs(&[1000, 50])),
        ("carrier", strings(&["DL", "UA"])),
        ("air_time", doubles(&[120.5, 10.0])),
    ]);
    let files = (lake.put("flights/2013.parquet", first).await, lake.put("flights/2014.parquet", second).await);
    let table = parquet_table(
        "flights",
        &[("carrier", "string"), ("delay", "bigint"), ("distance", "bigint"), ("air_time", "double")],
        &[("year", "int")],
    );
    lake.add(table, vec![(vec!["2013"], vec![files.0]), (vec!["2014"], vec![files.1])]);
    lake
}
