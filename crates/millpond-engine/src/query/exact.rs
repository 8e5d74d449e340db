//! Comparisons of exact numbers with doubles, as comparisons of exact numbers.
//!
//! A constant with a point is a double on Athena, so `discount >= 0.05` compares a decimal column that is cast to double. Each cast is a
//! computation, and hides the column from the files' statistics. But casts keep the order of numbers: for each constant there is a least number
//! whose double is not below it, and the column can be compared with that one.

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, lit};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The rule.
#[derive(Debug)]
pub(crate) struct ExactComparisons;

impl OptimizerRule for ExactComparisons {
    fn name(&self) -> &str {
        "exact_comparisons"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let schema = match &plan {
            LogicalPlan::TableScan(scan) => DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?,
            plan => merge_schema(&plan.inputs()),
        };
        let preserver = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = preserver.save(&expr);
            let rewritten = expr.transform_up(|expr| compare(expr, &schema))?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })
    }
}

fn compare(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let rewritten = match &expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (exact(left, schema), double(right)) {
            (Some(number), Some(value)) => number.compared(*op, value)?,
            _ => match (exact(right, schema), double(left), op.swap()) {
                (Some(number), Some(value), Some(op)) => number.compared(op, value)?,
                _ => None,
            },
        },
        Expr::Between(Between { expr, negated: false, low, high }) => match (exact(expr, schema), double(low), double(high)) {
            (Some(number), Some(low), Some(high)) => {
                let low = number.compared(Operator::GtEq, low)?;
                low.zip(number.compared(Operator::LtEq, high)?).map(|(low, high)| low.and(high))
            }
            _ => None,
        },
        Expr::InList(InList { expr, list, negated }) => match exact(expr, schema) {
            Some(number) => {
                let values = list.iter().map(|item| double(item).map(|value| number.only(value)));
                let values = values.map(|only| only.transpose()).collect::<Result<Option<Vec<_>>>>()?;
                let values = values.and_then(|values| values.into_iter().collect::<Option<Vec<_>>>());
                values.map(|list| number.column.clone().in_list(list, *negated))
            }
            None => None,
        },
        _ => None,
    };
    Ok(rewritten.map_or_else(|| Transformed::no(expr), Transformed::yes))
}

/// An exact number that is cast to double.
struct Exact<'a> {
    column: &'a Expr,
    data_type: DataType,
    /// The least and the greatest number of the type.
    range: (i128, i128),
}

fn exact<'a>(expr: &'a Expr, schema: &DFSchema) -> Option<Exact<'a>> {
    let Expr::Cast(Cast { expr, field }) = expr else { return None };
    if *field.data_type() != DataType::Float64 || !matches!(expr.as_ref(), Expr::Column(_)) {
        return None;
    }
    let data_type = expr.get_type(schema).ok()?;
    let range = match &data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::Decimal128(precision, _) => {
            let end = 10i128.checked_pow((*precision).into())? - 1;
            (-end, end)
        }
        _ => return None,
    };
    Some(Exact { column: expr, data_type, range })
}

fn double(expr: &Expr) -> Option<f64> {
    match expr {
        // To add nothing makes a negative zero a plain one.
        Expr::Literal(ScalarValue::Float64(Some(value)), _) if !value.is_nan() => Some(value + 0.0),
        _ => None,
    }
}

impl Exact<'_> {
    fn scalar(&self, value: i128) -> Option<ScalarValue> {
        Some(match self.data_type {
            DataType::Int8 => ScalarValue::from(i8::try_from(value).ok()?),
            DataType::Int16 => ScalarValue::from(i16::try_from(value).ok()?),
            DataType::Int32 => ScalarValue::from(i32::try_from(value).ok()?),
            DataType::Int64 => ScalarValue::from(i64::try_from(value).ok()?),
            DataType::Decimal128(precision, scale) => ScalarValue::Decimal128(Some(value), precision, scale),
            _ => return None,
        })
    }

    /// The double that the cast makes of a number.
    fn cast(&self, value: i128) -> Result<Option<f64>> {
        let Some(scalar) = self.scalar(value) else { return Ok(None) };
        let cast: ArrayRef = cast(&scalar.to_array()?, &DataType::Float64)?;
        Ok(Some(cast.as_primitive::<Float64Type>().value(0)))
    }

    /// The least number for whose double `holds` is true, which it is for all greater ones. `None` where it is for none, or for all.
    fn least(&self, holds: impl Fn(f64) -> bool) -> Result<Option<i128>> {
        let test = |value: i128| self.cast(value).map(|double| double.is_some_and(&holds));
        let (mut below, mut least) = self.range;
        if test(below)? || !test(least)? {
            return Ok(None);
        }
        while least - below > 1 {
            let middle = below + (least - below) / 2;
            match test(middle)? {
                true => least = middle,
                false => below = middle,
            }
        }
        Ok(Some(least))
    }

    /// The number whose double this is, if there is one and no other.
    fn only(&self, value: f64) -> Result<Option<Expr>> {
        let (Some(first), Some(next)) = (self.least(|double| double >= value)?, self.least(|double| double > value)?) else {
            return Ok(None);
        };
        Ok((next == first + 1).then(|| self.scalar(first).map(lit)).flatten())
    }

    /// The comparison with a double; `None` where it has to stay.
    fn compared(&self, op: Operator, value: f64) -> Result<Option<Expr>> {
        let least = match op {
            Operator::Lt | Operator::GtEq => self.least(|double| double >= value)?,
            Operator::Gt | Operator::LtEq => self.least(|double| double > value)?,
            Operator::Eq => return Ok(self.only(value)?.map(|only| self.column.clone().eq(only))),
            Operator::NotEq => return Ok(self.only(value)?.map(|only| self.column.clone().not_eq(only))),
            _ => None,
        };
        let Some(least) = least.and_then(|least| self.scalar(least)) else { return Ok(None) };
        let (column, least) = (self.column.clone(), lit(least));
        Ok(Some(match op {
            Operator::Gt | Operator::GtEq => column.gt_eq(least),
            _ => column.lt(least),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{Field, Schema};
    use datafusion::logical_expr::{cast, col};

    fn rewritten(data_type: DataType, expr: Expr) -> String {
        let schema = DFSchema::try_from(Schema::new(vec![Field::new("n", data_type, true)])).unwrap();
        compare(expr, &schema).unwrap().data.to_string()
    }

    #[test]
    fn a_cast_column_is_compared_as_it_is() {
        let price = DataType::Decimal128(15, 2);
        let n = || cast(col("n"), DataType::Float64);
        let of = |expr: Expr| rewritten(price.clone(), expr);
        assert_eq!(of(n().gt_eq(lit(0.05))), "n >= Decimal128(Some(5),15,2)");
        assert_eq!(of(n().gt(lit(0.05))), "n >= Decimal128(Some(6),15,2)");
        assert_eq!(of(n().lt(lit(0.054))), "n < Decimal128(Some(6),15,2)");
        assert_eq!(of(n().lt_eq(lit(-0.0))), "n < Decimal128(Some(1),15,2)");
        assert_eq!(of(lit(0.07).gt_eq(n())), "n < Decimal128(Some(8),15,2)");
        assert_eq!(of(n().eq(lit(1.25))), "n = Decimal128(Some(125),15,2)");
        assert_eq!(
            of(n().in_list(vec![lit(1.25), lit(2.0)], false)),
            "n IN ([Decimal128(Some(125),15,2), Decimal128(Some(200),15,2)])"
        );
        let between = "n >= Decimal128(Some(5),15,2) AND n < Decimal128(Some(8),15,2)";
        assert_eq!(of(n().between(lit(0.05), lit(0.07))), between);
        assert_eq!(rewritten(DataType::Int32, n().lt(lit(2.5))), "n < Int32(3)");
        assert_eq!(rewritten(DataType::Int64, n().not_eq(lit(-3.0))), "n != Int64(-3)");
    }

    #[test]
    fn what_has_no_such_number_stays() {
        let n = || cast(col("n"), DataType::Float64);
        for (data_type, expr) in [
            (DataType::Decimal128(15, 2), n().eq(lit(0.123))),
            (DataType::Decimal128(15, 2), n().lt(lit(f64::NAN))),
            (DataType::Decimal128(4, 2), n().lt(lit(1e9))),
            (DataType::Int32, n().gt(lit(-1e300))),
            (DataType::Float32, n().gt(lit(1.5))),
            // Several numbers have this double.
            (DataType::Int64, n().eq(lit(9_007_199_254_740_992.0))),
            (DataType::Int32, cast(col("n"), DataType::Float64).in_list(vec![lit(1.0), lit(1.5)], false)),
        ] {
            let before = expr.to_string();
            assert_eq!(rewritten(data_type, expr), before);
        }
    }

    #[test]
    fn numbers_at_the_bound_are_told_apart_as_their_doubles_are() {
        let data_type = DataType::Decimal128(20, 2);
        let column = col("n");
        let exact = Exact { column: &column, data_type, range: (-(10i128.pow(20) - 1), 10i128.pow(20) - 1) };
        for value in [0.05, 0.07, 1.1, 123_456_789.015, -7.3, 9e17, 1e-3] {
            let least = exact.least(|double| double >= value).unwrap().unwrap();
            assert!(exact.cast(least).unwrap().unwrap() >= value && exact.cast(least - 1).unwrap().unwrap() < value, "{value}");
        }
    }
}
