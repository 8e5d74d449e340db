//! Parsed columns and what is the same for a whole file (partition values, its name, the time), put together.

use super::ConvertSpec;
use super::plan::{Origin, Plan, Shape};
use crate::decode::csv::{Batch, Segment};
use arrow::array::{
    Array, ArrayRef, Int64Array, StringArray, StringBuilder, TimestampMicrosecondArray, UInt32Array, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use millpond_core::catalog::NULL_PARTITION;
use std::sync::Arc;

/// The raw table's partition values as typed arrays: one for each key, with a value for each group of files.
#[derive(Debug)]
pub(crate) struct PartitionValues {
    /// By input column; empty for columns that are no keys.
    by_column: Vec<Option<ArrayRef>>,
}

impl PartitionValues {
    /// Also answers which groups have values that are not of their key's type, and why.
    pub fn new(spec: &ConvertSpec, plan: &Plan) -> Result<(Self, Vec<(usize, String)>), ArrowError> {
        let mut wrong = Vec::new();
        let mut by_column = vec![None; plan.input.len()];
        for (column, (name, t)) in plan.input.iter().enumerate() {
            let key = plan.shapes.iter().find_map(|shape| match shape.origins[column] {
                Origin::Key(key) => Some(key),
                _ => None,
            });
            let Some(key) = key else { continue };
            let text: StringArray =
                spec.groups.iter().map(|g| g.values.get(key).map(String::as_str).filter(|v| *v != NULL_PARTITION)).collect();
            let options = CastOptions { safe: true, ..CastOptions::default() };
            let array = cast_with_options(&text, &t.to_arrow(), &options)?;
            for group in (0..text.len()).filter(|&g| text.is_valid(g) && array.is_null(g)) {
                wrong.push((group, format!("the partition value '{}' of '{name}' is not of type {t}", text.value(group))));
            }
            by_column[column] = Some(array);
        }
        Ok((Self { by_column }, wrong))
    }
}

/// The input columns of `batch`, which was parsed from files of `shape`.
pub(crate) fn assemble(
    spec: &ConvertSpec,
    plan: &Plan,
    shape: &Shape,
    keys: &PartitionValues,
    parsed: &Batch,
) -> Result<RecordBatch, ArrowError> {
    let Batch { batch, segments, .. } = parsed;
    let rows = batch.num_rows();
    let schema: &SchemaRef = &plan.input_schema;
    let mut groups: Option<UInt32Array> = None;
    let mut arrays = Vec::with_capacity(shape.origins.len());
    for (column, origin) in shape.origins.iter().enumerate() {
        let wanted: &DataType = schema.field(column).data_type();
        arrays.push(match origin {
            Origin::File(parsed) => Arc::clone(batch.column(*parsed)),
            Origin::Absent => new_null_array(wanted, rows),
            Origin::Ingestion => {
                let micros = spec.options.ingestion_timestamp_ms.unwrap_or_default().saturating_mul(1_000);
                let array: ArrayRef = Arc::new(TimestampMicrosecondArray::from_value(micros, rows));
                if array.data_type() == wanted { array } else { cast_with_options(&array, wanted, &CastOptions::default())? }
            }
            Origin::SourceFile => source_file(plan, segments, rows),
            Origin::Order => order(parsed),
            Origin::Key(_) => {
                let groups = groups.get_or_insert_with(|| {
                    segments.iter().flat_map(|s| std::iter::repeat_n(plan.inputs[s.file].group as u32, s.rows)).collect()
                });
                let values = keys.by_column[column].as_ref().expect("made for every key column");
                take(values, groups, None)?
            }
        });
    }
    RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &RecordBatchOptions::new().with_row_count(Some(rows)))
}

/// Twenty bits for the input, the others for the place in it.
const POSITION_BITS: u32 = 43;

fn order(parsed: &Batch) -> ArrayRef {
    let files = parsed.segments.iter().flat_map(|s| std::iter::repeat_n(s.file as u64, s.rows));
    let number = |(file, start): (u64, &crate::decode::csv::Start)| {
        let file = file.min((1 << (63 - POSITION_BITS)) - 1);
        (file << POSITION_BITS | start.position.min((1 << POSITION_BITS) - 1)).cast_signed()
    };
    Arc::new(files.zip(&parsed.starts).map(number).collect::<Int64Array>())
}

fn source_file(plan: &Plan, segments: &[Segment], rows: usize) -> ArrayRef {
    let bytes = segments.iter().map(|s| plan.inputs[s.file].file.uri.len() * s.rows).sum();
    let mut builder = StringBuilder::with_capacity(rows, bytes);
    for segment in segments {
        let uri = &plan.inputs[segment.file].file.uri;
        (0..segment.rows).for_each(|_| builder.append_value(uri));
    }
    Arc::new(builder.finish())
}
