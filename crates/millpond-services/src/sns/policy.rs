//! A topic's policy: who may publish to it.

use super::SnsError;
use crate::runtime::Failure;
use crate::runtime::delivery::Sender;
use millpond_core::policy::{self, Decision, Policy, PolicyKind, Principal, Request};
use serde_json::{Value, json};

/// Actions that a policy of a topic can be about.
const ACTIONS: &[&str] = &[
    "GetTopicAttributes",
    "SetTopicAttributes",
    "AddPermission",
    "RemovePermission",
    "DeleteTopic",
    "Subscribe",
    "ListSubscriptionsByTopic",
    "Publish",
];

/// AWS's limit of a topic's policy, in bytes.
const SIZE_MAX: usize = 30_720;

const OUT_OF_SCOPE: &str = "Policy statement action out of service scope!";

/// What SNS gives a topic whose owner sets no policy.
pub(super) fn default(arn: &str, account: &str) -> Value {
    json!({
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [{
            "Sid": "__default_statement_ID",
            "Effect": "Allow",
            "Principal": { "AWS": "*" },
            "Action": ACTIONS.iter().map(|action| format!("SNS:{action}")).collect::<Vec<_>>(),
            "Resource": arn,
            "Condition": { "StringEquals": { "AWS:SourceOwner": account } },
        }],
    })
}

fn of_service(action: &str) -> bool {
    action == "*" || action.get(..4).is_some_and(|service| service.eq_ignore_ascii_case("sns:"))
}

fn actions(statement: &Value) -> Vec<&str> {
    match &statement["Action"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Checks a policy that an owner sets; answers it as it is stored, or what is wrong.
pub(super) fn check(text: &str, arn: &str) -> Result<String, String> {
    if text.len() > SIZE_MAX {
        return Err(format!("Policy Error: a policy has up to {SIZE_MAX} bytes"));
    }
    Policy::parse_as(text, PolicyKind::Resource).map_err(|error| format!("Policy Error: {error}"))?;
    let value: Value = serde_json::from_str(text).map_err(|error| format!("Policy Error: {error}"))?;
    let statements = match &value["Statement"] {
        Value::Array(several) => several.as_slice(),
        one => std::slice::from_ref(one),
    };
    for statement in statements {
        if !actions(statement).into_iter().all(of_service) {
            return Err(OUT_OF_SCOPE.into());
        }
        if statement.get("Principal").is_none() && statement.get("NotPrincipal").is_none() {
            return Err(format!("Policy Error: a statement of the policy of {arn} names no Principal"));
        }
    }
    Ok(text.to_owned())
}

fn parsed(text: &str) -> Result<Value, SnsError> {
    serde_json::from_str(text).map_err(|error| SnsError::invalid(format!("Policy Error: {error}")))
}

/// The statements as a list: a policy may have a single one without.
fn statements(policy: &mut Value) -> &mut Vec<Value> {
    let found = &mut policy["Statement"];
    if !found.is_array() {
        let only = found.take();
        *found = if only.is_null() { json!([]) } else { json!([only]) };
    }
    found.as_array_mut().expect("it was just made one")
}

fn one_or_list(mut values: Vec<String>) -> Value {
    match values.len() {
        1 => values.remove(0).into(),
        _ => values.into(),
    }
}

/// A policy with the statement that `AddPermission` means.
pub(super) fn with_permission(
    text: &str,
    label: &str,
    accounts: &[String],
    actions: &[String],
    arn: &str,
) -> Result<String, SnsError> {
    let mut policy = parsed(text)?;
    let statements = statements(&mut policy);
    if statements.iter().any(|statement| statement["Sid"] == label) {
        return Err(SnsError::invalid("Statement already exists"));
    }
    if actions.is_empty() || !actions.iter().all(|action| ACTIONS.contains(&action.as_str())) {
        return Err(SnsError::invalid(OUT_OF_SCOPE));
    }
    let is_account = |account: &&String| account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(wrong) = accounts.iter().find(|account| !is_account(account)) {
        return Err(SnsError::invalid(format!("AWSAccountId Reason: '{wrong}' is not an account id of twelve digits")));
    }
    let principals = accounts.iter().map(|account| format!("arn:aws:iam::{account}:root")).collect();
    statements.push(json!({
        "Sid": label,
        "Effect": "Allow",
        "Principal": { "AWS": one_or_list(principals) },
        "Action": one_or_list(actions.iter().map(|action| format!("SNS:{action}")).collect()),
        "Resource": arn,
    }));
    Ok(policy.to_string())
}

/// A policy without the statement of that label; one that is not there is gone already.
pub(super) fn without_permission(text: &str, label: &str) -> Result<String, SnsError> {
    let mut policy = parsed(text)?;
    statements(&mut policy).retain(|statement| statement["Sid"] != label);
    Ok(policy.to_string())
}

/// A policy with a statement that lets a service publish for `source`; it takes the place of the one of that label.
pub(super) fn allowing(text: &str, label: &str, principal: &str, source: &str, arn: &str) -> Result<String, SnsError> {
    let mut policy = parsed(&without_permission(text, label)?)?;
    statements(&mut policy).push(json!({
        "Sid": label,
        "Effect": "Allow",
        "Principal": { "Service": principal },
        "Action": "sns:Publish",
        "Resource": arn,
        "Condition": { "ArnLike": { "aws:SourceArn": source } },
    }));
    Ok(policy.to_string())
}

/// Whether a topic's policy lets a service publish to it for `source` (the ARN of a rule or a bucket).
///
/// # Errors
/// It does not: the reason names the statement that is missing.
pub(super) fn allows(text: &str, arn: &str, account: &str, sender: Sender, source: &str) -> Result<(), Failure> {
    // A function's destinations and dead letters are published by its role.
    if sender == Sender::Lambda {
        return Ok(());
    }
    let principal = sender.principal();
    let parsed =
        policy::cached(text).map_err(|error| Failure::lasting(format!("the policy of the topic {arn} is not valid: {error}")))?;
    let context = [("aws:SourceArn", source), ("aws:SourceAccount", account)];
    let request = Request { principal: Principal::Service(principal), action: "sns:Publish", resource: arn, context: &context };
    if parsed.decide(&request) == Decision::Allow {
        return Ok(());
    }
    let statement = json!({
        "Effect": "Allow",
        "Principal": { "Service": principal },
        "Action": "sns:Publish",
        "Resource": arn,
        "Condition": { "ArnEquals": { "aws:SourceArn": source } },
    });
    let whole = json!({ "Version": "2012-10-17", "Statement": [statement] });
    let reason = format!(
        "the policy of the topic {arn} does not allow {principal} to publish for {source}. Add this statement to it: {statement} \
         (where nothing else is allowed yet: aws sns set-topic-attributes --topic-arn {arn} --attribute-name Policy \
         --attribute-value '{whole}')"
    );
    Err(Failure::lasting(reason).code("NO_PERMISSIONS"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:sns:us-east-1:000000000000:t";
    const RULE: &str = "arn:aws:events:us-east-1:000000000000:rule/r";

    fn allowed(policy: &Value) -> Result<(), Failure> {
        allows(&policy.to_string(), ARN, "000000000000", Sender::Events, RULE)
    }

    #[test]
    fn a_service_needs_a_statement_and_is_told_which() {
        let refused = allowed(&default(ARN, "000000000000")).unwrap_err();
        assert!(!refused.retry && refused.code == Some("NO_PERMISSIONS"));
        let begin = refused.reason.find("--attribute-value '").unwrap() + "--attribute-value '".len();
        let command = &refused.reason[begin..refused.reason.len() - 2];
        allowed(&serde_json::from_str(command).unwrap()).expect("what it says to do helps");
        assert!(allows(command, ARN, "000000000000", Sender::S3, "arn:aws:s3:::b").is_err(), "and only for the one who asked");
        assert!(allows(command, ARN, "000000000000", Sender::Lambda, "arn:aws:lambda:x").is_ok());
        let denied = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Principal": "*", "Action": "SNS:Publish", "Resource": ARN },
            { "Effect": "Deny", "Principal": { "Service": "events.amazonaws.com" }, "Action": "sns:*", "Resource": "*" },
        ] });
        assert!(allowed(&denied).is_err());
    }

    #[test]
    fn permissions_come_and_go_by_their_label() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let before = default(ARN, "000000000000").to_string();
        let after = with_permission(&before, "x", &texts(&["111122223333"]), &texts(&["Publish"]), ARN).unwrap();
        let statement = &serde_json::from_str::<Value>(&after).unwrap()["Statement"][1];
        let expected = json!({ "Sid": "x", "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::111122223333:root" },
                               "Action": "SNS:Publish", "Resource": ARN });
        assert_eq!(*statement, expected);
        let refused = |label: &str, account: &str, action: &str| {
            with_permission(&after, label, &texts(&[account]), &texts(&[action]), ARN).unwrap_err().to_string()
        };
        assert_eq!(refused("x", "111122223333", "Publish"), "Invalid parameter: Statement already exists");
        assert_eq!(refused("y", "111122223333", "Fly"), format!("Invalid parameter: {OUT_OF_SCOPE}"));
        assert!(refused("y", "me", "Publish").contains("AWSAccountId"));
        let two = with_permission(&after, "y", &texts(&["111122223333"]), &texts(&["Publish", "Subscribe"]), ARN).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&two).unwrap()["Statement"][2]["Action"],
            json!(["SNS:Publish", "SNS:Subscribe"])
        );
        assert_eq!(without_permission(&after, "x").unwrap(), before);
        assert_eq!(without_permission(&before, "x").unwrap(), before);
    }

    #[test]
    fn wrong_policies_are_refused() {
        for (policy, expected) in [
            ("{", "Policy Error: "),
            (
                r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}]}"#,
                OUT_OF_SCOPE,
            ),
            (
                r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sns:Publish", "Resource": "*"}]}"#,
                "Principal",
            ),
        ] {
            let reason = check(policy, ARN).unwrap_err();
            assert!(reason.contains(expected), "{policy}: {reason}");
        }
    }
}
