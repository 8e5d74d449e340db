//! `UNNEST(…)` of arrays, maps and arrays of rows, with or without ordinality, as a projection over lists that are taken apart.

use super::{evaluate, mismatch, row, type_of, values};
use crate::query::error::Position;
use crate::query::parse::{first_span, position};
use crate::query::rewrite::MARK;
use crate::types::TrinoType;
use crate::types::trino::list_of;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{Column, DFSchema, Result, UnnestOptions};
use datafusion::functions_nested::expr_fn::{map_keys, map_values};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast,
};
use datafusion::sql::sqlparser::ast::TableFactor;
use std::sync::Arc;

/// Plans relations as Trino means them.
#[derive(Debug)]
pub(in crate::query) struct TrinoRelations;

impl RelationPlanner for TrinoRelations {
    fn plan_relation(&self, relation: TableFactor, context: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
        if let TableFactor::Derived { lateral: false, subquery, alias, sample: None } = &relation
            && let Some(rows) = values::of(subquery)
        {
            let plan = values::plan(rows, context)?;
            return Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))));
        }
        let TableFactor::UNNEST { alias, array_exprs, with_ordinality, with_offset: false, .. } = relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let nothing = DFSchema::empty();
        let mut lists = Lists::default();
        for sql in array_exprs {
            let at = position(first_span(&sql));
            let expr = context.sql_expr_to_logical_expr(sql, &nothing)?;
            lists.add(expr, at)?;
        }
        if with_ordinality {
            let all = lists.lists.clone();
            lists.list(ordinality().call(all), |item| vec![item]);
        }
        let plan = LogicalPlanBuilder::empty(true)
            .project(lists.lists.iter().enumerate().map(|(index, list)| list.clone().alias(list_name(index))))?
            .unnest_columns_with_options(
                (0..lists.lists.len()).map(|index| Column::from_name(list_name(index))).collect(),
                UnnestOptions::new().with_preserve_nulls(false),
            )?
            .project(lists.outputs.into_iter().enumerate().map(|(index, output)| output.alias(format!("{MARK}{index}"))))?
            .build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

fn list_name(index: usize) -> String {
    format!("{MARK}list{index}")
}

/// What is taken apart, and what columns come of it.
#[derive(Default)]
struct Lists {
    lists: Vec<Expr>,
    outputs: Vec<Expr>,
}

impl Lists {
    fn list(&mut self, list: Expr, outputs: impl FnOnce(Expr) -> Vec<Expr>) {
        let item = Expr::Column(Column::from_name(list_name(self.lists.len())));
        self.lists.push(list);
        self.outputs.extend(outputs(item));
    }

    fn add(&mut self, expr: Expr, at: Position) -> Result<()> {
        let nothing = DFSchema::empty();
        let found = type_of(&expr, &nothing)?;
        match &found {
            TrinoType::Array(item) => match item.as_ref() {
                TrinoType::Row(fields) => {
                    let fields = fields.clone();
                    self.list(expr, |item| {
                        let field = |(index, (_, found)): (usize, &(Option<String>, TrinoType))| {
                            marked(row::field(item.clone(), index), found)
                        };
                        fields.iter().enumerate().map(field).collect()
                    });
                }
                item_type => {
                    let item_type = item_type.clone();
                    self.list(expr, |item| vec![marked(item, &item_type)]);
                }
            },
            TrinoType::Map(key, value) => {
                let (key, value) = (key.as_ref().clone(), value.as_ref().clone());
                self.list(map_keys(expr.clone()), |item| vec![marked(item, &key)]);
                self.list(map_values(expr), |item| vec![marked(item, &value)]);
            }
            TrinoType::Unknown => self.list(cast(expr, list_of(DataType::Null)), |item| vec![item]),
            other => return Err(mismatch(at, format!("Cannot unnest type: {other}"))),
        }
        Ok(())
    }
}

/// An item that its list's field says more of than Arrow's type.
fn marked(expr: Expr, found: &TrinoType) -> Expr {
    let field = found.field("", true);
    if field.metadata().is_empty() {
        return expr;
    }
    expr.alias_with_metadata(format!("{MARK}item"), Some(FieldMetadata::from(field.metadata().clone())))
}

/// The numbers from 1 to the longest list's length.
fn ordinality() -> ScalarUDF {
    ScalarUDF::new_from_impl(Ordinality { signature: Signature::variadic_any(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Ordinality {
    signature: Signature,
}

impl ScalarUDFImpl for Ordinality {
    fn name(&self) -> &str {
        "ordinality"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(list_of(DataType::Int64))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        evaluate(args, |arrays| {
            let lists = arrays
                .iter()
                .map(|array| match array.data_type() {
                    DataType::List(_) => Ok(Arc::clone(array)),
                    _ => arrow::compute::cast(array, &list_of(DataType::Null)),
                })
                .collect::<Result<Vec<ArrayRef>, _>>()?;
            let rows = lists.first().map_or(0, |list| list.len());
            let length = |row: usize| {
                let of = |list: &ArrayRef| {
                    let list = list.as_list::<i32>();
                    if list.is_null(row) { 0 } else { usize::try_from(list.value_length(row)).unwrap_or(0) }
                };
                lists.iter().map(of).max().unwrap_or(0)
            };
            let lengths: Vec<usize> = (0..rows).map(length).collect();
            let numbers: Int64Array = lengths.iter().flat_map(|length| 1..=i64::try_from(*length).unwrap_or(0)).collect();
            let item = Arc::new(Field::new("element", DataType::Int64, true));
            Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), Arc::new(numbers), None)?))
        })
    }
}
