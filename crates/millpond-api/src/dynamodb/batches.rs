use super::{Answer, State, convert, refused};
use crate::router::Context;
use http::StatusCode;
use millpond_services::dynamodb::{BatchGet, BatchKeys, BatchWrite, Write};
use millpond_wire::WireError;
use millpond_wire::dynamodb::*;

pub(super) async fn batch_get_item(state: State, context: Context, input: BatchGetItemInput) -> Answer<BatchGetItemOutput> {
    for table in input.request_items.keys() {
        state.allow(&context, "dynamodb:BatchGetItem", table)?;
    }
    let report = convert::report(input.return_consumed_capacity);
    let keys = |given: KeysAndAttributes| BatchKeys {
        keys: given.keys,
        projection: convert::projection(given.projection_expression, given.attributes_to_get),
        expressions: convert::expressions(given.expression_attribute_names, None),
        consistent: given.consistent_read,
    };
    let tables = input.request_items.into_iter().map(|(table, given)| (table, keys(given))).collect();
    let got = state.dynamodb.batch_get(BatchGet { tables, report }).await.map_err(refused)?;
    let back = |keys: BatchKeys| KeysAndAttributes {
        keys: keys.keys,
        attributes_to_get: keys.projection.attributes,
        consistent_read: keys.consistent,
        projection_expression: keys.projection.expression,
        expression_attribute_names: keys.expressions.names,
    };
    Ok(BatchGetItemOutput {
        responses: Some(got.items),
        unprocessed_keys: Some(got.unprocessed.into_iter().map(|(table, keys)| (table, back(keys))).collect()),
        consumed_capacity: convert::all_consumed(got.consumed, report),
    })
}

fn write(request: WriteRequest) -> Result<Write, WireError> {
    match (request.put_request, request.delete_request) {
        (Some(put), None) => Ok(Write::Put(put.item)),
        (None, Some(delete)) => Ok(Write::Delete(delete.key)),
        _ => {
            let text = "Supplied WriteRequest must contain exactly one of PutRequest and DeleteRequest";
            Err(WireError::sender(StatusCode::BAD_REQUEST, "ValidationException", text))
        }
    }
}

pub(super) async fn batch_write_item(state: State, context: Context, input: BatchWriteItemInput) -> Answer<BatchWriteItemOutput> {
    for table in input.request_items.keys() {
        state.allow(&context, "dynamodb:BatchWriteItem", table)?;
    }
    let report = convert::report(input.return_consumed_capacity);
    let tables = input
        .request_items
        .into_iter()
        .map(|(table, writes)| Ok((table, writes.into_iter().map(write).collect::<Result<_, _>>()?)))
        .collect::<Result<_, WireError>>()?;
    let collections = convert::collections(input.return_item_collection_metrics);
    let written = state.dynamodb.batch_write(BatchWrite { tables, report, collections }).await.map_err(refused)?;
    Ok(BatchWriteItemOutput {
        unprocessed_items: Some(Default::default()),
        item_collection_metrics: convert::all_metrics(written.collections),
        consumed_capacity: convert::all_consumed(written.consumed, report),
    })
}
