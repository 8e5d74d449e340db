//! Databases.

use super::crawler::page::{Page, after};
use super::tags::{self, Tags};
use super::{Glue, GlueError};
use crate::lake::catalog;
use millpond_core::catalog::Database;

impl Glue {
    /// Checks the catalog that a request names: there is one, the account's own.
    pub fn check_catalog(&self, catalog: Option<&str>) -> Result<(), GlueError> {
        match catalog {
            Some(other) if other != self.lake.place.account => Err(GlueError::EntityNotFound(format!(
                "Catalog {other} not found. This lake has one catalog, that of its account: {}.",
                self.lake.place.account
            ))),
            _ => Ok(()),
        }
    }

    /// `CreateDatabase`.
    pub async fn create_database(&self, new: Database, tags: Tags) -> Result<(), GlueError> {
        let place = self.lake.place.clone();
        let create = move |tx: &millpond_store::Tx<'_>| {
            let database = catalog::create_database(tx, &place, new)?;
            tags::set(tx, &place.arn("glue", format_args!("database/{}", database.name)).to_string(), &tags)
        };
        self.lake.store.write(create).await
    }

    /// `GetDatabase`.
    pub async fn database(&self, name: String) -> Result<Database, GlueError> {
        let found = self.lake.store.read(move |connection| {
            let database = catalog::database(connection, &name)?;
            database.ok_or_else(|| GlueError::EntityNotFound(format!("Database {name} not found.")))
        });
        found.await
    }

    /// `GetDatabases`.
    pub async fn databases(&self, token: Option<String>, limit: usize) -> Result<Page<Database>, GlueError> {
        let after = after(token.as_deref())?;
        let found = self.lake.store.read(move |connection| catalog::databases(connection, &after, limit + 1)).await?;
        Ok(Page::of(found, limit, |database| database.name.clone()))
    }

    /// `UpdateDatabase`.
    pub async fn update_database(&self, name: String, new: Database) -> Result<(), GlueError> {
        self.lake.store.write(move |tx| catalog::update_database(tx, &name, new)).await?;
        Ok(())
    }

    /// `DeleteDatabase`: with all its tables.
    pub async fn delete_database(&self, name: String) -> Result<(), GlueError> {
        let place = self.lake.place.clone();
        let delete = move |tx: &millpond_store::Tx<'_>| {
            catalog::delete_database(tx, &place, &name)?;
            let arn = place.arn("glue", format_args!("database/{}", name.to_lowercase())).to_string();
            Ok::<_, GlueError>(tags::forget(tx, &arn)?)
        };
        self.lake.store.write(delete).await
    }
}
