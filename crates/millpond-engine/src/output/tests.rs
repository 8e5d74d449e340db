//! What queries become in files, read back by other readers.

use super::*;
use crate::query::tests::Fake;
use crate::query::{Engine, EngineConfig, QueryError, QueryRequest};
use crate::result::value::texts;
use crate::sql::{Properties, PropertyValue, Statement, Write, parse};
use crate::write::{Output, Upload, WriteOptions};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use bytes::Bytes;
use millpond_core::catalog::Table;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

struct Lake {
    engine: Engine,
    store: Arc<dyn ObjectStore>,
    runtime: tokio::runtime::Runtime,
}

impl Lake {
    fn new() -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let config = EngineConfig { threads: 2, ..EngineConfig::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { engine: Engine::new(config, Arc::clone(&store)), store, runtime }
    }

    fn try_write(
        &self,
        sql: &str,
        target: impl FnOnce(&arrow::datatypes::Schema) -> Result<Target, QueryError>,
    ) -> Result<Written, QueryError> {
        let numbers = AtomicU64::new(0);
        let new_path = Arc::new(move || Path::from(format!("f{}", numbers.fetch_add(1, Ordering::Relaxed))));
        self.runtime.block_on(async {
            let stream = self.engine.query(QueryRequest::new(sql, Arc::new(Fake::default()))).await?;
            let target = target(stream.schema())?;
            write(&self.engine, stream, target, new_path).await
        })
    }

    /// Writes a query's rows with the properties of `WITH (…)`.
    fn write(&self, properties: &str, sql: &str) -> Written {
        let properties = OutputProperties::of_table(&with(properties)).unwrap();
        self.try_write(sql, |schema| properties.target(schema, true)).unwrap()
    }

    fn bytes(&self, file: &OutputFile) -> Bytes {
        self.runtime.block_on(async { self.store.get(&file.file.blob).await.unwrap().bytes().await.unwrap() })
    }

    fn left(&self) -> usize {
        use futures::StreamExt;
        self.runtime.block_on(self.store.list(None).count())
    }
}

fn with(properties: &str) -> Properties {
    let sql = format!("CREATE TABLE t WITH ({properties}) AS SELECT 1");
    match parse(&sql).unwrap() {
        Statement::Write(Write::CreateTableAs(create)) => create.properties,
        other => panic!("{other:?}"),
    }
}

/// Rows as text, columns by `|`.
fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch.columns().iter().map(|column| texts(column).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let cells = columns.iter().map(|column| column[row].clone().unwrap_or_else(|| "NULL".into()));
            rows.push(cells.collect::<Vec<_>>().join("|"));
        }
    }
    rows
}

/// Every type that files have, with a row of values and a row of NULLs.
const ALL: &str = "SELECT CAST(i AS tinyint) AS ti, CAST(i AS smallint) AS si, CAST(i AS integer) AS i, CAST(i AS bigint) AS bi,
    CAST(i AS real) AS r, CAST(i AS double) AS d, CAST(i AS decimal(20,2)) AS de, i > 0 AS b, CAST(i AS varchar) AS s,
    CASE WHEN i IS NOT NULL THEN X'00ff' END AS bin, CASE WHEN i IS NOT NULL THEN DATE '2024-02-29' END AS dt,
    CASE WHEN i IS NOT NULL THEN TIMESTAMP '1969-12-30 23:59:58.250' END AS ts,
    CASE WHEN i IS NOT NULL THEN ARRAY['a', NULL, 'c'] END AS a
    FROM (VALUES -7, NULL, 2) AS t(i)";

const ALL_ROWS: [&str; 3] = [
    "-7|-7|-7|-7|-7.0|-7.0|-7.00|false|-7|00 ff|2024-02-29|1969-12-30 23:59:58.250|[a, null, c]",
    "NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL",
    "2|2|2|2|2.0|2.0|2.00|true|2|00 ff|2024-02-29|1969-12-30 23:59:58.250|[a, null, c]",
];

#[test]
fn parquet_has_what_the_query_gave() {
    let lake = Lake::new();
    for codec in ["GZIP", "SNAPPY", "ZSTD", "LZ4", "NONE"] {
        let written = lake.write(&format!("write_compression = '{codec}'"), ALL);
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(lake.bytes(&written.files[0]), 1024);
        let read: Vec<RecordBatch> = reader.unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(rows(&read), ALL_ROWS, "{codec}");
    }
}

#[test]
fn orc_has_what_the_query_gave() {
    let lake = Lake::new();
    for codec in ["ZLIB", "SNAPPY", "ZSTD", "LZ4", "NONE"] {
        let written = lake.write(&format!("format = 'ORC', write_compression = '{codec}'"), ALL);
        let reader = orc_rust::ArrowReaderBuilder::try_new(lake.bytes(&written.files[0])).unwrap().build();
        let read: Vec<RecordBatch> = reader.collect::<Result<_, _>>().unwrap();
        assert_eq!(rows(&read).len(), 3);
        // The reader gives timestamps in nanoseconds, whose text is the same.
        assert_eq!(rows(&read), ALL_ROWS, "{codec}");
    }
}

#[test]
fn long_columns_of_orc_come_back_whole() {
    let lake = Lake::new();
    let sql = "SELECT x, x % 7 AS m, CASE WHEN x % 3 = 0 THEN NULL ELSE 'text ' || CAST(x / 10 AS varchar) END AS s, \
               CASE WHEN x % 5 = 0 THEN NULL ELSE ARRAY[x, NULL] END AS a \
               FROM UNNEST(sequence(1, 10000)) AS t(x)";
    for codec in ["SNAPPY", "LZ4", "ZLIB"] {
        let written = lake.write(&format!("format = 'ORC', orc_compression = '{codec}'"), sql);
        let reader = orc_rust::ArrowReaderBuilder::try_new(lake.bytes(&written.files[0])).unwrap().build();
        let read: Vec<RecordBatch> = reader.collect::<Result<_, _>>().unwrap();
        let read = rows(&read);
        assert_eq!((written.rows, read.len()), (10_000, 10_000));
        assert_eq!(read[14], "15|1|NULL|NULL", "{codec}");
        assert_eq!(read[9_997], "9998|2|text 999|[9998, null]", "{codec}");
    }
}

#[test]
fn avro_has_what_the_query_gave() {
    let lake = Lake::new();
    for codec in ["NONE", "SNAPPY", "DEFLATE", "ZSTD", "BZIP2"] {
        let written = lake.write(&format!("format = 'AVRO', write_compression = '{codec}'"), ALL);
        let bytes = lake.bytes(&written.files[0]);
        let reader = arrow_avro::reader::ReaderBuilder::new().build(std::io::Cursor::new(bytes)).unwrap();
        let read: Vec<RecordBatch> = reader.collect::<Result<_, _>>().unwrap();
        let want: Vec<String> = ALL_ROWS.iter().map(|row| row.replace("58.250", "58.250 UTC")).collect();
        assert_eq!(rows(&read), want, "{codec}");
    }
}

/// The bytes of a file of one batch.
fn encoded(lake: &Lake, format: &OutputFormat, batch: &RecordBatch) -> Bytes {
    let handle = lake.engine.handle();
    let output = Output {
        store: Arc::clone(&lake.store),
        handle,
        schema: batch.schema(),
        options: WriteOptions::default(),
        new_path: Arc::new(|| Path::from("encoded")),
    };
    let upload = Upload::new(&output);
    let mut encoder = encoder::encoder(format, Codec::None.into(), &output.schema, upload.outbox()).unwrap();
    encoder.write(batch).unwrap();
    encoder.finish().unwrap();
    upload.close().unwrap();
    lake.runtime.block_on(async { lake.store.get(&Path::from("encoded")).await.unwrap().bytes().await.unwrap() })
}

#[test]
fn rows_within_rows_come_back() {
    let lake = Lake::new();
    let (p, q) = (Int64Array::from(vec![Some(1), None, Some(3)]), StringArray::from(vec![Some("x"), Some("y"), None]));
    let fields = Fields::from(vec![Field::new("p", DataType::Int64, true), Field::new("q", DataType::Utf8, true)]);
    let nulls = NullBuffer::from(vec![true, false, true]);
    let rows_within: ArrayRef = Arc::new(StructArray::new(fields, vec![Arc::new(p), Arc::new(q)], Some(nulls)));
    let batch = RecordBatch::try_from_iter_with_nullable([("r", rows_within, true)]).unwrap();
    let want = ["{p=1, q=x}", "NULL", "{p=3, q=null}"];
    let orc = orc_rust::ArrowReaderBuilder::try_new(encoded(&lake, &OutputFormat::Orc, &batch)).unwrap().build();
    assert_eq!(rows(&orc.collect::<Result<Vec<_>, _>>().unwrap()), want);
    let avro = std::io::Cursor::new(encoded(&lake, &OutputFormat::Avro, &batch));
    let avro = arrow_avro::reader::ReaderBuilder::new().build(avro).unwrap();
    assert_eq!(rows(&avro.collect::<Result<Vec<_>, _>>().unwrap()), want);
    let json = encoded(&lake, &OutputFormat::Json(BTreeMap::new()), &batch);
    assert_eq!(json, "{\"r\":{\"p\":1,\"q\":\"x\"}}\n{\"r\":null}\n{\"r\":{\"p\":3,\"q\":null}}\n");
    let text = encoded(&lake, &OutputFormat::Text(TextOptions::default()), &batch);
    assert_eq!(text, "1\u{2}x\n\\N\n3\u{2}\\N\n");
}

fn unpacked(codec: &str, bytes: &Bytes) -> String {
    let mut text = String::new();
    match codec {
        "GZIP" => flate2::read::GzDecoder::new(bytes.as_ref()).read_to_string(&mut text).unwrap(),
        "DEFLATE" => flate2::read::ZlibDecoder::new(bytes.as_ref()).read_to_string(&mut text).unwrap(),
        "ZSTD" => zstd::stream::read::Decoder::new(bytes.as_ref()).unwrap().read_to_string(&mut text).unwrap(),
        "BZIP2" => bzip2::read::BzDecoder::new(bytes.as_ref()).read_to_string(&mut text).unwrap(),
        _ => bytes.as_ref().read_to_string(&mut text).unwrap(),
    };
    text
}

#[test]
fn text_has_hives_delimiters() {
    let lake = Lake::new();
    let sql = "SELECT 'a,b' AS s, CAST(NULL AS integer) AS i, ARRAY[1, 2] AS a, MAP(ARRAY['k', 'l'], ARRAY[1.5E0, NULL]) AS m, X'0001' AS b";
    for codec in ["GZIP", "DEFLATE", "ZSTD", "BZIP2", "NONE"] {
        let written = lake.write(&format!("format = 'TEXTFILE', write_compression = '{codec}'"), sql);
        let text = unpacked(codec, &lake.bytes(&written.files[0]));
        assert_eq!(text, "a,b\u{1}\\N\u{1}1\u{2}2\u{1}k\u{3}1.5\u{2}l\u{3}\\N\u{1}AAE=\n", "{codec}");
    }
    let written = lake.write("format = 'TEXTFILE', field_delimiter = ',', write_compression = 'NONE'", "SELECT 1 AS a, 'x' AS b");
    assert_eq!(lake.bytes(&written.files[0]), "1,x\n");
}

#[test]
fn text_refuses_what_would_tear_its_rows_or_be_read_as_null() {
    let lake = Lake::new();
    let error = |properties: &str, sql: &str| {
        let properties = OutputProperties::of_table(&with(properties)).unwrap();
        lake.try_write(sql, |schema| properties.target(schema, true)).unwrap_err().to_string()
    };
    for sql in [
        "SELECT 1 AS a, 'x' || chr(10) || 'y' AS s",
        "SELECT 1 AS a, 'x' || chr(13) AS s",
        "SELECT 1 AS a, 'x' || chr(1) AS s",
        "SELECT 1 AS a, '\\N' AS s",
        "SELECT 1 AS a, ARRAY['x' || chr(2)] AS s",
        "SELECT 1 AS a, MAP(ARRAY['x' || chr(3)], ARRAY[1]) AS s",
    ] {
        let message = error("format = 'TEXTFILE'", sql);
        assert!(message.starts_with("HIVE_WRITER_DATA_ERROR: ") && message.contains("'s'"), "{sql}: {message}");
        assert_eq!(lake.left(), 0, "{sql}");
    }
    assert!(error("format = 'TEXTFILE', field_delimiter = '-'", "SELECT -1 AS n").contains("'n'"));
    // Only fields are between the fields' delimiters.
    lake.write("format = 'TEXTFILE'", "SELECT 'x' || chr(2) || chr(3) || '\\' AS s, ARRAY['y' || chr(3)] AS a");
}

#[test]
fn escapes_make_text_of_everything() {
    let lake = Lake::new();
    let serde = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe";
    let written = |null: &str, sql: &str| {
        let mut into = table(serde, &[("a", "string"), ("b", "array<string>")]);
        into.parameters = BTreeMap::from([("write.compression".to_owned(), "NONE".to_owned())]);
        let own = [("escape.delim", "\\"), ("field.delim", ","), ("serialization.null.format", null)];
        into.storage.serde_info.parameters = own.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let written = lake.try_write(sql, |schema| Target::insert(&into, None, schema));
        written
            .map(|written| String::from_utf8(lake.bytes(&written.files[0]).to_vec()).unwrap())
            .map_err(|error| error.to_string())
    };
    let sql = "SELECT 'a,b' || chr(10), ARRAY['c' || chr(2), '\\N', NULL]";
    assert_eq!(written("\\N", sql).unwrap(), "a\\,b\\n,c\\\u{2}\u{2}\\\\N\u{2}\\N\n");
    assert_eq!(written("nil", "SELECT 'nil', ARRAY['nile']").unwrap(), "n\\il,nile\n");
    assert!(written("nr", "SELECT 'nr', ARRAY['x']").unwrap_err().contains("'a'"));
    assert_eq!(written("", "SELECT '', ARRAY['x']").unwrap(), ",x\n");
}

#[test]
fn moments_before_1970_keep_their_millisecond() {
    let lake = Lake::new();
    let moments = "SELECT TIMESTAMP '1969-12-31 23:59:58.999999' AS t, ARRAY[TIMESTAMP '1960-01-01 00:00:00.000001'] AS a";
    let written = lake.write("format = 'AVRO', write_compression = 'NONE'", moments);
    let bytes = lake.bytes(&written.files[0]);
    let reader = arrow_avro::reader::ReaderBuilder::new().build(std::io::Cursor::new(bytes)).unwrap();
    let read: Vec<RecordBatch> = reader.collect::<Result<_, _>>().unwrap();
    assert_eq!(rows(&read), ["1969-12-31 23:59:58.999 UTC|[1960-01-01 00:00:00.000 UTC]"]);
    // ORC has no such second.
    let properties = OutputProperties::of_table(&with("format = 'ORC'")).unwrap();
    let last = "SELECT TIMESTAMP '1969-12-31 23:59:59.250' AS t";
    let error = lake.try_write(last, |schema| properties.target(schema, true)).unwrap_err().to_string();
    assert!(error.starts_with("HIVE_WRITER_DATA_ERROR: ") && error.contains("1969-12-31 23:59:59.250000"), "{error}");
    lake.write("format = 'ORC'", "SELECT TIMESTAMP '1969-12-31 23:59:59' AS t, TIMESTAMP '1970-01-01 00:00:00.250' AS u");
}

#[test]
fn json_has_an_object_a_line() {
    let lake = Lake::new();
    let sql = "SELECT 'say \"ä\"' AS s, CAST(NULL AS integer) AS i, ARRAY[true] AS a, MAP(ARRAY[1], ARRAY['x']) AS m, nan() AS n, \
               DATE '2024-01-02' AS d";
    let written = lake.write("format = 'JSON', write_compression = 'NONE'", sql);
    let line = r#"{"s":"say \"ä\"","i":null,"a":[true],"m":{"1":"x"},"n":"NaN","d":"2024-01-02"}"#;
    assert_eq!(lake.bytes(&written.files[0]), format!("{line}\n"));
}

#[test]
fn rows_are_divided_by_partitions_and_buckets() {
    let lake = Lake::new();
    let sql = "SELECT x AS id, 'v' AS v, CASE WHEN x % 2 = 0 THEN 'a/b' END AS p FROM UNNEST(sequence(1, 8)) AS t(x)";
    for format in ["PARQUET", "JSON"] {
        let properties = format!("format = '{format}', partitioned_by = ARRAY['p'], bucketed_by = ARRAY['id'], bucket_count = 4");
        let written = lake.write(&properties, sql);
        let found: Vec<_> = written
            .files
            .iter()
            .map(|file| (file.file.partition_values.join(","), file.bucket.unwrap(), file.file.rows))
            .collect();
        let null = "__HIVE_DEFAULT_PARTITION__".to_owned();
        let want = [(null.clone(), 1, 2), (null, 3, 2), ("a/b".to_owned(), 0, 2), ("a/b".to_owned(), 2, 2)];
        assert_eq!(found, want, "{format}");
        assert_eq!(written.rows, 8);
    }
}

#[test]
fn too_many_partitions_are_athenas_error_and_leave_nothing() {
    let lake = Lake::new();
    for format in ["PARQUET", "TEXTFILE"] {
        let properties = OutputProperties::of_table(&with(&format!("format = '{format}', partitioned_by = ARRAY['p']"))).unwrap();
        let sql = "SELECT 1 AS a, x AS p FROM UNNEST(sequence(1, 101)) AS t(x)";
        let error = lake.try_write(sql, |schema| properties.target(schema, true)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "HIVE_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of 100 open writers for partitions/buckets",
            "{format}"
        );
        assert_eq!(lake.left(), 0, "{format}");
    }
}

#[test]
fn properties_are_checked() {
    for (properties, message) in [
        (
            "format = 'XLS'",
            "INVALID_TABLE_PROPERTY: line 1:1: 'XLS' is no format that is written: use PARQUET, ORC, AVRO, JSON or TEXTFILE",
        ),
        ("colour = 'red'", "INVALID_TABLE_PROPERTY: line 1:1: Catalog 'awsdatacatalog' table property 'colour' does not exist"),
        (
            "compression_level = 3",
            "INVALID_TABLE_PROPERTY: line 1:1: Compression codec must be defined when compression_level property is specified.",
        ),
        (
            "write_compression = 'GZIP', compression_level = 3",
            "NOT_SUPPORTED: compression_level 3 with GZIP compression: it is for ZSTD only, from 1 to 22",
        ),
        ("bucketed_by = ARRAY['a']", "INVALID_TABLE_PROPERTY: line 1:1: bucket_count must be specified with bucketed_by"),
        (
            "external_location = 'http://x/'",
            "INVALID_TABLE_PROPERTY: line 1:1: 'http://x/' is no location in S3: write s3://bucket/prefix/",
        ),
        (
            "format = 'AVRO', write_compression = 'LZ4'",
            "NOT_SUPPORTED: AVRO files cannot be written with LZ4 compression: use one of NONE, DEFLATE, SNAPPY, ZSTD, BZIP2",
        ),
    ] {
        assert_eq!(OutputProperties::of_table(&with(properties)).unwrap_err().to_string(), message);
    }
    let unload: Properties = vec![("compression".into(), PropertyValue::Text("SNAPPY".into()))];
    assert!(OutputProperties::of_unload(&unload).unwrap_err().to_string().contains("'format'"));
}

#[test]
fn columns_of_new_tables_have_names_and_hives_types() {
    let lake = Lake::new();
    let properties = OutputProperties::of_table(&Properties::new()).unwrap();
    let error = |sql: &str| lake.try_write(sql, |schema| properties.target(schema, true)).unwrap_err().to_string();
    assert_eq!(error("SELECT 1"), "MISSING_COLUMN_NAME: line 1:1: Column name not specified at position 1");
    assert_eq!(error("SELECT 1 AS a, 2 AS A"), "DUPLICATE_COLUMN_NAME: line 1:1: Column name 'a' specified more than once");
    assert_eq!(error("SELECT 1 AS b, NULL AS a"), "COLUMN_TYPE_UNKNOWN: line 1:1: Column type is unknown at position 2");
    assert!(error("SELECT TIME '10:00:00' AS t").starts_with("NOT_SUPPORTED: Unsupported Hive type: time("));
    assert!(error("SELECT INTERVAL '1' DAY AS i").starts_with("NOT_SUPPORTED: Unsupported Hive type: interval day to second"));
}

fn table(serde: &str, columns: &[(&str, &str)]) -> Table {
    let mut table = Table { database: "db".into(), name: "t".into(), ..Table::default() };
    table.storage.serde_info.serialization_library = Some(serde.into());
    table.storage.columns = columns.iter().map(|(name, data_type)| Column::new(*name, *data_type)).collect();
    table
}

#[test]
fn what_is_inserted_fits_the_table() {
    let lake = Lake::new();
    let text = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe";
    let mut into = table(text, &[("a", "double"), ("b", "varchar(3)"), ("c", "timestamp")]);
    into.parameters = BTreeMap::from([("write.compression".to_owned(), "NONE".to_owned())]);
    let insert = |columns: Option<&[&str]>, sql: &str| {
        let columns: Option<Vec<String>> = columns.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        lake.try_write(sql, |schema| Target::insert(&into, columns.as_deref(), schema))
    };
    let written = insert(Some(&["c", "A"]), "VALUES (DATE '2024-01-01', 1)").unwrap();
    assert_eq!(lake.bytes(&written.files[0]), "1.0\u{1}\\N\u{1}2024-01-01 00:00:00.000\n");
    let written = insert(Some(&["b"]), "VALUES 'abc  '").unwrap();
    assert_eq!(lake.bytes(&written.files[0]), "\\N\u{1}abc\u{1}\\N\n");
    let error = |columns: Option<&[&str]>, sql: &str| insert(columns, sql).unwrap_err().to_string();
    assert!(error(Some(&["b"]), "VALUES 'abcd'").starts_with("INVALID_CAST_ARGUMENT: Cannot truncate non-space characters"));
    assert_eq!(
        error(Some(&["x"]), "VALUES 1"),
        "COLUMN_NOT_FOUND: line 1:1: Insert column name does not exist in target table: x"
    );
    assert_eq!(
        error(Some(&["a", "a"]), "VALUES (1, 2)"),
        "DUPLICATE_COLUMN_NAME: line 1:1: Insert column name is specified more than once: a"
    );
    assert_eq!(
        error(Some(&["c"]), "VALUES CAST('x' AS varchar)"),
        "TYPE_MISMATCH: line 1:1: Insert query has mismatched column types: Table: [timestamp(3)], Query: [varchar]"
    );
    assert!(error(None, "SELECT 1E0").contains("Table: [double, varchar(3), timestamp(3)], Query: [double]"));
}

#[test]
fn tables_that_are_only_read_take_no_rows() {
    let error = |table: &Table| insert_format(table).unwrap_err().to_string();
    let grok = table("com.amazonaws.glue.serde.GrokSerDe", &[("a", "int")]);
    assert!(error(&grok).contains("GrokSerDe"));
    let mut headed = table("org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", &[("a", "int")]);
    headed.parameters.insert("skip.header.line.count".into(), "1".into());
    assert_eq!(error(&headed), "NOT_SUPPORTED: Inserting into Hive table with skip.header.line.count property not supported");
    let mut open = table("org.apache.hadoop.hive.serde2.OpenCSVSerde", &[("a", "string")]);
    open.storage.serde_info.parameters.insert("separatorChar".into(), ";".into());
    let (OutputFormat::Text(options), compression) = insert_format(&open).unwrap() else { panic!("text") };
    assert_eq!((options.delimiter, options.quote, compression.codec), (b';', Some(b'"'), Codec::Gzip));
}
