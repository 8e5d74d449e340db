use crate::lake::identity::RoleError;
use millpond_core::error::ErrorKind;
use millpond_core::policy::PolicyError;
use millpond_store::StoreError;

/// Why an STS operation failed. The texts are AWS's where it has some.
#[derive(Debug, thiserror::Error)]
pub enum StsError {
    /// The role does not exist, or does not trust the caller, or the caller's policies do not allow it.
    #[error("{0}")]
    AccessDenied(String),
    /// A parameter is wrong.
    #[error("{0}")]
    Validation(String),
    /// The session policy is not a policy.
    #[error("{0}")]
    MalformedPolicy(String),
    /// The session's policies and tags are longer than a token carries.
    #[error("{0}")]
    PackedPolicyTooLarge(String),
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StsError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::AccessDenied(_) => ErrorKind::Denied,
            Self::Validation(_) | Self::MalformedPolicy(_) => ErrorKind::Input,
            Self::PackedPolicyTooLarge(_) => ErrorKind::Limit,
            Self::Store(error) => error.kind(),
        }
    }
}

impl From<RoleError> for StsError {
    fn from(error: RoleError) -> Self {
        match error {
            RoleError::Store(error) => Self::Store(error),
            RoleError::NotFound(_) | RoleError::NotTrusted { .. } | RoleError::Denied(_) => Self::AccessDenied(error.to_string()),
        }
    }
}

impl From<PolicyError> for StsError {
    fn from(error: PolicyError) -> Self {
        Self::MalformedPolicy(error.to_string())
    }
}
