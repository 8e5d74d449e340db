use millpond_core::error::ErrorKind;
use millpond_store::StoreError;

/// Why an Athena operation failed. (Why a *query* failed is in its execution.)
#[derive(Debug, thiserror::Error)]
pub enum AthenaError {
    /// The request cannot be carried out as it is.
    #[error("{message}")]
    InvalidRequest {
        /// For people.
        message: String,
        /// Athena's `AthenaErrorCode`, for example `MALFORMED_QUERY`.
        code: &'static str,
    },
    /// Something of the data catalog is not there.
    #[error("{0}")]
    Metadata(String),
    /// Something else is not there.
    #[error("{message}")]
    NotFound {
        /// For people.
        message: String,
        /// Which.
        resource: String,
    },
    /// As many queries run or wait as may.
    #[error(
        "You have exceeded the limit for the number of queries you can run concurrently. Please reduce the number of concurrent \
         queries submitted by this account. The lake's limits are athena.dml_queries, athena.ddl_queries and \
         athena.queue in millpond.toml."
    )]
    TooManyRequests,
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AthenaError {
    /// A request that is wrong, without a special code.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidRequest { message: message.into(), code: "INVALID_INPUT" }
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidRequest { .. } => ErrorKind::Input,
            Self::TooManyRequests => ErrorKind::Retry,
            Self::Metadata(_) | Self::NotFound { .. } => ErrorKind::Missing,
            Self::Store(error) => error.kind(),
        }
    }
}

impl From<rusqlite::Error> for AthenaError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<serde_json::Error> for AthenaError {
    fn from(error: serde_json::Error) -> Self {
        Self::Store(error.into())
    }
}
