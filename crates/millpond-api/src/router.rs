//! From a verified request to the handler of its operation.
//!
//! What is implemented is what is registered here, and nothing else says so: the coverage table is computed from it.

use bytes::Bytes;
use futures::future::BoxFuture;
use http::Response;
use millpond_wire::{Operation, Service, WireError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who asks, and from where: what a handler may need to know of a request besides its input.
#[derive(Debug, Clone)]
pub struct Context {
    /// The access key that signed the request.
    pub access_key: String,
    /// Twelve digits.
    pub account: String,
    /// The caller's ARN.
    pub principal: String,
    /// The caller's address.
    pub source_ip: String,
    /// The request's id, as the answer carries it.
    pub request_id: String,
    /// The time of the request, in milliseconds since the epoch.
    pub now_ms: i64,
    /// Where this lake answers, for example `http://127.0.0.1:4566`.
    pub endpoint: String,
}

/// Where a request came from. The server puts it into the extensions of requests that S3 answers.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The caller's address.
    pub source_ip: String,
    /// The request's id, as the answer carries it.
    pub request_id: String,
}

type Handler = Arc<dyn Fn(Context, Bytes) -> BoxFuture<'static, Result<Response<Bytes>, WireError>> + Send + Sync>;

/// The operations that are implemented, with their handlers.
#[derive(Default, Clone)]
pub struct Router {
    handlers: BTreeMap<(&'static str, &'static str), Handler>,
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.handlers.keys()).finish()
    }
}

impl Router {
    /// Registers operations of one service over its state.
    pub fn service<S: Clone + Send + Sync + 'static>(&mut self, state: S) -> Routes<'_, S> {
        Routes { router: self, state }
    }

    /// The (service, operation) pairs that are implemented.
    pub fn implemented(&self) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
        self.handlers.keys().copied()
    }

    /// Decodes the body, calls the handler, encodes its answer.
    ///
    /// # Errors
    /// Where the input breaks the model's constraints, where the operation is not implemented, and what the handler answers.
    pub async fn call(
        &self,
        service: &'static Service,
        operation: &'static str,
        context: Context,
        body: Bytes,
    ) -> Result<Response<Bytes>, WireError> {
        match self.handlers.get(&(service.name, operation)) {
            Some(handler) => handler(context, body).await,
            None => Err(WireError::not_implemented(service, operation)),
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
        let run: Handler = Arc::new(move |context, body| {
            let (state, handler) = (state.clone(), handler.clone());
            Box::pin(async move {
                let input = millpond_wire::decode::<O>(&body)?;
                let request_id = context.request_id.clone();
                let output = handler(state, context, input).await?;
                Ok(millpond_wire::encode::<O>(&output, &request_id))
            })
        });
        self.router.handlers.insert((O::SERVICE.name, O::NAME), run);
        self
    }
}
