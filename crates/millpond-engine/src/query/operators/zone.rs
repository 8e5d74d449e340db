//! `AT TIME ZONE`: the zone that a moment is shown in is part of its column's Arrow type.

use super::evaluate;
use crate::query::error::{Position, QueryError};
use crate::types::TrinoType;
use arrow::array::timezone::Tz;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// `x AT TIME ZONE z`, as a call.
pub(in crate::query) const AT_TIMEZONE: &str = "at_timezone";

pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![ScalarUDF::new_from_impl(AtTimeZone { signature: Signature::any(2, Volatility::Immutable) })]
}

/// The name of a zone as Arrow has it.
pub(in crate::query) fn zone_name(text: &str) -> Option<String> {
    let text = text.trim();
    let upper = text.to_ascii_uppercase();
    if matches!(upper.as_str(), "UTC" | "Z" | "GMT" | "UT" | "ETC/UTC") {
        return Some("UTC".into());
    }
    let offset = upper.strip_prefix("UTC").or_else(|| upper.strip_prefix("GMT")).unwrap_or(&upper);
    let name = match offset.strip_prefix(['+', '-']) {
        Some(digits) => {
            let sign = &offset[..1];
            let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "00"));
            format!(
                "{sign}{:02}:{:02}",
                hours.parse::<u8>().ok().filter(|h| *h <= 14)?,
                minutes.parse::<u8>().ok().filter(|m| *m < 60)?
            )
        }
        None => text.to_owned(),
    };
    if name == "+00:00" || name == "-00:00" {
        return Some("UTC".into());
    }
    name.parse::<Tz>().ok().map(|_| name)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AtTimeZone {
    signature: Signature,
}

impl ScalarUDFImpl for AtTimeZone {
    fn name(&self) -> &str {
        AT_TIMEZONE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of {AT_TIMEZONE} follows from its arguments")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let precision = match TrinoType::of_field(&args.arg_fields[0]) {
            TrinoType::Timestamp(precision) | TrinoType::TimestampWithZone(precision) => precision,
            other => {
                let message = format!("Type of value must be a time or timestamp with or without time zone (actual {other})");
                return Err(QueryError::TypeMismatch { position: Position::START, message }.into());
            }
        };
        let text = match args.scalar_arguments.get(1) {
            Some(Some(ScalarValue::Utf8(Some(text)))) => text,
            _ => return Err(QueryError::NotSupported("AT TIME ZONE with a zone that is not a constant".into()).into()),
        };
        let Some(zone) = zone_name(text) else {
            return Err(QueryError::InvalidArgument(format!("Time zone not supported: {text}")).into());
        };
        let field = Field::new(AT_TIMEZONE, DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into())), true);
        Ok(Arc::new(TrinoType::TimestampWithZone(precision).mark(field)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let target = args.return_field.data_type().clone();
        evaluate(args, |arrays| {
            // Without a zone it is a time of UTC, the session's zone.
            let moment = match arrays[0].data_type() {
                DataType::Timestamp(_, None) => {
                    cast(&arrays[0], &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))?
                }
                _ => Arc::clone(&arrays[0]),
            };
            Ok(cast(&moment, &target)?)
        })
    }
}
