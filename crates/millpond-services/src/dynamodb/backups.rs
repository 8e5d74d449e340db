//! Point-in-time recovery: its state is kept, since exports need it as on AWS. Nothing can be restored yet.

use super::{DynamoDb, DynamoError};

/// Days for which AWS keeps what it recovers from.
const DAYS: std::ops::RangeInclusive<i32> = 1..=35;

/// `ContinuousBackupsDescription`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backups {
    /// Since when point-in-time recovery is enabled, in milliseconds since the epoch.
    pub since_ms: Option<i64>,
    /// For how many days.
    pub days: i32,
}

impl DynamoDb {
    /// `DescribeContinuousBackups`.
    pub fn backups(&self, table: &str) -> Result<Backups, DynamoError> {
        let name = self.name_of(table)?;
        let table = self.known(&name).ok_or(DynamoError::TableNotFound(name))?;
        let settings = &table.settings;
        Ok(Backups { since_ms: settings.recoverable_since_ms, days: settings.recoverable_days.unwrap_or(*DAYS.end()) })
    }

    /// `UpdateContinuousBackups`.
    pub async fn set_backups(&self, table: &str, enabled: bool, days: Option<i32>) -> Result<Backups, DynamoError> {
        if let Some(days) = days.filter(|days| !DAYS.contains(days)) {
            return Err(DynamoError::parameter(format!("RecoveryPeriodInDays must be from 1 to 35, and is {days}")));
        }
        let (name, now_ms) = (self.name_of(table)?, self.now_ms());
        self.known(&name).ok_or_else(|| DynamoError::TableNotFound(name.clone()))?;
        let change = self.change_settings(name.clone(), move |_, settings| {
            settings.recoverable_since_ms = enabled.then(|| settings.recoverable_since_ms.unwrap_or(now_ms));
            settings.recoverable_days = days.filter(|_| enabled).or(settings.recoverable_days.filter(|_| enabled));
            Ok(())
        });
        change.await?;
        self.backups(&name)
    }
}
