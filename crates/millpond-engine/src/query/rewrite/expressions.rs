//! Literals, casts and other expressions as the planner is given them.

use super::super::calls::{call, extract_field};
use super::super::error::QueryError;
use super::super::operators::{self, AT_TIMEZONE, CAST, NEGATION, TRY_CAST, literal_error};
use super::super::parse::{first_span, position};
use super::super::template::instantiate;
use crate::types::TrinoType;
use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, CastKind, DataType, DateTimeField, Expr, ExtractSyntax, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, Interval, UnaryOperator, Value, WindowFrameBound, WindowType,
};
use datafusion::sql::sqlparser::tokenizer::Span;

/// What must not be taken for an ordinary expression: the bounds of windows' frames.
pub(super) fn before(expr: &mut Expr) {
    let Expr::Function(Function { over: Some(WindowType::WindowSpec(spec)), .. }) = expr else { return };
    let Some(frame) = &mut spec.window_frame else { return };
    for bound in std::iter::once(&mut frame.start_bound).chain(&mut frame.end_bound) {
        let (WindowFrameBound::Preceding(Some(bound)) | WindowFrameBound::Following(Some(bound))) = bound else { continue };
        match bound.as_mut() {
            Expr::Value(value) => {
                if let Value::Number(digits, _) = &value.value {
                    let text = Value::SingleQuotedString(digits.clone()).with_span(value.span);
                    **bound = Expr::Interval(Interval {
                        value: Box::new(Expr::Value(text)),
                        leading_field: None,
                        leading_precision: None,
                        last_field: None,
                        fractional_seconds_precision: None,
                    });
                }
            }
            Expr::Interval(interval) => interval.fractional_seconds_precision = Some(FRAME),
            _ => {}
        }
    }
}

/// Marks an interval that bounds a frame.
const FRAME: u64 = u64::MAX;

/// An expression's other form, its parts being rewritten already.
pub(in crate::query) fn after(expr: &mut Expr) -> Option<Result<Expr, QueryError>> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, false) => number(digits, value.span),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => Some(Ok(negated(expr))),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => Some(Ok(std::mem::replace(expr, Expr::value(Value::Null)))),
        Expr::Interval(interval) if interval.leading_field.is_some() && interval.fractional_seconds_precision != Some(FRAME) => {
            Some(self::interval(interval))
        }
        Expr::TypedString(typed) => {
            let Value::SingleQuotedString(text) = &typed.value.value else { return None };
            Some(typed_literal(&typed.data_type, text, typed.value.span))
        }
        Expr::Cast { kind, expr: input, data_type, .. } => cast(kind, input, data_type),
        Expr::AtTimeZone { timestamp, time_zone } => {
            let span = first_span(timestamp);
            let moment = moment_of(timestamp).unwrap_or(timestamp).clone();
            Some(Ok(call(AT_TIMEZONE, vec![moment, time_zone.as_ref().clone()], span)))
        }
        // Trino's fields are bigint.
        Expr::Extract { field, expr: input, .. } if !is_integer(field) => {
            let field = text(&extract_field(&field.to_string()), Span::empty());
            Some(instantiate("CAST(date_part($1, $2) AS BIGINT)", &[field, input.as_ref().clone()], first_span(input)))
        }
        Expr::Array(array) => Some(Ok(call(operators::ARRAY, std::mem::take(&mut array.elem), Span::empty()))),
        Expr::Tuple(fields) if fields.len() > 1 => Some(Ok(call(operators::ROW, std::mem::take(fields), Span::empty()))),
        Expr::CompoundFieldAccess { root, access_chain } => {
            fields(root, access_chain);
            None
        }
        Expr::Like { pattern, escape_char, .. } => unescaped(pattern, escape_char).err().map(Err),
        _ => None,
    }
}

/// Fields of a row that is no column, by name: the planner takes texts for those.
fn fields(root: &Expr, chain: &mut [AccessExpr]) {
    let is_column = matches!(root, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
    let name = |access: &AccessExpr| matches!(access, AccessExpr::Dot(Expr::Identifier(_)));
    let of_column = if is_column { chain.iter().take_while(|access| name(access)).count() } else { 0 };
    for access in &mut chain[of_column..] {
        if let AccessExpr::Dot(field) = access
            && let Expr::Identifier(ident) = &*field
        {
            *field = text(&ident.value, ident.span);
        }
    }
}

/// The moment that is shown in a zone already: in which one no longer matters when it is to be shown in another.
fn moment_of(expr: &Expr) -> Option<&Expr> {
    let Expr::Function(function) = expr else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(moment)), FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(zone)))] =
        list.args.as_slice()
    else {
        return None;
    };
    let known = matches!(&zone.value, Value::SingleQuotedString(zone) if operators::zone_name(zone).is_some());
    (function.name.to_string() == AT_TIMEZONE && known).then_some(moment)
}

fn text(text: &str, span: Span) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.to_owned()).with_span(span))
}

fn analysis(name: &'static str, span: Span, message: String) -> QueryError {
    QueryError::Analysis { name, position: position(span), message }
}

/// Whole numbers are `integer`, or `bigint` where they must; with a point or an exponent `double`.
fn number(digits: &str, span: Span) -> Option<Result<Expr, QueryError>> {
    if digits.contains(['.', 'e', 'E']) {
        return None;
    }
    match digits.parse::<i64>() {
        Ok(value) if i32::try_from(value).is_ok() => Some(Ok(integer(digits.to_owned(), span))),
        Ok(_) => None,
        Err(_) => Some(Err(analysis("INVALID_LITERAL", span, format!("Invalid numeric literal: {digits}")))),
    }
}

/// The planner makes 64 bits of a number. What it hands on to be planned, with the number in it, is an `EXTRACT` (see [`operators::INTEGER`]).
fn integer(digits: String, span: Span) -> Expr {
    Expr::Extract {
        field: DateTimeField::Custom(Ident::new(operators::INTEGER)),
        syntax: ExtractSyntax::From,
        expr: Box::new(Expr::Value(Value::Number(digits, true).with_span(span))),
    }
}

fn is_integer(field: &DateTimeField) -> bool {
    matches!(field, DateTimeField::Custom(ident) if ident.value == operators::INTEGER)
}

/// An `integer` literal as a `bigint`.
pub(in crate::query) fn widen(expr: &mut Expr) {
    if let Expr::Extract { field, expr: input, .. } = expr
        && is_integer(field)
    {
        *expr = std::mem::replace(input, Expr::value(Value::Null));
    }
}

fn negated(expr: &mut Expr) -> Expr {
    if let Expr::Extract { field, expr: input, .. } = expr
        && is_integer(field)
        && let Expr::Value(value) = input.as_ref()
        && let Value::Number(digits, _) = &value.value
        && !digits.starts_with('-')
    {
        return integer(format!("-{digits}"), value.span);
    }
    let span = first_span(expr);
    let inner = std::mem::replace(expr, Expr::value(Value::Null));
    Expr::BinaryOp {
        left: Box::new(inner),
        op: operators::place(NEGATION, position(span)),
        right: Box::new(Expr::value(Value::Null)),
    }
}

/// `CAST(x AS t)` as a call.
fn cast(kind: &CastKind, input: &mut Expr, data_type: &DataType) -> Option<Result<Expr, QueryError>> {
    let name = match kind {
        CastKind::Cast | CastKind::DoubleColon => CAST,
        CastKind::TryCast | CastKind::SafeCast => TRY_CAST,
    };
    let span = first_span(input);
    let target = match TrinoType::parse(&data_type.to_string()) {
        Ok(target) => target,
        Err(message) => return Some(Err(QueryError::TypeMismatch { position: position(span), message })),
    };
    let input = std::mem::replace(input, Expr::value(Value::Null));
    Some(Ok(call(name, vec![input, text(&target.to_string(), span)], span)))
}

/// `TYPE 'text'`.
fn typed_literal(data_type: &DataType, literal: &str, span: Span) -> Result<Expr, QueryError> {
    let invalid = |message: String| analysis("INVALID_LITERAL", span, message);
    let written = data_type.to_string();
    let mut target =
        TrinoType::parse(&written).map_err(|message| QueryError::TypeMismatch { position: position(span), message })?;
    let mut zone = None;
    match &target {
        TrinoType::Decimal(..) if !written.contains('(') => {
            target = decimal_of(literal).ok_or_else(|| invalid(format!("'{literal}' is not a valid DECIMAL literal")))?;
        }
        TrinoType::Timestamp(_) | TrinoType::TimestampWithZone(_) => {
            let digits = fraction_digits(literal);
            let Some((_, named)) = operators::moment(literal) else {
                return Err(invalid(format!("'{literal}' is not a valid TIMESTAMP literal")));
            };
            target = if named.is_some() { TrinoType::TimestampWithZone(digits) } else { TrinoType::Timestamp(digits) };
            zone = named;
        }
        TrinoType::Time(_) => {
            let digits = fraction_digits(literal);
            let zoned = literal.trim().contains(['+', '-']) || literal.trim().ends_with(|c: char| c.is_alphabetic());
            target = if zoned { TrinoType::TimeWithZone(digits) } else { TrinoType::Time(digits) };
        }
        TrinoType::Json => {
            let parsed = serde_json::from_str::<serde_json::Value>(literal);
            let value = parsed.map_err(|_| invalid(format!("'{literal}' is not a valid JSON literal")))?;
            // A text becomes a JSON string by a cast: a value goes through what reads JSON.
            return Ok(call("json_parse", vec![text(&value.to_string(), span)], span));
        }
        _ => {}
    }
    if literal_error(literal, &target).is_some() {
        let name = match &target {
            TrinoType::Integer => "INTEGER".to_owned(),
            other => other.base_name().to_uppercase(),
        };
        return Err(invalid(format!("'{literal}' is not a valid {name} literal")));
    }
    let value = call(CAST, vec![text(literal, span), text(&target.to_string(), span)], span);
    Ok(match zone {
        Some(zone) => call(AT_TIMEZONE, vec![value, text(&zone, span)], span),
        None => value,
    })
}

/// At least three, which is what a time without precision has.
fn fraction_digits(literal: &str) -> u8 {
    let digits = literal.split_once('.').map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count());
    u8::try_from(digits.clamp(3, 12)).unwrap_or(3)
}

/// Of its digits, zeros in front and at the end too.
fn decimal_of(literal: &str) -> Option<TrinoType> {
    let unsigned = literal.trim().strip_prefix(['-', '+']).unwrap_or(literal.trim());
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let precision = u8::try_from(whole.len() + fraction.len()).ok().filter(|precision| (1..=38).contains(precision))?;
    unsigned
        .bytes()
        .all(|b| b.is_ascii_digit() || b == b'.')
        .then_some(TrinoType::Decimal(precision, u8::try_from(fraction.len()).ok()?))
}

/// `LIKE` has no escape unless one is named; the planner's has the backslash.
fn unescaped(pattern: &mut Expr, escape: &mut Option<ast::ValueWithSpan>) -> Result<(), QueryError> {
    let named = match escape.take().map(|value| value.value) {
        Some(Value::SingleQuotedString(named)) => Some(named),
        Some(other) => return Err(QueryError::InvalidArgument(format!("Escape string must be a single character, not {other}"))),
        None => None,
    };
    if let Expr::Value(value) = pattern
        && let Value::SingleQuotedString(text) = &mut value.value
    {
        *text = match &named {
            Some(named) => operators::backslashed(text, named)?,
            None => text.replace('\\', "\\\\"),
        };
        return Ok(());
    }
    let span = first_span(pattern);
    let inner = std::mem::replace(pattern, Expr::value(Value::Null));
    *pattern = match named {
        Some(named) => call(operators::LIKE_PATTERN, vec![inner, text(&named, span)], span),
        None => call("replace", vec![inner, text("\\", span), text("\\\\", span)], span),
    };
    Ok(())
}

/// `INTERVAL '2' DAY` as a number of its unit's parts.
fn interval(interval: &Interval) -> Result<Expr, QueryError> {
    let span = first_span(&interval.value);
    let invalid = |literal: &str| analysis("INVALID_LITERAL", span, format!("Invalid INTERVAL literal: {literal}"));
    let (literal, negative) = match interval.value.as_ref() {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => (text.clone(), false),
            other => return Err(invalid(&other.to_string())),
        },
        Expr::BinaryOp { left, .. } => match left.as_ref() {
            Expr::Value(value) => (value.value.clone().into_string().unwrap_or_default(), true),
            other => return Err(invalid(&other.to_string())),
        },
        other => return Err(invalid(&other.to_string())),
    };
    let first = interval.leading_field.as_ref().and_then(unit).ok_or_else(|| invalid(&literal))?;
    let last = match &interval.last_field {
        Some(field) => unit(field).ok_or_else(|| invalid(&literal))?,
        None => first,
    };
    let count = count(&literal, first, last).ok_or_else(|| invalid(&literal))?;
    let count = if negative { -count } else { count };
    let months = first <= Unit::Month;
    let name = if months { "interval year to month" } else { "interval day to second" };
    let number = Expr::Value(Value::Number(count.to_string(), true).with_span(span));
    Ok(call(operators::INTERVAL, vec![number, text(name, span)], span))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Year,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
}

fn unit(field: &DateTimeField) -> Option<Unit> {
    Some(match field {
        DateTimeField::Year | DateTimeField::Years => Unit::Year,
        DateTimeField::Month | DateTimeField::Months => Unit::Month,
        DateTimeField::Week(None) | DateTimeField::Weeks => Unit::Week,
        DateTimeField::Day | DateTimeField::Days => Unit::Day,
        DateTimeField::Hour | DateTimeField::Hours => Unit::Hour,
        DateTimeField::Minute | DateTimeField::Minutes => Unit::Minute,
        DateTimeField::Second | DateTimeField::Seconds => Unit::Second,
        _ => return None,
    })
}

/// Months, or microseconds.
fn count(literal: &str, first: Unit, last: Unit) -> Option<i64> {
    const SECOND: i64 = 1_000_000;
    let literal = literal.trim();
    let (sign, unsigned) = match literal.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, literal.strip_prefix('+').unwrap_or(literal)),
    };
    if last < first || (first <= Unit::Month) != (last <= Unit::Month) {
        return None;
    }
    let scale = |unit: Unit| match unit {
        Unit::Year => 12,
        Unit::Month => 1,
        Unit::Week => 7 * 86_400 * SECOND,
        Unit::Day => 86_400 * SECOND,
        Unit::Hour => 3_600 * SECOND,
        Unit::Minute => 60 * SECOND,
        Unit::Second => SECOND,
    };
    let parts: Vec<&str> = unsigned.split(['-', ' ', ':']).collect();
    let units = [Unit::Year, Unit::Month, Unit::Week, Unit::Day, Unit::Hour, Unit::Minute, Unit::Second];
    let units: Vec<Unit> = units.into_iter().filter(|unit| (first..=last).contains(unit)).collect();
    if parts.len() != units.len() {
        return None;
    }
    let mut total = 0i64;
    for (part, unit) in parts.into_iter().zip(units) {
        let (whole, fraction) = match unit {
            Unit::Second => part.split_once('.').unwrap_or((part, "")),
            _ => (part, ""),
        };
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) || fraction.len() > 6 {
            return None;
        }
        total = total.checked_add(whole.parse::<i64>().ok()?.checked_mul(scale(unit))?)?;
        if !fraction.is_empty() {
            total = total.checked_add(format!("{fraction:0<6}").parse::<i64>().ok()?)?;
        }
    }
    if first <= Unit::Month && i32::try_from(total).is_err() {
        return None;
    }
    Some(sign * total)
}
