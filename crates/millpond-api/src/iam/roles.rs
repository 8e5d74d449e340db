use super::{Answer, boundary, encoded, paged, pairs, refused, timestamp, window, wire_tags};
use crate::router::{Context, Router};
use millpond_services::iam::{Iam, NewRole, Owner, RoleDetail};
use millpond_wire::iam::*;

pub(super) fn register(router: &mut Router, iam: &Iam) {
    router
        .service(iam.clone())
        .on(CreateRole, create_role)
        .on(GetRole, get_role)
        .on(ListRoles, list_roles)
        .on(UpdateRole, update_role)
        .on(DeleteRole, delete_role)
        .on(UpdateAssumeRolePolicy, update_assume_role_policy)
        .on(UpdateRoleDescription, update_role_description)
        .on(PutRolePolicy, put_role_policy)
        .on(GetRolePolicy, get_role_policy)
        .on(ListRolePolicies, list_role_policies)
        .on(DeleteRolePolicy, delete_role_policy)
        .on(AttachRolePolicy, attach_role_policy)
        .on(DetachRolePolicy, detach_role_policy)
        .on(ListAttachedRolePolicies, list_attached_role_policies)
        .on(TagRole, tag_role)
        .on(UntagRole, untag_role)
        .on(ListRoleTags, list_role_tags)
        .on(PutRolePermissionsBoundary, put_role_permissions_boundary)
        .on(DeleteRolePermissionsBoundary, delete_role_permissions_boundary)
        .on(CreateServiceLinkedRole, create_service_linked_role)
        .on(DeleteServiceLinkedRole, delete_service_linked_role)
        .on(GetServiceLinkedRoleDeletionStatus, get_deletion_status);
}

/// As `GetRole` and `CreateRole` answer it.
pub(super) fn full(detail: RoleDetail) -> Role {
    let RoleDetail { role, arn, tags } = detail;
    Role {
        path: role.path,
        role_name: role.name,
        role_id: role.id,
        arn,
        create_date: timestamp(role.created_ms),
        assume_role_policy_document: Some(encoded(&role.trust)),
        description: role.description,
        max_session_duration: Some(role.session_seconds_max as i32),
        permissions_boundary: boundary(role.boundary),
        tags: (!tags.is_empty()).then(|| wire_tags(tags)),
        role_last_used: None,
        source_role_template: None,
    }
}

/// Listings answer neither the boundary nor tags ("ListRoles").
pub(super) fn listed(detail: RoleDetail) -> Role {
    Role { permissions_boundary: None, tags: None, ..full(detail) }
}

async fn create_role(iam: Iam, _: Context, input: CreateRoleInput) -> Answer<CreateRoleOutput> {
    let new = NewRole {
        path: input.path,
        name: input.role_name,
        trust: input.assume_role_policy_document,
        description: input.description,
        session_seconds_max: input.max_session_duration.map(i64::from),
        boundary: input.permissions_boundary,
        tags: pairs(input.tags),
    };
    Ok(CreateRoleOutput { role: full(iam.create_role(new).await.map_err(refused)?) })
}

async fn get_role(iam: Iam, _: Context, input: GetRoleInput) -> Answer<GetRoleOutput> {
    Ok(GetRoleOutput { role: full(iam.role(input.role_name).await.map_err(refused)?) })
}

async fn list_roles(iam: Iam, _: Context, input: ListRolesInput) -> Answer<ListRolesOutput> {
    let page = iam.roles(input.path_prefix, window(input.marker, input.max_items)).await.map_err(refused)?;
    let (roles, is_truncated, marker) = paged(page, listed);
    Ok(ListRolesOutput { roles, is_truncated, marker })
}

async fn update_role(iam: Iam, _: Context, input: UpdateRoleInput) -> Answer<UpdateRoleOutput> {
    let seconds = input.max_session_duration.map(i64::from);
    iam.update_role(input.role_name, input.description, seconds).await.map_err(refused)?;
    Ok(UpdateRoleOutput {})
}

async fn delete_role(iam: Iam, _: Context, input: DeleteRoleInput) -> Answer<DeleteRoleOutput> {
    iam.delete_role(input.role_name).await.map_err(refused)?;
    Ok(DeleteRoleOutput {})
}

async fn update_assume_role_policy(
    iam: Iam,
    _: Context,
    input: UpdateAssumeRolePolicyInput,
) -> Answer<UpdateAssumeRolePolicyOutput> {
    iam.update_trust(input.role_name, input.policy_document).await.map_err(refused)?;
    Ok(UpdateAssumeRolePolicyOutput {})
}

async fn update_role_description(iam: Iam, _: Context, input: UpdateRoleDescriptionInput) -> Answer<UpdateRoleDescriptionOutput> {
    let role = iam.update_role_description(input.role_name, input.description).await.map_err(refused)?;
    Ok(UpdateRoleDescriptionOutput { role: Some(full(role)) })
}

async fn put_role_policy(iam: Iam, _: Context, input: PutRolePolicyInput) -> Answer<PutRolePolicyOutput> {
    iam.put_role_policy(input.role_name, input.policy_name, input.policy_document).await.map_err(refused)?;
    Ok(PutRolePolicyOutput {})
}

async fn get_role_policy(iam: Iam, _: Context, input: GetRolePolicyInput) -> Answer<GetRolePolicyOutput> {
    let (role_name, policy_name) = (input.role_name, input.policy_name);
    let document = iam.role_policy(role_name.clone(), policy_name.clone()).await.map_err(refused)?;
    Ok(GetRolePolicyOutput { role_name, policy_name, policy_document: encoded(&document) })
}

async fn list_role_policies(iam: Iam, _: Context, input: ListRolePoliciesInput) -> Answer<ListRolePoliciesOutput> {
    let page = iam.role_policies(input.role_name, window(input.marker, input.max_items)).await.map_err(refused)?;
    let (policy_names, is_truncated, marker) = paged(page, |name| name);
    Ok(ListRolePoliciesOutput { policy_names, is_truncated, marker })
}

async fn delete_role_policy(iam: Iam, _: Context, input: DeleteRolePolicyInput) -> Answer<DeleteRolePolicyOutput> {
    iam.delete_role_policy(input.role_name, input.policy_name).await.map_err(refused)?;
    Ok(DeleteRolePolicyOutput {})
}

async fn attach_role_policy(iam: Iam, _: Context, input: AttachRolePolicyInput) -> Answer<AttachRolePolicyOutput> {
    iam.attach(input.role_name, input.policy_arn).await.map_err(refused)?;
    Ok(AttachRolePolicyOutput {})
}

async fn detach_role_policy(iam: Iam, _: Context, input: DetachRolePolicyInput) -> Answer<DetachRolePolicyOutput> {
    iam.detach(input.role_name, input.policy_arn).await.map_err(refused)?;
    Ok(DetachRolePolicyOutput {})
}

async fn list_attached_role_policies(
    iam: Iam,
    _: Context,
    input: ListAttachedRolePoliciesInput,
) -> Answer<ListAttachedRolePoliciesOutput> {
    let window = window(input.marker, input.max_items);
    let page = iam.attached(input.role_name, input.path_prefix, window).await.map_err(refused)?;
    let (policies, is_truncated, marker) =
        paged(page, |(name, arn)| AttachedPolicy { policy_name: Some(name), policy_arn: Some(arn) });
    Ok(ListAttachedRolePoliciesOutput { attached_policies: Some(policies), is_truncated, marker })
}

async fn tag_role(iam: Iam, _: Context, input: TagRoleInput) -> Answer<TagRoleOutput> {
    iam.tag(Owner::Role(input.role_name), pairs(Some(input.tags))).await.map_err(refused)?;
    Ok(TagRoleOutput {})
}

async fn untag_role(iam: Iam, _: Context, input: UntagRoleInput) -> Answer<UntagRoleOutput> {
    iam.untag(Owner::Role(input.role_name), input.tag_keys).await.map_err(refused)?;
    Ok(UntagRoleOutput {})
}

async fn list_role_tags(iam: Iam, _: Context, input: ListRoleTagsInput) -> Answer<ListRoleTagsOutput> {
    let page = iam.tags(Owner::Role(input.role_name), window(input.marker, input.max_items)).await.map_err(refused)?;
    let (tags, is_truncated, marker) = paged(page, |(key, value)| Tag { key, value });
    Ok(ListRoleTagsOutput { tags, is_truncated, marker })
}

async fn put_role_permissions_boundary(
    iam: Iam,
    _: Context,
    input: PutRolePermissionsBoundaryInput,
) -> Answer<PutRolePermissionsBoundaryOutput> {
    iam.set_boundary(input.role_name, Some(input.permissions_boundary)).await.map_err(refused)?;
    Ok(PutRolePermissionsBoundaryOutput {})
}

async fn delete_role_permissions_boundary(
    iam: Iam,
    _: Context,
    input: DeleteRolePermissionsBoundaryInput,
) -> Answer<DeleteRolePermissionsBoundaryOutput> {
    iam.set_boundary(input.role_name, None).await.map_err(refused)?;
    Ok(DeleteRolePermissionsBoundaryOutput {})
}

async fn create_service_linked_role(
    iam: Iam,
    _: Context,
    input: CreateServiceLinkedRoleInput,
) -> Answer<CreateServiceLinkedRoleOutput> {
    let role = iam.create_service_linked_role(input.aws_service_name, input.description, input.custom_suffix);
    Ok(CreateServiceLinkedRoleOutput { role: Some(full(role.await.map_err(refused)?)) })
}

async fn delete_service_linked_role(
    iam: Iam,
    _: Context,
    input: DeleteServiceLinkedRoleInput,
) -> Answer<DeleteServiceLinkedRoleOutput> {
    let deletion_task_id = iam.delete_service_linked_role(input.role_name).await.map_err(refused)?;
    Ok(DeleteServiceLinkedRoleOutput { deletion_task_id })
}

async fn get_deletion_status(
    iam: Iam,
    _: Context,
    input: GetServiceLinkedRoleDeletionStatusInput,
) -> Answer<GetServiceLinkedRoleDeletionStatusOutput> {
    iam.deletion_status(input.deletion_task_id).await.map_err(refused)?;
    Ok(GetServiceLinkedRoleDeletionStatusOutput { status: DeletionTaskStatusType::Succeeded, reason: None })
}
