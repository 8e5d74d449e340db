//! Data-driven: what the pages of IAM's user guide state, a table for each.

use super::evaluate::{By, Policies, Verdict, evaluate};
use super::*;

const ROOT: Principal<'_> = Principal::Arn("arn:aws:iam::111122223333:root");
const SESSION: Principal<'_> = Principal::Arn("arn:aws:sts::111122223333:assumed-role/loader/run-1");
const QUEUE: &str = "arn:aws:sqs:us-east-1:111122223333:orders";

fn resource(text: &str) -> Policy {
    Policy::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn identity(text: &str) -> Policy {
    Policy::parse_as(text, PolicyKind::Identity).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn statement(more: &str) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", {more}}}]}}"#)
}

fn ask<'a>(principal: Principal<'a>, context: &'a [(&'a str, &'a str)]) -> Request<'a> {
    Request { principal, action: "sqs:SendMessage", resource: QUEUE, context }
}

#[test]
fn an_explicit_deny_wins_whatever_the_order() {
    let allow = r#"{"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "*"}"#;
    let deny = r#"{"Effect": "Deny", "Principal": {"AWS": "111122223333"}, "Action": "SQS:sendmessage", "Resource": "*"}"#;
    for (statements, expected) in [
        (format!("[{allow}]"), Decision::Allow),
        (allow.to_owned(), Decision::Allow),
        (format!("[{allow}, {deny}]"), Decision::Deny),
        (format!("[{deny}, {allow}]"), Decision::Deny),
        ("[]".into(), Decision::Silent),
    ] {
        let policy = resource(&format!(r#"{{"Version": "2012-10-17", "Statement": {statements}}}"#));
        assert_eq!(policy.decide(&ask(SESSION, &[])), expected, "{statements}");
    }
}

#[test]
fn a_policy_that_wants_tls_lets_the_services_of_the_lake_send() {
    let allow =
        r#""Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": "*""#;
    let deny = r#""Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*""#;
    for statements in [
        format!(r#"{{{allow}}}, {{{deny}, "Condition": {{"BoolIfExists": {{"aws:SecureTransport": "false"}}}}}}"#),
        format!(r#"{{{allow}}}, {{{deny}, "Condition": {{"Bool": {{"aws:SecureTransport": "false"}}}}}}"#),
        format!(r#"{{{allow}, "Condition": {{"Bool": {{"aws:SecureTransport": "true"}}}}}}"#),
    ] {
        let policy = resource(&format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#));
        let request = ask(Principal::Service("sns.amazonaws.com"), &[("aws:SourceArn", "arn:aws:sns:us-east-1:111122223333:t")]);
        assert_eq!(policy.decide(&request), Decision::Allow, "{statements}");
    }
}

#[test]
fn actions_and_resources_are_matched_with_wildcards() {
    for (statement_of, action, asked, expected) in [
        (r#""Action": "s3:Get*", "Resource": "arn:aws:s3:::raw/*""#, "s3:GetObject", "arn:aws:s3:::raw/a/b", true),
        (r#""Action": "S3:getobject", "Resource": "*""#, "s3:GetObject", "arn:aws:s3:::raw/a", true),
        (r#""Action": "s3:Get*", "Resource": "arn:aws:s3:::raw""#, "s3:GetObject", "arn:aws:s3:::raw/a", false),
        (r#""Action": "s3:Get*", "Resource": "arn:aws:s3:::RAW/*""#, "s3:GetObject", "arn:aws:s3:::raw/a", false),
        (r#""Action": ["glue:*", "s3:??tObject"], "Resource": "*""#, "s3:PutObject", "arn:aws:s3:::raw/a", true),
        (r#""NotAction": "iam:*", "Resource": "*""#, "s3:PutObject", "arn:aws:s3:::raw/a", true),
        (r#""NotAction": ["iam:*", "s3:*"], "Resource": "*""#, "s3:PutObject", "arn:aws:s3:::raw/a", false),
        (r#""Action": "*", "NotResource": "arn:aws:s3:::raw/*""#, "s3:PutObject", "arn:aws:s3:::raw/a", false),
        (r#""Action": "*", "NotResource": "arn:aws:s3:::raw/*""#, "s3:PutObject", "arn:aws:s3:::out/a", true),
        (r#""Action": "*", "NotResource": "arn:aws:s3:::${aws:username}/*""#, "s3:PutObject", "arn:aws:s3:::out/a", false),
    ] {
        let policy = identity(&statement(statement_of));
        let request = Request { principal: SESSION, action, resource: asked, context: &[] };
        assert_eq!(policy.decide(&request) == Decision::Allow, expected, "{statement_of} {action} {asked}");
    }
}

#[test]
fn principals_are_accounts_roles_sessions_services_and_everyone() {
    let events = Principal::Service("events.amazonaws.com");
    let with_path = r#"{"AWS": "arn:aws:iam::111122223333:role/teams/loader"}"#;
    for (principal, who, expected) in [
        (r#""*""#, SESSION, Some(Closeness::Role)),
        (r#""*""#, events, Some(Closeness::Role)),
        (r#""*""#, Principal::Anonymous, Some(Closeness::Role)),
        (r#"{"AWS": "*"}"#, Principal::Anonymous, Some(Closeness::Role)),
        (r#"{"AWS": "111122223333"}"#, SESSION, Some(Closeness::Account)),
        (r#"{"AWS": "111122223333"}"#, ROOT, Some(Closeness::Itself)),
        (r#"{"AWS": ["arn:aws:iam::111122223333:root"]}"#, SESSION, Some(Closeness::Account)),
        (r#"{"AWS": "arn:aws:iam::111122223333:root"}"#, events, None),
        (r#"{"AWS": "444455556666"}"#, SESSION, None),
        (r#"{"AWS": "arn:aws:iam::111122223333:role/loader"}"#, SESSION, Some(Closeness::Role)),
        (r#"{"AWS": "arn:aws:iam::111122223333:role/load"}"#, SESSION, None),
        (r#"{"AWS": "arn:aws:iam::444455556666:role/loader"}"#, SESSION, None),
        (r#"{"AWS": "arn:aws:sts::111122223333:assumed-role/loader/run-1"}"#, SESSION, Some(Closeness::Itself)),
        (r#"{"AWS": "arn:aws:sts::111122223333:assumed-role/loader/run-2"}"#, SESSION, None),
        (r#"{"AWS": ["444455556666", "111122223333"]}"#, SESSION, Some(Closeness::Account)),
        (r#"{"Service": "events.amazonaws.com"}"#, events, Some(Closeness::Itself)),
        (r#"{"Service": ["s3.amazonaws.com", "events.us-east-1.amazonaws.com"]}"#, events, Some(Closeness::Itself)),
        (r#"{"Service": "s3.amazonaws.com"}"#, events, None),
        (r#"{"AWS": "444455556666", "Service": "events.amazonaws.com"}"#, events, Some(Closeness::Itself)),
        (r#"{"Service": "events.amazonaws.com"}"#, SESSION, None),
        (r#"{"Federated": "cognito-identity.amazonaws.com"}"#, SESSION, None),
        (with_path, SESSION, Some(Closeness::Role)),
    ] {
        let policy = resource(&statement(&format!(r#""Principal": {principal}, "Action": "sqs:*", "Resource": "*""#)));
        assert_eq!(policy.explain(&ask(who, &[])).closeness, expected, "{principal} {who:?}");
    }
    let policy = resource(&statement(&format!(r#""Principal": {with_path}, "Action": "sqs:*""#)));
    let context = [("aws:PrincipalArn", "arn:aws:iam::111122223333:role/loader")];
    assert_eq!(policy.decide(&ask(SESSION, &context)), Decision::Silent, "a role whose path is another is another role");
}

#[test]
fn what_is_denied_to_all_but_some_is_denied_to_who_is_not_named_with_its_account() {
    let deny = |principal: &str| {
        let text = format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Deny", "NotPrincipal": {principal}, "Action": "*", "Resource": "*"}}}}"#
        );
        resource(&text)
    };
    let (account, role) = ("arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:role/loader");
    for (principal, who, expected) in [
        (format!(r#"{{"AWS": ["{account}", "{role}"]}}"#), SESSION, Decision::Silent),
        (format!(r#"{{"AWS": "{role}"}}"#), SESSION, Decision::Deny),
        (format!(r#"{{"AWS": "{account}"}}"#), SESSION, Decision::Deny),
        (format!(r#"{{"AWS": "{account}"}}"#), ROOT, Decision::Silent),
        (format!(r#"{{"AWS": "{account}"}}"#), Principal::Anonymous, Decision::Deny),
        (r#"{"Service": "events.amazonaws.com"}"#.into(), Principal::Service("events.amazonaws.com"), Decision::Silent),
        (r#"{"Service": "events.amazonaws.com"}"#.into(), Principal::Service("s3.amazonaws.com"), Decision::Deny),
        (r#""*""#.into(), SESSION, Decision::Silent),
    ] {
        assert_eq!(deny(&principal).decide(&ask(who, &[])), expected, "{principal} {who:?}");
    }
}

/// Condition, context, whether it holds.
#[test]
fn conditions_compare_as_their_operators_say() {
    let bucket: &[(&str, &str)] = &[("aws:SourceArn", "arn:aws:s3:::raw"), ("aws:SourceAccount", "111122223333")];
    for (condition, context, expected) in [
        (r#"{"StringEquals": {"aws:SourceAccount": "111122223333"}}"#, bucket, true),
        (r#"{"StringEquals": {"AWS:sourceaccount": ["1", "111122223333"]}}"#, bucket, true),
        (r#"{"stringequals": {"aws:SourceAccount": 111122223333}}"#, bucket, true),
        (r#"{"StringEquals": {"aws:SourceAccount": "1*"}}"#, bucket, false),
        (r#"{"StringNotEquals": {"aws:SourceAccount": ["1", "2"]}}"#, bucket, true),
        (r#"{"StringNotEquals": {"aws:SourceAccount": ["1", "111122223333"]}}"#, bucket, false),
        (r#"{"StringLike": {"aws:SourceAccount": "1*3"}}"#, bucket, true),
        (r#"{"StringNotLike": {"aws:SourceAccount": "1*3"}}"#, bucket, false),
        (r#"{"StringEqualsIgnoreCase": {"x:y": "RAW"}}"#, &[("x:y", "raw")], true),
        (r#"{"StringEquals": {"x:y": "RAW"}}"#, &[("x:y", "raw")], false),
        (r#"{"StringNotEqualsIgnoreCase": {"x:y": "RAW"}}"#, &[("x:y", "Raw")], false),
        (r#"{"ArnLike": {"aws:SourceArn": "arn:aws:s3:*:*:raw"}}"#, bucket, true),
        (r#"{"ArnEquals": {"aws:SourceArn": "arn:aws:s3:::*"}}"#, bucket, true),
        (r#"{"ArnEquals": {"aws:SourceArn": "arn:aws:s3:::raws"}}"#, bucket, false),
        (r#"{"ArnLike": {"aws:SourceArn": "arn:aws:s3*"}}"#, bucket, true),
        (r#"{"ArnLike": {"aws:SourceArn": "arn:aws:*raw:::"}}"#, bucket, false),
        (r#"{"ArnNotEquals": {"aws:SourceArn": "arn:aws:s3:::raw"}}"#, bucket, false),
        (r#"{"ArnNotLike": {"aws:SourceArn": "arn:aws:s3:::other*"}}"#, bucket, true),
        (
            r#"{"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:${aws:PrincipalAccount}:t"}}"#,
            &[("aws:SourceArn", "arn:aws:sns:r:111122223333:t")],
            true,
        ),
        (r#"{"NumericLessThan": {"s3:max-keys": "10"}}"#, &[("s3:max-keys", "9")], true),
        (r#"{"NumericLessThan": {"s3:max-keys": 10}}"#, &[("s3:max-keys", "10")], false),
        (r#"{"NumericLessThanEquals": {"s3:max-keys": "10"}}"#, &[("s3:max-keys", "10.0")], true),
        (r#"{"NumericGreaterThan": {"s3:max-keys": "10"}}"#, &[("s3:max-keys", "9")], false),
        (r#"{"NumericGreaterThanEquals": {"s3:max-keys": "-1"}}"#, &[("s3:max-keys", "-1")], true),
        (r#"{"NumericEquals": {"s3:max-keys": "10"}}"#, &[("s3:max-keys", "ten")], false),
        (r#"{"NumericNotEquals": {"s3:max-keys": "10"}}"#, &[("s3:max-keys", "11")], true),
        (
            r#"{"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}}"#,
            &[("aws:CurrentTime", "2026-01-01T00:00:01Z")],
            true,
        ),
        (r#"{"DateLessThan": {"aws:CurrentTime": "2026-01-01"}}"#, &[("aws:CurrentTime", "2026-01-01T00:00:01Z")], false),
        (
            r#"{"DateEquals": {"aws:CurrentTime": "2026-01-01T01:00+01:00"}}"#,
            &[("aws:CurrentTime", "2026-01-01T00:00:00.000Z")],
            true,
        ),
        (r#"{"DateLessThanEquals": {"aws:EpochTime": "1767225600"}}"#, &[("aws:EpochTime", "1767225600")], true),
        (r#"{"DateGreaterThanEquals": {"aws:EpochTime": "2026-01-01T00:00:00Z"}}"#, &[("aws:EpochTime", "1767225600")], true),
        (r#"{"DateNotEquals": {"aws:CurrentTime": "2026-01"}}"#, &[("aws:CurrentTime", "2026-02-01")], true),
        (r#"{"Bool": {"aws:SecureTransport": "false"}}"#, &[("aws:SecureTransport", "false")], true),
        (r#"{"Bool": {"aws:SecureTransport": true}}"#, &[("aws:SecureTransport", "false")], false),
        (r#"{"BinaryEquals": {"x:y": "QmluYXJ5"}}"#, &[("x:y", "QmluYXJ5")], true),
        (r#"{"BinaryEquals": {"x:y": "QQ=="}}"#, &[("x:y", "QQ")], true),
        (r#"{"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}"#, &[("aws:SourceIp", "203.0.113.7")], true),
        (r#"{"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}"#, &[("aws:SourceIp", "::ffff:203.0.113.7")], true),
        (r#"{"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}"#, &[("aws:SourceIp", "203.0.114.7")], false),
        (r#"{"IpAddress": {"aws:SourceIp": ["10.0.0.1", "2001:db8::/32"]}}"#, &[("aws:SourceIp", "2001:db8:1::1")], true),
        (r#"{"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}"#, &[("aws:SourceIp", "2001:db8::1")], false),
        (r#"{"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}"#, &[("aws:SourceIp", "198.51.100.1")], true),
        (r#"{"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}"#, &[("aws:SourceIp", "203.0.113.7")], false),
        (r#"{"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}"#, &[("aws:SourceIp", "198.51.100.1")], true),
        (r#"{"Null": {"aws:TokenIssueTime": "true"}}"#, &[], true),
        (r#"{"Null": {"aws:SourceArn": "true"}}"#, bucket, false),
        (r#"{"Null": {"aws:SourceArn": false}}"#, bucket, true),
        (r#"{"StringEquals": {"aws:PrincipalAccount": "111122223333", "aws:PrincipalType": "AssumedRole"}}"#, &[], true),
        (r#"{"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/loader"}}"#, &[], true),
        (r#"{"Bool": {"aws:PrincipalIsAWSService": "false"}}"#, &[], true),
        (r#"{}"#, &[], true),
        (
            r#"{"StringEquals": {"aws:SourceAccount": "111122223333"}, "ArnLike": {"aws:SourceArn": "arn:aws:s3:::other"}}"#,
            bucket,
            false,
        ),
    ] as [(&str, &[(&str, &str)], bool); _]
    {
        check_condition(condition, context, expected);
    }
}

fn check_condition(condition: &str, context: &[(&str, &str)], expected: bool) {
    let text = statement(&format!(r#""Principal": "*", "Action": "sqs:*", "Resource": "*", "Condition": {condition}"#));
    let decision = resource(&text).decide(&ask(SESSION, context));
    assert_eq!(decision == Decision::Allow, expected, "{condition} {context:?}");
}

/// The table of "Single-valued vs. multivalued context keys", and "Condition operators" on absent keys.
#[test]
fn absent_keys_and_sets_of_values_follow_the_table() {
    let two: &[(&str, &str)] = &[("aws:TagKeys", "env"), ("aws:TagKeys", "team")];
    for (condition, context, expected) in [
        (r#"{"StringEquals": {"aws:TagKeys": "env"}}"#, &[], false),
        (r#"{"StringNotEquals": {"aws:TagKeys": "env"}}"#, &[], true),
        (r#"{"StringEqualsIfExists": {"aws:TagKeys": "env"}}"#, &[], true),
        (r#"{"StringEqualsIfExists": {"aws:TagKeys": "env"}}"#, &[("aws:TagKeys", "x")], false),
        (r#"{"NumericLessThanIfExists": {"a:b": "1"}}"#, &[], true),
        (r#"{"NotIpAddressIfExists": {"aws:SourceIp": "10.0.0.0/8"}}"#, &[("aws:SourceIp", "10.1.1.1")], false),
        (r#"{"ForAllValues:StringEquals": {"aws:TagKeys": ["env", "team"]}}"#, two, true),
        (r#"{"ForAllValues:StringEquals": {"aws:TagKeys": "env"}}"#, two, false),
        (r#"{"ForAllValues:StringEquals": {"aws:TagKeys": "env"}}"#, &[], true),
        (r#"{"ForAllValues:StringNotEquals": {"aws:TagKeys": "cost"}}"#, two, true),
        (r#"{"ForAllValues:StringNotEquals": {"aws:TagKeys": "env"}}"#, two, false),
        (r#"{"ForAnyValue:StringEquals": {"aws:TagKeys": "env"}}"#, two, true),
        (r#"{"ForAnyValue:StringEquals": {"aws:TagKeys": "cost"}}"#, two, false),
        (r#"{"ForAnyValue:StringEquals": {"aws:TagKeys": "env"}}"#, &[], false),
        (r#"{"ForAnyValue:StringNotEquals": {"aws:TagKeys": "env"}}"#, two, true),
        (r#"{"ForAnyValue:StringNotEquals": {"aws:TagKeys": ["env", "team"]}}"#, two, false),
        (r#"{"ForAnyValue:StringNotEquals": {"aws:TagKeys": "env"}}"#, &[], false),
        (r#"{"ForAnyValue:StringLikeIfExists": {"aws:TagKeys": "e*"}}"#, &[], true),
        (r#"{"StringEquals": {"aws:SourceAccount": "${aws:PrincipalAccount}"}}"#, &[("aws:SourceAccount", "111122223333")], true),
        (r#"{"StringEquals": {"a:b": "${a:c}"}}"#, &[("a:b", "")], false),
        (r#"{"StringLike": {"a:b": "${a:c, 'x'}*"}}"#, &[("a:b", "xy")], true),
    ] as [(&str, &[(&str, &str)], bool); _]
    {
        check_condition(condition, context, expected);
    }
}

#[test]
fn version_2008_has_no_variables() {
    let text = r#"{"Version": "2008-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::${aws:username}"}}"#;
    let policy = identity(text);
    let ann = Principal::Arn("arn:aws:iam::111122223333:user/ann");
    let decide =
        |policy: &Policy, resource| policy.decide(&Request { principal: ann, action: "s3:ListBucket", resource, context: &[] });
    assert_eq!(decide(&policy, "arn:aws:s3:::ann"), Decision::Silent);
    assert_eq!(decide(&policy, "arn:aws:s3:::${aws:username}"), Decision::Allow);
    assert_eq!(decide(&identity(&text.replace("2008", "2012")), "arn:aws:s3:::ann"), Decision::Allow);
}

#[test]
fn a_malformed_policy_says_what_and_where() {
    let with = |statement: &str| format!("{{\"Version\": \"2012-10-17\",\n \"Statement\": [{statement}]}}");
    let good = r#""Effect": "Allow", "Action": "s3:*", "Resource": "*""#;
    for (text, message) in [
        ("".to_owned(), "This policy contains invalid Json (line 1, column 1: expected a value, found the end of the text)"),
        (
            "{\"a\": 1,\n }".into(),
            "This policy contains invalid Json (line 2, column 2: expected a name in double quotes, found '}')",
        ),
        (r#"{"Version": "2012-10-17", "Version": "2012-10-17"}"#.into(), "comes twice"),
        ("[]".into(), "Syntax errors in policy. (line 1, column 1: a policy must be an object, not a list)"),
        (r#"{"Version": "2012-10-17"}"#.into(), "the policy has no Statement"),
        (r#"{"Version": "2013-01-01", "Statement": []}"#.into(), "Policy document must be version 2012-10-17 or greater."),
        (r#"{"Statement": []}"#.into(), "Statement is empty"),
        (r#"{"statement": []}"#.into(), "a policy has no element 'statement'; write 'Statement'"),
        (
            with(r#"{"Effect": "Allow", "action": "s3:*"}"#),
            "line 2, column 36: a statement has no element 'action'; write 'Action'",
        ),
        (with(r#"{"Action": "s3:*", "Resource": "*"}"#), "Missing required field Effect"),
        (with(r#"{"Effect": "allow", "Action": "s3:*", "Resource": "*"}"#), "it must be Allow or Deny"),
        (with(r#"{"Effect": "Allow", "Resource": "*"}"#), "Policy statement must contain actions."),
        (with(r#"{"Effect": "Allow", "Action": [], "Resource": "*"}"#), "Policy statement must contain actions."),
        (with(r#"{"Effect": "Allow", "Action": "s3:*"}"#), "Policy statement must contain resources."),
        (with(r#"{"Effect": "Allow", "Action": "s3:*", "NotAction": "s3:*", "Resource": "*"}"#), "not both"),
        (
            with(r#"{"Effect": "Allow", "Action": "GetObject", "Resource": "*"}"#),
            "Actions/Conditions must be prefaced by a vendor",
        ),
        (with(r#"{"Effect": "Allow", "Action": "a:b:c", "Resource": "*"}"#), "Actions/Condition can contain only one colon."),
        (with(r#"{"Effect": "Allow", "Action": "s*:Get", "Resource": "*"}"#), "Vendor s* is not valid"),
        (with(r#"{"Effect": "Allow", "Action": "s3:*", "Resource": "raw"}"#), "Resource raw must be in ARN format or \"*\"."),
        (with(r#"{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:mars:s3:::raw"}"#), "Partition \"mars\" is not valid"),
        (with(r#"{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:raw"}"#), "The policy failed legacy parsing"),
        (with(&format!(r#"{{"Principal": "*", {good}}}"#)), "Policy document should not specify a principal."),
        (with(&format!(r#"{{"Sid": "a b", {good}}}"#)), "Statement IDs (SID) must be alpha-numeric."),
        (
            with(&format!(r#"{{"Sid": "a", {good}}}, {{"Sid": "a", {good}}}"#)),
            "Statement IDs (SID) in a single policy must be unique.",
        ),
        (with(&format!(r#"{{"Condition": {{"StringEqual": {{"a:b": "c"}}}}, {good}}}"#)), "Invalid Condition type : StringEqual"),
        (with(&format!(r#"{{"Condition": {{"NullIfExists": {{"a:b": "true"}}}}, {good}}}"#)), "Invalid Condition type"),
        (
            with(&format!(r#"{{"Condition": {{"StringEquals": {{"ab": "c"}}}}, {good}}}"#)),
            "the key 'ab' does not begin with a service",
        ),
        (with(&format!(r#"{{"Condition": {{"NumericEquals": {{"a:b": "c"}}}}, {good}}}"#)), "'c' is not a number"),
        (with(&format!(r#"{{"Condition": {{"IpAddress": {{"a:b": "10.0.0.0/33"}}}}, {good}}}"#)), "is not an IP address"),
        (with(&format!(r#"{{"Condition": {{"Bool": {{"a:b": null}}}}, {good}}}"#)), "a condition's value cannot be null"),
        (with(&format!(r#"{{"Condition": {{"DateEquals": {{"a:b": "soon"}}}}, {good}}}"#)), "'soon' is not a date"),
        ("[".repeat(100_000), "nested deeper"),
        (" ".repeat(POLICY_BYTES_MAX + 1), "are the most"),
    ] {
        let error = Policy::parse_as(&text, PolicyKind::Identity).expect_err(&text).to_string();
        assert!(error.contains(message), "{text}\n{error}");
    }
}

#[test]
fn trust_policies_and_policies_of_resources_have_rules_of_their_own() {
    let service = r#""Principal": {"Service": "glue.amazonaws.com"}"#;
    for (text, message) in [
        (r#""Action": "sts:AssumeRole""#.to_owned(), "Missing required field Principal"),
        (format!(r#"{service}, "Action": "sts:AssumeRole", "Resource": "*""#), "Has prohibited field Resource"),
        (format!(r#"{service}, "Action": "s3:*""#), "AssumeRole policy may only specify STS AssumeRole actions."),
        (service.to_owned(), "Missing required field Action"),
        (
            r#""Principal": {"Service": "glue"}, "Action": "sts:AssumeRole""#.into(),
            r#"Invalid principal in policy: "SERVICE":"glue""#,
        ),
        (r#""Principal": {"AWS": "me"}, "Action": "sts:AssumeRole""#.into(), r#"Invalid principal in policy: "AWS":"me""#),
        (r#""Principal": {"AWS": "arn:aws:iam::111122223333:role/*"}, "Action": "sts:AssumeRole""#.into(), "Invalid principal"),
        (r#""Principal": "glue.amazonaws.com", "Action": "sts:AssumeRole""#.into(), "Invalid principal"),
        (r#""Principal": {}, "Action": "sts:AssumeRole""#.into(), "Principal names nobody"),
        (
            r#""Principal": {"Services": "glue.amazonaws.com"}, "Action": "sts:AssumeRole""#.into(),
            "'Services' is not a kind of principal",
        ),
        (r#""NotPrincipal": {"AWS": "*"}, "Action": "sts:AssumeRole""#.into(), "Has prohibited field NotPrincipal"),
    ] {
        let error = Policy::parse_as(&statement(&text), PolicyKind::Trust).expect_err(&text).to_string();
        assert!(error.contains(message), "{text}\n{error}");
    }
    Policy::parse_as(&statement(&format!(r#"{service}, "Action": ["sts:AssumeRole", "sts:TagSession"]"#)), PolicyKind::Trust)
        .unwrap();
    for text in [r#""Action": "sqs:*", "Resource": "*""#, r#""NotPrincipal": {"AWS": "111122223333"}, "Action": "sqs:*""#] {
        assert!(Policy::parse(&statement(text)).is_err(), "{text}");
    }
    let sid = resource(&statement(r#""Sid": "__default statement-1", "Principal": "*", "Action": "sqs:*""#));
    assert_eq!(sid.statements()[0].sid(), Some("__default statement-1"));
    assert_eq!(sid.statements()[0].places().0, Place { line: 1, column: 41 });
}

#[test]
fn several_policies_decide_as_the_evaluation_logic_says() {
    let one = |effect: &str, more: &str| {
        identity(&format!(r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "{effect}", {more}, "Resource": "*"}}}}"#))
    };
    let (allow, deny, other) =
        (one("Allow", r#""Action": "sqs:*""#), one("Deny", r#""Action": "sqs:Send*""#), one("Allow", r#""Action": "s3:*""#));
    let queue = |principal: &str| resource(&statement(&format!(r#""Principal": {principal}, "Action": "sqs:*""#)));
    let account = queue(r#"{"AWS": "111122223333"}"#);
    let role = queue(r#"{"AWS": "arn:aws:iam::111122223333:role/loader"}"#);
    let session = queue(r#"{"AWS": "arn:aws:sts::111122223333:assumed-role/loader/run-1"}"#);
    type Row<'a> = (Vec<&'a Policy>, Option<&'a Policy>, Vec<&'a Policy>, Option<&'a Policy>, Verdict);
    let rows: Vec<Row<'_>> = vec![
        (vec![], None, vec![], None, Verdict::NotAllowed(By::Identity)),
        (vec![&other, &allow], None, vec![], None, Verdict::Allowed),
        (vec![&allow, &deny], None, vec![], Some(&session), Verdict::Denied(By::Identity)),
        (vec![&allow], Some(&other), vec![], None, Verdict::NotAllowed(By::Boundary)),
        (vec![&allow], Some(&deny), vec![], None, Verdict::Denied(By::Boundary)),
        (vec![&allow], Some(&allow), vec![&other], None, Verdict::NotAllowed(By::Session)),
        (vec![&allow], Some(&allow), vec![&other, &allow], None, Verdict::Allowed),
        (vec![&other], None, vec![&allow], None, Verdict::NotAllowed(By::Identity)),
        (vec![], None, vec![], Some(&account), Verdict::NotAllowed(By::Identity)),
        (vec![&allow], None, vec![], Some(&account), Verdict::Allowed),
        (vec![], None, vec![], Some(&role), Verdict::Allowed),
        (vec![], Some(&other), vec![], Some(&role), Verdict::NotAllowed(By::Boundary)),
        (vec![], Some(&other), vec![&other], Some(&session), Verdict::Allowed),
    ];
    for (number, (identity, boundary, session, resource, expected)) in rows.iter().enumerate() {
        let policies = Policies { identity, boundary: boundary.as_ref(), session, resource: resource.as_ref() };
        assert_eq!(evaluate(&policies, &ask(SESSION, &[])), *expected, "row {number}");
        let root = evaluate(&policies, &ask(ROOT, &[]));
        assert_eq!(root.is_allowed(), !matches!(expected, Verdict::Denied(_)), "row {number}, root");
    }
    let none: Policies<'_, &Policy> = Policies { identity: &[], boundary: None, session: &[], resource: None };
    let events = ask(Principal::Service("events.amazonaws.com"), &[]);
    assert_eq!(evaluate(&none, &events), Verdict::NotAllowed(By::Resource));
}

/// Whatever a stranger sends is answered: no text makes the parser or an evaluation panic.
#[test]
fn any_prefix_of_a_policy_and_any_changed_byte_is_answered() {
    let text = r#"{"Version": "2012-10-17", "Id": "ä", "Statement": [{"Sid": "a\u00e9", "Effect": "Deny",
        "NotPrincipal": {"AWS": ["111122223333", "arn:aws:iam::111122223333:role/x"], "Service": "sns.eu-west-1.amazonaws.com"},
        "NotAction": ["sqs:Get*", "sqs:?end*"], "NotResource": "arn:aws:sqs:*:*:${aws:username, 'x'}-*",
        "Condition": {"ForAnyValue:StringLikeIfExists": {"aws:TagKeys": ["a*", "?b"]}, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"},
            "DateLessThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}, "ArnLike": {"aws:SourceArn": "arn:aws:s3:::${aws:x}"}}}]}"#;
    let context =
        [("aws:SourceIp", "10.0.0.1"), ("aws:TagKeys", "ab"), ("aws:CurrentTime", "x"), ("aws:SourceArn", "arn:aws:s3:::é")];
    let mut parsed = 0;
    let mut try_it = |text: &str| {
        for kind in [PolicyKind::Identity, PolicyKind::Trust, PolicyKind::Resource] {
            if let Ok(policy) = Policy::parse_as(text, kind) {
                parsed += 1;
                policy.decide(&ask(SESSION, &context));
                policy.missing_keys(&ask(Principal::Anonymous, &[]));
            }
        }
    };
    try_it(text);
    for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
        try_it(&text[..at]);
        for byte in [b'"', b'{', b'}', b'*', b'?', b'$', b'\\', b',', b'[', b'0', 0x00] {
            let mut changed = text.as_bytes().to_vec();
            changed[at] = byte;
            if let Ok(changed) = std::str::from_utf8(&changed) {
                try_it(changed);
            }
        }
    }
    assert!(parsed > 100, "{parsed} of the changed texts are policies: the test would be about the JSON reader alone");
}
