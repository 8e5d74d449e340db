//! What a statement's functions may make: bounded for each batch, stopped with the statement, and constants out of its memory.

use super::call::too_large;
use crate::query::QueryError;
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::datatypes::DataType;
use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use std::any::Any;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The most bytes that a function makes for one batch of rows: hostile arguments must not fill the memory.
pub(super) const BATCH_BYTES_MAX: usize = 256 << 20;
/// Constants of fewer bytes are not counted.
const CONSTANT_BYTES_COUNTED: usize = 1 << 20;
/// So many items are not measured where all of them together would be within the bound.
const ITEMS_MEASURED: usize = 1 << 10;

/// A statement, as its functions know it.
#[derive(Debug, Clone)]
pub(crate) struct StatementLimits {
    /// What its constants take, until it ends.
    constants: Arc<MemoryReservation>,
    cancel: CancellationToken,
}

impl StatementLimits {
    pub(crate) fn new(memory: &Arc<dyn MemoryPool>, cancel: CancellationToken) -> Self {
        Self { constants: Arc::new(MemoryConsumer::new("constants").register(memory)), cancel }
    }
}

impl ConfigExtension for StatementLimits {
    const PREFIX: &'static str = "statement";
}

impl ExtensionOptions for StatementLimits {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _: &str) -> Result<()> {
        plan_err!("a statement's limits have no setting {key}")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

/// Whether a statement goes on.
///
/// # Errors
/// It was stopped.
pub(super) fn check_running(options: &ConfigOptions) -> Result<()> {
    match options.extensions.get::<StatementLimits>() {
        Some(limits) if limits.cancel.is_cancelled() => Err(QueryError::Cancelled.into()),
        _ => Ok(()),
    }
}

/// Counts a constant that a function has made: it may be kept in the plan until the statement ends.
///
/// # Errors
/// The statement's constants take more than its memory.
pub(super) fn count_constant(value: &ScalarValue, options: &ConfigOptions) -> Result<()> {
    let bytes = value.size();
    match options.extensions.get::<StatementLimits>() {
        Some(limits) if bytes > CONSTANT_BYTES_COUNTED => limits.constants.try_grow(bytes),
        _ => Ok(()),
    }
}

/// A constant, or a column, as a column.
///
/// # Errors
/// The constant's copies are larger than a function may make.
pub(super) fn expanded(value: datafusion::logical_expr::ColumnarValue, rows: usize) -> Result<ArrayRef> {
    if let datafusion::logical_expr::ColumnarValue::Scalar(scalar) = &value
        && scalar.size().saturating_mul(rows) > BATCH_BYTES_MAX
        && rows > 1
        && is_long(&scalar.data_type())
    {
        return Err(too_large("a constant's copies for a batch"));
    }
    value.into_array(rows)
}

/// Whether values of a type can have any length.
fn is_long(data_type: &DataType) -> bool {
    !(data_type.is_primitive() || matches!(data_type, DataType::Boolean | DataType::Null))
}

/// The items of these places, which may be named more than once.
///
/// # Errors
/// They have more bytes than a function may make.
pub(super) fn take(values: &dyn Array, places: &UInt32Array) -> Result<ArrayRef> {
    if is_long(values.data_type()) {
        let whole = values.get_array_memory_size();
        let few = places.len() <= ITEMS_MEASURED && whole.saturating_mul(places.len()) <= BATCH_BYTES_MAX;
        if !few {
            let sizes = Sizes::of(values);
            let bytes = places.iter().flatten().fold(0usize, |sum, place| sum.saturating_add(sizes.of_one(place as usize)));
            if bytes > BATCH_BYTES_MAX {
                return Err(too_large("the arrays of a batch"));
            }
        }
    }
    Ok(arrow::compute::take(values, places, None)?)
}

/// The bytes of an array's items.
enum Sizes<'a> {
    Each(usize),
    Texts(&'a [i32]),
    /// Those of all items before each.
    Sums(Vec<usize>),
}

impl<'a> Sizes<'a> {
    fn of(values: &'a dyn Array) -> Self {
        let of_spans = |offsets: &[i32], items: &dyn Array| {
            let items = Sizes::of(items);
            let spans = offsets.windows(2).map(|span| (span[0] as usize..span[1] as usize).map(|item| items.of_one(item)).sum());
            Self::sums(spans)
        };
        match values.data_type() {
            DataType::Utf8 => Self::Texts(values.as_string::<i32>().value_offsets()),
            DataType::Binary => Self::Texts(values.as_binary::<i32>().value_offsets()),
            DataType::List(_) => of_spans(values.as_list::<i32>().value_offsets(), values.as_list::<i32>().values()),
            DataType::Map(_, _) => of_spans(values.as_map().value_offsets(), values.as_map().entries()),
            DataType::Struct(_) => {
                let columns: Vec<Sizes<'_>> =
                    values.as_struct().columns().iter().map(|column| Sizes::of(column.as_ref())).collect();
                Self::sums((0..values.len()).map(|row| columns.iter().map(|column| column.of_one(row)).sum()))
            }
            other => match other.primitive_width() {
                Some(width) => Self::Each(width),
                None => Self::Each(values.get_array_memory_size() / values.len().max(1)),
            },
        }
    }

    fn sums(sizes: impl Iterator<Item = usize>) -> Self {
        let mut sum = 0usize;
        let before = sizes.map(|size| {
            sum = sum.saturating_add(size);
            sum
        });
        Self::Sums(std::iter::once(0).chain(before).collect())
    }

    fn of_one(&self, place: usize) -> usize {
        match self {
            Self::Each(bytes) => *bytes,
            Self::Texts(offsets) => offsets.get(place + 1).map_or(0, |end| (end - offsets[place]) as usize),
            Self::Sums(sums) => sums.get(place + 1).map_or(0, |end| end - sums[place]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ListArray, StringArray};
    use arrow::datatypes::Int64Type;

    #[test]
    fn copies_are_measured_before_they_are_made() {
        let text = StringArray::from(vec!["x".repeat(100_000), "y".to_owned()]);
        let places = |place: u32, count: usize| UInt32Array::from(vec![place; count]);
        assert!(take(&text, &places(0, 10_000)).is_err());
        assert_eq!(take(&text, &places(1, 10_000)).unwrap().len(), 10_000);
        let long = ListArray::from_iter_primitive::<Int64Type, _, _>([Some((0..10_000).map(Some)), None]);
        assert!(take(&long, &places(0, 10_000)).is_err());
        assert_eq!(take(&long, &places(1, 10_000)).unwrap().len(), 10_000);
        assert_eq!(take(&long, &places(0, 100)).unwrap().len(), 100);
    }
}
