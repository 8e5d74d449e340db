//! Which values may be compared, and as what.

use crate::types::TrinoType as T;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::logical_expr::{Expr, cast};

/// Whether values of the type have an order.
pub(super) fn is_ordered(found: &T) -> bool {
    match found {
        T::Map(..) | T::Json => false,
        T::Array(item) => is_ordered(item),
        T::Row(fields) => fields.iter().all(|(_, field)| is_ordered(field)),
        _ => true,
    }
}

/// Moments are compared as such, whatever zones they are shown in.
pub(super) fn same_zone(left: Expr, right: Expr, common: &T) -> (Expr, Expr) {
    if !matches!(common, T::TimestampWithZone(_)) {
        return (left, right);
    }
    let utc = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    (cast(left, utc()), cast(right, utc()))
}
