//! Topics as targets of rules.

use super::message::NewMessage;
use super::{Sns, SnsError, topics};
use crate::runtime::Failure;
use crate::runtime::delivery::{Delivering, Delivery, TargetKind};
use millpond_core::arn::Arn;
use millpond_core::error::ErrorKind;

impl TargetKind for Sns {
    fn title(&self) -> &'static str {
        "SNS topics"
    }

    fn accepts(&self, arn: &Arn) -> bool {
        arn.service == "sns" && !arn.resource.contains(':')
    }

    fn deliver(&self, at: &Delivering<'_>, arn: &Arn, delivery: &Delivery) -> Result<(), Failure> {
        let failure = |error: SnsError| {
            let reason = match &error {
                SnsError::NotFound(_) => format!("the topic {arn} does not exist; create it, or change the rule's target"),
                other => format!("{arn}: {other}"),
            };
            Failure { retry: matches!(error.kind(), ErrorKind::Retry | ErrorKind::Bug), ..Failure::transient(reason) }
        };
        let name = self.topic_name(&delivery.target).map_err(failure)?;
        let message = NewMessage { body: delivery.input.to_string(), ..NewMessage::default() };
        let topic = topics::find(at.tx, &name).map_err(failure)?;
        let checked = message.check().map_err(failure)?;
        self.publish_in(at.tx, &topic, &checked, true).map_err(failure)?;
        Ok(())
    }
}
