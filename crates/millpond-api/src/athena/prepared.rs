//! Prepared statements.

use super::{Answer, refused};
use crate::router::{Context, Router};
use millpond_services::athena::{Athena, NewPreparedStatement, PreparedStatement as Found};
use millpond_wire::Timestamp;
use millpond_wire::athena::*;

pub(super) fn register(router: &mut Router, athena: &Athena) {
    router
        .service(athena.clone())
        .on(CreatePreparedStatement, create_prepared_statement)
        .on(GetPreparedStatement, get_prepared_statement)
        .on(BatchGetPreparedStatement, batch_get_prepared_statement)
        .on(ListPreparedStatements, list_prepared_statements)
        .on(UpdatePreparedStatement, update_prepared_statement)
        .on(DeletePreparedStatement, delete_prepared_statement);
}

async fn create_prepared_statement(
    athena: Athena,
    _: Context,
    input: CreatePreparedStatementInput,
) -> Answer<CreatePreparedStatementOutput> {
    let new = NewPreparedStatement {
        workgroup: input.work_group,
        name: input.statement_name,
        query: input.query_statement,
        description: input.description,
    };
    athena.create_prepared_statement(new).await.map_err(refused)?;
    Ok(CreatePreparedStatementOutput {})
}

async fn update_prepared_statement(
    athena: Athena,
    _: Context,
    input: UpdatePreparedStatementInput,
) -> Answer<UpdatePreparedStatementOutput> {
    let new = NewPreparedStatement {
        workgroup: input.work_group,
        name: input.statement_name,
        query: input.query_statement,
        description: input.description,
    };
    athena.update_prepared_statement(new).await.map_err(refused)?;
    Ok(UpdatePreparedStatementOutput {})
}

fn prepared_statement(found: Found) -> PreparedStatement {
    PreparedStatement {
        statement_name: Some(found.name),
        query_statement: Some(found.query),
        work_group_name: Some(found.workgroup),
        description: found.description,
        last_modified_time: Some(Timestamp::from_ms(found.modified_ms)),
    }
}

async fn get_prepared_statement(
    athena: Athena,
    _: Context,
    input: GetPreparedStatementInput,
) -> Answer<GetPreparedStatementOutput> {
    let found = athena.prepared_statement(input.work_group, input.statement_name).await.map_err(refused)?;
    Ok(GetPreparedStatementOutput { prepared_statement: Some(prepared_statement(found)) })
}

async fn batch_get_prepared_statement(
    athena: Athena,
    _: Context,
    input: BatchGetPreparedStatementInput,
) -> Answer<BatchGetPreparedStatementOutput> {
    let workgroup = input.work_group.clone();
    let (found, missing) = athena.prepared_statements(input.work_group, input.prepared_statement_names).await.map_err(refused)?;
    let unprocessed = missing.into_iter().map(|name| UnprocessedPreparedStatementName {
        error_message: Some(format!("PreparedStatement {name} was not found in workGroup {workgroup}")),
        statement_name: Some(name),
        error_code: Some("STATEMENT_NOT_FOUND".into()),
    });
    Ok(BatchGetPreparedStatementOutput {
        unprocessed_prepared_statement_names: Some(unprocessed.collect()),
        prepared_statements: Some(found.into_iter().map(prepared_statement).collect()),
    })
}

async fn list_prepared_statements(
    athena: Athena,
    _: Context,
    input: ListPreparedStatementsInput,
) -> Answer<ListPreparedStatementsOutput> {
    let page = athena.list_prepared_statements(input.work_group, input.next_token, input.max_results).await.map_err(refused)?;
    let summary = |found: Found| PreparedStatementSummary {
        statement_name: Some(found.name),
        last_modified_time: Some(Timestamp::from_ms(found.modified_ms)),
    };
    Ok(ListPreparedStatementsOutput {
        prepared_statements: Some(page.items.into_iter().map(summary).collect()),
        next_token: page.next,
    })
}

async fn delete_prepared_statement(
    athena: Athena,
    _: Context,
    input: DeletePreparedStatementInput,
) -> Answer<DeletePreparedStatementOutput> {
    athena.delete_prepared_statement(input.work_group, input.statement_name).await.map_err(refused)?;
    Ok(DeletePreparedStatementOutput {})
}
