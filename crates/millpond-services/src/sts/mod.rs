//! STS: who a caller is.

/// The caller, as `GetCallerIdentity` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account, for its root; else the principal's unique id.
    pub user_id: String,
    /// Twelve digits.
    pub account: String,
    /// Of the principal.
    pub arn: String,
}

/// The service. It has no state so far: every verified caller is the root of its account.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sts;

impl Sts {
    /// `GetCallerIdentity`, for a verified principal of an account.
    pub fn caller_identity(&self, account: &str, principal: &str) -> Identity {
        // Of the root user AWS gives the account as its id; of others (once there are any) the part behind the last slash names them.
        let user_id = match principal.rsplit_once('/') {
            Some((_, name)) => name,
            None => account,
        };
        Identity { user_id: user_id.into(), account: account.into(), arn: principal.into() }
    }
}
