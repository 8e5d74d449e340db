//! Athena's numbers for errors.

use super::execute::RunError;
use super::model::QueryFailure;
use millpond_core::error::ErrorKind;

const SYSTEM: i32 = 1;
const USER: i32 = 2;

/// The `ErrorType` of what users did wrong, by the error's name (Athena user guide, "Athena error catalog", and what Athena was seen to answer).
const USER_TYPES: &[(&str, i32)] = &[
    ("DIVISION_BY_ZERO", 1001),
    ("TYPE_MISMATCH", 1002),
    ("SYNTAX_ERROR", 1006),
    ("COLUMN_NOT_FOUND", 1006),
    ("CATALOG_NOT_FOUND", 1006),
    ("INVALID_CAST_ARGUMENT", 1100),
    ("NUMERIC_VALUE_OUT_OF_RANGE", 1100),
    ("INVALID_PARAMETER_USAGE", 1100),
    ("MISSING_COLUMN_NAME", 1100),
    ("INVALID_FUNCTION_ARGUMENT", 1106),
    ("TABLE_ALREADY_EXISTS", 1110),
    ("NOT_SUPPORTED", 1200),
    ("NOT_FOUND", 1300),
    ("TABLE_NOT_FOUND", 1301),
    ("SCHEMA_NOT_FOUND", 1301),
    ("FUNCTION_NOT_FOUND", 1303),
];

/// User errors of Trino's that have no number of their own.
const OTHER_USER: i32 = 1000;

/// What `GetQueryExecution` says of a failure in its `AthenaError`.
pub(super) fn failure(error: &RunError) -> QueryFailure {
    let name = error.message.split_once(": ").map(|(name, _)| name).filter(|name| is_name(name));
    let (category, error_type, retryable) = match (name, error.kind) {
        (_, ErrorKind::Bug) => (SYSTEM, 200, true),
        (_, ErrorKind::Retry) => (SYSTEM, 401, true),
        (Some(name), _) if name.starts_with("ICEBERG_") => (USER, 233, false),
        (Some(name), _) => (USER, user_type(name), false),
        // Hive's messages begin with `FAILED:`.
        (None, ErrorKind::Missing) => (USER, 1006, false),
        (None, _) => (USER, 1100, false),
    };
    QueryFailure { category, error_type, retryable, message: error.message.clone() }
}

fn user_type(name: &str) -> i32 {
    USER_TYPES.iter().find(|(known, _)| *known == name).map_or(OTHER_USER, |(_, number)| *number)
}

/// Whether this is Trino's name of an error: `TYPE_MISMATCH`. (Hive's `FAILED` has no underscore.)
fn is_name(text: &str) -> bool {
    text.contains('_') && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}
