use super::{Sqs, SqsError, sql};
use rusqlite::Connection;
use std::collections::BTreeMap;

/// Of one queue, as AWS's tagging rules say.
const TAGS_MAX: usize = 50;

pub(super) fn check(tags: &BTreeMap<String, String>) -> Result<(), SqsError> {
    for (key, value) in tags {
        if !(1..=128).contains(&key.chars().count()) {
            return Err(SqsError::value(key, "Tag.Key", "A tag's key has from 1 to 128 characters."));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(SqsError::value(key, "Tag.Key", "Keys that begin with aws: are reserved."));
        }
        if value.chars().count() > 256 {
            return Err(SqsError::value(value, "Tag.Value", "A tag's value has up to 256 characters."));
        }
    }
    match tags.len() {
        0..=TAGS_MAX => Ok(()),
        many => Err(SqsError::InvalidParameter(format!("Too many tags: a queue has up to {TAGS_MAX}, these are {many}."))),
    }
}

impl Sqs {
    /// `TagQueue`.
    pub async fn tag_queue(&self, url: &str, tags: BTreeMap<String, String>) -> Result<(), SqsError> {
        check(&tags)?;
        let (name, sqs) = (self.named(url)?, self.clone());
        self.lake
            .store
            .write(move |tx| {
                let queue = sqs.queue(tx, &name)?;
                tags.iter().try_for_each(|(key, value)| sql::put_tag(tx, queue.id, key, value))?;
                check(&sql::tags(tx, queue.id)?)
            })
            .await
    }

    /// `UntagQueue`.
    pub async fn untag_queue(&self, url: &str, keys: Vec<String>) -> Result<(), SqsError> {
        let (name, sqs) = (self.named(url)?, self.clone());
        self.lake
            .store
            .write(move |tx| {
                let queue = sqs.queue(tx, &name)?;
                Ok(keys.iter().try_for_each(|key| sql::remove_tag(tx, queue.id, key))?)
            })
            .await
    }

    /// `ListQueueTags`.
    pub async fn queue_tags(&self, url: &str) -> Result<BTreeMap<String, String>, SqsError> {
        let (name, sqs) = (self.named(url)?, self.clone());
        let look = move |connection: &Connection| Ok(sql::tags(connection, sqs.queue(connection, &name)?.id)?);
        self.lake.store.read(look).await
    }
}
