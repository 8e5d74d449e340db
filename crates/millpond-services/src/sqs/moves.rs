//! Message move tasks: dead letters go back to the queues that they came from, or to another one.
//!
//! A move is a row and a task of the lake. Each transaction moves a few messages and counts them, so that a crash loses none and counts none
//! twice; the next start goes on. What is in flight or delayed is left, and so is what comes after the start.

use super::queue::Queue;
use super::sql::{self, MoveRow, Place, State};
use super::{Sqs, SqsError, fifo};
use crate::lake::Lake;
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millpond_core::arn::Arn;
use millpond_core::env::EnvExt;
use millpond_store::task::{NewTask, Task};
use millpond_store::{StoreError, Tx};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Moves messages of one queue.
const MOVE: &str = "sqs.move";

const RUNNING: &str = "RUNNING";
const CANCELLING: &str = "CANCELLING";

/// Messages a second at the most that a caller can ask for.
const RATE_MAX: i32 = 500;

/// Messages that one transaction moves at the most.
const CHUNK: usize = 100;

/// Moves of one queue that are remembered.
const KEPT: usize = 10;

/// A move that was started.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// Names it.
    pub handle: String,
}

/// A move as its list shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Move {
    /// While it is running.
    pub handle: Option<String>,
    /// `RUNNING`, `COMPLETED`, `CANCELLING`, `CANCELLED`, `FAILED`
    pub status: String,
    /// The ARN of the dead-letter queue.
    pub source: String,
    /// The ARN of the queue that gets them; absent: each goes where it came from.
    pub destination: Option<String>,
    /// Messages a second.
    pub rate: Option<i32>,
    /// So far.
    pub moved: i64,
    /// As it was at the start.
    pub to_move: i64,
    /// Why it failed.
    pub failure: Option<String>,
    /// In milliseconds since the epoch.
    pub started_ms: i64,
}

/// What a handle says, in base64.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Handle {
    task_id: String,
    source_arn: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    id: i64,
}

impl Sqs {
    /// `StartMessageMoveTask`.
    pub async fn start_move(&self, source: &str, destination: Option<&str>, rate: Option<i32>) -> Result<Started, SqsError> {
        let source_name = self.resource("SourceArn", source)?;
        let destination_name = destination.map(|arn| self.resource("DestinationArn", arn)).transpose()?;
        if let Some(wrong) = rate.filter(|rate| !(1..=RATE_MAX).contains(rate)) {
            let reason = format!("Must be between 1 and {RATE_MAX}, if provided.");
            return Err(SqsError::value(wrong, "MaxNumberOfMessagesPerSecond", reason));
        }
        if destination == Some(source) {
            return Err(SqsError::InvalidParameter("The source and the destination of a move must be two queues.".into()));
        }
        let (sqs, source, destination) = (self.clone(), source.to_owned(), destination.map(str::to_owned));
        let start = move |tx: &Tx<'_>| {
            let queue = sqs.queue(tx, &source_name).map_err(|error| no_resource(error, "SourceArn"))?;
            if let Some(name) = destination_name {
                let target = sqs.queue(tx, &name).map_err(|error| no_resource(error, "DestinationArn"))?;
                if target.settings.fifo != queue.settings.fifo {
                    return Err(SqsError::InvalidParameter(
                        "The source and the destination of a move must be of the same type.".into(),
                    ));
                }
            }
            if sql::sources_of(tx, &queue.arn, "", 1)?.is_empty() {
                return Err(SqsError::InvalidParameter("Source queue must be configured as a Dead Letter Queue.".into()));
            }
            let is_active = |row: &MoveRow| matches!(row.status.as_str(), RUNNING | CANCELLING);
            if sql::moves_of(tx, &source, 1)?.iter().any(is_active) {
                let reason =
                    "There is already a task running. Only one active task is allowed for a source queue arn at a given time.";
                return Err(SqsError::InvalidParameter(reason.into()));
            }
            sqs.begin_move(tx, &queue, source, destination, rate)
        };
        self.lake.store.write(start).await
    }

    fn begin_move(
        &self,
        tx: &Tx<'_>,
        queue: &Queue,
        source: String,
        destination: Option<String>,
        rate: Option<i32>,
    ) -> Result<Started, SqsError> {
        let handle = Handle { task_id: tx.env().uuid(), source_arn: source.clone() };
        let handle = STANDARD.encode(serde_json::to_string(&handle).map_err(StoreError::from)?);
        let row = MoveRow {
            id: 0,
            handle: handle.clone(),
            source: source.clone(),
            destination,
            rate: rate.map(i32::unsigned_abs),
            status: RUNNING.into(),
            moved: 0,
            to_move: self.counts(tx, queue)?.visible,
            up_to: tx.last_seq(),
            failure: None,
            started_ms: tx.now_ms(),
        };
        let id = sql::insert_move(tx, &row)?;
        sql::forget_moves(tx, &source, KEPT)?;
        tx.enqueue(&NewTask::new(MOVE, Payload { id }))?;
        Ok(Started { handle })
    }

    /// `CancelMessageMoveTask`: answers how many were moved.
    pub async fn cancel_move(&self, handle: &str) -> Result<i64, SqsError> {
        let invalid = || SqsError::InvalidParameter("Value for parameter TaskHandle is invalid.".into());
        let text = STANDARD.decode(handle).map_err(|_| invalid())?;
        let read: Handle = serde_json::from_slice(&text).map_err(|_| invalid())?;
        let source = self.resource("SourceArn", &read.source_arn)?;
        let (sqs, handle) = (self.clone(), handle.to_owned());
        let cancel = move |tx: &Tx<'_>| {
            sqs.queue(tx, &source).map_err(|error| no_resource(error, "SourceArn"))?;
            let row = sql::move_by_handle(tx, &handle)?;
            let row = row.ok_or_else(|| SqsError::ResourceNotFound("Task does not exist.".into()))?;
            if row.status != RUNNING {
                return Err(SqsError::InvalidParameter(format!(
                    "Only active tasks can be cancelled; this one is {}.",
                    row.status
                )));
            }
            sql::update_move(tx, row.id, CANCELLING, row.moved, None)?;
            Ok(row.moved)
        };
        self.lake.store.write(cancel).await
    }

    /// `ListMessageMoveTasks`, the latest first.
    pub async fn list_moves(&self, source: &str, max: Option<i32>) -> Result<Vec<Move>, SqsError> {
        let max = max.unwrap_or(1);
        if !(1..=10).contains(&max) {
            return Err(SqsError::value(max, "MaxResults", "Must be between 1 and 10, if provided."));
        }
        let (name, sqs, source) = (self.resource("SourceArn", source)?, self.clone(), source.to_owned());
        let look = move |connection: &Connection| {
            sqs.queue(connection, &name).map_err(|error| no_resource(error, "SourceArn"))?;
            Ok::<_, SqsError>(sql::moves_of(connection, &source, max.unsigned_abs() as usize)?)
        };
        let rows = self.lake.store.read(look).await?;
        Ok(rows.into_iter().map(Move::of).collect())
    }

    /// The name of the queue that an ARN means.
    fn resource(&self, parameter: &str, arn: &str) -> Result<String, SqsError> {
        let parsed: Arn = arn.parse().map_err(|_| {
            SqsError::InvalidParameter(format!(
                "You must use this format to specify the {parameter}: arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
            ))
        })?;
        match self.is_ours(&parsed) {
            true => Ok(parsed.resource),
            false => Err(no_resource(SqsError::QueueDoesNotExist, parameter)),
        }
    }

    /// Moves a chunk. Answers how long to wait before the next; `None`: the move has ended, and its task with it.
    fn move_some(&self, tx: &Tx<'_>, task: &Task, id: i64) -> Result<Option<Duration>, SqsError> {
        let Some(row) = sql::move_by_id(tx, id)? else {
            tx.finish_task(task)?;
            return Ok(None);
        };
        let end = |status: &str, moved: i64, failure: Option<&str>| {
            sql::update_move(tx, id, status, moved, failure)?;
            tx.finish_task(task)?;
            Ok(None)
        };
        if row.status == CANCELLING {
            return end("CANCELLED", row.moved, None);
        }
        let (chunk, pause) = pace(row.rate);
        let source = match self.named_by(tx, &row.source)? {
            Some(source) => source,
            None => return end("FAILED", row.moved, Some(GONE)),
        };
        let mut moved = row.moved;
        let states = movable(tx, &source, row.up_to, chunk)?;
        let is_last = states.len() < chunk;
        for state in states {
            let Some(arn) = row.destination.as_ref().or(state.source.as_ref()) else {
                return end("FAILED", moved, Some("CouldNotDetermineMessageSource"));
            };
            let Some(target) = self.named_by(tx, arn)?.filter(|target| target.settings.fifo == source.settings.fifo) else {
                return end("FAILED", moved, Some(GONE));
            };
            self.move_one(tx, &source, &target, &state)?;
            moved += 1;
        }
        if is_last {
            return end("COMPLETED", moved, None);
        }
        sql::update_move(tx, id, RUNNING, moved, None)?;
        Ok(Some(pause))
    }

    fn named_by(&self, tx: &Tx<'_>, arn: &str) -> Result<Option<Arc<Queue>>, SqsError> {
        let Some(name) = self.name_in(arn) else { return Ok(None) };
        match self.queue(tx, &name) {
            Ok(queue) => Ok(Some(queue)),
            Err(SqsError::QueueDoesNotExist) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is moved is a new message: it has another id, its time begins anew, and it was never received.
    fn move_one(&self, tx: &Tx<'_>, source: &Queue, target: &Queue, state: &State) -> Result<(), SqsError> {
        sql::remove_message(tx, Place { space: source.space, sent_ms: state.sent_ms, id: state.id })?;
        sql::count(tx, source.space, -1)?;
        if let Some(group) = &state.group {
            fifo::refresh_group(tx, source.space, group)?;
        }
        let id = tx.next_seq();
        sql::renew_body(tx, state.id, id, Some(&tx.env().uuid()))?;
        let now_ms = tx.now_ms();
        let moved = State {
            id,
            sent_ms: now_ms,
            visible_ms: now_ms + target.settings.delay_ms,
            receives: 0,
            received_ms: None,
            group: state.group.clone(),
            source: None,
        };
        self.insert_state(tx, target, &moved)
    }
}

/// AWS's code for a queue that is not there.
const GONE: &str = "AWS.SimpleQueueService.NonExistentQueue";

/// How many messages at once, and how long to wait after them.
fn pace(rate: Option<u32>) -> (usize, Duration) {
    match rate {
        None => (CHUNK, Duration::ZERO),
        Some(rate @ 0..10) => (1, Duration::from_millis(1000 / u64::from(rate.max(1)))),
        Some(rate) => ((rate / 10) as usize, Duration::from_millis(100)),
    }
}

/// What may be moved now, in the order in which it would be received.
fn movable(tx: &Tx<'_>, source: &Queue, up_to: i64, limit: usize) -> Result<Vec<State>, SqsError> {
    if !source.settings.fifo {
        return Ok(sql::movable(tx, source.space, tx.now_ms(), up_to, limit)?);
    }
    let mut states = Vec::new();
    for group in sql::ready_groups(tx, source.space, tx.now_ms(), limit)? {
        let first = sql::group_states(tx, source.space, &group, limit - states.len())?;
        states.extend(first.into_iter().take_while(|state| state.visible_ms <= tx.now_ms() && state.id <= up_to));
        if states.len() >= limit {
            break;
        }
    }
    Ok(states)
}

fn no_resource(error: SqsError, parameter: &str) -> SqsError {
    match error {
        SqsError::QueueDoesNotExist => {
            SqsError::ResourceNotFound(format!("The resource that you specified for the {parameter} parameter doesn't exist."))
        }
        other => other,
    }
}

impl Move {
    fn of(row: MoveRow) -> Self {
        Self {
            handle: (row.status == RUNNING).then_some(row.handle),
            status: row.status,
            source: row.source,
            destination: row.destination,
            rate: row.rate.and_then(|rate| i32::try_from(rate).ok()),
            moved: row.moved,
            to_move: row.to_move,
            failure: row.failure,
            started_ms: row.started_ms,
        }
    }
}

/// Moves messages.
#[derive(Debug)]
pub(super) struct MoveHandler {
    pub(super) sqs: Sqs,
}

#[async_trait]
impl Handler for MoveHandler {
    fn kind(&self) -> &'static str {
        MOVE
    }

    fn concurrency(&self) -> usize {
        // They sleep most of the time, where a rate was asked for.
        64
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let Payload { id } = serde_json::from_value(task.payload.clone()).map_err(Failure::lasting)?;
        loop {
            let (sqs, held) = (self.sqs.clone(), task.clone());
            let pause = match lake.store.write(move |tx| sqs.move_some(tx, &held, id)).await {
                Ok(None) => return Ok(()),
                Ok(Some(pause)) => pause,
                Err(error) => return Err(Failure::transient(error).postponed(10_000)),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.sqs.shared.closing.cancelled() => {
                    return Err(Failure::transient("the lake stops; its next start goes on").postponed(0));
                }
            }
        }
    }
}
