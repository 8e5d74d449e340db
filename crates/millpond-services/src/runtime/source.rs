//! Event sources: what a function polls, as the one who polls sees it.
//!
//! A source hands out messages for a while (they stay hidden from others until their visibility time-out ends), and forgets those that are
//! deleted. Queues are sources; streams will be. A poller never asks in a loop: [`EventSource::receive`] waits until a commit brings something,
//! a hidden message falls due, or the time is up.
//!
//! Each message is received at least once: one that was received and is neither deleted nor released comes again after its time-out, also
//! after a crash of the lake.

use async_trait::async_trait;
use millpond_core::arn::Arn;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// Hands out messages to pollers.
#[async_trait]
pub trait EventSource: Send + Sync + 'static {
    /// For people, in the plural: `SQS queues`.
    fn title(&self) -> &'static str;

    /// What events call it: `aws:sqs`.
    fn event_source(&self) -> &'static str;

    /// Whether `arn` is one of this sort. Looks at the form alone: what it names need not exist.
    fn accepts(&self, arn: &Arn) -> bool;

    /// What a poller must know of it.
    async fn facts(&self, arn: &Arn) -> Result<SourceFacts, SourceError>;

    /// Receives up to [`Ask::max`] messages, at once where there are any; otherwise waits for the first up to [`Ask::wait_ms`]. An empty answer
    /// means that the time is up, or that the lake is stopping. May be dropped at any await: what was handed out by then comes again.
    async fn receive(&self, arn: &Arn, ask: Ask) -> Result<Vec<SourceMessage>, SourceError>;

    /// Deletes messages that were dealt with. A receipt whose message is gone, or was handed out again since, is no error.
    async fn delete(&self, arn: &Arn, receipts: Vec<String>) -> Result<(), SourceError>;

    /// Makes messages that were not dealt with visible again after so many seconds (0: at once). A receipt whose message is gone, or was handed
    /// out again since, is no error.
    async fn release(&self, arn: &Arn, receipts: Vec<String>, visibility_seconds: u32) -> Result<(), SourceError>;
}

/// What a poller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// From 1 to 10,000. Of a FIFO source the messages of a group come in their order.
    pub max: usize,
    /// How long to wait for the first, in milliseconds.
    pub wait_ms: u64,
    /// For how long the messages are hidden from others, in milliseconds; absent: as the source says.
    pub visibility_ms: Option<i64>,
}

/// What a poller must know of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceFacts {
    /// How long a received message is hidden from others, in seconds.
    pub visibility_timeout_seconds: u32,
    /// Whether the messages of a group are handed out in their order, and none while an earlier one is in flight.
    pub fifo: bool,
    /// Messages that could be received now.
    pub visible: u64,
}

/// A message as it is received.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceMessage {
    /// The same each time that it is received.
    pub message_id: String,
    /// Names this receipt of it.
    pub receipt: String,
    /// The text.
    pub body: String,
    /// Of the text, 32 hexadecimal digits.
    pub md5_of_body: String,
    /// By AWS's names: `ApproximateReceiveCount`, `SentTimestamp`, `SenderId`, `ApproximateFirstReceiveTimestamp`, and where they apply
    /// `MessageGroupId`, `MessageDeduplicationId`, `SequenceNumber`, `AWSTraceHeader`, `DeadLetterQueueSourceArn`.
    pub attributes: BTreeMap<&'static str, String>,
    /// What the sender put beside the text.
    pub message_attributes: BTreeMap<String, SourceAttribute>,
    /// Of the attributes that the sender gave, 32 hexadecimal digits; absent where there are none.
    pub md5_of_message_attributes: Option<String>,
}

impl SourceMessage {
    /// The group that orders it.
    pub fn group(&self) -> Option<&str> {
        self.attributes.get("MessageGroupId").map(String::as_str)
    }
}

/// A message attribute; either a text or bytes, as its type says.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceAttribute {
    /// `String`, `Number` or `Binary`, with or without a label (`Number.int`).
    pub data_type: String,
    /// Of strings and numbers.
    pub text: Option<String>,
    /// Of binaries.
    pub binary: Option<Vec<u8>>,
}

/// Why a source cannot be polled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It does not exist (any more).
    #[error("{0} does not exist")]
    Missing(String),
    /// What was asked for is wrong: a receipt that is not one, a time-out beyond its range.
    #[error("{0}")]
    Invalid(String),
    /// Another try may help: too many messages in flight, the store is in trouble.
    #[error("{0}")]
    Transient(String),
}

/// The sources that a lake has. Clones share them; they may be installed after the service that polls has been made.
#[derive(Clone, Default)]
pub struct Sources {
    kinds: Arc<OnceLock<Vec<Arc<dyn EventSource>>>>,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.kinds().iter().map(|kind| kind.title())).finish()
    }
}

impl Sources {
    /// These, and no others.
    pub fn new(kinds: Vec<Arc<dyn EventSource>>) -> Self {
        let sources = Self::default();
        sources.install(kinds);
        sources
    }

    /// Gives all clones their kinds; once.
    pub fn install(&self, kinds: Vec<Arc<dyn EventSource>>) {
        assert!(self.kinds.set(kinds).is_ok(), "the kinds of event source are installed once");
    }

    fn kinds(&self) -> &[Arc<dyn EventSource>] {
        self.kinds.get().map_or(&[], Vec::as_slice)
    }

    /// Who hands out the messages of `arn`.
    pub fn find(&self, arn: &Arn) -> Option<Arc<dyn EventSource>> {
        self.kinds().iter().find(|kind| kind.accepts(arn)).cloned()
    }

    /// The titles of all kinds, for a message: `SQS queues`.
    pub fn titles(&self) -> String {
        self.kinds().iter().map(|kind| kind.title()).collect::<Vec<_>>().join(", ")
    }
}
