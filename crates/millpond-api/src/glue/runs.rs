//! The run API, below `/_glue/run/`: what the process of a script asks and tells of its own run (AWS's workers have ways of their own for that).
//!
//! Requests are signed for Glue with the session that was made for the run; that session's claim says which run is meant, so no run can touch another.
//! Bodies and answers are JSON objects; an error is `{"__type": …, "message": …}`, as with AWS's JSON protocols.

use super::error::wire;
use crate::router::Context;
use crate::server::Own;
use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use millpond_services::glue::Glue;
use millpond_wire::WireError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The operations of a run.
#[derive(Debug, Clone)]
pub struct OwnRuns {
    glue: Glue,
}

impl OwnRuns {
    /// Over the service.
    #[must_use]
    pub fn new(glue: Glue) -> Self {
        Self { glue }
    }
}

#[async_trait]
impl Own for OwnRuns {
    async fn call(&self, context: Context, operation: &str, body: Bytes) -> Result<Value, WireError> {
        let claimed = context.principal.acting.as_ref().and_then(|acting| acting.session.job_run.clone());
        let run = claimed.ok_or_else(|| {
            let message = "Only the session of a job run can ask for its run.";
            WireError::sender(StatusCode::FORBIDDEN, "AccessDeniedException", message)
        })?;
        let (glue, nothing) = (&self.glue, json!({}));
        match operation {
            "Describe" => answer(&context, &glue.describe_own_run(run).await.map_err(wire)?),
            "Source" => answer(&context, &glue.read_source(run, request(&body)?).await.map_err(wire)?),
            "Commit" => glue.commit_own_run(run).await.map_err(wire).map(|()| nothing),
            "LoadItems" => glue.load_own_items(run, request(&body)?).await.map_err(wire).map(|()| nothing),
            "UpdateTable" => glue.update_own_table(run, request(&body)?).await.map_err(wire).map(|()| nothing),
            "Fail" => glue.fail_own_run(run, request(&body)?).await.map_err(wire).map(|()| nothing),
            other => Err(invalid(format!("There is no operation '/_glue/run/{other}'."))),
        }
    }
}

fn request<T: DeserializeOwned>(body: &[u8]) -> Result<T, WireError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| invalid(format!("The request cannot be read: {error}.")))
}

fn answer(context: &Context, of: &impl Serialize) -> Result<Value, WireError> {
    serde_json::to_value(of).map_err(|error| {
        tracing::error!(%error, "an answer of the run API cannot be written");
        WireError::internal(&context.request_id)
    })
}

fn invalid(message: String) -> WireError {
    WireError::sender(StatusCode::BAD_REQUEST, "InvalidInputException", message)
}
