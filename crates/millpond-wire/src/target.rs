//! Which operation of which service a request means.
//!
//! One endpoint serves all services, so the request itself must tell: JSON services name the operation in
//! `X-Amz-Target`, Query services in the form fields `Action` and `Version`; what is left belongs to
//! the service of its credential scope, or to S3, whose requests may come without credentials.

use http::{Method, header, request::Parts};

use crate::error::WireError;
use crate::query;
use crate::service::{Protocol, Service};

/// What a request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An operation of a JSON or Query service.
    Operation {
        /// The service.
        service: &'static Service,
        /// The operation's name, as in the service's model.
        operation: &'static str,
    },
    /// A request that method and path explain, to this service.
    Rest(&'static Service),
}

/// Finds what a request means. `scope` is the service of its credential scope, if it has one
/// ([`crate::sigv4::scope_service`]); `body` is looked at only where it is a form.
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
    let service = match scope {
        Some(scope) => by_signing_name(scope)
            .ok_or_else(|| WireError::unknown_operation(None, &format!("{} {} of {scope}", parts.method, parts.uri.path())))?,
        None => &crate::s3::SERVICE,
    };
    match service.protocol {
        Protocol::Rest => Ok(Target::Rest(service)),
        _ => Err(WireError::unknown_operation(Some(service), "")),
    }
}

/// The service that a request seems to be for, so that a refusal that comes before [`find`]'s answer has that
/// service's form too.
#[must_use]
pub fn hint(parts: &Parts, scope: Option<&str>) -> Option<&'static Service> {
    let prefix = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()?.rsplit_once('.'));
    match prefix {
        Some((prefix, _)) => by_prefix(prefix),
        None => scope.and_then(by_signing_name),
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
        Some(operation) => Ok(Target::Operation { service, operation }),
        None => Err(WireError::unknown_operation(Some(service), &shown)),
    }
}

/// A Query request has `Action` in its form, or in the query string of a GET to `/`.
fn by_action(parts: &Parts, body: &[u8], scope: Option<&str>) -> Result<Option<Target>, WireError> {
    let scope_service = scope.and_then(by_signing_name);
    if scope_service.is_some_and(|service| !matches!(service.protocol, Protocol::Query { .. })) {
        return Ok(None);
    }
    let form = if is_form(parts) {
        body
    } else if parts.uri.path() == "/" {
        parts.uri.query().unwrap_or_default().as_bytes()
    } else {
        return Ok(None);
    };
    let Ok(fields) = query::fields(form) else {
        return Ok(None);
    };
    let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
    let Some(action) = field("Action") else {
        return Ok(None);
    };
    let shown: String = action.chars().take(128).collect();
    let version = field("Version");
    let service = scope_service.or_else(|| {
        // A link in a mail carries neither a scope nor a version: then the operation's name must do.
        let is_meant = |service: &&Service| match version {
            _ if !matches!(service.protocol, Protocol::Query { .. }) => false,
            Some(version) => version == service.version,
            None => service.operation(action).is_some(),
        };
        crate::SERVICES.iter().copied().find(is_meant)
    });
    let service = service.ok_or_else(|| WireError::unknown_operation(None, &shown))?;
    match service.operation(action) {
        Some(operation) if version.is_none_or(|version| version == service.version) => {
            Ok(Some(Target::Operation { service, operation }))
        }
        _ => Err(WireError::unknown_operation(Some(service), &shown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{athena, glue, s3, sns, sts};
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
        let operation = |service, operation| Ok(Target::Operation { service, operation });
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

    #[test]
    fn a_refusal_can_have_the_form_of_the_service_that_was_meant() {
        let glue = parts("POST", "/", &[("x-amz-target", "AWSGlue.MakeTea")]);
        assert_eq!(hint(&glue, None), Some(&glue::SERVICE));
        assert_eq!(hint(&parts("POST", "/", FORM), Some("sns")), Some(&sns::SERVICE));
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
