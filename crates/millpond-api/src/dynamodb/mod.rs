//! DynamoDB's operations on the wire.

mod batches;
mod convert;
mod error;
mod items;
mod reads;
mod settings;
mod statements;
mod tables;
mod transactions;
mod transfers;

use crate::authorize::Authorizer;
use crate::router::{Context, Router};
use error::refused;
use millpond_services::dynamodb::DynamoDb;
use millpond_wire::WireError;
use millpond_wire::dynamodb::*;
use std::sync::Arc;

type Answer<T> = Result<T, WireError>;

/// What handlers work on: the service, and who decides about tables that a request names inside.
#[derive(Clone)]
struct State {
    dynamodb: DynamoDb,
    authorizer: Arc<dyn Authorizer>,
}

impl State {
    /// Whether the caller may do `action` to the table of that name or ARN.
    fn allow(&self, context: &Context, action: &'static str, table: &str) -> Result<(), WireError> {
        let name = table.rsplit('/').next().unwrap_or(table);
        let resource = format!("arn:aws:dynamodb:{}:{}:table/{name}", context.region, context.account);
        self.authorizer.authorize(context, action, &resource)
    }
}

/// Registers the operations that are implemented.
pub fn register(router: &mut Router, dynamodb: DynamoDb) {
    let state = State { dynamodb: dynamodb.clone(), authorizer: router.authorizer().clone() };
    router
        .service(dynamodb)
        .on(CreateTable, tables::create_table)
        .on(DescribeTable, tables::describe_table)
        .on(ListTables, tables::list_tables)
        .on(UpdateTable, tables::update_table)
        .on(DeleteTable, tables::delete_table)
        .on(PutItem, items::put_item)
        .on(GetItem, items::get_item)
        .on(UpdateItem, items::update_item)
        .on(DeleteItem, items::delete_item)
        .on(Query, reads::query)
        .on(Scan, reads::scan)
        .on(DescribeTimeToLive, settings::describe_time_to_live)
        .on(UpdateTimeToLive, settings::update_time_to_live)
        .on(DescribeContinuousBackups, settings::describe_continuous_backups)
        .on(UpdateContinuousBackups, settings::update_continuous_backups)
        .on(TagResource, settings::tag_resource)
        .on(UntagResource, settings::untag_resource)
        .on(ListTagsOfResource, settings::list_tags_of_resource)
        .on(DescribeLimits, settings::describe_limits)
        .on(DescribeEndpoints, settings::describe_endpoints)
        .on(ImportTable, transfers::import_table)
        .on(DescribeImport, transfers::describe_import)
        .on(ListImports, transfers::list_imports)
        .on(ExportTableToPointInTime, transfers::export_table)
        .on(DescribeExport, transfers::describe_export)
        .on(ListExports, transfers::list_exports);
    router
        .service(state)
        .on(BatchGetItem, batches::batch_get_item)
        .on(BatchWriteItem, batches::batch_write_item)
        .on(TransactGetItems, transactions::transact_get_items)
        .on(TransactWriteItems, transactions::transact_write_items)
        .on(ExecuteStatement, statements::execute_statement)
        .on(BatchExecuteStatement, statements::batch_execute_statement)
        .on(ExecuteTransaction, statements::execute_transaction);
}

#[cfg(test)]
mod tests;
