use super::{Answer, convert, refused};
use crate::router::Context;
use millpond_services::dynamodb::{DynamoDb, QueryRequest, ScanRequest};
use millpond_wire::dynamodb::*;

pub(super) async fn query(dynamodb: DynamoDb, _: Context, input: QueryInput) -> Answer<QueryOutput> {
    let report = convert::report(input.return_consumed_capacity);
    let request = QueryRequest {
        table: input.table_name,
        index: input.index_name,
        key_expression: input.key_condition_expression,
        key_conditions: convert::json(input.key_conditions),
        filter: convert::filter(input.filter_expression, input.query_filter, input.conditional_operator),
        projection: convert::projection(input.projection_expression, input.attributes_to_get),
        expressions: convert::expressions(input.expression_attribute_names, input.expression_attribute_values),
        select: convert::select(input.select),
        backward: input.scan_index_forward == Some(false),
        limit: convert::limit(input.limit),
        start: input.exclusive_start_key,
        consistent: input.consistent_read.unwrap_or_default(),
        report,
    };
    let page = dynamodb.query(request).await.map_err(refused)?;
    Ok(QueryOutput {
        items: page.items,
        count: Some(convert::count(page.count)),
        scanned_count: Some(convert::count(page.scanned)),
        last_evaluated_key: page.last,
        consumed_capacity: page.consumed.map(|consumed| convert::consumed(consumed, report)),
    })
}

pub(super) async fn scan(dynamodb: DynamoDb, _: Context, input: ScanInput) -> Answer<ScanOutput> {
    let report = convert::report(input.return_consumed_capacity);
    let request = ScanRequest {
        table: input.table_name,
        index: input.index_name,
        filter: convert::filter(input.filter_expression, input.scan_filter, input.conditional_operator),
        projection: convert::projection(input.projection_expression, input.attributes_to_get),
        expressions: convert::expressions(input.expression_attribute_names, input.expression_attribute_values),
        select: convert::select(input.select),
        limit: convert::limit(input.limit),
        start: input.exclusive_start_key,
        segment: (input.segment, input.total_segments),
        consistent: input.consistent_read.unwrap_or_default(),
        report,
    };
    let page = dynamodb.scan(request).await.map_err(refused)?;
    Ok(ScanOutput {
        items: page.items,
        count: Some(convert::count(page.count)),
        scanned_count: Some(convert::count(page.scanned)),
        last_evaluated_key: page.last,
        consumed_capacity: page.consumed.map(|consumed| convert::consumed(consumed, report)),
    })
}
