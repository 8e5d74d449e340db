//! Lambda's operations on the wire.

mod aliases;
mod convert;
mod functions;
mod invoke;
mod layers;
mod mappings;
mod permissions;

use crate::router::{Router, Visit};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Response, StatusCode, header};
use millpond_services::lambda::{LINK_PREFIX, Lambda, LambdaError, Throttle};
use millpond_wire::WireError;
use millpond_wire::lambda::*;

/// Registers the operations that are implemented, and the links to packages.
pub fn register(router: &mut Router, lambda: Lambda) {
    register_functions(router, lambda.clone());
    register_invocations(router, lambda.clone());
    router
        .service(lambda.clone())
        .on(CreateAlias, aliases::create_alias)
        .on(GetAlias, aliases::get_alias)
        .on(UpdateAlias, aliases::update_alias)
        .on(DeleteAlias, aliases::delete_alias)
        .on(ListAliases, aliases::list_aliases)
        .on(PublishLayerVersion, layers::publish_layer_version)
        .on(GetLayerVersion, layers::get_layer_version)
        .on(GetLayerVersionByArn, layers::get_layer_version_by_arn)
        .on(DeleteLayerVersion, layers::delete_layer_version)
        .on(ListLayers, layers::list_layers)
        .on(ListLayerVersions, layers::list_layer_versions)
        .on(AddLayerVersionPermission, layers::add_layer_version_permission)
        .on(RemoveLayerVersionPermission, layers::remove_layer_version_permission)
        .on(GetLayerVersionPolicy, layers::get_layer_version_policy)
        .on(AddPermission, permissions::add_permission)
        .on(RemovePermission, permissions::remove_permission)
        .on(GetPolicy, permissions::get_policy);
    router.public(LINK_PREFIX, move |visit| follow(lambda.clone(), visit));
}

fn register_functions(router: &mut Router, lambda: Lambda) {
    router
        .service(lambda)
        .on(CreateFunction, functions::create_function)
        .on(GetFunction, functions::get_function)
        .on(GetFunctionConfiguration, functions::get_function_configuration)
        .on(UpdateFunctionCode, functions::update_function_code)
        .on(UpdateFunctionConfiguration, functions::update_function_configuration)
        .on(ListFunctions, functions::list_functions)
        .on(DeleteFunction, functions::delete_function)
        .on(PublishVersion, functions::publish_version)
        .on(ListVersionsByFunction, functions::list_versions_by_function)
        .on(PutFunctionConcurrency, functions::put_function_concurrency)
        .on(GetFunctionConcurrency, functions::get_function_concurrency)
        .on(DeleteFunctionConcurrency, functions::delete_function_concurrency)
        .on(GetAccountSettings, functions::get_account_settings)
        .on(GetFunctionRecursionConfig, functions::get_function_recursion_config)
        .on(PutFunctionRecursionConfig, functions::put_function_recursion_config)
        .on(GetRuntimeManagementConfig, functions::get_runtime_management_config)
        .on(PutRuntimeManagementConfig, functions::put_runtime_management_config)
        .on(GetFunctionCodeSigningConfig, functions::get_function_code_signing_config)
        .on(TagResource, functions::tag_resource)
        .on(UntagResource, functions::untag_resource)
        .on(ListTags, functions::list_tags);
}

fn register_invocations(router: &mut Router, lambda: Lambda) {
    router
        .service(lambda)
        .on(Invoke, invoke::invoke)
        .on(InvokeAsync, invoke::invoke_async)
        .on(PutFunctionEventInvokeConfig, invoke::put_function_event_invoke_config)
        .on(UpdateFunctionEventInvokeConfig, invoke::update_function_event_invoke_config)
        .on(GetFunctionEventInvokeConfig, invoke::get_function_event_invoke_config)
        .on(DeleteFunctionEventInvokeConfig, invoke::delete_function_event_invoke_config)
        .on(ListFunctionEventInvokeConfigs, invoke::list_function_event_invoke_configs)
        .on(CreateEventSourceMapping, mappings::create_event_source_mapping)
        .on(GetEventSourceMapping, mappings::get_event_source_mapping)
        .on(UpdateEventSourceMapping, mappings::update_event_source_mapping)
        .on(DeleteEventSourceMapping, mappings::delete_event_source_mapping)
        .on(ListEventSourceMappings, mappings::list_event_source_mappings);
}

type Answer<T> = Result<T, WireError>;

fn refused(error: LambdaError) -> WireError {
    let message = error.to_string();
    let shape = match error {
        LambdaError::NotFound(_) => &error::RESOURCE_NOT_FOUND_EXCEPTION,
        LambdaError::Conflict(_) => &error::RESOURCE_CONFLICT_EXCEPTION,
        LambdaError::InvalidParameter(_) => &error::INVALID_PARAMETER_VALUE_EXCEPTION,
        LambdaError::InvalidContent(_) => &error::INVALID_REQUEST_CONTENT_EXCEPTION,
        LambdaError::Precondition(_) => &error::PRECONDITION_FAILED_EXCEPTION,
        LambdaError::PolicyTooLong(_) => &error::POLICY_LENGTH_EXCEEDED_EXCEPTION,
        LambdaError::InUse(_) => &error::RESOURCE_IN_USE_EXCEPTION,
        LambdaError::StorageFull(_) => &error::CODE_STORAGE_EXCEEDED_EXCEPTION,
        LambdaError::Unlaunched(_) => &error::INVALID_RUNTIME_EXCEPTION,
        LambdaError::Throttled { reason, .. } => {
            let reason = match reason {
                Throttle::Account => "ConcurrentInvocationLimitExceeded",
                Throttle::Reserved => "ReservedFunctionConcurrentInvocationLimitExceeded",
            };
            return typed(WireError::of(&error::TOO_MANY_REQUESTS_EXCEPTION, message).with("Reason", reason));
        }
        LambdaError::Validation(_) => return WireError::sender(StatusCode::BAD_REQUEST, "ValidationException", message),
        // The name that clients see; the model calls it RequestTooLargeException.
        LambdaError::TooLarge(_) => {
            let code = "RequestEntityTooLargeException";
            return typed(WireError::sender(StatusCode::PAYLOAD_TOO_LARGE, code, message));
        }
        LambdaError::Denied(_) => return WireError::sender(StatusCode::FORBIDDEN, "AccessDeniedException", message),
        LambdaError::Store(cause) => {
            tracing::error!(error = %cause, "a Lambda operation failed");
            let message = "The lake could not do this now; its log says why. Try again.";
            return typed(WireError::of(&error::SERVICE_EXCEPTION, message));
        }
    };
    typed(WireError::of(shape, message))
}

/// Lambda's errors say whose fault it is.
fn typed(error: WireError) -> WireError {
    let whose = if error.sender_fault { "User" } else { "Service" };
    error.with("Type", whose)
}

fn invalid(message: impl Into<String>) -> WireError {
    refused(LambdaError::InvalidParameter(message.into()))
}

/// Positive numbers of the model, which decoding has checked.
fn number(value: Option<i32>) -> Option<u32> {
    value.map(|value| u32::try_from(value).unwrap_or(0))
}

/// Answers a link to a package.
fn follow(lambda: Lambda, visit: Visit) -> BoxFuture<'static, Response<Bytes>> {
    Box::pin(async move {
        let plain = |status: StatusCode, kind: &'static str, body: Bytes| {
            let mut response = Response::new(body);
            *response.status_mut() = status;
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            response
        };
        match lambda.follow(&format!("{}?{}", visit.path, visit.query)).await {
            Ok(package) => plain(StatusCode::OK, "application/zip", package),
            Err(error) => {
                let wire = refused(error);
                plain(wire.status, "text/plain; charset=utf-8", format!("{}\n", wire.message).into())
            }
        }
    })
}
