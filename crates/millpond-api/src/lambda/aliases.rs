use super::{Answer, number, refused};
use crate::router::Context;
use millpond_services::lambda::{Alias, AliasChange, Lambda};
use millpond_wire::lambda::*;
use std::collections::BTreeMap;

fn shown(alias: Alias) -> AliasConfiguration {
    let routing = alias.other.map(|(version, weight)| AliasRoutingConfiguration {
        additional_version_weights: Some(BTreeMap::from([(version, weight)])),
    });
    AliasConfiguration {
        alias_arn: Some(alias.arn),
        name: Some(alias.name),
        function_version: Some(alias.version),
        description: Some(alias.description),
        routing_config: routing,
        revision_id: Some(alias.revision),
    }
}

fn weights(routing: Option<AliasRoutingConfiguration>) -> Option<BTreeMap<String, f64>> {
    routing.map(|routing| routing.additional_version_weights.unwrap_or_default())
}

pub(super) async fn create_alias(lambda: Lambda, _: Context, input: CreateAliasInput) -> Answer<CreateAliasOutput> {
    let change = AliasChange {
        version: Some(input.function_version),
        description: input.description,
        weights: weights(input.routing_config),
        revision: None,
    };
    lambda.create_alias(&input.function_name, input.name, change).await.map(shown).map_err(refused)
}

pub(super) async fn get_alias(lambda: Lambda, _: Context, input: GetAliasInput) -> Answer<GetAliasOutput> {
    lambda.get_alias(&input.function_name, &input.name).await.map(shown).map_err(refused)
}

pub(super) async fn update_alias(lambda: Lambda, _: Context, input: UpdateAliasInput) -> Answer<UpdateAliasOutput> {
    let change = AliasChange {
        version: input.function_version,
        description: input.description,
        weights: weights(input.routing_config),
        revision: input.revision_id,
    };
    lambda.update_alias(&input.function_name, &input.name, change).await.map(shown).map_err(refused)
}

pub(super) async fn delete_alias(lambda: Lambda, _: Context, input: DeleteAliasInput) -> Answer<DeleteAliasOutput> {
    lambda.delete_alias(&input.function_name, &input.name).await.map_err(refused)?;
    Ok(DeleteAliasOutput {})
}

pub(super) async fn list_aliases(lambda: Lambda, _: Context, input: ListAliasesInput) -> Answer<ListAliasesOutput> {
    let (version, marker) = (input.function_version.as_deref(), input.marker.as_deref());
    let page = lambda.list_aliases(&input.function_name, version, marker, number(input.max_items)).await.map_err(refused)?;
    Ok(ListAliasesOutput { next_marker: page.next, aliases: Some(page.items.into_iter().map(shown).collect()) })
}
