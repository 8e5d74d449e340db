//! Where values of two types meet, and what Hive's types are among Trino's.

use super::{HiveType, TrinoType as T};

/// A row's field.
type Field = (Option<String>, T);

/// See [`T::common`].
pub(super) fn common(a: &T, b: &T) -> Option<T> {
    if a == b {
        return Some(a.clone());
    }
    Some(match (a, b) {
        (T::Unknown, other) | (other, T::Unknown) => other.clone(),
        (T::Varchar(x), T::Varchar(y)) => T::Varchar(x.zip(*y).map(|(x, y)| x.max(y))),
        (T::Char(x), T::Char(y)) => T::Char(*x.max(y)),
        (T::Char(x), T::Varchar(y)) | (T::Varchar(y), T::Char(x)) => match y {
            Some(y) => T::Char(*x.max(y)),
            None => T::Varchar(None),
        },
        (T::Date, T::Timestamp(p)) | (T::Timestamp(p), T::Date) => T::Timestamp(*p),
        (T::Date, T::TimestampWithZone(p)) | (T::TimestampWithZone(p), T::Date) => T::TimestampWithZone(*p),
        (T::Timestamp(x), T::Timestamp(y)) => T::Timestamp(*x.max(y)),
        (T::Timestamp(x) | T::TimestampWithZone(x), T::Timestamp(y) | T::TimestampWithZone(y)) => T::TimestampWithZone(*x.max(y)),
        (T::Time(x), T::Time(y)) => T::Time(*x.max(y)),
        (T::Time(x) | T::TimeWithZone(x), T::Time(y) | T::TimeWithZone(y)) => T::TimeWithZone(*x.max(y)),
        (T::Array(x), T::Array(y)) => T::Array(Box::new(common(x, y)?)),
        (T::Map(k, v), T::Map(k2, v2)) => T::Map(Box::new(common(k, k2)?), Box::new(common(v, v2)?)),
        (T::Row(x), T::Row(y)) if x.len() == y.len() => {
            let field = |(a, b): (&Field, &Field)| Some((if a.0 == b.0 { a.0.clone() } else { None }, common(&a.1, &b.1)?));
            T::Row(x.iter().zip(y).map(field).collect::<Option<Vec<_>>>()?)
        }
        _ if a.is_number() && b.is_number() => numbers(a, b),
        _ => return None,
    })
}

fn numbers(a: &T, b: &T) -> T {
    match (a, b) {
        (T::Double, _) | (_, T::Double) => T::Double,
        (T::Real, _) | (_, T::Real) => T::Real,
        (T::Decimal(..), _) | (_, T::Decimal(..)) => {
            let ((p1, s1), (p2, s2)) = (a.digits().unwrap_or((38, 0)), b.digits().unwrap_or((38, 0)));
            let scale = s1.max(s2);
            T::Decimal(((p1 - s1).max(p2 - s2) + scale).min(38), scale)
        }
        _ if a.digits() >= b.digits() => a.clone(),
        _ => b.clone(),
    }
}

impl T {
    /// The type of Trino's that a column of Hive's has in queries.
    pub fn of_hive(hive: &HiveType) -> Self {
        match hive {
            HiveType::Boolean => Self::Boolean,
            HiveType::TinyInt => Self::TinyInt,
            HiveType::SmallInt => Self::SmallInt,
            HiveType::Int => Self::Integer,
            HiveType::BigInt => Self::BigInt,
            HiveType::Float => Self::Real,
            HiveType::Double => Self::Double,
            HiveType::Decimal(precision, scale) => Self::Decimal(*precision, *scale),
            HiveType::String => Self::Varchar(None),
            HiveType::Varchar(length) => Self::Varchar(Some(*length)),
            HiveType::Char(length) => Self::Char(*length),
            HiveType::Binary => Self::Varbinary,
            HiveType::Date => Self::Date,
            HiveType::Timestamp => Self::Timestamp(3),
            HiveType::Array(item) => Self::Array(Box::new(Self::of_hive(item))),
            HiveType::Map(key, value) => Self::Map(Box::new(Self::of_hive(key)), Box::new(Self::of_hive(value))),
            HiveType::Struct(fields) => {
                Self::Row(fields.iter().map(|(name, field)| (Some(name.clone()), Self::of_hive(field))).collect())
            }
        }
    }
}
