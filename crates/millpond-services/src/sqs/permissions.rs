//! `AddPermission` and `RemovePermission`: statements of the queue's policy that the service writes itself.

use super::sql::Attributes;
use super::{Sqs, SqsError, attributes};
use serde_json::{Map, Value, json};

/// What can be granted (API reference, AddPermission).
const ACTIONS: &[&str] = &[
    "*",
    "ChangeMessageVisibility",
    "DeleteMessage",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "PurgeQueue",
    "ReceiveMessage",
    "SendMessage",
];

/// In one statement.
const ACTIONS_MAX: usize = 7;

/// A statement to add to a queue's policy.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPermission {
    /// What [`Sqs::remove_permission`] calls it.
    pub label: String,
    /// Twelve digits each.
    pub accounts: Vec<String>,
    /// Without the service's name: `SendMessage`, or `*`.
    pub actions: Vec<String>,
}

impl Sqs {
    /// `AddPermission`.
    pub async fn add_permission(&self, url: &str, new: NewPermission) -> Result<(), SqsError> {
        check(&new)?;
        let (name, sqs) = (self.named(url)?, self.clone());
        self.lake
            .store
            .write(move |tx| {
                let arn = sqs.arn(&name);
                sqs.set_in(tx, &name, |before| {
                    let mut policy = policy_of(before, &arn);
                    let statements = statements(&mut policy);
                    if statements.iter().any(|statement| statement["Sid"] == *new.label) {
                        return Err(SqsError::value(&new.label, "Label", "Already exists."));
                    }
                    statements.push(statement(&new, &arn));
                    with_policy(before, policy)
                })
            })
            .await
    }

    /// `RemovePermission`.
    pub async fn remove_permission(&self, url: &str, label: &str) -> Result<(), SqsError> {
        let (name, sqs, label) = (self.named(url)?, self.clone(), label.to_owned());
        self.lake
            .store
            .write(move |tx| {
                let arn = sqs.arn(&name);
                sqs.set_in(tx, &name, |before| {
                    let mut policy = policy_of(before, &arn);
                    let statements = statements(&mut policy);
                    let count = statements.len();
                    statements.retain(|statement| statement["Sid"] != *label);
                    match (statements.len() == count, statements.is_empty()) {
                        (true, _) => Err(SqsError::value(&label, "Label", "can't find label.")),
                        (false, true) => attributes::changed(before, &[("Policy".to_owned(), String::new())].into(), false),
                        (false, false) => with_policy(before, policy),
                    }
                })
            })
            .await
    }
}

fn check(new: &NewPermission) -> Result<(), SqsError> {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !(1..=80).contains(&new.label.len()) || !new.label.chars().all(valid) {
        let reason = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length.";
        return Err(SqsError::value(&new.label, "Label", reason));
    }
    if new.accounts.is_empty() {
        return Err(SqsError::MissingParameter("PrincipalId"));
    }
    if new.actions.is_empty() {
        return Err(SqsError::MissingParameter("Actions"));
    }
    if new.actions.len() > ACTIONS_MAX {
        let many = new.actions.len();
        return Err(SqsError::OverLimit(format!("{many} Actions were found, maximum allowed is {ACTIONS_MAX}.")));
    }
    let is_account = |account: &&String| account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(account) = new.accounts.iter().find(|account| !is_account(account)) {
        return Err(SqsError::value(format!("[{account}]"), "PrincipalId", "Unable to verify."));
    }
    match new.actions.iter().find(|action| !ACTIONS.contains(&action.as_str())) {
        Some(action) => {
            let reason = "Please refer to the appropriate WSDL for a list of valid actions. ";
            Err(SqsError::value(format!("SQS:{action}"), "ActionName", reason))
        }
        None => Ok(()),
    }
}

/// The form in which AWS writes it: one value stands alone, several are a list.
fn statement(new: &NewPermission, arn: &str) -> Value {
    let one_or_all = |mut values: Vec<String>| match values.len() {
        1 => Value::from(values.remove(0)),
        _ => Value::from(values),
    };
    let principals = new.accounts.iter().map(|account| format!("arn:aws:iam::{account}:root")).collect();
    let actions = new.actions.iter().map(|action| format!("SQS:{action}")).collect();
    json!({
        "Sid": new.label,
        "Effect": "Allow",
        "Principal": { "AWS": one_or_all(principals) },
        "Action": one_or_all(actions),
        "Resource": arn,
    })
}

fn policy_of(attributes: &Attributes, arn: &str) -> Map<String, Value> {
    let there = attributes.get("Policy").and_then(|text| serde_json::from_str::<Value>(text).ok());
    match there {
        Some(Value::Object(policy)) => policy,
        _ => match json!({ "Version": "2008-10-17", "Id": format!("{arn}/SQSDefaultPolicy"), "Statement": [] }) {
            Value::Object(policy) => policy,
            _ => Map::new(),
        },
    }
}

/// The statements as a list; a policy may also have one without a list around it.
fn statements(policy: &mut Map<String, Value>) -> &mut Vec<Value> {
    let slot = policy.entry("Statement").or_insert_with(|| Value::Array(Vec::new()));
    if !slot.is_array() {
        *slot = Value::Array(vec![slot.take()]);
    }
    slot.as_array_mut().expect("it was made a list just now")
}

fn with_policy(before: &Attributes, policy: Map<String, Value>) -> Result<Attributes, SqsError> {
    attributes::changed(before, &[("Policy".to_owned(), Value::Object(policy).to_string())].into(), false)
}
