//! Who acts in the lake: roles, the sessions that act as them, and what both may do.
//!
//! Definitions:
//! - a *role* is a row: who may assume it (its trust policy) and what it may do (its policies and its boundary);
//! - a *session* acts as a role for some hours. Nothing is written to issue or to verify one: its token says who it is, and is
//!   sealed with a key that only this lake has ([`session`]);
//! - a *caller* is who signed a request: the account's root, or a session.
//!
//! IAM changes these rows, STS issues sessions, functions get one, and every service may ask whether a role can be used
//! ([`rights`]).

pub mod managed;
mod rights;
mod rows;
mod session;

pub use rights::{Rights, RoleError, assumable_by, decide_assume, may_pass, trust_context};
pub use rows::{
    Role, attached_policies, boundary_or_policy, inline_policies, policy_document, role_by_arn, role_by_id, role_by_name,
    role_of, tags,
};
pub use session::{Acting, Identity, NewSession, Session, SessionError, SessionKeys, SessionRole, Verified, account_of};

use millpond_core::arn::Place;
use millpond_store::Component;
use std::sync::Arc;

/// The tables of roles and policies.
pub const COMPONENT: Component = Component { name: "identity", migrations: &[include_str!("schema.sql")] };

/// Who signed a request.
#[derive(Debug, Clone)]
pub enum Caller {
    /// The account's root, by its own key.
    Root,
    /// A session: of a role, or of the root.
    Session(Arc<Session>),
}

impl Caller {
    /// The role that it acts as.
    pub fn role(&self) -> Option<&SessionRole> {
        match self {
            Self::Root => None,
            Self::Session(session) => session.role.as_ref(),
        }
    }

    /// As `GetCallerIdentity` says it.
    pub fn arn(&self, place: &Place) -> String {
        match self {
            Self::Root => root_arn(place),
            Self::Session(session) => session.arn(place),
        }
    }

    /// As `GetCallerIdentity` says it: the account, or `AROA…:session`.
    pub fn user_id(&self, place: &Place) -> String {
        match self {
            Self::Root => place.account.clone(),
            Self::Session(session) => session.user_id(place),
        }
    }
}

/// `arn:aws:iam::ACCOUNT:root`
pub fn root_arn(place: &Place) -> String {
    iam_arn(place, "root")
}

/// The ARN of something of IAM: `role/path/name`.
pub fn iam_arn(place: &Place, resource: &str) -> String {
    format!("arn:aws:iam::{}:{resource}", place.account)
}

#[cfg(test)]
mod tests;
