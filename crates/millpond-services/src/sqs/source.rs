//! Queues as event sources.

use super::receive::{WAIT_MAX_MS, Wanted};
use super::send::BatchEntry;
use super::{Received, Sqs, SqsError};
use crate::runtime::source::{Ask, EventSource, SourceAttribute, SourceError, SourceFacts, SourceMessage};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millpond_core::arn::Arn;
use millpond_core::error::ErrorKind;
use rusqlite::Connection;

/// Messages that one receive hands out at the most.
const MAX: usize = 10_000;

#[async_trait]
impl EventSource for Sqs {
    fn title(&self) -> &'static str {
        "SQS queues"
    }

    fn event_source(&self) -> &'static str {
        "aws:sqs"
    }

    fn accepts(&self, arn: &Arn) -> bool {
        arn.service == "sqs"
    }

    async fn facts(&self, arn: &Arn) -> Result<SourceFacts, SourceError> {
        let (name, sqs) = (self.source(arn)?, self.clone());
        let look = move |connection: &Connection| {
            let queue = sqs.queue(connection, &name)?;
            let visible = sqs.counts(connection, &queue)?.visible;
            let timeout = u32::try_from(queue.settings.visibility_ms / 1000).unwrap_or(u32::MAX);
            Ok::<_, SqsError>(SourceFacts {
                visibility_timeout_seconds: timeout,
                fifo: queue.settings.fifo,
                visible: visible.unsigned_abs(),
            })
        };
        self.lake.store.read(look).await.map_err(|error| failed(arn, error))
    }

    async fn receive(&self, arn: &Arn, ask: Ask) -> Result<Vec<SourceMessage>, SourceError> {
        let wanted = Wanted {
            max: ask.max.clamp(1, MAX),
            wait_ms: Some(ask.wait_ms.min(WAIT_MAX_MS)),
            visibility_ms: ask.visibility_ms.map(|ms| ms.clamp(0, super::attributes::VISIBILITY_MAX * 1000)),
            attempt: None,
        };
        let received = self.receive(self.source(arn)?.into(), wanted).await.map_err(|error| failed(arn, error))?;
        Ok(received.into_iter().map(message).collect())
    }

    async fn delete(&self, arn: &Arn, receipts: Vec<String>) -> Result<(), SourceError> {
        let name = self.source(arn)?;
        let settled = self.settle_all(&name, entries(receipts), |sqs, tx, queue, receipt| sqs.delete_in(tx, queue, &receipt));
        all(settled.await.map_err(|error| failed(arn, error))?)
    }

    async fn release(&self, arn: &Arn, receipts: Vec<String>, visibility_seconds: u32) -> Result<(), SourceError> {
        let seconds = i32::try_from(visibility_seconds).unwrap_or(i32::MAX);
        let name = self.source(arn)?;
        let settled =
            self.settle_all(&name, entries(receipts), move |sqs, tx, queue, receipt| sqs.change_in(tx, queue, &receipt, seconds));
        all(settled.await.map_err(|error| failed(arn, error))?)
    }
}

impl Sqs {
    fn source(&self, arn: &Arn) -> Result<String, SourceError> {
        match self.is_ours(arn) {
            true => Ok(arn.resource.clone()),
            false => Err(SourceError::Missing(arn.to_string())),
        }
    }
}

fn entries(receipts: Vec<String>) -> Vec<BatchEntry<String>> {
    receipts.into_iter().map(|item| BatchEntry { id: String::new(), item }).collect()
}

/// What is gone, was received again since, or can be received again already, is no error here.
fn all(settled: super::Settled) -> Result<(), SourceError> {
    let wrong = settled.into_iter().find_map(|entry| match entry.item {
        Err(error @ SqsError::ReceiptHandleIsInvalid(_)) => Some(error),
        _ => None,
    });
    wrong.map_or(Ok(()), |error| Err(SourceError::Invalid(error.to_string())))
}

fn failed(arn: &Arn, error: SqsError) -> SourceError {
    match error.kind() {
        ErrorKind::Missing => SourceError::Missing(arn.to_string()),
        ErrorKind::Input => SourceError::Invalid(error.to_string()),
        _ => SourceError::Transient(error.to_string()),
    }
}

fn message(received: Received) -> SourceMessage {
    let attributes = received.system_attributes();
    let message_attributes = received.attributes.into_iter().map(|(name, attribute)| {
        let binary = attribute.is_binary();
        let value = SourceAttribute {
            data_type: attribute.data_type,
            binary: binary.then(|| STANDARD.decode(&attribute.value).unwrap_or_default()),
            text: (!binary).then_some(attribute.value),
        };
        (name, value)
    });
    SourceMessage {
        message_id: received.message_id,
        receipt: received.receipt,
        body: received.body,
        md5_of_body: received.md5_of_body,
        attributes,
        message_attributes: message_attributes.collect(),
        md5_of_message_attributes: received.md5_of_attributes,
    }
}
