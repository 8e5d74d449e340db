//! Athena's numbers for errors.

use super::execute::RunError;
use super::model::QueryFailure;
use millpond_core::error::ErrorKind;

const SYSTEM: i32 = 1;
const USER: i32 = 2;

/// The `ErrorType` of what users did wrong, by the error's name (Athena user guide, "Athena error catalog", and what Athena was seen to answer).
const USER_TYPES: &[(&str, i32)] = &[
    ("DIVISION_BY_ZERO", 1001),
    ("HIVE_BAD_DATA", 1001),
    ("TYPE_MISMATCH", 1002),
    ("SYNTAX_ERROR", 1006),
    ("COLUMN_NOT_FOUND", 1006),
    ("CATALOG_NOT_FOUND", 1006),
    ("INVALID_CAST_ARGUMENT", 1100),
    ("NUMERIC_VALUE_OUT_OF_RANGE", 1100),
    ("INVALID_PARAMETER_USAGE", 1100),
    ("MISSING_COLUMN_NAME", 1100),
    ("HIVE_INVALID_METADATA", 1103),
    ("INVALID_TABLE_PROPERTY", 1103),
    ("INVALID_VIEW", 1107),
    ("VIEW_IS_STALE", 1107),
    ("VIEW_IS_RECURSIVE", 1107),
    ("INVALID_FUNCTION_ARGUMENT", 1106),
    ("TABLE_ALREADY_EXISTS", 1110),
    ("NOT_SUPPORTED", 1200),
    ("NOT_FOUND", 1300),
    ("TABLE_NOT_FOUND", 1301),
    ("SCHEMA_NOT_FOUND", 1301),
    ("FUNCTION_NOT_FOUND", 1303),
];

/// The same for messages without a name, by how they begin.
const TEXTS: &[(&str, i32)] = &[
    ("Query type not supported by", 1200),
    ("Unsupported table property key", 1200),
    ("Iceberg create table statement does not allow", 1200),
    ("Bytes scanned limit was exceeded", 1008),
];

/// User errors of Trino's that have no number of their own.
const OTHER_USER: i32 = 1000;

/// What `GetQueryExecution` says of a failure in its `AthenaError`.
pub(super) fn failure(error: &RunError) -> QueryFailure {
    let name = error.message.split_once(": ").map(|(name, _)| name).filter(|name| is_name(name));
    let (category, error_type, retryable) = match (name, error.kind) {
        (_, ErrorKind::Bug) => (SYSTEM, 200, true),
        (Some("HIVE_METASTORE_ERROR"), _) => (SYSTEM, 204, true),
        (_, ErrorKind::Retry) => (SYSTEM, 401, true),
        (Some("EXCEEDED_LOCAL_MEMORY_LIMIT"), _) => (USER, 0, false),
        (Some(name), _) if name.starts_with("ICEBERG_") => (USER, 233, false),
        (Some(name), _) => (USER, user_type(name), false),
        (None, _) if TEXTS.iter().any(|(text, _)| error.message.starts_with(text)) => (USER, text_type(&error.message), false),
        // Hive's messages begin with `FAILED:`.
        (None, ErrorKind::Missing) => (USER, 1006, false),
        (None, _) => (USER, 1100, false),
    };
    QueryFailure { category, error_type, retryable, message: error.message.clone() }
}

fn user_type(name: &str) -> i32 {
    USER_TYPES.iter().find(|(known, _)| *known == name).map_or(OTHER_USER, |(_, number)| *number)
}

fn text_type(message: &str) -> i32 {
    TEXTS.iter().find(|(text, _)| message.starts_with(text)).map_or(OTHER_USER, |(_, number)| *number)
}

/// Whether this is Trino's name of an error: `TYPE_MISMATCH`. (Hive's `FAILED` has no underscore.)
fn is_name(text: &str) -> bool {
    text.contains('_') && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}
