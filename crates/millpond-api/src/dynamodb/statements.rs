use super::error::refused;
use super::{Answer, State, convert};
use crate::router::Context;
use millpond_services::dynamodb::{BatchStatement, ClientToken, DynamoError, Report, StatementRequest, TransactStatements};
use millpond_wire::dynamodb::*;

/// Reads a statement and asks whether the caller may.
fn parse(state: &State, context: &Context, request: StatementRequest) -> Answer<BatchStatement> {
    let statement = BatchStatement::parse(request).map_err(refused)?;
    state.allow(context, statement.action(), statement.table())?;
    Ok(statement)
}

pub(super) async fn execute_statement(
    state: State,
    context: Context,
    input: ExecuteStatementInput,
) -> Answer<ExecuteStatementOutput> {
    let report = convert::report(input.return_consumed_capacity);
    let request = StatementRequest {
        statement: input.statement,
        parameters: input.parameters.unwrap_or_default(),
        consistent: input.consistent_read.unwrap_or_default(),
        limit: convert::limit(input.limit),
        next: input.next_token,
        item_on_failure: convert::item_on_failure(input.return_values_on_condition_check_failure),
        report,
    };
    let statement = parse(&state, &context, request)?;
    let answer = state.dynamodb.execute(statement).await.map_err(refused)?;
    Ok(ExecuteStatementOutput {
        items: Some(answer.items),
        next_token: answer.next,
        consumed_capacity: answer.consumed.map(|consumed| convert::consumed(consumed, report)),
        last_evaluated_key: answer.last,
    })
}

/// Why a statement of a batch failed, as its response says it.
fn failure(error: DynamoError) -> BatchStatementError {
    use BatchStatementErrorCodeEnum as Code;
    let text = error.to_string();
    let (code, item) = match error {
        DynamoError::ConditionFailed(item) => (Code::ConditionalCheckFailed, item),
        DynamoError::Duplicate => (Code::DuplicateItem, None),
        DynamoError::NotFound | DynamoError::NoSuchTable(_) => (Code::ResourceNotFound, None),
        DynamoError::Items(_) | DynamoError::Store(_) => {
            let told = refused(error);
            return BatchStatementError { code: Some(Code::InternalServerError), message: Some(told.message), item: None };
        }
        _ => (Code::ValidationError, None),
    };
    BatchStatementError { code: Some(code), message: Some(text), item }
}

pub(super) async fn batch_execute_statement(
    state: State,
    context: Context,
    input: BatchExecuteStatementInput,
) -> Answer<BatchExecuteStatementOutput> {
    let report = convert::report(input.return_consumed_capacity);
    let mut statements = Vec::with_capacity(input.statements.len());
    for one in input.statements {
        let request = StatementRequest {
            statement: one.statement,
            parameters: one.parameters.unwrap_or_default(),
            consistent: one.consistent_read.unwrap_or_default(),
            item_on_failure: convert::item_on_failure(one.return_values_on_condition_check_failure),
            report,
            ..StatementRequest::default()
        };
        statements.push(parse(&state, &context, request)?);
    }
    let mut consumed = Vec::new();
    let mut responses = Vec::new();
    for (table, answer) in state.dynamodb.execute_batch(statements).await.map_err(refused)? {
        let table_name = Some(table);
        responses.push(match answer {
            Ok(answer) => {
                consumed.extend(answer.consumed);
                BatchStatementResponse { item: answer.items.into_iter().next(), table_name, error: None }
            }
            Err(error) => BatchStatementResponse { error: Some(failure(error)), table_name, item: None },
        });
    }
    let consumed_capacity = convert::all_consumed(consumed, report).filter(|_| report != Report::None);
    Ok(BatchExecuteStatementOutput { responses: Some(responses), consumed_capacity })
}

pub(super) async fn execute_transaction(
    state: State,
    context: Context,
    input: ExecuteTransactionInput,
) -> Answer<ExecuteTransactionOutput> {
    let report = convert::report(input.return_consumed_capacity);
    let token = ClientToken::new(input.client_request_token, || convert::value(&input.transact_statements));
    let mut statements = Vec::with_capacity(input.transact_statements.len());
    for one in input.transact_statements {
        let request = StatementRequest {
            statement: one.statement,
            parameters: one.parameters.unwrap_or_default(),
            item_on_failure: convert::item_on_failure(one.return_values_on_condition_check_failure),
            ..StatementRequest::default()
        };
        statements.push(parse(&state, &context, request)?);
    }
    let transaction = TransactStatements { statements, token, report };
    let (items, consumed) = state.dynamodb.execute_transaction(transaction).await.map_err(refused)?;
    Ok(ExecuteTransactionOutput {
        responses: Some(items.into_iter().map(|item| ItemResponse { item }).collect()),
        consumed_capacity: convert::all_consumed(consumed, report),
    })
}
