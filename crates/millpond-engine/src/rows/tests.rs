use super::*;
use crate::convert::ConvertOptions;
use crate::table::DataFile;
use crate::testing::Lake;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// The rows of what a conversion wrote, as `name=text` pairs, sorted.
fn visited(lake: &Lake, files: &[crate::write::WrittenFile], threads: usize) -> Vec<String> {
    let files = files.iter().map(|file| DataFile {
        blob: file.blob.clone(),
        uri: format!("s3://staged/{}", file.blob),
        size: file.size,
        etag: String::new(),
        modified_ms: 0,
    });
    let spec =
        VisitSpec { reader: lake.reader.clone(), files: files.collect(), threads, cancel: Arc::new(AtomicBool::new(false)) };
    let seen = Mutex::new(Vec::new());
    let each = |rows: &Rows<'_>, _: Place| -> Result<(), ()> {
        for row in 0..rows.len() {
            let mut line = String::new();
            for column in rows.columns().iter().filter(|column| !column.cells.get(row).is_null()) {
                line.push_str(&format!("{}=", column.name));
                column.cells.get(row).write_text(&mut line);
                line.push(';');
            }
            seen.lock().unwrap().push(line);
        }
        Ok(())
    };
    let count = visit_parquet(&spec, || Each(each)).unwrap();
    let mut seen = seen.into_inner().unwrap();
    assert_eq!(count, seen.len() as u64);
    if threads > 1 {
        seen.sort();
    }
    seen
}

#[test]
fn every_type_is_shown_as_people_write_it() {
    let lake = Lake::new();
    let raw = lake.crawl(vec![lake.put(
        "a.json",
        concat!(
            r#"{"i": -5, "d": 0.1, "t": "2024-05-01 10:00:00.25", "day": "2024-05-01", "ok": true, "s": "a \"b\"", "l": [1, null], "n": {"x": 1.5, "y": "z"}}"#,
            "\n",
            r#"{"i": 1, "d": 1e300, "t": "2024-05-01 10:00:00", "s": ""}"#
        ),
    )]);
    let outcome = lake.convert(&lake.spec(&raw));
    assert_eq!(
        visited(&lake, &outcome.files, 2),
        [
            r#"i=-5;d=0.1;t=2024-05-01T10:00:00.250Z;day=2024-05-01;ok=true;s=a "b";l=[1,null];n={"x":1.5,"y":"z"};"#,
            "i=1;d=1e300;t=2024-05-01T10:00:00Z;s=;",
        ]
    );
}

#[test]
fn decimals_keep_their_places() {
    for (unscaled, scale, text) in [(1250, 2, "12.50"), (-5, 2, "-0.05"), (0, 0, "0"), (7, 0, "7"), (-1250, 3, "-1.250")] {
        let mut out = String::new();
        Cell::Decimal { unscaled, scale }.write_text(&mut out);
        assert_eq!(out, text);
    }
    for (value, text) in [(f64::NAN, "NaN"), (f64::INFINITY, "Infinity"), (f64::NEG_INFINITY, "-Infinity"), (2.0, "2.0")] {
        let mut out = String::new();
        Cell::Double(value).write_text(&mut out);
        assert_eq!(out, text);
    }
}

#[test]
fn as_text_values_are_what_the_files_have_and_nulls_are_those_of_the_types() {
    let lake = Lake::new();
    let raw = lake.crawl(vec![lake.put("a.csv", "id,price,day,name\n007,1.50,2024-01-02,x\n1,2.0,,\n")]);
    let mut spec = lake.spec(&raw);
    spec.groups[0].files.push(lake.put("b.csv", "id,price,day,name\nx,NA,never,y\n"));
    spec.options = ConvertOptions { text: true, ..spec.options };
    let outcome = lake.convert(&spec);
    assert_eq!(outcome.rows_quarantined, 0);
    assert_eq!(
        visited(&lake, &outcome.files, 2),
        ["id=007;price=1.50;day=2024-01-02;name=x;", "id=1;price=2.0;name=;", "id=x;day=never;name=y;"]
    );
}

/// Refuses rows whose `id` is missing or too long.
struct NeedsId;

impl RowCheck for NeedsId {
    fn check(&self, rows: &Rows<'_>) -> Vec<Fault> {
        let id = &rows.columns().iter().find(|column| column.name == "id").unwrap().cells;
        let fault = |row| match id.get(row) {
            Cell::Null | Cell::Text("") => Some(Fault::of_cell(row, "id", id.get(row), "is missing")),
            Cell::Text(text) if text.len() > 3 => Some(Fault::of_cell(row, "id", id.get(row), "is too long")),
            _ => None,
        };
        (0..rows.len()).filter_map(fault).collect()
    }
}

#[test]
fn rows_that_the_target_cannot_take_are_quarantined_with_their_lines() {
    let lake = Lake::new();
    let first = lake.put("a.csv", "id,n\nab,1\n,2\n\"c\nd\",3\nabcd,4\n");
    let mut raw = lake.crawl(vec![first]);
    raw.groups[0].files.push(lake.put("b.csv", "id,n\nx,1\ny,bad\nabcde,5\nz,6\n"));
    raw.groups[0].files.push(lake.put("c.csv", "id,n\n"));
    raw.groups[0].files.push(lake.put("d.csv", "id,n\nlonger,1\n"));
    let mut spec = lake.spec(&raw);
    spec.check = Some(Arc::new(NeedsId));
    let outcome = lake.convert(&spec);
    assert_eq!(
        lake.quarantined(&outcome),
        [
            "a.csv:3 id=: is missing",
            "a.csv:6 id=abcd: is too long",
            "b.csv:3 n=bad: is not a bigint",
            "b.csv:4 id=abcde: is too long",
            "d.csv:2 id=longer: is too long",
        ]
    );
    assert_eq!(visited(&lake, &outcome.files, 2), ["id=ab;n=1;", "id=c\nd;n=3;", "id=x;n=1;", "id=z;n=6;"]);
    assert_eq!(outcome.inputs.iter().map(|input| input.rows_out).collect::<Vec<_>>(), [2, 2, 0, 0]);
}

#[test]
fn json_rows_have_lines_too() {
    let lake = Lake::new();
    let raw = lake.crawl(vec![lake.put("a.json", "{\"id\": \"a\"}\n{\"n\": 1}\n{\"id\": \"abcd\", \"n\": 2}\n")]);
    let mut spec = lake.spec(&raw);
    spec.check = Some(Arc::new(NeedsId));
    let outcome = lake.convert(&spec);
    assert_eq!(lake.quarantined(&outcome), ["a.json:2 id=∅: is missing", "a.json:3 id=abcd: is too long"]);
}

#[test]
fn with_one_thread_rows_come_in_the_order_of_the_files() {
    let lake = Lake::new();
    let rows: Vec<String> = (0..30_000).map(|n| format!("r{n:05},{n}")).collect();
    let raw = lake.crawl(
        rows.chunks(10_000)
            .enumerate()
            .map(|(at, rows)| lake.put(&format!("{at}.csv"), format!("id,n\n{}\n", rows.join("\n"))))
            .collect(),
    );
    let mut spec = lake.spec(&raw);
    spec.options.threads = 1;
    spec.options.write.row_group_rows = 7_000;
    let outcome = lake.convert(&spec);
    let seen = visited(&lake, &outcome.files, 1);
    assert_eq!(seen.len(), 30_000);
    assert!(seen.is_sorted());
}

#[test]
fn a_visit_ends_with_what_its_visitor_says_or_when_it_is_told() {
    let nothing = |_: &Rows<'_>, _: Place| -> Result<(), ()> { Ok(()) };
    let enough = |_: &Rows<'_>, _: Place| Err("enough");
    let lake = Lake::new();
    let file = lake.put("x.parquet", "PAR1 but nothing of the sort");
    let mut spec = VisitSpec { reader: lake.reader.clone(), files: vec![file], threads: 2, cancel: Arc::default() };
    assert!(matches!(visit_parquet(&spec, || Each(nothing)), Err(VisitError::Content(text)) if text.contains("x.parquet")));
    let raw = lake.crawl(vec![lake.put("a.csv", "id,n\na,1\nb,2\n")]);
    let written = lake.convert(&lake.spec(&raw)).files.remove(0);
    spec.files =
        vec![DataFile { blob: written.blob, uri: "s3://s/p".into(), size: written.size, etag: String::new(), modified_ms: 0 }];
    assert!(matches!(visit_parquet(&spec, || Each(enough)), Err(VisitError::Visitor("enough"))));
    spec.cancel.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(visit_parquet(&spec, || Each(nothing)), Err(VisitError::Cancelled)));
}

#[test]
fn rows_know_their_order_among_all_inputs() {
    let lake = Lake::new();
    let first = lake.put("0.csv", "id,n\na,1\na,2\n\"a\nb\",3\n");
    let mut raw = lake.crawl(vec![first]);
    raw.groups[0].files.push(lake.put("1.csv", b"id,n\na\xe9\xe9\xe9,4\na,x\na,5\n".to_vec()));
    let mut spec = lake.spec(&raw);
    spec.options.order = Some("nr".into());
    spec.options.text = true;
    spec.options.threads = 4;
    let outcome = lake.convert(&spec);
    assert!(outcome.columns.iter().any(|c| (c.name.as_str(), c.data_type.as_str()) == ("nr", "bigint")), "{:?}", outcome.columns);
    let mut rows: Vec<(i64, String)> = visited(&lake, &outcome.files, 1)
        .iter()
        .map(|row| row.trim_end_matches(';').rsplit_once("nr=").map(|(row, nr)| (nr.parse().unwrap(), row.to_owned())).unwrap())
        .collect();
    rows.sort();
    let rows: Vec<&str> = rows.iter().map(|(_, row)| row.as_str()).collect();
    assert_eq!(rows, ["id=a;n=1;", "id=a;n=2;", "id=a\nb;n=3;", "id=aééé;n=4;", "id=a;n=x;", "id=a;n=5;"]);
}

#[test]
fn values_on_one_line_of_json_are_in_order_too() {
    let lake = Lake::new();
    let values: Vec<String> = (0..3_000).map(|n| format!("{{\"n\": {n}}}")).collect();
    let raw = lake.crawl(vec![lake.put("a.json", format!("[{}]", values.join(",")))]);
    let mut spec = lake.spec(&raw);
    spec.options.order = Some("nr".into());
    let outcome = lake.convert(&spec);
    let rows = visited(&lake, &outcome.files, 1);
    let numbers: Vec<i64> =
        rows.iter().map(|row| row.trim_end_matches(';').rsplit_once("nr=").unwrap().1.parse().unwrap()).collect();
    assert_eq!(numbers.len(), 3_000);
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
}
