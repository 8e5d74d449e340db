//! Lists of many items are taken apart in pieces: `UnnestExec` gives all items of a batch at once, and copies the other columns for each.

use super::BatchLimit;
use crate::query::rule::Plan;
use crate::query::through::Through;
use crate::query::width::Sizes;
use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::ListUnnest;
use futures::TryStreamExt;
use std::ops::Range;
use std::sync::Arc;

/// The input of an `UnnestExec`, in batches of so few items that all of them make one batch.
#[derive(Debug)]
pub(super) struct InPieces {
    /// The columns that are taken apart.
    lists: Arc<[usize]>,
}

impl InPieces {
    pub(super) fn of(lists: &[ListUnnest]) -> Self {
        Self { lists: lists.iter().filter(|list| list.depth == 1).map(|list| list.index_in_input_schema).collect() }
    }
}

impl Through for InPieces {
    const NAME: &'static str = "PiecesExec";

    fn renewed(&self) -> Self {
        Self { lists: Arc::clone(&self.lists) }
    }

    fn run(&self, input: &Plan, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let bounds = Bounds {
            items: context.session_config().batch_size().max(ITEMS),
            bytes: BatchLimit::of(context.memory_pool().as_ref(), context.session_config().options()).bytes(),
        };
        let lists = Arc::clone(&self.lists);
        let batches = input.execute(partition, context)?;
        let pieces = batches.map_ok(move |batch| futures::stream::iter(Pieces::of(batch, &lists, bounds))).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(input.schema(), pieces)))
    }
}

/// Pieces of fewer items are made where their bytes ask for it, and not because batches have few rows.
const ITEMS: usize = 1024;

/// The most items that a piece has, and about the most bytes of what is made of them.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    items: usize,
    bytes: usize,
}

/// The pieces of a batch, one after the other.
struct Pieces {
    batch: RecordBatch,
    /// Rows, and which of their items: `None` for all.
    next: std::vec::IntoIter<(Range<usize>, Option<Range<usize>>)>,
    lists: Arc<[usize]>,
}

impl Pieces {
    fn of(batch: RecordBatch, lists: &Arc<[usize]>, bounds: Bounds) -> Self {
        let next = cuts(&batch, lists, bounds).into_iter();
        Self { batch, next, lists: Arc::clone(lists) }
    }
}

impl Iterator for Pieces {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let (rows, items) = self.next.next()?;
        let batch = self.batch.slice(rows.start, rows.len());
        Some(match items {
            None => Ok(batch),
            Some(items) => part(&batch, &self.lists, items),
        })
    }
}

/// The lists of a batch that are taken apart.
fn lists<'a>(batch: &'a RecordBatch, lists: &'a [usize]) -> impl Iterator<Item = &'a ListArray> {
    lists.iter().filter_map(|index| batch.column(*index).as_list_opt::<i32>())
}

/// Where a batch is cut.
fn cuts(batch: &RecordBatch, places: &[usize], bounds: Bounds) -> Vec<(Range<usize>, Option<Range<usize>>)> {
    let copied = (0..batch.num_columns()).filter(|index| !places.contains(index));
    let copied: Vec<Sizes<'_>> = copied.map(|index| Sizes::of(batch.column(index).as_ref())).collect();
    let lists: Vec<&ListArray> = lists(batch, places).collect();
    let taken: Vec<Sizes<'_>> = lists.iter().map(|list| Sizes::of(*list)).collect();
    let (mut cuts, mut from, mut items, mut bytes) = (Vec::new(), 0, 0usize, 0usize);
    for row in 0..batch.num_rows() {
        let longest =
            lists.iter().filter(|list| list.is_valid(row)).map(|list| list.value_length(row) as usize).max().unwrap_or(0);
        let width = copied.iter().map(|column| column.of_one(row)).fold(0usize, usize::saturating_add);
        let own = taken.iter().map(|lists| lists.of_one(row)).fold(0usize, usize::saturating_add);
        let all = width.saturating_mul(longest).saturating_add(own);
        if longest > bounds.items || (all > bounds.bytes && longest > 1) {
            if from < row {
                cuts.push((from..row, None));
            }
            let step = (bounds.bytes / (all / longest).max(1)).clamp(1, bounds.items.max(1));
            cuts.extend((0..longest).step_by(step).map(|first| (row..row + 1, Some(first..first + step))));
            (from, items, bytes) = (row + 1, 0, 0);
            continue;
        }
        (items, bytes) = (items + longest, bytes.saturating_add(all));
        if from < row && (items > bounds.items || bytes > bounds.bytes) {
            cuts.push((from..row, None));
            (from, items, bytes) = (row, longest, all);
        }
    }
    if from < batch.num_rows() {
        cuts.push((from..batch.num_rows(), None));
    }
    cuts
}

/// A batch of one row with some of its lists' items.
fn part(batch: &RecordBatch, places: &[usize], items: Range<usize>) -> Result<RecordBatch> {
    let mut columns = batch.columns().to_vec();
    for place in places {
        let Some(list) = columns[*place].as_list_opt::<i32>().filter(|list| list.is_valid(0)) else { continue };
        let DataType::List(field) = list.data_type() else { continue };
        let (first, end) = (list.value_offsets()[0] as usize, list.value_offsets()[1] as usize);
        let within = |place: usize| (first + place).min(end) as i32;
        let offsets = OffsetBuffer::new(vec![within(items.start), within(items.end)].into());
        columns[*place] = Arc::new(ListArray::try_new(Arc::clone(field), offsets, Arc::clone(list.values()), None)?) as ArrayRef;
    }
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringArray;
    use arrow::compute::concat_batches;
    use arrow::datatypes::{Field, Int64Type, Schema};

    #[test]
    fn all_items_are_in_one_piece_each() {
        let list = |rows: Vec<Option<Vec<i64>>>| {
            let rows = rows.into_iter().map(|items| items.map(|items| items.into_iter().map(Some).collect::<Vec<_>>()));
            ListArray::from_iter_primitive::<Int64Type, _, _>(rows)
        };
        let long =
            list(vec![Some(vec![1, 2]), None, Some((0..25).collect()), Some(vec![]), Some(vec![3]), Some((5..13).collect())]);
        let other = list(vec![Some(vec![7]), Some(vec![8]), Some((0..12).collect()), None, Some(vec![]), None]);
        let texts = StringArray::from(vec!["a", "b", "c", "d", "e", "f"]);
        let field = |name: &str, array: &dyn Array| Field::new(name, array.data_type().clone(), true);
        let schema = Schema::new(vec![field("l", &long), field("t", &texts), field("o", &other)]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(long), Arc::new(texts), Arc::new(other)]).unwrap();
        let places: Arc<[usize]> = Arc::from([0, 2]);
        let pieces: Vec<RecordBatch> =
            Pieces::of(batch.clone(), &places, Bounds { items: 10, bytes: 1 << 20 }).collect::<Result<_>>().unwrap();
        let shapes: Vec<(usize, Vec<i32>)> = pieces
            .iter()
            .map(|piece| {
                (piece.num_rows(), (0..piece.num_rows()).map(|row| piece.column(0).as_list::<i32>().value_length(row)).collect())
            })
            .collect();
        assert_eq!(shapes, [(2, vec![2, 0]), (1, vec![10]), (1, vec![10]), (1, vec![5]), (3, vec![0, 1, 8])]);
        let all = concat_batches(&batch.schema(), &pieces).unwrap();
        assert_eq!(all.column(0).as_list::<i32>().values().len(), batch.column(0).as_list::<i32>().values().len());
        let items = |batch: &RecordBatch, place: usize| -> Vec<i64> {
            let lists = batch.column(place).as_list::<i32>();
            lists.iter().flatten().flat_map(|items| items.as_primitive::<Int64Type>().values().to_vec()).collect()
        };
        assert_eq!((items(&all, 0), items(&all, 2)), (items(&batch, 0), items(&batch, 2)));
    }

    #[test]
    fn wide_rows_are_copied_for_a_few_items_at_a_time() {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some((0..100).map(Some).collect::<Vec<_>>())]);
        let texts = StringArray::from(vec!["x".repeat(1 << 20)]);
        let field = |name: &str, array: &dyn Array| Field::new(name, array.data_type().clone(), true);
        let schema = Schema::new(vec![field("l", &lists), field("t", &texts)]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(lists), Arc::new(texts)]).unwrap();
        let cuts = cuts(&batch, &[0], Bounds { items: 8192, bytes: 16 << 20 });
        assert_eq!(cuts.len(), 100usize.div_ceil(15));
        assert_eq!(cuts[0], (0..1, Some(0..15)));
    }
}
