//! restJson1: the parts of an input and of an output in path, query string, headers and body.
//!
//! Server's side: [`route`] finds the operation, [`value`] reads the request, [`respond`] writes the answer. Client's side (our
//! own, and the tests that send one to the other): [`request`] and [`answer`]. The specification is Smithy's "AWS restJson1 protocol" and
//! "HTTP bindings".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::query;
use crate::schema::{Kind, Location, Member, Schema};
use crate::service::{Route, Service};
use crate::shapes::{Shape as _, Timestamp};
use crate::sigv4::escape;

/// What stands at each label of a route in a path, with the segments as they are on the wire.
type Labels<'a> = Vec<(&'static str, &'a str)>;

/// The route of a request. Where several fit, the one that says more: more literal segments, then a literal query.
pub(crate) fn route(service: &'static Service, method: &Method, path: &str, query: &str) -> Option<&'static Route> {
    let fitting = service
        .routes
        .iter()
        .filter(|route| route.method == method.as_str() && has_query(query, route.query) && labels(route.path, path).is_some());
    fitting.max_by_key(|route| (literals(route.path), !route.query.is_empty()))
}

fn has_query(query: &str, wanted: &str) -> bool {
    wanted.is_empty() || query.split('&').any(|pair| pair == wanted)
}

fn literals(template: &str) -> usize {
    template.split('/').filter(|segment| !segment.is_empty() && !segment.starts_with('{')).count()
}

/// What stands at each label of a template, or `None` where the path does not fit it. A slash at the end says nothing: older models had one.
/// Dots as a segment fit nothing: the signature is of the path without them.
fn labels<'a>(template: &'static str, path: &'a str) -> Option<Labels<'a>> {
    let path = path.strip_prefix('/')?;
    let mut parts = path.strip_suffix('/').unwrap_or(path).split('/');
    let mut found = Labels::new();
    for segment in template.trim_matches('/').split('/') {
        let part = parts.next().filter(|part| !matches!(*part, "" | "." | ".."))?;
        match segment.strip_prefix('{').and_then(|label| label.strip_suffix('}')) {
            Some(label) => found.push((label, part)),
            None if segment == part => {}
            None => return None,
        }
    }
    parts.next().is_none().then_some(found)
}

/// What a request consists of, as far as an input is in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: Option<&'a HeaderMap>,
    pub(crate) body: &'a [u8],
}

/// Reads an input. Members that the schema does not have are ignored, as are members in another place than theirs.
pub(crate) fn value(route: &'static Route, schema: &Schema, parts: &Parts<'_>) -> Result<Value, String> {
    let labels = labels(route.path, parts.path).unwrap_or_default();
    let mut document = document(schema, parts.body)?;
    let mut object = Map::new();
    for member in schema.members() {
        let value = match member.location {
            Location::Body => document.as_mut().and_then(|document| document.remove(member.name)),
            Location::Payload => payload(member, parts.body)?,
            Location::Label => match labels.iter().find(|(label, _)| *label == member.name) {
                Some((_, text)) => Some(query::scalar(member.schema.kind, &unescape(text)?, member.schema)?),
                None => None,
            },
            Location::Query => from_query(member, parts.query)?,
            Location::Header => from_header(member, parts.headers)?,
            Location::Headers => Some(from_headers(member, parts.headers)),
            Location::Status => None,
        };
        if let Some(value) = value {
            object.insert(member.name.to_owned(), value);
        }
    }
    Ok(Value::Object(object))
}

/// The body's document, where members lie in one.
fn document(schema: &Schema, body: &[u8]) -> Result<Option<Map<String, Value>>, String> {
    let in_body = schema.members().iter().any(|member| member.location == Location::Body);
    if !in_body || body.is_empty() {
        return Ok(None);
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(Value::Null) => Ok(None),
        Ok(_) => Err("The request body is not a JSON object.".to_owned()),
        Err(error) => Err(format!("Could not parse request body into json: {error}")),
    }
}

fn payload(member: &Member, body: &[u8]) -> Result<Option<Value>, String> {
    if body.is_empty() {
        return Ok(None);
    }
    match member.schema.kind {
        Kind::Blob => Ok(Some(Value::String(BASE64.encode(body)))),
        Kind::String { .. } => match std::str::from_utf8(body) {
            Ok(text) => Ok(Some(Value::from(text))),
            Err(error) => Err(format!("The request body is not UTF-8: {error}")),
        },
        _ => serde_json::from_slice(body).map(Some).map_err(|error| format!("Could not parse request body into json: {error}")),
    }
}

fn from_query(member: &Member, text: &str) -> Result<Option<Value>, String> {
    let mut values = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if unescape(name)? == member.name {
            let schema = match member.schema.kind {
                Kind::List { member, .. } => member,
                _ => member.schema,
            };
            values.push(query::scalar(schema.kind, &unescape(&value.replace('+', " "))?, schema)?);
        }
    }
    Ok(match member.schema.kind {
        _ if values.is_empty() => None,
        Kind::List { .. } => Some(Value::Array(values)),
        _ => values.into_iter().next(),
    })
}

fn from_header(member: &Member, headers: Option<&HeaderMap>) -> Result<Option<Value>, String> {
    let Some(value) = headers.and_then(|headers| headers.get(member.name)) else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| format!("The header {} has characters other than visible ASCII.", member.name))?;
    match member.schema.kind {
        Kind::List { member: schema, .. } => text
            .split(',')
            .map(|part| query::scalar(schema.kind, part.trim(), schema))
            .collect::<Result<_, _>>()
            .map(|values| Some(Value::Array(values))),
        Kind::Timestamp => {
            let http = chrono::DateTime::parse_from_rfc2822(text).ok().map(|time| Timestamp(time.timestamp_millis()));
            Ok(Some(http.map_or_else(|| Value::from(text), |time| Value::from(time.iso8601()))))
        }
        kind => query::scalar(kind, text, member.schema).map(Some),
    }
}

fn from_headers(member: &Member, headers: Option<&HeaderMap>) -> Value {
    let prefix = member.name.to_ascii_lowercase();
    let entries = headers.into_iter().flatten().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(&prefix)?;
        Some((name.to_owned(), Value::from(value.to_str().ok()?)))
    });
    Value::Object(entries.collect())
}

fn unescape(text: &str) -> Result<String, String> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(format!("{:?} is not valid UTF-8.", text.chars().take(64).collect::<String>())),
    }
}

/// Writes an output as a response.
pub(crate) fn respond(route: &'static Route, schema: &Schema, value: Value, request_id: &str) -> Response<Bytes> {
    let Value::Object(mut object) = value else {
        return crate::protocol::response(status(route.status), None, Bytes::new(), request_id);
    };
    let (mut code, mut headers, mut document, mut body) = (route.status, HeaderMap::new(), Map::new(), None);
    for member in schema.members() {
        let Some(value) = object.remove(member.name) else {
            continue;
        };
        match member.location {
            Location::Status => code = value.as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(code),
            Location::Header => put_header(&mut headers, member.name, &header_text(&value, member.schema)),
            Location::Headers => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    put_header(&mut headers, &format!("{}{name}", member.name), value.as_str().unwrap_or_default());
                }
            }
            Location::Payload => body = Some(payload_bytes(&value, member.schema)),
            _ => {
                document.insert(member.name.to_owned(), value);
            }
        }
    }
    let has_payload = schema.members().iter().any(|member| member.location == Location::Payload);
    let body = match body {
        Some(body) => body,
        None if has_payload || code == StatusCode::NO_CONTENT.as_u16() => Vec::new(),
        None if schema.members().is_empty() => Vec::new(),
        None => Value::Object(document).to_string().into_bytes(),
    };
    let content_type = (code != StatusCode::NO_CONTENT.as_u16()).then_some("application/json");
    let mut response = crate::protocol::response(status(code), content_type, body.into(), request_id);
    response.headers_mut().extend(headers);
    response
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::OK)
}

fn put_header(headers: &mut HeaderMap, name: &str, text: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(text)) {
        headers.insert(name, value);
    }
}

fn header_text(value: &Value, schema: &Schema) -> String {
    match (schema.kind, value) {
        (Kind::List { member, .. }, Value::Array(values)) => {
            values.iter().map(|value| header_text(value, member)).collect::<Vec<_>>().join(",")
        }
        (Kind::Timestamp, value) => {
            let ms = Timestamp::from_value(value.clone()).unwrap_or_default().ms();
            chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default().format("%a, %d %b %Y %H:%M:%S GMT").to_string()
        }
        (_, Value::String(text)) => text.clone(),
        (_, other) => other.to_string(),
    }
}

fn payload_bytes(value: &Value, schema: &Schema) -> Vec<u8> {
    match (schema.kind, value) {
        (Kind::Blob, Value::String(text)) => BASE64.decode(text).unwrap_or_default(),
        (Kind::String { .. }, Value::String(text)) => text.clone().into_bytes(),
        (_, value) => value.to_string().into_bytes(),
    }
}

/// Writes an input as a request, unsigned and without a host.
pub(crate) fn request(route: &'static Route, schema: &Schema, value: Value) -> Request<Bytes> {
    let mut object = match value {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    let (mut path, mut pairs, mut headers, mut document, mut body) =
        (route.path.to_owned(), Vec::new(), HeaderMap::new(), Map::new(), None);
    if !route.query.is_empty() {
        pairs.push(route.query.to_owned());
    }
    for member in schema.members() {
        let Some(value) = object.remove(member.name) else {
            continue;
        };
        match member.location {
            Location::Label => {
                let text = escape(header_text(&value, member.schema).as_bytes());
                path = path.replace(&format!("{{{}}}", member.name), &text);
            }
            Location::Query => {
                let (values, schema) = match (&value, member.schema.kind) {
                    (Value::Array(values), Kind::List { member, .. }) => (values.clone(), member),
                    _ => (vec![value], member.schema),
                };
                pairs.extend(values.iter().map(|value| {
                    let text = match schema.kind {
                        Kind::Timestamp => Timestamp::from_value(value.clone()).unwrap_or_default().iso8601(),
                        _ => header_text(value, schema),
                    };
                    format!("{}={}", escape(member.name.as_bytes()), escape(text.as_bytes()))
                }));
            }
            Location::Header => put_header(&mut headers, member.name, &header_text(&value, member.schema)),
            Location::Headers => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    put_header(&mut headers, &format!("{}{name}", member.name), value.as_str().unwrap_or_default());
                }
            }
            Location::Payload => body = Some(payload_bytes(&value, member.schema)),
            Location::Body | Location::Status => {
                document.insert(member.name.to_owned(), value);
            }
        }
    }
    let in_body = schema.members().iter().any(|member| member.location == Location::Body);
    let body = body.unwrap_or_else(|| if in_body { Value::Object(document).to_string().into_bytes() } else { Vec::new() });
    if !pairs.is_empty() {
        path = format!("{path}?{}", pairs.join("&"));
    }
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = Method::from_bytes(route.method.as_bytes()).unwrap_or_default();
    *request.uri_mut() = path.parse().unwrap_or_default();
    *request.headers_mut() = headers;
    if in_body {
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    request
}

/// Reads a response as a value of the output's schema.
pub(crate) fn answer(schema: &Schema, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Value, String> {
    let mut document = document(schema, body)?;
    let mut object = Map::new();
    for member in schema.members() {
        let value = match member.location {
            Location::Body | Location::Label | Location::Query => {
                document.as_mut().and_then(|document| document.remove(member.name))
            }
            Location::Payload => payload(member, body)?,
            Location::Header => from_header(member, Some(headers))?,
            Location::Headers => Some(from_headers(member, Some(headers))),
            Location::Status => Some(Value::from(status.as_u16())),
        };
        if let Some(value) = value {
            object.insert(member.name.to_owned(), value);
        }
    }
    Ok(Value::Object(object))
}

#[cfg(test)]
mod tests;
