use millpond_core::error::ErrorKind;
use millpond_store::StoreError;

/// Why an operation of CloudWatch Logs failed. The texts are AWS's where it has one.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// A parameter is wrong.
    #[error("{0}")]
    InvalidParameter(String),
    /// The group does not exist.
    #[error("The specified log group does not exist.")]
    NoGroup,
    /// The stream does not exist.
    #[error("The specified log stream does not exist.")]
    NoStream,
    /// What is to be tagged does not exist.
    #[error("The specified resource does not exist.")]
    NoResource,
    /// There is a group of that name.
    #[error("The specified log group already exists")]
    GroupExists,
    /// There is a stream of that name.
    #[error("The specified log stream already exists")]
    StreamExists,
    /// The group is protected from being deleted.
    #[error("{0}")]
    Protected(String),
    /// A group would have more tags than it may.
    #[error("The resource has too many tags: {0} of 50 that are allowed.")]
    TooManyTags(usize),
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LogsError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidParameter(message.into())
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidParameter(_) => ErrorKind::Input,
            Self::NoGroup | Self::NoStream | Self::NoResource => ErrorKind::Missing,
            Self::GroupExists | Self::StreamExists | Self::Protected(_) => ErrorKind::Conflict,
            Self::TooManyTags(_) => ErrorKind::Limit,
            Self::Store(error) => error.kind(),
        }
    }
}

impl From<rusqlite::Error> for LogsError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
