//! Who may open a session: the lake's access keys.
//!
//! The user is an access key's id. The password is the key's secret (of the root's, proved by [`crate::auth`]), or the token of a session that the
//! lake issued (`millpond token`, `sts:GetSessionToken`, `sts:AssumeRole`): such a one ends at its time, and with its role.

use millpond_services::lake::identity::{Identity, SessionError};

/// Opens and checks keys.
#[derive(Clone)]
pub struct Keys {
    /// `AKIA…`
    pub root_access_key: String,
    /// Never in a log.
    pub root_secret: String,
    /// Of the sessions.
    pub identity: Identity,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("root_access_key", &self.root_access_key).finish_non_exhaustive()
    }
}

/// By what a session was opened.
#[derive(Clone)]
pub(crate) enum Credential {
    Root,
    Session { access_key: String, token: String },
}

/// Why a password opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// As PostgreSQL says it, whatever was wrong.
    #[error("password authentication failed")]
    Wrong,
    /// It was good.
    #[error("the session's token has expired; get a new one, for example with `millpond token`")]
    Expired,
    /// What such a session writes waits for the run's end, which nothing here does.
    #[error("sessions of job runs use the Athena API")]
    JobRun,
}

impl Keys {
    /// Checks the token of a session's access key.
    pub(crate) fn open(&self, user: &str, token: &str) -> Result<Credential, Refusal> {
        let credential = Credential::Session { access_key: user.to_owned(), token: token.to_owned() };
        self.check(&credential).map(|()| credential)
    }

    /// Whether what was good still is: to be asked before each statement.
    pub(crate) fn check(&self, credential: &Credential) -> Result<(), Refusal> {
        let Credential::Session { access_key, token } = credential else { return Ok(()) };
        let now_ms = self.identity.lake().store.env().now_ms();
        let verified = self.identity.verify(access_key, token, now_ms).map_err(|error| match error {
            SessionError::Expired => Refusal::Expired,
            SessionError::Invalid | SessionError::RoleGone => Refusal::Wrong,
        })?;
        match verified.session.job_run {
            Some(_) => Err(Refusal::JobRun),
            None => Ok(()),
        }
    }
}
