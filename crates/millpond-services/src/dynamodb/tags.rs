//! Tags of tables.

use super::{DynamoDb, DynamoError, sql};
use std::collections::BTreeMap;

/// Of one table, as AWS's tagging rules say.
const TAGS_MAX: usize = 50;

pub(super) fn check(tags: &[(String, String)]) -> Result<(), DynamoError> {
    let mut seen = std::collections::HashSet::new();
    for (key, value) in tags {
        if !(1..=128).contains(&key.chars().count()) {
            return Err(DynamoError::invalid(format!("The Tag Key provided is invalid, Key: {key}")));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(DynamoError::invalid(format!("Tag Key cannot be prefixed with aws:, Key: {key}")));
        }
        if value.chars().count() > 256 {
            return Err(DynamoError::invalid(format!("The Tag Value provided is invalid, Value: {value}")));
        }
        if !seen.insert(key) {
            return Err(DynamoError::invalid(format!("Duplicate Tag Keys provided as input: Duplicate Tag Key found {key}")));
        }
    }
    check_count(tags.len())
}

fn check_count(count: usize) -> Result<(), DynamoError> {
    match count {
        0..=TAGS_MAX => Ok(()),
        _ => Err(DynamoError::invalid("Number of Tags exceed the current limit for the provided ResourceArn")),
    }
}

impl DynamoDb {
    /// `TagResource`.
    pub async fn tag(&self, arn: &str, tags: Vec<(String, String)>) -> Result<(), DynamoError> {
        if tags.is_empty() {
            return Err(DynamoError::invalid("Atleast one Tag needs to be provided as Input."));
        }
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
        if keys.is_empty() {
            return Err(DynamoError::invalid("Atleast one Tag Key needs to be provided as Input."));
        }
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
