//! Which files a query's conditions leave: by the bounds that manifests have of columns and partitions, before any file is opened.
//!
//! Bounds of a column come from the file's own statistics, else from its partition where a transform of the column keeps the order (`day(ts)` says
//! between which times `ts` lies). A bucket says nothing of order: equalities are compared with it.

use super::schema::{self, scalar};
use crate::query::QueryError;
use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::physical_expr::create_physical_expr;
use datafusion::physical_optimizer::pruning::PruningPredicate;
use iceberg::spec::{DataFile, Datum, ManifestFile, PartitionSpec, PrimitiveLiteral, PrimitiveType, SchemaRef, Transform, Type};
use iceberg::transform::create_transform_function;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A query's conditions on the columns of one table.
#[derive(Debug)]
pub(crate) struct Pruner {
    schema: SchemaRef,
    arrow: ArrowSchemaRef,
    predicate: Option<PruningPredicate>,
    /// Column → the values of which it must have one.
    equalities: HashMap<i32, Vec<Datum>>,
}

impl Pruner {
    /// Of conditions that must all hold. What cannot be decided by bounds does not count.
    pub(crate) fn new(conditions: &[Expr], schema: &SchemaRef) -> Self {
        let arrow = schema::arrow_schema(schema);
        let known = |expr: &Expr| expr.column_refs().iter().all(|column| arrow.field_with_name(&column.name).is_ok());
        let parts: Vec<Expr> = conditions
            .iter()
            .flat_map(split_conjunction)
            .filter(|expr| known(expr) && !expr.is_volatile())
            .cloned()
            .map(unqualified)
            .collect();
        let mut equalities = HashMap::new();
        for part in &parts {
            if let Some((column, values)) = equality(part)
                && let Some(field) = schema.field_by_name_case_insensitive(&column)
                && let Type::Primitive(primitive) = field.field_type.as_ref()
                && let Some(values) = values.iter().map(|value| datum(value, primitive)).collect::<Option<Vec<_>>>()
            {
                equalities.insert(field.id, values);
            }
        }
        Self { schema: schema.clone(), predicate: predicate(parts, &arrow), arrow, equalities }
    }

    /// Whether a manifest may have files of interest.
    pub(crate) fn keeps_manifest(&self, manifest: &ManifestFile, spec: &PartitionSpec) -> bool {
        let (Some(predicate), Some(summaries)) = (&self.predicate, &manifest.partitions) else { return true };
        let Ok(partition_type) = spec.partition_type(&self.schema) else { return true };
        let mut bounds = Bounds::default();
        for ((field, summary), typed) in spec.fields().iter().zip(summaries).zip(partition_type.fields()) {
            let Type::Primitive(primitive) = typed.field_type.as_ref() else { continue };
            let datum = |bytes: Option<&[u8]>| Datum::try_from_bytes(bytes?, primitive.clone()).ok();
            let lower = datum(summary.lower_bound.as_ref().map(|bytes| bytes.as_slice()));
            let upper = datum(summary.upper_bound.as_ref().map(|bytes| bytes.as_slice()));
            let lower = lower.and_then(|lower| self.range(field.source_id, field.transform, lower.literal()).0);
            let upper = upper.and_then(|upper| self.range(field.source_id, field.transform, upper.literal()).1);
            if let Some(name) = self.name(field.source_id) {
                bounds.min.insert(name.clone(), lower);
                bounds.max.insert(name, upper);
            }
        }
        let statistics = Statistics { files: vec![bounds], rows: None, arrow: &self.arrow };
        predicate.prune(&statistics).map_or(true, |kept| kept.first().copied().unwrap_or(true))
    }

    /// Which of the files may have rows of interest.
    pub(crate) fn keeps(&self, files: &[&DataFile], spec: &PartitionSpec) -> Result<Vec<bool>, QueryError> {
        let mut kept = vec![true; files.len()];
        if let Some(predicate) = &self.predicate {
            let bounds = files.iter().map(|file| self.bounds(file, spec)).collect();
            let rows = UInt64Array::from_iter_values(files.iter().map(|file| file.record_count()));
            let statistics = Statistics { files: bounds, rows: Some(Arc::new(rows)), arrow: &self.arrow };
            kept = predicate.prune(&statistics).map_err(QueryError::from_execution)?;
        }
        for (index, field) in spec.fields().iter().enumerate() {
            let (Transform::Bucket(_), Some(values)) = (field.transform, self.equalities.get(&field.source_id)) else { continue };
            let Ok(bucket) = create_transform_function(&field.transform) else { continue };
            let buckets = values.iter().map(|value| bucket.transform_literal(value).ok().flatten()).collect::<Option<Vec<_>>>();
            let Some(buckets) = buckets else { continue };
            for (kept, file) in kept.iter_mut().zip(files) {
                let value =
                    file.partition().fields().get(index).cloned().flatten().and_then(|value| value.as_primitive_literal());
                *kept &= value.is_some_and(|value| buckets.iter().any(|bucket| *bucket.literal() == value));
            }
        }
        Ok(kept)
    }

    fn name(&self, id: i32) -> Option<String> {
        // Nested fields have no bounds of their own here: the engine's conditions are on columns.
        self.schema.as_struct().field_by_id(id).map(|field| field.name.to_lowercase())
    }

    fn bounds(&self, file: &DataFile, spec: &PartitionSpec) -> Bounds {
        let mut bounds = Bounds::default();
        for field in self.schema.as_struct().fields() {
            let Type::Primitive(_) = field.field_type.as_ref() else { continue };
            let name = field.name.to_lowercase();
            let value = |datum: &Datum| scalar(datum.data_type(), datum.literal());
            let has_nan = file.nan_value_counts().get(&field.id).is_some_and(|count| *count > 0);
            if !has_nan {
                bounds.min.insert(name.clone(), file.lower_bounds().get(&field.id).and_then(value));
                bounds.max.insert(name.clone(), file.upper_bounds().get(&field.id).and_then(value));
            }
            bounds.nulls.insert(name, file.null_value_counts().get(&field.id).copied());
        }
        for (field, value) in spec.fields().iter().zip(file.partition().fields()) {
            let Some(name) = self.name(field.source_id) else { continue };
            let Some(literal) = value.as_ref().and_then(|value| value.as_primitive_literal()) else {
                let null = matches!(
                    field.transform,
                    Transform::Identity | Transform::Year | Transform::Month | Transform::Day | Transform::Hour
                );
                if null && value.is_none() {
                    bounds.nulls.insert(name, Some(file.record_count()));
                }
                continue;
            };
            let (lower, upper) = self.range(field.source_id, field.transform, &literal);
            let own = |bounds: &HashMap<String, Option<ScalarValue>>| bounds.get(&name).is_some_and(Option::is_some);
            if !own(&bounds.min) {
                bounds.min.insert(name.clone(), lower);
            }
            if !own(&bounds.max) {
                bounds.max.insert(name, upper);
            }
        }
        bounds
    }

    /// Between which values of the column those lie that a transform takes to `literal`.
    fn range(&self, source: i32, transform: Transform, literal: &PrimitiveLiteral) -> (Option<ScalarValue>, Option<ScalarValue>) {
        let Some(field) = self.schema.field_by_id(source) else { return (None, None) };
        let Type::Primitive(primitive) = field.field_type.as_ref() else { return (None, None) };
        match (transform, literal) {
            (Transform::Identity, _) => {
                let value = scalar(primitive, literal);
                (value.clone(), value)
            }
            (Transform::Truncate(width), PrimitiveLiteral::Int(value)) => {
                let last = value.saturating_add(i32::try_from(width).unwrap_or(i32::MAX) - 1);
                (scalar(primitive, literal), scalar(primitive, &PrimitiveLiteral::Int(last)))
            }
            (Transform::Truncate(width), PrimitiveLiteral::Long(value)) => {
                let last = value.saturating_add(i64::from(width) - 1);
                (scalar(primitive, literal), scalar(primitive, &PrimitiveLiteral::Long(last)))
            }
            (Transform::Truncate(_), _) => (scalar(primitive, literal), None),
            (Transform::Year | Transform::Month | Transform::Day | Transform::Hour, PrimitiveLiteral::Int(value)) => {
                let value = i64::from(*value);
                let first = instant(transform, value).and_then(|micros| moment(primitive, micros));
                let last = instant(transform, value + 1).and_then(|micros| moment(primitive, micros - 1));
                (first, last)
            }
            _ => (None, None),
        }
    }
}

/// Where a unit of time since 1970 begins, in microseconds.
fn instant(transform: Transform, value: i64) -> Option<i64> {
    const HOUR: i64 = 3_600_000_000;
    let months = |months: i64| {
        let (year, month) = (1970 + months.div_euclid(12), months.rem_euclid(12) + 1);
        let date = chrono::NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, u32::try_from(month).ok()?, 1)?;
        Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
    };
    match transform {
        Transform::Year => months(value.checked_mul(12)?),
        Transform::Month => months(value),
        Transform::Day => value.checked_mul(24 * HOUR),
        Transform::Hour => value.checked_mul(HOUR),
        _ => None,
    }
}

fn moment(primitive: &PrimitiveType, micros: i64) -> Option<ScalarValue> {
    match primitive {
        PrimitiveType::Date => scalar(primitive, &PrimitiveLiteral::Int(i32::try_from(micros.div_euclid(86_400_000_000)).ok()?)),
        PrimitiveType::Timestamp | PrimitiveType::Timestamptz => scalar(primitive, &PrimitiveLiteral::Long(micros)),
        PrimitiveType::TimestampNs => scalar(&PrimitiveType::Timestamp, &PrimitiveLiteral::Long(micros)),
        PrimitiveType::TimestamptzNs => scalar(&PrimitiveType::Timestamptz, &PrimitiveLiteral::Long(micros)),
        _ => None,
    }
}

/// Columns without the table's name, as bounds know them.
fn unqualified(expr: Expr) -> Expr {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let plain = expr.clone().transform(|expr| {
        Ok(match expr {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::new_unqualified(column.name))),
            other => Transformed::no(other),
        })
    });
    plain.map_or(expr, |plain| plain.data)
}

fn predicate(parts: Vec<Expr>, arrow: &ArrowSchemaRef) -> Option<PruningPredicate> {
    let schema = DFSchema::try_from(Arc::clone(arrow)).ok()?;
    let props = ExecutionProps::new();
    let sound = |expr: &Expr| create_physical_expr(expr, &schema, &props).is_ok();
    let expr = conjunction(parts.into_iter().filter(sound))?;
    let physical = create_physical_expr(&expr, &schema, &props).ok()?;
    PruningPredicate::try_new(physical, Arc::clone(arrow)).ok().filter(|predicate| !predicate.always_true())
}

/// `column = value` or `column IN (values)`.
fn equality(expr: &Expr) -> Option<(String, Vec<ScalarValue>)> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (left.as_ref(), right.as_ref()) {
            (Expr::Column(column), Expr::Literal(value, _)) | (Expr::Literal(value, _), Expr::Column(column)) => {
                Some((column.name.clone(), vec![value.clone()]))
            }
            _ => None,
        },
        Expr::InList(list) if !list.negated => {
            let Expr::Column(column) = list.expr.as_ref() else { return None };
            let value = |item: &Expr| match item {
                Expr::Literal(value, _) => Some(value.clone()),
                _ => None,
            };
            Some((column.name.clone(), list.list.iter().map(value).collect::<Option<Vec<_>>>()?))
        }
        _ => None,
    }
}

fn datum(value: &ScalarValue, primitive: &PrimitiveType) -> Option<Datum> {
    Some(match (primitive, value) {
        (PrimitiveType::Int, ScalarValue::Int32(Some(value))) => Datum::int(*value),
        (PrimitiveType::Long, ScalarValue::Int64(Some(value))) => Datum::long(*value),
        (PrimitiveType::Date, ScalarValue::Date32(Some(value))) => Datum::date(*value),
        (PrimitiveType::Timestamp, ScalarValue::TimestampMicrosecond(Some(value), _)) => Datum::timestamp_micros(*value),
        (PrimitiveType::Timestamptz, ScalarValue::TimestampMicrosecond(Some(value), _)) => Datum::timestamptz_micros(*value),
        (PrimitiveType::String, ScalarValue::Utf8(Some(value))) => Datum::string(value),
        _ => return None,
    })
}

/// What is known of the columns of one file, or of the files of one manifest.
#[derive(Debug, Default)]
struct Bounds {
    min: HashMap<String, Option<ScalarValue>>,
    max: HashMap<String, Option<ScalarValue>>,
    nulls: HashMap<String, Option<u64>>,
}

struct Statistics<'a> {
    files: Vec<Bounds>,
    rows: Option<ArrayRef>,
    arrow: &'a ArrowSchema,
}

impl Statistics<'_> {
    fn values(&self, column: &Column, of: impl Fn(&Bounds) -> &HashMap<String, Option<ScalarValue>>) -> Option<ArrayRef> {
        let data_type: &DataType = self.arrow.field_with_name(&column.name).ok()?.data_type();
        let null = ScalarValue::try_from(data_type).ok()?;
        let values = self.files.iter().map(|file| {
            let value = of(file).get(&column.name).cloned().flatten();
            value.and_then(|value| value.cast_to(data_type).ok()).unwrap_or_else(|| null.clone())
        });
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for Statistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |file| &file.min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |file| &file.max)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let counts = self.files.iter().map(|file| file.nulls.get(&column.name).copied().flatten());
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        self.rows.clone()
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
