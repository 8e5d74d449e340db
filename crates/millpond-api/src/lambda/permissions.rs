use super::{Answer, refused};
use crate::router::Context;
use millpond_services::lambda::{Lambda, NewPermission};
use millpond_wire::lambda::*;

pub(super) async fn add_permission(lambda: Lambda, _: Context, input: AddPermissionInput) -> Answer<AddPermissionOutput> {
    let new = NewPermission {
        function: input.function_name,
        qualifier: input.qualifier,
        statement_id: input.statement_id,
        action: input.action,
        principal: input.principal,
        source_arn: input.source_arn,
        source_account: input.source_account,
        event_source_token: input.event_source_token,
        principal_org_id: input.principal_org_id,
        function_url_auth_type: input.function_url_auth_type.map(|kind| kind.as_str().to_owned()),
        invoked_via_function_url: input.invoked_via_function_url,
        revision: input.revision_id,
    };
    let statement = lambda.add_permission(new).await.map_err(refused)?;
    Ok(AddPermissionOutput { statement: Some(statement.to_string()) })
}

pub(super) async fn remove_permission(
    lambda: Lambda,
    _: Context,
    input: RemovePermissionInput,
) -> Answer<RemovePermissionOutput> {
    let qualifier = input.qualifier.as_deref();
    lambda.remove_permission(&input.function_name, qualifier, &input.statement_id, input.revision_id).await.map_err(refused)?;
    Ok(RemovePermissionOutput {})
}

pub(super) async fn get_policy(lambda: Lambda, _: Context, input: GetPolicyInput) -> Answer<GetPolicyOutput> {
    let (policy, revision) = lambda.get_policy(&input.function_name, input.qualifier.as_deref()).await.map_err(refused)?;
    Ok(GetPolicyOutput { policy: Some(policy.to_string()), revision_id: Some(revision) })
}
