//! SNS's operations on the wire.

use crate::router::{Context, Router, Visit};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use millpond_services::sns::{
    Attribute, BatchEntry, NewMessage, NewSubscription, NewTopic, Page, Published, Sns, SnsError,
    Subscription as DomainSubscription,
};
use millpond_wire::WireError;
use millpond_wire::sns::*;
use std::collections::BTreeMap;

/// Where the certificate is fetched that messages are signed with.
const CERTIFICATES: &str = "/SimpleNotificationService-";

/// Registers the operations that are implemented, and the certificate.
pub fn register(router: &mut Router, sns: Sns) {
    let keeper = sns.clone();
    router.public(CERTIFICATES, move |visit| {
        let keeper = keeper.clone();
        Box::pin(async move { certificate(keeper, visit).await })
    });
    router
        .service(sns)
        .on(CreateTopic, create_topic)
        .on(DeleteTopic, delete_topic)
        .on(GetTopicAttributes, get_topic_attributes)
        .on(SetTopicAttributes, set_topic_attributes)
        .on(ListTopics, list_topics)
        .on(AddPermission, add_permission)
        .on(RemovePermission, remove_permission)
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
        SnsError::InvalidParameter(_) | SnsError::Refused(_) => &error::INVALID_PARAMETER_EXCEPTION,
        SnsError::InvalidValue(_) => &error::INVALID_PARAMETER_VALUE_EXCEPTION,
        SnsError::Authorization(_) => &error::AUTHORIZATION_ERROR_EXCEPTION,
        SnsError::EmptyBatch => &error::EMPTY_BATCH_REQUEST_EXCEPTION,
        SnsError::TooManyEntries => &error::TOO_MANY_ENTRIES_IN_BATCH_REQUEST_EXCEPTION,
        SnsError::IdsNotDistinct => &error::BATCH_ENTRY_IDS_NOT_DISTINCT_EXCEPTION,
        SnsError::InvalidBatchId(_) => &error::INVALID_BATCH_ENTRY_ID_EXCEPTION,
        SnsError::BatchTooLong => &error::BATCH_REQUEST_TOO_LONG_EXCEPTION,
        SnsError::TopicLimit(_) => &error::TOPIC_LIMIT_EXCEEDED_EXCEPTION,
        SnsError::SubscriptionLimit(_) => &error::SUBSCRIPTION_LIMIT_EXCEEDED_EXCEPTION,
        SnsError::FilterPolicyLimit(_) => &error::FILTER_POLICY_LIMIT_EXCEEDED_EXCEPTION,
        SnsError::TagLimit => &error::TAG_LIMIT_EXCEEDED_EXCEPTION,
        SnsError::Signing(_) | SnsError::Store(_) => {
            tracing::error!(error = message, "an SNS operation failed");
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
    if input.data_protection_policy.is_some_and(|policy| !policy.is_empty()) {
        return Err(invalid("DataProtectionPolicy Reason: this lake does not look for personal data in messages"));
    }
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

async fn add_permission(sns: Sns, _: Context, input: AddPermissionInput) -> Answer<AddPermissionOutput> {
    sns.add_permission(&input.topic_arn, &input.label, input.aws_account_id, input.action_name).await.map_err(refused)?;
    Ok(AddPermissionOutput {})
}

async fn remove_permission(sns: Sns, _: Context, input: RemovePermissionInput) -> Answer<RemovePermissionOutput> {
    sns.remove_permission(&input.topic_arn, &input.label).await.map_err(refused)?;
    Ok(RemovePermissionOutput {})
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
    let signed = !context.principal.is_anonymous();
    let arn = sns.confirm(&input.topic_arn, &input.token, signed, authenticate).await.map_err(refused)?;
    Ok(ConfirmSubscriptionOutput { subscription_arn: Some(arn) })
}

async fn unsubscribe(sns: Sns, context: Context, input: UnsubscribeInput) -> Answer<UnsubscribeOutput> {
    sns.unsubscribe(&input.subscription_arn, !context.principal.is_anonymous()).await.map_err(refused)?;
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

fn attributes(given: Option<BTreeMap<String, MessageAttributeValue>>) -> Answer<BTreeMap<String, Attribute>> {
    let one = |(name, value): (String, MessageAttributeValue)| {
        let binary = value.binary_value.map(|blob| blob.0);
        let attribute = Attribute::new(&name, &value.data_type, value.string_value, binary).map_err(refused)?;
        Ok((name, attribute))
    };
    given.unwrap_or_default().into_iter().map(one).collect()
}

/// Whom a message that names no topic was meant for, and why it cannot get there.
fn elsewhere(phone_number: Option<&str>, target_arn: Option<&str>) -> WireError {
    let is_number = |number: &str| {
        number
            .strip_prefix('+')
            .is_some_and(|digits| (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()))
    };
    match (phone_number, target_arn) {
        (Some(number), _) if !is_number(number) => invalid(&format!("PhoneNumber Reason: {number} is not valid to publish to")),
        (Some(_), _) => invalid("PhoneNumber Reason: this lake sends no SMS; publish to a topic"),
        (None, Some(_)) => invalid("TargetArn Reason: No endpoint found for the target arn specified"),
        (None, None) => invalid("TopicArn or TargetArn Reason: no value for required parameter"),
    }
}

async fn publish(sns: Sns, _: Context, input: PublishInput) -> Answer<PublishOutput> {
    let target = input.target_arn.as_deref();
    let is_endpoint = target.is_some_and(|arn| arn.rsplit(':').next().is_some_and(|resource| resource.starts_with("endpoint/")));
    let given = [input.topic_arn.is_some(), target.is_some(), input.phone_number.is_some()];
    if given.into_iter().filter(|given| *given).count() > 1 {
        return Err(invalid("Only one of TopicArn, TargetArn and PhoneNumber can be given"));
    }
    let topic_arn = input.topic_arn.as_deref().or(target.filter(|_| !is_endpoint));
    let Some(topic_arn) = topic_arn else { return Err(elsewhere(input.phone_number.as_deref(), target)) };
    let message = NewMessage {
        subject: input.subject,
        body: input.message,
        structure: input.message_structure,
        attributes: attributes(input.message_attributes)?,
        group_id: input.message_group_id,
        deduplication_id: input.message_deduplication_id,
    };
    let Published { message_id, sequence_number } = sns.publish(topic_arn, message).await.map_err(refused)?;
    Ok(PublishOutput { message_id: Some(message_id), sequence_number })
}

async fn publish_batch(sns: Sns, _: Context, input: PublishBatchInput) -> Answer<PublishBatchOutput> {
    let mut ids = Vec::new();
    let mut entries = Vec::new();
    for entry in input.publish_batch_request_entries {
        let message = NewMessage {
            subject: entry.subject,
            body: entry.message,
            structure: entry.message_structure,
            attributes: attributes(entry.message_attributes)?,
            group_id: entry.message_group_id,
            deduplication_id: entry.message_deduplication_id,
        };
        ids.push(entry.id.clone());
        entries.push(BatchEntry { id: entry.id, message });
    }
    let messages = sns.publish_batch(&input.topic_arn, entries).await.map_err(refused)?;
    let successful = ids.into_iter().zip(messages).map(|(id, Published { message_id, sequence_number })| {
        PublishBatchResultEntry { id: Some(id), message_id: Some(message_id), sequence_number }
    });
    Ok(PublishBatchOutput { successful: Some(successful.collect()), failed: Some(Vec::new()) })
}

/// The certificate that messages are signed with: anybody may have it.
async fn certificate(sns: Sns, visit: Visit) -> Response<Bytes> {
    let (status, body) = match sns.certificate(visit.path.trim_start_matches('/')).await {
        Ok(Some(certificate)) => (StatusCode::OK, certificate),
        Ok(None) => (StatusCode::NOT_FOUND, "There is no certificate of this name.\n".to_owned()),
        Err(error) => {
            tracing::error!(%error, "the certificate cannot be shown");
            (StatusCode::INTERNAL_SERVER_ERROR, "The certificate cannot be shown now.\n".to_owned())
        }
    };
    let content_type = if status == StatusCode::OK { "application/x-pem-file" } else { "text/plain" };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
    response
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
