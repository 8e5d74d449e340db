use millpond_core::error::ErrorKind;
use millpond_core::event::pattern::PatternError;
use millpond_store::StoreError;

/// Why an EventBridge operation failed.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// There is no rule of that name on that bus.
    #[error("Rule {rule} does not exist on EventBus {bus}.")]
    NoSuchRule {
        /// The rule.
        rule: String,
        /// The bus.
        bus: String,
    },
    /// There is no bus of that name.
    #[error("Event bus {0} does not exist.")]
    NoSuchBus(String),
    /// What was named otherwise is not there.
    #[error("{0}")]
    Missing(String),
    /// There is one of that name already.
    #[error("{0}")]
    Exists(String),
    /// The text is no pattern.
    #[error("Event pattern is not valid. Reason: {0}")]
    Pattern(#[from] PatternError),
    /// Something else in the request is wrong.
    #[error("{0}")]
    Invalid(String),
    /// A policy would be longer than it may be.
    #[error("The policy would have {0} bytes; it may have 10240.")]
    PolicyLength(usize),
    /// One more would be too many.
    #[error("The requested resource exceeds the maximum number allowed.{}", if .0.is_empty() { String::new() } else { format!(" ({})", .0) })]
    Limit(String),
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EventsError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchRule { .. } | Self::NoSuchBus(_) | Self::Missing(_) => ErrorKind::Missing,
            Self::Exists(_) => ErrorKind::Conflict,
            Self::Pattern(_) | Self::Invalid(_) => ErrorKind::Input,
            Self::Limit(_) | Self::PolicyLength(_) => ErrorKind::Limit,
            Self::Store(error) => error.kind(),
        }
    }
}

impl From<rusqlite::Error> for EventsError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
