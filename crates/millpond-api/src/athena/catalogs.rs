//! Data catalogs, and what is in them.

use super::tags::tags;
use super::{Answer, refused};
use crate::router::{Context, Router};
use millpond_core::catalog::{Column as CatalogColumn, Database as CatalogDatabase, Table};
use millpond_services::athena::{Athena, DataCatalog as Found, NewDataCatalog};
use millpond_wire::Timestamp;
use millpond_wire::athena::*;
use std::collections::BTreeMap;

pub(super) fn register(router: &mut Router, athena: &Athena) {
    router
        .service(athena.clone())
        .on(CreateDataCatalog, create_data_catalog)
        .on(UpdateDataCatalog, update_data_catalog)
        .on(DeleteDataCatalog, delete_data_catalog)
        .on(ListDataCatalogs, list_data_catalogs)
        .on(GetDataCatalog, get_data_catalog)
        .on(ListDatabases, list_databases)
        .on(GetDatabase, get_database)
        .on(ListTableMetadata, list_table_metadata)
        .on(GetTableMetadata, get_table_metadata);
}

fn data_catalog(found: Found) -> DataCatalog {
    DataCatalog {
        name: found.name,
        description: found.description,
        r#type: DataCatalogType::Glue,
        parameters: Some(found.parameters.into_iter().collect()),
        status: Some(DataCatalogStatus::CreateComplete),
        ..Default::default()
    }
}

async fn create_data_catalog(athena: Athena, _: Context, input: CreateDataCatalogInput) -> Answer<CreateDataCatalogOutput> {
    let new = NewDataCatalog {
        name: input.name,
        kind: input.r#type.as_str().to_owned(),
        description: input.description,
        parameters: input.parameters.unwrap_or_default().into_iter().collect::<BTreeMap<_, _>>(),
        tags: tags(input.tags.unwrap_or_default()),
    };
    let made = athena.create_data_catalog(new).await.map_err(refused)?;
    Ok(CreateDataCatalogOutput { data_catalog: Some(data_catalog(made)) })
}

async fn update_data_catalog(athena: Athena, _: Context, input: UpdateDataCatalogInput) -> Answer<UpdateDataCatalogOutput> {
    let new = NewDataCatalog {
        name: input.name,
        kind: input.r#type.as_str().to_owned(),
        description: input.description,
        parameters: input.parameters.unwrap_or_default().into_iter().collect::<BTreeMap<_, _>>(),
        tags: Vec::new(),
    };
    athena.update_data_catalog(new).await.map_err(refused)?;
    Ok(UpdateDataCatalogOutput {})
}

async fn delete_data_catalog(athena: Athena, _: Context, input: DeleteDataCatalogInput) -> Answer<DeleteDataCatalogOutput> {
    let gone = athena.delete_data_catalog(input.name).await.map_err(refused)?;
    let gone = DataCatalog { status: Some(DataCatalogStatus::DeleteComplete), ..data_catalog(gone) };
    Ok(DeleteDataCatalogOutput { data_catalog: Some(gone) })
}

async fn list_data_catalogs(athena: Athena, _: Context, input: ListDataCatalogsInput) -> Answer<ListDataCatalogsOutput> {
    let page = athena.data_catalogs(input.next_token, input.max_results).await.map_err(refused)?;
    let summary = |found: Found| DataCatalogSummary {
        catalog_name: Some(found.name),
        r#type: Some(DataCatalogType::Glue),
        status: Some(DataCatalogStatus::CreateComplete),
        ..Default::default()
    };
    let all = page.items.into_iter().map(summary).collect();
    Ok(ListDataCatalogsOutput { data_catalogs_summary: Some(all), next_token: page.next })
}

async fn get_data_catalog(athena: Athena, _: Context, input: GetDataCatalogInput) -> Answer<GetDataCatalogOutput> {
    let found = athena.data_catalog(&input.name).await.map_err(refused)?;
    Ok(GetDataCatalogOutput { data_catalog: Some(data_catalog(found)) })
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
