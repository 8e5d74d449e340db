//! Tags of tables.

use super::{DynamoDb, DynamoError, sql};
use std::collections::BTreeMap;

/// Of one table, as AWS's tagging rules say.
const TAGS_MAX: usize = 50;

pub(super) fn check(tags: &[(String, String)]) -> Result<(), DynamoError> {
    let mut seen = std::collections::HashSet::new();
    for (key, value) in tags {
        if !seen.insert(key) {
            return Err(DynamoError::parameter(format!("Duplicate Tag key: {key}")));
        }
        if !(1..=128).contains(&key.chars().count()) {
            return Err(DynamoError::parameter(format!("The tag key '{key}' must have from 1 to 128 characters")));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(DynamoError::parameter(format!("The tag key '{key}' begins with aws:, which is reserved")));
        }
        if value.chars().count() > 256 {
            return Err(DynamoError::parameter(format!("The value of the tag '{key}' must have up to 256 characters")));
        }
    }
    check_count(tags.len())
}

fn check_count(count: usize) -> Result<(), DynamoError> {
    match count {
        0..=TAGS_MAX => Ok(()),
        many => Err(DynamoError::parameter(format!("Too many tags: a table has up to {TAGS_MAX}, these are {many}"))),
    }
}

impl DynamoDb {
    /// `TagResource`.
    pub async fn tag(&self, arn: &str, tags: Vec<(String, String)>) -> Result<(), DynamoError> {
        check(&tags)?;
        let table = self.table_of_arn(arn)?.id;
        let write = self.lake.store.write(move |tx| {
            tags.iter().try_for_each(|(key, value)| sql::put_tag(tx, table, key, value))?;
            check_count(sql::tags(tx, table)?.len())
        });
        write.await
    }

    /// `UntagResource`.
    pub async fn untag(&self, arn: &str, keys: Vec<String>) -> Result<(), DynamoError> {
        let table = self.table_of_arn(arn)?.id;
        let write = self.lake.store.write(move |tx| {
            keys.iter().try_for_each(|key| sql::remove_tag(tx, table, key))?;
            Ok(())
        });
        write.await
    }

    /// `ListTagsOfResource`: all of them, there are few.
    pub async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, DynamoError> {
        let table = self.table_of_arn(arn)?.id;
        self.lake.store.read(move |connection| Ok(sql::tags(connection, table)?)).await
    }
}
