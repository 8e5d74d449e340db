//! DataFusion's session, set up as Trino behaves: made once with all functions, cloned for each statement.

use super::catalog::CATALOG;
use super::engine::EngineConfig;
use super::error::{Position, QueryError};
use super::exact::ExactComparisons;
use super::meter::MeteredStore;
use super::operators::{self, TrinoOperators, TrinoRelations};
use super::rule::{Plan, StepRule};
use super::semi_names::SemiNames;
use super::wide::WideRows;
use super::{adaptive_filter, build_once, functions, lambda_places, null_joins};
use crate::scan::{PageCache, name_damaged_files, store_url};
use crate::types::TrinoType;
use chrono::DateTime;
use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::planner::{ExprPlanner, TypePlanner};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast;
use millpond_core::env::SharedEnv;
use object_store::ObjectStore;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The state that all statements begin with.
pub(crate) fn base_state(config: &EngineConfig, environment: Arc<RuntimeEnv>) -> SessionState {
    let mut session = SessionConfig::new()
        .with_target_partitions(config.threads.max(1))
        .with_batch_size(config.batch_size.max(1))
        .with_default_catalog_and_schema(CATALOG, "")
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false);
    let options = session.options_mut();
    options.sql_parser.default_null_ordering = "nulls_last".into();
    options.sql_parser.map_string_types_to_utf8view = false;
    // A number with a point is a double on Athena, where Trino itself has a decimal.
    options.sql_parser.parse_float_as_decimal = false;
    options.sql_parser.support_varchar_with_length = true;
    options.sql_parser.collect_spans = true;
    // Whole columns are decoded faster than the rows that a condition leaves, unless these are few; row groups and pages are left out either way.
    options.execution.parquet.pushdown_filters = false;
    options.execution.parquet.coerce_int96 = Some("us".into());
    options.execution.parquet.schema_force_view_types = false;
    options.execution.parquet.skip_metadata = true;
    options.execution.collect_statistics = false;
    // To copy the many rows of a join's other side to their partitions costs more than to build one table of these.
    options.optimizer.hash_join_single_partition_threshold = 48 << 20;
    options.optimizer.hash_join_single_partition_threshold_rows = 700_000;
    // Rows of one split keep their order, as with Trino, and are not handed to another thread only to be projected there.
    options.optimizer.enable_round_robin_repartition = false;
    // Scans have divided their files themselves.
    options.optimizer.repartition_file_scans = false;
    options.execution.time_zone = Some("UTC".into());
    if let Some(pages) = PageCache::new(config.page_cache_bytes) {
        session.set_extension(Arc::new(pages));
    }
    let mut builder = SessionStateBuilder::new_with_default_features();
    // Others would be called with what nobody documents, and are not bounded as ours are.
    builder.scalar_functions().get_or_insert_default().retain(|function| functions::KEPT.contains(&function.name()));
    builder.aggregate_functions().get_or_insert_default().retain(|function| functions::KEPT.contains(&function.name()));
    builder.window_functions().get_or_insert_default().retain(|function| functions::KEPT.contains(&function.name()));
    builder.higher_order_functions().get_or_insert_default().clear();
    let planners = builder.expr_planners().get_or_insert_default();
    planners.splice(0..0, [Arc::new(TrinoOperators) as Arc<dyn ExprPlanner>, Arc::new(functions::planner::Calls)]);
    let mut rules = PhysicalOptimizer::new().rules;
    rules.insert(0, Arc::new(lambda_places::rule()));
    let mut state = builder
        .with_relation_planners(vec![Arc::new(TrinoRelations)])
        .with_config(session)
        .with_runtime_env(environment)
        .with_type_planner(Arc::new(TrinoTypes))
        .with_optimizer_rule(Arc::new(ExactComparisons))
        .with_optimizer_rule(Arc::new(SemiNames))
        .with_physical_optimizer_rules(rules)
        .with_physical_optimizer_rule(Arc::new(null_joins::rule()))
        .with_physical_optimizer_rule(Arc::new(adaptive_filter::rule()))
        .with_physical_optimizer_rule(Arc::new(adaptive_filter::views::rule()))
        .with_physical_optimizer_rule(Arc::new(build_once::rule()))
        .with_physical_optimizer_rule(Arc::new(name_damaged_files()))
        .with_physical_optimizer_rule(Arc::new(yield_after_joins()))
        .with_physical_optimizer_rule(Arc::new(WideRows))
        // No function may read what is not in the catalog.
        .with_table_functions(std::collections::HashMap::new())
        .build();
    functions::register(&mut state).expect("the functions have distinct names");
    operators::register(&mut state).expect("the functions have distinct names");
    state
}

/// A state for one statement: reads go through `store`, memory comes from `memory`, and time stands still at its start.
pub(crate) fn state_for_statement(
    base: &SessionState,
    environment: &RuntimeEnv,
    store: Arc<MeteredStore>,
    memory: Arc<dyn MemoryPool>,
    env: &SharedEnv,
    cancel: CancellationToken,
) -> std::result::Result<SessionState, QueryError> {
    let limits = functions::StatementLimits::new(&memory, cancel);
    let registry = Arc::new(OneStore(Arc::clone(&store) as Arc<dyn ObjectStore>));
    let environment = RuntimeEnvBuilder::from_runtime_env(environment)
        .with_object_store_registry(registry)
        .with_memory_pool(memory)
        .build_arc()
        .map_err(QueryError::from_execution)?;
    let mut state = SessionStateBuilder::new_from_existing(base.clone()).with_runtime_env(environment).build();
    // Again: a state that is made from another registers its functions in any order, and some of DataFusion's have our names as aliases.
    functions::register(&mut state).map_err(QueryError::from_execution)?;
    operators::register(&mut state).map_err(QueryError::from_execution)?;
    state.config_mut().set_extension(store);
    state.config_mut().options_mut().extensions.insert(limits);
    state.mark_start_execution();
    state.execution_props_mut().query_execution_start_time = DateTime::from_timestamp_millis(env.now_ms());
    Ok(state)
}

/// Makes joins give the thread back now and then. A join of few rows can make endless ones out of one input batch, and without this nobody could
/// stop it: DataFusion itself only yields where data come in.
fn yield_after_joins() -> StepRule {
    StepRule::new("yield_after_joins", |step| {
        let multiplies =
            ["CrossJoinExec", "NestedLoopJoinExec", "HashJoinExec", "SortMergeJoinExec", "UnnestExec", "PiecewiseMergeJoinExec"];
        match multiplies.contains(&step.name()) {
            true => Ok(Transformed::yes(Arc::new(CooperativeExec::new(step)) as Plan)),
            false => Ok(Transformed::no(step)),
        }
    })
}

/// There is one store, and no way to name another.
#[derive(Debug)]
struct OneStore(Arc<dyn ObjectStore>);

impl ObjectStoreRegistry for OneStore {
    fn register_store(&self, _: &url::Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &url::Url) -> Result<Arc<dyn ObjectStore>> {
        if url.scheme() == store_url().scheme() {
            return Ok(Arc::clone(&self.0));
        }
        Err(QueryError::NotSupported(format!("reading {url}: only tables of the catalog can be read")).into())
    }
}

/// SQL's types are Trino's.
#[derive(Debug)]
struct TrinoTypes;

impl TypePlanner for TrinoTypes {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>> {
        let parsed = TrinoType::parse(&sql_type.to_string());
        let message = |message| QueryError::TypeMismatch { position: Position::START, message };
        Ok(Some(parsed.map_err(message)?.field_ref("")))
    }
}
