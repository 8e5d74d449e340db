//! How many bytes the values of columns have, without what their buffers hold besides.

use arrow::array::{Array, AsArray, BinaryViewArray, StringViewArray};
use arrow::datatypes::DataType;

/// The bytes of an array's own values. Buffers that others share count as far as the array shows them.
pub(super) fn bytes_of(array: &dyn Array) -> usize {
    let span = |offsets: &[i32]| (offsets[0] as usize, offsets[offsets.len() - 1] as usize);
    let of_span = |offsets: &[i32], items: &dyn Array| {
        let (first, last) = span(offsets);
        size_of_val(offsets) + bytes_of(items.slice(first, last - first).as_ref())
    };
    let of_text = |offsets: &[i32]| {
        let (first, last) = span(offsets);
        size_of_val(offsets) + last - first
    };
    match array.data_type() {
        DataType::Null => 0,
        DataType::Boolean => array.len() / 8,
        DataType::Utf8 => of_text(array.as_string::<i32>().value_offsets()),
        DataType::Binary => of_text(array.as_binary::<i32>().value_offsets()),
        DataType::Utf8View => of_views(array.len(), array.as_any().downcast_ref().map(StringViewArray::views)),
        DataType::BinaryView => of_views(array.len(), array.as_any().downcast_ref().map(BinaryViewArray::views)),
        DataType::List(_) => of_span(array.as_list::<i32>().value_offsets(), array.as_list::<i32>().values()),
        DataType::Map(_, _) => of_span(array.as_map().value_offsets(), array.as_map().entries()),
        DataType::Struct(_) => array.as_struct().columns().iter().map(|column| bytes_of(column.as_ref())).sum(),
        other => match other.primitive_width() {
            Some(width) => width * array.len(),
            None => array.to_data().get_slice_memory_size().unwrap_or_default(),
        },
    }
}

fn of_views(rows: usize, views: Option<&arrow::buffer::ScalarBuffer<u128>>) -> usize {
    let lengths = views.into_iter().flat_map(|views| views.iter()).map(|view| (*view as u32) as usize);
    rows * size_of::<u128>() + lengths.sum::<usize>()
}

/// Whether values of a type can have any length.
pub(super) fn is_long(data_type: &DataType) -> bool {
    !(data_type.is_primitive() || matches!(data_type, DataType::Boolean | DataType::Null))
}

/// The bytes of an array's items.
pub(super) enum Sizes<'a> {
    Each(usize),
    Texts(&'a [i32]),
    /// Those of all items before each.
    Sums(Vec<usize>),
}

impl<'a> Sizes<'a> {
    pub(super) fn of(values: &'a dyn Array) -> Self {
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

    /// Of the item at a place.
    pub(super) fn of_one(&self, place: usize) -> usize {
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
    use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray, StructArray};
    use arrow::datatypes::{Field, Int64Type};
    use std::sync::Arc;

    #[test]
    fn only_what_is_shown_counts() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1000), "y".repeat(10), "z".repeat(10)]));
        assert_eq!(bytes_of(&texts.slice(1, 2)), 3 * 4 + 20);
        let views = arrow::compute::cast(&texts, &DataType::Utf8View).unwrap();
        assert_eq!(bytes_of(&views.slice(1, 2)), 2 * 16 + 20);
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some((0..100).map(Some).collect::<Vec<_>>()),
            Some(vec![Some(1)]),
        ]);
        assert_eq!(bytes_of(&lists.slice(1, 1)), 2 * 4 + 8);
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let field = |name: &str, array: &ArrayRef| Arc::new(Field::new(name, array.data_type().clone(), true));
        let rows = StructArray::from(vec![(field("a", &texts), Arc::clone(&texts)), (field("b", &numbers), numbers)]);
        assert_eq!(bytes_of(&rows.slice(2, 1)), 2 * 4 + 10 + 8);
    }
}
