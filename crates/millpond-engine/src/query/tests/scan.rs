//! Reading tables: by name, by partition, of any format.

use super::*;
use crate::query::{ExplainFormat, ExplainType};
use crate::result::ResultColumn;

#[tokio::test]
async fn parquet_is_read_by_name_and_partition() {
    let lake = flights().await;
    lake.check(
        "SELECT * FROM flights ORDER BY distance",
        "UA|∅|50|10.0|2014; AA|10|100|∅|2013; UA|-5|250|∅|2013; AA|0|400|∅|2013; DL|∅|1000|120.5|2014",
    )
    .await;
    lake.check("SELECT count(*) FROM flights", "5").await;
    lake.check("SELECT count(*), count(delay), sum(delay) FROM flights WHERE year = 2013", "3|3|5").await;
    lake.check("SELECT carrier FROM db.flights WHERE delay < 0", "UA").await;
    lake.check("SELECT year, count(*) AS n FROM awsdatacatalog.db.flights GROUP BY year ORDER BY 1", "2013|3; 2014|2").await;
}

#[tokio::test]
async fn conditions_on_partition_keys_reach_the_catalog() {
    let lake = flights().await;
    lake.check("SELECT count(*) FROM flights WHERE year >= 2014 AND distance > 100", "1").await;
    let asked = lake.catalog.asked.lock().unwrap().pop().unwrap().unwrap();
    assert!(matches!(asked, PartitionExpr::Compare { ref key, .. } if key == "year"), "{asked:?}");
    // What the catalog can't say is decided on the partitions' values.
    lake.check("SELECT count(*) FROM flights WHERE year % 2 = 0", "2").await;
    assert_eq!(lake.catalog.asked.lock().unwrap().pop().unwrap(), None);
    lake.check("SELECT count(*) FROM flights WHERE year = 2013 OR carrier = 'DL'", "4").await;
}

#[tokio::test]
async fn pruned_partitions_are_not_read() {
    let lake = flights().await;
    lake.catalog.tables.lock().unwrap().get_mut(&("db".into(), "flights".into())).unwrap().1[1].files[0].blob = "missing".into();
    lake.check("SELECT sum(distance) FROM flights WHERE year % 2 = 1", "750").await;
    let error = lake.run("SELECT sum(distance) FROM flights").await.unwrap_err();
    assert!(matches!(error, QueryError::CannotOpen { ref uri, .. } if uri == "s3://lake/flights/2014.parquet"), "{error:?}");
}

#[tokio::test]
async fn hidden_columns_are_seen_only_when_named() {
    let lake = flights().await;
    lake.check(
        "SELECT DISTINCT \"$path\", \"$file_size\" > 0 FROM flights ORDER BY 1",
        "s3://lake/flights/2013.parquet|true; s3://lake/flights/2014.parquet|true",
    )
    .await;
    lake.check("SELECT f.*, \"$path\" FROM flights f WHERE distance = 50", "UA|∅|50|10.0|2014|s3://lake/flights/2014.parquet")
        .await;
    lake.check("SELECT * FROM flights WHERE \"$path\" LIKE '%2014%' AND distance = 50", "UA|∅|50|10.0|2014").await;
}

#[tokio::test]
async fn a_file_that_does_not_fit_its_table_is_named() {
    let lake = Lake::new();
    let file = lake.put("t/a.parquet", parquet_file(vec![("a", strings(&["x"]))])).await;
    let broken = lake.put("t/b.parquet", b"this is not a parquet file at all".to_vec()).await;
    lake.add(parquet_table("t", &[("a", "bigint")], &[]), vec![(vec![], vec![file])]);
    lake.add(parquet_table("u", &[("a", "bigint")], &[]), vec![(vec![], vec![broken])]);
    let message = "HIVE_BAD_DATA: Field a's type string in the Parquet file is incompatible with type bigint defined in the table's \
                   schema (s3://lake/t/a.parquet)";
    lake.check("SELECT a FROM t", message).await;
    let error = lake.run("SELECT a FROM u").await.unwrap_err();
    assert!(matches!(error, QueryError::CannotOpen { ref uri, .. } if uri == "s3://lake/t/b.parquet"), "{error:?}");
}

#[tokio::test]
async fn csv_is_read_leniently() {
    let lake = Lake::new();
    let file = lake.put("c/1.csv", b"id,name,at\n1,a,2024-01-01\nx,b,\n3\n".to_vec()).await;
    let other = lake.put("c/2.csv", b"id,name,at\n4,d,2024-02-02,more\n".to_vec()).await;
    let table = csv_table("c", &[("id", "bigint"), ("name", "string"), ("at", "date")], &[("p", "string")]);
    lake.add(table, vec![(vec!["one"], vec![file]), (vec!["two"], vec![other])]);
    lake.check("SELECT * FROM c ORDER BY id NULLS FIRST", "∅|b|∅|one; 1|a|2024-01-01|one; 3|∅|∅|one; 4|d|2024-02-02|two").await;
    lake.check("SELECT p, count(*) FROM c GROUP BY p ORDER BY p", "one|3; two|1").await;
    lake.check("SELECT name FROM c WHERE p = 'two'", "d").await;
    lake.check("SELECT count(*) FROM (SELECT * FROM c LIMIT 2)", "2").await;
}

#[tokio::test]
async fn json_is_read_by_name() {
    let lake = Lake::new();
    let file = lake.put("j/1.json", b"{\"ID\":1,\"tags\":[\"a\",\"b\"],\"o\":{\"x\":1.5}}\n{\"id\":2}\n".to_vec()).await;
    lake.add(json_table("j", &[("id", "int"), ("tags", "array<string>"), ("o", "struct<x:double>")]), vec![(vec![], vec![file])]);
    lake.check("SELECT id, tags, o, o.x FROM j ORDER BY id", "1|[a, b]|{x=1.5}|1.5; 2|∅|∅|∅").await;
    lake.check("SELECT cardinality(tags), tags[1], element_at(tags, 2), element_at(tags, 3) FROM j WHERE id = 1", "2|a|b|∅")
        .await;
    lake.check("SELECT id, tag FROM j CROSS JOIN UNNEST(tags) AS t(tag)", "1|a; 1|b").await;
    lake.check(
        "SELECT id, tag, count(*) FROM j LEFT JOIN UNNEST(tags) AS t(tag) ON true GROUP BY 1, 2 ORDER BY 1, 2",
        "1|a|1; 1|b|1; 2|∅|1",
    )
    .await;
}

#[tokio::test]
async fn a_partition_of_another_format_and_order_is_read_by_its_own_description() {
    let lake = Lake::new();
    let text = lake.put("m/1.csv", b"name,id\na,1\n".to_vec()).await;
    let parquet = lake.put("m/2.parquet", parquet_file(vec![("id", ints(&[2])), ("name", strings(&["b"]))])).await;
    let table = parquet_table("m", &[("id", "bigint"), ("name", "string"), ("new", "double")], &[("p", "int")]);
    lake.add(table, vec![(vec!["1"], vec![text]), (vec!["2"], vec![parquet])]);
    let own = csv_table("m", &[("name", "string"), ("id", "int")], &[]).storage;
    lake.catalog.tables.lock().unwrap().get_mut(&("db".into(), "m".into())).unwrap().1[0].storage = Arc::new(own);
    lake.check("SELECT * FROM m ORDER BY id", "1|a|∅|1; 2|b|∅|2").await;
}

#[tokio::test]
async fn ten_thousand_small_files_are_one_small_plan() {
    let lake = Lake::new();
    let mut files = Vec::new();
    for index in 0..10_000 {
        files.push(lake.put(&format!("many/{index}.csv"), format!("id\n{index}\n").into_bytes()).await);
    }
    lake.add(csv_table("many", &[("id", "bigint")], &[]), vec![(vec![], files)]);
    lake.check("SELECT count(*), sum(id), max(id) FROM many", "10000|49995000|9999").await;
    let plan = lake
        .engine
        .explain(lake.request("SELECT id FROM many"), ExplainFormat::Text, ExplainType::Distributed)
        .await
        .unwrap()
        .text;
    assert!(plan.contains("files = 10000, splits = 2"), "{plan}");
}

#[tokio::test]
async fn an_empty_table_has_columns_and_no_rows() {
    let lake = Lake::new();
    lake.add(parquet_table("e", &[("a", "decimal(12,2)"), ("b", "array<string>")], &[("p", "date")]), vec![]);
    let stream = lake.engine.query(lake.request("SELECT * FROM e")).await.unwrap();
    let types: Vec<&str> = stream.columns().iter().map(|column: &ResultColumn| column.data_type).collect();
    assert_eq!(types, ["decimal", "array", "date"]);
    assert_eq!(rows(&stream.collect().await.unwrap()), Vec::<String>::new());
    lake.check("SELECT count(*), max(p) FROM e", "0|∅").await;
}

#[tokio::test]
async fn partition_values_have_their_keys_types() {
    let lake = Lake::new();
    let file = lake.put("k/1.parquet", parquet_file(vec![("a", ints(&[1]))])).await;
    let table = parquet_table("k", &[("a", "int")], &[("d", "date"), ("n", "string")]);
    lake.add(table.clone(), vec![(vec!["2024-05-01", "__HIVE_DEFAULT_PARTITION__"], vec![file.clone()])]);
    lake.check("SELECT d, n, d + INTERVAL '1' DAY, date_diff('day', d, DATE '2024-05-03') FROM k", "2024-05-01|∅|2024-05-02|2")
        .await;
    lake.check("SELECT count(*) FROM k WHERE d BETWEEN DATE '2024-04-30' AND DATE '2024-05-01' AND n IS NULL", "1").await;
    lake.add(table, vec![(vec!["yesterday", "x"], vec![file])]);
    lake.check("SELECT d FROM k", "HIVE_INVALID_PARTITION_VALUE: Invalid partition value 'yesterday' for DATE partition key: d")
        .await;
}

#[tokio::test]
async fn rows_of_text_that_are_skipped_are_not_answered() {
    let lake = Lake::new();
    let text = (0..100).fold("id\n".to_owned(), |text, id| text + &format!("{id}\n"));
    let file = lake.put("one.csv", text.into_bytes()).await;
    lake.add(csv_table("one", &[("id", "bigint")], &[]), vec![(vec![], vec![file])]);
    lake.check("SELECT id FROM one OFFSET 10 LIMIT 3", "10; 11; 12").await;
    lake.check("SELECT count(*) FROM (SELECT id FROM one OFFSET 90)", "10").await;
    lake.check("SELECT count(*) FROM (SELECT id FROM one LIMIT 7)", "7").await;
}

#[tokio::test]
async fn what_is_scanned_is_counted_and_limited() {
    let lake = flights().await;
    let stream = lake.engine.query(lake.request("SELECT carrier FROM flights")).await.unwrap();
    let statistics = Arc::clone(stream.statistics());
    stream.collect().await.unwrap();
    assert!(statistics.scanned_bytes() > 100, "{statistics:?}");
    assert_eq!(statistics.rows(), 5);
    let mut request = lake.request("SELECT * FROM flights");
    request.limits.scan_bytes_max = Some(100);
    // Footers are in the cache by now; the columns still have to be read.
    let error = match lake.engine.query(request).await {
        Ok(stream) => stream.collect().await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error, QueryError::ExceededScan(100));
}
