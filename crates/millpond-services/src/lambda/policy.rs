//! AddPermission, RemovePermission, GetPolicy: who may invoke a function, and whether somebody may.
//!
//! A function has a policy, and each of its versions and aliases one of its own: a caller who names a qualifier is asked by that one's.

use super::functions::resolve;
use super::settings::qualified;
use super::sql;
use super::update::check_revision;
use super::{FunctionName, Lambda, LambdaError, Qualifier};
use crate::runtime::Failure;
use crate::runtime::delivery::Sender;
use millpond_core::env::EnvExt;
use millpond_core::policy::{self, Decision, Principal, Request};
use millpond_store::Tx;
use rusqlite::Connection;
use serde_json::{Map, Value, json};

/// A policy as text, in bytes: "Lambda quotas".
const POLICY_MAX: usize = 20 * 1024;

/// How the names of services end: Alexa and Connect have some of the second kind, China has the third.
const SERVICE_DOMAINS: &[&str] = &[".amazonaws.com", ".amazon.com", ".amazonaws.com.cn"];

/// What invoking a function is called.
pub(super) const INVOKE: &str = "lambda:InvokeFunction";

/// A permission to add.
#[derive(Debug, Clone, Default)]
pub struct NewPermission {
    /// A name or an ARN.
    pub function: String,
    /// A version or an alias.
    pub qualifier: Option<String>,
    /// `Sid`.
    pub statement_id: String,
    /// `lambda:InvokeFunction`, `lambda:*`, …
    pub action: String,
    /// A service, an account, an ARN, or `*`.
    pub principal: String,
    /// For whose sake the service asks: an ARN, with wildcards where wanted.
    pub source_arn: Option<String>,
    /// Of whose account that must be.
    pub source_account: Option<String>,
    /// Of Alexa skills.
    pub event_source_token: Option<String>,
    /// An organisation that the caller must be of.
    pub principal_org_id: Option<String>,
    /// Of function URLs.
    pub function_url_auth_type: Option<String>,
    /// Of function URLs.
    pub invoked_via_function_url: Option<bool>,
    /// Only where this is the current revision.
    pub revision: Option<String>,
}

/// The key of a qualifier in the table of policies.
fn key(qualifier: Option<&Qualifier>) -> String {
    qualifier.map(ToString::to_string).unwrap_or_default()
}

fn principal(text: &str) -> Result<Value, LambdaError> {
    let is_account = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    let of_amazon = SERVICE_DOMAINS.iter().any(|domain| text.ends_with(domain));
    let is_service = of_amazon && text.split('.').all(|part| !part.is_empty()) && !text.contains(':');
    match text {
        "*" => Ok(json!("*")),
        _ if is_account => Ok(json!({ "AWS": format!("arn:aws:iam::{text}:root") })),
        _ if is_service => Ok(json!({ "Service": text })),
        _ if text.starts_with("arn:") && (text.contains(":iam::") || text.contains(":sts::")) => Ok(json!({ "AWS": text })),
        _ => Err(LambdaError::invalid("The provided principal was invalid. Please check the principal and try again.")),
    }
}

/// A statement as Lambda builds it.
fn statement(new: &NewPermission, arn: &str) -> Result<Value, LambdaError> {
    let mut equals = Map::new();
    let mut set = |name: &str, value: &Option<String>| {
        if let Some(value) = value {
            equals.insert(name.to_owned(), json!(value));
        }
    };
    set("AWS:SourceAccount", &new.source_account);
    set("lambda:EventSourceToken", &new.event_source_token);
    set("lambda:FunctionUrlAuthType", &new.function_url_auth_type);
    set("aws:PrincipalOrgID", &new.principal_org_id);
    let mut condition = Map::new();
    if !equals.is_empty() {
        condition.insert("StringEquals".into(), Value::Object(equals));
    }
    if let Some(source) = &new.source_arn {
        condition.insert("ArnLike".into(), json!({ "AWS:SourceArn": source }));
    }
    if let Some(via_url) = new.invoked_via_function_url {
        condition.insert("Bool".into(), json!({ "lambda:InvokedViaFunctionUrl": via_url.to_string() }));
    }
    let mut statement = json!({
        "Sid": new.statement_id,
        "Effect": "Allow",
        "Principal": principal(&new.principal)?,
        "Action": new.action,
        "Resource": arn,
    });
    if !condition.is_empty() {
        statement["Condition"] = Value::Object(condition);
    }
    Ok(statement)
}

/// The whole policy, as GetPolicy answers it.
pub(super) fn document(statements: &[Value]) -> Value {
    json!({ "Version": "2012-10-17", "Id": "default", "Statement": statements })
}

fn sid(statement: &Value) -> &str {
    statement["Sid"].as_str().unwrap_or_default()
}

/// The statements with one more.
pub(super) fn with(mut statements: Vec<Value>, new: Value) -> Result<Vec<Value>, LambdaError> {
    if statements.iter().any(|statement| sid(statement) == sid(&new)) {
        return Err(LambdaError::Conflict(format!(
            "The statement id ({}) provided already exists. Please provide a new statement id, or remove the existing statement.",
            sid(&new)
        )));
    }
    statements.push(new);
    let size = document(&statements).to_string().len();
    if size > POLICY_MAX {
        return Err(LambdaError::PolicyTooLong(format!(
            "The final policy size ({size}) is bigger than the limit ({POLICY_MAX})."
        )));
    }
    Ok(statements)
}

/// The statements without one.
pub(super) fn without(mut statements: Vec<Value>, statement_id: &str) -> Result<Vec<Value>, LambdaError> {
    if statements.is_empty() {
        return Err(LambdaError::NotFound("No policy is associated with the given resource.".into()));
    }
    let before = statements.len();
    statements.retain(|statement| sid(statement) != statement_id);
    if statements.len() == before {
        return Err(LambdaError::NotFound(format!("Statement {statement_id} is not found in resource policy.")));
    }
    Ok(statements)
}

impl Lambda {
    /// `AddPermission`. Answers the statement.
    pub async fn add_permission(&self, new: NewPermission) -> Result<Value, LambdaError> {
        let name = self.parse(&new.function, new.qualifier.as_deref())?;
        if name.qualifier == Some(Qualifier::Latest) {
            return Err(LambdaError::invalid("We currently do not support adding policies for $LATEST."));
        }
        principal(&new.principal)?;
        let lambda = self.clone();
        let written = self.inner.lake.store.write(move |tx| {
            let resolved = qualified(tx, &lambda, &name)?;
            check_revision(new.revision.as_deref(), revision_of(&resolved))?;
            let statement = statement(&new, &name.arn(&lambda.inner.lake.place))?;
            let key = key(name.qualifier.as_ref());
            let statements = with(sql::policy(tx, resolved.function.id, &key)?, statement.clone())?;
            sql::put_policy(tx, resolved.function.id, &key, &statements)?;
            revise(tx, &resolved)?;
            Ok(statement)
        });
        written.await
    }

    /// `RemovePermission`.
    pub async fn remove_permission(
        &self,
        function: &str,
        qualifier: Option<&str>,
        statement_id: &str,
        revision: Option<String>,
    ) -> Result<(), LambdaError> {
        let (name, statement_id, lambda) = (self.parse(function, qualifier)?, statement_id.to_owned(), self.clone());
        let written = self.inner.lake.store.write(move |tx| {
            if sql::function(tx, &name.name)?.is_none() {
                let arn = name.arn(&lambda.inner.lake.place);
                return Err(LambdaError::NotFound(format!("No policy found for: {arn}")));
            }
            let resolved = qualified(tx, &lambda, &name)?;
            let key = key(name.qualifier.as_ref());
            let statements = without(sql::policy(tx, resolved.function.id, &key)?, &statement_id)?;
            check_revision(revision.as_deref(), revision_of(&resolved))?;
            sql::put_policy(tx, resolved.function.id, &key, &statements)?;
            revise(tx, &resolved)
        });
        written.await
    }

    /// `GetPolicy`. Answers the policy and its revision.
    pub async fn get_policy(&self, function: &str, qualifier: Option<&str>) -> Result<(Value, String), LambdaError> {
        let (name, lake) = (self.parse(function, qualifier)?, self.inner.lake.clone());
        let look = move |connection: &Connection| {
            let resolved = resolve(connection, &lake, &name).map_err(|_| LambdaError::no_resource())?;
            let statements = sql::policy(connection, resolved.function.id, &key(name.qualifier.as_ref()))?;
            match statements.is_empty() {
                true => Err(LambdaError::no_resource()),
                false => Ok((document(&statements), revision_of(&resolved).to_owned())),
            }
        };
        self.inner.lake.store.read(look).await
    }
}

/// The revision of what a policy belongs to: of the alias, or of the version.
fn revision_of(resolved: &super::functions::Resolved) -> &str {
    resolved.alias.as_ref().map_or(&resolved.version.revision, |alias| &alias.revision)
}

fn revise(tx: &Tx<'_>, resolved: &super::functions::Resolved) -> Result<(), LambdaError> {
    let revision = tx.env().uuid();
    match &resolved.alias {
        Some(alias) => {
            let alias = sql::AliasRow { revision, ..alias.clone() };
            Ok(sql::put_alias(tx, resolved.function.id, &alias)?)
        }
        None => Ok(sql::revise_version(tx, resolved.function.id, resolved.version.version, &revision)?),
    }
}

/// Whether a service may invoke a function for the sake of `source` (an ARN).
///
/// # Errors
/// What is missing, and the command that adds it.
pub(super) fn allows(
    connection: &Connection,
    function: i64,
    name: &FunctionName,
    arn: &str,
    account: &str,
    sender: Sender,
    source: &str,
) -> Result<(), Failure> {
    // A function's destinations and dead letters go out with its role, and need no policy here.
    if sender == Sender::Lambda {
        return Ok(());
    }
    let statements = sql::policy(connection, function, &key(name.qualifier.as_ref()))?;
    let source_account = source.split(':').nth(4).filter(|account| !account.is_empty()).unwrap_or(account);
    let context = [("aws:SourceArn", source), ("aws:SourceAccount", source_account)];
    let request = Request { principal: Principal::Service(sender.principal()), action: INVOKE, resource: arn, context: &context };
    let decision = match statements.is_empty() {
        true => Decision::Silent,
        false => policy::cached(&document(&statements).to_string()).map_err(Failure::lasting)?.decide(&request),
    };
    let qualifier = name.qualifier.as_ref().map(|qualifier| format!(" --qualifier '{qualifier}'")).unwrap_or_default();
    let why = match decision {
        Decision::Allow => return Ok(()),
        Decision::Deny => format!("a statement of the function's policy denies {INVOKE} to {}", sender.principal()),
        Decision::Silent => format!(
            "the function's policy does not allow {} to invoke it for {source}; add it with: aws lambda add-permission --function-name \
             {}{qualifier} --statement-id NAME --action {INVOKE} --principal {} --source-arn {source}",
            sender.principal(),
            name.name,
            sender.principal()
        ),
    };
    Err(Failure::lasting(format!("{arn}: {why}")).code("NO_PERMISSIONS"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission(principal: &str) -> NewPermission {
        NewPermission {
            function: "f".into(),
            statement_id: "s".into(),
            action: INVOKE.into(),
            principal: principal.into(),
            ..Default::default()
        }
    }

    #[test]
    fn statements_have_the_form_that_lambda_gives_them() {
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
        let new = NewPermission {
            source_arn: Some("arn:aws:s3:::raw".into()),
            source_account: Some("000000000000".into()),
            ..permission("s3.amazonaws.com")
        };
        let expected = concat!(
            r#"{"Sid":"s","Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"lambda:InvokeFunction","#,
            r#""Resource":"arn:aws:lambda:us-east-1:000000000000:function:f","Condition":{"#,
            r#""StringEquals":{"AWS:SourceAccount":"000000000000"},"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::raw"}}}"#
        );
        assert_eq!(statement(&new, arn).unwrap().to_string(), expected);
        for (text, expected) in [
            ("*", json!("*")),
            ("111111111111", json!({ "AWS": "arn:aws:iam::111111111111:root" })),
            ("arn:aws:iam::111111111111:role/r", json!({ "AWS": "arn:aws:iam::111111111111:role/r" })),
            ("events.amazonaws.com", json!({ "Service": "events.amazonaws.com" })),
            ("alexa-appkit.amazon.com", json!({ "Service": "alexa-appkit.amazon.com" })),
            ("ec2.amazonaws.com.cn", json!({ "Service": "ec2.amazonaws.com.cn" })),
        ] {
            assert_eq!(statement(&permission(text), arn).unwrap()["Principal"], expected, "{text}");
        }
        for text in ["", "nobody", "s3", ".amazonaws.com", "x.notamazon.com", "a:b.amazon.com", "arn:aws:s3:::raw"] {
            assert!(statement(&permission(text), arn).is_err(), "{text}");
        }
    }

    #[test]
    fn statements_are_added_once_and_not_without_end() {
        let one = json!({ "Sid": "a" });
        let statements = with(Vec::new(), one.clone()).unwrap();
        assert!(matches!(with(statements.clone(), one), Err(LambdaError::Conflict(_))));
        let long = json!({ "Sid": "b", "Resource": "x".repeat(POLICY_MAX) });
        assert!(matches!(with(statements.clone(), long), Err(LambdaError::PolicyTooLong(_))));
        assert!(matches!(without(statements.clone(), "c"), Err(LambdaError::NotFound(_))));
        assert_eq!(without(statements, "a").unwrap(), Vec::<Value>::new());
    }
}
