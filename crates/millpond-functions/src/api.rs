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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// The largest answer of a function: 6 MB and a little, as AWS counts.
pub const RESPONSE_BYTES_MAX: usize = 6_291_556;

/// The largest error document that is kept.
const ERROR_BYTES_MAX: usize = 256 << 10;

/// How many askings wait for the process's owner, who may be away for as long as the process idles.
const ASKED_MAX: usize = 4;

/// How many connections a process may have. A runtime has one, or a few.
const CONNECTIONS_MAX: usize = 4;

/// How long another connection waits for one of those to end.
const CONNECTION_TIME: Duration = Duration::from_millis(100);

/// How long a `next` waits for the one before it to be gone: a client that gave up and asks again may be faster than the end of its connection.
const TURN_TIME: Duration = Duration::from_secs(1);

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

/// The listener of one process. What a function sends it keeps little of: one answer, or one error document, and [`ASKED_MAX`] askings.
#[derive(Debug)]
pub struct Api {
    asked: mpsc::Sender<Asked>,
    state: Mutex<State>,
    /// Held by the one `next` that is outstanding.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// The invocation that may be answered now.
    current: Option<String>,
    /// Whether its answer is being read.
    is_answering: bool,
}

/// How far a runtime has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Starting,
    /// It asked for work.
    Begun,
    /// It said that it cannot begin.
    Failed,
}

/// The right to answer the current invocation, which one request has at a time. It is given back where the answer does not come to its end.
struct Claim<'a> {
    api: &'a Api,
    request_id: &'a str,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut state = self.api.state();
        if state.current.as_deref() == Some(self.request_id) {
            state.is_answering = false;
        }
    }
}

impl Api {
    /// Makes an API; what is asked of it comes out of the receiver.
    pub fn new() -> (Arc<Self>, mpsc::Receiver<Asked>) {
        let (asked, receiver) = mpsc::channel(ASKED_MAX);
        (Arc::new(Self { asked, state: Mutex::default(), turn: tokio::sync::Mutex::default() }), receiver)
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
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            while connections.try_join_next().is_some() {}
            if !ours.as_ref().is_ok_and(|ours| life.owns(theirs, *ours)) {
                tracing::warn!(function = life.key, "a connection to a function's runtime API that is not its own is closed");
                continue;
            }
            if connections.len() >= CONNECTIONS_MAX
                && tokio::time::timeout(CONNECTION_TIME, connections.join_next()).await.is_err()
            {
                tracing::debug!(
                    function = life.key,
                    "a function has {CONNECTIONS_MAX} connections to its runtime API, and no more"
                );
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says which invocation may be answered from now on.
    pub fn expect(&self, request_id: Option<String>) {
        let mut state = self.state();
        state.current = request_id;
        state.is_answering = false;
    }

    /// Takes the right to answer the invocation; none where it is not the current one (any more), or where somebody else has it.
    fn claim<'a>(&'a self, request_id: &'a str) -> Option<Claim<'a>> {
        let mut state = self.state();
        if state.is_answering || state.current.as_deref() != Some(request_id) {
            return None;
        }
        state.is_answering = true;
        Some(Claim { api: self, request_id })
    }

    /// Hands on the answer of the invocation that was claimed, unless its time is over.
    async fn conclude(&self, claim: Claim<'_>, asked: Asked, answer: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
        let Ok(place) = self.asked.reserve().await else { return gone() };
        let mut state = self.state();
        if !state.is_answering || state.current.as_deref() != Some(claim.request_id) {
            // Its end needs the lock, too.
            drop(state);
            return invalid_id();
        }
        // Before anybody can ask for the next one.
        place.send(asked);
        state.current = None;
        state.is_answering = false;
        drop(state);
        answer
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
            (&Method::GET, ["restore", "next"]) => invalid_state("this function was not restored from a snapshot"),
            (_, ["invocation", "next"] | ["invocation", _, "response" | "error"] | ["init", "error"]) => error(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "the runtime API takes GET for next, and POST for all else",
            ),
            _ => error(StatusCode::NOT_FOUND, "NotFound", "no such path"),
        }
    }

    async fn next(&self) -> Response<Full<Bytes>> {
        let Ok(_turn) = tokio::time::timeout(TURN_TIME, self.turn.lock()).await else {
            return invalid_state("the next invocation is being waited for already");
        };
        let refused = {
            let mut state = self.state();
            match (state.phase, &state.current) {
                (Phase::Failed, _) => Some("this runtime said that it cannot begin"),
                (_, Some(_)) => Some("the invocation before is not answered yet"),
                (_, None) => {
                    state.phase = Phase::Begun;
                    None
                }
            }
        };
        if let Some(reason) = refused {
            return invalid_state(reason);
        }
        let (sender, receiver) = oneshot::channel();
        // Waits where askings that were given up are still in the way.
        if self.asked.send(Asked::Next(sender)).await.is_err() {
            return gone();
        }
        match receiver.await {
            Ok(work) => work_response(&work),
            Err(_) => gone(),
        }
    }

    async fn response(&self, id: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Some(claim) = self.claim(id) else { return refuse(request, invalid_id()).await };
        let (body, failed) = collect(request.into_body(), RESPONSE_BYTES_MAX).await;
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
        self.conclude(claim, asked, answer).await
    }

    async fn error(&self, id: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Some(claim) = self.claim(id) else { return refuse(request, invalid_id()).await };
        let document = error_document(request).await;
        self.conclude(claim, Asked::Error(document), accepted()).await
    }

    /// Only a runtime that has not begun can fail to begin, and only once.
    async fn init_error(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let is_first = {
            let mut state = self.state();
            let is_first = state.phase == Phase::Starting;
            if is_first {
                state.phase = Phase::Failed;
            }
            is_first
        };
        if !is_first {
            return refuse(request, invalid_state("only a runtime that has not asked for work yet can fail to begin, once"))
                .await;
        }
        let document = error_document(request).await;
        if self.asked.send(Asked::InitError(document)).await.is_ok() { accepted() } else { gone() }
    }
}

fn invalid_id() -> Response<Full<Bytes>> {
    error(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
}

fn invalid_state(message: &str) -> Response<Full<Bytes>> {
    error(StatusCode::FORBIDDEN, "InvalidStateTransition", message)
}

/// Refuses what was sent after reading it to its end, keeping nothing: the connection stays usable.
async fn refuse(request: Request<Incoming>, answer: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    collect(request.into_body(), 0).await;
    answer
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
