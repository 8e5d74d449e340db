//! Converts one CSV file to Parquet, and says how long it took: the benchmark's inner part, and a place to profile.
//!
//!     cargo run --release -p millpond-engine --example convert_csv -- lineitem.csv out.parquet ['name:type,name:type,…']
//!
//! Without types they are inferred, as a crawl does.
#![allow(clippy::print_stdout)]

use millpond_core::catalog::Column;
use millpond_engine::convert::{ConvertOptions, ConvertSpec, convert};
use millpond_engine::decode::Reader;
use millpond_engine::infer::{catalog_columns, infer};
use millpond_engine::table::{DataFile, FileGroup, TableShape};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output, types @ ..] = arguments.as_slice() else {
        return Err("usage: convert_csv INPUT.csv OUTPUT.parquet ['name:type,name:type,…']".into());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
    let reader = Reader { store, handle: runtime.handle().clone() };
    let size = std::fs::metadata(input)?.len();
    let blob = Path::from_absolute_path(std::fs::canonicalize(input)?)?;
    let file = DataFile { blob, uri: input.clone(), size, etag: String::new(), modified_ms: 0 };
    let began = Instant::now();
    let inferred = infer(&reader, &file, &[])?;
    let mut columns = catalog_columns(&inferred.columns);
    println!(
        "inferred in {:.3} s: {:?}",
        began.elapsed().as_secs_f64(),
        columns.iter().map(|c| format!("{}:{}", c.name, c.data_type)).collect::<Vec<_>>()
    );
    if let [types] = types {
        columns = split_types(types);
    }
    let shape = TableShape { columns: columns.clone(), partition_keys: vec![], parameters: inferred.parameters() };
    let group = FileGroup { values: vec![], storage: Arc::new(inferred.storage(&columns)), files: vec![file] };
    let counter = AtomicU64::new(0);
    let output = std::path::absolute(output)?;
    let new_path = move || {
        let n = counter.fetch_add(1, Ordering::Relaxed);
        let path = if n == 0 { output.clone() } else { output.with_extension(format!("{n}.parquet")) };
        Path::from_absolute_path(path).unwrap_or_default()
    };
    let spec = ConvertSpec {
        reader,
        source: shape,
        groups: vec![group],
        target: None,
        partition_by: std::env::var("PARTITION_BY").map(|k| vec![k]).unwrap_or_default(),
        transform: None,
        check: None,
        options: ConvertOptions::default(),
        new_path: Arc::new(new_path),
        progress: None,
        cancel: Arc::new(AtomicBool::new(false)),
    };
    let began = Instant::now();
    let outcome = convert(&spec)?;
    println!(
        "{:.3} s: {} rows in, {} rows out, {} quarantined, {:.1} MB in, {:.1} MB out, {} files",
        began.elapsed().as_secs_f64(),
        outcome.rows_in,
        outcome.rows_out,
        outcome.rows_quarantined,
        outcome.bytes_in as f64 / 1e6,
        outcome.bytes_out as f64 / 1e6,
        outcome.files.len()
    );
    Ok(())
}

/// `name:type,…`, with commas inside parentheses left alone.
fn split_types(text: &str) -> Vec<Column> {
    let mut depth = 0;
    let parts = text.split(|c| {
        match c {
            '(' | '<' => depth += 1,
            ')' | '>' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.filter_map(|p| p.split_once(':')).map(|(n, t)| Column::new(n.trim(), t.trim())).collect()
}
