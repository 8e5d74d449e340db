//! CloudWatch Logs' operations on the wire.

use crate::router::{Context, Router};
use millpond_services::logs::{
    Event, FilterQuery, GetQuery, Group, GroupFilter, GroupQuery, Logs, LogsError, NewGroup, Page, Put, Stream, StreamOrder,
    StreamQuery,
};
use millpond_wire::WireError;
use millpond_wire::logs::*;
use std::collections::BTreeMap;

/// Groups and streams of a page, where the request does not say.
const PAGE: usize = 50;

/// Registers the operations that are implemented.
pub fn register(router: &mut Router, logs: Logs) {
    router
        .service(logs)
        .on(CreateLogGroup, create_log_group)
        .on(DeleteLogGroup, delete_log_group)
        .on(DescribeLogGroups, describe_log_groups)
        .on(ListLogGroups, list_log_groups)
        .on(PutLogGroupDeletionProtection, put_log_group_deletion_protection)
        .on(CreateLogStream, create_log_stream)
        .on(DeleteLogStream, delete_log_stream)
        .on(DescribeLogStreams, describe_log_streams)
        .on(PutLogEvents, put_log_events)
        .on(GetLogEvents, get_log_events)
        .on(FilterLogEvents, filter_log_events)
        .on(TestMetricFilter, test_metric_filter)
        .on(PutRetentionPolicy, put_retention_policy)
        .on(DeleteRetentionPolicy, delete_retention_policy)
        .on(TagLogGroup, tag_log_group)
        .on(UntagLogGroup, untag_log_group)
        .on(ListTagsLogGroup, list_tags_log_group)
        .on(TagResource, tag_resource)
        .on(UntagResource, untag_resource)
        .on(ListTagsForResource, list_tags_for_resource);
}

type Answer<T> = Result<T, WireError>;

fn refused(error: LogsError) -> WireError {
    let message = error.to_string();
    let shape = match error {
        LogsError::InvalidParameter(_) => &error::INVALID_PARAMETER_EXCEPTION,
        LogsError::NoGroup | LogsError::NoStream | LogsError::NoResource => &error::RESOURCE_NOT_FOUND_EXCEPTION,
        LogsError::GroupExists | LogsError::StreamExists => &error::RESOURCE_ALREADY_EXISTS_EXCEPTION,
        LogsError::Protected(_) => &error::VALIDATION_EXCEPTION,
        LogsError::TooManyTags(_) => &error::TOO_MANY_TAGS_EXCEPTION,
        LogsError::Store(cause) => {
            tracing::error!(error = %cause, "an operation of CloudWatch Logs failed");
            let text = "The lake could not do this now; its log says why. Try again.";
            return WireError::of(&error::SERVICE_UNAVAILABLE_EXCEPTION, text);
        }
    };
    WireError::of(shape, message)
}

fn invalid(message: impl Into<String>) -> WireError {
    WireError::of(&error::INVALID_PARAMETER_EXCEPTION, message.into())
}

fn count(limit: Option<i32>) -> Option<usize> {
    limit.and_then(|limit| usize::try_from(limit).ok())
}

/// The group that a request means by its name or by an identifier.
fn group(logs: &Logs, name: Option<String>, identifier: Option<String>) -> Answer<String> {
    match (name, identifier) {
        (Some(_), Some(_)) => Err(invalid("LogGroup name and LogGroup ARN are mutually exclusive parameters.")),
        (Some(name), None) => Ok(name),
        (None, Some(identifier)) => logs.group_name(&identifier).map_err(refused),
        (None, None) => Err(invalid("Either logGroupName or logGroupIdentifier must be given.")),
    }
}

/// The group that a tagging operation means.
fn tagged(logs: &Logs, arn: &str) -> Answer<String> {
    if !arn.starts_with("arn:") {
        return Err(invalid(format!("'{arn}' is not an ARN; that of a log group looks like {}", logs.group_arn("NAME"))));
    }
    logs.group_name(arn).map_err(refused)
}

fn pairs(tags: Option<BTreeMap<String, String>>) -> Vec<(String, String)> {
    tags.unwrap_or_default().into_iter().collect()
}

fn other_accounts(logs: &Logs, accounts: Option<&[String]>) -> Answer<()> {
    let own = logs.group_arn("x");
    match accounts.unwrap_or_default().iter().find(|account| !own.contains(&format!(":{account}:"))) {
        Some(other) => Err(invalid(format!("The account {other} is not linked: this lake has one account."))),
        None => Ok(()),
    }
}

async fn create_log_group(logs: Logs, _: Context, input: CreateLogGroupInput) -> Answer<CreateLogGroupOutput> {
    let new = NewGroup {
        name: input.log_group_name,
        class: input.log_group_class.map(|class| class.as_str().to_owned()),
        tags: pairs(input.tags),
        kms_key: input.kms_key_id,
        protected: input.deletion_protection_enabled.unwrap_or(false),
    };
    logs.create_group(new).await.map_err(refused)?;
    Ok(CreateLogGroupOutput {})
}

async fn delete_log_group(logs: Logs, _: Context, input: DeleteLogGroupInput) -> Answer<DeleteLogGroupOutput> {
    logs.delete_group(input.log_group_name).await.map_err(refused)?;
    Ok(DeleteLogGroupOutput {})
}

async fn put_log_group_deletion_protection(
    logs: Logs,
    _: Context,
    input: PutLogGroupDeletionProtectionInput,
) -> Answer<PutLogGroupDeletionProtectionOutput> {
    let name = logs.group_name(&input.log_group_identifier).map_err(refused)?;
    logs.protect_group(name, input.deletion_protection_enabled).await.map_err(refused)?;
    Ok(PutLogGroupDeletionProtectionOutput {})
}

/// The classes that a filter by class means: asking for one of the two that cost less shows both.
fn classes(class: Option<LogGroupClass>) -> Vec<String> {
    let names: &[LogGroupClass] = match class {
        None => &[],
        Some(LogGroupClass::InfrequentAccess | LogGroupClass::Essentials) => {
            &[LogGroupClass::InfrequentAccess, LogGroupClass::Essentials]
        }
        Some(LogGroupClass::Standard) => &[LogGroupClass::Standard],
        Some(LogGroupClass::Delivery) => &[LogGroupClass::Delivery],
    };
    names.iter().map(|class| class.as_str().to_owned()).collect()
}

fn shown_group(group: Group) -> LogGroup {
    LogGroup {
        log_group_name: Some(group.name),
        creation_time: Some(group.created_ms),
        retention_in_days: group.retention_days.and_then(|days| i32::try_from(days).ok()),
        metric_filter_count: Some(0),
        arn: Some(format!("{}:*", group.arn)),
        stored_bytes: Some(group.stored_bytes),
        log_group_class: LogGroupClass::from_text(&group.class),
        log_group_arn: Some(group.arn),
        deletion_protection_enabled: Some(group.protected),
        ..LogGroup::default()
    }
}

async fn describe_log_groups(logs: Logs, _: Context, input: DescribeLogGroupsInput) -> Answer<DescribeLogGroupsOutput> {
    other_accounts(&logs, input.account_identifiers.as_deref())?;
    let filter = match (input.log_group_name_prefix, input.log_group_name_pattern, input.log_group_identifiers) {
        (None, None, None) => GroupFilter::All,
        (Some(prefix), None, None) => GroupFilter::Prefix(prefix),
        (None, Some(part), None) => GroupFilter::Contains(part),
        (None, None, Some(identifiers)) => {
            let names = identifiers.iter().map(|identifier| logs.group_name(identifier).map_err(refused));
            GroupFilter::Names(names.collect::<Answer<_>>()?)
        }
        (Some(_), Some(_), _) => {
            let text = "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.";
            return Err(invalid(text));
        }
        _ => return Err(invalid("logGroupIdentifiers cannot be combined with logGroupNamePrefix or logGroupNamePattern.")),
    };
    let query = GroupQuery {
        filter,
        classes: classes(input.log_group_class),
        tags: Vec::new(),
        token: input.next_token,
        limit: count(input.limit).unwrap_or(PAGE),
    };
    let Page { items, next } = logs.groups(query).await.map_err(refused)?;
    let log_groups = items.into_iter().map(shown_group).collect();
    Ok(DescribeLogGroupsOutput { log_groups: Some(log_groups), next_token: next })
}

async fn list_log_groups(logs: Logs, _: Context, input: ListLogGroupsInput) -> Answer<ListLogGroupsOutput> {
    other_accounts(&logs, input.account_identifiers.as_deref())?;
    if input.data_sources.is_some() || input.field_index_names.is_some() {
        return Err(invalid("Log groups of this lake have neither data sources nor field indexes to be filtered by."));
    }
    let pattern = input.log_group_name_pattern;
    let tags = input.log_group_tags.unwrap_or_default();
    let query = GroupQuery {
        filter: pattern.map_or(GroupFilter::All, |text| GroupFilter::AnyOf(text.split('|').map(str::to_owned).collect())),
        classes: input.log_group_class.map(|class| class.as_str().to_owned()).into_iter().collect(),
        tags: tags.into_iter().map(|tag| (tag.key, tag.values.unwrap_or_default())).collect(),
        token: input.next_token,
        limit: count(input.limit).unwrap_or(PAGE),
    };
    let Page { items, next } = logs.groups(query).await.map_err(refused)?;
    let summary = |group: Group| LogGroupSummary {
        log_group_name: Some(group.name),
        log_group_arn: Some(group.arn),
        log_group_class: LogGroupClass::from_text(&group.class),
    };
    Ok(ListLogGroupsOutput { log_groups: Some(items.into_iter().map(summary).collect()), next_token: next })
}

async fn create_log_stream(logs: Logs, _: Context, input: CreateLogStreamInput) -> Answer<CreateLogStreamOutput> {
    logs.create_stream(input.log_group_name, input.log_stream_name).await.map_err(refused)?;
    Ok(CreateLogStreamOutput {})
}

async fn delete_log_stream(logs: Logs, _: Context, input: DeleteLogStreamInput) -> Answer<DeleteLogStreamOutput> {
    logs.delete_stream(input.log_group_name, input.log_stream_name).await.map_err(refused)?;
    Ok(DeleteLogStreamOutput {})
}

/// What is shown as a sequence token, which nobody looks at any more.
fn sequence_token(number: i64) -> String {
    format!("{number:056}")
}

fn shown_stream(stream: Stream) -> LogStream {
    LogStream {
        log_stream_name: Some(stream.name),
        creation_time: Some(stream.created_ms),
        first_event_timestamp: stream.first_event_ms,
        last_event_timestamp: stream.last_event_ms,
        upload_sequence_token: stream.last_ingestion_ms.map(sequence_token),
        last_ingestion_time: stream.last_ingestion_ms,
        arn: Some(stream.arn),
        stored_bytes: Some(0),
    }
}

async fn describe_log_streams(logs: Logs, _: Context, input: DescribeLogStreamsInput) -> Answer<DescribeLogStreamsOutput> {
    let query = StreamQuery {
        group: group(&logs, input.log_group_name, input.log_group_identifier)?,
        prefix: input.log_stream_name_prefix,
        order: match input.order_by {
            Some(OrderBy::LastEventTime) => StreamOrder::LastEvent,
            Some(OrderBy::LogStreamName) | None => StreamOrder::Name,
        },
        descending: input.descending.unwrap_or(false),
        token: input.next_token,
        limit: count(input.limit).unwrap_or(PAGE),
    };
    let Page { items, next } = logs.streams(query).await.map_err(refused)?;
    let log_streams = items.into_iter().map(shown_stream).collect();
    Ok(DescribeLogStreamsOutput { log_streams: Some(log_streams), next_token: next })
}

async fn put_log_events(logs: Logs, _: Context, input: PutLogEventsInput) -> Answer<PutLogEventsOutput> {
    let events = input.log_events.into_iter().map(|event| Event { time_ms: event.timestamp, message: event.message });
    let put = logs.put_events(input.log_group_name, input.log_stream_name, events.collect()).await.map_err(refused)?;
    let Put { next_token, too_new_from, too_old_to, expired_to } = put;
    let index = |at: Option<usize>| at.and_then(|at| i32::try_from(at).ok());
    let rejected = RejectedLogEventsInfo {
        too_new_log_event_start_index: index(too_new_from),
        too_old_log_event_end_index: index(too_old_to),
        expired_log_event_end_index: index(expired_to),
    };
    let some = too_new_from.or(too_old_to).or(expired_to).is_some();
    Ok(PutLogEventsOutput {
        next_sequence_token: Some(next_token),
        rejected_log_events_info: some.then_some(rejected),
        rejected_entity_info: None,
    })
}

async fn get_log_events(logs: Logs, _: Context, input: GetLogEventsInput) -> Answer<GetLogEventsOutput> {
    let query = GetQuery {
        group: group(&logs, input.log_group_name, input.log_group_identifier)?,
        stream: input.log_stream_name,
        from_ms: input.start_time,
        to_ms: input.end_time,
        token: input.next_token,
        limit: count(input.limit),
        from_head: input.start_from_head.unwrap_or(false),
    };
    let got = logs.get_events(query).await.map_err(refused)?;
    let events = got.events.into_iter().map(|event| OutputLogEvent {
        timestamp: Some(event.time_ms),
        message: Some(event.message),
        ingestion_time: Some(event.ingested_ms),
    });
    Ok(GetLogEventsOutput {
        events: Some(events.collect()),
        next_forward_token: Some(got.forward),
        next_backward_token: Some(got.backward),
    })
}

async fn filter_log_events(logs: Logs, _: Context, input: FilterLogEventsInput) -> Answer<FilterLogEventsOutput> {
    let query = FilterQuery {
        group: group(&logs, input.log_group_name, input.log_group_identifier)?,
        streams: input.log_stream_names,
        prefix: input.log_stream_name_prefix,
        from_ms: input.start_time,
        to_ms: input.end_time,
        pattern: input.filter_pattern,
        token: input.next_token,
        limit: count(input.limit),
        descending: input.start_from_head == Some(false),
    };
    let filtered = logs.filter_events(query).await.map_err(refused)?;
    let events = filtered.events.into_iter().map(|event| FilteredLogEvent {
        log_stream_name: Some(event.stream.as_ref().to_owned()),
        timestamp: Some(event.time_ms),
        message: Some(event.message),
        ingestion_time: Some(event.ingested_ms),
        event_id: Some(event.id),
    });
    Ok(FilterLogEventsOutput {
        events: Some(events.collect()),
        searched_log_streams: Some(Vec::new()),
        next_token: filtered.next,
    })
}

async fn test_metric_filter(logs: Logs, _: Context, input: TestMetricFilterInput) -> Answer<TestMetricFilterOutput> {
    let matches = logs.test_filter(&input.filter_pattern, input.log_event_messages).await.map_err(refused)?;
    let matches = matches.into_iter().map(|found| MetricFilterMatchRecord {
        event_number: Some(found.number),
        event_message: Some(found.message),
        extracted_values: Some(found.values),
    });
    Ok(TestMetricFilterOutput { matches: Some(matches.collect()) })
}

async fn put_retention_policy(logs: Logs, _: Context, input: PutRetentionPolicyInput) -> Answer<PutRetentionPolicyOutput> {
    let days = i64::from(input.retention_in_days);
    logs.set_retention(input.log_group_name, Some(days)).await.map_err(refused)?;
    Ok(PutRetentionPolicyOutput {})
}

async fn delete_retention_policy(
    logs: Logs,
    _: Context,
    input: DeleteRetentionPolicyInput,
) -> Answer<DeleteRetentionPolicyOutput> {
    logs.set_retention(input.log_group_name, None).await.map_err(refused)?;
    Ok(DeleteRetentionPolicyOutput {})
}

async fn tag_log_group(logs: Logs, _: Context, input: TagLogGroupInput) -> Answer<TagLogGroupOutput> {
    logs.tag(input.log_group_name, pairs(Some(input.tags)), LogsError::NoGroup).await.map_err(refused)?;
    Ok(TagLogGroupOutput {})
}

async fn untag_log_group(logs: Logs, _: Context, input: UntagLogGroupInput) -> Answer<UntagLogGroupOutput> {
    logs.untag(input.log_group_name, input.tags, LogsError::NoGroup).await.map_err(refused)?;
    Ok(UntagLogGroupOutput {})
}

async fn list_tags_log_group(logs: Logs, _: Context, input: ListTagsLogGroupInput) -> Answer<ListTagsLogGroupOutput> {
    let tags = logs.tags(input.log_group_name, LogsError::NoGroup).await.map_err(refused)?;
    Ok(ListTagsLogGroupOutput { tags: Some(tags.into_iter().collect()) })
}

async fn tag_resource(logs: Logs, _: Context, input: TagResourceInput) -> Answer<TagResourceOutput> {
    let group = tagged(&logs, &input.resource_arn)?;
    logs.tag(group, pairs(Some(input.tags)), LogsError::NoResource).await.map_err(refused)?;
    Ok(TagResourceOutput {})
}

async fn untag_resource(logs: Logs, _: Context, input: UntagResourceInput) -> Answer<UntagResourceOutput> {
    let group = tagged(&logs, &input.resource_arn)?;
    logs.untag(group, input.tag_keys, LogsError::NoResource).await.map_err(refused)?;
    Ok(UntagResourceOutput {})
}

async fn list_tags_for_resource(logs: Logs, _: Context, input: ListTagsForResourceInput) -> Answer<ListTagsForResourceOutput> {
    let group = tagged(&logs, &input.resource_arn)?;
    let tags = logs.tags(group, LogsError::NoResource).await.map_err(refused)?;
    Ok(ListTagsForResourceOutput { tags: Some(tags.into_iter().collect()) })
}
