//! The physical plan, cut where rows change their thread.

use super::logical::{Scanned, join_name, scans, table_scan};
use super::{Fragment, Node, Stats, expr};
use crate::query::adaptive_filter::AdaptiveFilterExec;
use crate::query::reword::between;
use crate::query::shared::SharedExec;
use crate::types::TrinoType;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::{LexOrdering, Partitioning};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, PartitionMode, SortMergeJoinExec};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, PhysicalExpr, displayable};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The fragments of a plan, the one that gives the result first.
pub(super) fn fragments(plan: &Arc<dyn ExecutionPlan>, logical: &LogicalPlan) -> Vec<Fragment> {
    let mut cutter = Cutter { fragments: Vec::new(), shared: HashMap::new(), scans: scans(logical) };
    cutter.fragment(plan, "SINGLE []".to_owned());
    cutter.fragments.sort_by_key(|(number, _)| *number);
    cutter.fragments.into_iter().map(|(_, fragment)| fragment).collect()
}

struct Cutter<'a> {
    fragments: Vec<(usize, Fragment)>,
    /// Fragments of plans that several others read, by the plan's address.
    shared: HashMap<*const (), usize>,
    /// Those that no leaf was found for yet.
    scans: Vec<Scanned<'a>>,
}

impl Cutter<'_> {
    /// Adds the fragment whose root this is; its number.
    fn fragment(&mut self, plan: &Arc<dyn ExecutionPlan>, partitioning: String) -> usize {
        let number = self.fragments.len();
        // The number is taken before those of the fragments below.
        let holder = Fragment { kind: "SINGLE", partitioning, root: Node::default() };
        self.fragments.push((number, holder));
        let root = self.node(plan);
        let (mut scans, mut hashes) = (false, false);
        root.walk(&mut |node| {
            scans |= node.name.contains("Scan");
            hashes |= node.name == "RemoteSource" && node.descriptor.iter().any(|(_, value)| value.starts_with("HASH"));
        });
        let single = plan.output_partitioning().partition_count() == 1;
        let kind = match (scans, single, hashes) {
            (true, _, _) => "SOURCE",
            (false, true, _) => "SINGLE",
            (false, false, true) => "HASH",
            (false, false, false) => "ROUND_ROBIN",
        };
        if let Some((_, fragment)) = self.fragments.iter_mut().find(|(known, _)| *known == number) {
            fragment.root = root;
            fragment.kind = kind;
        }
        number
    }

    fn remote(
        &mut self,
        name: &str,
        plan: &Arc<dyn ExecutionPlan>,
        partitioning: String,
        shown: Vec<(&'static str, String)>,
    ) -> Node {
        let number = self.fragment(plan, partitioning);
        Self::reading(name, number, shown)
    }

    fn reading(name: &str, number: usize, shown: Vec<(&'static str, String)>) -> Node {
        let mut node = Node::new(name).with("sourceFragmentIds", format!("[{number}]"));
        node.descriptor.extend(shown);
        node
    }

    fn node(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Node {
        let children = plan.children();
        if [
            "CoalesceBatchesExec",
            "CooperativeExec",
            "BufferExec",
            "BuildOnceExec",
            "DamagedFilesExec",
            "GaugeExec",
            "PiecesExec",
        ]
        .contains(&plan.name())
            && let [child] = children.as_slice()
        {
            return self.node(child);
        }
        let mut node = self.operator(plan);
        node.outputs = outputs(plan);
        node.stats = stats(plan);
        let cut = ["RemoteSource", "RemoteMerge"].contains(&node.name.as_str());
        if !cut {
            node.children = children.into_iter().map(|child| self.node(child)).collect();
        }
        merged(node)
    }

    fn operator(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Node {
        if let Some(repartition) = plan.downcast_ref::<RepartitionExec>() {
            let (text, input) = (partitioning(repartition.partitioning()), repartition.input());
            return self.remote("RemoteSource", input, text.clone(), vec![("partitioning", text)]);
        }
        if let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>() {
            let keys = ordering(merge.expr());
            return self.remote("RemoteMerge", merge.input(), "SINGLE []".to_owned(), vec![("orderBy", keys)]);
        }
        if plan.name() == "CoalescePartitionsExec"
            && let [child] = plan.children().as_slice()
        {
            return self.remote("RemoteSource", child, "SINGLE []".to_owned(), Vec::new());
        }
        if let Some(shared) = plan.downcast_ref::<SharedExec>() {
            let address = Arc::as_ptr(shared.plan()).cast::<()>();
            let number = match self.shared.get(&address) {
                Some(number) => *number,
                None => self.fragment(shared.plan(), partitioning(plan.output_partitioning())),
            };
            self.shared.insert(address, number);
            return Self::reading("RemoteSource", number, Vec::new());
        }
        if plan.children().is_empty() {
            return self.leaf(plan);
        }
        inner(plan)
    }

    /// A scan, when the columns say which table's; else rows that are there already.
    fn leaf(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Node {
        if ["PlaceholderRowExec", "EmptyExec", "WorkTableExec"].contains(&plan.name()) {
            return Node::new("Values");
        }
        let schema = plan.schema();
        let same = |scanned: &Scanned<'_>| {
            let fields = scanned.scan.projected_schema.fields();
            fields.len() >= schema.fields().len()
                && schema.fields().iter().all(|f| fields.iter().any(|other| other.name() == f.name()))
        };
        let exact =
            |scanned: &Scanned<'_>| same(scanned) && scanned.scan.projected_schema.fields().len() == schema.fields().len();
        let found = self.scans.iter().position(exact).or_else(|| self.scans.iter().position(same));
        match found {
            // One that is left may be read in several ways (files of several formats): the last stays.
            Some(index) => {
                let mut node = table_scan(self.scans[index].scan);
                node.details.extend(work(plan));
                if self.scans.len() > 1 {
                    self.scans.remove(index);
                }
                node
            }
            None => Node::new("Values"),
        }
    }
}

/// Over how many threads a scan is spread, and how many files it reads where that is known.
fn work(plan: &Arc<dyn ExecutionPlan>) -> Option<String> {
    let splits = plan.output_partitioning().partition_count();
    let line = displayable(plan.as_ref()).one_line().to_string();
    match between(&line, "files=", ",") {
        Some(files) if files.bytes().all(|byte| byte.is_ascii_digit()) => Some(format!("files = {files}, splits = {splits}")),
        _ => Some(format!("splits = {splits}")),
    }
}

fn outputs(plan: &Arc<dyn ExecutionPlan>) -> Vec<(String, String)> {
    plan.schema().fields().iter().map(|field| (expr::name(field.name()), TrinoType::of_field(field).to_string())).collect()
}

fn stats(plan: &Arc<dyn ExecutionPlan>) -> Option<Stats> {
    let metrics = plan.metrics()?;
    let cpu = metrics.elapsed_compute().unwrap_or(0);
    // Scans count the time of decoding by a name of their own.
    let scanning = metrics.sum_by_name("time_elapsed_processing").map_or(0, |value| value.as_usize());
    let rows = metrics.output_rows().unwrap_or(0);
    let bytes = metrics.sum_by_name("output_bytes").map_or(0, |value| value.as_usize());
    Some(Stats { cpu: Duration::from_nanos(cpu.max(scanning) as u64), rows: rows as u64, bytes: bytes as u64 })
}

fn ordering(keys: &LexOrdering) -> String {
    let one = |key: &datafusion::physical_expr::PhysicalSortExpr| {
        let direction = if key.options.descending { "DESC" } else { "ASC" };
        let nulls = if key.options.nulls_first { "NULLS FIRST" } else { "NULLS LAST" };
        format!("{} {direction} {nulls}", expr::physical(key.expr.as_ref()))
    };
    format!("[{}]", keys.iter().map(one).collect::<Vec<_>>().join(", "))
}

fn partitioning(partitioning: &Partitioning) -> String {
    match partitioning {
        Partitioning::Hash(keys, _) => {
            format!("HASH [{}]", keys.iter().map(|key| expr::physical(key.as_ref())).collect::<Vec<_>>().join(", "))
        }
        _ => "ROUND_ROBIN []".to_owned(),
    }
}

fn inner(plan: &Arc<dyn ExecutionPlan>) -> Node {
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        return Node::new("Filter").with("filterPredicate", expr::physical(filter.predicate().as_ref()));
    }
    if let Some(filter) = plan.downcast_ref::<AdaptiveFilterExec>() {
        let node = Node::new("Filter");
        return match filter.predicate() {
            Some(predicate) => node.with("filterPredicate", expr::physical(predicate.as_ref())),
            None => node,
        };
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let mut node = Node::new("Project");
        node.details = projection
            .expr()
            .iter()
            .map(|one| (expr::name(&one.alias), expr::physical(one.expr.as_ref())))
            .filter(|(alias, text)| alias != text)
            .map(|(alias, text)| format!("{alias} := {text}"))
            .collect();
        return node;
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return self::aggregate(aggregate);
    }
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        let keys = ordering(sort.expr());
        let name = if sort.preserve_partitioning() { ("TopNPartial", "PartialSort") } else { ("TopN", "Sort") };
        return match sort.fetch() {
            Some(count) => Node::new(name.0).with("count", count.to_string()).with("orderBy", keys),
            None => Node::new(name.1).with("orderBy", keys),
        };
    }
    if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
        let node = Node::new("Limit");
        let node = if limit.skip() > 0 { node.with("offset", limit.skip().to_string()) } else { node };
        return match limit.fetch() {
            Some(count) => node.with("count", count.to_string()),
            None => node,
        };
    }
    if let Some(limit) = plan.downcast_ref::<LocalLimitExec>() {
        return Node::new("LimitPartial").with("count", limit.fetch().to_string());
    }
    join(plan).unwrap_or_else(|| Node::new(name(plan.name())))
}

fn aggregate(aggregate: &AggregateExec) -> Node {
    let kind = match aggregate.mode() {
        AggregateMode::Partial => Some("PARTIAL"),
        AggregateMode::Final | AggregateMode::FinalPartitioned => Some("FINAL"),
        AggregateMode::Single | AggregateMode::SinglePartitioned => None,
        _ => Some("INTERMEDIATE"),
    };
    let mut node = Node::new("Aggregate");
    if let Some(kind) = kind {
        node = node.with("type", kind);
    }
    let keys: Vec<String> = aggregate.group_expr().expr().iter().map(|(key, _)| expr::physical(key.as_ref())).collect();
    if !keys.is_empty() {
        node = node.with("keys", format!("[{}]", keys.join(", ")));
    }
    node.details = aggregate
        .aggr_expr()
        .iter()
        .map(|call| {
            let arguments: Vec<String> = call.expressions().iter().map(|argument| expr::physical(argument.as_ref())).collect();
            format!("{} := {}({})", expr::name(call.name()), call.fun().name(), arguments.join(", "))
        })
        .collect();
    node
}

/// Expressions of both sides that must be equal.
type On = (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>);

fn join(plan: &Arc<dyn ExecutionPlan>) -> Option<Node> {
    let criteria = |on: &[On]| {
        let one = |(left, right): &On| format!("({} = {})", expr::physical(left.as_ref()), expr::physical(right.as_ref()));
        on.iter().map(one).collect::<Vec<_>>().join(" AND ")
    };
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let distribution = if *join.partition_mode() == PartitionMode::CollectLeft { "REPLICATED" } else { "PARTITIONED" };
        let node = Node::new(join_name(*join.join_type(), false)).with("criteria", criteria(join.on()));
        let node = match join.filter() {
            Some(filter) => node.with("filter", expr::physical(filter.expression().as_ref())),
            None => node,
        };
        return Some(node.with("distribution", distribution));
    }
    if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
        return Some(
            Node::new(join_name(join.join_type(), false))
                .with("criteria", criteria(join.on()))
                .with("distribution", "PARTITIONED"),
        );
    }
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        let node = Node::new(join_name(*join.join_type(), join.filter().is_none()));
        let node = match join.filter() {
            Some(filter) => node.with("filter", expr::physical(filter.expression().as_ref())),
            None => node,
        };
        return Some(node.with("distribution", "REPLICATED"));
    }
    (plan.name() == "CrossJoinExec").then(|| Node::new("CrossJoin"))
}

/// Trino's name of an operator that is not known by its type.
fn name(engine: &str) -> String {
    match engine {
        "BoundedWindowAggExec" | "WindowAggExec" => "Window".to_owned(),
        "UnionExec" | "InterleaveExec" => "Union".to_owned(),
        "RecursiveQueryExec" => "RecursiveUnion".to_owned(),
        other => other.strip_suffix("Exec").unwrap_or(other).to_owned(),
    }
}

/// A filter over a scan, and a projection over both, are one operator in Trino.
fn merged(mut node: Node) -> Node {
    let name = match (node.name.as_str(), node.children.first().map(|child| child.name.as_str())) {
        ("Filter", Some("TableScan" | "ScanFilter")) => "ScanFilter",
        ("Project", Some("ScanFilter")) => "ScanFilterProject",
        ("Project", Some("TableScan")) => "ScanProject",
        ("Project", Some("Filter")) => "FilterProject",
        _ => return node,
    };
    let Some(child) = node.children.pop() else { return node };
    let mut descriptor = child.descriptor;
    if node.name == "Filter" {
        descriptor.retain(|(key, _)| *key != "filterPredicate");
    }
    descriptor.append(&mut node.descriptor);
    node.details.extend(child.details);
    if let (Some(stats), Some(below)) = (&mut node.stats, child.stats) {
        stats.cpu += below.cpu;
    }
    Node { name: name.to_owned(), descriptor, children: child.children, ..node }
}
