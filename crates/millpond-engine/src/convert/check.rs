//! Rows that fit their columns, and are still no good where they are to go.

use super::ConvertError;
use crate::decode::Rejected;
use crate::decode::adapt::row_json;
use crate::decode::csv::{Batch, Start};
use crate::rows::{RowCheck, Rows};
use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;

/// The rows without those that the target cannot take, and those, by their number. `starts`: where each of them starts; may be empty.
pub(super) fn split(
    check: &dyn RowCheck,
    rows: &RecordBatch,
    starts: &[Start],
) -> Result<(RecordBatch, Vec<(usize, Rejected)>), ConvertError> {
    let faults = check.check(&Rows::of(rows).map_err(ConvertError::Bug)?);
    if faults.is_empty() {
        return Ok((rows.clone(), Vec::new()));
    }
    let mut keep = vec![true; rows.num_rows()];
    let mut refused = Vec::with_capacity(faults.len());
    for fault in faults {
        keep[fault.row] = false;
        let raw = row_json(rows, u32::try_from(fault.row).expect("batches are small"))?;
        let line = starts.get(fault.row).map_or(0, |start| start.line);
        refused.push((fault.row, Rejected { line, column: fault.column, value: fault.value, reason: fault.reason, raw }));
    }
    Ok((filter_record_batch(rows, &BooleanArray::from(keep))?, refused))
}

/// Takes refused rows, in rising order, from the files of a batch that they came from to its rejects.
pub(super) fn refuse(batch: &mut Batch, refused: Vec<(usize, Rejected)>) {
    let mut fewer = vec![0; batch.segments.len()];
    let (mut at, mut end) = (0, batch.segments.first().map_or(0, |segment| segment.rows));
    for (row, rejected) in refused {
        while row >= end {
            at += 1;
            end += batch.segments[at].rows;
        }
        fewer[at] += 1;
        batch.rejects.push((batch.segments[at].file, rejected));
    }
    batch.segments.iter_mut().zip(fewer).for_each(|(segment, fewer)| segment.rows -= fewer);
}
