//! Batches that come typed (Parquet, Avro) brought to the columns that are wanted: found by name, cast, and looked through for values that were
//! lost on the way.

use super::csv::{Batch, Segment, Start};
use super::{Rejected, cut_text};
use crate::types::{HiveType, merge};
use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array, new_null_array};
use arrow::compute::kernels::cmp;
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Adapter {
    schema: SchemaRef,
    types: Vec<HiveType>,
    strict: bool,
    /// Whether each batch tells where its rows start.
    pub keep_starts: bool,
    /// Rows seen.
    rows: u64,
}

const CAST: CastOptions<'static> = CastOptions { safe: true, format_options: FormatOptions::new() };

impl Adapter {
    pub fn new(columns: &[(String, HiveType)], strict: bool) -> Self {
        let fields: Vec<Field> = columns.iter().map(|(name, t)| Field::new(name, t.to_arrow(), true)).collect();
        let types = columns.iter().map(|c| c.1.clone()).collect();
        Self { schema: Arc::new(Schema::new(fields)), types, strict, keep_starts: false, rows: 0 }
    }

    /// The names of the wanted columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.schema.fields().iter().map(|field| field.name().as_str())
    }

    /// The wanted columns of `batch`; rows with values that do not fit come back as rejects in strict reading, and with NULL in lenient.
    pub fn adapt(&mut self, batch: &RecordBatch, file: usize) -> Result<Batch, ArrowError> {
        let mut bad: BTreeMap<u32, (usize, ArrayRef)> = BTreeMap::new();
        let mut arrays = Vec::with_capacity(self.types.len());
        for (i, field) in self.schema.fields().iter().enumerate() {
            let Some(found) = find(&batch.schema(), field.name()) else {
                arrays.push(new_null_array(field.data_type(), batch.num_rows()));
                continue;
            };
            let source = batch.column(found);
            let (array, lost) = self.cast(source, &self.types[i], field.data_type())?;
            for row in lost {
                bad.entry(row).or_insert_with(|| (i, Arc::clone(source)));
            }
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let mut adapted = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?;
        let rejects = bad.iter().map(|(row, (i, source))| Ok((file, self.reject(batch, *row, *i, source)?)));
        let rejects = rejects.collect::<Result<Vec<_>, ArrowError>>()?;
        if !bad.is_empty() {
            let rows = u32::try_from(batch.num_rows()).expect("batches are small");
            let keep: BooleanArray = (0..rows).map(|row| Some(!bad.contains_key(&row))).collect();
            adapted = filter_record_batch(&adapted, &keep)?;
        }
        let first = self.rows + 1;
        self.rows += batch.num_rows() as u64;
        let starts = (0u32..).zip(first..=self.rows).filter(|(row, _)| !bad.contains_key(row));
        let starts = starts.map(|(_, line)| Start { line, position: line });
        let starts = if self.keep_starts { starts.collect() } else { Vec::new() };
        let segments = vec![Segment { file, rows: adapted.num_rows() }];
        Ok(Batch { batch: adapted, segments, rejects, starts })
    }

    /// The array in the wanted type, and the rows whose values did not survive.
    fn cast(&self, source: &ArrayRef, t: &HiveType, wanted: &DataType) -> Result<(ArrayRef, Vec<u32>), ArrowError> {
        if source.data_type() == wanted {
            return Ok((Arc::clone(source), Vec::new()));
        }
        let array = cast_with_options(source, wanted, &CAST)?;
        if !self.strict {
            return Ok((array, Vec::new()));
        }
        let mut lost: Vec<u32> = Vec::new();
        if array.logical_null_count() > source.logical_null_count() {
            let (was, is) = (source.logical_nulls(), array.logical_nulls());
            lost.extend(
                (0..array.len())
                    .filter(|&r| is.as_ref().is_some_and(|n| n.is_null(r)) && was.as_ref().is_none_or(|n| n.is_valid(r)))
                    .map(|r| r as u32),
            );
        }
        let own = HiveType::from_arrow(source.data_type());
        let scalar = !source.data_type().is_nested();
        if scalar && !own.is_text() && !t.is_text() && merge(&own, t) != *t {
            // Numbers are rounded and times are cut without a word by a cast: what does not come back the same was lost.
            let back = cast_with_options(&array, source.data_type(), &CAST)?;
            let differs = cmp::neq(&back, source)?;
            lost.extend((0..differs.len()).filter(|&r| differs.is_valid(r) && differs.value(r)).map(|r| r as u32));
        }
        Ok((array, lost))
    }

    fn reject(&self, batch: &RecordBatch, row: u32, column: usize, source: &ArrayRef) -> Result<Rejected, ArrowError> {
        let raw = row_json(batch, row)?;
        let formatter = ArrayFormatter::try_new(source.as_ref(), &FormatOptions::new())?;
        let value = formatter.value(row as usize).to_string();
        let reason = super::csv::misfit(value.as_bytes(), &self.types[column]);
        Ok(Rejected {
            line: self.rows + u64::from(row) + 1,
            column: Some(self.schema.field(column).name().clone()),
            value: Some(cut_text(value.as_bytes(), 4 << 10)),
            reason,
            raw,
        })
    }
}

/// A row as JSON, cut where it is too long to be kept.
pub(crate) fn row_json(batch: &RecordBatch, row: u32) -> Result<String, ArrowError> {
    let one = arrow::compute::take_record_batch(batch, &UInt32Array::from(vec![row]))?;
    let mut json = arrow::json::LineDelimitedWriter::new(Vec::new());
    json.write(&one)?;
    json.finish()?;
    Ok(cut_text(json.into_inner().trim_ascii(), super::blocks::RAW_BYTES_MAX))
}

/// A column by its name, without regard to case.
pub(crate) fn find(schema: &Schema, name: &str) -> Option<usize> {
    let fields = schema.fields();
    let exact = fields.iter().position(|f| f.name() == name);
    exact.or_else(|| fields.iter().position(|f| crate::names::clean(f.name()) == name.to_lowercase()))
}
