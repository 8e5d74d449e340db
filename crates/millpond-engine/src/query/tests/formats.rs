//! Tables of every SerDe, read as Athena reads them.

use super::*;
use crate::testing::gzip;
use arrow::array::{BinaryArray, BooleanArray, DictionaryArray, StringViewArray};
use arrow::datatypes::Int32Type;
use orc_rust::ArrowWriterBuilder;

const ORC: &str = "org.apache.hadoop.hive.ql.io.orc.OrcSerde";
const LAZY: &str = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe";
const OPEN_CSV: &str = "org.apache.hadoop.hive.serde2.OpenCSVSerde";
const OPENX: &str = "org.openx.data.jsonserde.JsonSerDe";
const REGEX: &str = "org.apache.hadoop.hive.serde2.RegexSerDe";
const GROK: &str = "com.amazonaws.glue.serde.GrokSerDe";
const MULTI: &str = "org.apache.hadoop.hive.contrib.serde2.MultiDelimitSerDe";

fn serde_table(name: &str, list: &[(&str, &str)], library: &str, parameters: &[(&str, &str)]) -> Table {
    let parameters = parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    table(name, list, &[], SerDeInfo { name: None, serialization_library: Some(library.into()), parameters })
}

/// A lake with one table `t` of one file.
async fn one(library: &str, parameters: &[(&str, &str)], list: &[(&str, &str)], bytes: impl Into<Vec<u8>>) -> Lake {
    let lake = Lake::new();
    let file = lake.put("t/1", bytes.into()).await;
    lake.add(serde_table("t", list, library, parameters), vec![(vec![], vec![file])]);
    lake
}

fn orc_file(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriterBuilder::new(&mut bytes, batch.schema()).try_build().unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[tokio::test]
async fn lazy_simple_nests_by_its_delimiters() {
    let list = [("a", "array<int>"), ("m", "map<string,array<int>>"), ("s", "struct<x:int,y:array<string>>"), ("b", "binary")];
    let lake = one(
        LAZY,
        &[("field.delim", "|"), ("colelction.delim", ","), ("mapkey.delim", ":")],
        &list,
        "1,2,x|k:1\u{4}2,l:3|7,p:q|MTIz\n\\N||5|%\n",
    )
    .await;
    lake.check("SELECT a, m, s, from_utf8(b) FROM t WHERE s.x = 7", "[1, 2, null]|{k=[1, 2], l=[3]}|{x=7, y=[p, q]}|123").await;
    lake.check("SELECT a, m, s.x, s.y, from_utf8(b) FROM t WHERE s.x = 5", "∅|∅|5|∅|%").await;
    // JSON text is read where it stands.
    let lake = one(LAZY, &[("field.delim", "|")], &list[..1], "[3,4]\n5\u{2}6\n").await;
    lake.check("SELECT a FROM t", "[3, 4]; [5, 6]").await;
}

#[tokio::test]
async fn lazy_simple_takes_blank_lines_for_rows_and_skips_headers_and_footers() {
    let lake = one(LAZY, &[("field.delim", ",")], &[("b", "boolean"), ("s", "string")], "true,x\n\nfalse,\n").await;
    lake.check("SELECT b, s FROM t", "true|x; ∅|∅; false|").await;
    let skipped = [("field.delim", ","), ("skip.header.line.count", "2"), ("skip.footer.line.count", "2")];
    for end in ["\n", ""] {
        let lake = one(LAZY, &skipped, &[("n", "int")], format!("a\nb\n1\n2\n3\ntotal 6\n(end){end}")).await;
        lake.check("SELECT n FROM t", "1; 2; 3").await;
    }
    let lake = one(LAZY, &skipped, &[("n", "int")], "a\nb\n1\n2\n").await;
    lake.check("SELECT count(*) FROM t", "0").await;
    let formats = [("field.delim", ","), ("timestamp.formats", "dd/MM/yyyy HH:mm,millis")];
    let lake = one(LAZY, &formats, &[("t", "timestamp")], "02/01/2024 03:04\n1704164645000\n2024-01-02 03:04:05\nx\n").await;
    lake.check("SELECT t FROM t", "2024-01-02 03:04:00.000; 2024-01-02 03:04:05.000; 2024-01-02 03:04:05.000; ∅").await;
}

#[tokio::test]
async fn open_csv_takes_numbers_for_days_and_milliseconds() {
    let list = [("d", "date"), ("t", "timestamp"), ("n", "int")];
    let lake = one(OPEN_CSV, &[], &list, "\"19724\",\"1704164645678\",\"7\"\n2024-01-03,2024-01-02 00:00:00,\n").await;
    lake.check("SELECT d, t, n FROM t", "2024-01-02|2024-01-02 03:04:05.678|7; 2024-01-03|2024-01-02 00:00:00.000|∅").await;
}

#[tokio::test]
async fn json_that_is_none_fails_or_is_a_row_of_nulls() {
    let text = "{\"a\":1}\n{\"a\":\noops\n{\"a\":2}\n";
    let lake = one(OPENX, &[], &[("a", "int")], text).await;
    let error = lake.text("SELECT a FROM t").await;
    assert!(error.starts_with("HIVE_CURSOR_ERROR: Row is not a valid JSON Object - JSONException: "), "{error}");
    assert!(error.contains("line 2 of s3://lake/t/1"), "{error}");
    let lake = one(OPENX, &[("ignore.malformed.json", "TRUE")], &[("a", "int")], text).await;
    lake.check("SELECT a FROM t", "1; ∅; ∅; 2").await;
    let other = one(OPENX, &[("ignore.malformed.json", "1")], &[("a", "int")], text).await;
    assert!(other.text("SELECT a FROM t").await.starts_with("HIVE_CURSOR_ERROR"));
    let keys = "{\"Url\":\"u\",\"a.b\":1,\"ts\":\"02.01.2024\"}\n{\"url\":\"v\"}\n";
    let list = [("url", "string"), ("a_b", "int"), ("ts", "timestamp")];
    let lake = one(OPENX, &[("dots.in.keys", "true"), ("timestamp.formats", "dd.MM.yyyy")], &list, keys).await;
    lake.check("SELECT * FROM t", "u|1|2024-01-02 00:00:00.000; v|∅|∅").await;
    let lake = one(OPENX, &[("case.insensitive", "false"), ("mapping.a_b", "Url")], &list[..2], keys).await;
    lake.check("SELECT url FROM t", "∅; v").await;
}

#[tokio::test]
async fn lines_are_cut_by_expressions_and_long_delimiters() {
    let text = "#skipped\n2024-01-02 GET 200 /a b\nnothing of this\n2024-01-03 PUT x /c\n";
    let list = [("d", "date"), ("verb", "string"), ("code", "int"), ("path", "string")];
    let pattern = "^(?!#)([0-9-]+)\\s+(\\w+)\\s+(\\S+)\\s(.*)$";
    let lake = one(REGEX, &[("input.regex", pattern), ("skip.header.line.count", "1")], &list, text).await;
    lake.check("SELECT * FROM t", "2024-01-02|GET|200|/a b; ∅|∅|∅|∅; 2024-01-03|PUT|∅|/c").await;
    lake.check("SELECT count(*), max(code) FROM t", "3|200").await;
    let format = [
        ("input.format", "%{DAYS:d} %{WORD:verb} %{NOTSPACE:code} %{GREEDYDATA:path}"),
        ("input.grokCustomPatterns", "DAYS %{YEAR}-%{MONTHNUM}-%{MONTHDAY}"),
    ];
    let lake = one(GROK, &format, &[("path", "string"), ("verb", "string"), ("other", "int"), ("d", "date")], text).await;
    lake.check("SELECT * FROM t WHERE verb = 'GET'", "/a b|GET|∅|2024-01-02").await;
    let lake =
        one(MULTI, &[("field.delim", "~|~")], &[("a", "int"), ("b", "string"), ("c", "double")], "1~|~x|y~|~2.5\n\\N~|~z\n")
            .await;
    lake.check("SELECT * FROM t", "1|x|y|2.5; ∅|z|∅").await;
    let endless = [("input.regex", "(?:(a+)+)(?=b)b\\1")];
    let lake = one(REGEX, &endless, &[("a", "string")], "a".repeat(200) + "\n").await;
    let error = lake.text("SELECT a FROM t").await;
    assert!(error == "∅" || error.contains("s3://lake/t/1"), "{error}");
}

#[tokio::test]
async fn orc_is_read_by_place_or_by_name() {
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]));
    let bytes: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"x", b"y", b""]));
    let file = orc_file(vec![("B", ints(&[1, 2, 3])), ("a", strings(&["x", "y", "z"])), ("f", flags), ("bin", bytes)]);
    let list = [("a", "bigint"), ("b", "string"), ("f", "boolean"), ("bin", "binary"), ("new", "double")];
    let lake = one(ORC, &[], &list, file.clone()).await;
    lake.check("SELECT a, b, f, from_utf8(bin), new FROM t", "1|x|true|x|∅; 2|y|∅|y|∅; 3|z|false||∅").await;
    lake.check("SELECT count(*) FROM t", "3").await;
    lake.check("SELECT b FROM t WHERE a > 1 ORDER BY 1 DESC", "z; y").await;
    let named = one(ORC, &[("orc.column.index.access", "false")], &[("a", "string"), ("b", "bigint")], file.clone()).await;
    named.check("SELECT a, b FROM t WHERE b = 2", "y|2").await;
    for (i, broken) in [b"not orc, and long enough to look at".to_vec(), file[..file.len() / 2].to_vec(), {
        let mut damaged = file.clone();
        damaged[3..40].fill(0xff);
        damaged
    }]
    .into_iter()
    .enumerate()
    {
        let lake = one(ORC, &[], &list, broken).await;
        let error = lake.text("SELECT * FROM t").await;
        assert!(error.starts_with("HIVE_") && error.contains("s3://lake/t/1"), "{i}: {error}");
    }
}

/// Flips bytes of a small ORC file: whatever comes of it, the process lives and the query ends.
#[tokio::test]
async fn hostile_orc_files_end_as_errors() {
    let file = orc_file(vec![("a", ints(&(0..100).collect::<Vec<_>>())), ("s", strings(&["abc"; 100]))]);
    let lake = Lake::new();
    for at in 3..file.len() {
        let mut hostile = file.clone();
        hostile[at] ^= if at % 2 == 0 { 0xff } else { 0x80 };
        let file = lake.put(&format!("t/{at}"), hostile).await;
        lake.add(serde_table("t", &[("a", "int"), ("s", "string")], ORC, &[]), vec![(vec![], vec![file])]);
        let text = lake.text("SELECT sum(a), max(s), count(*) FROM t").await;
        assert!(!text.contains("INTERNAL"), "{at}: {text}");
    }
}

#[tokio::test]
async fn parquet_is_read_by_place_where_the_table_says_so() {
    let lake = Lake::new();
    let file = lake.put("t/1", parquet_file(vec![("b", ints(&[1, 2])), ("a", strings(&["x", "y"]))])).await;
    let library = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";
    let list = [("a", "int"), ("c", "string"), ("more", "double")];
    lake.add(serde_table("t", &list, library, &[("parquet.column.index.access", "true")]), vec![(vec![], vec![file])]);
    lake.check("SELECT * FROM t WHERE a = 2", "2|y|∅").await;
    lake.check("SELECT c FROM t", "x; y").await;
}

#[tokio::test]
async fn a_partition_whose_types_do_not_fit_its_table_is_refused() {
    let lake = Lake::new();
    let file = lake.put("p/1.csv", b"id\nx\n".to_vec()).await;
    lake.add(csv_table("p", &[("id", "boolean")], &[("k", "int")]), vec![(vec!["1"], vec![file])]);
    let own = csv_table("p", &[("id", "date")], &[]).storage;
    lake.catalog.tables.lock().unwrap().get_mut(&("db".into(), "p".into())).unwrap().1[0].storage = Arc::new(own);
    lake.check(
        "SELECT * FROM p",
        "HIVE_PARTITION_SCHEMA_MISMATCH: There is a mismatch between the table and partition schemas. The types are incompatible and cannot \
         be coerced. The column 'id' in table 'db.p' is declared as type 'boolean', but partition 'k=1' declared column 'id' as type 'date'.",
    )
    .await;
}

#[tokio::test]
async fn a_file_that_is_cut_off_is_named() {
    let packed = gzip("1,x\n".repeat(10_000).as_bytes());
    let lake = one(LAZY, &[("field.delim", ",")], &[("a", "int")], packed[..packed.len() / 2].to_vec()).await;
    let error = lake.text("SELECT sum(a) FROM t").await;
    assert!(error.starts_with("HIVE_CURSOR_ERROR: ") && error.contains("s3://lake/t/1"), "{error}");
    let long = "x".repeat(33 << 20);
    let lake = one(OPENX, &[], &[("a", "int")], format!("{{\"a\":1}}\n{{\"b\":\"{long}\"}}\n")).await;
    let error = lake.text("SELECT a FROM t").await;
    assert!(error.contains("longer than 32 MiB") && error.contains("s3://lake/t/1"), "{error}");
}

#[tokio::test]
async fn partitions_of_a_table_are_a_table() {
    let lake = flights().await;
    lake.check("SELECT * FROM \"flights$partitions\" ORDER BY year", "2013; 2014").await;
    lake.check("SELECT max(year) FROM \"flights$partitions\" WHERE year < 2014", "2013").await;
    lake.check(
        "SELECT count(*) FROM \"nothing$partitions\"",
        "TABLE_NOT_FOUND: line 1:22: Table 'awsdatacatalog.db.nothing$partitions' does not exist",
    )
    .await;
}

#[tokio::test]
async fn a_large_file_of_lines_is_read_in_parts() {
    let rows = 600_000u64;
    let mut text = String::from("id,name\n");
    for id in 0..rows {
        text.push_str(&format!("{id},a name that takes some room {id}\n"));
    }
    assert!(text.len() > 20 << 20);
    let packed = gzip(text.as_bytes());
    let lake = Lake::new();
    let files = (lake.put("big/1.csv", text.into_bytes()).await, lake.put("packed/1.csv", [packed, vec![]].concat()).await);
    lake.add(csv_table("big", &[("id", "bigint"), ("name", "string")], &[]), vec![(vec![], vec![files.0])]);
    lake.add(csv_table("packed", &[("id", "bigint"), ("name", "string")], &[]), vec![(vec![], vec![files.1])]);
    let expected = format!("{rows}|{}|{}", rows * (rows - 1) / 2, rows - 1);
    lake.check("SELECT count(*), sum(id), max(id) FROM big", &expected).await;
    lake.check("SELECT count(*), sum(id), max(id) FROM packed", &expected).await;
}

#[tokio::test]
async fn parquet_of_views_and_dictionaries_is_read_as_plain_texts() {
    let lake = Lake::new();
    let names: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None, Some("a text that is too long for a view")]));
    let kinds: DictionaryArray<Int32Type> = vec![Some("x"), Some("y"), None].into_iter().collect();
    let bytes = parquet_file(vec![("name", names), ("kind", Arc::new(kinds)), ("n", Arc::new(Int32Array::from(vec![1, 2, 3])))]);
    let file = lake.put("views.parquet", bytes).await;
    lake.add(parquet_table("views", &[("name", "string"), ("kind", "string"), ("n", "int")], &[]), vec![(vec![], vec![file])]);
    let all = "a|x|1; ∅|y|2; a text that is too long for a view|∅|3";
    lake.check("SELECT * FROM views ORDER BY n", all).await;
    lake.check("SELECT n FROM views WHERE name >= 'a ' AND kind IS NULL", "3").await;
    lake.check("SELECT kind, count(name) FROM views GROUP BY kind ORDER BY kind", "x|1; y|0; ∅|1").await;
}
