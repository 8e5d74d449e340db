//! Tags of log groups.

use super::{Logs, LogsError, sql};
use millpond_store::{StoreError, Tx};
use rusqlite::Connection;

/// Tags of one group at the most.
const TAGS_MAX: usize = 50;

pub(super) fn check(tags: &[(String, String)]) -> Result<(), LogsError> {
    match tags.iter().find(|(key, _)| key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"))) {
        Some((key, _)) => Err(LogsError::invalid(format!("The tag key '{key}' begins with 'aws:', which is reserved for AWS."))),
        None => Ok(()),
    }
}

pub(super) fn put(tx: &Tx<'_>, group: i64, tags: &[(String, String)]) -> Result<(), LogsError> {
    for (key, value) in tags {
        sql::put_tag(tx, group, key, value)?;
    }
    match sql::tags(tx, group)?.len() {
        count if count > TAGS_MAX => Err(LogsError::TooManyTags(count)),
        _ => Ok(()),
    }
}

/// Whether a group has all these tags.
pub(super) fn holds(connection: &Connection, group: i64, wanted: &[(String, Vec<String>)]) -> Result<bool, StoreError> {
    if wanted.is_empty() {
        return Ok(true);
    }
    let tags = sql::tags(connection, group)?;
    let has = |(key, values): &(String, Vec<String>)| {
        tags.iter().any(|(name, value)| name == key && (values.is_empty() || values.contains(value)))
    };
    Ok(wanted.iter().all(has))
}

impl Logs {
    /// `TagResource` and `TagLogGroup`. `missing` is what a group that does not exist is answered with.
    pub async fn tag(&self, group: String, tags: Vec<(String, String)>, missing: LogsError) -> Result<(), LogsError> {
        check(&tags)?;
        let done = self.store().write(move |tx| {
            let group = sql::group(tx, &group)?.ok_or(missing)?;
            put(tx, group.id, &tags)
        });
        done.await
    }

    /// `UntagResource` and `UntagLogGroup`.
    pub async fn untag(&self, group: String, keys: Vec<String>, missing: LogsError) -> Result<(), LogsError> {
        let done = self.store().write(move |tx| {
            let group = sql::group(tx, &group)?.ok_or(missing)?;
            keys.iter().try_for_each(|key| Ok(sql::remove_tag(tx, group.id, key)?))
        });
        done.await
    }

    /// `ListTagsForResource` and `ListTagsLogGroup`.
    pub async fn tags(&self, group: String, missing: LogsError) -> Result<Vec<(String, String)>, LogsError> {
        let listed = self.store().read(move |connection| {
            let group = sql::group(connection, &group)?.ok_or(missing)?;
            Ok(sql::tags(connection, group.id)?)
        });
        listed.await
    }
}
