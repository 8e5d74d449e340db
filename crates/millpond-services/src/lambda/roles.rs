//! The roles that functions act as: whether Lambda may assume them, and the credentials that a function's process gets.

use super::LambdaError;
use crate::lake::Lake;
use crate::lake::identity::{Role, RoleError, assumable_by};
use millpond_functions::SessionCredentials;
use rusqlite::Connection;

pub use crate::lake::identity::Identity;

/// How long the credentials of a process work, in seconds: a process that runs longer is replaced by its host.
const SESSION_S: i64 = 12 * 60 * 60;

/// The role, where it exists and trusts Lambda.
pub(super) fn find(connection: &Connection, lake: &Lake, arn: &str) -> Result<Role, LambdaError> {
    assumable_by(connection, &lake.place, arn, "lambda.amazonaws.com", &[]).map_err(|error| match error {
        RoleError::Store(error) => LambdaError::Store(error),
        RoleError::NotFound(_) | RoleError::NotTrusted { .. } | RoleError::Denied(_) => {
            LambdaError::invalid(format!("The role defined for the function cannot be assumed by Lambda. ({error})"))
        }
    })
}

/// Whether a function can have this role.
pub(super) fn check(connection: &Connection, lake: &Lake, arn: &str) -> Result<(), LambdaError> {
    find(connection, lake, arn).map(|_| ())
}

/// Gives processes their credentials.
#[derive(Debug)]
pub(super) struct Sessions {
    identity: Identity,
}

impl Sessions {
    pub(super) fn new(identity: Identity) -> Self {
        Self { identity }
    }

    /// Credentials of a role; the session has the function's name, as on AWS. Nothing is written for it.
    pub(super) fn credentials(&self, role: &Role, function: &str) -> SessionCredentials {
        let keys = self.identity.issue(role, function, SESSION_S);
        SessionCredentials {
            access_key: keys.access_key,
            secret_key: keys.secret_key,
            token: keys.session_token,
            expires_ms: Some(keys.session.expires_ms),
        }
    }
}
