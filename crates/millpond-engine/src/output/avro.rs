//! Avro object container files, with the logical types that Hive's AvroSerDe knows.

use super::compression::{Codec, Compression};
use super::encoder::{Encoder, broken};
use crate::write::{Outbox, WriteError};
use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
};
use arrow::error::ArrowError;
use arrow_avro::compression::CompressionCodec;
use arrow_avro::writer::format::AvroOcfFormat;
use arrow_avro::writer::{Writer, WriterBuilder};
use std::sync::Arc;

/// Writes one container file; each batch is a block.
pub(super) struct AvroEncoder {
    schema: SchemaRef,
    writer: Writer<Outbox, AvroOcfFormat>,
}

impl AvroEncoder {
    pub(super) fn new(schema: &SchemaRef, compression: Compression, outbox: Outbox) -> Result<Self, WriteError> {
        let codec = match compression.codec {
            Codec::None => None,
            Codec::Deflate | Codec::Zlib | Codec::Gzip => Some(CompressionCodec::Deflate),
            Codec::Snappy => Some(CompressionCodec::Snappy),
            Codec::Zstd => Some(CompressionCodec::ZStandard),
            Codec::Bzip2 => Some(CompressionCodec::Bzip2),
            Codec::Lz4 => return Err(WriteError::Format("Avro has no LZ4 compression".into())),
        };
        let fields: Vec<FieldRef> = schema.fields().iter().map(stored).collect();
        let schema = Arc::new(Schema::new(fields));
        let builder = WriterBuilder::new(schema.as_ref().clone()).with_compression(codec);
        let writer = builder.build::<_, AvroOcfFormat>(outbox).map_err(broken)?;
        Ok(Self { schema, writer })
    }
}

impl Encoder for AvroEncoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(column, field)| in_type(column, field.data_type())).collect::<Result<Vec<ArrayRef>, _>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.writer.write(&batch).map_err(broken)
    }

    fn finish(mut self: Box<Self>) -> Result<(), WriteError> {
        self.writer.finish().map_err(broken)
    }
}

/// Values as they are stored. Moments become the millisecond that they lie in, also before 1970, where a cast would take the next.
fn in_type(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    match (array.data_type(), to) {
        (DataType::Timestamp(TimeUnit::Microsecond, _), DataType::Timestamp(TimeUnit::Millisecond, zone)) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>();
            let millis = micros.unary::<_, TimestampMillisecondType>(|micros| micros.div_euclid(1_000));
            Ok(Arc::new(millis.with_timezone_opt(zone.clone())))
        }
        (DataType::List(_), DataType::List(item)) => {
            let lists = array.as_list::<i32>();
            let items = in_type(lists.values(), item.data_type())?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), lists.offsets().clone(), items, lists.nulls().cloned())?))
        }
        (DataType::Map(_, _), DataType::Map(entries, sorted)) => {
            let maps = array.as_map();
            let pairs: ArrayRef = Arc::new(maps.entries().clone());
            let pairs = in_type(&pairs, entries.data_type())?.as_struct().clone();
            let (offsets, nulls) = (maps.offsets().clone(), maps.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted)?))
        }
        (DataType::Struct(_), DataType::Struct(fields)) if !fields.is_empty() => {
            let rows = array.as_struct();
            let columns = rows.columns().iter().zip(fields).map(|(column, field)| in_type(column, field.data_type()));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, rows.nulls().cloned())?))
        }
        (_, to) => cast(array, to),
    }
}

fn stored(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), stored_type(field.data_type()), field.is_nullable()))
}

/// Avro has integers of 32 and 64 bits, and its timestamps count milliseconds from an instant, as Hive takes them.
fn stored_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::Int16 => DataType::Int32,
        DataType::Timestamp(_, _) => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        DataType::List(item) => DataType::List(stored(item)),
        DataType::Map(entries, sorted) => DataType::Map(stored(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(stored).collect::<Fields>()),
        other => other.clone(),
    }
}
