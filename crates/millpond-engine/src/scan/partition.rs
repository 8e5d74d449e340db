//! Conditions on partition keys: what a query's `WHERE` says of them, in the catalog's filter language, so that a table of a million
//! partitions is pruned in the store; what can't be said in it is evaluated on the partitions that remain.

use super::Shape;
use crate::query::QueryError;
use crate::table::FileGroup;
use crate::types::HiveType;
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_empty_array};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use millpond_core::catalog::NULL_PARTITION;
use millpond_core::partition_expr::{CompareOp, Literal, PartitionExpr};
use std::sync::Arc;

/// A scan's filters by who can decide them. Those on rows are nobody's here: the reader gets them from the plan above it.
pub(super) struct Pruning {
    /// By the catalog.
    pub(super) expr: Option<PartitionExpr>,
    /// On partition values, here.
    local: Vec<Expr>,
}

impl Pruning {
    pub(super) fn new(filters: &[Expr], shape: &Shape) -> Self {
        let mut pruning = Self { expr: None, local: Vec::new() };
        let mut catalog = Vec::new();
        for filter in filters.iter().flat_map(split_conjunction) {
            if let Some(expr) = to_partition_expr(filter, &shape.partition_keys) {
                catalog.push(expr);
            } else if only_keys(filter, shape) {
                pruning.local.push(filter.clone());
            }
        }
        pruning.expr = match catalog.len() {
            0 => None,
            1 => catalog.pop(),
            _ => Some(PartitionExpr::And(catalog)),
        };
        pruning
    }

    /// Drops the groups for which a local condition does not hold.
    pub(super) fn prune(&self, groups: Vec<FileGroup>, shape: &Shape, state: &dyn Session) -> Result<Vec<FileGroup>> {
        let Some(filter) = conjunction(self.local.iter().cloned()) else { return Ok(groups) };
        if groups.is_empty() {
            return Ok(groups);
        }
        let batch = key_batch(shape, groups.len(), &|row| groups[row].values.as_slice())?;
        let predicate = state.create_physical_expr(filter, &DFSchema::try_from(batch.schema())?)?;
        let holds = predicate.evaluate(&batch)?.into_array(groups.len())?;
        let holds = as_boolean_array(&holds)?;
        let kept = groups.into_iter().enumerate().filter(|(row, _)| holds.is_valid(*row) && holds.value(*row));
        Ok(kept.map(|(_, group)| group).collect())
    }
}

/// The values of `rows` partitions as rows of the keys' types.
pub(super) fn key_batch<'a>(shape: &Shape, rows: usize, values: &dyn Fn(usize) -> &'a [String]) -> Result<RecordBatch> {
    let columns = shape.partition_keys.iter().enumerate().map(|(index, (name, key))| {
        if rows == 0 {
            return Ok(new_empty_array(&key.to_arrow()));
        }
        let values = (0..rows).map(|row| key_value(name, key, values(row).get(index).map(String::as_str)));
        ScalarValue::iter_to_array(values.collect::<Result<Vec<_>>>()?)
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(key_schema(shape), columns, &options)?)
}

pub(super) fn key_schema(shape: &Shape) -> SchemaRef {
    let keys = shape.constant_schema.fields().iter().take(shape.partition_keys.len()).cloned();
    Arc::new(Schema::new(keys.collect::<Vec<_>>()))
}

fn only_keys(expr: &Expr, shape: &Shape) -> bool {
    let columns = expr.column_refs();
    !columns.is_empty() && columns.iter().all(|column| shape.is_partition_key(&column.name)) && !expr.is_volatile()
}

/// A partition key's value, read as the key's type.
pub(super) fn key_value(name: &str, key: &HiveType, value: Option<&str>) -> Result<ScalarValue> {
    let data_type = key.to_arrow();
    match value {
        None | Some(NULL_PARTITION) => ScalarValue::try_from(&data_type),
        Some(text) => ScalarValue::try_from_string(text.to_owned(), &data_type).map_err(|_| {
            QueryError::InvalidPartitionValue {
                value: text.to_owned(),
                data_type: key.to_string().to_uppercase(),
                key: name.to_owned(),
            }
            .into()
        }),
    }
}

/// The condition in the catalog's language, when it says exactly the same; a NULL never fulfils it.
pub(crate) fn to_partition_expr(expr: &Expr, keys: &[(String, HiveType)]) -> Option<PartitionExpr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => binary(left, *op, right, keys),
        Expr::Not(inner) => negated(inner, keys),
        Expr::IsNull(inner) => Some(PartitionExpr::IsNull { key: key(inner, keys)?.0, negated: false }),
        Expr::IsNotNull(inner) => Some(PartitionExpr::IsNull { key: key(inner, keys)?.0, negated: true }),
        Expr::Between(between) => {
            let (key, key_type) = key(&between.expr, keys)?;
            let expr = PartitionExpr::Between {
                low: literal(&between.low, key_type)?,
                high: literal(&between.high, key_type)?,
                negated: between.negated,
                key: key.clone(),
            };
            Some(if between.negated { and_not_null(expr, key) } else { expr })
        }
        Expr::InList(list) => {
            let (key, key_type) = key(&list.expr, keys)?;
            let values = list.list.iter().map(|value| literal(value, key_type)).collect::<Option<Vec<_>>>()?;
            let expr = PartitionExpr::In { key: key.clone(), values, negated: list.negated };
            Some(if list.negated { and_not_null(expr, key) } else { expr })
        }
        Expr::Like(like) if !like.case_insensitive && like.escape_char.is_none() => {
            let (key, key_type) = key(&like.expr, keys)?;
            let pattern = match like.pattern.as_ref() {
                // Backslashes mean something in DataFusion's patterns and nothing in the catalog's.
                Expr::Literal(value, _) => value.try_as_str().flatten().filter(|pattern| !pattern.contains('\\'))?,
                _ => return None,
            };
            if !key_type.is_text() {
                return None;
            }
            let expr = PartitionExpr::Like { key: key.clone(), pattern: pattern.to_owned(), negated: like.negated };
            Some(if like.negated { and_not_null(expr, key) } else { expr })
        }
        _ => None,
    }
}

fn and_not_null(expr: PartitionExpr, key: String) -> PartitionExpr {
    PartitionExpr::And(vec![expr, PartitionExpr::IsNull { key, negated: true }])
}

fn negated(inner: &Expr, keys: &[(String, HiveType)]) -> Option<PartitionExpr> {
    match inner {
        Expr::IsNull(inner) => Some(PartitionExpr::IsNull { key: key(inner, keys)?.0, negated: true }),
        Expr::IsNotNull(inner) => Some(PartitionExpr::IsNull { key: key(inner, keys)?.0, negated: false }),
        // The rest the planner has already turned around; NOT over NULL is not left to the store.
        _ => None,
    }
}

fn binary(left: &Expr, op: Operator, right: &Expr, keys: &[(String, HiveType)]) -> Option<PartitionExpr> {
    match op {
        Operator::And => Some(PartitionExpr::And(vec![to_partition_expr(left, keys)?, to_partition_expr(right, keys)?])),
        Operator::Or => Some(PartitionExpr::Or(vec![to_partition_expr(left, keys)?, to_partition_expr(right, keys)?])),
        _ => {
            let compare = compare_op(op)?;
            if let Some((key, key_type)) = key(left, keys) {
                return Some(comparison(key, compare, literal(right, key_type)?));
            }
            let (key, key_type) = key(right, keys)?;
            Some(comparison(key, turned(compare), literal(left, key_type)?))
        }
    }
}

fn comparison(key: String, op: CompareOp, value: Literal) -> PartitionExpr {
    let expr = PartitionExpr::Compare { key: key.clone(), op, value };
    if op == CompareOp::NotEq { and_not_null(expr, key) } else { expr }
}

fn compare_op(op: Operator) -> Option<CompareOp> {
    Some(match op {
        Operator::Eq => CompareOp::Eq,
        Operator::NotEq => CompareOp::NotEq,
        Operator::Lt => CompareOp::Lt,
        Operator::LtEq => CompareOp::LtEq,
        Operator::Gt => CompareOp::Gt,
        Operator::GtEq => CompareOp::GtEq,
        _ => return None,
    })
}

/// The operator with its sides exchanged.
fn turned(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Lt => CompareOp::Gt,
        CompareOp::LtEq => CompareOp::GtEq,
        CompareOp::Gt => CompareOp::Lt,
        CompareOp::GtEq => CompareOp::LtEq,
        same => same,
    }
}

/// The key's name and type. Only types whose text has one meaning for the catalog and for us.
fn key<'a>(expr: &Expr, keys: &'a [(String, HiveType)]) -> Option<(String, &'a HiveType)> {
    let Expr::Column(column) = expr else { return None };
    let (name, key_type) = keys.iter().find(|(name, _)| *name == column.name)?;
    let simple = key_type.is_text()
        || matches!(key_type, HiveType::TinyInt | HiveType::SmallInt | HiveType::Int | HiveType::BigInt | HiveType::Date);
    simple.then(|| (name.clone(), key_type))
}

fn literal(expr: &Expr, key_type: &HiveType) -> Option<Literal> {
    let Expr::Literal(value, _) = expr else { return None };
    if value.is_null() {
        return None;
    }
    if key_type.is_text() {
        return value.try_as_str().flatten().map(|text| Literal::Text(text.to_owned()));
    }
    if *key_type == HiveType::Date {
        let ScalarValue::Date32(Some(_)) = value else { return None };
        return Some(Literal::Text(value.to_string()));
    }
    value.data_type().is_integer().then(|| Literal::Number(value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::{col, lit};

    fn keys() -> Vec<(String, HiveType)> {
        vec![
            ("year".into(), HiveType::Int),
            ("name".into(), HiveType::String),
            ("day".into(), HiveType::Date),
            ("x".into(), HiveType::Double),
        ]
    }

    fn compare(key: &str, op: CompareOp, value: Literal) -> PartitionExpr {
        PartitionExpr::Compare { key: key.into(), op, value }
    }

    #[test]
    fn conditions_on_keys_are_said_in_the_catalogs_language() {
        let check =
            |expr: Expr, expected: Option<PartitionExpr>| assert_eq!(to_partition_expr(&expr, &keys()), expected, "{expr}");
        let number = |n: &str| Literal::Number(n.into());
        let text = |t: &str| Literal::Text(t.into());
        check(col("year").eq(lit(2013)), Some(compare("year", CompareOp::Eq, number("2013"))));
        check(lit(2013).lt(col("year")), Some(compare("year", CompareOp::Gt, number("2013"))));
        check(col("name").eq(lit("a'b")), Some(compare("name", CompareOp::Eq, text("a'b"))));
        check(
            col("day").gt_eq(Expr::Literal(ScalarValue::Date32(Some(0)), None)),
            Some(compare("day", CompareOp::GtEq, text("1970-01-01"))),
        );
        let not_null = |key: &str| PartitionExpr::IsNull { key: key.into(), negated: true };
        check(
            col("year").not_eq(lit(1)),
            Some(PartitionExpr::And(vec![compare("year", CompareOp::NotEq, number("1")), not_null("year")])),
        );
        check(
            col("year").eq(lit(1)).or(col("name").is_null()),
            Some(PartitionExpr::Or(vec![
                compare("year", CompareOp::Eq, number("1")),
                PartitionExpr::IsNull { key: "name".into(), negated: false },
            ])),
        );
        check(
            col("name").in_list(vec![lit("a"), lit("b")], false),
            Some(PartitionExpr::In { key: "name".into(), values: vec![text("a"), text("b")], negated: false }),
        );
        check(
            col("name").like(lit("a%")),
            Some(PartitionExpr::Like { key: "name".into(), pattern: "a%".into(), negated: false }),
        );
    }

    #[test]
    fn what_the_catalog_could_take_otherwise_is_left_to_the_engine() {
        for expr in [
            col("x").eq(lit(1.5)),
            col("other").eq(lit(1)),
            col("year").eq(col("other")),
            col("year").eq(lit(1)).or(col("other").eq(lit(1))),
            (col("year") + lit(1)).eq(lit(2014)),
            col("name").like(lit("a\\_%")),
            col("year").eq(Expr::Literal(ScalarValue::Int32(None), None)),
        ] {
            assert_eq!(to_partition_expr(&expr, &keys()), None, "{expr}");
        }
    }
}
