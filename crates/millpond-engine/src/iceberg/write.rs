//! Rows to data files: one Parquet file a partition (more where one grows too large), with the bounds and counts that manifests keep.

use super::schema::{self, Match, conform};
use super::stats::{self, Counts};
use super::{invalid, named};
use crate::query::QueryError;
use crate::write::{Outbox, PART_BYTES};
use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::SchemaRef as ArrowSchemaRef;
use arrow::row::{RowConverter, SortField};
use iceberg::arrow::{PartitionValueCalculator, arrow_struct_to_literal};
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Literal, PartitionSpec, PartitionSpecRef, Schema, SchemaRef,
    Struct, TableMetadata,
};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::collections::HashMap;
use std::sync::Arc;
use url::form_urlencoded::byte_serialize;

/// Partitions that a statement writes at the most (Athena user guide, "Considerations and limitations for CTAS queries").
pub const PARTITIONS_MAX: usize = 100;

/// Bytes of rows that may wait, encoded, for the row groups of all open files together.
const WAITING_BYTES_MAX: usize = 256 << 20;
/// Bytes of a row group, about.
const ROW_GROUP_BYTES: usize = 128 << 20;

/// A data file that was written and has no name yet.
#[derive(Debug, Clone)]
pub struct NewDataFile {
    /// Where it is in the engine's store.
    pub blob: Path,
    /// What a manifest says of it; its path is the URI that it is to get.
    pub data_file: DataFile,
}

/// What a writer needs to know of the world.
#[derive(Clone)]
pub struct Target {
    /// The engine's store.
    pub store: Arc<dyn ObjectStore>,
    /// Where the next file goes.
    pub new_path: Arc<dyn Fn() -> Path + Send + Sync>,
    /// A name that no other file has (a UUID).
    pub new_name: Arc<dyn Fn() -> String + Send + Sync>,
    /// Partitions at the most.
    pub partitions_max: usize,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("partitions_max", &self.partitions_max).finish_non_exhaustive()
    }
}

/// One file under construction.
struct Open {
    partition: Struct,
    writer: ArrowWriter<Outbox>,
    outbox: Outbox,
    blob: Path,
    upload: Option<Box<dyn MultipartUpload>>,
    sent: u64,
    counts: Counts,
}

/// Writes data files of a version of a table.
pub struct DataWriter {
    target: Target,
    schema: SchemaRef,
    spec: PartitionSpecRef,
    file_schema: ArrowSchemaRef,
    partitions: Option<(PartitionValueCalculator, RowConverter)>,
    properties: WriterProperties,
    folder: String,
    file_bytes: u64,
    open: HashMap<Vec<u8>, Open>,
    done: Vec<NewDataFile>,
    rows: u64,
}

impl std::fmt::Debug for DataWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataWriter").field("folder", &self.folder).field("rows", &self.rows).finish_non_exhaustive()
    }
}

fn store_error(error: object_store::Error) -> QueryError {
    QueryError::Internal(format!("the output cannot be stored: {error}"))
}

fn encode_error(error: impl std::fmt::Display) -> QueryError {
    named("ICEBERG_WRITER_DATA_ERROR", format!("the rows cannot be encoded: {error}"))
}

/// How the table's properties want Parquet written.
fn properties(metadata: &TableMetadata) -> Result<WriterProperties, QueryError> {
    let own = metadata.properties();
    let codec = own.get("write.parquet.compression-codec").map_or("zstd", String::as_str).to_lowercase();
    let level = own.get("write.parquet.compression-level").and_then(|level| level.parse::<i32>().ok());
    let compression = match codec.as_str() {
        "zstd" => Compression::ZSTD(ZstdLevel::try_new(level.unwrap_or(3)).map_err(invalid)?),
        "snappy" => Compression::SNAPPY,
        "gzip" => Compression::GZIP(GzipLevel::default()),
        "lz4" => Compression::LZ4_RAW,
        "uncompressed" | "none" => Compression::UNCOMPRESSED,
        other => return Err(QueryError::NotSupported(format!("the compression '{other}' of Parquet files"))),
    };
    Ok(WriterProperties::builder()
        .set_compression(compression)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(1 << 20))
        .build())
}

impl DataWriter {
    /// A writer into the table's default partition specification.
    ///
    /// # Errors
    /// The table wants what cannot be written.
    pub fn new(metadata: &TableMetadata, target: Target) -> Result<Self, QueryError> {
        let format = metadata.properties().get("write.format.default").map_or("parquet", String::as_str);
        if !format.eq_ignore_ascii_case("parquet") {
            return Err(QueryError::NotSupported(format!("writing Iceberg tables in the format {format}: use Parquet")));
        }
        if metadata.format_version() == iceberg::spec::FormatVersion::V3 {
            return Err(QueryError::NotSupported("writing Iceberg tables of format version 3: Athena's are of version 2".into()));
        }
        let (schema, spec) = (metadata.current_schema().clone(), metadata.default_partition_spec().clone());
        let partitions = if spec.is_unpartitioned() {
            None
        } else {
            let calculator = PartitionValueCalculator::try_new(&spec, &schema).map_err(invalid)?;
            let arrow::datatypes::DataType::Struct(fields) = calculator.partition_arrow_type() else {
                return Err(invalid("the partition is no structure"));
            };
            let sorts = fields.iter().map(|field| SortField::new(field.data_type().clone())).collect();
            let converter = RowConverter::new(sorts).map_err(invalid)?;
            Some((calculator, converter))
        };
        let file_bytes = metadata.properties().get("write.target-file-size-bytes").and_then(|bytes| bytes.parse().ok());
        Ok(Self {
            target,
            file_schema: schema::file_schema(&schema)?,
            partitions,
            properties: properties(metadata)?,
            folder: data_folder(metadata),
            file_bytes: file_bytes.unwrap_or(512 << 20),
            open: HashMap::new(),
            done: Vec::new(),
            rows: 0,
            schema,
            spec,
        })
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes rows whose columns are the table's, in their order and in the engine's types.
    ///
    /// # Errors
    /// A value does not fit its column; there are too many partitions; the store's.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = self.conformed(batch)?;
        self.rows += batch.num_rows() as u64;
        for (key, partition, rows) in self.split(&batch)? {
            self.append(key, partition, &rows).await?;
        }
        self.relieve().await
    }

    fn conformed(&self, batch: &RecordBatch) -> Result<RecordBatch, QueryError> {
        if batch.num_columns() != self.file_schema.fields().len() {
            return Err(QueryError::Internal(format!(
                "{} columns for a table of {}",
                batch.num_columns(),
                self.file_schema.fields().len()
            )));
        }
        let given = batch.schema();
        let columns = self.file_schema.fields().iter().enumerate().map(|(index, wanted)| {
            let array = conform(batch.column(index), given.field(index), wanted, Match::Position)
                .map_err(|error| QueryError::InvalidCast(format!("column '{}': {error}", wanted.name())))?;
            if !wanted.is_nullable() && array.null_count() > 0 {
                let message = format!("NULL value not allowed for NOT NULL column: {}", wanted.name());
                return Err(named("CONSTRAINT_VIOLATION", message));
            }
            Ok(array)
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>, QueryError>>()?;
        RecordBatch::try_new(Arc::clone(&self.file_schema), columns).map_err(encode_error)
    }

    /// The rows of each partition, under a key that stands for it.
    fn split(&self, batch: &RecordBatch) -> Result<Vec<(Vec<u8>, Struct, RecordBatch)>, QueryError> {
        let Some((calculator, converter)) = &self.partitions else {
            return Ok(vec![(Vec::new(), Struct::empty(), batch.clone())]);
        };
        let values = calculator.calculate(batch).map_err(encode_error)?;
        let rows = converter.convert_columns(values.as_struct().columns()).map_err(encode_error)?;
        let mut places: HashMap<&[u8], usize> = HashMap::new();
        let mut parts: Vec<Vec<u32>> = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let next = parts.len();
            let place = *places.entry(row.data()).or_insert(next);
            if place == next {
                parts.push(Vec::new());
            }
            parts[place].push(u32::try_from(index).map_err(encode_error)?);
        }
        let firsts: UInt32Array = parts.iter().filter_map(|part| part.first().copied()).collect();
        let representatives = take(&values, &firsts, None).map_err(encode_error)?;
        let literals = arrow_struct_to_literal(&representatives, calculator.partition_type()).map_err(encode_error)?;
        let mut split = Vec::with_capacity(parts.len());
        for (part, literal) in parts.into_iter().zip(literals) {
            let Some(Literal::Struct(partition)) = literal else { return Err(encode_error("a partition without values")) };
            let key = rows.row(part.first().copied().unwrap_or_default() as usize).data().to_vec();
            let rows = take_record_batch(batch, &UInt32Array::from(part)).map_err(encode_error)?;
            split.push((key, partition, rows));
        }
        Ok(split)
    }

    async fn append(&mut self, key: Vec<u8>, partition: Struct, rows: &RecordBatch) -> Result<(), QueryError> {
        if !self.open.contains_key(&key) {
            if self.open.len() >= self.target.partitions_max {
                let message = format!("Exceeded limit of {} open writers for partitions", self.target.partitions_max);
                return Err(named("ICEBERG_TOO_MANY_OPEN_PARTITIONS", message));
            }
            let open = self.start(partition)?;
            self.open.insert(key.clone(), open);
        }
        let Some(open) = self.open.get_mut(&key) else { return Ok(()) };
        open.counts.add(rows);
        open.writer.write(rows).map_err(encode_error)?;
        if open.writer.in_progress_size() >= ROW_GROUP_BYTES {
            open.writer.flush().map_err(encode_error)?;
        }
        if open.outbox.len() >= PART_BYTES {
            open.send(&self.target.store).await?;
        }
        if open.sent + open.outbox.len() as u64 + open.writer.in_progress_size() as u64 >= self.file_bytes
            && let Some(open) = self.open.remove(&key)
        {
            self.close(open).await?;
        }
        Ok(())
    }

    fn start(&self, partition: Struct) -> Result<Open, QueryError> {
        let outbox = Outbox::default();
        let options = ArrowWriterOptions::new().with_properties(self.properties.clone()).with_skip_arrow_metadata(true);
        let writer =
            ArrowWriter::try_new_with_options(outbox.clone(), Arc::clone(&self.file_schema), options).map_err(encode_error)?;
        let blob = (self.target.new_path)();
        Ok(Open { partition, writer, outbox, blob, upload: None, sent: 0, counts: Counts::new(&self.file_schema) })
    }

    /// Brings the largest row groups to an end where all together have grown too large.
    async fn relieve(&mut self) -> Result<(), QueryError> {
        loop {
            let held: usize = self.open.values().map(|open| open.writer.memory_size() + open.outbox.len()).sum();
            if held <= WAITING_BYTES_MAX {
                return Ok(());
            }
            let Some(largest) = self.open.values_mut().max_by_key(|open| open.writer.memory_size() + open.outbox.len()) else {
                return Ok(());
            };
            largest.writer.flush().map_err(encode_error)?;
            largest.send(&self.target.store).await?;
        }
    }

    async fn close(&mut self, mut open: Open) -> Result<(), QueryError> {
        let footer = open.writer.finish().map_err(encode_error)?;
        let rest = open.outbox.take();
        let size = open.sent + rest.len() as u64;
        match &mut open.upload {
            None => drop(self.target.store.put(&open.blob, PutPayload::from(rest)).await.map_err(store_error)?),
            Some(upload) => {
                if !rest.is_empty() {
                    upload.put_part(PutPayload::from(rest)).await.map_err(store_error)?;
                }
                upload.complete().await.map_err(store_error)?;
            }
        }
        let name = (self.target.new_name)();
        let folders = partition_folders(&self.spec, &self.schema, &open.partition)?;
        let path = format!("{}/{folders}{name}.parquet", self.folder);
        let columns = stats::of(&footer, &self.schema, &open.counts);
        let offsets = footer.row_groups().iter().filter_map(|group| {
            group.file_offset().or_else(|| group.columns().first().map(|column| column.byte_range().0 as i64))
        });
        let data_file = DataFileBuilder::default()
            .content(DataContentType::Data)
            .file_path(path)
            .file_format(DataFileFormat::Parquet)
            .partition(open.partition)
            .partition_spec_id(self.spec.spec_id())
            .record_count(u64::try_from(footer.file_metadata().num_rows()).unwrap_or_default())
            .file_size_in_bytes(size)
            .column_sizes(columns.sizes)
            .value_counts(columns.values)
            .null_value_counts(columns.nulls)
            .nan_value_counts(columns.nans)
            .lower_bounds(columns.lower)
            .upper_bounds(columns.upper)
            .split_offsets(Some(offsets.collect()))
            .build()
            .map_err(invalid)?;
        self.done.push(NewDataFile { blob: open.blob, data_file });
        Ok(())
    }

    /// Closes all files.
    ///
    /// # Errors
    /// As [`DataWriter::write`].
    pub async fn finish(mut self) -> Result<Vec<NewDataFile>, QueryError> {
        let open: Vec<Open> = self.open.drain().map(|(_, open)| open).collect();
        for open in open {
            self.close(open).await?;
        }
        Ok(self.done)
    }
}

impl Open {
    async fn send(&mut self, store: &Arc<dyn ObjectStore>) -> Result<(), QueryError> {
        let part = self.outbox.take();
        if part.is_empty() {
            return Ok(());
        }
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(store.put_multipart(&self.blob).await.map_err(store_error)?),
        };
        self.sent += part.len() as u64;
        upload.put_part(PutPayload::from(part)).await.map_err(store_error)
    }
}

/// The folders of a partition's files, each with a slash behind it: names and values are encoded like those of a form, as Iceberg's Java library does
/// (`PartitionSpec.partitionToPath`), so that they are single segments of a URI.
fn partition_folders(spec: &PartitionSpec, schema: &Schema, partition: &Struct) -> Result<String, QueryError> {
    let types = spec.partition_type(schema).map_err(invalid)?;
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let fields = spec.fields().iter().zip(types.fields()).zip(partition.fields());
    let folders = fields.map(|((field, typed), value)| {
        let value = field.transform.to_human_string(&typed.field_type, value.as_ref());
        format!("{}={}/", encoded(&field.name), encoded(&value))
    });
    Ok(folders.collect())
}

/// Where data files of a table go.
fn data_folder(metadata: &TableMetadata) -> String {
    let named = metadata.properties().get("write.data.path").map(|path| path.trim_end_matches('/').to_owned());
    named.unwrap_or_else(|| format!("{}/data", metadata.location().trim_end_matches('/')))
}
