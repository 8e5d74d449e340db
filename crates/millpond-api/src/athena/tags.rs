//! Tags of workgroups and data catalogs.

use super::{Answer, refused};
use crate::router::{Context, Router};
use millpond_services::athena::Athena;
use millpond_wire::athena::*;

pub(super) fn register(router: &mut Router, athena: &Athena) {
    router
        .service(athena.clone())
        .on(TagResource, tag_resource)
        .on(UntagResource, untag_resource)
        .on(ListTagsForResource, list_tags_for_resource);
}

pub(super) fn tags(given: Vec<Tag>) -> Vec<(String, String)> {
    given.into_iter().map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect()
}

async fn tag_resource(athena: Athena, _: Context, input: TagResourceInput) -> Answer<TagResourceOutput> {
    athena.tag(&input.resource_arn, tags(input.tags)).await.map_err(refused)?;
    Ok(TagResourceOutput {})
}

async fn untag_resource(athena: Athena, _: Context, input: UntagResourceInput) -> Answer<UntagResourceOutput> {
    athena.untag(&input.resource_arn, input.tag_keys).await.map_err(refused)?;
    Ok(UntagResourceOutput {})
}

async fn list_tags_for_resource(
    athena: Athena,
    _: Context,
    input: ListTagsForResourceInput,
) -> Answer<ListTagsForResourceOutput> {
    let found = athena.tags(&input.resource_arn).await.map_err(refused)?;
    let tags = found.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect();
    Ok(ListTagsForResourceOutput { tags: Some(tags), next_token: None })
}
