//! The data catalog, as Athena's metadata calls show it. There is one: `AwsDataCatalog`.

use super::model::Page;
use super::{Athena, AthenaError, page_size};
use millpond_core::catalog::{Database, Table};
use millpond_engine::table::SourceError;

/// The one catalog's name.
pub(super) const CATALOG: &str = "AwsDataCatalog";

impl Athena {
    /// The catalogs' names.
    pub fn data_catalogs(&self) -> Vec<&'static str> {
        vec![CATALOG]
    }

    /// The catalog's name as AWS writes it.
    pub fn data_catalog(&self, name: &str) -> Result<&'static str, AthenaError> {
        match name.eq_ignore_ascii_case(CATALOG) {
            true => Ok(CATALOG),
            false => Err(AthenaError::invalid(format!("DataCatalog {name} was not found. The lake's catalog is {CATALOG}."))),
        }
    }

    /// The databases by name.
    pub async fn databases(
        &self,
        catalog: &str,
        token: Option<String>,
        size: Option<i32>,
    ) -> Result<Page<Database>, AthenaError> {
        self.data_catalog(catalog)?;
        let mut all = self.tables.databases().await.map_err(unreadable)?;
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(page(all, |database| &database.name, token, page_size(size, 50)))
    }

    /// A database.
    pub async fn database(&self, catalog: &str, name: &str) -> Result<Database, AthenaError> {
        self.data_catalog(catalog)?;
        let name = name.to_lowercase();
        let all = self.tables.databases().await.map_err(unreadable)?;
        all.into_iter().find(|database| database.name == name).ok_or_else(|| no_database(&name))
    }

    /// The tables of a database whose names match `expression` (a regular expression), by name.
    pub async fn table_metadata(
        &self,
        catalog: &str,
        database: &str,
        expression: Option<String>,
        token: Option<String>,
        size: Option<i32>,
    ) -> Result<Page<Table>, AthenaError> {
        self.data_catalog(catalog)?;
        let database = database.to_lowercase();
        let mut names = self.tables.table_names(&database).await.map_err(unreadable)?.ok_or_else(|| no_database(&database))?;
        if let Some(expression) = expression.filter(|expression| !expression.is_empty()) {
            // `*` alone is not a regular expression, but what people write.
            let pattern = format!("^(?i:{})$", if expression == "*" { ".*" } else { &expression });
            let pattern = regex::RegexBuilder::new(&pattern).size_limit(1 << 20).build();
            let pattern =
                pattern.map_err(|error| AthenaError::invalid(format!("Expression is not a regular expression: {error}")))?;
            names.retain(|name| pattern.is_match(name));
        }
        let names = page(names, |name| name, token, page_size(size, 50));
        let mut items = Vec::with_capacity(names.items.len());
        for name in names.items {
            // One that was dropped in between is simply not listed.
            items.extend(self.tables.table(&database, &name).await.map_err(unreadable)?);
        }
        Ok(Page { items, next: names.next })
    }

    /// A table.
    pub async fn one_table_metadata(&self, catalog: &str, database: &str, name: &str) -> Result<Table, AthenaError> {
        self.data_catalog(catalog)?;
        let (database, name) = (database.to_lowercase(), name.to_lowercase());
        let found = self.tables.table(&database, &name).await.map_err(unreadable)?;
        found.ok_or_else(|| AthenaError::Metadata(format!("EntityNotFoundException: Entity Not Found: table {database}.{name}")))
    }
}

fn no_database(name: &str) -> AthenaError {
    AthenaError::Metadata(format!("EntityNotFoundException: Database {name} not found."))
}

fn unreadable(error: SourceError) -> AthenaError {
    AthenaError::Metadata(error.to_string())
}

/// A page of a sorted list; the token is the last name of the page before.
fn page<T>(all: Vec<T>, name: impl Fn(&T) -> &String, token: Option<String>, size: usize) -> Page<T> {
    let after = token.unwrap_or_default();
    let mut items: Vec<T> = all.into_iter().filter(|item| *name(item) > after).take(size + 1).collect();
    let more = items.len() > size;
    items.truncate(size);
    let next = more.then(|| items.last().map(|item| name(item).clone())).flatten();
    Page { items, next }
}
