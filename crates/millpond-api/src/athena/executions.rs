//! Starting, watching and stopping query executions.

use super::{Answer, engine_version, kept, refused, shown};
use crate::router::{Context, Router};
use millpond_services::athena::{Athena, Execution, ReuseByAge, StartQuery, State, StatementKind};
use millpond_wire::Timestamp;
use millpond_wire::athena::*;

pub(super) fn register(router: &mut Router, athena: &Athena) {
    router
        .service(athena.clone())
        .on(StartQueryExecution, start_query_execution)
        .on(GetQueryExecution, get_query_execution)
        .on(BatchGetQueryExecution, batch_get_query_execution)
        .on(StopQueryExecution, stop_query_execution)
        .on(ListQueryExecutions, list_query_executions);
}

async fn start_query_execution(athena: Athena, _: Context, input: StartQueryExecutionInput) -> Answer<StartQueryExecutionOutput> {
    let context = input.query_execution_context.unwrap_or_default();
    let result = input.result_configuration.unwrap_or_default();
    let start = StartQuery {
        query: input.query_string,
        token: input.client_request_token,
        database: context.database,
        catalog: context.catalog,
        output_location: result.output_location,
        encryption: result.encryption_configuration.as_ref().and_then(kept),
        expected_owner: result.expected_bucket_owner,
        acl: result.acl_configuration.as_ref().and_then(kept),
        workgroup: input.work_group,
        parameters: input.execution_parameters.unwrap_or_default(),
        reuse: input
            .result_reuse_configuration
            .and_then(|reuse| reuse.result_reuse_by_age_configuration)
            .map(|by_age| ReuseByAge { enabled: by_age.enabled, minutes_max: by_age.max_age_in_minutes }),
    };
    let id = athena.start(start).await.map_err(refused)?;
    Ok(StartQueryExecutionOutput { query_execution_id: Some(id) })
}

async fn get_query_execution(athena: Athena, _: Context, input: GetQueryExecutionInput) -> Answer<GetQueryExecutionOutput> {
    let found = athena.settled_execution(&input.query_execution_id).await.map_err(refused)?;
    Ok(GetQueryExecutionOutput { query_execution: Some(execution(found)) })
}

async fn batch_get_query_execution(
    athena: Athena,
    _: Context,
    input: BatchGetQueryExecutionInput,
) -> Answer<BatchGetQueryExecutionOutput> {
    let (found, missing) = athena.executions(input.query_execution_ids).await.map_err(refused)?;
    let unprocessed = missing.into_iter().map(|id| UnprocessedQueryExecutionId {
        error_message: Some(format!("QueryExecution {id} was not found")),
        query_execution_id: Some(id),
        error_code: Some("QUERY_EXECUTION_NOT_FOUND".into()),
    });
    Ok(BatchGetQueryExecutionOutput {
        query_executions: Some(found.into_iter().map(execution).collect()),
        unprocessed_query_execution_ids: Some(unprocessed.collect()),
    })
}

fn execution(found: Execution) -> QueryExecution {
    let statistics = found.statistics;
    let state = match found.state {
        State::Queued => QueryExecutionState::Queued,
        State::Running => QueryExecutionState::Running,
        State::Succeeded => QueryExecutionState::Succeeded,
        State::Failed => QueryExecutionState::Failed,
        State::Cancelled => QueryExecutionState::Cancelled,
    };
    let kind = match found.kind {
        StatementKind::Ddl => StatementType::Ddl,
        StatementKind::Dml => StatementType::Dml,
        StatementKind::Utility => StatementType::Utility,
    };
    let failure = found.failure.map(|failure| millpond_wire::athena::AthenaError {
        error_category: Some(failure.category),
        error_type: Some(failure.error_type),
        retryable: Some(failure.retryable),
        error_message: Some(failure.message),
    });
    QueryExecution {
        query_execution_id: Some(found.id),
        query: Some(found.query),
        statement_type: Some(kind),
        result_configuration: Some(ResultConfiguration {
            output_location: Some(found.output).filter(|output| !output.is_empty()),
            encryption_configuration: shown(found.encryption),
            expected_bucket_owner: found.details.expected_owner,
            acl_configuration: shown(found.details.acl),
        }),
        result_reuse_configuration: Some(ResultReuseConfiguration {
            result_reuse_by_age_configuration: Some(ResultReuseByAgeConfiguration {
                enabled: found.details.reuse_minutes.is_some(),
                max_age_in_minutes: found.details.reuse_minutes,
            }),
        }),
        query_execution_context: Some(QueryExecutionContext { database: found.database, catalog: found.catalog }),
        status: Some(QueryExecutionStatus {
            state: Some(state),
            state_change_reason: found.reason,
            submission_date_time: Some(Timestamp::from_ms(found.submitted_ms)),
            completion_date_time: found.completed_ms.map(Timestamp::from_ms),
            athena_error: failure,
        }),
        statistics: Some(QueryExecutionStatistics {
            engine_execution_time_in_millis: Some(statistics.engine_ms),
            data_scanned_in_bytes: Some(statistics.scanned_bytes as i64),
            total_execution_time_in_millis: Some(statistics.total_ms),
            query_queue_time_in_millis: Some(statistics.queue_ms),
            service_pre_processing_time_in_millis: Some(0),
            query_planning_time_in_millis: Some(statistics.planning_ms),
            service_processing_time_in_millis: Some(statistics.service_ms),
            data_manifest_location: found.details.manifest,
            result_reuse_information: Some(ResultReuseInformation { reused_previous_result: statistics.reused }),
            ..Default::default()
        }),
        work_group: Some(found.workgroup),
        engine_version: Some(engine_version("AUTO")),
        execution_parameters: (!found.parameters.is_empty()).then_some(found.parameters),
        substatement_type: Some(found.substatement),
        ..Default::default()
    }
}

async fn stop_query_execution(athena: Athena, _: Context, input: StopQueryExecutionInput) -> Answer<StopQueryExecutionOutput> {
    athena.stop(&input.query_execution_id).await.map_err(refused)?;
    Ok(StopQueryExecutionOutput {})
}

async fn list_query_executions(athena: Athena, _: Context, input: ListQueryExecutionsInput) -> Answer<ListQueryExecutionsOutput> {
    let page = athena.execution_ids(input.work_group, input.next_token, input.max_results).await.map_err(refused)?;
    Ok(ListQueryExecutionsOutput { query_execution_ids: Some(page.items), next_token: page.next })
}
