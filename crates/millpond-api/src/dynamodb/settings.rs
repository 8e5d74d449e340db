use super::{Answer, refused};
use crate::router::Context;
use millpond_services::dynamodb::{Backups, DynamoDb, TimeToLive};
use millpond_wire::dynamodb::*;
use millpond_wire::shapes::Timestamp;

/// Where clients are told to go on, in minutes. AWS's own.
const ENDPOINT_CACHE_MINUTES: i64 = 1440;

pub(super) async fn describe_time_to_live(
    dynamodb: DynamoDb,
    _: Context,
    input: DescribeTimeToLiveInput,
) -> Answer<DescribeTimeToLiveOutput> {
    let attribute_name = dynamodb.time_to_live(&input.table_name).map_err(refused)?;
    let status = if attribute_name.is_some() { TimeToLiveStatus::Enabled } else { TimeToLiveStatus::Disabled };
    let description = TimeToLiveDescription { time_to_live_status: Some(status), attribute_name };
    Ok(DescribeTimeToLiveOutput { time_to_live_description: Some(description) })
}

pub(super) async fn update_time_to_live(
    dynamodb: DynamoDb,
    _: Context,
    input: UpdateTimeToLiveInput,
) -> Answer<UpdateTimeToLiveOutput> {
    let wanted = input.time_to_live_specification;
    let change = TimeToLive { enabled: wanted.enabled, attribute: wanted.attribute_name.clone() };
    dynamodb.set_time_to_live(&input.table_name, change).await.map_err(refused)?;
    Ok(UpdateTimeToLiveOutput { time_to_live_specification: Some(wanted) })
}

/// Nothing of the past is kept: what can be had is the table as it is now.
fn backups(backups: Backups, now_ms: i64) -> ContinuousBackupsDescription {
    let enabled = backups.since_ms.is_some();
    let now = enabled.then(|| Timestamp::from_ms(now_ms));
    ContinuousBackupsDescription {
        continuous_backups_status: ContinuousBackupsStatus::Enabled,
        point_in_time_recovery_description: Some(PointInTimeRecoveryDescription {
            point_in_time_recovery_status: Some(match enabled {
                true => PointInTimeRecoveryStatus::Enabled,
                false => PointInTimeRecoveryStatus::Disabled,
            }),
            recovery_period_in_days: enabled.then_some(backups.days),
            earliest_restorable_date_time: now,
            latest_restorable_date_time: now,
        }),
    }
}

pub(super) async fn describe_continuous_backups(
    dynamodb: DynamoDb,
    context: Context,
    input: DescribeContinuousBackupsInput,
) -> Answer<DescribeContinuousBackupsOutput> {
    let now = dynamodb.backups(&input.table_name).map_err(refused)?;
    Ok(DescribeContinuousBackupsOutput { continuous_backups_description: Some(backups(now, context.now_ms)) })
}

pub(super) async fn update_continuous_backups(
    dynamodb: DynamoDb,
    context: Context,
    input: UpdateContinuousBackupsInput,
) -> Answer<UpdateContinuousBackupsOutput> {
    let wanted = input.point_in_time_recovery_specification;
    let change = dynamodb.set_backups(&input.table_name, wanted.point_in_time_recovery_enabled, wanted.recovery_period_in_days);
    let now = change.await.map_err(refused)?;
    Ok(UpdateContinuousBackupsOutput { continuous_backups_description: Some(backups(now, context.now_ms)) })
}

pub(super) async fn tag_resource(dynamodb: DynamoDb, _: Context, input: TagResourceInput) -> Answer<TagResourceOutput> {
    let tags = input.tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    dynamodb.tag(&input.resource_arn, tags).await.map_err(refused)?;
    Ok(TagResourceOutput {})
}

pub(super) async fn untag_resource(dynamodb: DynamoDb, _: Context, input: UntagResourceInput) -> Answer<UntagResourceOutput> {
    dynamodb.untag(&input.resource_arn, input.tag_keys).await.map_err(refused)?;
    Ok(UntagResourceOutput {})
}

pub(super) async fn list_tags_of_resource(
    dynamodb: DynamoDb,
    _: Context,
    input: ListTagsOfResourceInput,
) -> Answer<ListTagsOfResourceOutput> {
    let tags = dynamodb.tags(&input.resource_arn).await.map_err(refused)?;
    let tags = tags.into_iter().map(|(key, value)| Tag { key, value }).collect();
    Ok(ListTagsOfResourceOutput { tags: Some(tags), next_token: None })
}

pub(super) async fn describe_limits(_: DynamoDb, _: Context, _: DescribeLimitsInput) -> Answer<DescribeLimitsOutput> {
    // AWS's defaults; nothing is throttled here.
    Ok(DescribeLimitsOutput {
        account_max_read_capacity_units: Some(80_000),
        account_max_write_capacity_units: Some(80_000),
        table_max_read_capacity_units: Some(40_000),
        table_max_write_capacity_units: Some(40_000),
    })
}

pub(super) async fn describe_endpoints(
    _: DynamoDb,
    context: Context,
    _: DescribeEndpointsInput,
) -> Answer<DescribeEndpointsOutput> {
    let url = context.base_url();
    let address = url.split_once("://").map_or(url.as_str(), |(_, host)| host).to_owned();
    Ok(DescribeEndpointsOutput { endpoints: vec![Endpoint { address, cache_period_in_minutes: ENDPOINT_CACHE_MINUTES }] })
}
