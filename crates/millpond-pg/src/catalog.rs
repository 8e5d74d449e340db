//! What clients ask about tables in PostgreSQL's words: `pg_catalog` over the lake's catalog, by `datafusion-pg-catalog`.
//!
//! Such a statement reads no data of the lake, and is no execution of Athena's: `\d` would fill the history. It runs on the engine's
//! threads, within its memory. Only `SELECT`s get here, and all that they can name is in the catalog.

mod functions;
mod relations;
mod rewrite;
mod table;

use crate::settings::{CATALOG, Session};
use crate::text::tokens;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList};
use datafusion::common::{DataFusionError, Result as DfResult, internal_datafusion_err};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder};
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
use millpond_engine::query::Engine;
use millpond_engine::table::TableSource;
use relations::{OnlyPgCatalog, Relations, Shipped};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, mpsc};

/// Functions of PostgreSQL's about the server, which clients call without a table.
const FUNCTIONS: &[&str] = &[
    "col_description",
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
    "inet_client_addr",
    "inet_client_port",
    "inet_server_addr",
    "inet_server_port",
    "obj_description",
    "quote_ident",
    "session_user",
    "set_config",
    "shobj_description",
    "to_regclass",
    "to_regtype",
    "version",
];

/// Longer statements are none that a client asks the catalog.
const TOKENS_MAX: usize = 4000;
/// Queries and tables that are put together by these words at the most: planning recurses over them.
const CHAINED_MAX: usize = 100;
const CHAINING: &[&str] = &["union", "except", "intersect", "join"];

/// A statement about the catalog takes no longer.
const TIME_MAX: Duration = Duration::from_secs(30);

/// Functions of the planner's whose results have any size that is asked for, and that no client needs to read the catalog.
const UNBOUNDED: &[&str] = &["array_repeat", "array_resize", "generate_series", "lpad", "range", "repeat", "rpad"];

/// Whether a statement is about PostgreSQL's catalog, and not about the lake's data.
pub(crate) fn concerns(sql: &str) -> bool {
    let lower = sql.to_ascii_lowercase();
    if !lower.contains("pg_") && !lower.contains("regclass") && !FUNCTIONS.iter().any(|name| lower.contains(name)) {
        return false;
    }
    // The tree is as deep as a chain of operators is long. The engine's own parser says what is wrong with such a statement.
    let tokens = tokens(sql);
    let chained =
        tokens.iter().filter(|token| CHAINING.iter().any(|word| sql[token.at.clone()].eq_ignore_ascii_case(word))).count();
    if tokens.len() > TOKENS_MAX || chained > CHAINED_MAX {
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
        if let Expr::Cast { data_type, .. } = expr {
            self.calls += usize::from(rewrite::is_type(data_type, &["regclass", "regtype", "regnamespace", "regproc"]));
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
    shipped: Arc<Shipped>,
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

const TOOK_TOO_LONG: &str = "canceling statement due to statement timeout";

/// A plan that is being made, for as long as somebody waits for it.
struct Planning<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Planning<T> {
    fn drop(&mut self) {
        self.0.abort();
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
        let made = Arc::clone(self.made.get_or_try_init(|| self.make()).await?);
        let relations = Arc::new(Relations::new(Arc::clone(&made.shipped), Arc::clone(&self.tables), session.clone()));
        let (sql, session) = (rewrite::named_objects(sql).unwrap_or_else(|| sql.to_owned()), session.clone());
        let mut planning = Planning(self.engine.handle().spawn(async move {
            let mut statements = made.parser.parse(&sql).map_err(|error| DataFusionError::Plan(error.to_string()))?;
            let mut statement = match (statements.pop(), statements.is_empty()) {
                (Some(statement @ Statement::Query(_)), true) => statement,
                _ => return Err(DataFusionError::Plan("only one SELECT at a time can ask the catalog".to_owned())),
            };
            rewrite::rewrite(&mut statement);
            if rewrite::calls(&statement, functions::OF_LAKE) {
                relations.load().await?;
            }
            let context = made.context(&session, relations)?;
            let state = context.state();
            let logical = state.statement_to_plan(DfStatement::Statement(Box::new(statement))).await?;
            let physical = state.create_physical_plan(&logical).await?;
            let schema = Arc::new(logical.schema().as_arrow().clone());
            Ok::<_, DataFusionError>((schema, execute_stream(physical, state.task_ctx())?))
        }));
        let planned = tokio::time::timeout(TIME_MAX, &mut planning.0).await.map_err(|_| TOOK_TOO_LONG.to_owned())?;
        let planned = planned.map_err(|_| "the catalog could not be asked; the reason is in the server's log".to_owned())?;
        let (schema, mut stream): (SchemaRef, SendableRecordBatchStream) = planned.map_err(|error| error.strip_backtrace())?;
        let (sender, batches) = mpsc::channel(2);
        let task = self.engine.handle().spawn(async move {
            // What the client takes its time for is not counted.
            loop {
                let batch = match tokio::time::timeout(TIME_MAX, stream.next()).await {
                    Ok(Some(batch)) => batch,
                    Ok(None) => return,
                    Err(_) => Err(DataFusionError::Execution(TOOK_TOO_LONG.to_owned())),
                };
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
        let made = self.engine.handle().spawn(async move { Made::new(&engine).await });
        let made = made.await.map_err(|_| "the catalog could not be made; the reason is in the server's log".to_owned())?;
        made.map(Arc::new).map_err(|error| error.strip_backtrace())
    }
}

impl Made {
    async fn new(engine: &Engine) -> DfResult<Self> {
        let mut config = SessionConfig::new().with_target_partitions(1).with_default_catalog_and_schema(CATALOG, "pg_catalog");
        config = config.with_create_default_catalog_and_schema(false).with_information_schema(false);
        config.options_mut().sql_parser.map_string_types_to_utf8view = false;
        let environment = RuntimeEnvBuilder::new().with_memory_pool(engine.memory_pool()).build_arc()?;
        let state = SessionStateBuilder::new_with_default_features().with_config(config).with_runtime_env(environment);
        let context = SessionContext::new_with_state(state.build());
        let catalog = Arc::new(MemoryCatalogProvider::new());
        context.register_catalog(CATALOG, Arc::clone(&catalog) as Arc<dyn CatalogProvider>);
        setup_pg_catalog(&context, CATALOG, EmptyContextProvider).map_err(|error| *error)?;
        for name in UNBOUNDED {
            context.deregister_udf(name);
        }
        let tables = catalog.schema("pg_catalog").ok_or_else(|| internal_datafusion_err!("pg_catalog was not registered"))?;
        let shipped = Arc::new(Shipped::new(tables).await?);
        Ok(Self { context, shipped, parser: PostgresCompatibilityParser::new() })
    }

    /// What a statement of `session` is planned in.
    fn context(&self, session: &Session, relations: Arc<Relations>) -> DfResult<SessionContext> {
        let catalogs = MemoryCatalogProviderList::new();
        let all = functions::functions(session, &relations);
        catalogs.register_catalog(CATALOG.to_owned(), Arc::new(OnlyPgCatalog(relations)));
        let state = SessionStateBuilder::new_from_existing(self.context.state()).with_catalog_list(Arc::new(catalogs));
        let context = SessionContext::new_with_state(state.build());
        for function in all {
            context.register_udf(function);
        }
        Ok(context)
    }
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
        check("SELECT 'facts'::regclass::oid", true);
        check("SELECT 'regclass'", false);
        check("SELECT pg_class FROM sales.facts", false);
        check("SELECT version FROM sales.facts", false);
        check("SELECT 'pg_class'", false);
        check("SELECT count(*) FROM pg_shop.orders", false);
        check("DROP TABLE pg_class", false);
        check("SELECT 1; SELECT * FROM pg_class", false);
        check(&format!("SELECT * FROM pg_class WHERE {}", vec!["oid = 1"; 900].join(" OR ")), true);
        check(&format!("select pg_backend_pid(){}", " union all select 1".repeat(50)), true);
        check(&format!("select pg_backend_pid(){}", " union all select 1".repeat(900)), false);
        check(&format!("SELECT * FROM pg_class WHERE {}", vec!["oid = 1"; 100_000].join(" OR ")), false);
    }
}
