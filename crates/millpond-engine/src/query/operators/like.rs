//! Patterns of `LIKE`. DataFusion escapes by the backslash; Trino by nothing, or by the one character that is named.

use super::evaluate;
use crate::query::error::QueryError;
use arrow::array::{AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// `(pattern, escape)`: a pattern as DataFusion has it.
pub(in crate::query) const LIKE_PATTERN: &str = "like_pattern";

/// The function that is called by name.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![ScalarUDF::new_from_impl(LikePattern { signature: Signature::any(2, Volatility::Immutable) })]
}

/// A pattern with backslashes before what stands for itself.
///
/// # Errors
/// The escape is no single character, or something else follows it than `%`, `_` or itself.
pub(in crate::query) fn backslashed(pattern: &str, escape: &str) -> Result<String, QueryError> {
    let invalid = |message: &str| QueryError::InvalidArgument(message.to_owned());
    let mut escapes = escape.chars();
    let (Some(escape), None) = (escapes.next(), escapes.next()) else {
        return Err(invalid("Escape string must be a single character"));
    };
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let plain = match c == escape {
            false => c,
            true => match chars.next() {
                Some(escaped @ ('%' | '_')) => {
                    out.extend(['\\', escaped]);
                    continue;
                }
                Some(itself) if itself == escape => itself,
                _ => return Err(invalid("Escape character must be followed by '%', '_' or the escape character itself")),
            },
        };
        if plain == '\\' {
            out.push('\\');
        }
        out.push(plain);
    }
    Ok(out)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LikePattern {
    signature: Signature,
}

impl ScalarUDFImpl for LikePattern {
    fn name(&self) -> &str {
        LIKE_PATTERN
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        evaluate(args, |arrays| {
            let (patterns, escapes) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
            let patterns = patterns.iter().zip(escapes).map(|(pattern, escape)| match (pattern, escape) {
                (Some(pattern), Some(escape)) => backslashed(pattern, escape).map(Some),
                _ => Ok(None),
            });
            Ok(Arc::new(patterns.collect::<Result<StringArray, _>>()?))
        })
    }
}
