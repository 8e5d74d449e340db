//! Texts that a filter sees before they are copied.

use super::*;
use parquet::file::properties::WriterProperties;

/// `t` with 4,000 rows in four row groups: `Name` ("n0000" and so on, the column's case is the file's), `kind` ("a" to "e", NULL in each seventh row),
/// `words` (long ones, hardly two alike), `short` (`varchar(2)`, longer in the file), `n`.
async fn texts() -> Lake {
    let lake = Lake::new();
    let rows = 0..4000;
    let name: StringArray = rows.clone().map(|n| Some(format!("n{n:04}"))).collect();
    let kind: StringArray = rows.clone().map(|n| (n % 7 != 0).then(|| ["a", "b", "c", "d", "e"][n % 5])).collect();
    let words: StringArray =
        rows.clone().map(|n| Some(format!("{} and what else there is to say of {n}", n * 7919 % 4001))).collect();
    let short: StringArray = rows.clone().map(|n| Some(format!("{:03}", n % 100))).collect();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("Name", Arc::new(name), true),
        ("kind", Arc::new(kind), true),
        ("words", Arc::new(words), true),
        ("short", Arc::new(short), true),
        ("n", longs(&rows.map(|n| n as i64).collect::<Vec<_>>()), true),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1000)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let file = lake.put("t/part.parquet", bytes).await;
    let names = [("name", "string"), ("kind", "string"), ("words", "string"), ("short", "varchar(2)"), ("n", "bigint")];
    lake.add(parquet_table("t", &names, &[]), vec![(vec![], vec![file])]);
    lake
}

#[tokio::test]
async fn conditions_on_texts_keep_the_same_rows_in_every_form() {
    let lake = texts().await;
    // The form that a filter asks of views, and the same in one that it asks of texts.
    for (views, plain) in [
        ("kind = 'b'", "kind || '' = 'b'"),
        ("'b' < kind", "'b' < kind || ''"),
        ("kind <> 'b'", "kind || '' <> 'b'"),
        ("kind IN ('a', 'e', 'zz')", "kind || '' IN ('a', 'e', 'zz')"),
        ("kind NOT IN ('a', 'e')", "kind || '' NOT IN ('a', 'e')"),
        ("kind IS NULL", "kind || '' IS NULL"),
        ("kind IS NOT NULL AND n > 100", "kind || '' IS NOT NULL AND n > 100"),
        ("kind IS DISTINCT FROM 'c'", "kind || '' IS DISTINCT FROM 'c'"),
        ("words LIKE '%say of 1_'", "words || '' LIKE '%say of 1_'"),
        ("words NOT LIKE '1%' AND kind = 'd'", "words || '' NOT LIKE '1%' AND kind || '' = 'd'"),
        ("name BETWEEN 'n0100' AND 'n0200' OR kind = 'a'", "name || '' BETWEEN 'n0100' AND 'n0200' OR kind || '' = 'a'"),
        ("kind = 'a' AND upper(kind) = 'A' AND length(words) > 40", "kind || '' = 'a' AND length(words || '') > 40"),
        ("short = '07'", "short || '' = '07'"),
        ("short >= '08' AND words > '2'", "short || '' >= '08' AND words || '' > '2'"),
        ("name > kind AND n % 3 = 0", "name || '' > kind || '' AND n % 3 = 0"),
        ("n < 1700 AND kind > short", "n < 1700 AND kind || '' > short"),
    ] {
        let ask = |condition: &str| format!("SELECT name, kind, words, short, n FROM t WHERE {condition} ORDER BY n");
        let (found, expected) = (lake.text(&ask(views)).await, lake.text(&ask(plain)).await);
        assert!(expected.contains('|') && found == expected, "{views}: {found:.500}\n{plain}: {expected:.500}");
    }
    lake.check("SELECT count(*) FROM t WHERE kind = 'nobody'", "0").await;
    lake.check("SELECT kind, count(*) FROM t WHERE n < 20 GROUP BY kind ORDER BY 1", "a|3; b|4; c|3; d|4; e|3; ∅|3").await;
}

#[tokio::test]
async fn joins_by_texts_find_the_same_rows() {
    let lake = texts().await;
    let sql = "SELECT count(*), min(a.words) FROM t a JOIN t b ON a.name = b.name WHERE b.kind = 'c' AND a.words LIKE '2%'";
    let plain = "SELECT count(*), min(words) FROM t WHERE kind || '' = 'c' AND words || '' LIKE '2%'";
    assert_eq!(lake.text(sql).await, lake.text(plain).await);
    assert!(!lake.text(sql).await.starts_with('0'));
}

#[tokio::test]
async fn row_groups_are_left_out_by_texts() {
    let lake = texts().await;
    let mut read = Vec::new();
    for condition in ["n >= 0", "name = 'n2500'", "name IN ('n0001', 'n0002')", "name LIKE 'n39%'", "name < 'n0100'"] {
        let sql = format!("SELECT count(words) FROM t WHERE {condition} AND words <> ''");
        let stream = lake.engine.query(lake.request(&sql)).await.unwrap();
        let statistics = Arc::clone(stream.statistics());
        stream.collect().await.unwrap();
        read.push(statistics.scanned_bytes());
    }
    assert!(read[1..].iter().all(|few| *few > 0 && *few < read[0] / 2), "{read:?}");
}
