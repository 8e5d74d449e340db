use super::convert::{architecture, configuration, created, listed, source, updated};
use super::{Answer, number, refused};
use crate::pass_role;
use crate::router::Context;
use millpond_services::lambda::{CodeUpdate, Lambda, NewFunction};
use millpond_wire::lambda::*;

/// Whom a function's role is passed to.
const SERVICE: &str = "lambda.amazonaws.com";

pub(super) async fn create_function(
    lambda: Lambda,
    context: Context,
    mut input: CreateFunctionInput,
) -> Answer<CreateFunctionOutput> {
    pass_role(&context, &input.role, SERVICE).await?;
    let config = created(&mut input)?;
    let code = input.code;
    let new = NewFunction {
        name: input.function_name,
        code: source(code.zip_file, code.s3_bucket, code.s3_key, code.s3_object_version, code.image_uri)?,
        config,
        publish: input.publish.unwrap_or(false),
        tags: input.tags.unwrap_or_default(),
    };
    lambda.create_function(new).await.map(configuration).map_err(refused)
}

pub(super) async fn get_function(lambda: Lambda, context: Context, input: GetFunctionInput) -> Answer<GetFunctionOutput> {
    let found = lambda.get_function(&input.function_name, input.qualifier.as_deref()).await.map_err(refused)?;
    let code = FunctionCodeLocation {
        repository_type: Some("S3".into()),
        location: Some(format!("{}{}", context.base_url(), found.location)),
        ..FunctionCodeLocation::default()
    };
    Ok(GetFunctionOutput {
        configuration: Some(configuration(found.view)),
        code: Some(code),
        tags: Some(found.tags).filter(|tags| !tags.is_empty()),
        tags_error: None,
        concurrency: found.reserved.map(|reserved| Concurrency { reserved_concurrent_executions: Some(reserved as i32) }),
    })
}

pub(super) async fn get_function_configuration(
    lambda: Lambda,
    _: Context,
    input: GetFunctionConfigurationInput,
) -> Answer<GetFunctionConfigurationOutput> {
    let found = lambda.get_function_configuration(&input.function_name, input.qualifier.as_deref()).await;
    found.map(configuration).map_err(refused)
}

pub(super) async fn update_function_code(
    lambda: Lambda,
    _: Context,
    input: UpdateFunctionCodeInput,
) -> Answer<UpdateFunctionCodeOutput> {
    let update = CodeUpdate {
        name: input.function_name,
        code: source(input.zip_file, input.s3_bucket, input.s3_key, input.s3_object_version, input.image_uri)?,
        architecture: architecture(input.architectures),
        publish: input.publish.unwrap_or(false),
        dry_run: input.dry_run.unwrap_or(false),
        revision: input.revision_id,
    };
    lambda.update_function_code(update).await.map(configuration).map_err(refused)
}

pub(super) async fn update_function_configuration(
    lambda: Lambda,
    context: Context,
    mut input: UpdateFunctionConfigurationInput,
) -> Answer<UpdateFunctionConfigurationOutput> {
    if let Some(role) = &input.role {
        pass_role(&context, role, SERVICE).await?;
    }
    let (name, revision) = (std::mem::take(&mut input.function_name), input.revision_id.take());
    let changed = lambda.update_function_configuration(&name, updated(input)?, revision).await;
    changed.map(configuration).map_err(refused)
}

pub(super) async fn list_functions(lambda: Lambda, _: Context, input: ListFunctionsInput) -> Answer<ListFunctionsOutput> {
    let all = input.function_version.is_some();
    let page = lambda.list_functions(input.marker.as_deref(), number(input.max_items), all).await.map_err(refused)?;
    Ok(ListFunctionsOutput { next_marker: page.next, functions: Some(page.items.into_iter().map(listed).collect()) })
}

pub(super) async fn delete_function(lambda: Lambda, _: Context, input: DeleteFunctionInput) -> Answer<DeleteFunctionOutput> {
    lambda.delete_function(&input.function_name, input.qualifier.as_deref()).await.map_err(refused)?;
    Ok(DeleteFunctionOutput { status_code: Some(204) })
}

pub(super) async fn publish_version(lambda: Lambda, _: Context, input: PublishVersionInput) -> Answer<PublishVersionOutput> {
    let published = lambda.publish_version(&input.function_name, input.description, input.code_sha256, input.revision_id).await;
    published.map(configuration).map_err(refused)
}

pub(super) async fn list_versions_by_function(
    lambda: Lambda,
    _: Context,
    input: ListVersionsByFunctionInput,
) -> Answer<ListVersionsByFunctionOutput> {
    let page = lambda.list_versions(&input.function_name, input.marker.as_deref(), number(input.max_items)).await;
    let page = page.map_err(refused)?;
    Ok(ListVersionsByFunctionOutput { next_marker: page.next, versions: Some(page.items.into_iter().map(listed).collect()) })
}

pub(super) async fn put_function_concurrency(
    lambda: Lambda,
    _: Context,
    input: PutFunctionConcurrencyInput,
) -> Answer<PutFunctionConcurrencyOutput> {
    let reserved = number(Some(input.reserved_concurrent_executions)).unwrap_or(0);
    let reserved = lambda.put_concurrency(&input.function_name, reserved).await.map_err(refused)?;
    Ok(Concurrency { reserved_concurrent_executions: Some(reserved as i32) })
}

pub(super) async fn get_function_concurrency(
    lambda: Lambda,
    _: Context,
    input: GetFunctionConcurrencyInput,
) -> Answer<GetFunctionConcurrencyOutput> {
    let reserved = lambda.get_concurrency(&input.function_name).await.map_err(refused)?;
    Ok(GetFunctionConcurrencyOutput { reserved_concurrent_executions: reserved.map(|reserved| reserved as i32) })
}

pub(super) async fn delete_function_concurrency(
    lambda: Lambda,
    _: Context,
    input: DeleteFunctionConcurrencyInput,
) -> Answer<DeleteFunctionConcurrencyOutput> {
    lambda.delete_concurrency(&input.function_name).await.map_err(refused)?;
    Ok(DeleteFunctionConcurrencyOutput {})
}

pub(super) async fn get_account_settings(
    lambda: Lambda,
    _: Context,
    _: GetAccountSettingsInput,
) -> Answer<GetAccountSettingsOutput> {
    let settings = lambda.account_settings().await.map_err(refused)?;
    let limit = AccountLimit {
        total_code_size: Some(settings.storage_max),
        code_size_unzipped: Some(settings.unpacked_max),
        code_size_zipped: Some(settings.packed_max),
        concurrent_executions: i32::try_from(settings.concurrency).ok(),
        unreserved_concurrent_executions: i32::try_from(settings.unreserved).ok(),
    };
    let usage = AccountUsage { total_code_size: Some(settings.storage), function_count: Some(settings.functions) };
    Ok(GetAccountSettingsOutput { account_limit: Some(limit), account_usage: Some(usage) })
}

pub(super) async fn get_function_recursion_config(
    lambda: Lambda,
    _: Context,
    input: GetFunctionRecursionConfigInput,
) -> Answer<GetFunctionRecursionConfigOutput> {
    let found = lambda.get_recursion(&input.function_name).await.map_err(refused)?;
    Ok(GetFunctionRecursionConfigOutput { recursive_loop: RecursiveLoop::from_text(&found) })
}

pub(super) async fn put_function_recursion_config(
    lambda: Lambda,
    _: Context,
    input: PutFunctionRecursionConfigInput,
) -> Answer<PutFunctionRecursionConfigOutput> {
    let kept = lambda.put_recursion(&input.function_name, input.recursive_loop.as_str().to_owned()).await.map_err(refused)?;
    Ok(PutFunctionRecursionConfigOutput { recursive_loop: RecursiveLoop::from_text(&kept) })
}

pub(super) async fn get_runtime_management_config(
    lambda: Lambda,
    _: Context,
    input: GetRuntimeManagementConfigInput,
) -> Answer<GetRuntimeManagementConfigOutput> {
    let found = lambda.get_runtime_management(&input.function_name, input.qualifier.as_deref()).await.map_err(refused)?;
    Ok(GetRuntimeManagementConfigOutput {
        update_runtime_on: UpdateRuntimeOn::from_text(&found.update_on),
        function_arn: Some(found.arn),
        runtime_version_arn: found.runtime_arn,
    })
}

pub(super) async fn put_runtime_management_config(
    lambda: Lambda,
    _: Context,
    input: PutRuntimeManagementConfigInput,
) -> Answer<PutRuntimeManagementConfigOutput> {
    let on = input.update_runtime_on;
    let (qualifier, arn) = (input.qualifier.as_deref(), input.runtime_version_arn);
    let kept = lambda.put_runtime_management(&input.function_name, qualifier, on.as_str().to_owned(), arn).await;
    let kept = kept.map_err(refused)?;
    Ok(PutRuntimeManagementConfigOutput { update_runtime_on: on, function_arn: kept.arn, runtime_version_arn: kept.runtime_arn })
}

/// No function has one: the answer names the function and an empty configuration, as AWS's does.
pub(super) async fn get_function_code_signing_config(
    lambda: Lambda,
    _: Context,
    input: GetFunctionCodeSigningConfigInput,
) -> Answer<GetFunctionCodeSigningConfigOutput> {
    let function_name = lambda.exists(&input.function_name, None).await.map_err(refused)?;
    Ok(GetFunctionCodeSigningConfigOutput { code_signing_config_arn: String::new(), function_name })
}

pub(super) async fn tag_resource(lambda: Lambda, _: Context, input: TagResourceInput) -> Answer<TagResourceOutput> {
    lambda.tag_resource(&input.resource, input.tags).await.map_err(refused)?;
    Ok(TagResourceOutput {})
}

pub(super) async fn untag_resource(lambda: Lambda, _: Context, input: UntagResourceInput) -> Answer<UntagResourceOutput> {
    lambda.untag_resource(&input.resource, input.tag_keys).await.map_err(refused)?;
    Ok(UntagResourceOutput {})
}

pub(super) async fn list_tags(lambda: Lambda, _: Context, input: ListTagsInput) -> Answer<ListTagsOutput> {
    let tags = lambda.list_tags(&input.resource).await.map_err(refused)?;
    Ok(ListTagsOutput { tags: Some(tags) })
}
