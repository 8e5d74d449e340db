//! Which operation of which service a request means.
//!
//! One endpoint serves all services, so the request itself must tell: JSON services name the operation in
//! `X-Amz-Target`, Query services in the form fields `Action` and `Version`; what is left belongs to
//! the service of its credential scope, or to S3, whose requests may come without credentials.

use std::borrow::Cow;

use http::{Method, header, request::Parts};

use crate::error::WireError;
use crate::query;
use crate::rest;
use crate::service::{Protocol, Service, Spoken};

/// What a request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An operation.
    Operation {
        /// The service, and the protocol that the request speaks.
        spoken: Spoken,
        /// The operation's name, as in the service's model.
        operation: &'static str,
    },
    /// A request that method and path explain, to S3.
    Rest(&'static Service),
}

/// Finds what a request means. `scope` is the service of its credential scope, if it has one
/// ([`scope`]); `body` is looked at only where it is a form.
///
/// # Errors
/// `UnknownOperationException` or `InvalidAction` for operations and services that do not exist.
pub fn find(parts: &Parts, body: &[u8], scope: Option<&str>) -> Result<Target, WireError> {
    if let Some(target) = parts.headers.get("x-amz-target") {
        return by_target(target.to_str().unwrap_or_default());
    }
    if let Some(target) = by_action(parts, body, scope)? {
        return Ok(target);
    }
    let (method, path) = (&parts.method, parts.uri.path());
    let shown = || format!("{method} {}", path.chars().take(256).collect::<String>());
    let service = match scope {
        Some(scope) => by_signing_name(scope).ok_or_else(|| {
            let scope: String = scope.chars().take(64).collect();
            WireError::unknown_operation(None, &format!("{} of {scope}", shown()))
        })?,
        None => &crate::s3::SERVICE,
    };
    match service.protocol {
        Protocol::Rest => Ok(Target::Rest(service)),
        Protocol::RestJson => match rest::route(service, method, path, parts.uri.query().unwrap_or_default()) {
            Some(route) => Ok(Target::Operation { spoken: service.into(), operation: route.operation }),
            None => Err(WireError::unknown_operation(Some(service), &shown())),
        },
        _ => Err(WireError::unknown_operation(Some(service), "")),
    }
}

/// The service of a request's credential scope, unverified: of the `Authorization` header, else of a presigned URL.
#[must_use]
pub fn scope(parts: &Parts) -> Option<String> {
    let credential = match parts.headers.get(header::AUTHORIZATION) {
        Some(value) => {
            let text = value.to_str().ok()?;
            Cow::Borrowed(text.split_once("Credential=")?.1.split([',', ' ']).next()?)
        }
        None => {
            let mut pairs = parts.uri.query()?.split('&');
            let text = pairs.find_map(|pair| pair.strip_prefix("X-Amz-Credential="))?;
            percent_encoding::percent_decode_str(text).decode_utf8().ok()?
        }
    };
    let mut elements = credential.split('/').skip(3);
    let service = elements.next().filter(|service| !service.is_empty())?;
    elements.next().map(|_| service.to_owned())
}

/// The service that a request seems to be for and how it seems to speak, so that a refusal that comes before [`find`]'s answer has
/// that form too.
#[must_use]
pub fn hint(parts: &Parts, scope: Option<&str>) -> Option<Spoken> {
    let prefix = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()?.rsplit_once('.'));
    match prefix {
        Some((prefix, _)) => by_prefix(prefix).map(Spoken::from),
        None => scope.and_then(by_signing_name).map(|service| match service.query_protocol() {
            Some(protocol) => Spoken { service, protocol },
            None => service.into(),
        }),
    }
}

/// Whether the request's body may be a Query service's form, which [`find`] then needs whole.
#[must_use]
pub fn is_form(parts: &Parts) -> bool {
    parts.method == Method::POST
        && parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            let kind = value.split(';').next().unwrap_or_default();
            kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
}

/// Whether a request is for a service other than S3: it names its operation in a header or a form, or is signed for another service.
#[must_use]
pub fn is_small(parts: &Parts) -> bool {
    if parts.headers.contains_key("x-amz-target") {
        return true;
    }
    if let Some(scope) = scope(parts) {
        return scope != crate::s3::SERVICE.signing_name;
    }
    let action = parts.uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("Action=")));
    parts.uri.path() == "/" && (action || is_form(parts))
}

fn by_signing_name(name: &str) -> Option<&'static Service> {
    crate::SERVICES.iter().find(|service| service.signing_name == name).copied()
}

fn by_prefix(prefix: &str) -> Option<&'static Service> {
    let is_meant =
        |service: &&Service| matches!(service.protocol, Protocol::Json { target_prefix, .. } if target_prefix == prefix);
    crate::SERVICES.iter().copied().find(is_meant)
}

fn by_target(target: &str) -> Result<Target, WireError> {
    let (prefix, operation) = target.rsplit_once('.').unwrap_or((target, ""));
    let service = by_prefix(prefix);
    let shown: String = target.chars().take(128).collect();
    let service = service.ok_or_else(|| WireError::unknown_operation(None, &shown))?;
    match service.operation(operation) {
        Some(operation) => Ok(Target::Operation { spoken: service.into(), operation }),
        None => Err(WireError::unknown_operation(Some(service), &shown)),
    }
}

/// A Query request has `Action` in its form, or in the query string of a GET: to `/`, or to a queue's URL.
fn by_action(parts: &Parts, body: &[u8], scope: Option<&str>) -> Result<Option<Target>, WireError> {
    let scope_service = scope.and_then(by_signing_name);
    if scope_service.is_some_and(|service| service.query_protocol().is_none()) {
        return Ok(None);
    }
    let anywhere = scope_service.is_some_and(|service| service.also_query.is_some());
    let form = if is_form(parts) && !body.is_empty() {
        body
    } else if parts.uri.path() == "/" || anywhere {
        parts.uri.query().unwrap_or_default().as_bytes()
    } else {
        return Ok(None);
    };
    let Some(action) = query::field(form, "Action") else {
        return Ok(None);
    };
    let shown: String = action.chars().take(128).collect();
    let version = query::field(form, "Version");
    let service = scope_service.or_else(|| {
        // A link in a mail carries neither a scope nor a version: then the operation's name must do.
        let is_meant = |service: &&Service| match &version {
            _ if service.query_protocol().is_none() => false,
            Some(version) => version == service.version,
            None => service.operation(&action).is_some(),
        };
        crate::SERVICES.iter().copied().find(is_meant)
    });
    let service = service.ok_or_else(|| WireError::unknown_operation(None, &shown))?;
    match (service.operation(&action), service.query_protocol()) {
        (Some(operation), Some(protocol)) if version.is_none_or(|version| version == service.version) => {
            Ok(Some(Target::Operation { spoken: Spoken { service, protocol }, operation }))
        }
        _ => Err(WireError::unknown_operation(Some(service), &shown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{athena, glue, s3, sns, sqs, sts};
    use http::Request;

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")];

    #[test]
    fn each_protocol_names_its_operation() {
        let operation = |service: &'static Service, operation| Ok(Target::Operation { spoken: service.into(), operation });
        for (parts, body, scope, expected) in [
            (
                parts("POST", "/", &[("x-amz-target", "AWSGlue.CreateTable")]),
                "",
                Some("glue"),
                operation(&glue::SERVICE, "CreateTable"),
            ),
            (
                parts("POST", "/", &[("x-amz-target", "AmazonAthena.GetQueryResults")]),
                "",
                None,
                operation(&athena::SERVICE, "GetQueryResults"),
            ),
            (parts("POST", "/", FORM), "Action=Publish&Version=2010-03-31&Message=x", None, operation(&sns::SERVICE, "Publish")),
            (
                parts("POST", "/", FORM),
                "Version=2011-06-15&Action=GetCallerIdentity",
                Some("sts"),
                operation(&sts::SERVICE, "GetCallerIdentity"),
            ),
            (
                parts("GET", "/?Action=ConfirmSubscription&Version=2010-03-31&Token=t", &[]),
                "",
                None,
                operation(&sns::SERVICE, "ConfirmSubscription"),
            ),
            (parts("GET", "/?Action=Unsubscribe&Token=t", &[]), "", None, operation(&sns::SERVICE, "Unsubscribe")),
            (parts("GET", "/?Action=ListTopics", &[]), "", Some("sns"), operation(&sns::SERVICE, "ListTopics")),
            (parts("PUT", "/bucket/key", &[]), "", Some("s3"), Ok(Target::Rest(&s3::SERVICE))),
            (parts("GET", "/bucket/key", &[]), "", None, Ok(Target::Rest(&s3::SERVICE))),
            (parts("GET", "/bucket/?Action=Publish", &[]), "", None, Ok(Target::Rest(&s3::SERVICE))),
            (
                parts("POST", "/bucket/form", FORM),
                "Action=Publish&Version=2010-03-31",
                Some("s3"),
                Ok(Target::Rest(&s3::SERVICE)),
            ),
        ] {
            assert_eq!(find(&parts, body.as_bytes(), scope), expected, "{parts:?}");
        }
    }

    const SQS: &str = "AWS4-HMAC-SHA256 Credential=AK/20261120/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=00";

    #[test]
    fn a_queue_s_url_is_not_a_bucket_s() {
        let query = Spoken { service: &sqs::SERVICE, protocol: sqs::SERVICE.query_protocol().unwrap() };
        let json = Spoken::from(&sqs::SERVICE);
        let form = [FORM, &[("authorization", SQS)]].concat();
        let target = [("x-amz-target", "AmazonSQS.SendMessage"), ("authorization", SQS)];
        let body = "Action=SendMessage&Version=2012-11-05&MessageBody=m";
        for (parts, body, spoken) in [
            (parts("POST", "/000000000000/q", &form), body, query),
            (parts("POST", "/", &form), body, query),
            (parts("GET", &format!("/000000000000/q?{body}"), &[("authorization", SQS)]), "", query),
            (parts("POST", "/000000000000/q", &target), "{}", json),
        ] {
            assert!(is_small(&parts));
            assert_eq!(scope(&parts).as_deref(), Some("sqs"));
            let found = find(&parts, body.as_bytes(), Some("sqs"));
            assert_eq!(found, Ok(Target::Operation { spoken, operation: "SendMessage" }), "{parts:?}");
        }
        // Without a scope it is S3's: a bucket may be called so.
        assert!(!is_small(&parts("POST", "/000000000000/q", FORM)));
    }

    #[test]
    fn the_scope_of_a_signature_tells_s3_from_others() {
        let credential = |service: &str| format!("X-Amz-Credential=AK%2F20261120%2Fus-east-1%2F{service}%2Faws4_request");
        for (parts, scope_expected, small) in [
            (parts("GET", "/2015-03-31/functions", &[]), None, false),
            (parts("GET", &format!("/2015-03-31/functions?{}", credential("lambda")), &[]), Some("lambda"), true),
            (parts("GET", &format!("/bucket/key?{}", credential("s3")), &[]), Some("s3"), false),
            (
                parts("GET", "/bucket/key", &[("authorization", "AWS4-HMAC-SHA256 Credential=AK/1/r/s3/aws4_request")]),
                Some("s3"),
                false,
            ),
            (parts("GET", "/bucket/key", &[("authorization", "AWS4-HMAC-SHA256 Credential=AK/1/r/tea")]), None, false),
            (parts("GET", "/bucket/key", &[("authorization", "Bearer x")]), None, false),
            (parts("GET", "/?X-Amz-Credential=%FF", &[]), None, false),
        ] {
            assert_eq!(scope(&parts).as_deref(), scope_expected, "{parts:?}");
            assert_eq!(is_small(&parts), small, "{parts:?}");
        }
    }

    #[test]
    fn a_refusal_can_have_the_form_of_the_service_that_was_meant() {
        let glue = parts("POST", "/", &[("x-amz-target", "AWSGlue.MakeTea")]);
        assert_eq!(hint(&glue, None), Some((&glue::SERVICE).into()));
        assert_eq!(hint(&parts("POST", "/", FORM), Some("sns")), Some((&sns::SERVICE).into()));
        assert_eq!(hint(&parts("POST", "/", FORM), None), None);
        assert_eq!(hint(&parts("POST", "/", &[("x-amz-target", "Tea")]), Some("tea")), None);
    }

    #[test]
    fn what_does_not_exist_is_named() {
        for (parts, body, scope, code, expected) in [
            (
                parts("POST", "/", &[("x-amz-target", "AWSGlue.MakeTea")]),
                "",
                None,
                "UnknownOperationException",
                "AWSGlue.MakeTea",
            ),
            (parts("POST", "/", &[("x-amz-target", "AWSTea.Make")]), "", None, "UnknownOperationException", "AWSTea.Make"),
            (parts("POST", "/", &[("x-amz-target", "")]), "", None, "UnknownOperationException", ""),
            (parts("POST", "/", FORM), "Action=MakeTea&Version=2010-03-31", None, "InvalidAction", "MakeTea"),
            (parts("POST", "/", FORM), "Action=Publish&Version=1999-01-01", Some("sns"), "InvalidAction", "Publish"),
            (parts("POST", "/", &[]), "", Some("glue"), "UnknownOperationException", "Glue"),
            (parts("POST", "/", &[]), "", Some("tea"), "UnknownOperationException", "tea"),
        ] {
            let error = find(&parts, body.as_bytes(), scope).unwrap_err();
            assert_eq!(error.code, code, "{error}");
            assert!(error.message.contains(expected), "{error}");
        }
    }
}
