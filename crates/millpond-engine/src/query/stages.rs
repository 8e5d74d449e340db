//! What the steps of a plan did, as `GetQueryRuntimeStatistics` tells it (Athena API reference, `QueryStage`): a tree of stages, cut where rows
//! change threads, each with a tree of operators by Trino's names.

use super::shared::SharedExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// A part of a plan whose operators hand rows on directly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// 0 is the one that gives the result.
    pub id: u64,
    /// Rows that came from its tables and sub-stages.
    pub input_rows: u64,
    /// Rows that it gave.
    pub output_rows: u64,
    /// Milliseconds that its operators computed, on all threads.
    pub time_ms: u64,
    /// Its last operator.
    pub plan: StageNode,
    /// Where its rows come from, besides tables.
    pub sub_stages: Vec<Stage>,
}

/// An operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageNode {
    /// Trino's name.
    pub name: String,
    /// Unique in the plan.
    pub identifier: String,
    /// Operators of the same stage.
    pub children: Vec<StageNode>,
    /// Ids of the stages that it reads.
    pub remote_sources: Vec<String>,
}

impl StageNode {
    fn depth(&self) -> usize {
        1 + self.children.iter().map(Self::depth).max().unwrap_or_default()
    }
}

impl Stage {
    /// Stages and operators one below another, at the most.
    pub fn depth(&self) -> usize {
        let below = self.sub_stages.iter().map(Self::depth).max().unwrap_or_default();
        1 + below.max(self.plan.depth())
    }

    /// All rows that were read of tables.
    pub fn table_rows(&self) -> u64 {
        let given: u64 = self.sub_stages.iter().map(|stage| stage.output_rows).sum();
        self.input_rows.saturating_sub(given) + self.sub_stages.iter().map(Self::table_rows).sum::<u64>()
    }
}

/// The stages of a plan that has run.
pub(crate) fn of_plan(plan: &Arc<dyn ExecutionPlan>) -> Stage {
    let mut walk = Walk { stages: 0, nodes: 0, shared: HashMap::new() };
    walk.stage(plan)
}

struct Walk {
    stages: u64,
    nodes: u64,
    /// Stages that several others read, by their plan's address.
    shared: HashMap<*const (), u64>,
}

impl Walk {
    fn stage(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Stage {
        let mut stage = Stage { id: self.stages, output_rows: rows(plan), ..Stage::default() };
        self.stages += 1;
        stage.plan = self.node(plan, &mut stage);
        stage
    }

    fn node(&mut self, plan: &Arc<dyn ExecutionPlan>, stage: &mut Stage) -> StageNode {
        if let Some(shared) = plan.downcast_ref::<SharedExec>() {
            return self.reading(shared.plan(), stage);
        }
        match (trino_name(plan.name()), plan.children().as_slice()) {
            (Some(name), _) => self.operator(name, plan, stage),
            // What only passes batches on is no operator of Trino's.
            (None, [only]) => self.node(only, stage),
            (None, []) => self.operator("TableScan", plan, stage),
            (None, _) => self.operator(plan.name(), plan, stage),
        }
    }

    /// Reads what is computed once. It is a stage below the first that reads it, and its rows are counted there alone.
    fn reading(&mut self, shared: &Arc<dyn ExecutionPlan>, stage: &mut Stage) -> StageNode {
        let mut node = StageNode { name: "RemoteSource".into(), identifier: self.nodes.to_string(), ..StageNode::default() };
        self.nodes += 1;
        let address = Arc::as_ptr(shared).cast::<()>();
        let id = match self.shared.get(&address) {
            Some(id) => *id,
            None => {
                let sub = self.stage(shared);
                let id = sub.id;
                stage.input_rows += sub.output_rows;
                stage.sub_stages.push(sub);
                self.shared.insert(address, id);
                id
            }
        };
        node.remote_sources.push(id.to_string());
        node
    }

    fn operator(&mut self, name: &str, plan: &Arc<dyn ExecutionPlan>, stage: &mut Stage) -> StageNode {
        let mut node = StageNode { name: name.to_owned(), identifier: self.nodes.to_string(), ..StageNode::default() };
        self.nodes += 1;
        let metrics = plan.metrics();
        stage.time_ms += metrics.as_ref().and_then(MetricsSet::elapsed_compute).unwrap_or_default() as u64 / 1_000_000;
        if plan.children().is_empty() {
            stage.input_rows += rows(plan);
        }
        for child in plan.children() {
            if is_exchange(child.name()) && !child.children().is_empty() {
                let sub = self.stage(child.children()[0]);
                stage.input_rows += sub.output_rows;
                node.remote_sources.push(sub.id.to_string());
                stage.sub_stages.push(sub);
            } else {
                node.children.push(self.node(child, stage));
            }
        }
        node
    }
}

fn rows(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    match plan.metrics().and_then(|metrics| metrics.output_rows()) {
        Some(rows) => rows as u64,
        // What keeps no count hands on what it is given.
        None => plan.children().first().map(|child| rows(child)).unwrap_or_default(),
    }
}

fn is_exchange(name: &str) -> bool {
    ["RepartitionExec", "CoalescePartitionsExec", "SortPreservingMergeExec"].contains(&name)
}

fn trino_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "ProjectionExec" => "Project",
        "AdaptiveFilterExec" | "FilterExec" => "Filter",
        "AggregateExec" => "Aggregate",
        "HashJoinExec" | "SortMergeJoinExec" | "NestedLoopJoinExec" | "PiecewiseMergeJoinExec" => "Join",
        "CrossJoinExec" => "CrossJoin",
        "SortExec" => "Sort",
        "GlobalLimitExec" | "LocalLimitExec" => "Limit",
        "UnionExec" | "InterleaveExec" => "Union",
        "UnnestExec" => "Unnest",
        "WindowAggExec" | "BoundedWindowAggExec" => "Window",
        "PlaceholderRowExec" | "EmptyExec" => "Values",
        "RepartitionExec" => "LocalExchange",
        "CoalescePartitionsExec" => "RemoteSource",
        "SortPreservingMergeExec" => "RemoteMerge",
        _ => return None,
    })
}
