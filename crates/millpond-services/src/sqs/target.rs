//! Queues as targets of deliveries: a rule's, a bucket's, a topic's, a function's, and those that could not be delivered elsewhere.

use super::message::NewMessage;
use super::queue::Queue;
use super::{Sqs, SqsError};
use crate::runtime::Failure;
use crate::runtime::delivery::{Delivering, Delivery, Sender, TargetKind};
use crate::runtime::text::escaped_json;
use millpond_core::arn::Arn;
use millpond_core::error::ErrorKind;
use millpond_core::policy::{Decision, Principal, Request};
use std::sync::Arc;

impl TargetKind for Sqs {
    fn title(&self) -> &'static str {
        "SQS queues"
    }

    fn accepts(&self, arn: &Arn) -> bool {
        arn.service == "sqs"
    }

    fn check(&self, at: &Delivering<'_>, arn: &Arn, sender: Sender, source: &str) -> Result<(), Failure> {
        let queue = self.target(at, arn)?;
        if sender == Sender::S3 && queue.settings.fifo {
            return Err(Failure::lasting(format!("{arn} is a FIFO queue; a bucket sends to standard queues only")));
        }
        self.allows(&queue, sender, source)
    }

    fn deliver(&self, at: &Delivering<'_>, arn: &Arn, delivery: &Delivery) -> Result<(), Failure> {
        let queue = self.target(at, arn)?;
        self.allows(&queue, delivery.sender, &delivery.source)?;
        let parameters = &delivery.parameters;
        let message = NewMessage {
            body: escaped_json(&delivery.input).into_owned(),
            attributes: parameters.attributes.clone(),
            trace: parameters.trace.clone(),
            group_id: parameters.message_group_id.clone(),
            // A FIFO topic may send to a standard queue, too: there it says nothing.
            deduplication_id: parameters.message_deduplication_id.clone().filter(|_| queue.settings.fifo),
            delay_seconds: None,
            sender: delivery.sender.principal().to_owned(),
        };
        let put = message.check(&**at.tx.env()).and_then(|checked| self.put(at.tx, &queue, checked));
        put.map(drop).map_err(failed)
    }
}

impl Sqs {
    fn target(&self, at: &Delivering<'_>, arn: &Arn) -> Result<Arc<Queue>, Failure> {
        let missing = || Failure::lasting(format!("the queue {arn} does not exist in this lake")).code("NO_RESOURCE");
        if !self.is_ours(arn) {
            return Err(missing());
        }
        self.queue(at.tx, &arn.resource).map_err(|error| match error {
            SqsError::QueueDoesNotExist => missing(),
            other => failed(other),
        })
    }

    /// Whether the queue's policy lets `sender` send for `source`. A function sends with its own role, and asks no policy.
    fn allows(&self, queue: &Queue, sender: Sender, source: &str) -> Result<(), Failure> {
        if sender == Sender::Lambda {
            return Ok(());
        }
        let account = &self.lake.place.account;
        let context = [("aws:SourceArn", source), ("aws:SourceAccount", account), ("aws:SourceOwner", account)];
        let request = Request {
            principal: Principal::Service(sender.principal()),
            action: "sqs:SendMessage",
            resource: &queue.arn,
            context: &context,
        };
        let decision = queue.settings.policy.as_ref().map_or(Decision::Silent, |policy| policy.decide(&request));
        let why = match decision {
            Decision::Allow => return Ok(()),
            Decision::Deny => "denies it with an explicit statement",
            Decision::Silent => "does not allow it",
        };
        let (arn, principal) = (&queue.arn, sender.principal());
        Err(Failure::lasting(format!(
            "{source} may not send to the queue {arn}: the queue's policy {why}. It needs a statement like {{\"Effect\": \"Allow\", \
             \"Principal\": {{\"Service\": \"{principal}\"}}, \"Action\": \"sqs:SendMessage\", \"Resource\": \"{arn}\", \
             \"Condition\": {{\"ArnEquals\": {{\"aws:SourceArn\": \"{source}\"}}}}}}; set it with: aws sqs set-queue-attributes \
             --queue-url {} --attributes Policy=…",
            queue.name
        ))
        .code("NO_PERMISSIONS"))
    }
}

fn failed(error: SqsError) -> Failure {
    match error.kind() {
        ErrorKind::Retry | ErrorKind::Limit | ErrorKind::Bug => Failure::transient(error),
        ErrorKind::Missing => Failure::lasting(error).code("NO_RESOURCE"),
        ErrorKind::Input | ErrorKind::Conflict | ErrorKind::Denied => Failure::lasting(error).code("INVALID_PARAMETER"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Fixture, bodies};
    use super::*;
    use crate::runtime::delivery::{Parameters, RetryPolicy, Targets};
    use millpond_core::env::SystemEnv;
    use std::collections::BTreeMap;

    fn message(body: &str) -> NewMessage {
        NewMessage {
            body: body.into(),
            attributes: BTreeMap::new(),
            trace: None,
            group_id: None,
            deduplication_id: None,
            delay_seconds: None,
            sender: "events.amazonaws.com".into(),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_document_with_characters_that_queues_refuse_arrives_and_means_the_same() {
        let fixture = Fixture::new();
        fixture.create("q", &[]).await;
        let input = "{\"detail\":\"\u{fffe}\u{ffff}\"}";
        assert!(message(input).check(&SystemEnv).is_err());
        let delivery = Delivery {
            target: fixture.arn("q"),
            source: "arn:aws:lambda:us-east-1:000000000000:function:f".into(),
            target_id: "1".into(),
            sender: Sender::Lambda,
            input: input.into(),
            event: None,
            parameters: Parameters::default(),
            retry: RetryPolicy::default(),
            dead_letter: None,
        };
        let (lake, targets) = (fixture.lake.clone(), Targets::new(vec![Arc::new(fixture.sqs.clone())]));
        fixture.lake.store.write(move |tx| targets.deliver(tx, &lake, &delivery)).await.unwrap().unwrap();
        assert_eq!(bodies(&fixture.receive("q", 1).await), [r#"{"detail":"\ufffe\uffff"}"#]);
    }
}
