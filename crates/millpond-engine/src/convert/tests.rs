use super::*;
use crate::table::DataFile;
use crate::testing::{Lake, gzip};
use crate::types::HiveType;
use crate::write::partition_path;
use arrow::datatypes::Field;
use futures::StreamExt;
use std::collections::BTreeMap;

fn names(outcome: &ConvertOutcome) -> String {
    outcome.columns.iter().map(|c| format!("{}:{}", c.name, c.data_type)).collect::<Vec<_>>().join(", ")
}

fn error_of(outcome: &ConvertOutcome, key: &str) -> String {
    let input = outcome.inputs.iter().find(|i| i.uri.ends_with(key)).unwrap();
    input.error.clone().unwrap_or_else(|| panic!("{key} was taken: {input:?}"))
}

fn target(columns: &[(&str, &str)]) -> TableShape {
    TableShape { columns: columns.iter().map(|(n, t)| Column::new(*n, *t)).collect(), ..TableShape::default() }
}

#[test]
fn a_crawled_file_becomes_parquet_of_the_same_types() {
    let lake = Lake::new();
    let raw = lake.crawl(vec![lake.put("a.csv", "id,day,ok,name\n1,2024-01-02,true,x\n2,,false,\n")]);
    let outcome = lake.convert(&lake.spec(&raw));
    assert_eq!(names(&outcome), "id:bigint, day:date, ok:boolean, name:string");
    assert_eq!(lake.rows(&outcome.files, &outcome.columns), ["1|2024-01-02|true|x", "2|∅|false|"]);
    assert_eq!((outcome.files.len(), outcome.quarantine.len()), (1, 0));
    assert!(outcome.bytes_out > 0 && outcome.bytes_in > 0);
}

#[test]
fn bad_files_and_rows_go_to_quarantine_and_hold_nobody_up() {
    let lake = Lake::new();
    let good = "id,name\n1,a\n2,b\n";
    let cut = {
        let mut packed = gzip(good.repeat(5_000).as_bytes());
        packed.truncate(packed.len() - 20);
        packed
    };
    let files = vec![
        lake.put("good.csv", good),
        lake.put("empty.csv", ""),
        lake.put("header_only.csv", "id,name\n"),
        lake.put("ragged.csv", "id,name\n3,c,extra\n4\n5,e\n"),
        lake.put("broken.csv.gz", cut),
        lake.put("binary.csv", vec![0u8, 1, 2, 3, 4, 0, 0, 0, 5, 6, 0, 0]),
        lake.put("latin.csv", b"id,name\n6,caf\xe9\n".to_vec()),
        lake.put("wrong.csv", "id,name\nx,f\n7,g\n"),
        lake.put("packed.csv.gz", gzip(b"id,name\n8,h\n")),
    ];
    // The crawl saw the good file only: what the others hold must not change the types.
    let mut raw = lake.crawl(vec![files[0].clone()]);
    raw.groups[0].files = files;
    let outcome = lake.convert(&lake.spec(&raw));
    assert_eq!(lake.rows(&outcome.files, &outcome.columns), ["1|a", "2|b", "5|e", "6|café", "7|g", "8|h"]);
    assert!(error_of(&outcome, "broken.csv.gz").contains("cut off"), "{}", error_of(&outcome, "broken.csv.gz"));
    assert!(error_of(&outcome, "binary.csv").contains("not text"));
    let quarantined = lake.quarantined(&outcome);
    assert_eq!(quarantined.len(), 5);
    assert!(quarantined.contains(&"ragged.csv:2 ∅=∅: the row has 3 fields where 2 are expected".to_owned()), "{quarantined:?}");
    assert!(quarantined.contains(&"ragged.csv:3 ∅=∅: the row has 1 fields where 2 are expected".to_owned()));
    assert!(quarantined.contains(&"wrong.csv:2 id=x: is not a bigint".to_owned()));
    assert_eq!((outcome.rows_in, outcome.rows_out, outcome.rows_quarantined), (11, 6, 5));
}

#[test]
fn a_large_broken_gzip_is_refused_whole_even_when_its_beginning_was_taken() {
    let lake = Lake::new();
    // Numbers that compress badly, so that the packed file is large enough to be read in blocks.
    let mut state = 1u64;
    let mut text = String::from("id,v\n");
    while text.len() < 24 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        text.push_str(&format!("{},{}\n", state >> 33, state & 0xffff_ffff));
    }
    let mut packed = gzip(text.as_bytes());
    assert!(packed.len() > 8 << 20);
    packed.truncate(packed.len() - 100_000);
    let raw = lake.crawl(vec![lake.put("a.csv", "id,v\n1,2\n"), lake.put("big.csv.gz", packed)]);
    let outcome = lake.convert(&lake.spec(&raw));
    assert_eq!(lake.rows(&outcome.files, &outcome.columns), ["1|2"]);
    assert!(error_of(&outcome, "big.csv.gz").contains("cut off"));
    assert_eq!((outcome.rows_in, outcome.rows_quarantined), (2, 1));
}

#[test]
fn malformed_json_in_line_70_001_is_quarantined_alone() {
    let lake = Lake::new();
    let mut text: String = (1..=70_000).map(|i| format!("{{\"id\":{i},\"v\":\"x\"}}\n")).collect();
    text.push_str("{\"id\":70001,\n{\"id\":70002,\"v\":\"y\"}\n");
    let raw = lake.crawl(vec![lake.put("a.json", text)]);
    let outcome = lake.convert(&lake.spec(&raw));
    assert_eq!((outcome.rows_in, outcome.rows_out, outcome.rows_quarantined), (70_002, 70_001, 1));
    assert!(lake.quarantined(&outcome)[0].starts_with("a.json:70001 "), "{:?}", lake.quarantined(&outcome));
}

#[test]
fn two_thousand_columns_with_duplicate_and_empty_names_are_converted() {
    let lake = Lake::new();
    let header: Vec<String> = (0..2_000).map(|i| if i % 100 == 7 { String::new() } else { format!("c{}", i % 1_500) }).collect();
    let row: Vec<String> = (0..2_000).map(|i| i.to_string()).collect();
    let text = format!("{}\n{}\n{}\n", header.join(","), row.join(","), row.join(","));
    let raw = lake.crawl(vec![lake.put("wide.csv", text)]);
    let outcome = lake.convert(&lake.spec(&raw));
    assert_eq!((outcome.columns.len(), outcome.rows_out), (2_000, 2));
    let distinct: std::collections::HashSet<&str> = outcome.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(distinct.len(), 2_000);
    let rows = lake.rows(&outcome.files, &outcome.columns);
    assert_eq!(rows[0], row.join("|"));
}

#[test]
fn the_target_keeps_its_types_grows_where_it_can_and_takes_new_columns() {
    let lake = Lake::new();
    let raw = lake.crawl(vec![lake.put("a.csv", "n,d,day,new\n3000000000,1.255,2024-01-02,x\n5,2.5,soon,y\n")]);
    let mut spec = lake.spec(&raw);
    spec.target = Some(target(&[("old", "string"), ("n", "int"), ("d", "decimal(10,2)"), ("day", "date")]));
    let outcome = lake.convert(&spec);
    assert_eq!(names(&outcome), "old:string, n:bigint, d:decimal(10,2), day:date, new:string");
    assert_eq!((outcome.rows_out, outcome.rows_quarantined), (0, 2));
    let quarantined = lake.quarantined(&outcome);
    assert!(quarantined[0].contains("d=1.255: has more than 2 digits after the point"), "{quarantined:?}");
    assert!(quarantined[1].contains("day=soon: is not a date"), "{quarantined:?}");
}

#[test]
fn columns_that_the_crawl_did_not_see_evolve_the_table() {
    let lake = Lake::new();
    let mut raw = lake.crawl(vec![lake.put("a.csv", "id,v\n1,x\n")]);
    raw.groups[0].files.push(lake.put("b.csv", "v,added,id\ny,2024-05-06,2\n"));
    let outcome = lake.convert(&lake.spec(&raw));
    assert_eq!(names(&outcome), "id:bigint, v:string, added:date");
    assert_eq!(lake.rows(&outcome.files, &outcome.columns), ["1|x|∅", "2|y|2024-05-06"]);

    let mut raw = lake.crawl(vec![lake.put("a.json", "{\"id\":1}\n")]);
    raw.groups[0].files.push(lake.put("b.json", "{\"id\":2,\"Big Key\":{\"x\":1}}\n"));
    let outcome = lake.convert(&lake.spec(&raw));
    assert_eq!(names(&outcome), "id:bigint, big key:struct<x:bigint>");
    assert_eq!(lake.rows(&outcome.files, &outcome.columns), ["1|∅", "2|{x: 1}"]);
}

fn flights() -> String {
    let mut text = String::from("year,month,origin,delay\n");
    for i in 0..5_000 {
        text.push_str(&format!(
            "2013,{},{},{}\n",
            i % 12 + 1,
            ["EWR", "JFK", "a/b"][i % 3],
            if i % 7 == 0 { "NA".into() } else { i.to_string() }
        ));
    }
    text.push_str("2013,,LGA,1\n");
    text
}

#[test]
fn partition_columns_become_values_and_one_file_each() {
    let lake = Lake::new();
    let raw = lake.crawl(vec![lake.put("a.csv", flights())]);
    let mut spec = lake.spec(&raw);
    spec.partition_by = vec!["month".into(), "Origin".into()];
    // Small enough that rows are flushed before all are in.
    spec.options.write.buffer_bytes = 10_000;
    let outcome = lake.convert(&spec);
    assert_eq!(names(&outcome), "year:bigint, delay:bigint");
    let keys: Vec<String> = outcome.partition_keys.iter().map(|k| format!("{}:{}", k.name, k.data_type)).collect();
    assert_eq!(keys, ["month:bigint", "origin:string"]);
    let by_values: BTreeMap<String, u64> =
        outcome.files.iter().map(|f| (partition_path(&["month".into(), "origin".into()], &f.partition_values), f.rows)).collect();
    assert_eq!(by_values.len(), outcome.files.len(), "one file for each partition");
    assert_eq!(by_values["month=__HIVE_DEFAULT_PARTITION__/origin=LGA"], 1);
    assert!(by_values.contains_key("month=3/origin=a%2Fb"), "{by_values:?}");
    assert_eq!(outcome.rows_out, 5_001);
}

#[test]
fn the_raw_tables_partition_values_and_the_asked_for_columns_are_added() {
    let lake = Lake::new();
    let file = |i: i32| lake.put(&format!("year={i}/f.csv"), format!("id\n{i}\n").into_bytes());
    let mut raw = lake.crawl(vec![lake.put("x.csv", "id,z\n1,2\n")]);
    raw.shape.columns.truncate(1);
    raw.shape.partition_keys = vec![Column::new("year", "int"), Column::new("part", "string")];
    let storage =
        millpond_core::catalog::StorageDescriptor { columns: raw.shape.columns.clone(), ..(*raw.groups[0].storage).clone() };
    let storage = Arc::new(storage);
    let group =
        |year: &str, files: Vec<DataFile>| FileGroup { values: vec![year.into(), "p".into()], storage: storage.clone(), files };
    raw.groups = vec![group("2023", vec![file(1)]), group("2024", vec![file(2), file(3)]), group("oops", vec![file(4)])];
    let mut spec = lake.spec(&raw);
    spec.options.source_file = true;
    spec.options.ingestion_timestamp_ms = Some(1_000);
    spec.partition_by = vec!["year".into()];
    let outcome = lake.convert(&spec);
    assert_eq!(names(&outcome), "id:bigint, part:string, ingestion_timestamp:timestamp, source_file:string");
    assert_eq!(
        lake.rows(&outcome.files, &outcome.columns),
        [1, 2, 3].map(|i| format!("{i}|p|1970-01-01T00:00:01|s3://raw/year={i}/f.csv"))
    );
    assert_eq!(outcome.files.iter().map(|f| f.partition_values[0].as_str()).collect::<Vec<_>>(), ["2023", "2024"]);
    assert!(error_of(&outcome, "year=4/f.csv").contains("partition value 'oops' of 'year' is not of type int"));
}

#[test]
fn thousands_of_small_files_become_one() {
    let lake = Lake::new();
    let files: Vec<DataFile> = (0..3_000).map(|i| lake.put(&format!("{i}.csv"), format!("id,v\n{i},x{i}\n{i},\n"))).collect();
    let mut raw = lake.crawl(files[..3].to_vec());
    raw.groups[0].files = files;
    let outcome = lake.convert(&lake.spec(&raw));
    assert_eq!((outcome.files.len(), outcome.rows_out), (1, 6_000));
    assert!(outcome.inputs.iter().all(|i| i.rows_out == 2));
}

#[test]
fn large_files_are_cut_into_blocks_and_every_row_arrives_once() {
    let lake = Lake::new();
    let mut text = String::from("id,text\n");
    for i in 0..300_000 {
        text.push_str(&if i % 1_000 == 0 {
            format!("{i},\"two\nlines, {i}\"\n")
        } else {
            format!("{i},some more text for row {i}\n")
        });
    }
    text.push_str("oops,x\n");
    assert!(text.len() > 9 << 20);
    let lines = text.lines().count();
    let raw = lake.crawl(vec![lake.put("small.csv", "id,text\n-1,\"q\"\n")]);
    let mut raw_big = raw;
    raw_big.groups[0].files = vec![lake.put("big.csv", text.clone()), lake.put("big.csv.gz", gzip(text.as_bytes()))];
    let mut spec = lake.spec(&raw_big);
    spec.options.write.row_group_rows = 100_000;
    spec.options.write.file_bytes = 100_000;
    let outcome = lake.convert(&spec);
    assert_eq!((outcome.rows_in, outcome.rows_out, outcome.rows_quarantined), (600_002, 600_000, 2));
    assert!(outcome.files.len() > 1, "files are closed at their size");
    assert!(lake.quarantined(&outcome).contains(&format!("big.csv:{lines} id=oops: is not a bigint")));
    let mut seen = vec![0u8; 300_000];
    for row in lake.rows(&outcome.files, &outcome.columns) {
        if let Some((id, _)) = row.split_once('|') {
            seen[id.parse::<usize>().unwrap()] += 1;
        }
    }
    assert!(seen.iter().all(|&n| n == 2));
}

#[test]
fn parquet_inputs_are_cast_and_their_bad_rows_found() {
    let lake = Lake::new();
    let raw = lake.crawl(vec![lake.put("a.csv", "id,v\n1,1.5\n3000000000,2.25\n")]);
    let first = lake.convert(&lake.spec(&raw));
    let file = &first.files[0];
    let input = DataFile {
        blob: file.blob.clone(),
        uri: "s3://raw/p.parquet".into(),
        size: file.size,
        etag: String::new(),
        modified_ms: 0,
    };
    let raw = lake.crawl(vec![input, lake.put("stray.parquet", "not parquet at all")]);
    let mut spec = lake.spec(&raw);
    spec.target = Some(target(&[("id", "string"), ("v", "decimal(10,1)")]));
    let outcome = lake.convert(&spec);
    assert_eq!(lake.rows(&outcome.files, &outcome.columns), ["1|1.5"]);
    assert!(error_of(&outcome, "stray.parquet").contains("Parquet"));
    assert!(lake.quarantined(&outcome).iter().any(|q| q.starts_with("p.parquet:2 v=2.25: ")), "{:?}", lake.quarantined(&outcome));
}

/// Doubles `id` and keeps rows where it is even.
struct Doubler;

impl Transform for Doubler {
    fn output(&self, input: &Schema) -> Result<Schema, String> {
        input.field_with_name("id").map_err(|e| e.to_string())?;
        Ok(Schema::new(vec![Field::new("twice", HiveType::BigInt.to_arrow(), true)]))
    }

    fn run(
        &self,
        schema: SchemaRef,
        input: BoxStream<'static, RecordBatch>,
    ) -> Result<BoxStream<'static, Result<RecordBatch, String>>, String> {
        use arrow::array::{AsArray, Int64Array};
        let at = schema.index_of("id").map_err(|e| e.to_string())?;
        let out = Arc::new(self.output(&schema)?);
        Ok(input
            .map(move |batch| {
                let ids = batch.column(at).as_primitive::<arrow::datatypes::Int64Type>();
                let twice: Int64Array = ids.iter().flatten().filter(|i| i % 2 == 0).map(|i| Some(i * 2)).collect();
                RecordBatch::try_new(Arc::clone(&out), vec![Arc::new(twice)]).map_err(|e| e.to_string())
            })
            .boxed())
    }
}

#[test]
fn a_transformation_stands_between_source_and_target() {
    let lake = Lake::new();
    let raw = lake.crawl(vec![lake.put("a.csv", "id,v\n1,x\n2,y\n4,z\n"), lake.put("b.csv", "id,v\nbad,x\n6,y\n")]);
    let mut raw = raw;
    raw.shape.columns[0].data_type = "bigint".into();
    Arc::make_mut(&mut raw.groups[0].storage).columns[0].data_type = "bigint".into();
    let mut spec = lake.spec(&raw);
    spec.transform = Some(Arc::new(Doubler));
    let outcome = lake.convert(&spec);
    assert_eq!(names(&outcome), "twice:bigint");
    assert_eq!(lake.rows(&outcome.files, &outcome.columns), ["12", "4", "8"]);
    assert_eq!((outcome.rows_in, outcome.rows_out, outcome.rows_quarantined), (5, 3, 1));
}

#[test]
fn wrong_jobs_are_refused_before_anything_is_read() {
    let lake = Lake::new();
    let raw = lake.crawl(vec![lake.put("a.csv", "id,v\n1,x\n")]);
    let mut spec = lake.spec(&raw);
    spec.partition_by = vec!["month".into()];
    let message = convert(&spec).unwrap_err().to_string();
    assert!(message.contains("no column 'month' to partition by; there are: id, v"), "{message}");
    spec.partition_by = vec!["id".into()];
    spec.target = Some(target(&[("v", "string")]));
    let message = convert(&spec).unwrap_err().to_string();
    assert!(message.contains("the target is partitioned by (), the job by (id)"), "{message}");
}

#[test]
fn a_conversion_can_be_stopped_and_leaves_nothing() {
    let lake = Lake::new();
    let raw = lake.crawl(vec![lake.put("a.csv", "id,v\n1,x\n")]);
    let spec = lake.spec(&raw);
    spec.cancel.store(true, Ordering::Relaxed);
    assert!(matches!(convert(&spec), Err(ConvertError::Cancelled)));
}

#[test]
fn no_input_and_only_bad_input_write_no_target_file() {
    let lake = Lake::new();
    let mut raw = lake.crawl(vec![lake.put("a.csv", "id,v\n1,x\n")]);
    raw.groups[0].files.clear();
    let outcome = lake.convert(&lake.spec(&raw));
    assert_eq!((outcome.files.len(), outcome.rows_in), (0, 0));
    raw.groups[0].files = vec![lake.put("b.csv", "id,v\nz,x\n")];
    let outcome = lake.convert(&lake.spec(&raw));
    assert_eq!((outcome.files.len(), outcome.quarantine.len(), outcome.rows_quarantined), (0, 1, 1));
}

#[test]
fn avro_files_are_crawled_and_converted() {
    use arrow::array::{Int64Array, StringArray};
    let schema = Arc::new(Schema::new(vec![
        Field::new("Id", HiveType::BigInt.to_arrow(), false),
        Field::new("name", HiveType::String.to_arrow(), true),
    ]));
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1, 2, 3])), Arc::new(StringArray::from(vec![Some("a"), None, Some("c")]))];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let mut writer = arrow_avro::writer::AvroWriter::new(Vec::new(), schema.as_ref().clone()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let bytes = writer.into_inner();
    let mut broken = bytes.clone();
    broken.truncate(bytes.len() - 8);
    let lake = Lake::new();
    let raw = lake.crawl(vec![lake.put("a.avro", bytes), lake.put("b.avro", broken)]);
    assert!(raw.groups[0].storage.serde_info.parameters["avro.schema.literal"].contains("\"Id\""));
    let outcome = lake.convert(&lake.spec(&raw));
    assert_eq!(names(&outcome), "id:bigint, name:string");
    assert_eq!(lake.rows(&outcome.files, &outcome.columns), ["1|a", "2|∅", "3|c"]);
    assert!(error_of(&outcome, "b.avro").contains("Avro"), "{}", error_of(&outcome, "b.avro"));
}

#[test]
fn partitions_of_a_format_that_is_not_read_are_refused_file_by_file() {
    let lake = Lake::new();
    let mut raw = lake.crawl(vec![lake.put("a.csv", "id,v\n1,x\n")]);
    let mut ion = (*raw.groups[0].storage).clone();
    ion.serde_info.serialization_library = Some("com.amazon.ionhiveserde.IonHiveSerDe".into());
    let ion = Arc::new(ion);
    for i in 0..2 {
        raw.groups.push(FileGroup {
            values: vec![],
            storage: Arc::clone(&ion),
            files: vec![lake.put(&format!("{i}.ion"), "{a:1}")],
        });
    }
    let outcome = lake.convert(&lake.spec(&raw));
    assert_eq!((outcome.rows_in, outcome.rows_out, outcome.rows_quarantined), (3, 1, 2));
    assert!(error_of(&outcome, "1.ion").contains("IonHiveSerDe"));
}

#[test]
fn memory_of_many_partitions_is_bounded_by_closing_files_early() {
    let lake = Lake::new();
    let text: String =
        std::iter::once("p,v\n".to_owned()).chain((0..20_000).map(|i| format!("p{},{}\n", i % 50, i * 7919))).collect();
    let raw = lake.crawl(vec![lake.put("a.csv", text)]);
    let mut spec = lake.spec(&raw);
    spec.partition_by = vec!["p".into()];
    spec.options.write.buffer_bytes = 1_000;
    let outcome = lake.convert(&spec);
    assert_eq!(outcome.rows_out, 20_000);
    assert!(outcome.files.len() > 50);
}

#[test]
fn nested_fields_that_the_crawl_did_not_see_evolve_their_column() {
    let lake = Lake::new();
    let mut raw = lake.crawl(vec![lake.put("a.json", "{\"id\":1,\"user\":{\"name\":\"x\"}}\n")]);
    raw.groups[0].files.push(
        lake.put("b.json", "{\"id\":2,\"user\":{\"name\":\"y\",\"tags\":[1],\"bad:name\":2}}\n{\"id\":3,\"user\":{\"age\":7}}\n"),
    );
    let outcome = lake.convert(&lake.spec(&raw));
    assert_eq!(names(&outcome), "id:bigint, user:struct<name:string,tags:array<bigint>,age:bigint>");
    assert_eq!(lake.rows(&outcome.files, &outcome.columns), ["1|{name: x, tags: ∅, age: ∅}", "3|{name: ∅, tags: ∅, age: 7}"]);
    let quarantined = lake.quarantined(&outcome);
    assert_eq!(quarantined.len(), 1);
    assert!(quarantined[0].contains("b.json:1 user=2: has a field 'bad:name' that the column's type lacks"), "{quarantined:?}");
}

#[test]
fn data_used_as_keys_does_not_make_columns_without_end() {
    let lake = Lake::new();
    let mut raw = lake.crawl(vec![lake.put("a.json", "{\"id\":1}\n")]);
    let text: String = (0..5_000).map(|i| format!("{{\"id\":{i},\"key{i}\":1}}\n")).collect();
    raw.groups[0].files.push(lake.put("b.json", text));
    let outcome = lake.convert(&lake.spec(&raw));
    assert!(outcome.columns.len() <= 4_001, "{}", outcome.columns.len());
    assert_eq!(outcome.rows_in, 5_001);
    assert!(outcome.rows_quarantined > 0);
}
