//! Topics as targets of rules, buckets and functions.

use super::fanout::Signatures;
use super::message::{Attribute, NewMessage, Sent};
use super::sql::TopicRow;
use super::{Sns, SnsError, policy, topics};
use crate::runtime::Failure;
use crate::runtime::delivery::{Delivering, Delivery, Sender, TargetKind};
use millpond_core::arn::Arn;
use millpond_core::env::EnvExt;
use millpond_core::error::ErrorKind;

impl Sns {
    /// The topic, where it is there and lets `sender` publish for `source`.
    fn open_to(&self, at: &Delivering<'_>, arn: &Arn, sender: Sender, source: &str) -> Result<TopicRow, Failure> {
        let arn = arn.to_string();
        let name = self.topic_name(&arn).map_err(|error| failure(&arn, error))?;
        let topic = topics::find(at.tx, &name).map_err(|error| failure(&arn, error))?;
        policy::allows(&self.policy(&topic), &arn, &self.lake.place.account, sender, source)?;
        Ok(topic)
    }
}

impl TargetKind for Sns {
    fn title(&self) -> &'static str {
        "SNS topics"
    }

    fn accepts(&self, arn: &Arn) -> bool {
        arn.service == "sns" && !arn.resource.contains(':')
    }

    fn check(&self, at: &Delivering<'_>, arn: &Arn, sender: Sender, source: &str) -> Result<(), Failure> {
        self.open_to(at, arn, sender, source).map(drop)
    }

    fn deliver(&self, at: &Delivering<'_>, arn: &Arn, delivery: &Delivery) -> Result<(), Failure> {
        let topic = self.open_to(at, arn, delivery.sender, &delivery.source)?;
        let failed = |error| failure(&delivery.target, error);
        let parameters = &delivery.parameters;
        let attribute = |(name, attribute)| {
            let read = Attribute::try_from(attribute).map_err(|error| {
                Failure::lasting(format!("the attribute '{name}' of a message to {arn} is not base64: {error}"))
            });
            Ok::<_, Failure>((String::clone(name), read?))
        };
        let message = NewMessage {
            subject: parameters.subject.clone(),
            body: delivery.input.to_string(),
            structure: None,
            attributes: parameters.attributes.iter().map(attribute).collect::<Result<_, _>>()?,
            group_id: parameters.message_group_id.clone(),
            deduplication_id: parameters.message_deduplication_id.clone(),
        };
        let sent = Sent { message_id: at.tx.env().uuid(), time_ms: at.tx.now_ms() };
        let checked = message.check().map_err(failed)?;
        let mut notice = checked.for_topic(&topic, delivery.target.clone(), sent).map_err(failed)?;
        notice.by_rule = delivery.sender == Sender::Events;
        self.publish_in(at.tx, &topic, notice, &Signatures::default()).map_err(failed)?;
        Ok(())
    }
}

fn failure(arn: &str, error: SnsError) -> Failure {
    match &error {
        SnsError::NotFound(_) => {
            Failure::lasting(format!("the topic {arn} does not exist; create it, or change the target that names it"))
                .code("NO_RESOURCE")
        }
        other => {
            let retry = matches!(error.kind(), ErrorKind::Retry | ErrorKind::Bug);
            Failure { retry, ..Failure::transient(format!("{arn}: {other}")) }
        }
    }
}
