//! Workflows and their runs on the wire.

use super::crawlers::{page, recode};
use super::error::wire;
use super::jobs::run as job_run;
use super::triggers::trigger;
use crate::router::{Context, Router};
use millpond_services::glue::crawler::{Crawl as KnownCrawl, CrawlState as KnownState, LOG_GROUP};
use millpond_services::glue::workflow::{self, NodeDetails, RunReport, WorkflowSpec};
use millpond_services::glue::{Glue, GlueError};
use millpond_wire::glue::{self, *};
use millpond_wire::{Timestamp, WireError};
use serde_json::{Map, Value};

/// Workflows of one BatchGetWorkflows at the most (Glue API reference).
const BATCH_MAX: usize = 25;

/// Registers workflows. (`ResumeWorkflowRun` is not there.)
pub fn register(router: &mut Router, service: &Glue) {
    router
        .service(service.clone())
        .on(glue::CreateWorkflow, create)
        .on(glue::UpdateWorkflow, update)
        .on(glue::GetWorkflow, get)
        .on(glue::ListWorkflows, list)
        .on(glue::BatchGetWorkflows, batch_get)
        .on(glue::DeleteWorkflow, delete)
        .on(glue::StartWorkflowRun, start_run)
        .on(glue::StopWorkflowRun, stop_run)
        .on(glue::GetWorkflowRun, get_run)
        .on(glue::GetWorkflowRuns, get_runs)
        .on(glue::GetWorkflowRunProperties, get_properties)
        .on(glue::PutWorkflowRunProperties, put_properties);
}

async fn create(service: Glue, _: Context, mut input: CreateWorkflowInput) -> Result<CreateWorkflowOutput, WireError> {
    let (name, tags) = (std::mem::take(&mut input.name), input.tags.take().unwrap_or_default());
    let spec = spec(&input)?;
    let name = service.create_workflow(name, spec, tags).await.map_err(wire)?;
    Ok(CreateWorkflowOutput { name: Some(name) })
}

async fn update(service: Glue, _: Context, mut input: UpdateWorkflowInput) -> Result<UpdateWorkflowOutput, WireError> {
    let name = std::mem::take(&mut input.name);
    let name = service.update_workflow(name, spec(&input)?).await.map_err(wire)?;
    Ok(UpdateWorkflowOutput { name: Some(name) })
}

fn spec(input: &impl serde::Serialize) -> Result<WorkflowSpec, WireError> {
    let mut members: Map<String, Value> = recode(input)?;
    members.remove("Name");
    recode(&members)
}

async fn look(service: &Glue, name: String, with_graph: bool) -> Result<Workflow, GlueError> {
    let (known, last, graph) = service.workflow(name, with_graph).await?;
    Ok(Workflow {
        name: Some(known.name),
        description: known.spec.description,
        default_run_properties: Some(known.spec.default_run_properties),
        created_on: Some(Timestamp(known.created_ms)),
        last_modified_on: Some(Timestamp(known.updated_ms)),
        last_run: last.map(run).transpose()?,
        graph: graph.map(shown).transpose()?,
        max_concurrent_runs: known.spec.max_concurrent_runs,
        blueprint_details: None,
    })
}

async fn get(service: Glue, _: Context, input: GetWorkflowInput) -> Result<GetWorkflowOutput, WireError> {
    let workflow = look(&service, input.name, input.include_graph.unwrap_or(false)).await.map_err(wire)?;
    Ok(GetWorkflowOutput { workflow: Some(workflow) })
}

async fn list(service: Glue, _: Context, input: ListWorkflowsInput) -> Result<ListWorkflowsOutput, WireError> {
    let found = service.workflow_names(input.next_token, page(input.max_results).min(25)).await.map_err(wire)?;
    Ok(ListWorkflowsOutput { workflows: Some(found.items), next_token: found.next })
}

async fn batch_get(service: Glue, _: Context, input: BatchGetWorkflowsInput) -> Result<BatchGetWorkflowsOutput, WireError> {
    if input.names.len() > BATCH_MAX {
        return Err(wire(GlueError::InvalidInput(format!("Names has {BATCH_MAX} names at the most."))));
    }
    let (mut there, mut not_there) = (Vec::new(), Vec::new());
    for name in input.names {
        match look(&service, name.clone(), input.include_graph.unwrap_or(false)).await {
            Ok(workflow) => there.push(workflow),
            Err(GlueError::EntityNotFound(_)) => not_there.push(name),
            Err(error) => return Err(wire(error)),
        }
    }
    Ok(BatchGetWorkflowsOutput { workflows: Some(there), missing_workflows: Some(not_there).filter(|names| !names.is_empty()) })
}

async fn delete(service: Glue, _: Context, input: DeleteWorkflowInput) -> Result<DeleteWorkflowOutput, WireError> {
    let name = service.delete_workflow(input.name).await.map_err(wire)?;
    Ok(DeleteWorkflowOutput { name: Some(name) })
}

async fn start_run(service: Glue, _: Context, input: StartWorkflowRunInput) -> Result<StartWorkflowRunOutput, WireError> {
    let id = service.start_workflow_run(input.name, input.run_properties.unwrap_or_default()).await.map_err(wire)?;
    Ok(StartWorkflowRunOutput { run_id: Some(id) })
}

async fn stop_run(service: Glue, _: Context, input: StopWorkflowRunInput) -> Result<StopWorkflowRunOutput, WireError> {
    service.stop_workflow_run(input.name, input.run_id).await.map_err(wire)?;
    Ok(StopWorkflowRunOutput {})
}

async fn get_run(service: Glue, _: Context, input: GetWorkflowRunInput) -> Result<GetWorkflowRunOutput, WireError> {
    let with_graph = input.include_graph.unwrap_or(false);
    let report = service.workflow_run(input.name, input.run_id, with_graph).await.map_err(wire)?;
    Ok(GetWorkflowRunOutput { run: Some(run(report).map_err(wire)?) })
}

async fn get_runs(service: Glue, _: Context, input: GetWorkflowRunsInput) -> Result<GetWorkflowRunsOutput, WireError> {
    let with_graph = input.include_graph.unwrap_or(false);
    let found = service.workflow_runs(input.name, with_graph, input.next_token, page(input.max_results)).await.map_err(wire)?;
    let runs = found.items.into_iter().map(run).collect::<Result<_, _>>().map_err(wire)?;
    Ok(GetWorkflowRunsOutput { runs: Some(runs), next_token: found.next })
}

async fn get_properties(
    service: Glue,
    _: Context,
    input: GetWorkflowRunPropertiesInput,
) -> Result<GetWorkflowRunPropertiesOutput, WireError> {
    let report = service.workflow_run(input.name, input.run_id, false).await.map_err(wire)?;
    Ok(GetWorkflowRunPropertiesOutput { run_properties: Some(report.run.properties) })
}

async fn put_properties(
    service: Glue,
    _: Context,
    input: PutWorkflowRunPropertiesInput,
) -> Result<PutWorkflowRunPropertiesOutput, WireError> {
    service.put_workflow_run_properties(input.name, input.run_id, input.run_properties).await.map_err(wire)?;
    Ok(PutWorkflowRunPropertiesOutput {})
}

fn run(report: RunReport) -> Result<WorkflowRun, GlueError> {
    let (known, counts) = (report.run, report.statistics);
    let statistics = WorkflowRunStatistics {
        total_actions: Some(counts.total),
        timeout_actions: Some(counts.timeout),
        failed_actions: Some(counts.failed),
        stopped_actions: Some(counts.stopped),
        succeeded_actions: Some(counts.succeeded),
        running_actions: Some(counts.running),
        errored_actions: Some(counts.errored),
        waiting_actions: Some(0),
    };
    Ok(WorkflowRun {
        name: Some(known.workflow),
        workflow_run_id: Some(known.id),
        previous_run_id: None,
        workflow_run_properties: Some(known.properties),
        started_on: Some(Timestamp(known.started_ms)),
        completed_on: known.completed_ms.map(Timestamp),
        status: WorkflowRunStatus::from_text(known.status.as_str()),
        error_message: None,
        statistics: Some(statistics),
        graph: report.graph.map(shown).transpose()?,
        starting_event_batch_condition: None,
    })
}

fn shown(graph: workflow::Graph) -> Result<WorkflowGraph, GlueError> {
    let edge = |edge: workflow::Edge| Edge { source_id: Some(edge.source), destination_id: Some(edge.destination) };
    Ok(WorkflowGraph {
        nodes: Some(graph.nodes.iter().map(node).collect::<Result<_, _>>()?),
        edges: Some(graph.edges.into_iter().map(edge).collect()),
    })
}

fn node(known: &workflow::Node) -> Result<Node, GlueError> {
    let unreadable = |error: WireError| GlueError::Internal(error.message);
    let (mut trigger_details, mut job_details, mut crawler_details) = (None, None, None);
    let kind = match &known.details {
        NodeDetails::Trigger(known) => {
            trigger_details = Some(TriggerNodeDetails { trigger: Some(trigger(known).map_err(unreadable)?) });
            NodeType::Trigger
        }
        NodeDetails::Job(runs) => {
            let runs = runs.iter().map(job_run).collect::<Result<_, _>>().map_err(unreadable)?;
            job_details = Some(JobNodeDetails { job_runs: Some(runs) });
            NodeType::Job
        }
        NodeDetails::Crawler(crawls) => {
            crawler_details = Some(CrawlerNodeDetails { crawls: Some(crawls.iter().map(crawl).collect()) });
            NodeType::Crawler
        }
    };
    Ok(Node {
        r#type: Some(kind),
        name: Some(known.name.clone()),
        unique_id: Some(known.id.clone()),
        trigger_details,
        job_details,
        crawler_details,
    })
}

fn crawl(known: &KnownCrawl) -> Crawl {
    let state = match known.state {
        KnownState::Running => CrawlState::Running,
        KnownState::Completed => CrawlState::Succeeded,
        KnownState::Failed => CrawlState::Failed,
        KnownState::Stopped => CrawlState::Cancelled,
    };
    Crawl {
        state: Some(state),
        started_on: Some(Timestamp(known.started_ms)),
        completed_on: known.ended_ms.map(Timestamp),
        error_message: known.error.clone().filter(|_| known.state != KnownState::Completed),
        log_group: Some(LOG_GROUP.into()),
        log_stream: Some(known.crawler.clone()),
    }
}
