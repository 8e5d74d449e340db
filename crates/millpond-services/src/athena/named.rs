use super::model::{NamedQuery, Page};
use super::workgroups::{PRIMARY, require};
use super::{Athena, AthenaError, before, id_page, page_size, sql};
use millpond_core::env::EnvExt;

/// A named query to create.
#[derive(Debug, Clone)]
pub struct NewNamedQuery {
    /// Need not be unique.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// The database it is for.
    pub database: String,
    /// The statement.
    pub query: String,
    /// `primary` where absent.
    pub workgroup: Option<String>,
    /// The same token answers the same id.
    pub token: Option<String>,
}

impl Athena {
    /// Saves a query under a name; answers its id.
    pub async fn create_named_query(&self, new: NewNamedQuery) -> Result<String, AthenaError> {
        let created = self.lake.store.write(move |tx| {
            let workgroup = new.workgroup.unwrap_or_else(|| PRIMARY.into());
            require(tx, &workgroup)?;
            if let Some(known) = new.token.as_deref().map(|token| sql::named_query_of_token(tx, token)).transpose()?.flatten() {
                return Ok(known.id);
            }
            let NewNamedQuery { name, description, database, query, token, .. } = new;
            let named = NamedQuery { id: tx.env().uuid(), name, description, database, query, workgroup };
            sql::insert_named_query(tx, &named, token.as_deref())?;
            Ok(named.id)
        });
        created.await
    }

    /// A named query.
    pub async fn named_query(&self, id: &str) -> Result<NamedQuery, AthenaError> {
        let id = id.to_owned();
        let found = self.lake.store.read(move |connection| {
            sql::named_query(connection, &id)?.ok_or_else(|| AthenaError::invalid(format!("NamedQuery {id} was not found")))
        });
        found.await
    }

    /// Changes a named query's name, text and, where one is given, description.
    pub async fn update_named_query(
        &self,
        id: String,
        name: String,
        description: Option<String>,
        query: String,
    ) -> Result<(), AthenaError> {
        let updated = self.lake.store.write(move |tx| {
            let missing = || AthenaError::invalid(format!("NamedQuery {id} was not found"));
            let named = sql::named_query(tx, &id)?.ok_or_else(missing)?;
            let description = description.or(named.description);
            Ok(sql::update_named_query(tx, &NamedQuery { name, description, query, ..named })?)
        });
        updated.await
    }

    /// The ids of a workgroup's named queries, the latest first.
    pub async fn named_queries(
        &self,
        workgroup: Option<String>,
        token: Option<String>,
        size: Option<i32>,
    ) -> Result<Page<String>, AthenaError> {
        let (size, before) = (page_size(size, 50), before(token.as_deref())?);
        let listed = self.lake.store.read(move |connection| {
            let workgroup = workgroup.unwrap_or_else(|| PRIMARY.into());
            require(connection, &workgroup)?;
            Ok(id_page(sql::named_query_ids(connection, &workgroup, before, size + 1)?, size))
        });
        listed.await
    }

    /// Removes a named query.
    pub async fn delete_named_query(&self, id: String) -> Result<(), AthenaError> {
        let deleted = self.lake.store.write(move |tx| match sql::delete_named_query(tx, &id)? {
            true => Ok(()),
            false => Err(AthenaError::invalid(format!("NamedQuery {id} was not found"))),
        });
        deleted.await
    }
}
