//! Databases, tables, partitions and tags on the wire.

use super::convert::{database_in, database_out, partition_in, partition_out, table_in, table_out, version_out};
use super::error::wire;
use crate::router::{Context, Router};
use millpond_core::catalog as domain;
use millpond_services::glue::partitions::{Failed, GetPartitions};
use millpond_services::glue::search::{Comparator, PropertyFilter, Search};
use millpond_services::glue::{Glue, GlueError};
use millpond_wire::WireError;
use millpond_wire::glue::{self, *};
use serde_json::json;

/// Items of a page where the caller does not say.
const PAGE: usize = 100;

/// Partitions of a page where the caller does not say.
const PARTITIONS: usize = 1_000;

/// Registers the catalog.
pub(super) fn register(router: &mut Router, service: &Glue) {
    router
        .service(service.clone())
        .on(glue::CreateDatabase, create_database)
        .on(glue::GetDatabase, get_database)
        .on(glue::GetDatabases, get_databases)
        .on(glue::UpdateDatabase, update_database)
        .on(glue::DeleteDatabase, delete_database)
        .on(glue::CreateTable, create_table)
        .on(glue::GetTable, get_table)
        .on(glue::GetTables, get_tables)
        .on(glue::UpdateTable, update_table)
        .on(glue::DeleteTable, delete_table)
        .on(glue::BatchDeleteTable, batch_delete_table)
        .on(glue::GetTableVersion, get_table_version)
        .on(glue::GetTableVersions, get_table_versions)
        .on(glue::DeleteTableVersion, delete_table_version)
        .on(glue::BatchDeleteTableVersion, batch_delete_table_version)
        .on(glue::SearchTables, search_tables)
        .on(glue::CreatePartition, create_partition)
        .on(glue::BatchCreatePartition, batch_create_partition)
        .on(glue::GetPartition, get_partition)
        .on(glue::GetPartitions, get_partitions)
        .on(glue::BatchGetPartition, batch_get_partition)
        .on(glue::UpdatePartition, update_partition)
        .on(glue::BatchUpdatePartition, batch_update_partition)
        .on(glue::DeletePartition, delete_partition)
        .on(glue::BatchDeletePartition, batch_delete_partition)
        .on(glue::TagResource, tag_resource)
        .on(glue::UntagResource, untag_resource)
        .on(glue::GetTags, get_tags);
}

type Answer<T> = Result<T, WireError>;

/// The number that the model has checked, or the default.
fn limit(asked: Option<i32>, default: usize) -> usize {
    asked.and_then(|asked| usize::try_from(asked).ok()).filter(|asked| *asked > 0).unwrap_or(default)
}

fn check_catalog(service: &Glue, catalog: &Option<String>) -> Answer<()> {
    service.check_catalog(catalog.as_deref()).map_err(wire)
}

/// Governed tables are no more; nobody should believe that a transaction was honoured.
fn refuse_transaction(transaction: &Option<String>) -> Answer<()> {
    match transaction {
        Some(_) => Err(wire(GlueError::InvalidInput(
            "TransactionId: Lake Formation transactions are not supported; leave it out.".into(),
        ))),
        None => Ok(()),
    }
}

fn refuse_time_travel(time: &Option<millpond_wire::Timestamp>) -> Answer<()> {
    match time {
        Some(_) => {
            Err(wire(GlueError::InvalidInput("QueryAsOfTime is for Lake Formation's governed tables; leave it out.".into())))
        }
        None => Ok(()),
    }
}

/// One item's error, as batch operations answer it.
fn detail(error: GlueError) -> Option<ErrorDetail> {
    let error = wire(error);
    Some(ErrorDetail { error_code: Some(error.code.into_owned()), error_message: Some(error.message) })
}

async fn create_database(service: Glue, _: Context, input: CreateDatabaseInput) -> Answer<CreateDatabaseOutput> {
    check_catalog(&service, &input.catalog_id)?;
    service.create_database(database_in(input.database_input), input.tags.unwrap_or_default()).await.map_err(wire)?;
    Ok(CreateDatabaseOutput {})
}

async fn get_database(service: Glue, _: Context, input: GetDatabaseInput) -> Answer<GetDatabaseOutput> {
    check_catalog(&service, &input.catalog_id)?;
    let database = service.database(input.name).await.map_err(wire)?;
    Ok(GetDatabaseOutput { database: Some(database_out(&database, &service.lake().place.account)) })
}

async fn get_databases(service: Glue, _: Context, input: GetDatabasesInput) -> Answer<GetDatabasesOutput> {
    check_catalog(&service, &input.catalog_id)?;
    if input.resource_share_type == Some(ResourceShareType::Foreign) {
        // Nobody shares databases with this account.
        return Ok(GetDatabasesOutput::default());
    }
    let page = service.databases(input.next_token, limit(input.max_results, PAGE)).await.map_err(wire)?;
    let account = &service.lake().place.account;
    let only_names = input.attributes_to_get.as_deref().is_some_and(|wanted| !wanted.is_empty());
    let answer = |database: &domain::Database| {
        let full = database_out(database, account);
        if only_names { Database { name: full.name, target_database: full.target_database, ..Database::default() } } else { full }
    };
    Ok(GetDatabasesOutput { database_list: page.items.iter().map(answer).collect(), next_token: page.next })
}

async fn update_database(service: Glue, _: Context, input: UpdateDatabaseInput) -> Answer<UpdateDatabaseOutput> {
    check_catalog(&service, &input.catalog_id)?;
    service.update_database(input.name, database_in(input.database_input)).await.map_err(wire)?;
    Ok(UpdateDatabaseOutput {})
}

async fn delete_database(service: Glue, _: Context, input: DeleteDatabaseInput) -> Answer<DeleteDatabaseOutput> {
    check_catalog(&service, &input.catalog_id)?;
    service.delete_database(input.name).await.map_err(wire)?;
    Ok(DeleteDatabaseOutput {})
}

/// The table that a request defines.
fn defined(database: String, name: Option<String>, input: Option<TableInput>) -> Answer<domain::Table> {
    let Some(input) = input else {
        return Err(wire(GlueError::InvalidInput("TableInput is missing: it defines the table.".into())));
    };
    if name.is_some_and(|name| !name.eq_ignore_ascii_case(&input.name)) {
        return Err(wire(GlueError::InvalidInput("Name and TableInput.Name differ: leave Name out.".into())));
    }
    Ok(table_in(database, input))
}

async fn create_table(service: Glue, context: Context, input: CreateTableInput) -> Answer<CreateTableOutput> {
    check_catalog(&service, &input.catalog_id)?;
    refuse_transaction(&input.transaction_id)?;
    if input.open_table_format_input.is_some() {
        let text = "OpenTableFormatInput: Millpond does not create Iceberg tables yet; create the table without it.";
        return Err(wire(GlueError::InvalidInput(text.into())));
    }
    let mut table = defined(input.database_name, input.name, input.table_input)?;
    table.kept.insert("CreatedBy".into(), json!(context.principal.arn));
    if let Some(indexes) = input.partition_indexes.filter(|indexes| !indexes.is_empty()) {
        table.kept.insert("PartitionIndexes".into(), json!(indexes));
    }
    service.create_table(table).await.map_err(wire)?;
    Ok(CreateTableOutput {})
}

async fn get_table(service: Glue, _: Context, input: GetTableInput) -> Answer<GetTableOutput> {
    check_catalog(&service, &input.catalog_id)?;
    refuse_transaction(&input.transaction_id)?;
    refuse_time_travel(&input.query_as_of_time)?;
    let table = service.table(input.database_name, input.name).await.map_err(wire)?;
    let table = trimmed(table_out(&table, &service.lake().place.account), input.attributes_to_get.as_deref());
    Ok(GetTableOutput { table: Some(table) })
}

/// A table with the attributes that were asked for.
fn trimmed(table: Table, wanted: Option<&[TableAttributes]>) -> Table {
    let whole =
        |attribute: &TableAttributes| matches!(attribute, TableAttributes::Default | TableAttributes::LatestIcebergMetadata);
    match wanted {
        Some(wanted) if !wanted.is_empty() && !wanted.iter().any(whole) => Table {
            table_type: table.table_type.filter(|_| wanted.contains(&TableAttributes::TableType)),
            name: table.name,
            database_name: table.database_name,
            catalog_id: table.catalog_id,
            ..Table::default()
        },
        _ => table,
    }
}

async fn get_tables(service: Glue, _: Context, input: GetTablesInput) -> Answer<GetTablesOutput> {
    check_catalog(&service, &input.catalog_id)?;
    refuse_transaction(&input.transaction_id)?;
    refuse_time_travel(&input.query_as_of_time)?;
    let limit = limit(input.max_results, PAGE);
    let page = service.tables(input.database_name, input.expression, input.next_token, limit).await.map_err(wire)?;
    let account = &service.lake().place.account;
    let tables = page.items.iter().map(|table| trimmed(table_out(table, account), input.attributes_to_get.as_deref()));
    Ok(GetTablesOutput { table_list: Some(tables.collect()), next_token: page.next })
}

async fn update_table(service: Glue, _: Context, input: UpdateTableInput) -> Answer<UpdateTableOutput> {
    check_catalog(&service, &input.catalog_id)?;
    refuse_transaction(&input.transaction_id)?;
    if input.update_open_table_format_input.is_some() || input.view_update_action.is_some() {
        let text = "UpdateOpenTableFormatInput and ViewUpdateAction are not supported: say the whole definition in TableInput.";
        return Err(wire(GlueError::InvalidInput(text.into())));
    }
    let table = defined(input.database_name, input.name, input.table_input)?;
    service.update_table(table, input.skip_archive.unwrap_or(false), input.version_id).await.map_err(wire)?;
    Ok(UpdateTableOutput {})
}

async fn delete_table(service: Glue, _: Context, input: DeleteTableInput) -> Answer<DeleteTableOutput> {
    check_catalog(&service, &input.catalog_id)?;
    refuse_transaction(&input.transaction_id)?;
    service.delete_table(input.database_name, input.name).await.map_err(wire)?;
    Ok(DeleteTableOutput {})
}

async fn batch_delete_table(service: Glue, _: Context, input: BatchDeleteTableInput) -> Answer<BatchDeleteTableOutput> {
    check_catalog(&service, &input.catalog_id)?;
    refuse_transaction(&input.transaction_id)?;
    let names = input.tables_to_delete;
    let failed = service.delete_tables(input.database_name, names.clone()).await.map_err(wire)?;
    let error = |(at, error): (usize, GlueError)| TableError { table_name: names.get(at).cloned(), error_detail: detail(error) };
    Ok(BatchDeleteTableOutput { errors: Some(failed.into_iter().map(error).collect()) })
}

async fn get_table_version(service: Glue, _: Context, input: GetTableVersionInput) -> Answer<GetTableVersionOutput> {
    check_catalog(&service, &input.catalog_id)?;
    let table = service.table_version(input.database_name, input.table_name, input.version_id).await.map_err(wire)?;
    Ok(GetTableVersionOutput { table_version: Some(version_out(&table, &service.lake().place.account)) })
}

async fn get_table_versions(service: Glue, _: Context, input: GetTableVersionsInput) -> Answer<GetTableVersionsOutput> {
    check_catalog(&service, &input.catalog_id)?;
    let limit = limit(input.max_results, PAGE);
    let page = service.table_versions(input.database_name, input.table_name, input.next_token, limit).await.map_err(wire)?;
    let versions = page.items.iter().map(|table| version_out(table, &service.lake().place.account)).collect();
    Ok(GetTableVersionsOutput { table_versions: Some(versions), next_token: page.next })
}

async fn delete_table_version(service: Glue, _: Context, input: DeleteTableVersionInput) -> Answer<DeleteTableVersionOutput> {
    check_catalog(&service, &input.catalog_id)?;
    let versions = vec![input.version_id];
    let mut failed = service.delete_table_versions(input.database_name, input.table_name, versions).await.map_err(wire)?;
    match failed.pop() {
        Some((_, error)) => Err(wire(error)),
        None => Ok(DeleteTableVersionOutput {}),
    }
}

async fn batch_delete_table_version(
    service: Glue,
    _: Context,
    input: BatchDeleteTableVersionInput,
) -> Answer<BatchDeleteTableVersionOutput> {
    check_catalog(&service, &input.catalog_id)?;
    let (name, versions) = (input.table_name, input.version_ids);
    let failed = service.delete_table_versions(input.database_name, name.clone(), versions.clone()).await.map_err(wire)?;
    let error = |(at, error): (usize, GlueError)| TableVersionError {
        table_name: Some(name.clone()),
        version_id: versions.get(at).cloned(),
        error_detail: detail(error),
    };
    Ok(BatchDeleteTableVersionOutput { errors: Some(failed.into_iter().map(error).collect()) })
}

async fn search_tables(service: Glue, _: Context, input: SearchTablesInput) -> Answer<SearchTablesOutput> {
    check_catalog(&service, &input.catalog_id)?;
    if input.resource_share_type == Some(ResourceShareType::Foreign) {
        return Ok(SearchTablesOutput { table_list: Some(Vec::new()), next_token: None });
    }
    let filter = |filter: PropertyPredicate| PropertyFilter {
        key: filter.key.unwrap_or_default(),
        value: filter.value.unwrap_or_default(),
        comparator: match filter.comparator {
            None | Some(glue::Comparator::Equals) => Comparator::Equals,
            Some(glue::Comparator::GreaterThan) => Comparator::GreaterThan,
            Some(glue::Comparator::LessThan) => Comparator::LessThan,
            Some(glue::Comparator::GreaterThanEquals) => Comparator::GreaterThanEquals,
            Some(glue::Comparator::LessThanEquals) => Comparator::LessThanEquals,
        },
    };
    let sort = |criterion: SortCriterion| (criterion.field_name.unwrap_or_default(), criterion.sort == Some(Sort::Desc));
    let search = Search {
        text: input.search_text,
        filters: input.filters.unwrap_or_default().into_iter().map(filter).collect(),
        sort: input.sort_criteria.unwrap_or_default().into_iter().map(sort).collect(),
        token: input.next_token,
        limit: limit(input.max_results, PAGE),
    };
    let page = service.search_tables(search).await.map_err(wire)?;
    let tables = page.items.iter().map(|table| table_out(table, &service.lake().place.account)).collect();
    Ok(SearchTablesOutput { table_list: Some(tables), next_token: page.next })
}

async fn create_partition(service: Glue, _: Context, input: CreatePartitionInput) -> Answer<CreatePartitionOutput> {
    check_catalog(&service, &input.catalog_id)?;
    let new = partition_in(input.partition_input);
    service.create_partition(input.database_name, input.table_name, new).await.map_err(wire)?;
    Ok(CreatePartitionOutput {})
}

fn partition_errors(failed: Failed, values: &[Vec<String>]) -> Option<Vec<PartitionError>> {
    let error = |(at, error): (usize, GlueError)| PartitionError {
        partition_values: values.get(at).cloned(),
        error_detail: detail(error),
    };
    Some(failed.into_iter().map(error).collect())
}

async fn batch_create_partition(
    service: Glue,
    _: Context,
    input: BatchCreatePartitionInput,
) -> Answer<BatchCreatePartitionOutput> {
    check_catalog(&service, &input.catalog_id)?;
    let new: Vec<domain::Partition> = input.partition_input_list.into_iter().map(partition_in).collect();
    let values: Vec<Vec<String>> = new.iter().map(|partition| partition.values.clone()).collect();
    let failed = service.create_partitions(input.database_name, input.table_name, new).await.map_err(wire)?;
    Ok(BatchCreatePartitionOutput { errors: partition_errors(failed, &values) })
}

async fn get_partition(service: Glue, _: Context, input: GetPartitionInput) -> Answer<GetPartitionOutput> {
    check_catalog(&service, &input.catalog_id)?;
    let (database, table) = (input.database_name, input.table_name);
    let partition = service.partition(database.clone(), table.clone(), input.partition_values).await.map_err(wire)?;
    Ok(GetPartitionOutput { partition: Some(partition_out(&partition, &database, &table, &service.lake().place.account)) })
}

async fn get_partitions(service: Glue, _: Context, input: GetPartitionsInput) -> Answer<GetPartitionsOutput> {
    check_catalog(&service, &input.catalog_id)?;
    refuse_transaction(&input.transaction_id)?;
    refuse_time_travel(&input.query_as_of_time)?;
    let (database, table) = (input.database_name, input.table_name);
    let without_columns = input.exclude_column_schema.unwrap_or(false);
    let asked = GetPartitions {
        expression: input.expression,
        token: input.next_token,
        segment: input.segment.map(|segment| (segment.segment_number, segment.total_segments)),
        limit: limit(input.max_results, PARTITIONS),
        without_columns,
    };
    let page = service.partitions(database.clone(), table.clone(), asked).await.map_err(wire)?;
    let account = &service.lake().place.account;
    let answer = |partition: &domain::Partition| {
        let mut wire = partition_out(partition, &database, &table, account);
        if let (true, Some(storage)) = (without_columns, &mut wire.storage_descriptor) {
            storage.columns = None;
        }
        wire
    };
    Ok(GetPartitionsOutput { partitions: Some(page.items.iter().map(answer).collect()), next_token: page.next })
}

async fn batch_get_partition(service: Glue, _: Context, input: BatchGetPartitionInput) -> Answer<BatchGetPartitionOutput> {
    check_catalog(&service, &input.catalog_id)?;
    let (database, table) = (input.database_name, input.table_name);
    let wanted = input.partitions_to_get.into_iter().map(|list| list.values).collect();
    let (found, unprocessed) = service.partitions_by_values(database.clone(), table.clone(), wanted).await.map_err(wire)?;
    let account = &service.lake().place.account;
    let partitions = found.iter().map(|partition| partition_out(partition, &database, &table, account)).collect();
    let unprocessed = unprocessed.into_iter().map(|values| PartitionValueList { values }).collect();
    Ok(BatchGetPartitionOutput { partitions: Some(partitions), unprocessed_keys: Some(unprocessed) })
}

async fn update_partition(service: Glue, _: Context, input: UpdatePartitionInput) -> Answer<UpdatePartitionOutput> {
    check_catalog(&service, &input.catalog_id)?;
    let new = changed(input.partition_input, &input.partition_value_list);
    service.update_partition(input.database_name, input.table_name, input.partition_value_list, new).await.map_err(wire)?;
    Ok(UpdatePartitionOutput {})
}

/// A partition's new definition; where it does not say values, they stay.
fn changed(input: PartitionInput, old: &[String]) -> domain::Partition {
    let mut new = partition_in(input);
    if new.values.is_empty() {
        new.values = old.to_vec();
    }
    new
}

async fn batch_update_partition(
    service: Glue,
    _: Context,
    input: BatchUpdatePartitionInput,
) -> Answer<BatchUpdatePartitionOutput> {
    check_catalog(&service, &input.catalog_id)?;
    let change = |entry: BatchUpdatePartitionRequestEntry| {
        let new = changed(entry.partition_input, &entry.partition_value_list);
        (entry.partition_value_list, new)
    };
    let changes: Vec<(Vec<String>, domain::Partition)> = input.entries.into_iter().map(change).collect();
    let values: Vec<Vec<String>> = changes.iter().map(|(values, _)| values.clone()).collect();
    let failed = service.update_partitions(input.database_name, input.table_name, changes).await.map_err(wire)?;
    let error = |(at, error): (usize, GlueError)| BatchUpdatePartitionFailureEntry {
        partition_value_list: values.get(at).cloned(),
        error_detail: detail(error),
    };
    Ok(BatchUpdatePartitionOutput { errors: Some(failed.into_iter().map(error).collect()) })
}

async fn delete_partition(service: Glue, _: Context, input: DeletePartitionInput) -> Answer<DeletePartitionOutput> {
    check_catalog(&service, &input.catalog_id)?;
    service.delete_partition(input.database_name, input.table_name, input.partition_values).await.map_err(wire)?;
    Ok(DeletePartitionOutput {})
}

async fn batch_delete_partition(
    service: Glue,
    _: Context,
    input: BatchDeletePartitionInput,
) -> Answer<BatchDeletePartitionOutput> {
    check_catalog(&service, &input.catalog_id)?;
    let values: Vec<Vec<String>> = input.partitions_to_delete.into_iter().map(|list| list.values).collect();
    let failed = service.delete_partitions(input.database_name, input.table_name, values.clone()).await.map_err(wire)?;
    Ok(BatchDeletePartitionOutput { errors: partition_errors(failed, &values) })
}

async fn tag_resource(service: Glue, _: Context, input: TagResourceInput) -> Answer<TagResourceOutput> {
    service.tag(input.resource_arn, input.tags_to_add).await.map_err(wire)?;
    Ok(TagResourceOutput {})
}

async fn untag_resource(service: Glue, _: Context, input: UntagResourceInput) -> Answer<UntagResourceOutput> {
    service.untag(input.resource_arn, input.tags_to_remove).await.map_err(wire)?;
    Ok(UntagResourceOutput {})
}

async fn get_tags(service: Glue, _: Context, input: GetTagsInput) -> Answer<GetTagsOutput> {
    Ok(GetTagsOutput { tags: Some(service.tags(input.resource_arn).await.map_err(wire)?) })
}
