//! Millpond's own operations, below `/_millpond/`: what no operation of AWS tells. Few, and for the `millpond` command.
//!
//! They are requests like any other (SigV4, for the service `millpond`), with a JSON object in both bodies. Where AWS has an operation (crawls,
//! job runs, queries, tables), there is none here.

use crate::router::Context;
use crate::server::Own;
use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use millpond_core::error::ErrorKind;
use millpond_services::lake::{Lake, ledger, objects};
use millpond_services::sns::Sns;
use millpond_store::task::{self, Load};
use millpond_store::{StoreError, committed_seq};
use millpond_wire::WireError;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rows of one answer at the most.
const LIMIT_MAX: u64 = 1000;

/// `idle` waits no longer than this.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Faults of one sort that the doctor tells at the most.
const FAULTS_MAX: usize = 20;

/// What a flow's operation failed with.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct FlowError {
    /// For people.
    pub message: String,
    /// What the caller can do.
    pub kind: ErrorKind,
}

/// The lake's flows: the binary's, since they are made of all services.
#[async_trait]
pub trait Flows: Send + Sync {
    /// All of them: `{"flows": […]}`.
    async fn list(&self) -> Result<Value, FlowError>;
    /// Adds or changes one.
    async fn put(&self, flow: Value) -> Result<Value, FlowError>;
    /// Removes one's parts.
    async fn remove(&self, name: &str) -> Result<(), FlowError>;
    /// Starts one's crawler.
    async fn run(&self, name: &str) -> Result<(), FlowError>;
}

/// The operations.
pub struct Admin {
    /// The lake.
    pub lake: Lake,
    /// For the mailbox.
    pub sns: Sns,
    /// The flows.
    pub flows: Arc<dyn Flows>,
    /// Where clients reach it.
    pub endpoint: String,
    /// Of the program.
    pub version: &'static str,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

#[async_trait]
impl Own for Admin {
    async fn call(&self, _context: Context, path: &str, body: Bytes) -> Result<Value, WireError> {
        let input: Value = match body.is_empty() {
            true => json!({}),
            false => serde_json::from_slice(&body).map_err(|error| invalid(format!("the body is not JSON: {error}")))?,
        };
        match path {
            "status" => self.status().await,
            "idle" => self.idle(&input).await,
            "mail/list" => self.mails(&input).await,
            "mail/show" => self.mail(&input).await,
            "dead-letters/list" => self.dead_letters(&input).await,
            "dead-letters/retry" => self.retry(&input).await,
            "runs/files" => self.run_files(&input).await,
            "doctor" => self.examine().await,
            "flows/list" => self.flows.list().await.map_err(of_flow),
            "flows/put" => self.flows.put(input["flow"].clone()).await.map_err(of_flow),
            "flows/remove" => self.flows.remove(text(&input, "name")?).await.map(|()| json!({})).map_err(of_flow),
            "flows/run" => self.flows.run(text(&input, "name")?).await.map(|()| json!({})).map_err(of_flow),
            other => Err(invalid(format!("there is no operation '/_millpond/{other}'"))),
        }
    }
}

impl Admin {
    async fn load(&self) -> Result<Load, WireError> {
        let now_ms = self.lake.store.env().now_ms();
        self.lake.store.read(move |connection| task::load(connection, now_ms)).await.map_err(of_store)
    }

    async fn status(&self) -> Result<Value, WireError> {
        let load = self.load().await?;
        let seq = self.lake.store.read(committed_seq).await.map_err(of_store)?;
        Ok(json!({
            "version": self.version,
            "pid": std::process::id(),
            "directory": self.lake.store.directory(),
            "endpoint": self.endpoint,
            "account": self.lake.place.account,
            "region": self.lake.place.region,
            "seq": seq,
            "load": load,
        }))
    }

    /// Waits until nothing is left to do, `wait_ms` at the most, and answers what is.
    async fn idle(&self, input: &Value) -> Result<Value, WireError> {
        let wait = Duration::from_millis(input["wait_ms"].as_u64().unwrap_or(0)).min(WAIT_MAX);
        let started = Instant::now();
        let (mut tasks, mut events) = (self.lake.store.task_changes(), self.lake.store.outbox_changes());
        loop {
            tasks.mark_unchanged();
            events.mark_unchanged();
            let load = self.load().await?;
            let left = wait.saturating_sub(started.elapsed());
            if load.is_idle() || left.is_zero() {
                let mut state = serde_json::to_value(load).unwrap_or_default();
                state["idle"] = json!(load.is_idle());
                return Ok(state);
            }
            // The end of a task without a key wakes nobody, hence the pause.
            tokio::select! {
                _ = tasks.changed() => {}
                _ = events.changed() => {}
                () = tokio::time::sleep(left.min(Duration::from_millis(20))) => {}
            }
        }
    }

    async fn mails(&self, input: &Value) -> Result<Value, WireError> {
        let before = input["before"].as_i64().unwrap_or(i64::MAX);
        let mails = self.sns.mailbox_list(before, limit(input)).await.map_err(|error| internal(&error))?;
        let head = |mail: &millpond_services::sns::Mail| {
            json!({ "id": mail.id, "time_ms": mail.time_ms, "from": mail.from, "to": mail.to, "subject": mail.subject })
        };
        Ok(json!({ "messages": mails.iter().map(head).collect::<Vec<_>>() }))
    }

    async fn mail(&self, input: &Value) -> Result<Value, WireError> {
        let id = number(input, "id")?;
        let mail = self.sns.mailbox_get(id).await.map_err(|error| internal(&error))?;
        let mail = mail.ok_or_else(|| missing(format!("there is no message {id}; `millpond mail` lists them")))?;
        let (from, to, subject, body) = (mail.from, mail.to, mail.subject, mail.body);
        Ok(json!({ "id": mail.id, "time_ms": mail.time_ms, "from": from, "to": to, "subject": subject, "body": body }))
    }

    async fn dead_letters(&self, input: &Value) -> Result<Value, WireError> {
        let limit = limit(input);
        let dead = self.lake.store.read(move |connection| task::dead_letters(connection, limit)).await.map_err(of_store)?;
        let tasks: Vec<Value> = dead
            .into_iter()
            .map(|task| {
                let (kind, key, reason, payload) = (task.kind, task.key, task.reason, task.payload);
                json!({ "id": task.id, "kind": kind, "key": key, "reason": reason, "payload": payload, "changed_ms": task.changed_ms })
            })
            .collect();
        Ok(json!({ "tasks": tasks }))
    }

    async fn retry(&self, input: &Value) -> Result<Value, WireError> {
        let id = number(input, "id")?;
        match self.lake.store.write(move |tx| tx.revive_task(id)).await.map_err(of_store)? {
            true => Ok(json!({})),
            false => Err(missing(format!("no task {id} was given up; `millpond runs dead` lists those that were"))),
        }
    }

    /// The ledger's entries of a job run.
    async fn run_files(&self, input: &Value) -> Result<Value, WireError> {
        let run = text(input, "id")?.to_owned();
        let (after, limit) = (input["after"].as_i64().unwrap_or(0), limit(input));
        let faults = input["faults"].as_bool().unwrap_or(false);
        let look = move |connection: &_| ledger::entries(connection, &run, after, limit, faults);
        let entries = self.lake.store.read(look).await.map_err(of_store)?;
        let files = entries.into_iter().map(|listed| {
            let entry = listed.entry;
            json!({
                "id": listed.id,
                "uri": format!("s3://{}/{}", entry.bucket, entry.key),
                "etag": entry.etag,
                "size": entry.size,
                "rows_in": entry.rows_in,
                "rows_out": entry.rows_out,
                "rows_quarantined": entry.rows_quarantined,
                "fault": entry.error,
            })
        });
        Ok(json!({ "files": files.collect::<Vec<_>>() }))
    }

    /// Looks at everything that could be wrong with the directory.
    async fn examine(&self) -> Result<Value, WireError> {
        let (mut notes, mut problems) = (Vec::new(), Vec::new());
        let pages = self.lake.store.check().await.map_err(of_store)?;
        match pages.is_empty() {
            true => notes.push("the database's pages are sound (quick_check)".to_owned()),
            false => problems.extend(pages.into_iter().take(FAULTS_MAX).map(|line| {
                format!("the database is damaged: {line}; restore it from a backup, or salvage it with `sqlite3 lake.sqlite3 .recover`")
            })),
        }
        let blobs = self.lake.store.blobs().clone();
        let faults = tokio::task::spawn_blocking(move || blobs.faults(FAULTS_MAX)).await;
        let faults = faults.map_err(|error| internal(&error))?.map_err(of_store)?;
        let nameless = self.lake.store.read(|connection| objects::dangling(connection, FAULTS_MAX)).await.map_err(of_store)?;
        if faults.is_empty() && nameless.is_empty() {
            notes.push("the bytes of every object are there, with the size that was written".to_owned());
        }
        problems.extend(faults.into_iter().map(|fault| format!("bytes are missing or damaged: {fault}; put the object again")));
        problems.extend(nameless.into_iter().map(|uri| format!("{uri} has a row but no bytes; put it again, or delete it")));
        let collected = self.lake.store.collect(None).await.map_err(of_store)?;
        if collected.orphans + collected.released > 0 {
            let (files, bytes) = (collected.orphans + collected.released, collected.bytes);
            notes.push(format!("{files} blobs that nothing refers to were removed ({bytes} bytes)"));
        }
        let load = self.load().await?;
        if load.dead > 0 {
            problems.push(format!("{} tasks were given up: `millpond runs dead` tells why", load.dead));
        }
        notes.push(format!("{} events and {} tasks are to be worked on, {} later", load.events, load.waiting + load.running, load.later));
        Ok(json!({ "notes": notes, "problems": problems }))
    }
}

fn limit(input: &Value) -> usize {
    input["limit"].as_u64().unwrap_or(50).clamp(1, LIMIT_MAX) as usize
}

fn number(input: &Value, name: &str) -> Result<i64, WireError> {
    input[name].as_i64().ok_or_else(|| invalid(format!("'{name}' must be a number")))
}

fn text<'a>(input: &'a Value, name: &str) -> Result<&'a str, WireError> {
    input[name].as_str().ok_or_else(|| invalid(format!("'{name}' must be a text")))
}

fn invalid(message: impl Into<String>) -> WireError {
    WireError::sender(StatusCode::BAD_REQUEST, "InvalidRequest", message)
}

fn missing(message: impl Into<String>) -> WireError {
    WireError::sender(StatusCode::NOT_FOUND, "NotFound", message)
}

fn internal(error: &dyn std::fmt::Display) -> WireError {
    tracing::error!(%error, "an operation of Millpond's own failed");
    WireError::sender(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", error.to_string())
}

fn of_store(error: StoreError) -> WireError {
    internal(&error)
}

fn of_flow(error: FlowError) -> WireError {
    match error.kind {
        ErrorKind::Missing => missing(error.message),
        ErrorKind::Bug => internal(&error),
        _ => invalid(error.message),
    }
}
