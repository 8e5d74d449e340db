//! Whether a role may be assumed by somebody, or passed to a service by somebody.

use super::rows::{self, Role};
use super::{Caller, iam_arn};
use millpond_core::arn::Place;
use millpond_core::env::iso8601;
use millpond_core::error::ErrorKind;
use millpond_core::policy::evaluate::{Policies, Verdict, evaluate};
use millpond_core::policy::{self, Decision, Policy, PolicyKind, Principal, Request};
use millpond_store::StoreError;
use rusqlite::Connection;
use std::sync::Arc;

/// Why a role cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// There is no such role; the text says which.
    #[error("The role {0} does not exist")]
    NotFound(String),
    /// Its trust policy does not name the service.
    #[error("The role {role} does not trust {service}: its trust policy must allow that principal sts:AssumeRole")]
    NotTrusted {
        /// The role's ARN.
        role: String,
        /// `lambda.amazonaws.com`
        service: String,
    },
    /// The caller's policies do not allow it. AWS's words.
    #[error("{0}")]
    Denied(String),
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RoleError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::Missing,
            Self::NotTrusted { .. } => ErrorKind::Input,
            Self::Denied(_) => ErrorKind::Denied,
            Self::Store(error) => error.kind(),
        }
    }
}

impl From<rusqlite::Error> for RoleError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What a caller may do: its role's policies and what narrows them, compiled, with what conditions may ask about it.
#[derive(Debug)]
pub struct Rights {
    arn: String,
    identity: Vec<Arc<Policy>>,
    boundary: Option<Arc<Policy>>,
    session: Vec<Arc<Policy>>,
    context: Vec<(String, String)>,
}

impl Rights {
    /// Of a caller, as the rows are now. `now_ms` is the time of the request.
    ///
    /// # Errors
    /// The store's. A role that is gone has no rights.
    pub fn of(connection: &Connection, place: &Place, caller: &Caller, now_ms: i64) -> Result<Self, StoreError> {
        let mut rights = Self {
            arn: caller.arn(place),
            identity: Vec::new(),
            boundary: None,
            session: Vec::new(),
            context: trust_context(place, caller, now_ms),
        };
        let Caller::Session(session) = caller else { return Ok(rights) };
        let Some(session_role) = &session.role else { return Ok(rights) };
        if let Some(role) = rows::role_by_id(connection, &session_role.id)? {
            rights.add_role(connection, place, &role)?;
        }
        for arn in &session.policy_arns {
            // A policy that was deleted since allows nothing.
            let text = rows::policy_document(connection, place, arn)?;
            rights.session.push(compiled(text.as_deref().unwrap_or(NOTHING))?);
        }
        if let Some(text) = &session.policy {
            rights.session.push(compiled(text)?);
        }
        Ok(rights)
    }

    /// Of a role itself, for simulations.
    ///
    /// # Errors
    /// The store's.
    pub fn of_role(connection: &Connection, place: &Place, role: &Role) -> Result<Self, StoreError> {
        let arn = role.arn(place);
        let context = vec![("aws:PrincipalArn".into(), arn.clone())];
        let mut rights = Self { arn, identity: Vec::new(), boundary: None, session: Vec::new(), context };
        rights.add_role(connection, place, role)?;
        Ok(rights)
    }

    fn add_role(&mut self, connection: &Connection, place: &Place, role: &Role) -> Result<(), StoreError> {
        for (_, document) in rows::inline_policies(connection, &role.id)? {
            self.identity.push(compiled(&document)?);
        }
        for arn in rows::attached_policies(connection, &role.id)? {
            self.identity.push(compiled(&rows::boundary_or_policy(connection, place, &arn)?)?);
        }
        if let Some(arn) = &role.boundary {
            self.boundary = Some(compiled(&rows::boundary_or_policy(connection, place, arn)?)?);
        }
        for (key, value) in rows::tags(connection, &role.id)? {
            let key = format!("aws:PrincipalTag/{key}");
            if !self.context.iter().any(|(name, _)| name.eq_ignore_ascii_case(&key)) {
                self.context.push((key, value));
            }
        }
        Ok(())
    }

    /// Whether the caller may do `action` to `resource`. `resource_policy` is that of what is asked for, where it has one; `more`
    /// is what else is known of the request.
    pub fn verdict(&self, action: &str, resource: &str, resource_policy: Option<&Arc<Policy>>, more: &[(&str, &str)]) -> Verdict {
        let mut context: Vec<(&str, &str)> = more.to_vec();
        for (key, value) in &self.context {
            if !more.iter().any(|(name, _)| name.eq_ignore_ascii_case(key)) {
                context.push((key, value));
            }
        }
        let request = Request { principal: Principal::Arn(&self.arn), action, resource, context: &context };
        let policies = Policies {
            identity: &self.identity,
            boundary: self.boundary.as_ref(),
            session: &self.session,
            resource: resource_policy,
        };
        evaluate(&policies, &request)
    }

    /// AWS's message where the answer is no.
    ///
    /// # Errors
    /// [`RoleError::Denied`]
    pub fn demand(
        &self,
        action: &str,
        resource: &str,
        resource_policy: Option<&Arc<Policy>>,
        more: &[(&str, &str)],
    ) -> Result<(), RoleError> {
        let verdict = self.verdict(action, resource, resource_policy, more);
        match verdict.is_allowed() {
            true => Ok(()),
            false => Err(RoleError::Denied(format!(
                "User: {} is not authorized to perform: {action} on resource: {resource} {}",
                self.arn,
                verdict.because(action)
            ))),
        }
    }
}

/// A policy that allows nothing.
const NOTHING: &str =
    r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "none:None", "Resource": "arn:aws:none:::none"}}"#;

fn compiled(text: &str) -> Result<Arc<Policy>, StoreError> {
    let broken = |error| StoreError::Corrupt(format!("a stored policy is none: {error}"));
    policy::cached_as(text, PolicyKind::Identity).map_err(broken)
}

/// What conditions may ask about a caller and the time: IAM user guide, "AWS global condition context keys". A lake is reached by
/// loopback or by what its owner put in front of it, so its connections count as secure.
pub fn trust_context(place: &Place, caller: &Caller, now_ms: i64) -> Vec<(String, String)> {
    let mut context = vec![
        ("aws:CurrentTime".to_owned(), iso8601(now_ms, false)),
        ("aws:EpochTime".to_owned(), (now_ms / 1000).to_string()),
        ("aws:SecureTransport".to_owned(), "true".to_owned()),
        ("aws:RequestedRegion".to_owned(), place.region.clone()),
        ("aws:userid".to_owned(), caller.user_id(place)),
    ];
    let Caller::Session(session) = caller else { return context };
    context.push(("aws:TokenIssueTime".into(), iso8601(session.issued_ms, false)));
    if let Some(role) = &session.role {
        context.push(("aws:PrincipalArn".into(), role.arn.clone()));
    }
    if let Some(source) = &session.source_identity {
        context.push(("aws:SourceIdentity".into(), source.clone()));
    }
    context.extend(session.tags.iter().map(|(key, value)| (format!("aws:PrincipalTag/{key}"), value.clone())));
    context
}

/// The role that `role_arn` names, where it exists and trusts `service` (`lambda.amazonaws.com`). `context` is what the service
/// tells of what it acts for (`aws:SourceArn`, `aws:SourceAccount`).
///
/// # Errors
/// [`RoleError::NotFound`], [`RoleError::NotTrusted`].
pub fn assumable_by(
    connection: &Connection,
    place: &Place,
    role_arn: &str,
    service: &str,
    context: &[(&str, &str)],
) -> Result<Role, RoleError> {
    let role = rows::role_by_arn(connection, place, role_arn)?.ok_or_else(|| RoleError::NotFound(role_arn.to_owned()))?;
    let request = Request { principal: Principal::Service(service), action: "sts:AssumeRole", resource: role_arn, context };
    match trust_of(&role)?.decide(&request) {
        Decision::Allow => Ok(role),
        Decision::Deny | Decision::Silent => {
            Err(RoleError::NotTrusted { role: role_arn.to_owned(), service: service.to_owned() })
        }
    }
}

fn trust_of(role: &Role) -> Result<Arc<Policy>, StoreError> {
    let broken = |error| StoreError::Corrupt(format!("the trust policy of {} is none: {error}", role.name));
    policy::cached_as(&role.trust, PolicyKind::Trust).map_err(broken)
}

/// Whether `caller` may assume `role` by `action` (`sts:AssumeRole`, and `sts:TagSession` where it gives tags).
///
/// # Errors
/// [`RoleError::Denied`], in AWS's words.
pub fn decide_assume(
    connection: &Connection,
    place: &Place,
    caller: &Caller,
    role: &Role,
    action: &str,
    now_ms: i64,
    more: &[(&str, &str)],
) -> Result<(), RoleError> {
    let trust = trust_of(role)?;
    let rights = Rights::of(connection, place, caller, now_ms)?;
    let arn = role.arn(place);
    let refused =
        || RoleError::Denied(format!("User: {} is not authorized to perform: {action} on resource: {arn}", caller.arn(place)));
    // Also the root must be trusted: it has all rights, and not all roles' trust.
    let context: Vec<(&str, &str)> =
        more.iter().copied().chain(rights.context.iter().map(|(key, value)| (key.as_str(), value.as_str()))).collect();
    let request = Request { principal: Principal::Arn(&rights.arn), action, resource: &arn, context: &context };
    if trust.decide(&request) != Decision::Allow {
        return Err(refused());
    }
    match rights.verdict(action, &arn, Some(&trust), more).is_allowed() {
        true => Ok(()),
        false => Err(refused()),
    }
}

/// Whether `caller` may give `role` (an ARN, or a name as Glue takes one) to `service`: `iam:PassRole`. The account's root always
/// may. The role need not exist. `more` is what else is known of the request (`aws:SourceIp`).
///
/// # Errors
/// [`RoleError::Denied`], in AWS's words.
pub fn may_pass(
    connection: &Connection,
    place: &Place,
    caller: &Caller,
    role: &str,
    service: &str,
    now_ms: i64,
    more: &[(&str, &str)],
) -> Result<(), RoleError> {
    if caller.role().is_none() {
        return Ok(());
    }
    let arn = match role.starts_with("arn:") {
        true => role.to_owned(),
        false => match rows::role_by_name(connection, role)? {
            Some(found) => found.arn(place),
            None => iam_arn(place, &format!("role/{}", role.trim_start_matches('/'))),
        },
    };
    let rights = Rights::of(connection, place, caller, now_ms)?;
    let more: Vec<(&str, &str)> = more.iter().copied().chain([("iam:PassedToService", service)]).collect();
    rights.demand("iam:PassRole", &arn, None, &more)
}
