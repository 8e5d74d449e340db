//! Operators, casts and constructors with Trino's types and meanings.
//!
//! The planner hands each operator over with its place in the text ([`place`]) before DataFusion gives it a type. Here the operands are brought to
//! the type in which they meet, or refused where they do not ([`planner`]); what DataFusion's own operators mean otherwise is done by functions of
//! ours. So nothing is left for DataFusion to coerce.

mod arithmetic;
mod attempt;
mod cast;
mod chain;
mod compare;
mod construct;
mod counts;
mod decimal;
mod floats;
mod interval;
mod like;
mod planner;
mod row;
mod scalar;
mod sum;
mod types_of;
mod unnest;
mod values;
mod zone;

pub(super) use attempt::{TRY, evaluated};
pub(crate) use cast::local;
pub(super) use cast::{CAST, TRY_CAST, literal_error, moment};
pub(super) use construct::{ARRAY, ROW};
pub(super) use floats::{corrected as float_comparisons, keys as float_keys};
pub(super) use interval::INTERVAL;
pub(super) use like::{LIKE_PATTERN, backslashed};
pub(super) use planner::{INTEGER, NEGATION, TrinoOperators, place};
pub(super) use scalar::one_row_each;
pub(super) use types_of::{result_types, type_of};
pub(super) use unnest::TrinoRelations;
pub(super) use zone::{AT_TIMEZONE, zone_name};

use super::error::{Position, QueryError};
use super::functions::limits;
use arrow::array::ArrayRef;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::{AggregateUDF, ColumnarValue, ScalarFunctionArgs, ScalarUDF};
use std::sync::{Arc, LazyLock};

/// Adds the functions that are called by name; the others are only made by the planner.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    static OWN: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
        cast::functions()
            .into_iter()
            .chain(construct::functions())
            .chain(zone::functions())
            .chain(interval::functions())
            .chain(like::functions())
            .chain(attempt::functions())
            .map(Arc::new)
            .collect()
    });
    for function in &*OWN {
        state.register_udf(Arc::clone(function))?;
    }
    static SUM: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(sum::function()));
    state.register_udaf(Arc::clone(&SUM))?;
    Ok(())
}

/// Evaluates a function's body over arrays of one length: 1 where all arguments are constants, and the result is one then too.
fn evaluate(args: ScalarFunctionArgs, body: impl Fn(&[ArrayRef]) -> Result<ArrayRef>) -> Result<ColumnarValue> {
    let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
    let rows = if constant { 1 } else { args.number_rows };
    let result = limits::made(&args.args, rows, &args.config_options, &|arrays, _, _| body(arrays))?;
    if constant {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
    }
    Ok(ColumnarValue::Array(result))
}

/// An operator or cast that the operands' types do not have.
fn mismatch(position: Position, message: String) -> DataFusionError {
    QueryError::TypeMismatch { position, message }.into()
}
