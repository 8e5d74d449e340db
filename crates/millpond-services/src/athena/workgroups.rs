use super::model::{Page, Workgroup, WorkgroupConfiguration};
use super::{Athena, AthenaError, page_size, sql};
use rusqlite::Connection;

/// The workgroup that every account has.
pub const PRIMARY: &str = "primary";

/// The engine version that all queries run on.
pub const ENGINE_VERSION: &str = "Athena engine version 3";

/// An account has so many workgroups at the most (Athena user guide, "Service quotas").
const WORKGROUPS_MAX: usize = 1000;

/// The least `BytesScannedCutoffPerQuery` (Athena API reference, `WorkGroupConfiguration`).
const CUTOFF_MIN: u64 = 10_000_000;

/// What `UpdateWorkGroup` changes; `None` leaves as it is.
#[derive(Debug, Clone, Default)]
pub struct WorkgroupUpdate {
    /// Free text.
    pub description: Option<String>,
    /// Whether it takes queries.
    pub enabled: Option<bool>,
    /// `Some(None)` removes it.
    pub output_location: Option<Option<String>>,
    /// `Some(None)` removes it.
    pub encryption: Option<Option<serde_json::Value>>,
    /// `Some(None)` removes it.
    pub expected_owner: Option<Option<String>>,
    /// `Some(None)` removes it.
    pub acl: Option<Option<serde_json::Value>>,
    /// Whether the settings beat those of the client.
    pub enforce: Option<bool>,
    /// Kept.
    pub publish_metrics: Option<bool>,
    /// Kept.
    pub requester_pays: Option<bool>,
    /// `Some(None)` removes it.
    pub scan_bytes_max: Option<Option<u64>>,
    /// What was chosen.
    pub engine_version: Option<String>,
    /// Settings that are only kept, by AWS's names; `None` removes one.
    pub kept: Vec<(String, Option<serde_json::Value>)>,
}

impl Athena {
    /// Creates a workgroup.
    pub async fn create_workgroup(
        &self,
        name: String,
        description: Option<String>,
        configuration: WorkgroupConfiguration,
        tags: Vec<(String, String)>,
    ) -> Result<(), AthenaError> {
        check_settings(&configuration)?;
        let created = self.lake.store.write(move |tx| {
            if find(tx, &name)?.is_some() {
                return Err(AthenaError::invalid("WorkGroup is already created"));
            }
            if sql::workgroups(tx, "", WORKGROUPS_MAX)?.len() >= WORKGROUPS_MAX {
                let message = format!("There are {WORKGROUPS_MAX} workgroups already, which is the most. Delete one first.");
                return Err(AthenaError::invalid(message));
            }
            let created_ms = tx.now_ms();
            sql::put_workgroup(tx, &Workgroup { name, description, enabled: true, created_ms, configuration, tags })?;
            Ok(())
        });
        created.await
    }

    /// A workgroup.
    pub async fn workgroup(&self, name: &str) -> Result<Workgroup, AthenaError> {
        let name = name.to_owned();
        self.lake.store.read(move |connection| require(connection, &name)).await
    }

    /// All workgroups by name.
    pub async fn workgroups(&self, token: Option<String>, size: Option<i32>) -> Result<Page<Workgroup>, AthenaError> {
        let size = page_size(size, 50);
        let listed = self.lake.store.read(move |connection| {
            let mut all = sql::workgroups(connection, "", 10_000)?;
            if !all.iter().any(|workgroup| workgroup.name == PRIMARY) {
                all.push(primary());
                all.sort_by(|a, b| a.name.cmp(&b.name));
            }
            let after = token.unwrap_or_default();
            let mut items: Vec<_> = all.into_iter().filter(|workgroup| workgroup.name > after).take(size + 1).collect();
            let more = items.len() > size;
            items.truncate(size);
            let next = more.then(|| items.last().map(|workgroup| workgroup.name.clone())).flatten();
            Ok(Page { items, next })
        });
        listed.await
    }

    /// Changes a workgroup.
    pub async fn update_workgroup(&self, name: String, update: WorkgroupUpdate) -> Result<(), AthenaError> {
        let updated = self.lake.store.write(move |tx| {
            let mut workgroup = require(tx, &name)?;
            let settings = &mut workgroup.configuration;
            settings.output_location = update.output_location.unwrap_or(settings.output_location.take());
            settings.encryption = update.encryption.unwrap_or(settings.encryption.take());
            settings.expected_owner = update.expected_owner.unwrap_or(settings.expected_owner.take());
            settings.acl = update.acl.unwrap_or(settings.acl.take());
            settings.scan_bytes_max = update.scan_bytes_max.unwrap_or(settings.scan_bytes_max);
            settings.enforce = update.enforce.unwrap_or(settings.enforce);
            settings.publish_metrics = update.publish_metrics.unwrap_or(settings.publish_metrics);
            settings.requester_pays = update.requester_pays.unwrap_or(settings.requester_pays);
            settings.engine_version = update.engine_version.unwrap_or(std::mem::take(&mut settings.engine_version));
            for (name, value) in update.kept {
                match value {
                    Some(value) => drop(settings.kept.insert(name, value)),
                    None => drop(settings.kept.remove(&name)),
                }
            }
            workgroup.description = update.description.or(workgroup.description);
            workgroup.enabled = update.enabled.unwrap_or(workgroup.enabled);
            check_settings(&workgroup.configuration)?;
            sql::put_workgroup(tx, &workgroup)?;
            Ok(())
        });
        updated.await
    }

    /// Removes a workgroup; one that is not empty only with `recursive`. What it runs is stopped.
    pub async fn delete_workgroup(&self, name: String, recursive: bool) -> Result<(), AthenaError> {
        if name == PRIMARY {
            return Err(AthenaError::invalid("The primary workgroup cannot be deleted"));
        }
        let deleting = name.clone();
        let deleted = self.lake.store.write(move |tx| {
            let name = deleting;
            require(tx, &name)?;
            let is_used = sql::has_executions(tx, &name)?
                || sql::has_named_queries(tx, &name)?
                || sql::count_prepared_statements(tx, &name)? > 0;
            if !recursive && is_used {
                return Err(AthenaError::invalid(format!("WorkGroup {name} is not empty")));
            }
            sql::delete_workgroup(tx, &name)?;
            Ok(())
        });
        deleted.await?;
        self.queue.cancel_workgroup(&name);
        Ok(())
    }
}

/// The primary workgroup exists before anyone changes it. Its settings do not beat those of the client, and it publishes no metrics.
fn primary() -> Workgroup {
    Workgroup {
        name: PRIMARY.into(),
        description: None,
        enabled: true,
        created_ms: 0,
        configuration: WorkgroupConfiguration { enforce: false, publish_metrics: false, ..WorkgroupConfiguration::default() },
        tags: Vec::new(),
    }
}

pub(super) fn find(connection: &Connection, name: &str) -> Result<Option<Workgroup>, AthenaError> {
    let stored = sql::workgroup(connection, name)?;
    Ok(stored.or_else(|| (name == PRIMARY).then(primary)))
}

pub(super) fn require(connection: &Connection, name: &str) -> Result<Workgroup, AthenaError> {
    find(connection, name)?.ok_or_else(|| AthenaError::invalid(format!("WorkGroup {name} is not found.")))
}

fn check_settings(settings: &WorkgroupConfiguration) -> Result<(), AthenaError> {
    check_location(settings.output_location.as_deref())?;
    if settings.scan_bytes_max.is_some_and(|bytes| bytes < CUTOFF_MIN) {
        return Err(AthenaError::invalid(format!("BytesScannedCutoffPerQuery must be at least {CUTOFF_MIN} bytes.")));
    }
    Ok(())
}

/// An output location names a bucket.
pub(super) fn check_location(location: Option<&str>) -> Result<(), AthenaError> {
    match location {
        Some(location) if !location.starts_with("s3://") || crate::lake::objects::split_uri(location).is_none() => {
            Err(AthenaError::invalid(format!("outputLocation is not a valid S3 path: {location}. Write s3://bucket/prefix/.")))
        }
        _ => Ok(()),
    }
}
