//! `t FOR VERSION AS OF …` and `t FOR TIMESTAMP AS OF …`: the version becomes part of the table's name, by which the catalog is asked.

use super::error::{Position, QueryError};
use super::parse::adapt::VERSION_NAME;
use crate::iceberg::provider::{Asked, suffix};
use crate::table::TimeTravel;
use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, DateTimeField, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectNamePart,
    TableAlias, TableFactor, TableVersion, UnaryOperator, Value,
};
use std::str::FromStr;

/// Puts a table's version into its name.
///
/// # Errors
/// What stands for the version is none.
pub(crate) fn rename(factor: &mut TableFactor) -> Result<(), QueryError> {
    let TableFactor::Table { name, alias, version, .. } = factor else { return Ok(()) };
    let asked = match version.take() {
        None => return Ok(()),
        Some(TableVersion::VersionAsOf(expr)) => Asked::At(by_id(&expr)?),
        Some(TableVersion::TimestampAsOf(expr)) => by_time(&expr)?,
        Some(_) => return Err(wrong("mismatched input 'SYSTEM_TIME'. Expecting: 'TIMESTAMP', 'VERSION'")),
    };
    let Some(ObjectNamePart::Identifier(last)) = name.0.last_mut() else { return Ok(()) };
    if alias.is_none() {
        let name = Ident { value: last.value.clone(), quote_style: last.quote_style, span: last.span };
        *alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
    }
    last.value.push_str(&suffix(&asked));
    last.quote_style = Some('"');
    Ok(())
}

fn wrong(message: impl Into<String>) -> QueryError {
    QueryError::Semantic { position: Position::START, message: message.into() }
}

fn by_id(expr: &Expr) -> Result<TimeTravel, QueryError> {
    match expr {
        Expr::Nested(inner) => by_id(inner),
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => {
                let id = digits.parse().map_err(|_| wrong(format!("the version {digits} is no snapshot id")))?;
                Ok(TimeTravel::Snapshot(id))
            }
            Value::SingleQuotedString(name) => Ok(TimeTravel::Reference(name.clone())),
            _ => Err(wrong("FOR VERSION AS OF takes the id of a snapshot, or the name of a branch or tag")),
        },
        _ => Err(wrong("FOR VERSION AS OF takes the id of a snapshot, or the name of a branch or tag")),
    }
}

const TIME: &str = "FOR TIMESTAMP AS OF takes a date or timestamp, or the current one less an interval";

fn by_time(expr: &Expr) -> Result<Asked, QueryError> {
    match expr {
        Expr::Nested(inner) => by_time(inner),
        Expr::TypedString(typed) => match &typed.value.value {
            Value::SingleQuotedString(text) => micros(text).map(|micros| Asked::At(TimeTravel::Timestamp(micros))),
            _ => Err(wrong(TIME)),
        },
        Expr::Cast { expr, .. } => by_time(expr),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => micros(text).map(|micros| Asked::At(TimeTravel::Timestamp(micros))),
            _ => Err(wrong(TIME)),
        },
        Expr::Function(call) => {
            let name =
                call.name.0.iter().filter_map(|part| part.as_ident()).map(|part| part.value.to_lowercase()).collect::<String>();
            if name == VERSION_NAME {
                return reference(&call.args).map(|name| Asked::At(TimeTravel::Reference(name)));
            }
            let now = ["now", "current_timestamp", "localtimestamp", "current_date"].contains(&name.as_str());
            if now { Ok(Asked::Ago(0)) } else { Err(wrong(TIME)) }
        }
        Expr::Identifier(name) if name.value.eq_ignore_ascii_case("current_timestamp") => Ok(Asked::Ago(0)),
        Expr::BinaryOp { left, op: BinaryOperator::Minus, right } => {
            let less = interval(right)?;
            Ok(match by_time(left)? {
                Asked::Ago(micros) => Asked::Ago(micros.saturating_add(less)),
                Asked::At(TimeTravel::Timestamp(micros)) => Asked::At(TimeTravel::Timestamp(micros.saturating_sub(less))),
                Asked::At(other) => Asked::At(other),
            })
        }
        _ => Err(wrong(TIME)),
    }
}

/// The name of a branch or tag, which the parser can only read as a function's argument.
fn reference(arguments: &FunctionArguments) -> Result<String, QueryError> {
    let FunctionArguments::List(list) = arguments else { return Err(wrong(TIME)) };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] => match &value.value {
            Value::SingleQuotedString(name) => Ok(name.clone()),
            _ => Err(wrong(TIME)),
        },
        _ => Err(wrong(TIME)),
    }
}

/// Microseconds since the epoch; without a zone in UTC.
fn micros(text: &str) -> Result<i64, QueryError> {
    let text = text.trim();
    let zoned = text.rsplit_once(' ').and_then(|(time, zone)| Some((time, Tz::from_str(zone).ok()?)));
    let utc = || Tz::from_str("+00:00").map(|utc| (text, utc));
    let (time, zone) = zoned.map_or_else(utc, Ok).map_err(|error| wrong(error.to_string()))?;
    let parsed = string_to_datetime(&zone, time).map_err(|_| wrong(format!("'{text}' is not a timestamp")))?;
    Ok(parsed.timestamp_micros())
}

/// Microseconds of an interval of days or less.
fn interval(expr: &Expr) -> Result<i64, QueryError> {
    let Expr::Interval(interval) = expr else { return Err(wrong(TIME)) };
    let count = number(&interval.value)?;
    let unit = match &interval.leading_field {
        Some(DateTimeField::Second | DateTimeField::Seconds) => 1_000_000,
        Some(DateTimeField::Minute | DateTimeField::Minutes) => 60_000_000,
        Some(DateTimeField::Hour | DateTimeField::Hours) => 3_600_000_000,
        Some(DateTimeField::Day | DateTimeField::Days) => 86_400_000_000,
        _ => return Err(wrong("FOR TIMESTAMP AS OF takes intervals of seconds, minutes, hours and days")),
    };
    count.checked_mul(unit).ok_or_else(|| wrong("the interval is too long"))
}

fn number(expr: &Expr) -> Result<i64, QueryError> {
    match expr {
        Expr::Value(ast::ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => {
            text.trim().parse().map_err(|_| wrong(format!("'{text}' is no number of an interval")))
        }
        Expr::Value(ast::ValueWithSpan { value: Value::Number(digits, _), .. }) => {
            digits.parse().map_err(|_| wrong(format!("{digits} is no number of an interval")))
        }
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => Ok(-number(expr)?),
        _ => Err(wrong(TIME)),
    }
}
