use super::{Answer, invalid, number, refused};
use crate::router::Context;
use millpond_services::lambda::{Lambda, MappingChange, MappingView, NewMapping};
use millpond_wire::Timestamp;
use millpond_wire::lambda::*;

fn shown(view: MappingView) -> EventSourceMappingConfiguration {
    let filters: Vec<Filter> = view.filters.into_iter().map(|pattern| Filter { pattern: Some(pattern) }).collect();
    let responses = if view.report_failures { vec![FunctionResponseType::ReportBatchItemFailures] } else { Vec::new() };
    EventSourceMappingConfiguration {
        uuid: Some(view.uuid),
        batch_size: Some(view.batch_size as i32),
        maximum_batching_window_in_seconds: Some(view.window_s as i32),
        event_source_arn: Some(view.source),
        filter_criteria: (!filters.is_empty()).then_some(FilterCriteria { filters: Some(filters) }),
        scaling_config: view.concurrency.map(|most| ScalingConfig { maximum_concurrency: Some(most as i32) }),
        function_arn: Some(view.function_arn),
        last_modified: Some(Timestamp::from_ms(view.modified_ms)),
        last_processing_result: view.problem,
        state: Some(view.state.to_owned()),
        state_transition_reason: Some("USER_INITIATED".to_owned()),
        function_response_types: Some(responses),
        event_source_mapping_arn: Some(view.arn),
        ..EventSourceMappingConfiguration::default()
    }
}

fn filters(criteria: Option<FilterCriteria>) -> Answer<Option<Vec<String>>> {
    let Some(criteria) = criteria else { return Ok(None) };
    let patterns = criteria
        .filters
        .unwrap_or_default()
        .into_iter()
        .map(|filter| filter.pattern.ok_or_else(|| invalid("Invalid filter pattern definition. (A filter has a Pattern.)")));
    patterns.collect::<Answer<Vec<_>>>().map(Some)
}

/// What is for sources of other kinds.
fn unsupported(given: &[(&str, bool)]) -> Answer<()> {
    match given.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(invalid(format!("Unsupported {name} parameter for given event source mapping type."))),
        None => Ok(()),
    }
}

fn has_target(config: Option<&DestinationConfig>) -> bool {
    let named = |target: Option<&String>| target.is_some_and(|target| !target.is_empty());
    config.is_some_and(|config| {
        named(config.on_success.as_ref().and_then(|on| on.destination.as_ref()))
            || named(config.on_failure.as_ref().and_then(|on| on.destination.as_ref()))
    })
}

pub(super) async fn create_event_source_mapping(
    lambda: Lambda,
    _: Context,
    input: CreateEventSourceMappingInput,
) -> Answer<CreateEventSourceMappingOutput> {
    lambda.check_source(input.event_source_arn.as_deref()).map_err(refused)?;
    unsupported(&[
        ("StartingPosition", input.starting_position.is_some()),
        ("StartingPositionTimestamp", input.starting_position_timestamp.is_some()),
        ("DestinationConfig", has_target(input.destination_config.as_ref())),
        ("ParallelizationFactor", input.parallelization_factor.is_some()),
        ("MaximumRecordAgeInSeconds", input.maximum_record_age_in_seconds.is_some()),
        ("MaximumRetryAttempts", input.maximum_retry_attempts.is_some()),
        ("BisectBatchOnFunctionError", input.bisect_batch_on_function_error.is_some()),
        ("TumblingWindowInSeconds", input.tumbling_window_in_seconds.is_some()),
        ("Topics", input.topics.is_some()),
        ("Queues", input.queues.is_some()),
        ("SelfManagedEventSource", input.self_managed_event_source.is_some()),
        ("KMSKeyArn", input.kms_key_arn.is_some_and(|key| !key.is_empty())),
    ])?;
    let change = MappingChange {
        function: Some(input.function_name),
        enabled: input.enabled,
        batch_size: number(input.batch_size),
        window_s: number(input.maximum_batching_window_in_seconds),
        report_failures: input.function_response_types.map(|types| !types.is_empty()),
        concurrency: input.scaling_config.map(|scaling| number(scaling.maximum_concurrency)),
        filters: filters(input.filter_criteria)?,
    };
    let new = NewMapping { source: input.event_source_arn, change, tags: input.tags.unwrap_or_default() };
    lambda.create_mapping(new).await.map(shown).map_err(refused)
}

pub(super) async fn get_event_source_mapping(
    lambda: Lambda,
    _: Context,
    input: GetEventSourceMappingInput,
) -> Answer<GetEventSourceMappingOutput> {
    lambda.get_mapping(&input.uuid).await.map(shown).map_err(refused)
}

pub(super) async fn update_event_source_mapping(
    lambda: Lambda,
    _: Context,
    input: UpdateEventSourceMappingInput,
) -> Answer<UpdateEventSourceMappingOutput> {
    unsupported(&[
        ("DestinationConfig", has_target(input.destination_config.as_ref())),
        ("ParallelizationFactor", input.parallelization_factor.is_some()),
        ("MaximumRecordAgeInSeconds", input.maximum_record_age_in_seconds.is_some()),
        ("MaximumRetryAttempts", input.maximum_retry_attempts.is_some()),
        ("BisectBatchOnFunctionError", input.bisect_batch_on_function_error.is_some()),
        ("TumblingWindowInSeconds", input.tumbling_window_in_seconds.is_some()),
        ("KMSKeyArn", input.kms_key_arn.is_some_and(|key| !key.is_empty())),
    ])?;
    let change = MappingChange {
        function: input.function_name,
        enabled: input.enabled,
        batch_size: number(input.batch_size),
        window_s: number(input.maximum_batching_window_in_seconds),
        report_failures: input.function_response_types.map(|types| !types.is_empty()),
        concurrency: input.scaling_config.map(|scaling| number(scaling.maximum_concurrency)),
        filters: filters(input.filter_criteria)?,
    };
    lambda.update_mapping(&input.uuid, change).await.map(shown).map_err(refused)
}

pub(super) async fn delete_event_source_mapping(
    lambda: Lambda,
    _: Context,
    input: DeleteEventSourceMappingInput,
) -> Answer<DeleteEventSourceMappingOutput> {
    lambda.delete_mapping(&input.uuid).await.map(shown).map_err(refused)
}

pub(super) async fn list_event_source_mappings(
    lambda: Lambda,
    _: Context,
    input: ListEventSourceMappingsInput,
) -> Answer<ListEventSourceMappingsOutput> {
    let (function, marker) = (input.function_name.as_deref(), input.marker.as_deref());
    let page = lambda.list_mappings(input.event_source_arn, function, marker, number(input.max_items)).await;
    let page = page.map_err(refused)?;
    Ok(ListEventSourceMappingsOutput {
        next_marker: page.next,
        event_source_mappings: Some(page.items.into_iter().map(shown).collect()),
    })
}
