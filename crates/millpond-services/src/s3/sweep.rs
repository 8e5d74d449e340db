//! Drops the multipart uploads that an ended run of a job has left.

use super::{S3Error, sql};
use crate::lake::Lake;
use crate::lake::staging::{self, DROP_UPLOADS};
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use millpond_store::task::Task;

/// Does the tasks of the kind [`DROP_UPLOADS`].
#[derive(Debug, Clone, Copy)]
pub struct UploadSweep;

#[async_trait]
impl Handler for UploadSweep {
    fn kind(&self) -> &'static str {
        DROP_UPLOADS
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let run: String = serde_json::from_value(task.payload.clone()).map_err(Failure::lasting)?;
        let drop = lake.store.write(move |tx| match staging::is_open(tx, &run)? {
            // It was opened again meanwhile: its next end drops them.
            true => Ok(()),
            false => sql::remove_of_run(tx, &run),
        });
        drop.await.map_err(|error: S3Error| Failure::transient(error))
    }
}
