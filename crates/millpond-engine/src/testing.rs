//! A small lake for the engine's own tests: objects in memory, crawled and converted as the services do it.

use crate::convert::{ConvertOptions, ConvertOutcome, ConvertSpec, convert, quarantine_columns};
use crate::decode::{DecodeSpec, Decoded, Mode, Reader, stream};
use crate::infer::{Inferred, catalog_columns, infer, merge_columns};
use crate::table::{DataFile, FileGroup, Format, TableShape};
use crate::types::arrow_schema;
use crate::write::WrittenFile;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt;
use millpond_core::catalog::{Column, StorageDescriptor};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::runtime::Runtime;

pub(crate) struct Lake {
    runtime: Runtime,
    pub reader: Reader,
    blobs: Arc<AtomicU64>,
}

/// A crawled table.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub shape: TableShape,
    pub groups: Vec<FileGroup>,
}

impl Lake {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let reader = Reader { store: Arc::new(InMemory::new()), handle: runtime.handle().clone() };
        Self { runtime, reader, blobs: Arc::default() }
    }

    pub fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) -> DataFile {
        let bytes = bytes.into();
        let blob = Path::from(format!("blob-{}", self.blobs.fetch_add(1, Ordering::Relaxed)));
        let size = bytes.len() as u64;
        self.runtime.block_on(self.reader.store.put(&blob, PutPayload::from(bytes))).unwrap();
        DataFile { blob, uri: format!("s3://raw/{key}"), size, etag: "e".into(), modified_ms: 0 }
    }

    pub fn infer(&self, key: &str, bytes: impl Into<Vec<u8>>) -> Inferred {
        let file = self.put(key, bytes);
        infer(&self.reader, &file, &[]).unwrap()
    }

    /// `name:type, …` of what a crawl finds.
    pub fn columns(&self, key: &str, bytes: impl Into<Vec<u8>>) -> String {
        let inferred = self.infer(key, bytes);
        assert!(inferred.is_known(), "{key}: {:?}", inferred.reason);
        let columns: Vec<String> = inferred.columns.iter().map(|c| format!("{}:{}", c.name, c.data_type)).collect();
        columns.join(", ")
    }

    /// Crawls files into one table; files that are UNKNOWN are in it too, as a folder's stray files are.
    pub fn crawl(&self, files: Vec<DataFile>) -> Raw {
        let mut known: Option<Inferred> = None;
        for file in &files {
            let inferred = infer(&self.reader, file, &[]).unwrap();
            if !inferred.is_known() {
                continue;
            }
            known = match known.take() {
                None => Some(inferred),
                Some(mut have) => {
                    have.columns = merge_columns(&have.columns, &inferred.columns);
                    Some(have)
                }
            };
        }
        let known = known.expect("some file is known");
        let columns = catalog_columns(&known.columns);
        let shape = TableShape { columns: columns.clone(), partition_keys: vec![], parameters: known.parameters() };
        Raw { shape, groups: vec![FileGroup { values: vec![], storage: Arc::new(known.storage(&columns)), files }] }
    }

    pub fn spec(&self, raw: &Raw) -> ConvertSpec {
        let blobs = Arc::clone(&self.blobs);
        ConvertSpec {
            reader: self.reader.clone(),
            source: raw.shape.clone(),
            groups: raw.groups.clone(),
            target: None,
            partition_by: vec![],
            transform: None,
            check: None,
            options: ConvertOptions {
                threads: 2,
                job_run_id: "jr_1".into(),
                now_ms: 1_700_000_000_000,
                ..ConvertOptions::default()
            },
            new_path: Arc::new(move || Path::from(format!("blob-{}", blobs.fetch_add(1, Ordering::Relaxed)))),
            progress: None,
            cancel: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Converts, and checks what must hold of every conversion.
    pub fn convert(&self, spec: &ConvertSpec) -> ConvertOutcome {
        let outcome = convert(spec).unwrap();
        for input in &outcome.inputs {
            assert_eq!(input.rows_in, input.rows_out + input.rows_quarantined, "{input:?}");
        }
        let sum = |f: fn(&crate::convert::InputCount) -> u64| outcome.inputs.iter().map(f).sum::<u64>();
        assert_eq!(outcome.rows_in, sum(|i| i.rows_in));
        if spec.transform.is_none() {
            assert_eq!(outcome.rows_out, sum(|i| i.rows_out));
            assert_eq!(outcome.rows_quarantined, sum(|i| i.rows_quarantined));
            assert_eq!(self.quarantined(&outcome).len() as u64, outcome.rows_quarantined);
        }
        assert_eq!(self.rows(&outcome.files, &outcome.columns).len() as u64, outcome.rows_out);
        outcome
    }

    /// Rows of Parquet files as text, sorted; NULL is `∅`.
    pub fn rows(&self, files: &[WrittenFile], columns: &[Column]) -> Vec<String> {
        let files: Vec<DataFile> = files
            .iter()
            .map(|f| DataFile {
                blob: f.blob.clone(),
                uri: f.blob.to_string(),
                size: f.size,
                etag: String::new(),
                modified_ms: 0,
            })
            .collect();
        let mut rows = self.decode(files, Format::Parquet, columns, Mode::Strict).0;
        rows.sort();
        rows
    }

    /// `file:line column=value: reason` of each quarantined row, sorted.
    pub fn quarantined(&self, outcome: &ConvertOutcome) -> Vec<String> {
        let mut rows: Vec<String> = self.rows(&outcome.quarantine, &quarantine_columns());
        rows.iter_mut().for_each(|row| {
            let parts: Vec<&str> = row.split('|').collect();
            *row = format!("{}:{} {}={}: {}", parts[0].rsplit('/').next().unwrap(), parts[1], parts[2], parts[3], parts[4]);
        });
        rows
    }

    /// Decoded rows as text, and rejects as `line column=value: reason`.
    pub fn decode(&self, files: Vec<DataFile>, format: Format, columns: &[Column], mode: Mode) -> (Vec<String>, Vec<String>) {
        let spec = DecodeSpec { format, columns: columns.to_vec(), projection: None, mode, batch_rows: 1_000 };
        let schema = arrow_schema(columns).unwrap();
        let decoded: Vec<Decoded> = self.runtime.block_on(async {
            stream(Arc::clone(&self.reader.store), files.into_iter().map(Into::into).collect(), spec)
                .map(Result::unwrap)
                .collect()
                .await
        });
        let (mut rows, mut rejects) = (Vec::new(), Vec::new());
        for part in decoded {
            assert_eq!(part.batch.schema().fields(), schema.fields());
            rows.extend(texts(&part.batch));
            let shown = |r: crate::decode::Rejected| {
                format!("{} {}={}: {}", r.line, r.column.unwrap_or_default(), r.value.unwrap_or_default(), r.reason)
            };
            rejects.extend(part.rejects.into_iter().map(shown));
        }
        (rows, rejects)
    }

    /// What a SQL scan sees of text: all rows.
    pub fn scan(&self, file: DataFile, storage: &StorageDescriptor) -> Vec<String> {
        let format = Format::of(storage, &storage.parameters).unwrap();
        self.decode(vec![file], format, &storage.columns, Mode::Lenient).0
    }
}

fn texts(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("∅");
    let columns: Vec<ArrayFormatter<'_>> =
        batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
    (0..batch.num_rows()).map(|r| columns.iter().map(|c| c.value(r).to_string()).collect::<Vec<_>>().join("|")).collect()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
