//! `CAST` and `TRY_CAST` (Trino documentation, "Conversion functions"): what is rounded, what is cut, what is refused, and in which words.
//!
//! A cast is a call, `trino_cast(value, 'type')`, since only a call says in its field what it gives, and since Arrow's casts mean other things.
//! Where they mean the same, the optimizer is given Arrow's ([`Cast::simplify`]), through which it can see.

mod json;
mod nested;
mod number;
mod text;

pub(crate) use text::local;
pub(in crate::query) use text::moment;

use super::evaluate;
use crate::query::error::{Position, QueryError};
use crate::query::functions::limits;
use crate::types::TrinoType as T;
use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, internal_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    cast as arrow_cast, lit,
};
use std::sync::Arc;

/// `CAST(x AS t)`, as a call with the type's text.
pub(in crate::query) const CAST: &str = "trino_cast";
/// `TRY_CAST(x AS t)`, as a call with the type's text.
pub(in crate::query) const TRY_CAST: &str = "trino_try_cast";

/// The functions that are called by name.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![function(false), function(true)]
}

fn function(safe: bool) -> ScalarUDF {
    ScalarUDF::new_from_impl(Cast { safe, signature: Signature::any(2, Volatility::Immutable) })
}

/// A value brought to a type that it is coerced to: never one that can fail.
pub(super) fn retype(expr: Expr, from: &T, to: &T) -> Expr {
    let (source, target) = (from.to_arrow(), to.to_arrow());
    if from == to || (source == target && !matches!(to, T::Char(_))) {
        return expr;
    }
    if *from == T::Unknown
        && let Ok(null) = ScalarValue::try_from(&target)
    {
        return Expr::Literal(null, None);
    }
    if is_plain(from, to) {
        return arrow_cast(expr, target);
    }
    converted(expr, to)
}

/// The expression as a type, whose mark its field has.
pub(super) fn converted(expr: Expr, to: &T) -> Expr {
    function(false).call(vec![expr, lit(to.to_string())])
}

/// Whether Arrow's cast does just what Trino's does, and cannot fail.
fn is_plain(from: &T, to: &T) -> bool {
    match (from, to) {
        (T::TinyInt, T::SmallInt | T::Integer | T::BigInt | T::Real | T::Double) => true,
        (T::SmallInt, T::Integer | T::BigInt | T::Real | T::Double) => true,
        (T::Integer, T::BigInt | T::Real | T::Double) | (T::BigInt, T::Real | T::Double) | (T::Real, T::Double) => true,
        (T::Decimal(..), T::Real | T::Double) => true,
        (T::Decimal(p1, s1), T::Decimal(p2, s2)) => s2 >= s1 && p2 - s2 >= p1 - s1,
        (integer, T::Decimal(p, s)) if integer.is_integer() => integer.digits().is_some_and(|(digits, _)| p - s >= digits),
        (T::Date, T::Timestamp(3) | T::TimestampWithZone(3)) | (T::Timestamp(3), T::TimestampWithZone(3)) => true,
        _ => false,
    }
}

/// Whether there is such a cast.
fn exists(from: &T, to: &T) -> bool {
    match (from, to) {
        (T::Unknown, _) => true,
        (a, b) if a == b => true,
        (T::Array(a), T::Array(b)) => exists(a, b),
        (T::Map(k, v), T::Map(k2, v2)) => exists(k, k2) && exists(v, v2),
        (T::Row(a), T::Row(b)) => a.len() == b.len() && a.iter().zip(b).all(|((_, a), (_, b))| exists(a, b)),
        (T::Json, T::Map(key, value)) => key.is_text() && exists(from, value),
        (T::Json, T::Array(item)) => exists(from, item),
        (T::Json, T::Row(fields)) => fields.iter().all(|(_, field)| exists(from, field)),
        (T::Map(key, value), T::Json) => {
            (key.is_text() || key.is_number() || **key == T::Boolean || **key == T::Unknown) && exists(value, to)
        }
        (T::Array(item), T::Json) => exists(item, to),
        (T::Row(fields), T::Json) => fields.iter().all(|(_, field)| exists(field, to)),
        (T::Json, _) => to.is_text() || to.is_number() || matches!(to, T::Boolean),
        (_, T::Json) => from.is_text() || from.is_number() || matches!(from, T::Boolean | T::Date | T::Timestamp(_)),
        (T::Array(_) | T::Map(..) | T::Row(_), _) | (_, T::Array(_) | T::Map(..) | T::Row(_)) => false,
        (T::Varchar(_) | T::Char(_), _) | (_, T::Varchar(_) | T::Char(_)) => true,
        (a, b) if (a.is_number() || *a == T::Boolean) && (b.is_number() || *b == T::Boolean) => true,
        (
            T::Date | T::Timestamp(_) | T::TimestampWithZone(_),
            T::Date | T::Timestamp(_) | T::TimestampWithZone(_) | T::Time(_) | T::TimeWithZone(_),
        ) => !matches!((from, to), (T::Date, T::Time(_) | T::TimeWithZone(_))),
        (T::Time(_), T::Time(_) | T::TimeWithZone(_) | T::Timestamp(_) | T::TimestampWithZone(_)) => true,
        (T::TimeWithZone(_), T::TimeWithZone(_) | T::Time(_)) => true,
        (T::Varbinary, T::Uuid | T::IpAddress) | (T::Uuid | T::IpAddress, T::Varbinary) => false,
        _ => false,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Cast {
    safe: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Cast {
    fn name(&self) -> &str {
        if self.safe { TRY_CAST } else { CAST }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of a cast follows from its second argument")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let target = match args.scalar_arguments.get(1) {
            Some(Some(ScalarValue::Utf8(Some(text)))) => {
                T::parse(text).map_err(|message| super::mismatch(Position::START, message))?
            }
            _ => return internal_err!("a cast without its type"),
        };
        let source = T::of_field(&args.arg_fields[0]);
        if !exists(&source, &target) {
            return Err(super::mismatch(Position::START, format!("Cannot cast {source} to {target}")));
        }
        let nullable = self.safe || args.arg_fields[0].is_nullable();
        Ok(Arc::new(target.field(self.name(), nullable || source == T::Json)))
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let [value, Expr::Literal(ScalarValue::Utf8(Some(text)), _)] = args.as_slice() else {
            return Ok(ExprSimplifyResult::Original(args));
        };
        let (Ok(target), Ok(source)) = (T::parse(text), super::type_of(value, info.schema().as_ref())) else {
            return Ok(ExprSimplifyResult::Original(args));
        };
        let unmarked = T::of_arrow(&target.to_arrow()) == target && T::of_arrow(&source.to_arrow()) == source;
        let date = matches!((&source, &target), (T::Timestamp(_), T::Date));
        if unmarked && (is_plain(&source, &target) || date) {
            return Ok(ExprSimplifyResult::Simplified(arrow_cast(value.clone(), target.to_arrow())));
        }
        Ok(ExprSimplifyResult::Original(args))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (source, target) = (T::of_field(&args.arg_fields[0]), T::of_field(&args.return_field));
        let arrow = args.return_field.data_type().clone();
        args.args.truncate(1);
        let (safe, options) = (self.safe, Arc::clone(&args.config_options));
        evaluate(args, |arrays| {
            let _trees = limits::reserved("JSON", json::tree_bytes(&arrays[0], &source, &target), &options)?;
            convert(&arrays[0], &source, &target, &arrow, safe)
        })
    }
}

/// Why a value cannot be cast: no place, since it is met while the query runs.
pub(super) fn cannot(message: String) -> QueryError {
    QueryError::InvalidCast(message)
}

/// What is wrong with the literal `type 'text'`, if anything is.
pub(in crate::query) fn literal_error(text: &str, target: &T) -> Option<QueryError> {
    let value: ArrayRef = Arc::new(arrow::array::StringArray::from(vec![text]));
    match convert(&value, &T::Varchar(None), target, &target.to_arrow(), false) {
        Ok(_) => None,
        Err(error) => Some(QueryError::from_execution(error)),
    }
}

/// All values of an array as another type; `safe`: those that cannot be are NULL.
///
/// # Errors
/// The first value that cannot be cast, unless `safe`.
pub(super) fn convert(array: &ArrayRef, from: &T, to: &T, arrow: &DataType, safe: bool) -> Result<ArrayRef> {
    if array.data_type() == arrow
        && (from == to
            || (!to.is_text()
                && digits_of(from) <= digits_of(to)
                && *to != T::Json
                && *from != T::Json
                && !matches!(to, T::Uuid | T::IpAddress | T::TimeWithZone(_))))
    {
        return Ok(Arc::clone(array));
    }
    if *from == T::Unknown {
        return Ok(new_null_array(arrow, array.len()));
    }
    let converted = match (from, to) {
        (_, T::Json) => json::to_json(array, from)?,
        (T::Json, _) => json::from_json(array, to, arrow, safe)?,
        (T::Array(_) | T::Map(..) | T::Row(_), _) => nested::convert(array, from, to, arrow, safe)?,
        (_, T::Varchar(_) | T::Char(_)) => text::to_text(array, from, to, safe)?,
        (T::Varchar(_) | T::Char(_), _) => text::from_text(array, to, arrow, safe)?,
        _ if (from.is_number() || *from == T::Boolean) && (to.is_number() || *to == T::Boolean) => {
            number::convert(array, from, to, arrow, safe)?
        }
        _ => times(array, to, arrow)?,
    };
    if converted.data_type() == arrow {
        return Ok(converted);
    }
    Ok(arrow::compute::cast(&converted, arrow)?)
}

/// Digits of a second.
fn digits_of(found: &T) -> Option<u8> {
    match found {
        T::Timestamp(digits) | T::TimestampWithZone(digits) | T::Time(digits) | T::TimeWithZone(digits) => Some(*digits),
        _ => None,
    }
}

/// Dates, times and timestamps as one another.
fn times(array: &ArrayRef, to: &T, arrow: &DataType) -> Result<ArrayRef> {
    let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
    let zoned = matches!(array.data_type(), DataType::Timestamp(_, Some(_)));
    let cast = |array: &ArrayRef, target: &DataType| arrow::compute::cast(array, target);
    // What clocks show in the zone.
    let local = if zoned && !matches!(to, T::TimestampWithZone(_)) { text::local(array)? } else { Arc::clone(array) };
    let converted = match to {
        T::Date => cast(&local, &DataType::Date32)?,
        T::Time(_) => cast(&local, &DataType::Time64(TimeUnit::Microsecond))?,
        T::Timestamp(_) => cast(&local, &micros(None))?,
        T::TimestampWithZone(_) if zoned => cast(&local, &local.data_type().clone())?,
        T::TimestampWithZone(_) => cast(&cast(&local, &micros(None))?, &micros(Some("UTC")))?,
        other => return Err(exec_datafusion_err!("a time as {other}")),
    };
    let rounded = text::rounded(&converted, digits_of(to))?;
    if zoned && matches!(to, T::TimestampWithZone(_)) {
        return Ok(cast(&rounded, arrow)?);
    }
    Ok(rounded)
}
