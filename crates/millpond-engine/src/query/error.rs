//! Why a statement failed, in Athena's words.
//!
//! The variants carry Trino's error names (`COLUMN_NOT_FOUND: line 1:8: Column 'x' cannot be resolved`), which Athena shows as the
//! query's `StateChangeReason` and which clients match on. DataFusion's errors are turned into these here and nowhere else.

use super::reword::Words;
use super::sites::Sites;
use crate::table::SourceError;
use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use millpond_core::error::ErrorKind;
use std::fmt;

/// A place in the text of a statement; lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
}

impl Position {
    /// Where a statement begins.
    pub const START: Position = Position { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}:{}", self.line, self.column)
    }
}

/// Why a statement failed. Displayed as Athena words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The text is not a statement of the dialect.
    #[error("{position}: {message}")]
    Syntax {
        /// Where.
        position: Position,
        /// `mismatched input 'x'. Expecting: 'y'`
        message: String,
    },
    /// The text is a statement, and one that Athena does not even start. Without a place.
    #[error("{0}")]
    Refused(String),
    /// No column of this name is in scope.
    #[error(
        "COLUMN_NOT_FOUND: {position}: Column '{column}' cannot be resolved or requester is not authorized to access requested resources{}",
        did_you_mean(suggestion)
    )]
    ColumnNotFound {
        /// Where.
        position: Position,
        /// As written.
        column: String,
        /// The nearest name that is in scope.
        suggestion: Option<String>,
    },
    /// The name fits more than one column.
    #[error("AMBIGUOUS_NAME: {position}: Column '{column}' is ambiguous")]
    AmbiguousColumn {
        /// Where.
        position: Position,
        /// As written.
        column: String,
    },
    /// The database has no such table or view.
    #[error("TABLE_NOT_FOUND: {position}: Table 'awsdatacatalog.{database}.{table}' does not exist{}", did_you_mean(suggestion))]
    TableNotFound {
        /// Where.
        position: Position,
        /// Lower case.
        database: String,
        /// Lower case.
        table: String,
        /// The nearest name that the database has.
        suggestion: Option<String>,
    },
    /// The catalog has no such database.
    #[error("SCHEMA_NOT_FOUND: {position}: Schema '{database}' does not exist")]
    SchemaNotFound {
        /// Where.
        position: Position,
        /// Lower case.
        database: String,
    },
    /// There is one catalog, `awsdatacatalog`.
    #[error("CATALOG_NOT_FOUND: {position}: Catalog '{catalog}' does not exist. The lake's catalog is 'awsdatacatalog'")]
    CatalogNotFound {
        /// Where.
        position: Position,
        /// As written.
        catalog: String,
    },
    /// A table is named without a database, and the query has no default one.
    #[error("MISSING_SCHEMA_NAME: {0}: Schema must be specified when session schema is not set")]
    NoDatabase(Position),
    /// No function of this name.
    #[error("FUNCTION_NOT_FOUND: {position}: Function '{function}' not registered{}", did_you_mean(suggestion))]
    FunctionNotFound {
        /// Where.
        position: Position,
        /// Lower case.
        function: String,
        /// The nearest name that there is.
        suggestion: Option<String>,
    },
    /// Operands or arguments of the wrong type.
    #[error("TYPE_MISMATCH: {position}: {message}")]
    TypeMismatch {
        /// Where, as near as is known.
        position: Position,
        /// What.
        message: String,
    },
    /// A statement that is well formed but wrong (grouping, arity, misplaced functions).
    #[error("SYNTAX_ERROR: {position}: {message}")]
    Semantic {
        /// Where, as near as is known.
        position: Position,
        /// What.
        message: String,
    },
    /// A query was given more or fewer values than it has parameters.
    #[error("INVALID_PARAMETER_USAGE: {position}: {message}")]
    InvalidParameterUsage {
        /// Where the statement begins.
        position: Position,
        /// How many are wanted.
        message: String,
    },
    /// The same, by an error name of Trino's own.
    #[error("{name}: {position}: {message}")]
    Analysis {
        /// `EXPRESSION_NOT_AGGREGATE`, `INVALID_COLUMN_REFERENCE`, …
        name: &'static str,
        /// Where, as near as is known.
        position: Position,
        /// What.
        message: String,
    },
    /// Something of the dialect that is not done yet.
    #[error("NOT_SUPPORTED: {0}")]
    NotSupported(String),
    /// A value does not fit the type it is cast to.
    #[error("INVALID_CAST_ARGUMENT: {0}")]
    InvalidCast(String),
    /// An argument of a function is out of its domain.
    #[error("INVALID_FUNCTION_ARGUMENT: {0}")]
    InvalidArgument(String),
    /// Division by zero.
    #[error("DIVISION_BY_ZERO: Division by zero")]
    DivisionByZero,
    /// A number is out of its type's range.
    #[error("NUMERIC_VALUE_OUT_OF_RANGE: {0}")]
    OutOfRange(String),
    /// A scalar subquery gave several rows.
    #[error("SUBQUERY_MULTIPLE_ROWS: Scalar sub-query has returned multiple rows")]
    SubqueryMultipleRows,
    /// A file of a table can't be read as the table says.
    #[error("HIVE_BAD_DATA: {message} ({uri})")]
    BadData {
        /// `s3://bucket/key`
        uri: String,
        /// What is wrong with it.
        message: String,
    },
    /// A file of a table can't be opened.
    #[error("HIVE_CANNOT_OPEN_SPLIT: Error opening Hive split {uri}: {message}")]
    CannotOpen {
        /// `s3://bucket/key`
        uri: String,
        /// Why.
        message: String,
    },
    /// A partition's value is not of its key's type.
    #[error("HIVE_INVALID_PARTITION_VALUE: Invalid partition value '{value}' for {data_type} partition key: {key}")]
    InvalidPartitionValue {
        /// As in the catalog.
        value: String,
        /// The key's type.
        data_type: String,
        /// The key.
        key: String,
    },
    /// The table's description can't be used.
    #[error("HIVE_INVALID_METADATA: {0}")]
    InvalidMetadata(String),
    /// A view's text can't be planned any more.
    #[error("INVALID_VIEW: {position}: Failed analyzing stored view 'awsdatacatalog.{view}': {message}")]
    InvalidView {
        /// Where the view is used.
        position: Position,
        /// `database.view`
        view: String,
        /// Why.
        message: String,
    },
    /// The query needs more memory than it may have.
    #[error("EXCEEDED_LOCAL_MEMORY_LIMIT: Query exceeded the engine's memory limit: {0}")]
    ExceededMemory(String),
    /// Rows of a batch are so wide that all of them together take more memory than a batch may. The query begins again with fewer rows in a batch where
    /// it can; no client sees this error then.
    #[error("EXCEEDED_LOCAL_MEMORY_LIMIT: Query exceeded the engine's memory limit: {message}")]
    WideRows {
        /// What is too large.
        message: String,
        /// So many rows may do.
        fit: usize,
    },
    /// The workgroup's `BytesScannedCutoffPerQuery`, in bytes.
    #[error("Bytes scanned limit was exceeded: the query read more than {0} bytes")]
    ExceededScan(u64),
    /// Stopped by the user.
    #[error("Query was cancelled by user")]
    Cancelled,
    /// The catalog could not answer.
    #[error("HIVE_METASTORE_ERROR: {0}")]
    Source(String),
    /// What the table's source refuses, by Athena's name for it.
    #[error("{name}: {message}")]
    Table {
        /// `CONSTRAINT_VIOLATION`, `ICEBERG_MISSING_METADATA`, …
        name: &'static str,
        /// For people.
        message: String,
    },
    /// Ours.
    #[error("GENERIC_INTERNAL_ERROR: {0}")]
    Internal(String),
}

impl QueryError {
    /// What the error asks of the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TableNotFound { .. } | Self::SchemaNotFound { .. } | Self::CatalogNotFound { .. } => ErrorKind::Missing,
            Self::ExceededMemory(_) | Self::WideRows { .. } | Self::ExceededScan(_) => ErrorKind::Limit,
            Self::Cancelled => ErrorKind::Conflict,
            Self::Source(_) => ErrorKind::Retry,
            Self::Internal(_) => ErrorKind::Bug,
            Self::Syntax { .. }
            | Self::Refused(_)
            | Self::ColumnNotFound { .. }
            | Self::AmbiguousColumn { .. }
            | Self::NoDatabase(_)
            | Self::FunctionNotFound { .. }
            | Self::TypeMismatch { .. }
            | Self::Semantic { .. }
            | Self::InvalidParameterUsage { .. }
            | Self::Analysis { .. }
            | Self::NotSupported(_)
            | Self::InvalidCast(_)
            | Self::InvalidArgument(_)
            | Self::DivisionByZero
            | Self::OutOfRange(_)
            | Self::SubqueryMultipleRows
            | Self::BadData { .. }
            | Self::CannotOpen { .. }
            | Self::InvalidPartitionValue { .. }
            | Self::InvalidMetadata(_)
            | Self::Table { .. }
            | Self::InvalidView { .. } => ErrorKind::Input,
        }
    }

    /// Trino's name of the error; empty where Athena gives none (a syntax error, a stopped query).
    pub fn name(&self) -> &'static str {
        match self {
            Self::Syntax { .. } | Self::Refused(_) | Self::ExceededScan(_) | Self::Cancelled => "",
            Self::ColumnNotFound { .. } => "COLUMN_NOT_FOUND",
            Self::AmbiguousColumn { .. } => "AMBIGUOUS_NAME",
            Self::TableNotFound { .. } => "TABLE_NOT_FOUND",
            Self::SchemaNotFound { .. } => "SCHEMA_NOT_FOUND",
            Self::CatalogNotFound { .. } => "CATALOG_NOT_FOUND",
            Self::NoDatabase(_) => "MISSING_SCHEMA_NAME",
            Self::FunctionNotFound { .. } => "FUNCTION_NOT_FOUND",
            Self::TypeMismatch { .. } => "TYPE_MISMATCH",
            Self::Semantic { .. } => "SYNTAX_ERROR",
            Self::InvalidParameterUsage { .. } => "INVALID_PARAMETER_USAGE",
            Self::Analysis { name, .. } | Self::Table { name, .. } => name,
            Self::NotSupported(_) => "NOT_SUPPORTED",
            Self::InvalidCast(_) => "INVALID_CAST_ARGUMENT",
            Self::InvalidArgument(_) => "INVALID_FUNCTION_ARGUMENT",
            Self::DivisionByZero => "DIVISION_BY_ZERO",
            Self::OutOfRange(_) => "NUMERIC_VALUE_OUT_OF_RANGE",
            Self::SubqueryMultipleRows => "SUBQUERY_MULTIPLE_ROWS",
            Self::BadData { .. } => "HIVE_BAD_DATA",
            Self::CannotOpen { .. } => "HIVE_CANNOT_OPEN_SPLIT",
            Self::InvalidPartitionValue { .. } => "HIVE_INVALID_PARTITION_VALUE",
            Self::InvalidMetadata(_) => "HIVE_INVALID_METADATA",
            Self::InvalidView { .. } => "INVALID_VIEW",
            Self::ExceededMemory(_) | Self::WideRows { .. } => "EXCEEDED_LOCAL_MEMORY_LIMIT",
            Self::Source(_) => "HIVE_METASTORE_ERROR",
            Self::Internal(_) => "GENERIC_INTERNAL_ERROR",
        }
    }

    /// Where in the statement it is, when that is known.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Syntax { position, .. }
            | Self::ColumnNotFound { position, .. }
            | Self::AmbiguousColumn { position, .. }
            | Self::TableNotFound { position, .. }
            | Self::SchemaNotFound { position, .. }
            | Self::CatalogNotFound { position, .. }
            | Self::NoDatabase(position)
            | Self::FunctionNotFound { position, .. }
            | Self::TypeMismatch { position, .. }
            | Self::Semantic { position, .. }
            | Self::Analysis { position, .. }
            | Self::InvalidParameterUsage { position, .. }
            | Self::InvalidView { position, .. } => Some(*position),
            _ => None,
        }
    }

    /// Whether Athena refuses the statement at `StartQueryExecution` already, instead of failing its execution: the text does not parse.
    pub fn is_syntax(&self) -> bool {
        matches!(self, Self::Syntax { .. } | Self::Refused(_))
    }

    /// Athena's `AthenaError.ErrorCategory`: 1 system, 2 user, 3 other (Athena API reference, `AthenaError`).
    pub fn category(&self) -> i32 {
        match self.kind() {
            ErrorKind::Bug | ErrorKind::Retry => 1,
            ErrorKind::Limit => 3,
            ErrorKind::Input | ErrorKind::Conflict | ErrorKind::Denied | ErrorKind::Missing => 2,
        }
    }

    /// A syntax error at `position`.
    pub fn syntax(position: Position, message: impl Into<String>) -> Self {
        Self::Syntax { position, message: message.into() }
    }

    /// Turns one of DataFusion's errors into ours. `locate` finds where a name stands in the statement.
    pub(crate) fn from_datafusion(error: DataFusionError, locate: &dyn Fn(&str) -> Option<Position>) -> Self {
        find_own(&error).unwrap_or_else(|| Words { locate, sites: None }.reword(&error))
    }

    /// [`Self::from_datafusion`] for errors of planning, where it is known where the statement's operators stand.
    pub(crate) fn from_planning(error: DataFusionError, locate: &dyn Fn(&str) -> Option<Position>, sites: &Sites) -> Self {
        let words = Words { locate, sites: Some(sites) };
        find_own(&error).map_or_else(|| words.reword(&error), |ours| words.placed(ours))
    }

    /// [`Self::from_datafusion`] for errors while running, where positions are unknown.
    pub(crate) fn from_execution(error: DataFusionError) -> Self {
        Self::from_datafusion(error, &|_| None)
    }
}

impl From<SourceError> for QueryError {
    fn from(error: SourceError) -> Self {
        match error.name {
            "HIVE_METASTORE_ERROR" => Self::Source(error.message),
            "HIVE_INVALID_METADATA" => Self::InvalidMetadata(error.message),
            name => Self::Table { name, message: error.message },
        }
    }
}

impl From<QueryError> for DataFusionError {
    fn from(error: QueryError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

/// Our own error, when it is somewhere in the chain of causes (through Arrow's, Parquet's and the object store's wrappers).
pub(crate) fn find_own(error: &DataFusionError) -> Option<QueryError> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut depth = 0;
    while let Some(error) = cause {
        if let Some(ours) = error.downcast_ref::<QueryError>() {
            return Some(ours.clone());
        }
        // Wrappers whose `source` skips the boxed error itself.
        cause = match error.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::ArrowError(inner, _)) => Some(inner.as_ref()),
            Some(DataFusionError::ParquetError(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::ObjectStore(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Context(_, inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Diagnostic(_, inner)) => Some(inner.as_ref()),
            _ => match error.downcast_ref::<ArrowError>() {
                Some(ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
                _ => match error.downcast_ref::<parquet::errors::ParquetError>() {
                    Some(parquet::errors::ParquetError::External(inner)) => Some(inner.as_ref()),
                    _ => error.source(),
                },
            },
        };
        depth += 1;
        if depth > 32 {
            break;
        }
    }
    None
}

/// A suggestion behind Athena's words, which clients match from their beginning.
fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map(|near| format!(". Did you mean '{near}'?")).unwrap_or_default()
}

/// Longer names are not looked at: nobody mistypes them, and the time that it takes is the product of both lengths.
const NAME_MAX: usize = 128;

/// The candidate that is nearest to `name` by edit distance, if it is near enough to be meant: by one edit for three characters of the shorter name.
pub(crate) fn nearest(name: &str, candidates: &[&str]) -> Option<String> {
    let name: Vec<char> = name.chars().take(NAME_MAX).collect();
    let near = |candidate: &str| {
        let letters: Vec<char> = candidate.chars().take(NAME_MAX).collect();
        let limit = name.len().min(letters.len()) / 3;
        let lengths_fit = name.len().abs_diff(letters.len()) <= limit && limit > 0;
        let distance = if lengths_fit { edits(&name, &letters) } else { usize::MAX };
        (distance <= limit).then_some(distance)
    };
    let near = candidates.iter().filter_map(|candidate| Some((near(candidate)?, *candidate)));
    near.min().map(|(_, candidate)| candidate.to_owned())
}

/// How many letters are put in, left out, changed, or swapped with their neighbours (optimal string alignment).
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in b.iter().enumerate() {
            let changed = last[j] + usize::from(letter != other);
            let mut least = changed.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *letter == b[j - 1] && a[i - 1] == *other {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_worded_as_athena_does() {
        let position = Position { line: 1, column: 15 };
        let error = QueryError::TableNotFound { position, database: "db".into(), table: "t".into(), suggestion: None };
        assert_eq!(error.to_string(), "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.db.t' does not exist");
        let error =
            QueryError::ColumnNotFound { position, column: "caryer".into(), suggestion: nearest("caryer", &["year", "carrier"]) };
        assert_eq!(
            error.to_string(),
            "COLUMN_NOT_FOUND: line 1:15: Column 'caryer' cannot be resolved or requester is not authorized to access requested resources. Did \
             you mean 'carrier'?"
        );
    }

    #[test]
    fn a_suggestion_is_near() {
        for (name, candidates, found) in [
            ("naem", &["id", "name"][..], Some("name")),
            ("pirce", &["price", "piece"], Some("piece")),
            ("cuont", &["count", "cos"], Some("count")),
            ("carier", &["carrier", "year"], Some("carrier")),
            ("x", &["a", "b", "xy"], None),
            ("ab", &["ba", "a"], None),
            ("abc", &["ab", "a"], None),
            ("idd", &["id"], None),
            ("quantity", &["qantty"], Some("qantty")),
            ("größe", &["grösse", "größen"], Some("größen")),
        ] {
            assert_eq!(nearest(name, candidates).as_deref(), found, "{name}");
        }
    }

    #[test]
    fn own_errors_are_found_through_wrappers() {
        let ours = QueryError::BadData { uri: "s3://b/k".into(), message: "broken".into() };
        let parquet = parquet::errors::ParquetError::External(Box::new(ours.clone()));
        let wrapped = DataFusionError::ParquetError(Box::new(parquet)).context("while reading");
        assert_eq!(QueryError::from_execution(wrapped), ours);
        let arrow = ArrowError::ExternalError(Box::new(DataFusionError::External(Box::new(ours.clone()))));
        assert_eq!(QueryError::from_execution(DataFusionError::ArrowError(Box::new(arrow), None)), ours);
    }
}
