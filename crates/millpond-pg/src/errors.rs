//! Errors as the protocol tells them: a class that programs know (SQLSTATE), a message, and the place in the statement.

use crate::frontend::ReadError;
use pgwire::error::ErrorInfo;

/// Trino's names of errors, as messages of Athena begin with them, with PostgreSQL's codes (its documentation, "PostgreSQL Error Codes").
/// The first whose name the message's begins with holds.
const CODES: &[(&str, &str)] = &[
    ("COLUMN_NOT_FOUND", "42703"),
    ("MISSING_COLUMN_NAME", "42601"),
    ("AMBIGUOUS_NAME", "42702"),
    ("TABLE_NOT_FOUND", "42P01"),
    ("TABLE_ALREADY_EXISTS", "42P07"),
    ("SCHEMA_NOT_FOUND", "3F000"),
    ("SCHEMA_ALREADY_EXISTS", "42P06"),
    ("MISSING_SCHEMA_NAME", "3F000"),
    ("CATALOG_NOT_FOUND", "3D000"),
    ("FUNCTION_NOT_FOUND", "42883"),
    ("SYNTAX_ERROR", "42601"),
    ("TYPE_MISMATCH", "42804"),
    ("EXPRESSION_NOT_AGGREGATE", "42803"),
    ("DIVISION_BY_ZERO", "22012"),
    ("NUMERIC_VALUE_OUT_OF_RANGE", "22003"),
    ("INVALID_CAST_ARGUMENT", "22P02"),
    ("INVALID_PARAMETER_USAGE", "07001"),
    ("INVALID_FUNCTION_ARGUMENT", "22023"),
    ("SUBQUERY_MULTIPLE_ROWS", "21000"),
    ("NOT_SUPPORTED", "0A000"),
    ("EXCEEDED_", "53200"),
    ("PERMISSION_DENIED", "42501"),
    ("ICEBERG_COMMIT_ERROR", "40001"),
    ("HIVE_", "58030"),
    ("ICEBERG_", "58030"),
];

/// `query_canceled`
pub(crate) const CANCELLED: &str = "57014";

/// Whether values do not have the types that they need.
pub(crate) fn is_mismatch(told: &ErrorInfo) -> bool {
    told.code == "42804"
}

/// An error that leaves the session as it is.
pub(crate) fn error(code: &str, message: impl Into<String>) -> ErrorInfo {
    let mut info = ErrorInfo::new("ERROR".into(), code.into(), message.into());
    info.severity_nonlocalized = Some("ERROR".into());
    info
}

/// An error that ends the session.
pub(crate) fn fatal(code: &str, message: impl Into<String>) -> ErrorInfo {
    let mut info = ErrorInfo::new("FATAL".into(), code.into(), message.into());
    info.severity_nonlocalized = Some("FATAL".into());
    info
}

/// The statement was stopped by another connection, or by the API.
pub(crate) fn cancelled() -> ErrorInfo {
    error(CANCELLED, "canceling statement due to user request")
}

/// An error of Athena's about the statement `sql`.
pub(crate) fn of_athena(message: &str, sql: &str) -> ErrorInfo {
    let name = message.split(':').next().unwrap_or_default();
    let is_name = name.contains('_') && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let position = position(message, sql);
    let code = CODES.iter().find(|(known, _)| is_name && name.starts_with(known)).map(|(_, code)| *code);
    // Without a name it is the parser's, which begins with the place.
    let code = code.unwrap_or(if !is_name && position.is_some() { "42601" } else { "XX000" });
    let mut info = error(code, message);
    info.position = position.map(|position| position.to_string());
    info
}

/// Where `line 2:7` is: characters from the beginning of the statement, from 1.
fn position(message: &str, sql: &str) -> Option<usize> {
    let rest = &message[message.find("line ")? + 5..];
    let (line, rest) = rest.split_once(':')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (line, column): (usize, usize) = (line.parse().ok()?, rest[..end].parse().ok()?);
    let before: usize = sql.split_inclusive('\n').take(line.checked_sub(1)?).map(|text| text.chars().count()).sum();
    let position = before + column;
    (position <= sql.chars().count() + 1).then_some(position)
}

/// A message that cannot be read ends the session: nobody knows where the next one begins.
pub(crate) fn of_read(error: &ReadError) -> ErrorInfo {
    fatal("08P01", error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_codes_and_places() {
        let check = |message: &str, sql: &str, code: &str, position: Option<&str>| {
            let info = of_athena(message, sql);
            assert_eq!((info.code.as_str(), info.position.as_deref()), (code, position), "{message}");
        };
        check("COLUMN_NOT_FOUND: line 1:8: Column 'x' cannot be resolved", "SELECT x", "42703", Some("8"));
        check("TABLE_NOT_FOUND: line 2:6: Table 'a' does not exist", "SELECT é\nFROM a", "42P01", Some("15"));
        check("line 1:1: mismatched input 'SELEC'", "SELEC", "42601", Some("1"));
        check("DIVISION_BY_ZERO: Division by zero", "SELECT 1/0", "22012", None);
        check("HIVE_BAD_DATA: a line 9:9: broken", "SELECT 1", "58030", None);
        check("Something else", "SELECT 1", "XX000", None);
    }
}
