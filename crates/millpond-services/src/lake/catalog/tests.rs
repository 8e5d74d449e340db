use super::source::{ScanError, scan};
use super::*;
use crate::lake::{Lake, objects};
use millpond_core::arn::Place;
use millpond_core::catalog::{Column, Database, NULL_PARTITION, Partition, StorageDescriptor, Table};
use millpond_core::env::SystemEnv;
use millpond_core::event::Event;
use millpond_core::partition_expr::PartitionExpr;
use millpond_engine::table::{FileGroup, ScanRequest, SourceError};
use millpond_store::blobs::NewBlob;
use millpond_store::{Store, StoreError, Tx};
use std::sync::Arc;
use std::time::Instant;

async fn lake() -> (tempfile::TempDir, Lake) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &[objects::COMPONENT, COMPONENT], Arc::new(SystemEnv)).unwrap();
    (directory, Lake { store, place: Arc::new(Place::default()) })
}

async fn write<T: Send + 'static>(
    lake: &Lake,
    change: impl FnOnce(&Tx<'_>, &Place) -> Result<T, CatalogError> + Send + 'static,
) -> Result<T, CatalogError> {
    let place = lake.place.clone();
    lake.store.write(move |tx| change(tx, &place)).await
}

async fn events(lake: &Lake) -> Vec<Event> {
    let all = lake.store.write(|tx| {
        let rows = tx.outbox(100_000)?;
        if let Some(last) = rows.last() {
            tx.clear_outbox(last.id)?;
        }
        Ok::<_, StoreError>(rows.into_iter().map(|row| row.event).collect())
    });
    all.await.unwrap()
}

fn trips() -> Table {
    Table {
        database: "Raw".into(),
        name: "Trips".into(),
        storage: StorageDescriptor {
            columns: vec![Column::new("ID", "bigint"), Column::new("fare", "decimal(12,2)")],
            location: Some("s3://raw/trips/".into()),
            input_format: Some("org.apache.hadoop.mapred.TextInputFormat".into()),
            ..StorageDescriptor::default()
        },
        partition_keys: vec![Column::new("year", "int"), Column::new("city", "string")],
        ..Table::default()
    }
}

fn trip(year: &str, city: &str) -> Partition {
    let mut storage = trips().storage;
    storage.location = Some(format!("s3://raw/trips/year={year}/city={city}/"));
    Partition { values: vec![year.into(), city.into()], storage, ..Partition::default() }
}

async fn with_table() -> (tempfile::TempDir, Lake) {
    let (directory, lake) = lake().await;
    let made = write(&lake, |tx, place| {
        ensure_database(tx, place, "raw")?;
        create_table(tx, place, trips())
    });
    made.await.unwrap();
    (directory, lake)
}

fn query(filter: &str, keys: &[Column]) -> PartitionQuery {
    let filter = filter.parse::<PartitionExpr>().unwrap().bind(keys).unwrap();
    PartitionQuery { filter: Some(filter), ..PartitionQuery::default() }
}

async fn found_values(lake: &Lake, filter: &'static str) -> Vec<String> {
    let page =
        lake.store.read(move |c| partitions(c, "raw", "trips", &query(filter, &trips().partition_keys), 1_000)).await.unwrap();
    page.partitions.into_iter().map(|partition| partition.values.join("/")).collect()
}

#[tokio::test]
async fn names_are_folded_and_taken_once() {
    let (_directory, lake) = with_table().await;
    let table = lake.store.read(|c| table(c, "RAW", "TRIPS")).await.unwrap().unwrap();
    assert_eq!((table.database.as_str(), table.name.as_str(), table.storage.columns[0].name.as_str()), ("raw", "trips", "id"));
    let again = write(&lake, |tx, place| create_table(tx, place, trips())).await.unwrap_err();
    assert_eq!(again.to_string(), "Table already exists.");
    let again = write(&lake, |tx, place| create_database(tx, place, Database { name: "RAW".into(), ..Database::default() }));
    assert_eq!(again.await.unwrap_err().to_string(), "Database already exists.");
    for (name, part) in [("", "empty"), ("  ", "empty"), ("a\nb", "control"), (&*"x".repeat(256), "256 bytes")] {
        assert!(fold_name("table", name).unwrap_err().to_string().contains(part), "{name:?}");
    }
}

#[tokio::test]
async fn a_table_has_each_column_once_and_primitive_keys() {
    let (_directory, lake) = with_table().await;
    let mut twice = trips();
    twice.name = "twice".into();
    twice.storage.columns.push(Column::new("YEAR", "int"));
    let error = write(&lake, |tx, place| create_table(tx, place, twice)).await.unwrap_err();
    assert!(error.to_string().contains("two columns of the name 'year'"), "{error}");
    let mut nested = trips();
    nested.name = "nested".into();
    nested.partition_keys.push(Column::new("m", "map<string,int>"));
    let error = write(&lake, |tx, place| create_table(tx, place, nested)).await.unwrap_err();
    assert!(error.to_string().contains("only primitive types"), "{error}");
}

#[tokio::test]
async fn updates_count_versions_and_a_stale_one_is_refused() {
    let (_directory, lake) = with_table().await;
    for comment in ["one", "two"] {
        let mut table = trips();
        table.description = Some(comment.into());
        write(&lake, move |tx, place| update_table(tx, place, table, Archive::Keep, None)).await.unwrap();
    }
    let mut silent = trips();
    silent.description = Some("silent".into());
    write(&lake, move |tx, place| update_table(tx, place, silent, Archive::Skip, Some(2))).await.unwrap();
    let stale = write(&lake, |tx, place| update_table(tx, place, trips(), Archive::Keep, Some(2))).await.unwrap_err();
    assert!(matches!(stale, CatalogError::Changed(_)), "{stale}");
    let versions = lake.store.read(|c| table_versions(c, "raw", "trips", i64::MAX, 10)).await.unwrap();
    let told: Vec<_> = versions.iter().map(|table| (table.version, table.description.as_deref())).collect();
    assert_eq!(told, [(3, Some("silent")), (1, Some("one")), (0, None)]);
    write(&lake, |tx, _| delete_table_version(tx, "raw", "trips", 1)).await.unwrap();
    assert!(lake.store.read(|c| table_version(c, "raw", "trips", 1)).await.unwrap().is_none());
    let current = write(&lake, |tx, _| delete_table_version(tx, "raw", "trips", 3)).await.unwrap_err();
    assert!(matches!(current, CatalogError::Invalid(_)));
    let mut same = trips();
    same.description = Some("silent".into());
    let (_, put) = write(&lake, move |tx, place| put_table(tx, place, same, Archive::Keep)).await.unwrap();
    assert_eq!(put, TablePut::Unchanged);
}

#[tokio::test]
async fn changes_are_told_as_aws_tells_them() {
    let (_directory, lake) = with_table().await;
    let told = write(&lake, |tx, place| {
        put_partitions(tx, place, "raw", "trips", &[trip("2024", "Rome"), trip("2024", "Oslo")])?;
        put_partitions(tx, place, "raw", "trips", &[trip("2024", "Rome")])?;
        update_table(tx, place, trips(), Archive::Keep, None)?;
        delete_partitions(tx, place, "DeletePartition", "raw", "trips", &[vec!["2024".into(), "Rome".into()]])?;
        delete_table(tx, place, "raw", "trips")?;
        delete_database(tx, place, "raw")
    });
    told.await.unwrap();
    let events = events(&lake).await;
    let changes: Vec<_> = events.iter().map(|event| event.detail["typeOfChange"].as_str().unwrap().to_owned()).collect();
    let expected = [
        "CreateDatabase",
        "CreateTable",
        "BatchCreatePartition",
        "UpdateTable",
        "DeletePartition",
        "DeleteTable",
        "DeleteDatabase",
    ];
    assert_eq!(changes, expected);
    assert_eq!(events[1].detail_type, "Glue Data Catalog Database State Change");
    assert_eq!(events[1].resources, ["arn:aws:glue:us-east-1:000000000000:table/raw/trips"]);
    assert_eq!(events[1].detail["changedTables"], serde_json::json!(["trips"]));
    assert_eq!(events[2].detail_type, "Glue Data Catalog Table State Change");
    assert_eq!(events[2].detail["changedPartitions"], serde_json::json!(["[2024, Rome]", "[2024, Oslo]"]));
}

#[tokio::test]
async fn partitions_come_back_as_they_were_put() {
    let (_directory, lake) = with_table().await;
    let mut all = vec![trip("2024", "Rome"), trip("07", "São Paulo"), trip(NULL_PARTITION, "a/b"), trip("x", "")];
    all[1].storage.location = Some("s3://elsewhere/p".into());
    all[2].storage.location = Some("s3://raw/trips/odd".into());
    all[3].storage.location = None;
    all[0].storage.parameters.insert("recordCount".into(), "12".into());
    all[0].storage.parameters.insert("classification".into(), "csv".into());
    all[0].parameters.insert("p".into(), "1".into());
    all[1].kept.insert("LastAccessTime".into(), serde_json::json!(5));
    let mut slashless = trip("2025", "Rome");
    slashless.storage.location = Some("s3://raw/trips/year=2025/city=Rome".into());
    all.push(slashless);
    let put = all.clone();
    write(&lake, move |tx, place| put_partitions(tx, place, "raw", "trips", &put)).await.unwrap();
    for given in all {
        let values = given.values.clone();
        let mut got = lake.store.read(move |c| partition(c, "raw", "trips", &values)).await.unwrap().unwrap();
        got.created_ms = 0;
        let mut given = given;
        given.storage.columns[0].name = "id".into();
        assert_eq!(got, given);
    }
    let shapes =
        lake.store.read(|c| Ok::<i64, StoreError>(c.query_row("SELECT count(*) FROM catalog_shape", [], |row| row.get(0))?));
    assert_eq!(shapes.await.unwrap(), 2, "one with a classification of its own, one for the rest");
}

#[tokio::test]
async fn wrong_values_are_refused_and_a_batch_tells_which() {
    let (_directory, lake) = with_table().await;
    let batch = [
        trip("1", "a"),
        trip("1", "a"),
        Partition { values: vec!["1".into()], ..Partition::default() },
        trip("2", &"x".repeat(1_025)),
    ];
    let errors = write(&lake, move |tx, place| create_partitions(tx, place, "raw", "trips", &batch)).await.unwrap();
    let told: Vec<_> = errors.iter().map(|(at, error)| format!("{at} {error}")).collect();
    assert!(told[0].starts_with("1 Partition already exists."), "{told:?}");
    assert!(told[1].starts_with("2 The number of partition keys do not match"), "{told:?}");
    assert!(told[2].starts_with("3 A partition value of 1025 bytes"), "{told:?}");
    let changes =
        vec![(vec!["1".to_owned(), "a".to_owned()], trip("9", "z")), (vec!["7".to_owned(), "a".to_owned()], trip("7", "b"))];
    let errors = write(&lake, move |tx, place| update_partitions(tx, place, "raw", "trips", &changes)).await.unwrap();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].1.to_string().starts_with("Cannot find partition."));
    assert_eq!(found_values(&lake, "year > 0").await, ["9/z"]);
}

#[tokio::test]
async fn filters_find_what_they_say_by_type_and_in_order() {
    let (_directory, lake) = with_table().await;
    let all: Vec<Partition> =
        [("9", "b"), ("10", "a"), ("10", "B%"), ("2024", "Rome"), (NULL_PARTITION, "n"), ("x", "bad"), ("010", "z")]
            .iter()
            .map(|(year, city)| trip(year, city))
            .collect();
    write(&lake, move |tx, place| put_partitions(tx, place, "raw", "trips", &all)).await.unwrap();
    for (filter, expected) in [
        ("year < 11", "9/b 10/B% 10/a 010/z"),
        ("year = 10", "10/B% 10/a 010/z"),
        ("year = 10 and city = 'a'", "10/a"),
        ("city like '%B%'", "10/B%"),
        ("city like '_'", "__HIVE_DEFAULT_PARTITION__/n 9/b 10/a 010/z"),
        ("city in ('a', 'Rome')", "10/a 2024/Rome"),
        ("city not in ('a', 'Rome', 'n', 'bad', 'z')", "9/b 10/B%"),
        ("year is null", "__HIVE_DEFAULT_PARTITION__/n x/bad"),
        ("year is null and city = 'n'", "__HIVE_DEFAULT_PARTITION__/n"),
        ("not (year = 10)", "9/b 2024/Rome"),
        ("year between 10 and 2023 or city = 'Rome'", "10/B% 10/a 010/z 2024/Rome"),
        ("year like '1%'", "10/B% 10/a"),
        ("year not like '1%'", "9/b 010/z 2024/Rome"),
        ("city like '%o%m%e%'", "2024/Rome"),
        ("city > 'a' and city < 'c'", "x/bad 9/b"),
        ("city like '*'", ""),
        ("year = 10 and year = 9", ""),
    ] {
        let expected: Vec<&str> = expected.split_whitespace().collect();
        let mut got = found_values(&lake, filter).await;
        let mut want: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
        // `10`, `010` compare as equal; their order is of no account.
        got.sort();
        want.sort();
        assert_eq!(got, want, "{filter}");
    }
}

#[tokio::test]
async fn pages_and_segments_together_hold_each_partition_once() {
    let (_directory, lake) = with_table().await;
    let all: Vec<Partition> = (0..257).map(|i| trip(&(i % 5).to_string(), &format!("c{i}"))).collect();
    write(&lake, move |tx, place| put_partitions(tx, place, "raw", "trips", &all)).await.unwrap();
    for (segments, limit) in [(None, 1), (None, 100), (None, 257), (None, 1_000), (Some(3), 10), (Some(10), 7)] {
        let mut seen = Vec::new();
        for number in 0..segments.unwrap_or(1) {
            let mut after = None;
            loop {
                let query = PartitionQuery { filter: None, after, segment: segments.map(|count| (number, count)) };
                let page = lake.store.read(move |c| partitions(c, "raw", "trips", &query, limit)).await.unwrap();
                assert!(page.partitions.len() <= limit);
                seen.extend(page.partitions.into_iter().map(|partition| partition.values));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        assert_eq!(seen.len(), 257, "{segments:?} {limit}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 257, "{segments:?} {limit}");
    }
}

#[tokio::test]
async fn a_key_that_gets_another_type_sorts_its_partitions_anew() {
    let (_directory, lake) = with_table().await;
    let all: Vec<Partition> = (0..2_500).map(|i| trip(&i.to_string(), "c")).collect();
    write(&lake, move |tx, place| put_partitions(tx, place, "raw", "trips", &all)).await.unwrap();
    assert_eq!(found_values(&lake, "year > 2490 and year < 2493").await, ["2491/c", "2492/c"]);
    let mut table = trips();
    table.partition_keys[0].data_type = "string".into();
    let keys = table.partition_keys.clone();
    write(&lake, move |tx, place| update_table(tx, place, table, Archive::Keep, None)).await.unwrap();
    let text_query = query("year like '249%'", &keys);
    let page = lake.store.read(move |c| partitions(c, "raw", "trips", &text_query, 1_000)).await.unwrap();
    assert_eq!(page.partitions.len(), 11);
    assert_eq!(page.partitions[0].storage.location.as_deref(), Some("s3://raw/trips/year=249/city=c/"));
    assert_eq!(lake.store.read(|c| partition_count(c, "raw", "trips")).await.unwrap(), 2_500);
    let mut fewer = trips();
    fewer.partition_keys.pop();
    let error = write(&lake, move |tx, place| update_table(tx, place, fewer, Archive::Keep, None)).await.unwrap_err();
    assert!(error.to_string().contains("cannot get 1 keys"), "{error}");
}

#[tokio::test]
async fn partitions_of_a_dropped_table_are_out_of_reach_at_once_and_swept_later() {
    let (_directory, lake) = with_table().await;
    let all: Vec<Partition> = (0..4_500).map(|i| trip(&i.to_string(), "c")).collect();
    write(&lake, move |tx, place| put_partitions(tx, place, "raw", "trips", &all)).await.unwrap();
    write(&lake, |tx, place| delete_table(tx, place, "raw", "trips")).await.unwrap();
    write(&lake, |tx, place| create_table(tx, place, trips())).await.unwrap();
    assert!(found_values(&lake, "year >= 0").await.is_empty());
    let count = || {
        lake.store.read(|c| Ok::<i64, StoreError>(c.query_row("SELECT count(*) FROM catalog_partition", [], |row| row.get(0))?))
    };
    assert_eq!(count().await.unwrap(), 2_500);
    let tasks = lake.store.write(|tx| tx.lease_tasks(SWEEP, 10)).await.unwrap();
    assert_eq!(tasks.len(), 1);
    crate::runtime::Handler::run(&Sweeper, &lake, &tasks[0]).await.unwrap();
    assert_eq!(count().await.unwrap(), 0);
}

async fn put_objects(lake: &Lake, keys: Vec<String>) {
    let put = write(lake, move |tx, place| {
        let bucket = match objects::bucket(tx, "raw")? {
            Some(bucket) => bucket,
            None => objects::create_bucket(tx, "raw", "us-east-1")?.unwrap(),
        };
        for key in keys {
            let empty = key.ends_with("empty");
            let blob = tx.adopt(&NewBlob::Inline(if empty { [].as_slice().into() } else { b"x".as_slice().into() }))?;
            let new =
                objects::NewObject { key, blob, size: u64::from(!empty), etag: "e".into(), meta: objects::ObjectMeta::default() };
            objects::put(tx, place, &bucket, new, &objects::Cause::default())?;
        }
        Ok(())
    });
    put.await.unwrap();
}

async fn scanned(lake: &Lake, filter: Option<&'static str>) -> Result<Vec<FileGroup>, SourceError> {
    let filter = filter.map(|filter| filter.parse().unwrap());
    let request = ScanRequest { filter, now_ms: 1_704_164_645_000 };
    let found = lake.store.read(move |c| scan(c, "raw", "trips", &request)).await;
    found.map_err(|error: ScanError| error.into())
}

async fn found_files(lake: &Lake, filter: Option<&'static str>) -> Vec<String> {
    let groups = scanned(lake, filter).await.unwrap();
    let mut found: Vec<String> = groups
        .iter()
        .flat_map(|group| {
            group.files.iter().map(|file| format!("{}: {}", group.values.join("/"), &file.uri["s3://raw/".len()..]))
        })
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn files_belong_to_the_partitions_they_lie_below() {
    let (_directory, lake) = with_table().await;
    let keys = [
        "trips/stray",
        "trips/year=2023/city=Oslo/a",
        "trips/year=2024/city=Oslo/a",
        "trips/year=2024/city=Oslo/_tmp/a",
        "trips/year=2024/city=Oslo/empty",
        "trips/year=2024/city=Oslo/sub/b",
        "trips/year=2024/city=Oslo2/c",
        "trips/year=2024/city=Rome/a",
        "one-file",
        "one-file-more",
    ];
    put_objects(&lake, keys.iter().map(|key| (*key).to_owned()).collect()).await;
    let mut parts = vec![
        trip("2024", "Oslo"),
        trip("2024", "Rome"),
        trip("2023", "Oslo"),
        trip("2024", "none"),
        trip("1", "sub"),
        trip("2", "one"),
    ];
    parts[4].storage.location = Some("s3://raw/trips/year=2024/city=Oslo/sub".into());
    parts[5].storage.location = Some("s3://raw/one-file".into());
    write(&lake, move |tx, place| put_partitions(tx, place, "raw", "trips", &parts)).await.unwrap();
    let all = [
        "1/sub: trips/year=2024/city=Oslo/sub/b",
        "2/one: one-file",
        "2023/Oslo: trips/year=2023/city=Oslo/a",
        "2024/Oslo: trips/year=2024/city=Oslo/a",
        "2024/Oslo: trips/year=2024/city=Oslo/sub/b",
        "2024/Rome: trips/year=2024/city=Rome/a",
    ];
    assert_eq!(found_files(&lake, None).await, all);
    assert_eq!(found_files(&lake, Some("city = 'Rome' or year = 2023")).await, [all[2], all[5]]);
    assert!(found_files(&lake, Some("year > 3000")).await.is_empty());
    let flat = write(&lake, |tx, place| {
        delete_table(tx, place, "raw", "trips")?;
        create_table(tx, place, Table { partition_keys: Vec::new(), ..trips() })
    });
    flat.await.unwrap();
    assert_eq!(found_files(&lake, None).await.len(), 6);
}

#[tokio::test]
async fn a_location_that_cannot_be_read_is_named() {
    let (_directory, lake) = with_table().await;
    let mut local = trip("1", "a");
    local.storage.location = Some("file:///tmp/x".into());
    write(&lake, move |tx, place| put_partitions(tx, place, "raw", "trips", &[local])).await.unwrap();
    let error = scanned(&lake, None).await.unwrap_err();
    assert!(error.to_string().contains("the partition [\"1\", \"a\"] of the table raw.trips is 'file:///tmp/x'"), "{error}");
    write(&lake, |tx, place| put_partitions(tx, place, "raw", "trips", &[trip("1", "a")])).await.unwrap();
    let error = scanned(&lake, None).await.unwrap_err();
    assert!(error.to_string().contains("The bucket 'raw'"), "{error}");
}

#[tokio::test]
async fn ten_thousand_files_in_a_thousand_partitions_are_found_in_one_walk() {
    let (_directory, lake) = with_table().await;
    let keys = (0..10_000).map(|i| format!("trips/year={}/city=c/f{}", i / 10, i % 10)).collect();
    put_objects(&lake, keys).await;
    let parts: Vec<Partition> = (0..1_000).map(|i| trip(&i.to_string(), "c")).collect();
    write(&lake, move |tx, place| put_partitions(tx, place, "raw", "trips", &parts)).await.unwrap();
    let start = Instant::now();
    assert_eq!(found_files(&lake, None).await.len(), 10_000);
    let whole = start.elapsed();
    assert_eq!(found_files(&lake, Some("year in (3, 500, 999)")).await.len(), 30);
    assert!(whole.as_millis() < 5_000, "{whole:?}");
    if std::env::var_os("MILLPOND_PARTITIONS").is_some() {
        eprintln!("10000 files in 1000 partitions: {whole:?}");
    }
}

/// Partitions of the measurement below; `MILLPOND_PARTITIONS=1000000 cargo test --release` measures the real thing.
fn many() -> u32 {
    std::env::var("MILLPOND_PARTITIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(50_000)
}

#[tokio::test]
async fn many_partitions_stay_usable() {
    let (directory, lake) = with_table().await;
    let start = Instant::now();
    for chunk in (0..many()).collect::<Vec<_>>().chunks(10_000) {
        let parts: Vec<Partition> = chunk.iter().map(|i| trip(&(i / 1_000).to_string(), &format!("c{:03}", i % 1_000))).collect();
        write(&lake, move |tx, place| put_partitions(tx, place, "raw", "trips", &parts)).await.unwrap();
    }
    let created = start.elapsed();
    let year = many() / 2_000;
    let values = vec![year.to_string(), "c500".to_owned()];
    let start = Instant::now();
    for _ in 0..100 {
        let values = values.clone();
        assert!(lake.store.read(move |c| partition(c, "raw", "trips", &values)).await.unwrap().is_some());
    }
    let one = start.elapsed() / 100;
    let timed = async |filter: String, expected: usize| {
        let start = Instant::now();
        let mut count = 0;
        let found = lake.store.read(move |c| {
            visit_partitions(c, "raw", "trips", &query(&filter, &trips().partition_keys), |_, _| {
                count += 1;
                Ok(true)
            })?;
            Ok::<usize, CatalogError>(count)
        });
        assert_eq!(found.await.unwrap(), expected);
        start.elapsed()
    };
    let leading = timed(format!("year = {year}"), 1_000).await;
    let exact = timed(format!("year = {year} and city = 'c007'"), 1).await;
    let second = timed("city = 'c007'".into(), many() as usize / 1_000).await;
    let start = Instant::now();
    let page = lake.store.read(move |c| partitions(c, "raw", "trips", &PartitionQuery::default(), 1_000)).await.unwrap();
    assert_eq!(page.partitions.len(), 1_000);
    let first_page = start.elapsed();
    let megabytes = std::fs::metadata(directory.path().join("lake.sqlite3")).unwrap().len() as f64 / 1e6;
    let told = format!(
        "{} partitions: created in {created:?}, {megabytes:.0} MB; one {one:?}; a page of 1000 {first_page:?}; by leading key (1000) {leading:?}; \
         by both keys {exact:?}; by the second key (scan) {second:?}",
        many()
    );
    assert!(one.as_millis() < 20 && leading.as_millis() < 2_000, "{told}");
    if std::env::var_os("MILLPOND_PARTITIONS").is_some() {
        eprintln!("{told}");
    }
}

#[tokio::test]
async fn projected_partitions_are_found_without_being_registered() {
    let (_directory, lake) = with_table().await;
    let keys = ["y=2022/Rome/a", "y=2023/Oslo/b", "y=2023/Rome/c", "y=2031/Rome/d", "year=2023/city=Rome/registered"];
    put_objects(&lake, keys.iter().map(|key| format!("trips/{key}")).collect()).await;
    write(&lake, |tx, place| put_partitions(tx, place, "raw", "trips", &[trip("2023", "Rome")])).await.unwrap();
    let mut table = trips();
    for (key, value) in [
        ("projection.enabled", "TRUE"),
        ("projection.year.type", "integer"),
        ("projection.year.range", "2000, 2030"),
        ("projection.city.type", "enum"),
        ("projection.city.values", "Rome,Oslo"),
        ("storage.location.template", "s3://raw/trips/y=${year}/${city}/"),
    ] {
        table.parameters.insert(key.into(), value.into());
    }
    write(&lake, move |tx, place| update_table(tx, place, table, Archive::Skip, None)).await.unwrap();
    let all = ["2022/Rome: trips/y=2022/Rome/a", "2023/Oslo: trips/y=2023/Oslo/b", "2023/Rome: trips/y=2023/Rome/c"];
    assert_eq!(found_files(&lake, None).await, all);
    assert_eq!(found_files(&lake, Some("city = 'Rome' and year > 2022")).await, all[2..]);
}
