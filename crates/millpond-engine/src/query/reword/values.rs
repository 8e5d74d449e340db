//! Errors of values, most of which come while a query runs; and what all messages have in common.

use crate::query::error::{Position, QueryError};
use crate::query::words::{speaks_of_the_inside, trino_words};
use datafusion::arrow::error::ArrowError;

pub(super) fn arrow_error(error: &ArrowError) -> QueryError {
    match error {
        ArrowError::DivideByZero => QueryError::DivisionByZero,
        ArrowError::CastError(message) | ArrowError::ParseError(message) => cast_error(&clean(message)),
        ArrowError::ArithmeticOverflow(message) => overflow(&clean(message)),
        ArrowError::MemoryError(message) => QueryError::ExceededMemory(first_lines(message)),
        ArrowError::InvalidArgumentError(message) => execution(message),
        ArrowError::ComputeError(message) => execution(message),
        error => other(&error.to_string()),
    }
}

/// A value that does not fit the type that it is cast to.
pub(super) fn cast_error(text: &str) -> QueryError {
    if let Some((value, target)) = text.split_once("Can't cast value ").and_then(|(_, rest)| rest.split_once(" to type ")) {
        return QueryError::OutOfRange(format!("Out of range for {}: {value}", trino_words(target.trim_end_matches('.'))));
    }
    let string = text
        .split_once("Cannot cast string '")
        .and_then(|(_, rest)| rest.rsplit_once("' to value of "))
        .map(|(value, rest)| (value, rest.strip_suffix(" type").unwrap_or(rest)));
    if let Some((value, target)) = string {
        return QueryError::InvalidCast(cannot_cast(value, &trino_words(target)));
    }
    if let Some(value) = between(text, "Error parsing timestamp from '", "'") {
        return QueryError::InvalidCast(format!("Value cannot be cast to timestamp: {value}"));
    }
    if let Some((_, rest)) = text.split_once("too large to store in a ") {
        let value = between(text, "Value ", " is").or_else(|| text.split_whitespace().next()).unwrap_or_default();
        let precision = between(rest, "of precision ", ".").unwrap_or_default();
        return QueryError::InvalidCast(format!(
            "Cannot cast {value} to DECIMAL of precision {precision}: it has too many digits"
        ));
    }
    if let Some(target) = between(text, "Cannot cast to ", ". Overflowing") {
        let value = text.rsplit("on ").next().unwrap_or_default();
        return QueryError::InvalidCast(format!("Cannot cast {value} to {}", trino_words(target).to_uppercase()));
    }
    QueryError::InvalidCast(said(text, "the value cannot be cast to the type"))
}

fn cannot_cast(value: &str, target: &str) -> String {
    match target {
        "date" => format!("Value cannot be cast to date: {value}"),
        target if target.starts_with("timestamp") => format!("Value cannot be cast to timestamp: {value}"),
        target if target.starts_with("time") => format!("Value cannot be cast to time: {value}"),
        target if target.starts_with("decimal") => {
            format!("Cannot cast VARCHAR '{value}' to {}. Value is not a number.", target.to_uppercase())
        }
        "integer" => format!("Cannot cast '{value}' to INT"),
        target => format!("Cannot cast '{value}' to {}", target.to_uppercase()),
    }
}

fn overflow(text: &str) -> QueryError {
    let Some((_, operation)) = text.split_once("Overflow happened on: ") else {
        return QueryError::OutOfRange(said(text, "a number is out of its type's range"));
    };
    let name = [(" + ", "addition"), (" - ", "subtraction"), (" * ", "multiplication"), (" / ", "division")];
    let name = name.iter().find(|(op, _)| operation.contains(op)).map_or("arithmetic", |(_, name)| name);
    let small = operation.split_whitespace().all(|part| part.parse::<i64>().map_or(true, |v| i32::try_from(v).is_ok()));
    QueryError::OutOfRange(format!("{} {name} overflow: {operation}", if small { "integer" } else { "bigint" }))
}

pub(super) fn execution(message: &str) -> QueryError {
    let text = clean(message);
    let lower = text.to_ascii_lowercase();
    if lower.contains("divide by zero") || lower.contains("division by zero") {
        return QueryError::DivisionByZero;
    }
    if lower.contains("scalar subquery") || lower.contains("more than one row") {
        return QueryError::SubqueryMultipleRows;
    }
    if ["cannot cast", "error parsing", "can't cast", "too large to store"].iter().any(|words| lower.contains(words)) {
        return cast_error(&text);
    }
    if lower.contains("overflow") || lower.contains("out of range") {
        return overflow(&text);
    }
    QueryError::InvalidArgument(said(&text, "an argument is out of its domain"))
}

pub(super) fn other(message: &str) -> QueryError {
    let text = clean(message);
    let lower = text.to_ascii_lowercase();
    if lower.contains("divide by zero") || lower.contains("dividebyzero") {
        return QueryError::DivisionByZero;
    }
    // Parquet's reader passes on what a condition met as a text.
    if let Some(message) = between(&text, "CastError(\"", "\")") {
        return cast_error(&message.replace("\\'", "'"));
    }
    if lower.contains("regex parse error") {
        let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        return QueryError::InvalidArgument(format!("the pattern is not a regular expression: {why}"));
    }
    if text.contains("BooleanArray") || text.contains("returning a boolean") || lower.contains("to type boolean") {
        return QueryError::TypeMismatch { position: Position::START, message: "a condition must evaluate to a boolean".into() };
    }
    if lower.contains("resources exhausted") || lower.contains("failed to allocate") {
        return QueryError::ExceededMemory(first_lines(&text));
    }
    tracing::error!(error = %text, "a query failed for a reason that is not the user's");
    QueryError::Internal(said(&text, "the query failed; the reason is in the server's log"))
}

/// The text in Trino's words; `instead`, and a line in the log, where it speaks of the engine's inside all the same.
pub(super) fn said(text: &str, instead: &str) -> String {
    let worded = trino_words(text);
    if speaks_of_the_inside(&worded) {
        tracing::warn!(error = %text, "an error's words are not for clients");
        return instead.to_owned();
    }
    worded
}

/// DataFusion's prefixes and the hints for its own users do not help ours.
pub(super) fn clean(message: &str) -> String {
    let mut text = message.trim();
    loop {
        let before = text;
        for prefix in [
            "Error during planning: ",
            "Execution error: ",
            "Arrow error: ",
            "Cast error: ",
            "Parser error: ",
            "Invalid argument error: ",
            "Compute error: ",
            "External error: ",
            "Internal error: ",
            "Schema error: ",
            "Optimizer rule 'simplify_expressions' failed\ncaused by\n",
            "Optimizer rule 'common_sub_expression_eliminate' failed\ncaused by\n",
            "type_coercion\ncaused by\n",
            "This feature is not implemented: ",
        ] {
            text = text.strip_prefix(prefix).unwrap_or(text);
        }
        if text == before {
            break;
        }
    }
    let end = [". This issue was likely caused by a bug", "\n\nbacktrace:", "\n\nBacktrace:"]
        .iter()
        .filter_map(|mark| text.find(mark))
        .min();
    text[..end.unwrap_or(text.len())].trim().to_owned()
}

/// What is too large, without the engine's names of its consumers.
pub(super) fn first_lines(message: &str) -> String {
    let text = clean(message);
    // The greatest consumers may be named first.
    let sized = text.lines().find(|line| line.contains("allocate additional "));
    let first = sized.or_else(|| text.lines().next()).unwrap_or_default();
    let size = |before: &str, after: &str| between(first, before, after).map(str::to_owned);
    match (size("allocate additional ", " for "), size(" with ", " already allocated")) {
        (Some(more), Some(have)) => format!("an operator that holds {have} needs {more} more"),
        (Some(more), None) => format!("an operator needs {more} more"),
        _ => said(first, "an operator needs more memory than is left"),
    }
}

pub(in crate::query) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = text.split_once(before)?.1;
    rest.split(after).next()
}
