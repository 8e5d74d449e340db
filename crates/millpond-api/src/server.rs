//! The one endpoint: takes connections, finds the service of each request, verifies who sent it, and answers.
//!
//! S3 requests go to `s3s` with their bodies as streams; it verifies them itself. All others are small: what they say of their signature is
//! checked, then their bodies are read whole (up to [`BODY_MAX`]; of what is not signed, little), verified, and handed to the [`Router`].
//! All bodies that are held at the same time share [`BODIES_BYTES_MAX`].

use crate::answer;
use crate::authorize::{OWN_ACTION, RUN_ACTION};
use crate::caller::{Caller, KeyOf, Keys};
use crate::iceberg_rest::{self, IcebergRest, RestRequest, oauth};
use crate::router::{Call, Context, LARGE_BYTES, Origin, Router, Visit};
use crate::s3::S3Endpoint;
use crate::s3::drain::{Drained, Leave};
use async_trait::async_trait;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use millpond_core::arn::Place;
use millpond_core::env::{EnvExt, SharedEnv};
use millpond_wire::sigv4::{Expected, Signed, SigningKeys};
use millpond_wire::target::{self, Target};
use millpond_wire::{Protocol, Service, Spoken, WireError};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Bytes of a request to a service other than S3 at the most. AWS's own limits are lower (Glue's batches are the largest).
pub const BODY_MAX: usize = 16 * 1024 * 1024;

/// The operations whose requests may be larger, and how large: 50 MB of a zip in base64, and the rest of the document.
const LARGER: &[(&str, &str, usize)] = &[
    ("lambda", "CreateFunction", 72 * 1024 * 1024),
    ("lambda", "UpdateFunctionCode", 72 * 1024 * 1024),
    ("lambda", "PublishLayerVersion", 72 * 1024 * 1024),
];

/// Bytes of a request that nobody signed: a form with a link's token.
const UNSIGNED_BODY_MAX: usize = 64 * 1024;

/// Bytes of all bodies that are read or decoded at the same time; further requests wait. A body counts three times where it is large: as bytes,
/// as text, and as what the text means.
const BODIES_BYTES_MAX: usize = 384 * 1024 * 1024;

/// What bodies are counted in.
const BODY_UNIT: usize = 64 * 1024;

/// The operations whose answers are large, and how large they can be.
const LARGE_ANSWERS: &[(&str, &str, usize)] = &[
    ("dynamodb", "BatchGetItem", 16 * 1024 * 1024),
    ("dynamodb", "BatchExecuteStatement", 16 * 1024 * 1024),
    ("dynamodb", "TransactGetItems", 4 * 1024 * 1024),
    ("dynamodb", "ExecuteTransaction", 4 * 1024 * 1024),
    ("dynamodb", "Query", 1024 * 1024),
    ("dynamodb", "Scan", 1024 * 1024),
    ("dynamodb", "ExecuteStatement", 1024 * 1024),
];

/// Bytes of all such answers that are made or wait to be read at the same time; further requests wait. Until it is made, an answer counts three times
/// what it can be.
const ANSWERS_BYTES_MAX: usize = 512 * 1024 * 1024;

/// A body that does not come in this time is given up.
const BODY_PATIENCE: Duration = Duration::from_secs(120);

/// Connections at the same time at the most; further ones wait to be taken.
const CONNECTIONS_MAX: usize = 4096;

/// A connection that has not sent its request's head in this time is closed.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);

/// A client that has not taken a large answer in this time is given up.
const SEND_PATIENCE: Duration = Duration::from_secs(120);

/// Requests under way are waited for this long when the server stops.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// The service name that requests to Glue are signed for.
const GLUE: &str = "glue";

/// The service name that requests to Millpond's own operations are signed for.
pub const OWN_SERVICE: &str = "millpond";

/// Operations that a link in a mail calls: they carry a secret token, and no signature.
const BY_LINK: &[(&str, &str)] = &[("sns", "ConfirmSubscription"), ("sns", "Unsubscribe")];

/// Millpond's own operations, below `/_millpond/`: what no AWS operation tells.
#[async_trait]
pub trait Own: Send + Sync {
    /// Answers a verified request, with JSON; `path` is what follows `/_millpond/`.
    async fn call(&self, context: Context, path: &str, body: Bytes) -> Result<Bytes, WireError>;
}

/// All that answers requests.
pub struct Server {
    /// The JSON and Query services.
    pub router: Router,
    /// S3.
    pub s3: S3Endpoint,
    /// Millpond's own operations.
    pub own: Arc<dyn Own>,
    /// The operations of job runs on themselves, below `/_glue/run/`.
    pub runs: Arc<dyn Own>,
    /// The catalog by Iceberg's REST protocol.
    pub iceberg: IcebergRest,
    /// Who may call.
    pub keys: Arc<dyn Keys>,
    /// The account and region.
    pub place: Arc<Place>,
    /// The clock.
    pub env: SharedEnv,
    /// How clients reach this server, for links: `http://127.0.0.1:4566`.
    pub endpoint: String,
    /// What is shared by its requests.
    pub shared: Shared,
}

/// What the requests of a server share.
#[derive(Debug)]
pub struct Shared {
    signing_keys: SigningKeys,
    bodies: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

impl Default for Shared {
    fn default() -> Self {
        let semaphore = |bytes: usize| Arc::new(Semaphore::new(bytes / BODY_UNIT));
        Self { signing_keys: SigningKeys::default(), bodies: semaphore(BODIES_BYTES_MAX), answers: semaphore(ANSWERS_BYTES_MAX) }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// A connection that came otherwise than through the listener, and a place that is given back at its end.
pub type Visitor = (TcpStream, OwnedSemaphorePermit);

type Answer = Response<s3s::Body>;

/// A request's body, of which what nobody reads is read and thrown away.
type Body = Drained<Incoming>;

impl Server {
    /// Serves what comes through the listener, and visitors, until `stop`; then waits a little for requests under way.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, mut visitors: mpsc::Receiver<Visitor>, stop: CancellationToken) {
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted.map(|(stream, peer)| (stream, peer, None)),
                Some((stream, place)) = visitors.recv() => match stream.peer_addr() {
                    Ok(peer) => Ok((stream, peer, Some(place))),
                    // It has left again.
                    Err(_) => continue,
                },
            };
            let (stream, peer, visitors_place) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            // Answers are small and awaited: they must not wait to be filled up.
            let _ = stream.set_nodelay(true);
            let server = self.clone();
            let given_up = CancellationToken::new();
            let connection = given_up.clone();
            let service = hyper::service::service_fn(move |request| {
                let (server, connection) = (server.clone(), connection.clone());
                async move { Ok::<_, Infallible>(server.answer(request, peer, connection).await) }
            });
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE);
            builder.http2().timer(TokioTimer::new());
            let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
            let watched = graceful.watch(connection);
            tokio::spawn(async move {
                tokio::select! {
                    served = watched => if let Err(error) = served {
                        tracing::debug!(%error, %peer, "a connection broke");
                    },
                    () = given_up.cancelled() => tracing::debug!(%peer, "a client does not take its answer: its connection is closed"),
                }
                drop((place, visitors_place));
            });
        }
        drop((listener, visitors));
        let _ = tokio::time::timeout(STOP_PATIENCE, graceful.shutdown()).await;
    }

    /// `connection` closes that of the request.
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr, connection: CancellationToken) -> Answer {
        let waits = request.headers().contains_key(header::EXPECT).then(Leave::default);
        // Streams of version 2 end by themselves.
        let closes = waits.clone().filter(|_| request.version() < Version::HTTP_2);
        let mut answer = self.answer_to(request.map(|body| Drained::new(body, waits)), peer, connection).await;
        if closes.is_some_and(|leave| !leave.is_given()) {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    async fn answer_to(&self, request: Request<Body>, peer: SocketAddr, connection: CancellationToken) -> Answer {
        let origin = Origin { source_ip: peer.ip().to_string(), request_id: self.env.uuid() };
        let path = request.uri().path();
        if path == "/_millpond/health" {
            return small(StatusCode::OK, "application/json", Bytes::from_static(b"{\"status\":\"ok\"}"));
        }
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if reads && self.router.is_public(path) {
            return self.visit(&request, &origin).await;
        }
        let own = Internal::of(path);
        let (parts, body) = request.into_parts();
        if oauth::asks(&parts) {
            let answered = self.answer_token(parts, body, &origin).await;
            return with_id(
                answered.unwrap_or_else(|error| iceberg_rest::refused(&error)).map(s3s::Body::from),
                &origin.request_id,
            );
        }
        if is_rest(&parts) {
            let answered = self.answer_rest(parts, body, &origin).await;
            return with_id(
                answered.unwrap_or_else(|error| iceberg_rest::refused(&error)).map(s3s::Body::from),
                &origin.request_id,
            );
        }
        if own.is_none() && !target::is_small(&parts) {
            let mut request = Request::from_parts(parts, body);
            request.extensions_mut().insert(origin);
            return self.answer_s3(request).await;
        }
        let answered = match own {
            Some(internal) => self.answer_own(internal, parts, body, &origin).await.map_err(|error| (None, error)),
            None => self.answer_small(parts, body, &origin, connection).await,
        };
        answered.unwrap_or_else(|(spoken, error)| refusal(spoken, error, &origin.request_id))
    }

    async fn visit(&self, request: &Request<Body>, origin: &Origin) -> Answer {
        let visit = Visit {
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            source_ip: origin.source_ip.clone(),
        };
        match self.router.visit(visit) {
            Some(answer) => with_id(answer.await.map(s3s::Body::from), &origin.request_id),
            None => small(StatusCode::NOT_FOUND, "text/plain", Bytes::new()),
        }
    }

    async fn answer_s3(&self, request: Request<Body>) -> Answer {
        match hyper::service::Service::call(&self.s3, request).await {
            Ok(response) => response,
            Err(error) => {
                tracing::error!(?error, "an S3 request failed outside its handler");
                small(StatusCode::INTERNAL_SERVER_ERROR, "application/xml", Bytes::from_static(INTERNAL_S3))
            }
        }
    }

    async fn answer_own(&self, internal: Internal, parts: Parts, body: Body, origin: &Origin) -> Result<Answer, WireError> {
        let (signed, key) = self.signed(&parts, internal.signing_name(), false, None)?;
        let (body, _share) = self.read_whole(&parts, body, BODY_MAX).await?;
        self.verify(&signed, &parts, &body, &key, None)?;
        let path = parts.uri.path().strip_prefix(internal.prefix()).unwrap_or_default();
        let context = self.context(key.caller, &parts, origin);
        let (action, operations) = match internal {
            Internal::Lake => (OWN_ACTION, &self.own),
            Internal::Run => (RUN_ACTION, &self.runs),
        };
        self.router.authorizer().authorize(&context, action, "*")?;
        let answer = operations.call(context, path, body).await?;
        Ok(small(StatusCode::OK, "application/json", answer))
    }

    async fn answer_token(&self, parts: Parts, body: Body, origin: &Origin) -> Result<Response<Bytes>, WireError> {
        let (body, _share) = self.read_whole(&parts, body, UNSIGNED_BODY_MAX).await?;
        let (keys, sts) = (self.keys.as_ref(), &self.iceberg.sts);
        Ok(oauth::answer(keys, sts, &parts, &body, &origin.source_ip, self.env.now_ms()))
    }

    async fn answer_rest(&self, parts: Parts, body: Body, origin: &Origin) -> Result<Response<Bytes>, WireError> {
        let now_ms = self.env.now_ms();
        let (caller, body, _share, session) = match oauth::bearer(&parts) {
            Some(token) => {
                let session = match oauth::open(self.keys.as_ref(), &parts, token, &origin.source_ip, now_ms) {
                    Ok(session) => session,
                    Err(refusal) => return Ok(*refusal),
                };
                let (body, share) = self.read_whole(&parts, body, BODY_MAX).await?;
                (session.key.caller.clone(), body, share, Some(session))
            }
            None => {
                let (signed, key) = self.signed(&parts, GLUE, false, None)?;
                let (body, share) = self.read_whole(&parts, body, BODY_MAX).await?;
                self.verify(&signed, &parts, &body, &key, None)?;
                (key.caller, body, share, None)
            }
        };
        let request = RestRequest {
            method: parts.method.clone(),
            path: parts.uri.path().strip_prefix(iceberg_rest::PREFIX).unwrap_or_default().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            body,
            session,
        };
        let context = self.context(caller, &parts, origin);
        Ok(self.iceberg.answer(&context, self.router.authorizer().as_ref(), request).await)
    }

    async fn answer_small(
        &self,
        parts: Parts,
        body: Body,
        origin: &Origin,
        connection: CancellationToken,
    ) -> Result<Answer, (Option<Spoken>, WireError)> {
        let scope = target::scope(&parts);
        let hinted = target::hint(&parts, scope.as_deref());
        let before = |error| (hinted, error);
        // The signature's claims come before the body: who has no key makes nobody read.
        let claimed = match hinted {
            Some(Spoken { service, protocol }) if scope.is_some() => {
                Some(self.signed(&parts, service.signing_name, service.global, Some(protocol)).map_err(before)?)
            }
            _ => None,
        };
        let limit = if claimed.is_some() { limit(&parts, scope.as_deref()) } else { UNSIGNED_BODY_MAX };
        let (body, share) = self.read_whole(&parts, body, limit).await.map_err(before)?;
        let found = target::find(&parts, &body, scope.as_deref()).map_err(before)?;
        let Target::Operation { spoken, operation } = found else {
            let message = "The request is neither of S3 nor of another service that Millpond knows.";
            return Err((hinted, WireError::sender(StatusCode::BAD_REQUEST, "InvalidRequest", message)));
        };
        let refused = |error| (Some(spoken), error);
        let protocol = Some(spoken.protocol);
        let by_link = BY_LINK.contains(&(spoken.service.name, operation)) && scope.is_none();
        let caller = if by_link {
            Caller::anonymous(&self.place.account)
        } else {
            let (signed, key) = match claimed {
                Some(claimed) => claimed,
                None => self.signed(&parts, spoken.service.signing_name, spoken.service.global, protocol).map_err(refused)?,
            };
            // Signed for one service and meant for another: the target says that, the scope this.
            signed.check_service(spoken.service.signing_name, protocol).map_err(refused)?;
            self.verify(&signed, &parts, &body, &key, protocol).map_err(refused)?;
            key.caller
        };
        let context = self.context(caller, &parts, origin);
        let call = Call { protocol: spoken.protocol, parts: Some(parts), body, share };
        let share = self.room(spoken.service.name, operation).await;
        let room = share.map(|share| answer::Room { share, unit: BODY_UNIT, patience: SEND_PATIENCE, connection });
        let response = self.router.answer(spoken, operation, context, call).await.map_err(refused)?;
        Ok(with_id(response.map(|body| s3s::Body::from(answer::held(body, room))), &origin.request_id))
    }

    /// A share of the memory that large answers have; `None` for operations that have none.
    async fn room(&self, service: &str, operation: &str) -> Option<OwnedSemaphorePermit> {
        let large = LARGE_ANSWERS.iter().find(|(of, name, _)| *of == service && *name == operation);
        let units = large.and_then(|(_, _, bytes)| u32::try_from(bytes * 3 / BODY_UNIT).ok())?;
        Some(self.shared.answers.clone().acquire_many_owned(units).await.expect("the semaphore is never closed"))
    }

    /// What a request says of its signature, and the key that it should be made with.
    fn signed(
        &self,
        parts: &Parts,
        signing_name: &str,
        global: bool,
        protocol: Option<Protocol>,
    ) -> Result<(Signed, KeyOf), WireError> {
        let now_ms = self.env.now_ms();
        let region = (!global).then_some(self.place.region.as_str());
        let signed = Signed::read(parts, &Expected { service: signing_name, region, now_ms }, protocol)?;
        match self.keys.secret(signed.access_key(), signed.session_token(), now_ms) {
            Ok(key) => Ok((signed, key)),
            Err(error) => Err(error.into_error(protocol)),
        }
    }

    /// Checks the signature over the whole request.
    fn verify(
        &self,
        signed: &Signed,
        parts: &Parts,
        body: &[u8],
        key: &KeyOf,
        protocol: Option<Protocol>,
    ) -> Result<(), WireError> {
        let check = || signed.verify(parts, body, &key.secret, &self.shared.signing_keys, protocol);
        let alone = Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread;
        match alone || body.len() < LARGE_BYTES {
            true => check(),
            // A hash of many bytes must not hold up other requests.
            false => tokio::task::block_in_place(check),
        }
    }

    fn context(&self, caller: Caller, parts: &Parts, origin: &Origin) -> Context {
        Context {
            account: self.place.account.clone(),
            region: self.place.region.clone(),
            principal: caller,
            source_ip: origin.source_ip.clone(),
            request_id: origin.request_id.clone(),
            now_ms: self.env.now_ms(),
            endpoint: self.endpoint.clone(),
            host: host(parts),
        }
    }

    /// Reads a body, with a share of the memory that all bodies have; the share goes when the permit does.
    async fn read_whole(
        &self,
        parts: &Parts,
        body: Body,
        limit: usize,
    ) -> Result<(Bytes, Option<OwnedSemaphorePermit>), WireError> {
        let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        let reading = async {
            let bytes = length.unwrap_or(limit);
            let permit = match bytes {
                0..BODY_UNIT => None,
                _ => {
                    let units = u32::try_from(bytes.saturating_mul(3) / BODY_UNIT).unwrap_or(u32::MAX);
                    Some(self.shared.bodies.clone().acquire_many_owned(units).await.expect("the semaphore is never closed"))
                }
            };
            match Limited::new(body, limit).collect().await {
                Ok(collected) => Ok((collected.to_bytes(), permit)),
                Err(error) if error.is::<LengthLimitError>() => Err(too_large(limit)),
                Err(error) => {
                    let message = format!("The request's body could not be read: {error}");
                    Err(WireError::sender(StatusCode::BAD_REQUEST, "IncompleteBody", message))
                }
            }
        };
        match tokio::time::timeout(BODY_PATIENCE, reading).await {
            Ok(read) => read,
            Err(_) => {
                let message = format!("The request's body did not come within {} seconds.", BODY_PATIENCE.as_secs());
                Err(WireError::sender(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", message))
            }
        }
    }
}

/// Operations that are not AWS's. Their paths are below prefixes that no bucket's name can begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Internal {
    /// Those of the lake's owner.
    Lake,
    /// Those of a job run on itself.
    Run,
}

impl Internal {
    fn of(path: &str) -> Option<Self> {
        [Self::Lake, Self::Run].into_iter().find(|internal| path.starts_with(internal.prefix()))
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Lake => "/_millpond/",
            Self::Run => "/_glue/run/",
        }
    }

    /// The service that requests are signed for.
    fn signing_name(self) -> &'static str {
        match self {
            Self::Lake => OWN_SERVICE,
            Self::Run => GLUE,
        }
    }
}

/// Whether a request speaks Iceberg's REST protocol: one for the bucket `iceberg` is signed for S3, and never carries a bearer token.
fn is_rest(parts: &Parts) -> bool {
    parts.uri.path().starts_with(iceberg_rest::PREFIX)
        && (oauth::bearer(parts).is_some() || target::scope(parts).as_deref() == Some(GLUE))
}

/// How large the body of a request may be: by its operation, where its path tells that.
fn limit(parts: &Parts, scope: Option<&str>) -> usize {
    let found =
        if LARGER.iter().any(|(service, ..)| scope == Some(service)) { target::find(parts, b"", scope).ok() } else { None };
    let Some(Target::Operation { spoken, operation }) = found else { return BODY_MAX };
    let larger = LARGER.iter().find(|(service, name, _)| (*service, *name) == (spoken.service.name, operation));
    larger.map_or(BODY_MAX, |(_, _, limit)| *limit)
}

fn too_large(limit: usize) -> WireError {
    let message = format!("Request must be smaller than {limit} bytes.");
    WireError::sender(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLargeException", message)
}

/// The host that a request names: letters, digits and what else stands in hosts and addresses.
fn host(parts: &Parts) -> Option<String> {
    let named = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let host = named.or_else(|| parts.uri.authority().map(|authority| authority.as_str()))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (!host.is_empty() && host.len() <= 260 && host.bytes().all(plain)).then(|| host.to_owned())
}

const INTERNAL_S3: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>InternalError</Code>\
<Message>We encountered an internal error. Please try again.</Message></Error>";

fn refusal(spoken: Option<Spoken>, error: WireError, request_id: &str) -> Answer {
    // Without a service (Millpond's own operations, or an unknown one) the answer is JSON.
    let service: &'static Service = &millpond_wire::glue::SERVICE;
    let spoken = spoken.unwrap_or(service.into());
    with_id(error.respond(spoken, request_id).map(s3s::Body::from), request_id)
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
