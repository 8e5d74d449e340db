//! Watching and stopping query executions.

use super::model::{Execution, Page, State};
use super::workgroups::{PRIMARY, require};
use super::{Athena, AthenaError, before, id_page, page_size, run, sql};

impl Athena {
    /// An execution.
    pub async fn execution(&self, id: &str) -> Result<Execution, AthenaError> {
        let id = id.to_owned();
        self.lake.store.read(move |connection| find(connection, &id)).await
    }

    /// The executions of these ids that exist; the ids of those that do not.
    pub async fn executions(&self, ids: Vec<String>) -> Result<(Vec<Execution>, Vec<String>), AthenaError> {
        let found = self.lake.store.read(move |connection| {
            let (mut found, mut missing) = (Vec::new(), Vec::new());
            for id in ids {
                match sql::execution(connection, &id)? {
                    Some(execution) => found.push(execution),
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
            execution.reason = Some(run::STOPPED.to_owned());
            tx.cancel_tasks(run::KIND, &execution.id)?;
            Ok(states.end(tx, execution, State::Cancelled)?)
        });
        stopped.await?;
        self.queue.cancel(&id);
        Ok(())
    }
}

pub(super) fn find(connection: &rusqlite::Connection, id: &str) -> Result<Execution, AthenaError> {
    sql::execution(connection, id)?.ok_or_else(|| AthenaError::InvalidRequest {
        message: format!("QueryExecution {id} was not found"),
        code: "QUERY_EXECUTION_NOT_FOUND",
    })
}
