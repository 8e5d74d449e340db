//! What footers answer by themselves.

use super::*;
use bytes::Bytes;
use parquet::file::metadata::ParquetMetaDataReader;

/// A file whose footer is whole, and whose pages are not.
fn without_pages(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let mut bytes = parquet_file(columns);
    let footer = ParquetMetaDataReader::new().parse_and_finish(&Bytes::from(bytes.clone())).unwrap();
    for column in footer.row_groups().iter().flat_map(|group| group.columns()) {
        let (start, length) = column.byte_range();
        bytes[start as usize..(start + length) as usize].fill(0xff);
    }
    bytes
}

fn integers(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

#[tokio::test]
async fn counts_and_bounds_come_from_footers() {
    let lake = Lake::new();
    let a =
        lake.put("t/p=1/a.parquet", without_pages(vec![("n", integers(&[Some(3), None])), ("s", strings(&["x", "b"]))])).await;
    let b = lake.put("t/p=2/b.parquet", without_pages(vec![("n", integers(&[Some(-7)])), ("s", strings(&["c"]))])).await;
    lake.add(
        parquet_table("t", &[("n", "bigint"), ("s", "string")], &[("p", "int")]),
        vec![(vec!["1"], vec![a]), (vec!["2"], vec![b])],
    );
    lake.check("SELECT count(*), count(n), min(n), max(n), min(p), max(p) FROM t", "3|2|-7|3|1|2").await;
    // Sums need the pages, which are broken here.
    assert!(lake.run("SELECT sum(n) FROM t").await.is_err());
}

#[tokio::test]
async fn bounds_that_are_not_those_of_the_values_are_not_believed() {
    let lake = Lake::new();
    // NaN is greater than all other numbers, and in no bound; the narrower type is cast; a column that is missing is null.
    let doubles: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN]));
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![5, 6]));
    let a = lake.put("u/a.parquet", parquet_file(vec![("d", doubles), ("n", narrow)])).await;
    let b = lake.put("u/b.parquet", parquet_file(vec![("n", integers(&[Some(1 << 40)]))])).await;
    lake.add(parquet_table("u", &[("d", "double"), ("n", "bigint")], &[]), vec![(vec![], vec![a, b])]);
    lake.check("SELECT max(d), max(n), min(n), count(d), count(n) FROM u", "NaN|1099511627776|5|2|3").await;
}

#[tokio::test]
async fn row_groups_are_left_out_by_comparisons_of_doubles_and_those_with_zeros_and_nan_are_not() {
    let lake = Lake::new();
    let doubles = |values: &[f64]| -> ArrayRef { Arc::new(Float64Array::from(values.to_vec())) };
    let whole = lake.put("t/a.parquet", parquet_file(vec![("d", doubles(&[f64::NAN, -f64::NAN, -0.0, 5.0]))])).await;
    // What is read of it fails.
    let high = lake.put("t/b.parquet", without_pages(vec![("d", doubles(&[70.0, 80.0]))])).await;
    lake.add(parquet_table("t", &[("d", "double")], &[]), vec![(vec![], vec![whole, high])]);
    lake.check("SELECT d FROM t WHERE d < 6", "-0.0; 5.0").await;
    lake.check("SELECT d FROM t WHERE d = 0", "-0.0").await;
    lake.check("SELECT d FROM t WHERE d BETWEEN 0 AND 6", "-0.0; 5.0").await;
    lake.check("SELECT d FROM t WHERE d IN (0, 7)", "-0.0").await;
    assert!(lake.run("SELECT d FROM t WHERE d > 6").await.is_err());
}
