//! What an expression's type is called.

use super::{Function, function, typed};
use crate::types::TrinoType;
use arrow::array::StringArray;
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    vec![function("typeof", &["(T) -> varchar"], |call| {
        let name = TrinoType::of_field(&call.fields[0]).to_string();
        Ok(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(name, call.rows))))
    })]
}

/// What a lambda's body becomes: the first argument, whatever the others are (they are the lambda's parameters).
pub(super) fn lambda_body() -> Function {
    typed(
        "lambda_body",
        &["(A, B, C) -> A", "(A, B, C, D) -> A", "(A, B, C, D, E) -> A"],
        |fields, _| Ok(Arc::clone(&fields[0])),
        |call| Ok(Arc::clone(&call.arrays[0])),
    )
}
