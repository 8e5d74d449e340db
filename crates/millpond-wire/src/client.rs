//! The client's side of the same types: what the `millpond` command sends to a running lake.
//!
//! Requests come out unsigned; [`crate::sigv4::sign`] signs them. Sending is the caller's.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use serde_json::Value;

use crate::error::WireError;
use crate::query;
use crate::rest;
use crate::service::{Operation, Protocol};
use crate::shapes::Shape;
use crate::xml::Element;

/// An operation's request, without a host.
#[must_use]
pub fn request<O: Operation>(input: &O::Input) -> Request<Bytes> {
    let value = input.to_value().unwrap_or_default();
    if let (Protocol::RestJson, Some(route)) = (O::SERVICE.protocol, O::SERVICE.route(O::NAME)) {
        return rest::request(route, O::INPUT, value);
    }
    let (content_type, body) = match O::SERVICE.protocol {
        Protocol::Query { .. } => {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("Action", O::NAME).append_pair("Version", O::SERVICE.version);
            form.extend_pairs(query::write(&value, O::INPUT));
            ("application/x-www-form-urlencoded; charset=utf-8".to_owned(), form.finish())
        }
        Protocol::Json { version, .. } => (format!("application/x-amz-json-{version}"), value.to_string()),
        Protocol::RestJson | Protocol::Rest => (String::new(), String::new()),
    };
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = Method::POST;
    let headers = request.headers_mut();
    if let Ok(content_type) = HeaderValue::from_str(&content_type) {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    if let Protocol::Json { target_prefix, .. } = O::SERVICE.protocol
        && let Ok(target) = HeaderValue::from_str(&format!("{target_prefix}.{}", O::NAME))
    {
        headers.insert("x-amz-target", target);
    }
    request
}

/// Reads the answer to an operation's request.
///
/// # Errors
/// What the service answered, or the code `InvalidResponse` for an answer that cannot be read.
pub fn response<O: Operation>(status: StatusCode, body: &[u8]) -> Result<O::Output, WireError> {
    response_with::<O>(status, &HeaderMap::new(), body)
}

/// The same with the response's headers, where REST services put a part of their answers.
///
/// # Errors
/// As [`response`].
pub fn response_with<O: Operation>(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<O::Output, WireError> {
    if !status.is_success() {
        return Err(error(O::SERVICE.protocol, status, headers, body));
    }
    let value = match O::SERVICE.protocol {
        Protocol::Query { .. } => text(body).and_then(Element::parse).map(|root| {
            let result = O::RESULT.and_then(|name| root.child(name).map(|result| result.value(O::OUTPUT)));
            result.unwrap_or_else(|| Value::Object(serde_json::Map::new()))
        }),
        Protocol::RestJson => rest::answer(O::OUTPUT, status, headers, body),
        _ if body.is_empty() => Ok(Value::Object(serde_json::Map::new())),
        _ => serde_json::from_slice(body).map_err(|error| error.to_string()),
    };
    value.and_then(|value| O::Output::from_value(value).map_err(|error| error.to_string())).map_err(|reason| {
        let message = format!("the answer to {} cannot be read: {reason}", O::NAME);
        WireError::sender(status, "InvalidResponse", message)
    })
}

fn text(body: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(body).map_err(|error| error.to_string())
}

fn error(protocol: Protocol, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> WireError {
    let parts = match protocol {
        Protocol::Json { .. } | Protocol::RestJson => serde_json::from_slice::<Value>(body).ok().map(|body| {
            let header = headers.get("x-amzn-errortype").and_then(|code| code.to_str().ok());
            let code = body["__type"].as_str().or(header).unwrap_or("Unknown");
            // `aws.protocoltests#FooError:http://…` is the longest form that AWS allows itself.
            let code = code.split(':').next().unwrap_or(code);
            let code = code.rsplit('#').next().unwrap_or(code).to_owned();
            let message = body["message"].as_str().or_else(|| body["Message"].as_str());
            (code, message.unwrap_or_default().to_owned())
        }),
        _ => text(body).and_then(Element::parse).ok().map(|root| {
            let error = root.child("Error").unwrap_or(&root);
            let part = |name: &str| error.child(name).map(|child| child.text.clone()).unwrap_or_default();
            (part("Code"), part("Message"))
        }),
    };
    let (code, message) = parts.unwrap_or_else(|| {
        let shown: String = String::from_utf8_lossy(body).chars().take(200).collect();
        ("Unknown".to_owned(), format!("HTTP status {status}: {shown}"))
    });
    WireError::sender(status, code, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decode, encode, glue, sns};

    #[test]
    fn a_json_request_is_what_the_server_reads() {
        let input = glue::GetTableInput { database_name: "raw".to_owned(), name: "flights".to_owned(), ..Default::default() };
        let request = request::<glue::GetTable>(&input);
        assert_eq!(request.headers()["x-amz-target"], "AWSGlue.GetTable");
        assert_eq!(request.headers()["content-type"], "application/x-amz-json-1.1");
        assert_eq!(decode::<glue::GetTable>(request.body()).unwrap(), input);
    }

    #[test]
    fn a_query_request_and_its_answer_go_there_and_back() {
        let input = sns::PublishInput {
            topic_arn: Some("arn:aws:sns:us-east-1:000000000000:t".to_owned()),
            message: "a & b\n<c>".to_owned(),
            ..Default::default()
        };
        let request = request::<sns::Publish>(&input);
        assert_eq!(decode::<sns::Publish>(request.body()).unwrap(), input);
        let output = sns::PublishOutput { message_id: Some("id-1".to_owned()), ..Default::default() };
        let answer = encode::<sns::Publish>(&output, "r-1");
        assert_eq!(response::<sns::Publish>(answer.status(), answer.body()).unwrap(), output);
    }

    #[test]
    fn errors_of_both_protocols_keep_their_code_and_message() {
        let error = WireError::of(&glue::error::ENTITY_NOT_FOUND_EXCEPTION, "no <table> & \"x\"");
        let answer = error.into_response(&glue::SERVICE, "r-1");
        let read = response::<glue::GetTable>(answer.status(), answer.body()).unwrap_err();
        assert_eq!((&*read.code, &*read.message), ("EntityNotFoundException", "no <table> & \"x\""));

        let error = WireError::of(&sns::error::NOT_FOUND_EXCEPTION, "no <topic> & \"x\"");
        let answer = error.into_response(&sns::SERVICE, "r-1");
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        let read = response::<sns::Publish>(answer.status(), answer.body()).unwrap_err();
        assert_eq!((&*read.code, &*read.message), ("NotFound", "no <topic> & \"x\""));
    }

    #[test]
    fn an_answer_that_is_no_answer_says_what_came() {
        let error = response::<glue::GetTable>(StatusCode::BAD_GATEWAY, b"<html>proxy</html>").unwrap_err();
        assert!(error.message.contains("502") && error.message.contains("proxy"), "{error}");
        let error = response::<glue::GetTable>(StatusCode::OK, b"{").unwrap_err();
        assert_eq!(error.code, "InvalidResponse");
        let namespaced = br#"{"__type":"com.amazonaws.glue#EntityNotFoundException:http://x","Message":"m"}"#;
        let error = response::<glue::GetTable>(StatusCode::BAD_REQUEST, namespaced).unwrap_err();
        assert_eq!((&*error.code, &*error.message), ("EntityNotFoundException", "m"));
    }
}
