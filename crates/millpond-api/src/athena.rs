//! Athena's operations on the wire.

use crate::router::{Context, Router};
use millpond_core::catalog::{Column as CatalogColumn, Database as CatalogDatabase, Table};
use millpond_services::athena::{
    Athena, AthenaError, ENGINE_VERSION, Execution, NewNamedQuery, StartQuery, State, StatementKind, Workgroup,
    WorkgroupConfiguration, WorkgroupUpdate,
};
use millpond_wire::athena::*;
use millpond_wire::{Timestamp, WireError};
use serde_json::Value;

/// Registers the operations that are implemented.
pub fn register(router: &mut Router, athena: Athena) {
    router
        .service(athena)
        .on(StartQueryExecution, start_query_execution)
        .on(GetQueryExecution, get_query_execution)
        .on(BatchGetQueryExecution, batch_get_query_execution)
        .on(GetQueryResults, get_query_results)
        .on(GetQueryRuntimeStatistics, get_query_runtime_statistics)
        .on(StopQueryExecution, stop_query_execution)
        .on(ListQueryExecutions, list_query_executions)
        .on(CreateWorkGroup, create_work_group)
        .on(GetWorkGroup, get_work_group)
        .on(ListWorkGroups, list_work_groups)
        .on(UpdateWorkGroup, update_work_group)
        .on(DeleteWorkGroup, delete_work_group)
        .on(ListDataCatalogs, list_data_catalogs)
        .on(GetDataCatalog, get_data_catalog)
        .on(ListDatabases, list_databases)
        .on(GetDatabase, get_database)
        .on(ListTableMetadata, list_table_metadata)
        .on(GetTableMetadata, get_table_metadata)
        .on(ListEngineVersions, list_engine_versions)
        .on(TagResource, tag_resource)
        .on(UntagResource, untag_resource)
        .on(ListTagsForResource, list_tags_for_resource)
        .on(CreateNamedQuery, create_named_query)
        .on(GetNamedQuery, get_named_query)
        .on(BatchGetNamedQuery, batch_get_named_query)
        .on(ListNamedQueries, list_named_queries)
        .on(DeleteNamedQuery, delete_named_query);
}

fn refused(error: AthenaError) -> WireError {
    let message = error.to_string();
    match error {
        AthenaError::InvalidRequest { code, .. } => {
            WireError::of(&error::INVALID_REQUEST_EXCEPTION, message).with("AthenaErrorCode", code)
        }
        AthenaError::Metadata(_) => WireError::of(&error::METADATA_EXCEPTION, message),
        AthenaError::NotFound { resource, .. } => {
            WireError::of(&error::RESOURCE_NOT_FOUND_EXCEPTION, message).with("ResourceName", resource)
        }
        AthenaError::Store(cause) => {
            tracing::error!(error = %cause, "an Athena operation failed");
            WireError::of(&error::INTERNAL_SERVER_EXCEPTION, "The lake could not do this now; its log says why. Try again.")
        }
    }
}

type Answer<T> = Result<T, WireError>;

/// A setting that is only kept, in the form of the wire.
fn kept<T: serde::Serialize>(setting: &T) -> Option<Value> {
    serde_json::to_value(setting).ok()
}

fn shown<T: serde::de::DeserializeOwned>(setting: Option<Value>) -> Option<T> {
    setting.and_then(|setting| serde_json::from_value(setting).ok())
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
        workgroup: input.work_group,
        parameters: input.execution_parameters.unwrap_or_default(),
    };
    let id = athena.start(start).await.map_err(refused)?;
    Ok(StartQueryExecutionOutput { query_execution_id: Some(id) })
}

async fn get_query_execution(athena: Athena, _: Context, input: GetQueryExecutionInput) -> Answer<GetQueryExecutionOutput> {
    let found = athena.execution(&input.query_execution_id).await.map_err(refused)?;
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
        error_code: Some("INVALID_INPUT".into()),
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
            output_location: Some(found.output),
            encryption_configuration: shown(found.encryption),
            ..Default::default()
        }),
        result_reuse_configuration: Some(ResultReuseConfiguration {
            result_reuse_by_age_configuration: Some(ResultReuseByAgeConfiguration { enabled: false, max_age_in_minutes: None }),
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
            result_reuse_information: Some(ResultReuseInformation { reused_previous_result: false }),
            ..Default::default()
        }),
        work_group: Some(found.workgroup),
        engine_version: Some(engine_version("AUTO")),
        execution_parameters: (!found.parameters.is_empty()).then_some(found.parameters),
        substatement_type: Some(found.substatement),
        ..Default::default()
    }
}

fn engine_version(selected: &str) -> EngineVersion {
    EngineVersion {
        selected_engine_version: Some(selected.to_owned()),
        effective_engine_version: Some(ENGINE_VERSION.to_owned()),
    }
}

async fn get_query_results(athena: Athena, _: Context, input: GetQueryResultsInput) -> Answer<GetQueryResultsOutput> {
    let page =
        athena.results(&input.query_execution_id, input.next_token.as_deref(), input.max_results).await.map_err(refused)?;
    let row = |values: Vec<Option<String>>| Row {
        data: Some(values.into_iter().map(|value| Datum { var_char_value: value }).collect()),
    };
    let columns = page.columns.into_iter().map(|column| ColumnInfo {
        catalog_name: Some("hive".into()),
        schema_name: Some(String::new()),
        table_name: Some(String::new()),
        label: Some(column.name.clone()),
        name: column.name,
        r#type: column.data_type,
        precision: Some(column.precision),
        scale: Some(column.scale),
        nullable: Some(ColumnNullable::Unknown),
        case_sensitive: Some(column.case_sensitive),
    });
    Ok(GetQueryResultsOutput {
        update_count: Some(0),
        result_set: Some(ResultSet {
            rows: Some(page.rows.into_iter().map(row).collect()),
            result_set_metadata: Some(ResultSetMetadata { column_info: Some(columns.collect()) }),
        }),
        next_token: page.next,
    })
}

async fn get_query_runtime_statistics(
    athena: Athena,
    _: Context,
    input: GetQueryRuntimeStatisticsInput,
) -> Answer<GetQueryRuntimeStatisticsOutput> {
    let statistics = athena.execution(&input.query_execution_id).await.map_err(refused)?.statistics;
    let timeline = QueryRuntimeStatisticsTimeline {
        query_queue_time_in_millis: Some(statistics.queue_ms),
        service_pre_processing_time_in_millis: Some(0),
        query_planning_time_in_millis: Some(statistics.planning_ms),
        engine_execution_time_in_millis: Some(statistics.engine_ms),
        service_processing_time_in_millis: Some(statistics.service_ms),
        total_execution_time_in_millis: Some(statistics.total_ms),
    };
    let rows = QueryRuntimeStatisticsRows {
        input_bytes: Some(statistics.scanned_bytes as i64),
        output_bytes: Some(statistics.result_bytes as i64),
        output_rows: Some(statistics.rows as i64),
        ..Default::default()
    };
    Ok(GetQueryRuntimeStatisticsOutput {
        query_runtime_statistics: Some(QueryRuntimeStatistics { timeline: Some(timeline), rows: Some(rows), output_stage: None }),
    })
}

async fn stop_query_execution(athena: Athena, _: Context, input: StopQueryExecutionInput) -> Answer<StopQueryExecutionOutput> {
    athena.stop(&input.query_execution_id).await.map_err(refused)?;
    Ok(StopQueryExecutionOutput {})
}

async fn list_query_executions(athena: Athena, _: Context, input: ListQueryExecutionsInput) -> Answer<ListQueryExecutionsOutput> {
    let page = athena.execution_ids(input.work_group, input.next_token, input.max_results).await.map_err(refused)?;
    Ok(ListQueryExecutionsOutput { query_execution_ids: Some(page.items), next_token: page.next })
}

async fn create_work_group(athena: Athena, _: Context, input: CreateWorkGroupInput) -> Answer<CreateWorkGroupOutput> {
    let given = input.configuration.unwrap_or_default();
    let result = given.result_configuration.unwrap_or_default();
    let usual = WorkgroupConfiguration::default();
    let configuration = WorkgroupConfiguration {
        output_location: result.output_location,
        encryption: result.encryption_configuration.as_ref().and_then(kept),
        enforce: given.enforce_work_group_configuration.unwrap_or(usual.enforce),
        publish_metrics: given.publish_cloud_watch_metrics_enabled.unwrap_or(usual.publish_metrics),
        requester_pays: given.requester_pays_enabled.unwrap_or(usual.requester_pays),
        scan_bytes_max: given.bytes_scanned_cutoff_per_query.map(|bytes| bytes.max(0) as u64),
        engine_version: selected(given.engine_version)?.unwrap_or(usual.engine_version),
    };
    let tags = tags(input.tags.unwrap_or_default());
    athena.create_workgroup(input.name, input.description, configuration, tags).await.map_err(refused)?;
    Ok(CreateWorkGroupOutput {})
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
    WorkGroup {
        name: found.name,
        state: Some(state(found.enabled)),
        configuration: Some(WorkGroupConfiguration {
            result_configuration: Some(ResultConfiguration {
                output_location: settings.output_location,
                encryption_configuration: shown(settings.encryption),
                ..Default::default()
            }),
            enforce_work_group_configuration: Some(settings.enforce),
            publish_cloud_watch_metrics_enabled: Some(settings.publish_metrics),
            bytes_scanned_cutoff_per_query: settings.scan_bytes_max.map(|bytes| bytes as i64),
            requester_pays_enabled: Some(settings.requester_pays),
            engine_version: Some(engine_version(&settings.engine_version)),
            ..Default::default()
        }),
        description: found.description,
        creation_time: Some(Timestamp::from_ms(found.created_ms)),
        ..Default::default()
    }
}

async fn list_work_groups(athena: Athena, _: Context, input: ListWorkGroupsInput) -> Answer<ListWorkGroupsOutput> {
    let page = athena.workgroups(input.next_token, input.max_results).await.map_err(refused)?;
    let summary = |group: Workgroup| WorkGroupSummary {
        name: Some(group.name),
        state: Some(state(group.enabled)),
        description: group.description,
        creation_time: Some(Timestamp::from_ms(group.created_ms)),
        engine_version: Some(engine_version(&group.configuration.engine_version)),
        ..Default::default()
    };
    Ok(ListWorkGroupsOutput { work_groups: Some(page.items.into_iter().map(summary).collect()), next_token: page.next })
}

async fn update_work_group(athena: Athena, _: Context, input: UpdateWorkGroupInput) -> Answer<UpdateWorkGroupOutput> {
    let given = input.configuration_updates.unwrap_or_default();
    let result = given.result_configuration_updates.unwrap_or_default();
    let removed = |flag: Option<bool>| flag == Some(true);
    let update = WorkgroupUpdate {
        description: input.description,
        enabled: input.state.map(|state| state == WorkGroupState::Enabled),
        output_location: match removed(result.remove_output_location) {
            true => Some(None),
            false => result.output_location.map(Some),
        },
        encryption: match removed(result.remove_encryption_configuration) {
            true => Some(None),
            false => result.encryption_configuration.as_ref().map(kept),
        },
        enforce: given.enforce_work_group_configuration,
        publish_metrics: given.publish_cloud_watch_metrics_enabled,
        requester_pays: given.requester_pays_enabled,
        scan_bytes_max: match removed(given.remove_bytes_scanned_cutoff_per_query) {
            true => Some(None),
            false => given.bytes_scanned_cutoff_per_query.map(|bytes| Some(bytes.max(0) as u64)),
        },
        engine_version: selected(given.engine_version)?,
    };
    athena.update_workgroup(input.work_group, update).await.map_err(refused)?;
    Ok(UpdateWorkGroupOutput {})
}

async fn delete_work_group(athena: Athena, _: Context, input: DeleteWorkGroupInput) -> Answer<DeleteWorkGroupOutput> {
    athena.delete_workgroup(input.work_group, input.recursive_delete_option == Some(true)).await.map_err(refused)?;
    Ok(DeleteWorkGroupOutput {})
}

async fn list_data_catalogs(athena: Athena, _: Context, _: ListDataCatalogsInput) -> Answer<ListDataCatalogsOutput> {
    let summary = |name: &str| DataCatalogSummary {
        catalog_name: Some(name.to_owned()),
        r#type: Some(DataCatalogType::Glue),
        ..Default::default()
    };
    let all = athena.data_catalogs().into_iter().map(summary).collect();
    Ok(ListDataCatalogsOutput { data_catalogs_summary: Some(all), next_token: None })
}

async fn get_data_catalog(athena: Athena, context: Context, input: GetDataCatalogInput) -> Answer<GetDataCatalogOutput> {
    let name = athena.data_catalog(&input.name).map_err(refused)?;
    let parameters = [("catalog-id".to_owned(), context.account)].into();
    Ok(GetDataCatalogOutput {
        data_catalog: Some(DataCatalog {
            name: name.to_owned(),
            r#type: DataCatalogType::Glue,
            parameters: Some(parameters),
            ..Default::default()
        }),
    })
}

fn database(found: CatalogDatabase) -> Database {
    let parameters = (!found.parameters.is_empty()).then_some(found.parameters);
    Database { name: found.name, description: found.description, parameters }
}

async fn list_databases(athena: Athena, _: Context, input: ListDatabasesInput) -> Answer<ListDatabasesOutput> {
    let page = athena.databases(&input.catalog_name, input.next_token, input.max_results).await.map_err(refused)?;
    Ok(ListDatabasesOutput { database_list: Some(page.items.into_iter().map(database).collect()), next_token: page.next })
}

async fn get_database(athena: Athena, _: Context, input: GetDatabaseInput) -> Answer<GetDatabaseOutput> {
    let found = athena.database(&input.catalog_name, &input.database_name).await.map_err(refused)?;
    Ok(GetDatabaseOutput { database: Some(database(found)) })
}

fn columns(of: Vec<CatalogColumn>) -> Option<Vec<Column>> {
    let column = |column: CatalogColumn| Column { name: column.name, r#type: Some(column.data_type), comment: column.comment };
    Some(of.into_iter().map(column).collect())
}

/// The table's properties and, as Athena shows them beside those, what is told of its storage.
fn table(found: Table) -> TableMetadata {
    let storage = found.storage;
    let mut parameters = found.parameters;
    let serde = storage.serde_info;
    let shown = [
        ("inputformat", storage.input_format),
        ("outputformat", storage.output_format),
        ("location", storage.location),
        ("serde.serialization.lib", serde.serialization_library),
    ];
    for (name, value) in shown {
        parameters.extend(value.map(|value| (name.to_owned(), value)));
    }
    parameters.extend(serde.parameters.into_iter().map(|(name, value)| (format!("serde.param.{name}"), value)));
    TableMetadata {
        name: found.name,
        create_time: Some(Timestamp::from_ms(found.created_ms)),
        last_access_time: None,
        table_type: found.table_type,
        columns: columns(storage.columns),
        partition_keys: columns(found.partition_keys),
        parameters: Some(parameters),
    }
}

async fn list_table_metadata(athena: Athena, _: Context, input: ListTableMetadataInput) -> Answer<ListTableMetadataOutput> {
    let ListTableMetadataInput { catalog_name, database_name, expression, next_token, max_results, .. } = input;
    let listed = athena.table_metadata(&catalog_name, &database_name, expression, next_token, max_results).await;
    let page = listed.map_err(refused)?;
    let tables = page.items.into_iter().map(table).collect();
    Ok(ListTableMetadataOutput { table_metadata_list: Some(tables), next_token: page.next })
}

async fn get_table_metadata(athena: Athena, _: Context, input: GetTableMetadataInput) -> Answer<GetTableMetadataOutput> {
    let found = athena.one_table_metadata(&input.catalog_name, &input.database_name, &input.table_name).await;
    Ok(GetTableMetadataOutput { table_metadata: Some(table(found.map_err(refused)?)) })
}

async fn list_engine_versions(_: Athena, _: Context, _: ListEngineVersionsInput) -> Answer<ListEngineVersionsOutput> {
    let versions = vec![engine_version("AUTO"), engine_version(ENGINE_VERSION)];
    Ok(ListEngineVersionsOutput { engine_versions: Some(versions), next_token: None })
}

fn tags(given: Vec<Tag>) -> Vec<(String, String)> {
    given.into_iter().map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect()
}

async fn tag_resource(athena: Athena, _: Context, input: TagResourceInput) -> Answer<TagResourceOutput> {
    athena.tag(&input.resource_arn, tags(input.tags)).await.map_err(refused)?;
    Ok(TagResourceOutput {})
}

async fn untag_resource(athena: Athena, _: Context, input: UntagResourceInput) -> Answer<UntagResourceOutput> {
    athena.untag(&input.resource_arn, input.tag_keys).await.map_err(refused)?;
    Ok(UntagResourceOutput {})
}

async fn list_tags_for_resource(
    athena: Athena,
    _: Context,
    input: ListTagsForResourceInput,
) -> Answer<ListTagsForResourceOutput> {
    let found = athena.tags(&input.resource_arn).await.map_err(refused)?;
    let tags = found.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect();
    Ok(ListTagsForResourceOutput { tags: Some(tags), next_token: None })
}

async fn create_named_query(athena: Athena, _: Context, input: CreateNamedQueryInput) -> Answer<CreateNamedQueryOutput> {
    let new = NewNamedQuery {
        name: input.name,
        description: input.description,
        database: input.database,
        query: input.query_string,
        workgroup: input.work_group,
        token: input.client_request_token,
    };
    let id = athena.create_named_query(new).await.map_err(refused)?;
    Ok(CreateNamedQueryOutput { named_query_id: Some(id) })
}

fn named_query(found: millpond_services::athena::NamedQuery) -> NamedQuery {
    NamedQuery {
        name: found.name,
        description: found.description,
        database: found.database,
        query_string: found.query,
        named_query_id: Some(found.id),
        work_group: Some(found.workgroup),
    }
}

async fn get_named_query(athena: Athena, _: Context, input: GetNamedQueryInput) -> Answer<GetNamedQueryOutput> {
    let found = athena.named_query(&input.named_query_id).await.map_err(refused)?;
    Ok(GetNamedQueryOutput { named_query: Some(named_query(found)) })
}

async fn batch_get_named_query(athena: Athena, _: Context, input: BatchGetNamedQueryInput) -> Answer<BatchGetNamedQueryOutput> {
    let (mut named_queries, mut unprocessed) = (Vec::new(), Vec::new());
    for id in input.named_query_ids {
        match athena.named_query(&id).await {
            Ok(found) => named_queries.push(named_query(found)),
            Err(AthenaError::InvalidRequest { message, code }) => unprocessed.push(UnprocessedNamedQueryId {
                named_query_id: Some(id),
                error_code: Some(code.to_owned()),
                error_message: Some(message),
            }),
            Err(error) => return Err(refused(error)),
        }
    }
    Ok(BatchGetNamedQueryOutput { named_queries: Some(named_queries), unprocessed_named_query_ids: Some(unprocessed) })
}

async fn list_named_queries(athena: Athena, _: Context, input: ListNamedQueriesInput) -> Answer<ListNamedQueriesOutput> {
    let page = athena.named_queries(input.work_group, input.next_token, input.max_results).await.map_err(refused)?;
    Ok(ListNamedQueriesOutput { named_query_ids: Some(page.items), next_token: page.next })
}

async fn delete_named_query(athena: Athena, _: Context, input: DeleteNamedQueryInput) -> Answer<DeleteNamedQueryOutput> {
    athena.delete_named_query(input.named_query_id).await.map_err(refused)?;
    Ok(DeleteNamedQueryOutput {})
}
