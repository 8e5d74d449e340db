//! The Lambda Runtime API of one process: a listener of its own on the loopback, so that a process can only take what is meant for it.
//!
//! AWS: "Using the Lambda runtime API for custom runtimes".

use crate::life::Life;
use crate::spec::Invocation;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// The largest answer of a function: 6 MB and a little, as AWS counts.
pub const RESPONSE_BYTES_MAX: usize = 6_291_556;

/// The largest error document that is kept.
const ERROR_BYTES_MAX: usize = 256 << 10;

const PREFIX: &str = "/2018-06-01/runtime/";

/// What a runtime asks for, in the order of its asking.
#[derive(Debug)]
pub enum Asked {
    /// It wants work. What is sent here is its next invocation; where nobody receives it, it asked again.
    Next(oneshot::Sender<Work>),
    /// The function's answer.
    Response(Bytes),
    /// The answer was too large to take.
    TooLarge,
    /// The function failed.
    Error(ErrorDocument),
    /// The function cannot be begun.
    InitError(ErrorDocument),
}

/// What a runtime says about a failure.
#[derive(Debug, Clone)]
pub struct ErrorDocument {
    /// The header `Lambda-Runtime-Function-Error-Type`.
    pub kind: Option<String>,
    /// JSON, as it was sent.
    pub body: Bytes,
}

/// An invocation on its way to the runtime.
#[derive(Debug, Clone)]
pub struct Work {
    /// What was asked for.
    pub invocation: Arc<Invocation>,
    /// When its time is over, milliseconds since the epoch.
    pub deadline_ms: i64,
    /// `X-Amzn-Trace-Id`.
    pub trace_id: String,
}

/// The listener of one process.
#[derive(Debug)]
pub struct Api {
    asked: mpsc::UnboundedSender<Asked>,
    /// The invocation that may be answered now.
    current: Mutex<Option<String>>,
}

impl Api {
    /// Makes an API; what is asked of it comes out of the receiver.
    pub fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Asked>) {
        let (asked, receiver) = mpsc::unbounded_channel();
        (Arc::new(Self { asked, current: Mutex::new(None) }), receiver)
    }

    /// A free port of the loopback.
    ///
    /// # Errors
    /// There is none.
    pub async fn listen() -> std::io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    /// Serves the process that this life is of, and nobody else, until it is dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, life: Arc<Life>) {
        let mut connections = tokio::task::JoinSet::new();
        let ours = listener.local_addr();
        loop {
            let Ok((stream, theirs)) = listener.accept().await else {
                // Out of file descriptors, most likely.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                continue;
            };
            while connections.try_join_next().is_some() {}
            // A runtime has one connection, or a few.
            if connections.len() >= 64 {
                continue;
            }
            if !ours.as_ref().is_ok_and(|ours| life.owns(theirs, *ours)) {
                tracing::warn!(function = life.key, "a connection to a function's runtime API that is not its own is closed");
                continue;
            }
            let _ = stream.set_nodelay(true);
            let api = Arc::clone(&self);
            let service = hyper::service::service_fn(move |request| {
                let api = Arc::clone(&api);
                async move { Ok::<_, std::convert::Infallible>(api.answer(request).await) }
            });
            connections.spawn(async move {
                let connection = hyper::server::conn::http1::Builder::new()
                    .max_buf_size(64 << 10)
                    .serve_connection(TokioIo::new(stream), service);
                let _ = connection.await;
            });
        }
    }

    /// Says which invocation may be answered from now on.
    pub fn expect(&self, request_id: Option<String>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = request_id;
    }

    /// Takes the right to answer from the invocation; false where it is not the current one (any more).
    fn claim(&self, request_id: &str) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let is_current = current.as_deref() == Some(request_id);
        if is_current {
            *current = None;
        }
        is_current
    }

    fn is_current(&self, request_id: &str) -> bool {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).as_deref() == Some(request_id)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let Some(end) = path.strip_prefix(PREFIX) else { return error(StatusCode::NOT_FOUND, "NotFound", "no such path") };
        let steps: Vec<&str> = end.split('/').collect();
        match (request.method(), steps.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::POST, ["invocation", id, "response"]) => self.response(id, request).await,
            (&Method::POST, ["invocation", id, "error"]) => self.error(id, request).await,
            (&Method::POST, ["init", "error"]) => self.init_error(request).await,
            // What comes after a snapshot, which does not exist here.
            (&Method::GET, ["restore", "next"]) => {
                error(StatusCode::FORBIDDEN, "InvalidStateTransition", "this function was not restored from a snapshot")
            }
            (_, ["invocation", "next"] | ["invocation", _, "response" | "error"] | ["init", "error"]) => error(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "the runtime API takes GET for next, and POST for all else",
            ),
            _ => error(StatusCode::NOT_FOUND, "NotFound", "no such path"),
        }
    }

    async fn next(&self) -> Response<Full<Bytes>> {
        if self.current.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return error(StatusCode::FORBIDDEN, "InvalidStateTransition", "the invocation before is not answered yet");
        }
        let (sender, receiver) = oneshot::channel();
        if self.asked.send(Asked::Next(sender)).is_err() {
            return gone();
        }
        match receiver.await {
            Ok(work) => work_response(&work),
            Err(_) => gone(),
        }
    }

    async fn response(&self, id: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if !self.is_current(id) {
            return refuse_id(request).await;
        }
        let (body, failed) = collect(request.into_body(), RESPONSE_BYTES_MAX).await;
        if !self.claim(id) {
            return invalid_id();
        }
        let (asked, answer) = match body {
            // A streamed answer says at its end that it failed.
            Body::Whole(body) if failed.is_some() => (Asked::Error(ErrorDocument { kind: failed, body }), accepted()),
            Body::Whole(body) => (Asked::Response(body), accepted()),
            Body::TooLarge => {
                let text = format!("Exceeded maximum allowed payload size ({RESPONSE_BYTES_MAX} bytes).");
                (Asked::TooLarge, error(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &text))
            }
            Body::Broken => {
                let kind = Some("Runtime.TruncatedResponse".to_owned());
                (
                    Asked::Error(ErrorDocument { kind, body: Bytes::new() }),
                    error(StatusCode::BAD_REQUEST, "TruncatedResponse", "the body did not end"),
                )
            }
        };
        if self.asked.send(asked).is_ok() { answer } else { gone() }
    }

    async fn error(&self, id: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if !self.is_current(id) {
            return refuse_id(request).await;
        }
        let document = error_document(request).await;
        if !self.claim(id) {
            return invalid_id();
        }
        if self.asked.send(Asked::Error(document)).is_ok() { accepted() } else { gone() }
    }

    async fn init_error(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let document = error_document(request).await;
        if self.asked.send(Asked::InitError(document)).is_ok() { accepted() } else { gone() }
    }
}

fn invalid_id() -> Response<Full<Bytes>> {
    error(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
}

/// Refuses an answer after reading it to its end: the connection stays usable.
async fn refuse_id(request: Request<Incoming>) -> Response<Full<Bytes>> {
    collect(request.into_body(), 0).await;
    invalid_id()
}

async fn error_document(request: Request<Incoming>) -> ErrorDocument {
    let kind =
        request.headers().get("lambda-runtime-function-error-type").and_then(|value| value.to_str().ok()).map(str::to_owned);
    match collect(request.into_body(), ERROR_BYTES_MAX).await.0 {
        Body::Whole(body) => ErrorDocument { kind, body },
        Body::TooLarge | Body::Broken => ErrorDocument { kind, body: Bytes::new() },
    }
}

enum Body {
    Whole(Bytes),
    TooLarge,
    Broken,
}

/// Reads a body to its end, keeping no more than `bytes_max` of it; answers also what a trailer says about a failure.
async fn collect(mut body: Incoming, bytes_max: usize) -> (Body, Option<String>) {
    let mut kept = BytesMut::new();
    let mut total = 0usize;
    let mut failed = None;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return (Body::Broken, None) };
        if let Some(data) = frame.data_ref() {
            total = total.saturating_add(data.len());
            if total <= bytes_max {
                kept.extend_from_slice(data);
            }
        }
        if let Some(trailers) = frame.trailers_ref() {
            let value = trailers.get("lambda-runtime-function-error-type");
            failed = value.and_then(|value| value.to_str().ok()).map(str::to_owned).or(failed);
        }
    }
    if total > bytes_max { (Body::TooLarge, failed) } else { (Body::Whole(kept.freeze()), failed) }
}

fn work_response(work: &Work) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(work.invocation.payload.clone()));
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    put(headers, "lambda-runtime-aws-request-id", &work.invocation.request_id);
    put(headers, "lambda-runtime-deadline-ms", &work.deadline_ms.to_string());
    put(headers, "lambda-runtime-invoked-function-arn", &work.invocation.invoked_arn);
    put(headers, "lambda-runtime-trace-id", &work.trace_id);
    if let Some(context) = &work.invocation.client_context {
        put(headers, "lambda-runtime-client-context", context);
    }
    response
}

/// Line breaks cannot be in a header; in JSON they mean no more than a space.
fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let value = if value.contains(['\r', '\n']) { value.replace(['\r', '\n'], " ") } else { value.to_owned() };
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(name, value);
    }
}

fn accepted() -> Response<Full<Bytes>> {
    json(StatusCode::ACCEPTED, serde_json::json!({ "status": "OK" }))
}

fn gone() -> Response<Full<Bytes>> {
    error(StatusCode::INTERNAL_SERVER_ERROR, "Gone", "this process is being ended")
}

fn error(status: StatusCode, kind: &str, message: &str) -> Response<Full<Bytes>> {
    json(status, serde_json::json!({ "errorMessage": message, "errorType": kind }))
}

fn json(status: StatusCode, body: serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}
