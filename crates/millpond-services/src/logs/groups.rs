//! Log groups, their retention and their protection.

use super::sql::GroupRow;
use super::{Logs, LogsError, Page, found_group, sql, sweep, tags};
use millpond_store::StoreError;
use std::collections::BTreeSet;

/// The retentions that AWS knows, in days (API reference, "PutRetentionPolicy").
const RETENTION_DAYS: [i64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// The class of a group that names none.
const STANDARD: &str = "STANDARD";

/// A group to make.
#[derive(Debug, Clone, Default)]
pub struct NewGroup {
    /// Its name.
    pub name: String,
    /// AWS's name of its class; absent: `STANDARD`.
    pub class: Option<String>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// The key that it is to be encrypted with: refused.
    pub kms_key: Option<String>,
    /// Whether it must not be deleted.
    pub protected: bool,
}

/// A group as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Without `:*`.
    pub arn: String,
    /// AWS's name of its class.
    pub class: String,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// Absent: for ever.
    pub retention_days: Option<i64>,
    /// As AWS counts: the UTF-8 of each event and 26 more.
    pub stored_bytes: i64,
    /// Whether it must not be deleted.
    pub protected: bool,
}

/// Which names are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum GroupFilter {
    /// All.
    #[default]
    All,
    /// Those that begin so.
    Prefix(String),
    /// Those that have this in them.
    Contains(String),
    /// Those with one of these in them; where it begins with `^`, at the beginning.
    AnyOf(Vec<String>),
    /// These.
    Names(BTreeSet<String>),
}

impl GroupFilter {
    fn holds(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
            Self::Contains(part) => name.contains(part.as_str()),
            Self::AnyOf(parts) => parts.iter().any(|part| match part.strip_prefix('^') {
                Some(prefix) => name.starts_with(prefix),
                None => name.contains(part.as_str()),
            }),
            Self::Names(names) => names.contains(name),
        }
    }

    /// Whether no name after this one can hold.
    fn is_past(&self, name: &str) -> bool {
        matches!(self, Self::Prefix(prefix) if name > prefix.as_str() && !name.starts_with(prefix.as_str()))
    }
}

/// Which groups are wanted.
#[derive(Debug, Clone, Default)]
pub struct GroupQuery {
    /// By name.
    pub filter: GroupFilter,
    /// By class; empty: of all.
    pub classes: Vec<String>,
    /// That have all these tags: the key, and the values of which one will do (none: any).
    pub tags: Vec<(String, Vec<String>)>,
    /// From a former page.
    pub token: Option<String>,
    /// At the most.
    pub limit: usize,
}

fn check_name(name: &str) -> Result<(), LogsError> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/#".contains(&byte);
    if name.is_empty() || name.len() > 512 || !name.bytes().all(sound) {
        let text = "a log group's name has 1 to 512 of the characters a-z, A-Z, 0-9, '_', '-', '/', '.' and '#'";
        return Err(LogsError::invalid(format!("Invalid log group name '{name}': {text}.")));
    }
    if name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws/")) {
        return Err(LogsError::invalid("Log groups starting with AWS/ are reserved for AWS."));
    }
    Ok(())
}

impl Logs {
    /// `CreateLogGroup`.
    pub async fn create_group(&self, new: NewGroup) -> Result<(), LogsError> {
        check_name(&new.name)?;
        tags::check(&new.tags)?;
        if let Some(key) = &new.kms_key {
            return Err(LogsError::invalid(format!(
                "The KMS key '{key}' cannot be used: this lake has no KMS. Create the log group without kmsKeyId."
            )));
        }
        let class = new.class.as_deref().unwrap_or(STANDARD);
        if class == "DELIVERY" {
            return Err(LogsError::invalid(
                "The log class DELIVERY hands logs on to S3 or Firehose, which this lake does not do. Use STANDARD.",
            ));
        }
        let class = class.to_owned();
        let made = self.store().write(move |tx| {
            if sql::group(tx, &new.name)?.is_some() {
                return Err(LogsError::GroupExists);
            }
            let id = sql::insert_group(tx, &new.name, &class, new.protected)?;
            tags::put(tx, id, &new.tags)
        });
        made.await
    }

    /// `DeleteLogGroup`. Its streams and events are gone for readers when this returns, and from the disk a little later.
    pub async fn delete_group(&self, name: String) -> Result<(), LogsError> {
        let deleted = self.store().write(move |tx| {
            let group = found_group(tx, &name)?;
            if group.protected {
                let text = format!("Log group {name} has deletion protection enabled. Disable it first.");
                return Err(LogsError::Protected(text));
            }
            sql::delete_group(tx, group.id)?;
            Ok(sweep::purge_group(tx, group.id)?)
        });
        deleted.await
    }

    /// `PutLogGroupDeletionProtection`.
    pub async fn protect_group(&self, name: String, protected: bool) -> Result<(), LogsError> {
        let done = self.store().write(move |tx| {
            let group = found_group(tx, &name)?;
            Ok(sql::set_protected(tx, group.id, protected)?)
        });
        done.await
    }

    /// `PutRetentionPolicy`, and with `None` `DeleteRetentionPolicy`.
    pub async fn set_retention(&self, name: String, days: Option<i64>) -> Result<(), LogsError> {
        if let Some(days) = days.filter(|days| !RETENTION_DAYS.contains(days)) {
            let known = RETENTION_DAYS.map(|days| days.to_string()).join(", ");
            return Err(LogsError::invalid(format!(
                "1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: [{known}]"
            )));
        }
        let done = self.store().write(move |tx| {
            let group = found_group(tx, &name)?;
            sql::set_retention(tx, group.id, days)?;
            if days.is_some() {
                sweep::soon(tx)?;
            }
            Ok(())
        });
        done.await
    }

    /// `DescribeLogGroups` and `ListLogGroups`, in the order of the names.
    pub async fn groups(&self, query: GroupQuery) -> Result<Page<Group>, LogsError> {
        let after = super::streams::text_of(query.token.as_deref())?.unwrap_or_default();
        let logs = self.own.clone();
        let place = logs.place;
        let listed = logs.store.read(move |connection| {
            // Of a prefix, the search begins where the first name with it would be.
            let start = match &query.filter {
                GroupFilter::Prefix(prefix) => after.clone().max(before(prefix)),
                _ => after.clone(),
            };
            let mut found: Vec<GroupRow> = Vec::new();
            sql::visit_groups(connection, &start, |row| {
                if query.filter.is_past(&row.name) {
                    return Ok(false);
                }
                let class = query.classes.is_empty() || query.classes.contains(&row.class);
                if class && query.filter.holds(&row.name) && tags::holds(connection, row.id, &query.tags)? {
                    found.push(row);
                }
                Ok(found.len() <= query.limit)
            })?;
            let more = found.len() > query.limit;
            found.truncate(query.limit);
            let next = found.last().filter(|_| more).map(|row| super::streams::token(&row.name));
            let arn = |name: &str| place.arn("logs", format_args!("log-group:{name}")).to_string();
            let items = found.into_iter().map(|row| Group {
                arn: arn(&row.name),
                name: row.name,
                class: row.class,
                created_ms: row.created_ms,
                retention_days: row.retention_days,
                stored_bytes: row.bytes,
                protected: row.protected,
            });
            Ok::<_, StoreError>(Page { items: items.collect(), next })
        });
        Ok(listed.await?)
    }
}

/// A text that sorts before all that begin with `prefix`, and after hardly anything else that does.
fn before(prefix: &str) -> String {
    let mut text = prefix.to_owned();
    text.pop();
    text
}
