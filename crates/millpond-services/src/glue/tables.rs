//! Tables.

use super::crawler::page::{Page, after};
use super::{Glue, GlueError};
use crate::lake::catalog::{self, Archive};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use millpond_core::catalog::Table;
use regex::{Regex, RegexBuilder};

/// Bytes of the entries of one answer at about the most, whatever number was asked for.
pub(super) const PAGE_BYTES: usize = 8 << 20;

/// About the bytes that a table takes in an answer.
pub(super) fn weight(table: &Table) -> usize {
    let columns = table.storage.columns.iter().chain(&table.partition_keys);
    let columns: usize = columns.map(|column| 48 + column.name.len() + column.data_type.len()).sum();
    let parameters: usize = table.parameters.iter().map(|(key, value)| 8 + key.len() + value.len()).sum();
    512 + columns + parameters + table.view_original_text.as_ref().map_or(0, String::len) * 2
}

/// What `GetTables` takes as `Expression`: Hive's pattern for names, where `*` stands for any text, `|` separates alternatives, and the rest is a
/// regular expression; upper and lower case are the same.
fn name_pattern(expression: &str) -> Result<Regex, GlueError> {
    let mut pattern = String::with_capacity(expression.len() + 8);
    let mut before = ' ';
    for c in expression.chars() {
        // `.*` is any text already, and after `]` or `)` a star repeats as in any regular expression.
        if c == '*' && !matches!(before, '.' | ']' | ')') {
            pattern.push('.');
        }
        pattern.push(c);
        before = c;
    }
    let regex = RegexBuilder::new(&format!("^(?:{pattern})$")).case_insensitive(true).size_limit(1 << 20).build();
    regex.map_err(|error| GlueError::InvalidInput(format!("Expression '{expression}' is not a pattern for names: {error}")))
}

impl Glue {
    /// `CreateTable`.
    pub async fn create_table(&self, new: Table) -> Result<(), GlueError> {
        check_indexes(&new)?;
        let place = self.lake.place.clone();
        self.lake.store.write(move |tx| catalog::create_table(tx, &place, new)).await?;
        Ok(())
    }

    /// `GetTable`.
    pub async fn table(&self, database: String, name: String) -> Result<Table, GlueError> {
        let found = self.lake.store.read(move |connection| {
            let table = catalog::table(connection, &database, &name)?;
            if table.is_none() && catalog::database(connection, &database)?.is_none() {
                return Err(GlueError::EntityNotFound(format!("Database {database} not found.")));
            }
            table.ok_or_else(|| GlueError::EntityNotFound(format!("Table {name} not found.")))
        });
        found.await
    }

    /// `GetTables`.
    pub async fn tables(
        &self,
        database: String,
        expression: Option<String>,
        token: Option<String>,
        limit: usize,
    ) -> Result<Page<Table>, GlueError> {
        let pattern = expression.as_deref().filter(|text| !text.is_empty()).map(name_pattern).transpose()?;
        let after = after(token.as_deref())?;
        let page = move |connection: &rusqlite::Connection| {
            let (mut items, mut bytes, mut more) = (Vec::<Table>::new(), 0, false);
            catalog::visit_tables(connection, &database, &after, |table| {
                if pattern.as_ref().is_some_and(|pattern| !pattern.is_match(&table.name)) {
                    return Ok(true);
                }
                more = items.len() >= limit || bytes > PAGE_BYTES;
                if !more {
                    bytes += weight(&table);
                    items.push(table);
                }
                Ok(!more)
            })?;
            let next = items.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(&last.name));
            Ok::<_, GlueError>(Page { items, next })
        };
        self.lake.store.read(page).await
    }

    /// `UpdateTable`. Members that the request leaves out are then empty: it replaces the definition.
    pub async fn update_table(
        &self,
        mut new: Table,
        skip_archive: bool,
        expected_version: Option<String>,
    ) -> Result<(), GlueError> {
        let expected = expected_version.as_deref().map(version_number).transpose()?;
        let place = self.lake.place.clone();
        let archive = if skip_archive { Archive::Skip } else { Archive::Keep };
        let update = move |tx: &millpond_store::Tx<'_>| {
            // What only CreateTable can say stays.
            if let Some(old) = catalog::table(tx, &new.database, &new.name)? {
                for name in ["PartitionIndexes", "CreatedBy"] {
                    if let Some(value) = old.kept.get(name) {
                        new.kept.insert(name.into(), value.clone());
                    }
                }
            }
            catalog::update_table(tx, &place, new, archive, expected)
        };
        self.lake.store.write(update).await?;
        Ok(())
    }

    /// `DeleteTable`.
    pub async fn delete_table(&self, database: String, name: String) -> Result<(), GlueError> {
        let place = self.lake.place.clone();
        let delete = move |tx: &millpond_store::Tx<'_>| {
            let table = catalog::delete_table(tx, &place, &database, &name)?;
            let arn = place.arn("glue", format_args!("table/{}/{}", table.database, table.name)).to_string();
            Ok::<_, GlueError>(super::tags::forget(tx, &arn)?)
        };
        self.lake.store.write(delete).await
    }

    /// `BatchDeleteTable`: answers those that could not be deleted, by their place.
    pub async fn delete_tables(&self, database: String, names: Vec<String>) -> Result<Vec<(usize, GlueError)>, GlueError> {
        let place = self.lake.place.clone();
        let errors = self.lake.store.write(move |tx| catalog::delete_tables(tx, &place, &database, &names)).await?;
        Ok(errors.into_iter().map(|(at, error)| (at, error.into())).collect())
    }

    /// `GetTableVersion`; the current one where no version is named.
    pub async fn table_version(&self, database: String, name: String, version: Option<String>) -> Result<Table, GlueError> {
        let Some(version) = version else { return self.table(database, name).await };
        let number = version_number(&version)?;
        let found = self.lake.store.read(move |connection| catalog::table_version(connection, &database, &name, number)).await?;
        found.ok_or_else(|| GlueError::EntityNotFound("Version not found.".into()))
    }

    /// `GetTableVersions`, the newest first.
    pub async fn table_versions(
        &self,
        database: String,
        name: String,
        token: Option<String>,
        limit: usize,
    ) -> Result<Page<Table>, GlueError> {
        let before = super::crawler::page::before(token.as_deref())?;
        let found = self
            .lake
            .store
            .read(move |connection| catalog::table_versions(connection, &database, &name, before, limit + 1))
            .await?;
        Ok(Page::of(found, limit, |table| table.version.to_string()))
    }

    /// `DeleteTableVersion` and `BatchDeleteTableVersion`: answers those that could not be deleted, by their place.
    pub async fn delete_table_versions(
        &self,
        database: String,
        name: String,
        versions: Vec<String>,
    ) -> Result<Vec<(usize, GlueError)>, GlueError> {
        let delete = move |tx: &millpond_store::Tx<'_>| {
            if !catalog::table_exists(tx, &database, &name)? {
                return Err(GlueError::EntityNotFound(format!("Table {name} not found.")));
            }
            let mut errors = Vec::new();
            for (at, version) in versions.iter().enumerate() {
                let deleted =
                    version_number(version).and_then(|number| Ok(catalog::delete_table_version(tx, &database, &name, number)?));
                match deleted {
                    Ok(()) => {}
                    Err(GlueError::Store(error)) => return Err(error.into()),
                    Err(error) => errors.push((at, error)),
                }
            }
            Ok(errors)
        };
        self.lake.store.write(delete).await
    }
}

fn version_number(text: &str) -> Result<i64, GlueError> {
    let wrong = || GlueError::InvalidInput(format!("VersionId '{text}' is not a version: versions are whole numbers from 0 on."));
    text.parse().ok().filter(|number| *number >= 0).ok_or_else(wrong)
}

/// What holds of `PartitionIndexes` (Glue user guide, "Creating partition indexes"): three at the most, of keys of the table. They are kept and
/// not needed: partitions are always kept in the order of their values.
fn check_indexes(table: &Table) -> Result<(), GlueError> {
    let Some(indexes) = table.kept.get("PartitionIndexes").and_then(serde_json::Value::as_array) else { return Ok(()) };
    if indexes.len() > 3 {
        return Err(GlueError::InvalidInput("A table can have 3 partition indexes at the most.".into()));
    }
    for index in indexes {
        let keys = index["Keys"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
        for key in keys {
            if !table.partition_keys.iter().any(|own| own.name.eq_ignore_ascii_case(key)) {
                return Err(GlueError::InvalidInput(format!(
                    "The partition index {} names '{key}', which is not a partition key of the table.",
                    index["IndexName"]
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_by_hives_patterns() {
        for (expression, name, matches) in [
            ("*", "anything", true),
            ("flights*", "flights_2013", true),
            ("flights*", "my_flights", false),
            ("*light*", "flights", true),
            (".*", "x", true),
            ("a|b*", "bc", true),
            ("FLIGHTS", "flights", true),
            ("full_load_*", "full_load_x", true),
            ("t[0-9]+", "t12", true),
            ("t[0-9]*", "t12", true),
            ("flight", "flights", false),
        ] {
            assert_eq!(name_pattern(expression).unwrap().is_match(name), matches, "{expression} {name}");
        }
        assert!(name_pattern("(").is_err());
        assert!(name_pattern(&"(a{1000}){1000}".repeat(3)).is_err());
    }
}
