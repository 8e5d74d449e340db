//! The tables that a statement names, resolved before planning, in the form in which DataFusion asks for them.

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::Result;
use std::collections::HashMap;
use std::sync::Arc;

/// The name of the lake's one catalog.
pub(crate) const CATALOG: &str = "awsdatacatalog";

/// `(database, table)` to provider. Answers for every catalog level of DataFusion, and holds nothing but what the statement named.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    databases: HashMap<String, Arc<Database>>,
}

#[derive(Debug, Default)]
struct Database {
    tables: HashMap<String, Arc<dyn TableProvider>>,
}

impl Resolved {
    pub(crate) fn new(tables: HashMap<(String, String), Arc<dyn TableProvider>>) -> Self {
        let mut databases: HashMap<String, Database> = HashMap::new();
        for ((database, table), provider) in tables {
            databases.entry(database).or_default().tables.insert(table, provider);
        }
        Self { databases: databases.into_iter().map(|(name, database)| (name, Arc::new(database))).collect() }
    }
}

/// A list with one catalog, whatever it is called: names were checked when they were resolved.
#[derive(Debug)]
pub(crate) struct OneCatalog(pub(crate) Arc<Resolved>);

impl CatalogProviderList for OneCatalog {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, _: &str) -> Option<Arc<dyn CatalogProvider>> {
        Some(Arc::clone(&self.0) as Arc<dyn CatalogProvider>)
    }
}

impl CatalogProvider for Resolved {
    fn schema_names(&self) -> Vec<String> {
        self.databases.keys().cloned().collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        self.databases.get(name).map(|database| Arc::clone(database) as Arc<dyn SchemaProvider>)
    }
}

#[async_trait]
impl SchemaProvider for Database {
    fn table_names(&self) -> Vec<String> {
        self.tables.keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.tables.get(name).cloned())
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.contains_key(name)
    }
}
