//! Subqueries for one value that refer to the query around: `(SELECT name FROM d WHERE d.id = t.id)`. DataFusion has those that are aggregates,
//! which cannot give several rows. So the rows become a list, of which one item is taken once the query around has found its own; that there is
//! another one is an error only then. A first row (`ORDER BY … LIMIT 1`) is an aggregate too.

use super::{evaluate, result_types};
use crate::query::error::QueryError;
use arrow::array::{Array, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, ScalarValue, internal_err};
use datafusion::functions_aggregate::expr_fn::{array_agg, first_value};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Limit, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Subquery, Volatility,
};
use std::sync::Arc;

/// Rewrites all such subqueries of a plan.
pub(in crate::query) fn one_row_each(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let preserver = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = preserver.save(&expr);
            let rewritten = expr.transform_up(|expr| match expr {
                Expr::ScalarSubquery(subquery) if !subquery.outer_ref_columns.is_empty() => one_row(subquery),
                other => Ok(Transformed::no(other)),
            })?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(rewritten.data)
}

fn one_row(subquery: Subquery) -> Result<Transformed<Expr>> {
    let with = |plan: LogicalPlan| Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), ..subquery.clone() });
    if let LogicalPlan::Limit(limit) = subquery.subquery.as_ref() {
        return Ok(match first_row(limit)? {
            Some(plan) => Transformed::yes(with(plan)),
            None => Transformed::no(Expr::ScalarSubquery(subquery)),
        });
    }
    let plan = subquery.subquery.as_ref();
    let [column] = plan.schema().columns().try_into().unwrap_or_else(|_| [Column::from_name("")]);
    if is_one_row(plan) || column.name.is_empty() {
        return Ok(Transformed::no(Expr::ScalarSubquery(subquery)));
    }
    let returns = plan.schema().field(0).as_ref().clone().with_nullable(true);
    let returns = match result_types(plan).first() {
        Some(found) => found.mark(returns),
        None => returns,
    };
    let nothing: [Expr; 0] = [];
    let rows = LogicalPlanBuilder::from(plan.clone()).aggregate(nothing, [array_agg(Expr::Column(column))])?.build()?;
    Ok(Transformed::yes(only(Arc::new(returns)).call(vec![with(rows)])))
}

/// Whether the planner takes it for one row at the most.
fn is_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => is_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_one_row(&alias.input),
        LogicalPlan::Filter(filter) => is_one_row(&filter.input),
        LogicalPlan::Aggregate(_) => true,
        _ => false,
    }
}

/// `LIMIT 1`: the first value by the order, as an aggregate. `None` for other limits.
fn first_row(limit: &Limit) -> Result<Option<LogicalPlan>> {
    let one = |expr: &Option<Box<Expr>>, wanted: i64| match expr.as_deref() {
        Some(Expr::Literal(ScalarValue::Int64(found), _)) => *found == Some(wanted),
        Some(_) => false,
        None => wanted == 0,
    };
    if !one(&limit.fetch, 1) || !one(&limit.skip, 0) {
        return Ok(None);
    }
    // What is not selected but ordered by is left out above the order.
    let (value, below) = match limit.input.as_ref() {
        LogicalPlan::Projection(projection) => (projection.expr.first().cloned(), projection.input.as_ref()),
        plan => (plan.schema().columns().into_iter().next().map(Expr::Column), plan),
    };
    let Some(value) = value else { return Ok(None) };
    let (value, order, rows) = match below {
        LogicalPlan::Sort(sort) => (value, sort.expr.clone(), sort.input.as_ref()),
        _ => match limit.input.schema().columns().into_iter().next() {
            Some(column) => (Expr::Column(column), Vec::new(), limit.input.as_ref()),
            None => return Ok(None),
        },
    };
    let nothing: [Expr; 0] = [];
    LogicalPlanBuilder::from(rows.clone()).aggregate(nothing, [first_value(value, order)])?.build().map(Some)
}

/// The only item of a list; NULL of none.
fn only(returns: FieldRef) -> ScalarUDF {
    ScalarUDF::new_from_impl(Only { returns, signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Only {
    returns: FieldRef,
    signature: Signature,
}

impl ScalarUDFImpl for Only {
    fn name(&self) -> &str {
        "only_row"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::clone(&self.returns))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        evaluate(args, |arrays| {
            let Some(lists) = arrays[0].as_list_opt::<i32>() else { return internal_err!("rows are a list") };
            let one = |row: usize| match lists.is_valid(row).then(|| lists.value_length(row)) {
                None | Some(0) => Ok(None),
                Some(1) => Ok(u32::try_from(lists.value_offsets()[row]).ok()),
                Some(_) => Err(QueryError::SubqueryMultipleRows.into()),
            };
            let places = (0..lists.len()).map(one).collect::<Result<UInt32Array>>()?;
            Ok(take(lists.values(), &places, None)?)
        })
    }
}
