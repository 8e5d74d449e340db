use millpond_core::error::ErrorKind;
use millpond_store::StoreError;

/// Why an SNS operation failed.
#[derive(Debug, thiserror::Error)]
pub enum SnsError {
    /// The topic or subscription does not exist.
    #[error("{0} does not exist")]
    NotFound(&'static str),
    /// The resource to tag does not exist.
    #[error("Resource does not exist")]
    ResourceNotFound,
    /// A parameter is wrong; the text goes on after "Invalid parameter: ".
    #[error("Invalid parameter: {0}")]
    InvalidParameter(String),
    /// The request is wrong in a way that SNS says without naming a parameter.
    #[error("{0}")]
    Refused(String),
    /// A message attribute is wrong.
    #[error("{0}")]
    InvalidValue(String),
    /// An unsigned request may not do this.
    #[error("{0}")]
    Authorization(String),
    /// A batch has no entries.
    #[error("The batch request doesn't contain any entries.")]
    EmptyBatch,
    /// A batch has more than ten.
    #[error("The batch request contains more entries than permissible.")]
    TooManyEntries,
    /// Two entries of a batch have the same id.
    #[error("Two or more batch entries in the request have the same Id.")]
    IdsNotDistinct,
    /// The id of a batch's entry is too long, or has characters that it must not have.
    #[error("The Id of a batch entry in the batch request {0}")]
    InvalidBatchId(String),
    /// A batch's messages are too long together.
    #[error("The length of all the messages put together is more than the limit.")]
    BatchTooLong,
    /// There are as many topics as a lake can have.
    #[error("{0}")]
    TopicLimit(String),
    /// There are as many subscriptions as a topic can have.
    #[error("{0}")]
    SubscriptionLimit(String),
    /// There are as many filter policies as a topic can have.
    #[error("{0}")]
    FilterPolicyLimit(String),
    /// There are as many tags as a topic can have.
    #[error("Could not complete request: tag quota of per resource exceeded")]
    TagLimit,
    /// Messages cannot be signed.
    #[error("a message could not be signed: {0}")]
    Signing(String),
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SnsError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidParameter(message.into())
    }

    pub(super) fn no_topic() -> Self {
        Self::NotFound("Topic")
    }

    pub(super) fn no_subscription() -> Self {
        Self::NotFound("Subscription")
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) | Self::ResourceNotFound => ErrorKind::Missing,
            Self::Authorization(_) => ErrorKind::Denied,
            Self::TopicLimit(_) | Self::SubscriptionLimit(_) | Self::FilterPolicyLimit(_) | Self::TagLimit => ErrorKind::Limit,
            Self::InvalidParameter(_)
            | Self::Refused(_)
            | Self::InvalidValue(_)
            | Self::EmptyBatch
            | Self::TooManyEntries
            | Self::IdsNotDistinct
            | Self::InvalidBatchId(_)
            | Self::BatchTooLong => ErrorKind::Input,
            Self::Signing(_) => ErrorKind::Bug,
            Self::Store(error) => error.kind(),
        }
    }
}

impl From<rusqlite::Error> for SnsError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
