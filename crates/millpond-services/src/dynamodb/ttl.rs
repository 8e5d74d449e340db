//! When items expire.

use super::{DynamoDb, DynamoError};

/// `TimeToLiveSpecification`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeToLive {
    /// Whether items expire.
    pub enabled: bool,
    /// The attribute with the time, in seconds since the epoch.
    pub attribute: String,
}

impl DynamoDb {
    /// `DescribeTimeToLive`: the attribute, where items expire.
    pub fn time_to_live(&self, table: &str) -> Result<Option<String>, DynamoError> {
        Ok(self.any_table(table)?.settings.expires.clone())
    }

    /// `UpdateTimeToLive`.
    pub async fn set_time_to_live(&self, table: &str, wanted: TimeToLive) -> Result<(), DynamoError> {
        if !(1..=255).contains(&wanted.attribute.len()) {
            return Err(DynamoError::parameter(
                "The AttributeName of a TimeToLiveSpecification must be from 1 to 255 bytes long",
            ));
        }
        let change = self.change_settings(self.name_of(table)?, move |_, settings| {
            match (&settings.expires, wanted.enabled) {
                (Some(now), _) if *now != wanted.attribute => {
                    let text = format!("TimeToLive is active on a different AttributeName: current AttributeName is {now}");
                    return Err(DynamoError::invalid(text));
                }
                (Some(_), true) => return Err(DynamoError::invalid("TimeToLive is already enabled")),
                (None, false) => return Err(DynamoError::invalid("TimeToLive is already disabled")),
                (None, true) => settings.expires = Some(wanted.attribute),
                (Some(_), false) => settings.expires = None,
            }
            Ok(())
        });
        change.await
    }
}
