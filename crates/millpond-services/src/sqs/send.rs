use super::attributes::SIZE_MAX;
use super::message::{self, Checked, NewMessage, sequence_number};
use super::queue::Queue;
use super::sql::{self, State};
use super::{Sqs, SqsError, check_batch, fifo};
use millpond_core::env::Env;
use millpond_store::Tx;

/// A message that was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// Of a duplicate: that of the message that it repeats.
    pub message_id: String,
    /// 32 hexadecimal digits.
    pub md5_of_body: String,
    /// 32 hexadecimal digits.
    pub md5_of_attributes: Option<String>,
    /// 32 hexadecimal digits.
    pub md5_of_system_attributes: Option<String>,
    /// Of a FIFO queue.
    pub sequence_number: Option<String>,
}

/// An entry of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchEntry<T> {
    /// Distinct within the batch; 1 to 80 characters of `[A-Za-z0-9_-]`.
    pub id: String,
    /// What it is.
    pub item: T,
}

/// A message of a batch, as far as it could be read.
#[derive(Debug)]
pub struct Draft {
    /// Counts for the size of the batch even where it is refused.
    pub message: NewMessage,
    /// Why it cannot be sent: its entry fails with this.
    pub refused: Option<SqsError>,
}

impl From<NewMessage> for Draft {
    fn from(message: NewMessage) -> Self {
        Self { message, refused: None }
    }
}

impl Draft {
    fn check(self, env: &dyn Env) -> Result<Checked, SqsError> {
        self.refused.map_or(Ok(()), Err).and_then(|()| self.message.check(env))
    }
}

impl Sqs {
    /// `SendMessage`.
    pub async fn send_message(&self, url: &str, message: NewMessage) -> Result<Sent, SqsError> {
        let (name, sqs) = (self.named(url)?, self.clone());
        let checked = message.check(&**self.lake.store.env())?;
        self.lake.store.write(move |tx| sqs.put(tx, &*sqs.queue(tx, &name)?, checked)).await
    }

    /// `SendMessageBatch`, in the order of the entries. Each entry succeeds or fails for itself.
    pub async fn send_message_batch(
        &self,
        url: &str,
        entries: Vec<BatchEntry<Draft>>,
    ) -> Result<Vec<BatchEntry<Result<Sent, SqsError>>>, SqsError> {
        check_batch("SendMessageBatchRequestEntry", entries.iter().map(|entry| entry.id.as_str()))?;
        let size: usize = entries.iter().map(|entry| entry.item.message.size()).sum();
        if size > SIZE_MAX {
            return Err(SqsError::BatchTooLong(size));
        }
        let (name, sqs, env) = (self.named(url)?, self.clone(), self.lake.store.env());
        let checked: Vec<_> =
            entries.into_iter().map(|BatchEntry { id, item }| BatchEntry { id, item: item.check(&**env) }).collect();
        let send = move |tx: &Tx<'_>| {
            let queue = sqs.queue(tx, &name)?;
            let mut sent = Vec::with_capacity(checked.len());
            for BatchEntry { id, item } in checked {
                let item = match item.and_then(|checked| sqs.put_in_batch(tx, &queue, checked)) {
                    Err(whole @ SqsError::Store(_)) => return Err(whole),
                    // AWS answers these for the whole batch, under another code than for one message.
                    Err(whole @ SqsError::MissingParameter("MessageGroupId")) => {
                        return Err(SqsError::InvalidParameter(whole.to_string()));
                    }
                    item => item,
                };
                sent.push(BatchEntry { id, item });
            }
            Ok(sent)
        };
        self.lake.store.write(send).await
    }

    fn put_in_batch(&self, tx: &Tx<'_>, queue: &Queue, checked: Checked) -> Result<Sent, SqsError> {
        match checked.size > queue.settings.size_max {
            true => Err(message::too_long(queue.settings.size_max, true)),
            false => self.put(tx, queue, checked),
        }
    }

    /// Puts a message into a queue, and wakes who waits for it.
    pub(super) fn put(&self, tx: &Tx<'_>, queue: &Queue, mut checked: Checked) -> Result<Sent, SqsError> {
        let settings = &queue.settings;
        if checked.size > settings.size_max {
            return Err(message::too_long(settings.size_max, false));
        }
        if settings.fifo {
            fifo::admit(queue, &mut checked)?;
        } else if let Some(id) = &checked.body.deduplication_id {
            let reason = "The request includes a parameter that is not valid for this queue type";
            return Err(SqsError::value(id, "MessageDeduplicationId", reason));
        }
        let repeated = if settings.fifo { fifo::duplicate(tx, queue, &checked)? } else { None };
        let (message_id, id) = match repeated {
            Some(repeated) => repeated,
            None => (checked.body.message_id.clone(), self.insert(tx, queue, &checked)?),
        };
        Ok(Sent {
            message_id,
            md5_of_body: checked.body.md5,
            md5_of_attributes: checked.body.attributes_md5,
            md5_of_system_attributes: checked.system_md5,
            sequence_number: settings.fifo.then(|| sequence_number(id)),
        })
    }

    /// Answers the message's number.
    fn insert(&self, tx: &Tx<'_>, queue: &Queue, checked: &Checked) -> Result<i64, SqsError> {
        let settings = &queue.settings;
        // In a FIFO queue a delay of 0 is the queue's.
        let own_delay = checked.delay_seconds.filter(|_| !settings.fifo).map(|seconds| i64::from(seconds) * 1000);
        let (id, now_ms) = (tx.next_seq(), tx.now_ms());
        let state = State {
            sent_ms: now_ms,
            id,
            visible_ms: now_ms + own_delay.unwrap_or(settings.delay_ms),
            receives: 0,
            received_ms: None,
            group: checked.body.group_id.clone().filter(|_| settings.fifo),
            source: None,
        };
        sql::insert_body(tx, id, &checked.body)?;
        if settings.fifo {
            fifo::remember(tx, queue, checked, id)?;
        }
        self.insert_state(tx, queue, &state)?;
        Ok(id)
    }

    /// Makes a message, whose body is there, one of the queue's.
    pub(super) fn insert_state(&self, tx: &Tx<'_>, queue: &Queue, state: &State) -> Result<(), SqsError> {
        sql::insert_message(tx, queue.space, state)?;
        if let Some(group) = &state.group {
            sql::begin_group(tx, queue.space, group, state.visible_ms)?;
        }
        let is_first = sql::count(tx, queue.space, 1)? == 1;
        // One that was sent long ago (to another queue) may expire before all that are here.
        if is_first && !self.is_swept(queue.id) || state.sent_ms < tx.now_ms() {
            self.sweep_at(tx, queue.id, state.sent_ms + queue.settings.retention_ms)?;
        }
        self.wake(tx, queue.id, 1);
        Ok(())
    }
}
