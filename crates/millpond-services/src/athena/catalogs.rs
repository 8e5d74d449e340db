//! Data catalogs, and what is in them, as Athena's metadata calls show it.
//!
//! The lake has one catalog, `AwsDataCatalog`. What is created beside it are further names of it: of the type `GLUE`, for the lake's own account.

use super::model::{DataCatalog, Page};
use super::{Athena, AthenaError, name_page, page_size, sql};
use millpond_core::catalog::{Database, Table};
use millpond_core::env::EnvExt;
use millpond_engine::table::SourceError;
use rusqlite::Connection;
use std::collections::BTreeMap;

/// The one catalog's name.
pub(super) const CATALOG: &str = "AwsDataCatalog";

/// The parameter that says whose Glue catalog a data catalog is (Athena API reference, `CreateDataCatalog`).
const CATALOG_ID: &str = "catalog-id";

/// The lake has so many names for its catalog at the most.
const CATALOGS_MAX: usize = 1000;

/// What a data catalog is made of.
#[derive(Debug, Clone)]
pub struct NewDataCatalog {
    /// Unique, without regard to case.
    pub name: String,
    /// `GLUE`; the other types are refused.
    pub kind: String,
    /// Free text.
    pub description: Option<String>,
    /// `catalog-id`: the lake's account.
    pub parameters: BTreeMap<String, String>,
    /// In the order given.
    pub tags: Vec<(String, String)>,
}

impl Athena {
    /// Gives the lake's catalog a further name.
    ///
    /// # Errors
    /// The name is taken, the type is not `GLUE`, or the catalog is another account's.
    pub async fn create_data_catalog(&self, new: NewDataCatalog) -> Result<DataCatalog, AthenaError> {
        let catalog = self.checked(new)?;
        let created = self.lake.store.write(move |tx| {
            if catalog.name.eq_ignore_ascii_case(CATALOG) || find(tx, &catalog.name)?.is_some() {
                return Err(AthenaError::invalid(format!("DataCatalog {} has already been created", catalog.name)));
            }
            if sql::data_catalogs(tx)?.len() >= CATALOGS_MAX {
                return Err(AthenaError::invalid(format!("There are {CATALOGS_MAX} data catalogs, which is the most.")));
            }
            sql::put_data_catalog(tx, &catalog)?;
            Ok(catalog)
        });
        created.await
    }

    /// Changes a catalog's description and parameters.
    ///
    /// # Errors
    /// There is none of this name, or it is the lake's own.
    pub async fn update_data_catalog(&self, new: NewDataCatalog) -> Result<(), AthenaError> {
        let catalog = self.checked(new)?;
        let updated = self.lake.store.write(move |tx| {
            let known = require_own(tx, &catalog.name, "updated")?;
            let description = catalog.description.or(known.description);
            let changed = DataCatalog { description, name: known.name, tags: known.tags, parameters: catalog.parameters };
            Ok(sql::put_data_catalog(tx, &changed)?)
        });
        updated.await
    }

    /// Removes a name of the catalog; what is in the catalog stays.
    ///
    /// # Errors
    /// There is none of this name, or it is the lake's own.
    pub async fn delete_data_catalog(&self, name: String) -> Result<DataCatalog, AthenaError> {
        let deleted = self.lake.store.write(move |tx| {
            let known = require_own(tx, &name, "deleted")?;
            sql::delete_data_catalog(tx, &name.to_lowercase())?;
            Ok(known)
        });
        deleted.await
    }

    fn checked(&self, new: NewDataCatalog) -> Result<DataCatalog, AthenaError> {
        let NewDataCatalog { name, kind, description, mut parameters, tags } = new;
        if kind != "GLUE" {
            let message = format!(
                "Data catalogs of the type {kind} are not supported. Millpond has the type GLUE, for the lake's own account ({}).",
                self.lake.place.account
            );
            return Err(AthenaError::invalid(message));
        }
        let account = self.lake.place.account.clone();
        match parameters.get(CATALOG_ID) {
            Some(id) if *id == account => {}
            Some(id) => {
                let message = format!("{CATALOG_ID} {id} is another account's. The lake's own is {account}.");
                return Err(AthenaError::invalid(message));
            }
            None => drop(parameters.insert(CATALOG_ID.to_owned(), account)),
        }
        Ok(DataCatalog { name, description, parameters, tags })
    }

    fn own_catalog(&self) -> DataCatalog {
        DataCatalog {
            name: CATALOG.to_owned(),
            description: None,
            parameters: BTreeMap::from([(CATALOG_ID.to_owned(), self.lake.place.account.clone())]),
            tags: Vec::new(),
        }
    }

    /// The catalogs by name.
    pub async fn data_catalogs(&self, token: Option<String>, size: Option<i32>) -> Result<Page<DataCatalog>, AthenaError> {
        let mut all = self.lake.store.read(sql::data_catalogs).await.map_err(AthenaError::Store)?;
        all.push(self.own_catalog());
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(page(all, |catalog| &catalog.name, token, page_size(size, 50)))
    }

    /// A catalog; case does not count.
    ///
    /// # Errors
    /// There is none of this name.
    pub async fn data_catalog(&self, name: &str) -> Result<DataCatalog, AthenaError> {
        if name.eq_ignore_ascii_case(CATALOG) {
            return Ok(self.own_catalog());
        }
        let name = name.to_owned();
        self.lake.store.read(move |connection| find(connection, &name)?.ok_or_else(|| no_catalog(&name))).await
    }

    /// The databases by name.
    pub async fn databases(
        &self,
        catalog: &str,
        token: Option<String>,
        size: Option<i32>,
    ) -> Result<Page<Database>, AthenaError> {
        self.data_catalog(catalog).await?;
        let mut all = self.tables.databases().await.map_err(unreadable)?;
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(page(all, |database| &database.name, token, page_size(size, 50)))
    }

    /// A database.
    pub async fn database(&self, catalog: &str, name: &str) -> Result<Database, AthenaError> {
        self.data_catalog(catalog).await?;
        let name = name.to_lowercase();
        let all = self.tables.databases().await.map_err(unreadable)?;
        all.into_iter().find(|database| database.name == name).ok_or_else(|| self.no_database(&name))
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
        self.data_catalog(catalog).await?;
        let database = database.to_lowercase();
        let names = self.tables.table_names(&database).await.map_err(unreadable)?;
        let mut names = names.ok_or_else(|| self.no_database(&database))?;
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
        self.data_catalog(catalog).await?;
        let (database, name) = (database.to_lowercase(), name.to_lowercase());
        let found = self.tables.table(&database, &name).await.map_err(unreadable)?;
        found.ok_or_else(|| self.not_found("Entity Not Found"))
    }

    fn no_database(&self, name: &str) -> AthenaError {
        self.not_found(&format!("Database {name} not found."))
    }

    fn not_found(&self, message: &str) -> AthenaError {
        AthenaError::Metadata(not_found(message, &self.lake.store.env().uuid()))
    }
}

/// Glue's answer as Athena hands it on. Clients take the code out of the text.
pub(super) fn not_found(message: &str, request: &str) -> String {
    format!(
        "{message} (Service: AmazonDataCatalog; Status Code: 400; Error Code: EntityNotFoundException; Request ID: {request}; \
         Proxy: null)"
    )
}

/// A catalog that was created, by its name.
fn find(connection: &Connection, name: &str) -> Result<Option<DataCatalog>, AthenaError> {
    Ok(sql::data_catalog(connection, &name.to_lowercase())?)
}

/// A catalog that can be changed.
pub(super) fn require_own(connection: &Connection, name: &str, what: &str) -> Result<DataCatalog, AthenaError> {
    if name.eq_ignore_ascii_case(CATALOG) {
        return Err(AthenaError::invalid(format!("{CATALOG} is the lake's own catalog and cannot be {what}.")));
    }
    find(connection, name)?.ok_or_else(|| no_catalog(name))
}

fn no_catalog(name: &str) -> AthenaError {
    AthenaError::invalid(format!("DataCatalog {name} was not found. The lake's catalog is {CATALOG}."))
}

fn unreadable(error: SourceError) -> AthenaError {
    AthenaError::Metadata(error.to_string())
}

/// A page of a sorted list; the token is the last name of the page before.
fn page<T>(all: Vec<T>, name: impl Fn(&T) -> &String, token: Option<String>, size: usize) -> Page<T> {
    let after = token.unwrap_or_default();
    name_page(all.into_iter().filter(|item| *name(item) > after).take(size + 1).collect(), name, size)
}
