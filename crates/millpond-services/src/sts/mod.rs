//! STS: who a caller is, and sessions of roles.
//!
//! Nothing is written: a session is its token ([`crate::lake::identity`]). Two differences from AWS: the root may assume roles
//! (it is the only principal that a new lake has; a role must still trust its account), and a role that does not exist is denied
//! in the same words as one that does not trust the caller, as on AWS.

mod assume;
mod error;

pub use assume::{AssumeRole, Assumed};
pub use error::StsError;

use crate::lake::Lake;
use crate::lake::identity::{Caller, Identity, NewSession, SessionKeys, account_of};

/// The caller, as `GetCallerIdentity` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerIdentity {
    /// The account, for its root; `AROA…:session` for a role's session.
    pub user_id: String,
    /// Twelve digits.
    pub account: String,
    /// Of the principal.
    pub arn: String,
}

/// The service; clones share it.
#[derive(Debug, Clone)]
pub struct Sts {
    lake: Lake,
    identity: Identity,
}

impl Sts {
    /// STS over a lake.
    pub fn new(lake: Lake, identity: Identity) -> Self {
        Self { lake, identity }
    }

    /// `GetCallerIdentity`
    pub fn caller_identity(&self, caller: &Caller) -> CallerIdentity {
        let place = &self.lake.place;
        CallerIdentity { user_id: caller.user_id(place), account: place.account.clone(), arn: caller.arn(place) }
    }

    /// `GetSessionToken`: of the root, for an hour at the most ("the API reference of `GetSessionToken`").
    ///
    /// # Errors
    /// A session asks.
    pub fn session_token(&self, caller: &Caller, seconds: Option<i64>) -> Result<SessionKeys, StsError> {
        if matches!(caller, Caller::Session(_)) {
            return Err(StsError::AccessDenied("Cannot call GetSessionToken with session credentials".into()));
        }
        let seconds = seconds.unwrap_or(3600).min(3600);
        Ok(self.identity.issue_new(NewSession { name: "root".into(), seconds, ..NewSession::default() }))
    }

    /// `GetAccessKeyInfo`: the account that a key belongs to. `own` is the key that signed the request.
    ///
    /// # Errors
    /// The key is not of this lake.
    pub fn access_key_account(&self, own: &str, access_key: &str) -> Result<String, StsError> {
        let account = &self.lake.place.account;
        let known = access_key == own || access_key.starts_with("ASIA") && account_of(access_key).as_ref() == Some(account);
        match known {
            true => Ok(account.clone()),
            false => Err(StsError::Validation(format!("The access key {access_key} is not one of this lake's."))),
        }
    }
}

#[cfg(test)]
mod tests;
