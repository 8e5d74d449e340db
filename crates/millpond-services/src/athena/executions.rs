//! Watching and stopping query executions.

use super::model::{Execution, Page, State};
use super::workgroups::{PRIMARY, require};
use super::{Athena, AthenaError, before, id_page, page_size, run, sql};

impl Athena {
    /// An execution.
    pub async fn execution(&self, id: &str) -> Result<Execution, AthenaError> {
        let id = id.to_owned();
        let mut found: Execution = self.lake.store.read(move |connection| find(connection, &id)).await?;
        found.count_until(self.lake.store.env().now_ms());
        Ok(found)
    }

    /// The executions of these ids that exist; the ids of those that do not.
    pub async fn executions(&self, ids: Vec<String>) -> Result<(Vec<Execution>, Vec<String>), AthenaError> {
        let now_ms = self.lake.store.env().now_ms();
        let found = self.lake.store.read(move |connection| {
            let (mut found, mut missing) = (Vec::new(), Vec::new());
            for id in ids {
                match sql::execution(connection, &id)? {
                    Some(mut execution) => {
                        execution.count_until(now_ms);
                        found.push(execution);
                    }
                    None => missing.push(id),
                }
            }
            Ok((found, missing))
        });
        found.await
    }

    /// The ids of a workgroup's executions, the latest first.
    pub async fn execution_ids(
        &self,
        workgroup: Option<String>,
        token: Option<String>,
        size: Option<i32>,
    ) -> Result<Page<String>, AthenaError> {
        let (size, before) = (page_size(size, 50), before(token.as_deref())?);
        let listed = self.lake.store.read(move |connection| {
            let workgroup = workgroup.unwrap_or_else(|| PRIMARY.into());
            require(connection, &workgroup)?;
            Ok(id_page(sql::execution_ids(connection, &workgroup, before, size + 1)?, size))
        });
        listed.await
    }

    /// Stops an execution. One that has ended stays as it is.
    pub async fn stop(&self, id: &str) -> Result<(), AthenaError> {
        let (id, states) = (id.to_owned(), self.states.clone());
        let stopping = id.clone();
        let stopped = self.lake.store.write(move |tx| -> Result<(), AthenaError> {
            let mut execution = find(tx, &stopping)?;
            if execution.state.is_final() {
                return Ok(());
            }
            execution.count_until(tx.now_ms());
            execution.reason = Some(run::STOPPED.to_owned());
            tx.cancel_tasks(run::KIND, &execution.id)?;
            Ok(states.end(tx, execution, State::Cancelled)?)
        });
        stopped.await?;
        self.queue.cancel(&id);
        Ok(())
    }
}

impl Execution {
    /// The times of one that has not ended, as far as it is.
    fn count_until(&mut self, now_ms: i64) {
        if self.state.is_final() {
            return;
        }
        self.statistics.total_ms = now_ms - self.submitted_ms;
        match self.state {
            State::Running => self.statistics.engine_ms = (self.statistics.total_ms - self.statistics.queue_ms).max(0),
            _ => self.statistics.queue_ms = self.statistics.total_ms,
        }
    }
}

pub(super) fn find(connection: &rusqlite::Connection, id: &str) -> Result<Execution, AthenaError> {
    sql::execution(connection, id)?.ok_or_else(|| AthenaError::InvalidRequest {
        message: format!("QueryExecution {id} was not found"),
        code: "QUERY_EXECUTION_NOT_FOUND",
    })
}
