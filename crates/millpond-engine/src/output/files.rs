//! From a query's stream to files.

use super::columns::{Conform, refused};
use super::compression::Compression;
use super::encoder::{Encoder, encoder};
use super::{Buckets, OPEN_WRITERS_MAX, OutputFile, OutputFormat, Target};
use crate::query::{Engine, QueryError, QueryStream};
use crate::write::{Local, NewPath, Output, PartitionWriter, Upload, WriteError, WriteOptions, WrittenFile, split};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use futures::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::runtime::Handle;

/// What was written.
#[derive(Debug, Default)]
pub struct Written {
    /// By partition values, then by bucket.
    pub files: Vec<OutputFile>,
    /// All files together.
    pub rows: u64,
    /// All files together.
    pub bytes: u64,
}

/// Writes all rows of a query, in its order, on the engine's threads. Where it fails, no file stays.
///
/// # Errors
/// The query's; `HIVE_TOO_MANY_OPEN_PARTITIONS` beyond [`OPEN_WRITERS_MAX`]; values that do not fit their columns; the store's.
pub async fn write(engine: &Engine, stream: QueryStream, target: Target, new_path: NewPath) -> Result<Written, QueryError> {
    let (handle, store) = (engine.handle(), Arc::clone(engine.store()));
    let conform = Conform::new(&target)?;
    let options = WriteOptions {
        row_group_bytes: 64 << 20,
        buffer_bytes: 96 << 20,
        compression: target.compression.parquet(),
        partitions_max: Some(OPEN_WRITERS_MAX),
        ..WriteOptions::default()
    };
    let output = Output { store, handle: handle.clone(), schema: Arc::clone(&conform.files), options, new_path };
    let buckets = target.buckets.as_ref().map(|buckets| Ok::<_, QueryError>((buckets.clone(), buckets.places(&target.columns)?)));
    let divide = Divide { conform, buckets: buckets.transpose()? };
    let keys = target.columns.len()..target.columns.len() + target.keys.len() + usize::from(divide.buckets.is_some());
    let sink = Sink::new(output, keys.collect(), &target);
    let work = handle.spawn_blocking(move || drain(stream, divide, sink));
    work.await.map_err(|error| {
        tracing::error!(%error, "writing a query's rows panicked");
        QueryError::Internal("the rows could not be written; the reason is in the server's log".into())
    })?
}

fn drain(mut stream: QueryStream, divide: Divide, mut sink: Sink) -> Result<Written, QueryError> {
    let handle = sink.output().handle.clone();
    let store = Arc::clone(&sink.output().store);
    let mut write_all = || -> Result<(), QueryError> {
        while let Some(batch) = handle.block_on(stream.next()) {
            let batch = divide.batch(&batch?)?;
            if batch.num_rows() > 0 {
                sink.write(&batch).map_err(failed)?;
            }
        }
        Ok(())
    };
    let result = write_all();
    drop(stream);
    let files = match result {
        Ok(()) => sink.finish().map_err(|(files, error)| (files, failed(error))),
        Err(error) => Err((sink.abort(), error)),
    };
    match files {
        Ok(files) => Ok(divide.written(files)),
        Err((files, error)) => {
            discard(&handle, &store, &files);
            Err(error)
        }
    }
}

/// Removes files that nobody will name. What cannot be removed now is collected later.
fn discard(handle: &Handle, store: &Arc<dyn ObjectStore>, files: &[WrittenFile]) {
    for file in files {
        if let Err(error) = handle.block_on(store.delete(&file.blob)) {
            tracing::warn!(%error, blob = %file.blob, "a file of a failed statement could not be removed; it is collected later");
        }
    }
}

fn failed(error: WriteError) -> QueryError {
    match error {
        WriteError::TooManyPartitions(most) => {
            refused("HIVE_TOO_MANY_OPEN_PARTITIONS", format!("Exceeded limit of {most} open writers for partitions/buckets"))
        }
        WriteError::Store(error) => refused("HIVE_WRITER_CLOSE_ERROR", format!("the rows could not be stored: {error}")),
        error => refused("HIVE_WRITER_DATA_ERROR", error.to_string()),
    }
}

/// A query's batches in the files' form, with each row's bucket as one more key.
struct Divide {
    conform: Conform,
    buckets: Option<(Buckets, Vec<usize>)>,
}

impl Divide {
    fn batch(&self, batch: &RecordBatch) -> Result<RecordBatch, QueryError> {
        let batch = self.conform.batch(batch)?;
        let Some((buckets, places)) = &self.buckets else { return Ok(batch) };
        let columns: Vec<_> = places.iter().map(|&place| Arc::clone(batch.column(place))).collect();
        let numbers = buckets.of_rows(&columns).map_err(failed)?;
        let mut fields = batch.schema().fields().to_vec();
        fields.push(Arc::new(Field::new("$bucket", DataType::Int32, false)));
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(numbers));
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
            .map_err(|error| QueryError::Internal(format!("rows do not fit their buckets: {error}")))
    }

    fn written(&self, files: Vec<WrittenFile>) -> Written {
        let mut written = Written::default();
        for mut file in files {
            written.rows += file.rows;
            written.bytes += file.size;
            let bucket = self.buckets.as_ref().and_then(|_| file.partition_values.pop()).and_then(|text| text.parse().ok());
            written.files.push(OutputFile { file, bucket });
        }
        written.files.sort_by(|a, b| (&a.file.partition_values, a.bucket).cmp(&(&b.file.partition_values, b.bucket)));
        written
    }
}

/// Where batches go.
enum Sink {
    Parquet(Box<PartitionWriter>, Local),
    Rows(Box<RowFiles>),
}

impl Sink {
    fn new(output: Output, keys: Vec<usize>, target: &Target) -> Self {
        match target.format {
            OutputFormat::Parquet => Self::Parquet(Box::new(PartitionWriter::new(output, keys)), Local::default()),
            _ => Self::Rows(Box::new(RowFiles::new(output, keys, target))),
        }
    }

    fn output(&self) -> &Output {
        match self {
            Self::Parquet(writer, _) => writer.output(),
            Self::Rows(files) => &files.output,
        }
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        match self {
            Self::Parquet(writer, local) => writer.write(local, batch),
            Self::Rows(files) => files.write(batch),
        }
    }

    /// All files, or those that were whole when the rest failed.
    fn finish(self) -> Result<Vec<WrittenFile>, (Vec<WrittenFile>, WriteError)> {
        match self {
            Self::Parquet(writer, local) => {
                let finished = writer.finish_local(local).and_then(|()| writer.finish());
                finished.map_err(|error| (writer.abort(), error))
            }
            Self::Rows(mut files) => match files.finish() {
                Ok(()) => Ok(files.done),
                Err(error) => Err((files.abort(), error)),
            },
        }
    }

    fn abort(self) -> Vec<WrittenFile> {
        match self {
            Self::Parquet(writer, _) => writer.abort(),
            Self::Rows(files) => files.abort(),
        }
    }
}

/// A file that takes rows.
struct OpenFile {
    encoder: Box<dyn Encoder>,
    upload: Upload,
    rows: u64,
}

impl OpenFile {
    fn held(&self) -> usize {
        self.upload.held() + self.encoder.held()
    }
}

/// Files of formats that are written row by row: one for each partition, as a rule.
struct RowFiles {
    output: Output,
    keys: Vec<usize>,
    format: OutputFormat,
    compression: Compression,
    open: HashMap<Vec<String>, OpenFile>,
    seen: HashSet<Vec<String>>,
    done: Vec<WrittenFile>,
}

impl RowFiles {
    fn new(output: Output, keys: Vec<usize>, target: &Target) -> Self {
        Self {
            output,
            keys,
            format: target.format.clone(),
            compression: target.compression,
            open: HashMap::new(),
            seen: HashSet::new(),
            done: Vec::new(),
        }
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        if self.keys.is_empty() {
            self.add(Vec::new(), batch)?;
        } else {
            for (key, rows) in split(batch, &self.keys)? {
                self.add(key, &rows)?;
            }
        }
        self.relieve()
    }

    fn add(&mut self, key: Vec<String>, rows: &RecordBatch) -> Result<(), WriteError> {
        if !self.open.contains_key(&key) {
            if let Some(most) = self.output.options.partitions_max
                && !self.seen.contains(&key)
                && self.seen.len() >= most
            {
                return Err(WriteError::TooManyPartitions(most));
            }
            self.seen.insert(key.clone());
            let upload = Upload::new(&self.output);
            let encoder = encoder(&self.format, self.compression, &self.output.schema, upload.outbox())?;
            self.open.insert(key.clone(), OpenFile { encoder, upload, rows: 0 });
        }
        let file = self.open.get_mut(&key).expect("it was just opened");
        file.encoder.write(rows)?;
        file.rows += rows.num_rows() as u64;
        file.upload.send_full_part()?;
        if file.upload.sent() >= self.output.options.file_bytes {
            return self.close(&key);
        }
        Ok(())
    }

    /// Closes the files that hold most, while all together hold too much; their partitions go on in others.
    fn relieve(&mut self) -> Result<(), WriteError> {
        while self.open.values().map(OpenFile::held).sum::<usize>() > self.output.options.buffer_bytes {
            let largest = self.open.iter().max_by_key(|(_, file)| file.held()).map(|(key, _)| key.clone());
            let Some(largest) = largest else { break };
            self.close(&largest)?;
        }
        Ok(())
    }

    fn close(&mut self, key: &[String]) -> Result<(), WriteError> {
        let Some(file) = self.open.remove(key) else { return Ok(()) };
        file.encoder.finish()?;
        let (blob, size) = file.upload.close()?;
        let partition_values = key.to_vec();
        self.done.push(WrittenFile { blob, size, rows: file.rows, partition_values, statistics: Vec::new() });
        Ok(())
    }

    fn finish(&mut self) -> Result<(), WriteError> {
        let keys: Vec<_> = self.open.keys().cloned().collect();
        keys.iter().try_for_each(|key| self.close(key))
    }

    fn abort(self) -> Vec<WrittenFile> {
        for (_, file) in self.open {
            file.upload.abort();
        }
        self.done
    }
}
