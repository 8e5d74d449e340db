//! `regexp_replace` with a function of the groups.

use super::{Invocation, Kind};
use crate::query::functions::regexp;
use crate::types::trino::list_of;
use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::Result;

pub(super) struct Replace;

impl Kind for Replace {
    fn values(&self, given: &[DataType]) -> Option<Vec<DataType>> {
        let text = |given: &DataType| {
            matches!(given, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null).then_some(DataType::Utf8)
        };
        match given {
            [subject, pattern] => Some(vec![text(subject)?, text(pattern)?]),
            _ => None,
        }
    }

    fn parameters(&self, _: &[DataType], _: &[Option<DataType>]) -> (Vec<Option<Vec<DataType>>>, bool) {
        (vec![Some(vec![list_of(DataType::Utf8)])], true)
    }

    fn returns(&self, _: &[DataType], _: &[DataType]) -> DataType {
        DataType::Utf8
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ArrayRef> {
        let (texts, patterns) = (call.values[0].as_string::<i32>(), call.values[1].as_string::<i32>());
        let found = regexp::matches(texts, patterns)?;
        let groups = cast(&found.groups, &list_of(DataType::Utf8))?;
        let made = cast(&call.apply(0, &[groups], &found.rows)?, &DataType::Utf8)?;
        regexp::put(texts, patterns, &found, made.as_string::<i32>())
    }
}
