//! From a verified request to the handler of its operation.
//!
//! What is implemented is what is registered here, and nothing else says so: the coverage table is computed from it.
//! A call is decoded, brought to the [`Authorizer`] and to the barrier of staged changes, handled, encoded; nothing can be registered that skips a
//! step.

use crate::authorize::{Authorizer, WholeAccount};
use crate::caller::Caller;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::Response;
use http::request::Parts;
use millpond_wire::{Operation, Protocol, Request, Service, Spoken, WireError};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Who asks, and from where: what a handler may need to know of a request besides its input.
#[derive(Debug, Clone)]
pub struct Context {
    /// The lake's account: twelve digits.
    pub account: String,
    /// The lake's region.
    pub region: String,
    /// Who asks.
    pub principal: Caller,
    /// The caller's address.
    pub source_ip: String,
    /// The request's id, as the answer carries it.
    pub request_id: String,
    /// The time of the request, in milliseconds since the epoch.
    pub now_ms: i64,
    /// Where this lake answers, for example `http://127.0.0.1:4566`.
    pub endpoint: String,
    /// The host (and port) by which the caller reached it; part of what was signed, where the request was signed.
    pub host: Option<String>,
}

impl Context {
    /// How this caller reaches the lake: `http://HOST`, or the lake's endpoint where the request names no host.
    #[must_use]
    pub fn base_url(&self) -> String {
        match &self.host {
            Some(host) => format!("http://{host}"),
            None => self.endpoint.clone(),
        }
    }
}

/// Where a request came from. The server puts it into the extensions of requests that S3 answers.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The caller's address.
    pub source_ip: String,
    /// The request's id, as the answer carries it.
    pub request_id: String,
}

/// A request to an operation, as the protocols read it.
#[derive(Debug)]
pub struct Call {
    /// The protocol that it speaks.
    pub protocol: Protocol,
    /// Its head; a call from within the process has none.
    pub parts: Option<Parts>,
    /// Its whole body.
    pub body: Bytes,
    /// Its share of the memory that bodies may take, until it is decoded.
    pub share: Option<OwnedSemaphorePermit>,
}

/// Bodies from this size on are decoded off the async threads.
pub(crate) const LARGE_BYTES: usize = 512 * 1024;

impl Call {
    fn request(&self) -> Request<'_> {
        let uri = self.parts.as_ref().map(|parts| &parts.uri);
        Request {
            protocol: self.protocol,
            path: uri.map_or("/", |uri| uri.path()),
            query: uri.and_then(|uri| uri.query()).unwrap_or_default(),
            headers: self.parts.as_ref().map(|parts| &parts.headers),
            body: &self.body,
        }
    }

    /// The input, and the resources that it names.
    fn decode<O: Operation>(&self, context: &Context) -> Result<(Vec<String>, O::Input), WireError> {
        let decoded = millpond_wire::read::<O>(&self.request())?;
        let resources = decoded.resources(O::RESOURCE, &context.account, &context.region);
        Ok((resources, decoded.into_input::<O>(self.protocol)?))
    }
}

/// A request to a public path.
#[derive(Debug)]
pub struct Visit {
    /// The path.
    pub path: String,
    /// The query string; empty where there is none.
    pub query: String,
    /// The caller's address.
    pub source_ip: String,
}

type Handler = Arc<dyn Fn(Arc<dyn Authorizer>, Context, Call) -> BoxFuture<'static, Answer> + Send + Sync>;
type Answer = Result<Response<Bytes>, WireError>;
type Public = Arc<dyn Fn(Visit) -> BoxFuture<'static, Response<Bytes>> + Send + Sync>;

/// The operations that are implemented, with their handlers.
#[derive(Clone)]
pub struct Router {
    handlers: BTreeMap<(&'static str, &'static str), Handler>,
    public: Vec<(&'static str, Public)>,
    authorizer: Arc<dyn Authorizer>,
}

impl Default for Router {
    fn default() -> Self {
        Self::new(Arc::new(WholeAccount))
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.handlers.keys()).finish()
    }
}

impl Router {
    /// A router without operations, whose calls all come before the authorizer.
    #[must_use]
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { handlers: BTreeMap::new(), public: Vec::new(), authorizer }
    }

    /// Registers operations of one service over its state.
    pub fn service<S: Clone + Send + Sync + 'static>(&mut self, state: S) -> Routes<'_, S> {
        Routes { router: self, state }
    }

    /// Registers what anybody may GET below a prefix, without a signature: nothing that is secret, and nothing that costs. The prefix must
    /// begin with what no bucket's name can (an upper-case letter, say), since it is taken before S3.
    pub fn public<F>(&mut self, prefix: &'static str, handler: F)
    where
        F: Fn(Visit) -> BoxFuture<'static, Response<Bytes>> + Send + Sync + 'static,
    {
        self.public.push((prefix, Arc::new(handler)));
    }

    /// Answers a visit to a public path; `None` where there is none.
    pub fn visit(&self, visit: Visit) -> Option<BoxFuture<'static, Response<Bytes>>> {
        let (_, handler) = self.public.iter().find(|(prefix, _)| visit.path.starts_with(prefix))?;
        Some(handler(visit))
    }

    /// Whether the path is a public one.
    #[must_use]
    pub fn is_public(&self, path: &str) -> bool {
        self.public.iter().any(|(prefix, _)| path.starts_with(prefix))
    }

    /// Who decides whether a caller may.
    #[must_use]
    pub fn authorizer(&self) -> &Arc<dyn Authorizer> {
        &self.authorizer
    }

    /// The (service, operation) pairs that are implemented.
    pub fn implemented(&self) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
        self.handlers.keys().copied()
    }

    /// Whether the operation is implemented.
    #[must_use]
    pub fn has(&self, service: &'static Service, operation: &'static str) -> bool {
        self.handlers.contains_key(&(service.name, operation))
    }

    /// Calls an operation from within the process: with a body in the service's own protocol.
    ///
    /// # Errors
    /// As [`Router::answer`].
    pub async fn call(&self, service: &'static Service, operation: &'static str, context: Context, body: Bytes) -> Answer {
        let call = Call { protocol: service.protocol, parts: None, body, share: None };
        self.answer(service.into(), operation, context, call).await
    }

    /// Decodes a verified request, authorises it, calls the handler, encodes its answer.
    ///
    /// # Errors
    /// Where the input breaks the model's constraints, where the operation is not implemented, where the caller may not, and what the
    /// handler answers.
    pub async fn answer(&self, spoken: Spoken, operation: &'static str, context: Context, call: Call) -> Answer {
        match self.handlers.get(&(spoken.service.name, operation)) {
            Some(handler) => handler(self.authorizer.clone(), context, call).await,
            None => Err(WireError::not_implemented(spoken.service, operation)),
        }
    }
}

/// Registers operations over a state that each handler gets a clone of.
pub struct Routes<'a, S> {
    router: &'a mut Router,
    state: S,
}

impl<S: Clone + Send + Sync + 'static> Routes<'_, S> {
    /// Registers `handler` for an operation: `.on(glue::CreateTable, create_table)` where
    /// `async fn create_table(state: S, context: Context, input: CreateTableInput) -> Result<CreateTableOutput, WireError>`.
    pub fn on<O, F, R>(self, _operation: O, handler: F) -> Self
    where
        O: Operation,
        F: Fn(S, Context, O::Input) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O::Output, WireError>> + Send + 'static,
    {
        let state = self.state.clone();
        let handler = Arc::new(handler);
        let run: Handler = Arc::new(move |authorizer, context, call| {
            let (state, handler) = (state.clone(), handler.clone());
            Box::pin(async move {
                let protocol = call.protocol;
                let (resources, input) = decoded::<O>(call, &context).await?;
                for resource in &resources {
                    authorizer.authorize(&context, O::ACTION, resource)?;
                }
                crate::barrier::pass(&context, O::SERVICE.name, O::NAME).await?;
                let request_id = context.request_id.clone();
                let output = handler(state, context, input).await?;
                Ok(millpond_wire::write::<O>(&output, protocol, &request_id))
            })
        });
        self.router.handlers.insert((O::SERVICE.name, O::NAME), run);
        self
    }
}

/// Decodes a call: a large one where it holds up nobody.
async fn decoded<O: Operation>(call: Call, context: &Context) -> Result<(Vec<String>, O::Input), WireError> {
    if call.body.len() < LARGE_BYTES {
        return call.decode::<O>(context);
    }
    let request_id = context.request_id.clone();
    let context = context.clone();
    let decoding = tokio::task::spawn_blocking(move || call.decode::<O>(&context));
    decoding.await.unwrap_or_else(|error| {
        tracing::error!(%error, operation = O::NAME, "a large request could not be decoded");
        Err(WireError::internal(&request_id))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use millpond_wire::{glue, lambda, sqs};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Writes down what it is asked, and denies where it is told to.
    #[derive(Default)]
    struct Recorder {
        asked: Mutex<Vec<(String, String)>>,
        denied: Option<&'static str>,
    }

    impl Authorizer for Recorder {
        fn authorize(&self, _: &Context, action: &'static str, resource: &str) -> Result<(), WireError> {
            self.asked.lock().unwrap().push((action.to_owned(), resource.to_owned()));
            match self.denied.is_some_and(|denied| resource.ends_with(denied)) {
                true => Err(WireError::sender(StatusCode::FORBIDDEN, "AccessDeniedException", "no")),
                false => Ok(()),
            }
        }
    }

    fn context() -> Context {
        Context {
            account: "000000000000".into(),
            region: "us-east-1".into(),
            principal: Caller::root("000000000000", "AK"),
            source_ip: "127.0.0.1".into(),
            request_id: "r".into(),
            now_ms: 0,
            endpoint: "http://127.0.0.1:4566".into(),
            host: Some("lake:4566".into()),
        }
    }

    /// A router over a count of the calls that reached a handler.
    fn router(recorder: &Arc<Recorder>) -> (Router, Arc<AtomicUsize>) {
        let mut router = Router::new(recorder.clone());
        let calls = Arc::new(AtomicUsize::new(0));
        router
            .service(calls.clone())
            .on(glue::BatchGetCrawlers, |calls: Arc<AtomicUsize>, _, _| async move {
                calls.fetch_add(1, Ordering::Relaxed);
                Ok(glue::BatchGetCrawlersOutput::default())
            })
            .on(sqs::SendMessage, |calls: Arc<AtomicUsize>, context: Context, input: sqs::SendMessageInput| async move {
                calls.fetch_add(1, Ordering::Relaxed);
                assert_eq!(context.base_url(), "http://lake:4566");
                Ok(sqs::SendMessageOutput { message_id: Some(input.message_body), ..Default::default() })
            })
            .on(lambda::Invoke, |calls: Arc<AtomicUsize>, _, input: lambda::InvokeInput| async move {
                calls.fetch_add(1, Ordering::Relaxed);
                Ok(lambda::InvokeOutput { payload: input.payload, ..Default::default() })
            });
        (router, calls)
    }

    fn call(spoken: Spoken, uri: &str, body: &str) -> Call {
        let parts = http::Request::post(uri).body(()).unwrap().into_parts().0;
        Call { protocol: spoken.protocol, parts: Some(parts), body: Bytes::copy_from_slice(body.as_bytes()), share: None }
    }

    #[tokio::test]
    async fn every_call_comes_before_the_authorizer_with_its_action_and_resources() {
        let recorder = Arc::new(Recorder::default());
        let (router, calls) = router(&recorder);
        let glue = Spoken::from(&glue::SERVICE);
        let crawlers = call(glue, "/", r#"{"CrawlerNames":["b","a","b"]}"#);
        router.answer(glue, "BatchGetCrawlers", context(), crawlers).await.unwrap();
        let query = Spoken { service: &sqs::SERVICE, protocol: sqs::SERVICE.query_protocol().unwrap() };
        let send = call(query, "/000000000000/q", "Action=SendMessage&MessageBody=hello");
        let answer = router.answer(query, "SendMessage", context(), send).await.unwrap();
        assert!(std::str::from_utf8(answer.body()).unwrap().contains("<MessageId>hello</MessageId>"));
        let rest = Spoken::from(&lambda::SERVICE);
        let invoke = call(rest, "/2015-03-31/functions/f/invocations", "\"payload\"");
        let answer = router.answer(rest, "Invoke", context(), invoke).await.unwrap();
        assert_eq!(&answer.body()[..], b"\"payload\"");
        let asked: Vec<_> = recorder.asked.lock().unwrap().clone();
        let asked: Vec<_> = asked.iter().map(|(action, resource)| (action.as_str(), resource.as_str())).collect();
        assert_eq!(
            asked,
            [
                ("glue:BatchGetCrawlers", "arn:aws:glue:us-east-1:000000000000:crawler/a"),
                ("glue:BatchGetCrawlers", "arn:aws:glue:us-east-1:000000000000:crawler/b"),
                ("sqs:SendMessage", "arn:aws:sqs:us-east-1:000000000000:q"),
                ("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:000000000000:function:f"),
            ]
        );
        assert_eq!(calls.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn what_is_denied_for_one_resource_does_not_reach_its_handler() {
        let recorder = Arc::new(Recorder { denied: Some("crawler/b"), ..Default::default() });
        let (router, calls) = router(&recorder);
        let body = Bytes::from_static(br#"{"CrawlerNames":["a","b","c"]}"#);
        let error = router.call(&glue::SERVICE, "BatchGetCrawlers", context(), body).await.unwrap_err();
        assert_eq!((error.status, &*error.code), (StatusCode::FORBIDDEN, "AccessDeniedException"));
        assert_eq!((calls.load(Ordering::Relaxed), recorder.asked.lock().unwrap().len()), (0, 2));
        // What is wrong in itself, or not there, is not even asked for.
        let wrong = router.call(&glue::SERVICE, "BatchGetCrawlers", context(), Bytes::from_static(b"{}")).await.unwrap_err();
        assert_eq!(wrong.code, "ValidationException");
        let missing = router.call(&glue::SERVICE, "GetCrawler", context(), Bytes::from_static(b"{}")).await.unwrap_err();
        assert_eq!(missing.status, StatusCode::NOT_IMPLEMENTED);
        assert_eq!(recorder.asked.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_large_call_is_decoded_like_a_small_one() {
        let recorder = Arc::new(Recorder::default());
        let (router, _) = router(&recorder);
        let rest = Spoken::from(&lambda::SERVICE);
        let payload = "x".repeat(LARGE_BYTES + 1);
        let invoke = call(rest, "/2015-03-31/functions/f/invocations", &payload);
        let answer = router.answer(rest, "Invoke", context(), invoke).await.unwrap();
        assert_eq!(answer.body().len(), payload.len());
    }

    #[tokio::test]
    async fn a_public_path_is_found_by_its_prefix() {
        let mut router = Router::default();
        router.public("/Certificate-", |visit: Visit| Box::pin(async move { Response::new(Bytes::from(visit.path)) }));
        let visit = |path: &str| Visit { path: path.into(), query: String::new(), source_ip: String::new() };
        assert!(router.is_public("/Certificate-1.pem") && !router.is_public("/certificate-1.pem"));
        assert!(router.visit(visit("/bucket/key")).is_none());
        let answer = router.visit(visit("/Certificate-1.pem")).unwrap().await;
        assert_eq!(&answer.body()[..], b"/Certificate-1.pem");
    }
}
