//! Bookmarks of scripts: one a transformation context, moved at the end of a run that committed, and set back to where they were after another one.

use super::rows::{self, ReadSource};
use crate::glue::GlueError;
use crate::glue::job::rows::{self as jobs, Bookmark, JobRun};
use crate::lake::ledger;
use millpond_store::Tx;
use rusqlite::Connection;

fn is_as_found(read: &ReadSource, now: Option<&Bookmark>) -> bool {
    match (read.generation, now) {
        (Some(generation), Some(now)) => (generation, read.found) == (now.generation, now.seq),
        (Some(_), None) => false,
        (None, now) => now.is_none_or(|now| now.seq == 0),
    }
}

fn moved(read: &ReadSource, run: &JobRun) -> GlueError {
    GlueError::ConcurrentModification(format!(
        "The bookmark '{}' of job {} was moved while the run was under way, by a reset or by another run of the job (set MaxConcurrentRuns to 1 \
         where bookmarks are on): the bookmarks of this run are not saved, and what it wrote for its end is not published",
        read.context, run.job
    ))
}

/// Whether [`save`] could be done now: what cannot be undone waits for that.
///
/// # Errors
/// `ConcurrentModification` as for [`save`].
pub(super) fn check(connection: &Connection, run: &JobRun) -> Result<(), GlueError> {
    for read in rows::sources(connection, &run.id)?.into_iter().filter(|read| read.committed) {
        if !is_as_found(&read, jobs::bookmark(connection, &run.job, &read.context)?.as_ref()) {
            return Err(moved(&read, run));
        }
    }
    Ok(())
}

/// Saves the bookmarks of what a run has read and committed, with the ledger's entries; answers how many versions that were, and their bytes.
///
/// Where a context was read on after the commit, the ledger alone knows what was committed: the bookmark stays before what was not.
///
/// # Errors
/// `ConcurrentModification` where a bookmark is not as the run found it: another run has read the same, and the transaction must be undone.
pub(super) fn save(tx: &Tx<'_>, run: &JobRun) -> Result<(u64, u64), GlueError> {
    let (mut files, mut bytes) = (0, 0);
    for read in rows::sources(tx, &run.id)?.into_iter().filter(|read| read.committed) {
        let now = jobs::bookmark_or_new(tx, &run.job, &read.context)?;
        let until = if rows::has_uncommitted(tx, &run.id, &read.context)? { now.seq } else { read.until.max(now.seq) };
        if !is_as_found(&read, Some(&now)) || !jobs::advance(tx, &run.job, &now, until, &run.id)? {
            return Err(moved(&read, run));
        }
        let entries = rows::committed_files(tx, &run.id, &read.context)?;
        files += entries.len() as u64;
        bytes += entries.iter().map(|entry| entry.size).sum::<u64>();
        ledger::record(tx, &run.job, Some(now.generation), &run.id, &entries)?;
        rows::forget_source(tx, &run.id, &read.context)?;
    }
    Ok((files, bytes))
}

/// Where the bookmarks of a job were after a run.
///
/// # Errors
/// `EntityNotFound` where the job has no such run.
pub(in crate::glue::job) fn after(connection: &Connection, job: &str, run: &str) -> Result<Vec<Bookmark>, GlueError> {
    let found = jobs::run(connection, run)?.filter(|found| found.job == job);
    let found =
        found.ok_or_else(|| GlueError::EntityNotFound(format!("Entity not found: job run {run} of job {job} does not exist")))?;
    Ok(rows::states_after(connection, job, found.seq)?)
}
