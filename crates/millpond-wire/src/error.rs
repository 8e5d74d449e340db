//! Errors as AWS's clients know them.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value};

use crate::service::{Protocol, Service, Spoken};
use crate::xml;

/// An error that a service's model names (`glue::error::ENTITY_NOT_FOUND_EXCEPTION`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorShape {
    /// What clients switch on.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// Whether the request is at fault, and not the service.
    pub sender_fault: bool,
    /// The JSON member that carries the message: `message` or `Message`.
    pub message_member: &'static str,
}

/// An error on its way to a client, or as a client received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    /// What clients switch on: `EntityNotFoundException`.
    pub code: Cow<'static, str>,
    /// What was wrong, where, and what to do.
    pub message: String,
    /// The HTTP status.
    pub status: StatusCode,
    /// Whether the request is at fault, and not the service.
    pub sender_fault: bool,
    /// The JSON member that carries the message.
    pub message_member: &'static str,
    /// Further members of the body.
    pub extra: Vec<(Cow<'static, str>, Value)>,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for WireError {}

impl WireError {
    /// An error that the service's model names.
    #[must_use]
    pub fn of(shape: &ErrorShape, message: impl Into<String>) -> Self {
        Self {
            code: Cow::Borrowed(shape.code),
            message: message.into(),
            status: StatusCode::from_u16(shape.status).unwrap_or(StatusCode::BAD_REQUEST),
            sender_fault: shape.sender_fault,
            message_member: shape.message_member,
            extra: Vec::new(),
        }
    }

    /// An error of the request that no model names.
    #[must_use]
    pub fn sender(status: StatusCode, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            status,
            sender_fault: status.is_client_error(),
            message_member: "message",
            extra: Vec::new(),
        }
    }

    /// The same with one more member in the body (`AthenaErrorCode`).
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.extra.push((name.into(), value.into()));
        self
    }

    /// A request whose body cannot be read as the operation's input at all.
    #[must_use]
    pub fn serialization(protocol: Protocol, message: impl Into<String>) -> Self {
        let code = if protocol.speaks_xml() { "MalformedInput" } else { "SerializationException" };
        let mut error = Self::sender(StatusCode::BAD_REQUEST, code, message);
        error.message_member = "Message";
        error
    }

    /// An operation that AWS has and this server does not.
    #[must_use]
    pub fn not_implemented(service: &Service, operation: &str) -> Self {
        let code = if service.protocol.speaks_xml() { "NotImplemented" } else { "NotImplementedException" };
        let mut error = Self::sender(
            StatusCode::NOT_IMPLEMENTED,
            code,
            format!(
                "Millpond does not implement the operation {operation} of {} yet. \
                 The operations it implements are listed in docs/coverage.md.",
                service.title
            ),
        );
        error.sender_fault = false;
        error
    }

    /// An operation that AWS does not have either.
    #[must_use]
    pub fn unknown_operation(service: Option<&Service>, operation: &str) -> Self {
        let xml = service.is_some_and(|service| service.protocol.speaks_xml());
        let code = if xml { "InvalidAction" } else { "UnknownOperationException" };
        let message = match service {
            Some(service) => {
                format!("The operation {operation:?} is not valid for {} (version {}).", service.title, service.version)
            }
            None => format!("The operation {operation:?} is not of a service that Millpond knows."),
        };
        Self::sender(StatusCode::BAD_REQUEST, code, message)
    }

    /// A fault of the server; details belong in its log, not in the answer.
    #[must_use]
    pub fn internal(request_id: &str) -> Self {
        let mut error = Self::sender(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalFailure",
            format!("The server failed on this request; its log has the reason under the request id {request_id}."),
        );
        error.sender_fault = false;
        error
    }

    /// The error as a response of the service, in its own protocol.
    #[must_use]
    pub fn into_response(self, service: &'static Service, request_id: &str) -> Response<Bytes> {
        self.respond(service.into(), request_id)
    }

    /// The error as a response, in the protocol of the request.
    #[must_use]
    pub fn respond(self, spoken: Spoken, request_id: &str) -> Response<Bytes> {
        let Spoken { service, protocol } = spoken;
        let (query_code, query_status) = self.in_query(service);
        let error_type = HeaderValue::from_str(&self.code).ok();
        let (status, content_type, body) = match protocol {
            Protocol::Json { version, .. } => {
                let content_type = if version == "1.0" { "application/x-amz-json-1.0" } else { "application/x-amz-json-1.1" };
                (self.status, content_type, self.json(service))
            }
            Protocol::RestJson => (self.status, "application/json", self.rest_json()),
            Protocol::Query { xml_namespace } => {
                (query_status, "text/xml", self.xml(query_code, Some(xml_namespace), request_id))
            }
            Protocol::Rest => (self.status, "application/xml", self.xml(&self.code, None, request_id)),
        };
        let mut response = crate::protocol::response(status, Some(content_type), body.into(), request_id);
        let headers = response.headers_mut();
        if let (Protocol::Json { .. } | Protocol::RestJson, Some(code)) = (protocol, error_type) {
            headers.insert("x-amzn-errortype", code);
        }
        if matches!(protocol, Protocol::Json { .. }) && service.also_query.is_some() {
            let fault = if self.sender_fault { "Sender" } else { "Receiver" };
            if let Ok(code) = HeaderValue::from_str(&format!("{query_code};{fault}")) {
                headers.insert("x-amzn-query-error", code);
            }
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }

    /// The code and status in the Query protocol of a service that speaks JSON too.
    fn in_query(&self, service: &Service) -> (&str, StatusCode) {
        let errors = service.also_query.map_or(&[] as &[_], |form| form.errors);
        match errors.binary_search_by_key(&&*self.code, |(name, ..)| name) {
            Ok(found) => (errors[found].1, StatusCode::from_u16(errors[found].2).unwrap_or(self.status)),
            Err(_) => (&self.code, self.status),
        }
    }

    fn json(&self, service: &Service) -> String {
        let mut body = Map::new();
        // Clients of a service that moved from Query to JSON look for the model's namespace.
        let code = match service.also_query {
            Some(_) => format!("com.amazonaws.{}#{}", service.name, self.code),
            None => self.code.clone().into_owned(),
        };
        body.insert("__type".to_owned(), Value::from(code));
        body.insert(self.message_member.to_owned(), Value::from(&*self.message));
        for (name, value) in &self.extra {
            body.insert(name.clone().into_owned(), value.clone());
        }
        Value::Object(body).to_string()
    }

    /// Lambda's form: `Type` says whose fault it is; the code is in a header.
    fn rest_json(&self) -> String {
        let mut body = Map::new();
        body.insert("Type".to_owned(), Value::from(if self.sender_fault { "User" } else { "Service" }));
        body.insert(self.message_member.to_owned(), Value::from(&*self.message));
        for (name, value) in &self.extra {
            body.insert(name.clone().into_owned(), value.clone());
        }
        Value::Object(body).to_string()
    }

    fn xml(&self, code: &str, namespace: Option<&str>, request_id: &str) -> String {
        let mut writer = xml::Writer::new();
        writer.open("ErrorResponse", namespace);
        writer.open("Error", None);
        writer.text("Type", if self.sender_fault { "Sender" } else { "Receiver" });
        writer.text("Code", code);
        writer.text("Message", &self.message);
        for (name, value) in &self.extra {
            match value {
                Value::String(text) => writer.text(name, text),
                other => writer.text(name, &other.to_string()),
            }
        }
        writer.close("Error");
        writer.text("RequestId", request_id);
        writer.close("ErrorResponse");
        writer.finish()
    }
}
