use super::{Answer, invalid, number, refused};
use crate::router::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use millpond_services::lambda::{Call, EventConfig, EventConfigView, Lambda};
use millpond_wire::lambda::*;
use millpond_wire::{Blob, Timestamp};

pub(super) async fn invoke(lambda: Lambda, context: Context, input: InvokeInput) -> Answer<InvokeOutput> {
    if input.durable_execution_name.is_some() || input.tenant_id.is_some() {
        return Err(invalid("Durable executions and tenants are not there yet; leave DurableExecutionName and TenantId out."));
    }
    let tail = input.log_type == Some(LogType::Tail);
    let kind = input.invocation_type.unwrap_or(InvocationType::RequestResponse);
    let call = Call {
        function: input.function_name,
        qualifier: input.qualifier,
        payload: input.payload.map(|payload| Bytes::from(payload.0)).unwrap_or_default(),
        client_context: input
            .client_context
            .filter(|_| kind == InvocationType::RequestResponse)
            .map(client_context)
            .transpose()?,
        trace_id: None,
        request_id: context.request_id,
    };
    match kind {
        InvocationType::RequestResponse => {
            let answer = lambda.invoke(call).await.map_err(refused)?;
            Ok(InvokeOutput {
                status_code: Some(200),
                function_error: answer.function_error.map(ToOwned::to_owned),
                log_result: tail.then(|| STANDARD.encode(&answer.log_tail)),
                payload: Some(Blob(answer.payload.into())),
                executed_version: Some(answer.executed_version),
                durable_execution_arn: None,
            })
        }
        InvocationType::Event => {
            lambda.invoke_later(call).await.map_err(refused)?;
            Ok(InvokeOutput { status_code: Some(202), ..InvokeOutput::default() })
        }
        InvocationType::DryRun => {
            lambda.invoke_dry(call).await.map_err(refused)?;
            Ok(InvokeOutput { status_code: Some(204), ..InvokeOutput::default() })
        }
    }
}

/// JSON in base64.
fn client_context(text: String) -> Answer<String> {
    let decoded = STANDARD.decode(text.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let json = decoded.filter(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
    json.ok_or_else(|| {
        let message = "Client context must be a valid Base64-encoded JSON object.";
        millpond_wire::WireError::of(&error::INVALID_REQUEST_CONTENT_EXCEPTION, message).with("Type", "User")
    })
}

pub(super) async fn invoke_async(lambda: Lambda, context: Context, input: InvokeAsyncInput) -> Answer<InvokeAsyncOutput> {
    let call = Call {
        function: input.function_name,
        payload: Bytes::from(input.invoke_args.0),
        request_id: context.request_id,
        ..Call::default()
    };
    lambda.invoke_later(call).await.map_err(refused)?;
    Ok(InvokeAsyncOutput { status: Some(202) })
}

fn config(retries: Option<i32>, age: Option<i32>, destinations: Option<DestinationConfig>) -> EventConfig {
    let target = |destination: Option<Option<String>>| destination.map(Option::unwrap_or_default);
    let (success, failure) = match destinations {
        None => (None, None),
        Some(both) => {
            let success = both.on_success.map(|on| on.destination);
            let failure = both.on_failure.map(|on| on.destination);
            // A configuration that names neither still is one: it takes both away.
            (target(Some(success.flatten())), target(Some(failure.flatten())))
        }
    };
    EventConfig { retries_max: number(retries), age_max_seconds: number(age), on_success: success, on_failure: failure }
}

fn shown(view: EventConfigView) -> FunctionEventInvokeConfig {
    let named = |target: Option<String>| target.filter(|target| !target.is_empty());
    FunctionEventInvokeConfig {
        last_modified: Some(Timestamp::from_ms(view.modified_ms)),
        function_arn: Some(view.arn),
        maximum_retry_attempts: view.config.retries_max.map(|retries| retries as i32),
        maximum_event_age_in_seconds: view.config.age_max_seconds.map(|age| age as i32),
        destination_config: Some(DestinationConfig {
            on_success: Some(OnSuccess { destination: named(view.config.on_success) }),
            on_failure: Some(OnFailure { destination: named(view.config.on_failure) }),
        }),
    }
}

pub(super) async fn put_function_event_invoke_config(
    lambda: Lambda,
    _: Context,
    input: PutFunctionEventInvokeConfigInput,
) -> Answer<PutFunctionEventInvokeConfigOutput> {
    let config = config(input.maximum_retry_attempts, input.maximum_event_age_in_seconds, input.destination_config);
    let kept = lambda.put_event_config(&input.function_name, input.qualifier.as_deref(), config, false).await;
    kept.map(shown).map_err(refused)
}

pub(super) async fn update_function_event_invoke_config(
    lambda: Lambda,
    _: Context,
    input: UpdateFunctionEventInvokeConfigInput,
) -> Answer<UpdateFunctionEventInvokeConfigOutput> {
    let config = config(input.maximum_retry_attempts, input.maximum_event_age_in_seconds, input.destination_config);
    let kept = lambda.put_event_config(&input.function_name, input.qualifier.as_deref(), config, true).await;
    kept.map(shown).map_err(refused)
}

pub(super) async fn get_function_event_invoke_config(
    lambda: Lambda,
    _: Context,
    input: GetFunctionEventInvokeConfigInput,
) -> Answer<GetFunctionEventInvokeConfigOutput> {
    lambda.get_event_config(&input.function_name, input.qualifier.as_deref()).await.map(shown).map_err(refused)
}

pub(super) async fn delete_function_event_invoke_config(
    lambda: Lambda,
    _: Context,
    input: DeleteFunctionEventInvokeConfigInput,
) -> Answer<DeleteFunctionEventInvokeConfigOutput> {
    lambda.delete_event_config(&input.function_name, input.qualifier.as_deref()).await.map_err(refused)?;
    Ok(DeleteFunctionEventInvokeConfigOutput {})
}

pub(super) async fn list_function_event_invoke_configs(
    lambda: Lambda,
    _: Context,
    input: ListFunctionEventInvokeConfigsInput,
) -> Answer<ListFunctionEventInvokeConfigsOutput> {
    let page = lambda.list_event_configs(&input.function_name, input.marker.as_deref(), number(input.max_items)).await;
    let page = page.map_err(refused)?;
    Ok(ListFunctionEventInvokeConfigsOutput {
        function_event_invoke_configs: Some(page.items.into_iter().map(shown).collect()),
        next_marker: page.next,
    })
}
