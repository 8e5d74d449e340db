//! From request bodies to inputs, from outputs to responses.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use crate::error::WireError;
use crate::query;
use crate::rest;
use crate::schema::Schema;
use crate::service::{Operation, Protocol, Service, Spoken};
use crate::shapes::Shape;
use crate::validate::{conform, missing, violations};
use crate::xml;

/// A request to a known operation, as far as an input can be in it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The protocol that it speaks.
    pub protocol: Protocol,
    /// The path, as on the wire.
    pub path: &'a str,
    /// The query string, as on the wire; empty where there is none.
    pub query: &'a str,
    /// The headers, where there are any.
    pub headers: Option<&'a HeaderMap>,
    /// The whole body.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// A request that is nothing but a body, in the service's own protocol.
    #[must_use]
    pub fn of(service: &Service, body: &'a [u8]) -> Self {
        Self { protocol: service.protocol, path: "/", query: "", headers: None, body }
    }
}

/// An input that has passed the checks of its model, on its way to its type.
#[derive(Clone, Debug)]
pub struct Decoded(Value);

impl Decoded {
    /// The values at a way through the input, such as `TableInput.Name`; several where lists are on the way, none where there is nothing.
    /// Only text and numbers count.
    #[must_use]
    pub fn texts(&self, way: &[&str]) -> Vec<Cow<'_, str>> {
        let mut found = vec![&self.0];
        for part in way {
            found = found.into_iter().flat_map(entries).filter_map(|value| value.get(part)).collect();
        }
        found.into_iter().flat_map(entries).filter_map(text).collect()
    }

    /// The input in its type.
    ///
    /// # Errors
    /// `SerializationException` for a value of another type, which the checks before do not let through.
    pub fn into_input<O: Operation>(self, protocol: Protocol) -> Result<O::Input, WireError> {
        O::Input::from_value(self.0).map_err(|error| WireError::serialization(protocol, error.to_string()))
    }
}

/// A list's values, or the one value.
fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text.as_str())),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

fn entries(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        value => std::slice::from_ref(value),
    }
}

/// Reads an operation's input from the body of a request in the service's own protocol.
///
/// # Errors
/// As [`read`].
pub fn decode<O: Operation>(body: &[u8]) -> Result<O::Input, WireError> {
    let request = Request::of(O::SERVICE, body);
    read::<O>(&request)?.into_input::<O>(request.protocol)
}

/// Reads an operation's input, and checks it against its model.
///
/// # Errors
/// The service's own codes: for a request that cannot be read (`SerializationException`, in Query `MalformedInput`), and for an input
/// that breaks a constraint of the model.
pub fn read<O: Operation>(request: &Request<'_>) -> Result<Decoded, WireError> {
    input_value(O::SERVICE, O::NAME, O::INPUT, request).map(Decoded)
}

/// The part of [`read`] that is the same for all types.
fn input_value(service: &'static Service, operation: &str, schema: &Schema, request: &Request<'_>) -> Result<Value, WireError> {
    let protocol = request.protocol;
    let value = match protocol {
        Protocol::Json { .. } => parse_json(request.body),
        Protocol::Query { .. } => {
            let fields = if request.body.is_empty() { request.query.as_bytes() } else { request.body };
            query::parse(fields, schema).map(|value| with_queue(value, service, schema, request))
        }
        Protocol::RestJson => match service.route(operation) {
            Some(route) => {
                let Request { path, query, headers, body, .. } = *request;
                rest::value(route, schema, &rest::Parts { path, query, headers, body })
            }
            None => Err(format!("The operation {operation} has no route.")),
        },
        Protocol::Rest => Err("S3's protocol is not decoded here.".to_owned()),
    };
    let value = value.map_err(|message| WireError::serialization(protocol, message))?;
    let value = conform(value, schema).map_err(|mismatch| WireError::serialization(protocol, mismatch.text()))?;
    match refusal(service, schema, &value) {
        Some(error) => Err(error),
        None => Ok(value),
    }
}

fn refusal(service: &Service, schema: &Schema, value: &Value) -> Option<WireError> {
    let validation = &service.validation;
    if validation.missing != validation.code
        && let Some(name) = missing(value, schema)
    {
        let message = format!("The request must contain the parameter {name}.");
        return Some(WireError::sender(StatusCode::BAD_REQUEST, validation.missing, message));
    }
    let message = violations(value, schema)?;
    let mut error = WireError::sender(StatusCode::BAD_REQUEST, validation.code, message);
    for (name, value) in validation.extra {
        error = error.with(*name, *value);
    }
    Some(error)
}

/// A Query request to SQS may name its queue by being sent to the queue's URL.
fn with_queue(mut value: Value, service: &Service, schema: &Schema, request: &Request<'_>) -> Value {
    const NAME: &str = "QueueUrl";
    let takes = service.also_query.is_some() && schema.members().iter().any(|member| member.name == NAME);
    if takes
        && request.path.len() > 1
        && let Value::Object(object) = &mut value
        && !object.contains_key(NAME)
    {
        let host = request.headers.and_then(|headers| headers.get(header::HOST)?.to_str().ok());
        object.insert(NAME.to_owned(), Value::from(format!("http://{}{}", host.unwrap_or("localhost"), request.path)));
    }
    value
}

/// JSON text as a value. Of a name that is there twice the last counts. `serde_json` refuses
/// nesting beyond 128 levels, so that no stack overflows here or later.
fn parse_json(body: &[u8]) -> Result<Value, String> {
    if body.is_empty() {
        return Err("The request body is empty; at least {} is expected.".to_owned());
    }
    serde_json::from_slice(body).map_err(|error| format!("The request body is not valid JSON: {error}"))
}

/// Writes an operation's output as a response in the service's own protocol.
#[must_use]
pub fn encode<O: Operation>(output: &O::Output, request_id: &str) -> Response<Bytes> {
    write::<O>(output, O::SERVICE.protocol, request_id)
}

/// Writes an operation's output as a response; its status is 200 where the model does not say otherwise.
#[must_use]
pub fn write<O: Operation>(output: &O::Output, protocol: Protocol, request_id: &str) -> Response<Bytes> {
    let value = output.to_value().unwrap_or_default();
    output_response(Spoken { service: O::SERVICE, protocol }, O::NAME, O::OUTPUT, O::RESULT, value, request_id)
}

/// The part of [`write`] that is the same for all types.
fn output_response(
    spoken: Spoken,
    operation: &str,
    schema: &Schema,
    result: Option<&str>,
    value: Value,
    request_id: &str,
) -> Response<Bytes> {
    match spoken.protocol {
        Protocol::Json { version, .. } => {
            let body = serde_json::to_vec(&value).expect("JSON values have string keys");
            let content_type = if version == "1.0" { "application/x-amz-json-1.0" } else { "application/x-amz-json-1.1" };
            response(StatusCode::OK, Some(content_type), body.into(), request_id)
        }
        Protocol::Query { xml_namespace } => {
            let mut writer = xml::Writer::new();
            let root = format!("{operation}Response");
            writer.open(&root, Some(xml_namespace));
            if let Some(result) = result {
                writer.open(result, None);
                xml::write_members(&mut writer, &value, schema);
                writer.close(result);
            }
            writer.open("ResponseMetadata", None);
            writer.text("RequestId", request_id);
            writer.close("ResponseMetadata");
            writer.close(&root);
            response(StatusCode::OK, Some("text/xml"), writer.finish().into(), request_id)
        }
        Protocol::RestJson => match spoken.service.route(operation) {
            Some(route) => rest::respond(route, schema, value, request_id),
            None => response(StatusCode::INTERNAL_SERVER_ERROR, None, Bytes::new(), request_id),
        },
        Protocol::Rest => response(StatusCode::OK, Some("application/xml"), Bytes::new(), request_id),
    }
}

/// A response with the headers that all of AWS's have.
pub(crate) fn response(status: StatusCode, content_type: Option<&'static str>, body: Bytes, request_id: &str) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(content_type) = content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        headers.insert("x-amzn-requestid", request_id);
    }
    response
}

#[cfg(test)]
mod tests;
