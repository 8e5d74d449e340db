use super::{Answer, State, convert, refused};
use crate::router::Context;
use http::StatusCode;
use millpond_services::dynamodb::{self as domain, TransactWrite};
use millpond_wire::WireError;
use millpond_wire::dynamodb::*;

pub(super) async fn transact_get_items(
    state: State,
    context: Context,
    input: TransactGetItemsInput,
) -> Answer<TransactGetItemsOutput> {
    let report = convert::report(input.return_consumed_capacity);
    let mut gets = Vec::with_capacity(input.transact_items.len());
    for TransactGetItem { get } in input.transact_items {
        state.allow(&context, "dynamodb:GetItem", &get.table_name)?;
        gets.push(domain::GetItem {
            table: get.table_name,
            key: get.key,
            projection: convert::projection(get.projection_expression, None),
            expressions: convert::expressions(get.expression_attribute_names, None),
            ..domain::GetItem::default()
        });
    }
    let (items, consumed) = state.dynamodb.transact_get(gets, report).await.map_err(refused)?;
    Ok(TransactGetItemsOutput {
        consumed_capacity: convert::all_consumed(consumed, report),
        responses: Some(items.into_iter().map(|item| ItemResponse { item }).collect()),
    })
}

/// An action, with the IAM action that it needs and its table.
fn action(item: TransactWriteItem) -> Option<(&'static str, String, TransactWrite)> {
    match item {
        TransactWriteItem { put: Some(put), condition_check: None, delete: None, update: None } => {
            let write = domain::PutItem {
                table: put.table_name.clone(),
                item: put.item,
                condition: plain(put.condition_expression),
                expressions: convert::expressions(put.expression_attribute_names, put.expression_attribute_values),
                item_on_failure: convert::item_on_failure(put.return_values_on_condition_check_failure),
                ..domain::PutItem::default()
            };
            Some(("dynamodb:PutItem", put.table_name, TransactWrite::Put(write)))
        }
        TransactWriteItem { delete: Some(delete), put: None, condition_check: None, update: None } => {
            let write = domain::DeleteItem {
                table: delete.table_name.clone(),
                key: delete.key,
                condition: plain(delete.condition_expression),
                expressions: convert::expressions(delete.expression_attribute_names, delete.expression_attribute_values),
                item_on_failure: convert::item_on_failure(delete.return_values_on_condition_check_failure),
                ..domain::DeleteItem::default()
            };
            Some(("dynamodb:DeleteItem", delete.table_name, TransactWrite::Delete(write)))
        }
        TransactWriteItem { condition_check: Some(check), put: None, delete: None, update: None } => {
            let write = domain::DeleteItem {
                table: check.table_name.clone(),
                key: check.key,
                condition: plain(Some(check.condition_expression)),
                expressions: convert::expressions(check.expression_attribute_names, check.expression_attribute_values),
                item_on_failure: convert::item_on_failure(check.return_values_on_condition_check_failure),
                ..domain::DeleteItem::default()
            };
            Some(("dynamodb:ConditionCheckItem", check.table_name, TransactWrite::Check(write)))
        }
        TransactWriteItem { update: Some(update), put: None, delete: None, condition_check: None } => {
            let write = domain::UpdateItem {
                table: update.table_name.clone(),
                key: update.key,
                update: Some(update.update_expression),
                condition: plain(update.condition_expression),
                expressions: convert::expressions(update.expression_attribute_names, update.expression_attribute_values),
                item_on_failure: convert::item_on_failure(update.return_values_on_condition_check_failure),
                ..domain::UpdateItem::default()
            };
            Some(("dynamodb:UpdateItem", update.table_name, TransactWrite::Update(write)))
        }
        _ => None,
    }
}

fn plain(expression: Option<String>) -> domain::Condition {
    domain::Condition { expression, ..domain::Condition::default() }
}

pub(super) async fn transact_write_items(
    state: State,
    context: Context,
    input: TransactWriteItemsInput,
) -> Answer<TransactWriteItemsOutput> {
    let report = convert::report(input.return_consumed_capacity);
    let mut actions = Vec::with_capacity(input.transact_items.len());
    for item in input.transact_items {
        let Some((needed, table, action)) = action(item) else {
            let text = "TransactItems can only contain one of Check, Put, Update or Delete";
            return Err(WireError::sender(StatusCode::BAD_REQUEST, "ValidationException", text));
        };
        state.allow(&context, needed, &table)?;
        actions.push(action);
    }
    let collections = convert::collections(input.return_item_collection_metrics);
    let done = state.dynamodb.transact_write(actions, input.client_request_token, report, collections);
    let done = done.await.map_err(refused)?;
    Ok(TransactWriteItemsOutput {
        consumed_capacity: convert::all_consumed(done.consumed, report),
        item_collection_metrics: convert::all_metrics(done.collections),
    })
}
