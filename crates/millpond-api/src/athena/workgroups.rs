//! Workgroups and engine versions.

use super::tags::tags;
use super::{Answer, engine_version, kept, refused, shown};
use crate::router::{Context, Router};
use millpond_services::athena::{
    Athena, AthenaError, ENGINE_VERSION, Workgroup, WorkgroupConfiguration as Settings, WorkgroupUpdate,
};
use millpond_wire::Timestamp;
use millpond_wire::athena::*;
use serde_json::{Value, json};

/// What Athena lists beside `AUTO` and its current version. Scripts of Spark are Glue's here.
const SPARK_VERSION: &str = "PySpark engine version 3";

pub(super) fn register(router: &mut Router, athena: &Athena) {
    router
        .service(athena.clone())
        .on(CreateWorkGroup, create_work_group)
        .on(GetWorkGroup, get_work_group)
        .on(ListWorkGroups, list_work_groups)
        .on(UpdateWorkGroup, update_work_group)
        .on(DeleteWorkGroup, delete_work_group)
        .on(ListEngineVersions, list_engine_versions);
}

async fn create_work_group(athena: Athena, _: Context, input: CreateWorkGroupInput) -> Answer<CreateWorkGroupOutput> {
    let given = input.configuration.unwrap_or_default();
    if given.managed_query_results_configuration.as_ref().is_some_and(|managed| managed.enabled) {
        return Err(no_managed_results());
    }
    let kept_settings = [
        ("AdditionalConfiguration", given.additional_configuration.map(Value::String)),
        ("ExecutionRole", given.execution_role.map(Value::String)),
        ("MonitoringConfiguration", given.monitoring_configuration.as_ref().and_then(kept)),
        ("EngineConfiguration", given.engine_configuration.as_ref().and_then(kept)),
        ("CustomerContentEncryptionConfiguration", given.customer_content_encryption_configuration.as_ref().and_then(kept)),
        ("EnableMinimumEncryptionConfiguration", given.enable_minimum_encryption_configuration.map(Value::Bool)),
        ("IdentityCenterConfiguration", given.identity_center_configuration.as_ref().and_then(kept)),
        ("QueryResultsS3AccessGrantsConfiguration", given.query_results_s3_access_grants_configuration.as_ref().and_then(kept)),
    ];
    let result = given.result_configuration.unwrap_or_default();
    let usual = Settings::default();
    let configuration = Settings {
        output_location: result.output_location,
        encryption: result.encryption_configuration.as_ref().and_then(kept),
        expected_owner: result.expected_bucket_owner,
        acl: result.acl_configuration.as_ref().and_then(kept),
        enforce: given.enforce_work_group_configuration.unwrap_or(usual.enforce),
        publish_metrics: given.publish_cloud_watch_metrics_enabled.unwrap_or(usual.publish_metrics),
        requester_pays: given.requester_pays_enabled.unwrap_or(usual.requester_pays),
        scan_bytes_max: given.bytes_scanned_cutoff_per_query.map(|bytes| bytes.max(0) as u64),
        engine_version: selected(given.engine_version)?.unwrap_or(usual.engine_version),
        kept: kept_settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
    };
    let tags = tags(input.tags.unwrap_or_default());
    athena.create_workgroup(input.name, input.description, configuration, tags).await.map_err(refused)?;
    Ok(CreateWorkGroupOutput {})
}

fn no_managed_results() -> millpond_wire::WireError {
    let message = "ManagedQueryResultsConfiguration is not supported: name an OutputLocation in the ResultConfiguration.";
    refused(AthenaError::invalid(message))
}

/// The chosen engine version, where it is one that exists.
fn selected(version: Option<EngineVersion>) -> Answer<Option<String>> {
    match version.and_then(|version| version.selected_engine_version) {
        Some(version) if version != "AUTO" && version != ENGINE_VERSION => {
            let message = format!("Engine version '{version}' is not available. Use AUTO or '{ENGINE_VERSION}'.");
            Err(refused(AthenaError::invalid(message)))
        }
        version => Ok(version),
    }
}

async fn get_work_group(athena: Athena, _: Context, input: GetWorkGroupInput) -> Answer<GetWorkGroupOutput> {
    let found = athena.workgroup(&input.work_group).await.map_err(refused)?;
    Ok(GetWorkGroupOutput { work_group: Some(work_group(found)) })
}

fn state(enabled: bool) -> WorkGroupState {
    if enabled { WorkGroupState::Enabled } else { WorkGroupState::Disabled }
}

fn work_group(found: Workgroup) -> WorkGroup {
    let settings = found.configuration;
    let other = |name: &str| settings.kept.get(name).cloned();
    WorkGroup {
        name: found.name,
        state: Some(state(found.enabled)),
        configuration: Some(WorkGroupConfiguration {
            result_configuration: Some(ResultConfiguration {
                output_location: settings.output_location.clone(),
                encryption_configuration: shown(settings.encryption.clone()),
                expected_bucket_owner: settings.expected_owner.clone(),
                acl_configuration: shown(settings.acl.clone()),
            }),
            enforce_work_group_configuration: Some(settings.enforce),
            publish_cloud_watch_metrics_enabled: Some(settings.publish_metrics),
            bytes_scanned_cutoff_per_query: settings.scan_bytes_max.map(|bytes| bytes as i64),
            requester_pays_enabled: Some(settings.requester_pays),
            engine_version: Some(engine_version(&settings.engine_version)),
            enable_minimum_encryption_configuration: shown(other("EnableMinimumEncryptionConfiguration").or(Some(json!(false)))),
            additional_configuration: shown(other("AdditionalConfiguration")),
            execution_role: shown(other("ExecutionRole")),
            monitoring_configuration: shown(other("MonitoringConfiguration")),
            engine_configuration: shown(other("EngineConfiguration")),
            customer_content_encryption_configuration: shown(other("CustomerContentEncryptionConfiguration")),
            identity_center_configuration: shown(other("IdentityCenterConfiguration")),
            query_results_s3_access_grants_configuration: shown(other("QueryResultsS3AccessGrantsConfiguration")),
            ..Default::default()
        }),
        description: found.description.filter(|text| !text.is_empty()),
        creation_time: Some(Timestamp::from_ms(found.created_ms)),
        ..Default::default()
    }
}

async fn list_work_groups(athena: Athena, _: Context, input: ListWorkGroupsInput) -> Answer<ListWorkGroupsOutput> {
    let page = athena.workgroups(input.next_token, input.max_results).await.map_err(refused)?;
    let summary = |group: Workgroup| WorkGroupSummary {
        name: Some(group.name),
        state: Some(state(group.enabled)),
        description: Some(group.description.unwrap_or_default()),
        creation_time: Some(Timestamp::from_ms(group.created_ms)),
        engine_version: Some(engine_version(&group.configuration.engine_version)),
        ..Default::default()
    };
    Ok(ListWorkGroupsOutput { work_groups: Some(page.items.into_iter().map(summary).collect()), next_token: page.next })
}

/// What an update makes of a setting: it is removed, changed, or left as it is.
fn changed<T>(remove: Option<bool>, given: Option<T>) -> Option<Option<T>> {
    if remove == Some(true) { Some(None) } else { given.map(Some) }
}

async fn update_work_group(athena: Athena, _: Context, input: UpdateWorkGroupInput) -> Answer<UpdateWorkGroupOutput> {
    let given = input.configuration_updates.unwrap_or_default();
    if given.managed_query_results_configuration_updates.as_ref().is_some_and(|managed| managed.enabled == Some(true)) {
        return Err(no_managed_results());
    }
    let customer = given.customer_content_encryption_configuration.as_ref().and_then(kept);
    let other_settings = [
        ("AdditionalConfiguration", given.additional_configuration.map(Value::String).map(Some)),
        ("ExecutionRole", given.execution_role.map(Value::String).map(Some)),
        ("MonitoringConfiguration", given.monitoring_configuration.as_ref().map(kept)),
        ("EngineConfiguration", given.engine_configuration.as_ref().map(kept)),
        ("CustomerContentEncryptionConfiguration", changed(given.remove_customer_content_encryption_configuration, customer)),
        ("EnableMinimumEncryptionConfiguration", given.enable_minimum_encryption_configuration.map(|on| Some(Value::Bool(on)))),
        ("QueryResultsS3AccessGrantsConfiguration", given.query_results_s3_access_grants_configuration.as_ref().map(kept)),
    ];
    let result = given.result_configuration_updates.unwrap_or_default();
    let update = WorkgroupUpdate {
        description: input.description,
        enabled: input.state.map(|state| state == WorkGroupState::Enabled),
        output_location: changed(result.remove_output_location, result.output_location),
        encryption: changed(result.remove_encryption_configuration, result.encryption_configuration.as_ref().and_then(kept)),
        expected_owner: changed(result.remove_expected_bucket_owner, result.expected_bucket_owner),
        acl: changed(result.remove_acl_configuration, result.acl_configuration.as_ref().and_then(kept)),
        enforce: given.enforce_work_group_configuration,
        publish_metrics: given.publish_cloud_watch_metrics_enabled,
        requester_pays: given.requester_pays_enabled,
        scan_bytes_max: changed(
            given.remove_bytes_scanned_cutoff_per_query,
            given.bytes_scanned_cutoff_per_query.map(|bytes| bytes.max(0) as u64),
        ),
        engine_version: selected(given.engine_version)?,
        kept: other_settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
    };
    athena.update_workgroup(input.work_group, update).await.map_err(refused)?;
    Ok(UpdateWorkGroupOutput {})
}

async fn delete_work_group(athena: Athena, _: Context, input: DeleteWorkGroupInput) -> Answer<DeleteWorkGroupOutput> {
    athena.delete_workgroup(input.work_group, input.recursive_delete_option == Some(true)).await.map_err(refused)?;
    Ok(DeleteWorkGroupOutput {})
}

async fn list_engine_versions(_: Athena, _: Context, _: ListEngineVersionsInput) -> Answer<ListEngineVersionsOutput> {
    let spark = EngineVersion {
        selected_engine_version: Some(SPARK_VERSION.to_owned()),
        effective_engine_version: Some(SPARK_VERSION.to_owned()),
    };
    let versions = vec![engine_version("AUTO"), engine_version(ENGINE_VERSION), spark];
    Ok(ListEngineVersionsOutput { engine_versions: Some(versions), next_token: None })
}
