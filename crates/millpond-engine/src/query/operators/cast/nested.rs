//! Arrays, maps and rows: part by part.

use super::convert as convert_one;
use crate::types::TrinoType as T;
use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, internal_err};
use std::sync::Arc;

pub(super) fn convert(array: &ArrayRef, from: &T, to: &T, arrow: &DataType, safe: bool) -> Result<ArrayRef> {
    match strict(array, from, to, arrow) {
        Err(_) if safe => {
            // A value is NULL as a whole when one of its parts cannot be cast.
            let rows = (0..array.len())
                .map(|row| strict(&array.slice(row, 1), from, to, arrow).unwrap_or_else(|_| new_null_array(arrow, 1)))
                .collect::<Vec<_>>();
            let rows: Vec<&dyn Array> = rows.iter().map(|row| row.as_ref()).collect();
            Ok(concat(&rows)?)
        }
        done => done,
    }
}

fn strict(array: &ArrayRef, from: &T, to: &T, arrow: &DataType) -> Result<ArrayRef> {
    match (from, to, arrow) {
        (T::Array(a), T::Array(b), DataType::List(item)) => {
            let lists = arrow::compute::cast(array, &DataType::List(Arc::new(list_item(array, item))))?;
            let lists = lists.as_list::<i32>();
            let items = convert_one(lists.values(), a, b, item.data_type(), false)?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), lists.offsets().clone(), items, lists.nulls().cloned())?))
        }
        (T::Map(k, v), T::Map(k2, v2), DataType::Map(entries, ordered)) => {
            let DataType::Struct(pair) = entries.data_type() else { return internal_err!("a map's entries are pairs") };
            let maps = array.as_map();
            let keys = convert_one(maps.keys(), k, k2, pair[0].data_type(), false)?;
            let values = convert_one(maps.values(), v, v2, pair[1].data_type(), false)?;
            let inner = StructArray::try_new(pair.clone(), vec![keys, values], None)?;
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), maps.offsets().clone(), inner, maps.nulls().cloned(), *ordered)?))
        }
        (T::Row(a), T::Row(b), DataType::Struct(fields)) => {
            let rows = array.as_struct();
            let columns = rows
                .columns()
                .iter()
                .zip(a.iter().zip(b))
                .zip(fields)
                .map(|((column, ((_, a), (_, b))), field)| convert_one(column, a, b, field.data_type(), false))
                .collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, rows.nulls().cloned())?))
        }
        _ => internal_err!("{from} as {to}"),
    }
}

/// The items' own type, whatever kind of list they lie in.
fn list_item(array: &ArrayRef, like: &FieldRef) -> arrow::datatypes::Field {
    let item = match array.data_type() {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => item.data_type().clone(),
        _ => DataType::Null,
    };
    arrow::datatypes::Field::new(like.name(), item, true)
}
