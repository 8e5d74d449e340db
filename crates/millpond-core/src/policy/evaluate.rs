//! Several policies together: IAM user guide, "Policy evaluation logic", for requests within one account.

use super::{Closeness, Decision, Policy, Principal, Request};
use std::borrow::Borrow;

/// The policies that are about one request. An empty list of identity policies allows nothing.
#[derive(Debug, Clone, Copy)]
pub struct Policies<'a, P = Policy> {
    /// Inline and attached ones of the caller's role.
    pub identity: &'a [P],
    /// The role's permissions boundary.
    pub boundary: Option<&'a P>,
    /// The session's own policies, where it was given some: what none of them allows, the session may not do.
    pub session: &'a [P],
    /// Of what is asked for.
    pub resource: Option<&'a P>,
}

/// What they say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may be done.
    Allowed,
    /// A policy of this kind denies it.
    Denied(By),
    /// A policy of this kind would have to allow it.
    NotAllowed(By),
}

/// Which policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The role's own policies.
    Identity,
    /// The permissions boundary.
    Boundary,
    /// The session's policy.
    Session,
    /// The policy of what is asked for.
    Resource,
}

impl By {
    /// As AWS's messages name it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Identity => "identity-based policy",
            Self::Boundary => "permissions boundary",
            Self::Session => "session policy",
            Self::Resource => "resource-based policy",
        }
    }
}

impl Verdict {
    /// Whether it may be done.
    pub fn is_allowed(self) -> bool {
        self == Self::Allowed
    }

    /// The end of AWS's message of a denial: `because no identity-based policy allows the iam:PassRole action`.
    pub fn because(self, action: &str) -> String {
        match self {
            Self::Allowed => String::new(),
            Self::Denied(By::Identity) => format!("with an explicit deny in an {}", By::Identity.title()),
            Self::Denied(by) => format!("with an explicit deny in a {}", by.title()),
            Self::NotAllowed(by) => format!("because no {} allows the {action} action", by.title()),
        }
    }
}

/// What the policies say about a request of a principal of the account that owns the resource.
pub fn evaluate<P: Borrow<Policy>>(policies: &Policies<'_, P>, request: &Request<'_>) -> Verdict {
    let one = |policy: &P| policy.borrow().decide(request);
    let all: Vec<Decision> = policies.identity.iter().map(one).collect();
    let boundary = policies.boundary.map(one);
    let session: Vec<Decision> = policies.session.iter().map(one).collect();
    let resource = policies.resource.map(|policy| policy.borrow().explain(request));
    let denied = [
        (all.contains(&Decision::Deny), By::Identity),
        (resource.as_ref().is_some_and(|explained| explained.decision == Decision::Deny), By::Resource),
        (boundary == Some(Decision::Deny), By::Boundary),
        (session.contains(&Decision::Deny), By::Session),
    ];
    if let Some((_, by)) = denied.iter().find(|(denied, _)| *denied) {
        return Verdict::Denied(*by);
    }
    if matches!(request.principal, Principal::Arn(arn) if arn.ends_with(":root")) {
        return Verdict::Allowed; // An account's root may do all that is not denied.
    }
    let granted = resource.and_then(|explained| explained.closeness);
    if matches!(request.principal, Principal::Service(_) | Principal::Anonymous) {
        return if granted.is_some() { Verdict::Allowed } else { Verdict::NotAllowed(By::Resource) };
    }
    if granted == Some(Closeness::Itself) {
        return Verdict::Allowed; // Neither boundary nor session policy narrows what names the session itself.
    }
    if granted != Some(Closeness::Role) && !all.contains(&Decision::Allow) {
        return Verdict::NotAllowed(By::Identity);
    }
    if boundary == Some(Decision::Silent) {
        return Verdict::NotAllowed(By::Boundary);
    }
    match session.is_empty() || session.contains(&Decision::Allow) {
        true => Verdict::Allowed,
        false => Verdict::NotAllowed(By::Session),
    }
}
