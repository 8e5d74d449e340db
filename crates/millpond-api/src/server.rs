//! The one endpoint: takes connections, finds the service of each request, verifies who sent it, and answers.
//!
//! S3 requests go to `s3s` with their bodies as streams; it verifies them itself. All others are small: their bodies are read whole (up to
//! [`BODY_MAX`]), verified, and handed to the [`Router`].

use crate::router::{Context, Origin, Router};
use crate::s3::S3Endpoint;
use async_trait::async_trait;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use millpond_core::arn::Place;
use millpond_core::env::{EnvExt, SharedEnv};
use millpond_wire::target::{self, Target};
use millpond_wire::{Service, WireError, sigv4};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Bytes of a request to a service other than S3 at the most. AWS's own limits are lower (Glue's batches are the largest).
pub const BODY_MAX: usize = 16 * 1024 * 1024;

/// Connections at the same time at the most; further ones wait to be taken.
const CONNECTIONS_MAX: usize = 4096;

/// A connection that has not sent its request's head in this time is closed.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);

/// Requests under way are waited for this long when the server stops.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// The service name that requests to Millpond's own operations are signed for.
pub const OWN_SERVICE: &str = "millpond";

/// Operations that a link in a mail calls: they carry a secret token, and no signature.
const BY_LINK: &[(&str, &str)] = &[("sns", "ConfirmSubscription"), ("sns", "Unsubscribe")];

/// An access key that may call this lake.
#[derive(Clone)]
pub struct Credentials {
    /// `AKIA…`
    pub access_key: String,
    /// Never shown.
    pub secret_key: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// Millpond's own operations, below `/_millpond/`: what no AWS operation tells.
#[async_trait]
pub trait Own: Send + Sync {
    /// Answers a verified request; `path` is what follows `/_millpond/`.
    async fn call(&self, context: Context, path: &str, body: Bytes) -> Result<serde_json::Value, WireError>;
}

/// All that answers requests.
pub struct Server {
    /// The JSON and Query services.
    pub router: Router,
    /// S3.
    pub s3: S3Endpoint,
    /// Millpond's own operations.
    pub own: Arc<dyn Own>,
    /// Who may call.
    pub credentials: Credentials,
    /// The account and region.
    pub place: Arc<Place>,
    /// The clock.
    pub env: SharedEnv,
    /// How clients reach this server, for links: `http://127.0.0.1:4566`.
    pub endpoint: String,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

type Answer = Response<s3s::Body>;

impl Server {
    /// Serves until `stop`, then waits a little for requests under way.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
            let (stream, peer) = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be taken");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            // Answers are small and awaited: they must not wait to be filled up.
            let _ = stream.set_nodelay(true);
            let server = self.clone();
            let service = hyper::service::service_fn(move |request| {
                let server = server.clone();
                async move { Ok::<_, Infallible>(server.answer(request, peer).await) }
            });
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE);
            builder.http2().timer(TokioTimer::new());
            let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
            let watched = graceful.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = watched.await {
                    tracing::debug!(%error, %peer, "a connection broke");
                }
                drop(place);
            });
        }
        drop(listener);
        let _ = tokio::time::timeout(STOP_PATIENCE, graceful.shutdown()).await;
    }

    async fn answer(&self, mut request: Request<Incoming>, peer: SocketAddr) -> Answer {
        let origin = Origin { source_ip: peer.ip().to_string(), request_id: self.env.uuid() };
        if request.uri().path() == "/_millpond/health" {
            return small(StatusCode::OK, "application/json", Bytes::from_static(b"{\"status\":\"ok\"}"));
        }
        if !is_small(&request) {
            request.extensions_mut().insert(origin);
            return self.answer_s3(request).await;
        }
        let (parts, body) = request.into_parts();
        let service = target::hint(&parts, sigv4::scope_service(&parts).as_deref());
        let answered = match read_whole(body).await {
            Ok(body) => self.answer_small(&parts, body, &origin).await,
            Err(error) => Err((service, error)),
        };
        answered.unwrap_or_else(|(service, error)| refusal(service, error, &origin.request_id))
    }

    async fn answer_s3(&self, request: Request<Incoming>) -> Answer {
        match hyper::service::Service::call(&self.s3, request).await {
            Ok(response) => response,
            Err(error) => {
                tracing::error!(?error, "an S3 request failed outside its handler");
                small(StatusCode::INTERNAL_SERVER_ERROR, "application/xml", Bytes::from_static(INTERNAL_S3))
            }
        }
    }

    async fn answer_small(
        &self,
        parts: &Parts,
        body: Bytes,
        origin: &Origin,
    ) -> Result<Answer, (Option<&'static Service>, WireError)> {
        if let Some(path) = parts.uri.path().strip_prefix("/_millpond/") {
            let verified = self.verify(parts, &body, OWN_SERVICE, None).map_err(|error| (None, error))?;
            let context = self.context(verified, origin);
            let value = self.own.call(context, path, body).await.map_err(|error| (None, error))?;
            return Ok(small(StatusCode::OK, "application/json", value.to_string().into()));
        }
        let scope = sigv4::scope_service(parts);
        let hinted = target::hint(parts, scope.as_deref());
        let found = target::find(parts, &body, scope.as_deref()).map_err(|error| (hinted, error))?;
        let Target::Operation { service, operation } = found else {
            let message = "The request is neither of S3 nor of another service that Millpond knows.";
            return Err((hinted, WireError::sender(StatusCode::BAD_REQUEST, "InvalidRequest", message)));
        };
        let refused = |error| (Some(service), error);
        let by_link = BY_LINK.contains(&(service.name, operation)) && scope.is_none();
        let access_key = match by_link {
            true => String::new(),
            false => self.verify(parts, &body, service.signing_name, Some(service)).map_err(refused)?,
        };
        let body = if body.is_empty() { Bytes::copy_from_slice(parts.uri.query().unwrap_or_default().as_bytes()) } else { body };
        let context = self.context(access_key, origin);
        let response = self.router.call(service, operation, context, body).await.map_err(refused)?;
        Ok(with_id(response.map(s3s::Body::from), &origin.request_id))
    }

    /// Checks the signature; answers the access key.
    fn verify(
        &self,
        parts: &Parts,
        body: &[u8],
        signing_name: &str,
        service: Option<&'static Service>,
    ) -> Result<String, WireError> {
        let expected = sigv4::Expected { service: signing_name, region: &self.place.region, now_ms: self.env.now_ms() };
        let secret = |access_key: &str| (access_key == self.credentials.access_key).then(|| self.credentials.secret_key.clone());
        let verified = sigv4::verify(parts, body, &expected, service, secret)?;
        Ok(verified.access_key)
    }

    fn context(&self, access_key: String, origin: &Origin) -> Context {
        Context {
            access_key,
            account: self.place.account.clone(),
            principal: format!("arn:aws:iam::{}:root", self.place.account),
            source_ip: origin.source_ip.clone(),
            request_id: origin.request_id.clone(),
            now_ms: self.env.now_ms(),
            endpoint: self.endpoint.clone(),
        }
    }
}

const INTERNAL_S3: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>InternalError</Code>\
<Message>We encountered an internal error. Please try again.</Message></Error>";

/// Whether a request is for a service other than S3: it names its operation in a header or a form, or its path is Millpond's own.
fn is_small(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    if headers.contains_key("x-amz-target") || request.uri().path().starts_with("/_millpond/") {
        return true;
    }
    let form = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"));
    let at_root = request.uri().path() == "/";
    let action = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("Action=")));
    at_root && (action || (form && request.method() == http::Method::POST))
}

async fn read_whole(body: Incoming) -> Result<Bytes, WireError> {
    match Limited::new(body, BODY_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("The request's body is larger than {BODY_MAX} bytes.");
            Err(WireError::sender(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLargeException", message))
        }
        Err(error) => {
            let message = format!("The request's body could not be read: {error}");
            Err(WireError::sender(StatusCode::BAD_REQUEST, "IncompleteBody", message))
        }
    }
}

fn refusal(service: Option<&'static Service>, error: WireError, request_id: &str) -> Answer {
    // Without a service (Millpond's own operations, or an unknown one) the answer is JSON.
    let service = service.unwrap_or(&millpond_wire::glue::SERVICE);
    with_id(error.into_response(service, request_id).map(s3s::Body::from), request_id)
}

fn with_id(mut response: Answer, request_id: &str) -> Answer {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

fn small(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut response = Response::new(s3s::Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
