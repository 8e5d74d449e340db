//! What a lake's owner wants to know of it: how much there is to do, what was given up, what a run took, and what is wrong with the directory.

use super::ledger::{self, Listed};
use super::{Lake, objects, staging};
use millpond_store::task::{self, Load, Task};
use millpond_store::{StoreError, committed_seq};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Faults of one sort that an examination tells at the most.
const FAULTS_MAX: usize = 20;

/// What an examination found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Examination {
    /// What is fine, or only to be known.
    pub notes: Vec<String>,
    /// What is wrong, with what to do.
    pub problems: Vec<String>,
}

impl Lake {
    /// How much there is to do now.
    pub async fn load(&self) -> Result<Load, StoreError> {
        let now_ms = self.store.env().now_ms();
        self.store.read(move |connection| task::load(connection, now_ms)).await
    }

    /// The number of the latest change.
    pub async fn seq(&self) -> Result<i64, StoreError> {
        self.store.read(committed_seq).await
    }

    /// Waits until nothing is left to do, `patience` at the most; answers what is left then.
    pub async fn settled(&self, patience: Duration) -> Result<Load, StoreError> {
        let started = Instant::now();
        let (mut tasks, mut events) = (self.store.task_changes(), self.store.outbox_changes());
        loop {
            tasks.mark_unchanged();
            events.mark_unchanged();
            let load = self.load().await?;
            let left = patience.saturating_sub(started.elapsed());
            if load.is_idle() || left.is_zero() {
                return Ok(load);
            }
            // The end of a task without a key wakes nobody, hence the pause.
            tokio::select! {
                _ = tasks.changed() => {}
                _ = events.changed() => {}
                () = tokio::time::sleep(left.min(Duration::from_millis(20))) => {}
            }
        }
    }

    /// Kind and key of what is being done, `limit` at the most.
    pub async fn running(&self, limit: usize) -> Result<Vec<(String, Option<String>)>, StoreError> {
        self.store.read(move |connection| task::running(connection, limit)).await
    }

    /// Tasks that were given up, the latest first.
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<Task>, StoreError> {
        self.store.read(move |connection| task::dead_letters(connection, limit)).await
    }

    /// Tries a task again that was given up; answers whether there is one of that number.
    pub async fn retry(&self, id: i64) -> Result<bool, StoreError> {
        self.store.write(move |tx| tx.revive_task(id)).await
    }

    /// What a job run took, after the entry `after`; those with faults alone where `faults` says so.
    pub async fn contributions(&self, run: String, after: i64, limit: usize, faults: bool) -> Result<Vec<Listed>, StoreError> {
        self.store.read(move |connection| ledger::entries(connection, &run, after, limit, faults)).await
    }

    /// Looks at everything that could be wrong with the directory: the database's pages, the bytes of every object, what was given up. Bytes that
    /// nothing refers to are collected on the way.
    pub async fn examine(&self) -> Result<Examination, StoreError> {
        let mut found = Examination::default();
        let pages = self.store.check().await?;
        if pages.is_empty() {
            found.notes.push("the database's pages are sound (quick_check)".to_owned());
        }
        found.problems.extend(pages.into_iter().take(FAULTS_MAX).map(|line| {
            format!(
                "the database is damaged: {line}; restore it from a backup, or salvage it with `sqlite3 lake.sqlite3 .recover`"
            )
        }));
        self.examine_bytes(&mut found).await?;
        let collected = self.store.collect(None).await?;
        let blobs = collected.orphans + collected.released;
        if blobs > 0 {
            found.notes.push(format!("{blobs} blobs that nothing refers to were removed ({} bytes)", collected.bytes));
        }
        let load = self.load().await?;
        if load.dead > 0 {
            found.problems.push(format!("{} tasks were given up: `millpond runs dead` tells why", load.dead));
        }
        let now = load.waiting + load.running;
        found.notes.push(format!("{} events and {now} tasks are to be worked on, {} later", load.events, load.later));
        Ok(found)
    }

    async fn examine_bytes(&self, found: &mut Examination) -> Result<(), StoreError> {
        let blobs = self.store.blobs().clone();
        let looked = tokio::task::spawn_blocking(move || blobs.faults(FAULTS_MAX)).await;
        let faults = looked.map_err(|_| StoreError::Panicked)??;
        let nameless = self.store.read(|connection| {
            let mut uris = objects::dangling(connection, FAULTS_MAX)?;
            uris.extend(staging::dangling(connection, FAULTS_MAX - uris.len())?);
            Ok::<_, StoreError>(uris)
        });
        let nameless = nameless.await?;
        if faults.is_empty() && nameless.is_empty() {
            found.notes.push("the bytes of every object are there, with the size that was written".to_owned());
        }
        found
            .problems
            .extend(faults.into_iter().map(|fault| format!("bytes are missing or damaged: {fault}; put the object again")));
        let without_bytes = |uri| format!("{uri} has a row but no bytes; put it again, or delete it");
        found.problems.extend(nameless.into_iter().map(without_bytes));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_core::env::SystemEnv;
    use millpond_store::Store;
    use millpond_store::task::NewTask;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_lake_is_settled_when_nothing_is_due() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &[objects::COMPONENT], Arc::new(SystemEnv)).unwrap();
        let lake = Lake { store, place: Arc::default() };
        let later_ms = lake.store.env().now_ms() + 3_600_000;
        let added = lake.store.write(move |tx| {
            tx.enqueue(&NewTask::new("now", "x"))?;
            tx.enqueue(&NewTask::new("later", "x").at(later_ms))
        });
        added.await.unwrap();
        let load = lake.settled(Duration::from_millis(30)).await.unwrap();
        assert_eq!((load.waiting, load.later, load.is_idle()), (1, 1, false));

        let buried = lake.store.write(|tx| {
            let task = tx.lease_tasks("now", 1)?.remove(0);
            tx.fail_task(&task, "no use", false)
        });
        buried.await.unwrap();
        assert!(lake.settled(Duration::from_secs(5)).await.unwrap().is_idle());
        let dead = lake.dead_letters(10).await.unwrap();
        assert_eq!(dead[0].reason.as_deref(), Some("no use"));
        assert!(lake.examine().await.unwrap().problems[0].contains("1 tasks were given up"));
        assert!(lake.retry(dead[0].id).await.unwrap() && !lake.retry(dead[0].id).await.unwrap());
        assert!(lake.examine().await.unwrap().problems.is_empty());
    }
}
