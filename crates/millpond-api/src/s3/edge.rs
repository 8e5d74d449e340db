//! Before `s3s` and after it: what is refused unread, and the form of answers.

use super::auth::{SESSION, Session};
use super::chunked::{self, Kind};
use super::range::OddRange;
use super::version2;
use crate::router::Origin;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{Stream, TryStreamExt};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use millpond_core::env::{EnvExt, SharedEnv};
use s3s::service::S3Service;
use s3s::{Body, HttpError, S3Error, S3ErrorCode, StdError};
use std::sync::{Arc, OnceLock};

/// S3 over HTTP; clones share it.
#[derive(Clone)]
pub struct S3Endpoint {
    service: S3Service,
    env: SharedEnv,
}

impl std::fmt::Debug for S3Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Endpoint").finish_non_exhaustive()
    }
}

impl S3Endpoint {
    pub(super) fn new(service: S3Service, env: SharedEnv) -> Self {
        Self { service, env }
    }

    /// Answers a request. Its [`Origin`] is taken from its extensions, where the server put it.
    ///
    /// # Errors
    /// Where an answer cannot be written at all: the connection is to be closed.
    pub async fn call<B>(&self, request: Request<B>) -> Result<Response<Body>, HttpError>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError> + Send,
    {
        let mut request = request;
        let origin = match request.extensions().get::<Origin>() {
            Some(origin) => origin.clone(),
            None => {
                let origin = Origin { source_ip: String::new(), request_id: self.env.random_hex(8).to_uppercase() };
                request.extensions_mut().insert(origin.clone());
                origin
            }
        };
        let method = request.method().clone();
        let uri = request.uri().clone();
        let refusal = refused(&request).or_else(|| version2::as_signed(&mut request).err());
        let request = with_bounded_body(request);
        let response = match refusal {
            Some(error) => error.to_http_response().map_err(|error| HttpError::new(Box::new(error)))?,
            None => self.call_once_or_twice(request).await?,
        };
        Ok(finished(response, &method, &uri, &origin))
    }
}

impl S3Endpoint {
    async fn call_once_or_twice(&self, request: Request<Body>) -> Result<Response<Body>, HttpError> {
        let session = session(&request);
        let Some(odd) = OddRange::of(&request) else { return SESSION.scope(session, self.service.call(request)).await };
        let (first, second) = odd.both(request);
        let granted = Arc::new(OnceLock::new());
        let session = Session { granted: Some(granted.clone()), ..session };
        let refused = SESSION.scope(session.clone(), self.service.call(first)).await?;
        match granted.get() {
            Some(granted) if OddRange::is_of(&granted.operation) => SESSION.scope(session, self.service.call(second)).await,
            _ => Ok(refused),
        }
    }
}

impl<B> hyper::service::Service<Request<B>> for S3Endpoint
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    type Response = Response<Body>;
    type Error = HttpError;
    type Future = BoxFuture<'static, Result<Response<Body>, HttpError>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let endpoint = self.clone();
        Box::pin(async move { Self::call(&endpoint, request).await })
    }
}

fn with_bounded_body<B>(request: Request<B>) -> Request<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    let kind = request.headers().get("x-amz-content-sha256").and_then(|value| Kind::of(value.to_str().ok()?));
    request.map(|body| {
        let body = body.map_err(|error| -> StdError { error.into() });
        match kind {
            None => Body::http_body_unsync(body),
            Some(kind) => in_frames(chunked::bounded(body.into_data_stream(), kind)),
        }
    })
}

fn in_frames(chunks: impl Stream<Item = Result<Bytes, StdError>> + Send + 'static) -> Body {
    Body::http_body_unsync(StreamBody::new(chunks.map_ok(Frame::data)))
}

/// The session token that a request carries, in a header or in its URL.
fn session(request: &Request<Body>) -> Session {
    let header = request.headers().get("x-amz-security-token").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let in_url = || {
        let mut pairs = request.uri().query()?.split('&').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("x-amz-security-token"))?;
        percent_encoding::percent_decode_str(value).decode_utf8().ok().map(std::borrow::Cow::into_owned)
    };
    // Some clients send an empty one with a key that lasts.
    let told = |token: &String| !token.is_empty();
    Session { token: header.filter(told).or_else(in_url).filter(told), ..Session::default() }
}

/// What is refused before `s3s` sees it, because it would take it in another way.
fn refused<B>(request: &Request<B>) -> Option<S3Error> {
    let text = |name: header::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let query = request.uri().query().unwrap_or_default();
    let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    // Version 2 in a header signs neither the body nor, in effect, the time: AWS takes it from no bucket that was made since 2020. (In a URL it
    // has an end, and boto3 still makes such URLs for us-east-1.)
    if text(header::AUTHORIZATION).starts_with("AWS ") {
        let message = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
        return Some(S3Error::with_message(S3ErrorCode::InvalidRequest, message));
    }
    if request.method() == Method::POST && text(header::CONTENT_TYPE).to_ascii_lowercase().starts_with("multipart/form-data") {
        return Some(S3Error::with_message(S3ErrorCode::NotImplemented, "PostObject (a browser's form) is not implemented yet"));
    }
    if parameter("X-Amz-Signature").is_some() {
        let expires = parameter("X-Amz-Expires").map(|text| text.parse::<i64>().unwrap_or(i64::MAX));
        let wrong = match expires {
            Some(seconds) if seconds < 0 => Some("X-Amz-Expires must be non-negative"),
            Some(seconds) if seconds > WEEK_S => Some("X-Amz-Expires must be less than a week (in seconds) that is 604800"),
            _ => None,
        };
        if let Some(message) = wrong {
            return Some(S3Error::with_message(S3ErrorCode::AuthorizationQueryParametersError, message));
        }
    }
    None
}

/// A presigned URL is valid for so many seconds at the most.
const WEEK_S: i64 = 7 * 24 * 60 * 60;

/// Gives an answer the request's id and, where it is an error, the rest of AWS's form: S3 API reference, "Error responses".
fn finished(response: Response<Body>, method: &Method, uri: &Uri, origin: &Origin) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    if let Ok(id) = HeaderValue::from_str(&origin.request_id) {
        parts.headers.insert("x-amz-request-id", id.clone());
        parts.headers.insert("x-amz-id-2", id);
    }
    parts.headers.entry(header::SERVER).or_insert(HeaderValue::from_static("Millpond"));
    if parts.status == StatusCode::NOT_MODIFIED || (method == Method::HEAD && !parts.status.is_success()) {
        drop_document(&mut parts.headers);
        return Response::from_parts(parts, Body::empty());
    }
    let document = if parts.status.is_client_error() || parts.status.is_server_error() { body.bytes() } else { None };
    let Some(document) = document else { return Response::from_parts(parts, body) };
    let document = String::from_utf8_lossy(&document).replace(UNKNOWN, &unknown(method, uri));
    let completed = completed(&document, uri.path(), &origin.request_id);
    drop_document(&mut parts.headers);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    Response::from_parts(parts, Body::from(completed))
}

/// What `s3s` says of an operation that its model does not have.
const UNKNOWN: &str = "<Message>Unknown operation</Message>";

fn unknown(method: &Method, uri: &Uri) -> String {
    let names = uri.query().unwrap_or_default().split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    let names: Vec<&str> = names.filter(|name| !name.is_empty() && !name.starts_with("X-Amz-")).take(8).collect();
    let names: String = names.join(", ").chars().take(200).collect();
    let of = if names.is_empty() { "no sub-resource".to_owned() } else { format!("the sub-resource '{}'", escaped(&names)) };
    format!("<Message>This operation is not implemented yet: {method} of this path with {of}</Message>")
}

fn drop_document(headers: &mut HeaderMap) {
    headers.remove(header::CONTENT_TYPE);
    headers.remove(header::CONTENT_LENGTH);
}

fn completed(document: &str, path: &str, request_id: &str) -> String {
    let Some(open) = document.trim_end().strip_suffix("</Error>") else { return document.to_owned() };
    let mut open = open.to_owned();
    if !open.contains("<Message>") {
        let code = open.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map_or("", |(code, _)| code);
        if let Some((_, message)) = MESSAGES.iter().find(|(known, _)| *known == code) {
            open.push_str(&format!("<Message>{message}</Message>"));
        }
    }
    let resource = escaped(path);
    format!("{open}<Resource>{resource}</Resource><RequestId>{request_id}</RequestId><HostId>{request_id}</HostId></Error>")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// AWS's messages for errors that `s3s` gives without one.
const MESSAGES: &[(&str, &str)] = &[
    (
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
    ),
    ("AccessDenied", "Access Denied"),
    ("InvalidURI", "Couldn't parse the specified URI."),
    ("InvalidBucketName", "The specified bucket is not valid."),
    ("KeyTooLongError", "Your key is too long"),
    ("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header."),
    ("InternalError", "We encountered an internal error. Please try again."),
    ("InvalidRange", "The requested range is not satisfiable"),
    ("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema"),
    ("MaxMessageLengthExceeded", "Your request was too big."),
    ("MethodNotAllowed", "The specified method is not allowed against this resource."),
    ("MissingContentLength", "You must provide the Content-Length HTTP header."),
    ("NotImplemented", "A header you provided implies functionality that is not implemented"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_get_what_is_missing_in_them() {
        let full = completed("<?xml?><Error><Code>NoSuchKey</Code><Message>m</Message></Error>", "/raw/a&b", "ID");
        assert_eq!(
            full,
            "<?xml?><Error><Code>NoSuchKey</Code><Message>m</Message><Resource>/raw/a&amp;b</Resource><RequestId>ID</RequestId><HostId>ID</HostId></Error>"
        );
        assert!(
            completed("<Error><Code>SignatureDoesNotMatch</Code></Error>", "/", "ID").contains("<Message>The request signature")
        );
    }

    #[test]
    fn a_session_s_token_is_found_in_headers_and_urls() {
        let request = |uri: &str| Request::get(uri).body(Body::empty()).unwrap();
        for (uri, token) in [
            ("/b/k", None),
            ("/b/k?X-Amz-Signature=b&X-Amz-Security-Token=", None),
            ("/b/k?AWSAccessKeyId=a&Signature=b&x-amz-security-token=t%2B1&Expires=1", Some("t+1")),
            ("/b/k?X-Amz-Signature=b&X-Amz-Security-Token=t%2B1", Some("t+1")),
        ] {
            assert_eq!(session(&request(uri)).token.as_deref(), token, "{uri}");
        }
        let mut signed = request("/b/k?x-amz-security-token=other");
        signed.headers_mut().insert("x-amz-security-token", HeaderValue::from_static("token"));
        assert_eq!(session(&signed).token.as_deref(), Some("token"));
        let mut empty = request("/b/k");
        empty.headers_mut().insert("x-amz-security-token", HeaderValue::from_static(""));
        assert_eq!(session(&empty).token, None, "delta-rs sends one with a key that lasts");
    }

    #[test]
    fn old_signatures_forms_and_long_lives_are_refused() {
        let request = |uri: &str, headers: &[(&str, &str)]| {
            let mut builder = Request::post(uri);
            for (name, value) in headers {
                builder = builder.header(*name, *value);
            }
            builder.body(()).unwrap()
        };
        assert!(refused(&request("/b/k", &[("authorization", "AWS AKID:sig")])).is_some());
        assert!(refused(&request("/b", &[("content-type", "multipart/form-data; boundary=x")])).is_some());
        assert!(refused(&request("/b/k?X-Amz-Signature=0&X-Amz-Expires=604801", &[])).is_some());
        assert!(refused(&request("/b/k?X-Amz-Signature=0&X-Amz-Expires=604800", &[])).is_none());
        assert!(refused(&request("/b/k?uploads", &[("authorization", "AWS4-HMAC-SHA256 …")])).is_none());
    }
}
