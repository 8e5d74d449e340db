//! EventBridge's operations on the wire.

use crate::router::{Context, Router};
use millpond_services::events::{
    Bus, BusSettings, Events, EventsError, NewBus, NewEntry, NewRule, Permission, Rule as DomainRule, RuleState as State,
    Target as DomainTarget, Transformer,
};
use millpond_services::runtime::delivery::RetryPolicy as Retries;
use millpond_wire::events::*;
use millpond_wire::{Timestamp, WireError};
use serde_json::{Map, Value};

/// Registers the operations that are implemented.
pub fn register(router: &mut Router, events: Events) {
    router
        .service(events)
        .on(PutRule, put_rule)
        .on(DescribeRule, describe_rule)
        .on(ListRules, list_rules)
        .on(DeleteRule, delete_rule)
        .on(EnableRule, enable_rule)
        .on(DisableRule, disable_rule)
        .on(PutTargets, put_targets)
        .on(RemoveTargets, remove_targets)
        .on(ListTargetsByRule, list_targets_by_rule)
        .on(ListRuleNamesByTarget, list_rule_names_by_target)
        .on(PutEvents, put_events)
        .on(TestEventPattern, test_event_pattern)
        .on(CreateEventBus, create_event_bus)
        .on(UpdateEventBus, update_event_bus)
        .on(DeleteEventBus, delete_event_bus)
        .on(DescribeEventBus, describe_event_bus)
        .on(ListEventBuses, list_event_buses)
        .on(PutPermission, put_permission)
        .on(RemovePermission, remove_permission)
        .on(TagResource, tag_resource)
        .on(UntagResource, untag_resource)
        .on(ListTagsForResource, list_tags_for_resource);
}

type Answer<T> = Result<T, WireError>;

fn refused(error: EventsError) -> WireError {
    let message = error.to_string();
    match error {
        EventsError::NoSuchRule { .. } | EventsError::NoSuchBus(_) | EventsError::Missing(_) => {
            WireError::of(&error::RESOURCE_NOT_FOUND_EXCEPTION, message)
        }
        EventsError::Exists(_) => WireError::of(&error::RESOURCE_ALREADY_EXISTS_EXCEPTION, message),
        EventsError::PolicyLength(_) => WireError::of(&error::POLICY_LENGTH_EXCEEDED_EXCEPTION, message),
        EventsError::Pattern(_) => WireError::of(&error::INVALID_EVENT_PATTERN_EXCEPTION, message),
        EventsError::Invalid(_) => WireError::sender(http::StatusCode::BAD_REQUEST, "ValidationException", message),
        EventsError::Limit(_) => WireError::of(&error::LIMIT_EXCEEDED_EXCEPTION, message),
        EventsError::Store(cause) => {
            tracing::error!(error = %cause, "an EventBridge operation failed");
            WireError::of(&error::INTERNAL_EXCEPTION, "The lake could not do this now; its log says why. Try again.")
        }
    }
}

fn pairs(tags: Vec<Tag>) -> Vec<(String, String)> {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

fn state(state: Option<RuleState>) -> State {
    match state {
        None | Some(RuleState::Enabled) => State::Enabled,
        Some(RuleState::Disabled) => State::Disabled,
        Some(RuleState::EnabledWithAllCloudtrailManagementEvents) => State::EnabledWithAllManagementEvents,
    }
}

fn wire_state(state: State) -> RuleState {
    match state {
        State::Enabled => RuleState::Enabled,
        State::Disabled => RuleState::Disabled,
        State::EnabledWithAllManagementEvents => RuleState::EnabledWithAllCloudtrailManagementEvents,
    }
}

/// The service that a rule's and a target's role is given to.
const SERVICE_PRINCIPAL: &str = "events.amazonaws.com";

async fn put_rule(events: Events, context: Context, input: PutRuleInput) -> Answer<PutRuleOutput> {
    if let Some(role) = &input.role_arn {
        crate::pass_role(&context, role, SERVICE_PRINCIPAL).await?;
    }
    let bus = input.event_bus_name;
    let rule = NewRule {
        name: input.name,
        // An empty text is how some clients leave a member out.
        pattern: input.event_pattern.filter(|text| !text.is_empty()),
        schedule: input.schedule_expression.filter(|text| !text.is_empty()),
        state: state(input.state),
        description: input.description,
        role_arn: input.role_arn,
    };
    let arn = events.put_rule(bus.as_deref(), rule, pairs(input.tags.unwrap_or_default())).await.map_err(refused)?;
    Ok(PutRuleOutput { rule_arn: Some(arn) })
}

async fn describe_rule(events: Events, context: Context, input: DescribeRuleInput) -> Answer<DescribeRuleOutput> {
    let DomainRule { arn, bus, spec } =
        events.describe_rule(input.event_bus_name.as_deref(), &input.name).await.map_err(refused)?;
    Ok(DescribeRuleOutput {
        name: Some(spec.name),
        arn: Some(arn),
        event_pattern: spec.pattern,
        schedule_expression: spec.schedule,
        state: Some(wire_state(spec.state)),
        description: spec.description,
        role_arn: spec.role_arn,
        event_bus_name: Some(bus),
        created_by: Some(context.account),
        managed_by: None,
    })
}

async fn list_rules(events: Events, _: Context, input: ListRulesInput) -> Answer<ListRulesOutput> {
    let prefix = input.name_prefix.unwrap_or_default();
    let page = events
        .list_rules(input.event_bus_name.as_deref(), &prefix, input.next_token.as_deref(), input.limit)
        .await
        .map_err(refused)?;
    let rules = page.items.into_iter().map(|DomainRule { arn, bus, spec }| Rule {
        name: Some(spec.name),
        arn: Some(arn),
        event_pattern: spec.pattern,
        schedule_expression: spec.schedule,
        state: Some(wire_state(spec.state)),
        description: spec.description,
        role_arn: spec.role_arn,
        event_bus_name: Some(bus),
        managed_by: None,
    });
    Ok(ListRulesOutput { rules: Some(rules.collect()), next_token: page.next })
}

async fn delete_rule(events: Events, _: Context, input: DeleteRuleInput) -> Answer<DeleteRuleOutput> {
    events.delete_rule(input.event_bus_name.as_deref(), &input.name).await.map_err(refused)?;
    Ok(DeleteRuleOutput {})
}

async fn enable_rule(events: Events, _: Context, input: EnableRuleInput) -> Answer<EnableRuleOutput> {
    events.set_rule_state(input.event_bus_name.as_deref(), &input.name, State::Enabled).await.map_err(refused)?;
    Ok(EnableRuleOutput {})
}

async fn disable_rule(events: Events, _: Context, input: DisableRuleInput) -> Answer<DisableRuleOutput> {
    events.set_rule_state(input.event_bus_name.as_deref(), &input.name, State::Disabled).await.map_err(refused)?;
    Ok(DisableRuleOutput {})
}

/// The members of a target that the lake knows; all others are kept as they came.
const KNOWN: &[&str] = &["Id", "Arn", "RoleArn", "Input", "InputPath", "InputTransformer", "DeadLetterConfig", "RetryPolicy"];

fn target(target: Target) -> Answer<DomainTarget> {
    let mut parameters = match serde_json::to_value(&target) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    parameters.retain(|name, _| !KNOWN.contains(&name.as_str()));
    let default = Retries::default();
    let retry = target.retry_policy.map(|policy| Retries {
        attempts_max: policy.maximum_retry_attempts.map_or(default.attempts_max, |attempts| attempts.max(0) as u32),
        age_max_seconds: policy.maximum_event_age_in_seconds.map_or(default.age_max_seconds, |age| age.max(0) as u32),
    });
    Ok(DomainTarget {
        id: target.id,
        arn: target.arn,
        role_arn: target.role_arn,
        input: target.input,
        input_path: target.input_path,
        transformer: target.input_transformer.map(|transformer| Transformer {
            paths: transformer.input_paths_map.unwrap_or_default(),
            template: transformer.input_template,
        }),
        retry,
        dead_letter_arn: target.dead_letter_config.and_then(|config| config.arn),
        parameters,
    })
}

fn wire_target(target: DomainTarget) -> Answer<Target> {
    let mut members = target.parameters;
    // The two that every target has: the rest of the type then reads itself.
    members.insert("Id".into(), target.id.into());
    members.insert("Arn".into(), target.arn.into());
    let mut wire: Target = serde_json::from_value(Value::Object(members)).map_err(|error| {
        tracing::error!(%error, "a stored target cannot be shown");
        WireError::of(&error::INTERNAL_EXCEPTION, "A stored target cannot be shown; the lake's log says why. Put it again.")
    })?;
    wire.role_arn = target.role_arn;
    wire.input = target.input;
    wire.input_path = target.input_path;
    wire.input_transformer = target.transformer.map(|transformer| InputTransformer {
        input_paths_map: Some(transformer.paths).filter(|paths| !paths.is_empty()),
        input_template: transformer.template,
    });
    wire.retry_policy = target.retry.map(|retry| RetryPolicy {
        maximum_retry_attempts: Some(retry.attempts_max as i32),
        maximum_event_age_in_seconds: Some(retry.age_max_seconds as i32),
    });
    wire.dead_letter_config = target.dead_letter_arn.map(|arn| DeadLetterConfig { arn: Some(arn) });
    Ok(wire)
}

async fn put_targets(events: Events, context: Context, input: PutTargetsInput) -> Answer<PutTargetsOutput> {
    for role in input.targets.iter().filter_map(|target| target.role_arn.as_deref()) {
        crate::pass_role(&context, role, SERVICE_PRINCIPAL).await?;
    }
    let targets = input.targets.into_iter().map(target).collect::<Answer<Vec<_>>>()?;
    events.put_targets(input.event_bus_name.as_deref(), &input.rule, targets).await.map_err(refused)?;
    Ok(PutTargetsOutput { failed_entry_count: Some(0), failed_entries: Some(Vec::new()) })
}

async fn remove_targets(events: Events, _: Context, input: RemoveTargetsInput) -> Answer<RemoveTargetsOutput> {
    let missing = events.remove_targets(input.event_bus_name.as_deref(), &input.rule, input.ids).await.map_err(refused)?;
    let failed: Vec<_> = missing
        .into_iter()
        .map(|id| RemoveTargetsResultEntry {
            error_code: Some("ResourceNotFoundException".into()),
            error_message: Some(format!("Rule {} does not have a target with the id {id}.", input.rule)),
            target_id: Some(id),
        })
        .collect();
    Ok(RemoveTargetsOutput { failed_entry_count: Some(failed.len() as i32), failed_entries: Some(failed) })
}

async fn list_targets_by_rule(events: Events, _: Context, input: ListTargetsByRuleInput) -> Answer<ListTargetsByRuleOutput> {
    let (bus, token) = (input.event_bus_name.as_deref(), input.next_token.as_deref());
    let page = events.list_targets_by_rule(bus, &input.rule, token, input.limit).await.map_err(refused)?;
    let targets = page.items.into_iter().map(wire_target).collect::<Answer<Vec<_>>>()?;
    Ok(ListTargetsByRuleOutput { targets: Some(targets), next_token: page.next })
}

async fn list_rule_names_by_target(
    events: Events,
    _: Context,
    input: ListRuleNamesByTargetInput,
) -> Answer<ListRuleNamesByTargetOutput> {
    let (bus, token) = (input.event_bus_name.as_deref(), input.next_token.as_deref());
    let page = events.list_rule_names_by_target(bus, &input.target_arn, token, input.limit).await.map_err(refused)?;
    Ok(ListRuleNamesByTargetOutput { rule_names: Some(page.items), next_token: page.next })
}

async fn put_events(events: Events, context: Context, input: PutEventsInput) -> Answer<PutEventsOutput> {
    if input.endpoint_id.is_some() {
        return Err(refused(EventsError::Invalid("Global endpoints (EndpointId) are not implemented.".into())));
    }
    let entries = input.entries.into_iter().map(|entry| NewEntry {
        time_ms: entry.time.map(|time| time.0),
        source: entry.source,
        resources: entry.resources.unwrap_or_default(),
        detail_type: entry.detail_type,
        detail: entry.detail,
        bus: entry.event_bus_name,
        trace: entry.trace_header,
    });
    let results = events.put_events(&context.principal.arn, entries.collect()).await.map_err(refused)?;
    let failed = results.iter().filter(|result| result.is_err()).count();
    let entries = results.into_iter().map(|result| match result {
        Ok(id) => PutEventsResultEntry { event_id: Some(id), ..PutEventsResultEntry::default() },
        Err((code, message)) => PutEventsResultEntry {
            error_code: Some(code.into()),
            error_message: Some(message),
            ..PutEventsResultEntry::default()
        },
    });
    Ok(PutEventsOutput { failed_entry_count: Some(failed as i32), entries: Some(entries.collect()) })
}

async fn test_event_pattern(events: Events, _: Context, input: TestEventPatternInput) -> Answer<TestEventPatternOutput> {
    let result = events.test_event_pattern(&input.event_pattern, &input.event).map_err(refused)?;
    Ok(TestEventPatternOutput { result: Some(result) })
}

fn without_key(kms_key: Option<String>) -> Answer<()> {
    match kms_key.filter(|key| !key.is_empty()) {
        None => Ok(()),
        Some(_) => Err(refused(EventsError::Invalid("KmsKeyIdentifier: this lake has no KMS; leave it out.".into()))),
    }
}

fn settings(dead_letter: Option<DeadLetterConfig>, log: Option<LogConfig>) -> BusSettings {
    BusSettings {
        dead_letter_arn: dead_letter.and_then(|config| config.arn),
        log_config: log.and_then(|config| serde_json::to_value(config).ok()),
    }
}

fn wire_settings(settings: BusSettings) -> (Option<DeadLetterConfig>, Option<LogConfig>) {
    let log = settings.log_config.and_then(|config| serde_json::from_value(config).ok());
    (settings.dead_letter_arn.map(|arn| DeadLetterConfig { arn: Some(arn) }), log)
}

async fn create_event_bus(events: Events, _: Context, input: CreateEventBusInput) -> Answer<CreateEventBusOutput> {
    without_key(input.kms_key_identifier)?;
    if input.event_source_name.is_some() {
        return Err(refused(EventsError::Invalid("EventSourceName: partner event sources are not implemented.".into())));
    }
    let settings = settings(input.dead_letter_config, input.log_config);
    let new = NewBus { name: input.name, description: input.description, settings };
    let bus = events.create_event_bus(new, pairs(input.tags.unwrap_or_default())).await.map_err(refused)?;
    let (dead_letter_config, log_config) = wire_settings(bus.settings);
    let (event_bus_arn, description) = (Some(bus.arn), bus.description);
    Ok(CreateEventBusOutput { event_bus_arn, description, kms_key_identifier: None, dead_letter_config, log_config })
}

async fn update_event_bus(events: Events, _: Context, input: UpdateEventBusInput) -> Answer<UpdateEventBusOutput> {
    without_key(input.kms_key_identifier)?;
    let settings = settings(input.dead_letter_config, input.log_config);
    let change = NewBus { name: String::new(), description: input.description, settings };
    let bus = events.update_event_bus(input.name.as_deref(), change).await.map_err(refused)?;
    let (dead_letter_config, log_config) = wire_settings(bus.settings);
    Ok(UpdateEventBusOutput {
        arn: Some(bus.arn),
        name: Some(bus.name),
        kms_key_identifier: None,
        description: bus.description,
        dead_letter_config,
        log_config,
    })
}

async fn delete_event_bus(events: Events, _: Context, input: DeleteEventBusInput) -> Answer<DeleteEventBusOutput> {
    events.delete_event_bus(&input.name).await.map_err(refused)?;
    Ok(DeleteEventBusOutput {})
}

async fn describe_event_bus(events: Events, _: Context, input: DescribeEventBusInput) -> Answer<DescribeEventBusOutput> {
    let bus = events.describe_event_bus(input.name.as_deref()).await.map_err(refused)?;
    let (dead_letter_config, log_config) = wire_settings(bus.settings);
    Ok(DescribeEventBusOutput {
        name: Some(bus.name),
        arn: Some(bus.arn),
        description: bus.description,
        kms_key_identifier: None,
        dead_letter_config,
        policy: bus.policy,
        log_config,
        creation_time: bus.created_ms.map(Timestamp),
        last_modified_time: bus.modified_ms.map(Timestamp),
        managed_by: None,
    })
}

async fn list_event_buses(events: Events, _: Context, input: ListEventBusesInput) -> Answer<ListEventBusesOutput> {
    let (prefix, token) = (input.name_prefix.as_deref(), input.next_token.as_deref());
    let page = events.list_event_buses(prefix, token, input.limit).await.map_err(refused)?;
    let buses = page.items.into_iter().map(|bus: Bus| EventBus {
        name: Some(bus.name),
        arn: Some(bus.arn),
        description: bus.description,
        policy: bus.policy,
        creation_time: bus.created_ms.map(Timestamp),
        last_modified_time: bus.modified_ms.map(Timestamp),
        managed_by: None,
    });
    Ok(ListEventBusesOutput { event_buses: Some(buses.collect()), next_token: page.next })
}

async fn put_permission(events: Events, _: Context, input: PutPermissionInput) -> Answer<PutPermissionOutput> {
    let missing = |name: &str| refused(EventsError::Invalid(format!("Parameter(s) {name} must be specified, or Policy.")));
    let permission = match input.policy {
        Some(policy) => Permission::Policy(policy),
        None => Permission::Account {
            statement_id: input.statement_id.ok_or_else(|| missing("StatementId"))?,
            action: input.action.ok_or_else(|| missing("Action"))?,
            principal: input.principal.ok_or_else(|| missing("Principal"))?,
            condition: input.condition.map(|condition| (condition.r#type, condition.key, condition.value)),
        },
    };
    events.put_permission(input.event_bus_name.as_deref(), permission).await.map_err(refused)?;
    Ok(PutPermissionOutput {})
}

async fn remove_permission(events: Events, _: Context, input: RemovePermissionInput) -> Answer<RemovePermissionOutput> {
    let statement = match (input.remove_all_permissions, &input.statement_id) {
        (Some(true), _) => None,
        (_, Some(id)) => Some(id.as_str()),
        _ => return Err(refused(EventsError::Invalid("Parameter(s) StatementId must be specified.".into()))),
    };
    events.remove_permission(input.event_bus_name.as_deref(), statement).await.map_err(refused)?;
    Ok(RemovePermissionOutput {})
}

async fn tag_resource(events: Events, _: Context, input: TagResourceInput) -> Answer<TagResourceOutput> {
    events.tag_resource(&input.resource_arn, pairs(input.tags)).await.map_err(refused)?;
    Ok(TagResourceOutput {})
}

async fn untag_resource(events: Events, _: Context, input: UntagResourceInput) -> Answer<UntagResourceOutput> {
    events.untag_resource(&input.resource_arn, input.tag_keys).await.map_err(refused)?;
    Ok(UntagResourceOutput {})
}

async fn list_tags_for_resource(
    events: Events,
    _: Context,
    input: ListTagsForResourceInput,
) -> Answer<ListTagsForResourceOutput> {
    let tags = events.list_tags_for_resource(&input.resource_arn).await.map_err(refused)?;
    Ok(ListTagsForResourceOutput { tags: Some(tags.into_iter().map(|(key, value)| Tag { key, value }).collect()) })
}
