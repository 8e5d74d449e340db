//! The notification configuration of a bucket.

use super::convert::caller;
use super::error::wire;
use millpond_services::s3::S3;
use millpond_services::s3::notification::{DestinationKind, FilterRule, Notification, Notifications};
use s3s::dto;
use s3s::{S3Request, S3Response, S3Result};

fn notification(
    kind: DestinationKind,
    arn: String,
    id: Option<String>,
    events: dto::EventList,
    filter: Option<dto::NotificationConfigurationFilter>,
) -> Notification {
    let rules = filter.and_then(|filter| filter.key).map(|key| key.filter_rules.unwrap_or_default());
    let rule = |rule: dto::FilterRule| FilterRule {
        name: rule.name.map(|name| name.as_str().to_owned()).unwrap_or_default(),
        value: rule.value.unwrap_or_default(),
    };
    Notification {
        id: id.unwrap_or_default(),
        kind,
        arn,
        events: events.into_iter().map(String::from).collect(),
        filter: rules.map(|rules| rules.into_iter().map(rule).collect()),
    }
}

pub(super) async fn put(
    s3: &S3,
    request: S3Request<dto::PutBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<dto::PutBucketNotificationConfigurationOutput>> {
    let (caller, unchecked) = (caller(s3, &request), request.input.skip_destination_validation.unwrap_or(false));
    let new = request.input.notification_configuration;
    let functions = new.lambda_function_configurations.unwrap_or_default().into_iter();
    let queues = new.queue_configurations.unwrap_or_default().into_iter();
    let topics = new.topic_configurations.unwrap_or_default().into_iter();
    let targets = functions
        .map(|of| notification(DestinationKind::Function, of.lambda_function_arn, of.id, of.events, of.filter))
        .chain(queues.map(|of| notification(DestinationKind::Queue, of.queue_arn, of.id, of.events, of.filter)))
        .chain(topics.map(|of| notification(DestinationKind::Topic, of.topic_arn, of.id, of.events, of.filter)));
    let new = Notifications { event_bridge: new.event_bridge_configuration.is_some(), targets: targets.collect() };
    s3.set_notifications(&caller, &request.input.bucket, new, unchecked).await.map_err(wire)?;
    Ok(S3Response::new(dto::PutBucketNotificationConfigurationOutput::default()))
}

fn filter(of: &Notification) -> Option<dto::NotificationConfigurationFilter> {
    let rule = |rule: &FilterRule| dto::FilterRule { name: Some(rule.name.clone().into()), value: Some(rule.value.clone()) };
    let rules = of.filter.as_ref()?.iter().map(rule).collect();
    Some(dto::NotificationConfigurationFilter { key: Some(dto::S3KeyFilter { filter_rules: Some(rules) }) })
}

fn events(of: &Notification) -> dto::EventList {
    of.events.iter().cloned().map(Into::into).collect()
}

pub(super) async fn get(
    s3: &S3,
    request: S3Request<dto::GetBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<dto::GetBucketNotificationConfigurationOutput>> {
    let found = s3.notifications(&request.input.bucket).await.map_err(wire)?;
    let mut output = dto::GetBucketNotificationConfigurationOutput {
        event_bridge_configuration: found.event_bridge.then(Default::default),
        ..Default::default()
    };
    for of in &found.targets {
        let (events, filter, id) = (events(of), filter(of), Some(of.id.clone()));
        match of.kind {
            DestinationKind::Function => {
                let function = dto::LambdaFunctionConfiguration { events, filter, id, lambda_function_arn: of.arn.clone() };
                output.lambda_function_configurations.get_or_insert_default().push(function);
            }
            DestinationKind::Queue => {
                let queue = dto::QueueConfiguration { events, filter, id, queue_arn: of.arn.clone() };
                output.queue_configurations.get_or_insert_default().push(queue);
            }
            DestinationKind::Topic => {
                let topic = dto::TopicConfiguration { events, filter, id, topic_arn: of.arn.clone() };
                output.topic_configurations.get_or_insert_default().push(topic);
            }
        }
    }
    Ok(S3Response::new(output))
}
