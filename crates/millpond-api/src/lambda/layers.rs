use super::convert::source;
use super::{Answer, number, refused};
use crate::router::Context;
use millpond_services::lambda::{Lambda, LayerView, NewLayer};
use millpond_wire::lambda::*;

fn architectures(of: &[String]) -> Option<Vec<Architecture>> {
    Some(of.iter().filter_map(|one| Architecture::from_text(one)).collect())
}

fn found(context: &Context, view: LayerView) -> GetLayerVersionResponse {
    let content = LayerVersionContentOutput {
        location: Some(format!("{}{}", context.base_url(), view.location)),
        code_sha256: Some(view.code_sha256),
        code_size: Some(view.code_size as i64),
        ..LayerVersionContentOutput::default()
    };
    GetLayerVersionResponse {
        content: Some(content),
        layer_arn: Some(view.arn),
        layer_version_arn: Some(view.version_arn),
        description: Some(view.description),
        created_date: Some(view.created),
        version: Some(view.version),
        compatible_architectures: architectures(&view.architectures),
        compatible_runtimes: Some(view.runtimes),
        license_info: view.license,
    }
}

fn listed(view: LayerView) -> LayerVersionsListItem {
    LayerVersionsListItem {
        layer_version_arn: Some(view.version_arn),
        version: Some(view.version),
        description: Some(view.description),
        created_date: Some(view.created),
        compatible_architectures: architectures(&view.architectures),
        compatible_runtimes: Some(view.runtimes),
        license_info: view.license,
    }
}

pub(super) async fn publish_layer_version(
    lambda: Lambda,
    context: Context,
    input: PublishLayerVersionInput,
) -> Answer<PublishLayerVersionOutput> {
    let content = input.content;
    let wanted = input.compatible_architectures.unwrap_or_default();
    let new = NewLayer {
        name: input.layer_name,
        code: source(content.zip_file, content.s3_bucket, content.s3_key, content.s3_object_version, None)?,
        description: input.description.unwrap_or_default(),
        runtimes: input.compatible_runtimes.unwrap_or_default(),
        architectures: wanted.into_iter().map(|one| one.as_str().to_owned()).collect(),
        license: input.license_info,
    };
    let view = found(&context, lambda.publish_layer(new).await.map_err(refused)?);
    Ok(PublishLayerVersionOutput {
        content: view.content,
        layer_arn: view.layer_arn,
        layer_version_arn: view.layer_version_arn,
        description: view.description,
        created_date: view.created_date,
        version: view.version,
        compatible_architectures: view.compatible_architectures,
        compatible_runtimes: view.compatible_runtimes,
        license_info: view.license_info,
    })
}

pub(super) async fn get_layer_version(
    lambda: Lambda,
    context: Context,
    input: GetLayerVersionInput,
) -> Answer<GetLayerVersionOutput> {
    lambda.get_layer_version(&input.layer_name, input.version_number).await.map(|view| found(&context, view)).map_err(refused)
}

pub(super) async fn get_layer_version_by_arn(
    lambda: Lambda,
    context: Context,
    input: GetLayerVersionByArnInput,
) -> Answer<GetLayerVersionByArnOutput> {
    lambda.get_layer_version_by_arn(&input.arn).await.map(|view| found(&context, view)).map_err(refused)
}

pub(super) async fn delete_layer_version(
    lambda: Lambda,
    _: Context,
    input: DeleteLayerVersionInput,
) -> Answer<DeleteLayerVersionOutput> {
    lambda.delete_layer_version(&input.layer_name, input.version_number).await.map_err(refused)?;
    Ok(DeleteLayerVersionOutput {})
}

pub(super) async fn list_layers(lambda: Lambda, _: Context, input: ListLayersInput) -> Answer<ListLayersOutput> {
    let architecture = input.compatible_architecture.map(|one| one.as_str().to_owned());
    let page = lambda.list_layers(input.compatible_runtime, architecture, input.marker.as_deref(), number(input.max_items)).await;
    let page = page.map_err(refused)?;
    let layers = page.items.into_iter().map(|view| LayersListItem {
        layer_name: Some(view.name.clone()),
        layer_arn: Some(view.arn.clone()),
        latest_matching_version: Some(listed(view)),
    });
    Ok(ListLayersOutput { next_marker: page.next, layers: Some(layers.collect()) })
}

pub(super) async fn list_layer_versions(
    lambda: Lambda,
    _: Context,
    input: ListLayerVersionsInput,
) -> Answer<ListLayerVersionsOutput> {
    let architecture = input.compatible_architecture.map(|one| one.as_str().to_owned());
    let (marker, max) = (input.marker.as_deref(), number(input.max_items));
    let page = lambda.list_layer_versions(&input.layer_name, input.compatible_runtime, architecture, marker, max).await;
    let page = page.map_err(refused)?;
    Ok(ListLayerVersionsOutput { next_marker: page.next, layer_versions: Some(page.items.into_iter().map(listed).collect()) })
}

pub(super) async fn add_layer_version_permission(
    lambda: Lambda,
    _: Context,
    input: AddLayerVersionPermissionInput,
) -> Answer<AddLayerVersionPermissionOutput> {
    let (name, version) = (input.layer_name, input.version_number);
    let added = lambda
        .add_layer_permission(&name, version, input.statement_id, input.principal, input.organization_id, input.revision_id)
        .await;
    let (statement, revision) = added.map_err(refused)?;
    Ok(AddLayerVersionPermissionOutput { statement: Some(statement.to_string()), revision_id: Some(revision) })
}

pub(super) async fn remove_layer_version_permission(
    lambda: Lambda,
    _: Context,
    input: RemoveLayerVersionPermissionInput,
) -> Answer<RemoveLayerVersionPermissionOutput> {
    let (name, version) = (input.layer_name, input.version_number);
    lambda.remove_layer_permission(&name, version, input.statement_id, input.revision_id).await.map_err(refused)?;
    Ok(RemoveLayerVersionPermissionOutput {})
}

pub(super) async fn get_layer_version_policy(
    lambda: Lambda,
    _: Context,
    input: GetLayerVersionPolicyInput,
) -> Answer<GetLayerVersionPolicyOutput> {
    let (policy, revision) = lambda.get_layer_policy(&input.layer_name, input.version_number).await.map_err(refused)?;
    Ok(GetLayerVersionPolicyOutput { policy: Some(policy.to_string()), revision_id: Some(revision) })
}
