//! The quarantine: rows that were refused, as rows of a table of their own.

use crate::convert::ConvertSpec;
use crate::decode::Rejected;
use crate::types::arrow_schema;
use crate::write::{Local, Output, PartitionWriter, WriteError, WriteOptions, WrittenFile};
use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use millpond_core::catalog::Column;
use std::sync::{Arc, Mutex, PoisonError};

/// The columns of every quarantine table.
pub fn quarantine_columns() -> Vec<Column> {
    [
        ("source_file", "string"),
        ("line", "bigint"),
        ("column", "string"),
        ("value", "string"),
        ("reason", "string"),
        ("raw", "string"),
        ("job_run_id", "string"),
        ("quarantined_at", "timestamp"),
    ]
    .map(|(name, t)| Column::new(name, t))
    .to_vec()
}

/// Rows and bytes that wait before they are encoded.
const WAITING_ROWS: usize = 8_192;
const WAITING_BYTES: usize = 8 << 20;

#[derive(Debug, Default)]
struct Waiting {
    rows: Vec<(String, Rejected)>,
    bytes: usize,
    local: Local,
    written: u64,
}

/// Takes refused rows from all threads.
#[derive(Debug)]
pub(crate) struct Quarantine {
    schema: SchemaRef,
    writer: PartitionWriter,
    waiting: Mutex<Waiting>,
    job_run_id: String,
    now_us: i64,
}

impl Quarantine {
    pub fn new(spec: &ConvertSpec) -> Self {
        let schema: SchemaRef = Arc::new(arrow_schema(&quarantine_columns()).expect("the quarantine's own types are right"));
        let output = Output {
            store: Arc::clone(&spec.reader.store),
            handle: spec.reader.handle.clone(),
            schema: Arc::clone(&schema),
            options: WriteOptions { row_group_bytes: 64 << 20, ..spec.options.write.clone() },
            new_path: Arc::clone(&spec.new_path),
        };
        Self {
            schema,
            writer: PartitionWriter::new(output, Vec::new()),
            waiting: Mutex::default(),
            job_run_id: spec.options.job_run_id.clone(),
            now_us: spec.options.now_ms.saturating_mul(1_000),
        }
    }

    pub fn add(&self, rows: impl IntoIterator<Item = (String, Rejected)>) -> Result<(), WriteError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for (uri, row) in rows {
            waiting.bytes += row.raw.len() + row.value.as_ref().map_or(0, String::len) + row.reason.len() + uri.len();
            waiting.rows.push((uri, row));
            if waiting.rows.len() >= WAITING_ROWS || waiting.bytes >= WAITING_BYTES {
                self.flush(&mut waiting)?;
            }
        }
        Ok(())
    }

    fn flush(&self, waiting: &mut Waiting) -> Result<(), WriteError> {
        let rows = std::mem::take(&mut waiting.rows);
        waiting.bytes = 0;
        if rows.is_empty() {
            return Ok(());
        }
        let text = |f: &dyn Fn(&(String, Rejected)) -> Option<&str>| -> ArrayRef {
            Arc::new(rows.iter().map(f).collect::<StringArray>())
        };
        let columns: Vec<ArrayRef> = vec![
            text(&|r| Some(r.0.as_str())),
            Arc::new(rows.iter().map(|r| i64::try_from(r.1.line).ok()).collect::<Int64Array>()),
            text(&|r| r.1.column.as_deref()),
            text(&|r| r.1.value.as_deref()),
            text(&|r| Some(r.1.reason.as_str())),
            text(&|r| Some(r.1.raw.as_str())),
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&self.job_run_id, rows.len()))),
            Arc::new(TimestampMicrosecondArray::from_value(self.now_us, rows.len())),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        waiting.written += rows.len() as u64;
        self.writer.write(&mut waiting.local, &batch)
    }

    /// The files, and the rows in them.
    pub fn finish(&self) -> Result<(Vec<WrittenFile>, u64), WriteError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.flush(&mut waiting)?;
        self.writer.finish_local(std::mem::take(&mut waiting.local))?;
        Ok((self.writer.finish()?, waiting.written))
    }

    pub fn abort(&self) -> Vec<WrittenFile> {
        self.writer.abort()
    }
}
