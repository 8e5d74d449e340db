//! What an expression's type is called.

use super::{Function, function};
use crate::types::TrinoType;
use arrow::array::StringArray;
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    vec![function("typeof", &["(T) -> varchar"], |call| {
        let name = TrinoType::of_field(&call.fields[0]).to_string();
        Ok(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(name, call.rows))))
    })]
}
