use super::{Answer, convert, refused};
use crate::router::Context;
use millpond_services::dynamodb::{self as domain, DynamoDb, WriteOptions};
use millpond_wire::dynamodb::*;

/// What the inputs of all writes of one item have: their types are as many as operations.
macro_rules! options {
    ($input:ident) => {
        WriteOptions {
            condition: convert::condition($input.condition_expression, $input.expected, $input.conditional_operator),
            expressions: convert::expressions($input.expression_attribute_names, $input.expression_attribute_values),
            returned: convert::returned($input.return_values),
            item_on_failure: convert::item_on_failure($input.return_values_on_condition_check_failure),
            report: convert::report($input.return_consumed_capacity),
            collection: convert::collections($input.return_item_collection_metrics),
        }
    };
}

/// What the outputs of all writes of one item have.
macro_rules! output {
    ($output:ident, $written:expr, $report:expr) => {{
        let written = $written.await.map_err(refused)?;
        Ok($output {
            attributes: written.attributes,
            consumed_capacity: written.consumed.map(|consumed| convert::consumed(consumed, $report)),
            item_collection_metrics: written.collection.map(convert::metrics),
        })
    }};
}

pub(super) async fn put_item(dynamodb: DynamoDb, _: Context, input: PutItemInput) -> Answer<PutItemOutput> {
    let options = options!(input);
    let report = options.report;
    let put = domain::PutItem { table: input.table_name, item: input.item, options };
    output!(PutItemOutput, dynamodb.put_item(put), report)
}

pub(super) async fn delete_item(dynamodb: DynamoDb, _: Context, input: DeleteItemInput) -> Answer<DeleteItemOutput> {
    let options = options!(input);
    let report = options.report;
    let delete = domain::DeleteItem { table: input.table_name, key: input.key, options };
    output!(DeleteItemOutput, dynamodb.delete_item(delete), report)
}

pub(super) async fn update_item(dynamodb: DynamoDb, _: Context, input: UpdateItemInput) -> Answer<UpdateItemOutput> {
    let options = options!(input);
    let (report, updates) = (options.report, convert::json(input.attribute_updates));
    let update =
        domain::UpdateItem { table: input.table_name, key: input.key, update: input.update_expression, updates, options };
    output!(UpdateItemOutput, dynamodb.update_item(update), report)
}

pub(super) async fn get_item(dynamodb: DynamoDb, _: Context, input: GetItemInput) -> Answer<GetItemOutput> {
    let report = convert::report(input.return_consumed_capacity);
    let get = domain::GetItem {
        table: input.table_name,
        key: input.key,
        projection: convert::projection(input.projection_expression, input.attributes_to_get),
        expressions: convert::expressions(input.expression_attribute_names, None),
        consistent: input.consistent_read.unwrap_or_default(),
        report,
    };
    let got = dynamodb.get_item(get).await.map_err(refused)?;
    let consumed_capacity = got.consumed.map(|consumed| convert::consumed(consumed, report));
    Ok(GetItemOutput { item: got.item, consumed_capacity })
}
