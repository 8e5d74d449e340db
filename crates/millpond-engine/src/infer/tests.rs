use super::*;
use crate::testing::{Lake, gzip};

#[test]
fn delimiters_headers_and_types_are_found() {
    let lake = Lake::new();
    for (text, want) in [
        ("id,name,price\n1,a,2.5\n2,b,3\n", "id:bigint, name:string, price:double"),
        ("id|name\n1|a\n", "id:bigint, name:string"),
        ("id\tfull name\n1\ta,b,c\n", "id:bigint, full name:string"),
        ("id;day\n1;2024-01-02\n", "id:bigint, day:date"),
        ("id\u{1}ok\n1\u{1}true\n", "id:bigint, ok:boolean"),
        ("1,a\n2,b\n", "col0:bigint, col1:string"),
        ("2010,2011\n5,6\n", "col0:bigint, col1:bigint"),
        ("name,city\nann,rome\nbob,oslo\n", "name:string, city:string"),
        ("ann,rome\nbob,oslo\nann,rome\n", "col0:string, col1:string"),
        ("a,,A\n1,2,3\n", "a:bigint, col1:bigint, a_2:bigint"),
        ("\u{feff}zip,n\n01234,1\n", "zip:string, n:bigint"),
        ("n,t\n\"1\",\"2024-01-02 03:04:05\"\n", "n:bigint, t:timestamp"),
        ("dep_time,arr\n517,NA\nNA,9\n", "dep_time:bigint, arr:bigint"),
        ("a,b\n1,2,\n3,4,\n", "a:bigint, b:bigint"),
        ("big,n\n18446744073709551616,1\n", "big:decimal(38,0), n:bigint"),
        ("id,name\n", "id:string, name:string"),
        ("title\none\ntwo\n", "title:string"),
    ] {
        assert_eq!(lake.columns("t.csv", text), want, "{text:?}");
    }
}

#[test]
fn what_is_no_table_is_unknown_with_a_reason() {
    let lake = Lake::new();
    let broken = {
        let mut packed = gzip("a,b\n1,2\n".repeat(1_000).as_bytes());
        packed.truncate(packed.len() / 2);
        packed
    };
    for (key, bytes, want) in [
        ("e.csv", Vec::new(), "is empty"),
        ("b.csv", vec![0u8, 1, 2, 3, 0, 0, 5, 0, 0, 0, 0, 0], "is not text"),
        ("p.csv", b"%PDF-1.4 \x00\x00".to_vec(), "a PDF document"),
        ("z.csv", b"PK\x03\x04aaaaaaaa".to_vec(), "zip"),
        ("g.csv.gz", broken, "cut off"),
        ("n.txt", b"just some words\nand more, words\nhere\n".to_vec(), "no delimiter"),
        ("w.csv", b" \n\n ".to_vec(), "blank lines"),
        ("q.parquet", b"PAR1aaaaaaaaaaaaaaaaaaaaaaa".to_vec(), "Parquet"),
    ] {
        let inferred = lake.infer(key, bytes);
        assert_eq!(inferred.classification, "UNKNOWN", "{key}");
        let reason = inferred.reason.unwrap();
        assert!(reason.contains(want), "{key}: {reason}");
    }
}

#[test]
fn compression_is_found_by_the_bytes_and_not_by_the_name() {
    let lake = Lake::new();
    let text = "a,b\n1,2\n".as_bytes();
    let bzip2 = {
        use std::io::Write;
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    for (bytes, want) in
        [(gzip(text), "gzip"), (bzip2, "bzip2"), (zstd::encode_all(text, 1).unwrap(), "zstd"), (text.to_vec(), "none")]
    {
        let inferred = lake.infer("data.csv.gz", bytes);
        assert_eq!(inferred.parameters()["compressionType"], want);
        assert_eq!(catalog_columns(&inferred.columns).len(), 2);
    }
}

#[test]
fn json_of_every_layout_is_found_with_nested_types() {
    let lake = Lake::new();
    let object = |i: i32| {
        format!(
            "{{\"Id\":{i},\"tags\":[\"a\"],\"user\":{{\"name\":\"x\",\"at\":\"2024-01-02T00:00:00Z\"}},\"none\":null,\"e\":[]}}"
        )
    };
    let want = "id:bigint, tags:array<string>, user:struct<name:string,at:timestamp>, none:string, e:array<string>";
    for text in [
        format!("{}\n{}\n", object(1), object(2)),
        format!("[{},\n{}]", object(1), object(2)),
        format!("{}{}", object(1), object(2)),
    ] {
        assert_eq!(lake.columns("t.json", text.as_str()), want, "{text}");
    }
    assert_eq!(lake.columns("t.json", "{\"a\":1}\n{\"a\":2.5,\"b\":[]}\n{\"b\":[7]}\n"), "a:double, b:array<bigint>");
}

#[test]
fn two_thousand_columns_are_found() {
    let lake = Lake::new();
    let names: Vec<String> = (0..2_000).map(|i| format!("c{i}")).collect();
    let values: Vec<String> = (0..2_000).map(|i| i.to_string()).collect();
    let inferred = lake.infer("wide.csv", format!("{}\n{}\n", names.join(","), values.join(",")));
    assert_eq!(inferred.columns.len(), 2_000);
    assert!(inferred.columns.iter().all(|c| c.data_type == HiveType::BigInt));
}

#[test]
fn large_objects_are_judged_by_head_middle_and_end() {
    let lake = Lake::new();
    let rows = 400_000;
    let text: String = std::iter::once("id,v\n".to_owned())
        .chain((0..rows).map(|i| if i == rows - 3 { format!("{i},x1\n") } else { format!("{i},12345678\n") }))
        .collect();
    assert!(text.len() > 5 << 20);
    let inferred = lake.infer("big.csv", text);
    assert_eq!(inferred.columns[1].data_type, HiveType::String);
    let near = inferred.record_count as f64 / f64::from(rows);
    assert!((0.9..1.1).contains(&near), "{}", inferred.record_count);
}

#[test]
fn the_catalog_entry_reads_like_a_glue_crawlers() {
    let lake = Lake::new();
    let inferred = lake.infer("t.csv", "id,name\n1,a\n");
    let columns = catalog_columns(&inferred.columns);
    let storage = inferred.storage(&columns);
    assert_eq!(storage.serde_info.serialization_library.as_deref(), Some("org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"));
    assert_eq!(storage.serde_info.parameters["field.delim"], ",");
    let parameters = inferred.parameters();
    for (key, value) in [
        ("classification", "csv"),
        ("compressionType", "none"),
        ("typeOfData", "file"),
        ("areColumnsQuoted", "false"),
        ("columnsOrdered", "true"),
        ("delimiter", ","),
        ("skip.header.line.count", "1"),
    ] {
        assert_eq!(parameters[key], value, "{key}");
    }
    let quoted = lake.infer("t.csv", "id,name\n1,\"a, b\"\n");
    let storage = quoted.storage(&catalog_columns(&quoted.columns));
    assert_eq!(storage.serde_info.serialization_library.as_deref(), Some("org.apache.hadoop.hive.serde2.OpenCSVSerde"));
    let file = lake.put("t.csv", "id,name\n1,\"a, b\"\n");
    assert_eq!(lake.scan(file, &storage), ["1|a, b"]);
}

#[test]
fn custom_classifiers_come_first_and_have_the_last_word() {
    let lake = Lake::new();
    let file = lake.put("t.csv", "1~'a~b'\n2~c\n");
    let classifier = CsvClassifier {
        delimiter: Some(b'~'),
        quote_symbol: Some(b'\''),
        contains_header: ContainsHeader::Absent,
        header: vec!["Key".into(), "Text".into()],
        ..CsvClassifier::default()
    };
    let inferred = infer(&lake.reader, &file, &[classifier]).unwrap();
    let columns = catalog_columns(&inferred.columns);
    assert_eq!((columns[0].name.as_str(), columns[0].data_type.as_str(), columns[1].name.as_str()), ("key", "bigint", "text"));
    assert_eq!(lake.scan(file, &inferred.storage(&columns)), ["1|a~b", "2|c"]);
}

#[test]
fn columns_that_a_classifier_renames_are_found_by_position() {
    let lake = Lake::new();
    let file = lake.put("t.csv", "id,nm\n1,a\n");
    let header = vec!["id".to_owned(), "name".to_owned()];
    let classifier = CsvClassifier { contains_header: ContainsHeader::Present, header, ..CsvClassifier::default() };
    let inferred = infer(&lake.reader, &file, &[classifier]).unwrap();
    assert_eq!(lake.scan(file, &inferred.storage(&catalog_columns(&inferred.columns))), ["1|a"]);
}

#[test]
fn latin_1_is_read_and_recorded() {
    let lake = Lake::new();
    let bytes = b"id,city\n1,M\xfcnchen\n".to_vec();
    let file = lake.put("t.csv", bytes.clone());
    let inferred = lake.infer("t.csv", bytes);
    let storage = inferred.storage(&catalog_columns(&inferred.columns));
    assert_eq!(storage.serde_info.parameters["serialization.encoding"], "windows-1252");
    assert_eq!(lake.scan(file, &storage), ["1|München"]);
}

#[test]
fn columns_of_several_objects_are_brought_together() {
    let lake = Lake::new();
    let a = lake.infer("a.csv", "id,v,n\n1,2,\n").columns;
    let b = lake.infer("b.csv", "id,v,w,n\n9223372036854775808,2.5,x,1\n").columns;
    let merged: Vec<String> =
        catalog_columns(&merge_columns(&a, &b)).iter().map(|c| format!("{}:{}", c.name, c.data_type)).collect();
    assert_eq!(merged, ["id:decimal(38,0)", "v:double", "n:bigint", "w:string"]);
}
