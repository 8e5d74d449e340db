//! Counts and ranks are `bigint`. Those of DataFusion have no sign, and no type of Trino's is without one: arithmetic would not know them, and
//! together with a `bigint` they would become decimals.

use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::planner::{PlannerResult, RawAggregateExpr, RawWindowExpr};
use datafusion::logical_expr::{Expr, cast};

/// DataFusion's functions whose results have no sign.
const UNSIGNED: &[&str] = &["approx_distinct", "dense_rank", "ntile", "rank", "regr_count", "row_number"];

/// A call of an aggregate.
pub(super) fn aggregate(call: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
    if call.func.name() == "count" && call.args.len() > 1 {
        return plan_err!("'count' expects one argument");
    }
    if !UNSIGNED.contains(&call.func.name()) {
        return Ok(PlannerResult::Original(call));
    }
    let RawAggregateExpr { func, args, distinct, filter, order_by, null_treatment } = call;
    let call = AggregateFunction::new_udf(func, args, distinct, filter, order_by, null_treatment);
    Ok(PlannerResult::Planned(cast(Expr::AggregateFunction(call), DataType::Int64)))
}

/// A call with `OVER`.
pub(super) fn window(call: RawWindowExpr) -> PlannerResult<RawWindowExpr> {
    if !UNSIGNED.contains(&call.func_def.name()) {
        return PlannerResult::Original(call);
    }
    let RawWindowExpr { func_def, args, partition_by, order_by, window_frame, filter, null_treatment, distinct } = call;
    let params = WindowFunctionParams { args, partition_by, order_by, window_frame, filter, null_treatment, distinct };
    let call = WindowFunction { fun: func_def, params };
    PlannerResult::Planned(cast(Expr::WindowFunction(Box::new(call)), DataType::Int64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::EngineConfig;
    use crate::query::session::base_state;
    use arrow::datatypes::{Field, FieldRef};
    use datafusion::execution::SessionState;
    use datafusion::execution::runtime_env::RuntimeEnv;
    use datafusion::logical_expr::function::WindowUDFFieldArgs;
    use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
    use std::collections::BTreeSet;
    use std::sync::Arc;

    /// The functions that give a type without a sign for arguments that have one.
    fn unsigned(state: &SessionState) -> BTreeSet<String> {
        let of = |types: &[DataType]| -> Vec<FieldRef> {
            types.iter().map(|data_type| Arc::new(Field::new("x", data_type.clone(), true))).collect()
        };
        let (number, text, double) = (DataType::Int64, DataType::Utf8, DataType::Float64);
        let lists = [
            of(&[]),
            of(std::slice::from_ref(&number)),
            of(std::slice::from_ref(&text)),
            of(std::slice::from_ref(&double)),
            of(&[double.clone(), double]),
            of(&[number.clone(), number]),
            of(&[text.clone(), text]),
        ];
        let mut found = BTreeSet::new();
        for fields in &lists {
            for (name, function) in state.aggregate_functions() {
                let Ok(fields) = fields_with_udf(fields, function.as_ref()) else { continue };
                if function.return_field(&fields).is_ok_and(|field| field.data_type().is_unsigned_integer()) {
                    found.insert(name.clone());
                }
            }
            for (name, function) in state.window_functions() {
                let Ok(fields) = fields_with_udf(fields, function.as_ref()) else { continue };
                let field = function.field(WindowUDFFieldArgs::new(&fields, "x"));
                if field.is_ok_and(|field| field.data_type().is_unsigned_integer()) {
                    found.insert(name.clone());
                }
            }
        }
        found
    }

    #[test]
    fn all_functions_without_a_sign_are_known() {
        let state = base_state(&EngineConfig::default(), Arc::new(RuntimeEnv::default()));
        let known: BTreeSet<String> = UNSIGNED.iter().map(|name| (*name).to_owned()).collect();
        let found = unsigned(&state);
        assert!(found.is_subset(&known), "{found:?}");
    }
}
