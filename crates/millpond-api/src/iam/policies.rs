use super::{Answer, encoded, paged, pairs, refused, timestamp, window, wire_tags};
use crate::router::{Context, Router};
use millpond_services::iam::{self, Iam, NewPolicy, Owner, Scope, Usage};
use millpond_wire::iam::*;

pub(super) fn register(router: &mut Router, iam: &Iam) {
    router
        .service(iam.clone())
        .on(CreatePolicy, create_policy)
        .on(GetPolicy, get_policy)
        .on(ListPolicies, list_policies)
        .on(DeletePolicy, delete_policy)
        .on(CreatePolicyVersion, create_policy_version)
        .on(GetPolicyVersion, get_policy_version)
        .on(ListPolicyVersions, list_policy_versions)
        .on(DeletePolicyVersion, delete_policy_version)
        .on(SetDefaultPolicyVersion, set_default_policy_version)
        .on(ListEntitiesForPolicy, list_entities_for_policy)
        .on(TagPolicy, tag_policy)
        .on(UntagPolicy, untag_policy)
        .on(ListPolicyTags, list_policy_tags);
}

fn full(policy: iam::Policy) -> Policy {
    Policy {
        policy_name: Some(policy.name),
        policy_id: Some(policy.id),
        arn: Some(policy.arn),
        path: Some(policy.path),
        default_version_id: Some(format!("v{}", policy.default_version)),
        attachment_count: Some(policy.attachments as i32),
        permissions_boundary_usage_count: Some(policy.boundaries as i32),
        is_attachable: Some(true),
        description: policy.description,
        create_date: Some(timestamp(policy.created_ms)),
        update_date: Some(timestamp(policy.updated_ms)),
        tags: (!policy.tags.is_empty()).then(|| wire_tags(policy.tags)),
    }
}

/// Listings answer neither the description nor tags ("ListPolicies").
fn listed(policy: iam::Policy) -> Policy {
    Policy { description: None, tags: None, ..full(policy) }
}

/// Only `GetPolicyVersion` answers the document.
fn version(version: iam::PolicyVersion) -> PolicyVersion {
    PolicyVersion {
        document: None,
        version_id: Some(format!("v{}", version.version)),
        is_default_version: Some(version.is_default),
        create_date: Some(timestamp(version.created_ms)),
    }
}

fn usage(filter: Option<PolicyUsageType>) -> Option<Usage> {
    filter.map(|filter| match filter {
        PolicyUsageType::PermissionsPolicy => Usage::Permissions,
        PolicyUsageType::PermissionsBoundary => Usage::Boundary,
    })
}

async fn create_policy(iam: Iam, _: Context, input: CreatePolicyInput) -> Answer<CreatePolicyOutput> {
    let new = NewPolicy {
        path: input.path,
        name: input.policy_name,
        document: input.policy_document,
        description: input.description,
        tags: pairs(input.tags),
    };
    Ok(CreatePolicyOutput { policy: Some(full(iam.create_policy(new).await.map_err(refused)?)) })
}

async fn get_policy(iam: Iam, _: Context, input: GetPolicyInput) -> Answer<GetPolicyOutput> {
    Ok(GetPolicyOutput { policy: Some(full(iam.policy(input.policy_arn).await.map_err(refused)?)) })
}

async fn list_policies(iam: Iam, _: Context, input: ListPoliciesInput) -> Answer<ListPoliciesOutput> {
    let scope = match input.scope {
        None | Some(PolicyScopeType::All) => Scope::All,
        Some(PolicyScopeType::Aws) => Scope::Aws,
        Some(PolicyScopeType::Local) => Scope::Local,
    };
    let only_attached = input.only_attached.unwrap_or(false);
    let (usage, window) = (usage(input.policy_usage_filter), window(input.marker, input.max_items));
    let page = iam.policies(scope, only_attached, input.path_prefix, usage, window).await.map_err(refused)?;
    let (policies, is_truncated, marker) = paged(page, listed);
    Ok(ListPoliciesOutput { policies: Some(policies), is_truncated, marker })
}

async fn delete_policy(iam: Iam, _: Context, input: DeletePolicyInput) -> Answer<DeletePolicyOutput> {
    iam.delete_policy(input.policy_arn).await.map_err(refused)?;
    Ok(DeletePolicyOutput {})
}

async fn create_policy_version(iam: Iam, _: Context, input: CreatePolicyVersionInput) -> Answer<CreatePolicyVersionOutput> {
    let set_default = input.set_as_default.unwrap_or(false);
    let created = iam.create_policy_version(input.policy_arn, input.policy_document, set_default).await.map_err(refused)?;
    Ok(CreatePolicyVersionOutput { policy_version: Some(version(created)) })
}

async fn get_policy_version(iam: Iam, _: Context, input: GetPolicyVersionInput) -> Answer<GetPolicyVersionOutput> {
    let found = iam.policy_version(input.policy_arn, input.version_id).await.map_err(refused)?;
    let document = Some(encoded(&found.document));
    Ok(GetPolicyVersionOutput { policy_version: Some(PolicyVersion { document, ..version(found) }) })
}

async fn list_policy_versions(iam: Iam, _: Context, input: ListPolicyVersionsInput) -> Answer<ListPolicyVersionsOutput> {
    let page = iam.policy_versions(input.policy_arn, window(input.marker, input.max_items)).await.map_err(refused)?;
    let (versions, is_truncated, marker) = paged(page, version);
    Ok(ListPolicyVersionsOutput { versions: Some(versions), is_truncated, marker })
}

async fn delete_policy_version(iam: Iam, _: Context, input: DeletePolicyVersionInput) -> Answer<DeletePolicyVersionOutput> {
    iam.delete_policy_version(input.policy_arn, input.version_id).await.map_err(refused)?;
    Ok(DeletePolicyVersionOutput {})
}

async fn set_default_policy_version(
    iam: Iam,
    _: Context,
    input: SetDefaultPolicyVersionInput,
) -> Answer<SetDefaultPolicyVersionOutput> {
    iam.set_default_version(input.policy_arn, input.version_id).await.map_err(refused)?;
    Ok(SetDefaultPolicyVersionOutput {})
}

async fn list_entities_for_policy(
    iam: Iam,
    _: Context,
    input: ListEntitiesForPolicyInput,
) -> Answer<ListEntitiesForPolicyOutput> {
    let (usage, window) = (usage(input.policy_usage_filter), window(input.marker, input.max_items));
    let mut page = iam.entities_for_policy(input.policy_arn, input.path_prefix, usage, window).await.map_err(refused)?;
    if input.entity_filter.is_some_and(|filter| filter != EntityType::Role) {
        (page.items, page.next) = (Vec::new(), None); // There are no users and no groups.
    }
    let role = |role: millpond_services::lake::identity::Role| PolicyRole { role_name: Some(role.name), role_id: Some(role.id) };
    let (roles, is_truncated, marker) = paged(page, role);
    Ok(ListEntitiesForPolicyOutput {
        policy_groups: Some(Vec::new()),
        policy_users: Some(Vec::new()),
        policy_roles: Some(roles),
        is_truncated,
        marker,
    })
}

async fn tag_policy(iam: Iam, _: Context, input: TagPolicyInput) -> Answer<TagPolicyOutput> {
    iam.tag(Owner::Policy(input.policy_arn), pairs(Some(input.tags))).await.map_err(refused)?;
    Ok(TagPolicyOutput {})
}

async fn untag_policy(iam: Iam, _: Context, input: UntagPolicyInput) -> Answer<UntagPolicyOutput> {
    iam.untag(Owner::Policy(input.policy_arn), input.tag_keys).await.map_err(refused)?;
    Ok(UntagPolicyOutput {})
}

async fn list_policy_tags(iam: Iam, _: Context, input: ListPolicyTagsInput) -> Answer<ListPolicyTagsOutput> {
    let page = iam.tags(Owner::Policy(input.policy_arn), window(input.marker, input.max_items)).await.map_err(refused)?;
    let (tags, is_truncated, marker) = paged(page, |(key, value)| Tag { key, value });
    Ok(ListPolicyTagsOutput { tags, is_truncated, marker })
}
