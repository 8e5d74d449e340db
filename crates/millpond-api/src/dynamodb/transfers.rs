use super::{Answer, refused, tables};
use crate::router::Context;
use millpond_services::dynamodb::{
    self as domain, DynamoDb, ExportRequest, ImportRequest, NewIndex, NewTable, Projected, TransferState,
};
use millpond_wire::dynamodb::*;
use millpond_wire::shapes::Timestamp;

pub(super) async fn import_table(dynamodb: DynamoDb, _: Context, input: ImportTableInput) -> Answer<ImportTableOutput> {
    let table = input.table_creation_parameters;
    let unsupported = table.vector_indexes.is_some().then_some("VectorIndexes");
    let csv = input.input_format_options.and_then(|options| options.csv);
    let request = ImportRequest {
        token: input.client_token,
        bucket: input.s3_bucket_source.s3_bucket,
        bucket_owner: input.s3_bucket_source.s3_bucket_owner,
        prefix: input.s3_bucket_source.s3_key_prefix,
        format: input.input_format.as_str().to_owned(),
        csv: csv.map(|csv| domain::CsvOptions { delimiter: csv.delimiter, header: csv.header_list }),
        compression: input.input_compression_type.map(|kind| kind.as_str().to_owned()),
        table: NewTable {
            name: table.table_name,
            definitions: table.attribute_definitions.into_iter().map(tables::definition).collect(),
            key: tables::key(table.key_schema),
            local: None,
            global: table.global_secondary_indexes.map(|all| all.into_iter().map(tables::global).collect()),
            pay_per_request: table.billing_mode == Some(BillingMode::PayPerRequest),
            throughput: table.provisioned_throughput.map(tables::throughput),
            on_demand: table.on_demand_throughput.map(tables::on_demand),
            encryption: table.sse_specification.and_then(tables::encryption),
            unsupported,
            ..NewTable::default()
        },
    };
    let import = dynamodb.import_table(request).await.map_err(refused)?;
    Ok(ImportTableOutput { import_table_description: describe(import) })
}

pub(super) async fn describe_import(dynamodb: DynamoDb, _: Context, input: DescribeImportInput) -> Answer<DescribeImportOutput> {
    let import = dynamodb.import(&input.import_arn).await.map_err(refused)?;
    Ok(DescribeImportOutput { import_table_description: describe(import) })
}

pub(super) async fn list_imports(dynamodb: DynamoDb, _: Context, input: ListImportsInput) -> Answer<ListImportsOutput> {
    let limit = super::convert::limit(input.page_size);
    let page = dynamodb.imports(input.table_arn.as_deref(), limit, input.next_token.as_deref());
    let page = page.await.map_err(refused)?;
    let summary = |import: domain::Import| {
        let all = describe(import);
        ImportSummary {
            import_arn: all.import_arn,
            import_status: all.import_status,
            table_arn: all.table_arn,
            s3_bucket_source: all.s3_bucket_source,
            cloud_watch_log_group_arn: all.cloud_watch_log_group_arn,
            input_format: all.input_format,
            start_time: all.start_time,
            end_time: all.end_time,
        }
    };
    let summaries = page.all.into_iter().map(summary).collect();
    Ok(ListImportsOutput { import_summary_list: Some(summaries), next_token: page.next })
}

fn import_status(state: TransferState) -> ImportStatus {
    match state {
        TransferState::InProgress => ImportStatus::InProgress,
        TransferState::Completed => ImportStatus::Completed,
        TransferState::Failed => ImportStatus::Failed,
    }
}

fn global(index: &NewIndex) -> GlobalSecondaryIndex {
    let projected = match (index.projection.as_deref(), &index.attributes) {
        (Some("KEYS_ONLY"), _) => Projected::KeysOnly,
        (Some("INCLUDE"), Some(names)) => Projected::Include(names.clone()),
        _ => Projected::All,
    };
    GlobalSecondaryIndex {
        index_name: index.name.clone(),
        key_schema: tables::wire_key(&index.key),
        projection: tables::wire_projection(&projected),
        provisioned_throughput: index.throughput.map(wire_throughput),
        on_demand_throughput: index.on_demand.map(tables::wire_on_demand),
        warm_throughput: index.warm.map(tables::wire_warm),
    }
}

fn wire_throughput(units: domain::Throughput) -> ProvisionedThroughput {
    ProvisionedThroughput { read_capacity_units: units.read, write_capacity_units: units.write }
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn describe(import: domain::Import) -> ImportTableDescription {
    let domain::Import { transfer, table, .. } = import;
    let parameters = TableCreationParameters {
        attribute_definitions: table.definitions.iter().map(tables::wire_definition).collect(),
        key_schema: tables::wire_key(&table.key),
        billing_mode: Some(if table.pay_per_request { BillingMode::PayPerRequest } else { BillingMode::Provisioned }),
        provisioned_throughput: table.throughput.map(wire_throughput),
        on_demand_throughput: table.on_demand.map(tables::wire_on_demand),
        global_secondary_indexes: table.global.map(|all| all.iter().map(global).collect()),
        table_name: table.name,
        ..TableCreationParameters::default()
    };
    let ended = transfer.ended_ms.is_some();
    let csv = import.csv.map(|csv| CsvOptions { delimiter: csv.delimiter, header_list: csv.header });
    ImportTableDescription {
        import_arn: Some(transfer.arn),
        import_status: Some(import_status(transfer.state)),
        table_arn: Some(transfer.table_arn),
        table_id: Some(transfer.table_id),
        client_token: transfer.token,
        s3_bucket_source: Some(S3BucketSource {
            s3_bucket_owner: transfer.bucket_owner,
            s3_bucket: transfer.bucket,
            s3_key_prefix: transfer.prefix,
        }),
        error_count: Some(count(import.errors)),
        cloud_watch_log_group_arn: Some(import.log_group_arn),
        input_format: InputFormat::from_text(&import.format),
        input_format_options: csv.map(|csv| InputFormatOptions { csv: Some(csv) }),
        input_compression_type: InputCompressionType::from_text(&import.compression),
        table_creation_parameters: Some(parameters),
        start_time: Some(Timestamp::from_ms(transfer.started_ms)),
        end_time: transfer.ended_ms.map(Timestamp::from_ms),
        processed_size_bytes: ended.then(|| count(import.processed_bytes)),
        processed_item_count: ended.then(|| count(import.processed_items)),
        imported_item_count: ended.then(|| count(import.imported_items)),
        failure_code: transfer.failure_code,
        failure_message: transfer.failure_message,
    }
}

pub(super) async fn export_table(
    dynamodb: DynamoDb,
    _: Context,
    input: ExportTableToPointInTimeInput,
) -> Answer<ExportTableToPointInTimeOutput> {
    let unsupported = [
        (input.export_type == Some(ExportType::IncrementalExport), "incremental exports (ExportType)"),
        (input.incremental_export_specification.is_some(), "IncrementalExportSpecification"),
        (input.filter_specification.is_some(), "FilterSpecification"),
    ];
    let key = input.s3_sse_kms_key_id;
    let request = ExportRequest {
        table_arn: input.table_arn,
        export_ms: input.export_time.map(Timestamp::ms),
        token: input.client_token,
        bucket: input.s3_bucket,
        bucket_owner: input.s3_bucket_owner,
        prefix: input.s3_prefix,
        encryption: input.s3_sse_algorithm.map(|algorithm| (algorithm.as_str().to_owned(), key)),
        format: input.export_format.map(|format| format.as_str().to_owned()),
        unsupported: unsupported.into_iter().find(|(given, _)| *given).map(|(_, name)| name),
    };
    let export = dynamodb.export_table(request).await.map_err(refused)?;
    Ok(ExportTableToPointInTimeOutput { export_description: Some(describe_one(export)) })
}

pub(super) async fn describe_export(dynamodb: DynamoDb, _: Context, input: DescribeExportInput) -> Answer<DescribeExportOutput> {
    let export = dynamodb.export(&input.export_arn).await.map_err(refused)?;
    Ok(DescribeExportOutput { export_description: Some(describe_one(export)) })
}

pub(super) async fn list_exports(dynamodb: DynamoDb, _: Context, input: ListExportsInput) -> Answer<ListExportsOutput> {
    let limit = super::convert::limit(input.max_results);
    let page = dynamodb.exports(input.table_arn.as_deref(), limit, input.next_token.as_deref());
    let page = page.await.map_err(refused)?;
    let summary = |export: domain::Export| ExportSummary {
        export_status: Some(export_status(export.transfer.state)),
        export_arn: Some(export.transfer.arn),
        export_type: Some(ExportType::FullExport),
    };
    Ok(ListExportsOutput { export_summaries: Some(page.all.into_iter().map(summary).collect()), next_token: page.next })
}

fn export_status(state: TransferState) -> ExportStatus {
    match state {
        TransferState::InProgress => ExportStatus::InProgress,
        TransferState::Completed => ExportStatus::Completed,
        TransferState::Failed => ExportStatus::Failed,
    }
}

fn describe_one(export: domain::Export) -> ExportDescription {
    let domain::Export { transfer, export_ms, encryption, manifest, items, bytes } = export;
    let done = transfer.state == TransferState::Completed;
    let (algorithm, key) = encryption.map_or((None, None), |(algorithm, key)| (S3SseAlgorithm::from_text(&algorithm), key));
    ExportDescription {
        export_arn: Some(transfer.arn),
        export_status: Some(export_status(transfer.state)),
        start_time: Some(Timestamp::from_ms(transfer.started_ms)),
        end_time: transfer.ended_ms.map(Timestamp::from_ms),
        export_manifest: manifest,
        table_arn: Some(transfer.table_arn),
        table_id: Some(transfer.table_id),
        export_time: Some(Timestamp::from_ms(export_ms)),
        client_token: transfer.token,
        s3_bucket: Some(transfer.bucket),
        s3_bucket_owner: transfer.bucket_owner,
        s3_prefix: transfer.prefix,
        s3_sse_algorithm: algorithm,
        s3_sse_kms_key_id: key,
        failure_code: transfer.failure_code,
        failure_message: transfer.failure_message,
        export_format: Some(ExportFormat::DynamodbJson),
        billed_size_bytes: done.then(|| count(bytes)),
        item_count: done.then(|| count(items)),
        export_type: Some(ExportType::FullExport),
        ..ExportDescription::default()
    }
}
