use millpond_core::error::ErrorKind;
use millpond_store::StoreError;

/// Why too many invocations ran at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throttle {
    /// The account's (or the machine's) bound.
    Account,
    /// The function's reserved concurrency.
    Reserved,
}

/// Why a Lambda operation failed.
#[derive(Debug, thiserror::Error)]
pub enum LambdaError {
    /// A function, version, alias, layer or mapping does not exist.
    #[error("{0}")]
    NotFound(String),
    /// It exists already, or its state does not allow this.
    #[error("{0}")]
    Conflict(String),
    /// A parameter's value cannot be used.
    #[error("{0}")]
    InvalidParameter(String),
    /// A parameter breaks a constraint that AWS checks before the service sees it.
    #[error("{0}")]
    Validation(String),
    /// The event is not JSON.
    #[error("{0}")]
    InvalidContent(String),
    /// A package or an event is too large.
    #[error("{0}")]
    TooLarge(String),
    /// The revision that was given is not the current one.
    #[error("{0}")]
    Precondition(String),
    /// A resource policy is too long.
    #[error("{0}")]
    PolicyTooLong(String),
    /// A mapping is being changed.
    #[error("{0}")]
    InUse(String),
    /// All packages together are larger than the account may keep.
    #[error("{0}")]
    StorageFull(String),
    /// Of another account.
    #[error("{0}")]
    Denied(String),
    /// Too many invocations run.
    #[error("{message}")]
    Throttled {
        /// Whose bound it was.
        reason: Throttle,
        /// What it says.
        message: String,
    },
    /// The function's environment could not be started: its runtime is not there, or the launcher failed.
    #[error("{0}")]
    Unlaunched(String),
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LambdaError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidParameter(message.into())
    }

    /// What AWS answers to operations on configurations, mappings and policies that are not there.
    pub(super) fn no_resource() -> Self {
        Self::NotFound("The resource you requested does not exist.".into())
    }

    pub(super) fn no_function(arn: &str) -> Self {
        Self::NotFound(format!("Function not found: {arn}"))
    }

    /// `call` is the operation that tells the current revision.
    pub(super) fn revision(call: &str) -> Self {
        Self::Precondition(format!(
            "The Revision Id provided does not match the latest Revision Id. Call the {call} API to retrieve the latest Revision Id"
        ))
    }

    /// In AWS's words for a broken constraint of the model.
    pub(super) fn constraint(value: impl std::fmt::Display, member: &str, constraint: impl std::fmt::Display) -> Self {
        Self::Validation(constraint_text(value, member, constraint))
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::Missing,
            Self::Conflict(_) | Self::Precondition(_) | Self::InUse(_) => ErrorKind::Conflict,
            Self::InvalidParameter(_) | Self::Validation(_) | Self::InvalidContent(_) | Self::TooLarge(_) => ErrorKind::Input,
            Self::PolicyTooLong(_) | Self::StorageFull(_) => ErrorKind::Limit,
            Self::Denied(_) => ErrorKind::Denied,
            Self::Throttled { .. } | Self::Unlaunched(_) => ErrorKind::Retry,
            Self::Store(error) => error.kind(),
        }
    }
}

/// In AWS's words: which value of which member breaks what.
pub(super) fn constraint_text(value: impl std::fmt::Display, member: &str, constraint: impl std::fmt::Display) -> String {
    format!("1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}")
}

impl From<rusqlite::Error> for LambdaError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<serde_json::Error> for LambdaError {
    fn from(error: serde_json::Error) -> Self {
        Self::Store(error.into())
    }
}
