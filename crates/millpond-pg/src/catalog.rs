//! What clients ask about tables in PostgreSQL's words: `pg_catalog` over the lake's catalog, by `datafusion-pg-catalog`.
//!
//! Such a statement reads no data of the lake, and is no execution of Athena's: `\d` would fill the history. It runs on the engine's
//! threads, within its memory. Only `SELECT`s get here, and all that they can name is in the catalog.

use crate::portal::named;
use crate::settings::{CATALOG, Session};
use crate::text::tokens;
use arrow::array::{ArrayRef, Int32Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, TableType, Volatility, create_udf};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{Expr, Function, ObjectName, Statement, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion_pg_catalog::pg_catalog::PG_CATALOG_TABLES;
use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_pg_catalog::setup_pg_catalog;
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use futures::StreamExt;
use millpond_core::catalog::Table;
use millpond_engine::query::{Engine, view};
use millpond_engine::table::TableSource;
use millpond_engine::types::arrow_type;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, RwLock};
use tokio::sync::{OnceCell, mpsc};

/// Functions of PostgreSQL's about the server, which clients call without a table.
const FUNCTIONS: &[&str] = &[
    "current_catalog",
    "current_database",
    "current_schema",
    "current_schemas",
    "current_setting",
    "format_type",
    "has_any_column_privilege",
    "has_database_privilege",
    "has_schema_privilege",
    "has_table_privilege",
    "inet_server_addr",
    "inet_server_port",
    "quote_ident",
    "session_user",
    "set_config",
    "version",
];

/// Longer statements are none that a client asks the catalog.
const TOKENS_MAX: usize = 4000;

/// Whether a statement is about PostgreSQL's catalog, and not about the lake's data.
pub(crate) fn concerns(sql: &str) -> bool {
    let lower = sql.to_ascii_lowercase();
    if !lower.contains("pg_") && !FUNCTIONS.iter().any(|name| lower.contains(name)) {
        return false;
    }
    // The tree is as deep as a chain of operators is long. The engine's own parser says what is wrong with such a statement.
    if tokens(sql).len() > TOKENS_MAX {
        return false;
    }
    let Ok(statements) = Parser::parse_sql(&PostgreSqlDialect {}, sql) else { return false };
    let [statement @ Statement::Query(_)] = statements.as_slice() else { return false };
    let mut names = Names::default();
    let _ = statement.visit(&mut names);
    names.ours > 0 || (names.lakes == 0 && names.calls > 0)
}

/// What a statement names.
#[derive(Default)]
struct Names {
    /// Tables of `pg_catalog`.
    ours: usize,
    /// Other tables.
    lakes: usize,
    /// Functions about the server.
    calls: usize,
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let parts: Vec<String> =
            relation.0.iter().filter_map(|part| part.as_ident()).map(|part| part.value.to_lowercase()).collect();
        let is_ours = match parts.as_slice() {
            [table] => PG_CATALOG_TABLES.contains(&table.as_str()),
            [.., schema, _] => schema == "pg_catalog",
            [] => false,
        };
        if is_ours {
            self.ours += 1
        } else {
            self.lakes += 1
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(Function { name, .. }) = expr
            && let Some(last) = name.0.last().and_then(|part| part.as_ident())
        {
            let last = last.value.to_lowercase();
            let qualified = name.0.len() > 1 && name.to_string().to_lowercase().starts_with("pg_catalog.");
            self.calls += usize::from(qualified || last.starts_with("pg_") || FUNCTIONS.contains(&last.as_str()));
        }
        ControlFlow::Continue(())
    }
}

/// The catalog, made when it is first asked.
pub(crate) struct Catalog {
    engine: Arc<Engine>,
    tables: Arc<dyn TableSource>,
    made: OnceCell<Arc<Made>>,
}

struct Made {
    context: SessionContext,
    databases: Arc<Databases>,
    parser: PostgresCompatibilityParser,
}

/// A catalog query that runs: its rows.
pub(crate) struct CatalogRows {
    pub(crate) schema: SchemaRef,
    batches: mpsc::Receiver<DfResult<RecordBatch>>,
    task: tokio::task::JoinHandle<()>,
}

impl CatalogRows {
    /// The next rows.
    pub(crate) async fn next(&mut self) -> Option<Result<RecordBatch, String>> {
        let next = self.batches.recv().await?;
        Some(next.map_err(|error| error.strip_backtrace()))
    }
}

impl Drop for CatalogRows {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Catalog {
    pub(crate) fn new(engine: Arc<Engine>, tables: Arc<dyn TableSource>) -> Self {
        Self { engine, tables, made: OnceCell::new() }
    }

    /// Runs a statement that [`concerns`] the catalog.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) async fn query(&self, sql: &str, session: &Session) -> Result<CatalogRows, String> {
        let databases = self.databases().await?;
        let made = Arc::clone(self.made.get_or_try_init(|| self.make()).await?);
        *made.databases.lake.write().expect("nothing panics while it holds the databases") = databases;
        let state = SessionStateBuilder::new_from_existing(made.context.state()).build();
        let context = SessionContext::new_with_state(state);
        for function in about(session) {
            context.register_udf(function);
        }
        let sql = sql.to_owned();
        let planned = self.engine.handle().spawn(async move {
            let mut statements = made.parser.parse(&sql).map_err(|error| DataFusionError::Plan(error.to_string()))?;
            let statement = match (statements.pop(), statements.is_empty()) {
                (Some(statement @ Statement::Query(_)), true) => statement,
                _ => return Err(DataFusionError::Plan("only one SELECT at a time can ask the catalog".to_owned())),
            };
            let state = context.state();
            let logical = state.statement_to_plan(DfStatement::Statement(Box::new(statement))).await?;
            let physical = state.create_physical_plan(&logical).await?;
            let schema = Arc::new(logical.schema().as_arrow().clone());
            Ok::<_, DataFusionError>((schema, execute_stream(physical, state.task_ctx())?))
        });
        let planned =
            planned.await.map_err(|_| "the catalog could not be asked; the reason is in the server's log".to_owned())?;
        let (schema, mut stream): (SchemaRef, SendableRecordBatchStream) = planned.map_err(|error| error.strip_backtrace())?;
        let (sender, batches) = mpsc::channel(2);
        let task = self.engine.handle().spawn(async move {
            while let Some(batch) = stream.next().await {
                let failed = batch.is_err();
                if sender.send(batch).await.is_err() || failed {
                    return;
                }
            }
        });
        Ok(CatalogRows { schema, batches, task })
    }

    /// Reads what is always in PostgreSQL's catalog: some work, and not of the threads that serve.
    async fn make(&self) -> Result<Arc<Made>, String> {
        let engine = Arc::clone(&self.engine);
        let made = self.engine.handle().spawn_blocking(move || Made::new(&engine));
        let made = made.await.map_err(|_| "the catalog could not be made; the reason is in the server's log".to_owned())?;
        made.map(Arc::new).map_err(|error| error.strip_backtrace())
    }

    /// The lake's databases as they are now, with their tables' names.
    async fn databases(&self) -> Result<BTreeMap<String, Arc<dyn SchemaProvider>>, String> {
        let mut found: BTreeMap<String, Arc<dyn SchemaProvider>> = BTreeMap::new();
        for database in self.tables.databases().await.map_err(|error| error.to_string())? {
            let names = self.tables.table_names(&database.name).await.map_err(|error| error.to_string())?.unwrap_or_default();
            let tables = Arc::clone(&self.tables);
            found.insert(database.name.clone(), Arc::new(LakeDatabase { database: database.name, names, tables }));
        }
        Ok(found)
    }
}

impl Made {
    fn new(engine: &Engine) -> DfResult<Self> {
        let mut config = SessionConfig::new().with_target_partitions(1).with_default_catalog_and_schema(CATALOG, "pg_catalog");
        config = config.with_create_default_catalog_and_schema(false).with_information_schema(false);
        config.options_mut().sql_parser.map_string_types_to_utf8view = false;
        let environment = RuntimeEnvBuilder::new().with_memory_pool(engine.memory_pool()).build_arc()?;
        let state = SessionStateBuilder::new_with_default_features().with_config(config).with_runtime_env(environment);
        let context = SessionContext::new_with_state(state.build());
        let databases = Arc::new(Databases::default());
        context.register_catalog(CATALOG, Arc::clone(&databases) as Arc<dyn CatalogProvider>);
        setup_pg_catalog(&context, CATALOG, EmptyContextProvider).map_err(|error| *error)?;
        Ok(Self { context, databases, parser: PostgresCompatibilityParser::new() })
    }
}

/// Functions whose answer is the session's.
fn about(session: &Session) -> Vec<ScalarUDF> {
    let constant = |name: &str, value: String| {
        let answer = move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(value.clone().into()));
        create_udf(name, Vec::new(), DataType::Utf8, Volatility::Stable, Arc::new(answer))
    };
    let version = session.get("server_version").unwrap_or_default();
    let schema = session.database.clone();
    let schemas = move |_: &[ColumnarValue]| {
        let names: ArrayRef = Arc::new(StringArray::from(vec![schema.clone(), "pg_catalog".to_owned()]));
        let field = Arc::new(Field::new("item", DataType::Utf8, true));
        let list = ListArray::try_new(field, datafusion::arrow::buffer::OffsetBuffer::from_lengths([2]), names, None)?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    };
    let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
    vec![
        constant("current_schema", session.database.clone()),
        constant("current_user", session.user.clone()),
        constant("session_user", session.user.clone()),
        constant("version", format!("PostgreSQL {version}")),
        create_udf("current_schemas", vec![DataType::Boolean], list, Volatility::Stable, Arc::new(schemas)),
        current_setting(session.clone()),
        to_regtype(),
    ]
}

/// `to_regtype('name')`: the type's number; NULL where there is none, which is how clients ask for extensions.
fn to_regtype() -> ScalarUDF {
    let answer = |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let names = datafusion::common::cast::as_string_array(&arrays[0])?;
        let oid = |name: &str| named(name).map(|kind| kind.oid().cast_signed());
        let oids: Int32Array = names.iter().map(|name| name.and_then(oid)).collect();
        Ok(ColumnarValue::Array(Arc::new(oids) as ArrayRef))
    };
    create_udf("to_regtype", vec![DataType::Utf8], DataType::Int32, Volatility::Stable, Arc::new(answer))
}

/// `current_setting('name')`
fn current_setting(session: Session) -> ScalarUDF {
    let answer = move |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let names = datafusion::common::cast::as_string_array(&arrays[0])?;
        let values: StringArray = names.iter().map(|name| name.and_then(|name| session.get(name))).collect();
        Ok(ColumnarValue::Array(Arc::new(values) as ArrayRef))
    };
    create_udf("current_setting", vec![DataType::Utf8], DataType::Utf8, Volatility::Stable, Arc::new(answer))
}

/// The one catalog: the lake's databases, and `pg_catalog`.
#[derive(Debug, Default)]
struct Databases {
    lake: RwLock<BTreeMap<String, Arc<dyn SchemaProvider>>>,
    own: RwLock<BTreeMap<String, Arc<dyn SchemaProvider>>>,
}

impl CatalogProvider for Databases {
    fn schema_names(&self) -> Vec<String> {
        let (lake, own) = (self.lake.read(), self.own.read());
        let names = lake.iter().chain(own.iter()).flat_map(|databases| databases.keys().cloned());
        names.collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let find = |databases: &RwLock<BTreeMap<String, Arc<dyn SchemaProvider>>>| databases.read().ok()?.get(name).cloned();
        find(&self.own).or_else(|| find(&self.lake))
    }

    fn register_schema(&self, name: &str, schema: Arc<dyn SchemaProvider>) -> DfResult<Option<Arc<dyn SchemaProvider>>> {
        Ok(self.own.write().expect("nothing panics while it holds the schemas").insert(name.to_owned(), schema))
    }
}

/// A database of the lake: its tables have columns, and no rows.
#[derive(Debug)]
struct LakeDatabase {
    database: String,
    names: Vec<String>,
    tables: Arc<dyn TableSource>,
}

#[async_trait]
impl SchemaProvider for LakeDatabase {
    fn table_names(&self) -> Vec<String> {
        self.names.clone()
    }

    async fn table(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
        let found = self.find(name).await?;
        Ok(found.map(|table| Arc::new(EmptyTable::new(Arc::new(schema(&table)))) as Arc<dyn TableProvider>))
    }

    async fn table_type(&self, name: &str) -> DfResult<Option<TableType>> {
        Ok(self.find(name).await?.map(|table| if view::is_view(&table) { TableType::View } else { TableType::Base }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }
}

impl LakeDatabase {
    async fn find(&self, name: &str) -> DfResult<Option<Table>> {
        self.tables.table(&self.database, name).await.map_err(|error| DataFusionError::External(Box::new(error)))
    }
}

/// A table's columns, with text for what PostgreSQL has no type for.
fn schema(table: &Table) -> Schema {
    let columns = table.storage.columns.iter().chain(&table.partition_keys);
    let fields = columns.map(|column| {
        let data_type = match arrow_type(&column.data_type) {
            Ok(DataType::Map(_, _) | DataType::Struct(_)) | Err(_) => DataType::Utf8,
            Ok(DataType::List(item)) if item.data_type().is_nested() => DataType::Utf8,
            Ok(plain) => plain,
        };
        Field::new(&column.name, data_type, true)
    });
    Schema::new(fields.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_about_the_catalog_are_told_from_the_lakes() {
        let check = |sql: &str, expected: bool| assert_eq!(concerns(sql), expected, "{sql}");
        check("SELECT 1", false);
        check("SELECT * FROM pg_catalog.pg_class c WHERE pg_catalog.pg_table_is_visible(c.oid)", true);
        check("SELECT typname FROM pg_type", true);
        check("select pg_catalog.version()", true);
        check("SELECT version()", true);
        check("select current_schema()", true);
        check("SELECT pg_class FROM sales.facts", false);
        check("SELECT version FROM sales.facts", false);
        check("SELECT 'pg_class'", false);
        check("SELECT count(*) FROM pg_shop.orders", false);
        check("DROP TABLE pg_class", false);
        check("SELECT 1; SELECT * FROM pg_class", false);
        check(&format!("SELECT * FROM pg_class WHERE {}", vec!["oid = 1"; 900].join(" OR ")), true);
        check(&format!("SELECT * FROM pg_class WHERE {}", vec!["oid = 1"; 100_000].join(" OR ")), false);
    }
}
