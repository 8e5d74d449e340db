use super::{Sns, SnsError, sql};
use rusqlite::Connection;
use std::collections::BTreeSet;

/// Of one topic, as AWS's tagging rules say.
const TAGS_MAX: usize = 50;

pub(super) fn check(tags: &[(String, String)]) -> Result<(), SnsError> {
    match tags.iter().map(|(key, _)| key).collect::<BTreeSet<_>>().len() {
        distinct if distinct < tags.len() => Err(SnsError::invalid("Duplicated keys are not allowed.")),
        0..=TAGS_MAX => Ok(()),
        _ => Err(SnsError::TagLimit),
    }
}

impl Sns {
    /// `TagResource`, of a topic.
    pub async fn tag_resource(&self, arn: &str, tags: Vec<(String, String)>) -> Result<(), SnsError> {
        check(&tags)?;
        let (name, arn) = (self.tagged(arn)?, arn.to_owned());
        self.lake
            .store
            .write(move |tx| {
                exists(tx, &name)?;
                tags.iter().try_for_each(|(key, value)| sql::put_tag(tx, &arn, key, value))?;
                match sql::tags(tx, &arn)?.len() {
                    0..=TAGS_MAX => Ok(()),
                    _ => Err(SnsError::TagLimit),
                }
            })
            .await
    }

    /// `UntagResource`, of a topic.
    pub async fn untag_resource(&self, arn: &str, keys: Vec<String>) -> Result<(), SnsError> {
        let (name, arn) = (self.tagged(arn)?, arn.to_owned());
        self.lake
            .store
            .write(move |tx| {
                exists(tx, &name)?;
                Ok(keys.iter().try_for_each(|key| sql::remove_tag(tx, &arn, key))?)
            })
            .await
    }

    /// `ListTagsForResource`, by key.
    pub async fn list_tags_for_resource(&self, arn: &str) -> Result<Vec<(String, String)>, SnsError> {
        let (name, arn) = (self.tagged(arn)?, arn.to_owned());
        let look = move |connection: &Connection| {
            exists(connection, &name)?;
            Ok(sql::tags(connection, &arn)?)
        };
        self.lake.store.read(look).await
    }

    fn tagged(&self, arn: &str) -> Result<String, SnsError> {
        self.topic_name(arn).map_err(|error| match error {
            SnsError::NotFound(_) => SnsError::ResourceNotFound,
            other => other,
        })
    }
}

fn exists(connection: &Connection, topic: &str) -> Result<(), SnsError> {
    sql::topic(connection, topic)?.map(|_| ()).ok_or(SnsError::ResourceNotFound)
}
