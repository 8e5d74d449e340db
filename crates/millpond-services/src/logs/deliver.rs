//! Lines that were committed with a change of the lake, and log groups as targets of rules.
//!
//! Such lines are a task of the lake ([`crate::lake::log`]). The logs are another database, so the task cannot end in one transaction with its
//! lines: they are written first, with a mark that bears the task's id, and a task whose mark is there writes nothing. When the lake has forgotten
//! the task, the mark goes with the next lines.

use super::{Logs, LogsError, group_of, sql};
use crate::lake::Lake;
use crate::lake::log::{Lines, WRITE, write_to_existing};
use crate::runtime::delivery::{Delivering, Delivery, Sender, TargetKind};
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use millpond_core::arn::Arn;
use millpond_core::log::Line;
use millpond_store::StoreError;
use millpond_store::task::Task;
use rusqlite::Connection;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex};

/// Writes lines that were committed with a change of the lake.
#[derive(Debug)]
pub struct WriteHandler {
    logs: Logs,
    /// Tasks that are finished, and whose marks can go.
    done: Mutex<Vec<i64>>,
}

impl WriteHandler {
    fn done(&self) -> std::sync::MutexGuard<'_, Vec<i64>> {
        self.done.lock().expect("the list is only pushed and taken")
    }
}

#[async_trait]
impl Handler for WriteHandler {
    fn kind(&self) -> &'static str {
        WRITE
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let lines = Lines::of(task)?;
        let name = lines.group.clone();
        let done = std::mem::take(&mut *self.done());
        if !self.logs.add_lines(lines, task.id, done).await? {
            return Err(Failure::lasting(format!("log group '{name}' was deleted before its lines were written")));
        }
        let held = task.clone();
        lake.store.write(move |tx| tx.finish_task(&held)).await?;
        self.done().push(task.id);
        Ok(())
    }
}

/// Log groups as targets: `arn:aws:logs:REGION:ACCOUNT:log-group:NAME`. The account's own groups need no resource policy here.
pub struct LogGroupTarget {
    logs: Logs,
    /// Looks whether a group exists, within the transaction of another database: a lookup of one row, without a lock.
    look: Mutex<Option<Connection>>,
}

impl LogGroupTarget {
    fn exists(&self, name: &str) -> Result<bool, StoreError> {
        let mut look = self.look.lock().expect("looking does not panic");
        let connection = match look.take() {
            Some(connection) => connection,
            None => self.logs.store().connect()?,
        };
        let found = sql::group(&connection, name)?.is_some();
        *look = Some(connection);
        Ok(found)
    }

    fn group(&self, arn: &Arn) -> Result<String, Failure> {
        let missing = |name: &str| {
            let text =
                format!("log group '{name}' does not exist: create it (aws logs create-log-group --log-group-name {name})");
            Failure::lasting(text).code("RESOURCE_NOT_FOUND")
        };
        let name = group_of(arn, self.logs.place());
        let name =
            name.ok_or_else(|| Failure::lasting(format!("'{arn}' is not a log group of this lake")).code("INVALID_TARGET"))?;
        if self.exists(name)? { Ok(name.to_owned()) } else { Err(missing(name)) }
    }
}

impl TargetKind for LogGroupTarget {
    fn title(&self) -> &'static str {
        "CloudWatch Logs groups"
    }

    fn accepts(&self, arn: &Arn) -> bool {
        group_of(arn, self.logs.place()).is_some()
    }

    fn check(&self, _at: &Delivering<'_>, arn: &Arn, _sender: Sender, _source: &str) -> Result<(), Failure> {
        self.group(arn).map(|_| ())
    }

    fn deliver(&self, at: &Delivering<'_>, arn: &Arn, delivery: &Delivery) -> Result<(), Failure> {
        let group = self.group(arn)?;
        let line = line(&delivery.input, at.tx.now_ms());
        Ok(write_to_existing(at.tx, &group, &stream(&delivery.source), &[line])?)
    }
}

/// What a group gets: the input as it is; where a rule made `{"timestamp": …, "message": …}` of it, these (EventBridge user guide, "Amazon EventBridge
/// targets": input transformers of log groups).
fn line(input: &str, now_ms: i64) -> Line {
    let parts = serde_json::from_str::<Value>(input).ok().and_then(|value| {
        let members = value.as_object().filter(|members| members.len() == 2)?;
        let time = members.get("timestamp")?;
        let time_ms = time.as_i64().or_else(|| time.as_str()?.parse().ok())?;
        Some(Line::new(time_ms, members.get("message")?.as_str()?))
    });
    parts.filter(|line| !line.text.is_empty()).unwrap_or_else(|| Line::new(now_ms, input))
}

/// The stream of a rule: a name in the form of a UUID, always the same for one rule.
fn stream(source: &str) -> String {
    let digest = hex::encode(&Sha256::digest(source)[..16]);
    format!("{}-{}-{}-{}-{}", &digest[..8], &digest[8..12], &digest[12..16], &digest[16..20], &digest[20..])
}

impl Logs {
    /// Who writes the lines of the lake's tasks.
    pub fn handlers(&self) -> Vec<Arc<dyn Handler>> {
        vec![Arc::new(WriteHandler { logs: self.clone(), done: Mutex::default() })]
    }

    /// Log groups as targets of deliveries.
    pub fn target_kinds(&self) -> Vec<Arc<dyn TargetKind>> {
        vec![Arc::new(LogGroupTarget { logs: self.clone(), look: Mutex::default() })]
    }
}

impl From<LogsError> for Failure {
    fn from(error: LogsError) -> Self {
        match error {
            LogsError::Store(error) => error.into(),
            other => Self::lasting(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_may_say_time_and_text() {
        assert_eq!(line(r#"{"timestamp":5,"message":"hello"}"#, 9), Line::new(5, "hello"));
        assert_eq!(line(r#"{"timestamp":"6","message":"hello"}"#, 9), Line::new(6, "hello"));
        for other in [r#"{"timestamp":5,"message":"hello","more":1}"#, "plain", r#"{"timestamp":5,"message":1}"#] {
            assert_eq!(line(other, 9), Line::new(9, other));
        }
    }

    #[test]
    fn a_rule_has_one_stream() {
        let name = stream("arn:aws:events:us-east-1:000000000000:rule/a");
        assert_eq!(name, stream("arn:aws:events:us-east-1:000000000000:rule/a"));
        assert_ne!(name, stream("arn:aws:events:us-east-1:000000000000:rule/b"));
        assert_eq!(name.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    }
}
