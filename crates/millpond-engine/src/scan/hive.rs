//! Values as Hive's types have them, where files say more: times have milliseconds (Trino's `hive.timestamp-precision`, as Athena has it; halves are
//! rounded up), `varchar(n)` the first n characters, and `char(n)` those without the blanks at their end.
//!
//! Text files' columns are shaped when they are decoded. For Parquet a column becomes an expression over the file's, except in comparisons with a
//! constant: these have bounds for the file's own values that come to the same, by which row groups and pages are pruned.

use super::FindColumns;
use crate::types::HiveType;
use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal, lit};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};
use datafusion::physical_plan::PhysicalExpr;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

const MILLISECOND: i64 = 1000;

/// Whether files may hold values of the type that it does not have.
pub(super) fn is_shaped(hive: &HiveType) -> bool {
    match hive {
        HiveType::Timestamp | HiveType::Varchar(_) | HiveType::Char(_) => true,
        HiveType::Array(item) => is_shaped(item),
        HiveType::Map(key, value) => is_shaped(key) || is_shaped(value),
        HiveType::Struct(fields) => fields.iter().any(|(_, field)| is_shaped(field)),
        _ => false,
    }
}

/// An array of the type's Arrow type with the type's values.
pub(super) fn shaped(array: &ArrayRef, hive: &HiveType) -> std::result::Result<ArrayRef, ArrowError> {
    if !is_shaped(hive) {
        return Ok(Arc::clone(array));
    }
    Ok(match (hive, array.data_type()) {
        (HiveType::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, None)) => {
            let times = array.as_primitive::<TimestampMicrosecondType>();
            if times.values().iter().all(|micros| micros % MILLISECOND == 0) {
                return Ok(Arc::clone(array));
            }
            Arc::new(times.unary::<_, TimestampMicrosecondType>(rounded))
        }
        (HiveType::Varchar(length), DataType::Utf8) => cut(array, *length, false),
        (HiveType::Char(length), DataType::Utf8) => cut(array, *length, true),
        (HiveType::Array(item), DataType::List(field)) => {
            let lists = array.as_list::<i32>();
            let items = shaped(lists.values(), item)?;
            Arc::new(ListArray::try_new(Arc::clone(field), lists.offsets().clone(), items, lists.nulls().cloned())?)
        }
        (HiveType::Map(key, value), DataType::Map(field, sorted)) => {
            let maps = array.as_map();
            let (fields, _, nulls) = maps.entries().clone().into_parts();
            let pairs = vec![shaped(maps.keys(), key)?, shaped(maps.values(), value)?];
            let entries = StructArray::try_new(fields, pairs, nulls)?;
            Arc::new(MapArray::try_new(Arc::clone(field), maps.offsets().clone(), entries, maps.nulls().cloned(), *sorted)?)
        }
        (HiveType::Struct(types), DataType::Struct(_)) => {
            let (fields, columns, nulls) = array.as_struct().clone().into_parts();
            let columns = columns.iter().zip(types).map(|(column, (_, field))| shaped(column, field));
            Arc::new(StructArray::try_new(fields, columns.collect::<std::result::Result<Vec<_>, _>>()?, nulls)?)
        }
        _ => Arc::clone(array),
    })
}

/// To the nearest millisecond, halves up (Trino: `Timestamps.round`).
fn rounded(micros: i64) -> i64 {
    micros.saturating_add(MILLISECOND / 2).div_euclid(MILLISECOND).saturating_mul(MILLISECOND)
}

fn cut(array: &ArrayRef, length: u32, padded: bool) -> ArrayRef {
    let texts = array.as_string::<i32>();
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    // A character has a byte at least.
    let fits = texts.value_offsets().windows(2).all(|pair| usize::try_from(pair[1] - pair[0]).is_ok_and(|bytes| bytes <= length));
    if fits && !(padded && texts.iter().flatten().any(|text| text.ends_with(' '))) {
        return Arc::clone(array);
    }
    let of = |text: &'_ str| text.char_indices().nth(length).map_or(text.len(), |(end, _)| end);
    let cut = texts.iter().map(|text| {
        let text = text?;
        let text = &text[..of(text)];
        Some(if padded { text.trim_end_matches(' ') } else { text })
    });
    Arc::new(cut.collect::<StringArray>())
}

/// Finds a Hive table's columns in a Parquet file, and shapes them.
#[derive(Debug, Clone)]
pub(super) struct HiveColumns {
    pub(super) find: FindColumns,
    /// Of the table's columns in files, those that are shaped.
    pub(super) shaped: Arc<[Option<HiveType>]>,
}

impl PhysicalExprAdapterFactory for HiveColumns {
    fn create(&self, logical: SchemaRef, physical: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let wanted = |(index, hive): (usize, &Option<HiveType>)| {
            let hive = hive.as_ref()?;
            let place = self.find.place(index, logical.fields().get(index)?.name(), &physical)?;
            (!is_exact(physical.field(place).data_type())).then(|| hive.clone())
        };
        let shaped: Vec<Option<HiveType>> = self.shaped.iter().enumerate().map(wanted).collect();
        let inner = self.find.create(logical, physical)?;
        if shaped.iter().all(Option::is_none) {
            return Ok(inner);
        }
        Ok(Arc::new(Shaping { inner, shaped }))
    }
}

/// Whether a file's times have no more than milliseconds.
fn is_exact(physical: &DataType) -> bool {
    matches!(physical, DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, _) | DataType::Date32)
}

#[derive(Debug)]
struct Shaping {
    inner: Arc<dyn PhysicalExprAdapter>,
    shaped: Vec<Option<HiveType>>,
}

impl PhysicalExprAdapter for Shaping {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let shaped = expr.transform_down(|expr| {
            let done = |expr| Ok(Transformed::new(expr, true, TreeNodeRecursion::Jump));
            if let Some(compared) = self.comparison(&expr) {
                return done(compared);
            }
            match self.column(&expr) {
                Some(hive) => done(Shaped::of(expr, hive)),
                None => Ok(Transformed::no(expr)),
            }
        })?;
        self.inner.rewrite(shaped.data)
    }
}

impl Shaping {
    fn column(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<&HiveType> {
        self.shaped.get(expr.downcast_ref::<Column>()?.index())?.as_ref()
    }

    /// A comparison of a column with a constant as one of the file's own values.
    fn comparison(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
        let binary = expr.downcast_ref::<BinaryExpr>()?;
        let (column, op, constant) = match self.column(binary.left()) {
            Some(_) => (binary.left(), *binary.op(), binary.right()),
            None => (binary.right(), binary.op().swap()?, binary.left()),
        };
        let constant = constant.downcast_ref::<Literal>()?.value();
        match (self.column(column)?, constant) {
            (HiveType::Timestamp, ScalarValue::TimestampMicrosecond(Some(micros), None)) => time(column, op, *micros),
            (hive @ HiveType::Varchar(length), ScalarValue::Utf8(Some(text))) => {
                let exact = binary_of(Shaped::of(Arc::clone(column), hive), op, lit(text.as_str()));
                let bound = binary_of(Arc::clone(column), op, lit(text.as_str()));
                let characters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
                match op {
                    Operator::Eq if characters < *length => Some(bound),
                    Operator::Eq if characters == *length => {
                        let bound = binary_of(Arc::clone(column), Operator::GtEq, lit(text.as_str()));
                        Some(binary_of(bound, Operator::And, exact))
                    }
                    // What is cut off makes a text no smaller.
                    Operator::Gt | Operator::GtEq => Some(binary_of(bound, Operator::And, exact)),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

fn binary_of(left: Arc<dyn PhysicalExpr>, op: Operator, right: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    Arc::new(BinaryExpr::new(left, op, right))
}

/// `rounded(column) op micros` without rounding.
fn time(column: &Arc<dyn PhysicalExpr>, op: Operator, micros: i64) -> Option<Arc<dyn PhysicalExpr>> {
    let half = MILLISECOND / 2;
    let floor = micros.checked_sub(micros.rem_euclid(MILLISECOND))?;
    let ceiling = if floor == micros { floor } else { floor.checked_add(MILLISECOND)? };
    let (above, below) = (floor.checked_add(half)?, ceiling.checked_sub(half)?);
    let bound =
        |op: Operator, micros: i64| binary_of(Arc::clone(column), op, lit(ScalarValue::TimestampMicrosecond(Some(micros), None)));
    Some(match op {
        Operator::GtEq => bound(Operator::GtEq, below),
        Operator::Gt => bound(Operator::GtEq, above),
        Operator::LtEq => bound(Operator::Lt, above),
        Operator::Lt => bound(Operator::Lt, below),
        Operator::Eq if floor == micros => binary_of(bound(Operator::GtEq, below), Operator::And, bound(Operator::Lt, above)),
        _ => return None,
    })
}

/// A file's column as its Hive type has it.
#[derive(Debug, Eq)]
struct Shaped {
    input: Arc<dyn PhysicalExpr>,
    hive: HiveType,
}

impl Shaped {
    fn of(input: Arc<dyn PhysicalExpr>, hive: &HiveType) -> Arc<dyn PhysicalExpr> {
        Arc::new(Self { input, hive: hive.clone() })
    }
}

// Not derived: see https://github.com/rust-lang/rust/issues/78808.
impl PartialEq for Shaped {
    fn eq(&self, other: &Self) -> bool {
        self.input.eq(&other.input) && self.hive == other.hive
    }
}

impl Hash for Shaped {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.hive.hash(state);
    }
}

impl fmt::Display for Shaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.hive, self.input)
    }
}

impl PhysicalExpr for Shaped {
    fn return_field(&self, input_schema: &Schema) -> Result<FieldRef> {
        self.input.return_field(input_schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let array = self.input.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(ColumnarValue::Array(shaped(&array, &self.hive)?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.input]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let input = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Self::of(input, &self.hive))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.input.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::TimestampMicrosecondArray;

    #[test]
    fn times_have_milliseconds_and_halves_are_rounded_up() {
        for (micros, wanted) in
            [(123_456, 123_000), (123_500, 124_000), (123_499, 123_000), (-500, 0), (-501, -1000), (7000, 7000)]
        {
            assert_eq!(rounded(micros), wanted, "{micros}");
        }
    }

    #[test]
    fn texts_have_their_length_at_most() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("äöüß"), Some("a  b"), Some("é "), None]));
        let found = |hive: &HiveType| {
            let found = shaped(&texts, hive).unwrap();
            found.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>()
        };
        let some = |texts: [&str; 3]| texts.into_iter().map(|text| Some(text.to_owned())).chain([None]).collect::<Vec<_>>();
        assert_eq!(found(&HiveType::Varchar(3)), some(["äöü", "a  ", "é "]));
        assert_eq!(found(&HiveType::Char(3)), some(["äöü", "a", "é"]));
        let nested = HiveType::parse("struct<a:array<varchar(2)>>").unwrap();
        assert!(is_shaped(&nested) && !is_shaped(&HiveType::parse("struct<a:array<string>>").unwrap()));
    }

    /// Each comparison without rounding holds for the values for which it holds with it.
    #[test]
    fn comparisons_of_times_are_those_of_rounded_ones() {
        let values: Vec<i64> = (-2600..2600).step_by(100).collect();
        let array: ArrayRef = Arc::new(TimestampMicrosecondArray::from(values.clone()));
        let schema = Arc::new(Schema::new(vec![arrow::datatypes::Field::new("t", array.data_type().clone(), true)]));
        let batch = RecordBatch::try_new(schema, vec![array]).unwrap();
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new("t", 0));
        for constant in [-1000, -700, 0, 1, 999, 1000, 1500] {
            for op in [Operator::Eq, Operator::Lt, Operator::LtEq, Operator::Gt, Operator::GtEq] {
                let Some(bounds) = time(&column, op, constant) else { continue };
                let found = bounds.evaluate(&batch).unwrap().into_array(values.len()).unwrap();
                let exact = values.iter().map(|value| match op {
                    Operator::Eq => rounded(*value) == constant,
                    Operator::Lt => rounded(*value) < constant,
                    Operator::LtEq => rounded(*value) <= constant,
                    Operator::Gt => rounded(*value) > constant,
                    _ => rounded(*value) >= constant,
                });
                assert_eq!(found.as_boolean().values().iter().collect::<Vec<_>>(), exact.collect::<Vec<_>>(), "{op} {constant}");
            }
        }
    }
}
