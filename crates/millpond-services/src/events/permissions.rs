//! PutPermission, RemovePermission: who else may put events on a bus.
//!
//! Within the account nothing need be allowed, but a policy can deny.

use super::buses::{self, Bus};
use super::{Events, EventsError, sql};
use crate::runtime::Failure;
use crate::runtime::delivery::Sender;
use millpond_core::arn::Arn;
use millpond_core::policy::{Decision, Policy, Principal, Request, cached};
use millpond_store::Tx;
use serde_json::{Value, json};

/// Bytes of a bus's policy at the most. API reference, "PutPermission".
const POLICY_MAX: usize = 10 * 1024;

/// A statement to add, or a whole policy to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// An account may put events.
    Account {
        /// Its name within the policy.
        statement_id: String,
        /// `events:PutEvents`.
        action: String,
        /// Twelve digits, or `*`.
        principal: String,
        /// Type, key and value: `StringEquals`, `aws:PrincipalOrgID`, the organization.
        condition: Option<(String, String, String)>,
    },
    /// A policy in the place of what was there.
    Policy(String),
}

/// Fails where the policy of a bus denies a sender.
pub(super) fn check(bus: &Bus, arn: &Arn, sender: Sender, source: &str, account: &str) -> Result<(), Failure> {
    let Some(text) = &bus.policy else { return Ok(()) };
    let context = [("aws:SourceArn", source), ("aws:SourceAccount", account)];
    let (resource, principal) = (arn.to_string(), Principal::Service(sender.principal()));
    let request = Request { principal, action: "events:PutEvents", resource: &resource, context: &context };
    match cached(text).map(|policy| policy.decide(&request)) {
        Ok(Decision::Deny) => {
            let reason = format!(
                "the policy of the event bus {arn} denies events:PutEvents to {} for {source}; remove that statement (aws events \
                 remove-permission --event-bus-name {} --statement-id …)",
                sender.principal(),
                bus.name
            );
            Err(Failure::lasting(reason).code("NO_PERMISSIONS"))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::lasting(format!("the policy of {arn} cannot be read: {error}")).code("NO_PERMISSIONS")),
    }
}

/// Whether the policy of a bus denies a caller to put events.
pub(super) fn denies(bus: &Bus, arn: &str, principal: &str, account: &str) -> bool {
    let Some(policy) = bus.policy.as_deref().and_then(|text| cached(text).ok()) else { return false };
    let context = [("aws:PrincipalArn", principal), ("aws:PrincipalAccount", account)];
    let request = Request { principal: Principal::Arn(principal), action: "events:PutEvents", resource: arn, context: &context };
    policy.decide(&request) == Decision::Deny
}

impl Events {
    /// `PutPermission`: a statement in the place of one of its name, or a whole policy.
    pub async fn put_permission(&self, bus: Option<&str>, permission: Permission) -> Result<(), EventsError> {
        let name = self.bus_name(bus)?;
        let arn = self.bus_arn(&name);
        let put = move |tx: &Tx<'_>| {
            let mut bus = buses::find(tx, &name)?;
            let policy = match permission {
                Permission::Policy(text) => whole(&text)?,
                permission => added(statements(bus.policy.as_deref())?, statement(permission, &arn)?),
            };
            let text = policy.to_string();
            if text.len() > POLICY_MAX {
                return Err(EventsError::PolicyLength(text.len()));
            }
            Policy::parse(&text).map_err(|error| EventsError::invalid(format!("This policy is not valid: {error}")))?;
            bus.policy = Some(text);
            bus.modified_ms = Some(tx.now_ms());
            Ok(sql::put_bus(tx, &bus)?)
        };
        self.lake.store.write(put).await
    }

    /// `RemovePermission`: a statement by its name, or (`None`) all of them.
    pub async fn remove_permission(&self, bus: Option<&str>, statement_id: Option<&str>) -> Result<(), EventsError> {
        let (name, statement_id) = (self.bus_name(bus)?, statement_id.map(str::to_owned));
        let remove = move |tx: &Tx<'_>| {
            let mut bus = buses::find(tx, &name)?;
            bus.policy = match &statement_id {
                None => None,
                Some(id) => {
                    let missing = || EventsError::Missing("EventBus does not have a policy.".into());
                    let mut all = statements(Some(bus.policy.as_deref().ok_or_else(missing)?))?;
                    let before = all.len();
                    all.retain(|statement| statement["Sid"] != json!(id));
                    if all.len() == before {
                        return Err(EventsError::Missing("Statement with the provided id does not exist.".into()));
                    }
                    (!all.is_empty()).then(|| policy(all).to_string())
                }
            };
            bus.modified_ms = Some(tx.now_ms());
            Ok(sql::put_bus(tx, &bus)?)
        };
        self.lake.store.write(remove).await
    }
}

fn policy(statements: Vec<Value>) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// A policy that was given as a whole; a single statement is taken as one.
fn whole(text: &str) -> Result<Value, EventsError> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| EventsError::invalid(format!("This policy contains invalid Json: {error}")))?;
    match value {
        Value::Object(members) if members.contains_key("Statement") => Ok(Value::Object(members)),
        Value::Object(members) if members.contains_key("Effect") => Ok(policy(vec![Value::Object(members)])),
        _ => Err(EventsError::invalid("This policy contains invalid Json: it must be an object with Version and Statement.")),
    }
}

fn statements(policy: Option<&str>) -> Result<Vec<Value>, EventsError> {
    let value: Value =
        policy.map(serde_json::from_str).transpose().map_err(millpond_store::StoreError::from)?.unwrap_or_default();
    Ok(match value["Statement"].clone() {
        Value::Array(all) => all,
        Value::Null => Vec::new(),
        one => vec![one],
    })
}

fn added(mut all: Vec<Value>, new: Value) -> Value {
    all.retain(|statement| statement["Sid"] != new["Sid"]);
    all.push(new);
    policy(all)
}

/// A statement as EventBridge writes it.
fn statement(permission: Permission, arn: &str) -> Result<Value, EventsError> {
    let Permission::Account { statement_id, action, principal, condition } = permission else {
        return Err(EventsError::invalid("a policy is no statement"));
    };
    if action != "events:PutEvents" {
        return Err(EventsError::invalid("Provided value in parameter 'action' is not supported."));
    }
    let who = match principal.as_str() {
        "*" => json!("*"),
        account => json!({ "AWS": format!("arn:aws:iam::{account}:root") }),
    };
    let mut statement = json!({ "Sid": statement_id, "Effect": "Allow", "Principal": who, "Action": action, "Resource": arn });
    if let Some((kind, key, value)) = condition {
        if kind != "StringEquals" || key != "aws:PrincipalOrgID" {
            return Err(EventsError::invalid("The condition must be of the type StringEquals and the key aws:PrincipalOrgID."));
        }
        statement["Condition"] = json!({ kind: { key: value } });
    }
    Ok(statement)
}
