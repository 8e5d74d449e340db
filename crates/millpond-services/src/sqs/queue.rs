//! Queues: what is known of one, and the operations on them as a whole.

use super::attributes::{self, Settings};
use super::sql::{self, Attributes, NewQueueRow, QueueRow};
use super::sweep::{CLEAR, Clear};
use super::{Sqs, SqsError};
use hmac::{Hmac, Mac};
use millpond_core::arn::Arn;
use millpond_store::Tx;
use millpond_store::task::NewTask;
use rusqlite::Connection;
use sha2::Sha256;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

/// A queue can be purged once in this time.
const PURGE_PAUSE_MS: i64 = 60_000;

/// What a listing answers at the most.
const PAGE_MAX: usize = 1_000;

/// Queues whose settings are kept ready.
const CACHED_MAX: usize = 10_000;

/// A queue as its row says, ready for use.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) version: i64,
    pub(super) space: i64,
    pub(super) arn: String,
    /// Signs its receipts.
    pub(super) signer: Hmac<Sha256>,
    pub(super) attributes: Attributes,
    pub(super) settings: Settings,
    pub(super) created_ms: i64,
    pub(super) modified_ms: i64,
    pub(super) purged_ms: Option<i64>,
}

impl Queue {
    fn of(row: QueueRow, arn: String) -> Result<Self, SqsError> {
        let signer = Hmac::new_from_slice(&row.secret).expect("HMAC takes keys of any length");
        let settings = Settings::of(&row.attributes)?;
        let QueueRow { id, name, version, space, attributes, created_ms, modified_ms, purged_ms, .. } = row;
        Ok(Self { id, name, version, space, arn, signer, attributes, settings, created_ms, modified_ms, purged_ms })
    }
}

/// Queues that were read before. An entry counts only as long as its version is that of the row.
#[derive(Debug, Default)]
pub(super) struct Cache {
    by_name: Mutex<HashMap<String, Arc<Queue>>>,
}

impl Cache {
    /// The queue as it was when it was last read.
    pub(super) fn get(&self, name: &str) -> Option<Arc<Queue>> {
        self.by_name.lock().expect("nobody panics while holding the map").get(name).cloned()
    }

    fn put(&self, queue: &Arc<Queue>) {
        let mut all = self.by_name.lock().expect("nobody panics while holding the map");
        if all.len() >= CACHED_MAX {
            all.clear();
        }
        all.insert(queue.name.clone(), queue.clone());
    }

    fn remove(&self, name: &str) {
        self.by_name.lock().expect("nobody panics while holding the map").remove(name);
    }
}

/// A queue to create.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewQueue {
    /// 1 to 80 characters of `[A-Za-z0-9_-]`; that of a FIFO queue ends with `.fifo`.
    pub name: String,
    /// By AWS's names.
    pub attributes: BTreeMap<String, String>,
    /// In any order.
    pub tags: BTreeMap<String, String>,
}

/// A page of queues' names.
#[derive(Debug, Clone, PartialEq)]
pub struct Names {
    /// In their order.
    pub names: Vec<String>,
    /// Where more follow, and a number was asked for: the token for the next page.
    pub next: Option<String>,
}

impl Sqs {
    /// The queue of that name, as the connection sees it.
    pub(super) fn queue(&self, connection: &Connection, name: &str) -> Result<Arc<Queue>, SqsError> {
        let version = sql::queue_version(connection, name)?.ok_or(SqsError::QueueDoesNotExist)?;
        let cached = self.shared.queues.get(name);
        if let Some(queue) = cached.filter(|queue| (queue.id, queue.version) == version) {
            return Ok(queue);
        }
        let row = sql::queue(connection, name)?.ok_or(SqsError::QueueDoesNotExist)?;
        let queue = Arc::new(Queue::of(row, self.arn(name))?);
        self.shared.queues.put(&queue);
        Ok(queue)
    }

    pub(super) fn arn(&self, name: &str) -> String {
        self.lake.place.arn("sqs", name).to_string()
    }

    /// The name that the ARN of a queue of this lake ends with.
    pub(super) fn name_in(&self, arn: &str) -> Option<String> {
        let arn: Arn = arn.parse().ok()?;
        self.is_ours(&arn).then_some(arn.resource)
    }

    pub(super) fn is_ours(&self, arn: &Arn) -> bool {
        arn.service == "sqs" && arn.region == self.lake.place.region && arn.account == self.lake.place.account
    }

    /// The name of the queue that a URL means: `http://any.host/ACCOUNT/NAME`, or the name alone, which AWS takes, too.
    pub(super) fn named(&self, url: &str) -> Result<String, SqsError> {
        let invalid = || SqsError::InvalidAddress(url.chars().take(1024).collect());
        let Some((_, rest)) = url.split_once("://") else {
            return if is_name(url) { Ok(url.to_owned()) } else { Err(invalid()) };
        };
        let path = rest.split_once('/').map(|(_, path)| path).ok_or_else(invalid)?;
        match path.trim_end_matches('/').split('/').collect::<Vec<_>>().as_slice() {
            [account, name] if is_name(name) && account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) => {
                match *account == self.lake.place.account {
                    true => Ok((*name).to_owned()),
                    false => Err(SqsError::QueueDoesNotExist),
                }
            }
            _ => Err(invalid()),
        }
    }

    /// `CreateQueue`. One that is there already is answered as if it were new, where nothing that is given differs. Answers its name.
    ///
    /// A queue may be made again at once after it was deleted; AWS asks to wait for a minute.
    pub async fn create_queue(&self, new: NewQueue) -> Result<String, SqsError> {
        let fifo = new.attributes.get("FifoQueue").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        check_name(&new.name, fifo)?;
        let wanted = attributes::changed(&Attributes::new(), &new.attributes, true)?;
        super::tags::check(&new.tags)?;
        let sqs = self.clone();
        let create = move |tx: &Tx<'_>| {
            if let Some(there) = sql::queue(tx, &new.name)? {
                return match attributes::difference(&there.attributes, &wanted) {
                    Some(name) => Err(SqsError::QueueNameExists(name.to_owned())),
                    None => Ok(new.name),
                };
            }
            let dead_letter = sqs.check_redrive(tx, &new.name, &wanted)?;
            let mut secret = [0u8; 32];
            tx.env().fill_random(&mut secret);
            let row = NewQueueRow {
                name: &new.name,
                space: tx.next_seq(),
                secret: &secret,
                attributes: &wanted,
                dead_letter: dead_letter.as_deref(),
            };
            let id = sql::insert_queue(tx, &row)?;
            new.tags.iter().try_for_each(|(key, value)| sql::put_tag(tx, id, key, value))?;
            Ok(new.name)
        };
        self.lake.store.write(create).await
    }

    /// Checks the `RedrivePolicy` of a queue against the dead-letter queue that it names; answers that queue's ARN.
    fn check_redrive(&self, tx: &Tx<'_>, name: &str, attributes: &Attributes) -> Result<Option<String>, SqsError> {
        let Some(text) = attributes.get("RedrivePolicy") else { return Ok(None) };
        let redrive = attributes::redrive(text)?;
        let wrong = |reason: &str| SqsError::value(text, "RedrivePolicy", reason);
        let missing = || wrong("Dead letter target does not exist.");
        let target = self.name_in(&redrive.target).ok_or_else(missing)?;
        let fifo = attributes.get("FifoQueue").is_some_and(|value| value == "true");
        let (target_fifo, allowed) = match target == name {
            true => (fifo, true),
            false => {
                let queue = self.queue(tx, &target).map_err(|error| match error {
                    SqsError::QueueDoesNotExist => missing(),
                    other => other,
                })?;
                (queue.settings.fifo, queue.settings.allow.allows(&self.arn(name)))
            }
        };
        if target_fifo != fifo {
            return Err(wrong("Dead-letter queue must be same type of queue as the source."));
        }
        if !allowed {
            return Err(wrong("The RedriveAllowPolicy of the dead-letter queue does not allow this queue to use it."));
        }
        Ok(Some(redrive.target))
    }

    /// `GetQueueUrl`: whether there is a queue of that name, of this account.
    pub async fn queue_exists(&self, name: &str, account: Option<&str>) -> Result<(), SqsError> {
        if account.is_some_and(|account| account != self.lake.place.account) {
            return Err(SqsError::QueueDoesNotExist);
        }
        let name = name.to_owned();
        let look = move |connection: &Connection| match sql::queue_version(connection, &name)? {
            Some(_) => Ok(()),
            None => Err(SqsError::QueueDoesNotExist),
        };
        self.lake.store.read(look).await
    }

    /// `ListQueues`, of those whose names begin with `prefix`.
    pub async fn list_queues(&self, prefix: &str, max: Option<i32>, token: Option<&str>) -> Result<Names, SqsError> {
        let (limit, after, prefix) = (page_size(max)?, after(token)?, prefix.to_owned());
        let look = move |connection: &Connection| Ok::<_, SqsError>(sql::queue_names(connection, &prefix, &after, limit + 1)?);
        let names = self.lake.store.read(look).await?;
        Ok(page(names, limit, max.is_some()))
    }

    /// `ListDeadLetterSourceQueues`: those whose dead letters go to a queue.
    pub async fn dead_letter_sources(&self, url: &str, max: Option<i32>, token: Option<&str>) -> Result<Names, SqsError> {
        let (limit, after, name) = (page_size(max)?, after(token)?, self.named(url)?);
        let sqs = self.clone();
        let look = move |connection: &Connection| {
            let queue = sqs.queue(connection, &name)?;
            Ok::<_, SqsError>(sql::sources_of(connection, &queue.arn, &after, limit + 1)?)
        };
        let names = self.lake.store.read(look).await?;
        Ok(page(names, limit, max.is_some()))
    }

    /// `GetQueueAttributes`: those that are named (`All`: all of them).
    pub async fn queue_attributes(&self, url: &str, wanted: Vec<String>) -> Result<BTreeMap<String, String>, SqsError> {
        if let Some(unknown) = wanted.iter().find(|name| *name != "All" && !attributes::is_known(name)) {
            return Err(SqsError::InvalidAttributeName(format!("Unknown Attribute {unknown}.")));
        }
        let (name, sqs) = (self.named(url)?, self.clone());
        let all = wanted.iter().any(|name| name == "All");
        let counts = all || wanted.iter().any(|name| name.starts_with("ApproximateNumberOfMessages"));
        let look = move |connection: &Connection| {
            let queue = sqs.queue(connection, &name)?;
            let mut found = attributes::with_defaults(&queue.attributes);
            let mut put = |name: &str, value: String| found.insert(name.to_owned(), value);
            put("QueueArn", queue.arn.clone());
            put("CreatedTimestamp", (queue.created_ms / 1000).to_string());
            put("LastModifiedTimestamp", (queue.modified_ms / 1000).to_string());
            if counts {
                let counts = sqs.counts(connection, &queue)?;
                put("ApproximateNumberOfMessages", counts.visible.to_string());
                put("ApproximateNumberOfMessagesNotVisible", counts.in_flight.to_string());
                put("ApproximateNumberOfMessagesDelayed", counts.delayed.to_string());
            }
            Ok::<_, SqsError>(found)
        };
        let mut found = self.lake.store.read(look).await?;
        if !all {
            found.retain(|name, _| wanted.contains(name));
        }
        Ok(found)
    }

    /// How many messages a queue has now: exactly.
    pub(super) fn counts(&self, connection: &Connection, queue: &Queue) -> Result<Counts, SqsError> {
        let all = sql::counted(connection, queue.space)?;
        let (in_flight, delayed) = sql::hidden(connection, queue.space, self.lake.store.env().now_ms())?;
        Ok(Counts { visible: (all - in_flight - delayed).max(0), in_flight, delayed })
    }

    /// `SetQueueAttributes`.
    pub async fn set_queue_attributes(&self, url: &str, changes: BTreeMap<String, String>) -> Result<(), SqsError> {
        let name = self.named(url)?;
        let sqs = self.clone();
        self.lake.store.write(move |tx| sqs.set_in(tx, &name, |before| attributes::changed(before, &changes, false))).await
    }

    /// Sets what `change` makes of a queue's attributes, and does what follows from it.
    pub(super) fn set_in(
        &self,
        tx: &Tx<'_>,
        name: &str,
        change: impl FnOnce(&Attributes) -> Result<Attributes, SqsError>,
    ) -> Result<(), SqsError> {
        let queue = self.queue(tx, name)?;
        let after = change(&queue.attributes)?;
        let dead_letter = match after.get("RedrivePolicy") == queue.attributes.get("RedrivePolicy") {
            // It is not checked again: its target may be gone, and the other attributes are still to be set.
            true => queue.settings.redrive.as_ref().map(|redrive| redrive.target.clone()),
            false => self.check_redrive(tx, name, &after)?,
        };
        sql::update_queue(tx, queue.id, &after, dead_letter.as_deref())?;
        let settings = Settings::of(&after)?;
        if settings.fifo && settings.delay_ms != queue.settings.delay_ms {
            sql::delay_again(tx, queue.space, settings.delay_ms)?;
            self.wake(tx, queue.id, usize::MAX);
        }
        if settings.retention_ms < queue.settings.retention_ms {
            self.sweep_at(tx, queue.id, tx.now_ms())?;
        }
        Ok(())
    }

    /// `PurgeQueue`: what was sent before it is gone at once.
    pub async fn purge_queue(&self, url: &str) -> Result<(), SqsError> {
        let (name, sqs) = (self.named(url)?, self.clone());
        let purge = move |tx: &Tx<'_>| {
            let queue = sqs.queue(tx, &name)?;
            if queue.purged_ms.is_some_and(|purged_ms| tx.now_ms() - purged_ms < PURGE_PAUSE_MS) {
                return Err(SqsError::PurgeInProgress(name));
            }
            sql::purge_queue(tx, queue.id, tx.next_seq())?;
            tx.enqueue(&NewTask::new(CLEAR, Clear { space: queue.space, queue: None }))?;
            Ok(())
        };
        self.lake.store.write(purge).await
    }

    /// `DeleteQueue`, with its messages.
    pub async fn delete_queue(&self, url: &str) -> Result<(), SqsError> {
        let (name, sqs) = (self.named(url)?, self.clone());
        let delete = move |tx: &Tx<'_>| {
            let queue = sqs.queue(tx, &name)?;
            sql::delete_queue(tx, queue.id)?;
            tx.enqueue(&NewTask::new(CLEAR, Clear { space: queue.space, queue: Some(queue.id) }))?;
            let (shared, id) = (sqs.shared.clone(), queue.id);
            tx.after_commit(move || {
                shared.signals.forget(id);
                shared.queues.remove(&name);
            });
            Ok(())
        };
        self.lake.store.write(delete).await
    }
}

/// How many messages a queue has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) visible: i64,
    pub(super) in_flight: i64,
    pub(super) delayed: i64,
}

fn is_name(text: &str) -> bool {
    let stem = text.strip_suffix(".fifo").unwrap_or(text);
    !stem.is_empty() && text.len() <= 80 && stem.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

fn check_name(name: &str, fifo: bool) -> Result<(), SqsError> {
    if is_name(name) && name.ends_with(".fifo") == fifo {
        return Ok(());
    }
    let reason = match fifo {
        true => {
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length."
        }
        false => "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
    };
    Err(SqsError::InvalidParameter(reason.into()))
}

fn page_size(max: Option<i32>) -> Result<usize, SqsError> {
    match max.map(usize::try_from) {
        None => Ok(PAGE_MAX),
        Some(Ok(max @ 1..=PAGE_MAX)) => Ok(max),
        Some(_) => {
            Err(SqsError::value(max.unwrap_or_default(), "MaxResults", "MaxResults must be an integer between 1 and 1000."))
        }
    }
}

/// A token is the last name of the page before it.
fn after(token: Option<&str>) -> Result<String, SqsError> {
    let token = token.unwrap_or_default();
    match token.is_empty() || is_name(token) {
        true => Ok(token.to_owned()),
        false => Err(SqsError::InvalidParameter("Invalid or expired next token.".into())),
    }
}

/// From one name more than a page has.
fn page(mut names: Vec<String>, limit: usize, paged: bool) -> Names {
    let more = names.len() > limit;
    names.truncate(limit);
    Names { next: (more && paged).then(|| names.last().cloned()).flatten(), names }
}
