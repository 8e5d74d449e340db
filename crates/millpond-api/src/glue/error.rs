//! Glue's errors as AWS names them.

use millpond_services::glue::GlueError;
use millpond_wire::WireError;
use millpond_wire::glue::error as shape;

/// The one place where a Glue error becomes AWS's. Internal detail goes to the log, not to the caller.
pub fn wire(error: GlueError) -> WireError {
    let text = error.to_string();
    let shape = match error {
        GlueError::EntityNotFound(_) => &shape::ENTITY_NOT_FOUND_EXCEPTION,
        GlueError::AlreadyExists(_) => &shape::ALREADY_EXISTS_EXCEPTION,
        GlueError::InvalidInput(_) => &shape::INVALID_INPUT_EXCEPTION,
        GlueError::ConcurrentModification(_) => &shape::CONCURRENT_MODIFICATION_EXCEPTION,
        GlueError::ConcurrentRunsExceeded(_) => &shape::CONCURRENT_RUNS_EXCEEDED_EXCEPTION,
        GlueError::CrawlerRunning(_) => &shape::CRAWLER_RUNNING_EXCEPTION,
        GlueError::CrawlerStopping(_) => &shape::CRAWLER_STOPPING_EXCEPTION,
        GlueError::CrawlerNotRunning(_) => &shape::CRAWLER_NOT_RUNNING_EXCEPTION,
        GlueError::SchedulerTransitioning(_) => &shape::SCHEDULER_TRANSITIONING_EXCEPTION,
        GlueError::NoSchedule(_) => &shape::NO_SCHEDULE_EXCEPTION,
        GlueError::SchedulerRunning(_) => &shape::SCHEDULER_RUNNING_EXCEPTION,
        GlueError::SchedulerNotRunning(_) => &shape::SCHEDULER_NOT_RUNNING_EXCEPTION,
        GlueError::VersionMismatch(_) => &shape::VERSION_MISMATCH_EXCEPTION,
        GlueError::ResourceNumberLimitExceeded(_) => &shape::RESOURCE_NUMBER_LIMIT_EXCEEDED_EXCEPTION,
        GlueError::IdempotentParameterMismatch(_) => &shape::IDEMPOTENT_PARAMETER_MISMATCH_EXCEPTION,
        GlueError::IllegalWorkflowState(_) => &shape::ILLEGAL_WORKFLOW_STATE_EXCEPTION,
        GlueError::ResourceNotReady(_) => &shape::RESOURCE_NOT_READY_EXCEPTION,
        GlueError::OperationNotSupported(_) => &shape::OPERATION_NOT_SUPPORTED_EXCEPTION,
        GlueError::OperationTimeout(_) => &shape::OPERATION_TIMEOUT_EXCEPTION,
        GlueError::AccessDenied(_) => &shape::ACCESS_DENIED_EXCEPTION,
        GlueError::Internal(_) | GlueError::Store(_) => {
            tracing::error!(error = text, "a Glue request failed");
            return WireError::of(&shape::INTERNAL_SERVICE_EXCEPTION, "The lake failed on this request; its log has the reason.");
        }
    };
    WireError::of(shape, text)
}
