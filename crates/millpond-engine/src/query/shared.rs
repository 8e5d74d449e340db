//! What a plan computes more than once, computed once.
//!
//! A common table that is named twice is written into both places, by DataFusion as by Trino, and so is a view. Where such places aggregate the same rows in the
//! same way, the first one that asks for a partition of the result runs it, and the others read what it kept: some in memory, what is more on disk.
//! Only aggregations are shared, whose results are small against what they are made of; other steps may be cheaper to do twice than to keep.

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, DataFusionError, Result, Statistics, internal_err};
use datafusion::datasource::source_as_provider;
use datafusion::execution::disk_manager::RefCountedTempFile;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, SpillMetrics};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SpillManager};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, Stream, StreamExt, TryFutureExt, TryStreamExt, stream};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};
use tokio::sync::OnceCell;

/// What a partition keeps in memory.
const MEMORY_BYTES_MAX: usize = 16 << 20;

/// Puts one step in the place of aggregations that are there more than once. To be called on an optimized plan: filters that only one of the places has are in it by
/// then.
pub(super) fn share(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut places = Places::default();
    places.count(&plan)?;
    if places.0.values().all(|place| place.count < 2) {
        return Ok(plan);
    }
    places.replace(plan)
}

/// A part of a plan, and the tables that it reads: those of the same name may be others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Part {
    plan: LogicalPlan,
    tables: Vec<usize>,
}

impl Part {
    /// `None` for one that gives other rows each time.
    fn of(plan: &LogicalPlan) -> Result<Option<Self>> {
        let (mut tables, mut repeatable) = (Vec::new(), true);
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                tables.push(Arc::as_ptr(&source_as_provider(&scan.source)?).cast::<()>() as usize);
            }
            repeatable &= !node.expressions().iter().any(|expr| expr.is_volatile() || expr.contains_outer());
            Ok(if repeatable { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        })?;
        Ok(repeatable.then(|| Self { plan: plan.clone(), tables }))
    }
}

#[derive(Debug, Default)]
struct Place {
    count: usize,
    made: Option<Arc<SharedPlan>>,
}

/// The aggregations of a plan.
#[derive(Debug, Default)]
struct Places(HashMap<Part, Place>);

impl Places {
    /// Counts each as often as it would be run.
    fn count(&mut self, plan: &LogicalPlan) -> Result<()> {
        plan.apply_with_subqueries(|node| match node {
            // Runs again and again, on other rows each time.
            LogicalPlan::RecursiveQuery(_) => Ok(TreeNodeRecursion::Jump),
            LogicalPlan::Aggregate(_) => {
                let Some(part) = Part::of(node)? else { return Ok(TreeNodeRecursion::Continue) };
                let place = self.0.entry(part).or_default();
                place.count += 1;
                // What is in it is run once with it.
                Ok(if place.count > 1 { TreeNodeRecursion::Jump } else { TreeNodeRecursion::Continue })
            }
            _ => Ok(TreeNodeRecursion::Continue),
        })?;
        Ok(())
    }

    fn replace(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let replaced = plan.transform_down_with_subqueries(|node| match node {
            LogicalPlan::RecursiveQuery(_) => Ok(Transformed::new(node, false, TreeNodeRecursion::Jump)),
            LogicalPlan::Aggregate(_) => match self.shared(&node)? {
                Some(shared) => {
                    let node = LogicalPlan::Extension(Extension { node: Arc::new(SharedNode(shared)) });
                    Ok(Transformed::new(node, true, TreeNodeRecursion::Jump))
                }
                None => Ok(Transformed::no(node)),
            },
            other => Ok(Transformed::no(other)),
        })?;
        Ok(replaced.data)
    }

    fn shared(&mut self, node: &LogicalPlan) -> Result<Option<Arc<SharedPlan>>> {
        let Some(part) = Part::of(node)? else { return Ok(None) };
        match self.0.get_mut(&part) {
            Some(Place { count: 2.., made: Some(made) }) => return Ok(Some(Arc::clone(made))),
            Some(Place { count: 2.., made: None }) => {}
            _ => return Ok(None),
        }
        let inputs = node.inputs().into_iter().map(|input| self.replace(input.clone())).collect::<Result<Vec<_>>>()?;
        let plan = node.with_new_exprs(node.expressions(), inputs)?;
        let made = Arc::new(SharedPlan { plan, computed: OnceCell::new() });
        self.0.entry(part).or_default().made = Some(Arc::clone(&made));
        Ok(Some(made))
    }
}

/// A part of a plan that several places read.
#[derive(Debug)]
struct SharedPlan {
    plan: LogicalPlan,
    computed: OnceCell<Arc<Computed>>,
}

/// One of its places.
#[derive(Debug, Clone)]
struct SharedNode(Arc<SharedPlan>);

impl PartialEq for SharedNode {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SharedNode {}

impl Hash for SharedNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl PartialOrd for SharedNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Arc::as_ptr(&self.0).partial_cmp(&Arc::as_ptr(&other.0))
    }
}

impl UserDefinedLogicalNodeCore for SharedNode {
    fn name(&self) -> &'static str {
        "Shared"
    }

    /// None: what is read is planned by itself, once.
    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        self.0.plan.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shared: {}", self.0.plan.display())
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, _: Vec<LogicalPlan>) -> Result<Self> {
        Ok(self.clone())
    }
}

/// DataFusion's planner, which knows what is shared.
pub(super) fn planner() -> DefaultPhysicalPlanner {
    DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(SharedPlanner)])
}

struct SharedPlanner;

#[async_trait::async_trait]
impl ExtensionPlanner for SharedPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        _: &[Arc<dyn ExecutionPlan>],
        state: &SessionState,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(SharedNode(shared)) = node.as_any().downcast_ref::<SharedNode>() else { return Ok(None) };
        let computed = shared.computed.get_or_try_init(|| async {
            let plan = planner.create_physical_plan(&shared.plan, state).await?;
            Ok::<_, DataFusionError>(Arc::new(Computed::new(plan)))
        });
        let computed = Arc::clone(computed.await?);
        Ok(Some(Arc::new(SharedExec { computed, metrics: ExecutionPlanMetricsSet::new() })))
    }
}

/// The rows of a partition once they are there.
type Kept = Shared<BoxFuture<'static, std::result::Result<Arc<Rows>, Arc<DataFusionError>>>>;

/// A plan that is run once, and its rows.
#[derive(Debug)]
struct Computed {
    plan: Arc<dyn ExecutionPlan>,
    partitions: Vec<Mutex<Option<Kept>>>,
    metrics: ExecutionPlanMetricsSet,
}

impl Computed {
    fn new(plan: Arc<dyn ExecutionPlan>) -> Self {
        let partitions = (0..plan.properties().partitioning.partition_count()).map(|_| Mutex::default()).collect();
        Self { plan, partitions, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// The rows of a partition: whoever polls first runs it.
    fn rows(&self, partition: usize, context: &Arc<TaskContext>) -> Result<Kept> {
        let Some(place) = self.partitions.get(partition) else { return internal_err!("there is no partition {partition}") };
        let mut kept = place.lock().expect("what is kept is only put and read");
        if let Some(kept) = kept.as_ref() {
            return Ok(kept.clone());
        }
        let input = self.plan.execute(partition, Arc::clone(context))?;
        let spills = SpillManager::new(context.runtime_env(), SpillMetrics::new(&self.metrics, partition), input.schema());
        let memory = MemoryConsumer::new(format!("Shared[{partition}]")).register(context.memory_pool());
        let rows = Rows { pieces: Vec::new(), spills, memory };
        Ok(kept.insert(rows.filled(input).map(|filled| filled.map(Arc::new).map_err(Arc::new)).boxed().shared()).clone())
    }
}

/// Rows in their order.
struct Rows {
    pieces: Vec<Piece>,
    spills: SpillManager,
    memory: MemoryReservation,
}

enum Piece {
    Memory(RecordBatch),
    Disk(RefCountedTempFile),
}

impl Rows {
    async fn filled(mut self, mut input: SendableRecordBatchStream) -> Result<Self> {
        let mut held: Vec<RecordBatch> = Vec::new();
        let mut spilled = None;
        while let Some(batch) = input.try_next().await? {
            let bytes = sliced_bytes(&batch)?;
            let fits = self.memory.size() + bytes <= MEMORY_BYTES_MAX && self.memory.try_grow(bytes).is_ok();
            held.push(batch);
            if !fits {
                let mut file = match spilled.take() {
                    Some(file) => file,
                    None => self.spills.create_in_progress_file("Shared")?,
                };
                for batch in held.drain(..) {
                    file.append_batch(&batch)?;
                }
                spilled = Some(file);
                self.memory.free();
            }
        }
        // What is in memory came last.
        let file = spilled.map(|mut file| file.finish()).transpose()?.flatten();
        self.pieces.extend(file.map(Piece::Disk));
        self.pieces.extend(held.into_iter().map(Piece::Memory));
        Ok(self)
    }

    /// All rows, from the first.
    fn read(self: Arc<Self>) -> impl Stream<Item = Result<RecordBatch>> {
        let pieces = (0..self.pieces.len()).map(move |place| Ok::<_, DataFusionError>((Arc::clone(&self), place)));
        let read = stream::iter(pieces).and_then(|(rows, place)| async move {
            match &rows.pieces[place] {
                Piece::Memory(batch) => Ok(stream::iter([Ok(batch.clone())]).boxed()),
                Piece::Disk(file) => Ok(rows.spills.read_spill_as_stream(file.clone(), None)?.boxed()),
            }
        });
        read.try_flatten()
    }
}

/// Bytes of the rows alone: an aggregation puts out slices of what it holds.
fn sliced_bytes(batch: &RecordBatch) -> Result<usize> {
    let sizes = batch.columns().iter().map(|column| column.to_data().get_slice_memory_size());
    Ok(sizes.sum::<std::result::Result<usize, _>>()?)
}

/// Reads what is computed once.
#[derive(Debug)]
pub(crate) struct SharedExec {
    computed: Arc<Computed>,
    metrics: ExecutionPlanMetricsSet,
}

impl SharedExec {
    /// What is read. All that read the same have this very plan.
    pub(crate) fn plan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.computed.plan
    }
}

impl DisplayAs for SharedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SharedExec: {}", self.computed.plan.name())
    }
}

impl ExecutionPlan for SharedExec {
    fn name(&self) -> &'static str {
        "SharedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.computed.plan.properties()
    }

    /// None that could be changed: the others that read it know it as it is.
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema: SchemaRef = self.schema();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let kept = self.computed.rows(partition, &context)?;
        let rows = kept.map(|kept| kept.map(Rows::read).map_err(DataFusionError::Shared));
        let rows = rows.try_flatten_stream().inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        self.computed.plan.partition_statistics(partition)
    }
}
