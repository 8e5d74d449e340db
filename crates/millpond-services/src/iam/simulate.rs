//! `SimulatePrincipalPolicy` and `SimulateCustomPolicy`: asks the policies what they would say, with the evaluation that requests
//! get.

use super::{Iam, IamError, Page, Window};
use crate::lake::identity::{Role, attached_policies, boundary_or_policy, inline_policies, managed, role_by_arn};
use millpond_core::arn::Place;
use millpond_core::policy::evaluate::{Policies, Verdict, evaluate};
use millpond_core::policy::{Closeness, Decision, Place as Position, Policy, PolicyKind, Principal, Request};
use rusqlite::Connection;
use std::borrow::Borrow;

/// What is asked in one call at the most (actions times resources).
const QUESTIONS_MAX: usize = 10_000;

/// What to simulate.
#[derive(Debug, Clone, Default)]
pub struct Simulation {
    /// The ARN of a role; none asks the given policies alone.
    pub source: Option<String>,
    /// More policies of the identity.
    pub policies: Vec<String>,
    /// A permissions boundary in place of the role's.
    pub boundary: Option<String>,
    /// `s3:GetObject`, …
    pub actions: Vec<String>,
    /// ARNs; none is `*`.
    pub resources: Vec<String>,
    /// The policy of all of the resources.
    pub resource_policy: Option<String>,
    /// Who is to ask; by default the source.
    pub caller: Option<String>,
    /// The request's context.
    pub context: Vec<ContextEntry>,
}

/// A context key with its values.
#[derive(Debug, Clone)]
pub struct ContextEntry {
    /// `aws:SourceIp`
    pub key: String,
    /// One, or several.
    pub values: Vec<String>,
}

/// Where a policy came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// Inline of a role.
    Role,
    /// AWS's.
    AwsManaged,
    /// The account's own.
    UserManaged,
    /// Of the resource.
    Resource,
    /// Given with the call.
    None,
}

/// A statement that made the decision.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchedStatement {
    /// The policy's name.
    pub policy: String,
    /// Where it came from.
    pub kind: SourceKind,
    /// Where the statement begins and ends.
    pub places: (Position, Position),
}

/// What is said about one action on one resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulated {
    /// As it was given.
    pub action: String,
    /// As it was given.
    pub resource: String,
    /// [`Decision::Silent`] is an implicit denial.
    pub decision: Decision,
    /// By which statements.
    pub matched: Vec<MatchedStatement>,
    /// Keys that conditions ask about and the context does not have.
    pub missing: Vec<String>,
    /// What the boundary says, where there is one.
    pub allowed_by_boundary: Option<bool>,
}

#[derive(Debug)]
struct Sourced {
    name: String,
    kind: SourceKind,
    policy: Policy,
}

impl Borrow<Policy> for Sourced {
    fn borrow(&self) -> &Policy {
        &self.policy
    }
}

struct Prepared {
    identity: Vec<Sourced>,
    boundary: Option<Sourced>,
    resource: Option<Sourced>,
    caller: String,
}

impl Iam {
    /// `SimulatePrincipalPolicy`, and without a source `SimulateCustomPolicy`.
    pub async fn simulate(&self, simulation: Simulation, window: Window) -> Result<Page<Simulated>, IamError> {
        let resources = simulation.resources.len().max(1);
        if simulation.actions.len().saturating_mul(resources) > QUESTIONS_MAX {
            let text = format!("More than {QUESTIONS_MAX} pairs of an action and a resource: ask in several calls.");
            return Err(IamError::InvalidInput(text));
        }
        self.read(move |iam, connection| {
            let prepared = prepare(connection, &iam.lake.place, &simulation)?;
            let start: usize = window.after()?.parse().unwrap_or(0);
            let any = ["*".to_owned()];
            let resources = if simulation.resources.is_empty() { &any[..] } else { &simulation.resources[..] };
            let pairs = simulation.actions.iter().flat_map(|action| resources.iter().map(move |resource| (action, resource)));
            let mut pairs = pairs.skip(start);
            let asked = pairs.by_ref().take(window.size());
            let items: Vec<Simulated> =
                asked.map(|(action, resource)| prepared.ask(action, resource, &simulation.context)).collect();
            let next = pairs.next().map(|_| {
                use base64::Engine;
                base64::engine::general_purpose::URL_SAFE_NO_PAD.encode((start + items.len()).to_string())
            });
            Ok(Page { items, next })
        })
        .await
    }
}

fn prepare(connection: &Connection, place: &Place, simulation: &Simulation) -> Result<Prepared, IamError> {
    let mut identity = Vec::new();
    let mut boundary = None;
    if let Some(arn) = &simulation.source {
        let missing = || IamError::NoSuchEntity(format!("{arn} does not exist: give the ARN of a role."));
        let role = role_by_arn(connection, place, arn)?.ok_or_else(missing)?;
        identity = of_role(connection, place, &role)?;
        if let Some(arn) = &role.boundary {
            boundary = Some(of_arn(connection, place, arn)?);
        }
    }
    for (number, document) in simulation.policies.iter().enumerate() {
        let policy = Policy::parse_as(document, PolicyKind::Identity)?;
        identity.push(Sourced { name: format!("PolicyInputList.{}", number + 1), kind: SourceKind::None, policy });
    }
    if let Some(document) = &simulation.boundary {
        let policy = Policy::parse_as(document, PolicyKind::Identity)?;
        let name = "PermissionsBoundaryPolicyInputList.1".to_owned();
        boundary = Some(Sourced { name, kind: SourceKind::None, policy });
    }
    let resource = simulation.resource_policy.as_deref().map(|document| {
        let policy = Policy::parse(document)?;
        Ok::<_, IamError>(Sourced { name: "ResourcePolicy".into(), kind: SourceKind::Resource, policy })
    });
    let simulated = || format!("arn:aws:iam::{}:user/simulated", place.account);
    let caller = simulation.caller.clone().or_else(|| simulation.source.clone()).unwrap_or_else(simulated);
    Ok(Prepared { identity, boundary, resource: resource.transpose()?, caller })
}

fn of_role(connection: &Connection, place: &Place, role: &Role) -> Result<Vec<Sourced>, IamError> {
    let mut all = Vec::new();
    for (name, document) in inline_policies(connection, &role.id)? {
        let policy = Policy::parse_as(&document, PolicyKind::Identity)?;
        all.push(Sourced { name: format!("role_{}_{name}", role.name), kind: SourceKind::Role, policy });
    }
    for arn in attached_policies(connection, &role.id)? {
        all.push(of_arn(connection, place, &arn)?);
    }
    Ok(all)
}

fn of_arn(connection: &Connection, place: &Place, arn: &str) -> Result<Sourced, IamError> {
    let document = boundary_or_policy(connection, place, arn)?;
    let kind = if managed::is_managed(arn) { SourceKind::AwsManaged } else { SourceKind::UserManaged };
    let name = arn.rsplit('/').next().unwrap_or_default().to_owned();
    Ok(Sourced { name, kind, policy: Policy::parse_as(&document, PolicyKind::Identity)? })
}

impl Prepared {
    fn ask(&self, action: &str, resource: &str, context: &[ContextEntry]) -> Simulated {
        let entries = context.iter().flat_map(|entry| entry.values.iter().map(|value| (entry.key.as_str(), value.as_str())));
        let context: Vec<(&str, &str)> = entries.collect();
        let request = Request { principal: Principal::Arn(&self.caller), action, resource, context: &context };
        let policies = Policies {
            identity: &self.identity,
            boundary: self.boundary.as_ref(),
            session: &[],
            resource: self.resource.as_ref(),
        };
        let decision = match evaluate(&policies, &request) {
            Verdict::Allowed => Decision::Allow,
            Verdict::Denied(_) => Decision::Deny,
            Verdict::NotAllowed(_) => Decision::Silent,
        };
        let (mut matched, mut missing) = (Vec::new(), Vec::new());
        for sourced in self.identity.iter().chain(&self.resource).chain(&self.boundary) {
            let explained = sourced.policy.explain(&request);
            let counts = match decision {
                Decision::Deny => explained.decision == Decision::Deny,
                Decision::Allow | Decision::Silent => {
                    explained.decision == Decision::Allow && explained.closeness >= Some(Closeness::Account)
                }
            };
            if counts && decision != Decision::Silent {
                let place = |statement: &&millpond_core::policy::Statement| MatchedStatement {
                    policy: sourced.name.clone(),
                    kind: sourced.kind,
                    places: statement.places(),
                };
                matched.extend(explained.statements.iter().map(place));
            }
            missing.extend(sourced.policy.missing_keys(&request));
        }
        missing.sort();
        missing.dedup();
        let bounded = self.boundary.as_ref().map(|boundary| boundary.policy.decide(&request) == Decision::Allow);
        Simulated { action: action.into(), resource: resource.into(), decision, matched, missing, allowed_by_boundary: bounded }
    }
}
