use super::{Answer, State, convert, refused};
use crate::router::Context;
use http::StatusCode;
use millpond_services::dynamodb::{self as domain, ClientToken, Condition, TransactWrite, WriteOptions};
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

/// What all actions have: their types are as many. A condition may be absent from all but checks.
macro_rules! options {
    ($action:ident) => {
        WriteOptions {
            condition: Condition { expression: $action.condition_expression.into(), ..Condition::default() },
            expressions: convert::expressions($action.expression_attribute_names, $action.expression_attribute_values),
            item_on_failure: convert::item_on_failure($action.return_values_on_condition_check_failure),
            ..WriteOptions::default()
        }
    };
}

/// An action, with the IAM action that it needs.
fn action(item: TransactWriteItem) -> Option<(&'static str, TransactWrite)> {
    match item {
        TransactWriteItem { put: Some(put), condition_check: None, delete: None, update: None } => {
            let write = domain::PutItem { options: options!(put), table: put.table_name, item: put.item };
            Some(("dynamodb:PutItem", TransactWrite::Put(write)))
        }
        TransactWriteItem { delete: Some(delete), put: None, condition_check: None, update: None } => {
            let write = domain::DeleteItem { options: options!(delete), table: delete.table_name, key: delete.key };
            Some(("dynamodb:DeleteItem", TransactWrite::Delete(write)))
        }
        TransactWriteItem { condition_check: Some(check), put: None, delete: None, update: None } => {
            let write = domain::DeleteItem { options: options!(check), table: check.table_name, key: check.key };
            Some(("dynamodb:ConditionCheckItem", TransactWrite::Check(write)))
        }
        TransactWriteItem { update: Some(update), put: None, delete: None, condition_check: None } => {
            let write = domain::UpdateItem {
                options: options!(update),
                table: update.table_name,
                key: update.key,
                update: Some(update.update_expression),
                updates: None,
            };
            Some(("dynamodb:UpdateItem", TransactWrite::Update(write)))
        }
        _ => None,
    }
}

pub(super) async fn transact_write_items(
    state: State,
    context: Context,
    input: TransactWriteItemsInput,
) -> Answer<TransactWriteItemsOutput> {
    let report = convert::report(input.return_consumed_capacity);
    let token = ClientToken::new(input.client_request_token, || convert::value(&input.transact_items));
    let mut actions = Vec::with_capacity(input.transact_items.len());
    for item in input.transact_items {
        let Some((needed, action)) = action(item) else {
            let text = "TransactItems can only contain one of Check, Put, Update or Delete";
            return Err(WireError::sender(StatusCode::BAD_REQUEST, "ValidationException", text));
        };
        state.allow(&context, needed, action.table())?;
        actions.push(action);
    }
    let collections = convert::collections(input.return_item_collection_metrics);
    let done = state.dynamodb.transact_write(actions, token, report, collections);
    let done = done.await.map_err(refused)?;
    Ok(TransactWriteItemsOutput {
        consumed_capacity: convert::all_consumed(done.consumed, report),
        item_collection_metrics: convert::all_metrics(done.collections),
    })
}
