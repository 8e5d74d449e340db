//! Named queries.

use super::{Answer, refused};
use crate::router::{Context, Router};
use millpond_services::athena::{Athena, AthenaError, NamedQuery as Found, NewNamedQuery};
use millpond_wire::athena::*;

pub(super) fn register(router: &mut Router, athena: &Athena) {
    router
        .service(athena.clone())
        .on(CreateNamedQuery, create_named_query)
        .on(GetNamedQuery, get_named_query)
        .on(BatchGetNamedQuery, batch_get_named_query)
        .on(ListNamedQueries, list_named_queries)
        .on(UpdateNamedQuery, update_named_query)
        .on(DeleteNamedQuery, delete_named_query);
}

async fn create_named_query(athena: Athena, _: Context, input: CreateNamedQueryInput) -> Answer<CreateNamedQueryOutput> {
    let new = NewNamedQuery {
        name: input.name,
        description: input.description,
        database: input.database,
        query: input.query_string,
        workgroup: input.work_group,
        token: input.client_request_token,
    };
    let id = athena.create_named_query(new).await.map_err(refused)?;
    Ok(CreateNamedQueryOutput { named_query_id: Some(id) })
}

fn named_query(found: Found) -> NamedQuery {
    NamedQuery {
        name: found.name,
        description: found.description,
        database: found.database,
        query_string: found.query,
        named_query_id: Some(found.id),
        work_group: Some(found.workgroup),
    }
}

async fn get_named_query(athena: Athena, _: Context, input: GetNamedQueryInput) -> Answer<GetNamedQueryOutput> {
    let found = athena.named_query(&input.named_query_id).await.map_err(refused)?;
    Ok(GetNamedQueryOutput { named_query: Some(named_query(found)) })
}

async fn batch_get_named_query(athena: Athena, _: Context, input: BatchGetNamedQueryInput) -> Answer<BatchGetNamedQueryOutput> {
    let (mut named_queries, mut unprocessed) = (Vec::new(), Vec::new());
    for id in input.named_query_ids {
        match athena.named_query(&id).await {
            Ok(found) => named_queries.push(named_query(found)),
            Err(AthenaError::InvalidRequest { message, code }) => unprocessed.push(UnprocessedNamedQueryId {
                named_query_id: Some(id),
                error_code: Some(code.to_owned()),
                error_message: Some(message),
            }),
            Err(error) => return Err(refused(error)),
        }
    }
    Ok(BatchGetNamedQueryOutput { named_queries: Some(named_queries), unprocessed_named_query_ids: Some(unprocessed) })
}

async fn list_named_queries(athena: Athena, _: Context, input: ListNamedQueriesInput) -> Answer<ListNamedQueriesOutput> {
    let page = athena.named_queries(input.work_group, input.next_token, input.max_results).await.map_err(refused)?;
    Ok(ListNamedQueriesOutput { named_query_ids: Some(page.items), next_token: page.next })
}

async fn update_named_query(athena: Athena, _: Context, input: UpdateNamedQueryInput) -> Answer<UpdateNamedQueryOutput> {
    let UpdateNamedQueryInput { named_query_id, name, description, query_string, .. } = input;
    athena.update_named_query(named_query_id, name, description, query_string).await.map_err(refused)?;
    Ok(UpdateNamedQueryOutput {})
}

async fn delete_named_query(athena: Athena, _: Context, input: DeleteNamedQueryInput) -> Answer<DeleteNamedQueryOutput> {
    athena.delete_named_query(input.named_query_id).await.map_err(refused)?;
    Ok(DeleteNamedQueryOutput {})
}
