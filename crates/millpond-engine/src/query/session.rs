//! DataFusion's session, set up as Trino behaves: made once with all functions, cloned for each statement.

use super::catalog::CATALOG;
use super::engine::EngineConfig;
use super::error::QueryError;
use super::functions;
use super::meter::MeteredStore;
use crate::scan::store_url;
use chrono::DateTime;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::execution::SessionState;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast;
use millpond_core::env::SharedEnv;
use object_store::ObjectStore;
use std::sync::Arc;

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
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.support_varchar_with_length = true;
    options.sql_parser.collect_spans = true;
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.coerce_int96 = Some("us".into());
    options.execution.parquet.schema_force_view_types = false;
    options.execution.parquet.skip_metadata = true;
    options.execution.collect_statistics = false;
    options.execution.time_zone = Some("UTC".into());
    let mut state = SessionStateBuilder::new_with_default_features()
        .with_config(session)
        .with_runtime_env(environment)
        .with_type_planner(Arc::new(TrinoTypes))
        .with_physical_optimizer_rule(Arc::new(YieldAfterJoins))
        // No function may read what is not in the catalog.
        .with_table_functions(std::collections::HashMap::new())
        .build();
    functions::register(&mut state).expect("the functions have distinct names");
    state
}

/// A state for one statement: reads go through `store`, and time stands still at its start.
pub(crate) fn state_for_statement(
    base: &SessionState,
    environment: &RuntimeEnv,
    store: Arc<MeteredStore>,
    env: &SharedEnv,
) -> std::result::Result<SessionState, QueryError> {
    let registry = Arc::new(OneStore(store as Arc<dyn ObjectStore>));
    let environment = RuntimeEnvBuilder::from_runtime_env(environment)
        .with_object_store_registry(registry)
        .build_arc()
        .map_err(QueryError::from_execution)?;
    let mut state = SessionStateBuilder::new_from_existing(base.clone()).with_runtime_env(environment).build();
    // Again: a state that is made from another registers its functions in any order, and some of DataFusion's have our names as aliases.
    functions::register(&mut state).map_err(QueryError::from_execution)?;
    state.mark_start_execution();
    state.execution_props_mut().query_execution_start_time = DateTime::from_timestamp_millis(env.now_ms());
    Ok(state)
}

/// Makes joins give the thread back now and then. A join of few rows can make endless ones out of one input batch, and without this nobody could
/// stop it: DataFusion itself only yields where data come in.
#[derive(Debug)]
struct YieldAfterJoins;

impl PhysicalOptimizerRule for YieldAfterJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let rewritten = plan.transform_up(|node| {
            let multiplies = [
                "CrossJoinExec",
                "NestedLoopJoinExec",
                "HashJoinExec",
                "SortMergeJoinExec",
                "UnnestExec",
                "PiecewiseMergeJoinExec",
            ];
            if multiplies.contains(&node.name()) {
                return Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>));
            }
            Ok(Transformed::no(node))
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &'static str {
        "yield_after_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
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

/// SQL types that mean something else in Trino than in DataFusion.
#[derive(Debug)]
struct TrinoTypes;

impl TypePlanner for TrinoTypes {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>> {
        Ok(trino_type(sql_type).map(|data_type| Arc::new(Field::new("", data_type, true))))
    }
}

fn trino_type(sql_type: &ast::DataType) -> Option<DataType> {
    Some(match sql_type {
        ast::DataType::Varchar(_) | ast::DataType::Char(_) | ast::DataType::Character(_) => DataType::Utf8,
        // Microseconds, so that years beyond 2262 (`9999-12-31`) have a place.
        ast::DataType::Timestamp(_, ast::TimezoneInfo::None | ast::TimezoneInfo::WithoutTimeZone) => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
        ast::DataType::Timestamp(_, ast::TimezoneInfo::WithTimeZone | ast::TimezoneInfo::Tz) => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        ast::DataType::Varbinary(_) | ast::DataType::Binary(_) => DataType::Binary,
        ast::DataType::Decimal(ast::ExactNumberInfo::None) | ast::DataType::Dec(ast::ExactNumberInfo::None) => {
            DataType::Decimal128(38, 0)
        }
        ast::DataType::JSON => DataType::Utf8,
        ast::DataType::Map(key, value) => {
            let key = Field::new("key", trino_or_plain(key)?, false);
            let value = Field::new("value", trino_or_plain(value)?, true);
            let entries = DataType::Struct(vec![key, value].into());
            DataType::Map(Arc::new(Field::new("key_value", entries, false)), false)
        }
        ast::DataType::Custom(name, modifiers) => {
            let name = name.to_string().to_lowercase();
            match (name.trim_matches('"'), modifiers.as_slice()) {
                ("string" | "json" | "ipaddress" | "uuid", []) => DataType::Utf8,
                ("varbinary", []) => DataType::Binary,
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn trino_or_plain(sql_type: &ast::DataType) -> Option<DataType> {
    trino_type(sql_type).or_else(|| {
        Some(match sql_type {
            ast::DataType::Boolean => DataType::Boolean,
            ast::DataType::TinyInt(_) => DataType::Int8,
            ast::DataType::SmallInt(_) => DataType::Int16,
            ast::DataType::Int(_) | ast::DataType::Integer(_) => DataType::Int32,
            ast::DataType::BigInt(_) => DataType::Int64,
            ast::DataType::Real => DataType::Float32,
            ast::DataType::Double(_) | ast::DataType::DoublePrecision => DataType::Float64,
            ast::DataType::Date => DataType::Date32,
            _ => return None,
        })
    })
}
