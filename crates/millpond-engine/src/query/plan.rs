//! From a query's text to a physical plan: every table that is named is asked of the catalog first, so that what is missing is reported
//! with its place in the text, and planning itself never waits.

use super::catalog::{CATALOG, OneCatalog, Resolved};
use super::engine::QueryRequest;
use super::error::{Position, QueryError, nearest};
use super::functions::StatementLimits;
use super::meter::MeteredStore;
use super::parse::{self, Names, Parsed};
use super::sites::Sites;
use super::{information_schema, operators, parameters, rewrite, semantics, shared, view, wide};
use crate::iceberg;
use crate::scan::{Hidden, LakeTable, PartitionsTable};
use crate::table::TableSource;
use crate::types::TrinoType;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column as DfColumn, TableReference};
use datafusion::datasource::ViewTable;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::physical_planner::PhysicalPlanner;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{ObjectName, Statement, Visit, Visitor};
use futures::future::BoxFuture;
use millpond_core::catalog::{Column, Table};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Views that name views, and so on: deeper is refused, since it may be a circle.
const VIEW_DEPTH_MAX: usize = 16;

/// All arrays of join keys together take at most this part of a statement's memory.
const KEY_ARRAYS_SHARE: usize = 8;
/// An array of more join keys is slower than a hash table.
const KEY_ARRAY_MAX: usize = 8 << 20;

/// A query that is ready to run.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) physical: Arc<dyn ExecutionPlan>,
    pub(crate) context: Arc<TaskContext>,
    /// With the names that the result shows.
    pub(crate) schema: SchemaRef,
    logical: LogicalPlan,
}

impl Planned {
    /// The plan that the optimizer left.
    pub(crate) fn logical(&self) -> &LogicalPlan {
        &self.logical
    }

    /// Whether the query can be run from its beginning.
    pub(crate) fn begins_again(&self) -> Arc<AtomicBool> {
        StatementLimits::begins_again(self.context.session_config().options())
    }

    /// Takes back what it was counted to have read.
    pub(crate) fn forget_scanned(&self) {
        self.context.session_config().get_extension::<MeteredStore>().inspect(|store| store.forget());
    }

    /// What the result's columns are called.
    pub(crate) fn names(&self) -> Vec<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }
}

/// A logical plan and the result's column names, which are not always the plan's.
pub(crate) struct Logical {
    pub(crate) plan: LogicalPlan,
    pub(crate) names: Vec<String>,
    text: Names,
    sites: Sites,
}

/// Plans a query, physically.
pub(crate) async fn plan(state: &SessionState, request: &QueryRequest, given: &Given) -> Result<Planned, QueryError> {
    let logical = logical(state, request, given).await?;
    physical(state, logical).await
}

/// The columns that a query gives, as the catalog would describe them.
pub(crate) async fn describe(state: &SessionState, request: &QueryRequest) -> Result<Vec<Column>, QueryError> {
    let logical = logical(state, request, &Given::new()).await?;
    let fields = logical.plan.schema().fields().iter().zip(&logical.names);
    Ok(fields.map(|(field, name)| Column::new(name.to_lowercase(), crate::types::hive_type(field.data_type()))).collect())
}

/// The columns of a query that becomes a view or a table: each has a name, and a name of its own.
pub(crate) async fn named_columns(state: &SessionState, request: &QueryRequest) -> Result<Vec<(String, DataType)>, QueryError> {
    let logical = logical(state, request, &Given::new()).await?;
    let names = distinct_names(&logical.names)?;
    let fields = logical.plan.schema().fields().iter();
    Ok(names.into_iter().zip(fields.map(|field| field.data_type().clone())).collect())
}

/// Lower-case names, when all are there and different.
pub(crate) fn distinct_names(names: &[String]) -> Result<Vec<String>, QueryError> {
    let wrong = |message: String| QueryError::Semantic { position: Position::START, message };
    let mut distinct: Vec<String> = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let name = name.to_lowercase();
        if name == format!("_col{index}") {
            return Err(wrong(format!("Column name not specified at position {}: give it one with AS", index + 1)));
        }
        if distinct.contains(&name) {
            return Err(wrong(format!("Column name '{name}' specified more than once")));
        }
        distinct.push(name);
    }
    Ok(distinct)
}

async fn logical(state: &SessionState, request: &QueryRequest, given: &Given) -> Result<Logical, QueryError> {
    let mut parsed = parse::parse_query(&request.sql)?;
    parameters::bind(&mut parsed.query, &request.parameters)?;
    let tables = Lake { catalog: Arc::clone(&request.catalog), given: given.clone() };
    logical_plan(state, &tables, request.database.as_deref(), parsed, 0).await
}

/// Where the tables of a statement come from.
pub(crate) enum Tables<'a> {
    Lake(&'a Lake),
    /// Only these.
    Given(HashMap<(String, String), Arc<dyn TableProvider>>),
}

/// The catalog.
pub(crate) struct Lake {
    pub(crate) catalog: Arc<dyn TableSource>,
    pub(crate) given: Given,
}

/// Tables that a statement of ours has besides those of the catalog, or in their places, by database and name.
pub(crate) type Given = HashMap<(String, String), Arc<dyn Fn(&Hidden) -> Arc<dyn TableProvider> + Send + Sync>>;

fn logical_plan<'a>(
    state: &'a SessionState,
    lake: &'a Lake,
    database: Option<&'a str>,
    parsed: Parsed,
    depth: usize,
) -> BoxFuture<'a, Result<Logical, QueryError>> {
    Box::pin(plan_parsed(state, Tables::Lake(lake), database, parsed, depth))
}

/// Plans a parsed query over `tables`.
pub(crate) async fn plan_parsed(
    state: &SessionState,
    tables: Tables<'_>,
    database: Option<&str>,
    mut parsed: Parsed,
    depth: usize,
) -> Result<Logical, QueryError> {
    let names = parsed.names;
    let hidden = Hidden::mentioned(|name| names.mentions(name));
    let sites = Sites::of(&parsed.query, &names.symbols);
    let outputs = rewrite::rewrite(&mut parsed.query, &names, &hidden, database)?;
    let statement = DfStatement::Statement(Box::new(Statement::Query(parsed.query)));
    let tables = match tables {
        Tables::Lake(lake) => resolve(state, lake, database, &statement, &hidden, depth).await?,
        Tables::Given(tables) => tables,
    };
    let mut state = state.clone();
    state.register_catalog_list(Arc::new(OneCatalog(Arc::new(Resolved::new(tables)))));
    state.config_mut().options_mut().catalog.default_schema = database.unwrap_or_default().to_owned();
    let planned = state.statement_to_plan(statement).await;
    let planned = planned.and_then(|plan| semantics::apply(plan, &|name| names.locate(name)));
    let plan = planned.map_err(|error| QueryError::from_planning(error, &|name| names.locate(name), &sites))?;
    let names_out = outputs.names(plan.schema());
    Ok(Logical { plan, names: names_out, text: names, sites })
}

/// Optimizes and plans physically.
pub(crate) async fn physical(state: &SessionState, logical: Logical) -> Result<Planned, QueryError> {
    let locate = |name: &str| logical.text.locate(name);
    let worded = |error| QueryError::from_planning(error, &locate, &logical.sites);
    let types = operators::result_types(&logical.plan);
    let optimized = state.optimize(&logical.plan).map_err(worded)?;
    let limit = wide::BatchLimit::of(state.runtime_env().memory_pool.as_ref(), state.config_options());
    let few = wide::rows_of_constants(&optimized, &limit).filter(|rows| *rows < state.config().batch_size());
    let few = few.map(|rows| with_batch_rows(state, rows));
    let state = few.as_ref().unwrap_or(state);
    let shared = shared::share(optimized.clone()).map_err(worded)?;
    let physical = shared::planner().create_physical_plan(&shared, state).await.map_err(worded)?;
    let schema = physical.schema();
    let fields = schema.fields().iter().zip(&logical.names).zip(types);
    let fields: Vec<Field> =
        fields.map(|((field, name), found)| found.mark(field.as_ref().clone()).with_name(name).with_nullable(true)).collect();
    let context = with_key_arrays(TaskContext::from(state), &physical);
    Ok(Planned { context: Arc::new(context), schema: Arc::new(Schema::new(fields)), physical, logical: optimized })
}

/// The session, with so many rows in a batch.
pub(crate) fn with_batch_rows(state: &SessionState, rows: usize) -> SessionState {
    let mut state = state.clone();
    state.config_mut().options_mut().execution.batch_size = rows;
    state
}

/// The context in which joins by a whole number find their rows by an array of all numbers between the least and the greatest, where these arrays take no
/// more than their share of the statement's memory.
fn with_key_arrays(context: TaskContext, plan: &Arc<dyn ExecutionPlan>) -> TaskContext {
    let mut arrays = 0usize;
    let _ = plan.apply(|step| {
        if let Some(join) = step.downcast_ref::<HashJoinExec>() {
            arrays += match join.partition_mode() {
                PartitionMode::Partitioned => join.left().output_partitioning().partition_count(),
                _ => 1,
            };
        }
        Ok(TreeNodeRecursion::Continue)
    });
    let MemoryLimit::Finite(memory) = context.memory_pool().memory_limit() else { return context };
    let Some(share) = (memory / KEY_ARRAYS_SHARE).checked_div(arrays) else { return context };
    let keys = (share / size_of::<u32>()).min(KEY_ARRAY_MAX);
    let mut config = context.session_config().clone();
    let least = &mut config.options_mut().execution.perfect_hash_join_small_build_threshold;
    *least = keys.max(*least);
    context.with_session_config(config)
}

/// Asks the catalog for every table that the statement names.
async fn resolve(
    state: &SessionState,
    lake: &Lake,
    database: Option<&str>,
    statement: &DfStatement,
    hidden: &Hidden,
    depth: usize,
) -> Result<HashMap<(String, String), Arc<dyn TableProvider>>, QueryError> {
    let (references, _) = resolve_table_references(statement, true).map_err(QueryError::from_execution)?;
    let places = places(statement);
    let mut tables = HashMap::new();
    for reference in references {
        let position = places.get(&key(&reference)).copied().unwrap_or(Position::START);
        let (name_database, table) = qualify(&reference, database, position)?;
        let provider = provider(state, lake, &name_database, &table, position, hidden, depth).await?;
        tables.insert((name_database, table), provider);
    }
    Ok(tables)
}

async fn provider(
    state: &SessionState,
    lake: &Lake,
    database: &str,
    name: &str,
    position: Position,
    hidden: &Hidden,
    depth: usize,
) -> Result<Arc<dyn TableProvider>, QueryError> {
    if database == information_schema::NAME {
        return information_schema::table(name, &lake.catalog).ok_or_else(|| QueryError::TableNotFound {
            position,
            database: database.into(),
            table: name.into(),
            suggestion: nearest(name, &information_schema::TABLES),
        });
    }
    if let Some(given) = lake.given.get(&(database.to_owned(), name.to_owned())) {
        return Ok(given(hidden));
    }
    let found = lake.catalog.table(database, name).await?;
    if found.is_none()
        && let Some(base) = iceberg::provider::base_name(name)
        && let Some(table) = lake.catalog.table(database, base).await?
        && iceberg::is_iceberg(&table)
        && let Some(provider) = iceberg::provider::provider(&table, name, &lake.catalog, hidden, now_ms(state)).await?
    {
        return Ok(provider);
    }
    if found.is_none()
        && let Some(base) = PartitionsTable::base(name)
        && let Some(table) = lake.catalog.table(database, base).await?
        && PartitionsTable::has(&table)
    {
        return Ok(Arc::new(PartitionsTable::new(table, Arc::clone(&lake.catalog))?));
    }
    let Some(table) = found else {
        if let Some((base, _)) = name.split_once("$at-")
            && lake.catalog.table(database, base).await?.is_some()
        {
            return Err(QueryError::NotSupported(format!("table {database}.{base} has no versions: only Iceberg tables have")));
        }
        let names = lake.catalog.table_names(database).await?;
        return Err(match names {
            None => QueryError::SchemaNotFound { position, database: database.into() },
            Some(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let suggestion = nearest(name, &names);
                QueryError::TableNotFound { position, database: database.into(), table: name.into(), suggestion }
            }
        });
    };
    if iceberg::is_iceberg(&table)
        && let Some(provider) = iceberg::provider::provider(&table, name, &lake.catalog, hidden, now_ms(state)).await?
    {
        return Ok(provider);
    }
    if view::is_view(&table) {
        return view_provider(state, lake, &table, position, depth).await;
    }
    Ok(Arc::new(LakeTable::new(table, Arc::clone(&lake.catalog), hidden.clone())?))
}

/// The statement's time.
fn now_ms(state: &SessionState) -> i64 {
    state.execution_props().query_execution_start_time.map_or(0, |now| now.timestamp_millis())
}

async fn view_provider(
    state: &SessionState,
    lake: &Lake,
    table: &Table,
    position: Position,
    depth: usize,
) -> Result<Arc<dyn TableProvider>, QueryError> {
    let name = format!("{}.{}", table.database, table.name);
    let broken = |message: String| QueryError::InvalidView { position, view: name.clone(), message };
    if depth >= VIEW_DEPTH_MAX {
        return Err(broken(format!("views are nested more than {VIEW_DEPTH_MAX} deep; is it defined by itself?")));
    }
    let text = view::read(table).map_err(|error| broken(error.to_string()))?;
    let parsed = parse::parse_query(&text.sql).map_err(|error| broken(error.to_string()))?;
    let logical =
        logical_plan(state, lake, Some(text.schema.as_str()), parsed, depth + 1).await.map_err(|error| match error {
            QueryError::InvalidView { .. } | QueryError::Source(_) | QueryError::Internal(_) => error,
            QueryError::Analysis { name: "VIEW_IS_STALE", .. } => error,
            error => broken(error.to_string()),
        })?;
    let fields = logical.plan.schema().fields().iter().map(|field| TrinoType::of_field(field));
    let columns: Vec<_> = logical.names.iter().cloned().zip(fields).collect();
    if view::is_stale(&text, &columns) {
        let message = format!("View 'awsdatacatalog.{name}' is stale; it must be re-created");
        return Err(QueryError::Analysis { name: "VIEW_IS_STALE", position, message });
    }
    let plan = named(logical).map_err(|error| broken(error.strip_backtrace()))?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// The plan with the result's names on its columns.
fn named(logical: Logical) -> datafusion::common::Result<LogicalPlan> {
    let columns: Vec<Expr> = logical
        .plan
        .schema()
        .iter()
        .zip(&logical.names)
        .map(|((qualifier, field), name)| Expr::Column(DfColumn::from((qualifier, field))).alias(name.to_lowercase()))
        .collect();
    LogicalPlanBuilder::from(logical.plan).project(columns)?.build()
}

/// Database and table of a name, and whether it is in the one catalog.
fn qualify(reference: &TableReference, database: Option<&str>, position: Position) -> Result<(String, String), QueryError> {
    if let Some(catalog) = reference.catalog()
        && !catalog.eq_ignore_ascii_case(CATALOG)
        && !catalog.eq_ignore_ascii_case("hive")
    {
        return Err(QueryError::CatalogNotFound { position, catalog: catalog.to_owned() });
    }
    let database = reference.schema().or(database.filter(|name| !name.is_empty())).ok_or(QueryError::NoDatabase(position))?;
    Ok((database.to_lowercase(), reference.table().to_lowercase()))
}

fn key(reference: &TableReference) -> Vec<String> {
    reference.to_vec()
}

/// Where each name of a relation stands first.
fn places(statement: &DfStatement) -> HashMap<Vec<String>, Position> {
    struct Places(HashMap<Vec<String>, Position>);
    impl Visitor for Places {
        type Break = ();

        fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
            let parts: Vec<_> = relation.0.iter().filter_map(|part| part.as_ident()).collect();
            if let Some(first) = parts.first() {
                let name = parts.iter().map(|ident| ident.value.clone()).collect();
                self.0.entry(name).or_insert(parse::position(first.span));
            }
            ControlFlow::Continue(())
        }
    }
    let mut places = Places(HashMap::new());
    if let DfStatement::Statement(statement) = statement {
        let _ = statement.visit(&mut places);
    }
    places.0
}
