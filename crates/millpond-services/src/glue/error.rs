use crate::lake::catalog::CatalogError;
use millpond_core::error::ErrorKind;
use millpond_store::StoreError;

/// What Glue's operations answer when they cannot do what was asked. Each variant is one of AWS's exceptions (Glue API reference, "Exceptions");
/// its text says what was wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum GlueError {
    /// The database, table, partition, crawler, job, … does not exist.
    #[error("{0}")]
    EntityNotFound(String),
    /// The name is taken.
    #[error("{0}")]
    AlreadyExists(String),
    /// The request is wrong.
    #[error("{0}")]
    InvalidInput(String),
    /// Another caller changed it first.
    #[error("{0}")]
    ConcurrentModification(String),
    /// The job runs as often at once as it may.
    #[error("{0}")]
    ConcurrentRunsExceeded(String),
    /// Not while the crawler runs.
    #[error("{0}")]
    CrawlerRunning(String),
    /// The crawler is being stopped already.
    #[error("{0}")]
    CrawlerStopping(String),
    /// There is no crawl to stop.
    #[error("{0}")]
    CrawlerNotRunning(String),
    /// The crawler's schedule is being changed.
    #[error("{0}")]
    SchedulerTransitioning(String),
    /// The crawler has no schedule.
    #[error("{0}")]
    NoSchedule(String),
    /// The schedule is on already.
    #[error("{0}")]
    SchedulerRunning(String),
    /// The schedule is off already.
    #[error("{0}")]
    SchedulerNotRunning(String),
    /// A version other than the current one was named (classifiers).
    #[error("{0}")]
    VersionMismatch(String),
    /// A limit of the lake is reached.
    #[error("{0}")]
    ResourceNumberLimitExceeded(String),
    /// The same name was used before with other parameters.
    #[error("{0}")]
    IdempotentParameterMismatch(String),
    /// The workflow's run is not in a state in which this can be done.
    #[error("{0}")]
    IllegalWorkflowState(String),
    /// What it needs is not in the right state (a bookmark without a job run, say).
    #[error("{0}")]
    ResourceNotReady(String),
    /// Millpond does not do this.
    #[error("{0}")]
    OperationNotSupported(String),
    /// It took too long.
    #[error("{0}")]
    OperationTimeout(String),
    /// The caller may not do this.
    #[error("{0}")]
    AccessDenied(String),
    /// Ours. The text goes to the log.
    #[error("{0}")]
    Internal(String),
    /// Ours: the store failed. The text goes to the log.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl GlueError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::EntityNotFound(_) => ErrorKind::Missing,
            Self::AlreadyExists(_)
            | Self::ConcurrentModification(_)
            | Self::CrawlerRunning(_)
            | Self::CrawlerStopping(_)
            | Self::CrawlerNotRunning(_)
            | Self::SchedulerTransitioning(_)
            | Self::NoSchedule(_)
            | Self::SchedulerRunning(_)
            | Self::SchedulerNotRunning(_)
            | Self::VersionMismatch(_)
            | Self::IdempotentParameterMismatch(_)
            | Self::IllegalWorkflowState(_)
            | Self::ResourceNotReady(_) => ErrorKind::Conflict,
            Self::InvalidInput(_) | Self::OperationNotSupported(_) => ErrorKind::Input,
            Self::ConcurrentRunsExceeded(_) | Self::ResourceNumberLimitExceeded(_) => ErrorKind::Limit,
            Self::OperationTimeout(_) => ErrorKind::Retry,
            Self::AccessDenied(_) => ErrorKind::Denied,
            Self::Internal(_) => ErrorKind::Bug,
            Self::Store(error) => error.kind(),
        }
    }
}

impl From<rusqlite::Error> for GlueError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<CatalogError> for GlueError {
    fn from(error: CatalogError) -> Self {
        let text = error.to_string();
        match error {
            CatalogError::NotFound(_) => Self::EntityNotFound(text),
            CatalogError::AlreadyExists(_) => Self::AlreadyExists(text),
            CatalogError::Invalid(_) => Self::InvalidInput(text),
            CatalogError::Changed(_) => Self::ConcurrentModification(text),
            CatalogError::Limit(_) => Self::ResourceNumberLimitExceeded(text),
            CatalogError::Store(error) => Self::Store(error),
        }
    }
}
