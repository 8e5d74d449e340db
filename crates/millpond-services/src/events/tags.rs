//! TagResource, UntagResource, ListTagsForResource.

use super::rules::find;
use super::{DEFAULT_BUS, Events, EventsError, buses, sql};
use millpond_core::arn::Arn;
use rusqlite::Connection;

/// Of one resource, as AWS's tagging rules say.
const TAGS_MAX: usize = 50;

/// What can have tags, by its ARN.
#[derive(Debug, Clone)]
enum Tagged {
    Rule { bus: String, name: String },
    Bus(String),
}

/// Fails where a resource has more tags than it may have.
pub(super) fn check_count(connection: &Connection, arn: &str) -> Result<(), EventsError> {
    match sql::tags(connection, arn)?.len() {
        0..=TAGS_MAX => Ok(()),
        _ => Err(EventsError::Limit(format!("a resource has up to {TAGS_MAX} tags"))),
    }
}

impl Events {
    /// `TagResource`.
    pub async fn tag_resource(&self, arn: &str, tags: Vec<(String, String)>) -> Result<(), EventsError> {
        let (tagged, arn) = (self.tagged(arn)?, arn.to_owned());
        self.lake
            .store
            .write(move |tx| {
                tagged.check(tx)?;
                for (key, value) in &tags {
                    sql::put_tag(tx, &arn, key, value)?;
                }
                check_count(tx, &arn)
            })
            .await
    }

    /// `UntagResource`.
    pub async fn untag_resource(&self, arn: &str, keys: Vec<String>) -> Result<(), EventsError> {
        let (tagged, arn) = (self.tagged(arn)?, arn.to_owned());
        self.lake
            .store
            .write(move |tx| {
                tagged.check(tx)?;
                keys.iter().try_for_each(|key| sql::remove_tag(tx, &arn, key))?;
                Ok(())
            })
            .await
    }

    /// `ListTagsForResource`, by key.
    pub async fn list_tags_for_resource(&self, arn: &str) -> Result<Vec<(String, String)>, EventsError> {
        let (tagged, arn) = (self.tagged(arn)?, arn.to_owned());
        let look = move |connection: &Connection| {
            tagged.check(connection)?;
            Ok(sql::tags(connection, &arn)?)
        };
        self.lake.store.read(look).await
    }

    fn tagged(&self, text: &str) -> Result<Tagged, EventsError> {
        let wrong = || EventsError::invalid(format!("'{text}' is not the ARN of a rule or an event bus of this lake."));
        let arn: Arn = text.parse().map_err(|_| wrong())?;
        let ours = arn.service == "events" && arn.region == self.lake.place.region && arn.account == self.lake.place.account;
        match arn.resource.split('/').collect::<Vec<_>>()[..] {
            _ if !ours => Err(wrong()),
            ["rule", name] => Ok(Tagged::Rule { bus: DEFAULT_BUS.into(), name: name.into() }),
            ["rule", bus, name] if bus != DEFAULT_BUS => Ok(Tagged::Rule { bus: bus.into(), name: name.into() }),
            ["event-bus", bus] => Ok(Tagged::Bus(bus.into())),
            _ => Err(wrong()),
        }
    }
}

impl Tagged {
    fn check(&self, connection: &Connection) -> Result<(), EventsError> {
        match self {
            Self::Rule { bus, name } => find(connection, bus, name).map(|_| ()),
            Self::Bus(bus) => buses::find(connection, bus).map(|_| ()),
        }
    }
}
