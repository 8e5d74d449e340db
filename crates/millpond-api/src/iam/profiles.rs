use super::{Answer, paged, pairs, refused, roles, timestamp, window, wire_tags};
use crate::router::{Context, Router};
use millpond_services::iam::{self, Iam, Owner};
use millpond_wire::iam::*;

pub(super) fn register(router: &mut Router, iam: &Iam) {
    router
        .service(iam.clone())
        .on(CreateInstanceProfile, create)
        .on(GetInstanceProfile, get)
        .on(ListInstanceProfiles, list)
        .on(ListInstanceProfilesForRole, list_for_role)
        .on(DeleteInstanceProfile, delete)
        .on(AddRoleToInstanceProfile, add_role)
        .on(RemoveRoleFromInstanceProfile, remove_role)
        .on(TagInstanceProfile, tag)
        .on(UntagInstanceProfile, untag)
        .on(ListInstanceProfileTags, list_tags);
}

fn full(profile: iam::InstanceProfile) -> InstanceProfile {
    InstanceProfile {
        path: profile.path,
        instance_profile_name: profile.name,
        instance_profile_id: profile.id,
        arn: profile.arn,
        create_date: timestamp(profile.created_ms),
        roles: profile.role.into_iter().map(roles::listed).collect(),
        tags: (!profile.tags.is_empty()).then(|| wire_tags(profile.tags)),
    }
}

async fn create(iam: Iam, _: Context, input: CreateInstanceProfileInput) -> Answer<CreateInstanceProfileOutput> {
    let made = iam.create_instance_profile(input.instance_profile_name, input.path, pairs(input.tags)).await;
    Ok(CreateInstanceProfileOutput { instance_profile: full(made.map_err(refused)?) })
}

async fn get(iam: Iam, _: Context, input: GetInstanceProfileInput) -> Answer<GetInstanceProfileOutput> {
    let found = iam.instance_profile(input.instance_profile_name).await.map_err(refused)?;
    Ok(GetInstanceProfileOutput { instance_profile: full(found) })
}

async fn list(iam: Iam, _: Context, input: ListInstanceProfilesInput) -> Answer<ListInstanceProfilesOutput> {
    let window = window(input.marker, input.max_items);
    let page = iam.instance_profiles(input.path_prefix, None, window).await.map_err(refused)?;
    let (instance_profiles, is_truncated, marker) = paged(page, full);
    Ok(ListInstanceProfilesOutput { instance_profiles, is_truncated, marker })
}

async fn list_for_role(
    iam: Iam,
    _: Context,
    input: ListInstanceProfilesForRoleInput,
) -> Answer<ListInstanceProfilesForRoleOutput> {
    let window = window(input.marker, input.max_items);
    let page = iam.instance_profiles(None, Some(input.role_name), window).await.map_err(refused)?;
    let (instance_profiles, is_truncated, marker) = paged(page, full);
    Ok(ListInstanceProfilesForRoleOutput { instance_profiles, is_truncated, marker })
}

async fn delete(iam: Iam, _: Context, input: DeleteInstanceProfileInput) -> Answer<DeleteInstanceProfileOutput> {
    iam.delete_instance_profile(input.instance_profile_name).await.map_err(refused)?;
    Ok(DeleteInstanceProfileOutput {})
}

async fn add_role(iam: Iam, _: Context, input: AddRoleToInstanceProfileInput) -> Answer<AddRoleToInstanceProfileOutput> {
    iam.add_role_to_instance_profile(input.instance_profile_name, input.role_name).await.map_err(refused)?;
    Ok(AddRoleToInstanceProfileOutput {})
}

async fn remove_role(
    iam: Iam,
    _: Context,
    input: RemoveRoleFromInstanceProfileInput,
) -> Answer<RemoveRoleFromInstanceProfileOutput> {
    iam.remove_role_from_instance_profile(input.instance_profile_name, input.role_name).await.map_err(refused)?;
    Ok(RemoveRoleFromInstanceProfileOutput {})
}

async fn tag(iam: Iam, _: Context, input: TagInstanceProfileInput) -> Answer<TagInstanceProfileOutput> {
    iam.tag(Owner::InstanceProfile(input.instance_profile_name), pairs(Some(input.tags))).await.map_err(refused)?;
    Ok(TagInstanceProfileOutput {})
}

async fn untag(iam: Iam, _: Context, input: UntagInstanceProfileInput) -> Answer<UntagInstanceProfileOutput> {
    iam.untag(Owner::InstanceProfile(input.instance_profile_name), input.tag_keys).await.map_err(refused)?;
    Ok(UntagInstanceProfileOutput {})
}

async fn list_tags(iam: Iam, _: Context, input: ListInstanceProfileTagsInput) -> Answer<ListInstanceProfileTagsOutput> {
    let owner = Owner::InstanceProfile(input.instance_profile_name);
    let page = iam.tags(owner, window(input.marker, input.max_items)).await.map_err(refused)?;
    let (tags, is_truncated, marker) = paged(page, |(key, value)| Tag { key, value });
    Ok(ListInstanceProfileTagsOutput { tags, is_truncated, marker })
}
