use super::Attributes;
use millpond_core::error::ErrorKind;
use millpond_store::StoreError;
use millpond_tables::value::ValueError;

/// Why a DynamoDB operation failed. Texts are those of AWS's answers where AWS has one.
#[derive(Debug, thiserror::Error)]
pub enum DynamoError {
    /// A parameter, an item, an expression or a statement is wrong.
    #[error("{0}")]
    Validation(String),
    /// A value is not even the JSON that its type needs.
    #[error("{0}")]
    Serialization(String),
    /// An operation on items names a table (or an index of a table) that is not there.
    #[error("Requested resource not found")]
    NotFound,
    /// An operation on a table names one that is not there.
    #[error("Requested resource not found: Table: {0} not found")]
    NoSuchTable(String),
    /// What an ARN names is not there.
    #[error("Requested resource not found: {0}")]
    NoSuchResource(String),
    /// A table of that name is there already, or is being changed.
    #[error("{0}")]
    InUse(String),
    /// Too many changes wait, for a load of their table or for the disk. Clients try again by themselves.
    #[error(
        "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API."
    )]
    Busy,
    /// A limit of the account or of a table is reached.
    #[error("{0}")]
    Limit(String),
    /// A condition did not hold. With the item as it is, where that was asked for.
    #[error("The conditional request failed")]
    ConditionFailed(Option<Attributes>),
    /// A transaction was cancelled: a reason for each of its actions, in their order.
    #[error("Transaction cancelled, please refer cancellation reasons for specific reasons [{}]", codes(.0))]
    Cancelled(Vec<CancellationReason>),
    /// Another transaction was made with the same token.
    #[error("The request parameters differ from those of the first request with this ClientRequestToken. Use another token")]
    TokenMismatch,
    /// PartiQL's `INSERT` of an item whose key is there.
    #[error("Duplicate primary key exists in table")]
    Duplicate,
    /// Backups and exports name a table that is not there.
    #[error("Table not found: {0}")]
    TableNotFound(String),
    /// An export needs point-in-time recovery.
    #[error("Point in time recovery is not enabled for table '{0}'")]
    PitrUnavailable(String),
    /// An export of a time that cannot be had.
    #[error("{0}")]
    InvalidExportTime(String),
    /// No such import.
    #[error("Import not found: {0}")]
    ImportNotFound(String),
    /// No such export.
    #[error("Export not found: {0}")]
    ExportNotFound(String),
    /// An import was asked for with the same token, in other words.
    #[error("{0}")]
    ImportConflict(String),
    /// An export was asked for with the same token, in other words.
    #[error("{0}")]
    ExportConflict(String),
    /// The items' store.
    #[error("the tables of items: {0}")]
    Items(String),
    /// The lake's store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a transaction's action was (or would have been) refused.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CancellationReason {
    /// `None`, `ConditionalCheckFailed`, `ValidationError`, …
    pub code: &'static str,
    /// Absent where the code is `None`.
    pub message: Option<String>,
    /// The item as it is, where that was asked for.
    pub item: Option<Attributes>,
}

impl CancellationReason {
    /// Of an action that nothing is wrong with.
    pub fn none() -> Self {
        Self { code: "None", ..Self::default() }
    }
}

fn codes(reasons: &[CancellationReason]) -> String {
    reasons.iter().map(|reason| reason.code).collect::<Vec<_>>().join(", ")
}

impl DynamoError {
    /// A parameter that is wrong.
    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::Validation(text.into())
    }

    /// A parameter that is wrong, in the words that AWS puts before most of them.
    pub(super) fn parameter(text: impl std::fmt::Display) -> Self {
        Self::Validation(format!("One or more parameter values were invalid: {text}"))
    }

    /// The reason that an action of a transaction has for this error; itself where it concerns the transaction as a whole.
    pub(super) fn into_reason(self) -> Result<CancellationReason, Self> {
        let message = Some(self.to_string());
        match self {
            Self::ConditionFailed(item) => Ok(CancellationReason { code: "ConditionalCheckFailed", message, item }),
            Self::Validation(_) => Ok(CancellationReason { code: "ValidationError", message, item: None }),
            Self::Duplicate => Ok(CancellationReason { code: "DuplicateItem", message, item: None }),
            other => Err(other),
        }
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Validation(_) | Self::Serialization(_) | Self::InvalidExportTime(_) => ErrorKind::Input,
            Self::NotFound
            | Self::NoSuchTable(_)
            | Self::NoSuchResource(_)
            | Self::TableNotFound(_)
            | Self::ImportNotFound(_)
            | Self::ExportNotFound(_) => ErrorKind::Missing,
            Self::InUse(_)
            | Self::ConditionFailed(_)
            | Self::Cancelled(_)
            | Self::TokenMismatch
            | Self::Duplicate
            | Self::PitrUnavailable(_)
            | Self::ImportConflict(_)
            | Self::ExportConflict(_) => ErrorKind::Conflict,
            Self::Limit(_) => ErrorKind::Limit,
            Self::Busy => ErrorKind::Retry,
            Self::Items(_) => ErrorKind::Bug,
            Self::Store(error) => error.kind(),
        }
    }
}

impl From<ValueError> for DynamoError {
    fn from(error: ValueError) -> Self {
        let text = error.to_string();
        match error {
            ValueError::Shape(_) => Self::Serialization(text),
            _ => Self::Validation(text),
        }
    }
}

impl From<rusqlite::Error> for DynamoError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
