//! The catalog's Iceberg tables, as Iceberg's REST protocol speaks of them.

use super::crawler::page::Page;
use super::{Glue, GlueError};
use crate::lake::Lake;
use crate::lake::catalog::{self, Archive, CatalogError};
use crate::lake::iceberg::{self as versions, Commit, Ground, Pending, Snapshot};
use millpond_core::arn::Place;
use millpond_core::catalog::Table;
use millpond_core::env::SharedEnv;
use millpond_core::error::ErrorKind;
use millpond_engine::iceberg::commit::Prepared;
use millpond_engine::iceberg::{self, metadata, rest};
use millpond_engine::query::QueryError;
use millpond_store::{StoreError, Tx};
use rusqlite::Connection;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tables that one transaction of a client may change.
const CHANGES_MAX: usize = 100;

/// A table's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableIdent {
    /// Lower case.
    pub database: String,
    /// Lower case.
    pub name: String,
}

impl std::fmt::Display for TableIdent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.database, self.name)
    }
}

/// A table that a client wants to have: JSON as in the specification's `CreateTableRequest`.
#[derive(Debug, Clone)]
pub struct NewTable {
    /// Its name.
    pub ident: TableIdent,
    /// `s3://bucket/prefix`; `None`: below its database's location.
    pub location: Option<String>,
    /// `Schema`
    pub schema: Value,
    /// `PartitionSpec`
    pub partition_spec: Option<Value>,
    /// `SortOrder`
    pub write_order: Option<Value>,
    /// The table's own.
    pub properties: BTreeMap<String, String>,
    /// Only described, and made by a later commit.
    pub stage: bool,
}

/// What is to become of a table.
#[derive(Debug, Clone)]
pub struct TableChange {
    /// Its name.
    pub ident: TableIdent,
    /// `TableRequirement`s
    pub requirements: Vec<Value>,
    /// `TableUpdate`s
    pub updates: Vec<Value>,
}

/// A table's current version.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedTable {
    /// `None`: it is only staged.
    pub metadata_location: Option<String>,
    /// `TableMetadata`
    pub metadata: Value,
}

/// Why an operation on Iceberg tables failed. The texts say what and where.
#[derive(Debug, thiserror::Error)]
pub enum IcebergError {
    /// There is no such database.
    #[error("Namespace does not exist: {0}")]
    NoDatabase(String),
    /// There is no such table.
    #[error("Table does not exist: {0}")]
    NoTable(TableIdent),
    /// The table is not Iceberg's.
    #[error("Not an Iceberg table: {0}")]
    NotIceberg(TableIdent),
    /// The name is taken.
    #[error("Table already exists: {0}")]
    AlreadyExists(TableIdent),
    /// The database has tables.
    #[error("Namespace {0} is not empty.")]
    NotEmpty(String),
    /// Another commit came first.
    #[error("Cannot commit {0}: the table has changed meanwhile. Load it again, and retry.")]
    Conflict(TableIdent),
    /// The request is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The engine's.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The catalog's.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl IcebergError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoDatabase(_) | Self::NoTable(_) | Self::NotIceberg(_) => ErrorKind::Missing,
            Self::AlreadyExists(_) | Self::NotEmpty(_) | Self::Conflict(_) => ErrorKind::Conflict,
            Self::Invalid(_) => ErrorKind::Input,
            Self::Query(error) => error.kind(),
            Self::Catalog(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }
}

fn named(ident: &TableIdent) -> impl Fn(QueryError) -> IcebergError + '_ {
    move |error| match versions::is_conflict(&error) {
        true => IcebergError::Conflict(ident.clone()),
        false => error.into(),
    }
}

fn find(connection: &Connection, ident: &TableIdent) -> Result<Table, IcebergError> {
    match catalog::table(connection, &ident.database, &ident.name)? {
        Some(table) if iceberg::is_iceberg(&table) => Ok(table),
        Some(_) => Err(IcebergError::NotIceberg(ident.clone())),
        None if catalog::database(connection, &ident.database)?.is_none() => {
            Err(IcebergError::NoDatabase(ident.database.clone()))
        }
        None => Err(IcebergError::NoTable(ident.clone())),
    }
}

fn loaded(prepared: &Prepared) -> Result<LoadedTable, IcebergError> {
    Ok(LoadedTable { metadata_location: Some(prepared.location.clone()), metadata: rest::encode(&prepared.metadata)? })
}

/// What a change does in its transaction.
enum Planned {
    Create(TableIdent, Prepared),
    Commit(TableIdent, Pending),
}

impl Planned {
    async fn new(lake: &Lake, change: TableChange) -> Result<Self, IcebergError> {
        let TableChange { ident, requirements, updates } = change;
        let (requirements, updates) = (rest::requirements(requirements)?, rest::updates(updates)?);
        if rest::creates(&requirements) {
            let prepared = rest::create_staged(updates)?;
            return Ok(Self::Create(ident, prepared));
        }
        let looked = ident.clone();
        lake.store.read(move |connection| find(connection, &looked).map(drop)).await?;
        let commit = Commit::Updates { requirements, updates };
        let pending = versions::pending(lake, &ident.database, &ident.name, commit).await.map_err(named(&ident))?;
        Ok(Self::Commit(ident, pending))
    }

    fn carry_out(self, tx: &Tx<'_>, place: &Place, lake: &Lake) -> Result<Prepared, IcebergError> {
        match self {
            Self::Create(ident, prepared) => create(tx, place, lake, &ident, &prepared, Ground::Prepared).map(|()| prepared),
            Self::Commit(ident, pending) => {
                find(tx, &ident)?;
                let blobs = lake.store.blobs();
                versions::commit(tx, place, blobs, &ident.database, &ident.name, pending).map_err(named(&ident))
            }
        }
    }
}

fn create(
    tx: &Tx<'_>,
    place: &Place,
    lake: &Lake,
    ident: &TableIdent,
    prepared: &Prepared,
    ground: Ground,
) -> Result<(), IcebergError> {
    match versions::create(tx, place, lake.store.blobs(), (&ident.database, &ident.name), prepared, ground) {
        Ok(_) => Ok(()),
        Err(Ok(CatalogError::AlreadyExists(_))) => Err(IcebergError::AlreadyExists(ident.clone())),
        Err(Ok(CatalogError::NotFound(_))) => Err(IcebergError::NoDatabase(ident.database.clone())),
        Err(Ok(error)) => Err(error.into()),
        Err(Err(error)) => Err(named(ident)(error)),
    }
}

impl Glue {
    /// Names of a database's Iceberg tables. A page may have fewer than it could.
    ///
    /// # Errors
    /// There is no such database; the token is none.
    pub async fn iceberg_names(&self, database: String, token: Option<String>, limit: usize) -> Result<Page<String>, GlueError> {
        let page = self.tables(database, None, token, limit).await?;
        let items = page.items.into_iter().filter(iceberg::is_iceberg).map(|table| table.name).collect();
        Ok(Page { items, next: page.next })
    }

    /// A table's current version.
    ///
    /// # Errors
    /// There is no such table, or it cannot be read.
    pub async fn load_iceberg(&self, ident: TableIdent) -> Result<LoadedTable, IcebergError> {
        let blobs = self.lake.store.blobs().clone();
        let found = self.lake.store.read(move |connection| {
            let table = find(connection, &ident)?;
            let location = iceberg::metadata_location(&table)?;
            let metadata = metadata::load(&Snapshot::new(connection, &blobs), location)?;
            let metadata = rest::encode(&metadata)?;
            Ok(LoadedTable { metadata_location: Some(location.to_owned()), metadata })
        });
        found.await
    }

    /// Makes a table, or describes one that a later commit makes.
    ///
    /// # Errors
    /// The name is taken, its description is wrong, or there is no place for it.
    pub async fn create_iceberg(&self, new: NewTable) -> Result<LoadedTable, IcebergError> {
        let NewTable { ident, location, schema, partition_spec, write_order, properties, stage } = new;
        let looked = ident.clone();
        let env = self.lake.store.env().clone();
        let location = self.lake.store.read(move |connection| place_of(connection, &looked, location, &env)).await?;
        let prepared = rest::create(rest::Creation {
            name: ident.name.clone(),
            location,
            schema,
            partition_spec,
            write_order,
            properties: properties.into_iter().collect(),
        })?;
        let mut described = loaded(&prepared)?;
        if stage {
            described.metadata_location = None;
            return Ok(described);
        }
        let (lake, place) = (self.lake.clone(), self.lake.place.clone());
        self.lake.store.write(move |tx| create(tx, &place, &lake, &ident, &prepared, Ground::Empty)).await?;
        Ok(described)
    }

    /// Commits changes of tables: all of them, or none.
    ///
    /// # Errors
    /// A requirement does not hold any more ([`IcebergError::Conflict`]), or a change cannot be made.
    pub async fn commit_iceberg(&self, changes: Vec<TableChange>) -> Result<Vec<LoadedTable>, IcebergError> {
        if changes.len() > CHANGES_MAX {
            return Err(IcebergError::Invalid(format!("A transaction changes {CHANGES_MAX} tables at the most.")));
        }
        let mut planned = Vec::with_capacity(changes.len());
        for change in changes {
            planned.push(Planned::new(&self.lake, change).await?);
        }
        let (lake, place) = (self.lake.clone(), Arc::clone(&self.lake.place));
        let committed = self.lake.store.write(move |tx| {
            planned.into_iter().map(|planned| planned.carry_out(tx, &place, &lake)).collect::<Result<Vec<_>, IcebergError>>()
        });
        committed.await?.iter().map(loaded).collect()
    }

    /// Puts a table into the catalog whose metadata are there already.
    ///
    /// # Errors
    /// The name is taken and not to be overwritten; the metadata cannot be read.
    pub async fn register_iceberg(
        &self,
        ident: TableIdent,
        metadata_location: String,
        overwrite: bool,
    ) -> Result<LoadedTable, IcebergError> {
        let (lake, place) = (self.lake.clone(), self.lake.place.clone());
        let registered = self.lake.store.write(move |tx| {
            let metadata = Arc::new(metadata::load(&Snapshot::new(tx, lake.store.blobs()), &metadata_location)?);
            let prepared = Prepared { base: None, location: metadata_location, metadata, objects: Vec::new() };
            if overwrite && catalog::table_exists(tx, &ident.database, &ident.name)? {
                let mut table = find(tx, &ident)?;
                prepared.describe(&mut table);
                catalog::update_table(tx, &place, table, Archive::Keep, None)?;
            } else {
                create(tx, &place, &lake, &ident, &prepared, Ground::Table)?;
            }
            loaded(&prepared)
        });
        registered.await
    }

    /// Takes a table out of the catalog; `purge` deletes its objects, too.
    ///
    /// # Errors
    /// There is no such table.
    pub async fn drop_iceberg(&self, ident: TableIdent, purge: bool) -> Result<(), IcebergError> {
        let (blobs, place) = (self.lake.store.blobs().clone(), self.lake.place.clone());
        let dropped = self.lake.store.write(move |tx| {
            let table = find(tx, &ident)?;
            match purge {
                true => Ok(versions::drop_table(tx, &place, &blobs, &table)?),
                false => Ok(catalog::delete_table(tx, &place, &ident.database, &ident.name).map(drop)?),
            }
        });
        dropped.await
    }

    /// Gives a table another name. Its objects stay where they are.
    ///
    /// # Errors
    /// There is no such table, or the new name is taken.
    pub async fn rename_iceberg(&self, from: TableIdent, to: TableIdent) -> Result<(), IcebergError> {
        let place = self.lake.place.clone();
        let renamed = self.lake.store.write(move |tx| {
            let table = find(tx, &from)?;
            if catalog::database(tx, &to.database)?.is_none() {
                return Err(IcebergError::NoDatabase(to.database));
            }
            if catalog::table_exists(tx, &to.database, &to.name)? {
                return Err(IcebergError::AlreadyExists(to));
            }
            catalog::delete_table(tx, &place, &from.database, &from.name)?;
            catalog::create_table(tx, &place, Table { database: to.database, name: to.name, ..table })?;
            Ok(())
        });
        renamed.await
    }

    /// Deletes a database that has no tables.
    ///
    /// # Errors
    /// It has some, or there is no such database.
    pub async fn drop_empty_database(&self, name: String) -> Result<(), IcebergError> {
        let place = self.lake.place.clone();
        let dropped = self.lake.store.write(move |tx| {
            let tables = catalog::table_names(tx, &name)?.ok_or_else(|| IcebergError::NoDatabase(name.clone()))?;
            if !tables.is_empty() {
                return Err(IcebergError::NotEmpty(name));
            }
            Ok(catalog::delete_database(tx, &place, &name)?)
        });
        dropped.await
    }
}

/// Where a new table's files go: where its client says, else below its database's location, at a place that is nobody's.
fn place_of(connection: &Connection, ident: &TableIdent, asked: Option<String>, env: &SharedEnv) -> Result<String, IcebergError> {
    let database = catalog::database(connection, &ident.database)?;
    let database = database.ok_or_else(|| IcebergError::NoDatabase(ident.database.clone()))?;
    if let Some(location) = asked.filter(|location| !location.is_empty()) {
        return Ok(location.trim_end_matches('/').to_owned());
    }
    match database.location_uri.filter(|location| !location.is_empty()) {
        Some(location) => {
            let own = format!("{}/{}", location.trim_end_matches('/'), ident.name);
            Ok(versions::free_location(connection, own, (&ident.database, &ident.name), env)?)
        }
        None => Err(IcebergError::Invalid(format!(
            "The table {ident} has no location, and neither has its database: name one (s3://bucket/prefix) for either."
        ))),
    }
}
