use millpond_core::error::ErrorKind;
use millpond_store::StoreError;

/// Why an SQS operation failed.
#[derive(Debug, thiserror::Error)]
pub enum SqsError {
    /// No queue of that name.
    #[error("The specified queue does not exist.")]
    QueueDoesNotExist,
    /// A queue of that name is there, with another value of this attribute.
    #[error("A queue already exists with the same name and a different value for attribute {0}")]
    QueueNameExists(String),
    /// What was given as a queue's URL is none.
    #[error("The address {0} is not valid for this endpoint.")]
    InvalidAddress(String),
    /// There is no such attribute, or not for this type of queue.
    #[error("{0}")]
    InvalidAttributeName(String),
    /// An attribute cannot have this value.
    #[error("{0}")]
    InvalidAttributeValue(String),
    /// A parameter cannot have this value.
    #[error("{0}")]
    InvalidParameter(String),
    /// A parameter is missing that is needed here.
    #[error("The request must contain the parameter {0}.")]
    MissingParameter(&'static str),
    /// The message has characters that XML does not allow.
    #[error("{0}")]
    InvalidMessageContents(String),
    /// What was given as a receipt handle was not made by this queue.
    #[error("The input receipt handle \"{0}\" is not a valid receipt handle.")]
    ReceiptHandleIsInvalid(String),
    /// The receipt is the latest of its message, and its visibility time-out is over.
    #[error(
        "The message is not in flight: the visibility timeout of this receipt handle is over. Receive the message again to change it."
    )]
    NotInflight,
    /// A limit is reached: messages in flight, actions of a permission.
    #[error("{0}")]
    OverLimit(String),
    /// The queue was purged less than a minute ago.
    #[error("Only one PurgeQueue operation on {0} is allowed every 60 seconds.")]
    PurgeInProgress(String),
    /// A batch has no entries.
    #[error("There should be at least one {0} in the request.")]
    EmptyBatch(&'static str),
    /// A batch has more than ten.
    #[error("Maximum number of entries per request are 10. You have sent {0}.")]
    TooManyEntries(usize),
    /// Two entries of a batch have the same id.
    #[error("Id {0} repeated.")]
    IdsNotDistinct(String),
    /// The id of a batch's entry is too long, or has characters that it must not have.
    #[error(
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."
    )]
    InvalidBatchId,
    /// A batch's messages are too long together.
    #[error("Batch requests cannot be longer than 1048576 bytes. You have sent {0} bytes.")]
    BatchTooLong(usize),
    /// What a move task names does not exist.
    #[error("{0}")]
    ResourceNotFound(String),
    /// What AWS does not support either.
    #[error("{0}")]
    Unsupported(String),
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SqsError {
    /// A parameter's value with the reason against it, in AWS's form. A long value is cut.
    pub(super) fn value(value: impl std::fmt::Display, parameter: &str, reason: impl std::fmt::Display) -> Self {
        let value = value.to_string();
        let shown: String = value.chars().take(1024).collect();
        Self::InvalidParameter(format!("Value {shown} for parameter {parameter} is invalid. Reason: {reason}"))
    }

    /// An attribute's value with the reason against it, in AWS's form.
    pub(super) fn attribute(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::InvalidAttributeValue(format!("Invalid value for the parameter {name}. Reason: {reason}"))
    }

    pub(super) fn expired(receipt: &str) -> Self {
        Self::value(receipt, "ReceiptHandle", "The receipt handle has expired.")
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::QueueDoesNotExist | Self::ResourceNotFound(_) => ErrorKind::Missing,
            Self::QueueNameExists(_) | Self::PurgeInProgress(_) => ErrorKind::Conflict,
            Self::OverLimit(_) => ErrorKind::Limit,
            Self::InvalidAddress(_)
            | Self::InvalidAttributeName(_)
            | Self::InvalidAttributeValue(_)
            | Self::InvalidParameter(_)
            | Self::MissingParameter(_)
            | Self::InvalidMessageContents(_)
            | Self::ReceiptHandleIsInvalid(_)
            | Self::NotInflight
            | Self::EmptyBatch(_)
            | Self::TooManyEntries(_)
            | Self::IdsNotDistinct(_)
            | Self::InvalidBatchId
            | Self::BatchTooLong(_)
            | Self::Unsupported(_) => ErrorKind::Input,
            Self::Store(error) => error.kind(),
        }
    }
}

impl From<rusqlite::Error> for SqsError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
