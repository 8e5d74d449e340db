use millpond_core::error::ErrorKind;
use millpond_core::policy::PolicyError;
use millpond_store::StoreError;

/// Why an IAM operation failed. The texts are AWS's where it has some.
#[derive(Debug, thiserror::Error)]
pub enum IamError {
    /// The role, policy, version, profile or user does not exist.
    #[error("{0}")]
    NoSuchEntity(String),
    /// The name is taken.
    #[error("{0}")]
    AlreadyExists(String),
    /// Something must be removed from it first.
    #[error("{0}")]
    DeleteConflict(String),
    /// A quota is reached.
    #[error("{0}")]
    LimitExceeded(String),
    /// A document is not a policy of the kind that is asked for.
    #[error("{0}")]
    MalformedPolicy(String),
    /// Two parameters do not go together.
    #[error("{0}")]
    InvalidInput(String),
    /// A parameter has a form that it must not have.
    #[error("{0}")]
    Validation(String),
    /// Only a service may change this role.
    #[error("Cannot perform the operation on the protected role '{0}' - this role is only modifiable by AWS")]
    Unmodifiable(String),
    /// The caller is not allowed to.
    #[error("{0}")]
    Denied(String),
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl IamError {
    pub(super) fn no_role(name: &str) -> Self {
        Self::NoSuchEntity(format!("The role with name {name} cannot be found."))
    }

    pub(super) fn no_policy(arn: &str) -> Self {
        Self::NoSuchEntity(format!("Policy {arn} was not found."))
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchEntity(_) => ErrorKind::Missing,
            Self::AlreadyExists(_) | Self::DeleteConflict(_) | Self::Unmodifiable(_) => ErrorKind::Conflict,
            Self::LimitExceeded(_) => ErrorKind::Limit,
            Self::MalformedPolicy(_) | Self::InvalidInput(_) | Self::Validation(_) => ErrorKind::Input,
            Self::Denied(_) => ErrorKind::Denied,
            Self::Store(error) => error.kind(),
        }
    }
}

impl From<rusqlite::Error> for IamError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<PolicyError> for IamError {
    fn from(error: PolicyError) -> Self {
        Self::MalformedPolicy(error.to_string())
    }
}
