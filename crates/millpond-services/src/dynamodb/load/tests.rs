use super::*;
use crate::dynamodb::NewTable;
use crate::dynamodb::model::{Definition, KeyKind, KeyPart, NewIndex};
use crate::lake::Lake;
use crate::lake::items::{AttributeTypes, RowId};
use millpond_core::env::SystemEnv;
use millpond_engine::convert::{ConvertOptions, ConvertSpec, convert};
use millpond_engine::infer::{catalog_columns, infer};
use millpond_engine::query::EngineConfig;
use millpond_engine::table::{FileGroup, TableShape};
use millpond_store::Store;
use millpond_tables::Item;
use millpond_tables::value::json;
use object_store::{ObjectStoreExt, PutPayload};
use std::sync::atomic::AtomicU64;

struct Pond {
    loads: ItemLoads,
    lake: Lake,
    numbers: AtomicU64,
    _directory: tempfile::TempDir,
}

impl Pond {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &[crate::dynamodb::COMPONENT], Arc::new(SystemEnv)).unwrap();
        let lake = Lake { store, place: Arc::default() };
        let config = EngineConfig { spill_dir: directory.path().join("spill"), ..EngineConfig::default() };
        let engine = Arc::new(Engine::new(config, Arc::new(lake.store.blobs().clone())));
        let loads = ItemLoads::new(DynamoDb::open(&lake).unwrap(), engine);
        Self { loads, lake, numbers: AtomicU64::new(0), _directory: directory }
    }

    /// A table with these key attributes, each `name:type`.
    async fn table(&self, name: &str, key: &[&str]) {
        let parts: Vec<(&str, KeyKind)> = key
            .iter()
            .map(|one| one.split_once(':').unwrap())
            .map(|(name, kind)| (name, [KeyKind::S, KeyKind::N, KeyKind::B]["SNB".find(kind).unwrap()]))
            .collect();
        self.loads.dynamodb.create_table(new_table(name, &parts)).await.unwrap();
    }

    /// Rows of a CSV or JSON text as Parquet, as conversions write them.
    async fn rows(&self, text: &str, check: Option<Arc<dyn RowCheck>>, as_text: bool) -> (Vec<DataFile>, u64) {
        let handle = self.loads.engine.handle();
        let reader = Reader { store: self.loads.engine.store().clone(), handle: handle.clone() };
        let blob = self.lake.store.blobs().new_location().path();
        reader.store.put(&blob, PutPayload::from(text.as_bytes().to_vec())).await.unwrap();
        let uri = format!("s3://raw/{}", self.numbers.fetch_add(1, Ordering::Relaxed));
        let file = DataFile { blob, uri, size: text.len() as u64, etag: String::new(), modified_ms: 0 };
        let blobs = self.lake.store.blobs().clone();
        let converted = handle.spawn_blocking(move || {
            let inferred = infer(&reader, &file, &[]).unwrap();
            let columns = catalog_columns(&inferred.columns);
            let source = TableShape { columns: columns.clone(), partition_keys: vec![], parameters: inferred.parameters() };
            let group = FileGroup { values: vec![], storage: Arc::new(inferred.storage(&columns)), files: vec![file] };
            let spec = ConvertSpec {
                reader,
                source,
                groups: vec![group],
                target: None,
                partition_by: vec![],
                transform: None,
                check,
                options: ConvertOptions { text: as_text, order: Some("row_order".into()), ..ConvertOptions::default() },
                new_path: Arc::new(move || blobs.new_location().path()),
                progress: None,
                cancel: Arc::default(),
            };
            convert(&spec).unwrap()
        });
        let outcome = converted.await.unwrap();
        let file = |(at, file): (usize, millpond_engine::write::WrittenFile)| DataFile {
            blob: file.blob,
            uri: format!("s3://staged/{at}"),
            size: file.size,
            etag: String::new(),
            modified_ms: 0,
        };
        (outcome.files.into_iter().enumerate().map(file).collect(), outcome.rows_quarantined)
    }

    async fn load(&self, table: &str, files: Vec<DataFile>, shape: ItemShape) -> Result<Loaded, LoadError> {
        let shape = ItemShape { order: Some("row_order".into()), ..shape };
        self.loads.load(&ItemLoad { table: table.into(), files, shape }, &CancellationToken::new()).await
    }

    /// All items as DynamoDB JSON, sorted.
    fn items(&self, table: &str) -> Vec<String> {
        use millpond_tables::store::{Limits, Scan};
        let id = self.loads.dynamodb.known(table).unwrap().id();
        let mut found: Vec<String> = Vec::new();
        let scan = Scan { table: id, index: None, segment: (0, 1), after: None, limits: Limits::NONE };
        let items = self.loads.dynamodb.items();
        items
            .scan(&scan, |record| {
                let item: Item = record.item()?;
                found.push(json::write_item(&item).to_string());
                Ok(std::ops::ControlFlow::Continue(()))
            })
            .unwrap();
        found.sort();
        found
    }
}

fn new_table(name: &str, key: &[(&str, KeyKind)]) -> NewTable {
    let definitions = key.iter().map(|(name, kind)| Definition { name: (*name).into(), kind: *kind }).collect();
    let key = key.iter().enumerate().map(|(at, (name, _))| KeyPart { name: (*name).into(), hash: at == 0 }).collect();
    NewTable { name: name.into(), definitions, key, pay_per_request: true, ..NewTable::default() }
}

fn hashed() -> ItemShape {
    let id = RowId { attribute: "id".into(), apart: vec!["source".into()] };
    ItemShape { types: AttributeTypes::String, id: Some(id), order: None }
}

fn strings() -> ItemShape {
    ItemShape { types: AttributeTypes::String, ..ItemShape::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_items_of_strings_with_the_last_of_a_key() {
    let pond = Pond::new().await;
    pond.table("company", &["id:S"]).await;
    let (files, _) = pond.rows("id,name,size\n1,one,007\n2,,\n1,uno,008\n", None, true).await;
    let loaded = pond.load("company", files.clone(), strings()).await.unwrap();
    assert_eq!(loaded, Loaded { rows: 3, created: 2, replaced: 0, duplicates: 1 });
    let expected =
        [r#"{"id":{"S":"1"},"name":{"S":"uno"},"size":{"S":"008"}}"#, r#"{"id":{"S":"2"},"name":{"S":""},"size":{"S":""}}"#];
    assert_eq!(pond.items("company"), expected);
    let again = pond.load("company", files, strings()).await.unwrap();
    assert_eq!(again, Loaded { rows: 3, created: 0, replaced: 2, duplicates: 1 });
    assert_eq!(pond.items("company"), expected);
    assert_eq!(pond.loads.table("company").await.unwrap().unwrap().items, 2);
    assert_eq!(pond.loads.table("other").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_rows_have_dynamodbs_types() {
    let pond = Pond::new().await;
    pond.table("typed", &["pk:S", "sk:N"]).await;
    let text = concat!(
        r#"{"pk": "a", "sk": 1, "d": 0.5, "ok": true, "day": "2024-05-01", "at": "2024-05-01 10:00:00", "l": [1, null], "m": {"x": 2.50, "y": "z"}}"#,
        "\n",
        r#"{"pk": "a", "sk": 10, "d": 1e100}"#
    );
    let (files, _) = pond.rows(text, None, false).await;
    pond.load("typed", files, ItemShape::default()).await.unwrap();
    let items = pond.items("typed");
    assert_eq!(items.len(), 2);
    let first: serde_json::Value = serde_json::from_str(&items[1]).unwrap();
    let expected = serde_json::json!({
        "pk": {"S": "a"}, "sk": {"N": "1"}, "d": {"N": "0.5"}, "ok": {"BOOL": true}, "day": {"S": "2024-05-01"},
        "at": {"S": "2024-05-01T10:00:00Z"}, "l": {"L": [{"N": "1"}, {"NULL": true}]}, "m": {"M": {"x": {"N": "2.5"}, "y": {"S": "z"}}},
    });
    let found = if first["sk"]["N"] == "1" { first } else { serde_json::from_str(&items[0]).unwrap() };
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_a_row_is_its_content_whatever_the_order_of_its_columns() {
    let pond = Pond::new().await;
    pond.table("rows", &["id:S"]).await;
    let (first, _) = pond.rows("name,size,source\none,1,x\ntwo,2,x\none,1,y\n", None, true).await;
    let loaded = pond.load("rows", first, hashed()).await.unwrap();
    assert_eq!((loaded.created, loaded.duplicates), (2, 1));
    let (second, _) = pond.rows("size,source,more,name\n1,z,,one\n3,z,,three\n", None, true).await;
    let loaded = pond.load("rows", second, hashed()).await.unwrap();
    // An empty text is a value, and no value is not: `more` is a column of text.
    assert_eq!((loaded.created, loaded.replaced), (2, 0));
    let (third, _) = pond.rows("size,source,name\n1,z,one\n3,z,three\n", None, true).await;
    let loaded = pond.load("rows", third, hashed()).await.unwrap();
    assert_eq!((loaded.created, loaded.replaced), (1, 1));
    for item in pond.items("rows") {
        let item: serde_json::Value = serde_json::from_str(&item).unwrap();
        let id = item["id"]["S"].as_str().unwrap();
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        assert!(item.get("row_order").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_for_the_key_is_the_key() {
    let pond = Pond::new().await;
    pond.table("rows", &["id:S"]).await;
    let (files, _) = pond.rows("name,id\none,a\none,b\n", None, true).await;
    assert_eq!(pond.load("rows", files, hashed()).await.unwrap().created, 2);
    assert_eq!(pond.items("rows"), [r#"{"id":{"S":"a"},"name":{"S":"one"}}"#, r#"{"id":{"S":"b"},"name":{"S":"one"}}"#]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_s_column_may_differ_in_case() {
    let pond = Pond::new().await;
    pond.table("customers", &["CustomerId:S"]).await;
    let id = RowId { attribute: "CustomerId".into(), apart: vec![] };
    let shape = ItemShape { id: Some(id), ..strings() };
    let (files, _) = pond.rows("customerid,name\n18,one\n", None, true).await;
    pond.load("customers", files, shape.clone()).await.unwrap();
    let (files, _) = pond.rows("customerid,name\n18,two\n", None, true).await;
    assert_eq!(pond.load("customers", files, shape).await.unwrap().replaced, 1);
    assert_eq!(pond.items("customers"), [r#"{"CustomerId":{"S":"18"},"name":{"S":"two"}}"#]);
    // A column is of the attribute of its very name.
    let mut wanted = new_table("both", &[("id", KeyKind::S)]);
    wanted.definitions.push(Definition { name: "ID".into(), kind: KeyKind::S });
    let key = vec![KeyPart { name: "ID".into(), hash: true }];
    wanted.global = Some(vec![NewIndex { name: "other".into(), key, projection: Some("ALL".into()), ..NewIndex::default() }]);
    pond.loads.dynamodb.create_table(wanted).await.unwrap();
    let (files, _) = pond.rows("id,name\n1,one\n", None, true).await;
    pond.load("both", files, hashed()).await.unwrap();
    assert_eq!(pond.items("both"), [r#"{"id":{"S":"1"},"name":{"S":"one"}}"#]);
    let named = |columns: &[&'static str]| crate::lake::items::column_of("Id", columns.iter().copied());
    assert_eq!((named(&["id"]), named(&["ID", "id"]), named(&["ID", "Id"]), named(&["x"])), (Some("id"), None, Some("Id"), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_suit_no_index_are_found_before_they_are_put() {
    let pond = Pond::new().await;
    let mut wanted = new_table("staff", &[("id", KeyKind::S)]);
    let more = [("sector", KeyKind::S), ("grade", KeyKind::N)];
    wanted.definitions.extend(more.map(|(name, kind)| Definition { name: name.into(), kind }));
    let part = |name: &str, hash| KeyPart { name: name.into(), hash };
    let key = vec![part("sector", true), part("grade", false)];
    wanted.global = Some(vec![NewIndex { name: "by-sector".into(), key, projection: Some("ALL".into()), ..NewIndex::default() }]);
    pond.loads.dynamodb.create_table(wanted).await.unwrap();
    let check = pond.loads.check("staff", &strings()).await.unwrap();
    let long = "x".repeat(2049);
    let text = format!("id,sector,grade\n1,a,7\n2,,8\n3,b,high\n4,{long},1\n5,c,\n");
    let (files, refused) = pond.rows(&text, Some(check), true).await;
    assert_eq!(refused, 2, "a grade that is no number, and a key that is too long");
    assert_eq!(pond.load("staff", files, strings()).await.unwrap().created, 3);
    let expected = [
        r#"{"grade":{"N":"7"},"id":{"S":"1"},"sector":{"S":"a"}}"#,
        r#"{"grade":{"N":"8"},"id":{"S":"2"}}"#,
        r#"{"id":{"S":"5"},"sector":{"S":"c"}}"#,
    ];
    assert_eq!(pond.items("staff"), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_count_by_their_value_in_ids() {
    let pond = Pond::new().await;
    pond.table("rows", &["id:S"]).await;
    let shape = ItemShape { types: AttributeTypes::Typed, ..hashed() };
    let (whole, _) = pond.rows("name,size\na,1\nb,2\n", None, false).await;
    let (fractions, _) = pond.rows("name,size\na,1.0\nb,2.5\n", None, false).await;
    pond.load("rows", whole, shape.clone()).await.unwrap();
    let loaded = pond.load("rows", fractions, shape).await.unwrap();
    assert_eq!((loaded.created, loaded.replaced), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_no_item_is_told_with_its_file_and_row_and_leaves_nothing() {
    let pond = Pond::new().await;
    pond.table("strings", &["id:S"]).await;
    pond.table("numbers", &["id:N"]).await;
    let large = format!("id,name\n1,x\n2,{}\n", "y".repeat(410 * 1024));
    let long = format!("id,name\n1,x\n{},y\n", "k".repeat(2_049));
    for (table, text, say) in [
        ("strings", "id,name\n1,x\n,y\n", "s3://staged/0, row 2: 'id'"),
        ("strings", "name,n\nx,1\n", "'id': is missing: no column of this name"),
        ("strings", large.as_str(), "row 2: the item would have 419"),
        ("strings", long.as_str(), "has 2049 bytes; as a key it may have 2048"),
        ("numbers", "id,name\n1,x\nabc,y\n", "row 2: 'id' = 'abc': is no number"),
    ] {
        let (files, _) = pond.rows(text, None, true).await;
        let error = pond.load(table, files, strings()).await.unwrap_err();
        assert!(matches!(&error, LoadError::Input(text) if text.contains(say)), "{say}: {error}");
        assert!(pond.items(table).is_empty());
        // A conversion that asks first puts them into quarantine, and the rest is loaded.
        let check = pond.loads.check(table, &strings()).await.unwrap();
        let (files, quarantined) = pond.rows(text, Some(check), true).await;
        assert_eq!(quarantined, 1, "{say}");
        let name = format!("{}x", &table[..3]);
        if !files.is_empty() {
            pond.table(&name, &[if table == "numbers" { "id:N" } else { "id:S" }]).await;
            assert_eq!(pond.load(&name, files, strings()).await.unwrap().created, 1);
            pond.loads.dynamodb.delete_table(&name).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_missing_or_cannot_take_ids_is_told() {
    let pond = Pond::new().await;
    pond.table("numbers", &["id:N"]).await;
    let error = pond.load("none", vec![], strings()).await.unwrap_err();
    assert!(matches!(&error, LoadError::Input(text) if text.contains("'none' of items does not exist")), "{error}");
    let error = pond.load("numbers", vec![], hashed()).await.unwrap_err();
    assert!(matches!(&error, LoadError::Input(text) if text.contains("its key is id (N)")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_is_told_to_stop_stops() {
    let pond = Pond::new().await;
    pond.table("company", &["id:S"]).await;
    let rows: String = (0..50_000).map(|n| format!("{n},x\n")).collect();
    let (files, _) = pond.rows(&format!("id,name\n{rows}"), None, true).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let load = ItemLoad { table: "company".into(), files, shape: strings() };
    assert_eq!(pond.loads.load(&load, &stop).await, Err(LoadError::Stopped));
    assert!(pond.items("company").is_empty());
}
