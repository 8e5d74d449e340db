//! SNS's operations on the wire.

use crate::router::{Context, Router};
use millpond_services::sns::{
    Attribute, BatchEntry, NewMessage, NewSubscription, NewTopic, Page, Sns, SnsError, Subscription as DomainSubscription,
};
use millpond_wire::WireError;
use millpond_wire::sns::*;
use std::collections::BTreeMap;

/// Registers the operations that are implemented.
pub fn register(router: &mut Router, sns: Sns) {
    router
        .service(sns)
        .on(CreateTopic, create_topic)
        .on(DeleteTopic, delete_topic)
        .on(GetTopicAttributes, get_topic_attributes)
        .on(SetTopicAttributes, set_topic_attributes)
        .on(ListTopics, list_topics)
        .on(Subscribe, subscribe)
        .on(ConfirmSubscription, confirm_subscription)
        .on(Unsubscribe, unsubscribe)
        .on(ListSubscriptions, list_subscriptions)
        .on(ListSubscriptionsByTopic, list_subscriptions_by_topic)
        .on(GetSubscriptionAttributes, get_subscription_attributes)
        .on(SetSubscriptionAttributes, set_subscription_attributes)
        .on(Publish, publish)
        .on(PublishBatch, publish_batch)
        .on(TagResource, tag_resource)
        .on(UntagResource, untag_resource)
        .on(ListTagsForResource, list_tags_for_resource);
}

type Answer<T> = Result<T, WireError>;

fn refused(error: SnsError) -> WireError {
    let message = error.to_string();
    let shape = match error {
        SnsError::NotFound(_) => &error::NOT_FOUND_EXCEPTION,
        SnsError::ResourceNotFound => &error::RESOURCE_NOT_FOUND_EXCEPTION,
        SnsError::InvalidParameter(_) => &error::INVALID_PARAMETER_EXCEPTION,
        SnsError::InvalidValue(_) => &error::INVALID_PARAMETER_VALUE_EXCEPTION,
        SnsError::Authorization(_) => &error::AUTHORIZATION_ERROR_EXCEPTION,
        SnsError::EmptyBatch => &error::EMPTY_BATCH_REQUEST_EXCEPTION,
        SnsError::TooManyEntries => &error::TOO_MANY_ENTRIES_IN_BATCH_REQUEST_EXCEPTION,
        SnsError::IdsNotDistinct => &error::BATCH_ENTRY_IDS_NOT_DISTINCT_EXCEPTION,
        SnsError::InvalidBatchId(_) => &error::INVALID_BATCH_ENTRY_ID_EXCEPTION,
        SnsError::BatchTooLong => &error::BATCH_REQUEST_TOO_LONG_EXCEPTION,
        SnsError::TopicLimit(_) => &error::TOPIC_LIMIT_EXCEEDED_EXCEPTION,
        SnsError::SubscriptionLimit(_) => &error::SUBSCRIPTION_LIMIT_EXCEEDED_EXCEPTION,
        SnsError::TagLimit => &error::TAG_LIMIT_EXCEEDED_EXCEPTION,
        SnsError::Store(cause) => {
            tracing::error!(error = %cause, "an SNS operation failed");
            return WireError::of(
                &error::INTERNAL_ERROR_EXCEPTION,
                "The lake could not do this now; its log says why. Try again.",
            );
        }
    };
    WireError::of(shape, message)
}

fn invalid(message: &str) -> WireError {
    WireError::of(&error::INVALID_PARAMETER_EXCEPTION, format!("Invalid parameter: {message}"))
}

fn pairs(tags: Vec<Tag>) -> Vec<(String, String)> {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

async fn create_topic(sns: Sns, _: Context, input: CreateTopicInput) -> Answer<CreateTopicOutput> {
    let topic = NewTopic {
        name: input.name,
        attributes: input.attributes.unwrap_or_default(),
        tags: pairs(input.tags.unwrap_or_default()),
    };
    let arn = sns.create_topic(topic).await.map_err(refused)?;
    Ok(CreateTopicOutput { topic_arn: Some(arn) })
}

async fn delete_topic(sns: Sns, _: Context, input: DeleteTopicInput) -> Answer<DeleteTopicOutput> {
    sns.delete_topic(&input.topic_arn).await.map_err(refused)?;
    Ok(DeleteTopicOutput {})
}

async fn get_topic_attributes(sns: Sns, _: Context, input: GetTopicAttributesInput) -> Answer<GetTopicAttributesOutput> {
    let attributes = sns.topic_attributes(&input.topic_arn).await.map_err(refused)?;
    Ok(GetTopicAttributesOutput { attributes: Some(attributes) })
}

async fn set_topic_attributes(sns: Sns, _: Context, input: SetTopicAttributesInput) -> Answer<SetTopicAttributesOutput> {
    let value = input.attribute_value.unwrap_or_default();
    sns.set_topic_attribute(&input.topic_arn, &input.attribute_name, &value).await.map_err(refused)?;
    Ok(SetTopicAttributesOutput {})
}

async fn list_topics(sns: Sns, _: Context, input: ListTopicsInput) -> Answer<ListTopicsOutput> {
    let page = sns.list_topics(input.next_token.as_deref()).await.map_err(refused)?;
    let topics = page.items.into_iter().map(|arn| Topic { topic_arn: Some(arn) });
    Ok(ListTopicsOutput { topics: Some(topics.collect()), next_token: page.next })
}

async fn subscribe(sns: Sns, _: Context, input: SubscribeInput) -> Answer<SubscribeOutput> {
    let new = NewSubscription {
        topic_arn: input.topic_arn,
        protocol: input.protocol,
        endpoint: input.endpoint.ok_or_else(|| invalid("Endpoint"))?,
        attributes: input.attributes.unwrap_or_default(),
    };
    let subscribed = sns.subscribe(new).await.map_err(refused)?;
    let shown = !subscribed.is_pending || input.return_subscription_arn.unwrap_or(false);
    let arn = if shown { subscribed.arn } else { "pending confirmation".into() };
    Ok(SubscribeOutput { subscription_arn: Some(arn) })
}

async fn confirm_subscription(sns: Sns, context: Context, input: ConfirmSubscriptionInput) -> Answer<ConfirmSubscriptionOutput> {
    let authenticate = input.authenticate_on_unsubscribe.is_some_and(|value| value.eq_ignore_ascii_case("true"));
    // Whoever confirms without a signature cannot ask that ending it need one.
    let authenticate = authenticate && !context.access_key.is_empty();
    let arn = sns.confirm(&input.topic_arn, &input.token, authenticate).await.map_err(refused)?;
    Ok(ConfirmSubscriptionOutput { subscription_arn: Some(arn) })
}

async fn unsubscribe(sns: Sns, context: Context, input: UnsubscribeInput) -> Answer<UnsubscribeOutput> {
    sns.unsubscribe(&input.subscription_arn, !context.access_key.is_empty()).await.map_err(refused)?;
    Ok(UnsubscribeOutput {})
}

fn listed(page: Page<DomainSubscription>) -> (Option<Vec<Subscription>>, Option<String>) {
    let subscriptions = page.items.into_iter().map(|subscription| Subscription {
        subscription_arn: Some(if subscription.is_pending { "PendingConfirmation".into() } else { subscription.arn }),
        owner: Some(subscription.owner),
        protocol: Some(subscription.protocol),
        endpoint: Some(subscription.endpoint),
        topic_arn: Some(subscription.topic_arn),
    });
    (Some(subscriptions.collect()), page.next)
}

async fn list_subscriptions(sns: Sns, _: Context, input: ListSubscriptionsInput) -> Answer<ListSubscriptionsOutput> {
    let page = sns.list_subscriptions(None, input.next_token.as_deref()).await.map_err(refused)?;
    let (subscriptions, next_token) = listed(page);
    Ok(ListSubscriptionsOutput { subscriptions, next_token })
}

async fn list_subscriptions_by_topic(
    sns: Sns,
    _: Context,
    input: ListSubscriptionsByTopicInput,
) -> Answer<ListSubscriptionsByTopicOutput> {
    let page = sns.list_subscriptions(Some(&input.topic_arn), input.next_token.as_deref()).await.map_err(refused)?;
    let (subscriptions, next_token) = listed(page);
    Ok(ListSubscriptionsByTopicOutput { subscriptions, next_token })
}

async fn get_subscription_attributes(
    sns: Sns,
    _: Context,
    input: GetSubscriptionAttributesInput,
) -> Answer<GetSubscriptionAttributesOutput> {
    let attributes = sns.subscription_attributes(&input.subscription_arn).await.map_err(refused)?;
    Ok(GetSubscriptionAttributesOutput { attributes: Some(attributes) })
}

async fn set_subscription_attributes(
    sns: Sns,
    _: Context,
    input: SetSubscriptionAttributesInput,
) -> Answer<SetSubscriptionAttributesOutput> {
    let value = input.attribute_value.unwrap_or_default();
    sns.set_subscription_attribute(&input.subscription_arn, &input.attribute_name, &value).await.map_err(refused)?;
    Ok(SetSubscriptionAttributesOutput {})
}

fn message(
    subject: Option<String>,
    body: String,
    structure: Option<String>,
    attributes: Option<BTreeMap<String, MessageAttributeValue>>,
    deduplication_id: Option<&str>,
) -> Answer<NewMessage> {
    if deduplication_id.is_some() {
        let reason = "MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid for this topic type";
        return Err(invalid(reason));
    }
    let attributes = attributes.unwrap_or_default().into_iter().map(|(name, value)| {
        let binary = value.binary_value.map(|blob| blob.0);
        let attribute = Attribute::new(&name, &value.data_type, value.string_value, binary).map_err(refused)?;
        Ok((name, attribute))
    });
    Ok(NewMessage { subject, body, structure, attributes: attributes.collect::<Answer<_>>()? })
}

async fn publish(sns: Sns, _: Context, input: PublishInput) -> Answer<PublishOutput> {
    if input.phone_number.is_some() {
        return Err(invalid("PhoneNumber Reason: this lake sends no SMS; publish to a topic"));
    }
    let missing = || invalid("TopicArn or TargetArn Reason: no value for required parameter");
    let topic_arn = input.topic_arn.or(input.target_arn).ok_or_else(missing)?;
    let deduplication_id = input.message_deduplication_id.as_deref();
    let message = message(input.subject, input.message, input.message_structure, input.message_attributes, deduplication_id)?;
    let id = sns.publish(&topic_arn, message).await.map_err(refused)?;
    Ok(PublishOutput { message_id: Some(id), sequence_number: None })
}

async fn publish_batch(sns: Sns, _: Context, input: PublishBatchInput) -> Answer<PublishBatchOutput> {
    let mut ids = Vec::new();
    let mut entries = Vec::new();
    for entry in input.publish_batch_request_entries {
        let deduplication_id = entry.message_deduplication_id.as_deref();
        let message = message(entry.subject, entry.message, entry.message_structure, entry.message_attributes, deduplication_id)?;
        ids.push(entry.id.clone());
        entries.push(BatchEntry { id: entry.id, message });
    }
    let messages = sns.publish_batch(&input.topic_arn, entries).await.map_err(refused)?;
    let successful = ids.into_iter().zip(messages).map(|(id, message)| PublishBatchResultEntry {
        id: Some(id),
        message_id: Some(message),
        sequence_number: None,
    });
    Ok(PublishBatchOutput { successful: Some(successful.collect()), failed: Some(Vec::new()) })
}

async fn tag_resource(sns: Sns, _: Context, input: TagResourceInput) -> Answer<TagResourceOutput> {
    sns.tag_resource(&input.resource_arn, pairs(input.tags)).await.map_err(refused)?;
    Ok(TagResourceOutput {})
}

async fn untag_resource(sns: Sns, _: Context, input: UntagResourceInput) -> Answer<UntagResourceOutput> {
    sns.untag_resource(&input.resource_arn, input.tag_keys).await.map_err(refused)?;
    Ok(UntagResourceOutput {})
}

async fn list_tags_for_resource(sns: Sns, _: Context, input: ListTagsForResourceInput) -> Answer<ListTagsForResourceOutput> {
    let tags = sns.list_tags_for_resource(&input.resource_arn).await.map_err(refused)?;
    Ok(ListTagsForResourceOutput { tags: Some(tags.into_iter().map(|(key, value)| Tag { key, value }).collect()) })
}
