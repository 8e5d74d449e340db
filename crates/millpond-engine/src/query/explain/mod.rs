//! `EXPLAIN`: plans in the shape in which Trino shows them (Athena User Guide, "Using EXPLAIN and EXPLAIN ANALYZE in Athena").
//!
//! The logical plan is what the optimizer leaves; the distributed one is the physical plan, cut into fragments where rows change their thread.
//! `EXPLAIN ANALYZE` runs the query, drops its rows, and adds what the operators counted.

mod expr;
mod io;
mod logical;
mod physical;
mod render;

use super::engine::{Engine, QueryRequest};
use super::error::QueryError;
use super::meter::MeteredStore;
use super::plan;
use super::plan::Planned;
use super::stream::QueryStatistics;
use crate::result::ResultColumn;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// `FORMAT`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExplainFormat {
    /// A tree of lines.
    #[default]
    Text,
    /// For `dot`.
    Graphviz,
    /// A tree of objects.
    Json,
}

/// `TYPE`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExplainType {
    /// The operators, whoever runs them.
    Logical,
    /// The same in fragments that run on threads of their own.
    #[default]
    Distributed,
    /// Whether the statement is right.
    Validate,
    /// The tables that are read.
    Io,
}

/// A plan's text with its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// `Query Plan`, or `Valid`.
    pub column: ResultColumn,
    /// Without the header; ends as Athena's does.
    pub text: String,
}

/// An operator.
#[derive(Debug, Clone, Default)]
struct Node {
    /// `TableScan`
    name: String,
    /// `table = awsdatacatalog:db:t`
    descriptor: Vec<(&'static str, String)>,
    /// Names and Trino's types.
    outputs: Vec<(String, String)>,
    details: Vec<String>,
    children: Vec<Node>,
    stats: Option<Stats>,
}

/// What an operator counted, over all of its threads.
#[derive(Debug, Clone, Copy, Default)]
struct Stats {
    cpu: Duration,
    rows: u64,
    bytes: u64,
}

impl Node {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.descriptor.push((key, value.into()));
        self
    }

    /// Itself and all below it.
    fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Node)) {
        visit(self);
        for child in &self.children {
            child.walk(visit);
        }
    }
}

/// A part of a plan that runs on threads of its own.
#[derive(Debug)]
struct Fragment {
    /// `SINGLE`, `HASH`, `SOURCE`
    kind: &'static str,
    /// How its rows leave: `SINGLE []`.
    partitioning: String,
    root: Node,
}

/// The times of an analyzed query.
#[derive(Debug, Clone, Copy)]
struct Times {
    planning: Duration,
    execution: Duration,
}

impl Engine {
    /// A query's plan, for `EXPLAIN`.
    ///
    /// # Errors
    /// Everything that is wrong with the statement.
    pub async fn explain(
        &self,
        request: QueryRequest,
        format: ExplainFormat,
        kind: ExplainType,
    ) -> Result<Explanation, QueryError> {
        let statistics = Arc::new(QueryStatistics::default());
        let metered = Arc::new(MeteredStore::new(Arc::clone(self.store()), statistics, None));
        let state = self.state_for(metered, &request.cancel)?;
        let cancel = request.cancel.clone();
        let planned =
            self.on_runtime(&cancel, async move { plan::plan(&state, &request, &plan::Given::default()).await }).await?;
        Ok(explained(&planned, format, kind))
    }

    /// Runs a query and drops its rows, for `EXPLAIN ANALYZE`: its plan with what the operators counted. What it cost is in the request's statistics.
    ///
    /// # Errors
    /// Everything that is wrong with the statement, and what goes wrong while it runs.
    pub async fn analyze(&self, request: QueryRequest, format: ExplainFormat) -> Result<Explanation, QueryError> {
        let started = Instant::now();
        let (statistics, cancel) = (Arc::clone(&request.statistics), request.cancel.clone());
        let (plans, counted) = (self.plans(request, plan::Given::default()), Arc::clone(&statistics));
        let run = Box::pin(async move {
            let mut planned = plans.plan(None).await?;
            counted.add_planning(started.elapsed());
            let planning = started.elapsed();
            let running = Instant::now();
            while let Err(error) = drain(&planned).await {
                planned = plans.again(&planned, error).await?;
            }
            Ok((planned, Times { planning, execution: running.elapsed() }))
        });
        let (planned, times) = self.on_runtime(&cancel, run).await?;
        statistics.add_execution(times.execution);
        Ok(analyzed(&planned, format, times))
    }
}

/// Runs a plan, and drops its rows.
async fn drain(planned: &Planned) -> Result<(), QueryError> {
    let stream = execute_stream(Arc::clone(&planned.physical), Arc::clone(&planned.context));
    let mut stream = stream.map_err(QueryError::from_execution)?;
    while let Some(batch) = stream.next().await {
        batch.map_err(QueryError::from_execution)?;
    }
    Ok(())
}

fn explained(planned: &Planned, format: ExplainFormat, kind: ExplainType) -> Explanation {
    let (logical, names) = (planned.logical(), planned.names());
    match (kind, format) {
        (ExplainType::Validate, _) => {
            let column = ResultColumn::new("Valid", &crate::types::TrinoType::Boolean);
            Explanation { column, text: "true".to_owned() }
        }
        (ExplainType::Io, _) => plan_text(io::tables(logical)),
        (ExplainType::Logical, format) => {
            let root = output(names, logical::node(logical));
            plan_text(match format {
                ExplainFormat::Text => format!("{}\n\n", render::tree(&root, None)),
                ExplainFormat::Json => render::json_tree(&root),
                ExplainFormat::Graphviz => render::graphviz(&[(0, &root)], "logical_plan"),
            })
        }
        (ExplainType::Distributed, format) => {
            let fragments = fragments(&planned.physical, logical, names);
            plan_text(match format {
                ExplainFormat::Text => render::fragments(&fragments, None),
                ExplainFormat::Json => render::json_fragments(&fragments),
                ExplainFormat::Graphviz => {
                    let roots: Vec<(usize, &Node)> = fragments.iter().map(|fragment| &fragment.root).enumerate().collect();
                    render::graphviz(&roots, "distributed_plan")
                }
            })
        }
    }
}

/// The answer of `EXPLAIN ANALYZE`, after the plan has run.
fn analyzed(planned: &Planned, format: ExplainFormat, times: Times) -> Explanation {
    let fragments = fragments(&planned.physical, planned.logical(), planned.names());
    plan_text(match format {
        ExplainFormat::Json => render::json_fragments(&fragments),
        _ => render::fragments(&fragments, Some(times)),
    })
}

fn fragments(physical: &Arc<dyn ExecutionPlan>, logical: &LogicalPlan, names: Vec<String>) -> Vec<Fragment> {
    let mut fragments = physical::fragments(physical, logical);
    if let Some(first) = fragments.first_mut() {
        let root = std::mem::take(&mut first.root);
        first.root = output(names, root);
    }
    fragments
}

/// The result's columns on top of a plan.
fn output(names: Vec<String>, child: Node) -> Node {
    let types = child.outputs.iter().map(|(_, data_type)| data_type.clone());
    let renamed: Vec<String> = child
        .outputs
        .iter()
        .zip(&names)
        .filter(|((from, _), to)| from != *to)
        .map(|((from, _), to)| format!("{to} := {from}"))
        .collect();
    Node {
        name: "Output".to_owned(),
        descriptor: vec![("columnNames", format!("[{}]", names.join(", ")))],
        outputs: names.iter().cloned().zip(types).collect(),
        details: renamed,
        stats: child.stats.map(|stats| Stats { cpu: Duration::ZERO, ..stats }),
        children: vec![child],
    }
}

fn plan_text(text: String) -> Explanation {
    let precision = i32::try_from(text.chars().count()).unwrap_or(i32::MAX);
    let column = ResultColumn { data_type: "varchar", precision, case_sensitive: true, ..ResultColumn::text("Query Plan") };
    Explanation { column, text }
}
