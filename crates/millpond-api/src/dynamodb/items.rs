use super::{Answer, convert, refused};
use crate::router::Context;
use millpond_services::dynamodb::{self as domain, DynamoDb};
use millpond_wire::dynamodb::*;

pub(super) async fn put_item(dynamodb: DynamoDb, _: Context, input: PutItemInput) -> Answer<PutItemOutput> {
    let report = convert::report(input.return_consumed_capacity);
    let put = domain::PutItem {
        table: input.table_name,
        item: input.item,
        condition: convert::condition(input.condition_expression, input.expected, input.conditional_operator),
        expressions: convert::expressions(input.expression_attribute_names, input.expression_attribute_values),
        returned: convert::returned(input.return_values),
        item_on_failure: convert::item_on_failure(input.return_values_on_condition_check_failure),
        report,
        collection: convert::collections(input.return_item_collection_metrics),
    };
    let written = dynamodb.put_item(put).await.map_err(refused)?;
    Ok(PutItemOutput {
        attributes: written.attributes,
        consumed_capacity: written.consumed.map(|consumed| convert::consumed(consumed, report)),
        item_collection_metrics: written.collection.map(convert::metrics),
    })
}

pub(super) async fn delete_item(dynamodb: DynamoDb, _: Context, input: DeleteItemInput) -> Answer<DeleteItemOutput> {
    let report = convert::report(input.return_consumed_capacity);
    let delete = domain::DeleteItem {
        table: input.table_name,
        key: input.key,
        condition: convert::condition(input.condition_expression, input.expected, input.conditional_operator),
        expressions: convert::expressions(input.expression_attribute_names, input.expression_attribute_values),
        returned: convert::returned(input.return_values),
        item_on_failure: convert::item_on_failure(input.return_values_on_condition_check_failure),
        report,
        collection: convert::collections(input.return_item_collection_metrics),
    };
    let written = dynamodb.delete_item(delete).await.map_err(refused)?;
    Ok(DeleteItemOutput {
        attributes: written.attributes,
        consumed_capacity: written.consumed.map(|consumed| convert::consumed(consumed, report)),
        item_collection_metrics: written.collection.map(convert::metrics),
    })
}

pub(super) async fn update_item(dynamodb: DynamoDb, _: Context, input: UpdateItemInput) -> Answer<UpdateItemOutput> {
    let report = convert::report(input.return_consumed_capacity);
    let update = domain::UpdateItem {
        table: input.table_name,
        key: input.key,
        update: input.update_expression,
        updates: convert::json(input.attribute_updates),
        condition: convert::condition(input.condition_expression, input.expected, input.conditional_operator),
        expressions: convert::expressions(input.expression_attribute_names, input.expression_attribute_values),
        returned: convert::returned(input.return_values),
        item_on_failure: convert::item_on_failure(input.return_values_on_condition_check_failure),
        report,
        collection: convert::collections(input.return_item_collection_metrics),
    };
    let written = dynamodb.update_item(update).await.map_err(refused)?;
    Ok(UpdateItemOutput {
        attributes: written.attributes,
        consumed_capacity: written.consumed.map(|consumed| convert::consumed(consumed, report)),
        item_collection_metrics: written.collection.map(convert::metrics),
    })
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
