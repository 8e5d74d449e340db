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
    async fn call(&self, context: Context, operation: &str, body: Bytes) -> Result<Bytes, WireError> {
        let claimed = context.principal.acting.as_ref().and_then(|acting| acting.session.job_run.clone());
        let run = claimed.ok_or_else(|| {
            let message = "Only the session of a job run can ask for its run.";
            WireError::sender(StatusCode::FORBIDDEN, "AccessDeniedException", message)
        })?;
        let (glue, id, nothing) = (&self.glue, context.request_id, Bytes::from_static(b"{}"));
        match operation {
            "Describe" => answer(glue.describe_own_run(run).await.map_err(wire)?, &id).await,
            "Source" => answer(glue.read_source(run, request(&body)?).await.map_err(wire)?, &id).await,
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

/// Written where it keeps nobody up: a source can have a million files.
async fn answer<T: Serialize + Send + 'static>(of: T, request_id: &str) -> Result<Bytes, WireError> {
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "an answer of the run API cannot be written");
        WireError::internal(request_id)
    };
    let written = tokio::task::spawn_blocking(move || serde_json::to_vec(&of)).await.map_err(|error| failed(&error))?;
    Ok(written.map_err(|error| failed(&error))?.into())
}

fn invalid(message: String) -> WireError {
    WireError::sender(StatusCode::BAD_REQUEST, "InvalidInputException", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::ser::Error;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    /// Is written when somebody else has gone on.
    struct Long(Mutex<Receiver<u32>>);

    impl Serialize for Long {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let heard = self.0.lock().unwrap().recv_timeout(Duration::from_secs(10));
            serializer.serialize_u32(heard.map_err(S::Error::custom)?)
        }
    }

    #[tokio::test]
    async fn others_go_on_while_a_long_answer_is_written() {
        let (told, heard) = channel();
        let others = async move { told.send(7) };
        let (answer, others) = tokio::join!(answer(Long(Mutex::new(heard)), "request"), others);
        others.unwrap();
        assert_eq!(answer.unwrap().as_ref(), b"7");
    }
}
