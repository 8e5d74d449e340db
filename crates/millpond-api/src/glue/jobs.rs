//! Jobs and their runs on the wire.

use super::SERVICE;
use super::crawlers::{page, recode};
use super::error::wire;
use crate::pass_role;
use crate::router::{Context, Router};
use millpond_services::glue::Glue;
use millpond_services::glue::job::rows::Bookmark;
use millpond_services::glue::job::script::{Kind, capacity};
use millpond_services::glue::job::{Job as Known, JobRun as Run, JobSpec, StartRun};
use millpond_wire::glue::{self, *};
use millpond_wire::{Timestamp, WireError};
use serde_json::{Map, Value, json};

/// Registers jobs.
pub fn register(router: &mut Router, service: &Glue) {
    router
        .service(service.clone())
        .on(glue::CreateJob, create)
        .on(glue::UpdateJob, update)
        .on(glue::DeleteJob, delete)
        .on(glue::GetJob, get)
        .on(glue::GetJobs, get_many)
        .on(glue::ListJobs, list)
        .on(glue::BatchGetJobs, batch_get)
        .on(glue::StartJobRun, start_run)
        .on(glue::GetJobRun, get_run)
        .on(glue::GetJobRuns, get_runs)
        .on(glue::BatchStopJobRun, stop_runs)
        .on(glue::GetJobBookmark, get_bookmark)
        .on(glue::ResetJobBookmark, reset_bookmark);
}

/// What a run can have otherwise than its job's definition says.
const OWN_MEMBERS: [&str; 7] = [
    "AllocatedCapacity",
    "MaxCapacity",
    "WorkerType",
    "NumberOfWorkers",
    "SecurityConfiguration",
    "NotificationProperty",
    "ExecutionClass",
];

async fn create(service: Glue, context: Context, mut input: CreateJobInput) -> Result<CreateJobOutput, WireError> {
    pass_role(&context, &input.role, SERVICE).await?;
    let (name, tags) = (std::mem::take(&mut input.name), input.tags.take());
    let mut members: Map<String, Value> = recode(&input)?;
    members.remove("Name");
    let spec: JobSpec = recode(&members)?;
    let name = service.create_job(name, spec, tags.unwrap_or_default()).await.map_err(wire)?;
    Ok(CreateJobOutput { name: Some(name) })
}

async fn update(service: Glue, context: Context, input: UpdateJobInput) -> Result<UpdateJobOutput, WireError> {
    if let Some(role) = &input.job_update.role {
        pass_role(&context, role, SERVICE).await?;
    }
    let spec: JobSpec = recode(&input.job_update)?;
    let name = service.update_job(input.job_name, spec).await.map_err(wire)?;
    Ok(UpdateJobOutput { job_name: Some(name) })
}

async fn delete(service: Glue, _: Context, input: DeleteJobInput) -> Result<DeleteJobOutput, WireError> {
    let name = service.delete_job(input.job_name).await.map_err(wire)?;
    Ok(DeleteJobOutput { job_name: Some(name) })
}

async fn get(service: Glue, _: Context, input: GetJobInput) -> Result<GetJobOutput, WireError> {
    let known = service.job(input.job_name).await.map_err(wire)?;
    Ok(GetJobOutput { job: Some(job(&known)?) })
}

async fn get_many(service: Glue, _: Context, input: GetJobsInput) -> Result<GetJobsOutput, WireError> {
    let found = service.jobs(input.next_token, page(input.max_results)).await.map_err(wire)?;
    let jobs = found.items.iter().map(job).collect::<Result<_, _>>()?;
    Ok(GetJobsOutput { jobs: Some(jobs), next_token: found.next })
}

async fn list(service: Glue, _: Context, input: ListJobsInput) -> Result<ListJobsOutput, WireError> {
    let wanted = input.tags.unwrap_or_default();
    let found = service.job_names(wanted, input.next_token, page(input.max_results)).await.map_err(wire)?;
    Ok(ListJobsOutput { job_names: Some(found.items), next_token: found.next })
}

async fn batch_get(service: Glue, _: Context, input: BatchGetJobsInput) -> Result<BatchGetJobsOutput, WireError> {
    let (there, not_there) = service.jobs_by_name(input.job_names).await.map_err(wire)?;
    let jobs = there.iter().map(job).collect::<Result<_, _>>()?;
    Ok(BatchGetJobsOutput { jobs: Some(jobs), jobs_not_found: Some(not_there) })
}

async fn start_run(service: Glue, _: Context, input: StartJobRunInput) -> Result<StartJobRunOutput, WireError> {
    let mut members: Map<String, Value> = recode(&input)?;
    members.retain(|name, _| OWN_MEMBERS.contains(&name.as_str()));
    let start = StartRun {
        arguments: input.arguments.unwrap_or_default(),
        timeout: input.timeout,
        retry_of: input.job_run_id,
        queue: input.job_run_queuing_enabled,
        members,
    };
    let id = service.start_job_run(input.job_name, start).await.map_err(wire)?;
    Ok(StartJobRunOutput { job_run_id: Some(id) })
}

async fn get_run(service: Glue, _: Context, input: GetJobRunInput) -> Result<GetJobRunOutput, WireError> {
    let known = service.job_run(input.job_name, input.run_id).await.map_err(wire)?;
    let mut shown = run(&known)?;
    if !input.predecessors_included.unwrap_or(false) {
        shown.predecessor_runs = Some(Vec::new());
    }
    Ok(GetJobRunOutput { job_run: Some(shown) })
}

async fn get_runs(service: Glue, _: Context, input: GetJobRunsInput) -> Result<GetJobRunsOutput, WireError> {
    let found = service.job_runs(input.job_name, input.next_token, page(input.max_results).min(200)).await.map_err(wire)?;
    let runs = found.items.iter().map(run).collect::<Result<_, _>>()?;
    Ok(GetJobRunsOutput { job_runs: Some(runs), next_token: found.next })
}

async fn stop_runs(service: Glue, _: Context, input: BatchStopJobRunInput) -> Result<BatchStopJobRunOutput, WireError> {
    let told = service.stop_job_runs(input.job_name.clone(), input.job_run_ids).await.map_err(wire)?;
    let (mut stopped, mut errors) = (Vec::new(), Vec::new());
    for (id, outcome) in told {
        let (job_name, job_run_id) = (Some(input.job_name.clone()), Some(id));
        match outcome {
            Ok(()) => stopped.push(BatchStopJobRunSuccessfulSubmission { job_name, job_run_id }),
            Err(error) => {
                let error = wire(error);
                let detail = ErrorDetail { error_code: Some(error.code.to_string()), error_message: Some(error.message.clone()) };
                errors.push(BatchStopJobRunError { job_name, job_run_id, error_detail: Some(detail) });
            }
        }
    }
    Ok(BatchStopJobRunOutput { successful_submissions: Some(stopped), errors: Some(errors) })
}

async fn get_bookmark(service: Glue, _: Context, input: GetJobBookmarkInput) -> Result<GetJobBookmarkOutput, WireError> {
    let bookmarks = service.job_bookmarks(input.job_name.clone(), input.run_id).await.map_err(wire)?;
    Ok(GetJobBookmarkOutput { job_bookmark_entry: Some(bookmark(input.job_name, &bookmarks)) })
}

async fn reset_bookmark(service: Glue, _: Context, input: ResetJobBookmarkInput) -> Result<ResetJobBookmarkOutput, WireError> {
    let bookmarks = service.reset_job_bookmark(input.job_name.clone(), input.run_id).await.map_err(wire)?;
    Ok(ResetJobBookmarkOutput { job_bookmark_entry: Some(bookmark(input.job_name, &bookmarks)) })
}

fn bookmark(job: String, bookmarks: &[Bookmark]) -> JobBookmarkEntry {
    let state: Map<String, Value> =
        bookmarks.iter().map(|one| (one.source.clone(), json!({ "generation": one.generation, "seq": one.seq }))).collect();
    JobBookmarkEntry {
        job_name: Some(job),
        version: i32::try_from(bookmarks.iter().map(|one| one.runs).sum::<i64>()).ok(),
        run: i32::try_from(bookmarks.iter().map(|one| one.runs).max().unwrap_or(0)).ok(),
        attempt: Some(0),
        previous_run_id: None,
        run_id: bookmarks.iter().find_map(|one| one.run.clone()),
        job_bookmark: Some(Value::Object(state).to_string()),
    }
}

fn job(known: &Known) -> Result<Job, WireError> {
    Ok(Job {
        name: Some(known.name.clone()),
        created_on: Some(Timestamp(known.created_ms)),
        last_modified_on: Some(Timestamp(known.updated_ms)),
        ..recode(&known.spec)?
    })
}

/// A run as Glue shows it.
pub(super) fn run(known: &Run) -> Result<JobRun, WireError> {
    let mut members: Map<String, Value> = recode(&known.spec)?;
    // Members of the definition that mean something else in a run, or nothing.
    for name in ["Role", "Command", "DefaultArguments", "NonOverridableArguments", "ExecutionProperty", "MaxRetries"] {
        members.remove(name);
    }
    let kind = Kind::of(&known.spec);
    let group = if kind == Some(Kind::Shell) { "/aws-glue/python-jobs" } else { "/aws-glue/jobs" };
    // Glue tells it of these only (API reference, `JobRun`).
    let arguments = known.spec.arguments(&known.arguments);
    let scales = arguments.get("--enable-auto-scaling").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let is_flex = members.get("ExecutionClass").is_some_and(|class| class == "FLEX");
    let is_metered = kind == Some(Kind::Etl) && (scales || is_flex);
    let ended_or_now = known.completed_ms.unwrap_or(known.modified_ms);
    let seconds = known.begun_ms.map_or(0, |begun| ((ended_or_now - begun).max(0) + 999) / 1000);
    let kept: JobRun = recode(&members)?;
    Ok(JobRun {
        id: Some(known.id.clone()),
        attempt: Some(known.attempt),
        previous_run_id: known.previous.clone(),
        job_name: Some(known.job.clone()),
        started_on: Some(Timestamp(known.started_ms)),
        last_modified_on: Some(Timestamp(known.modified_ms)),
        completed_on: known.completed_ms.map(Timestamp),
        job_run_state: JobRunState::from_text(known.state.as_str()),
        arguments: Some(known.arguments.clone()),
        error_message: known.message.clone(),
        predecessor_runs: Some(kept.predecessor_runs.unwrap_or_default()),
        execution_time: i32::try_from(seconds).ok(),
        log_group_name: Some(group.into()),
        max_capacity: kind.map(|_| capacity(&known.spec)),
        dpu_seconds: is_metered.then(|| capacity(&known.spec) * seconds as f64),
        ..kept
    })
}
