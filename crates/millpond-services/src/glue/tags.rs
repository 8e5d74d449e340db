//! Tags of databases, tables, crawlers, jobs, triggers and workflows.
//!
//! Whoever creates a resource sets its tags in the same transaction ([`set`]), and whoever deletes it forgets them ([`forget`]).

use super::{Glue, GlueError, crawler, job, trigger, workflow};
use crate::lake::catalog;
use millpond_core::arn::{Arn, Place};
use millpond_store::{Component, StoreError, Tx};
use rusqlite::Connection;
use std::collections::BTreeMap;

/// The tables of this module.
pub const COMPONENT: Component = Component { name: "glue", migrations: &[include_str!("schema.sql")] };

/// Tags of a resource by key.
pub type Tags = BTreeMap<String, String>;

/// Tags of one resource at the most (Glue user guide, "AWS tags in AWS Glue").
const TAGS_MAX: usize = 50;
/// Characters of a key.
const KEY_MAX: usize = 128;
/// Characters of a value.
const VALUE_MAX: usize = 256;

/// The tags of a resource.
pub fn get(connection: &Connection, arn: &str) -> Result<Tags, StoreError> {
    let mut select = connection.prepare_cached("SELECT key, value FROM glue_tag WHERE arn = ? ORDER BY key")?;
    Ok(select.query_map([arn], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
}

/// Adds tags to a resource, in place of those of the same keys.
///
/// # Errors
/// `InvalidInput` where a tag is not one, or there are too many.
pub fn set(tx: &Tx<'_>, arn: &str, tags: &Tags) -> Result<(), GlueError> {
    let mut insert =
        tx.prepare_cached("INSERT INTO glue_tag VALUES (?1, ?2, ?3) ON CONFLICT (arn, key) DO UPDATE SET value = ?3")?;
    for (key, value) in tags {
        check(key, value)?;
        insert.execute([arn, key, value])?;
    }
    if !tags.is_empty() && get(tx, arn)?.len() > TAGS_MAX {
        return Err(GlueError::InvalidInput(format!("{arn} would have more than {TAGS_MAX} tags, which is the limit.")));
    }
    Ok(())
}

/// Removes all tags of a resource that is gone.
pub fn forget(tx: &Tx<'_>, arn: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM glue_tag WHERE arn = ?")?.execute([arn])?;
    Ok(())
}

/// Whether a resource has all of these tags.
pub fn has_all(connection: &Connection, arn: &str, wanted: &Tags) -> Result<bool, StoreError> {
    if wanted.is_empty() {
        return Ok(true);
    }
    let own = get(connection, arn)?;
    Ok(wanted.iter().all(|(key, value)| own.get(key) == Some(value)))
}

fn check(key: &str, value: &str) -> Result<(), GlueError> {
    let wrong = |what: String| Err(GlueError::InvalidInput(what));
    if key.is_empty() || key.chars().count() > KEY_MAX {
        return wrong(format!(
            "A tag's key has 1 to {KEY_MAX} characters; '{}' has not.",
            key.chars().take(40).collect::<String>()
        ));
    }
    if key.to_ascii_lowercase().starts_with("aws:") {
        return wrong(format!("The tag's key '{key}' begins with 'aws:', which is reserved."));
    }
    if value.chars().count() > VALUE_MAX {
        return wrong(format!("The value of the tag '{key}' has more than {VALUE_MAX} characters."));
    }
    Ok(())
}

/// The ARN in its one form, of a resource of this lake that exists.
fn known(connection: &Connection, place: &Place, text: &str) -> Result<String, GlueError> {
    let arn: Arn = text.parse().map_err(|error| GlueError::InvalidInput(format!("{error}")))?;
    if arn.service != "glue" {
        return Err(GlueError::InvalidInput(format!("{text} is not the ARN of a Glue resource.")));
    }
    let missing = || GlueError::EntityNotFound(format!("Entity not found: {text}"));
    if arn.account != place.account || arn.region != place.region {
        return Err(missing());
    }
    let (kind, name) = arn.resource.split_once('/').ok_or_else(missing)?;
    let (exists, name) = match kind {
        "database" => (catalog::database(connection, name)?.is_some(), name.to_lowercase()),
        "table" => {
            let (database, table) = name.split_once('/').ok_or_else(missing)?;
            (catalog::table_exists(connection, database, table)?, name.to_lowercase())
        }
        "crawler" => (crawler::rows::crawler(connection, name)?.is_some(), name.to_owned()),
        "job" => (job::rows::job(connection, name)?.is_some(), name.to_owned()),
        "trigger" => (trigger::rows::trigger(connection, name)?.is_some(), name.to_owned()),
        "workflow" => (workflow::rows::workflow(connection, name)?.is_some(), name.to_owned()),
        _ => (false, name.to_owned()),
    };
    if exists { Ok(place.arn("glue", format_args!("{kind}/{name}")).to_string()) } else { Err(missing()) }
}

impl Glue {
    /// `TagResource`.
    pub async fn tag(&self, arn: String, tags: Tags) -> Result<(), GlueError> {
        let place = self.lake.place.clone();
        self.lake.store.write(move |tx| set(tx, &known(tx, &place, &arn)?, &tags)).await
    }

    /// `UntagResource`.
    pub async fn untag(&self, arn: String, keys: Vec<String>) -> Result<(), GlueError> {
        let place = self.lake.place.clone();
        let untag = move |tx: &Tx<'_>| {
            let arn = known(tx, &place, &arn)?;
            let mut delete = tx.prepare_cached("DELETE FROM glue_tag WHERE arn = ? AND key = ?")?;
            for key in &keys {
                delete.execute([&arn, key])?;
            }
            Ok(())
        };
        self.lake.store.write(untag).await
    }

    /// `GetTags`.
    pub async fn tags(&self, arn: String) -> Result<Tags, GlueError> {
        let place = self.lake.place.clone();
        self.lake.store.read(move |connection| Ok(get(connection, &known(connection, &place, &arn)?)?)).await
    }
}
