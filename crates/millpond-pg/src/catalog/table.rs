//! Tables of PostgreSQL's catalog from the columns that say something: the others are NULL, or as near to nothing as their type lets them be.

use arrow::array::{ArrayRef, Int32Array, RecordBatch, RecordBatchOptions, StringArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, ScalarValue};
use std::sync::Arc;

/// Columns by name, in any type that casts to the table's.
pub(super) type Cells = Vec<(&'static str, ArrayRef)>;

/// A column of numbers, one for each of `of`.
pub(super) fn numbers<T>(of: &[T], value: impl Fn(&T) -> i32) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(of.iter().map(value)))
}

/// A column of texts, one for each of `of`; `true` and `false` for truth.
pub(super) fn texts<T>(of: &[T], value: impl Fn(&T) -> Option<String>) -> ArrayRef {
    Arc::new(of.iter().map(value).collect::<StringArray>())
}

/// The rows of a table.
pub(super) fn batch(schema: SchemaRef, rows: usize, cells: Cells) -> Result<RecordBatch> {
    let columns = schema.fields().iter().map(|field| {
        let given = cells.iter().find(|(name, _)| name == field.name());
        Ok(match given {
            Some((_, array)) => cast(array, field.data_type())?,
            None if field.is_nullable() => new_null_array(field.data_type(), rows),
            None => ScalarValue::new_default(field.data_type())?.to_array_of_size(rows)?,
        })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;
    use arrow::datatypes::{DataType, Field, Schema};

    #[test]
    fn columns_that_are_not_given_say_nothing() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("name", DataType::Utf8, false),
            Field::new("flag", DataType::Boolean, false),
            Field::new("options", DataType::Utf8, true),
            Field::new("kind", DataType::Utf8, false),
            Field::new("size", DataType::Int16, false),
        ]));
        let of = ["a", "b"];
        let flags = texts(&of, |name| Some((*name == "a").to_string()));
        let cells: Cells =
            vec![("name", texts(&of, |name| Some((*name).to_owned()))), ("flag", flags), ("size", numbers(&of, |_| 7))];
        let rows = batch(schema, 2, cells).unwrap();
        let shown = arrow::util::pretty::pretty_format_batches(std::slice::from_ref(&rows)).unwrap().to_string();
        assert!(shown.contains("| a    | true  |         |      | 7    |"), "{shown}");
        assert_eq!(rows.column(2).null_count(), 2);
    }
}
