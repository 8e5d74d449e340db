//! From request bodies to inputs, from outputs to responses.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use crate::error::WireError;
use crate::query;
use crate::schema::Schema;
use crate::service::{Operation, Protocol, Service};
use crate::shapes::Shape;
use crate::validate::{conform, violations};
use crate::xml;

/// Reads an operation's input from a request's body, which for the Query protocol may also be the
/// query string of a GET.
///
/// # Errors
/// The service's own codes: for a body that cannot be read (`SerializationException`, in Query
/// `MalformedInput`), and for an input that breaks a constraint of the model.
pub fn decode<O: Operation>(body: &[u8]) -> Result<O::Input, WireError> {
    let value = input_value(O::SERVICE, O::INPUT, body)?;
    O::Input::from_value(value).map_err(|error| WireError::serialization(O::SERVICE, error.to_string()))
}

/// The part of [`decode`] that is the same for all types.
fn input_value(service: &Service, schema: &Schema, body: &[u8]) -> Result<Value, WireError> {
    let value = match service.protocol {
        Protocol::Json { .. } | Protocol::RestJson => {
            parse_json(body).map_err(|message| WireError::serialization(service, message))?
        }
        Protocol::Query { .. } => query::parse(body, schema).map_err(|message| WireError::serialization(service, message))?,
        Protocol::Rest => return Err(WireError::serialization(service, "The REST protocols are not decoded here.")),
    };
    let value = conform(value, schema).map_err(|mismatch| WireError::serialization(service, mismatch.text()))?;
    if let Some(message) = violations(&value, schema) {
        let mut error = WireError::sender(StatusCode::BAD_REQUEST, service.validation.code, message);
        for (name, value) in service.validation.extra {
            error = error.with(*name, *value);
        }
        return Err(error);
    }
    Ok(value)
}

/// JSON text as a value. Of a name that is there twice the last counts. `serde_json` refuses
/// nesting beyond 128 levels, so that no stack overflows here or later.
fn parse_json(body: &[u8]) -> Result<Value, String> {
    if body.is_empty() {
        return Err("The request body is empty; at least {} is expected.".to_owned());
    }
    serde_json::from_slice(body).map_err(|error| format!("The request body is not valid JSON: {error}"))
}

/// Writes an operation's output as a response with status 200.
#[must_use]
pub fn encode<O: Operation>(output: &O::Output, request_id: &str) -> Response<Bytes> {
    let value = output.to_value().unwrap_or_default();
    output_response(O::SERVICE, O::NAME, O::OUTPUT, O::RESULT, value, request_id)
}

/// The part of [`encode`] that is the same for all types.
fn output_response(
    service: &Service,
    operation: &str,
    schema: &Schema,
    result: Option<&str>,
    value: Value,
    request_id: &str,
) -> Response<Bytes> {
    match service.protocol {
        Protocol::Json { version, .. } => {
            let body = serde_json::to_vec(&value).expect("JSON values have string keys");
            let content_type = if version == "1.0" { "application/x-amz-json-1.0" } else { "application/x-amz-json-1.1" };
            response(StatusCode::OK, content_type, body.into(), request_id)
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
            response(StatusCode::OK, "text/xml", writer.finish().into(), request_id)
        }
        Protocol::RestJson | Protocol::Rest => response(StatusCode::OK, "application/xml", Bytes::new(), request_id),
    }
}

/// A response with the headers that all of AWS's have.
pub(crate) fn response(status: StatusCode, content_type: &'static str, body: Bytes, request_id: &str) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        headers.insert("x-amzn-requestid", request_id);
    }
    response
}

#[cfg(test)]
mod tests;
