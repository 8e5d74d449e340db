//! `AssumeRole`: STS API reference, "AssumeRole"; IAM user guide, "Pass session tags in AWS STS", "Roles terms and concepts"
//! (chaining).

use super::{Sts, StsError};
use crate::lake::identity::{self, Caller, NewSession, Role, Session, SessionKeys, SessionRole};
use millpond_core::arn::Arn;
use millpond_core::policy::{Policy, PolicyKind};
use rusqlite::Connection;
use std::collections::{BTreeMap, HashSet};

/// A session that assumes a role has it for an hour at the most.
const CHAINED_SECONDS_MAX: i64 = 3600;

/// Bytes of a session's policy, policy ARNs and tags at the most: they travel with each request.
const PACKED_BYTES_MAX: usize = 4096;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct AssumeRole {
    /// The role's ARN.
    pub role_arn: String,
    /// 2 to 64 characters of `[\w+=,.@-]`.
    pub session_name: String,
    /// From 900; an hour where nothing is said.
    pub seconds: Option<i64>,
    /// Narrows what the session may do.
    pub policy: Option<String>,
    /// ARNs of policies that narrow it.
    pub policy_arns: Vec<String>,
    /// Session tags.
    pub tags: Vec<(String, String)>,
    /// Keys of the tags that go on to sessions which this one assumes.
    pub transitive_tags: Vec<String>,
    /// `sts:ExternalId`
    pub external_id: Option<String>,
    /// `sts:SourceIdentity`
    pub source_identity: Option<String>,
    /// The number of an MFA device: there are none.
    pub serial_number: Option<String>,
    /// `aws:SourceIp`
    pub source_ip: Option<String>,
}

/// A session that was given.
#[derive(Debug, Clone)]
pub struct Assumed {
    /// The credentials, with what they claim.
    pub keys: SessionKeys,
    /// `AROA…:session`
    pub user_id: String,
    /// `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`
    pub arn: String,
    /// How much of what a token carries is used; none without policies and tags.
    pub packed_percent: Option<i64>,
}

impl Sts {
    /// `AssumeRole`
    pub async fn assume_role(&self, caller: Caller, asked: AssumeRole, now_ms: i64) -> Result<Assumed, StsError> {
        let packed = check(&asked)?;
        let sts = self.clone();
        let look = move |connection: &Connection| {
            let role = sts.trusted(connection, &caller, &asked, now_ms)?;
            sts.session(&caller, &role, asked)
        };
        let new = self.lake.store.read(look).await?;
        let keys = self.identity.issue_new(new);
        let place = &self.lake.place;
        Ok(Assumed { user_id: keys.session.user_id(place), arn: keys.session.arn(place), keys, packed_percent: packed })
    }

    /// The role, where the caller may assume it.
    fn trusted(&self, connection: &Connection, caller: &Caller, asked: &AssumeRole, now_ms: i64) -> Result<Role, StsError> {
        let place = &self.lake.place;
        let denied = |action: &str| {
            let (who, role) = (caller.arn(place), &asked.role_arn);
            StsError::AccessDenied(format!("User: {who} is not authorized to perform: {action} on resource: {role}"))
        };
        let role = identity::role_by_arn(connection, place, &asked.role_arn)?.ok_or_else(|| denied("sts:AssumeRole"))?;
        if asked.serial_number.is_some() {
            let text = "MultiFactorAuthentication failed: this lake has no MFA devices; leave SerialNumber and TokenCode out.";
            return Err(StsError::AccessDenied(text.into()));
        }
        let tag_keys: Vec<String> = asked.tags.iter().map(|(key, _)| format!("aws:RequestTag/{key}")).collect();
        let mut more: Vec<(&str, &str)> = vec![("sts:RoleSessionName", &asked.session_name)];
        more.extend(asked.external_id.as_deref().map(|id| ("sts:ExternalId", id)));
        more.extend(asked.source_identity.as_deref().map(|id| ("sts:SourceIdentity", id)));
        more.extend(asked.source_ip.as_deref().map(|ip| ("aws:SourceIp", ip)));
        for (name, (key, value)) in tag_keys.iter().zip(&asked.tags) {
            more.extend([(name.as_str(), value.as_str()), ("aws:TagKeys", key.as_str())]);
        }
        more.extend(asked.transitive_tags.iter().map(|key| ("sts:TransitiveTagKeys", key.as_str())));
        let mut actions = vec!["sts:AssumeRole"];
        if !asked.tags.is_empty() {
            actions.push("sts:TagSession");
        }
        if asked.source_identity.is_some() {
            actions.push("sts:SetSourceIdentity");
        }
        for action in actions {
            identity::decide_assume(connection, place, caller, &role, action, now_ms, &more)?;
        }
        for arn in &asked.policy_arns {
            if identity::policy_document(connection, place, arn)?.is_none() {
                return Err(StsError::Validation(format!("Policy {arn} does not exist or is not attachable.")));
            }
        }
        Ok(role)
    }

    fn session(&self, caller: &Caller, role: &Role, asked: AssumeRole) -> Result<NewSession, StsError> {
        let chained = caller.role().is_some();
        let seconds = asked.seconds.unwrap_or(3600);
        if chained && seconds > CHAINED_SECONDS_MAX {
            let text = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining";
            return Err(StsError::Validation(text.into()));
        }
        if seconds > role.session_seconds_max {
            let text = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
            return Err(StsError::Validation(text.into()));
        }
        let (mut tags, mut transitive) = (BTreeMap::new(), asked.transitive_tags);
        if let Caller::Session(session) = caller {
            inherit(session, &asked.tags, &mut tags, &mut transitive)?;
        }
        tags.extend(asked.tags);
        let inherited = match caller {
            Caller::Session(session) => session.source_identity.clone(),
            Caller::Root => None,
        };
        if let (Some(given), Some(inherited)) = (&asked.source_identity, &inherited)
            && given != inherited
        {
            let text =
                format!("SourceIdentity is '{inherited}' since the first session of this chain, and cannot become '{given}'.");
            return Err(StsError::AccessDenied(text));
        }
        // What a run of a job does through another role is the run's all the same.
        let job_run = match caller {
            Caller::Session(session) => session.job_run.clone(),
            Caller::Root => None,
        };
        Ok(NewSession {
            role: Some(SessionRole { id: role.id.clone(), arn: role.arn(&self.lake.place) }),
            name: asked.session_name,
            seconds,
            policy: asked.policy,
            policy_arns: asked.policy_arns,
            tags,
            transitive_tags: transitive,
            source_identity: asked.source_identity.or(inherited),
            job_run,
        })
    }
}

/// The tags that go on from the session that asks; they cannot be given another value.
fn inherit(
    session: &Session,
    given: &[(String, String)],
    tags: &mut BTreeMap<String, String>,
    transitive: &mut Vec<String>,
) -> Result<(), StsError> {
    for key in &session.transitive_tags {
        if given.iter().any(|(name, _)| name.eq_ignore_ascii_case(key)) {
            let text = format!(
                "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag: {key}"
            );
            return Err(StsError::Validation(text));
        }
        if let Some(value) = session.tags.get(key) {
            tags.insert(key.clone(), value.clone());
            transitive.push(key.clone());
        }
    }
    Ok(())
}

/// What can be said without the role. Answers how much of a token's room is used.
fn check(asked: &AssumeRole) -> Result<Option<i64>, StsError> {
    let arn: Option<Arn> = asked.role_arn.parse().ok();
    let valid = arn.is_some_and(|arn| arn.service == "iam" && arn.resource.starts_with("role/") && arn.region.is_empty());
    if !valid {
        return Err(StsError::Validation(format!("{} is invalid", asked.role_arn)));
    }
    if let Some(policy) = &asked.policy {
        Policy::parse_as(policy, PolicyKind::Identity)?;
    }
    let mut keys = HashSet::new();
    if let Some((key, _)) = asked.tags.iter().find(|(key, _)| !keys.insert(key.to_lowercase())) {
        let text = format!("Duplicate tag keys found: {key}. Please note that Tag keys are case insensitive.");
        return Err(StsError::Validation(text));
    }
    if let Some(key) = asked.transitive_tags.iter().find(|key| !keys.contains(&key.to_lowercase())) {
        return Err(StsError::Validation(format!(
            "The specified transitive tag key must be included in the requested tags: {key}"
        )));
    }
    let policies = asked.policy.iter().chain(&asked.policy_arns).map(String::len).sum::<usize>();
    let tags = asked.tags.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
    let packed = policies + tags;
    let percent = packed * 100 / PACKED_BYTES_MAX;
    match packed {
        0 => Ok(None),
        1..=PACKED_BYTES_MAX => Ok(Some(percent.max(1) as i64)),
        _ => Err(StsError::PackedPolicyTooLarge(format!("Packed size of session tags consumes {percent}% of allotted space."))),
    }
}
