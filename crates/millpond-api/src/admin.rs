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
use millpond_services::athena::{Athena, Cost, PRIMARY};
use millpond_services::events::{Events, Rule};
use millpond_services::glue::Glue;
use millpond_services::glue::crawler::history::{Comparison, Field, Filter};
use millpond_services::lake::Lake;
use millpond_services::runtime::delivery::{Undelivered, undelivered};
use millpond_services::sns::{Mail, Sns};
use millpond_wire::WireError;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Rows of one answer at the most.
const LIMIT_MAX: u64 = 1000;

/// `idle` waits no longer than this.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Tasks under way that `idle` tells at the most.
const RUNNING_MAX: usize = 5;

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
    /// For what crawls noted.
    pub glue: Glue,
    /// For the rules.
    pub events: Events,
    /// For the mailbox.
    pub sns: Sns,
    /// For what queries cost.
    pub athena: Athena,
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
    async fn call(&self, _context: Context, path: &str, body: Bytes) -> Result<Bytes, WireError> {
        let input: Value = match body.is_empty() {
            true => json!({}),
            false => serde_json::from_slice(&body).map_err(|error| invalid(format!("the body is not JSON: {error}")))?,
        };
        let answer = match path {
            "status" => self.status().await,
            "idle" => self.idle(&input).await,
            "mail/list" => self.mails(&input).await,
            "mail/show" => self.mail(&input).await,
            "rules/list" => self.rules().await,
            "dead-letters/list" => self.dead_letters(&input).await,
            "dead-letters/retry" => self.retry(&input).await,
            "runs/files" => self.run_files(&input).await,
            "runs/log" => self.crawl_log(&input).await,
            "queries/costs" => self.costs(&input).await,
            "queries/usage" => self.usage(&input).await,
            "doctor" => self.lake.examine().await.map(|found| json!(found)).map_err(internal),
            "flows/list" => self.flows.list().await.map_err(of_flow),
            "flows/put" => self.flows.put(input["flow"].clone()).await.map_err(of_flow),
            "flows/remove" => self.flows.remove(text(&input, "name")?).await.map(|()| json!({})).map_err(of_flow),
            "flows/run" => self.flows.run(text(&input, "name")?).await.map(|()| json!({})).map_err(of_flow),
            other => Err(invalid(format!("there is no operation '/_millpond/{other}'"))),
        };
        Ok(answer?.to_string().into())
    }
}

impl Admin {
    async fn status(&self) -> Result<Value, WireError> {
        let load = self.lake.load().await.map_err(internal)?;
        Ok(json!({
            "version": self.version,
            "pid": std::process::id(),
            "directory": self.lake.store.directory(),
            "endpoint": self.endpoint,
            "account": self.lake.place.account,
            "region": self.lake.place.region,
            "seq": self.lake.seq().await.map_err(internal)?,
            "load": load,
        }))
    }

    /// Waits until nothing is left to do, `wait_ms` at the most, and answers what is.
    async fn idle(&self, input: &Value) -> Result<Value, WireError> {
        let wait = Duration::from_millis(input["wait_ms"].as_u64().unwrap_or(0)).min(WAIT_MAX);
        let load = self.lake.settled(wait).await.map_err(internal)?;
        let mut state = json!(load);
        state["idle"] = json!(load.is_idle());
        let doing = self.lake.running(RUNNING_MAX).await.map_err(internal)?;
        state["doing"] = doing.into_iter().map(|(kind, key)| json!({ "kind": kind, "key": key })).collect();
        Ok(state)
    }

    /// What queries cost at AWS's price, and what they were spared.
    async fn costs(&self, input: &Value) -> Result<Value, WireError> {
        let ids = input["ids"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let (found, _) = self.athena.executions(ids.take(LIMIT_MAX as usize).collect()).await.map_err(internal)?;
        let costs = found.iter().map(|execution| (execution.id.clone(), json!(Cost::of(execution))));
        Ok(json!({ "costs": costs.collect::<serde_json::Map<_, _>>() }))
    }

    /// What a workgroup's queries since `since_ms` came to.
    async fn usage(&self, input: &Value) -> Result<Value, WireError> {
        let workgroup = input["workgroup"].as_str().unwrap_or(PRIMARY).to_owned();
        let usage = self.athena.usage(workgroup, input["since_ms"].as_i64().unwrap_or_default()).await;
        usage.map(|usage| json!(usage)).map_err(|error| match error.kind() {
            ErrorKind::Bug | ErrorKind::Retry => internal(error),
            _ => invalid(error.to_string()),
        })
    }

    async fn mails(&self, input: &Value) -> Result<Value, WireError> {
        let before = input["before"].as_i64().unwrap_or(i64::MAX);
        let mails = self.sns.mailbox_list(before, limit(input)).await.map_err(internal)?;
        let head = |mail: &Mail| json!({ "id": mail.id, "time_ms": mail.time_ms, "from": mail.from, "to": mail.to, "subject": mail.subject });
        Ok(json!({ "messages": mails.iter().map(head).collect::<Vec<_>>() }))
    }

    async fn mail(&self, input: &Value) -> Result<Value, WireError> {
        let id = number(input, "id")?;
        let mail = self.sns.mailbox_get(id).await.map_err(internal)?;
        let mail = mail.ok_or_else(|| missing(format!("there is no message {id}; `millpond mail` lists them")))?;
        let Mail { id, time_ms, message_id, from, to, subject, body } = mail;
        Ok(json!({
            "id": id, "time_ms": time_ms, "message_id": message_id, "from": from, "to": to, "subject": subject, "body": body,
        }))
    }

    /// The rules with what they could not deliver, and what others (buckets, topics, functions) could not.
    async fn rules(&self) -> Result<Value, WireError> {
        let rules = self.events.all_rules().await.map_err(internal)?;
        let found = self.lake.store.read(|connection| undelivered(connection, LIMIT_MAX as usize)).await.map_err(internal)?;
        let is_of_rule = |failed: &Undelivered| rules.iter().any(|(rule, _)| rule.arn == failed.source);
        let others: Vec<_> = found.iter().filter(|failed| !is_of_rule(failed)).collect();
        let shown = rules.iter().map(|(Rule { arn, bus, spec }, targets)| {
            json!({
                "rule": arn,
                "bus": bus,
                "name": spec.name,
                "enabled": spec.state.is_enabled(),
                "pattern": spec.pattern,
                "schedule": spec.schedule,
                "targets": targets,
                "failures": found.iter().filter(|failed| failed.source == *arn).collect::<Vec<_>>(),
            })
        });
        Ok(json!({ "rules": shown.collect::<Vec<_>>(), "others": others }))
    }

    async fn dead_letters(&self, input: &Value) -> Result<Value, WireError> {
        let dead = self.lake.dead_letters(limit(input)).await.map_err(internal)?;
        let tasks = dead.into_iter().map(|task| {
            json!({
                "id": task.id,
                "kind": task.kind,
                "key": task.key,
                "reason": task.reason,
                "payload": task.payload,
                "changed_ms": task.changed_ms,
            })
        });
        Ok(json!({ "tasks": tasks.collect::<Vec<_>>() }))
    }

    async fn retry(&self, input: &Value) -> Result<Value, WireError> {
        let id = number(input, "id")?;
        match self.lake.retry(id).await.map_err(internal)? {
            true => Ok(json!({})),
            false => Err(missing(format!("no task {id} was given up; `millpond runs dead` lists those that were"))),
        }
    }

    /// The ledger's entries of a job run.
    async fn run_files(&self, input: &Value) -> Result<Value, WireError> {
        let run = text(input, "id")?.to_owned();
        let (after, faults) = (input["after"].as_i64().unwrap_or(0), input["faults"].as_bool().unwrap_or(false));
        let entries = self.lake.contributions(run, after, limit(input), faults).await.map_err(internal)?;
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

    /// What a crawl noted.
    async fn crawl_log(&self, input: &Value) -> Result<Value, WireError> {
        let (crawler, id) = (text(input, "name")?.to_owned(), text(input, "id")?.to_owned());
        let this = Filter { field: Field::CrawlId, comparison: Comparison::Eq, value: id.clone() };
        let found = self.glue.crawls(crawler, vec![this], None, 1).await;
        let found = found.map_err(|error| missing(error.to_string()))?.items.pop();
        found.map(|crawl| json!({ "log": crawl.log })).ok_or_else(|| missing(format!("there is no crawl {id}")))
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

fn internal(error: impl std::fmt::Display) -> WireError {
    tracing::error!(%error, "an operation of Millpond's own failed");
    WireError::sender(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", error.to_string())
}

fn of_flow(error: FlowError) -> WireError {
    match error.kind {
        ErrorKind::Missing => missing(error.message),
        ErrorKind::Bug => internal(&error),
        _ => invalid(error.message),
    }
}
